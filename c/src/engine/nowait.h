/* nowait.h - what the engine must not do on a thread that many share: sleep, and wait for a disk.
 *
 * A reader in WAL mode sleeps while others hold the locks it wants, and reads pages from the file. On
 * the fast path both are refused or noted.
 * Threads: any; the state is the calling thread's own. */
#ifndef LSQI_ENGINE_NOWAIT_H
#define LSQI_ENGINE_NOWAIT_H

#include <stdbool.h>

/* Puts our sleep and our reads into the unix VFS; once for the process, before any connection. */
void lsqi_nowait_install(void);

/* From here on the engine does not sleep on this thread: a sleep answers at once. A page that is not
 * in the system's cache is not read, and what ran fails, if reads_fail; else it is read. The engine
 * rolls a transaction back when a read fails: reads_fail is for where none is open. */
void lsqi_nowait_begin(bool reads_fail);

/* Whether a page was read, since then, of which it is not known that it came from the system's cache:
 * what runs may well have to wait for more. */
bool lsqi_nowait_cold(void);

/* Ends it. True: there was a sleep or a read that was refused, and what ran may have failed for it. */
bool lsqi_nowait_end(void);

#endif
