/* A checkpoint that another connection overtakes loses nothing.
 *
 * A PASSIVE checkpoint reads the header of the WAL and then looks at how much is back-filled. Between
 * the two the test, as the checkpointer's file system, lets a writer commit, who finds all of the WAL
 * back-filled and begins it anew. SQLite before 3.51.3 then copies by the old header. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "../support/raw.h"

enum { OLD_ROWS = 20 };

static sqlite3 *writer;
static sqlite3 *checkpointer;
static int window_rows; /* to be written in the window; 0: the window is closed */
static int next_row;

/* Each row fills a page, so that the newest version of few pages is in the last frames. */
static void write_rows(int count) {
    char text[100];

    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "INSERT INTO t VALUES (%d, zeroblob(3000))", next_row++);
        raw_run(writer, text);
    }
}

/* ---- The checkpointer's file, with one method of ours ---- */

static sqlite3_io_methods methods;
static const sqlite3_io_methods *real_methods;

/* The engine gives up mapped pages once it has read a header that is new to it. */
static int unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page) {
    int rows = window_rows;

    if (rows > 0 && page == NULL) {
        window_rows = 0;
        write_rows(rows);
    }
    return real_methods->iVersion < 3 ? SQLITE_OK : real_methods->xUnfetch(file, offset, page);
}

static int fetch(sqlite3_file *file, sqlite3_int64 offset, int count, void **page) {
    (void)file, (void)offset, (void)count;
    *page = NULL;
    return SQLITE_OK;
}

static void put_window_in(sqlite3 *db) {
    sqlite3_file *file = NULL;

    assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
    real_methods = file->pMethods;
    methods = *real_methods;
    if (methods.iVersion < 3) {
        methods.iVersion = 3;
        methods.xFetch = fetch;
    }
    methods.xUnfetch = unfetch;
    file->pMethods = &methods;
}

/* ---- The story ---- */

static void everything_is_there(const char *path, int rows) {
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(raw_ask(db, "SELECT count(*) FROM t"), rows);
    raw_is_whole(db);
    sqlite3_close(db);
}

static bool is_cured(void) {
    struct lsq_core_info info;

    assert_int_equal(lsq_core_info(&info, &last_error), LSQ_OK); /* the engine is set up, too */
    return info.wal_reset_fixed;
}

/* in_window: commits of the writer while the checkpoint is between its two looks; after: later ones,
 * before the WAL is checkpointed and begun anew. */
static void overtake(int in_window, int after) {
    char path[256];
    int log = -1;
    int done = -1;
    int copied;

    snprintf(path, sizeof(path), "%s", db_path());
    writer = raw_open(path);
    checkpointer = raw_open(path);
    put_window_in(checkpointer);
    next_row = 1;
    raw_run(writer, "CREATE TABLE t (id INTEGER PRIMARY KEY, fill BLOB)");
    assert_int_equal(raw_ask(checkpointer, "SELECT count(*) FROM t"), 0);
    write_rows(OLD_ROWS);
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(writer, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &done), SQLITE_OK);
    assert_int_equal(log, done); /* the next writer begins the WAL anew */

    window_rows = in_window;
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(checkpointer, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &done),
        SQLITE_OK);
    assert_int_equal(window_rows, 0); /* the window was open */
    copied = done;
    everything_is_there(path, OLD_ROWS + in_window);

    write_rows(after);
    everything_is_there(path, OLD_ROWS + in_window + after);
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(checkpointer, NULL, SQLITE_CHECKPOINT_TRUNCATE, &log, &done),
        SQLITE_OK);
    everything_is_there(path, OLD_ROWS + in_window + after);
    write_rows(1);
    sqlite3_close(writer);
    sqlite3_close(checkpointer);
    everything_is_there(path, OLD_ROWS + in_window + after + 1);
    assert_int_equal(copied, 0); /* of the new WAL, when the checkpoint was overtaken */
}

static void new_wal_is_shorter(void **state) {
    (void)state;
    if (!is_cured()) skip();
    overtake(1, 0);
    overtake(1, 3);
    overtake(3, 5);
}

static void new_wal_is_about_as_long(void **state) {
    (void)state;
    if (!is_cured()) skip();
    for (int rows = OLD_ROWS - 3; rows <= OLD_ROWS + 3; rows++) overtake(rows, 2);
}

static void new_wal_is_longer(void **state) {
    (void)state;
    if (!is_cured()) skip();
    overtake(3 * OLD_ROWS, 0);
    overtake(3 * OLD_ROWS, 10);
}

/* What is not overtaken is done as ever. */
static void other_checkpoints_copy_all(void **state) {
    static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_FULL,
                                SQLITE_CHECKPOINT_RESTART, SQLITE_CHECKPOINT_TRUNCATE};
    char path[256];
    int log;
    int done;

    (void)state;
    (void)is_cured();
    snprintf(path, sizeof(path), "%s", db_path());
    writer = raw_open(path);
    checkpointer = raw_open(path);
    next_row = 1;
    raw_run(writer, "CREATE TABLE t (id INTEGER PRIMARY KEY, fill BLOB)");
    for (size_t i = 0; i < 3 * sizeof(modes) / sizeof(modes[0]); i++) {
        write_rows(5);
        assert_int_equal(sqlite3_wal_checkpoint_v2(checkpointer, NULL, modes[i % 4], &log, &done),
                         SQLITE_OK);
        assert_int_equal(log, done);
        everything_is_there(path, next_row - 1);
    }
    sqlite3_close(writer);
    sqlite3_close(checkpointer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(new_wal_is_shorter, db_forget),
        cmocka_unit_test_teardown(new_wal_is_about_as_long, db_forget),
        cmocka_unit_test_teardown(new_wal_is_longer, db_forget),
        cmocka_unit_test_teardown(other_checkpoints_copy_all, db_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
