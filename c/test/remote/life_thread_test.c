/* What is let go of, interrupted or closed while a server's answer comes, and by another thread. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/chance.h"
#include "../support/db.h"
#include "../support/sqld.h"

#define ENDLESS "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c"

static struct sqld sqld;

static struct lsq_conn *connect_to(void) {
    struct lsq_config cfg = db_config(sqld.url);

    return db_open_as(&cfg);
}

static struct lsq_stmt *prepare(struct lsq_conn *conn, const char *sql) {
    struct lsq_stmt *stmt;

    if (lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    return stmt;
}

static struct lsq_stmt *half_read(struct lsq_conn *conn, const char *sql) {
    struct lsq_stmt *stmt = prepare(conn, sql);
    bool end = true;

    assert_int_equal(lsq_stmt_start(stmt, NULL, &last_error), LSQ_OK);
    if (lsq_stmt_fetch(stmt, 5, NULL, NULL, NULL, &end, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    assert_false(end);
    return stmt;
}

/* ---- Calls that do not wait ---- */

struct end {
    atomic_bool over;
    enum lsq_status st;
};

static void on_done(void *arg, enum lsq_status st, const struct lsq_error *err) {
    struct end *end = arg;

    (void)err;
    end->st = st;
    atomic_store(&end->over, true);
}

static void await(struct end *end) {
    for (int i = 0; i < 6000 && !atomic_load(&end->over); i++) sleep_ms(10);
    assert_true(atomic_load(&end->over));
}

/* Of memory that is gone when the call has begun. */
static char *a_trace(void) {
    static const char text[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    char *copy = malloc(sizeof(text));

    assert_non_null(copy);
    memcpy(copy, text, sizeof(text));
    return copy;
}

static void a_call_keeps_no_trace_of_the_callers(void **state) {
    struct lsq_conn *conn;
    struct lsq_stmt *first;
    struct lsq_stmt *second;
    struct end end = {.over = false};
    struct lsq_call call = {.done = on_done, .done_arg = &end, .timeout = 60000};
    bool last = false;
    char *trace;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    run(conn, "BEGIN");
    first = half_read(conn, "SELECT value FROM generate_series(1, 50000)");
    call.traceparent = trace = a_trace();
    assert_int_equal(exec(conn, "SELECT 1", NULL, &call, NULL), LSQ_PENDING);
    free(trace);
    await(&end);
    assert_int_equal(end.st, LSQ_OK);

    lsq_stmt_free(first);
    first = half_read(conn, "SELECT value FROM generate_series(1, 50000)");
    lsq_stmt_free(first);
    second = prepare(conn, "SELECT 2");
    first = half_read(conn, "SELECT value FROM generate_series(1, 50000)");
    assert_int_equal(lsq_stmt_start(second, NULL, &last_error), LSQ_OK);
    end = (struct end){.over = false};
    call.traceparent = trace = a_trace();
    assert_int_equal(lsq_stmt_fetch(second, 5, &call, NULL, NULL, &last, &last_error), LSQ_PENDING);
    free(trace);
    await(&end);
    assert_int_equal(end.st, LSQ_OK);
    assert_true(last);
    lsq_stmt_free(first);
    lsq_stmt_free(second);
    run(conn, "COMMIT");
    db_close(conn);
    sqld_kill(&sqld);
}

/* ---- Interrupts ---- */

static enum lsq_status begin_and_interrupt(struct lsq_conn *conn, struct lsq_stmt *runs,
                                           struct lsq_stmt *meant) {
    struct end end = {.over = false};
    const struct lsq_call call = {.done = on_done, .done_arg = &end, .timeout = 60000};
    enum lsq_status st;

    sqld_pause(&sqld);
    st = runs == NULL ? exec(conn, "SELECT 1", NULL, &call, NULL)
                      : lsq_stmt_exec(runs, NULL, &call, NULL, NULL, NULL, &last_error);
    lsq_stmt_interrupt(meant);
    sqld_resume(&sqld);
    assert_int_equal(st, LSQ_PENDING);
    await(&end);
    return end.st;
}

static void a_statement_is_interrupted_and_no_other_call(void **state) {
    struct lsq_conn *conn;
    struct lsq_stmt *first;
    struct lsq_stmt *second;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    first = prepare(conn, "SELECT 1");
    second = prepare(conn, "SELECT 2");
    assert_int_equal(begin_and_interrupt(conn, first, first), LSQ_INTERRUPTED);
    assert_int_equal(begin_and_interrupt(conn, second, first), LSQ_OK);
    assert_int_equal(begin_and_interrupt(conn, NULL, second), LSQ_OK);
    lsq_stmt_free(first);
    lsq_stmt_free(second);
    db_close(conn);
    sqld_kill(&sqld);
}

struct rows {
    struct lsq_conn *conn;
    int given;
};

static int next_row(void *ctx, struct lsq_params *row, char *why) {
    static const struct lsq_value value = {.type = LSQ_TYPE_INTEGER, .as.integer = 1};
    struct rows *rows = ctx;

    (void)why;
    if (rows->given++ == 1) lsq_conn_interrupt(rows->conn);
    *row = (struct lsq_params){.values = &value, .count = 1};
    return rows->given < 4 ? 1 : 0;
}

/* The call is there from its first row on. */
static void a_call_is_interrupted_while_it_is_written(void **state) {
    static const char insert[] = "INSERT INTO t VALUES (?1)";
    struct rows rows = {.given = 0};
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    rows.conn = conn = connect_to();
    run(conn, "CREATE TABLE t (a)");
    assert_int_equal(lsq_exec_many(conn, insert, sizeof(insert) - 1, next_row, &rows, NULL, NULL,
                                   NULL, NULL, &last_error),
                     LSQ_INTERRUPTED);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    db_close(conn);
    sqld_kill(&sqld);
}

/* ---- Cursors that others have to wait for ---- */

static void a_freed_cursor_is_not_read_to_its_end(void **state) {
    const struct lsq_call call = {.timeout = 30000};
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    run(conn, "CREATE TABLE t (a)");
    for (int i = 0; i < 10; i++) {
        run(conn, "BEGIN");
        run(conn, "INSERT INTO t VALUES (1)");
        lsq_stmt_discard(half_read(conn, ENDLESS));
        if (exec(conn, "INSERT INTO t VALUES (2)", NULL, &call, NULL) != LSQ_OK)
            fail_msg("%s", last_error.message);
        run(conn, "COMMIT");
    }
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 20);
    db_close(conn);
    sqld_kill(&sqld);
}

