/* Batches, rows of parameters and cursors of a replica whose file is behind what was written: they wait for it, as
 * single reads do. That something ran here and not at the primary is seen by a temporary table, which is not there. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../support/db.h"
#include "../support/sqld.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "conn/conn.h"

static struct sqld sqld;
static struct lsq_conn *server;

enum { NO_RETRY = -1 };

static const struct lsq_remote quick = {.retry_time = NO_RETRY, .timeout = 10000};

static struct lsq_conn *open_replica(const struct lsq_replica *replica) {
    struct lsq_config cfg;
    struct lsq_conn *conn;

    sqld_start(&sqld, NULL);
    cfg = db_config(sqld.url);
    server = db_open_as(&cfg);
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    run(server, "INSERT INTO t VALUES (1, 'x')");
    cfg = db_config(db_path());
    cfg.primary = sqld.url;
    cfg.remote = &quick;
    cfg.replica = replica;
    conn = db_open_as(&cfg);
    run(conn, "CREATE TEMP TABLE own (n)");
    run(conn, "INSERT INTO own VALUES (7)");
    return conn;
}

static int forget(void **state) {
    lsq_on_replica_event(NULL, NULL);
    sqld_resume(&sqld);
    sqld_kill(&sqld);
    lsq_shutdown();
    return db_forget(state);
}

/* ---- What a call told ---- */

/* Integers, with a bar behind each statement's. */
struct told {
    struct lsqi_buf text;
    struct lsq_reply reply;
    size_t done;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int ends;
    enum lsq_status st;
    struct lsq_error err;
};

static bool on_columns(void *ctx, size_t count, const char *const *names) {
    (void)ctx, (void)count, (void)names;
    return true;
}

static bool on_integer(void *ctx, int64_t value) {
    struct told *told = ctx;
    char text[32];

    lsqi_buf_add(&told->text, text, (size_t)snprintf(text, sizeof(text), "%d ", (int)value));
    return !told->text.failed;
}

static bool on_row_end(void *ctx) {
    (void)ctx;
    return true;
}

static bool on_statement_end(void *ctx, int number, const struct lsq_reply *reply) {
    struct told *told = ctx;

    (void)number, (void)reply;
    lsqi_buf_add(&told->text, "| ", 2);
    return !told->text.failed;
}

static const struct lsq_sink sink = {.columns = on_columns,
                                     .integer = on_integer,
                                     .row_end = on_row_end,
                                     .statement_end = on_statement_end};

static void told_begin(struct told *told) {
    *told = (struct told){.done = 99};
    pthread_mutex_init(&told->lock, NULL);
    pthread_cond_init(&told->ended, NULL);
}

static void told_end(struct told *told) {
    lsqi_buf_release(&told->text);
    pthread_cond_destroy(&told->ended);
    pthread_mutex_destroy(&told->lock);
}

static void expect_told(struct told *told, const char *text) {
    lsqi_buf_add(&told->text, "", 1);
    assert_false(told->text.failed);
    assert_string_equal(told->text.data, text);
}

static void on_done(void *arg, enum lsq_status st, const struct lsq_error *err) {
    struct told *told = arg;

    pthread_mutex_lock(&told->lock);
    told->ends++;
    told->st = st;
    if (st != LSQ_OK) told->err = *err;
    pthread_cond_signal(&told->ended);
    pthread_mutex_unlock(&told->lock);
}

static enum lsq_status await(struct told *told) {
    enum lsq_status st;

    pthread_mutex_lock(&told->lock);
    while (told->ends == 0) pthread_cond_wait(&told->ended, &told->lock);
    assert_int_equal(told->ends, 1);
    st = told->st;
    pthread_mutex_unlock(&told->lock);
    return st;
}

/* ---- The three ways to run several ---- */

enum shape { STATEMENTS, TEXT, ROWS, SHAPES };

static const char *const answers[] = {
    [STATEMENTS] = "7 | 2 | ",
    [TEXT] = "7 | 2 | ",
    [ROWS] = "9 10 11 ",
};

struct numbers {
    int64_t next;
    int64_t last;
    struct lsq_value value;
};

/* The memory of a row is the next one's. */
static int next_number(void *ctx, struct lsq_params *row, char *why) {
    struct numbers *numbers = ctx;

    if (numbers->next > numbers->last) return 0;
    if (numbers->next < 0) {
        snprintf(why, 256, "a bad row");
        return -1;
    }
    numbers->value = lsq_int(numbers->next++);
    *row = (struct lsq_params){.values = &numbers->value, .count = 1};
    return 1;
}

