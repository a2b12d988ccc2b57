#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "conn/conn.h"
#include "engine/failure.h"

enum { WATCH_STEPS = 1000 };

/* ---- Life ---- */

static void list_add(struct lsq_conn *conn, struct lsq_stmt *stmt) {
    stmt->next = conn->stmts;
    stmt->prev = NULL;
    if (conn->stmts != NULL) conn->stmts->prev = stmt;
    conn->stmts = stmt;
}

static void list_remove(struct lsq_conn *conn, struct lsq_stmt *stmt) {
    if (stmt->prev != NULL)
        stmt->prev->next = stmt->next;
    else if (conn->stmts == stmt)
        conn->stmts = stmt->next;
    if (stmt->next != NULL) stmt->next->prev = stmt->prev;
    stmt->next = NULL;
    stmt->prev = NULL;
}

static void forget_params(struct lsq_stmt *stmt) {
    lsqi_params_release(&stmt->params);
    stmt->params = (struct lsq_params){0};
}

/* Ends a cursor: the engine's rows and the kept ones. */
static void end_run(struct lsq_stmt *stmt) {
    if (stmt->stepped) atomic_fetch_sub(&stmt->conn->open_cursors, 1);
    stmt->stepped = false;
    stmt->started = false;
    lsq_result_free(stmt->kept);
    stmt->kept = NULL;
    forget_params(stmt);
    if (stmt->remote != NULL) lsqi_remote_stmt_reset(stmt->remote);
    if (stmt->prepared.stmt == NULL) return;
    sqlite3_reset(stmt->prepared.stmt);
    sqlite3_clear_bindings(stmt->prepared.stmt);
}

/* Takes the engine's part away. Who is in, or the helper. What a server said of it stays with the handle: its user
 * may be about to enter a connection that another thread closes. */
static void orphan(struct lsq_stmt *stmt) {
    end_run(stmt);
    lsqi_prepared_release(&stmt->prepared);
    list_remove(stmt->conn, stmt);
}

static void free_handle(struct lsq_stmt *stmt) {
    struct lsq_conn *conn = stmt->conn;

    lsq_result_free(stmt->kept);
    forget_params(stmt);
    lsqi_remote_stmt_free(stmt->remote);
    lsqi_free(stmt);
    lsqi_gate_unref(&conn->gate);
}

/* In a call, which it ends: the server's part comes to a handle that is there already. */
static enum lsq_status describe(struct lsq_stmt **out, struct lsq_stmt *stmt, const char *sql,
                                size_t len, const struct lsq_call *call, struct lsq_error *err) {
    struct lsq_conn *conn = stmt->conn;
    struct lsqi_remote *server = conn->remote != NULL ? conn->remote : conn->primary;
    enum lsq_status st;

    list_add(conn, stmt);
    lsqi_gate_ref(&conn->gate);
    lsqi_call_end(conn);
    /* Before it begins: a pending call may have ended, and the caller's memory be gone, when it returns. */
    *out = stmt;
    st = lsqi_remote_stmt_new(&stmt->remote, server, stmt, sql, len, call, err);
    if (st == LSQ_OK || st == LSQ_PENDING) return st;
    *out = NULL;
    lsq_stmt_free(stmt);
    return st;
}

enum lsq_status lsq_stmt_new(struct lsq_stmt **out, struct lsq_conn *conn, const char *sql,
                             size_t len, const struct lsq_call *call, struct lsq_error *err) {
    struct lsq_stmt *stmt;
    struct lsq_error why;
    size_t used = 0;
    enum lsq_status st = lsqi_sql_check(sql, len, err);

    if (st != LSQ_OK) return st;
    stmt = lsqi_calloc(1, sizeof(*stmt));
    if (stmt == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a statement");
    stmt->conn = conn;
    st = lsqi_call_begin(conn, NULL, err);
    if (st != LSQ_OK) goto undo_alloc;
    if (conn->remote != NULL) return describe(out, stmt, sql, len, call, err);
    st = lsqi_prepare(conn, &stmt->prepared, sql, len, true, &used, &why);
    if (lsqi_is_theirs(conn, st, &why)) return describe(out, stmt, sql, len, call, err);
    if (st != LSQ_OK && err != NULL) *err = why;
    if (st == LSQ_OK && stmt->prepared.stmt == NULL)
        st = lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no statement in the text");
    else if (st == LSQ_OK && used + lsqi_sql_skip(sql + used, len - used, true) < len)
        st = lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                            "the text holds more than one statement: run it as a batch");
    if (st != LSQ_OK) goto undo_call;
    list_add(conn, stmt);
    lsqi_gate_ref(&conn->gate);
    lsqi_call_end(conn);
    *out = stmt;
    return LSQ_OK;

undo_call:
    lsqi_prepared_release(&stmt->prepared);
    lsqi_call_end(conn);
undo_alloc:
    lsqi_free(stmt);
    return st;
}

