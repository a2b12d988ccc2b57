/* Answers that a real server wrote: what is told of each stands in expected/. LSQ_TEST_WRITE=1 writes those files
 * anew, to be read before they are kept. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/answer.h"
#include "../support/db.h"

static const char expected[] = "c/test/hrana/expected";

static void write_expected(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void check_told(const struct answer *answer) {
    struct transcript transcript;
    char path[512];
    char *text;
    size_t ignored;

    transcript_init(&transcript);
    transcribe(&transcript, answer, (struct pieces){.size = answer->len, .rows = SIZE_MAX},
               &last_error);
    snprintf(path, sizeof(path), "%s/%s.txt", expected, answer->name);
    if (getenv("LSQ_TEST_WRITE") != NULL) write_expected(path, transcript.text.data);
    text = read_whole(path, &ignored);
    if (strcmp(text, transcript.text.data) != 0)
        fail_msg("%s:\n%s\nnot\n%s", answer->name, transcript.text.data, text);
    free(text);
    lsqi_buf_release(&transcript.text);
}

static void answers_are_told_as_they_are(void **state) {
    (void)state;
    each_answer(check_told);
}

static void check_pieces(const struct answer *answer) {
    struct transcript whole;
    struct transcript transcript;

    transcript_init(&whole);
    transcript_init(&transcript);
    transcribe(&whole, answer, (struct pieces){.size = answer->len, .rows = SIZE_MAX}, &last_error);
    for (size_t size = 1; size <= answer->len; size++) {
        for (size_t rows = 1; rows <= 3; rows++) {
            lsqi_buf_reset(&transcript.text);
            transcribe(&transcript, answer,
                       (struct pieces){.size = size, .rows = rows == 3 ? SIZE_MAX : rows},
                       &last_error);
            if (strcmp(whole.text.data, transcript.text.data) != 0)
                fail_msg("%s in pieces of %zu, %zu rows at a time:\n%s\nnot\n%s", answer->name,
                         size, rows, transcript.text.data, whole.text.data);
        }
    }
    lsqi_buf_release(&transcript.text);
    lsqi_buf_release(&whole.text);
}

static void pieces_make_no_difference(void **state) {
    (void)state;
    each_answer(check_pieces);
}

/* Where the text could have ended. A cursor says nowhere that no further step comes: between two lines, outside a
 * step, its end is one. */
static bool may_end(const struct answer *answer, size_t len) {
    while (len < answer->len && answer->data[len] == '\n') len++;
    return len == answer->len ||
           (answer->form == LSQI_HRANA_CURSOR && len > 0 && answer->data[len - 1] == '\n');
}

static void check_truncated(const struct answer *answer) {
    struct transcript transcript;
    size_t ends = 0;

    transcript_init(&transcript);
    for (size_t len = 0; len < answer->len; len++) {
        struct answer part = *answer;

        part.len = len;
        lsqi_buf_reset(&transcript.text);
        if (transcribe(&transcript, &part, (struct pieces){.size = 100, .rows = SIZE_MAX},
                       &last_error) == LSQ_OK) {
            if (!may_end(answer, len)) fail_msg("%s ends at %zu", answer->name, len);
            ends++;
        } else {
            assert_int_equal(last_error.status, LSQ_PROTOCOL_UNSUPPORTED);
            assert_true(strlen(last_error.message) > 0);
        }
    }
    assert_true(answer->form != LSQI_HRANA_PIPELINE || ends <= 1);
    lsqi_buf_release(&transcript.text);
}

static void a_truncated_answer_is_not_whole(void **state) {
    (void)state;
    each_answer(check_truncated);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_told_as_they_are),
        cmocka_unit_test(pieces_make_no_difference),
        cmocka_unit_test(a_truncated_answer_is_not_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
