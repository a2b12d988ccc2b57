/* Servers that do not answer, and calls that do not wait. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "../support/sqld.h"
#include "net/http.h"

static struct lsq_conn *connect_to(const struct sqld *sqld, const struct lsq_remote *remote) {
    struct lsq_config cfg;
    struct lsq_conn *conn;

    lsq_config_init(&cfg);
    cfg.path = sqld->url;
    cfg.remote = remote;
    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
    return conn;
}

static void fill(const struct sqld *sqld, const char *name) {
    struct lsq_conn *conn = connect_to(sqld, NULL);
    char sql[100];

    run(conn, "CREATE TABLE t (name TEXT)");
    snprintf(sql, sizeof(sql), "INSERT INTO t VALUES ('%s')", name);
    run(conn, sql);
    db_close(conn);
}

static bool becomes(struct lsq_conn *conn, const char *name) {
    for (int i = 0; i < 1200; i++) {
        struct lsq_result *res;
        bool equal = false;

        if (lsq_query(&res, conn, "SELECT name FROM t", NULL, NULL) == LSQ_OK) {
            equal = strcmp(lsq_result_text(res, 0, 0), name) == 0;
            lsq_result_free(res);
        }
        if (equal) return true;
        sleep_ms(50);
    }
    return false;
}

static void reads_go_elsewhere_while_the_primary_is_away(void **state) {
    struct sqld primary;
    struct sqld replica;
    const char *replicas[1];
    struct lsq_remote remote = {.replicas = replicas, .replica_count = 1};
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&primary, NULL);
    sqld_start(&replica, NULL);
    replicas[0] = replica.url;
    fill(&primary, "primary");
    fill(&replica, "replica");
    conn = connect_to(&primary, &remote);
    assert_string_equal(ask_text(conn, "SELECT name FROM t"), "primary");
    sqld_kill(&primary);
    assert_string_equal(ask_text(conn, "SELECT name FROM t"), "replica");
    expect(LSQ_UNREACHABLE, conn, "INSERT INTO t VALUES ('x')");
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    assert_true(last_error.transient);
    assert_string_equal(ask_text(conn, "SELECT name FROM t"), "replica");
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_UNREACHABLE);
    sqld_restart(&primary);
    assert_true(becomes(conn, "primary"));
    run(conn, "UPDATE t SET name = 'changed'");
    assert_string_equal(ask_text(conn, "SELECT name FROM t"), "changed");
    db_close(conn);
    sqld_kill(&primary);
    sqld_kill(&replica);
}

static void replicas_may_be_read_always(void **state) {
    struct sqld primary;
    struct sqld replica;
    const char *replicas[1];
    struct lsq_remote remote = {.replicas = replicas, .replica_count = 1, .read_replicas = true};
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&primary, NULL);
    sqld_start(&replica, NULL);
    replicas[0] = replica.url;
    fill(&primary, "primary");
    fill(&replica, "replica");
    conn = connect_to(&primary, &remote);
    assert_string_equal(ask_text(conn, "SELECT name FROM t"), "replica");
    run(conn, "UPDATE t SET name = 'new'");
    run(conn, "BEGIN");
    assert_string_equal(ask_text(conn, "SELECT name FROM t"), "new");
    run(conn, "COMMIT");
    assert_string_equal(ask_text(conn, "SELECT name FROM t"), "replica");
    sqld_kill(&replica);
    assert_string_equal(ask_text(conn, "SELECT name FROM t"), "new");
    db_close(conn);
    sqld_kill(&primary);
}

static void wrong_configurations_are_refused(void **state) {
    static const char *const urls[] = {"http://",      "http:///x",    "http://a b/",
                                       "libsql://h#x", "http://u:p@h", "http://h?x=1"};
    static const char *const replicas[] = {"nowhere"};
    const struct lsq_remote remotes[] = {
        {.token = ""},
        {.token = "a\nb"},
        {.namespace_ = "a.b"},
        {.connect_timeout = -1},
        {.replicas = replicas, .replica_count = 1},
        {.replica_count = 9},
    };
    struct lsq_config cfg = db_config("http://127.0.0.1:1");

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct lsq_config one = db_config(urls[i]);

        assert_int_equal(db_try(&one), LSQ_BAD_ARGUMENT);
    }
    for (size_t i = 0; i < sizeof(remotes) / sizeof(remotes[0]); i++) {
        cfg.remote = &remotes[i];
        assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
    }
}

static void a_server_that_says_nothing_is_waited_for_in_vain(void **state) {
    const struct lsq_call call = {.timeout = 300};
    struct sqld sqld;
    struct lsq_conn *conn;
    int64_t start;

    (void)state;
    sqld_start(&sqld, NULL);
    fill(&sqld, "a");
    conn = connect_to(&sqld, NULL);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    sqld_pause(&sqld);
    start = now_ns();
    assert_int_equal(exec(conn, "DELETE FROM t", NULL, &call, NULL), LSQ_TIMEOUT);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE); /* the transaction is not committed */
    assert_int_equal(exec(conn, "DELETE FROM t", NULL, &call, NULL), LSQ_TIMEOUT);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_UNKNOWN);
    assert_true(now_ns() - start < 20000000000);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_NO_TRANSACTION);
    sqld_resume(&sqld);
    assert_true(ask(conn, "SELECT count(*) FROM t") <= 1);
    db_close(conn);
    sqld_kill(&sqld);
}

