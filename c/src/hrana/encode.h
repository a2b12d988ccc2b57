/* encode.h - requests of the Hrana protocol, as JSON text. Opens no socket.
 * Source of the rules: the HRANA_3_SPEC and HTTP_V2_SPEC of libSQL's documentation.
 *
 *     lsqi_hrana_check(sql, len, params, err) for each statement; then
 *     lsqi_hrana_begin(&buf, baton);
 *     lsqi_hrana_execute(&buf, &stmt);
 *     lsqi_hrana_request(&buf, "close");
 *     if (!lsqi_hrana_end(&buf)) out of memory
 *
 * A buffer remembers that memory ran out; what is written then is dropped, and only the end asks.
 * Threads: the buffer's owner. */
#ifndef LSQI_HRANA_ENCODE_H
#define LSQI_HRANA_ENCODE_H

#include "base/buf.h"
#include "lsq/lsq.h"

/* A statement of an execute request or of a batch's step. */
struct lsqi_hrana_stmt {
    const char *sql; /* NULL: sql_id */
    size_t len;
    int32_t sql_id;                  /* given by store_sql */
    const struct lsq_params *params; /* may be NULL. Names are sent as they stand */
    bool want_rows; /* false: the server may leave them out; sqld sends them all the same */
};

/* Whether a server can take it: to be asked before anything is sent. Infinite numbers (JSON has none, and servers
 * take no substitute) and texts that are not UTF-8 are LSQ_PARAMETERS, with the parameter's number, from 1, in
 * the message; SQL that is not UTF-8 is LSQ_BAD_ARGUMENT. NaN is sent as NULL, as the engine stores it. What is
 * encoded unchecked is JSON all the same, with null and U+FFFD in those places. sql and params may be NULL. */
enum lsq_status lsqi_hrana_check(const char *sql, size_t len, const struct lsq_params *params,
                                 struct lsq_error *err);

/* A pipeline: {"baton": ..., "requests": [ ; baton may be NULL. */
void lsqi_hrana_begin(struct lsqi_buf *buf, const char *baton);
void lsqi_hrana_execute(struct lsqi_buf *buf, const struct lsqi_hrana_stmt *stmt);
void lsqi_hrana_describe(struct lsqi_buf *buf, const char *sql, size_t len);
void lsqi_hrana_sequence(struct lsqi_buf *buf, const char *sql, size_t len);
void lsqi_hrana_store_sql(struct lsqi_buf *buf, int32_t sql_id, const char *sql, size_t len);
void lsqi_hrana_close_sql(struct lsqi_buf *buf, int32_t sql_id);
/* A request without fields: "close", "get_autocommit". */
void lsqi_hrana_request(struct lsqi_buf *buf, const char *type);
/* ]} ; false: memory ran out on the way. */
bool lsqi_hrana_end(struct lsqi_buf *buf);

/* Conditions of a batch's step: on what came of an earlier one. */
enum lsqi_hrana_cond_kind {
    LSQI_HRANA_ALWAYS,
    LSQI_HRANA_IF_OK,     /* step succeeded */
    LSQI_HRANA_IF_NOT_OK, /* step failed, or was not run */
    LSQI_HRANA_IF_IN_TXN  /* not is_autocommit; hrana3 */
};
struct lsqi_hrana_cond {
    enum lsqi_hrana_cond_kind kind;
    size_t step;
};

/* A batch among the requests of a pipeline: begin, steps, end. */
void lsqi_hrana_batch_begin(struct lsqi_buf *buf);
void lsqi_hrana_batch_step(struct lsqi_buf *buf, const struct lsqi_hrana_stmt *stmt,
                           struct lsqi_hrana_cond cond);
void lsqi_hrana_batch_end(struct lsqi_buf *buf);

/* The body of POST /v3/cursor, with one step. False: memory ran out. */
bool lsqi_hrana_cursor(struct lsqi_buf *buf, const char *baton, const struct lsqi_hrana_stmt *stmt,
                       struct lsqi_hrana_cond cond);

#endif
