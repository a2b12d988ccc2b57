#include "engine/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* SQL functions whose cost a short statement may carry on a scheduler thread: bounded, or no more
 * than the value that it was given. Sorted. What is not here counts as long. */
static const char *const short_functions[] = {
    "abs",           "avg",          "changes",   "coalesce",
    "count",         "date",         "datetime",  "ifnull",
    "iif",           "julianday",    "length",    "likelihood",
    "likely",        "max",          "min",       "last_insert_rowid",
    "nullif",        "octet_length", "random",    "round",
    "sign",          "strftime",     "substr",    "substring",
    "sum",           "time",         "timediff",  "total",
    "total_changes", "typeof",       "unixepoch", "unlikely",
};

/* The library's own (engine/decimal.h): bounded, for a number has no more than so many digits. */
static const char *const decimal_functions[] = {
    "decimal",     "decimal_add", "decimal_avg", "decimal_cmp",
    "decimal_div", "decimal_mul", "decimal_sub", "decimal_sum",
};

/* Functions that act on the world, not only on their arguments. */
static const char *const acting_functions[] = {
    "fts3_tokenizer", "fts5", "load_extension", "optimize", "sqlite3mc_config",
};

static bool listed(const char *const *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (sqlite3_stricmp(list[i], name) == 0) return true;
    }
    return false;
}

#define LISTED(list, name) listed(list, sizeof(list) / sizeof((list)[0]), name)

static unsigned bit_of(sqlite3 *db, const char *database) {
    unsigned bits = 0;
    const char *name;

    for (int i = 0; (name = sqlite3_db_name(db, i)) != NULL; i++)
        if (sqlite3_stricmp(name, database) == 0) bits |= 1u << (i & 31);
    return bits;
}

static void note_write(struct lsqi_record *record, sqlite3 *db, const char *database) {
    if (database == NULL) database = "main";
    if (sqlite3_stricmp(database, "temp") == 0) {
        record->actions |= LSQI_WRITES_TEMP;
        return;
    }
    record->writes |= bit_of(db, database);
}

static void note_dml(struct lsqi_record *record, sqlite3 *db, enum lsq_command command,
                     const char *database, const char *trigger) {
    note_write(record, db, database);
    if (trigger == NULL && record->dml == LSQ_COMMAND_OTHER) record->dml = command;
}

static void note_function(struct lsqi_record *record, const char *name) {
    if (name == NULL || !(LISTED(short_functions, name) || LISTED(decimal_functions, name)))
        record->actions |= LSQI_LONG_FUNCTION;
    if (name != NULL && LISTED(acting_functions, name)) record->actions |= LSQI_ACTING_FUNCTION;
}

static void note_pragma(struct lsqi_record *record, sqlite3 *db, const char *name,
                        const char *value, const char *database) {
    record->actions |= LSQI_PRAGMA;
    if (database != NULL) record->pragma_database |= bit_of(db, database);
    if (name != NULL) lsqi_error_copy(record->pragma, sizeof(record->pragma), name, strlen(name));
    if (value != NULL) {
        record->pragma_value = true;
        lsqi_error_copy(record->value, sizeof(record->value), value, strlen(value));
    }
}

void lsqi_record_note(struct lsqi_record *record, sqlite3 *db, int action, const char *arg1,
                      const char *arg2, const char *database, const char *trigger) {
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE: return;
    case SQLITE_FUNCTION: note_function(record, arg2); return;
    case SQLITE_INSERT: note_dml(record, db, LSQ_COMMAND_INSERT, database, trigger); return;
    case SQLITE_UPDATE: note_dml(record, db, LSQ_COMMAND_UPDATE, database, trigger); return;
    case SQLITE_DELETE: note_dml(record, db, LSQ_COMMAND_DELETE, database, trigger); return;
    case SQLITE_PRAGMA: note_pragma(record, db, arg1, arg2, database); return;
    case SQLITE_ATTACH:
    case SQLITE_DETACH: record->actions |= LSQI_ATTACH; return;
    case SQLITE_TRANSACTION: record->actions |= LSQI_TXN; return;
    case SQLITE_SAVEPOINT: record->actions |= LSQI_SAVEPOINT; return;
    case SQLITE_ALTER_TABLE: /* its first argument is the database */
        record->actions |= LSQI_DDL;
        note_write(record, db, arg1);
        return;
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_DROP_TEMP_INDEX:
    case SQLITE_DROP_TEMP_TABLE:
    case SQLITE_DROP_TEMP_TRIGGER:
    case SQLITE_DROP_TEMP_VIEW: record->actions |= LSQI_DDL | LSQI_WRITES_TEMP; return;
    default: /* the other kinds of CREATE and DROP, REINDEX, ANALYZE, and what may be new */
        record->actions |= LSQI_DDL;
        note_write(record, db, database);
        return;
    }
}

void lsqi_record_settle(struct lsqi_record *record, sqlite3_stmt *stmt) {
    if (!sqlite3_stmt_readonly(stmt)) return;
    record->writes = 0;
    record->dml = LSQ_COMMAND_OTHER;
    record->actions &= ~(unsigned)LSQI_WRITES_TEMP;
}
