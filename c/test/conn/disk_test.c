/* Disks that fill up, fail or lie: the error has its name, and what was committed is there. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/db.h"
#include "../support/faulty.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

enum { BASE_ROWS = 10, MORE_ROWS = 20 };

#define INSERT_MORE                                                                                \
    "WITH RECURSIVE n(i) AS (SELECT 101 UNION ALL SELECT i + 1 FROM n WHERE i < 120) "             \
    "INSERT INTO t SELECT i, randomblob(3000) FROM n"

static char path[300];

static struct lsq_conn *open_mode(const char *mode, bool faulty) {
    struct lsq_setting settings[] = {{"journal_mode", mode}, {"cache_size", "10"}};
    struct lsq_config cfg = db_config(path);

    cfg.settings = settings;
    cfg.setting_count = 2;
    if (faulty) cfg.vfs = "faulty";
    return db_open_as(&cfg);
}

static void make_base(const char *mode) {
    struct lsq_conn *conn;

    snprintf(path, sizeof(path), "%s", db_path());
    conn = open_mode(mode, false);
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, filler)");
    run(conn, "CREATE INDEX t_filler ON t (filler)");
    run(conn, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) "
              "INSERT INTO t SELECT i, randomblob(3000) FROM n");
    db_close(conn);
}

static void expect_rows(struct lsq_conn *conn, int64_t more, const char *what, int n) {
    int64_t base = ask(conn, "SELECT count(*) FROM t WHERE id <= 10");
    int64_t got = ask(conn, "SELECT count(*) FROM t WHERE id > 10");

    if (base != BASE_ROWS || got != more)
        fail_msg("%s after %d: %d rows of %d, and %d of %d", what, n, (int)base, BASE_ROWS,
                 (int)got, (int)more);
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
}

/* ---- The n-th write fails, for each n ---- */

struct walk {
    const char *mode;
    int code;
    enum lsq_status want;
    unsigned calls;
};

/* One try. Answers whether the disk failed. */
static bool fail_at(const struct walk *walk, int n, bool in_transaction) {
    struct lsq_conn *conn = open_mode(walk->mode, true);
    enum lsq_status st = LSQ_OK;
    int failures;

    run(conn, "DELETE FROM t WHERE id > 10");
    faulty_after(walk->calls, n, walk->code);
    if (in_transaction) st = lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error);
    if (st == LSQ_OK) st = exec(conn, INSERT_MORE, NULL, NULL, NULL);
    if (st == LSQ_OK && in_transaction) st = lsq_commit(conn, NULL, &last_error);
    failures = faulty_stop();
    if (failures > 0 && st != walk->want && st != LSQ_OK)
        fail_msg("%s, %d: %s (%s)", walk->mode, n, lsq_status_name(st), last_error.message);
    if (failures == 0) assert_int_equal(st, LSQ_OK);
    if (st != LSQ_OK) {
        (void)lsq_rollback(conn, NULL, NULL); /* where the engine has not done so itself */
        assert_false(last_error.transient);
    }
    expect_rows(conn, st == LSQ_OK ? MORE_ROWS : 0, walk->mode, n);
    run(conn, "UPDATE t SET filler = filler WHERE id = 1"); /* it works on */
    db_close(conn);
    conn = open_mode(walk->mode, false);
    expect_rows(conn, st == LSQ_OK ? MORE_ROWS : 0, "opened again", n);
    db_close(conn);
    return failures > 0;
}

static void each_failing_write(void **state) {
    static const struct walk walks[] = {
        {"wal", SQLITE_FULL, LSQ_FULL, FAULTY_WRITE},
        {"wal", SQLITE_IOERR_WRITE, LSQ_IO, FAULTY_WRITE | FAULTY_SYNC},
        {"delete", SQLITE_FULL, LSQ_FULL, FAULTY_WRITE},
        {"delete", SQLITE_IOERR_WRITE, LSQ_IO, FAULTY_WRITE | FAULTY_SYNC},
    };

    (void)state;
    faulty_register();
    for (size_t i = 0; i < COUNT(walks); i++) {
        int n = 0;

        make_base(walks[i].mode);
        while (n < 2000 && fail_at(&walks[i], n, i % 2 == 0)) n += n < 20 ? 1 : 7;
        assert_in_range(n, 5, 1999);
    }
}