static enum lsq_status several(struct lsq_conn *conn, enum shape shape, const struct lsq_call *call,
                               struct told *told) {
    static const char both[] = "SELECT n FROM own; SELECT count(*) FROM t";
    static const char many[] = "SELECT n + (SELECT count(*) FROM t) + ?1 FROM own";
    struct numbers numbers = {.next = 0, .last = 2};
    char a[] = "SELECT n FROM own WHERE n > ?1";
    char b[] = "SELECT count(*) FROM t";
    struct lsq_value zero = lsq_int(0);
    struct lsq_batch_item items[] = {
        {.sql = a, .len = sizeof(a) - 1, .params = {.values = &zero, .count = 1}},
        {.sql = b, .len = sizeof(b) - 1}};
    enum lsq_status st;

    switch (shape) {
    case STATEMENTS:
        st = lsq_batch(conn, items, 2, call, &sink, told, &told->done, &last_error);
        /* They need not stay. */
        memset(a, '?', sizeof(a));
        memset(items, 0, sizeof(items));
        return st;
    case TEXT:
        return lsq_batch_sql(conn, both, sizeof(both) - 1, call, &sink, told, &told->done,
                             &last_error);
    default:
        return lsq_exec_many(conn, many, sizeof(many) - 1, next_number, &numbers, call, &sink, told,
                             &told->reply, &last_error);
    }
}

static void what_runs_several_waits_for_the_file(void **state) {
    static const struct lsq_call one = {.flags = LSQ_CALL_TRANSACTION};
    struct lsq_conn *conn = open_replica(NULL);
    struct told told;

    (void)state;
    for (int shape = STATEMENTS; shape < SHAPES; shape++) {
        for (int i = 0; i < 2; i++) {
            run(conn, "DELETE FROM t WHERE id = 2");
            run(conn, "INSERT INTO t VALUES (2, 'y')");
            told_begin(&told);
            if (several(conn, (enum shape)shape, i == 0 || shape == ROWS ? NULL : &one, &told) !=
                LSQ_OK)
                fail_msg("%d: %s", shape, last_error.message);
            expect_told(&told, answers[shape]);
            told_end(&told);
        }
    }
    db_close(conn);
    db_close(server);
}

static void it_waits_on_no_thread(void **state) {
    static const struct lsq_call budget = {.flags = LSQ_CALL_BUDGET | LSQ_CALL_NOWAIT};
    struct lsq_conn *conn = open_replica(NULL);
    struct told told;
    const struct lsq_call call = {.done = on_done, .done_arg = &told, .timeout = 30000};
    const struct lsq_call brief = {
        .flags = LSQ_CALL_SHORT, .done = on_done, .done_arg = &told, .timeout = 30000};

    (void)state;
    for (int shape = STATEMENTS; shape < SHAPES; shape++) {
        run(conn, "DELETE FROM t WHERE id = 2");
        run(conn, "INSERT INTO t VALUES (2, 'y')");
        told_begin(&told);
        assert_int_equal(several(conn, (enum shape)shape, &budget, &told), LSQ_WOULD_BLOCK);
        assert_int_equal(several(conn, (enum shape)shape, &brief, &told), LSQ_WOULD_BLOCK);
        assert_int_equal(several(conn, (enum shape)shape, &call, &told), LSQ_PENDING);
        if (await(&told) != LSQ_OK) fail_msg("%d: %s", shape, told.err.message);
        expect_told(&told, answers[shape]);
        told_end(&told);
    }
    db_close(conn);
    db_close(server);
}

static void what_waits_in_vain_is_an_error_or_the_primarys(void **state) {
    static const struct lsq_replica strict = {.stale_is_error = true, .stale_after = 60000};
    struct lsq_conn *conn = open_replica(&strict);
    struct told told;
    const struct lsq_call call = {.done = on_done, .done_arg = &told, .timeout = 400};

    (void)state;
    run(conn, "INSERT INTO t VALUES (2, 'y')");
    sqld_pause(&sqld);
    for (int shape = STATEMENTS; shape < SHAPES; shape++) {
        told_begin(&told);
        assert_int_equal(several(conn, (enum shape)shape, &call, &told), LSQ_PENDING);
        assert_int_equal(await(&told), LSQ_STALE);
        assert_true(told.err.transient);
        expect_told(&told, "");
        told_end(&told);
        told_begin(&told);
        assert_int_equal(
            several(conn, (enum shape)shape, &(struct lsq_call){.timeout = 400}, &told), LSQ_STALE);
        told_end(&told);
    }
    sqld_resume(&sqld);
    told_begin(&told);
    assert_int_equal(several(conn, TEXT, NULL, &told), LSQ_OK);
    expect_told(&told, answers[TEXT]);
    told_end(&told);
    db_close(conn);
    db_close(server);
}

