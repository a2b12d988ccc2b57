#include "net/sha1.h"

#include <stdint.h>
#include <string.h>

enum { BLOCK = 64 };

static uint32_t turn(uint32_t x, unsigned n) { return (x << n) | (x >> (32 - n)); }

static uint32_t word_at(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t mix(unsigned i, const uint32_t *h) {
    if (i < 20) return ((h[1] & h[2]) | (~h[1] & h[3])) + 0x5a827999u;
    if (i < 40) return (h[1] ^ h[2] ^ h[3]) + 0x6ed9eba1u;
    if (i < 60) return ((h[1] & h[2]) | (h[1] & h[3]) | (h[2] & h[3])) + 0x8f1bbcdcu;
    return (h[1] ^ h[2] ^ h[3]) + 0xca62c1d6u;
}

static void add_block(uint32_t state[5], const unsigned char *block) {
    uint32_t w[80] = {0};
    uint32_t h[5];

    memcpy(h, state, sizeof(h));
    for (unsigned i = 0; i < 80; i++) {
        uint32_t next;

        w[i] = i < 16 ? word_at(block + (size_t)i * 4)
                      : turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        next = turn(h[0], 5) + mix(i, h) + h[4] + w[i];
        h[4] = h[3];
        h[3] = h[2];
        h[2] = turn(h[1], 30);
        h[1] = h[0];
        h[0] = next;
    }
    for (unsigned i = 0; i < 5; i++) state[i] += h[i];
}

void lsqi_sha1(const void *data, size_t len, unsigned char digest[LSQI_SHA1_BYTES]) {
    uint32_t state[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    unsigned char text[LSQI_SHA1_MOST + 2 * BLOCK] = {0};
    size_t whole = (len + 9 + BLOCK - 1) / BLOCK * BLOCK;

    memcpy(text, data, len);
    text[len] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        text[whole - 1 - i] = (unsigned char)((uint64_t)len * 8 >> (8 * i));
    for (size_t at = 0; at < whole; at += BLOCK) add_block(state, text + at);
    for (unsigned i = 0; i < LSQI_SHA1_BYTES; i++)
        digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}
