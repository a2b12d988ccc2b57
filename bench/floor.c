/* floor.c - what the engine alone needs: the plainest C loop for each figure of bench/run.exs.
 *
 *     floor WORK DATABASE COUNT
 *
 * prints nanoseconds for one operation. WORK: point, scan, insert, cached, prepared. The tables
 * are those that bench/run.exs has made. */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void check(int ok, sqlite3 *db, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *stmt = NULL;

    check(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, db, sql);
    return stmt;
}

/* Reads every value of the row, as a caller would. */
static int64_t read_row(sqlite3_stmt *stmt) {
    int64_t sum = 0;

    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        switch (sqlite3_column_type(stmt, i)) {
        case SQLITE_INTEGER: sum += sqlite3_column_int64(stmt, i); break;
        case SQLITE_FLOAT: sum += (int64_t)sqlite3_column_double(stmt, i); break;
        case SQLITE_TEXT:
            sum += sqlite3_column_text(stmt, i)[0] + sqlite3_column_bytes(stmt, i);
            break;
        default: sum += sqlite3_column_bytes(stmt, i);
        }
    }
    return sum;
}

static int64_t point(sqlite3 *db, int count) {
    sqlite3_stmt *stmt = prepare(db, "SELECT id, name, score, note, flag FROM item WHERE id = ?1");
    int64_t sum = 0;

    for (int i = 0; i < count; i++) {
        sqlite3_bind_int64(stmt, 1, i % 1000 + 1);
        while (sqlite3_step(stmt) == SQLITE_ROW) sum += read_row(stmt);
        sqlite3_reset(stmt);
    }
    sqlite3_finalize(stmt);
    return sum;
}

static int64_t scan(sqlite3 *db, int count) {
    sqlite3_stmt *stmt = prepare(db, "SELECT id, name, score, note, flag FROM item");
    int64_t sum = 0;

    for (int i = 0; i < count && sqlite3_step(stmt) == SQLITE_ROW; i++) sum += read_row(stmt);
    sqlite3_finalize(stmt);
    return sum;
}

static int64_t insert(sqlite3 *db, int count) {
    sqlite3_stmt *stmt = prepare(db, "INSERT INTO sink VALUES (?1, ?2, ?3, ?4, ?5)");
    char name[32];

    check(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK, db, "BEGIN");
    for (int i = 1; i <= count; i++) {
        int len = snprintf(name, sizeof(name), "name of item %d", i);

        sqlite3_bind_int64(stmt, 1, i);
        sqlite3_bind_text(stmt, 2, name, len, SQLITE_STATIC);
        sqlite3_bind_double(stmt, 3, i * 0.5);
        sqlite3_bind_null(stmt, 4);
        sqlite3_bind_int64(stmt, 5, i & 1);
        check(sqlite3_step(stmt) == SQLITE_DONE, db, "INSERT");
        sqlite3_reset(stmt);
    }
    sqlite3_finalize(stmt);
    check(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK, db, "COMMIT");
    return 0;
}

static const struct {
    const char *name;
    int64_t (*run)(sqlite3 *db, int count);
    const char *before;
} works[] = {
    {"point", point, NULL},
    {"scan", scan, NULL},
    {"insert", insert, "DELETE FROM sink"},
};

int main(int argc, char **argv) {
    sqlite3 *db = NULL;
    int count = argc > 3 ? atoi(argv[3]) : 0;

    for (size_t i = 0; argc > 3 && i < sizeof(works) / sizeof(works[0]); i++) {
        int64_t start;
        volatile int64_t sum;

        if (strcmp(works[i].name, argv[1]) != 0) continue;
        check(sqlite3_open_v2(argv[2], &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
                  SQLITE_OK,
              db, argv[2]);
        sqlite3_exec(db, "PRAGMA synchronous = normal", NULL, NULL, NULL);
        if (works[i].before != NULL) sqlite3_exec(db, works[i].before, NULL, NULL, NULL);
        if (works[i].run != insert) sum = works[i].run(db, count); /* warm the caches */
        start = now_ns();
        sum = works[i].run(db, count);
        printf("%.1f\n", (double)(now_ns() - start) / count);
        (void)sum;
        sqlite3_close(db);
        return 0;
    }
    fprintf(stderr, "usage: floor point|scan|insert DATABASE COUNT\n");
    return 2;
}
