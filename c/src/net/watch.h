/* watch.h - what the I/O thread looks after beside exchanges: deadlines, and descriptors of other connections.
 * Threads: the I/O thread, all of it. */
#ifndef LSQI_NET_WATCH_H
#define LSQI_NET_WATCH_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* Embedded in what is looked after. */
struct lsqi_watch {
    /* Called when it is due, when a descriptor is ready, and while the thread stops: it then has to be removed within
     * some turns. It may remove any watch, itself too, and add others. */
    void (*turn)(struct lsqi_watch *watch, bool stopping);
    int64_t due; /* ns; INT64_MAX: never */
    struct pollfd
        *fds; /* its owner's; their revents are set by the loop, and cleared by the owner */
    unsigned fd_count;
    bool ready; /* a descriptor is: see its revents. Or said by its owner: there is more to do */
    struct lsqi_watch *next;
    struct lsqi_watch *prev;
};

void lsqi_watch_add(struct lsqi_watch *watch);
void lsqi_watch_remove(struct lsqi_watch *watch);

/* ---- For the loop ---- */

void lsqi_watches_turn(bool stopping);
/* The first of all; NULL: there is none. */
struct lsqi_watch *lsqi_watches(void);
/* When the next one is due; 0: now. */
int64_t lsqi_watches_due(void);

#endif
