/* peer.h - how a server is reached, seen by the exchanges. Threads: any; constant once made, but for the spare. */
#ifndef LSQI_NET_PEER_H
#define LSQI_NET_PEER_H

#include <stdatomic.h>

#include "net/http.h"

struct lsqi_http_peer {
    atomic_int refs;
    struct lsqi_http_peer_config cfg; /* with texts of its own */
    _Atomic(void *) spare; /* a handle of libcurl that has served one of its POSTs; NULL: none */
};

/* Sets what the peer says on a handle of libcurl, which copies it. False: no memory. */
bool lsqi_http_peer_apply(const struct lsqi_http_peer *peer, void *easy);

/* Takes the spare one, which knows all that every exchange of the peer has in common; NULL: there is none. Making a
 * handle costs as much as what it then does. */
void *lsqi_http_peer_take_handle(struct lsqi_http_peer *peer);
/* Gives it back, or one that may be the next. */
void lsqi_http_peer_give_handle(struct lsqi_http_peer *peer, void *easy);

#endif
