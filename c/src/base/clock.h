/* clock.h - monotonic time, and waiting for a moment. Threads: any. */
#ifndef LSQI_BASE_CLOCK_H
#define LSQI_BASE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline int64_t lsqi_now_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Waits until somebody signals, or ms have passed, or for no reason at all. cond has the usual clock. */
static inline void lsqi_wait_ms_locked(pthread_cond_t *cond, pthread_mutex_t *lock, int ms) {
    struct timespec until;
    int64_t ns;

    clock_gettime(CLOCK_REALTIME, &until);
    ns = until.tv_nsec + (int64_t)ms * 1000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_cond_timedwait(cond, lock, &until);
}

#endif
