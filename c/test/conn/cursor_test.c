/* Cursors: rows in pieces, of reads as they come, of writes after the write is done. */
#include <stdio.h>

#include "../support/db.h"

static struct lsq_conn *conn;
static struct lsq_result *res;

static int open_table(void **state) {
    (void)state;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE t (a)");
    run(conn, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) "
              "INSERT INTO t SELECT i FROM n");
    return lsq_result_new(&res, NULL) == LSQ_OK ? 0 : -1;
}

static int close_table(void **state) {
    lsq_result_free(res);
    db_close(conn);
    return db_forget(state);
}

static struct lsq_stmt *start(const char *sql, const struct lsq_params *params) {
    struct lsq_stmt *stmt = NULL;

    if (lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error) != LSQ_OK ||
        lsq_stmt_start(stmt, params, &last_error) != LSQ_OK)
        fail_msg("%s: %s", sql, last_error.message);
    return stmt;
}

static enum lsq_status fetch(struct lsq_stmt *stmt, size_t rows, bool *end) {
    return lsq_stmt_fetch(stmt, rows, NULL, lsq_result_sink(), res, end, &last_error);
}

/* Fetches, and expects so many rows, beginning with this value. */
static void expect_rows(struct lsq_stmt *stmt, size_t ask_for, size_t rows, int64_t first,
                        bool want_end) {
    bool end = !want_end;

    if (fetch(stmt, ask_for, &end) != LSQ_OK) fail_msg("%s", last_error.message);
    assert_int_equal(lsq_result_rows(res), rows);
    if (rows > 0) assert_int_equal(lsq_result_int(res, 0, 0), first);
    assert_int_equal(end, want_end);
}

static void rows_come_in_pieces(void **state) {
    struct lsq_stmt *stmt = start("SELECT a FROM t ORDER BY a", NULL);

    (void)state;
    expect_rows(stmt, 4, 4, 1, false);
    assert_string_equal(lsq_result_name(res, 0), "a");
    expect_rows(stmt, 1, 1, 5, false);
    expect_rows(stmt, 4, 4, 6, false);
    expect_rows(stmt, 4, 1, 10, true);
    assert_int_equal(fetch(stmt, 4, &(bool){false}), LSQ_MISUSE); /* it has ended */
    lsq_stmt_free(stmt);
}

/* The last row with nothing behind it: that shows at the next fetch. */
static void exact_number_of_rows(void **state) {
    struct lsq_stmt *stmt = start("SELECT a FROM t ORDER BY a", NULL);

    (void)state;
    expect_rows(stmt, 10, 10, 1, false);
    expect_rows(stmt, 10, 0, 0, true);
    assert_int_equal(lsq_result_columns(res), 1);
    lsq_stmt_free(stmt);
}

static void no_rows_at_all(void **state) {
    struct lsq_stmt *stmt = start("SELECT a AS name FROM t WHERE 0", NULL);

    (void)state;
    expect_rows(stmt, 10, 0, 0, true);
    assert_string_equal(lsq_result_name(res, 0), "name");
    lsq_stmt_free(stmt);
}

static void nought_rows_asked_for(void **state) {
    struct lsq_stmt *stmt = start("SELECT a FROM t ORDER BY a", NULL);

    (void)state;
    expect_rows(stmt, 0, 0, 0, false);
    expect_rows(stmt, 3, 3, 1, false);
    expect_rows(stmt, 0, 0, 0, false);
    expect_rows(stmt, SIZE_MAX, 7, 4, true);
    lsq_stmt_free(stmt);
}

static void not_started_is_misuse(void **state) {
    struct lsq_stmt *stmt = NULL;
    bool end = true;

    (void)state;
    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELECT a FROM t", 15, NULL, NULL), LSQ_OK);
    assert_int_equal(fetch(stmt, 1, &end), LSQ_MISUSE);
    assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
    expect_rows(stmt, 1, 1, 1, false);
    assert_int_equal(lsq_stmt_reset(stmt, NULL), LSQ_OK);
    assert_int_equal(fetch(stmt, 1, &end), LSQ_MISUSE);
    assert_int_equal(lsq_stmt_start(stmt, LSQ_PARAMS(lsq_int(1)), NULL), LSQ_PARAMETERS);
    assert_int_equal(fetch(stmt, 1, &end), LSQ_MISUSE);
    lsq_stmt_free(stmt);
}

