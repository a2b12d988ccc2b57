/* The bytes of replication answers: those of a real server, those of the fuzzer's corpus, and lies. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../fuzz/repl_fuzz.c"
#include "../support/answer.h"
#include "../support/db.h"

#define CORPUS "c/fuzz/corpus/repl"

static char *corpus(const char *name, size_t *len) {
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", CORPUS, name);
    return read_whole(path, len);
}

static void nothing_in_the_corpus_is_told_in_two_ways(void **state) {
    DIR *folder = opendir(CORPUS);
    struct dirent *entry;
    size_t count = 0;

    (void)state;
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        size_t len;
        char *data;

        if (entry->d_name[0] == '.') continue;
        data = corpus(entry->d_name, &len);
        LLVMFuzzerTestOneInput((const uint8_t *)data, len);
        free(data);
        count++;
    }
    closedir(folder);
    assert_true(count >= 7);
}

/* ---- What is told ---- */

struct seen {
    struct lsqi_frame frames[8];
    size_t count;
    struct lsqi_hello hello;
};

static bool see_frame(void *arg, const struct lsqi_frame *frame, const void *data, size_t len) {
    struct seen *seen = arg;

    (void)data;
    assert_true(len == 4096 || len == 512);
    assert_true(seen->count < 8);
    seen->frames[seen->count++] = *frame;
    return true;
}

static void see_hello(void *arg, const struct lsqi_hello *hello) {
    struct seen *seen = arg;

    seen->hello = *hello;
}

static enum lsq_status see(struct seen *seen, struct lsqi_wire *wire, enum lsqi_wire_form form,
                           const char *data, size_t len) {
    const struct lsqi_wire_handler handler = {.frame = see_frame, .hello = see_hello, .arg = seen};

    *seen = (struct seen){.count = 0};
    lsqi_wire_init(wire, form, &handler);
    return lsqi_wire_feed(wire, data, len, &last_error);
}

static void reads_what_a_server_wrote(void **state) {
    struct lsqi_wire wire;
    struct seen seen;
    size_t len;
    char *data = corpus("hello", &len);

    (void)state;
    assert_int_equal(see(&seen, &wire, LSQI_WIRE_HELLO, data, len), LSQ_OK);
    assert_true(lsqi_wire_whole(&wire) && wire.end.status == 0);
    assert_int_equal(strlen(seen.hello.log_id), 36);
    assert_int_equal(strlen(seen.hello.session), 36);
    assert_int_equal(seen.hello.index, 1);
    lsqi_wire_release(&wire);
    free(data);
    data = corpus("frames", &len);
    assert_int_equal(see(&seen, &wire, LSQI_WIRE_FRAMES, data, len), LSQ_OK);
    assert_true(lsqi_wire_whole(&wire));
    assert_int_equal(seen.count, 2);
    assert_true(seen.frames[0].number == 0 && seen.frames[0].page == 1);
    assert_true(seen.frames[0].size_after == 0);
    assert_true(seen.frames[1].number == 1 && seen.frames[1].page == 2);
    assert_true(seen.frames[1].size_after == 2);
    lsqi_wire_release(&wire);
    free(data);
    data = corpus("failed", &len);
    assert_int_equal(see(&seen, &wire, LSQI_WIRE_FRAMES, data, len), LSQ_OK);
    assert_true(lsqi_wire_whole(&wire) && wire.end.status == 13);
    assert_string_equal(wire.end.message, "No such file");
    lsqi_wire_release(&wire);
    free(data);
}

static void passes_over_what_it_does_not_know(void **state) {
    struct lsqi_wire wire;
    struct seen seen;
    size_t len;
    char *data = corpus("small", &len);

    (void)state;
    assert_int_equal(see(&seen, &wire, LSQI_WIRE_FRAMES, data, len), LSQ_OK);
    assert_int_equal(seen.count, 2);
    assert_true(seen.frames[1].checksum == 7 && seen.frames[1].size_after == 2);
    lsqi_wire_release(&wire);
    free(data);
}

