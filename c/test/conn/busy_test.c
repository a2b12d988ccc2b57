/* Other connections' locks, of this process and of others: waited for as long as was said. */
#include <stdio.h>

#include "../support/db.h"

static struct lsq_conn *conn;
static struct lsq_conn *other;
static char path[256];
static const struct lsq_call nowait = {.flags = LSQ_CALL_NOWAIT};

enum { SOON = 400, LONG = 20000 }; /* ms: a stall is longer than any wait asked for here */

static int open_two(void **state) {
    (void)state;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE t (a)");
    snprintf(path, sizeof(path), "%s", db_file(conn));
    other = db_open(path);
    return 0;
}

static int close_two(void **state) {
    db_close(other);
    db_close(conn);
    return db_forget(state);
}

static void set_timeout(int ms) {
    assert_int_equal(lsq_conn_set_busy_timeout(conn, ms, &last_error), LSQ_OK);
}

static int64_t ms_since(int64_t start) { return (now_ns() - start) / 1000000; }

/* Runs sql, which must meet the lock, and expects that it took at least and not much more than ms. engine_code: of the
 * engine's lock, or 0. */
static void expect_busy(int engine_code, const char *sql, const struct lsq_call *call, int ms) {
    int64_t start = now_ns();

    if (exec(conn, sql, NULL, call, NULL) != LSQ_BUSY)
        fail_msg("%s: %s", sql, lsq_status_name(last_error.status));
    assert_true(last_error.transient);
    assert_int_equal(last_error.engine_code & 0xff, engine_code);
    assert_in_range(ms_since(start), ms, ms + 5000);
}

/* The library's own: there is a line to wait in. */
static void expect_busy_after(const char *sql, const struct lsq_call *call, int ms) {
    expect_busy(0, sql, call, ms);
}

static void waits_as_long_as_was_said(void **state) {
    static const int waits[] = {0, 50, 300};

    (void)state;
    run(other, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        set_timeout(waits[i]);
        expect_busy_after("INSERT INTO t VALUES (1)", NULL, waits[i]);
        expect_busy_after("BEGIN IMMEDIATE", NULL, waits[i]);
    }
    set_timeout(LONG);
    expect_busy_after("INSERT INTO t VALUES (1)", &nowait, 0);
    expect_busy_after("CREATE TABLE u (a)", &nowait, 0);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0); /* readers are not in the way */
    run(other, "ROLLBACK");
    run(conn, "INSERT INTO t VALUES (1)");
}

static void commit_other(void *arg) { (void)lsq_commit(arg, NULL, NULL); }

static void waits_until_the_lock_is_free(void **state) {
    struct later later = {.fn = commit_other, .arg = other, .ms = 150};
    int64_t start = now_ns();

    (void)state;
    set_timeout(LONG);
    run(other, "BEGIN IMMEDIATE");
    run(other, "INSERT INTO t VALUES (1)");
    later_begin(&later);
    run(conn, "INSERT INTO t VALUES (2)");
    later_join(&later);
    assert_in_range(ms_since(start), 100, LONG / 2);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 2);
}

static void begin_waits_too(void **state) {
    struct later later = {.fn = commit_other, .arg = other, .ms = 100};

    (void)state;
    set_timeout(LONG);
    run(other, "BEGIN IMMEDIATE");
    later_begin(&later);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    later_join(&later);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_OK);
}

static void deadline_and_interrupt_end_the_wait(void **state) {
    struct lsq_call deadline = {.timeout = 80};
    struct later later = {.fn = interrupt_conn, .arg = conn, .ms = 80};
    int64_t start = now_ns();

    (void)state;
    set_timeout(LONG);
    run(other, "BEGIN IMMEDIATE");
    assert_int_equal(exec(conn, "INSERT INTO t VALUES (1)", NULL, &deadline, NULL), LSQ_TIMEOUT);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, &deadline, &last_error), LSQ_TIMEOUT);
    later_begin(&later);
    expect(LSQ_INTERRUPTED, conn, "INSERT INTO t VALUES (1)");
    later_join(&later);
    assert_in_range(ms_since(start), 200, LONG / 2);
    run(other, "COMMIT");
    run(conn, "INSERT INTO t VALUES (1)");
}

