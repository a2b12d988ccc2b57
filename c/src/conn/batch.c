#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "conn/conn.h"
#include "engine/failure.h"

enum { WATCH_STEPS = 1000 };

/* ---- As one transaction ---- */

/* Ends a transaction that this file began: commits, or rolls back where st is an error. */
static enum lsq_status finish(struct lsq_conn *conn, enum lsq_status st, struct lsq_error *err) {
    /* What fails at the end is no single statement's fault; before, *err may hold anything. */
    int number = st == LSQ_OK || err == NULL ? 0 : err->statement;

    if (st == LSQ_OK) {
        st = lsqi_run_text(conn, "COMMIT", err);
        if (st == LSQ_OK) return LSQ_OK;
    }
    if (!sqlite3_get_autocommit(conn->db)) (void)lsqi_undo_run(conn, LSQI_ROLLBACK, NULL);
    if (err != NULL) {
        err->statement = number;
        err->outcome = LSQ_OUTCOME_NONE;
    }
    return st;
}

/* ---- Batches ---- */

struct batch {
    struct lsq_conn *conn;
    const struct lsq_sink *sink;
    void *ctx;
    bool transaction;
    int number; /* of the statement that runs, from 1 */
    size_t done;
    struct lsq_error *err;
};

/* What has been done is not undone, so the batch must not be begun again from its start: from here on it
 * waits itself for the locks of others, on whatever thread it runs. */
static void keep_waiting(struct batch *batch) {
    if (!batch->transaction) batch->conn->run.flags &= ~(unsigned)LSQ_CALL_NOWAIT;
}

static enum lsq_status fail(struct batch *batch, enum lsq_status st) {
    struct lsq_error *err = batch->err;

    if (err == NULL) return st;
    err->statement = batch->number;
    if (batch->done == 0 || batch->transaction) return st;
    err->transient = false;
    /* In a transaction of the caller's nothing is stored yet. */
    if (err->outcome == LSQ_OUTCOME_NONE && sqlite3_get_autocommit(batch->conn->db))
        err->outcome = LSQ_OUTCOME_UNKNOWN;
    return st;
}

static enum lsq_status run_one(struct batch *batch, struct lsqi_prepared *prepared,
                               const struct lsq_params *params) {
    struct lsq_reply reply;
    enum lsq_status st;

    if (batch->transaction && (prepared->record.actions & LSQI_TXN) != 0)
        return lsqi_error_set(batch->err, LSQ_IN_TRANSACTION,
                              "the batch is a transaction already: it can hold neither BEGIN nor "
                              "COMMIT nor ROLLBACK");
    st = lsqi_call_check(batch->conn, batch->err);
    if (st == LSQ_OK)
        st = lsqi_run(batch->conn, prepared, params, batch->sink, batch->ctx, &reply, batch->err);
    if (st != LSQ_OK) return st;
    batch->done++;
    keep_waiting(batch);
    if (batch->sink != NULL && batch->sink->statement_end != NULL &&
        !batch->sink->statement_end(batch->ctx, batch->number, &reply))
        return lsqi_error_set(batch->err, LSQ_NOMEM, "%s", lsq_status_text(LSQ_NOMEM));
    return LSQ_OK;
}

static enum lsq_status run_items(struct batch *batch, const void *items, size_t count) {
    const struct lsq_batch_item *list = items;
    enum lsq_status st = LSQ_OK;

    for (size_t i = 0; st == LSQ_OK && i < count; i++) {
        struct lsqi_prepared *prepared;

        batch->number = (int)i + 1;
        st = lsqi_statement_get(batch->conn, list[i].sql, list[i].len, &prepared, batch->err);
        if (st != LSQ_OK) break;
        st = run_one(batch, prepared, &list[i].params);
        lsqi_statement_done(batch->conn, prepared);
    }
    return st == LSQ_OK ? LSQ_OK : fail(batch, st);
}

/* The NUL behind the text is part of what the engine is given: without it, it would copy all the rest
 * of the text for each statement. */
static enum lsq_status run_copy(struct batch *batch, const char *sql, size_t len) {
    size_t at = 0;

    while (at += lsqi_sql_skip(sql + at, len - at, true), at < len) {
        struct lsqi_prepared prepared = {0};
        size_t used = 0;
        enum lsq_status st;

        batch->number++;
        st = lsqi_prepare(batch->conn, &prepared, sql + at, len - at + 1, false, &used, batch->err);
        if (st == LSQ_OK) st = run_one(batch, &prepared, NULL);
        lsqi_prepared_release(&prepared);
        if (st != LSQ_OK) {
            if (batch->err != NULL && batch->err->sql_offset >= 0)
                batch->err->sql_offset += (int)at;
            return fail(batch, st);
        }
        at += used;
    }
    return LSQ_OK;
}

