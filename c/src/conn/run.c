#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "conn/conn.h"
#include "engine/engine.h"
#include "engine/failure.h"
#include "engine/nowait.h"

enum {
    WATCH_STEPS = 1000,     /* instructions between two looks of the watch */
    FAST_WATCH_STEPS = 100, /* the same on the fast path */
    APART_US = 500          /* between two tries for several files */
};

/* ---- Statements for text ---- */

static bool worth_keeping(const struct lsqi_prepared *prepared) {
    /* A PRAGMA acts while it is compiled: run from the cache it may do nothing. What changes the
     * schema is not run twice. */
    return prepared->stmt != NULL &&
           (prepared->record.actions & (LSQI_PRAGMA | LSQI_DDL | LSQI_ATTACH)) == 0 &&
           (prepared->command != LSQ_COMMAND_OTHER ||
            (prepared->record.actions & LSQI_SAVEPOINT) != 0) &&
           !sqlite3_stmt_isexplain(prepared->stmt);
}

static enum lsq_status compile(struct lsq_conn *conn, const char *sql, size_t len,
                               struct lsqi_prepared **out, struct lsq_error *err) {
    struct lsqi_prepared *prepared;
    size_t used = 0;
    enum lsq_status st = lsqi_sql_check(sql, len, err);

    if (st != LSQ_OK) return st;
    prepared = lsqi_calloc(1, sizeof(*prepared));
    if (prepared == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a statement");
    st = lsqi_prepare(conn, prepared, sql, len, conn->cache.buckets != NULL, &used, err);
    if (st != LSQ_OK) {
        lsqi_free(prepared);
        return st;
    }
    if (used + lsqi_sql_skip(sql + used, len - used, true) < len) {
        lsqi_prepared_release(prepared);
        lsqi_free(prepared);
        lsqi_error_set(err, LSQ_SQL, "the text holds more than one statement: run it as a batch");
        if (err != NULL) err->sql_offset = (int)used;
        return LSQ_SQL;
    }
    *out = prepared;
    return LSQ_OK;
}

enum lsq_status lsqi_statement_get(struct lsq_conn *conn, const char *sql, size_t len,
                                   struct lsqi_prepared **out, struct lsq_error *err) {
    struct lsqi_prepared *prepared = NULL;
    enum lsq_status st;

    if (sql != NULL && len < INT_MAX) prepared = lsqi_cache_find(&conn->cache, sql, len);

    if (prepared != NULL) {
        lsqi_count(&conn->cache.hits);
        prepared->users++;
        *out = prepared;
        return LSQ_OK;
    }
    if ((conn->run.flags & LSQ_CALL_TRY) != 0) {
        conn->fast_refusals++;
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "a statement not seen before");
    }
    st = compile(conn, sql, len, out, err);
    if (st == LSQ_OK) (*out)->users = 1;
    if (st != LSQ_OK || conn->cache.buckets == NULL || !worth_keeping(*out)) return st;
    lsqi_count(&conn->cache.misses);
    /* What text stands behind the statement is part of the key. */
    if ((*out)->len != len) {
        char *whole = lsqi_strndup(sql, len);

        if (whole == NULL) return LSQ_OK;
        lsqi_free((*out)->sql);
        (*out)->sql = whole;
        (*out)->len = len;
    }
    (void)lsqi_cache_put(&conn->cache, *out);
    return LSQ_OK;
}

static bool cached(const struct lsq_conn *conn, const struct lsqi_prepared *prepared) {
    return prepared->newer != NULL || conn->cache.newest == prepared;
}

void lsqi_statement_done(struct lsq_conn *conn, struct lsqi_prepared *prepared) {
    prepared->users--;
    if (cached(conn, prepared)) return;
    lsqi_prepared_release(prepared);
    lsqi_free(prepared);
}

/* ---- Failures ---- */

