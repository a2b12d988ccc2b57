/* Connections that share a WebSocket: servers that end, statements that do not, tokens, many threads. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "../support/server.h"
#include "../support/sqld.h"
#include "remote/talk.h"

static struct sqld sqld;

static struct lsq_conn *connect_as(const struct lsq_remote *remote) {
    struct lsq_config cfg;
    struct lsq_conn *conn;
    char url[256];

    snprintf(url, sizeof(url), "ws%s", sqld.url + 4);
    lsq_config_init(&cfg);
    cfg.path = url;
    cfg.remote = remote;
    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
    return conn;
}

static struct lsq_conn *connect_to(void) { return connect_as(NULL); }

static int64_t cpu_ticks(void) {
    char path[64];
    char text[1024];
    unsigned long user = 0;
    unsigned long system = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)sqld.pid);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    assert_int_equal(sscanf(strrchr(text, ')'),
                            ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                            &system),
                     2);
    return (int64_t)(user + system);
}

/* What nobody waits for any more ends on the server, too, and takes nothing of what others have along. */
static void a_statement_that_is_left_ends(void **state) {
    const struct lsq_call hurry = {.timeout = 300};
    struct lsq_conn *conn;
    struct lsq_conn *other;
    bool idle = false;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    other = connect_to();
    run(conn, "CREATE TABLE t (a)");
    run(other, "BEGIN IMMEDIATE");
    run(other, "INSERT INTO t VALUES (1)");
    assert_int_equal(exec(conn, LONG_QUERY, NULL, &hurry, NULL), LSQ_TIMEOUT);
    assert_int_equal(ask(conn, "SELECT 7"), 7);
    run(other, "INSERT INTO t VALUES (2)");
    run(other, "COMMIT");
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 2);
    for (int i = 0; i < 300 && !idle; i++) {
        int64_t before = cpu_ticks();

        sleep_ms(200);
        idle = cpu_ticks() - before < 5;
    }
    assert_true(idle);
    db_close(other);
    db_close(conn);
    sqld_kill(&sqld);
}

static void an_interrupt_leaves_the_others_alone(void **state) {
    struct later later = {.fn = interrupt_conn, .ms = 200};
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    run(conn, "CREATE TABLE t (a)");
    later.arg = conn;
    later_begin(&later);
    expect(LSQ_INTERRUPTED, conn, LONG_QUERY);
    later_join(&later);
    assert_int_equal(ask(conn, "SELECT 7"), 7);
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (1)");
    later_begin(&later);
    expect(LSQ_INTERRUPTED, conn, LONG_QUERY);
    later_join(&later);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_NO_TRANSACTION);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    db_close(conn);
    sqld_kill(&sqld);
}

static void a_transaction_ends_with_its_socket(void **state) {
    struct lsq_conn *conn;
    struct lsq_conn *other;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    other = connect_to();
    run(conn, "CREATE TABLE t (a)");
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (1)");
    sqld_restart(&sqld);
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 0);
    assert_int_equal(exec(conn, "INSERT INTO t VALUES (2)", NULL, NULL, NULL), LSQ_STREAM_EXPIRED);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    run(conn, "ROLLBACK");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    run(conn, "INSERT INTO t VALUES (3)");
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 1);
    db_close(other);
    db_close(conn);
    sqld_kill(&sqld);
}

/* A stream that is open knows the schema as it was. */
static void the_schema_is_as_it_is_now(void **state) {
    struct lsq_conn *conn;
    struct lsq_conn *other;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    other = connect_to();
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES (1)");
    run(other, "BEGIN");
    assert_int_equal(ask(conn, "SELECT * FROM t"), 1); /* a stream of its own */
    run(other, "ALTER TABLE t ADD COLUMN b DEFAULT 2");
    run(other, "COMMIT");
    for (int i = 0; i < 3; i++) assert_string_equal(ask_rows(conn, "SELECT * FROM t"), "1,2");
    run(conn, "BEGIN");
    assert_string_equal(ask_rows(other, "SELECT * FROM t"), "1,2");
    run(conn, "ALTER TABLE t DROP COLUMN b");
    run(conn, "COMMIT");
    assert_string_equal(ask_rows(other, "SELECT t.* FROM t"), "1");
    assert_string_equal(ask_rows(conn, "SELECT a * 2 FROM t"), "2");
    run(other, "BEGIN");
    assert_string_equal(ask_rows(other, "SELECT * FROM t"), "1");
    run(other, "COMMIT");
    db_close(other);
    db_close(conn);
    sqld_kill(&sqld);
}

static void nothing_of_a_call_is_left_to_the_next(void **state) {
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY)");
    run(conn, "INSERT INTO t VALUES (41)");
    assert_int_equal(ask(conn, "SELECT last_insert_rowid()"), 0);
    run(conn, "PRAGMA foreign_keys = OFF");
    assert_int_equal(ask(conn, "PRAGMA foreign_keys"), 1);
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO t VALUES (41)");
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_OK);
    db_close(conn);
    sqld_kill(&sqld);
}

