/* Calls that are stopped: by their deadline, by an interrupt, by the budget of shared threads. */
#include <stdatomic.h>
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
    assert_int_equal(lsq_stmt_new(&stmt, conn, LONG_QUERY, strlen(LONG_QUERY), NULL, NULL), LSQ_OK);
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
    (void)lsq_rollback(conn, NULL,
                       NULL); /* an interrupted write rolls the transaction back itself */
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    run(conn, "BEGIN");
    run(conn, "COMMIT");
}

/* ---- At the very end: what is stored is not called undone ---- */

/* A write of many instructions without a loop, one of them longer than the deadline: the engine first
 * looks at the clock when all is done, and an autocommit is then committed. */
static const char *straight_insert(const char *behind) {
    static char sql[12000];

    strcpy(sql, "INSERT INTO t VALUES ((length(randomblob(8000000)) * 0");
    for (int i = 0; i < 900; i++) strcat(sql, " + ?1");
    strcat(sql, ") + (0");
    for (int i = 0; i < 900; i++) strcat(sql, " + ?1");
    strcat(sql, "))");
    strcat(sql, behind);
    return sql;
}

/* Either all of it is there and it says so, or nothing. */
static void expect_truth(enum lsq_status st, int64_t before, int64_t added) {
    int64_t now = ask(conn, "SELECT count(*) FROM t");

    if (st == LSQ_OK && now == before + added) return;
    if (st != LSQ_OK && last_error.outcome == LSQ_OUTCOME_COMMITTED && now == before + added)
        return;
    if (st != LSQ_OK && last_error.outcome == LSQ_OUTCOME_NONE && now == before) return;
    fail_msg("%s, outcome %d, %d rows of %d", lsq_status_name(st), (int)last_error.outcome,
             (int)(now - before), (int)added);
}

static void late_deadline_of_a_stored_write(void **state) {
    static const struct lsq_call brief = {.timeout = 1};
    struct lsq_stmt *stmt = NULL;
    const char *sql = straight_insert("");
    bool end = false;

    (void)state;
    expect_truth(exec(conn, sql, LSQ_PARAMS(lsq_int(1)), &brief, NULL), 0, 1);
    run(conn, "DELETE FROM t");
    assert_int_equal(lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_start(stmt, LSQ_PARAMS(lsq_int(1)), &last_error), LSQ_OK);
    expect_truth(lsq_stmt_fetch(stmt, 1, &brief, NULL, NULL, &end, &last_error), 0, 1);
    run(conn, "DELETE FROM t");
    expect_truth(lsq_stmt_exec(stmt, LSQ_PARAMS(lsq_int(1)), &brief, NULL, NULL, NULL, &last_error),
                 0, 1);
    lsq_stmt_free(stmt);
}

static void late_deadline_inside_a_transaction(void **state) {
    static const struct lsq_call brief = {.timeout = 1};
    struct lsq_conn_info info;
    enum lsq_status st;

    (void)state;
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (7)");
    st = exec(conn, straight_insert(""), LSQ_PARAMS(lsq_int(1)), &brief, NULL);
    assert_int_equal(lsq_conn_info(conn, false, &info, NULL), LSQ_OK);
    if (st == LSQ_OK || !info.autocommit) {
        expect_truth(st, 1, 1);
        run(conn, "COMMIT");
    } else {
        expect_truth(st, 0, 1); /* rolled back as a whole */
    }
}