static enum lsq_status stopped(struct lsq_conn *conn, struct lsq_error *err) {
    enum lsq_status st = conn->run.stop != LSQ_OK ? conn->run.stop : LSQ_INTERRUPTED;

    if (st == LSQ_READONLY)
        lsqi_txn_refused(err);
    else if (conn->run.late_for_lock)
        lsqi_error_set(err, st, "another program held the database's lock until the time-out");
    else
        lsqi_error_set(err, st, "%s", lsq_status_text(st));
    if (err != NULL) err->engine_code = st == LSQ_READONLY ? SQLITE_READONLY : SQLITE_INTERRUPT;
    return st;
}

/* A transaction that has read, and meets another writer, is not helped by waiting: the engine did
 * not even ask the busy handler. */
static void judge_busy(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                       struct lsq_error *err) {
    if (err->status == LSQ_BUSY && !conn->run.busy_asked && prepared->record.writes != 0 &&
        sqlite3_txn_state(conn->db, NULL) == SQLITE_TXN_READ) {
        int code = err->engine_code;

        lsqi_error_set(err, LSQ_BUSY_SNAPSHOT,
                       "another connection is writing, and this transaction has read already: "
                       "begin it as an immediate one, or run it again");
        err->engine_code = code;
    }
    if (err->status == LSQ_BUSY) (void)lsqi_turn_refused(conn, err);
    if (err->status == LSQ_PROTOCOL) err->transient = true;
}

/* Whether the text cannot be compiled any more: the engine compiles a statement anew when the schema
 * has changed, and tells that as an error of the run. */
static bool uncompilable(struct lsq_conn *conn, const struct lsqi_prepared *prepared) {
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(conn->db, prepared->sql, (int)prepared->len, &stmt, NULL);

    sqlite3_finalize(stmt);
    return rc == SQLITE_ERROR;
}

/* Names the index; the texts compiled for it are our own. */
static void explain(struct lsq_conn *conn, struct lsq_error *err) {
    bool compiles = lsqi_call_compile(conn, true);
    struct lsqi_record *recording = conn->recording;

    conn->recording = NULL; /* the record is of the user's statement */
    lsqi_failure_explain(err, conn->db);
    conn->recording = recording;
    (void)lsqi_call_compile(conn, compiles);
}

/* Errors that may be for want of stack: of a limit, or because nothing may be compiled. The engine has
 * undone the statement; elsewhere it runs again, and shows its own error if it has one. */
static bool wants_room(int code) {
    return code == SQLITE_ERROR || (code & 0xff) == SQLITE_TOOBIG || (code & 0xff) == SQLITE_SCHEMA;
}

enum lsq_status lsqi_run_failed(struct lsq_conn *conn, struct lsqi_prepared *prepared, int code,
                                struct lsq_error *err) {
    struct lsq_error own = {0};
    struct lsq_error *e = err == NULL ? &own : err;

    if ((code & 0xff) == SQLITE_INTERRUPT || conn->run.stop != LSQ_OK) {
        sqlite3_reset(prepared->stmt);
        return stopped(conn, err);
    }
    if (!conn->compiles && wants_room(code)) {
        sqlite3_reset(prepared->stmt);
        prepared->speed.good = 0; /* some are compiled anew for each run */
        return lsqi_turn_unused(conn, "a statement that has to be compiled anew", err);
    }
    lsqi_failure_set(e, conn->db, sqlite3_extended_errcode(conn->db));
    if (e->status == LSQ_OK) lsqi_failure_set(e, conn->db, code);
    judge_busy(conn, prepared, e);
    sqlite3_reset(prepared->stmt);
    if (e->engine_code == SQLITE_ERROR && (prepared->record.actions & LSQI_PRAGMA) == 0 &&
        uncompilable(conn, prepared))
        e->status = LSQ_SQL;
    /* A virtual table that calls its own content wrong is the primary's matter: it would come again as it is. */
    if (e->status == LSQ_CORRUPT && e->engine_code != SQLITE_CORRUPT_VTAB && conn->replica != NULL)
        lsqi_replica_mend(conn->replica);
    explain(conn, e);
    return e->status;
}

