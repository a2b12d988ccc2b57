/* hub.h - WebSockets to servers, and their streams, shared by the connections of the process that have the same
 * address, namespace, token, key and TLS settings: a hub.
 *
 * A server may end a whole WebSocket for what one stream did to it, and runs a statement to its end even where its
 * stream was closed. So a hub has few streams, and a WebSocket on which somebody did not wait for an answer is left:
 * it gets no more to do, and ends with its last stream, which ends the statement, too.
 *
 * Threads: the I/O thread, all of it. */
#ifndef LSQI_REMOTE_HUB_H
#define LSQI_REMOTE_HUB_H

#include <stdatomic.h>

#include "net/watch.h"
#include "net/websocket.h"
#include "remote/talk.h"

struct lsqi_hub;
struct lsqi_socket;

struct lsqi_stream {
    struct lsqi_stream *next;
    struct lsqi_socket *socket;
    struct lsqi_talk *talk; /* NULL: none under way */
    int32_t id;             /* unique in the process */
    int32_t open_request;
    bool opened;
    bool idle; /* anybody may have it */
    int64_t idle_since;
    char place[16]; /* its id */
};

struct lsqi_talk {
    struct lsqi_watch watch; /* the first: its deadlines */
    struct lsqi_server *server;
    size_t target;
    const struct lsqi_buf *body;
    const struct lsqi_talk_events *events;
    void *arg;
    int32_t place; /* 0: any */
    bool begins;
    bool fresh;
    bool looks;
    int first_byte_ms;
    int64_t started;
    int64_t begin_at;
    int64_t total_due;
    int64_t first_byte_due;
    struct lsqi_hub *hub; /* NULL: not begun, or ended */
    struct lsqi_talk *next_waiting;
    struct lsqi_stream *stream; /* NULL: it waits for one */
    bool sent;
    int32_t first_request;
    unsigned requests;
    unsigned answered;
    atomic_int refs;
    atomic_bool cancelled;
    bool ended;
};

/* Gives it a stream, now or later, and sends it. */
void lsqi_hub_begin(struct lsqi_talk *talk);
/* Its answer is not waited for any more. */
void lsqi_hub_abandon(struct lsqi_talk *talk);
void lsqi_hub_leave(int32_t stream, bool keep);

/* Of talk.c: ends it, where it has not ended; its stream is what end says. */
void lsqi_talk_end(struct lsqi_talk *talk, const struct lsqi_talk_end *end);

#endif
