/* Numbers and escapes, each by itself: against strtod(), and at their edges. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "hrana/json_read.h"
#include "hrana/json_text.h"

enum { RANDOM_NUMBERS = 300000 };

static locale_t c_locale;

static int open_locale(void **state) {
    (void)state;
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return c_locale == (locale_t)0 ? -1 : 0;
}

static int close_locale(void **state) {
    (void)state;
    freelocale(c_locale);
    return 0;
}

/* ---- Reals ---- */

/* The text in a block of exactly its size, so that a checked build sees what is read behind it. */
static bool to_real(double *value, const char *text) {
    size_t len = strlen(text);
    char *block = malloc(len + (len == 0));
    bool is_number;

    memcpy(block, text, len);
    is_number = lsqi_json_to_real(value, block, len, c_locale);
    assert_int_equal(is_number, lsqi_json_is_number(block, len));
    free(block);
    return is_number;
}

static void same_as_strtod(const char *text) {
    double want = strtod(text, NULL);
    double got = 0;

    if (!to_real(&got, text)) fail_msg("%s is no number", text);
    if (memcmp(&got, &want, sizeof(got)) != 0) fail_msg("%s: %.17g, not %.17g", text, got, want);
}

static void reals_at_their_edges(void **state) {
    static const char *const numbers[] = {
        "0",
        "-0",
        "0.0",
        "-0.0",
        "1",
        "-1",
        "10",
        "0.1",
        "0.30000000000000004",
        "123456789.123",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "9007199254740995",
        "9007199254740993.0000000000000000000001",
        "9999999999999999999",
        "0.9999999999999999999",
        "0.0000000000000000001",
        "1e22",
        "1e23",
        "1E5",
        "1e+5",
        "1.5e-7",
        "1e308",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "1e309",
        "-1e400",
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "5e-324",
        "3e-324",
        "2e-324",
        "1e-400",
        "18446744073709551615",
        "18446744073709551616",
        "100000000000000000000000000000000000000000",
        "0.00000000000000000000000000000000000000000000000001",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) same_as_strtod(numbers[i]);
}

static void random_reals_are_those_of_strtod(void **state) {
    uint64_t seed = test_seed();
    char digits[32];
    char text[64];

    (void)state;
    for (int i = 0; i < RANDOM_NUMBERS; i++) {
        int count = (int)(random_next(&seed) % 19) + 1;
        int before = (int)(random_next(&seed) % (uint64_t)count) + 1;

        for (int j = 0; j < count; j++) digits[j] = (char)('0' + random_next(&seed) % 10);
        if (digits[0] == '0') digits[0] = '1';
        digits[count] = '\0';
        if (random_next(&seed) % 4 == 0)
            snprintf(text, sizeof(text), "-0.%s", digits);
        else if (before == count)
            snprintf(text, sizeof(text), "%s", digits);
        else
            snprintf(text, sizeof(text), "%.*s.%s", before, digits, digits + before);
        same_as_strtod(text);
    }
}

/* Half way between two doubles: to the even one, but for a digit more. */
static void ties_go_to_the_even_one(void **state) {
    uint64_t seed = test_seed();
    char text[64];

    (void)state;
    for (int i = 0; i < RANDOM_NUMBERS; i++) {
        uint64_t odd =
            (random_next(&seed) & (((uint64_t)1 << 53) - 1)) << 1 | 1 | (uint64_t)1 << 53;

        snprintf(text, sizeof(text), "%llu", (unsigned long long)odd);
        same_as_strtod(text);
        snprintf(text, sizeof(text), "%llu.01", (unsigned long long)odd);
        same_as_strtod(text);
        snprintf(text, sizeof(text), "%llu.5", (unsigned long long)(odd >> 2));
        same_as_strtod(text);
    }
}

/* Every double is read back from its 17 digits. */
static void all_kinds_of_doubles_come_back(void **state) {
    uint64_t seed = test_seed();
    char text[64];

    (void)state;
    for (int i = 0; i < RANDOM_NUMBERS; i++) {
        uint64_t bits = random_next(&seed) << 32 ^ random_next(&seed);
        double value;

        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value)) continue;
        snprintf(text, sizeof(text), "%.17g", value);
        same_as_strtod(text);
    }
}