static void started_again_it_begins_again(void **state) {
    struct lsq_stmt *stmt =
        start("SELECT a FROM t WHERE a > ?1 ORDER BY a", LSQ_PARAMS(lsq_int(0)));

    (void)state;
    expect_rows(stmt, 2, 2, 1, false);
    assert_int_equal(lsq_stmt_start(stmt, LSQ_PARAMS(lsq_int(7)), NULL), LSQ_OK);
    expect_rows(stmt, 2, 2, 8, false);
    assert_int_equal(
        lsq_stmt_exec(stmt, LSQ_PARAMS(lsq_int(9)), NULL, lsq_result_sink(), res, NULL, NULL),
        LSQ_OK);
    assert_int_equal(lsq_result_rows(res), 1);
    assert_int_equal(fetch(stmt, 1, &(bool){false}), LSQ_MISUSE); /* the run ended the cursor */
    lsq_stmt_free(stmt);
}

static void parameters_are_copied(void **state) {
    char text[] = "kept";
    struct lsq_value value = lsq_text(text, 4);
    struct lsq_stmt *stmt = start("SELECT ?1 FROM t", &(struct lsq_params){&value, NULL, 1});

    (void)state;
    memset(text, 'x', 4);
    value = lsq_null();
    for (int i = 0; i < 3; i++) {
        bool end;

        assert_int_equal(fetch(stmt, 1, &end), LSQ_OK);
        assert_string_equal(lsq_result_text(res, 0, 0), "kept");
    }
    lsq_stmt_free(stmt);
}

/* ---- Beside other work ---- */

static void two_cursors_and_a_write_between(void **state) {
    struct lsq_stmt *up = start("SELECT a FROM t ORDER BY a", NULL);
    struct lsq_stmt *down = start("SELECT a FROM t ORDER BY a DESC", NULL);

    (void)state;
    expect_rows(up, 2, 2, 1, false);
    expect_rows(down, 2, 2, 10, false);
    run(conn, "CREATE TABLE elsewhere (a)");
    run(conn, "INSERT INTO elsewhere VALUES (1)");
    expect_rows(up, 2, 2, 3, false);
    expect_rows(down, 2, 2, 8, false);
    lsq_stmt_free(up);
    lsq_stmt_free(down);
    assert_int_equal(ask(conn, "SELECT count(*) FROM elsewhere"), 1);
}

static void snapshot_stays_while_others_write(void **state) {
    struct lsq_conn *other = db_open(db_file(conn));
    struct lsq_stmt *stmt = start("SELECT a FROM t ORDER BY a", NULL);

    (void)state;
    expect_rows(stmt, 1, 1, 1, false);
    run(other, "DELETE FROM t");
    expect_rows(stmt, 100, 9, 2, true);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    lsq_stmt_free(stmt);
    db_close(other);
}

static void rollback_and_commit_beside_a_cursor(void **state) {
    struct lsq_stmt *stmt;

    (void)state;
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (11)");
    stmt = start("SELECT a FROM t", NULL);
    expect_rows(stmt, 1, 1, 1, false);
    run(conn, "COMMIT");
    expect_rows(stmt, 100, 10, 2, true);
    assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
    run(conn, "BEGIN");
    run(conn, "CREATE TABLE u (a)");
    expect_rows(stmt, 1, 1, 1, false);
    run(conn, "ROLLBACK"); /* takes the schema back: the cursor cannot go on */
    assert_int_equal(fetch(stmt, 1, &(bool){false}), LSQ_ABORTED);
    assert_int_equal(fetch(stmt, 1, &(bool){false}), LSQ_MISUSE);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 11);
    lsq_stmt_free(stmt);
}

/* ---- Of statements that write ---- */

static void write_is_done_at_the_first_fetch(void **state) {
    struct lsq_stmt *stmt = start("UPDATE t SET a = a + 100 RETURNING a", NULL);

    (void)state;
    assert_int_equal(ask(conn, "SELECT max(a) FROM t"), 10); /* started, not run */
    expect_rows(stmt, 2, 2, 101, false);
    assert_int_equal(ask(conn, "SELECT min(a) FROM t"), 101);
    assert_int_equal(lsq_stmt_reset(stmt, NULL), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT min(a) FROM t"), 101); /* whatever was read of it */
    assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
    expect_rows(stmt, 0, 0, 0, false);
    expect_rows(stmt, 7, 7, 201, false);
    expect_rows(stmt, 7, 3, 208, true);
    assert_int_equal(ask(conn, "SELECT min(a) FROM t"), 201);
    lsq_stmt_free(stmt);
}

static void write_without_rows(void **state) {
    struct lsq_stmt *stmt = start("DELETE FROM t WHERE a > 5", NULL);

    (void)state;
    expect_rows(stmt, 1, 0, 0, true);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 5);
    lsq_stmt_free(stmt);
}

