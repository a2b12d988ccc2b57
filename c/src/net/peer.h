/* peer.h - how a server is reached, seen by the exchanges. Threads: any; constant once made. */
#ifndef LSQI_NET_PEER_H
#define LSQI_NET_PEER_H

#include <stdatomic.h>

#include "net/http.h"

struct lsqi_http_peer {
    atomic_int refs;
    struct lsqi_http_peer_config cfg; /* with texts of its own */
};

/* Sets what the peer says on a handle of libcurl, which copies it. False: no memory. */
bool lsqi_http_peer_apply(const struct lsqi_http_peer *peer, void *easy);

#endif
