#include <string.h>

#include "base/error.h"
#include "conn/conn.h"
#include "engine/failure.h"

/* ---- Reset ---- */

/* Runs what sql, a SELECT of one text column, finds, until it finds nothing more. */
static enum lsq_status run_while_found(struct lsq_conn *conn, const char *sql,
                                       struct lsq_error *err) {
    for (;;) {
        sqlite3_stmt *stmt = NULL;
        char *text = NULL;
        int rc = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL);

        if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
            text = sqlite3_mprintf("%s", sqlite3_column_text(stmt, 0));
            rc = text == NULL ? SQLITE_NOMEM : SQLITE_ROW;
        }
        sqlite3_finalize(stmt);
        if (rc == SQLITE_DONE) return LSQ_OK;
        if (rc == SQLITE_ROW) rc = sqlite3_exec(conn->db, text, NULL, NULL, NULL);
        sqlite3_free(text);
        if (rc != SQLITE_OK) return lsqi_failure_set(err, conn->db, rc);
    }
}

static enum lsq_status reset(struct lsq_conn *conn, struct lsq_error *err) {
    int foreign_keys = 0;
    enum lsq_status st = LSQ_OK;

    lsqi_stmt_reset_all(conn);
    if (!sqlite3_get_autocommit(conn->db)) {
        int rc = sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);

        if (rc != SQLITE_OK) return lsqi_failure_set(err, conn->db, rc);
    }
    lsqi_txn_look(conn);
    /* Off, so that tables can go in any order. */
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_FKEY, -1, &foreign_keys);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
    st = run_while_found(conn,
                         "SELECT printf('DROP %s IF EXISTS temp.\"%w\"', type, name) "
                         "FROM sqlite_temp_schema WHERE type IN ('trigger', 'view', 'table') "
                         "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
                         "ORDER BY type = 'table', sql NOT LIKE 'CREATE VIRTUAL%'",
                         err);
    if (st == LSQ_OK) st = lsqi_attached_restore(conn, err);
    lsqi_files_look(conn);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_FKEY, foreign_keys, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    return st == LSQ_OK ? lsqi_settings_apply(conn, err) : st;
}

enum lsq_status lsq_conn_reset(struct lsq_conn *conn, struct lsq_error *err) {
    static const struct lsq_call call = {.flags = LSQ_CALL_NOWAIT};
    enum lsq_status st = lsqi_call_begin(conn, &call, err);

    if (st != LSQ_OK) return st;
    if (conn->remote != NULL) {
        lsqi_stmt_reset_all(conn);
        lsqi_remote_leave(conn->remote);
        lsqi_call_end(conn);
        return LSQ_OK;
    }
    if (conn->replica != NULL) lsqi_remote_leave(conn->primary);
    st = reset(conn, err);
    /* Where a virtual table's columns are compiled, the engine makes a plain error of it. */
    if (st == LSQ_ERROR && atomic_load(&conn->gate.cancel)) st = lsqi_call_check(conn, err);
    lsqi_call_end(conn);
    return st;
}

/* ---- Settings of the library's own, facts and counters ---- */

enum lsq_status lsq_conn_set_busy_timeout(struct lsq_conn *conn, int ms, struct lsq_error *err) {
    enum lsq_status st;

    if (ms < 0) return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the busy time-out is negative");
    st = lsqi_call_begin(conn, NULL, err);
    if (st != LSQ_OK) return st;
    atomic_store(&conn->busy_timeout, ms);
    lsqi_call_end(conn);
    return LSQ_OK;
}

int lsq_conn_busy_timeout(const struct lsq_conn *conn) {
    return atomic_load(&((struct lsq_conn *)conn)->busy_timeout);
}

const struct lsq_notice *lsq_conn_notice(const struct lsq_conn *conn, size_t i) {
    return i < conn->notice_count ? &conn->notices[i] : NULL;
}

static int64_t db_status(struct lsq_conn *conn, int what) {
    int now = 0;
    int highest = 0;

    sqlite3_db_status(conn->db, what, &now, &highest, 0);
    return now;
}

/* Of a replica: what is written, and its transactions, are the primary's. */
static void add_primary(struct lsq_conn *conn, struct lsq_conn_info *info) {
    struct lsq_conn_info there;

    lsqi_remote_info(conn->primary, &there);
    info->autocommit = info->autocommit && there.autocommit;
    info->readonly = false;
    info->wrote = false;
    info->last_rowid = there.last_rowid;
    info->changes = there.changes;
    info->total_changes = there.total_changes;
}

enum lsq_status lsq_conn_info(struct lsq_conn *conn, bool all, struct lsq_conn_info *info,
                              struct lsq_error *err) {
    enum lsq_status st = lsqi_call_begin(conn, NULL, err);

    if (st != LSQ_OK) return st;
    if (conn->remote != NULL) {
        lsqi_remote_info(conn->remote, info);
        lsqi_call_end(conn);
        return LSQ_OK;
    }
    *info = (struct lsq_conn_info){
        .autocommit = sqlite3_get_autocommit(conn->db) != 0,
        .readonly = sqlite3_db_readonly(conn->db, "main") == 1,
        .wal = conn->wal,
        .wrote = conn->wrote && !sqlite3_get_autocommit(conn->db),
        .last_rowid = sqlite3_last_insert_rowid(conn->db),
        .changes = sqlite3_changes64(conn->db),
        .total_changes = sqlite3_total_changes64(conn->db),
        .cache_hits = conn->cache.hits,
        .cache_misses = conn->cache.misses,
        .cache_size = (int64_t)conn->cache.count,
        .fast_runs = conn->fast_runs,
        .fast_refusals = conn->fast_refusals,
    };
    if (conn->replica != NULL) add_primary(conn, info);
    if (all) {
        info->page_cache_bytes = db_status(conn, SQLITE_DBSTATUS_CACHE_USED);
        info->schema_bytes = db_status(conn, SQLITE_DBSTATUS_SCHEMA_USED);
        info->statement_bytes = db_status(conn, SQLITE_DBSTATUS_STMT_USED);
    }
    lsqi_call_end(conn);
    return LSQ_OK;
}

