/* call.h - a call of one request; shared by the files that build one.
 *
 * call.c      from its beginning to its end: the answer, the stream after it
 * text.c      what a statement's text asks for, and its values
 * exec.c      one statement             batch.c     many, or one many times
 * txn.c       transactions
 *
 * Threads: as state.h. */
#ifndef LSQI_REMOTE_CALL_H
#define LSQI_REMOTE_CALL_H

#include "hrana/encode.h"
#include "remote/stmt.h"

/* What the request is, at its place in the pipeline. */
enum lsqi_shape {
    LSQI_SHAPE_ONE,  /* one statement */
    LSQI_SHAPE_MANY, /* a batch whose steps are one statement's runs: one result */
    LSQI_SHAPE_BATCH /* a batch of statements: a result for each */
};

/* What a success does to the transaction, for servers that cannot be asked. */
enum lsqi_effect { LSQI_EFFECT_NONE, LSQI_EFFECT_BEGINS, LSQI_EFFECT_ENDS };

struct lsqi_call {
    struct lsqi_pending pending;
    struct lsqi_exchange x;
    enum lsqi_shape shape;
    enum lsqi_effect effect;
    unsigned flags;
    size_t at;          /* the request's place in the pipeline */
    bool wrapped;       /* the batch's steps stand between BEGIN and COMMIT */
    bool in_txn;        /* the first step of a batch is run in a transaction only */
    bool writes;        /* what it runs may change something in the open transaction */
    bool undone;        /* so the server is to undo that */
    bool controls;      /* it is to begin or end a transaction: that it is over then is no loss */
    bool by_sql;        /* and it is the caller's text that does */
    bool gives_up;      /* a failure is none: the server undoes the transaction anyway */
    bool read_only;     /* LSQ_TXN_READ is what begins */
    int32_t stored_sql; /* of LSQI_SHAPE_MANY */
    size_t count;       /* of statements */
    enum lsq_command *commands; /* of each, or of LSQI_SHAPE_MANY's one */
    /* of the caller */
    const struct lsq_sink *sink;
    void *ctx;
    struct lsq_reply *reply;
    size_t *succeeded;
    struct lsqi_remote_stmt *described; /* owned until the call succeeds */
    struct lsqi_remote_stmt **stmt;
    /* of the answer */
    struct lsq_reply own;
    size_t steps_done;
    bool columns_told;
    bool answered;
    bool asked; /* autocommit is the server's word */
    bool autocommit;
    enum lsq_status st; /* of the statement, or the first of them that failed */
    struct lsq_error err;
};

/* In the gate, which is left where this fails (NULL, LSQ_NOMEM). Requests go to its x.body. options may be NULL. */
struct lsqi_call *lsqi_call_new(struct lsqi_remote *remote, enum lsqi_shape shape, size_t count,
                                const struct lsq_call *options, struct lsq_error *err);
/* Takes the call, sends it, and waits, or not: what lsq_exec() and its kin answer. */
enum lsq_status lsqi_call_run(struct lsqi_call *call, struct lsq_error *err);
/* Takes it, and leaves the gate; answers st. */
enum lsq_status lsqi_call_drop(struct lsqi_call *call, enum lsq_status st);

/* ---- text.c ---- */

/* Whether something may be stored once the statement has run. */
bool lsqi_call_may_store(const struct lsqi_sql_facts *facts, bool held);
enum lsqi_effect lsqi_call_effect(const struct lsqi_sql_facts *facts);
/* Whether the text names the columns by a star: a multiplication's stands behind a value. */
bool lsqi_call_has_star(const char *sql, size_t len);
/* Notes what the statement needs of a stream that others used, and leaves in it. */
void lsqi_call_note_stream(struct lsqi_call *call, const char *sql, size_t len,
                           const struct lsqi_sql_facts *facts);

/* ---- exec.c ---- */

/* What an empty text answers: but the connection has to be there. */
enum lsq_status lsqi_call_nothing(struct lsqi_remote *remote, const struct lsq_call *options,
                                  struct lsq_reply *reply, struct lsq_error *err);

#endif
