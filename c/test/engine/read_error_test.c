/* A read that fails below the engine's VFS is an error of the statement, never an answer. */
#include <errno.h>
#include <sqlite3.h>
#include <unistd.h>

#include "../support/db.h"

static ssize_t (*real_pread)(int fd, void *buf, size_t size, off_t offset);
static off_t broken_from; /* page reads behind this byte fail; 0: none */

static ssize_t broken_pread(int fd, void *buf, size_t size, off_t offset) {
    if (broken_from == 0 || offset < broken_from) return real_pread(fd, buf, size, offset);
    errno = EPERM; /* EIO has a meaning of its own to the engine */
    return -1;
}

static void wrap(sqlite3_vfs *vfs, const char *name) {
    sqlite3_syscall_ptr real = vfs->xGetSystemCall(vfs, name);

    if (real == NULL) return;
    real_pread = (ssize_t(*)(int, void *, size_t, off_t))real;
    vfs->xSetSystemCall(vfs, name, (sqlite3_syscall_ptr)broken_pread);
}

/* Above the library's own, which is there once a connection was. */
static int wrap_reads(void **state) {
    (void)state;
    db_close(db_open(":memory:"));
    wrap(sqlite3_vfs_find("unix"), "pread");
    wrap(sqlite3_vfs_find("unix"), "pread64");
    return real_pread == NULL;
}

static int end(void **state) {
    broken_from = 0;
    return db_forget(state);
}

static void fill(struct lsq_conn *conn) {
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)");
    run(conn, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
              " INSERT INTO t SELECT i, printf('%1000d', i) FROM n");
    run(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
}

static void cannot_be_read(struct lsq_conn *conn, const char *sql) {
    enum lsq_status st = exec(conn, sql, NULL, NULL, NULL);

    if (st != LSQ_IO) fail_msg("%s: %d %s", sql, st, last_error.message);
}

static void try_broken(const struct lsq_config *cfg) {
    struct lsq_conn *conn = db_open_as(cfg);

    fill(conn);
    db_close(conn);
    conn = db_open_as(cfg);
    assert_int_equal(ask(conn, "SELECT count(*) FROM sqlite_master"), 1);
    broken_from = 8192;
    cannot_be_read(conn, "SELECT a FROM t WHERE id = 400");
    cannot_be_read(conn, "UPDATE t SET a = 'x' WHERE id = 400");
    cannot_be_read(conn, "SELECT sum(length(a)) FROM t");
    broken_from = 0;
    assert_int_equal(ask(conn, "SELECT sum(length(a)) FROM t"), 500000);
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    db_close(conn);
}

static void plain_file(void **state) {
    struct lsq_config cfg = db_config(db_path());

    (void)state;
    try_broken(&cfg);
}

static void encrypted_file(void **state) {
    struct lsq_config cfg = db_config(db_path());
    struct lsq_core_info info;

    (void)state;
    assert_int_equal(lsq_core_info(&info, NULL), LSQ_OK);
    if (!info.encryption) skip();
    cfg.key = "a key of many characters";
    cfg.key_len = strlen(cfg.key);
    try_broken(&cfg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(plain_file, end),
        cmocka_unit_test_teardown(encrypted_file, end),
    };

    return cmocka_run_group_tests(tests, wrap_reads, NULL);
}
