/* v2_ask.h - one request of replication protocol v2, and its answer. Threads: of who runs the exchange. */
#ifndef LSQI_REPL_V2_ASK_H
#define LSQI_REPL_V2_ASK_H

#include "repl/state.h"
#include "repl/transfer.h"

/* An answer that is kept as a whole. */
struct lsqi_v2_text {
    struct lsqi_decoder decoder; /* first */
    size_t most;                 /* bytes that it may have */
    struct lsqi_buf text;        /* of a status of 200; else the transfer's end has it */
};

struct lsqi_v2_text lsqi_v2_text(size_t most);
void lsqi_v2_text_release(struct lsqi_v2_text *text);

struct lsqi_v2_request {
    const char *path;
    const struct lsqi_buf *body; /* to POST; NULL: GET */
    uint64_t from;               /* the answer's bytes from that one on; 0: all */
};

/* LSQ_OK: an answer came, whatever its status. *end is to be released in any case. One redirect is followed. */
enum lsq_status lsqi_v2_ask(struct lsqi_replica *replica, const struct lsqi_v2_request *request,
                            struct lsqi_decoder *decoder, struct lsqi_transfer_end *end,
                            struct lsq_error *err);

/* What an answer says that is none of those that the protocol knows: *err, and its status. */
enum lsq_status lsqi_v2_refused(const struct lsqi_transfer_end *end, struct lsq_error *err);

#endif
