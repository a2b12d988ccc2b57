#include "engine/failure.h"

#include <string.h>

#include "base/error.h"
#include "engine/engine.h"

/* ---- Constraints ----
 *
 * The engine names what failed only in its message: "UNIQUE constraint failed: t.a, t.b",
 * "UNIQUE constraint failed: index 'i'", "CHECK constraint failed: name or expression". The kind is
 * in the extended code. */

static enum lsq_constraint constraint_kind(int code) {
    switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE: return LSQ_CONSTRAINT_UNIQUE;
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID: return LSQ_CONSTRAINT_PRIMARY_KEY;
    case SQLITE_CONSTRAINT_FOREIGNKEY: return LSQ_CONSTRAINT_FOREIGN_KEY;
    case SQLITE_CONSTRAINT_CHECK: return LSQ_CONSTRAINT_CHECK;
    case SQLITE_CONSTRAINT_NOTNULL: return LSQ_CONSTRAINT_NOT_NULL;
    default: return LSQ_CONSTRAINT_OTHER;
    }
}

/* ON DELETE RESTRICT and ON UPDATE RESTRICT are triggers of the engine's own: the code is that of a
 * RAISE(), and the message tells them from those that the schema wrote. */
static bool refused_by_restrict(int code, const char *message) {
    return code == SQLITE_CONSTRAINT_TRIGGER &&
           strcmp(message, "FOREIGN KEY constraint failed") == 0;
}

/* "t.a, t.b": the table is what stands before the first dot and before every column. */
static void read_columns(struct lsq_error *err, const char *list) {
    const char *dot = strchr(list, '.');
    char *to = err->columns;
    size_t room = sizeof(err->columns);
    size_t prefix;

    if (dot == NULL) return;
    prefix = (size_t)(dot - list) + 1;
    lsqi_error_copy(err->table, sizeof(err->table), list, prefix - 1);
    for (const char *at = list; at != NULL;) {
        const char *next = strstr(at, ", ");
        const char *name;
        size_t len;

        /* A ", " inside a column's own name is followed by no table name. */
        while (next != NULL && strncmp(next + 2, list, prefix) != 0) next = strstr(next + 2, ", ");
        name = at + prefix;
        len = next == NULL ? strlen(name) : (size_t)(next - name);
        if (to != err->columns && room > 2) {
            memcpy(to, ", ", 2);
            to += 2;
            room -= 2;
        }
        if (room <= len) return;
        lsqi_error_copy(to, room, name, len);
        to += len;
        room -= len;
        at = next == NULL ? NULL : next + 2;
    }
}

static void read_constraint(struct lsq_error *err) {
    static const char index_word[] = "index '";
    const char *detail = strstr(err->message, "constraint failed: ");
    size_t len;

    if (detail == NULL) return;
    detail += strlen("constraint failed: ");
    if (err->constraint == LSQ_CONSTRAINT_CHECK) {
        lsqi_error_copy(err->constraint_name, sizeof(err->constraint_name), detail, strlen(detail));
        return;
    }
    if (strncmp(detail, index_word, sizeof(index_word) - 1) != 0) {
        read_columns(err, detail);
        return;
    }
    detail += sizeof(index_word) - 1;
    len = strlen(detail);
    if (len > 0 && detail[len - 1] == '\'') len--;
    lsqi_error_copy(err->constraint_name, sizeof(err->constraint_name), detail, len);
}

/* What code and message say. */
static void read_failure(struct lsq_error *err, enum lsq_status status, int code) {
    err->engine_code = code;
    /* Compiling and opening meet others' locks too. */
    err->transient = status == LSQ_BUSY || status == LSQ_PROTOCOL;
    if (status != LSQ_CONSTRAINT) return;
    err->constraint = refused_by_restrict(code, err->message) ? LSQ_CONSTRAINT_FOREIGN_KEY
                                                              : constraint_kind(code);
    read_constraint(err);
}

enum lsq_status lsqi_failure_set(struct lsq_error *err, sqlite3 *db, int code) {
    enum lsq_status status = lsqi_engine_status(code);

    if (err == NULL) return status;
    lsqi_error_set(err, status, "%s",
                   code == SQLITE_NOMEM || db == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(db));
    if (db != NULL) err->sql_offset = sqlite3_error_offset(db);
    read_failure(err, status, code);
    return status;
}

/* ---- What was said elsewhere ---- */

struct named_code {
    const char *name;
    int code;
};

