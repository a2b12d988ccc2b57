/* readlock.h - the locks that readers of a WAL hold, kept for a moment after the engine has given them back.
 *
 * Each read takes one of five locks and gives it back: two system calls, which take longer than all the rest
 * of a point read. They speak to other processes; among our own connections the engine counts, and asks the
 * system once for all. So while no other process has the file open, a lock that the engine gives back is kept,
 * and taken again without a call. Every LSQI_READLOCK_LOOK_MS somebody looks: what was not used since is given
 * back, and everything if another process has come. Until then that process meets a reader, as it might at any
 * time; nothing that it reads or writes depends on there being none.
 *
 * This is what is known of one file's locks, without a system call. Threads: the caller's lock. */
#ifndef LSQI_ENGINE_READLOCK_H
#define LSQI_ENGINE_READLOCK_H

#include <fcntl.h>
#include <stdbool.h>

enum {
    LSQI_READLOCK_LOOK_MS = 20,
    LSQI_READLOCK_TAKES = 64,
    /* Bytes of the -shm file, by the WAL's format (https://sqlite.org/walformat.html, 2.3.1). */
    LSQI_READLOCK_FIRST = 123, /* WAL_READ_LOCK(0) */
    LSQI_READLOCK_COUNT = 5,
    LSQI_READLOCK_DMS = 128 /* who has the file open holds it for reading */
};

/* Bit i: WAL_READ_LOCK(i). All zero: nothing is held. */
struct lsqi_readlock {
    bool keeping;   /* what is given back is kept */
    unsigned held;  /* the system has it, for reading ... */
    unsigned idle;  /* ... but the engine does not want it */
    unsigned used;  /* taken since the last look */
    unsigned takes; /* by system calls, since there was a look */
};

/* Whether the lock or unlock that the engine asks for needs no system call; then it is done. */
bool lsqi_readlock_answers(struct lsqi_readlock *locks, const struct flock *asked);

/* Notes what the system has done. True: it is time to look whether others have the file open. */
bool lsqi_readlock_done(struct lsqi_readlock *locks, const struct flock *done);

/* After looking; alone: no other process has the file open. Returns the locks to be given back, which count as
 * given back; keeping says whether to look again. */
unsigned lsqi_readlock_look(struct lsqi_readlock *locks, bool alone);

#endif
