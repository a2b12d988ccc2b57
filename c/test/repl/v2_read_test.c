/* The bytes of protocol v2: numbers of whatever type, frames, files; and random ones (c/fuzz/v2_fuzz.c). */
#include <stdio.h>
#include <stdlib.h>

#include "../../fuzz/v2_fuzz.c"
#include "../support/answer.h"
#include "../support/db.h"

/* In a block of exactly its size. */
static uint64_t number_of(const char *text) {
    size_t len = strlen(text);
    char *copy = malloc(len + 1);
    uint64_t number = 0;
    bool is_one;

    memcpy(copy, text, len);
    is_one = lsqi_v2_number(copy, len, "generation", &number);
    free(copy);
    return is_one ? number : 0;
}

static void reads_numbers_of_any_type(void **state) {
    static const char *const none[] = {
        "",
        "3",
        "[3]",
        "{}",
        "{\"generation\": 0}",
        "{\"generation\": -3}",
        "{\"generation\": 3.5}",
        "{\"generation\": 3e1}",
        "{\"generation\": \"\"}",
        "{\"generation\": \"3x\"}",
        "{\"generation\": \"3.\"}",
        "{\"generation\": 2147483648}",
        "{\"generation\": 99999999999999999999999}",
        "{\"generation\": null}",
        "{\"generation\": [3]}",
        "{\"generation\": {\"generation\": 3}}",
        "{\"x\": {\"generation\": 3}}",
        "{\"generations\": 3}",
        "{\"generation\": 3",
        "{\"generation\": 3} 4",
        "<html>generation: 3</html>",
    };

    (void)state;
    assert_int_equal(number_of("{\"generation\":3}"), 3);
    assert_int_equal(number_of(" {\"a\": [1, {\"b\": \"x\"}], \"generation\" : \"3\", \"c\": 1} "),
                     3);
    assert_int_equal(number_of("{\"generation\": 3.0}"), 3);
    assert_int_equal(number_of("{\"generation\": \"3.00\"}"), 3);
    assert_int_equal(number_of("{\"generation\": 2147483647}"), 2147483647);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (number_of(none[i]) != 0) fail_msg("%s is a number", none[i]);
}

static void reads_frames(void **state) {
    static unsigned char bytes[2 * LSQI_V2_FRAME];
    const char *text = (const char *)bytes;
    struct lsqi_frame frame;
    uint64_t sum;
    const void *page;

    (void)state;
    bytes[3] = 7;
    bytes[LSQI_V2_FRAME + 2] = 1, bytes[LSQI_V2_FRAME + 7] = 9;
    assert_true(lsqi_v2_frame(text, sizeof(bytes), 0, &frame, &page));
    assert_true(frame.page == 7 && frame.size_after == 0 && page == bytes + 24);
    sum = frame.checksum;
    /* Salts and sums are those of the WAL that it was in. */
    bytes[8] = bytes[23] = 1;
    assert_true(lsqi_v2_frame(text, sizeof(bytes), 0, &frame, &page) && frame.checksum == sum);
    bytes[LSQI_V2_FRAME - 1] = 1;
    assert_true(lsqi_v2_frame(text, sizeof(bytes), 0, &frame, &page) && frame.checksum != sum);
    assert_true(lsqi_v2_frame(text, sizeof(bytes), 1, &frame, &page));
    assert_true(frame.page == 256 && frame.size_after == 9);
    assert_false(lsqi_v2_frame(text, sizeof(bytes), 2, &frame, &page));
    assert_false(lsqi_v2_frame(text, sizeof(bytes) - 1, 1, &frame, &page));
    bytes[3] = 0;
    assert_false(lsqi_v2_frame(text, sizeof(bytes), 0, &frame, &page));
}

/* What is given for an empty file is a database to the engine, too. */
static void makes_an_empty_database_of_nothing(void **state) {
    const char *path = db_path();
    struct lsqi_v2_file nothing = {.number = UINT64_C(1) << 32};
    struct lsqi_frame frame;
    const void *page;
    struct lsq_conn *conn;
    FILE *file = fopen(path, "wb");

    (void)state;
    assert_int_equal(lsqi_v2_file_last(&nothing, &frame, &page, &last_error), LSQ_OK);
    assert_true(frame.page == 1 && frame.size_after == 1);
    assert_int_equal(fwrite(page, 1, LSQI_V2_PAGE, file), LSQI_V2_PAGE);
    fclose(file);
    lsqi_v2_file_release(&nothing);
    conn = db_open(path);
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    assert_int_equal(ask(conn, "PRAGMA page_count"), 1);
    assert_string_equal(ask_text(conn, "PRAGMA journal_mode"), "wal");
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES ('\xc3\xa4')");
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    db_close(conn);
}

static bool pushed_of(const char *text, struct lsqi_v2_pushed *pushed) {
    size_t len = strlen(text);
    char *copy = malloc(len == 0 ? 1 : len);
    bool is_one;

    memcpy(copy, text, len);
    is_one = lsqi_v2_pushed(copy, len, pushed);
    free(copy);
    return is_one;
}