enum { CALLERS = 24 };

static void on_counted(void *arg, enum lsq_status st, const struct lsq_error *err) {
    (void)err;
    if (st == LSQ_OK) atomic_fetch_add((atomic_int *)arg, 1);
}

/* Streams that nobody uses, as many as there may be, give way to one that nothing was run in. */
static void a_new_stream_is_to_be_had(void **state) {
    static const char slow[] = "SELECT count(*) FROM generate_series(1, 2000000)";
    const struct lsq_call call = {.timeout = 30000};
    struct lsq_conn *conns[CALLERS];
    atomic_int served = 0;
    struct lsq_call begun = {.done = on_counted, .done_arg = &served};

    (void)state;
    sqld_start(&sqld, NULL);
    for (int i = 0; i < CALLERS; i++) conns[i] = connect_to();
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(exec(conns[i], slow, NULL, &begun, NULL), LSQ_PENDING);
    for (int i = 0; i < 6000 && atomic_load(&served) < CALLERS; i++) sleep_ms(10);
    assert_int_equal(atomic_load(&served), CALLERS);
    for (int i = 0; i < 3; i++)
        if (exec(conns[0], "SELECT last_insert_rowid()", NULL, &call, NULL) != LSQ_OK)
            fail_msg("%s", last_error.message);
    for (int i = 0; i < CALLERS; i++) db_close(conns[i]);
    sqld_kill(&sqld);
}

static void tokens_have_sockets_of_their_own(void **state) {
    const struct lsq_remote first = {.token = "one"};
    struct lsqi_talk_figures before;
    struct lsqi_talk_figures after;
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_as(&first);
    lsqi_talk_figures(&before);
    run(conn, "CREATE TABLE t (a)");
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (1)");
    assert_int_equal(lsq_conn_set_token(conn, "two", &last_error), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (2)");
    run(conn, "COMMIT");
    lsqi_talk_figures(&after);
    assert_int_equal(after.sockets - before.sockets, 1);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 2);
    lsqi_talk_figures(&after);
    assert_int_equal(after.sockets - before.sockets, 2);
    db_close(conn);
    sqld_kill(&sqld);
}

static void a_bad_token_is_refused(void **state) {
    char key[160];
    const char *const args[] = {"--auth-jwt-key-file", key, NULL};
    const struct lsq_remote bad = {.token = "a.b.c"};
    struct lsq_conn *conn;
    FILE *file;

    (void)state;
    snprintf(key, sizeof(key), "%s", db_path());
    file = fopen(key, "w");
    assert_non_null(file);
    /* RFC 8037's key */
    fputs("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", file);
    fclose(file);
    sqld_start(&sqld, args);
    conn = connect_as(&bad);
    expect(LSQ_UNAUTHORIZED, conn, "SELECT 1");
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    expect(LSQ_UNAUTHORIZED, conn, "CREATE TABLE t (a)");
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    db_close(conn);
    conn = connect_to();
    expect(LSQ_UNAUTHORIZED, conn, "SELECT 1");
    db_close(conn);
    sqld_kill(&sqld);
}

/* ---- Many threads ---- */

enum { THREADS = 64, ROUNDS = 12 };

struct worker {
    pthread_t thread;
    struct lsq_conn *conn;
    int number;
    int written[ROUNDS]; /* 1: the server said so; 0: it said no; -1: nobody knows */
    int failures;
};

static atomic_int go_on;

static void *work(void *arg) {
    struct worker *worker = arg;

    for (int i = 0; i < ROUNDS; i++) {
        struct lsq_error err = {.status = LSQ_OK};
        struct lsq_value value = lsq_int(worker->number * 1000 + i);
        struct lsq_params params = {.values = &value, .count = 1};
        static const char insert[] = "INSERT INTO t (id) VALUES (?)";
        bool txn = i % 3 == 0;
        enum lsq_status st = txn ? lsq_begin(worker->conn, LSQ_TXN_IMMEDIATE, NULL, &err) : LSQ_OK;

        if (st == LSQ_OK)
            st = lsq_exec(worker->conn, insert, sizeof(insert) - 1, &params, NULL, NULL, NULL, NULL,
                          &err);
        if (st == LSQ_OK && txn) st = lsq_commit(worker->conn, NULL, &err);
        worker->written[i] = st == LSQ_OK ? 1 : err.outcome == LSQ_OUTCOME_NONE ? 0 : -1;
        if (st != LSQ_OK) worker->failures++;
        if (st != LSQ_OK && txn) (void)lsq_rollback(worker->conn, NULL, NULL);
        (void)lsq_exec(worker->conn, "SELECT count(*) FROM t", 22, NULL, NULL, NULL, NULL, NULL,
                       NULL);
    }
    atomic_fetch_sub(&go_on, 1);
    return NULL;
}

static struct worker workers[THREADS];