/* ---- One run ---- */

static bool changes_settings(const struct lsqi_prepared *prepared) {
    return (prepared->record.actions & (LSQI_PRAGMA | LSQI_ATTACH)) != 0;
}

/* The record knows of no table where a PRAGMA writes; BEGIN IMMEDIATE is not read-only to the engine. */
static bool writes_file(const struct lsqi_prepared *prepared) {
    if (sqlite3_stmt_isexplain(prepared->stmt)) return false;
    return prepared->record.writes != 0 || ((prepared->record.actions & LSQI_PRAGMA) != 0 &&
                                            !sqlite3_stmt_readonly(prepared->stmt));
}

/* VACUUM INTO, whose one word is looked for outside of quotes, reads. */
bool lsqi_is_vacuum_into(const struct lsqi_prepared *prepared) {
    const char *sql = prepared->sql;

    if (!lsqi_speed_vacuum(prepared)) return false;
    for (size_t i = 0; i + 4 <= prepared->len; i++) {
        if (sql[i] == '\'' || sql[i] == '"') return false; /* the file's name, or a database's */
        if (sqlite3_strnicmp(sql + i, "into", 4) == 0) return true;
    }
    return false;
}

enum { MAIN = 1u << 0 };
#define ALL (~0u)

/* Of those that the engine does not call read-only. */
static unsigned pragma_writes_to(const struct lsqi_record *record) {
    bool mode = sqlite3_stricmp(record->pragma, "journal_mode") == 0;

    if (mode ? !record->pragma_value : sqlite3_stricmp(record->pragma, "wal_checkpoint") == 0)
        return 0;
    if (record->pragma_database != 0) return record->pragma_database;
    return mode || sqlite3_stricmp(record->pragma, "optimize") == 0 ? ALL : MAIN;
}

/* The databases that it writes to, or may: ALL for BEGIN IMMEDIATE, which locks those that are attached, too,
 * and for VACUUM, which has no record. */
static unsigned writes_to(const struct lsqi_prepared *prepared) {
    const struct lsqi_record *record = &prepared->record;

    if (sqlite3_stmt_isexplain(prepared->stmt)) return 0;
    if (record->writes != 0) return record->writes;
    if ((record->actions & LSQI_WRITES_TEMP) != 0 || sqlite3_stmt_readonly(prepared->stmt))
        return 0;
    if ((record->actions & LSQI_PRAGMA) != 0) return pragma_writes_to(record);
    return lsqi_is_vacuum_into(prepared) ? 0 : ALL;
}

enum lsq_status lsqi_run_ended(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                               enum lsq_status st, struct lsq_error *err) {
    bool attaches = (prepared->record.actions & LSQI_ATTACH) != 0;

    if (st == LSQ_OK && attaches) st = lsqi_attached_roles(conn, err);
    if (changes_settings(prepared)) lsqi_settings_look(conn);
    if (attaches) lsqi_files_look(conn);
    return st;
}

enum lsq_status lsqi_run_allowed(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                                 struct lsq_error *err) {
    unsigned flags = conn->run.flags;
    unsigned databases;

