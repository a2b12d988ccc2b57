#include "hrana/base64.h"

#include <stdint.h>

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- Encoding ---- */

static void put_group(char *to, const unsigned char *from) {
    to[0] = alphabet[from[0] >> 2];
    to[1] = alphabet[(from[0] & 3) << 4 | from[1] >> 4];
    to[2] = alphabet[(from[1] & 15) << 2 | from[2] >> 6];
    to[3] = alphabet[from[2] & 63];
}

void lsqi_base64_encode(struct lsqi_buf *buf, const void *data, size_t len) {
    const unsigned char *from = data;
    size_t rest = len % 3;
    char *to;

    if (len > SIZE_MAX / 2) {
        buf->failed = true;
        return;
    }
    if (!lsqi_buf_reserve(buf, (len + 2) / 3 * 4)) return;
    to = buf->data + buf->len;
    buf->len += (len + 2) / 3 * 4;
    for (size_t i = 0; i < len / 3; i++, from += 3, to += 4) put_group(to, from);
    if (rest > 0) {
        unsigned char last[3] = {from[0], rest > 1 ? from[1] : 0, 0};

        put_group(to, last);
        to[3] = '=';
        if (rest == 1) to[2] = '=';
    }
}

/* ---- Decoding ---- */

enum { NONE = 0x40 }; /* a bit that no digit has */

#define X NONE
static const unsigned char digits[256] = {
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  62, X,  X,  X,  63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X,  X,  X,  X,  X,  X,  X,  0,  1,  2,  3,  4,  5,  6,
    7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X,  X,  X,  X,  X,
    X,  26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
    49, 50, 51, X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,
};
#undef X

/* Four digits to three bytes. False: one of them is none. */
static inline bool get_group(unsigned char *to, const unsigned char *from) {
    unsigned a = digits[from[0]];
    unsigned b = digits[from[1]];
    unsigned c = digits[from[2]];
    unsigned d = digits[from[3]];

    to[0] = (unsigned char)(a << 2 | b >> 4);
    to[1] = (unsigned char)(b << 4 | c >> 2);
    to[2] = (unsigned char)(c << 6 | d);
    return ((a | b | c | d) & NONE) == 0;
}

/* The last two or three digits; the bits that are left over must be 0. */
static bool get_rest(unsigned char *to, const unsigned char *from, size_t rest) {
    unsigned a = digits[from[0]];
    unsigned b = digits[from[1]];
    unsigned c = rest > 2 ? digits[from[2]] : 0;

    if (((a | b | c) & NONE) != 0) return false;
    to[0] = (unsigned char)(a << 2 | b >> 4);
    if (rest == 2) return (b & 15) == 0;
    to[1] = (unsigned char)(b << 4 | c >> 2);
    return (c & 3) == 0;
}

bool lsqi_base64_decode(struct lsqi_buf *buf, const char *text, size_t len) {
    const unsigned char *from = (const unsigned char *)text;
    unsigned char *to;
    size_t rest;

    if (len > 0 && len % 4 == 0 && text[len - 1] == '=') len -= text[len - 2] == '=' ? 2 : 1;
    rest = len % 4;
    if (rest == 1) return false;
    if (!lsqi_buf_reserve(buf, len / 4 * 3 + 2)) return false;
    to = (unsigned char *)buf->data + buf->len;
    for (size_t i = 0; i < len / 4; i++, from += 4, to += 3)
        if (!get_group(to, from)) return false;
    if (rest > 0 && !get_rest(to, from, rest)) return false;
    buf->len += len / 4 * 3 + (rest > 0 ? rest - 1 : 0);
    return true;
}
