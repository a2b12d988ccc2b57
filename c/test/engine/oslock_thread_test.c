/* Threads open, write, read and close connections of the same files, one reads and closes the files
 * behind the engine's back, and another process writes too. Every row that was committed is there. */
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "../support/db.h"

enum { FILES = 3, WRITERS = 4, ROUNDS = 30, ROWS_A_ROUND = 3, PLAIN_ROWS = 30 };

static char paths[FILES][256];
static atomic_bool stop;
static atomic_int failures;

/* No checks of cmocka here: they may not fail on another thread. */
static sqlite3 *open_it(const char *path, int flags) {
    sqlite3 *db = NULL;

    if (sqlite3_open_v2(path, &db, flags, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(db, 60000);
        return db;
    }
    sqlite3_close(db);
    return NULL;
}

/* While others check whether a WAL must be recovered, opening may be told to try again. */
static int sql(sqlite3 *db, const char *text) {
    int rc = SQLITE_BUSY;

    for (int i = 0; i < 1000 && (rc == SQLITE_BUSY || rc == SQLITE_PROTOCOL); i++)
        rc = sqlite3_exec(db, text, NULL, NULL, NULL) & 0xff;
    return rc;
}

static void failed(const char *what, sqlite3 *db) {
    if (atomic_fetch_add(&failures, 1) == 0)
        print_error("%s: %s\n", what, db == NULL ? "not opened" : sqlite3_errmsg(db));
}

static void *write_rows(void *arg) {
    int first = *(int *)arg;

    for (int round = 0; round < ROUNDS; round++) {
        sqlite3 *db = open_it(paths[(first + round) % FILES], SQLITE_OPEN_READWRITE);

        for (int i = 0; db != NULL && i < ROWS_A_ROUND; i++)
            if (sql(db, "INSERT INTO t VALUES (randomblob(100))") != SQLITE_OK)
                failed("INSERT", db);
        if (db == NULL) failed("open", db);
        sqlite3_close(db);
    }
    return NULL;
}

static void *read_rows(void *arg) {
    for (int round = 0; !atomic_load(&stop); round++) {
        sqlite3 *db = open_it(paths[round % FILES], SQLITE_OPEN_READONLY);

        if (db == NULL || sql(db, "SELECT count(a) FROM t") != SQLITE_OK) failed("SELECT", db);
        sqlite3_close(db);
    }
    return arg;
}

static void *read_files(void *arg) {
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char name[300];
    char buffer[64];

    for (int round = 0; !atomic_load(&stop); round++) {
        int fd;

        snprintf(name, sizeof(name), "%s%s", paths[round % FILES], suffixes[round / FILES % 4]);
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        if (read(fd, buffer, sizeof(buffer)) < 0) failed("read", NULL);
        close(fd);
    }
    return arg;
}

/* Role: the engine without the library, with POSIX locks. */
static int plain_write(const char *path) {
    for (int i = 0; i < PLAIN_ROWS; i++) {
        sqlite3 *db = open_it(path, SQLITE_OPEN_READWRITE);

        if (db == NULL || sql(db, "INSERT INTO t VALUES (randomblob(100))") != SQLITE_OK) return 1;
        sqlite3_close(db);
    }
    return 0;
}

static const struct child_role roles[] = {{"plain_write", plain_write}};

static int64_t number(const char *path, const char *text) {
    sqlite3 *db = open_it(path, SQLITE_OPEN_READWRITE);
    sqlite3_stmt *stmt = NULL;
    int64_t value;

    assert_non_null(db);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

static void all_rows_are_there(const char *journal_mode) {
    pthread_t threads[WRITERS + 2];
    struct child children[FILES];
    int first[WRITERS];
    int64_t rows = 0;
    char text[100];
    struct lsq_core_info info;

    assert_int_equal(lsq_core_info(&info, &last_error), LSQ_OK);
    if (!info.ofd_locks) skip();
    atomic_store(&stop, false);
    snprintf(text, sizeof(text), "PRAGMA journal_mode = %s; CREATE TABLE t (a)", journal_mode);
    for (int i = 0; i < FILES; i++) {
        sqlite3 *db;

        snprintf(paths[i], sizeof(paths[i]), "%s", db_path());
        db = open_it(paths[i], SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
        assert_int_equal(sql(db, text), SQLITE_OK);
        sqlite3_close(db);
    }

    for (int i = 0; i < FILES; i++) children[i] = child_begin("plain_write", paths[i]);
    for (int i = 0; i < WRITERS; i++) {
        first[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_rows, &first[i]), 0);
    }
    assert_int_equal(pthread_create(&threads[WRITERS], NULL, read_rows, NULL), 0);
    assert_int_equal(pthread_create(&threads[WRITERS + 1], NULL, read_files, NULL), 0);
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < FILES; i++) assert_int_equal(child_end(&children[i]), 0);
    atomic_store(&stop, true);
    for (int i = WRITERS; i < WRITERS + 2; i++) pthread_join(threads[i], NULL);

    assert_int_equal(atomic_load(&failures), 0);
    for (int i = 0; i < FILES; i++) {
        rows += number(paths[i], "SELECT count(a) FROM t");
        assert_int_equal(number(paths[i], "SELECT count(*) FROM pragma_integrity_check "
                                          "WHERE integrity_check <> 'ok'"),
                         0);
    }
    assert_int_equal(rows, WRITERS * ROUNDS * ROWS_A_ROUND + FILES * PLAIN_ROWS);
}

static void in_wal_mode(void **state) {
    (void)state;
    all_rows_are_there("wal");
}

static void with_a_rollback_journal(void **state) {
    (void)state;
    all_rows_are_there("delete");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(in_wal_mode, db_forget),
        cmocka_unit_test_teardown(with_a_rollback_journal, db_forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
