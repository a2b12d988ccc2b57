#include "hrana/json_text.h"

#include <stdlib.h>
#include <string.h>

#include "hrana/json_read.h"

/* ---- Escapes ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The four digits at p; -1: there are not four. */
static int hex_unit(const char *p, const char *end) {
    int unit = 0;

    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0) return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static char *put_character(char *to, unsigned c) {
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (char)(0xe0 | c >> 12);
        } else {
            *to++ = (char)(0xf0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (c & 0x3f));
    return to;
}

/* *from stands behind "\u". */
static char *put_unicode(char *to, const char **from, const char *end) {
    int unit = hex_unit(*from, end);
    int low;

    if (unit < 0) return NULL;
    *from += 4;
    if (unit < 0xd800 || unit > 0xdfff) return put_character(to, (unsigned)unit);
    low =
        end - *from >= 6 && (*from)[0] == '\\' && (*from)[1] == 'u' ? hex_unit(*from + 2, end) : -1;
    if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) return put_character(to, 0xfffd);
    *from += 6;
    return put_character(to,
                         0x10000u + ((unsigned)(unit - 0xd800) << 10 | (unsigned)(low - 0xdc00)));
}

/* *from stands behind the backslash. */
static char *put_escape(char *to, const char **from, const char *end) {
    static const char names[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    const char *name;
    char c;

    if (*from == end) return NULL;
    c = *(*from)++;
    if (c == 'u') return put_unicode(to, from, end);
    name = c == '\0' ? NULL : strchr(names, c);
    if (name == NULL) return NULL;
    *to++ = meant[name - names];
    return to;
}

size_t lsqi_json_unescape(char *to, const char *text, size_t len) {
    const char *end = text + len;
    char *start = to;

    while (text < end) {
        const char *next = memchr(text, '\\', (size_t)(end - text));
        size_t plain = (size_t)((next == NULL ? end : next) - text);

        memmove(to, text, plain);
        to += plain;
        if (next == NULL) break;
        text = next + 1;
        to = put_escape(to, &text, end);
        if (to == NULL) return SIZE_MAX;
    }
    return (size_t)(to - start);
}

/* ---- Numbers ---- */

static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *pass_digits(const char *p, const char *end) {
    while (p < end && is_digit(*p)) p++;
    return p;
}

bool lsqi_json_is_number(const char *text, size_t len) {
    const char *p = text;
    const char *end = text + len;
    const char *from;

    if (p < end && *p == '-') p++;
    from = p;
    p = pass_digits(p, end);
    if (p == from || (*from == '0' && p - from > 1)) return false;
    if (p < end && *p == '.') {
        from = ++p;
        p = pass_digits(p, end);
        if (p == from) return false;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        from = p;
        p = pass_digits(p, end);
        if (p == from) return false;
    }
    return p == end;
}

bool lsqi_json_to_integer(int64_t *value, const char *text, size_t len) {
    const char *end = text + len;
    bool negative = len > 0 && text[0] == '-';
    uint64_t most = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    uint64_t sum = 0;
    const char *p = text + (negative ? 1 : 0);

    if (p == end) return false;
    for (; p < end; p++) {
        unsigned digit = (unsigned)((unsigned char)*p - '0');

        if (digit > 9 || sum > (most - digit) / 10) return false;
        sum = sum * 10 + digit;
    }
    *value = negative ? (int64_t)-sum : (int64_t)sum;
    return true;
}

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 uint128;

enum { MOST_DIGITS = 19 }; /* 10^19 < 2^64 */

/* 2^exponent, where that is a normal number. */
static double two_to(int exponent) {
    uint64_t bits = (uint64_t)(1023 + exponent) << 52;
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* digits / 10^scale to the nearest double, of two that are as near the even one. The quotient is taken to 63 or 64
 * bits; what was cut off only matters for a tie. */
static double divide(uint64_t digits, unsigned scale) {
    static const uint64_t powers[MOST_DIGITS + 1] = {
        1u,
        10u,
        100u,
        1000u,
        10000u,
        100000u,
        1000000u,
        10000000u,
        100000000u,
        1000000000u,
        10000000000u,
        100000000000u,
        1000000000000u,
        10000000000000u,
        100000000000000u,
        1000000000000000u,
        10000000000000000u,
        100000000000000000u,
        1000000000000000000u,
        10000000000000000000u,
    };
    uint64_t power = powers[scale];
    int shift = 63 + __builtin_clzll(digits) - __builtin_clzll(power);
    uint128 top = (uint128)digits << shift;
    uint64_t quotient = (uint64_t)(top / power);
    bool more = (uint128)quotient * power != top;
    int extra = 11 - __builtin_clzll(quotient); /* bits that a double does not hold */
    uint64_t result = quotient >> extra;
    uint64_t half = (uint64_t)1 << (extra - 1);
    uint64_t rest = quotient & (2 * half - 1);

    if (rest > half || (rest == half && (more || (result & 1) != 0))) result++;
    return (double)result * two_to(extra - shift);
}

/* A number of at most 19 digits, without an exponent: what servers write, nearly always. False: it is not that, or
 * no number. */
static bool plain_real(double *value, const char *text, size_t len) {
    const char *end = text + len;
    const char *p = text;
    const char *from;
    const char *point = NULL;
    uint64_t digits = 0;

    if (p < end && *p == '-') p++;
    from = p;
    if (end - p > MOST_DIGITS + 1) return false;
    for (; p < end; p++) {
        if (is_digit(*p))
            digits = digits * 10 + (uint64_t)(*p - '0');
        else if (*p == '.' && point == NULL && p > from)
            point = p;
        else
            return false;
    }
    if (p == from || p - from - (point != NULL) > MOST_DIGITS || point == end - 1) return false;
    if (*from == '0' && from + 1 < end && from + 1 != point) return false;
    *value = digits == 0 ? 0.0 : divide(digits, point == NULL ? 0 : (unsigned)(end - 1 - point));
    if (*text == '-') *value = -*value;
    return true;
}
#else
static bool plain_real(double *value, const char *text, size_t len) {
    (void)value, (void)text, (void)len;
    return false;
}
#endif

bool lsqi_json_to_real(double *value, const char *text, size_t len, locale_t c_locale) {
    char room[LSQI_JSON_WORD + 1];

    if (plain_real(value, text, len)) return true;
    if (len > LSQI_JSON_WORD || !lsqi_json_is_number(text, len)) return false;
    memcpy(room, text, len);
    room[len] = '\0';
    *value = strtod_l(room, NULL, c_locale);
    return true;
}