    /* A failure, or a cursor over COMMIT, may have ended the transaction. */
    if (conn->read_txn) lsqi_txn_look(conn);
    if ((flags & LSQ_CALL_TRY) != 0 && !lsqi_speed_fast(conn, prepared)) {
        conn->fast_refusals++;
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "a statement not known to be short");
    }
    if ((flags & LSQ_CALL_SHORT) != 0 && !lsqi_speed_short(prepared))
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "a statement that was not short of late");
    if ((flags & LSQ_CALL_BUDGET) != 0 && lsqi_speed_too_long(prepared))
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "a statement that may take long");
    if (!conn->compiles && (flags & LSQ_CALL_TRY) == 0 && lsqi_speed_to_be_judged(conn, prepared))
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "a statement to be judged");
    if (!conn->compiles && changes_settings(prepared))
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "a statement that changes settings");
    if (conn->read_txn && prepared->record.writes != 0 && !sqlite3_stmt_isexplain(prepared->stmt))
        return lsqi_txn_refused(err);
    databases = conn->query_only ? 0 : writes_to(prepared);
    if (databases != 0) {
        enum lsq_status st = lsqi_turn_take(conn, prepared, databases, err);

        if (st != LSQ_OK) return st;
    }
    if (sqlite3_get_autocommit(conn->db)) conn->wrote = false;
    if (writes_file(prepared)) conn->wrote = true;
    return LSQ_OK;
}

static int64_t changes_of(const struct lsq_conn *conn, const struct lsqi_prepared *prepared) {
    switch (prepared->command) {
    case LSQ_COMMAND_INSERT:
    case LSQ_COMMAND_UPDATE:
    case LSQ_COMMAND_DELETE: return sqlite3_changes64(conn->db);
    default: return 0;
    }
}

/* Steps to the end. *code is the engine's: DONE, an error, or ROW where the run was ended early, for
 * the reason that is returned. */
static enum lsq_status step_all(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                                const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                int *code) {
    sqlite3_stmt *stmt = prepared->stmt;
    bool one = (conn->run.flags & LSQ_CALL_ONE) != 0;
    int rc = sqlite3_step(stmt);

    *code = rc;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return LSQ_ERROR;
    /* Only now: a first step compiles anew after a change of the schema. */
    reply->columns = (size_t)sqlite3_column_count(stmt);
    if (!lsqi_push_columns(stmt, conn->run.flags, sink, ctx)) return LSQ_NOMEM;
    while (rc == SQLITE_ROW) {
        if (one && reply->rows == 1) return LSQ_MANY_ROWS;
        if (!lsqi_push_row(stmt, (int)reply->columns, sink, ctx)) return LSQ_NOMEM;
        reply->rows++;
        *code = rc = sqlite3_step(stmt);
    }
    if (rc != SQLITE_DONE) return LSQ_ERROR;
    return one && reply->rows == 0 ? LSQ_NO_ROW : LSQ_OK;
}

static enum lsq_status run_steps(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                                 const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                 struct lsq_error *err) {
    bool autocommit = sqlite3_get_autocommit(conn->db) != 0;
    int code;
    enum lsq_status st = step_all(conn, prepared, sink, ctx, reply, &code);

    if (st == LSQ_OK) {
        reply->changes = changes_of(conn, prepared);
        sqlite3_reset(prepared->stmt);
        return LSQ_OK;
    }
    if (st == LSQ_ERROR) return lsqi_run_failed(conn, prepared, code, err);
    lsqi_error_set(err, st, "%s", lsq_status_text(st));
    /* What wrote has written all its rows at the first step; ending it early stores them. */
    if (sqlite3_reset(prepared->stmt) == SQLITE_OK && err != NULL && autocommit &&
        lsqi_writes(prepared))
        err->outcome = LSQ_OUTCOME_COMMITTED;
    return st;
}

/* Exactly one row of a statement that writes: what it wrote goes if the answer is an error. */
static enum lsq_status run_one_write(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                                     const struct lsq_sink *sink, void *ctx,
                                     struct lsq_reply *reply, struct lsq_error *err) {
    enum lsq_status st = lsqi_run_text(conn, "SAVEPOINT lsq_one", err);

    if (st != LSQ_OK) return st;
    lsqi_watch_begin(conn, prepared, WATCH_STEPS); /* the savepoint was watched meanwhile */
    conn->recording = &prepared->record;
    st = run_steps(conn, prepared, sink, ctx, reply, err);
    if (st == LSQ_OK) {
        st = lsqi_undo_run(conn, LSQI_RELEASE_ONE, err);
        if (st == LSQ_OK) return LSQ_OK;
    }
    if (err != NULL) err->outcome = LSQ_OUTCOME_NONE;
    if (sqlite3_get_autocommit(conn->db)) return st; /* the engine has rolled all of it back */
    if ((lsqi_undo_run(conn, LSQI_ROLLBACK_ONE, NULL) != LSQ_OK ||
         lsqi_undo_run(conn, LSQI_RELEASE_ONE, NULL) != LSQ_OK) &&
        err != NULL)
        err->outcome = LSQ_OUTCOME_UNKNOWN;
    return st;
}