/* Two that wait for one another: the second gets BUSY at once, not after its time-out. */
static void deadlock_is_not_waited_for(void **state) {
    int64_t start = now_ns();

    (void)state;
    set_timeout(LONG);
    run(conn, "BEGIN");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    run(other, "BEGIN IMMEDIATE");
    expect(LSQ_BUSY_SNAPSHOT, conn, "INSERT INTO t VALUES (1)");
    assert_true(ms_since(start) < LONG / 2);
    run(other, "COMMIT");
    run(conn, "ROLLBACK");
}

static void batches_keep_both(void **state) {
    size_t done = 99;
    static const char sql[] = "SELECT 1; INSERT INTO t VALUES (1)";
    struct lsq_call call = {.flags = LSQ_CALL_NOWAIT | LSQ_CALL_TRANSACTION};

    (void)state;
    set_timeout(LONG);
    run(other, "BEGIN IMMEDIATE");
    assert_int_equal(lsq_batch_sql(conn, sql, strlen(sql), &nowait, NULL, NULL, &done, &last_error),
                     LSQ_BUSY);
    assert_int_equal(done, 1);
    assert_int_equal(lsq_batch_sql(conn, sql, strlen(sql), &call, NULL, NULL, &done, &last_error),
                     LSQ_BUSY);
    assert_true(last_error.transient);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_NO_TRANSACTION);
    run(other, "COMMIT");
    run(conn, "INSERT INTO t VALUES (1)");
}

static void checkpoints_do_not_wait(void **state) {
    int64_t start = now_ns();
    int log = 0;
    int done = 0;

    (void)state;
    set_timeout(LONG);
    run(conn, "INSERT INTO t VALUES (1)");
    run(other, "BEGIN");
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 1);
    run(conn, "INSERT INTO t VALUES (2)");
    assert_int_equal(lsq_conn_checkpoint(conn, NULL, LSQ_CHECKPOINT_PASSIVE, &log, &done, NULL),
                     LSQ_OK);
    assert_true(log > done); /* the reader keeps the last frames out */
    assert_int_equal(
        lsq_conn_checkpoint(conn, NULL, LSQ_CHECKPOINT_TRUNCATE, NULL, NULL, &last_error),
        LSQ_BUSY);
    assert_true(last_error.transient);
    assert_true(ms_since(start) < LONG / 2);
    run(other, "COMMIT");
    assert_int_equal(
        lsq_conn_checkpoint(conn, "main", LSQ_CHECKPOINT_TRUNCATE, &log, &done, &last_error),
        LSQ_OK);
    assert_int_equal(log, 0);
}

static void checkpoints_of_other_kinds(void **state) {
    int log = 7;
    int done = 7;

    (void)state;
    assert_int_equal(lsq_conn_checkpoint(conn, NULL, (enum lsq_checkpoint)9, NULL, NULL, NULL),
                     LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_conn_checkpoint(conn, "absent", LSQ_CHECKPOINT_FULL, &log, &done, NULL),
                     LSQ_ERROR);
    assert_int_equal(log, 7); /* written only on success */
    run(conn, "BEGIN IMMEDIATE");
    assert_int_equal(lsq_conn_checkpoint(conn, NULL, LSQ_CHECKPOINT_FULL, &log, &done, NULL),
                     LSQ_LOCKED);
    run(conn, "COMMIT");
    db_close(other);
    run(conn, "PRAGMA journal_mode = delete");
    assert_int_equal(lsq_conn_checkpoint(conn, NULL, LSQ_CHECKPOINT_FULL, &log, &done, NULL),
                     LSQ_OK);
    assert_int_equal(log, -1);
    assert_int_equal(done, -1);
    other = db_open(":memory:");
}

/* An interrupt that comes when a call is all but over does not hit the next one. */
static bool interrupt_at_the_end(void *ctx, int number, const struct lsq_reply *reply) {
    (void)number, (void)reply;
    lsq_conn_interrupt(ctx);
    return true;
}
static bool any_columns(void *ctx, size_t count, const char *const *names) {
    return (void)ctx, (void)count, (void)names, true;
}

