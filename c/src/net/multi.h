/* multi.h - a multi handle of libcurl that is driven by its sockets and its timer: what a turn costs grows with what
 * has happened, not with what waits (as it does with curl_multi_perform() and curl_multi_poll()).
 * Threads: the I/O thread. */
#ifndef LSQI_NET_MULTI_H
#define LSQI_NET_MULTI_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct lsqi_multi {
    void *handle;       /* libcurl's; NULL: there is none */
    struct pollfd *fds; /* that it waits for; revents: what came */
    unsigned count;
    unsigned room;
    int64_t due; /* ns, when it wants to be driven at the latest; INT64_MAX: never */
    bool failed; /* no memory for a descriptor */
};

/* libcurl is loaded. The struct stays where it is until the release. False: no memory. */
bool lsqi_multi_init(struct lsqi_multi *multi);
/* Of one that was never made, too. */
void lsqi_multi_release(struct lsqi_multi *multi);

/* Lets libcurl go on with what came, and with what is due. False: it is out of memory, or worse. */
bool lsqi_multi_drive(struct lsqi_multi *multi);
/* An exchange that has ended, and libcurl's result; NULL: there is none more. */
void *lsqi_multi_ended(const struct lsqi_multi *multi, int *result);

#endif