static void push_discarded(void *arg) {
    struct lsq_stmt *stmt = arg;

    stmt->next_discarded = atomic_load(&stmt->conn->discarded);
    atomic_store(&stmt->conn->discarded, stmt);
}

void lsq_stmt_discard(struct lsq_stmt *stmt) {
    if (stmt == NULL) return;
    if (!lsqi_gate_hand_over(&stmt->conn->gate, push_discarded, stmt)) free_handle(stmt);
}

void lsq_stmt_free(struct lsq_stmt *stmt) {
    struct lsq_conn *conn;

    if (stmt == NULL) return;
    conn = stmt->conn;
    if (lsqi_call_begin(conn, NULL, NULL) != LSQ_OK) {
        lsq_stmt_discard(stmt);
        return;
    }
    orphan(stmt);
    lsqi_call_end(conn);
    free_handle(stmt);
}

/* Of those that were discarded, who is not held; the others stay. Under the gate's lock. */
static struct lsq_stmt *take_discarded_locked(struct lsq_conn *conn) {
    struct lsq_stmt *all = atomic_exchange(&conn->discarded, NULL);
    struct lsq_stmt *free = NULL;
    struct lsq_stmt *next;

    for (struct lsq_stmt *stmt = all; stmt != NULL; stmt = next) {
        next = stmt->next_discarded;
        stmt->next_discarded = stmt->held ? atomic_load(&conn->discarded) : free;
        if (stmt->held)
            atomic_store(&conn->discarded, stmt);
        else
            free = stmt;
    }
    return free;
}

void lsqi_stmt_reap(struct lsq_conn *conn) {
    struct lsq_stmt *list;

    if (atomic_load_explicit(&conn->discarded, memory_order_relaxed) == NULL) return;
    pthread_mutex_lock(&conn->gate.lock);
    list = take_discarded_locked(conn);
    pthread_mutex_unlock(&conn->gate.lock);
    while (list != NULL) {
        struct lsq_stmt *next = list->next_discarded;

        orphan(list);
        free_handle(list);
        list = next;
    }
}

static void nothing(void *arg) { (void)arg; }

void lsqi_stmt_hold(struct lsq_stmt *stmt, bool hold) {
    struct lsq_conn *conn = stmt->conn;
    bool any;

    pthread_mutex_lock(&conn->gate.lock);
    stmt->held = hold;
    any = !hold && atomic_load(&conn->discarded) != NULL;
    pthread_mutex_unlock(&conn->gate.lock);
    /* Nobody else comes to a connection that is closed. */
    if (any && !lsqi_gate_hand_over(&conn->gate, nothing, NULL)) lsqi_stmt_reap(conn);
}

void lsqi_stmt_reset_all(struct lsq_conn *conn) {
    for (struct lsq_stmt *stmt = conn->stmts; stmt != NULL; stmt = stmt->next) end_run(stmt);
}

void lsqi_stmt_orphan_all(struct lsq_conn *conn) {
    while (conn->stmts != NULL) orphan(conn->stmts);
}

const struct lsq_conn *lsq_stmt_conn(const struct lsq_stmt *stmt) { return stmt->conn; }

/* ---- Calls on a statement ---- */

/* Begins a call that needs the statement. */
static enum lsq_status begin(struct lsq_stmt *stmt, const struct lsq_call *call,
                             struct lsq_error *err) {
    enum lsq_status st = lsqi_call_begin(stmt->conn, call, err);

    if (st != LSQ_OK) return st;
    /* A replica that was frozen has another engine's handle, and no primary. */
    if (stmt->conn->remote == NULL && stmt->prepared.stmt == NULL &&
        (stmt->remote == NULL || stmt->conn->replica == NULL)) {
        lsqi_call_end(stmt->conn);
        return lsqi_error_set(err, LSQ_CLOSED, "%s", lsq_status_text(LSQ_CLOSED));
    }
    atomic_store_explicit(&stmt->conn->running, stmt, memory_order_relaxed);
    return LSQ_OK;
}

