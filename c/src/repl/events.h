/* events.h - telling the program of replicas: lsqi_on_replica_event().
 * Threads: any; no lock is held while the program is told. */
#ifndef LSQI_REPL_EVENTS_H
#define LSQI_REPL_EVENTS_H

#include "repl/replica.h"

void lsqi_replica_tell(const struct lsqi_replica_event *event);

#endif
