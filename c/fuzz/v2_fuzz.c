/* v2_fuzz.c - what reads the answers of protocol v2, for libFuzzer (`make fuzz`); a test feeds it the corpus, too.
 *
 * Each input is taken for a text with numbers, for frames, and for a database file. However a file is cut into pieces,
 * and wherever it is broken off and gone on with, the same must be told of it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repl/v2_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was told, as a number. */
struct told {
    uint64_t sum;
    uint32_t pages;
    enum lsq_status status;
};

static void mix(struct told *told, const void *data, size_t len) {
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) told->sum = (told->sum ^ bytes[i]) * 0x100000001b3u;
}

static void mix_frame(struct told *told, const struct lsqi_frame *frame, const void *page) {
    if (frame->page != ++told->pages) abort();
    mix(told, &frame->number, sizeof(frame->number));
    mix(told, &frame->size_after, sizeof(frame->size_after));
    mix(told, page, LSQI_V2_PAGE);
}

static bool on_page(void *arg, const struct lsqi_frame *frame, const void *page, size_t len) {
    if (len != LSQI_V2_PAGE || frame->size_after != 0) abort();
    mix_frame(arg, frame, page);
    return true;
}

static struct lsqi_v2_file begin(struct told *told) {
    return (struct lsqi_v2_file){.frame = on_page, .arg = told, .number = UINT64_C(1) << 32};
}

/* What was told stays, what else is known of it is lost. */
static void break_off(struct lsqi_v2_file *file, struct told *told, const uint8_t *data) {
    uint32_t pages = file->pages;

    lsqi_v2_file_release(file);
    *file = begin(told);
    if (lsqi_v2_file_go_on(file, pages, data, NULL) != LSQ_OK) abort();
}

static struct told read_file(const uint8_t *data, size_t size, size_t piece, bool breaks) {
    struct told told = {.sum = 0xcbf29ce484222325u, .status = LSQ_OK};
    struct lsqi_v2_file file = begin(&told);
    struct lsqi_frame frame;
    const void *page;
    size_t len;

    for (size_t at = 0; at < size && told.status == LSQ_OK; at += len) {
        uint32_t before = file.pages;

        len = piece < size - at ? piece : size - at;
        char *copy = malloc(len);

        if (copy == NULL) abort();
        memcpy(copy, data + at, len);
        told.status = lsqi_v2_file_feed(&file, copy, len, NULL);
        free(copy);
        if (file.page.size > 4 * LSQI_V2_PAGE) abort();
        if (!breaks || told.status != LSQ_OK || file.pages == before) continue;
        break_off(&file, &told, data);
        at = (size_t)file.pages * LSQI_V2_PAGE, len = 0;
    }
    if (told.status == LSQ_OK) told.status = lsqi_v2_file_last(&file, &frame, &page, NULL);
    if (told.status == LSQ_OK) {
        if (frame.size_after == 0 || frame.size_after > frame.page) abort();
        mix_frame(&told, &frame, page);
    }
    lsqi_v2_file_release(&file);
    return told;
}

static void read_frames(const char *data, size_t size) {
    struct told told = {.sum = 0};
    struct lsqi_frame frame;
    const void *page;

    for (size_t i = 0; i <= size / LSQI_V2_FRAME; i++) {
        bool is_one = lsqi_v2_frame(data, size, i, &frame, &page);

        if (is_one && i == size / LSQI_V2_FRAME) abort();
        if (is_one) mix(&told, page, LSQI_V2_PAGE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t pieces[] = {1000, 4096, 4095, 9000};
    char *copy = malloc(size + 1);
    struct lsqi_v2_pushed pushed;
    struct told whole;
    uint64_t number = 0;

    if (copy == NULL) abort();
    if (size > 0) memcpy(copy, data, size);
    if (lsqi_v2_number(copy, size, "generation", &number) && (number == 0 || number > INT32_MAX))
        abort();
    if (lsqi_v2_pushed(copy, size, &pushed) &&
        (pushed.generation > INT32_MAX || pushed.frame > INT32_MAX ||
         strlen(pushed.status) >= sizeof(pushed.status)))
        abort();
    read_frames(copy, size);
    free(copy);
    whole = read_file(data, size, size + 1, false);
    for (size_t i = 0; i < 2 * sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct told other = read_file(data, size, pieces[i / 2], i % 2 == 1);

        if (whole.sum != other.sum || whole.pages != other.pages || whole.status != other.status) {
            fprintf(stderr, "in pieces of %zu: %u pages, at once %u\n", pieces[i / 2],
                    (unsigned)other.pages, (unsigned)whole.pages);
            abort();
        }
    }
    return 0;
}