/* An exchange ends when nobody waits for it any more, and those who come meanwhile are not told of that end. */
static void who_comes_when_another_gives_up_waits_by_itself(void **state) {
    static const struct lsq_replica strict = {.stale_is_error = true, .stale_after = 60000};
    struct lsq_conn *conn = open_replica(&strict);

    (void)state;
    run(conn, "INSERT INTO t VALUES (2, 'y')");
    sqld_pause(&sqld);
    for (int i = 0; i < 60; i++) {
        const struct lsq_call call = {.timeout = 40 + i % 7 * 10};

        assert_int_equal(exec(conn, "SELECT count(*) FROM t", NULL, &call, NULL), LSQ_STALE);
    }
    sqld_resume(&sqld);
    for (int i = 0; exec(conn, "SELECT count(*) FROM t", NULL, NULL, NULL) != LSQ_OK; i++)
        assert_true(last_error.status == LSQ_STALE && i < 100);
    db_close(conn);
    db_close(server);
}

static void a_bad_row_of_parameters_is_told_before_it_waits(void **state) {
    static const char sql[] = "SELECT count(*) + ?1 FROM t";
    struct numbers numbers = {.next = -1};
    struct lsq_conn *conn = open_replica(NULL);
    struct told told;
    const struct lsq_call call = {.done = on_done, .done_arg = &told};

    (void)state;
    run(conn, "INSERT INTO t VALUES (2, 'y')");
    told_begin(&told);
    assert_int_equal(lsq_exec_many(conn, sql, sizeof(sql) - 1, next_number, &numbers, &call, &sink,
                                   &told, &told.reply, &last_error),
                     LSQ_PARAMETERS);
    assert_int_equal(last_error.statement, 1);
    assert_string_equal(last_error.message, "a bad row");
    assert_int_equal(told.ends, 0);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 2); /* it is out of the call */
    told_end(&told);
    db_close(conn);
    db_close(server);
}

/* lsq_call.stop: the call is to stop from the second time on that it is asked, as one is that is interrupted just after
 * it has begun. */
static bool stop_soon(void *arg) {
    int *asked = arg;

    return (*asked)++ > 0;
}

static void who_is_called_off_as_he_begins_does_not_wait(void **state) {
    struct lsq_conn *conn = open_replica(NULL);
    struct told told;
    int asked = 0;
    const struct lsq_call call = {
        .done = on_done, .done_arg = &told, .stop = stop_soon, .stop_arg = &asked};

    (void)state;
    told_begin(&told);
    sqld_pause(&sqld); /* it would wait for as long as it may */
    assert_int_equal(lsq_sync(conn, &call, NULL, &last_error), LSQ_INTERRUPTED);
    assert_int_equal(told.ends, 0);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1); /* it is out of the call */
    sqld_resume(&sqld);
    told_end(&told);
    db_close(conn);
    db_close(server);
}

/* ---- Cursors ---- */

static atomic_int stale_events;

static void on_event(const struct lsq_replica_event *event, void *arg) {
    (void)arg;
    if (event->kind == LSQ_REPLICA_STALE) atomic_fetch_add(&stale_events, 1);
}

static struct lsq_stmt *cursor(struct lsq_conn *conn, int64_t from) {
    static const char sql[] = "SELECT id FROM t WHERE id >= ?1 ORDER BY id";
    struct lsq_stmt *stmt;
    struct lsq_value value = lsq_int(from);

    assert_int_equal(lsq_stmt_new(&stmt, conn, sql, sizeof(sql) - 1, NULL, &last_error), LSQ_OK);
    assert_int_equal(
        lsq_stmt_start(stmt, &(struct lsq_params){.values = &value, .count = 1}, &last_error),
        LSQ_OK);
    return stmt;
}

