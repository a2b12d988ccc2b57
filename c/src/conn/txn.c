#include <string.h>

#include "base/error.h"
#include "conn/conn.h"
#include "engine/failure.h"

enum { MOST_TRIES = 1000000 }; /* of undoing; each fails only if it is interrupted anew */

static const char *const begin_sql[] = {
    [LSQ_TXN_DEFERRED] = "BEGIN DEFERRED",   [LSQ_TXN_IMMEDIATE] = "BEGIN IMMEDIATE",
    [LSQ_TXN_EXCLUSIVE] = "BEGIN EXCLUSIVE", [LSQ_TXN_READ] = "BEGIN DEFERRED",
    [LSQ_TXN_PATIENT] = "BEGIN DEFERRED",
};

/* ---- Undoing ---- */

static const char *const undo_sql[] = {
    [LSQI_ROLLBACK] = "ROLLBACK",
    [LSQI_ROLLBACK_ONE] = "ROLLBACK TO lsq_one",
    [LSQI_RELEASE_ONE] = "RELEASE lsq_one",
};

enum lsq_status lsqi_undo_prepare(struct lsq_conn *conn, struct lsq_error *err) {
    for (int i = 0; i < LSQI_UNDO_COUNT; i++) {
        int rc = sqlite3_prepare_v3(conn->db, undo_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &conn->undo[i], NULL);

        if (rc != SQLITE_OK) return lsqi_failure_set(err, conn->db, rc);
    }
    return LSQ_OK;
}

void lsqi_undo_release(struct lsq_conn *conn) {
    for (int i = 0; i < LSQI_UNDO_COUNT; i++) {
        sqlite3_finalize(conn->undo[i]);
        conn->undo[i] = NULL;
    }
}

enum lsq_status lsqi_undo_run(struct lsq_conn *conn, enum lsqi_undo undo, struct lsq_error *err) {
    sqlite3_stmt *stmt = conn->undo[undo];
    enum lsq_status st;
    bool compiles = lsqi_call_compile(conn, true); /* a change of the schema makes it do so */
    int rc;

    /* Not to be stopped, for it is the end of what was: neither by the watch, which looks after so
     * many instructions of the statement's whole life, nor by an interrupt on the heels of another,
     * which stops the engine before the first instruction. */
    sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, 1);
    for (int tries = 0; (rc = sqlite3_step(stmt)) == SQLITE_INTERRUPT && tries < MOST_TRIES;
         tries++)
        sqlite3_reset(stmt);
    st = rc == SQLITE_DONE ? LSQ_OK : lsqi_failure_set(err, conn->db, rc);
    sqlite3_reset(stmt);
    (void)lsqi_call_compile(conn, compiles);
    lsqi_txn_look(conn);
    return st;
}

/* ---- Transactions ---- */

enum lsq_status lsqi_txn_refused(struct lsq_error *err) {
    return lsqi_error_set(
        err, LSQ_READONLY,
        "the transaction was begun as one that only reads (mode: :read); to write, "
        "begin an immediate one (mode: :immediate)");
}

void lsqi_txn_look(struct lsq_conn *conn) {
    if (!sqlite3_get_autocommit(conn->db)) return;
    conn->read_txn = false;
    conn->patient = false;
    if (!conn->keys_switched) return;
    conn->keys_switched = false;
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_FKEY, conn->keys_before, NULL);
}

static enum lsq_status begin(struct lsq_conn *conn, enum lsq_txn kind, struct lsq_error *err) {
    enum lsq_status st;

    if ((unsigned)kind > LSQ_TXN_PATIENT)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no transaction kind %d", (int)kind);
    if (!sqlite3_get_autocommit(conn->db))
        return lsqi_error_set(err, LSQ_IN_TRANSACTION, "a transaction is open already");
    /* To take the snapshot, the schema is read. */
    if (kind == LSQ_TXN_READ && !conn->compiles)
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "a snapshot");
    st = lsqi_run_text(conn, begin_sql[kind], err);
    conn->patient = st == LSQ_OK && kind == LSQ_TXN_PATIENT;
    if (st != LSQ_OK || kind != LSQ_TXN_READ) return st;
    /* BEGIN DEFERRED takes no snapshot: the first read does. */
    st = lsqi_schemas_read(conn, err);
    if (st == LSQ_OK)
        conn->read_txn = true;
    else
        (void)lsqi_undo_run(conn, LSQI_ROLLBACK, NULL);
    return st;
}

static enum lsq_status no_transaction(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_NO_TRANSACTION, "no transaction is open");
}

/* Of a replica's connection, in a call: where a transaction of that kind is to be. */
static enum lsqi_way begin_way(struct lsq_conn *conn, enum lsq_txn kind) {
    bool reads = kind == LSQ_TXN_READ || conn->query_only;

    if (conn->replica == NULL || !sqlite3_get_autocommit(conn->db)) return LSQI_HERE;
    return reads && !lsqi_is_there(conn) ? lsqi_way_to_read(conn) : LSQI_THERE;
}

static enum lsq_status begin_elsewhere(struct lsq_conn *conn, enum lsqi_way way, enum lsq_txn kind,
                                       const struct lsq_call *call, struct lsq_error *err) {
    const struct lsqi_again again = {.what = LSQI_AGAIN_BEGIN, .txn = kind, .call = call};

    if (way == LSQI_BEHIND) return lsqi_later(conn, &again, err);
    lsqi_call_end(conn);
    return lsqi_remote_begin(conn->primary, kind, call, err);
}

