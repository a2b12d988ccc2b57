/* giveway.h - how a thread copies much for nobody in particular, beside those for whom somebody waits.
 *
 * A checkpoint is three long stretches of work: an fdatasync() of the WAL, the copying, one of the file. Whoever wants
 * that processor meanwhile waits for a time slice, and in the kernel, where an fdatasync() of 4 MB spends a millisecond
 * handing out writes, often for all of it; the others stand in line behind him. So what is to be synced is handed to
 * the disk piece by piece, before; and between the pieces the processor is left to others, each time that this thread
 * has used it for a little.
 *
 * Threads: any; the state is the calling thread's own. */
#ifndef LSQI_ENGINE_GIVEWAY_H
#define LSQI_ENGINE_GIVEWAY_H

#include <stdint.h>

/* Puts our write into the unix VFS; once for the process, before any connection. */
void lsqi_giveway_install(void);

/* From here on what the engine writes on this thread is handed to the disk as it goes, and others go first. */
void lsqi_giveway_begin(void);
void lsqi_giveway_end(void);

/* Between the two: hands these frames of the WAL of that database, the first of which is 0, to the disk. Nothing waits
 * for it, and nothing is durable for it. */
void lsqi_giveway_wal(const char *path, uint32_t first, uint32_t end);

#endif
