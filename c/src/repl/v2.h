/* v2.h - replication protocol v2: places in its log. Threads: any. */
#ifndef LSQI_REPL_V2_H
#define LSQI_REPL_V2_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a log id is one that we gave to what a server of v2 has, which has none of its own. */
bool lsqi_v2_is_log_id(const char *log_id);

/* A frame of a generation, as one number that grows. Frame 0 is what the generation began with. */
static inline uint64_t lsqi_v2_place(uint64_t generation, uint64_t frame) {
    return generation << 32 | frame;
}
static inline uint64_t lsqi_v2_generation(uint64_t place) { return place >> 32; }
static inline uint64_t lsqi_v2_frame_of(uint64_t place) { return place & UINT32_MAX; }

/* How far `to` is ahead: in frames; in generations, where it is of a later one. */
static inline uint64_t lsqi_v2_lag(uint64_t from, uint64_t to) {
    if (to <= from) return 0;
    if (lsqi_v2_generation(to) == lsqi_v2_generation(from)) return to - from;
    return lsqi_v2_generation(to) - lsqi_v2_generation(from);
}

#endif