/* The engine does not know it: of a server's connection; or of a replica, whose primary has another schema. */
static bool is_theirs(const struct lsq_stmt *stmt) {
    return stmt->conn->remote != NULL || (stmt->prepared.stmt == NULL && stmt->conn->is_replica);
}

/* What the server knows of it. */
static enum lsq_status remote_part(struct lsq_stmt *stmt, struct lsq_error *err) {
    if (stmt->remote != NULL) return LSQ_OK;
    return lsqi_error_set(err, LSQ_CLOSED, "the statement is closed, or was never prepared");
}

/* Of a replica, in a call: what the primary is to be asked by, for a statement that was compiled here. */
static enum lsq_status theirs(struct lsq_stmt *stmt, struct lsq_error *err) {
    if (stmt->remote != NULL) return LSQ_OK;
    return lsqi_remote_stmt_bare(&stmt->remote, stmt->conn->primary, stmt, stmt->prepared.sql,
                                 stmt->prepared.len, err);
}

/* Of a replica, in a call: where the statement is to run. */
static enum lsqi_way way_of(const struct lsq_stmt *stmt) {
    if (stmt->conn->replica == NULL) return LSQI_HERE;
    return stmt->prepared.stmt == NULL ? LSQI_THERE : lsqi_way_of(stmt->conn, &stmt->prepared);
}

/* In a call, which it ends. */
static enum lsq_status exec_elsewhere(struct lsq_stmt *stmt, enum lsqi_way way,
                                      const struct lsqi_again *again, struct lsq_error *err) {
    enum lsq_status st;

    if (way == LSQI_BEHIND) return lsqi_later(stmt->conn, again, err);
    st = theirs(stmt, err);
    lsqi_call_end(stmt->conn);
    if (st == LSQ_OK) st = remote_part(stmt, err);
    return st != LSQ_OK ? st
                        : lsqi_remote_stmt_exec(stmt->remote, again->params, again->call,
                                                again->sink, again->ctx, again->reply, err);
}

enum lsq_status lsq_stmt_exec(struct lsq_stmt *stmt, const struct lsq_params *params,
                              const struct lsq_call *call, const struct lsq_sink *sink, void *ctx,
                              struct lsq_reply *reply, struct lsq_error *err) {
    struct lsq_reply own;
    enum lsqi_way way;
    enum lsq_status st;

    if (stmt->conn->remote != NULL) {
        st = remote_part(stmt, err);
        return st != LSQ_OK
                   ? st
                   : lsqi_remote_stmt_exec(stmt->remote, params, call, sink, ctx, reply, err);
    }
    st = begin(stmt, call, err);
    if (st != LSQ_OK) return st;
    if (stmt->started || stmt->remote != NULL) end_run(stmt);
    way = way_of(stmt);
    if (way != LSQI_HERE) {
        const struct lsqi_again again = {.what = LSQI_AGAIN_STMT,
                                         .stmt = stmt,
                                         .params = params,
                                         .call = call,
                                         .sink = sink,
                                         .ctx = ctx,
                                         .reply = reply};

        return exec_elsewhere(stmt, way, &again, err);
    }
    st = lsqi_run(stmt->conn, &stmt->prepared, params, sink, ctx, &own, err);
    own.prepared = true;
    if (st == LSQ_OK && reply != NULL) *reply = own;
    lsqi_call_end(stmt->conn);
    return st;
}

enum lsq_status lsq_stmt_start(struct lsq_stmt *stmt, const struct lsq_params *params,
                               struct lsq_error *err) {
    enum lsq_status st = begin(stmt, NULL, err);

    if (st != LSQ_OK) return st;
    end_run(stmt);
    if (stmt->conn->remote != NULL || way_of(stmt) == LSQI_THERE) {
        st = stmt->conn->remote != NULL || stmt->prepared.stmt == NULL ? LSQ_OK : theirs(stmt, err);
        if (st == LSQ_OK) st = remote_part(stmt, err);
        if (st == LSQ_OK) st = lsqi_remote_stmt_start(stmt->remote, params, err);
        lsqi_call_end(stmt->conn);
        return st;
    }
    st = lsqi_bind(&stmt->prepared, params, true, err);
    if (st == LSQ_OK && stmt->conn->replica != NULL && !lsqi_params_copy(&stmt->params, params))
        st = lsqi_error_set(err, LSQ_NOMEM, "out of memory for parameters");
    stmt->started = st == LSQ_OK;
    if (st != LSQ_OK) forget_params(stmt);
    if (st != LSQ_OK) sqlite3_clear_bindings(stmt->prepared.stmt);
    lsqi_call_end(stmt->conn);
    return st;
}

