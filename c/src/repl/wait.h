/* wait.h - who wants a replica to be synced, when, and the thread that does it: for replica.c.
 * Threads: any. */
#ifndef LSQI_REPL_WAIT_H
#define LSQI_REPL_WAIT_H

#include "repl/state.h"

void lsqi_replica_timer_init(struct lsqi_replica *replica);
void lsqi_replica_timer_start(struct lsqi_replica *replica);
/* No exchange begins any more, and the one that runs is ended; who waits is answered LSQ_CLOSED. Does not wait. */
void lsqi_replica_end(struct lsqi_replica *replica);
/* Until the next sync of the interval, ms: less a random tenth (chance: any number), longer after so many refusals on
 * end, but never more than five minutes or the interval itself. */
int64_t lsqi_replica_delay_ms(int interval, unsigned refusals, int64_t chance);
/* Waits until no thread exchanges. */
void lsqi_replica_await_idle(struct lsqi_replica *replica);

#endif
