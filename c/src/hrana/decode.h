/* decode.h - answers of the Hrana protocol: JSON text, as it comes from the network in pieces, to rows in a sink
 * and results told by a callback. Opens no socket.
 *
 * Values go straight from the piece in which they lie whole to the sink; what a piece's end cuts is put together
 * in a buffer. Whatever a server sends ends in a result or in an error: unknown keys, kinds of responses and of
 * cursor entries are passed over; numbers are taken as JSON numbers or as text; keys may come in any order; null
 * is as if the key were not there. What contradicts itself (a key twice, a step that succeeded and failed, a row
 * of another width than its columns) is an error. Not told of: whether there are as many results as requests.
 *
 * Bounds: nesting (64), one value (1 GiB as it is written), descriptions and a batch's errors (64 MiB, 8 million
 * entries), rows that come before their columns (1 GiB: they are kept as text until these come). Nothing else is
 * kept.
 *
 * A float that is null becomes NULL: JSON has no infinite numbers, and that is how sqld sends them, without their
 * sign. A surrogate without its other half, in an escape, becomes U+FFFD; bytes that are no UTF-8 are an error.
 * Threads: the decoder's owner. */
#ifndef LSQI_HRANA_DECODE_H
#define LSQI_HRANA_DECODE_H

#include "lsq/lsq.h"

struct lsqi_hrana_decoder;

enum lsqi_hrana_form {
    LSQI_HRANA_PIPELINE, /* {"baton":, "base_url":, "results": [...]} */
    LSQI_HRANA_CURSOR,   /* a line of {"baton":, "base_url":}, then an object a line */
    /* {"message":, "code":} or {"error":}, beside an HTTP status that is no success: ERROR is told */
    LSQI_HRANA_FAILURE,
    /* Messages of a WebSocket that answer requests, one after the other; lsqi_hrana_decoder_request() before each */
    LSQI_HRANA_MESSAGE
};

enum lsqi_hrana_kind {
    LSQI_HRANA_EXECUTE, /* one statement's result; a batch's steps and a cursor's, too */
    LSQI_HRANA_BATCH, /* the batch as a whole, after its steps: first those that succeeded, then the others */
    LSQI_HRANA_DESCRIBE,
    LSQI_HRANA_AUTOCOMMIT,
    LSQI_HRANA_OTHER,  /* sequence, store_sql, close_sql, close, ... */
    LSQI_HRANA_ERROR,  /* the request, or the step, failed */
    LSQI_HRANA_SKIPPED /* a batch's step was not run */
};

/* What a statement is. */
struct lsqi_hrana_description {
    size_t param_count;
    const char *const *params; /* names with their prefix, or NULL */
    size_t column_count;
    const char *const *columns;
    const char *const *types; /* declared, or NULL */
    bool is_explain;
    bool is_readonly;
};

/* What one request, or one step, came to. Texts are borrowed for the call. */
struct lsqi_hrana_result {
    enum lsqi_hrana_kind kind;
    size_t request; /* its place in the pipeline, from 0; a cursor's is 0 */
    size_t step;    /* its place in the batch, from 0; SIZE_MAX: it is no step */
    /* ERROR. With a cursor's "error" entry, step is SIZE_MAX. */
    const char *message;
    const char *code; /* "SQLITE_CONSTRAINT_UNIQUE", ...; "" where none is given */
    /* EXECUTE */
    size_t columns;
    size_t rows;
    int64_t affected_rows;
    int64_t last_rowid; /* 0 where none is given */
    /* AUTOCOMMIT */
    bool autocommit;
    /* DESCRIBE */
    const struct lsqi_hrana_description *description;
};

struct lsqi_hrana_handler {
    /* Where the rows of that request or step go (*ctx is the sink's context); NULL: they are dropped. Called
     * once for each statement's result that has columns. columns() is called for it, also where it has no rows;
     * types() too, where types is true and the slot is there. statement_end() is not. May be NULL. */
    const struct lsq_sink *(*sink)(void *arg, size_t request, size_t step, void **ctx);
    /* False stops the decoder with LSQ_INTERRUPTED. May not be NULL. */
    bool (*result)(void *arg, const struct lsqi_hrana_result *result);
    bool types;
    void *arg;
};

/* Borrows the handler. Errors: LSQ_NOMEM. */
enum lsq_status lsqi_hrana_decoder_new(struct lsqi_hrana_decoder **out, enum lsqi_hrana_form form,
                                       const struct lsqi_hrana_handler *handler,
                                       struct lsq_error *err);
void lsqi_hrana_decoder_free(struct lsqi_hrana_decoder *decoder); /* NULL is fine */

/* Decodes the next len bytes; *used gets how many were taken: fewer where the limit of rows was reached, and the
 * rest is to be given again once that is raised. After an error the decoder is of no more use.
 * Errors: LSQ_PROTOCOL_UNSUPPORTED (it is no JSON, or none that answers a request; the message says what and
 * where, and quotes no value), LSQ_NOMEM (of ours, or a slot of the sink returned false), LSQ_INTERRUPTED. */
enum lsq_status lsqi_hrana_decode(struct lsqi_hrana_decoder *decoder, const char *data, size_t len,
                                  size_t *used, struct lsq_error *err);

/* The input is at its end. Errors: LSQ_PROTOCOL_UNSUPPORTED where the answer is not whole. */
enum lsq_status lsqi_hrana_decode_end(struct lsqi_hrana_decoder *decoder, struct lsq_error *err);

/* Of LSQI_HRANA_MESSAGE: the place of the request that the next message answers. */
void lsqi_hrana_decoder_request(struct lsqi_hrana_decoder *decoder, size_t request);

/* At first there is no limit of rows. Sets one, or where there is one already raises it, by that many rows that
 * may still come; SIZE_MAX: no limit again. */
void lsqi_hrana_decoder_allow(struct lsqi_hrana_decoder *decoder, size_t rows);
/* Rows that may still come before it stops. */
size_t lsqi_hrana_decoder_allowed(const struct lsqi_hrana_decoder *decoder);

/* As far as it was decoded: NULL where it has not come, or is null. Borrowed until the decoder is freed. */
const char *lsqi_hrana_decoder_baton(const struct lsqi_hrana_decoder *decoder);
const char *lsqi_hrana_decoder_base_url(const struct lsqi_hrana_decoder *decoder);
/* The greatest replication_index seen; -1: none. */
int64_t lsqi_hrana_decoder_replication_index(const struct lsqi_hrana_decoder *decoder);
/* Whether anything has gone to a sink or to result(). */
bool lsqi_hrana_decoder_told(const struct lsqi_hrana_decoder *decoder);

#endif