/* What the engine would answer of such a PRAGMA is not what holds. */
static enum lsq_status run_own_pragma(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                                      const struct lsq_sink *sink, void *ctx,
                                      struct lsq_reply *reply) {
    static const char *const no_types[] = {NULL};
    const char *pragma = prepared->record.pragma;
    const char *const names[] = {lsqi_settings_own_column(pragma)};
    bool types = (conn->run.flags & LSQ_CALL_TYPES) != 0;

    if (prepared->record.pragma_value)
        (void)lsqi_settings_own_set(conn, pragma, prepared->record.value);
    reply->columns = 1;
    reply->rows = 1;
    if (sink == NULL) return LSQ_OK;
    return sink->columns(ctx, 1, names) &&
                   (!types || sink->types == NULL || sink->types(ctx, 1, no_types)) &&
                   (sink->row_begin == NULL || sink->row_begin(ctx)) &&
                   sink->integer(ctx, lsqi_settings_own_value(conn, pragma)) && sink->row_end(ctx)
               ? LSQ_OK
               : LSQ_NOMEM;
}

static enum lsq_status run_bound(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                                 const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                 struct lsq_error *err) {
    bool pragma = (prepared->record.actions & LSQI_PRAGMA) != 0;
    enum lsq_status st;

    if (pragma && lsqi_settings_own(prepared->record.pragma))
        return run_own_pragma(conn, prepared, sink, ctx, reply);
    if ((conn->run.flags & LSQ_CALL_ONE) != 0 && lsqi_writes(prepared))
        return run_one_write(conn, prepared, sink, ctx, reply, err);
    st = run_steps(conn, prepared, sink, ctx, reply, err);
    return lsqi_run_ended(conn, prepared, st, err);
}

/* The fast path: nothing may wait, nothing may be compiled, and the watch looks often. */
static enum lsq_status run_fast(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                                const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                struct lsq_error *err) {
    enum lsq_status st;

    lsqi_watch_begin(conn, prepared, FAST_WATCH_STEPS);
    conn->run.reads_only = true;
    /* A cursor would lose its snapshot with the transaction. */
    lsqi_nowait_begin(sqlite3_get_autocommit(conn->db) != 0 &&
                      atomic_load(&conn->open_cursors) == 0);
    st = run_steps(conn, prepared, sink, ctx, reply, err);
    if (lsqi_nowait_end() || st == LSQ_BUSY) st = LSQ_WOULD_BLOCK;
    if (st == LSQ_WOULD_BLOCK) {
        conn->fast_refusals++;
        prepared->speed.good = 0;
        return lsqi_error_set(err, st, "%s", lsq_status_text(st));
    }
    if (lsqi_nowait_cold()) prepared->speed.good = 0;
    lsqi_count(&conn->fast_runs);
    return st;
}

static enum lsq_status run_plain(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                                 const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                 struct lsq_error *err) {
    int64_t start = lsqi_now_ns();
    enum lsq_status st;