static void a_cursor_that_waits_in_vain_is_opened_at_the_primary(void **state) {
    static const struct lsq_replica hasty = {.stale_after = 1};
    struct lsq_conn *conn = open_replica(&hasty);
    int64_t last = 1;

    (void)state;
    atomic_store(&stale_events, 0);
    lsq_on_replica_event(on_event, NULL);
    /* A fast sync may be in time: then there is nothing to see, but the right rows. */
    while (atomic_load(&stale_events) < 3) {
        struct told told;
        struct lsq_stmt *stmt;
        char text[64];
        bool end = false;

        assert_true(last < 2000);
        snprintf(text, sizeof(text), "INSERT INTO t VALUES (%d, 'y')", (int)++last);
        run(conn, text);
        told_begin(&told);
        stmt = cursor(conn, last - 1);
        assert_int_equal(lsq_stmt_fetch(stmt, 1, NULL, &sink, &told, &end, &last_error), LSQ_OK);
        while (!end)
            assert_int_equal(lsq_stmt_fetch(stmt, 1, NULL, &sink, &told, &end, &last_error),
                             LSQ_OK);
        snprintf(text, sizeof(text), "%d %d ", (int)last - 1, (int)last);
        expect_told(&told, text);
        lsq_stmt_free(stmt);
        told_end(&told);
    }
    db_close(conn);
    db_close(server);
}

static void a_cursor_that_is_stale_can_be_fetched_again(void **state) {
    static const struct lsq_replica strict = {.stale_is_error = true, .stale_after = 200};
    struct lsq_conn *conn = open_replica(&strict);
    struct lsq_stmt *stmt;
    struct told told;
    bool end = false;

    (void)state;
    run(conn, "INSERT INTO t VALUES (2, 'y')");
    sqld_pause(&sqld);
    told_begin(&told);
    stmt = cursor(conn, 1);
    assert_int_equal(lsq_stmt_fetch(stmt, 9, NULL, &sink, &told, &end, &last_error), LSQ_STALE);
    assert_false(end);
    sqld_resume(&sqld);
    for (int i = 0; lsq_stmt_fetch(stmt, 9, NULL, &sink, &told, &end, &last_error) != LSQ_OK; i++)
        assert_true(last_error.status == LSQ_STALE && i < 100);
    expect_told(&told, "1 2 ");
    assert_true(end);
    lsq_stmt_free(stmt);
    told_end(&told);
    db_close(conn);
    db_close(server);
}

/* ---- Memory ---- */

static enum lsq_status copied(const struct lsqi_again *again) {
    struct lsqi_again copy;
    enum lsq_status st = lsqi_again_copy(&copy, again, &last_error);

    lsqi_again_release(&copy);
    return st;
}

static void a_copy_that_finds_no_memory_leaves_nothing(void **state) {
    struct lsq_value values[] = {lsq_text("text", 4), lsq_null()};
    struct lsq_name names[] = {{.text = ":a", .len = 2}, {.text = ":b", .len = 2}};
    struct lsq_params params = {.values = values, .names = names, .count = 2};
    struct lsq_batch_item items[] = {{.sql = "SELECT 1", .len = 8, .params = params},
                                     {.sql = "SELECT 2", .len = 8}};
    struct numbers numbers;
    struct lsqi_again all = {.sql = "SELECT 3",
                             .len = 8,
                             .params = &params,
                             .items = items,
                             .count = 2,
                             .next = next_number,
                             .next_ctx = &numbers};
    struct lsq_memory before;
    struct lsq_memory after;
    enum lsq_status st;
    int budget = -1;

    (void)state;
    lsq_memory(&before);
    do {
        numbers = (struct numbers){.next = 0, .last = 20};
        lsq_memory_set_budget(++budget);
        st = copied(&all);
        lsq_memory_set_budget(-1);
        assert_true(st == LSQ_OK || st == LSQ_NOMEM);
        lsq_memory(&after);
        assert_int_equal(after.blocks, before.blocks);
    } while (st != LSQ_OK);
    assert_true(budget > 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_that_finds_no_memory_leaves_nothing),
        cmocka_unit_test_teardown(what_runs_several_waits_for_the_file, forget),
        cmocka_unit_test_teardown(it_waits_on_no_thread, forget),
        cmocka_unit_test_teardown(what_waits_in_vain_is_an_error_or_the_primarys, forget),
        cmocka_unit_test_teardown(who_comes_when_another_gives_up_waits_by_itself, forget),
        cmocka_unit_test_teardown(a_bad_row_of_parameters_is_told_before_it_waits, forget),
        cmocka_unit_test_teardown(who_is_called_off_as_he_begins_does_not_wait, forget),
        cmocka_unit_test_teardown(a_cursor_that_waits_in_vain_is_opened_at_the_primary, forget),
        cmocka_unit_test_teardown(a_cursor_that_is_stale_can_be_fetched_again, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