static void late_deadline_of_one_row(void **state) {
    static const struct lsq_call brief = {.timeout = 1, .flags = LSQ_CALL_ONE};
    const char *sql = straight_insert(" RETURNING a");

    (void)state;
    expect_truth(exec(conn, sql, LSQ_PARAMS(lsq_int(1)), &brief, NULL), 0, 1);
    run(conn, "DELETE FROM t");
    sql = straight_insert("");
    expect_truth(exec(conn, sql, LSQ_PARAMS(lsq_int(1)), &brief, NULL), 0, 1);
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

static atomic_bool storm_over;

static void storm(void *arg) {
    while (!atomic_load(&storm_over)) lsq_conn_interrupt(arg);
}

/* An interrupt on the heels of another does not stop the undoing of what the first one stopped. */
static void undoing_is_not_interrupted(void **state) {
    struct later later = {.fn = storm, .arg = conn};
    static const struct lsq_call one = {.flags = LSQ_CALL_ONE};
    enum lsq_status ended[2];

    (void)state;
    atomic_store(&storm_over, false);
    later_begin(&later);
    for (int i = 0; i < 300; i++) {
        (void)lsq_exec_many(conn, "INSERT INTO t VALUES (?1)", 25, endless_rows, NULL, NULL, NULL,
                            NULL, NULL, NULL);
        ended[0] = lsq_commit(conn, NULL, NULL);
        (void)exec(conn, "INSERT INTO t VALUES (1), (2) RETURNING a", NULL, &one, NULL);
        ended[1] = lsq_commit(conn, NULL, NULL);
        if (ended[0] != LSQ_NO_TRANSACTION || ended[1] != LSQ_NO_TRANSACTION) break;
    }
    atomic_store(&storm_over, true);
    later_join(&later);
    assert_int_equal(ended[0], LSQ_NO_TRANSACTION);
    assert_int_equal(ended[1], LSQ_NO_TRANSACTION);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
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

/* ---- The caller's own stop ---- */

static bool after_some(void *arg) { return --*(int *)arg < 0; }

static struct lsq_call stopped_after(int *asked) {
    return (struct lsq_call){.stop = after_some, .stop_arg = asked};
}

static void call_is_off_before_it_began(void **state) {
    int asked = 0;
    struct lsq_call call = stopped_after(&asked);
    size_t done = 9;

    (void)state;
    assert_int_equal(exec(conn, "INSERT INTO t VALUES (1)", NULL, &call, NULL), LSQ_INTERRUPTED);
    asked = 0;
    assert_int_equal(lsq_batch_sql(conn, "SELECT 1", 8, &call, NULL, NULL, &done, &last_error),
                     LSQ_INTERRUPTED);
    assert_int_equal(done, 0);
    asked = 0;
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, &call, &last_error), LSQ_INTERRUPTED);
    works_afterwards();
}

static void call_is_off_while_it_runs(void **state) {
    int asked = 20;
    struct lsq_call call = stopped_after(&asked);
    int64_t start = now_ns();
    size_t done = 0;

    (void)state;
    assert_int_equal(exec(conn, LONG_QUERY, NULL, &call, NULL), LSQ_INTERRUPTED);
    assert_true(asked < 0);
    asked = 20;
    assert_int_equal(exec(conn, ENDLESS_INSERT, NULL, &call, NULL), LSQ_INTERRUPTED);
    asked = 3;
    assert_int_equal(lsq_batch_sql(conn, "SELECT 1; SELECT 2; SELECT 3; SELECT 4", 38, &call, NULL,
                                   NULL, &done, &last_error),
                     LSQ_INTERRUPTED);
    assert_in_range(done, 1, 3); /* it is asked between short statements, too */
    asked = 20;
    endless_many(&call, LSQ_INTERRUPTED);
    assert_true(ms_since(start) < 10000);
    works_afterwards();
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
        TEST(late_deadline_of_a_stored_write),
        TEST(late_deadline_inside_a_transaction),
        TEST(late_deadline_of_one_row),
        TEST(interrupted_at_random_moments),
        TEST(undoing_is_not_interrupted),
        TEST(interrupt_between_calls_is_forgotten),
        TEST(call_is_off_before_it_began),
        TEST(call_is_off_while_it_runs),
        TEST(budget_breaks_reads_off),
        TEST(budget_remembers_and_forgives),
        TEST(budget_lets_writes_end),
        TEST(budget_refuses_what_cannot_be_stopped),
        TEST(budget_and_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
