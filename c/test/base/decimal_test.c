/* Decimals: reading, comparing and the four operations; against tables, and against a slow oracle that
 * works digit by digit as one does on paper. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "base/decimal.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- Short words ---- */

static bool number(const char *text, struct lsqi_decimal *n) {
    struct lsqi_decimal_text read;

    if (lsqi_decimal_read(&read, text, strlen(text)) != LSQI_DECIMAL_READ)
        fail_msg("%s is no number", text);
    return lsqi_decimal_from_text(n, &read);
}

static const char *shown(const struct lsqi_decimal *n) {
    static char text[LSQI_DECIMAL_TEXT + 1];

    text[lsqi_decimal_to_text(n, text)] = '\0';
    return text;
}

/* "too big" where it is. */
static const char *calculate(char op, const char *left, const char *right) {
    struct lsqi_decimal a;
    struct lsqi_decimal b;
    struct lsqi_decimal out;
    bool fits = false;

    if (!number(left, &a) || !number(right, &b)) return "too big";
    memset(&out, 0xaa, sizeof(out)); /* nothing may depend on what was there */
    switch (op) {
    case '+': fits = lsqi_decimal_add(&a, &b); break;
    case '-': fits = lsqi_decimal_sub(&a, &b); break;
    case '*': fits = lsqi_decimal_mul(&out, &a, &b); break;
    case '/': fits = lsqi_decimal_div(&out, &a, &b); break;
    }
    if (!fits) return "too big";
    return shown(op == '+' || op == '-' ? &a : &out);
}

static int sign(int order) { return (order > 0) - (order < 0); }

static int collate(const char *a, const char *b) {
    return lsqi_decimal_collate(a, strlen(a), b, strlen(b));
}

/* ---- Reading and writing ---- */