static void *interrupt_later(void *arg) {
    sleep_ms(100);
    lsq_conn_interrupt(arg);
    return NULL;
}

static void *close_later(void *arg) {
    sleep_ms(100);
    lsq_conn_close(arg, NULL, NULL);
    return NULL;
}

static void a_call_can_be_called_off(void **state) {
    void *(*const ways[])(void *arg) = {interrupt_later, close_later};
    struct sqld sqld;

    (void)state;
    sqld_start(&sqld, NULL);
    fill(&sqld, "a");
    for (int i = 0; i < 2; i++) {
        struct lsq_conn *conn = connect_to(&sqld, NULL);
        pthread_t thread;

        sqld_pause(&sqld);
        assert_int_equal(pthread_create(&thread, NULL, ways[i], conn), 0);
        expect(LSQ_INTERRUPTED, conn, "SELECT name FROM t");
        pthread_join(thread, NULL);
        sqld_resume(&sqld);
        if (i == 0) assert_string_equal(ask_text(conn, "SELECT name FROM t"), "a");
        db_close(conn);
    }
    sqld_kill(&sqld);
}

enum { CONNS = 40, CALLS = 10 };

struct client {
    struct lsq_conn *conn;
    struct lsq_reply reply;
    int left;
};

static atomic_int running;
static atomic_int failures;

static void begin_call(struct client *client);

static void on_done(void *arg, enum lsq_status status, const struct lsq_error *err) {
    struct client *client = arg;

    (void)err;
    if (status != LSQ_OK || client->reply.changes != 1) atomic_fetch_add(&failures, 1);
    if (--client->left > 0)
        begin_call(client);
    else
        atomic_fetch_sub(&running, 1);
}

static void begin_call(struct client *client) {
    static const char sql[] = "INSERT INTO t VALUES (?1)";
    const struct lsq_call call = {.done = on_done, .done_arg = client};

    if (lsq_exec(client->conn, sql, sizeof(sql) - 1, LSQ_PARAMS(lsq_int(client->left)), &call, NULL,
                 NULL, &client->reply, NULL) == LSQ_PENDING)
        return;
    atomic_fetch_add(&failures, 1);
    atomic_fetch_sub(&running, 1);
}

static void calls_need_no_thread(void **state) {
    static struct client clients[CONNS];
    struct sqld sqld;
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    fill(&sqld, "a");
    atomic_store(&running, CONNS);
    for (int i = 0; i < CONNS; i++) {
        clients[i] = (struct client){.conn = connect_to(&sqld, NULL), .left = CALLS};
        begin_call(&clients[i]);
    }
    for (int i = 0; i < 6000 && atomic_load(&running) > 0; i++) sleep_ms(10);
    assert_int_equal(atomic_load(&running), 0);
    assert_int_equal(atomic_load(&failures), 0);
    conn = connect_to(&sqld, NULL);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1 + CONNS * CALLS);
    db_close(conn);
    for (int i = 0; i < CONNS; i++) db_close(clients[i].conn);
    sqld_kill(&sqld);
}

/* More writers than requests that may be under way: who has the lock must not stand behind those who wait for it. */
static void *write_in_transactions(void *arg) {
    struct lsq_conn *conn = connect_to(arg, NULL);

    for (int i = 0; i < 3; i++) {
        if (lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, NULL) == LSQ_OK &&
            lsq_exec(conn, "INSERT INTO t VALUES ('w')", 26, NULL, NULL, NULL, NULL, NULL, NULL) ==
                LSQ_OK &&
            lsq_commit(conn, NULL, NULL) == LSQ_OK)
            continue;
        atomic_fetch_add(&failures, 1);
        (void)lsq_rollback(conn, NULL, NULL);
    }
    db_close(conn);
    return NULL;
}

static void many_writers_do_not_stop_one_another(void **state) {
    enum { WRITERS = 64 };
    pthread_t threads[WRITERS];
    struct sqld sqld;
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    fill(&sqld, "a");
    atomic_store(&failures, 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_in_transactions, &sqld), 0);
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
    conn = connect_to(&sqld, NULL);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1 + 3 * WRITERS);
    db_close(conn);
    sqld_kill(&sqld);
}

