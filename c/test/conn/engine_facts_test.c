/* What the engine really does: the facts that the design stands on, each with its test. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"

static void readonly_is_not_what_the_engine_calls_so(void **state) {
    static const char *const acting[] = {
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "RELEASE s",
        "ATTACH ':memory:' AS x",
        "DETACH x",
        "DROP TRIGGER IF EXISTS absent",
        "PRAGMA writable_schema = 0",
        "DELETE FROM t",
        "CREATE TABLE u (a)",
        "SELECT * FROM pragma_optimize(0x10002)",
    };
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_stmt *stmt;
    bool readonly;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    for (size_t i = 0; i + 1 < sizeof(acting) / sizeof(acting[0]); i++) {
        if (lsq_stmt_new(&stmt, conn, acting[i], strlen(acting[i]), NULL, &last_error) != LSQ_OK)
            fail_msg("%s: %s", acting[i], last_error.message);
        assert_int_equal(lsq_stmt_readonly(stmt, &readonly, &last_error), LSQ_OK);
        if (readonly) fail_msg("%s is not read-only", acting[i]);
        lsq_stmt_free(stmt);
    }
    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELECT a + 1 FROM t", 19, NULL, &last_error),
                     LSQ_OK);
    assert_int_equal(lsq_stmt_readonly(stmt, &readonly, &last_error), LSQ_OK);
    assert_true(readonly);
    lsq_stmt_free(stmt);
    db_close(conn);
}

static void pragma_acts_each_time_it_is_run(void **state) {
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    run(conn, "PRAGMA user_version = 5");
    run(conn, "PRAGMA user_version = 6");
    run(conn, "PRAGMA user_version = 5");
    assert_int_equal(ask(conn, "PRAGMA user_version"), 5);
    run(conn, "PRAGMA cache_size = 100");
    run(conn, "PRAGMA cache_size = 200");
    run(conn, "PRAGMA cache_size = 100");
    assert_int_equal(ask(conn, "PRAGMA cache_size"), 100);
    db_close(conn);
}

static void one_row_of_a_write_with_two_changes_nothing(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_call one = {.flags = LSQ_CALL_ONE};

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    assert_int_equal(exec(conn, "INSERT INTO t VALUES (1), (2) RETURNING a", NULL, &one, NULL),
                     LSQ_MANY_ROWS);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    assert_int_equal(exec(conn, "INSERT INTO t VALUES (1) RETURNING a", NULL, &one, NULL), LSQ_OK);
    assert_int_equal(exec(conn, "DELETE FROM t WHERE a = 9 RETURNING a", NULL, &one, NULL),
                     LSQ_NO_ROW);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (7)");
    assert_int_equal(exec(conn, "UPDATE t SET a = a + 1 RETURNING a", NULL, &one, NULL),
                     LSQ_MANY_ROWS);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE a IN (1, 7)"), 2);
    run(conn, "COMMIT");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE a IN (1, 7)"), 2);
    db_close(conn);
}

static void interrupt_stops_the_running_call_and_nothing_else(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct later later = {.fn = interrupt_conn, .arg = conn, .ms = 50};
    int64_t start = now_ns();

    (void)state;
    lsq_conn_interrupt(conn); /* nothing runs: nothing happens */
    assert_int_equal(ask(conn, "SELECT 1"), 1);
    later_begin(&later);
    expect(LSQ_INTERRUPTED, conn, LONG_QUERY);
    later_join(&later);
    assert_true(now_ns() - start < 5000000000);
    assert_int_equal(ask(conn, "SELECT 1"), 1);
    db_close(conn);
}

/* sqlite3_interrupt() would make every later statement answer 'interrupted' until the open cursor
 * is reset. */
