/* decimal.h - exact decimal numbers: as they are written, and to calculate with. Nothing allocates.
 * Knows nothing of SQL (engine/decimal.h does).
 *
 * A number as it is written is `[+-] digits [. digits] [e [+-] digits]` in ASCII, with a digit before
 * or behind the point, and nothing around it. Threads: any. */
#ifndef LSQI_BASE_DECIMAL_H
#define LSQI_BASE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- As it is written: decimal_text.c ---- */

/* Borrows the text. */
struct lsqi_decimal_text {
    bool negative; /* never of zero */
    const char
        *digits; /* from the first one that is not 0 to the last; the point may be among them */
    size_t len;  /* 0: the number is zero */
    int64_t magnitude; /* the first digit counts 10^magnitude */
    int64_t scale;     /* digits behind the point, the exponent counted; may be below 0 */
};

enum lsqi_decimal_read {
    LSQI_DECIMAL_READ,
    LSQI_DECIMAL_NO_NUMBER,
    LSQI_DECIMAL_FAR /* its exponent has more than 18 digits */
};

enum lsqi_decimal_read lsqi_decimal_read(struct lsqi_decimal_text *number, const char *text,
                                         size_t len);

enum { LSQI_DECIMAL_ROOM = 32 };

/* The digits of an integer, written to room. */
void lsqi_decimal_read_integer(struct lsqi_decimal_text *number, int64_t value,
                               char room[LSQI_DECIMAL_ROOM]);
/* The fewest digits that read back as this very value, written to room. False: it is not finite. */
bool lsqi_decimal_read_real(struct lsqi_decimal_text *number, double value,
                            char room[LSQI_DECIMAL_ROOM]);

/* -1, 0 or 1, whatever the size: nothing is written out. */
int lsqi_decimal_compare(const struct lsqi_decimal_text *a, const struct lsqi_decimal_text *b);

/* -1, 0 or 1. A total order of all texts: numbers by their value, however written (1.0 equals 1), then
 * what is no number by its bytes. A number whose exponent has more than 18 digits counts as none. */
int lsqi_decimal_collate(const char *a, size_t a_len, const char *b, size_t b_len);

/* ---- To calculate with: decimal.c ---- */

enum {
    LSQI_DECIMAL_LIMBS = 111,                        /* on each side of the point */
    LSQI_DECIMAL_DIGITS = 9 * LSQI_DECIMAL_LIMBS,    /* the most that a number may have there */
    LSQI_DECIMAL_TEXT = 2 * LSQI_DECIMAL_DIGITS + 4, /* bytes of the longest text */
    LSQI_DECIMAL_PRECISION = 28                      /* significant digits of a quotient */
};

/* The functions below answer false where the result has too many digits on a side of the point; the
 * result is then void. */
struct lsqi_decimal {
    bool negative; /* never of zero */
    int scale;     /* digits behind the point, also where they are 0 */
    int low;       /* limb[low..high) holds the digits; the rest is not initialised */
    int high;
    uint32_t limb[2 * LSQI_DECIMAL_LIMBS]; /* limb[LSQI_DECIMAL_LIMBS + i] counts 10^(9 i) */
};

bool lsqi_decimal_from_text(struct lsqi_decimal *n, const struct lsqi_decimal_text *text);
/* Without an exponent, with as many digits behind the point as the scale says. Its length; no NUL. */
size_t lsqi_decimal_to_text(const struct lsqi_decimal *n, char text[LSQI_DECIMAL_TEXT]);

/* Zero, with no digit behind the point. */
void lsqi_decimal_zero(struct lsqi_decimal *n);
bool lsqi_decimal_is_zero(const struct lsqi_decimal *n);
/* sum += n, sum -= n; the scale becomes the larger one. */
bool lsqi_decimal_add(struct lsqi_decimal *sum, const struct lsqi_decimal *n);
bool lsqi_decimal_sub(struct lsqi_decimal *sum, const struct lsqi_decimal *n);
/* Fewer digits behind the point; those that go must be 0. */
void lsqi_decimal_narrow(struct lsqi_decimal *n, int scale);
/* a * b; the scales add up. out is neither of them. */
bool lsqi_decimal_mul(struct lsqi_decimal *out, const struct lsqi_decimal *a,
                      const struct lsqi_decimal *b);
/* a / b, where b is not zero: exact where LSQI_DECIMAL_PRECISION digits hold it, with the scale of a
 * less that of b if that can be; else rounded, a half away from zero. As Elixir's Decimal does. */
bool lsqi_decimal_div(struct lsqi_decimal *out, const struct lsqi_decimal *a,
                      const struct lsqi_decimal *b);

#endif