/* Nor is a server away that has much to do. */
static void who_waits_in_line_says_nothing_of_the_server(void **state) {
    static const char endless[] = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) "
                                  "SELECT count(*) FROM c";
    static struct client clients[LSQI_HTTP_AT_ONCE + 8];
    const struct lsq_remote once = {.retry_time = -1};
    struct sqld sqld;
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    for (int i = 0; i < LSQI_HTTP_AT_ONCE + 8; i++) {
        bool waits = i >= LSQI_HTTP_AT_ONCE;
        const struct lsq_call call = {
            .timeout = waits ? 300 : 1500, .done = on_done, .done_arg = &clients[i]};
        const char *sql = waits ? "SELECT 1" : endless;

        clients[i] = (struct client){.conn = connect_to(&sqld, NULL), .left = 1};
        atomic_fetch_add(&running, 1);
        assert_int_equal(lsq_exec(clients[i].conn, sql, strlen(sql), NULL, &call, NULL, NULL,
                                  &clients[i].reply, NULL),
                         LSQ_PENDING);
    }
    for (int i = 0; i < 6000 && atomic_load(&running) > LSQI_HTTP_AT_ONCE; i++) sleep_ms(10);
    conn = connect_to(&sqld, &once);
    assert_int_equal(ask(conn, "SELECT 7"), 7);
    for (int i = 0; i < 6000 && atomic_load(&running) > 0; i++) sleep_ms(10);
    assert_int_equal(atomic_load(&running), 0);
    db_close(conn);
    for (int i = 0; i < LSQI_HTTP_AT_ONCE + 8; i++) db_close(clients[i].conn);
    sqld_kill(&sqld);
}

static atomic_int downs;
static atomic_int ups;

static void on_event(const struct lsq_server_event *event, void *arg) {
    (void)arg;
    if (event->kind == LSQ_SERVER_DOWN) atomic_fetch_add(&downs, 1);
    if (event->kind == LSQ_SERVER_UP) atomic_fetch_add(&ups, 1);
}

static void await_no_request(void) {
    struct lsqi_http_figures figures;

    for (int i = 0; i < 6000; i++) {
        lsqi_http_figures(&figures);
        if (figures.running == 0) return;
        sleep_ms(10);
    }
    fail_msg("requests: %d", (int)figures.running);
}

/* The last connection goes while a probe is under way, whose end then interests nobody. */
static void a_server_is_not_there_again_because_nobody_asks(void **state) {
    const struct lsq_remote once = {.retry_time = -1};
    const struct sqld nobody = {.port = free_port()};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sqld sqld = nobody;
        struct lsq_conn *conn;

        snprintf(sqld.url, sizeof(sqld.url), "http://127.0.0.1:%d", sqld.port);
        atomic_store(&downs, 0);
        atomic_store(&ups, 0);
        lsq_on_server_event(on_event, NULL);
        conn = connect_to(&sqld, &once);
        for (int n = 0; n < 6; n++) expect(LSQ_UNREACHABLE, conn, "SELECT 1");
        assert_int_equal(atomic_load(&downs), 1);
        db_close(conn);
        if (i == 0)
            await_no_request();
        else
            lsq_shutdown();
        assert_int_equal(atomic_load(&ups), 0);
        lsq_on_server_event(NULL, NULL);
    }
}

/* What belongs to a call that prepares, and is gone with its end. */
struct preparing {
    struct lsq_stmt *stmt;
    struct lsq_call call;
};

static void prepared(void *arg, enum lsq_status status, const struct lsq_error *err) {
    struct preparing *preparing = arg;

    (void)err;
    if (status != LSQ_OK || preparing->stmt == NULL) atomic_fetch_add(&failures, 1);
    lsq_stmt_discard(preparing->stmt);
    memset(preparing, 0, sizeof(*preparing));
    free(preparing);
    atomic_fetch_sub(&running, 1);
}

static void *prepare_many(void *arg) {
    struct lsq_conn *conn = connect_to(arg, NULL);

    for (int i = 0; i < 400; i++) {
        struct preparing *preparing = calloc(1, sizeof(*preparing));
        enum lsq_status st;

        preparing->call = (struct lsq_call){.done = prepared, .done_arg = preparing};
        atomic_fetch_add(&running, 1);
        do st = lsq_stmt_new(&preparing->stmt, conn, "SELECT 1", 8, &preparing->call, NULL);
        while (st == LSQ_IN_USE); /* the one before has not ended */
        if (st != LSQ_PENDING) {
            atomic_fetch_add(&failures, 1);
            atomic_fetch_sub(&running, 1);
            free(preparing);
        }
    }
    while (atomic_load(&running) > 0) sleep_ms(1);
    db_close(conn);
    return NULL;
}

static void a_call_that_has_ended_is_not_touched(void **state) {
    pthread_t threads[4];
    struct sqld sqld;

    (void)state;
    sqld_start(&sqld, NULL);
    atomic_store(&failures, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, prepare_many, &sqld), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&failures), 0);
    sqld_kill(&sqld);
}

static int end(void **state) {
    int rc = db_forget(state);

    lsq_shutdown();
    return rc;
}

#define TEST(name) cmocka_unit_test_teardown(name, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(reads_go_elsewhere_while_the_primary_is_away),
        TEST(replicas_may_be_read_always),
        TEST(wrong_configurations_are_refused),
        TEST(a_server_that_says_nothing_is_waited_for_in_vain),
        TEST(a_call_can_be_called_off),
        TEST(calls_need_no_thread),
        TEST(many_writers_do_not_stop_one_another),
        TEST(who_waits_in_line_says_nothing_of_the_server),
        TEST(a_server_is_not_there_again_because_nobody_asks),
        TEST(a_call_that_has_ended_is_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