/* ---- Fetching ---- */

/* Runs a writing statement to its end and keeps what it returns. */
static enum lsq_status keep_all(struct lsq_stmt *stmt, struct lsq_error *err) {
    const struct lsq_sink *sink = lsq_result_sink();
    sqlite3_stmt *handle = stmt->prepared.stmt;
    enum lsq_status st = lsq_result_new(&stmt->kept, err);
    bool autocommit = sqlite3_get_autocommit(stmt->conn->db) != 0;
    bool room = true;
    int rc;

    if (st != LSQ_OK) return st;
    rc = sqlite3_step(handle);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        room = lsqi_push_columns(handle, 0, sink, stmt->kept);
    for (; room && rc == SQLITE_ROW; rc = room ? sqlite3_step(handle) : rc)
        room = lsqi_push_row(handle, sqlite3_column_count(handle), sink, stmt->kept);
    if (room && rc != SQLITE_DONE) return lsqi_run_failed(stmt->conn, &stmt->prepared, rc, err);
    rc = sqlite3_reset(handle);
    stmt->kept_next = 0;
    if (room) return LSQ_OK;
    lsqi_error_set(err, LSQ_NOMEM, "%s", lsq_status_text(LSQ_NOMEM));
    if (err != NULL && autocommit && rc == SQLITE_OK) err->outcome = LSQ_OUTCOME_COMMITTED;
    return LSQ_NOMEM;
}

static bool push_kept_value(const struct lsq_value *value, const struct lsq_sink *sink, void *ctx) {
    switch (value->type) {
    case LSQ_TYPE_INTEGER: return sink->integer(ctx, value->as.integer);
    case LSQ_TYPE_REAL: return sink->real(ctx, value->as.real);
    case LSQ_TYPE_TEXT: return sink->text(ctx, value->as.bytes.data, value->as.bytes.len);
    case LSQ_TYPE_BLOB: return sink->blob(ctx, value->as.bytes.data, value->as.bytes.len);
    default: return sink->null(ctx);
    }
}

static bool push_kept_row(const struct lsq_result *kept, size_t row, const struct lsq_sink *sink,
                          void *ctx) {
    if (sink == NULL) return true;
    if (sink->row_begin != NULL && !sink->row_begin(ctx)) return false;
    for (size_t i = 0; i < lsq_result_columns(kept); i++) {
        struct lsq_value value = lsq_result_value(kept, row, i);

        if (!push_kept_value(&value, sink, ctx)) return false;
    }
    return sink->row_end(ctx);
}

static enum lsq_status fetch_kept(struct lsq_stmt *stmt, size_t max_rows,
                                  const struct lsq_sink *sink, void *ctx, bool *end,
                                  struct lsq_error *err) {
    size_t rows;

    if (stmt->kept == NULL) {
        enum lsq_status st = keep_all(stmt, err);

        if (st == LSQ_WOULD_BLOCK) { /* it runs again, elsewhere */
            lsq_result_free(stmt->kept);
            stmt->kept = NULL;
        }
        if (st != LSQ_OK) return st;
    }
    if (!lsqi_push_columns(stmt->prepared.stmt, stmt->conn->run.flags, sink, ctx))
        return lsqi_error_set(err, LSQ_NOMEM, "%s", lsq_status_text(LSQ_NOMEM));
    rows = lsq_result_rows(stmt->kept);
    for (; max_rows > 0 && stmt->kept_next < rows; max_rows--) {
        if (!push_kept_row(stmt->kept, stmt->kept_next++, sink, ctx))
            return lsqi_error_set(err, LSQ_NOMEM, "%s", lsq_status_text(LSQ_NOMEM));
    }
    *end = stmt->kept_next == rows;
    return LSQ_OK;
}

/* Under the gate's lock: an interrupt that found no cursor open has reached the engine by then, which
 * forgets it at the first step. */