static void who_waits_for_a_cursor_can_be_interrupted(void **state) {
    const struct lsq_call call = {.timeout = 60000};
    struct later later = {.fn = interrupt_conn, .ms = 200};
    struct lsq_conn *conn;
    struct lsq_stmt *stmt;
    int64_t start;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    run(conn, "CREATE TABLE t (a)");
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (1)");
    stmt = half_read(conn, ENDLESS);
    later.arg = conn;
    start = now_ns();
    later_begin(&later);
    assert_int_equal(exec(conn, "SELECT 1", NULL, &call, NULL), LSQ_INTERRUPTED);
    later_join(&later);
    assert_true(now_ns() - start < 40000000000);
    lsq_stmt_free(stmt);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_NO_TRANSACTION);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    db_close(conn);
    sqld_kill(&sqld);
}

/* ---- Closed by another thread ---- */

struct user {
    struct lsq_conn *conn;
    struct lsq_stmt *stmt;
    pthread_t thread;
};

static void *use(void *arg) {
    struct user *user = arg;
    enum lsq_status st = LSQ_OK;
    bool end;

    while (st != LSQ_CLOSED) {
        st = lsq_stmt_exec(user->stmt, NULL, NULL, NULL, NULL, NULL, NULL);
        if (st != LSQ_CLOSED) st = lsq_stmt_start(user->stmt, NULL, NULL);
        for (int i = 0; i < 3 && st == LSQ_OK; i++)
            st = lsq_stmt_fetch(user->stmt, 2, NULL, NULL, NULL, &end, NULL);
    }
    return NULL;
}

static void a_connection_is_closed_while_a_statement_is_used(void **state) {
    uint64_t seed = test_seed();

    (void)state;
    sqld_start(&sqld, NULL);
    for (int round = 0; round < 200; round++) {
        struct user user = {.conn = connect_to()};

        user.stmt = prepare(user.conn, "SELECT value FROM generate_series(1, 5)");
        assert_int_equal(pthread_create(&user.thread, NULL, use, &user), 0);
        for (uint64_t n = random_next(&seed) % 20000; n > 0; n--)
            atomic_signal_fence(memory_order_seq_cst);
        if (random_next(&seed) % 2 == 0) sleep_ms((int)(random_next(&seed) % 4));
        lsq_conn_close(user.conn, NULL, NULL);
        pthread_join(user.thread, NULL);
        lsq_stmt_free(user.stmt);
        lsq_conn_free(user.conn);
    }
    sqld_kill(&sqld);
}

static int forget(void **state) {
    sqld_kill(&sqld);
    return db_forget(state);
}

#define TEST(name) cmocka_unit_test_teardown(name, forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_call_keeps_no_trace_of_the_callers),
        TEST(a_statement_is_interrupted_and_no_other_call),
        TEST(a_call_is_interrupted_while_it_is_written),
        TEST(a_freed_cursor_is_not_read_to_its_end),
        TEST(who_waits_for_a_cursor_can_be_interrupted),
        TEST(a_connection_is_closed_while_a_statement_is_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
