#include "repl/sum.h"

#include <pthread.h>

/* Eight tables, so that eight bytes are taken at a time. */
enum { AT_A_TIME = 8, BYTES = 256 };

/* The polynomial x^64 + x^4 + x^3 + x + 1, its lowest power in the highest bit. */
#define POLYNOMIAL UINT64_C(0xd800000000000000)

/* Process-wide: constants, reckoned once. */
static uint64_t tables[AT_A_TIME][BYTES];
/* Process-wide: whether they are. */
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_tables(void) {
    for (int byte = 0; byte < BYTES; byte++) {
        uint64_t sum = (uint64_t)byte;

        for (int bit = 0; bit < 8; bit++) sum = (sum >> 1) ^ ((sum & 1) != 0 ? POLYNOMIAL : 0);
        tables[0][byte] = sum;
    }
    for (int byte = 0; byte < BYTES; byte++)
        for (int i = 1; i < AT_A_TIME; i++) {
            uint64_t before = tables[i - 1][byte];

            tables[i][byte] = (before >> 8) ^ tables[0][before & 0xff];
        }
}

static uint64_t mirrored(uint64_t value) {
    uint64_t other = 0;

    for (int i = 0; i < 64; i++, value >>= 1) other = other << 1 | (value & 1);
    return other;
}

static uint64_t little(const unsigned char *at) {
    uint64_t value = 0;

    for (int i = AT_A_TIME; i-- > 0;) value = value << 8 | at[i];
    return value;
}

uint64_t lsqi_frame_sum(uint64_t before, const void *page, size_t len) {
    const unsigned char *at = page;
    uint64_t sum = mirrored(before);

    pthread_once(&made, make_tables);
    for (; len >= AT_A_TIME; at += AT_A_TIME, len -= AT_A_TIME) {
        uint64_t mixed = sum ^ little(at);

        sum = 0;
        for (int i = 0; i < AT_A_TIME; i++, mixed >>= 8)
            sum ^= tables[AT_A_TIME - 1 - i][mixed & 0xff];
    }
    for (; len > 0; at++, len--) sum = (sum >> 8) ^ tables[0][(sum ^ *at) & 0xff];
    return ~sum;
}
