/* Replicas beside one another, and reads that wait for what was written: who waits, for whom, and what ends it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../support/db.h"
#include "../support/sqld.h"

static struct sqld sqld;

/* In memory that the next call overwrites, and nobody else. */
static const char *new_path(void) {
    static char path[256];

    snprintf(path, sizeof(path), "%s", db_path());
    return path;
}

enum { NO_RETRY = -1, ROUNDS = 100 };

static const struct lsq_remote quick = {.retry_time = NO_RETRY, .timeout = 10000};

static struct lsq_conn *open_replica(const char *path, const struct lsq_replica *replica) {
    struct lsq_config cfg = db_config(path);

    cfg.primary = sqld.url;
    cfg.remote = &quick;
    cfg.replica = replica;
    return db_open_as(&cfg);
}

static struct lsq_conn *begin_with(const char *sql) {
    struct lsq_config cfg;
    struct lsq_conn *server;

    sqld_start(&sqld, NULL);
    cfg = db_config(sqld.url);
    server = db_open_as(&cfg);
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    run(server, sql);
    return server;
}

static int forget(void **state) {
    lsq_on_replica_event(NULL, NULL);
    sqld_resume(&sqld);
    sqld_kill(&sqld);
    lsq_shutdown();
    return db_forget(state);
}

/* ---- One's own writes ---- */

