/* The fast path and pages that the connection has not in its own cache: those in the system's cache are
 * read, those on the disk are not waited for. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../support/db.h"

static struct lsq_conn *conn;
static struct lsq_conn *other;
static const struct lsq_call try = {.flags = LSQ_CALL_TRY};
static const char by_key[] = "SELECT a FROM t WHERE id = 500";

/* Many pages, all in the file itself. */
static int open_filled(void **state) {
    (void)state;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)");
    run(conn, "CREATE TABLE change (n INTEGER)");
    run(conn, "INSERT INTO change VALUES (0)");
    run(conn, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
              " INSERT INTO t SELECT i, printf('%d%1000s', i, 'x') FROM n");
    run(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
    other = db_open(db_file(conn));
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1000);
    assert_int_equal(ask(conn, "SELECT length(a) FROM t WHERE id = 500"), 1003);
    return 0;
}

static int close_both(void **state) {
    db_close(other);
    db_close(conn);
    return db_forget(state);
}

/* Every page that conn keeps is of yesterday. */
static void forget_pages(void) { run(other, "UPDATE change SET n = n + 1"); }

/* Takes the file out of the system's cache; false where this file system cannot tell what is in it. */
static bool evict(void) {
    char page[512];
    struct iovec part = {.iov_base = page, .iov_len = sizeof(page)};
    int fd = open(db_file(conn), O_RDONLY | O_CLOEXEC);
    bool gone;

    assert_true(fd >= 0);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    gone = preadv2(fd, &part, 1, 4096, RWF_NOWAIT) < 0 && errno == EAGAIN;
    close(fd);
    return gone;
}

static bool file_system_tells(void) {
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    int fd = open(db_file(conn), O_RDONLY | O_CLOEXEC);
    bool tells = preadv2(fd, &part, 1, 0, RWF_NOWAIT) == 1;

    close(fd);
    return tells;
}

static void pages_that_the_system_has_are_read(void **state) {
    int fast = 0;

    (void)state;
    if (!file_system_tells()) skip();
    assert_true(becomes_fast(conn, by_key));
    for (int i = 0; i < 100; i++) {
        forget_pages();
        if (exec(conn, by_key, NULL, &try, NULL) == LSQ_OK) fast++;
    }
    assert_true(fast > 90); /* a slow moment may refuse it */
}

static void pages_on_the_disk_are_not_waited_for(void **state) {
    struct lsq_conn_info before;
    struct lsq_conn_info after;

    (void)state;
    assert_true(becomes_fast(conn, by_key));
    forget_pages();
    if (!evict()) skip();
    assert_int_equal(lsq_conn_info(conn, true, &before, NULL), LSQ_OK);
    assert_int_equal(exec(conn, by_key, NULL, &try, NULL), LSQ_WOULD_BLOCK);
    assert_int_equal(lsq_conn_info(conn, true, &after, NULL), LSQ_OK);
    assert_int_equal(after.fast_refusals, before.fast_refusals + 1);
    assert_int_equal(ask(conn, "SELECT length(a) FROM t WHERE id = 500"), 1003);
    assert_true(becomes_fast(conn, by_key));
}

/* The engine would roll back: there the page is read, and that is the last one. */
static void transaction_outlives_a_page_on_the_disk(void **state) {
    enum lsq_status st;

    (void)state;
    assert_true(becomes_fast(conn, by_key));
    forget_pages();
    run(conn, "BEGIN IMMEDIATE");
    run(conn, "INSERT INTO change VALUES (77)");
    if (!evict()) skip();
    st = exec(conn, by_key, NULL, &try, NULL);
    assert_true(st == LSQ_OK || st == LSQ_WOULD_BLOCK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM change WHERE n = 77"), 1);
    run(conn, "COMMIT");
    assert_int_equal(ask(other, "SELECT count(*) FROM change WHERE n = 77"), 1);
}

static void cursor_outlives_a_page_on_the_disk(void **state) {
    struct lsq_stmt *cursor = NULL;
    enum lsq_status st;
    bool end = false;

    (void)state;
    assert_true(becomes_fast(conn, by_key));
    assert_int_equal(lsq_stmt_new(&cursor, conn, "SELECT id FROM t", 16, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_start(cursor, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(cursor, 10, NULL, NULL, NULL, &end, NULL), LSQ_OK);
    forget_pages();
    if (!evict()) skip();
    st = exec(conn, by_key, NULL, &try, NULL);
    assert_true(st == LSQ_OK || st == LSQ_WOULD_BLOCK);
    assert_int_equal(lsq_stmt_fetch(cursor, 2000, NULL, NULL, NULL, &end, NULL), LSQ_OK);
    assert_true(end);
    lsq_stmt_free(cursor);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_that_the_system_has_are_read, open_filled,
                                        close_both),
        cmocka_unit_test_setup_teardown(pages_on_the_disk_are_not_waited_for, open_filled,
                                        close_both),
        cmocka_unit_test_setup_teardown(transaction_outlives_a_page_on_the_disk, open_filled,
                                        close_both),
        cmocka_unit_test_setup_teardown(cursor_outlives_a_page_on_the_disk, open_filled,
                                        close_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
