/* UTF-8 by the table of RFC 3629, section 4, at the edges of each of its rows. */
#include "../support/db.h"
#include "base/utf8.h"

struct text {
    const char *bytes;
    size_t len;
};

#define TEXT(literal)                                                                              \
    { literal, sizeof(literal) - 1 }

static const struct text valid[] = {
    TEXT(""),
    TEXT("plain"),
    TEXT("a\0b"), /* NUL is a character like another */
    TEXT("\x7f"),
    TEXT("\xc2\x80"),         /* U+0080, the first of two bytes */
    TEXT("\xdf\xbf"),         /* U+07FF */
    TEXT("\xe0\xa0\x80"),     /* U+0800, the first of three */
    TEXT("\xe1\x80\x80"),     /* U+1000 */
    TEXT("\xed\x9f\xbf"),     /* U+D7FF, the last before the surrogates */
    TEXT("\xee\x80\x80"),     /* U+E000, the first after them */
    TEXT("\xef\xbf\xbe"),     /* U+FFFE, no character, but a code point */
    TEXT("\xef\xbf\xbf"),     /* U+FFFF */
    TEXT("\xf0\x90\x80\x80"), /* U+10000, the first of four */
    TEXT("\xf3\xbf\xbf\xbf"), /* U+FFFFF */
    TEXT("\xf4\x8f\xbf\xbf"), /* U+10FFFF, the last of all */
    TEXT("\xe2\x82\xac 5.00 caf\xc3\xa9 \xf0\x9f\x98\x80"),
};

static const struct text invalid[] = {
    TEXT("\x80"), /* continuations alone */
    TEXT("\xbf"),
    TEXT("\xc0\x80"), /* NUL in two bytes */
    TEXT("\xc1\xbf"),
    TEXT("\xe0\x80\x80"), /* overlong forms */
    TEXT("\xe0\x9f\xbf"),
    TEXT("\xf0\x80\x80\x80"),
    TEXT("\xf0\x8f\xbf\xbf"),
    TEXT("\xed\xa0\x80"), /* U+D800 to U+DFFF */
    TEXT("\xed\xbf\xbf"),
    TEXT("\xed\xa0\xbd\xed\xb8\x80"), /* a pair of surrogates, as CESU-8 has it */
    TEXT("\xf4\x90\x80\x80"),         /* U+110000 */
    TEXT("\xf5\x80\x80\x80"),
    TEXT("\xf8\x88\x80\x80\x80"), /* five and six bytes */
    TEXT("\xfc\x84\x80\x80\x80\x80"),
    TEXT("\xfe"),
    TEXT("\xff"),
    TEXT("\xc3"), /* truncated at the end */
    TEXT("\xe2\x82"),
    TEXT("\xe2"),
    TEXT("\xf0\x9f\x98"),
    TEXT("\xf0\x9f"),
    TEXT("\xf0"),
    TEXT("\xc3("), /* truncated by another character */
    TEXT("\xe2(\xac"),
    TEXT("\xe2\x82("),
    TEXT("\xf0\x9f\x98("),
    TEXT("\xf0\x9f(\x80"),
    TEXT("\xc3\xa9\xa9"), /* one continuation too many */
};

static void check(const struct text *text, bool want) {
    char buffer[64];

    /* At every distance from the end, so that the words of eight bytes see it at each place. */
    for (size_t before = 0; before <= 17; before++) {
        for (size_t after = 0; after <= 9; after++) {
            memset(buffer, 'x', sizeof(buffer));
            memcpy(buffer + before, text->bytes, text->len);
            if (lsqi_utf8_valid(buffer, before + text->len + after) != want)
                fail_msg("byte 0x%02x, %zu before, %zu after: not %s",
                         (unsigned)(unsigned char)text->bytes[0], before, after,
                         want ? "valid" : "invalid");
        }
    }
}

static void valid_is_valid(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) check(&valid[i], true);
}