    lsqi_watch_begin(conn, prepared, WATCH_STEPS);
    conn->run.reads_only = lsqi_record_reads_only(&prepared->record);
    /* Compiled anew while it runs, it may have another nature: note that too. */
    conn->recording = &prepared->record;
    st = run_bound(conn, prepared, sink, ctx, reply, err);
    conn->recording = NULL;
    lsqi_record_settle(&prepared->record, prepared->stmt);
    if (st == LSQ_WOULD_BLOCK) {
        if (conn->run.stop == LSQ_WOULD_BLOCK) {
            prepared->speed.slow = true;
            prepared->speed.patience = 0;
        }
        return st;
    }
    lsqi_speed_learn(prepared, lsqi_now_ns() - start);
    lsqi_speed_judge(conn, prepared);
    return st;
}

/* Whether a call that met a lock is to try again, after a moment. */
static bool waits_apart(struct lsq_conn *conn, enum lsq_status *st, struct lsq_error *err) {
    int64_t patience = (int64_t)atomic_load(&conn->busy_timeout) * 1000000;
    const struct timespec moment = {.tv_nsec = APART_US * 1000};

    if (*st != LSQ_BUSY || !conn->run.apart || !lsqi_turn_waits(conn)) return false;
    if (lsqi_now_ns() - conn->run.busy_since >= patience) return false;
    nanosleep(&moment, NULL);
    conn->run.stop = LSQ_OK;
    *st = lsqi_call_check(conn, err);
    return *st == LSQ_OK;
}

/* BEGIN of several files. The engine locks one after the other; if it waited with some of them in hand, two
 * programs with the same files in another order would wait for each other. */
static enum lsq_status run_apart(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                                 const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                 struct lsq_error *err) {
    enum lsq_status st;

    do {
        st = run_plain(conn, prepared, sink, ctx, reply, err);
    } while (waits_apart(conn, &st, err));
    return st;
}

static bool has_bytes(const struct lsq_params *params) {
    for (size_t i = 0; params != NULL && params->values != NULL && i < params->count; i++) {
        if (params->values[i].type >= LSQ_TYPE_TEXT) return true;
    }
    return false;
}

enum lsq_status lsqi_run(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                         const struct lsq_params *params, const struct lsq_sink *sink, void *ctx,
                         struct lsq_reply *reply, struct lsq_error *err) {
    enum lsq_status st;

    *reply = (struct lsq_reply){.command = prepared->command};
    if (prepared->stmt != NULL) {
        st = lsqi_run_allowed(conn, prepared, err);
        if (st != LSQ_OK) return st;
        st = lsqi_bind(prepared, params, false, err);
        if (st == LSQ_OK && conn->run.apart)
            st = run_apart(conn, prepared, sink, ctx, reply, err);
        else if (st == LSQ_OK)
            st = (conn->run.flags & LSQ_CALL_TRY) != 0
                     ? run_fast(conn, prepared, sink, ctx, reply, err)
                     : run_plain(conn, prepared, sink, ctx, reply, err);
        if (has_bytes(params)) sqlite3_clear_bindings(prepared->stmt); /* they were borrowed */
        if (st != LSQ_OK) return st;
    } else if (params != NULL && params->count > 0 && params->names == NULL) {
        return lsqi_error_set(err, LSQ_PARAMETERS, "there is no statement to take parameters");
    } else if (sink != NULL && !sink->columns(ctx, 0, NULL)) {
        return lsqi_error_set(err, LSQ_NOMEM, "%s", lsq_status_text(LSQ_NOMEM));
    }
    reply->last_rowid = sqlite3_last_insert_rowid(conn->db);
    reply->autocommit = sqlite3_get_autocommit(conn->db) != 0;
    if (reply->autocommit) lsqi_txn_look(conn);
    return LSQ_OK;
}

enum lsq_status lsqi_run_text(struct lsq_conn *conn, const char *sql, struct lsq_error *err) {
    struct lsqi_prepared *prepared;
    unsigned flags = conn->run.flags;
    int64_t budget_end = conn->run.budget_end;
    struct lsq_reply reply;
    bool compiles = lsqi_call_compile(conn, true);
    enum lsq_status st;