static enum lsq_status run_sql(struct batch *batch, const void *sql, size_t len) {
    enum lsq_status st = lsqi_sql_check(sql, len, batch->err);
    char *copy;

    if (st != LSQ_OK) return st;
    copy = lsqi_strndup(sql, len);
    if (copy == NULL) return lsqi_error_set(batch->err, LSQ_NOMEM, "out of memory for the SQL");
    st = run_copy(batch, copy, len);
    lsqi_free(copy);
    return st;
}

typedef enum lsq_status batch_body(struct batch *batch, const void *work, size_t size);

static enum lsq_status run_batch(struct batch *batch, const struct lsq_call *call, batch_body *body,
                                 const void *work, size_t size, size_t *done) {
    struct lsq_conn *conn = batch->conn;
    struct lsq_call own = {0};
    enum lsq_status st;

    if (done != NULL) *done = 0;
    st = lsqi_call_not_short(call, batch->err);
    if (st != LSQ_OK) return st;
    if (call != NULL) own = *call;
    /* A batch is not begun again from its start: it has neither budget nor row count. */
    own.flags &= LSQ_CALL_NOWAIT | LSQ_CALL_TRANSACTION;
    batch->transaction = (own.flags & LSQ_CALL_TRANSACTION) != 0;
    st = lsqi_call_begin(conn, &own, batch->err);
    if (st != LSQ_OK) return st;
    if (batch->transaction && !sqlite3_get_autocommit(conn->db))
        st = lsqi_error_set(batch->err, LSQ_IN_TRANSACTION,
                            "a transaction is open already: run the batch in it as a plain one");
    else if (batch->transaction)
        st = lsqi_run_text(conn, "BEGIN DEFERRED", batch->err);
    if (st == LSQ_OK) {
        st = body(batch, work, size);
        if (batch->transaction) st = finish(conn, st, batch->err);
    }
    lsqi_call_end(conn);
    if (done != NULL) *done = batch->done;
    return st;
}

/* ---- Of a replica: all of it here, or all of it at the primary ---- */

/* What one statement makes of the way of all: one that is the primary's takes the others with it. */
static enum lsq_status look_at(struct lsq_conn *conn, const char *sql, size_t len,
                               enum lsqi_way *way, struct lsq_error *err) {
    struct lsqi_prepared *prepared;
    enum lsqi_way own;
    enum lsq_status st = lsqi_statement_way(conn, sql, len, &prepared, &own, err);

    if (st != LSQ_OK) return st;
    if (prepared != NULL) lsqi_statement_done(conn, prepared);
    if (own != LSQI_HERE) *way = own;
    return LSQ_OK;
}

static enum lsq_status look_at_items(struct lsq_conn *conn, const struct lsqi_again *work,
                                     enum lsqi_way *way, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    for (size_t i = 0; *way != LSQI_THERE && st == LSQ_OK && i < work->count; i++) {
        st = look_at(conn, work->items[i].sql, work->items[i].len, way, err);
        if (st != LSQ_OK && err != NULL) err->statement = (int)i + 1;
    }
    return st;
}

static enum lsq_status look_at_text(struct lsq_conn *conn, const struct lsqi_again *work,
                                    enum lsqi_way *way, struct lsq_error *err) {
    const char *sql = work->sql;
    size_t len = work->len;
    enum lsq_status st = lsqi_sql_check(sql, len, err);
    size_t at = 0;

    while (*way != LSQI_THERE && st == LSQ_OK &&
           (at += lsqi_sql_skip(sql + at, len - at, true), at < len)) {
        size_t n = lsqi_sql_statement(sql + at, len - at);

        st = look_at(conn, sql + at, n, way, err);
        at += n;
    }
    return st;
}

static enum lsq_status look_at_all(struct lsq_conn *conn, const struct lsqi_again *work,
                                   enum lsqi_way *way, struct lsq_error *err) {
    if (lsqi_is_there(conn)) {
        *way = LSQI_THERE;
        return LSQ_OK;
    }
    switch (work->what) {
    case LSQI_AGAIN_BATCH: return look_at_items(conn, work, way, err);
    case LSQI_AGAIN_TEXT: return look_at_text(conn, work, way, err);
    default: return look_at(conn, work->sql, work->len, way, err);
    }
}

