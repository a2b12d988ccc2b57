#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/stack.h"
#include "conn/conn.h"
#include "engine/failure.h"
#include "engine/nowait.h"

enum {
    BUDGET_MS = 20,       /* of LSQ_CALL_BUDGET */
    FAST_BUDGET_US = 200, /* of LSQ_CALL_TRY */
    BUSY_SPIN_US = 50,    /* LSQ_CALL_NOWAIT: a reader may hold the write lock for a moment */
    BUSY_FIRST = 4,       /* tries, in quick succession */
    BUSY_SLEEP_FIRST_US = 50,
    BUSY_SLEEP_INSIDE_US = 100, /* of who alone of all processes tries ... */
    INSIDE_MS = 1000,           /* ... so long; a longer lock lasts long */
    BUSY_SLEEP_US = 1000,
    LIKE_LENGTH = 5000,               /* bytes of a LIKE pattern, and on a small stack */
    LIKE_LENGTH_SMALL = 500,          /* measured: 100 bytes of stack for each % */
    ROOM_TO_COMPILE = 2 * 1024 * 1024 /* measured: 1 MiB does for what the limits allow */
};

/* ---- Waiting for other connections' locks ---- */

static bool time_over(const struct lsqi_run *run, int64_t now) {
    return run->deadline != 0 && now >= run->deadline;
}

static bool called_off(const struct lsq_conn *conn) {
    const struct lsqi_run *run = &conn->run;

    return atomic_load_explicit(&conn->gate.cancel, memory_order_relaxed) ||
           (run->asked != NULL && run->asked(run->asked_arg));
}

static void sleep_us(long us) {
    struct timespec ts = {.tv_sec = 0, .tv_nsec = us * 1000};

    nanosleep(&ts, NULL);
}

static long pause_us(const struct lsq_conn *conn, int count, int64_t waited) {
    if (count < BUSY_FIRST) return BUSY_SLEEP_FIRST_US;
    return conn->inside != NULL && waited < (int64_t)INSIDE_MS * 1000000 ? BUSY_SLEEP_INSIDE_US
                                                                         : BUSY_SLEEP_US;
}

/* The engine's busy handler: true means try again. */
static int on_busy(void *arg, int count) {
    struct lsq_conn *conn = arg;
    struct lsqi_run *run = &conn->run;
    int64_t now = lsqi_now_ns();
    int64_t patience;
    int64_t waited;

    run->busy_asked = true;
    if ((run->flags & LSQ_CALL_TRY) != 0) return 0;
    if (run->busy_since == 0) run->busy_since = now;
    waited = now - run->busy_since;
    if (!lsqi_turn_waits(conn) || run->apart) return waited < BUSY_SPIN_US * 1000;
    if (called_off(conn)) {
        run->stop = LSQ_INTERRUPTED;
        return 0;
    }
    if (time_over(run, now)) {
        run->late_for_lock = true;
        run->stop = LSQ_TIMEOUT;
        return 0;
    }
    patience = (int64_t)atomic_load(&conn->busy_timeout) * 1000000;
    if (waited >= patience) return 0;
    /* Its end, and the deadline, are seen when it asks again. */
    if (count >= BUSY_FIRST && lsqi_turn_stand(conn, run->busy_since + patience)) return 1;
    sleep_us(pause_us(conn, count, waited));
    return 1;
}

/* ---- The watch: looks at clock and flags while a statement runs ---- */

/* The engine looks once more when a statement is done, and an autocommit then is committed: a write
 * is only stopped while it runs, so that what is stored is not called undone. */
static bool write_is_done(struct lsq_conn *conn) {
    sqlite3_stmt *stmt = NULL;

    if (!conn->run.writes) return false;
    while ((stmt = sqlite3_next_stmt(conn->db, stmt)) != NULL) {
        if (sqlite3_stmt_busy(stmt) && !sqlite3_stmt_readonly(stmt)) return false;
    }
    return true;
}

static int stop(struct lsq_conn *conn, enum lsq_status why) {
    if (write_is_done(conn)) return 0;
    conn->run.stop = why;
    return 1;
}