static void write_that_fails(void **state) {
    struct lsq_stmt *stmt;

    (void)state;
    run(conn, "CREATE UNIQUE INDEX t_a ON t (a)");
    stmt = start("INSERT INTO t VALUES (11), (1) RETURNING a", NULL);
    assert_int_equal(fetch(stmt, 1, &(bool){false}), LSQ_CONSTRAINT);
    assert_string_equal(last_error.constraint_name, "t_a");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 10);
    assert_int_equal(fetch(stmt, 1, &(bool){false}), LSQ_MISUSE);
    lsq_stmt_free(stmt);
}

static void write_in_a_read_transaction(void **state) {
    struct lsq_stmt *stmt = start("DELETE FROM t RETURNING a", NULL);

    (void)state;
    assert_int_equal(lsq_begin(conn, LSQ_TXN_READ, NULL, NULL), LSQ_OK);
    assert_int_equal(fetch(stmt, 1, &(bool){false}), LSQ_READONLY);
    assert_int_equal(lsq_rollback(conn, NULL, NULL), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 10);
    lsq_stmt_free(stmt);
}

/* ---- Stopping ---- */

static void timeout_ends_a_cursor(void **state) {
    struct lsq_call call = {.timeout = 50};
    struct lsq_stmt *stmt = start(LONG_QUERY, NULL);
    bool end;

    (void)state;
    assert_int_equal(lsq_stmt_fetch(stmt, 1, &call, NULL, NULL, &end, &last_error), LSQ_TIMEOUT);
    assert_int_equal(fetch(stmt, 1, &end), LSQ_MISUSE);
    assert_int_equal(ask(conn, "SELECT 1"), 1);
    lsq_stmt_free(stmt);
}

static bool refuse_row(void *ctx) { return (void)ctx, false; }
static bool any_columns(void *ctx, size_t count, const char *const *names) {
    return (void)ctx, (void)count, (void)names, true;
}
static bool any_integer(void *ctx, int64_t value) { return (void)ctx, (void)value, true; }

static void sink_that_refuses_ends_a_cursor(void **state) {
    static const struct lsq_sink sink = {
        .columns = any_columns, .integer = any_integer, .row_end = refuse_row};
    static const char *const texts[] = {"SELECT a FROM t", "UPDATE t SET a = a RETURNING a"};
    bool end = false;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct lsq_stmt *stmt = start(texts[i], NULL);

        assert_int_equal(lsq_stmt_fetch(stmt, 5, NULL, &sink, NULL, &end, &last_error), LSQ_NOMEM);
        assert_int_equal(fetch(stmt, 1, &end), LSQ_MISUSE);
        lsq_stmt_free(stmt);
    }
    lsq_conn_interrupt(conn);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 10);
}

/* Refused because it may take long: nothing has happened, and the same fetch goes through later. */
static void budget_refuses_before_the_first_row_only(void **state) {
    struct lsq_call budget = {.flags = LSQ_CALL_BUDGET};
    struct lsq_stmt *stmt = start("SELECT upper(a) FROM t", NULL);
    bool end = true;

    (void)state;
    assert_int_equal(lsq_stmt_fetch(stmt, 1, &budget, NULL, NULL, &end, &last_error),
                     LSQ_WOULD_BLOCK);
    assert_int_equal(fetch(stmt, 1, &end), LSQ_OK);
    assert_string_equal(lsq_result_text(res, 0, 0), "1");
    assert_int_equal(lsq_stmt_fetch(stmt, 1, &budget, lsq_result_sink(), res, &end, &last_error),
                     LSQ_OK);
    assert_string_equal(lsq_result_text(res, 0, 0), "2");
    lsq_stmt_free(stmt);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(rows_come_in_pieces),
        TEST(exact_number_of_rows),
        TEST(no_rows_at_all),
        TEST(nought_rows_asked_for),
        TEST(not_started_is_misuse),
        TEST(started_again_it_begins_again),
        TEST(parameters_are_copied),
        TEST(two_cursors_and_a_write_between),
        TEST(snapshot_stays_while_others_write),
        TEST(rollback_and_commit_beside_a_cursor),
        TEST(write_is_done_at_the_first_fetch),
        TEST(write_without_rows),
        TEST(write_that_fails),
        TEST(write_in_a_read_transaction),
        TEST(timeout_ends_a_cursor),
        TEST(sink_that_refuses_ends_a_cursor),
        TEST(budget_refuses_before_the_first_row_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