/* An answer that ends at any of its bytes is never taken for a whole one. */
static void is_whole_at_its_end_only(void **state) {
    static const struct {
        const char *name;
        enum lsqi_wire_form form;
    } answers[] = {{"hello", LSQI_WIRE_HELLO},
                   {"small", LSQI_WIRE_FRAMES},
                   {"frames", LSQI_WIRE_FRAMES},
                   {"stream", LSQI_WIRE_STREAM}};

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        size_t len;
        char *data = corpus(answers[i].name, &len);

        for (size_t cut = 0; cut <= len; cut++) {
            struct lsqi_wire wire;
            struct seen seen;
            char *piece = malloc(cut + 1);

            memcpy(piece, data, cut);
            assert_int_equal(see(&seen, &wire, answers[i].form, piece, cut), LSQ_OK);
            assert_true(lsqi_wire_whole(&wire) == (cut == len));
            lsqi_wire_release(&wire);
            free(piece);
        }
        free(data);
    }
}

static void refuses(enum lsqi_wire_form form, const char *bytes, size_t len) {
    struct lsqi_wire wire;
    struct seen seen;

    assert_int_equal(see(&seen, &wire, form, bytes, len), LSQ_PROTOCOL_UNSUPPORTED);
    assert_int_equal(seen.count, 0);
    assert_true(wire.gathered.size < 256 * 1024);
    lsqi_wire_release(&wire);
}

#define REFUSES(form, bytes) refuses(form, bytes, sizeof(bytes) - 1)

static void refuses_lies(void **state) {
    (void)state;
    REFUSES(LSQI_WIRE_FRAMES, "\x01\0\0\0\x05");         /* compressed */
    REFUSES(LSQI_WIRE_HELLO, "\0\xff\xff\xff\xff");      /* 4 GiB */
    REFUSES(LSQI_WIRE_STREAM, "\0\xff\xff\xff\xff");     /* a frame of 4 GiB */
    REFUSES(LSQI_WIRE_FRAMES, "\x80\xff\xff\xff\xff");   /* a trailer of 4 GiB */
    REFUSES(LSQI_WIRE_FRAMES, "\0\0\0\0\x03\x0a\x7f\0"); /* a field longer than its message */
    REFUSES(LSQI_WIRE_FRAMES, "\0\xff\xff\xff\xff\x0a\xff\xff\xff\x7f"); /* a frame of 256 MiB */
    REFUSES(LSQI_WIRE_FRAMES, "\0\0\0\0\x02\x0a\0"); /* a frame without a page */
    REFUSES(LSQI_WIRE_FRAMES, "\0\0\0\0\x01\x08");   /* a message that ends in a field */
    REFUSES(LSQI_WIRE_FRAMES, "\0\0\0\0\x02\x0b\0"); /* a type that is gone */
    REFUSES(LSQI_WIRE_FRAMES, "\0\0\0\0\x02\x02\0"); /* a field without a number */
    REFUSES(LSQI_WIRE_FRAMES, "\0\0\0\0\x0d\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0");
    REFUSES(LSQI_WIRE_HELLO, "\0\0\0\0\x02\x08\x01");     /* no log */
    REFUSES(LSQI_WIRE_HELLO, "\0\0\0\0\x03\x1a\x01\x0a"); /* a log's name with a line break */
    REFUSES(LSQI_WIRE_FRAMES, "\x80\0\0\0\0\0\0\0\0\0");  /* it goes on behind its end */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_in_the_corpus_is_told_in_two_ways),
        cmocka_unit_test(reads_what_a_server_wrote),
        cmocka_unit_test(passes_over_what_it_does_not_know),
        cmocka_unit_test(is_whole_at_its_end_only),
        cmocka_unit_test(refuses_lies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
