/* talk.h - requests to a server over a WebSocket, and their answers. Many connections of the process share the
 * WebSocket, and its streams: a stream serves one talk after the other, and is a connection's own only while that has
 * a transaction open in it. What is said here is for exchange.c; hub.h is below.
 *
 * Threads: a talk is begun and cancelled anywhere; events are called on the I/O thread. */
#ifndef LSQI_REMOTE_TALK_H
#define LSQI_REMOTE_TALK_H

#include "base/buf.h"
#include "net/http.h"
#include "remote/server.h"

struct lsqi_talk;

struct lsqi_talk_end {
    /* DONE: every request was answered, or the server refused the whole: status. */
    struct lsqi_http_end http; /* status 200: they were answered */
    /* No WebSocket is to be had from this server: by HTTP it may be reached. Nothing has run. */
    bool no_socket;
    bool for_good; /* it said so itself */
    /* What the server said of a refusal, as JSON; borrowed. NULL: nothing. */
    const char *refusal;
    size_t refusal_len;
    /* The stream, which is the talk's until lsqi_talk_leave(); NULL: it is gone. Borrowed. */
    const char *place;
};

struct lsqi_talk_events {
    /* The answer to the request at that place of the body: a message. False: no more is wanted; the stream is closed,
     * and the end is CANCELLED. */
    bool (*message)(void *arg, size_t request, const char *data, size_t len);
    void (*done)(void *arg, const struct lsqi_talk_end *end);
};

/* Borrowed until lsqi_talk_start() returns, but body: until done(). */
struct lsqi_talk_request {
    struct lsqi_server *server;
    size_t target;
    const struct lsqi_buf *body; /* of lsqi_hrana_begin(), without an end */
    const char *place;           /* of the transaction's stream; NULL: any */
    bool begins;                 /* a transaction may be open in the stream afterwards */
    bool fresh;                  /* a stream that nothing was run in */
    bool looks; /* the server is to look at its schema first: an open stream may know an old one */
    int delay_ms;
    int total_ms;      /* 0: none */
    int first_byte_ms; /* from sending to the first answer; 0: only total_ms */
    const struct lsqi_talk_events *events;
    void *arg;
};

/* As lsqi_http_start(). */
enum lsq_status lsqi_talk_start(struct lsqi_talk **out, const struct lsqi_talk_request *request,
                                struct lsq_error *err);
/* As lsqi_http_cancel(). */
void lsqi_talk_cancel(struct lsqi_talk *talk);

/* Lets go of a stream. keep: another talk may have it; else the server closes it, and undoes what is open in it. Any
 * thread. */
void lsqi_talk_leave(const char *place, bool keep);

/* Figures of the process since its start, for tests and for who looks after it. */
struct lsqi_talk_figures {
    int64_t sockets; /* that a server agreed to */
    int64_t streams; /* opened */
    int64_t talks;   /* that came to their end with an answer */
};
void lsqi_talk_figures(struct lsqi_talk_figures *figures);

#endif