static void failing_reads(void **state) {
    struct lsq_conn *conn;

    (void)state;
    faulty_register();
    make_base("wal");
    conn = open_mode("wal", true);
    for (int n = 0; n < 5; n++) {
        faulty_after(FAULTY_READ, n, SQLITE_IOERR_READ);
        assert_int_equal(exec(conn, "SELECT sum(length(filler)) FROM t", NULL, NULL, NULL), LSQ_IO);
        assert_true(faulty_stop() > 0);
        assert_int_equal(last_error.engine_code, SQLITE_IOERR_READ);
        assert_int_equal(ask(conn, "SELECT sum(length(filler)) FROM t"), 3000 * BASE_ROWS);
        run(conn, "PRAGMA shrink_memory");
    }
    db_close(conn);
}

static void failing_checkpoint_loses_nothing(void **state) {
    struct lsq_conn *conn;

    (void)state;
    faulty_register();
    make_base("wal");
    conn = open_mode("wal", true);
    run(conn, INSERT_MORE);
    for (int n = 0; n < 6; n++) {
        faulty_after(FAULTY_WRITE | FAULTY_SYNC, n, SQLITE_IOERR_WRITE);
        assert_int_equal(
            lsq_conn_checkpoint(conn, NULL, LSQ_CHECKPOINT_FULL, NULL, NULL, &last_error), LSQ_IO);
        faulty_stop();
        expect_rows(conn, MORE_ROWS, "checkpoint", n);
    }
    assert_int_equal(
        lsq_conn_checkpoint(conn, NULL, LSQ_CHECKPOINT_TRUNCATE, NULL, NULL, &last_error), LSQ_OK);
    db_close(conn);
    conn = open_mode("wal", false);
    expect_rows(conn, MORE_ROWS, "opened again", 0);
    db_close(conn);
}

static void opening_on_a_failing_disk(void **state) {
    struct lsq_config cfg;

    (void)state;
    faulty_register();
    make_base("wal");
    cfg = db_config(path);
    cfg.vfs = "faulty";
    faulty_after(FAULTY_READ, 0, SQLITE_IOERR_READ);
    assert_int_equal(db_try(&cfg), LSQ_IO);
    faulty_stop();
    assert_int_equal(db_try(&cfg), LSQ_OK);
}

/* ---- A file system that is really full: one of our own, in a mount namespace of its own ---- */

enum { CANNOT = 77 };

static int64_t count_rows(struct lsq_conn *conn) { return ask(conn, "SELECT count(*) FROM t"); }

static int fill_up(const char *folder) {
    char file[300];
    struct lsq_conn *conn;
    enum lsq_status st;
    int64_t rows = 0;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=1m") != 0)
        return CANNOT;
    snprintf(file, sizeof(file), "%s/full.db", folder);
    conn = db_open(file);
    run(conn, "CREATE TABLE t (a)");
    while ((st = exec(conn, "INSERT INTO t VALUES (randomblob(5000))", NULL, NULL, NULL)) == LSQ_OK)
        rows++;
    if (st != LSQ_FULL) return 1;
    if (rows < 20 || count_rows(conn) != rows) return 2;
    if (exec(conn, "INSERT INTO t VALUES (randomblob(5000))", NULL, NULL, NULL) != LSQ_FULL)
        return 3;
    if (strcmp(ask_text(conn, "PRAGMA integrity_check"), "ok") != 0) return 4;
    db_close(conn);
    conn = db_open(file);
    return count_rows(conn) == rows ? 0 : 5;
}

