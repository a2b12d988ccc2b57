/* hrana_fuzz.c - the decoder of answers, for libFuzzer (`make fuzz`); a test feeds it the corpus, too.
 *
 * Each input is taken for an answer of each form. However it is cut into pieces, and however many rows are let
 * through at a time, the same must be told of it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../test/support/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* FNV-1a: the same input is always cut in the same way. */
static uint64_t hash(const uint8_t *data, size_t size) {
    uint64_t sum = 0xcbf29ce484222325u;

    for (size_t i = 0; i < size; i++) sum = (sum ^ data[i]) * 0x100000001b3u;
    return sum;
}

/* What is told of it in pieces is what was told of it at once. */
static void compare(const struct answer *answer, const struct transcript *whole,
                    struct pieces pieces) {
    struct transcript transcript;
    struct lsq_error err;

    transcript_init(&transcript);
    transcribe(&transcript, answer, pieces, &err);
    if (strcmp(whole->text.data, transcript.text.data) != 0) {
        fprintf(stderr, "form %d, at once:\n%s\nin pieces:\n%s\n", (int)answer->form,
                whole->text.data, transcript.text.data);
        abort();
    }
    lsqi_buf_release(&transcript.text);
}

static void try_form(const struct answer *answer, uint64_t seed) {
    struct pieces whole_pieces = {.size = answer->len, .rows = SIZE_MAX};
    struct transcript whole;
    struct lsq_error err;

    transcript_init(&whole);
    transcribe(&whole, answer, whole_pieces, &err);
    compare(answer, &whole, (struct pieces){.size = 60, .rows = 0, .seed = &seed});
    if (answer->len <= 400) compare(answer, &whole, (struct pieces){.size = 1, .rows = 1});
    lsqi_buf_release(&whole.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum lsqi_hrana_form forms[] = {LSQI_HRANA_PIPELINE, LSQI_HRANA_CURSOR,
                                                 LSQI_HRANA_FAILURE};

    for (size_t i = 0; size > 0 && i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct answer answer = {.form = forms[i], .data = (const char *)data, .len = size};

        try_form(&answer, hash(data, size));
    }
    return 0;
}