/* Where all of it is to run. It compiles, so the call is long. LSQI_BEHIND: a call has begun, for lsqi_later(). */
static enum lsq_status look(struct lsq_conn *conn, const struct lsqi_again *work,
                            enum lsqi_way *way, struct lsq_error *err) {
    enum { KEPT = LSQ_CALL_BUDGET | LSQI_CALL_WAITED | LSQI_CALL_BEHIND };
    struct lsq_call own = {0};
    enum lsq_status st = lsqi_call_not_short(work->call, err);

    *way = LSQI_HERE;
    if (!atomic_load(&conn->is_replica) || st != LSQ_OK) return st;
    if (work->call != NULL) own = *work->call;
    own.flags = LSQ_CALL_NOWAIT | (own.flags & KEPT);
    st = lsqi_call_begin(conn, &own, err);
    if (st != LSQ_OK) return st;
    st = look_at_all(conn, work, way, err);
    if (st != LSQ_OK || *way != LSQI_BEHIND) lsqi_call_end(conn);
    return st;
}

/* ---- Batches, of statements and of text ---- */

enum lsq_status lsq_batch(struct lsq_conn *conn, const struct lsq_batch_item *items, size_t count,
                          const struct lsq_call *call, const struct lsq_sink *sink, void *ctx,
                          size_t *done, struct lsq_error *err) {
    struct batch batch = {.conn = conn, .sink = sink, .ctx = ctx, .err = err};
    const struct lsqi_again work = {.what = LSQI_AGAIN_BATCH,
                                    .items = items,
                                    .count = count,
                                    .call = call,
                                    .sink = sink,
                                    .ctx = ctx,
                                    .done = done};
    enum lsqi_way way = LSQI_HERE;
    enum lsq_status st;

    if (done != NULL) *done = 0;
    if (items == NULL && count > 0)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the batch's statements are NULL");
    if (conn->remote != NULL)
        return lsqi_remote_batch(conn->remote, items, count, call, sink, ctx, done, err);
    st = count == 0 ? LSQ_OK : look(conn, &work, &way, err);
    if (st != LSQ_OK) return st;
    if (way == LSQI_BEHIND) return lsqi_later(conn, &work, err);
    if (way == LSQI_THERE)
        return lsqi_remote_batch(conn->primary, items, count, call, sink, ctx, done, err);
    return run_batch(&batch, call, run_items, items, count, done);
}

enum lsq_status lsq_batch_sql(struct lsq_conn *conn, const char *sql, size_t len,
                              const struct lsq_call *call, const struct lsq_sink *sink, void *ctx,
                              size_t *done, struct lsq_error *err) {
    struct batch batch = {.conn = conn, .sink = sink, .ctx = ctx, .err = err};
    const struct lsqi_again work = {.what = LSQI_AGAIN_TEXT,
                                    .sql = sql,
                                    .len = len,
                                    .call = call,
                                    .sink = sink,
                                    .ctx = ctx,
                                    .done = done};
    enum lsqi_way way;
    enum lsq_status st;

    if (done != NULL) *done = 0;
    if (conn->remote != NULL)
        return lsqi_remote_batch_sql(conn->remote, sql, len, call, sink, ctx, done, err);
    st = look(conn, &work, &way, err);
    if (st != LSQ_OK) return st;
    if (way == LSQI_BEHIND) return lsqi_later(conn, &work, err);
    if (way == LSQI_THERE)
        return lsqi_remote_batch_sql(conn->primary, sql, len, call, sink, ctx, done, err);
    return run_batch(&batch, call, run_sql, sql, len, done);
}

/* ---- One statement, many rows of parameters ---- */

struct many {
    struct lsq_conn *conn;
    struct lsqi_prepared *prepared;
    lsq_next_params *next;
    void *next_ctx;
    const struct lsq_sink *sink;
    void *ctx;
    struct lsq_reply *reply;
    struct lsq_error *err;
};

/* Runs the statement for one row. The rows that it returns belong to one result. */
static enum lsq_status run_row(struct many *many, const struct lsq_params *row, bool first) {
    struct lsqi_prepared *prepared = many->prepared;
    sqlite3_stmt *stmt = prepared->stmt;
    enum lsq_status st = lsqi_bind(prepared, row, false, many->err);
    int rc;

    if (st != LSQ_OK) return st;
    rc = sqlite3_step(stmt);
    if (first && (rc == SQLITE_ROW || rc == SQLITE_DONE)) {
        many->reply->columns = (size_t)sqlite3_column_count(stmt);
        if (!lsqi_push_columns(stmt, 0, many->sink, many->ctx)) st = LSQ_NOMEM;
    }
    while (st == LSQ_OK && rc == SQLITE_ROW) {
        if (!lsqi_push_row(stmt, (int)many->reply->columns, many->sink, many->ctx)) st = LSQ_NOMEM;
        many->reply->rows++;
        rc = sqlite3_step(stmt);
    }
    if (st != LSQ_OK) {
        sqlite3_reset(stmt);
        return lsqi_error_set(many->err, st, "%s", lsq_status_text(st));
    }
    if (rc != SQLITE_DONE) return lsqi_run_failed(many->conn, prepared, rc, many->err);
    if (prepared->record.dml != LSQ_COMMAND_OTHER)
        many->reply->changes += sqlite3_changes64(many->conn->db);
    sqlite3_reset(stmt);
    return LSQ_OK;
}