    /* A statement of the library's own has neither rows nor a budget. */
    conn->run.flags &= LSQ_CALL_NOWAIT;
    conn->run.budget_end = 0;
    conn->run.stop = LSQ_OK;
    st = lsqi_statement_get(conn, sql, strlen(sql), &prepared, err);
    if (st == LSQ_OK) {
        st = lsqi_run(conn, prepared, NULL, NULL, NULL, &reply, err);
        lsqi_statement_done(conn, prepared);
    }
    conn->run.flags = flags;
    conn->run.budget_end = budget_end;
    (void)lsqi_call_compile(conn, compiles);
    return st;
}

/* ---- lsq_exec ---- */

/* In a call, which it ends. */
static enum lsq_status exec_elsewhere(struct lsq_conn *conn, enum lsqi_way way,
                                      const struct lsqi_again *again, struct lsq_error *err) {
    if (way == LSQI_BEHIND) return lsqi_later(conn, again, err);
    lsqi_call_end(conn);
    return lsqi_remote_exec(conn->primary, again->sql, again->len, again->params, again->call,
                            again->sink, again->ctx, again->reply, err);
}

enum lsq_status lsqi_statement_way(struct lsq_conn *conn, const char *sql, size_t len,
                                   struct lsqi_prepared **prepared, enum lsqi_way *way,
                                   struct lsq_error *err) {
    struct lsq_error own;
    enum lsq_status st;

    *prepared = NULL;
    *way = LSQI_HERE;
    if (conn->replica == NULL) return lsqi_statement_get(conn, sql, len, prepared, err);
    *way = LSQI_THERE;
    if (lsqi_is_there(conn)) return LSQ_OK;
    st = lsqi_statement_get(conn, sql, len, prepared, &own);
    if (st == LSQ_OK) {
        *way = lsqi_way_of(conn, *prepared);
    } else if (lsqi_is_theirs(conn, st, &own)) {
        /* What it does not know it may be about to learn. */
        if (lsqi_sql_first_word(sql, len) == LSQ_COMMAND_SELECT &&
            lsqi_way_to_read(conn) == LSQI_BEHIND)
            *way = LSQI_BEHIND;
        st = LSQ_OK;
    } else if (err != NULL) {
        *err = own;
    }
    return st;
}

enum lsq_status lsq_exec(struct lsq_conn *conn, const char *sql, size_t len,
                         const struct lsq_params *params, const struct lsq_call *call,
                         const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                         struct lsq_error *err) {
    struct lsqi_prepared *prepared;
    struct lsq_reply own;
    enum lsqi_way way;
    enum lsq_status st;
    int64_t hits;

    if (conn->remote != NULL)
        return lsqi_remote_exec(conn->remote, sql, len, params, call, sink, ctx, reply, err);
    st = lsqi_call_begin(conn, call, err);
    if (st != LSQ_OK) return st;
    hits = atomic_load_explicit(&conn->cache.hits, memory_order_relaxed);
    st = lsqi_statement_way(conn, sql, len, &prepared, &way, err);
    if (st == LSQ_OK && way != LSQI_HERE) {
        const struct lsqi_again again = {.what = LSQI_AGAIN_EXEC,
                                         .sql = sql,
                                         .len = len,
                                         .params = params,
                                         .call = call,
                                         .sink = sink,
                                         .ctx = ctx,
                                         .reply = reply};

        if (prepared != NULL) lsqi_statement_done(conn, prepared);
        return exec_elsewhere(conn, way, &again, err);
    }
    if (st == LSQ_OK) {
        hits = atomic_load_explicit(&conn->cache.hits, memory_order_relaxed) - hits;
        st = lsqi_run(conn, prepared, params, sink, ctx, &own, err);
        own.prepared = hits > 0;
        lsqi_statement_done(conn, prepared);
        if (st == LSQ_OK && reply != NULL) *reply = own;
    }
    lsqi_call_end(conn);
    return st;
}