/* The engine's progress handler: true means stop. */
static int on_progress(void *arg) {
    struct lsq_conn *conn = arg;
    struct lsqi_run *run = &conn->run;
    int64_t now;

    if (called_off(conn)) return stop(conn, LSQ_INTERRUPTED);
    if (run->deadline == 0 && run->budget_end == 0) return 0;
    now = lsqi_now_ns();
    if (time_over(run, now)) return stop(conn, LSQ_TIMEOUT);
    if (run->budget_end == 0 || !run->reads_only) return 0;
    if (now < run->budget_end && !((run->flags & LSQ_CALL_TRY) != 0 && lsqi_nowait_cold()))
        return 0;
    run->stop = LSQ_WOULD_BLOCK;
    return 1;
}

void lsqi_watch_begin(struct lsq_conn *conn, struct lsqi_prepared *prepared, int steps) {
    /* The engine counts instructions over the statement's life: from zero, so that a short run is
     * not asked about for those before it. */
    sqlite3_stmt_status(prepared->stmt, SQLITE_STMTSTATUS_VM_STEP, 1);
    conn->run.writes = !sqlite3_stmt_readonly(prepared->stmt);
    if (conn->watch_steps == steps) return;
    sqlite3_progress_handler(conn->db, steps, on_progress, conn);
    conn->watch_steps = steps;
}

/* ---- What is compiled, and whether it may be ---- */

/* PRAGMAs that write to the file: they have no table that the authorizer would be told of. */
static bool pragma_writes(const char *name, const char *value) {
    static const char *const with_value[] = {"application_id", "auto_vacuum",    "encoding",
                                             "journal_mode",   "schema_version", "user_version"};
    static const char *const always[] = {"incremental_vacuum", "optimize", "wal_checkpoint"};

    for (size_t i = 0; value != NULL && i < sizeof(with_value) / sizeof(with_value[0]); i++)
        if (sqlite3_stricmp(name, with_value[i]) == 0) return true;
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (sqlite3_stricmp(name, always[i]) == 0) return true;
    return false;
}

static int on_authorize(void *arg, int action, const char *arg1, const char *arg2,
                        const char *database, const char *trigger) {
    struct lsq_conn *conn = arg;

    if (action == SQLITE_FUNCTION && arg2 != NULL && sqlite3_stricmp(arg2, "load_extension") == 0)
        return SQLITE_DENY;
    if (action == SQLITE_PRAGMA && conn->read_txn && pragma_writes(arg1, arg2)) {
        conn->run.stop = LSQ_READONLY;
        return SQLITE_DENY;
    }
    if (conn->recording != NULL)
        lsqi_record_note(conn->recording, conn->db, action, arg1, arg2, database, trigger);
    return SQLITE_OK;
}

/* After a commit, its locks released. The checkpoints of attached databases, which may have other keys, are
 * taken here, as the engine would. */