static void open_cursor(struct lsq_conn *conn) {
    pthread_mutex_lock(&conn->gate.lock);
    atomic_fetch_add(&conn->open_cursors, 1);
    pthread_mutex_unlock(&conn->gate.lock);
}

static enum lsq_status fetch_rows(struct lsq_stmt *stmt, size_t max_rows,
                                  const struct lsq_sink *sink, void *ctx, bool *end,
                                  struct lsq_error *err) {
    sqlite3_stmt *handle = stmt->prepared.stmt;
    unsigned flags = stmt->conn->run.flags;
    bool first = true;
    int rc = SQLITE_ROW;

    if (!stmt->stepped) open_cursor(stmt->conn);
    /* The row after the last one wanted is never asked for: a cursor stands before its next row. */
    while (max_rows > 0 && (rc = sqlite3_step(handle)) == SQLITE_ROW) {
        stmt->stepped = true;
        (void)lsqi_call_compile(stmt->conn, true); /* only the first step compiles anew */
        if (first && !lsqi_push_columns(handle, flags, sink, ctx)) break;
        first = false;
        if (!lsqi_push_row(handle, sqlite3_column_count(handle), sink, ctx)) break;
        if (--max_rows == 0) {
            *end = false;
            return LSQ_OK;
        }
    }
    if (!stmt->stepped) atomic_fetch_sub(&stmt->conn->open_cursors, 1);
    if (rc == SQLITE_DONE || max_rows == 0) {
        *end = rc == SQLITE_DONE;
        if (!first || lsqi_push_columns(handle, flags, sink, ctx)) return LSQ_OK;
        rc = SQLITE_ROW;
    }
    if (rc == SQLITE_ROW) return lsqi_error_set(err, LSQ_NOMEM, "%s", lsq_status_text(LSQ_NOMEM));
    return lsqi_run_failed(stmt->conn, &stmt->prepared, rc, err);
}

static enum lsq_status fetch(struct lsq_stmt *stmt, size_t max_rows, const struct lsq_sink *sink,
                             void *ctx, bool *end, struct lsq_error *err) {
    struct lsq_conn *conn = stmt->conn;
    enum lsq_status st;

    if (!stmt->started)
        return lsqi_error_set(err, LSQ_MISUSE, "the cursor was not started, or has ended");
    if (!stmt->stepped && stmt->kept == NULL) {
        st = lsqi_run_allowed(conn, &stmt->prepared, err);
        if (st != LSQ_OK) return st;
    }
    if (stmt->stepped) (void)lsqi_call_compile(conn, true);
    if (stmt->stepped) forget_params(stmt);
    conn->run.budget_end = 0; /* what was handed out cannot be begun again */
    lsqi_watch_begin(conn, &stmt->prepared, WATCH_STEPS);
    st = lsqi_writes(&stmt->prepared) ? fetch_kept(stmt, max_rows, sink, ctx, end, err)
                                      : fetch_rows(stmt, max_rows, sink, ctx, end, err);
    if (st == LSQ_WOULD_BLOCK || (st == LSQ_OK && !*end)) return st;
    end_run(stmt);
    return lsqi_run_ended(conn, &stmt->prepared, st, err);
}

/* Of a replica: the cursor is the primary's. */
static bool started_there(const struct lsq_stmt *stmt) {
    return stmt->conn->is_replica && stmt->remote != NULL && lsqi_remote_stmt_started(stmt->remote);
}

/* Of a replica, in a call: a cursor that was started here reads the file, or, where it has waited for that in vain,
 * the primary. */
static enum lsqi_way fetch_way(const struct lsq_stmt *stmt) {
    struct lsq_conn *conn = stmt->conn;

    if (conn->replica == NULL || stmt->stepped || !stmt->started) return LSQI_HERE;
    if (lsqi_writes(&stmt->prepared) || !sqlite3_get_autocommit(conn->db)) return LSQI_HERE;
    return lsqi_way_to_read(conn);
}

/* In a call, which it ends: the cursor becomes the primary's. */
static enum lsq_status move_there(struct lsq_stmt *stmt, struct lsq_error *err) {
    enum lsq_status st = theirs(stmt, err);

    if (st == LSQ_OK) st = lsqi_remote_stmt_start(stmt->remote, &stmt->params, err);
    if (st == LSQ_OK) {
        stmt->started = false;
        sqlite3_clear_bindings(stmt->prepared.stmt);
        forget_params(stmt);
    }
    lsqi_call_end(stmt->conn);
    return st;
}

