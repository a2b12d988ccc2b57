#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "conn/conn.h"
#include "engine/failure.h"

/* ---- What kind of statement ---- */

static enum lsq_command command_of(const struct lsqi_prepared *prepared) {
    enum lsq_command command = lsqi_sql_first_word(prepared->sql, prepared->len);

    /* WITH may stand before any of them: what it does tells. */
    if (command == LSQ_COMMAND_SELECT && prepared->record.dml != LSQ_COMMAND_OTHER)
        return prepared->record.dml;
    return command;
}

/* ---- Compiling ---- */

/* A PRAGMA of our own acts while it is compiled, and puts the engine's handler in place: also where
 * the text fails after it. */
static void keep_handlers(struct lsq_conn *conn, const struct lsqi_prepared *prepared) {
    if ((prepared->record.actions & LSQI_PRAGMA) != 0 && lsqi_settings_own(prepared->record.pragma))
        (void)lsqi_call_install(conn, NULL);
}

/* Reads a schema anew if another connection has changed it; true if so. The engine looks when it runs
 * a statement. */
static bool schema_reload(struct lsq_conn *conn, const char *database) {
    char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\".sqlite_schema LIMIT 0", database);
    sqlite3_stmt *stmt = NULL;
    bool changed = false;

    if (sql == NULL) return false;
    if (sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL) == SQLITE_OK) {
        sqlite3_step(stmt);
        changed = sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_REPREPARE, 0) > 0;
    }
    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    return changed;
}

static bool schemas_reload(struct lsq_conn *conn) {
    const char *name;
    bool changed = false;

    for (int i = 0; (name = sqlite3_db_name(conn->db, i)) != NULL; i++)
        if (i != 1 && schema_reload(conn, name)) changed = true; /* 1: temp, nobody else's */
    return changed;
}

/* A name without its database is looked for in one after the other, by what the connection knows of their schemas;
 * and a statement is compiled anew only if a schema that it uses has changed. So a table that another connection has
 * made in the main database would be passed over for one of that name in an attached one. Not where a transaction
 * has no snapshot yet: it would have one from now on. */
static void look_at_all(struct lsq_conn *conn) {
    if (sqlite3_db_name(conn->db, 2) == NULL) return;
    if (sqlite3_get_autocommit(conn->db) || sqlite3_txn_state(conn->db, NULL) != SQLITE_TXN_NONE)
        (void)schemas_reload(conn);
}

static int compile(struct lsq_conn *conn, struct lsqi_prepared *prepared, const char *sql,
                   size_t len, bool keep, const char **tail) {
    unsigned flags = keep ? SQLITE_PREPARE_PERSISTENT : 0;
    int rc;

    conn->recording = &prepared->record;
    rc = sqlite3_prepare_v3(conn->db, sql, (int)len, flags, &prepared->stmt, tail);
    conn->recording = NULL;
    return rc;
}

static enum lsq_status not_compiled(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                                    enum lsq_status st, struct lsq_error *err) {
    keep_handlers(conn, prepared);
    if (conn->run.stop == LSQ_READONLY) return lsqi_txn_refused(err);
    if (conn->run.stop != LSQ_OK)
        return lsqi_error_set(err, conn->run.stop, "%s", lsq_status_text(conn->run.stop));
    /* Where a virtual table's columns are compiled, the engine makes a plain error of it. */
    if (st == LSQ_ERROR && atomic_load(&conn->gate.cancel)) return lsqi_call_check(conn, err);
    if (st != LSQ_ERROR) return st;
    if (err != NULL) err->status = LSQ_SQL;
    return LSQ_SQL;
}

static enum lsq_status allowed(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                               struct lsq_error *err) {
    enum lsq_status st = lsqi_offline_allows(conn, prepared, err);

    if (st != LSQ_OK) lsqi_prepared_release(prepared);
    return st;
}

enum lsq_status lsqi_prepare(struct lsq_conn *conn, struct lsqi_prepared *prepared, const char *sql,
                             size_t len, bool keep, size_t *used, struct lsq_error *err) {
    const char *tail = sql;
    int rc;

    if (!conn->compiles)
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "a statement that is not compiled yet");
    look_at_all(conn);
    rc = compile(conn, prepared, sql, len, keep, &tail);
    if (rc != SQLITE_OK) {
        enum lsq_status st = lsqi_failure_set(err, conn->db, rc);

        /* It was judged by the schema that the connection knew. */
        if (st == LSQ_ERROR && conn->run.stop == LSQ_OK && schemas_reload(conn)) {
            prepared->record = (struct lsqi_record){0};
            tail = sql;
            rc = compile(conn, prepared, sql, len, keep, &tail);
            if (rc != SQLITE_OK) st = lsqi_failure_set(err, conn->db, rc);
        }
        if (rc != SQLITE_OK) return not_compiled(conn, prepared, st, err);
    }
    keep_handlers(conn, prepared);
    *used = (size_t)(tail - sql);
    if (prepared->stmt == NULL) {
        prepared->command = LSQ_COMMAND_EMPTY;
        return LSQ_OK;
    }
    prepared->sql = lsqi_strndup(sql, *used);
    if (prepared->sql == NULL) {
        sqlite3_finalize(prepared->stmt);
        prepared->stmt = NULL;
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a statement");
    }
    prepared->len = *used;
    if (sqlite3_stmt_isexplain(prepared->stmt)) prepared->record = (struct lsqi_record){0};
    lsqi_record_settle(&prepared->record, prepared->stmt);
    prepared->command = command_of(prepared);
    /* DROP ... IF EXISTS of what is absent does nothing today, nor REINDEX without an index; compiled
     * anew they may. */
    if (prepared->command == LSQ_COMMAND_CREATE ||
        (prepared->command == LSQ_COMMAND_OTHER && prepared->record.actions == 0))
        prepared->record.actions |= LSQI_DDL;
    return allowed(conn, prepared, err);
}

void lsqi_prepared_release(struct lsqi_prepared *prepared) {
    sqlite3_finalize(prepared->stmt);
    lsqi_free(prepared->sql);
    prepared->stmt = NULL;
    prepared->sql = NULL;
}