static void start_workers(void) {
    memset(workers, 0, sizeof(workers));
    atomic_store(&go_on, THREADS);
    for (int i = 0; i < THREADS; i++) {
        workers[i].number = i + 1;
        workers[i].conn = connect_to();
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
}

/* What the server said is what there is. */
static void check_workers(struct lsq_conn *conn) {
    int failures = 0;

    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        failures += workers[i].failures;
    }
    for (int i = 0; i < THREADS; i++) {
        for (int n = 0; n < ROUNDS; n++) {
            char sql[80];
            int64_t there;

            snprintf(sql, sizeof(sql), "SELECT count(*) FROM t WHERE id = %d",
                     workers[i].number * 1000 + n);
            there = ask(conn, sql);
            if (workers[i].written[n] >= 0 && there != workers[i].written[n])
                fail_msg("worker %d, round %d: told %d, there %d", i, n, workers[i].written[n],
                         (int)there);
        }
        db_close(workers[i].conn);
    }
    printf("%d of %d failed\n", failures, THREADS * ROUNDS);
}

static void many_threads_share_one(void **state) {
    struct lsqi_talk_figures before;
    struct lsqi_talk_figures after;
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    lsqi_talk_figures(&before);
    run(conn, "CREATE TABLE t (id INTEGER)");
    start_workers();
    check_workers(conn);
    lsqi_talk_figures(&after);
    assert_int_equal(after.sockets - before.sockets, 1);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), THREADS * ROUNDS);
    db_close(conn);
    sqld_kill(&sqld);
}

/* Soon; a machine that has much to do is given a minute. */
static bool answers(struct lsq_conn *conn) {
    for (int i = 0; i < 600; i++) {
        if (exec(conn, "SELECT 1", NULL, NULL, NULL) == LSQ_OK) return true;
        sleep_ms(100);
    }
    return false;
}

static void servers_die_under_load(void **state) {
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_to();
    run(conn, "CREATE TABLE t (id INTEGER)");
    start_workers();
    for (int i = 0; i < 3 && atomic_load(&go_on) > 0; i++) {
        sleep_ms(250);
        sqld_restart(&sqld);
    }
    assert_true(answers(conn));
    check_workers(conn);
    run(conn, "INSERT INTO t VALUES (-1)");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE id = -1"), 1);
    db_close(conn);
    sqld_kill(&sqld);
}

/* ---- Servers without ---- */

static void serve_http_only(struct peer *peer, void *arg) {
    atomic_int *upgrades = arg;
    static const char answer[] =
        "{\"baton\":null,\"base_url\":null,\"results\":[{\"type\":\"ok\",\"response\":{\"type\":"
        "\"execute\",\"result\":{\"cols\":[{\"name\":\"a\"}],\"rows\":[[{\"type\":\"integer\","
        "\"value\":\"5\"}]],\"affected_row_count\":0,\"last_insert_rowid\":null}}},{\"type\":"
        "\"ok\","
        "\"response\":{\"type\":\"close\"}}]}";

    while (peer_read(peer)) {
        if (strcasestr(peer->head, "upgrade: websocket") != NULL) {
            atomic_fetch_add(upgrades, 1);
            (void)peer_send_text(peer, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
            return;
        }
        if (!peer_answer(peer, answer, sizeof(answer) - 1)) return;
    }
}

static atomic_int refusals;

static void on_event(const struct lsq_server_event *event, void *arg) {
    (void)arg;
    if (event->kind == LSQ_SERVER_NO_SOCKET && event->ms == -1 &&
        event->why == LSQ_PROTOCOL_UNSUPPORTED)
        atomic_fetch_add(&refusals, 1);
}

static void http_serves_where_no_socket_does(void **state) {
    atomic_int upgrades = 0;
    struct server *server = server_start(serve_http_only, &upgrades);
    struct lsq_config cfg = db_config(NULL);
    struct lsq_conn *conn;
    char url[128];

    (void)state;
    snprintf(url, sizeof(url), "ws%s", server_url(server, "") + 4);
    cfg.path = url;
    lsq_on_server_event(on_event, NULL);
    assert_int_equal(lsq_conn_open(&conn, &cfg, &last_error), LSQ_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(ask(conn, "SELECT 5"), 5);
    assert_int_equal(atomic_load(&upgrades), 1);
    assert_int_equal(atomic_load(&refusals), 1);
    lsq_on_server_event(NULL, NULL);
    db_close(conn);
    server_stop(server);
}

static int forget(void **state) {
    sqld_kill(&sqld);
    return db_forget(state);
}

#define TEST(name) cmocka_unit_test_teardown(name, forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_statement_that_is_left_ends),
        TEST(an_interrupt_leaves_the_others_alone),
        TEST(a_transaction_ends_with_its_socket),
        TEST(the_schema_is_as_it_is_now),
        TEST(nothing_of_a_call_is_left_to_the_next),
        TEST(a_new_stream_is_to_be_had),
        TEST(tokens_have_sockets_of_their_own),
        TEST(a_bad_token_is_refused),
        TEST(many_threads_share_one),
        TEST(servers_die_under_load),
        TEST(http_serves_where_no_socket_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