enum lsq_status lsq_begin(struct lsq_conn *conn, enum lsq_txn kind, const struct lsq_call *call,
                          struct lsq_error *err) {
    enum lsqi_way way;
    enum lsq_status st;

    if (conn->remote != NULL) return lsqi_remote_begin(conn->remote, kind, call, err);
    st = lsqi_call_not_short(call, err);
    if (st == LSQ_OK) st = lsqi_call_begin(conn, call, err);
    if (st != LSQ_OK) return st;
    way = begin_way(conn, kind);
    if (way != LSQI_HERE) return begin_elsewhere(conn, way, kind, call, err);
    st = begin(conn, kind, err);
    lsqi_call_end(conn);
    return st;
}

/* Of a replica's connection, in a call: the open transaction, if there is one, is the primary's. */
static bool ends_there(const struct lsq_conn *conn) {
    return conn->replica != NULL && sqlite3_get_autocommit(conn->db) != 0;
}

enum lsq_status lsq_commit(struct lsq_conn *conn, const struct lsq_call *call,
                           struct lsq_error *err) {
    enum lsq_status st;

    if (conn->remote != NULL) return lsqi_remote_commit(conn->remote, call, err);
    st = lsqi_call_not_short(call, err);
    if (st == LSQ_OK) st = lsqi_call_begin(conn, call, err);
    if (st != LSQ_OK) return st;
    if (ends_there(conn)) {
        lsqi_call_end(conn);
        return lsqi_remote_commit(conn->primary, call, err);
    }
    st =
        sqlite3_get_autocommit(conn->db) ? no_transaction(err) : lsqi_run_text(conn, "COMMIT", err);
    lsqi_call_end(conn);
    return st;
}

enum lsq_status lsq_rollback(struct lsq_conn *conn, const struct lsq_call *call,
                             struct lsq_error *err) {
    enum lsq_status st;

    if (conn->remote != NULL) return lsqi_remote_rollback(conn->remote, call, err);
    st = lsqi_call_begin(conn, NULL, err);
    if (st != LSQ_OK) return st;
    if (ends_there(conn)) {
        lsqi_call_end(conn);
        return lsqi_remote_rollback(conn->primary, call, err);
    }
    st = sqlite3_get_autocommit(conn->db) ? no_transaction(err)
                                          : lsqi_undo_run(conn, LSQI_ROLLBACK, err);
    lsqi_call_end(conn);
    return st;
}

/* ---- Foreign keys for the length of a transaction ---- */

static enum lsq_status switch_keys(struct lsq_conn *conn, bool on, bool *before,
                                   struct lsq_error *err) {
    int held = 0;

    if (sqlite3_get_autocommit(conn->db)) return no_transaction(err);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_FKEY, -1, &held);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_FKEY, on, NULL);
    if (!conn->keys_switched) conn->keys_before = held != 0;
    conn->keys_switched = true;
    if (before != NULL) *before = held != 0;
    return LSQ_OK;
}

enum lsq_status lsq_enforce_foreign_keys(struct lsq_conn *conn, bool on, bool *before,
                                         const struct lsq_call *call, struct lsq_error *err) {
    enum lsq_status st = lsqi_plain_only(conn, "switch for its foreign keys", err);

    (void)call; /* it waits for nothing */
    if (st == LSQ_OK) st = lsqi_call_begin(conn, NULL, err);
    if (st != LSQ_OK) return st;
    st = switch_keys(conn, on, before, err);
    lsqi_call_end(conn);
    return st;
}

/* ---- Savepoints ---- */

static enum lsq_status run_named(struct lsq_conn *conn, const char *sql,
                                 const struct lsq_call *call, struct lsq_error *err) {
    enum lsq_status st;

    if (conn->remote != NULL) return lsqi_remote_savepoint(conn->remote, sql, call, err);
    st = lsqi_call_begin(conn, NULL, err);
    if (st != LSQ_OK) return st;
    if (ends_there(conn)) {
        lsqi_call_end(conn);
        return lsqi_remote_savepoint(conn->primary, sql, call, err);
    }
    st = lsqi_run_text(conn, sql, err);
    lsqi_call_end(conn);
    return st;
}

static enum lsq_status savepoint_call(struct lsq_conn *conn, const char *verb, const char *name,
                                      size_t len, const struct lsq_call *call,
                                      struct lsq_error *err) {
    enum lsq_status st;
    char *sql;

    if (name == NULL || len == 0 || len > 1000)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "a savepoint's name has from 1 to 1000 bytes");
    st = lsqi_sql_check(name, len, NULL);
    if (st != LSQ_OK)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "a savepoint's name is UTF-8 without a NUL");
    sql = sqlite3_mprintf("%s \"%.*w\"", verb, (int)len, name);
    if (sql == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a savepoint");
    st = run_named(conn, sql, call, err);
    sqlite3_free(sql);
    return st;
}

enum lsq_status lsq_savepoint(struct lsq_conn *conn, const char *name, size_t len,
                              const struct lsq_call *call, struct lsq_error *err) {
    return savepoint_call(conn, "SAVEPOINT", name, len, call, err);
}

enum lsq_status lsq_release(struct lsq_conn *conn, const char *name, size_t len,
                            const struct lsq_call *call, struct lsq_error *err) {
    return savepoint_call(conn, "RELEASE", name, len, call, err);
}

enum lsq_status lsq_rollback_to(struct lsq_conn *conn, const char *name, size_t len,
                                const struct lsq_call *call, struct lsq_error *err) {
    return savepoint_call(conn, "ROLLBACK TO", name, len, call, err);
}