static void what_is_no_number(void **state) {
    static const char *const others[] = {
        "",     "-",   "+1",    ".5",       "5.",  "-.5",
        "01",   "-01", "00",    "0x10",     "1e",  "1e+",
        "1.e5", "1..", "1.2.3", "Infinity", "inf", "nan",
        "1 ",   " 1",  "1f",    "--1",      "1-",  "1e5.5",
        "e5",   ".",   "-e",    "1,5",      "1_0", "12345678901234567890123x"};
    double value;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (to_real(&value, others[i])) fail_msg("\"%s\" is taken for a number", others[i]);
}

static void the_point_is_no_matter_of_locale(void **state) {
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C"};
    double value;

    (void)state;
    for (size_t i = 0; setlocale(LC_NUMERIC, locales[i]) == NULL;) i++;
    assert_true(lsqi_json_to_real(&value, "1.5e-7", 6, c_locale));
    assert_true(value == 1.5 / 1e7);
    setlocale(LC_NUMERIC, "C");
}

/* ---- Integers ---- */

static void integers_at_their_edges(void **state) {
    static const struct {
        const char *text;
        bool is;
        int64_t want;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"7", true, 7},
        {"-1", true, -1},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775807", true, INT64_MIN + 1},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1:", false, 0},
        {"1/", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 0;

        if (lsqi_json_to_integer(&value, cases[i].text, strlen(cases[i].text)) != cases[i].is ||
            value != cases[i].want)
            fail_msg("\"%s\"", cases[i].text);
    }
}

/* ---- Escapes ---- */

static void escapes_become_characters(void **state) {
    static const struct {
        const char *text;
        const char *want; /* NULL: there is no such escape */
        size_t len;
    } cases[] = {
        {"plain", "plain", 5},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8},
        {"a\\u0000b", "a\0b", 3},
        {"\\u0041\\u00e9\\u20AC\\uFFFF", "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf", 9},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", 4},
        {"\\uD800\\uDC00\\udbff\\udfff", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8},
        {"\\ud83d", "\xef\xbf\xbd", 3},
        {"\\ud83dx", "\xef\xbf\xbdx", 4},
        {"\\ude00", "\xef\xbf\xbd", 3},
        {"\\ud83d\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80", 7},
        {"\\ud83d\\u0041",
         "\xef\xbf\xbd"
         "A",
         4},
        {"\\ud83d\\n", "\xef\xbf\xbd\n", 4},
        {"\\x41", NULL, 0},
        {"\\u12", NULL, 0},
        {"\\u12g4", NULL, 0},
        {"\\ud83d\\u12", NULL, 0},
        {"\\", NULL, 0},
        {"\\U0041", NULL, 0},
        {"\\'", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].text);
        char *block = malloc(len);
        size_t got;

        memcpy(block, cases[i].text, len);
        got = lsqi_json_unescape(block, block, len);
        if (cases[i].want == NULL ? got != SIZE_MAX
                                  : got != cases[i].len || memcmp(block, cases[i].want, got) != 0)
            fail_msg("%s", cases[i].text);
        free(block);
    }
}

static void a_nul_behind_a_backslash_is_no_escape(void **state) {
    char text[] = "a\\\0b";

    (void)state;
    assert_true(lsqi_json_unescape(text, text, 4) == SIZE_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reals_at_their_edges),
        cmocka_unit_test(random_reals_are_those_of_strtod),
        cmocka_unit_test(ties_go_to_the_even_one),
        cmocka_unit_test(all_kinds_of_doubles_come_back),
        cmocka_unit_test(what_is_no_number),
        cmocka_unit_test(the_point_is_no_matter_of_locale),
        cmocka_unit_test(integers_at_their_edges),
        cmocka_unit_test(escapes_become_characters),
        cmocka_unit_test(a_nul_behind_a_backslash_is_no_escape),
    };

    return cmocka_run_group_tests(tests, open_locale, close_locale);
}
