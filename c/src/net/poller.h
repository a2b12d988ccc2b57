/* poller.h - what the I/O thread waits for: descriptors of libcurl's exchanges and of watches, and a wake-up. */
#ifndef LSQI_NET_POLLER_H
#define LSQI_NET_POLLER_H

#include <stdbool.h>

#include "net/multi.h"

/* Before the thread begins. False: no descriptor for it. */
bool lsqi_poller_open(void);
/* After it has ended, or where it was not begun. */
void lsqi_poller_close(void);

/* Ends the waiting that is under way, or the next one. Any thread, between open and close. */
void lsqi_poller_wake(void);
/* Waits at most so long, and notes what came in the descriptors' revents. The I/O thread. */
void lsqi_poller_wait(struct lsqi_multi *multi, int ms);
/* Waits so long, whatever comes meanwhile: a few ms at most. The I/O thread. */
void lsqi_poller_rest(int us);

#endif
