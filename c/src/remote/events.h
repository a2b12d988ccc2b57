/* events.h - telling the program what happens to calls and servers: lsq_on_server_event(). Threads: any. */
#ifndef LSQI_REMOTE_EVENTS_H
#define LSQI_REMOTE_EVENTS_H

#include "lsq/lsq.h"

/* ms: see struct lsq_server_event. */
void lsqi_server_event(enum lsq_server_event_kind kind, const char *server, int64_t ms,
                       enum lsq_status why);

#endif
