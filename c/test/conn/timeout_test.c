/* Calls that are stopped: by their deadline, by an interrupt, by the budget of shared threads. */
#include <stdio.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

#define ENDLESS_INSERT                                                                             \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO t SELECT i FROM " \
    "n"

static struct lsq_conn *conn;
static const struct lsq_call short_call = {.timeout = 60};
static const struct lsq_call budget = {.flags = LSQ_CALL_BUDGET};

static int open_table(void **state) {
    (void)state;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE t (a)");
    return 0;
}

static int close_table(void **state) {
    db_close(conn);
    return db_forget(state);
}

static int64_t ms_since(int64_t start) { return (now_ns() - start) / 1000000; }

static void works_afterwards(void) {
    run(conn, "INSERT INTO t VALUES (1)");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    run(conn, "DELETE FROM t");
}

/* ---- The deadline ---- */

static void deadline_stops_reads_and_writes(void **state) {
    static const char *const texts[] = {
        LONG_QUERY,
        ENDLESS_INSERT,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < "
        "0",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        int64_t start = now_ns();

        assert_int_equal(exec(conn, texts[i], NULL, &short_call, NULL), LSQ_TIMEOUT);
        assert_int_equal(last_error.status, LSQ_TIMEOUT);
        assert_false(last_error.transient);
        assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
        assert_in_range(ms_since(start), 60, 10000);
        assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
        works_afterwards();
    }
}

static void deadline_that_is_far_does_nothing(void **state) {
    struct lsq_call far = {.timeout = 3600000};

    (void)state;
    assert_int_equal(exec(conn, "INSERT INTO t VALUES (1)", NULL, &far, NULL), LSQ_OK);
    assert_int_equal(exec(conn, "SELECT 1", NULL, &far, NULL), LSQ_OK);
    sleep_ms(5);
    assert_int_equal(exec(conn, "SELECT 1", NULL, NULL, NULL), LSQ_OK);
}

/* Each call has its own: what stopped one does not stop the next. */
static void deadline_is_of_one_call(void **state) {
    struct lsq_call brief = {.timeout = 1};

    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(exec(conn, LONG_QUERY, NULL, &brief, NULL), LSQ_TIMEOUT);
        assert_int_equal(ask(conn, "SELECT 1"), 1);
    }
}

static void deadline_of_handles_and_many(void **state) {
    struct lsq_stmt *stmt = NULL;

    (void)state;
    assert_int_equal(lsq_stmt_new(&stmt, conn, LONG_QUERY, strlen(LONG_QUERY), NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_exec(stmt, NULL, &short_call, NULL, NULL, NULL, NULL), LSQ_TIMEOUT);
    assert_int_equal(lsq_stmt_exec(stmt, NULL, &short_call, NULL, NULL, NULL, NULL), LSQ_TIMEOUT);
    lsq_stmt_free(stmt);
    works_afterwards();
}

static int endless_rows(void *ctx, struct lsq_params *row, char *why) {
    static const struct lsq_value value = {.type = LSQ_TYPE_INTEGER, .as = {.integer = 1}};

    (void)ctx, (void)why;
    *row = (struct lsq_params){.values = &value, .count = 1};
    return 1;
}

static void endless_many(const struct lsq_call *call, enum lsq_status want) {
    int64_t start = now_ns();

    assert_int_equal(lsq_exec_many(conn, "INSERT INTO t VALUES (?1)", 25, endless_rows, NULL, call,
                                   NULL, NULL, NULL, &last_error),
                     want);
    assert_true(last_error.statement > 0);
    assert_true(ms_since(start) < 10000);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    works_afterwards();
}

/* Rows of parameters without end, each of which is short. */
static void many_rows_are_stopped_too(void **state) {
    struct later later = {.fn = interrupt_conn, .arg = conn, .ms = 60};

    (void)state;
    endless_many(&short_call, LSQ_TIMEOUT);
    later_begin(&later);
    endless_many(NULL, LSQ_INTERRUPTED);
    later_join(&later);
}

static void batch_as_one_is_undone(void **state) {
    static const char sql[] = "INSERT INTO t VALUES (1);" ENDLESS_INSERT;
    struct lsq_call call = {.timeout = 60, .flags = LSQ_CALL_TRANSACTION};
    size_t done = 0;

    (void)state;
    assert_int_equal(
        lsq_batch_sql(conn, sql, sizeof(sql) - 1, &call, NULL, NULL, &done, &last_error),
        LSQ_TIMEOUT);
    assert_int_equal(done, 1);
    assert_int_equal(last_error.statement, 2);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    call.flags = 0;
    assert_int_equal(
        lsq_batch_sql(conn, sql, sizeof(sql) - 1, &call, NULL, NULL, &done, &last_error),
        LSQ_TIMEOUT);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1); /* the first was its own */
}

static void one_row_that_takes_too_long(void **state) {
    struct lsq_call call = {.timeout = 60, .flags = LSQ_CALL_ONE};

    (void)state;
    run(conn, "INSERT INTO t VALUES (1)");
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (2)");
    assert_int_equal(exec(conn, ENDLESS_INSERT " RETURNING a", NULL, &call, NULL), LSQ_TIMEOUT);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    (void)lsq_rollback(conn, NULL); /* an interrupted write rolls the transaction back itself */
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    run(conn, "BEGIN");
    run(conn, "COMMIT");
}

