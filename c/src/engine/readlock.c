/* struct flock as in oslock.c. */
#define _FILE_OFFSET_BITS 64

#include "engine/readlock.h"

/* The locks that the range covers. */
static unsigned bits_of(const struct flock *lock) {
    unsigned bits = 0;

    for (int i = 0; i < LSQI_READLOCK_COUNT; i++) {
        const off_t byte = LSQI_READLOCK_FIRST + i;

        if (lock->l_start <= byte && (lock->l_len == 0 || byte < lock->l_start + lock->l_len))
            bits |= 1u << i;
    }
    return bits;
}

/* The one that the range is, or 0. */
static unsigned bit_of(const struct flock *lock) {
    const off_t i = lock->l_start - LSQI_READLOCK_FIRST;

    return lock->l_len == 1 && i >= 0 && i < LSQI_READLOCK_COUNT ? 1u << i : 0;
}

bool lsqi_readlock_answers(struct lsqi_readlock *locks, const struct flock *asked) {
    const unsigned bit = bit_of(asked);

    if (asked->l_type == F_RDLCK && (locks->idle & bit) != 0) {
        locks->idle &= ~bit;
        locks->used |= bit;
        return true;
    }
    if (asked->l_type == F_UNLCK && locks->keeping && (locks->held & bit) != 0) {
        locks->idle |= bit;
        return true;
    }
    return false;
}

bool lsqi_readlock_done(struct lsqi_readlock *locks, const struct flock *done) {
    const unsigned bits = bits_of(done);

    locks->idle &= ~bits;
    if (done->l_type != F_RDLCK) {
        locks->held &= ~bits;
        return false;
    }
    locks->held |= bits;
    locks->used |= bits;
    if (bits == 0 || locks->keeping || ++locks->takes < LSQI_READLOCK_TAKES) return false;
    locks->takes = 0;
    return true;
}

unsigned lsqi_readlock_look(struct lsqi_readlock *locks, bool alone) {
    const unsigned back = alone ? locks->idle & ~locks->used : locks->idle;

    locks->held &= ~back;
    locks->idle &= ~back;
    locks->used = 0;
    locks->keeping = alone && locks->held != 0;
    return back;
}