static void invalid_is_invalid(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) check(&invalid[i], false);
}

/* Up to the first byte that belongs to no character. */
static void prefix_ends_where_it_is_no_more_utf8(void **state) {
    static const struct {
        struct text text;
        size_t want;
    } cases[] = {
        {TEXT(""), 0},
        {TEXT("plain"), 5},
        {TEXT("\xff"), 0},
        {TEXT("a\xff"), 1},
        {TEXT("a\0\xff"), 2},
        {TEXT("\xc3\xa9\xc3"), 2},
        {TEXT("\xc3\xa9\xc3("), 2},
        {TEXT("\xe2\x82\xac\xe2\x82"), 3},
        {TEXT("\xf0\x9f\x98\x80\xf0\x9f\x98"), 4},
        {TEXT("eight by\xed\xa0\x80"), 8},
        {TEXT("eight byt\x80"
              "eight bytes"),
         9},
        {TEXT("\xe2\x82\xac\xc0\x80 and more of it"), 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t got = lsqi_utf8_prefix(cases[i].text.bytes, cases[i].text.len);

        if (got != cases[i].want) fail_msg("case %zu: %zu, not %zu", i, got, cases[i].want);
        assert_true(lsqi_utf8_valid(cases[i].text.bytes, got));
    }
}

/* Writes code point c as UTF-8 without asking whether it is one. */
static size_t encode(unsigned c, char *to) {
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static void every_code_point(void **state) {
    char buffer[8];

    (void)state;
    for (unsigned c = 0; c < 0x140000; c++) {
        size_t len = encode(c, buffer);
        bool want = c < 0xd800 || (c > 0xdfff && c < 0x110000);

        if (lsqi_utf8_valid(buffer, len) != want) fail_msg("U+%04X", c);
    }
}

static void cut_keeps_characters_whole(void **state) {
    static const struct {
        const char *text;
        size_t max;
        size_t want;
    } cases[] = {
        {"abc", 0, 0},
        {"abc", 2, 2},
        {"abc", 3, 3},
        {"abc", 99, 3},
        {"", 5, 0},
        {"a\xc3\xa9z", 1, 1},
        {"a\xc3\xa9z", 2, 1},
        {"a\xc3\xa9z", 3, 3},
        {"\xe2\x82\xac", 1, 0},
        {"\xe2\x82\xac", 2, 0},
        {"\xe2\x82\xac", 3, 3},
        {"\xe2\x82\xac\xe2\x82\xac", 4, 3},
        {"\xe2\x82\xac\xe2\x82\xac", 5, 3},
        {"\xf0\x9f\x98\x80", 3, 0},
        {"x\xf0\x9f\x98\x80", 2, 1},
        {"x\xf0\x9f\x98\x80", 4, 1},
        {"x\xf0\x9f\x98\x80", 5, 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t got = lsqi_utf8_cut(cases[i].text, strlen(cases[i].text), cases[i].max);

        if (got != cases[i].want) fail_msg("case %zu: %zu, not %zu", i, got, cases[i].want);
    }
}

/* What is no UTF-8 is cut somewhere: within bounds, and not far from where it was asked. */
static void cut_stays_in_bounds_for_garbage(void **state) {
    static const char garbage[] = "\x80\x80\x80\x80\x80\xff\xff\xe2\xe2\xf0\xc3";

    (void)state;
    for (size_t len = 0; len < sizeof(garbage); len++) {
        for (size_t max = 0; max <= len + 2; max++) {
            size_t got = lsqi_utf8_cut(garbage, len, max);

            assert_true(got <= len && got <= max);
            if (max <= len) assert_true(max - got <= 4);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_is_valid),
        cmocka_unit_test(invalid_is_invalid),
        cmocka_unit_test(prefix_ends_where_it_is_no_more_utf8),
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(cut_keeps_characters_whole),
        cmocka_unit_test(cut_stays_in_bounds_for_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
