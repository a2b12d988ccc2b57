/* open.h - what is on the disk, when a replica is opened.
 * Threads: that which opens. */
#ifndef LSQI_REPL_OPEN_H
#define LSQI_REPL_OPEN_H

#include "repl/state.h"

/* Looks at the file and its metadata: replica->apply is open where they fit together; where they do not, the file is
 * set aside, with an event. Errors: LSQ_NOT_A_REPLICA, LSQ_IO, ... */
enum lsq_status lsqi_replica_look(struct lsqi_replica *replica, bool adopt_replace,
                                  struct lsq_error *err);

#endif