static void late_interrupt_hits_no_checkpoint(void **state) {
    static const struct lsq_sink sink = {.columns = any_columns,
                                         .statement_end = interrupt_at_the_end};

    (void)state;
    for (int i = 0; i < 3; i++) {
        run(conn, "INSERT INTO t VALUES (randomblob(20000))");
        (void)lsq_batch_sql(conn, "DELETE FROM t", 13, NULL, &sink, conn, NULL, NULL);
        if (lsq_conn_checkpoint(conn, NULL, LSQ_CHECKPOINT_PASSIVE, NULL, NULL, &last_error) !=
            LSQ_OK)
            fail_msg("%s", last_error.message);
    }
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
}

static void cacheflush_writes_what_is_open(void **state) {
    (void)state;
    assert_int_equal(lsq_conn_cacheflush(conn, &last_error), LSQ_OK);
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (1)");
    assert_int_equal(lsq_conn_cacheflush(conn, &last_error), LSQ_OK);
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 0); /* written, not committed */
    run(conn, "ROLLBACK");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
}

/* ---- Another process ---- */

static int hold_immediate(const char *file) {
    return child_hold(file, "BEGIN IMMEDIATE; INSERT INTO t VALUES (9)");
}

static int hold_exclusive(const char *file) {
    return child_hold(file, "PRAGMA journal_mode = delete; BEGIN EXCLUSIVE; "
                            "INSERT INTO t VALUES (9)");
}

static void other_process_holds_the_lock(void **state) {
    struct child child = child_begin("immediate", path);

    (void)state;
    child_ready(&child);
    set_timeout(100);
    expect_busy(5, "INSERT INTO t VALUES (1)", NULL, 100);
    set_timeout(LONG);
    expect_busy_after("INSERT INTO t VALUES (1)", &nowait, 0); /* that is: get in line */
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    assert_int_equal(child_end(&child), 0);
    run(conn, "INSERT INTO t VALUES (1)");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1); /* its own was rolled back */
}

/* Opening meets the lock too: it waits for it, or not. */
static void opening_a_locked_database(void **state) {
    struct lsq_config cfg = db_config(path);
    struct child child;
    int64_t start;

    (void)state;
    db_close(other);
    db_close(conn);
    child = child_begin("exclusive", path);
    child_ready(&child);
    cfg.busy_timeout = 100;
    start = now_ns();
    assert_int_equal(db_try(&cfg), LSQ_BUSY);
    assert_in_range(ms_since(start), 100, SOON + 5000);
    cfg.busy_timeout = LONG;
    cfg.flags = LSQ_OPEN_NOWAIT;
    start = now_ns();
    assert_int_equal(db_try(&cfg), LSQ_BUSY);
    assert_true(ms_since(start) < LONG / 2);
    assert_int_equal(child_end(&child), 0);
    cfg.flags = 0;
    assert_int_equal(db_try(&cfg), LSQ_OK);
    conn = db_open(path);
    other = db_open(path);
}

/* The wait for a change of journal mode, of which the engine does not ask the busy handler. */
static void opening_waits_to_change_the_journal_mode(void **state) {
    struct later later = {.fn = commit_other, .arg = other, .ms = 150};

    (void)state;
    db_close(conn);
    run(other, "PRAGMA journal_mode = delete");
    run(other, "BEGIN IMMEDIATE");
    later_begin(&later);
    conn = db_open(path); /* wants WAL */
    later_join(&later);
    assert_string_equal(ask_text(conn, "PRAGMA journal_mode"), "wal");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_two, close_two)

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"immediate", hold_immediate},
                                              {"exclusive", hold_exclusive}};
    const struct CMUnitTest tests[] = {
        TEST(waits_as_long_as_was_said),
        TEST(waits_until_the_lock_is_free),
        TEST(begin_waits_too),
        TEST(deadline_and_interrupt_end_the_wait),
        TEST(deadlock_is_not_waited_for),
        TEST(batches_keep_both),
        TEST(checkpoints_do_not_wait),
        TEST(checkpoints_of_other_kinds),
        TEST(late_interrupt_hits_no_checkpoint),
        TEST(cacheflush_writes_what_is_open),
        TEST(other_process_holds_the_lock),
        TEST(opening_a_locked_database),
        TEST(opening_waits_to_change_the_journal_mode),
    };

    child_main(argc, argv, roles, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
