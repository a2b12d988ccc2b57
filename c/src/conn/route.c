/* Of a replica: which statements are for its file, and which for the primary. By what the engine saw when it compiled
 * them, and not by their text. */
#include <string.h>

#include "conn/conn.h"

bool lsqi_is_there(const struct lsq_conn *conn) {
    return conn->replica != NULL && !lsqi_remote_idle(conn->primary);
}

/* ---- What belongs to the primary ---- */

/* PRAGMAs that write, or by which writing goes on. */
static bool pragma_is_theirs(const struct lsqi_record *record) {
    static const char *const with_value[] = {
        "application_id", "auto_vacuum",        "defer_foreign_keys",
        "encoding",       "foreign_keys",       "ignore_check_constraints",
        "journal_mode",   "legacy_alter_table", "page_size",
        "schema_version", "trusted_schema",     "user_version",
        "secure_delete",  "recursive_triggers", "writable_schema",
        "hexkey",         "hexrekey",           "key",
        "rekey",
    };
    static const char *const always[] = {"incremental_vacuum", "optimize", "wal_checkpoint"};

    for (size_t i = 0; record->pragma_value && i < sizeof(with_value) / sizeof(with_value[0]); i++)
        if (sqlite3_stricmp(record->pragma, with_value[i]) == 0) return true;
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (sqlite3_stricmp(record->pragma, always[i]) == 0) return true;
    return false;
}

/* CREATE TEMP TABLE IF NOT EXISTS of one that is there writes nothing, and has no record; and of a temporary trigger
 * the record says that it writes to its table's database. */
static bool is_create_temp(const struct lsqi_prepared *prepared) {
    size_t at = 0;
    struct lsqi_sql_token first = lsqi_sql_next(prepared->sql, prepared->len, &at);
    struct lsqi_sql_token second = lsqi_sql_next(prepared->sql, prepared->len, &at);

    if (first.len != 6 || sqlite3_strnicmp(prepared->sql + first.at, "create", 6) != 0)
        return false;
    return (second.len == 4 || second.len == 9) &&
           sqlite3_strnicmp(prepared->sql + second.at, "temporary", (int)second.len) == 0;
}

static bool is_word(const struct lsqi_prepared *prepared, const struct lsqi_sql_token *token,
                    const char *word) {
    const char *text = prepared->sql + token->at;
    size_t len = token->len;

    if (token->kind == LSQI_SQL_QUOTED && len >= 2) {
        text++;
        len -= 2;
    }
    return len == strlen(word) && sqlite3_strnicmp(text, word, (int)len) == 0;
}

/* What does nothing has no record: CREATE ... IF NOT EXISTS, DROP ... IF EXISTS. It names a thing with its database
 * first, if with any. */
static bool names_temp(const struct lsqi_prepared *prepared) {
    struct lsqi_sql_token before = {.kind = LSQI_SQL_END};
    struct lsqi_sql_token token;
    size_t at = 0;

    while ((token = lsqi_sql_next(prepared->sql, prepared->len, &at)).kind != LSQI_SQL_END) {
        if (token.kind == LSQI_SQL_OTHER)
            return prepared->sql[token.at] == '.' && is_word(prepared, &before, "temp");
        before = token;
    }
    return false;
}

static bool ddl_is_theirs(const struct lsqi_prepared *prepared) {
    if (is_create_temp(prepared)) return false;
    if (prepared->record.writes != 0) return true;
    return (prepared->record.actions & LSQI_WRITES_TEMP) == 0 && !lsqi_is_vacuum_into(prepared) &&
           !names_temp(prepared);
}

enum { MAIN = 1u << 0 };

static bool is_theirs(const struct lsqi_prepared *prepared) {
    const struct lsqi_record *record = &prepared->record;

    if (record->writes != 0 && (record->writes & MAIN) == 0) return false;
    if ((record->actions & LSQI_DDL) != 0) return ddl_is_theirs(prepared);
    if (record->writes != 0) return true;
    if ((record->actions & (LSQI_TXN | LSQI_SAVEPOINT)) != 0) return true;
    return (record->actions & LSQI_PRAGMA) != 0 && pragma_is_theirs(record);
}

/* ---- One's own writes ---- */

enum lsqi_way lsqi_way_to_read(struct lsq_conn *conn) {
    uint64_t until;

    if (conn->stale_reads || (conn->run.flags & LSQI_CALL_WAITED) != 0) return LSQI_HERE;
    if ((conn->run.flags & LSQI_CALL_BEHIND) != 0) return LSQI_THERE;
    return lsqi_replica_behind(conn->replica, &until) ? LSQI_BEHIND : LSQI_HERE;
}

enum lsqi_way lsqi_way_of(struct lsq_conn *conn, const struct lsqi_prepared *prepared) {
    if (!lsqi_remote_idle(conn->primary)) return LSQI_THERE;
    if (prepared->stmt == NULL) return LSQI_HERE;
    if (!sqlite3_get_autocommit(conn->db)) return LSQI_HERE; /* a snapshot of the file */
    if (prepared->record.actions != 0 || prepared->record.writes != 0) {
        if (is_theirs(prepared) && !conn->query_only) return LSQI_THERE;
        /* What settings are is no matter of what was written. */
        if ((prepared->record.actions & LSQI_ATTACH) != 0) return LSQI_HERE;
    }
    return lsqi_way_to_read(conn);
}

/* ---- What this schema does not know ---- */

static bool is_of_the_text(const char *message) {
    static const char *const words[] = {"syntax error", "unrecognized token", "incomplete input",
                                        "more than one statement"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strstr(message, words[i]) != NULL) return true;
    return false;
}

bool lsqi_is_theirs(const struct lsq_conn *conn, enum lsq_status st, const struct lsq_error *err) {
    if (conn->replica == NULL || st != LSQ_SQL) return false;
    /* Nobody knows whether it writes. */
    if (conn->query_only) return false;
    return sqlite3_get_autocommit(conn->db) != 0 && !is_of_the_text(err->message);
}
