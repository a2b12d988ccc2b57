/* watch.h - what the I/O thread looks after beside exchanges: deadlines, and descriptors of other connections.
 * Threads: the I/O thread, all of it. */
#ifndef LSQI_NET_WATCH_H
#define LSQI_NET_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "net/curl.h"

enum { LSQI_WATCH_FDS = 4 };

/* Embedded in what is looked after. */
struct lsqi_watch {
    /* Called when it is due, when a descriptor is ready, and while the thread stops: it then has to be removed within
     * some turns. It may remove any watch, itself too, and add others. */
    void (*turn)(struct lsqi_watch *watch, bool stopping);
    int64_t due; /* ns; INT64_MAX: never */
    struct lsqi_curl_waitfd fds[LSQI_WATCH_FDS];
    unsigned fd_count;
    bool ready; /* a descriptor is: see its revents. Or said by its owner: there is more to do */
    struct lsqi_watch *next;
    struct lsqi_watch *prev;
};

void lsqi_watch_add(struct lsqi_watch *watch);
void lsqi_watch_remove(struct lsqi_watch *watch);

/* ---- For the loop ---- */

void lsqi_watches_turn(bool stopping);
bool lsqi_watches_any(void);
/* When the next one is due; 0: now. */
int64_t lsqi_watches_due(void);
/* The descriptors to wait for; *count of them. NULL with a count: no memory for them. */
struct lsqi_curl_waitfd *lsqi_watches_fds(unsigned *count);
/* After the waiting: fds as lsqi_watches_fds() gave them. */
void lsqi_watches_wake(const struct lsqi_curl_waitfd *fds);
void lsqi_watches_release(void);

#endif
