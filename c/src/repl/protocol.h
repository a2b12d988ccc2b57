/* protocol.h - the ways to follow a server, and which of them a replica goes.
 *
 * Whatever the protocol, a place in the server's log is one number that grows: `next`, the frame after what one has.
 * v1 numbers its frames so itself; with v2 it is the generation and the frame in it (lsqi_v2_place()).
 * Threads: of who runs the exchange. */
#ifndef LSQI_REPL_PROTOCOL_H
#define LSQI_REPL_PROTOCOL_H

#include "repl/state.h"
#include "repl/transfer.h"

/* What is at a place of the server's log. */
struct lsqi_peek {
    bool frames; /* some; else nothing, and: */
    bool gone;   /* that part of the log is not there any more */
    uint64_t
        on; /* where the log goes on: the place itself, at the end of all; 0: gone, or in no later one */
};

struct lsqi_push_answer {
    bool ok;       /* it says that it took them, all, and nothing else */
    bool conflict; /* it says that it has others there */
    char baton
        [256]; /* by which what is pushed next belongs to it: of the one before, then the new one; "" */
};

struct lsqi_protocol {
    enum lsq_sync_protocol kind;
    const char *question; /* by which greet() begins, for people */
    /* Asks who the server is, and how far: replica->hello. LSQ_PROTOCOL_UNSUPPORTED: it does not speak this. */
    enum lsq_status (*greet)(struct lsqi_replica *replica, struct lsq_error *err);
    /* Asks for frames from replica->next on, which are told to lsqi_follow_frame(). *end: there were none, or as many
     * as the server has; the greeting may have to be said anew (replica->greeted is false then, and *end too). */
    enum lsq_status (*fetch)(struct lsqi_replica *replica, bool *end, struct lsq_error *err);
    /* What the server has from that place on, at most count frames, as they come, in *frames. NULL, and push: it takes
     * none. */
    enum lsq_status (*peek)(struct lsqi_replica *replica, uint64_t place, unsigned count,
                            struct lsqi_buf *frames, struct lsqi_peek *peek, struct lsq_error *err);
    /* Gives it frames, the first one for that place. LSQ_OK: it answered; only what peek() finds there then is sure. */
    enum lsq_status (*push)(struct lsqi_replica *replica, uint64_t place,
                            const struct lsqi_buf *frames, unsigned count,
                            struct lsqi_push_answer *answer, struct lsq_error *err);
    /* Checksums go on from frame to frame. Else each is of its frame alone, to know it again by. */
    bool chained;
    /* ms for which a greeting holds, and not after a failure; 0: until the server wants another */
    int greeting_ms;
};

extern const struct lsqi_protocol lsqi_protocol_v1;
extern const struct lsqi_protocol lsqi_protocol_v2;

/* Says hello, by the protocol that was asked for; or, for LSQ_SYNC_AUTO, by the one that served last, or else v2 and
 * v1, in this order. LSQ_PROTOCOL_UNSUPPORTED says what was asked and answered. */
enum lsq_status lsqi_protocol_greet(struct lsqi_replica *replica, struct lsq_error *err);
/* What is known before the first greeting: what was asked for, or what the metadata say of the file. */
void lsqi_protocol_recall(struct lsqi_replica *replica);

/* ---- For protocols ---- */

/* A request, as all of them are made. */
struct lsqi_transfer_call lsqi_protocol_call(struct lsqi_replica *replica,
                                             const struct lsqi_server_address *address,
                                             struct lsqi_decoder *decoder);
/* What a request came to, and what was made of it: counted, and told to the breaker of the address. */
void lsqi_protocol_note(struct lsqi_replica *replica, const struct lsqi_transfer_end *end,
                        enum lsq_status st);

#endif