static void really_full(void **state) {
    char folder[256];
    struct child child;
    int status;

    (void)state;
    snprintf(folder, sizeof(folder), "%s", db_path());
    *strrchr(folder, '/') = '\0';
    child = child_begin("full", folder);
    status = child_end(&child);
    if (status == CANNOT) skip();
    assert_int_equal(status, 0);
}

/* ---- Files that were damaged ---- */

static void overwrite(long at, const void *data, size_t len) {
    FILE *file = fopen(path, "r+b");

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

static void damaged_pages(void **state) {
    static const char garbage[4096] = "garbage";
    struct lsq_conn *conn;

    (void)state;
    make_base("delete");
    conn = open_mode("delete", false);
    run(conn, "CREATE TABLE sound (a)");
    run(conn, "INSERT INTO sound VALUES (42)");
    db_close(conn);
    overwrite(4096, garbage, sizeof(garbage)); /* the root of t */
    conn = open_mode("delete", false);
    expect(LSQ_CORRUPT, conn, "SELECT id FROM t NOT INDEXED");
    assert_int_equal(last_error.engine_code & 0xff, SQLITE_CORRUPT);
    expect(LSQ_CORRUPT, conn, "INSERT INTO t VALUES (11, 1)");
    assert_int_equal(ask(conn, "SELECT a FROM sound"), 42);
    db_close(conn);
}

static void file_that_was_cut(void **state) {
    struct lsq_config cfg = db_config(path);

    (void)state;
    make_base("delete");
    assert_int_equal(truncate(path, 4096 * 3), 0);
    assert_int_equal(db_try(&cfg), LSQ_CORRUPT);
    assert_int_equal(truncate(path, 50), 0);
    assert_int_equal(db_try(&cfg), LSQ_CORRUPT); /* not even a header, but the start of one */
}

static void damaged_schema(void **state) {
    struct lsq_config cfg;

    (void)state;
    make_base("delete");
    overwrite(100, "\xff\xff\xff\xff\xff\xff\xff\xff", 8); /* of the first page's tree */
    cfg = db_config(path);
    assert_int_equal(db_try(&cfg), LSQ_CORRUPT);
}

static void copy_file(const char *from, const char *to) {
    static char bytes[1 << 20];
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    size_t len;

    assert_non_null(in);
    assert_non_null(out);
    len = fread(bytes, 1, sizeof(bytes), in);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    fclose(in);
    fclose(out);
}

/* A log that ends in garbage, as after a power cut: the committed frames before it count. */
static void log_with_a_torn_end(void **state) {
    struct lsq_conn *conn;
    char copy[320];
    char from[320];
    char to[400];
    struct stat st;

    (void)state;
    make_base("wal");
    conn = open_mode("wal", false);
    run(conn, INSERT_MORE);
    snprintf(copy, sizeof(copy), "%s.copy", path);
    snprintf(from, sizeof(from), "%s-wal", path);
    snprintf(to, sizeof(to), "%s-wal", copy);
    copy_file(path, copy);
    copy_file(from, to);
    assert_int_equal(stat(to, &st), 0);
    run(conn, "DELETE FROM t");
    db_close(conn);
    assert_true(strlen(to) < sizeof(path));
    strcpy(path, to);
    overwrite(st.st_size, "half a frame, which the power cut left here", 43);
    strcpy(path, copy);
    conn = open_mode("wal", false);
    expect_rows(conn, MORE_ROWS, "torn end", 0);
    db_close(conn);
}

#define TEST(name) cmocka_unit_test_teardown(name, db_forget)

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"full", fill_up}};
    const struct CMUnitTest tests[] = {
        TEST(each_failing_write),
        TEST(failing_reads),
        TEST(failing_checkpoint_loses_nothing),
        TEST(opening_on_a_failing_disk),
        TEST(really_full),
        TEST(damaged_pages),
        TEST(file_that_was_cut),
        TEST(damaged_schema),
        TEST(log_with_a_torn_end),
    };

    child_main(argc, argv, roles, COUNT(roles));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
