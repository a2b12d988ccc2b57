/* sum.h - checksums of frames: CRC-64/GO-ISO, which sqld carries on from each frame of its log to the next, over the
 * page alone. The first frame's goes on from 0.
 * Threads: any. */
#ifndef LSQI_REPL_SUM_H
#define LSQI_REPL_SUM_H

#include <stddef.h>
#include <stdint.h>

/* That of a frame with this page, behind one with that sum. */
uint64_t lsqi_frame_sum(uint64_t before, const void *page, size_t len);

#endif