enum lsq_status lsq_stmt_fetch(struct lsq_stmt *stmt, size_t max_rows, const struct lsq_call *call,
                               const struct lsq_sink *sink, void *ctx, bool *end,
                               struct lsq_error *err) {
    bool own = false;
    enum lsqi_way way;
    enum lsq_status st;

    if (stmt->conn->remote != NULL || started_there(stmt)) {
        st = remote_part(stmt, err);
        return st != LSQ_OK
                   ? st
                   : lsqi_remote_stmt_fetch(stmt->remote, max_rows, call, sink, ctx, end, err);
    }
    st = begin(stmt, call, err);
    if (st != LSQ_OK) return st;
    way = fetch_way(stmt);
    if (way != LSQI_HERE) {
        const struct lsqi_again again = {.what = LSQI_AGAIN_FETCH,
                                         .stmt = stmt,
                                         .max_rows = max_rows,
                                         .end = end,
                                         .call = call,
                                         .sink = sink,
                                         .ctx = ctx};

        if (way == LSQI_BEHIND) return lsqi_later(stmt->conn, &again, err);
        st = move_there(stmt, err);
        if (st == LSQ_OK) st = remote_part(stmt, err);
        return st != LSQ_OK
                   ? st
                   : lsqi_remote_stmt_fetch(stmt->remote, max_rows, call, sink, ctx, end, err);
    }
    st = fetch(stmt, max_rows, sink, ctx, &own, err);
    lsqi_call_end(stmt->conn);
    if (st == LSQ_OK) *end = own;
    return st;
}

enum lsq_status lsq_stmt_reset(struct lsq_stmt *stmt, struct lsq_error *err) {
    enum lsq_status st = begin(stmt, NULL, err);

    if (st != LSQ_OK) return st;
    end_run(stmt);
    lsqi_call_end(stmt->conn);
    return LSQ_OK;
}

/* The engine's calls say it without a lock, those to a server with that of the gate. */
static bool is_running(void *arg) {
    const struct lsq_stmt *stmt = arg;
    const struct lsq_conn *conn = stmt->conn;

    return conn->gate.whose == stmt || atomic_load(&conn->running) == stmt;
}

void lsq_stmt_interrupt(struct lsq_stmt *stmt) {
    lsqi_gate_interrupt(&stmt->conn->gate, is_running, stmt);
}

/* ---- What a statement is ---- */

/* The engine looks whether another connection has changed a schema only when a statement begins to
 * read. The temporary database is nobody else's. */
