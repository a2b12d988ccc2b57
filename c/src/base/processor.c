#include "base/processor.h"

#include <sched.h>
#include <stdint.h>

#include "base/clock.h"

enum {
    APART_NS = 250000,
    LONG_NS = 1500000, /* neighbours who pass, too, are back before */
    REST = 10, /* times as long as it took: a tenth of the processor, at most, is given away */
    PAUSES = 16
};

static inline void pause_once(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* yield takes no time on most */
#endif
}

void lsqi_processor_pause(void) {
    for (int i = 0; i < PAUSES; i++) pause_once();
}

void lsqi_processor_pass(void) {
    static _Thread_local int64_t next; /* per thread: not before */
    int64_t began = lsqi_now_ns();
    int64_t ended;

    if (began < next) return;
    (void)sched_yield();
    ended = lsqi_now_ns();
    next = ended + (ended - began < LONG_NS ? APART_NS : (ended - began) * REST);
}