static void canonical_text(void **state) {
    static const char *const table[][2] = {
        {"0", "0"},
        {"-0", "0"},
        {"+0", "0"},
        {"00", "0"},
        {"0.00", "0.00"},
        {"-0.00", "0.00"},
        {"0e5", "0"},
        {"0e-5", "0.00000"},
        {"0e1000000000", "0"},
        {"007", "7"},
        {"1", "1"},
        {"+1", "1"},
        {"-1", "-1"},
        {"1.", "1"},
        {".5", "0.5"},
        {"-.5", "-0.5"},
        {"1.10", "1.10"},
        {"1E+3", "1000"},
        {"1e3", "1000"},
        {"1.5e3", "1500"},
        {"1.5e1", "15"},
        {"1.50e1", "15.0"},
        {"-1.50e-2", "-0.0150"},
        {"100e-2", "1.00"},
        {"123456789", "123456789"},
        {"1234567890", "1234567890"},
        {"1000000000", "1000000000"},
        {"1000000000.000000001", "1000000000.000000001"},
        {"0.123456789", "0.123456789"},
        {"0.1234567891", "0.1234567891"},
        {"0.000000000000000001", "0.000000000000000001"},
        {"99999999999999999999999999999999999999.99", "99999999999999999999999999999999999999.99"},
        {"1e00000000000000000000000000002", "100"},
        {"1e-00000000000000000000000000002", "0.01"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct lsqi_decimal n;

        assert_true(number(table[i][0], &n));
        assert_string_equal(shown(&n), table[i][1]);
        assert_true(number(shown(&n), &n)); /* and is what it is */
        assert_string_equal(shown(&n), table[i][1]);
    }
}

static void no_numbers(void **state) {
    static const char *const table[] = {
        "",    "-",    "+",    ".",     "-.",       "e",         "e5",    ".e5",   "1e",
        "1e+", "1e-",  "1e5.", "1.2.3", "--1",      "+-1",       "1-",    "1 ",    " 1",
        "1,5", "0x10", "NaN",  "inf",   "Infinity", "-Infinity", "1_000", "1e5e5", "\xef\xbc\x91",
        "1\n", "1e 5", "abc",
    };
    struct lsqi_decimal_text n;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        if (lsqi_decimal_read(&n, table[i], strlen(table[i])) != LSQI_DECIMAL_NO_NUMBER)
            fail_msg("\"%s\" is read as a number", table[i]);
    assert_int_equal(lsqi_decimal_read(&n, "1\0", 2), LSQI_DECIMAL_NO_NUMBER);
    assert_int_equal(lsqi_decimal_read(&n, "1e1000000000000000000", 21), LSQI_DECIMAL_FAR);
    assert_int_equal(lsqi_decimal_read(&n, "1e-1000000000000000000", 22), LSQI_DECIMAL_FAR);
    assert_int_equal(lsqi_decimal_read(&n, "1e999999999999999999", 20), LSQI_DECIMAL_READ);
    assert_int_equal(lsqi_decimal_read(&n, "1e1000000000000000000x", 22), LSQI_DECIMAL_NO_NUMBER);
}

static void limits_of_digits(void **state) {
    struct lsqi_decimal n;

    (void)state;
    assert_true(number("1e998", &n));
    assert_int_equal(strlen(shown(&n)), 999);
    assert_false(number("1e999", &n));
    assert_false(number("1e1000000000", &n));
    assert_true(number("1e-999", &n));
    assert_int_equal(strlen(shown(&n)), 1001);
    assert_false(number("1e-1000", &n));
    assert_false(number("0e-1000", &n));
    assert_false(number("1e-999999999999999999", &n));
    assert_false(number("1e999999999999999999", &n));
}

static void integers_and_reals(void **state) {
    static const struct {
        double value;
        const char *text;
    } table[] = {
        {0.0, "0"},
        {-0.0, "0"},
        {1.0, "1"},
        {-2.5, "-2.5"},
        {0.1, "0.1"},
        {100.0, "100"},
        {1e15, "1000000000000000"},
        {1e22, "10000000000000000000000"},
        {1.1, "1.1"},
        {0.3, "0.3"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {123456789012345680.0, "123456789012345680"},
        {9007199254740993.0, "9007199254740992"},
        {5e-324, NULL},
        {2.2250738585072014e-308, NULL},
        {1.7976931348623157e308, NULL},
        {5.684341886080802e-14, NULL}, /* 2^-44: the nearest of 16 digits does not read back */
    };
    struct lsqi_decimal_text read;
    struct lsqi_decimal n;
    char room[LSQI_DECIMAL_ROOM];

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_true(lsqi_decimal_read_real(&read, table[i].value, room));
        assert_true(lsqi_decimal_from_text(&n, &read));
        assert_true(strtod(shown(&n), NULL) == table[i].value);
        if (table[i].text != NULL) assert_string_equal(shown(&n), table[i].text);
    }
    assert_false(lsqi_decimal_read_real(&read, INFINITY, room));
    assert_false(lsqi_decimal_read_real(&read, -INFINITY, room));
    assert_false(lsqi_decimal_read_real(&read, NAN, room));
    assert_true(lsqi_decimal_read_real(&read, 5e-324, room));
    assert_int_equal(read.len, 1);
    assert_true(lsqi_decimal_read_real(&read, 5.684341886080802e-14, room));
    assert_int_equal(read.len, 16);
    lsqi_decimal_read_integer(&read, INT64_MIN, room);
    assert_true(lsqi_decimal_from_text(&n, &read));
    assert_string_equal(shown(&n), "-9223372036854775808");
}

/* ---- Order ---- */

static void order_of_texts(void **state) {
    /* Each line's texts are equal, and less than those of the lines below it. */
    static const char *const table[][4] = {
        {"-1e999999999999999999"},
        {"-1e100", "-10e99"},
        {"-100", "-1e2", "-100.0", "-0100"},
        {"-99.9"},
        {"-1.01"},
        {"-1", "-1.0", "-1.", "-10e-1"},
        {"-0.5", "-.5", "-5e-1"},
        {"-1e-999999999999999999"},
        {"0", "-0", "0.000", "0e99"},
        {"1e-999999999999999999"},
        {"0.09"},
        {"0.1", ".1", "0.10", "1e-1"},
        {"0.11"},
        {"1", "1.0", "+1", "01"},
        {"1.0000000000000000000000000000000000001"},
        {"9.99"},
        {"10", "1e1", "10.0", "0.1e2"},
        {"99"},
        {"100"},
        {"123456789012345678901234567890"},
        {"123456789012345678901234567891", "123456789012345678901234567891.0"},
        {"1e999999999999999999"},
        {""},
        {" 1"},
        {"-Infinity"},
        {"1e1000000000000000000"},
        {"1e1000000000000000001"},
        {"Infinity"},
        {"NaN"},
        {"NaN0"},
        {"abc"},
        {"\xff"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        for (size_t j = 0; j < COUNT(table); j++)
            for (size_t k = 0; k < 4 && table[i][k] != NULL; k++)
                for (size_t l = 0; l < 4 && table[j][l] != NULL; l++)
                    if (collate(table[i][k], table[j][l]) != (i > j) - (i < j))
                        fail_msg("\"%s\" and \"%s\": %d", table[i][k], table[j][l],
                                 collate(table[i][k], table[j][l]));
}

/* ---- Operations ---- */

static void operations(void **state) {
    static const struct {
        const char *left;
        char op;
        const char *right;
        const char *result;
    } table[] = {
        {"1.10", '+', "2.20", "3.30"},
        {"0.1", '+', "0.2", "0.3"},
        {"1", '+', "0.00", "1.00"},
        {"-1", '+', "1.0", "0.0"},
        {"1", '+', "-3", "-2"},
        {"999999999", '+', "1", "1000000000"},
        {"999999999999999999.999999999", '+', "0.000000001", "1000000000000000000.000000000"},
        {"1000000000000000000", '-', "0.000000001", "999999999999999999.999999999"},
        {"-5", '-', "-7.5", "2.5"},
        {"5", '-', "5.00", "0.00"},
        {"0", '-', "0.5", "-0.5"},
        {"1e998", '+', "9e998", "too big"},
        {"9e998", '+', "9e997", "99"},
        {"1.10", '*', "2.20", "2.4200"},
        {"1.10", '*', "3", "3.30"},
        {"-0.5", '*', "0.5", "-0.25"},
        {"-3", '*', "0.0", "0.0"},
        {"999999999", '*', "999999999", "999999998000000001"},
        {"1e500", '*', "1e498", "1"},
        {"1e500", '*', "1e499", "too big"},
        {"1e-500", '*', "1e-499", "0."},
        {"1e-500", '*', "1e-500", "too big"},
        {"1e900", '*', "1e-900", "1"},
        {"1", '/', "3", "0.3333333333333333333333333333"},
        {"2", '/', "3", "0.6666666666666666666666666667"},
        {"-2", '/', "3", "-0.6666666666666666666666666667"},
        {"1", '/', "4", "0.25"},
        {"4.00", '/', "2", "2.00"},
        {"4.00", '/', "2.00", "2"},
        {"1.00", '/', "4", "0.25"},
        {"0", '/', "3", "0"},
        {"0.00", '/', "-3.0", "0.0"},
        {"0.0", '/', "3.000", "0"},
        {"100", '/', "0.25", "400"},
        {"10", '/', "4", "2.5"},
        {"1", '/', "1e28", "0.0000000000000000000000000001"},
        {"1e28", '/', "1", "10000000000000000000000000000"},
        {"12345678901234567890123456789.50", '/', "1", "12345678901234567890123456790"},
        {"1234567890123456789012345678.50", '/', "1", "1234567890123456789012345679"},
        {"1234567890123456789012345678.49", '/', "1", "1234567890123456789012345678"},
        {"99999999999999999999999999995", '/', "10", "10000000000000000000000000000"},
        {"9.9999999999999999999999999995", '/', "1", "10.000000000000000000000000000"},
        {"1e-999", '/', "10", "too big"},
        {"1e998", '/', "0.1", "too big"},
        {"1e998", '/', "1e998", "1"},
        {"1e-999", '/', "1e-999", "1"},
        /* where the guess of a limb is one too many, once or in several limbs */
        {"999999999999999999000000000", '/', "1000000000000000001",
         "999999999.9999999980000000000"},
        {"999999999000000000000000001000000001", '/', "999999999000000000999999998",
         "999999999.9999999990000000020"},
        {"499999999500000000000000001000000000", '/', "999999999000000000999999999",
         "499999999.9999999995000000010"},
        {"999999999999999999000000000999999999", '/', "500000001000000001999999998",
         "1999999995.999999998000000030"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        const char *got = calculate(table[i].op, table[i].left, table[i].right);

        /* the longest ones by how they begin */
        if (strncmp(got, table[i].result, strlen(table[i].result)) != 0 ||
            (strlen(got) < 40 && strcmp(got, table[i].result) != 0))
            fail_msg("%s %c %s = %s, not %s", table[i].left, table[i].op, table[i].right, got,
                     table[i].result);
    }
}

/* ---- The oracle: on paper ---- */

enum { PAPER = 4200 };

/* digit[0] is the last one; the point stands before the last `scale` of them. */
struct paper {
    bool negative;
    int scale;
    int count;
    signed char digit[PAPER];
};

static void paper_read(struct paper *p, const char *text) {
    *p = (struct paper){.negative = *text == '-'};
    for (const char *at = text + strlen(text); at-- > text;) {
        if (*at == '.') p->scale = p->count;
        if (*at >= '0' && *at <= '9') p->digit[p->count++] = (signed char)(*at - '0');
    }
}

static bool paper_zero(const struct paper *p) {
    for (int i = 0; i < p->count; i++)
        if (p->digit[i] != 0) return false;
    return true;
}

static const char *paper_text(const struct paper *p) {
    static char text[PAPER + 8];
    int at = 0;
    int first = p->count - 1;

    while (first > p->scale && p->digit[first] == 0) first--;
    if (first < p->scale) first = p->scale;
    if (p->negative && !paper_zero(p)) text[at++] = '-';
    for (int i = first; i >= 0; i--) {
        text[at++] = (char)('0' + (i < p->count ? p->digit[i] : 0));
        if (i == p->scale && i > 0) text[at++] = '.';
    }
    text[at] = '\0';
    return text;
}

/* Adds zeros at the end. */
static void paper_shift(struct paper *p, int by) {
    memmove(p->digit + by, p->digit, (size_t)p->count);
    memset(p->digit, 0, (size_t)by);
    p->count += by;
}

static void paper_align(struct paper *a, struct paper *b) {
    struct paper *shorter = a->scale < b->scale ? a : b;
    int by = abs(a->scale - b->scale);

    paper_shift(shorter, by);
    shorter->scale += by;
    while (a->count < b->count) a->digit[a->count++] = 0;
    while (b->count < a->count) b->digit[b->count++] = 0;
}

/* Of the same length. */
static int paper_compare(const struct paper *a, const struct paper *b) {
    for (int i = a->count - 1; i >= 0; i--)
        if (a->digit[i] != b->digit[i]) return a->digit[i] < b->digit[i] ? -1 : 1;
    return 0;
}

static void paper_carry(struct paper *p) {
    for (int i = 0; i < p->count; i++) {
        int digit = p->digit[i];

        if (digit < 0 || digit > 9) {
            int over = digit < 0 ? -1 : 1;

            p->digit[i] = (signed char)(digit - 10 * over);
            if (i + 1 == p->count) p->digit[p->count++] = 0;
            p->digit[i + 1] = (signed char)(p->digit[i + 1] + over);
        }
    }
}

static void paper_add(struct paper *out, struct paper *a, struct paper *b) {
    const struct paper *more = a;
    const struct paper *less = b;
    int factor;

    paper_align(a, b);
    if (paper_compare(a, b) < 0) {
        more = b;
        less = a;
    }
    factor = a->negative == b->negative ? 1 : -1;
    *out = *more;
    for (int i = 0; i < out->count; i++)
        out->digit[i] = (signed char)(more->digit[i] + factor * less->digit[i]);
    paper_carry(out);
}

static void paper_multiply(struct paper *out, const struct paper *a, const struct paper *b) {
    static int sums[PAPER];

    memset(sums, 0, sizeof(sums));
    for (int i = 0; i < a->count; i++)
        for (int j = 0; j < b->count; j++) sums[i + j] += a->digit[i] * b->digit[j];
    *out = (struct paper){.negative = a->negative != b->negative,
                          .scale = a->scale + b->scale,
                          .count = a->count + b->count};
    for (int i = 0; i < out->count; i++) {
        sums[i + 1] += sums[i] / 10;
        out->digit[i] = (signed char)(sums[i] % 10);
    }
}

/* The value of digits and zeros behind them, less than so many times the divisor: both as integers. */
static bool paper_subtract(struct paper *rest, const struct paper *divisor) {
    if (paper_compare(rest, divisor) < 0) return false;
    for (int i = 0; i < rest->count; i++)
        rest->digit[i] = (signed char)(rest->digit[i] - divisor->digit[i]);
    for (int i = 0; i + 1 < rest->count; i++)
        if (rest->digit[i] < 0) {
            rest->digit[i] = (signed char)(rest->digit[i] + 10);
            rest->digit[i + 1]--;
        }
    return true;
}

static void paper_strip(struct paper *p) {
    while (p->count > 1 && p->digit[p->count - 1] == 0) p->count--;
}

/* Elixir's way: the quotient's digits one after the other, until nothing is left and the exponent is at
 * most the wanted one, or there are 29; those are then rounded to 28. */
static void paper_divide(struct paper *out, const struct paper *left, const struct paper *right) {
    struct paper a = *left;
    struct paper b = *right;
    char digits[64];
    int count = 0;
    int exponent = b.scale - a.scale;
    int adjust = 0;
    int last;

    *out = (struct paper){.negative = a.negative != b.negative};
    if (paper_zero(&a)) {
        out->scale = exponent < 0 ? -exponent : 0;
        out->count = out->scale + 1;
        return;
    }
    paper_strip(&a);
    paper_strip(&b);
    adjust = b.count - a.count;
    if (adjust > 0) paper_shift(&a, adjust);
    if (adjust < 0) paper_shift(&b, -adjust);
    a.digit[a.count++] = 0; /* room for a digit more */
    b.digit[b.count++] = 0;
    if (paper_compare(&a, &b) < 0) {
        paper_shift(&a, 1);
        a.count--;
        adjust++;
    }
    for (;;) {
        int digit = 0;

        while (paper_subtract(&a, &b)) digit++;
        digits[count++] = (char)('0' + digit);
        if ((paper_zero(&a) && adjust >= 0) || count == 29) break;
        paper_shift(&a, 1);
        a.count--;
        adjust++;
    }
    exponent -= adjust;
    if (count == 29) {
        bool up = digits[28] >= '5';

        count = 28;
        exponent++;
        for (int i = 27; up && i >= 0; i--) {
            up = digits[i] == '9';
            digits[i] = up ? '0' : (char)(digits[i] + 1);
        }
        if (up) {
            memmove(digits + 1, digits, 28);
            digits[0] = '1';
            count = 29;
        }
    }
    last = exponent > 0 ? exponent : 0;
    memset(out->digit, 0, (size_t)last);
    for (int i = 0; i < count; i++)
        out->digit[last + i] = (signed char)(digits[count - 1 - i] - '0');
    out->count = last + count;
    out->scale = exponent < 0 ? -exponent : 0;
}

/* ---- Random numbers ---- */

static uint64_t seed;

static int below(int n) { return (int)(random_next(&seed) % (uint64_t)n); }

static int digit_of(int kind) {
    if (kind == 0) return '9';
    if (kind == 1) return below(8) == 0 ? '1' : '0';
    if (kind == 2) return below(2) == 0 ? '9' : '0';
    return '0' + below(10);
}

/* Now and then of hundreds of digits, of nines, of zeros, with zeros in front. */
static void random_text(char *text, int most) {
    static const int lengths[] = {1, 3, 9, 10, 18, 19, 30, 60};
    int whole = below(5) == 0 ? below(most) : 1 + below(lengths[below(COUNT(lengths))]);
    int behind = below(3) == 0   ? 0
                 : below(5) == 0 ? below(most)
                                 : below(lengths[below(COUNT(lengths))]);
    int kind = below(6);
    char *at = text;

    if (below(2) == 0) *at++ = '-';
    if (whole == 0) *at++ = '0';
    for (int i = 0; i < whole; i++) *at++ = (char)digit_of(kind);
    if (behind > 0) *at++ = '.';
    for (int i = 0; i < behind; i++) *at++ = (char)digit_of(kind);
    *at = '\0';
}

static const char *on_paper(char op, const char *left, const char *right) {
    static struct paper a;
    static struct paper b;
    static struct paper out;
    const char *text;
    const char *point;

    paper_read(&a, left);
    paper_read(&b, right);
    if (op == '/' && paper_zero(&b)) return NULL;
    if (op == '-') b.negative = !b.negative;
    if (op == '+' || op == '-') paper_add(&out, &a, &b);
    if (op == '*') paper_multiply(&out, &a, &b);
    if (op == '/') paper_divide(&out, &a, &b);
    text = paper_text(&out);
    point = strchr(text, '.');
    if (out.scale > LSQI_DECIMAL_DIGITS ||
        (point == NULL ? strlen(text) : (size_t)(point - text)) - (text[0] == '-') >
            LSQI_DECIMAL_DIGITS)
        return "too big";
    return text;
}

static void as_on_paper(void **state) {
    static const char ops[] = "+-*/";
    char left[2 * 999 + 8];
    char right[2 * 999 + 8];

    (void)state;
    seed = test_seed();
    for (int i = 0; i < 20000; i++) {
        char op = ops[i % 4];
        const char *expected;
        const char *got;
        int most = i % 50 == 0 ? 999 : 40;

        random_text(left, most);
        random_text(right, most);
        expected = on_paper(op, left, right);
        if (expected == NULL) continue;
        got = calculate(op, left, right);
        if (strcmp(got, expected) != 0)
            fail_msg("%s %c %s\n  = %s\nnot %s", left, op, right, got, expected);
    }
}

/* The sign of a difference, and the same however the numbers are written. */
static void order_as_on_paper(void **state) {
    char left[256];
    char right[264];
    char other[272];

    (void)state;
    seed = test_seed();
    for (int i = 0; i < 50000; i++) {
        const char *difference;
        int expected;

        random_text(left, 40);
        random_text(right, 40);
        if (i % 3 == 0) { /* the same number with more zeros, or a little more */
            snprintf(right, sizeof(right), "%s%s000%s", left, strchr(left, '.') == NULL ? "." : "",
                     i % 2 == 0 ? "" : "1");
        }
        difference = on_paper('-', left, right);
        expected = difference[0] == '-' ? -1 : strspn(difference, "0.") != strlen(difference);
        if (collate(left, right) != expected || collate(right, left) != -expected)
            fail_msg("%s and %s: %d, not %d", left, right, collate(left, right), expected);
        snprintf(other, sizeof(other), "%se%d", right, 0);
        assert_int_equal(collate(left, other), expected);
    }
}

/* All that a sum is made of may be taken out again. */
static void sums_and_back(void **state) {
    enum { MANY = 200 };
    static char texts[MANY][256];
    struct lsqi_decimal sum;
    struct lsqi_decimal n;

    (void)state;
    seed = test_seed();
    for (int round = 0; round < 50; round++) {
        lsqi_decimal_zero(&sum);
        for (int i = 0; i < MANY; i++) {
            random_text(texts[i], 40);
            assert_true(number(texts[i], &n));
            assert_true(lsqi_decimal_add(&sum, &n));
        }
        for (int i = MANY - 1; i >= 0; i--) {
            assert_true(number(texts[i], &n));
            assert_true(lsqi_decimal_sub(&sum, &n));
        }
        assert_true(lsqi_decimal_is_zero(&sum));
        lsqi_decimal_narrow(&sum, 0);
        assert_string_equal(shown(&sum), "0");
    }
}

static double random_real(void) {
    uint64_t bits = random_next(&seed);
    double value;

    if (below(8) == 0) bits &= ~0x000fffffffffffffu; /* a power of two */
    if (below(8) == 0) bits &= ~0x7ff0000000000000u; /* subnormal */
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Reads back, and no shorter number of digits does. */
static void reals_read_back(void **state) {
    struct lsqi_decimal_text read;
    char room[LSQI_DECIMAL_ROOM];
    char shorter[64];

    (void)state;
    seed = test_seed();
    for (int i = 0; i < 50000; i++) {
        double value = random_real();

        if (!isfinite(value)) continue;
        assert_true(lsqi_decimal_read_real(&read, value, room));
        assert_true(strtod(room, NULL) == fabs(value));
        assert_true(read.negative == (value < 0));
        if (read.len < 2) continue;
        snprintf(shorter, sizeof(shorter), "%.*e", (int)read.len - 2, value);
        if (strtod(shorter, NULL) == value)
            fail_msg("%.17g is %s, and not %s", value, room, shorter);
    }
}

/* Whatever the bytes: a total order, and no byte is read beyond the end. */
static void hostile_bytes(void **state) {
    static const char alphabet[] = "00123459.-+eE \0\xff"
                                   "a";
    enum { MANY = 60 };
    static char *texts[MANY];
    static size_t lengths[MANY];

    (void)state;
    seed = test_seed();
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < MANY; i++) { /* each in a block of its own, for the sanitizer */
            lengths[i] = (size_t)below(8);
            texts[i] = malloc(lengths[i] + (lengths[i] == 0));
            assert_non_null(texts[i]);
            for (size_t j = 0; j < lengths[i]; j++)
                texts[i][j] = alphabet[below((int)sizeof(alphabet) - 1)];
        }
#define ORDER(x, y) lsqi_decimal_collate(texts[x], lengths[x], texts[y], lengths[y])
        for (int i = 0; i < MANY; i++)
            for (int j = 0; j < MANY; j++) {
                assert_int_equal(ORDER(i, j), -ORDER(j, i));
                for (int k = 0; k < MANY; k += 7) {
                    if (ORDER(i, j) <= 0 && ORDER(j, k) <= 0) assert_true(ORDER(i, k) <= 0);
                    if (ORDER(i, j) == 0) assert_int_equal(sign(ORDER(i, k)), sign(ORDER(j, k)));
                }
            }
#undef ORDER
        for (int i = 0; i < MANY; i++) free(texts[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_text),   cmocka_unit_test(no_numbers),
        cmocka_unit_test(limits_of_digits), cmocka_unit_test(integers_and_reals),
        cmocka_unit_test(order_of_texts),   cmocka_unit_test(operations),
        cmocka_unit_test(as_on_paper),      cmocka_unit_test(order_as_on_paper),
        cmocka_unit_test(sums_and_back),    cmocka_unit_test(reals_read_back),
        cmocka_unit_test(hostile_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