static int on_wal(void *arg, sqlite3 *db, const char *database, int pages) {
    struct lsq_conn *conn = arg;
    int limit = conn->autocheckpoint;

    if (conn->file != NULL && strcmp(database, "main") == 0) lsqi_file_wrote(conn->file, pages);
    if (conn->offline != NULL && strcmp(database, "main") == 0)
        lsqi_replica_committed(conn->offline, pages);
    if (limit == 0 || pages < limit) return SQLITE_OK;
    if (conn->file != NULL && !conn->has_key && strcmp(database, "main") == 0 &&
        lsqi_file_checkpoint(conn->file, pages, limit))
        return SQLITE_OK;
    (void)sqlite3_wal_checkpoint_v2(db, database, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
}

enum lsq_status lsqi_call_install(struct lsq_conn *conn, struct lsq_error *err) {
    int rc = sqlite3_busy_handler(conn->db, on_busy, conn);

    if (rc == SQLITE_OK) rc = sqlite3_set_authorizer(conn->db, on_authorize, conn);
    (void)sqlite3_wal_hook(conn->db, on_wal, conn);
    lsqi_offline_install(conn);
    return rc == SQLITE_OK ? LSQ_OK : lsqi_failure_set(err, conn->db, rc);
}

bool lsqi_call_compile(struct lsq_conn *conn, bool allowed) {
    bool before = conn->compiles;

    if (before == allowed) return before;
    conn->compiles = allowed;
    /* With a length of 0 the parser stops at its first token: nothing is compiled, no schema read. */
    sqlite3_limit(conn->db, SQLITE_LIMIT_SQL_LENGTH, allowed ? conn->max_sql : 0);
    sqlite3_limit(conn->db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH,
                  allowed ? LIKE_LENGTH : LIKE_LENGTH_SMALL);
    return before;
}

static bool may_compile(unsigned flags) {
    if ((flags & LSQ_CALL_TRY) != 0) return false;
    return (flags & LSQ_CALL_BUDGET) == 0 || lsqi_stack_room() >= ROOM_TO_COMPILE;
}

/* ---- Around every call ---- */

enum lsq_status lsqi_call_begin(struct lsq_conn *conn, const struct lsq_call *call,
                                struct lsq_error *err) {
    static const struct lsq_call plain = {0};
    enum lsq_status st = lsqi_gate_begin(&conn->gate);
    int64_t now;

    if (st != LSQ_OK) return lsqi_error_set(err, st, "%s", lsq_status_text(st));
    if (conn->remote != NULL) {
        lsqi_stmt_reap(conn);
        return LSQ_OK;
    }
    if (call == NULL) call = &plain;
    if (call->stop != NULL && call->stop(call->stop_arg)) {
        lsqi_gate_end(&conn->gate);
        return lsqi_error_set(err, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
    }
    conn->run = (struct lsqi_run){
        .flags = call->flags,
        .asked = call->stop,
        .asked_arg = call->stop_arg,
        .turn = call->turn,
        .caller = call->caller,
    };
    (void)lsqi_call_compile(conn, may_compile(call->flags));
    now = lsqi_now_ns();
    if (call->timeout > 0) conn->run.deadline = now + (int64_t)call->timeout * 1000000;
    if ((call->flags & LSQ_CALL_TRY) != 0)
        conn->run.budget_end = now + FAST_BUDGET_US * 1000;
    else if ((call->flags & LSQ_CALL_BUDGET) != 0)
        conn->run.budget_end = now + (int64_t)BUDGET_MS * 1000000;
    if ((call->flags & LSQ_CALL_TRY) != 0) return LSQ_OK;
    lsqi_reading_begin(conn, now, call->caller);
    lsqi_stmt_reap(conn);
    return LSQ_OK;
}

enum lsq_status lsqi_call_check(struct lsq_conn *conn, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    if (called_off(conn))
        st = LSQ_INTERRUPTED;
    else if (conn->run.deadline != 0 && time_over(&conn->run, lsqi_now_ns()))
        st = LSQ_TIMEOUT;
    return st == LSQ_OK ? st : lsqi_error_set(err, st, "%s", lsq_status_text(st));
}

enum lsq_status lsqi_call_not_short(const struct lsq_call *call, struct lsq_error *err) {
    if (call == NULL || (call->flags & LSQ_CALL_TRY) == 0) return LSQ_OK;
    return lsqi_error_set(err, LSQ_WOULD_BLOCK, "a call that is never known to be short");
}

void lsqi_call_end(struct lsq_conn *conn) {
    if (conn->remote != NULL) {
        lsqi_gate_end(&conn->gate);
        return;
    }
    atomic_store_explicit(&conn->running, NULL, memory_order_relaxed);
    /* A failure may have ended the transaction. */
    if (conn->keys_switched || conn->patient) lsqi_txn_look(conn);
    if (conn->held != 0) lsqi_turn_look(conn);
    lsqi_reading_end(conn);
    lsqi_gate_end(&conn->gate);
}

void lsqi_call_interrupt(struct lsqi_gate *gate) {
    struct lsq_conn *conn = (struct lsq_conn *)(void *)gate; /* its first member */

    if (conn->remote != NULL) lsqi_remote_interrupt_locked(conn->remote);
    if (conn->primary != NULL) lsqi_remote_interrupt_locked(conn->primary);
    if (conn->waiting != NULL) lsqi_later_call_off_locked(conn->waiting);
    /* Reaches what looks at no progress handler, a checkpoint for one; but it would end every open
     * cursor of the connection too. */
    if (conn->db != NULL && atomic_load(&conn->open_cursors) == 0) sqlite3_interrupt(conn->db);
}
