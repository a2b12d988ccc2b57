/* websocket.h - WebSockets (RFC 6455) as a client, on the I/O thread. libcurl makes the connection (names, proxies,
 * TLS), for all that it may be too old to know what a WebSocket is; the rest is ours. Messages are texts; whether
 * they are UTF-8 is for who reads them. Knows nothing of databases.
 *
 * Threads: the I/O thread, all of it; see lsqi_http_post(). */
#ifndef LSQI_NET_WEBSOCKET_H
#define LSQI_NET_WEBSOCKET_H

#include <sys/uio.h>

#include "net/http.h"

struct lsqi_ws;

struct lsqi_ws_end {
    /* DONE: the server did not agree to a WebSocket: status. TOO_BIG: a message was longer than max_message.
     * CANCELLED: by the shutdown. UNREACHABLE, TLS, TIMEOUT, FAILED: there was no connection. BROKEN: there was. */
    enum lsqi_http_end_kind kind;
    int status;          /* of HTTP */
    int code;            /* of the server's closing; 0: none */
    const char *message; /* borrowed */
};

struct lsqi_ws_events {
    /* A whole text; borrowed. */
    void (*message)(void *arg, const char *data, size_t len);
    /* The end, unless it was lsqi_ws_close()'s: the last that is called. */
    void (*closed)(void *arg, const struct lsqi_ws_end *end);
};

/* Copied, but for events and arg. */
struct lsqi_ws_config {
    struct lsqi_http_peer *peer;
    const char *url;            /* http:// or https:// */
    const char *const *headers; /* "Name: value", NULL behind the last; may be NULL */
    const char *protocol;       /* the one that the server has to speak */
    int connect_ms;             /* for the connection and the server's agreement */
    size_t max_message;         /* bytes */
    const struct lsqi_ws_events *events;
    void *arg;
};

/* Begins to connect. closed() is not called from within. Errors: LSQ_NOMEM. */
enum lsq_status lsqi_ws_open(struct lsqi_ws **out, const struct lsqi_ws_config *cfg,
                             struct lsq_error *err);

/* Sends a message, made of parts; before the server has agreed, too: it waits for that. False: no memory. */
bool lsqi_ws_send(struct lsqi_ws *ws, const struct iovec *parts, size_t count);

/* Bytes that were not taken by the network yet. */
size_t lsqi_ws_waiting(const struct lsqi_ws *ws);

/* Ends it, with what was sent before. It is gone for the caller. */
void lsqi_ws_close(struct lsqi_ws *ws);

#endif