enum lsq_status lsqi_schemas_read(struct lsq_conn *conn, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;
    const char *name;

    for (int i = 0; st == LSQ_OK && (name = sqlite3_db_name(conn->db, i)) != NULL; i++) {
        char *sql;

        if (i == 1) continue;
        sql = sqlite3_mprintf("SELECT 1 FROM \"%w\".sqlite_schema LIMIT 1", name);
        if (sql == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a statement");
        st = lsqi_run_text(conn, sql, err);
        sqlite3_free(sql);
    }
    return st;
}

/* Compiles the statement anew, by the schema as it is now. Not while rows are being read, and not a
 * PRAGMA, which acts when it is compiled. */
static enum lsq_status refresh(struct lsq_stmt *stmt, struct lsq_error *err) {
    struct lsqi_prepared *old = &stmt->prepared;
    struct lsqi_prepared fresh = {0};
    size_t used;
    enum lsq_status st;

    if (stmt->started || (old->record.actions & LSQI_PRAGMA) != 0) return LSQ_OK;
    st = lsqi_schemas_read(stmt->conn, err);
    if (st != LSQ_OK) return st;
    st = lsqi_prepare(stmt->conn, &fresh, old->sql, old->len, true, &used, err);
    if (st != LSQ_OK) return st;
    fresh.speed = old->speed;
    lsqi_prepared_release(old);
    *old = fresh;
    return LSQ_OK;
}

enum lsq_status lsq_stmt_column_count(struct lsq_stmt *stmt, size_t *count, struct lsq_error *err) {
    enum lsq_status st = begin(stmt, NULL, err);

    if (st != LSQ_OK) return st;
    if (is_theirs(stmt)) {
        st = remote_part(stmt, err);
        if (st == LSQ_OK) *count = lsqi_remote_stmt_columns(stmt->remote);
        lsqi_call_end(stmt->conn);
        return st;
    }
    st = refresh(stmt, err);
    if (st == LSQ_OK) *count = (size_t)sqlite3_column_count(stmt->prepared.stmt);
    lsqi_call_end(stmt->conn);
    return st;
}

enum lsq_status lsq_stmt_column(struct lsq_stmt *stmt, size_t i, struct lsq_column *column,
                                struct lsq_error *err) {
    sqlite3_stmt *handle;
    int at = (int)i;
    enum lsq_status st = begin(stmt, NULL, err);

    if (st != LSQ_OK) return st;
    if (is_theirs(stmt)) {
        st = remote_part(stmt, err);
        if (st == LSQ_OK && i >= lsqi_remote_stmt_columns(stmt->remote))
            st = lsqi_error_set(err, LSQ_BAD_ARGUMENT, "column %zu is out of bounds: there are %zu",
                                i, lsqi_remote_stmt_columns(stmt->remote));
        if (st == LSQ_OK) lsqi_remote_stmt_column(stmt->remote, i, column);
        lsqi_call_end(stmt->conn);
        return st;
    }
    handle = stmt->prepared.stmt;
    if (i >= (size_t)sqlite3_column_count(handle)) {
        st = lsqi_error_set(err, LSQ_BAD_ARGUMENT, "column %zu is out of bounds: there are %d", i,
                            sqlite3_column_count(handle));
    } else {
        *column = (struct lsq_column){
            .name = sqlite3_column_name(handle, at),
            .database = sqlite3_column_database_name(handle, at),
            .table = sqlite3_column_table_name(handle, at),
            .origin = sqlite3_column_origin_name(handle, at),
            .declared_type = sqlite3_column_decltype(handle, at),
        };
        if (column->name == NULL) st = lsqi_error_set(err, LSQ_NOMEM, "out of memory for a name");
    }
    lsqi_call_end(stmt->conn);
    return st;
}

enum lsq_status lsq_stmt_param_count(struct lsq_stmt *stmt, size_t *count, struct lsq_error *err) {
    enum lsq_status st = begin(stmt, NULL, err);

    if (st != LSQ_OK) return st;
    if (is_theirs(stmt)) st = remote_part(stmt, err);
    if (st == LSQ_OK)
        *count = is_theirs(stmt) ? lsqi_remote_stmt_params(stmt->remote)
                                 : (size_t)sqlite3_bind_parameter_count(stmt->prepared.stmt);
    lsqi_call_end(stmt->conn);
    return st;
}

enum lsq_status lsq_stmt_param_name(struct lsq_stmt *stmt, size_t i, const char **name,
                                    struct lsq_error *err) {
    int count;
    enum lsq_status st = begin(stmt, NULL, err);

    if (st != LSQ_OK) return st;
    if (is_theirs(stmt)) st = remote_part(stmt, err);
    if (st != LSQ_OK) {
        lsqi_call_end(stmt->conn);
        return st;
    }
    count = is_theirs(stmt) ? (int)lsqi_remote_stmt_params(stmt->remote)
                            : sqlite3_bind_parameter_count(stmt->prepared.stmt);
    if (i < 1 || i > (size_t)count)
        st = lsqi_error_set(err, LSQ_BAD_ARGUMENT, "parameter %zu is out of bounds: there are %d",
                            i, count);
    else
        *name = is_theirs(stmt) ? lsqi_remote_stmt_param(stmt->remote, i - 1)
                                : sqlite3_bind_parameter_name(stmt->prepared.stmt, (int)i);
    lsqi_call_end(stmt->conn);
    return st;
}

enum lsq_status lsq_stmt_readonly(struct lsq_stmt *stmt, bool *readonly, struct lsq_error *err) {
    enum lsq_status st = begin(stmt, NULL, err);

    if (st != LSQ_OK) return st;
    if (is_theirs(stmt))
        st = remote_part(stmt, err);
    else
        *readonly = lsqi_record_reads_only(&stmt->prepared.record) &&
                    sqlite3_stmt_readonly(stmt->prepared.stmt) != 0;
    if (st == LSQ_OK && is_theirs(stmt)) *readonly = lsqi_remote_stmt_readonly(stmt->remote);
    lsqi_call_end(stmt->conn);
    return st;
}