/* Primary codes, and the extended ones that say more to a caller. */
static const struct named_code codes[] = {
#define CODE(name)                                                                                 \
    { #name, name }
    CODE(SQLITE_ERROR),
    CODE(SQLITE_INTERNAL),
    CODE(SQLITE_PERM),
    CODE(SQLITE_ABORT),
    CODE(SQLITE_BUSY),
    CODE(SQLITE_LOCKED),
    CODE(SQLITE_NOMEM),
    CODE(SQLITE_READONLY),
    CODE(SQLITE_INTERRUPT),
    CODE(SQLITE_IOERR),
    CODE(SQLITE_CORRUPT),
    CODE(SQLITE_NOTFOUND),
    CODE(SQLITE_FULL),
    CODE(SQLITE_CANTOPEN),
    CODE(SQLITE_PROTOCOL),
    CODE(SQLITE_SCHEMA),
    CODE(SQLITE_TOOBIG),
    CODE(SQLITE_CONSTRAINT),
    CODE(SQLITE_MISMATCH),
    CODE(SQLITE_MISUSE),
    CODE(SQLITE_AUTH),
    CODE(SQLITE_RANGE),
    CODE(SQLITE_NOTADB),
    CODE(SQLITE_BUSY_RECOVERY),
    CODE(SQLITE_BUSY_SNAPSHOT),
    CODE(SQLITE_BUSY_TIMEOUT),
    CODE(SQLITE_LOCKED_SHAREDCACHE),
    CODE(SQLITE_ABORT_ROLLBACK),
    CODE(SQLITE_CONSTRAINT_CHECK),
    CODE(SQLITE_CONSTRAINT_COMMITHOOK),
    CODE(SQLITE_CONSTRAINT_FOREIGNKEY),
    CODE(SQLITE_CONSTRAINT_FUNCTION),
    CODE(SQLITE_CONSTRAINT_NOTNULL),
    CODE(SQLITE_CONSTRAINT_PRIMARYKEY),
    CODE(SQLITE_CONSTRAINT_TRIGGER),
    CODE(SQLITE_CONSTRAINT_UNIQUE),
    CODE(SQLITE_CONSTRAINT_VTAB),
    CODE(SQLITE_CONSTRAINT_ROWID),
    CODE(SQLITE_CONSTRAINT_PINNED),
    CODE(SQLITE_CONSTRAINT_DATATYPE),
#undef CODE
};

int lsqi_failure_code(const char *name) {
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strcmp(name, codes[i].name) == 0) return codes[i].code;
    return 0;
}

/* A server may give the primary code alone: the engine's words tell the kind. */
static int code_by_words(const char *message) {
    static const struct named_code words[] = {
        {"UNIQUE constraint failed", SQLITE_CONSTRAINT_UNIQUE},
        {"FOREIGN KEY constraint failed", SQLITE_CONSTRAINT_FOREIGNKEY},
        {"CHECK constraint failed", SQLITE_CONSTRAINT_CHECK},
        {"NOT NULL constraint failed", SQLITE_CONSTRAINT_NOTNULL},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strncmp(message, words[i].name, strlen(words[i].name)) == 0) return words[i].code;
    return SQLITE_CONSTRAINT;
}

enum lsq_status lsqi_failure_told(struct lsq_error *err, int code, const char *message) {
    enum lsq_status status;

    if (code == SQLITE_CONSTRAINT) code = code_by_words(message);
    status = lsqi_engine_status(code);
    if (err == NULL) return status;
    lsqi_error_set(err, status, "%s", message);
    read_failure(err, status, code);
    return status;
}

/* ---- The index behind a UNIQUE ---- */

/* Copies the first column of the first row into field, if there is one. */
static void look_up(sqlite3 *db, const char *sql, const char *arg1, const char *arg2, char *field,
                    size_t size) {
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) return;
    sqlite3_bind_text(stmt, 1, arg1, -1, SQLITE_STATIC);
    if (arg2 != NULL) sqlite3_bind_text(stmt, 2, arg2, -1, SQLITE_STATIC);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);

        if (text != NULL) lsqi_error_copy(field, size, text, strlen(text));
    }
    sqlite3_finalize(stmt);
}

void lsqi_failure_explain(struct lsq_error *err, sqlite3 *db) {
    if (err == NULL || err->status != LSQ_CONSTRAINT) return;
    if (err->constraint != LSQ_CONSTRAINT_UNIQUE && err->constraint != LSQ_CONSTRAINT_PRIMARY_KEY)
        return;
    if (err->constraint_name[0] != '\0') {
        look_up(db,
                "SELECT tbl_name FROM sqlite_schema WHERE type = 'index' AND name = ?1 "
                "UNION ALL "
                "SELECT tbl_name FROM sqlite_temp_schema WHERE type = 'index' AND name = ?1",
                err->constraint_name, NULL, err->table, sizeof(err->table));
        return;
    }
    /* A primary key has no name, whatever else there is over its columns. */
    if (err->table[0] == '\0' || err->constraint != LSQ_CONSTRAINT_UNIQUE) return;
    /* The engine says neither which of several indexes it was nor in which database: what is not
     * certain is left out. So is an index that it made for an inline UNIQUE, for nobody chose its
     * name. CROSS JOIN: SQLite 3.40 else begins with the lists, which then have no schema. */
    look_up(db,
            "SELECT CASE WHEN count(DISTINCT l.name) = 1 AND max(l.origin) = 'c' THEN l.name END "
            "FROM pragma_database_list AS d CROSS JOIN pragma_index_list(?1, d.name) AS l "
            "WHERE l.\"unique\" AND l.origin <> 'pk' AND (SELECT group_concat(name, ', ') FROM "
            "(SELECT name FROM pragma_index_info(l.name, d.name) ORDER BY seqno)) = ?2",
            err->table, err->columns, err->constraint_name, sizeof(err->constraint_name));
}