static enum lsq_status run_rows(struct many *many) {
    enum lsq_status st = LSQ_OK;
    int number = 0;

    lsqi_watch_begin(many->conn, many->prepared, WATCH_STEPS);
    while (st == LSQ_OK) {
        struct lsq_params row;
        char why[256] = "the row of parameters is not valid";
        int more = many->next(many->next_ctx, &row, why);

        if (more == 0) break;
        number++;
        if (more < 0)
            st = lsqi_error_set(many->err, LSQ_PARAMETERS, "%s", why);
        else
            st = lsqi_call_check(many->conn, many->err);
        if (st == LSQ_OK) st = run_row(many, &row, number == 1);
    }
    sqlite3_clear_bindings(many->prepared->stmt);
    if (st != LSQ_OK && many->err != NULL) many->err->statement = number;
    if (st != LSQ_OK || number > 0) return st;
    /* No rows of parameters: the result is empty, and has its columns. */
    many->reply->columns = (size_t)sqlite3_column_count(many->prepared->stmt);
    if (!lsqi_push_columns(many->prepared->stmt, 0, many->sink, many->ctx))
        st = lsqi_error_set(many->err, LSQ_NOMEM, "%s", lsq_status_text(LSQ_NOMEM));
    return st;
}

static enum lsq_status run_many(struct many *many) {
    struct lsq_conn *conn = many->conn;
    bool own = sqlite3_get_autocommit(conn->db) != 0;
    enum lsq_status st;

    if (many->prepared->stmt == NULL)
        return lsqi_error_set(many->err, LSQ_SQL, "there is no statement in the text");
    st = lsqi_run_allowed(conn, many->prepared, many->err);
    if (st != LSQ_OK) return st;
    if (own)
        st = lsqi_run_text(conn, many->prepared->record.writes != 0 ? "BEGIN IMMEDIATE" : "BEGIN",
                           many->err);
    if (st != LSQ_OK) return st;
    st = run_rows(many);
    st = lsqi_run_ended(conn, many->prepared, st, many->err);
    return own ? finish(conn, st, many->err) : st;
}

enum lsq_status lsq_exec_many(struct lsq_conn *conn, const char *sql, size_t len,
                              lsq_next_params *next, void *next_ctx, const struct lsq_call *call,
                              const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                              struct lsq_error *err) {
    struct lsq_reply own = {0};
    struct many many = {.conn = conn, .next = next, .next_ctx = next_ctx, .sink = sink};
    struct lsq_call plain = {0};
    const struct lsqi_again work = {.what = LSQI_AGAIN_MANY,
                                    .sql = sql,
                                    .len = len,
                                    .next = next,
                                    .next_ctx = next_ctx,
                                    .call = call,
                                    .sink = sink,
                                    .ctx = ctx,
                                    .reply = reply};
    enum lsqi_way way;
    enum lsq_status st;

    if (conn->remote != NULL)
        return lsqi_remote_exec_many(conn->remote, sql, len, next, next_ctx, call, sink, ctx, reply,
                                     err);
    st = look(conn, &work, &way, err);
    if (st != LSQ_OK) return st;
    if (way == LSQI_BEHIND) return lsqi_later(conn, &work, err);
    if (way == LSQI_THERE)
        return lsqi_remote_exec_many(conn->primary, sql, len, next, next_ctx, call, sink, ctx,
                                     reply, err);
    if (call != NULL) plain = *call;
    plain.flags &= LSQ_CALL_NOWAIT;
    many.ctx = ctx;
    many.reply = &own;
    many.err = err;
    st = lsqi_call_begin(conn, &plain, err);
    if (st != LSQ_OK) return st;
    st = lsqi_statement_get(conn, sql, len, &many.prepared, err);
    if (st == LSQ_OK) {
        own.command = many.prepared->command;
        st = run_many(&many);
        lsqi_statement_done(conn, many.prepared);
    }
    own.last_rowid = sqlite3_last_insert_rowid(conn->db);
    own.autocommit = sqlite3_get_autocommit(conn->db) != 0;
    lsqi_call_end(conn);
    if (st == LSQ_OK && reply != NULL) *reply = own;
    return st;
}