static void interrupt_leaves_an_open_cursor_readable(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct later later = {.fn = interrupt_conn, .arg = conn, .ms = 50};
    struct lsq_stmt *cursor = NULL;
    bool end = true;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES (1), (2), (3)");
    assert_int_equal(lsq_stmt_new(&cursor, conn, "SELECT a FROM t", 15, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_start(cursor, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(cursor, 1, NULL, NULL, NULL, &end, &last_error), LSQ_OK);
    assert_false(end);
    later_begin(&later);
    expect(LSQ_INTERRUPTED, conn, LONG_QUERY);
    later_join(&later);
    assert_int_equal(ask(conn, "SELECT 7"), 7);
    assert_int_equal(lsq_stmt_fetch(cursor, 9, NULL, NULL, NULL, &end, &last_error), LSQ_OK);
    assert_true(end);
    lsq_stmt_free(cursor);
    db_close(conn);
}

static void idle_statement_survives_its_interrupt(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_stmt *stmt = NULL;

    (void)state;
    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELECT 1", 8, NULL, &last_error), LSQ_OK);
    lsq_stmt_interrupt(stmt);
    assert_int_equal(lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, &last_error), LSQ_OK);
    lsq_stmt_free(stmt);
    db_close(conn);
}

static void write_beside_an_open_cursor_meets_busy_snapshot(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_conn *other;
    struct lsq_stmt *cursor = NULL;
    int64_t start;
    bool end;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES (1), (2)");
    other = db_open(ask_text(conn, "SELECT file FROM pragma_database_list"));
    assert_int_equal(lsq_stmt_new(&cursor, conn, "SELECT a FROM t", 15, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_start(cursor, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(cursor, 1, NULL, NULL, NULL, &end, &last_error), LSQ_OK);
    run(other, "INSERT INTO t VALUES (3)");
    start = now_ns();
    expect(LSQ_BUSY_SNAPSHOT, conn, "INSERT INTO t VALUES (4)");
    assert_false(last_error.transient);
    assert_true(now_ns() - start < 1000000000); /* waiting would not help, so nobody waits */
    lsq_stmt_reset(cursor, NULL);
    run(conn, "INSERT INTO t VALUES (4)");
    lsq_stmt_free(cursor);
    db_close(other);
    db_close(conn);
}

static void deferred_transaction_that_read_fails_at_once(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_conn *other;
    int64_t start;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    other = db_open(ask_text(conn, "SELECT file FROM pragma_database_list"));
    run(conn, "BEGIN");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    run(other, "BEGIN IMMEDIATE");
    start = now_ns();
    expect(LSQ_BUSY_SNAPSHOT, conn, "INSERT INTO t VALUES (1)");
    assert_true(now_ns() - start < 1000000000);
    run(other, "COMMIT");
    run(conn, "ROLLBACK");
    db_close(other);
    db_close(conn);
}

static void read_transaction_takes_its_snapshot_at_begin(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_conn *other;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    other = db_open(ask_text(conn, "SELECT file FROM pragma_database_list"));
    assert_int_equal(lsq_begin(conn, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
    run(other, "INSERT INTO t VALUES (1)");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    expect(LSQ_READONLY, conn, "INSERT INTO t VALUES (2)");
    expect(LSQ_READONLY, conn, "CREATE TABLE u (a)");
    run(conn, "CREATE TEMP TABLE mine (a)");
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    run(conn, "INSERT INTO t VALUES (2)");
    db_close(other);
    db_close(conn);
}

static void busy_timeout_by_pragma_stays_ours(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_conn *other;
    struct lsq_call nowait = {.flags = LSQ_CALL_NOWAIT};
    int64_t start;

    (void)state;
    assert_int_equal(ask(conn, "PRAGMA busy_timeout"), 5000);
    assert_int_equal(ask(conn, "PRAGMA busy_timeout = 200"), 200);
    assert_int_equal(lsq_conn_busy_timeout(conn), 200);
    run(conn, "CREATE TABLE t (a)");
    other = db_open(ask_text(conn, "SELECT file FROM pragma_database_list"));
    run(other, "BEGIN IMMEDIATE");
    start = now_ns();
    expect(LSQ_BUSY, conn, "INSERT INTO t VALUES (1)");
    assert_true(last_error.transient);
    assert_in_range((now_ns() - start) / 1000000, 190, 2000);
    start = now_ns();
    assert_int_equal(exec(conn, "INSERT INTO t VALUES (1)", NULL, &nowait, NULL), LSQ_BUSY);
    assert_in_range((now_ns() - start) / 1000000, 0, 100);
    run(other, "COMMIT");
    run(conn, "INSERT INTO t VALUES (1)");
    db_close(other);
    db_close(conn);
}

static void setting_wal_in_memory_is_reported_not_refused(void **state) {
    struct lsq_conn *conn = db_open(":memory:");
    const struct lsq_notice *notice = lsq_conn_notice(conn, 0);

    (void)state;
    assert_non_null(notice);
    assert_string_equal(notice->name, "journal_mode");
    assert_string_equal(notice->got, "memory");
    assert_null(lsq_conn_notice(conn, 1));
    db_close(conn);
}

static void load_extension_is_always_refused_from_sql(void **state) {
    struct lsq_conn *conn = db_open(":memory:");

    (void)state;
    expect(LSQ_SQL, conn, "SELECT 1; SELECT 2");
    assert_int_not_equal(exec(conn, "SELECT load_extension('x')", NULL, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_conn_enable_extensions(conn, true, &last_error), LSQ_OK);
    assert_int_not_equal(exec(conn, "SELECT load_extension('x')", NULL, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_conn_load_extension(conn, "/nowhere", NULL, &last_error), LSQ_ERROR);
    assert_int_equal(lsq_conn_enable_extensions(conn, false, &last_error), LSQ_OK);
    assert_int_equal(lsq_conn_load_extension(conn, "/nowhere", NULL, &last_error), LSQ_AUTH);
    db_close(conn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(readonly_is_not_what_the_engine_calls_so, db_forget),
        cmocka_unit_test_teardown(pragma_acts_each_time_it_is_run, db_forget),
        cmocka_unit_test_teardown(one_row_of_a_write_with_two_changes_nothing, db_forget),
        cmocka_unit_test_teardown(interrupt_stops_the_running_call_and_nothing_else, db_forget),
        cmocka_unit_test_teardown(interrupt_leaves_an_open_cursor_readable, db_forget),
        cmocka_unit_test_teardown(idle_statement_survives_its_interrupt, db_forget),
        cmocka_unit_test_teardown(write_beside_an_open_cursor_meets_busy_snapshot, db_forget),
        cmocka_unit_test_teardown(deferred_transaction_that_read_fails_at_once, db_forget),
        cmocka_unit_test_teardown(read_transaction_takes_its_snapshot_at_begin, db_forget),
        cmocka_unit_test_teardown(busy_timeout_by_pragma_stays_ours, db_forget),
        cmocka_unit_test_teardown(setting_wal_in_memory_is_reported_not_refused, db_forget),
        cmocka_unit_test_teardown(load_extension_is_always_refused_from_sql, db_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