static void reads_answers_to_pushes(void **state) {
    static const char *const none[] = {
        "",
        "{}",
        "[]",
        "{\"status\": \"ok\", \"generation\": 1}",
        "{\"status\": 1, \"generation\": 1, \"max_frame_no\": -1}",
        "{\"status\": \"ok\", \"generation\": 1, \"max_frame_no\": 4294967296}",
        "{\"status\": \"ok\", \"generation\": 1, \"max_frame_no\": null}",
        "{\"status\": \"much too long a word\", \"generation\": 1, \"max_frame_no\": 1}",
        "{\"a\": {\"status\": \"ok\", \"generation\": 1, \"max_frame_no\": 1}}",
        "{\"status\": \"ok\", \"generation\": 1, \"max_frame_no\": 1",
    };
    struct lsqi_v2_pushed pushed;

    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (pushed_of(none[i], &pushed)) fail_msg("%s is an answer", none[i]);
    assert_true(
        pushed_of("{\"status\": \"conflict\", \"generation\": 2, \"max_frame_no\": 0}", &pushed));
    assert_string_equal(pushed.status, "conflict");
    assert_string_equal(pushed.baton, "");
    assert_true(pushed.generation == 2 && pushed.frame == 0);
    assert_true(pushed_of(
        "{\"baton\": \"a/b\", \"max_frame_no\": \"7\", \"generation\": 3.0, \"status\": \"ok\"}",
        &pushed));
    assert_string_equal(pushed.baton, "a/b");
    assert_true(pushed.generation == 3 && pushed.frame == 7);
    assert_true(pushed_of(
        "{\"baton\": null, \"max_frame_no\": 7, \"generation\": 3, \"status\": \"ok\"}", &pushed));
    assert_string_equal(pushed.baton, "");
}

static uint64_t version_of(int status, const char *etag, const char *ranges, const char *encoding) {
    const struct lsqi_http_head head = {
        .status = status, .etag = etag, .accept_ranges = ranges, .content_encoding = encoding};

    return lsqi_v2_version(&head);
}

static void knows_files_again(void **state) {
    const struct lsqi_http_head part = {.content_range = "bytes 4096-8191/8192"};
    char cut[256];

    (void)state;
    assert_true(version_of(200, "\"a\"", "bytes", "") != 0);
    assert_true(version_of(200, "\"a\"", "bytes", "") == version_of(206, "\"a\"", "", ""));
    assert_true(version_of(200, "\"a\"", "bytes", "") != version_of(200, "\"b\"", "bytes", ""));
    assert_true(version_of(200, "\"a\"", "", "") == 0);
    assert_true(version_of(200, "\"a\"", "none", "") == 0);
    assert_true(version_of(200, "\"a\"", "bytes", "gzip") == 0);
    assert_true(version_of(200, "W/\"a\"", "bytes", "") == 0);
    assert_true(version_of(200, "", "bytes", "") == 0);
    assert_true(version_of(200, "\"\"", "bytes", "") == 0);
    /* One too long was cut. */
    memset(cut, 'a', sizeof(cut));
    cut[0] = '"', cut[255] = '\0';
    assert_true(version_of(200, cut, "bytes", "") == 0);
    assert_true(lsqi_v2_begins_at(&part, 4096));
    assert_false(lsqi_v2_begins_at(&part, 409));
    assert_false(lsqi_v2_begins_at(&part, 40960));
    assert_false(lsqi_v2_begins_at(&(struct lsqi_http_head){.content_range = ""}, 4096));
}

/* Random bytes with, mostly, a header that lets them through, and random texts. */
static void tells_the_same_however_it_is_cut(void **state) {
    static unsigned char bytes[40000];
    uint64_t seed = test_seed();

    (void)state;
    for (int i = 0; i < 3000; i++) {
        size_t len = random_next(&seed) % 6 == 0 ? random_next(&seed) % sizeof(bytes)
                                                 : 4096 * (random_next(&seed) % 9);

        for (size_t at = 0; at + 8 <= len; at += 8) {
            uint64_t word = random_next(&seed);

            memcpy(bytes + at, &word, 8);
        }
        if (len > 100 && random_next(&seed) % 8 != 0) {
            memcpy(bytes, "SQLite format 3\0\x10\0\2\2", 20);
            memset(bytes + 24, 0, 8);
            bytes[31] = (unsigned char)(random_next(&seed) % 10);
            memset(bytes + 92, 0, 4);
        } else {
            static const char letters[] = "{}[]:,\"generation0123.\\u x-";

            len %= 200;
            for (size_t at = 0; at < len; at++)
                bytes[at] = (unsigned char)letters[random_next(&seed) % (sizeof(letters) - 1)];
            if (len > 20) memcpy(bytes, "{\"generation\":", 14);
        }
        (void)LLVMFuzzerTestOneInput(bytes, len);
    }
}

static void nothing_in_the_corpus_is_told_in_two_ways(void **state) {
    static const char *const names[] = {"info", "end", "liar", "file", "cut_file", "frames"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[100];
        size_t len;
        char *data;

        snprintf(path, sizeof(path), "c/fuzz/corpus/v2/%s", names[i]);
        data = read_whole(path, &len);
        (void)LLVMFuzzerTestOneInput((const uint8_t *)data, len);
        free(data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_numbers_of_any_type),
        cmocka_unit_test(reads_answers_to_pushes),
        cmocka_unit_test(reads_frames),
        cmocka_unit_test_teardown(makes_an_empty_database_of_nothing, db_forget),
        cmocka_unit_test(knows_files_again),
        cmocka_unit_test(tells_the_same_however_it_is_cut),
        cmocka_unit_test(nothing_in_the_corpus_is_told_in_two_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
