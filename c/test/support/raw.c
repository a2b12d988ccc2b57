#include "raw.h"

#include "db.h"

sqlite3 *raw_open(const char *path) {
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    raw_run(db, "PRAGMA journal_mode = wal");
    raw_run(db, "PRAGMA wal_autocheckpoint = 0");
    return db;
}

void raw_run(sqlite3 *db, const char *sql) {
    char *why = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) fail_msg("%s: %s", sql, why);
}

int64_t raw_ask(sqlite3 *db, const char *sql) {
    sqlite3_stmt *stmt = NULL;
    int64_t value;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

void raw_is_whole(sqlite3 *db) {
    assert_int_equal(
        raw_ask(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
        0);
}
