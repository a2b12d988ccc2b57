/* The vectors of RFC 4648, section 10, and what is no base64. */
#include <stdlib.h>

#include "../support/db.h"
#include "hrana/base64.h"

static struct lsqi_buf buf;

static int release(void **state) {
    (void)state;
    lsqi_buf_release(&buf);
    return 0;
}

/* From a block of exactly that size. */
static bool decode(const char *text, size_t len) {
    char *block = malloc(len + (len == 0));
    bool fine;

    if (len > 0) memcpy(block, text, len);
    lsqi_buf_reset(&buf);
    fine = lsqi_base64_decode(&buf, block, len);
    free(block);
    return fine;
}

static void vectors(void **state) {
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *plain = cases[i][0];
        size_t len = strlen(cases[i][1]);

        lsqi_buf_reset(&buf);
        lsqi_base64_encode(&buf, plain, strlen(plain));
        assert_int_equal(buf.len, len);
        if (len > 0) assert_memory_equal(buf.data, cases[i][1], len);
        assert_true(decode(cases[i][1], len));
        assert_int_equal(buf.len, strlen(plain));
        if (buf.len > 0) assert_memory_equal(buf.data, plain, buf.len);
        while (len > 0 && cases[i][1][len - 1] == '=') len--;
        assert_true(decode(cases[i][1], len));
        assert_int_equal(buf.len, strlen(plain));
        if (buf.len > 0) assert_memory_equal(buf.data, plain, buf.len);
    }
}

static void every_length_comes_back(void **state) {
    uint64_t seed = test_seed();
    struct lsqi_buf text = {0};
    unsigned char bytes[200];

    (void)state;
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        for (size_t i = 0; i < len; i++) bytes[i] = (unsigned char)random_next(&seed);
        lsqi_buf_reset(&text);
        lsqi_base64_encode(&text, bytes, len);
        assert_true(decode(text.data, text.len));
        assert_int_equal(buf.len, len);
        if (len > 0) assert_memory_equal(buf.data, bytes, len);
        while (text.len > 0 && text.data[text.len - 1] == '=') text.len--;
        assert_true(decode(text.data, text.len));
        assert_int_equal(buf.len, len);
    }
    lsqi_buf_release(&text);
}

static void what_is_added_comes_behind(void **state) {
    (void)state;
    lsqi_buf_reset(&buf);
    lsqi_buf_add_text(&buf, "ab");
    assert_true(lsqi_base64_decode(&buf, "Zm9v", 4));
    lsqi_base64_encode(&buf, "f", 1);
    assert_int_equal(buf.len, 9);
    assert_memory_equal(buf.data, "abfooZg==", 9);
}

static void what_is_no_base64(void **state) {
    static const char *const others[] = {"Z",    "Zm9vY",   "Zm9v=",    "Z===",    "====",
                                         "=",    "==",      "Zm=v",     "Zm 9v",   "Zm9v\n",
                                         "Zm-_", "Zh==",    "Zm9=",     "Zh",      "Zm9",
                                         "Zg=v", "\xffm9v", "Zm9v====", "Zg==Zg=="};

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (decode(others[i], strlen(others[i]))) fail_msg("\"%s\" is taken", others[i]);
        assert_false(buf.failed);
    }
    assert_false(decode("Zm9\0", 4));
}

static void every_byte_but_64_is_refused(void **state) {
    int taken = 0;

    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char text[4] = {'A', 'A', 'A', (char)byte};

        if (byte != '=' && decode(text, 4)) taken++;
    }
    assert_int_equal(taken, 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(vectors, release),
        cmocka_unit_test_teardown(every_length_comes_back, release),
        cmocka_unit_test_teardown(what_is_added_comes_behind, release),
        cmocka_unit_test_teardown(what_is_no_base64, release),
        cmocka_unit_test_teardown(every_byte_but_64_is_refused, release),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
