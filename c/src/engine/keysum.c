/* SipHash-2-4 (Aumasson and Bernstein, https://www.aumasson.jp/siphash/siphash.pdf), of whole words: pages are. */
#include "engine/keysum.h"

#include <string.h>

static uint64_t turned(uint64_t value, unsigned bits) {
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = turned(v[1], 13) ^ v[0];
    v[3] = turned(v[3], 16) ^ v[2];
    v[0] = turned(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = turned(v[1], 17) ^ v[2];
    v[3] = turned(v[3], 21) ^ v[0];
    v[2] = turned(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t lsqi_key_sum(const struct lsqi_key *key, uint64_t number, const void *data, size_t len) {
    const uint64_t *secret = key->secret;
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
                     secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u};
    const unsigned char *at = data;
    uint64_t word;
    uint64_t sum;

    sip_word(v, number);
    for (; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        sip_word(v, word);
    }
    sip_word(v, len);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) sip_round(v);
    sum = v[0] ^ v[1] ^ v[2] ^ v[3];
    return sum == 0 ? 1 : sum;
}

uint64_t lsqi_key_veil(const struct lsqi_key *key, uint64_t place, uint64_t sum) {
    if (key == NULL || key->bytes == NULL || sum == 0) return sum;
    return sum ^ lsqi_key_sum(key, place, "", 0);
}