/* ---- Pages and log ---- */

enum lsq_status lsq_conn_cacheflush(struct lsq_conn *conn, struct lsq_error *err) {
    enum lsq_status st = lsqi_plain_only(conn, "page cache to be written", err);
    int rc;

    if (st == LSQ_OK) st = lsqi_call_begin(conn, NULL, err);
    if (st != LSQ_OK) return st;
    rc = sqlite3_db_cacheflush(conn->db);
    if (rc != SQLITE_OK) st = lsqi_failure_set(err, conn->db, rc);
    /* Pages that this connection's own cursors are on: waiting does not help. */
    if (st != LSQ_OK && err != NULL) err->transient = false;
    lsqi_call_end(conn);
    return st;
}

enum lsq_status lsq_conn_checkpoint(struct lsq_conn *conn, const char *schema,
                                    enum lsq_checkpoint mode, int *log, int *done,
                                    struct lsq_error *err) {
    static const struct lsq_call call = {.flags = LSQ_CALL_NOWAIT};
    static const int modes[] = {
        [LSQ_CHECKPOINT_PASSIVE] = SQLITE_CHECKPOINT_PASSIVE,
        [LSQ_CHECKPOINT_FULL] = SQLITE_CHECKPOINT_FULL,
        [LSQ_CHECKPOINT_RESTART] = SQLITE_CHECKPOINT_RESTART,
        [LSQ_CHECKPOINT_TRUNCATE] = SQLITE_CHECKPOINT_TRUNCATE,
    };
    enum lsq_status st;
    int log_frames = -1;
    int done_frames = -1;
    int rc;

    st = lsqi_plain_only(conn, "WAL to be checkpointed", err);
    if (st != LSQ_OK) return st;
    if ((unsigned)mode > LSQ_CHECKPOINT_TRUNCATE)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no checkpoint mode %d", (int)mode);
    st = lsqi_call_begin(conn, &call, err);
    if (st != LSQ_OK) return st;
    /* An interrupt that came at the very end of an earlier call is still noted in the engine, whose
     * checkpoint would heed it: compiling anything, be it nothing, forgets it. */
    (void)sqlite3_exec(conn->db, ";", NULL, NULL, NULL);
    st = lsqi_call_check(conn, err);
    if (st != LSQ_OK) {
        lsqi_call_end(conn);
        return st;
    }
    rc = sqlite3_wal_checkpoint_v2(conn->db, schema, modes[mode], &log_frames, &done_frames);
    if (rc != SQLITE_OK) {
        st = lsqi_failure_set(err, conn->db, rc);
        if (err != NULL) err->transient = st == LSQ_BUSY;
    }
    lsqi_call_end(conn);
    if (log != NULL && st == LSQ_OK) *log = log_frames;
    if (done != NULL && st == LSQ_OK) *done = done_frames;
    return st;
}

/* ---- Extensions ---- */

enum lsq_status lsq_conn_enable_extensions(struct lsq_conn *conn, bool on, struct lsq_error *err) {
    enum lsq_status st = lsqi_files_only(conn, "extensions", err);
    int rc;

    if (st == LSQ_OK) st = lsqi_call_begin(conn, NULL, err);
    if (st != LSQ_OK) return st;
    /* This switch is for the C function only: SQL stays refused. */
    rc = sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, on ? 1 : 0, NULL);
    if (rc != SQLITE_OK) st = lsqi_failure_set(err, conn->db, rc);
    lsqi_call_end(conn);
    return st;
}

enum lsq_status lsq_conn_load_extension(struct lsq_conn *conn, const char *path, const char *entry,
                                        struct lsq_error *err) {
    enum lsq_status st;
    char *message = NULL;
    int on = 0;

    if (conn->remote != NULL) return lsqi_files_only(conn, "extensions", err);
    if (path == NULL || path[0] == '\0')
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the extension's path is empty");
    st = lsqi_call_begin(conn, NULL, err);
    if (st != LSQ_OK) return st;
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, -1, &on);
    if (!on)
        st = lsqi_error_set(err, LSQ_AUTH, "loading extensions is not enabled on this connection");
    else if (sqlite3_load_extension(conn->db, path, entry, &message) != SQLITE_OK)
        st = lsqi_error_set(err, LSQ_ERROR, "%s", message == NULL ? "not loaded" : message);
    sqlite3_free(message);
    lsqi_call_end(conn);
    return st;
}

/* ---- A result in one call ---- */

enum lsq_status lsq_query(struct lsq_result **out, struct lsq_conn *conn, const char *sql,
                          const struct lsq_params *params, struct lsq_error *err) {
    struct lsq_result *res;
    enum lsq_status st;

    if (sql == NULL) return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the SQL is NULL");
    st = lsq_result_new(&res, err);
    if (st != LSQ_OK) return st;
    st = lsq_exec(conn, sql, strlen(sql), params, NULL, lsq_result_sink(), res, NULL, err);
    if (st == LSQ_OK)
        *out = res;
    else
        lsq_result_free(res);
    return st;
}