static void what_one_connection_wrote_all_of_the_program_see(void **state) {
    const char *path = new_path();
    struct lsq_conn *server = begin_with("SELECT 1");
    struct lsq_conn *a = open_replica(path, NULL);
    struct lsq_conn *b = open_replica(path, NULL);
    struct lsq_replica_info info;
    char sql[64];

    (void)state;
    for (int i = 1; i <= ROUNDS; i++) {
        snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (%d, 'x')", i);
        run(i % 2 == 0 ? a : b, sql);
        if (i % 3 == 0) assert_int_equal(ask(a, "SELECT max(id) FROM t"), i);
        assert_int_equal(ask(b, "SELECT max(id) FROM t"), i);
        assert_int_equal(ask(a, "SELECT count(*) FROM t"), i);
    }
    assert_int_equal(lsq_replica_info(a, &info, &last_error), LSQ_OK);
    assert_true(info.written > 0 && info.index >= info.written);
    assert_int_equal(info.lag, 0);
    assert_int_equal(lsq_begin(a, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    run(a, "DELETE FROM t");
    assert_int_equal(ask(b, "SELECT count(*) FROM t"), ROUNDS);
    assert_int_equal(lsq_commit(a, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(b, "SELECT count(*) FROM t"), 0);
    db_close(server);
    db_close(a);
    db_close(b);
}

static void two_replicas_follow_one_primary(void **state) {
    static const struct lsq_replica often = {.sync_interval = 50};
    struct lsq_conn *server = begin_with("INSERT INTO t VALUES (1, 'x')");
    struct lsq_conn *a = open_replica(new_path(), NULL);
    struct lsq_conn *b = open_replica(new_path(), &often);
    struct lsq_sync_result result;

    (void)state;
    run(a, "INSERT INTO t VALUES (2, 'y')");
    for (int i = 0; ask(b, "SELECT count(*) FROM t") != 2 && i < 1000; i++) sleep_ms(10);
    assert_int_equal(ask(b, "SELECT count(*) FROM t"), 2);
    run(server, "CREATE TABLE u AS SELECT * FROM t");
    run(b, "INSERT INTO u VALUES (3, 'z')");
    assert_int_equal(lsq_sync(a, NULL, &result, &last_error), LSQ_OK);
    assert_true(result.frames > 0 && result.bytes > 0 && result.index > 0);
    sqld_kill(&sqld);
    assert_int_equal(ask(a, "SELECT count(*) FROM u"), 3);
    db_close(server);
    db_close(a);
    db_close(b);
}

static void a_sync_up_to_what_is_there_asks_nobody(void **state) {
    struct lsq_conn *server = begin_with("INSERT INTO t VALUES (1, 'x')");
    struct lsq_conn *replica = open_replica(new_path(), NULL);
    struct lsq_sync_result result;
    struct lsq_replica_info info;

    (void)state;
    assert_int_equal(lsq_replica_info(replica, &info, &last_error), LSQ_OK);
    assert_true(info.index > 0);
    sqld_kill(&sqld);
    assert_int_equal(lsq_sync_until(replica, info.index, NULL, &result, &last_error), LSQ_OK);
    assert_int_equal(result.index, info.index);
    assert_int_equal(lsq_sync_until(replica, info.index + 1, NULL, &result, &last_error),
                     LSQ_UNREACHABLE);
    assert_int_equal(lsq_sync_until(replica, -1, NULL, &result, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_sync(replica, NULL, NULL, &last_error), LSQ_UNREACHABLE);
    assert_int_equal(lsq_replica_info(replica, &info, &last_error), LSQ_OK);
    assert_true(info.failures > 0);
    assert_int_equal(info.last_error.status, LSQ_UNREACHABLE);
    assert_int_equal(lsq_sync(server, NULL, NULL, &last_error), LSQ_UNSUPPORTED);
    assert_int_equal(lsq_replica_info(server, &info, &last_error), LSQ_UNSUPPORTED);
    db_close(server);
    db_close(replica);
}

/* ---- What the file cannot have ---- */

static atomic_int stale_events;

static void on_event(const struct lsq_replica_event *event, void *arg) {
    (void)arg;
    if (event->kind == LSQ_REPLICA_STALE) atomic_fetch_add(&stale_events, 1);
}

static void a_read_behind_its_writes_is_the_primarys_or_an_error(void **state) {
    static const struct lsq_replica strict = {.stale_is_error = true};
    static const struct lsq_replica stale = {.stale_reads = true};
    const char *path = new_path();
    struct lsq_conn *server = begin_with("INSERT INTO t VALUES (1, 'x')");
    struct lsq_conn *usual = open_replica(path, NULL);
    struct lsq_conn *fails = open_replica(path, &strict);
    struct lsq_conn *any = open_replica(path, &stale);

    (void)state;
    atomic_store(&stale_events, 0);
    lsq_on_replica_event(on_event, NULL);
    run(usual, "INSERT INTO t VALUES (2, 'y')");
    sqld_kill(&sqld);
    assert_int_equal(ask(any, "SELECT count(*) FROM t"), 1);
    expect(LSQ_STALE, fails, "SELECT count(*) FROM t");
    assert_true(last_error.transient);
    assert_int_equal(lsq_begin(fails, LSQ_TXN_READ, NULL, NULL), LSQ_STALE);
    assert_int_equal(atomic_load(&stale_events), 0);
    expect(LSQ_UNREACHABLE, usual, "SELECT count(*) FROM t");
    assert_int_equal(atomic_load(&stale_events), 1);
    sqld_restart(&sqld);
    assert_int_equal(ask(fails, "SELECT count(*) FROM t"), 2);
    assert_int_equal(ask(usual, "SELECT count(*) FROM t"), 2);
    assert_int_equal(ask(any, "SELECT count(*) FROM t"), 2);
    db_close(server);
    db_close(usual);
    db_close(fails);
    db_close(any);
}

/* ---- Without a thread ---- */

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t told;
    int count;
    enum lsq_status st;
    struct lsq_error err;
    struct lsq_reply reply;
    struct lsq_result *rows;
};

static void answer_begin(struct answer *answer) {
    *answer = (struct answer){.count = 0};
    pthread_mutex_init(&answer->lock, NULL);
    pthread_cond_init(&answer->told, NULL);
    assert_int_equal(lsq_result_new(&answer->rows, NULL), LSQ_OK);
}

static void answer_end(struct answer *answer) {
    lsq_result_free(answer->rows);
    pthread_cond_destroy(&answer->told);
    pthread_mutex_destroy(&answer->lock);
}

static void on_done(void *arg, enum lsq_status st, const struct lsq_error *err) {
    struct answer *answer = arg;

    pthread_mutex_lock(&answer->lock);
    answer->count++;
    answer->st = st;
    if (st != LSQ_OK) answer->err = *err;
    pthread_cond_signal(&answer->told);
    pthread_mutex_unlock(&answer->lock);
}

static enum lsq_status await(struct answer *answer) {
    enum lsq_status st;

    pthread_mutex_lock(&answer->lock);
    while (answer->count == 0) pthread_cond_wait(&answer->told, &answer->lock);
    assert_int_equal(answer->count, 1);
    st = answer->st;
    pthread_mutex_unlock(&answer->lock);
    return st;
}

static enum lsq_status begin_read(struct lsq_conn *conn, struct answer *answer, int timeout) {
    const struct lsq_call call = {.done = on_done, .done_arg = answer, .timeout = timeout};
    char sql[64];
    char text[2] = "x";
    enum lsq_status st;

    strcpy(sql, "SELECT count(*), ?1 FROM t");
    st = lsq_exec(conn, sql, strlen(sql), LSQ_PARAMS(lsq_text(text, 1)), &call, lsq_result_sink(),
                  answer->rows, &answer->reply, &last_error);
    memset(sql, '?', sizeof(sql)); /* they need not stay */
    text[0] = '?';
    return st;
}

static void a_read_that_waits_takes_no_thread(void **state) {
    const char *path = new_path();
    struct lsq_conn *server = begin_with("INSERT INTO t VALUES (1, 'x')");
    struct lsq_conn *replica = open_replica(path, NULL);
    const struct lsq_call quick_call = {.flags = LSQ_CALL_TRY};
    struct answer answer;

    (void)state;
    assert_true(becomes_fast(replica, "SELECT a FROM t WHERE id = 1"));
    run(replica, "INSERT INTO t VALUES (2, 'y')");
    assert_int_equal(exec(replica, "SELECT a FROM t WHERE id = 1", NULL, &quick_call, NULL),
                     LSQ_WOULD_BLOCK);
    answer_begin(&answer);
    assert_int_equal(begin_read(replica, &answer, 0), LSQ_PENDING);
    assert_int_equal(await(&answer), LSQ_OK);
    assert_int_equal(lsq_result_int(answer.rows, 0, 0), 2);
    assert_string_equal(lsq_result_text(answer.rows, 0, 1), "x");
    answer_end(&answer);
    /* Now the file has it: it is read at once. */
    answer_begin(&answer);
    assert_int_equal(begin_read(replica, &answer, 0), LSQ_OK);
    assert_int_equal(answer.count, 0);
    answer_end(&answer);
    db_close(server);
    db_close(replica);
}

static void a_read_that_waits_ends_by_time_interrupt_and_close(void **state) {
    const char *path = new_path();
    struct lsq_conn *server = begin_with("INSERT INTO t VALUES (1, 'x')");
    static const struct lsq_replica strict = {.stale_is_error = true, .stale_after = 60000};
    struct lsq_conn *replica = open_replica(path, &strict);
    struct answer answer;
    int64_t since;

    (void)state;
    run(replica, "INSERT INTO t VALUES (2, 'y')");
    sqld_pause(&sqld);
    answer_begin(&answer);
    since = now_ns();
    assert_int_equal(begin_read(replica, &answer, 600), LSQ_PENDING);
    assert_int_equal(await(&answer), LSQ_STALE);
    assert_true(now_ns() - since < 30 * INT64_C(1000000000));
    answer_end(&answer);
    answer_begin(&answer);
    assert_int_equal(begin_read(replica, &answer, 0), LSQ_PENDING);
    since = now_ns();
    lsq_conn_interrupt(replica);
    assert_int_equal(await(&answer), LSQ_INTERRUPTED);
    assert_true(now_ns() - since < 20 * INT64_C(1000000000));
    answer_end(&answer);
    answer_begin(&answer);
    assert_int_equal(begin_read(replica, &answer, 0), LSQ_PENDING);
    lsq_conn_close(replica, NULL, NULL);
    assert_int_equal(await(&answer), LSQ_INTERRUPTED);
    answer_end(&answer);
    sqld_resume(&sqld);
    db_close(server);
    db_close(replica);
}

/* What is freed while its call waits is there until that has ended. */
static void a_statement_may_be_discarded_while_it_waits(void **state) {
    struct lsq_conn *server = begin_with("INSERT INTO t VALUES (1, 'x')");
    struct lsq_conn *replica = open_replica(new_path(), NULL);

    (void)state;
    for (int i = 2; i < 20; i++) {
        struct lsq_stmt *stmt;
        struct answer answer;
        const struct lsq_call call = {.done = on_done, .done_arg = &answer};
        char sql[64];

        assert_int_equal(
            lsq_stmt_new(&stmt, replica, "SELECT count(*) FROM t", 22, NULL, &last_error), LSQ_OK);
        snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (%d, 'y')", i);
        run(replica, sql);
        answer_begin(&answer);
        assert_int_equal(lsq_stmt_exec(stmt, NULL, &call, lsq_result_sink(), answer.rows,
                                       &answer.reply, &last_error),
                         LSQ_PENDING);
        lsq_stmt_discard(stmt);
        assert_int_equal(await(&answer), LSQ_OK);
        assert_int_equal(lsq_result_int(answer.rows, 0, 0), i);
        answer_end(&answer);
    }
    db_close(server);
    db_close(replica);
}

static void a_connection_may_be_freed_while_it_waits(void **state) {
    const char *path = new_path();
    struct lsq_conn *server = begin_with("INSERT INTO t VALUES (1, 'x')");
    struct lsq_conn *stays = open_replica(path, NULL);

    (void)state;
    for (int i = 2; i < ROUNDS; i++) {
        struct lsq_conn *goes = open_replica(path, NULL);
        struct answer answer;
        enum lsq_status st;
        char sql[64];

        snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (%d, 'y')", i);
        run(stays, sql);
        answer_begin(&answer);
        st = begin_read(goes, &answer, 0);
        if (i % 4 != 0) sleep_ms(i % 4);
        lsq_conn_free(goes);
        if (st == LSQ_PENDING) st = await(&answer);
        assert_true(st == LSQ_OK || st == LSQ_CLOSED || st == LSQ_INTERRUPTED);
        answer_end(&answer);
    }
    db_close(server);
    db_close(stays);
}

/* ---- Many ---- */

struct worker {
    pthread_t thread;
    const char *path;
    int number;
    int failures;
};

static void *write_and_read(void *arg) {
    struct worker *worker = arg;
    struct lsq_conn *conn = open_replica(worker->path, NULL);
    char sql[96];

    for (int i = 0; i < ROUNDS / 4; i++) {
        int id = worker->number * ROUNDS + i;

        snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (%d, 'x')", id);
        run(conn, sql);
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM t WHERE id = %d", id);
        if (ask(conn, sql) != 1) worker->failures++;
    }
    db_close(conn);
    return NULL;
}

static void each_of_many_sees_its_own(void **state) {
    enum { WORKERS = 4 };
    struct worker workers[WORKERS];
    const char *path = new_path();
    struct lsq_conn *server = begin_with("SELECT 1");

    (void)state;
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.path = path, .number = i};
        pthread_create(&workers[i].thread, NULL, write_and_read, &workers[i]);
    }
    for (int i = 0; i < WORKERS; i++) pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < WORKERS; i++) assert_int_equal(workers[i].failures, 0);
    db_close(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_one_connection_wrote_all_of_the_program_see, forget),
        cmocka_unit_test_teardown(two_replicas_follow_one_primary, forget),
        cmocka_unit_test_teardown(a_sync_up_to_what_is_there_asks_nobody, forget),
        cmocka_unit_test_teardown(a_read_behind_its_writes_is_the_primarys_or_an_error, forget),
        cmocka_unit_test_teardown(a_read_that_waits_takes_no_thread, forget),
        cmocka_unit_test_teardown(a_read_that_waits_ends_by_time_interrupt_and_close, forget),
        cmocka_unit_test_teardown(a_statement_may_be_discarded_while_it_waits, forget),
        cmocka_unit_test_teardown(a_connection_may_be_freed_while_it_waits, forget),
        cmocka_unit_test_teardown(each_of_many_sees_its_own, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
