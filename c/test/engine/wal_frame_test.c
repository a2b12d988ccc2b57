/* Frames of the WAL, of pages of all sizes, with and without a key (engine/patches/wal-frame.patch): they can be read,
 * and where the last one is torn, only its commit is lost. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/db.h"
#include "../support/raw.h"

enum { HEADER = 24, COMMITS = 12, ROW = 700 };

enum { SMALLEST = 512, LARGEST = 65536 }; /* pages */

/* ---- How they are written ---- */

static sqlite3_io_methods methods;
static const sqlite3_io_methods *real_methods;
static int writes;
static int bytes;

static int counted_write(sqlite3_file *file, const void *data, int count, sqlite3_int64 offset) {
    writes++;
    bytes += count;
    return real_methods->xWrite(file, data, count, offset);
}

static void count_writes(sqlite3 *db) {
    sqlite3_file *file = NULL;

    assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file),
                     SQLITE_OK);
    assert_non_null(file->pMethods);
    real_methods = file->pMethods;
    methods = *real_methods;
    methods.xWrite = counted_write;
    file->pMethods = &methods;
}

static void a_small_page_is_one_write(void **state) {
    struct lsq_core_info info;

    (void)state;
    assert_int_equal(lsq_core_info(&info, &last_error), LSQ_OK);
    if (strcmp(info.engine, "libsql") != 0) skip();
    for (size_t size = SMALLEST; size <= LARGEST; size *= 2) {
        char text[60];
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
        snprintf(text, sizeof(text), "PRAGMA page_size = %zu", size);
        raw_run(db, text);
        raw_run(db, "PRAGMA journal_mode = wal");
        raw_run(db, "CREATE TABLE t (n); INSERT INTO t VALUES (1)");
        count_writes(db);
        writes = bytes = 0;
        raw_run(db, "UPDATE t SET n = 2");
        assert_int_equal(bytes, HEADER + (int)size);
        assert_int_equal(writes, size <= 4096 ? 1 : 2);
        sqlite3_close(db);
    }
}

/* ---- What is read ---- */

static struct lsq_conn *open_sized(const char *path, size_t size, const char *key) {
    char text[20];
    const struct lsq_setting settings[] = {
        {"page_size", text}, {"journal_mode", "wal"}, {"wal_autocheckpoint", "0"}};
    struct lsq_config cfg = db_config(path);

    snprintf(text, sizeof(text), "%zu", size);
    cfg.settings = settings;
    cfg.setting_count = 3;
    cfg.key = key;
    cfg.key_len = key == NULL ? 0 : strlen(key);
    return db_open_as(&cfg);
}

/* As much of it as that; 0: all. */
static off_t copy(const char *path, const char *suffix, const char *to, off_t most) {
    char name[600];
    char other[600];
    char *data;
    struct stat st;
    int fd;

    snprintf(name, sizeof(name), "%s%s", path, suffix);
    snprintf(other, sizeof(other), "%s%s", to, suffix);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    if (most == 0) most = st.st_size;
    data = malloc((size_t)most);
    assert_non_null(data);
    assert_int_equal(read(fd, data, (size_t)most), most);
    close(fd);
    fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, (size_t)most), most);
    close(fd);
    free(data);
    return st.st_size;
}

/* The rows of what a crash would leave; cut: so many bytes before the WAL's end. */
static int64_t rows_left(const char *path, size_t size, const char *key, off_t cut) {
    struct lsq_conn *conn;
    char to[400];
    int64_t rows;
    off_t whole;

    snprintf(to, sizeof(to), "%s-copy", path);
    (void)copy(path, "", to, 0);
    whole = copy(path, "-wal", to, 0);
    if (cut > 0) (void)copy(path, "-wal", to, whole - cut);
    conn = open_sized(to, size, key);
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    assert_int_equal(ask(conn, "PRAGMA page_size"), size);
    rows = ask(conn, "SELECT count(*) FROM t");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE id = n"), rows);
    db_close(conn);
    return rows;
}

static void commit_rows(struct lsq_conn *conn, int count) {
    static const char insert[] =
        "INSERT INTO t (n, fill) SELECT 1 + count(*), randomblob(?1) FROM t";
    struct lsq_value value = lsq_int(ROW);
    struct lsq_params params = {.count = 1, .values = &value};

    for (int i = 0; i < count; i++)
        assert_int_equal(exec(conn, insert, &params, NULL, NULL), LSQ_OK);
}

static void all_that_is_whole_is_read(void **state) {
    static const char *const keys[] = {NULL, "a key"};
    struct lsq_core_info info;

    (void)state;
    assert_int_equal(lsq_core_info(&info, &last_error), LSQ_OK);
    for (int k = 0; k < (info.encryption ? 2 : 1); k++) {
        for (size_t size = SMALLEST; size <= LARGEST; size *= 2) {
            struct lsq_conn *conn;
            char path[300];

            snprintf(path, sizeof(path), "%s", db_path());
            conn = open_sized(path, size, keys[k]);
            run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, n, fill)");
            commit_rows(conn, COMMITS);
            assert_int_equal(rows_left(path, size, keys[k], 0), COMMITS);
            assert_int_equal(rows_left(path, size, keys[k], 1), COMMITS - 1);
            assert_int_equal(rows_left(path, size, keys[k], (off_t)size), COMMITS - 1);
            assert_int_equal(rows_left(path, size, keys[k], (off_t)size + HEADER - 1), COMMITS - 1);
            db_close(conn);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_small_page_is_one_write, db_forget),
        cmocka_unit_test_teardown(all_that_is_whole_is_read, db_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
