/* remote.h - connections to servers, by Hrana over HTTP; what conn/ calls for those that are one.
 *
 * server.c    where the server is, and what every request tells it
 * exchange.c  one call: sent, sent again, decoded, told
 * call.h      calls of one request: statements, batches, transactions
 * stmt.c      prepared statements            cursor.c    rows as they are asked for
 * failure.c   what a server says went wrong
 *
 * State. Outside a transaction a connection has none: each call is a request of its own. In one it has a stream:
 * the baton of its last answer. A call takes the baton and brings back the next; where it brings none, the
 * transaction is over.
 *
 * Threads: a call runs between lsqi_gate_begin() and _end(): it begins on the caller's thread, and goes on on the
 * I/O thread. */
#ifndef LSQI_REMOTE_REMOTE_H
#define LSQI_REMOTE_REMOTE_H

#include "base/gate.h"
#include "lsq/lsq.h"

struct lsqi_remote;
struct lsqi_remote_stmt;

/* Whether a path is a server's address. */
bool lsqi_remote_is_url(const char *path);

/* Calls nobody. Borrows the gate as long as it lives. */
enum lsq_status lsqi_remote_new(struct lsqi_remote **out, const struct lsq_config *cfg,
                                struct lsqi_gate *gate, struct lsq_error *err);
/* No call runs. NULL is fine. */
void lsqi_remote_free(struct lsqi_remote *remote);
/* Leaves the open transaction, which the server undoes: tells it so, and waits for nothing. In the gate. */
void lsqi_remote_leave(struct lsqi_remote *remote);
/* Under the gate's lock. */
void lsqi_remote_interrupt_locked(struct lsqi_remote *remote);

enum lsq_status lsqi_remote_set_token(struct lsqi_remote *remote, const char *token,
                                      struct lsq_error *err);
bool lsqi_remote_autocommit(const struct lsqi_remote *remote);
void lsqi_remote_info(struct lsqi_remote *remote, struct lsq_conn_info *info);

/* Whether no transaction is open, nor one that was lost and not yet left. In the gate. */
bool lsqi_remote_idle(const struct lsqi_remote *remote);
/* Who reads the server's log. Called on any thread, in the gate. */
struct lsqi_remote_watcher {
    /* How far he has it, before a call is sent. */
    uint64_t (*known)(void *arg);
    /* A call has been answered that may have stored something: index is how far one must have read the log to see it;
     * -1: that is not known. known as it was before. */
    void (*stored)(void *arg, uint64_t known, int64_t index);
    /* A call that stores nothing has been answered, with what is in the log up to index; -1: that is not known. */
    void (*seen)(void *arg, int64_t index);
    /* The server could not compile a statement. */
    void (*refused)(void *arg, const struct lsq_error *err);
};
/* At opening; watcher is constant. */
void lsqi_remote_watch(struct lsqi_remote *remote, const struct lsqi_remote_watcher *watcher,
                       void *arg);

/* The functions of lsq.h of these names, but for the gate, which they enter themselves. */
enum lsq_status lsqi_remote_exec(struct lsqi_remote *remote, const char *sql, size_t len,
                                 const struct lsq_params *params, const struct lsq_call *call,
                                 const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                 struct lsq_error *err);
enum lsq_status lsqi_remote_exec_many(struct lsqi_remote *remote, const char *sql, size_t len,
                                      lsq_next_params *next, void *next_ctx,
                                      const struct lsq_call *call, const struct lsq_sink *sink,
                                      void *ctx, struct lsq_reply *reply, struct lsq_error *err);
enum lsq_status lsqi_remote_batch(struct lsqi_remote *remote, const struct lsq_batch_item *items,
                                  size_t count, const struct lsq_call *call,
                                  const struct lsq_sink *sink, void *ctx, size_t *done,
                                  struct lsq_error *err);
enum lsq_status lsqi_remote_batch_sql(struct lsqi_remote *remote, const char *sql, size_t len,
                                      const struct lsq_call *call, const struct lsq_sink *sink,
                                      void *ctx, size_t *done, struct lsq_error *err);
enum lsq_status lsqi_remote_begin(struct lsqi_remote *remote, enum lsq_txn kind,
                                  const struct lsq_call *call, struct lsq_error *err);
enum lsq_status lsqi_remote_commit(struct lsqi_remote *remote, const struct lsq_call *call,
                                   struct lsq_error *err);
enum lsq_status lsqi_remote_rollback(struct lsqi_remote *remote, const struct lsq_call *call,
                                     struct lsq_error *err);
/* SAVEPOINT, RELEASE, ROLLBACK TO: verb and a name that is quoted already. */
enum lsq_status lsqi_remote_savepoint(struct lsqi_remote *remote, const char *sql,
                                      const struct lsq_call *call, struct lsq_error *err);

/* A statement, described by the server. handle: whose calls are to be told from others. */
enum lsq_status lsqi_remote_stmt_new(struct lsqi_remote_stmt **out, struct lsqi_remote *remote,
                                     const void *handle, const char *sql, size_t len,
                                     const struct lsq_call *call, struct lsq_error *err);
/* The same without asking the server: it can be run, and knows neither columns nor parameters. */
enum lsq_status lsqi_remote_stmt_bare(struct lsqi_remote_stmt **out, struct lsqi_remote *remote,
                                      const void *handle, const char *sql, size_t len,
                                      struct lsq_error *err);
/* It has been started, and not come to its end. */
bool lsqi_remote_stmt_started(const struct lsqi_remote_stmt *stmt);
/* In the gate, or where the connection is closed. NULL is fine. */
void lsqi_remote_stmt_free(struct lsqi_remote_stmt *stmt);
enum lsq_status lsqi_remote_stmt_exec(struct lsqi_remote_stmt *stmt,
                                      const struct lsq_params *params, const struct lsq_call *call,
                                      const struct lsq_sink *sink, void *ctx,
                                      struct lsq_reply *reply, struct lsq_error *err);
enum lsq_status lsqi_remote_stmt_start(struct lsqi_remote_stmt *stmt,
                                       const struct lsq_params *params, struct lsq_error *err);
enum lsq_status lsqi_remote_stmt_fetch(struct lsqi_remote_stmt *stmt, size_t max_rows,
                                       const struct lsq_call *call, const struct lsq_sink *sink,
                                       void *ctx, bool *end, struct lsq_error *err);
/* In the gate. */
void lsqi_remote_stmt_reset(struct lsqi_remote_stmt *stmt);
size_t lsqi_remote_stmt_columns(const struct lsqi_remote_stmt *stmt);
void lsqi_remote_stmt_column(const struct lsqi_remote_stmt *stmt, size_t i,
                             struct lsq_column *column);
size_t lsqi_remote_stmt_params(const struct lsqi_remote_stmt *stmt);
const char *lsqi_remote_stmt_param(const struct lsqi_remote_stmt *stmt, size_t i);
bool lsqi_remote_stmt_readonly(const struct lsqi_remote_stmt *stmt);

#endif
