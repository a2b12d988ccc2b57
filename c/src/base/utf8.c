#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the character at p, with at least one byte before end; 0: it is none. RFC 3629, section
 * 4, has the table. */
static size_t char_len(const unsigned char *p, const unsigned char *end) {
    size_t left = (size_t)(end - p);
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t len;

    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2) return 0;
    if (p[0] < 0xe0) {
        len = 2;
    } else if (p[0] < 0xf0) {
        len = 3;
        if (p[0] == 0xe0) low = 0xa0;  /* else it would be too long a form */
        if (p[0] == 0xed) high = 0x9f; /* surrogates */
    } else if (p[0] < 0xf5) {
        len = 4;
        if (p[0] == 0xf0) low = 0x90;
        if (p[0] == 0xf4) high = 0x8f; /* over U+10FFFF */
    } else {
        return 0;
    }
    if (left < len || p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    return len;
}

size_t lsqi_utf8_prefix(const void *text, size_t len) {
    const unsigned char *start = text;
    const unsigned char *p = text;
    const unsigned char *end = p + len;

    while (p < end) {
        uint64_t word;
        size_t n;

        if (end - p >= (ptrdiff_t)sizeof(word)) { /* eight ASCII characters at once */
            memcpy(&word, p, sizeof(word));
            if ((word & 0x8080808080808080u) == 0) {
                p += sizeof(word);
                continue;
            }
        }
        n = char_len(p, end);
        if (n == 0) break;
        p += n;
    }
    return (size_t)(p - start);
}

bool lsqi_utf8_valid(const void *text, size_t len) { return lsqi_utf8_prefix(text, len) == len; }

size_t lsqi_utf8_cut(const char *text, size_t len, size_t max) {
    size_t start = len < max ? len : max;
    size_t n = start;

    /* Back to the start of the last character, at most three bytes; kept if it is whole. */
    while (n > 0 && start - n < 3 && ((unsigned char)text[n - 1] & 0xc0) == 0x80) n--;
    if (n == 0) return start;
    n--;
    if (((unsigned char)text[n] & 0x80) == 0) return start;
    return char_len((const unsigned char *)text + n, (const unsigned char *)text + start) ==
                   start - n
               ? start
               : n;
}
