#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

enum { EXPONENT_DIGITS = 18 }; /* so that sums of exponents and lengths fit 64 bits */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- Reading ---- */

/* `[+-] digits`, all of text[0..len). */
static enum lsqi_decimal_read read_exponent(const char *text, size_t len, int64_t *exponent) {
    bool negative = len > 0 && text[0] == '-';
    size_t at = len > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    size_t start = at;
    int64_t value = 0;

    if (at == len) return LSQI_DECIMAL_NO_NUMBER;
    while (at < len && text[at] == '0') at++;
    start = at;
    for (; at < len; at++) {
        if (!is_digit(text[at])) return LSQI_DECIMAL_NO_NUMBER;
        if (at - start < EXPONENT_DIGITS) value = 10 * value + (text[at] - '0');
    }
    *exponent = negative ? -value : value;
    return len - start > EXPONENT_DIGITS ? LSQI_DECIMAL_FAR : LSQI_DECIMAL_READ;
}

enum lsqi_decimal_read lsqi_decimal_read(struct lsqi_decimal_text *number, const char *text,
                                         size_t len) {
    const char *at = text;
    const char *end = text + len;
    const char *point = NULL;
    const char *first = NULL; /* of the digits that are not 0 */
    const char *last = NULL;
    const char *whole_end;
    bool negative = len > 0 && text[0] == '-';
    bool digits = false;
    int64_t exponent = 0;
    int64_t behind;

    if (len > 0 && (text[0] == '-' || text[0] == '+')) at++;
    for (; at < end; at++) {
        if (is_digit(*at)) {
            digits = true;
            if (*at == '0') continue;
            if (first == NULL) first = at;
            last = at;
        } else if (*at == '.' && point == NULL) {
            point = at;
        } else {
            break;
        }
    }
    if (!digits) return LSQI_DECIMAL_NO_NUMBER;
    whole_end = point == NULL ? at : point;
    behind = point == NULL ? 0 : at - point - 1;
    if (at < end) {
        enum lsqi_decimal_read read = LSQI_DECIMAL_NO_NUMBER;

        if (*at == 'e' || *at == 'E')
            read = read_exponent(at + 1, (size_t)(end - at - 1), &exponent);
        if (read != LSQI_DECIMAL_READ) return read;
    }
    number->negative = negative && first != NULL;
    number->digits = first;
    number->len = first == NULL ? 0 : (size_t)(last - first) + 1;
    number->scale = behind - exponent;
    number->magnitude = exponent;
    if (first != NULL)
        number->magnitude += first < whole_end ? whole_end - first - 1 : whole_end - first;
    return LSQI_DECIMAL_READ;
}

void lsqi_decimal_read_integer(struct lsqi_decimal_text *number, int64_t value,
                               char room[LSQI_DECIMAL_ROOM]) {
    int len = snprintf(room, LSQI_DECIMAL_ROOM, "%lld", (long long)value);

    (void)lsqi_decimal_read(number, room, (size_t)len);
}

/* ---- The digits of a REAL ---- */

/* value to that many digits, written as an integer; the last one counts 10^*exponent. The point that is
 * printed between them is the locale's, and is passed over. */
static uint64_t round_to(double value, int digits, int *exponent) {
    char text[64];
    const char *at = text;
    uint64_t number = 0;

    snprintf(text, sizeof(text), "%.*e", digits - 1, value);
    for (; *at != 'e' && *at != '\0'; at++)
        if (is_digit(*at)) number = 10 * number + (uint64_t)(*at - '0');
    *exponent = (*at == 'e' ? (int)strtol(at + 1, NULL, 10) : 0) - (digits - 1);
    return number;
}

/* Without a point, so that the locale has no say. */
static bool reads_back(double value, uint64_t number, int exponent, char room[LSQI_DECIMAL_ROOM]) {
    snprintf(room, LSQI_DECIMAL_ROOM, "%llue%d", (unsigned long long)number, exponent);
    return strtod(room, NULL) == value;
}

/* Any decimal of 15 digits survives being read as a double, unless that is a subnormal one; 17 tell any
 * two apart. At a power of two the next number above is farther off than that below: of 16 digits, the
 * nearest may not do where its successor does. */
static void shortest(double value, char room[LSQI_DECIMAL_ROOM]) {
    int exponent;

    for (int digits = value < 2.2250738585072014e-308 ? 1 : 15; digits <= 17; digits++) {
        uint64_t number = round_to(value, digits, &exponent);

        if (reads_back(value, number, exponent, room)) return;
        if (digits == 16 && reads_back(value, number + 1, exponent, room)) return;
    }
}

bool lsqi_decimal_read_real(struct lsqi_decimal_text *number, double value,
                            char room[LSQI_DECIMAL_ROOM]) {
    if (!isfinite(value)) return false;
    shortest(fabs(value), room);
    (void)lsqi_decimal_read(number, room, strlen(room));
    number->negative = value < 0;
    /* What is 0 at the end came by the number of digits that were tried. */
    number->scale = number->len == 0 ? 0 : (int64_t)number->len - 1 - number->magnitude;
    return true;
}

/* ---- Comparing ---- */

static int compare_digits(const struct lsqi_decimal_text *a, const struct lsqi_decimal_text *b) {
    const char *p = a->digits;
    const char *q = b->digits;
    const char *p_end = p + a->len;
    const char *q_end = q + b->len;

    for (;; p++, q++) {
        if (p < p_end && *p == '.') p++;
        if (q < q_end && *q == '.') q++;
        /* The last digit is not 0: who has more has the larger number. */
        if (p == p_end || q == q_end) return (p < p_end) - (q < q_end);
        if (*p != *q) return *p < *q ? -1 : 1;
    }
}

int lsqi_decimal_compare(const struct lsqi_decimal_text *a, const struct lsqi_decimal_text *b) {
    int a_sign = a->len == 0 ? 0 : a->negative ? -1 : 1;
    int b_sign = b->len == 0 ? 0 : b->negative ? -1 : 1;

    if (a_sign != b_sign) return a_sign < b_sign ? -1 : 1;
    if (a_sign == 0) return 0;
    if (a->magnitude != b->magnitude) return a->magnitude < b->magnitude ? -a_sign : a_sign;
    return a_sign * compare_digits(a, b);
}

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t len = a_len < b_len ? a_len : b_len;
    int order = len == 0 ? 0 : memcmp(a, b, len);

    if (order != 0) return order < 0 ? -1 : 1;
    return (a_len > b_len) - (a_len < b_len);
}

int lsqi_decimal_collate(const char *a, size_t a_len, const char *b, size_t b_len) {
    struct lsqi_decimal_text x;
    struct lsqi_decimal_text y;
    bool a_number;
    bool b_number;

    if (a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0)) return 0;
    a_number = lsqi_decimal_read(&x, a, a_len) == LSQI_DECIMAL_READ;
    b_number = lsqi_decimal_read(&y, b, b_len) == LSQI_DECIMAL_READ;
    if (a_number && b_number) return lsqi_decimal_compare(&x, &y);
    if (a_number || b_number) return a_number ? -1 : 1;
    return compare_bytes(a, a_len, b, b_len);
}