/* ---- Interrupts ---- */

static void interrupted_at_random_moments(void **state) {
    uint64_t seed = test_seed();
    int stopped = 0;

    (void)state;
    for (int i = 0; i < 60; i++) {
        struct later later = {.fn = interrupt_conn, .arg = conn};
        struct lsq_call end = {.timeout = 40};
        enum lsq_status st;

        later.ms = (int)(random_next(&seed) % 8);
        later_begin(&later);
        st = exec(conn, i % 2 ? ENDLESS_INSERT : LONG_QUERY, NULL, &end, NULL);
        later_join(&later);
        assert_true(st == LSQ_INTERRUPTED || st == LSQ_TIMEOUT);
        stopped += st == LSQ_INTERRUPTED;
        assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    }
    assert_true(stopped > 0);
}

static void interrupt_between_calls_is_forgotten(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        lsq_conn_interrupt(conn);
        works_afterwards();
    }
    assert_int_equal(lsq_conn_enter(conn, true), LSQ_OK); /* entered is not running */
    lsq_conn_interrupt(conn);
    works_afterwards();
    lsq_conn_leave(conn);
}

/* ---- The budget ---- */

static void budget_breaks_reads_off(void **state) {
    int64_t start = now_ns();
    struct lsq_reply reply;

    (void)state;
    assert_int_equal(exec(conn, LONG_QUERY, NULL, &budget, NULL), LSQ_WOULD_BLOCK);
    assert_in_range(ms_since(start), 10, 10000);
    assert_int_equal(exec(conn, "SELECT 1", NULL, &budget, &reply), LSQ_OK);
    assert_int_equal(reply.rows, 1);
    assert_int_equal(exec(conn, "INSERT INTO t VALUES (1)", NULL, &budget, NULL), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
}

/* Known to be long, it is refused at once until it was seen to be short. */
static void budget_remembers_and_forgives(void **state) {
    static const char sql[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                              "WHERE i < ?1) SELECT count(*) FROM n";
    enum lsq_status st = LSQ_WOULD_BLOCK;

    (void)state;
    assert_int_equal(exec(conn, sql, LSQ_PARAMS(lsq_int(INT64_MAX)), &budget, NULL),
                     LSQ_WOULD_BLOCK);
    assert_int_equal(exec(conn, sql, LSQ_PARAMS(lsq_int(1)), &budget, NULL), LSQ_WOULD_BLOCK);
    for (int i = 0; i < 1000 && st == LSQ_WOULD_BLOCK; i++) {
        assert_int_equal(exec(conn, sql, LSQ_PARAMS(lsq_int(1)), NULL, NULL), LSQ_OK);
        st = exec(conn, sql, LSQ_PARAMS(lsq_int(1)), &budget, NULL);
    }
    assert_int_equal(st, LSQ_OK);
}

/* A write is not broken off: it could not be begun again. */
static void budget_lets_writes_end(void **state) {
    static const char sql[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                              "WHERE i < 200000) INSERT INTO t SELECT i FROM n";

    (void)state;
    assert_int_equal(exec(conn, sql, NULL, &budget, NULL), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 200000);
}

static void budget_refuses_what_cannot_be_stopped(void **state) {
    static const char *const texts[] = {
        "CREATE INDEX t_a ON t (a)",
        "CREATE TABLE u (a)",
        "DROP TABLE t",
        "VACUUM",
        "vacuum",
        "/* c */ VACUUM",
        "ANALYZE",
        "REINDEX",
        "ATTACH ':memory:' AS x",
        "PRAGMA integrity_check",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA journal_mode = delete",
        "SELECT upper('x')",
        "SELECT hex(randomblob(10))",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (exec(conn, texts[i], NULL, &budget, NULL) != LSQ_WOULD_BLOCK) fail_msg("%s", texts[i]);
    }
    assert_string_equal(ask_text(conn, "PRAGMA journal_mode"), "wal");
    assert_int_equal(ask(conn, "SELECT count(*) FROM sqlite_schema"), 1); /* nothing happened */
    assert_string_equal(
        ask_rows(conn, "SELECT name FROM pragma_database_list WHERE name <> 'temp'"), "main");
}

static void budget_and_deadline(void **state) {
    struct lsq_call both = {.flags = LSQ_CALL_BUDGET, .timeout = 3600000};

    (void)state;
    assert_int_equal(exec(conn, LONG_QUERY, NULL, &both, NULL), LSQ_WOULD_BLOCK);
    both.timeout = 1;
    assert_int_equal(exec(conn, ENDLESS_INSERT, NULL, &both, NULL), LSQ_TIMEOUT);
    works_afterwards();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_table, close_table)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(deadline_stops_reads_and_writes),
        TEST(deadline_that_is_far_does_nothing),
        TEST(deadline_is_of_one_call),
        TEST(deadline_of_handles_and_many),
        TEST(many_rows_are_stopped_too),
        TEST(batch_as_one_is_undone),
        TEST(one_row_that_takes_too_long),
        TEST(interrupted_at_random_moments),
        TEST(interrupt_between_calls_is_forgotten),
        TEST(budget_breaks_reads_off),
        TEST(budget_remembers_and_forgives),
        TEST(budget_lets_writes_end),
        TEST(budget_refuses_what_cannot_be_stopped),
        TEST(budget_and_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
