/* turnstile.h - the line of processes that want to write to a file.
 *
 * The engine's lock says only that it is taken, so those who want it try again and again, and who has slept
 * longest is the last to see that it is free: with four processes, for seconds. Here processes queue at a
 * byte of a file beside the database, NAME-lane, by a lock that the system lets them wait for. Only who has
 * it tries for the engine's lock, and keeps the byte as long as its turn. A second byte is locked for
 * reading by all who stand in line, so that who comes can see that somebody does, and goes behind: nobody
 * barges in while others wait.
 *
 * It costs nothing where no other process has the database open; then a turn costs one system call. The file
 * is made when a process first has to wait for another. A process that dies leaves the line, for its locks
 * go with it.
 *
 * A process has one place for a file: it is for whoever's turn it is there (lane.h). The system's waiting
 * cannot be broken off, so a worker does it; a waiter that gives up leaves the place to the next one.
 *
 * Threads: any; but one at a time between lsqi_turnstile_enter() and _leave(): that whose turn it is. */
#ifndef LSQI_FILE_TURNSTILE_H
#define LSQI_FILE_TURNSTILE_H

#include <stdbool.h>
#include <stdint.h>

struct lsqi_turnstile;

/* That of the database at path, which is copied; NULL: no memory. */
struct lsqi_turnstile *lsqi_turnstile_new(const char *path);
void lsqi_turnstile_unref(struct lsqi_turnstile *ts);

/* Whether others stand there, or this process does, for a waiter that has gone. */
bool lsqi_turnstile_taken(struct lsqi_turnstile *ts);

/* Goes in, waiting in line until then (ns, monotonic), or until stop(arg), which is asked every 10 ms.
 * False: not inside; it could not be waited for (a folder that cannot be written to, no such locks), or it
 * took too long. */
bool lsqi_turnstile_enter(struct lsqi_turnstile *ts, int64_t until, bool (*stop)(void *arg),
                          void *arg);

/* Lets the next one in. */
void lsqi_turnstile_leave(struct lsqi_turnstile *ts);

#endif
