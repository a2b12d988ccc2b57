/* Transactions that the server has ended: what follows is not stored by itself. */
#include <stdio.h>

#include "../support/db.h"
#include "../support/server.h"
#include "../support/sqld.h"

static struct sqld sqld;

static struct lsq_conn *connect_by(const char *scheme, const struct lsq_remote *remote) {
    struct lsq_config cfg;
    struct lsq_conn *conn;
    char url[256];

    snprintf(url, sizeof(url), "%s%s", scheme, sqld.url + 4);
    lsq_config_init(&cfg);
    cfg.path = url;
    cfg.remote = remote;
    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
    return conn;
}

static const char slow[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

static void lose(struct lsq_conn *conn) {
    const struct lsq_call call = {.timeout = 300};

    assert_int_equal(exec(conn, slow, NULL, &call, NULL), LSQ_TIMEOUT);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
}

static void begun_by_sql(const char *scheme) {
    struct lsq_conn *conn;
    struct lsq_reply reply;

    sqld_start(&sqld, NULL);
    conn = connect_by(scheme, NULL);
    run(conn, "CREATE TABLE t (a)");
    for (int i = 0; i < 2; i++) {
        run(conn, i == 0 ? "BEGIN" : "SAVEPOINT s");
        run(conn, "INSERT INTO t VALUES (1)");
        lose(conn);
        expect(LSQ_NO_TRANSACTION, conn, "INSERT INTO t VALUES (2)");
        expect(LSQ_NO_TRANSACTION, conn, "SELECT 1");
        expect(LSQ_NO_TRANSACTION, conn, "BEGIN");
        assert_int_equal(lsq_batch_sql(conn, "INSERT INTO t VALUES (3)", 24, NULL, NULL, NULL, NULL,
                                       &last_error),
                         LSQ_NO_TRANSACTION);
        expect(i == 0 ? LSQ_NO_TRANSACTION : LSQ_OK, conn, i == 0 ? "COMMIT" : "ROLLBACK");
        assert_int_equal(exec(conn, "SELECT count(*) FROM t", NULL, NULL, &reply), LSQ_OK);
        assert_true(reply.autocommit);
        assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    }
    /* One that was begun by its function is over, and its user knows. */
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    lose(conn);
    assert_int_equal(lsq_rollback(conn, NULL, &last_error), LSQ_NO_TRANSACTION);
    run(conn, "INSERT INTO t VALUES (4)");
    run(conn, "BEGIN");
    lose(conn);
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    db_close(conn);
    sqld_kill(&sqld);
}

static void what_follows_is_refused(void **state) {
    (void)state;
    begun_by_sql("http");
    begun_by_sql("ws");
}

/* The server tells only that its rows do not come: the statement has run. */
static void a_write_whose_rows_do_not_come_is_undone(void **state) {
    static const char *const args[] = {"--max-response-size", "100KB", NULL};
    static const char many[] =
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 3000) SELECT i FROM n RETURNING a, hex(zeroblob(100))";

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct lsq_conn *conn;

        sqld_start(&sqld, args);
        conn = connect_by(i == 0 ? "http" : "ws", NULL);
        run(conn, "CREATE TABLE t (a)");
        assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
        expect(LSQ_RESPONSE_TOO_LARGE, conn, many);
        assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
        assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_NO_TRANSACTION);
        assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
        expect(LSQ_RESPONSE_TOO_LARGE, conn, many);
        assert_int_equal(last_error.outcome, LSQ_OUTCOME_COMMITTED);
        assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 3000);
        db_close(conn);
        sqld_kill(&sqld);
    }
}

/* A lock that stays is taken away by the server, after 5 s. */
static bool writes_soon_after_too_large(struct lsq_conn *conn, struct lsq_conn *other) {
    int64_t start;

    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (1)");
    expect(LSQ_RESPONSE_TOO_LARGE, conn, "SELECT hex(zeroblob(40000))");
    start = now_ns();
    run(other, "INSERT INTO t VALUES (2)");
    (void)lsq_rollback(conn, NULL, NULL);
    return now_ns() - start < 4000000000;
}

/* Ours, not the server's limit: the transaction's lock does not stay. */
static void what_is_too_large_for_us_leaves_no_lock(void **state) {
    const struct lsq_remote remote = {.max_response = 10000};
    struct lsq_conn *conn;
    struct lsq_conn *other;
    struct lsq_conn *by_socket;

    (void)state;
    sqld_start(&sqld, NULL);
    conn = connect_by("http", &remote);
    other = connect_by("http", NULL);
    run(conn, "CREATE TABLE t (a)");
    by_socket = connect_by("ws", &remote);
    expect(LSQ_RESPONSE_TOO_LARGE, by_socket, "SELECT hex(zeroblob(40000))");
    assert_int_equal(ask(by_socket, "SELECT 5"), 5);
    db_close(by_socket);
    /* A loaded machine may take that time for itself now and then. */
    for (int i = 0; !writes_soon_after_too_large(conn, other); i++) assert_true(i < 5);
    assert_int_equal(ask(other, "SELECT count(*) FROM t WHERE a = 1"), 0);
    db_close(other);
    db_close(conn);
    sqld_kill(&sqld);
}

/* Where another writer waits, the server ends a transaction after 5 s, and what comes next runs by itself. */
static void a_cursor_is_of_the_transaction_or_of_none(void **state) {
    static const char write[] = "INSERT INTO t VALUES (3) RETURNING a";
    static const char read[] = "SELECT a FROM t";

    (void)state;
    for (int i = 0; i < 4; i++) {
        const char *sql = i < 2 ? write : read;
        struct lsq_conn *conn;
        struct lsq_conn *other;
        struct lsq_stmt *stmt;
        bool end;

        sqld_start(&sqld, NULL);
        conn = connect_by(i % 2 == 0 ? "http" : "ws", NULL);
        other = connect_by("http", NULL);
        run(conn, "CREATE TABLE t (a)");
        assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
        run(conn, "INSERT INTO t VALUES (1)");
        assert_int_equal(lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error), LSQ_OK);
        run(other, "INSERT INTO t VALUES (2)"); /* waits, and takes the lock away */
        assert_int_equal(lsq_stmt_start(stmt, NULL, &last_error), LSQ_OK);
        assert_int_equal(lsq_stmt_fetch(stmt, 10, NULL, NULL, NULL, &end, &last_error),
                         LSQ_TRANSACTION_TIMEOUT);
        assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_NO_TRANSACTION);
        assert_string_equal(ask_rows(conn, "SELECT a FROM t"), "2");
        lsq_stmt_free(stmt);
        db_close(other);
        db_close(conn);
        sqld_kill(&sqld);
    }
}

/* ---- Lost in the midst of a cursor's rows ---- */

static atomic_int writes;

static char own_url[64];

#define EXECUTED                                                                                   \
    "{\"type\":\"execute\",\"result\":{\"cols\":[],\"rows\":[],\"affected_row_count\":0,"          \
    "\"last_insert_rowid\":null}}"
#define DESCRIBED                                                                                  \
    "{\"type\":\"describe\",\"result\":{\"params\":[],\"cols\":[{\"name\":\"i\",\"decltype\":"     \
    "null}],"                                                                                      \
    "\"is_explain\":false,\"is_readonly\":true}}"

static void answer_pipeline(struct peer *peer, bool holds, const char *response) {
    char text[600];

    snprintf(text, sizeof(text),
             "{\"baton\":%s,\"base_url\":\"%s\",\"results\":[{\"type\":\"ok\",\"response\":%s},"
             "{\"type\":\"ok\",\"response\":{\"type\":\"get_autocommit\",\"is_autocommit\":%s}}]}",
             holds ? "\"one\"" : "null", own_url, response, holds ? "false" : "true");
    (void)peer_answer(peer, text, strlen(text));
}

static void answer_cursor(struct peer *peer) {
    char text[2048];
    int len =
        snprintf(text, sizeof(text),
                 "{\"baton\":\"two\",\"base_url\":\"%s\"}\n{\"type\":\"step_begin\",\"step\":0,"
                 "\"cols\":[{\"name\":\"i\"}]}\n",
                 own_url);

    for (int i = 0; i < 10; i++)
        len +=
            snprintf(text + len, sizeof(text) - (size_t)len,
                     "{\"type\":\"row\",\"row\":[{\"type\":\"integer\",\"value\":\"%d\"}]}\n", i);
    len +=
        snprintf(text + len, sizeof(text) - (size_t)len,
                 "{\"type\":\"step_error\",\"step\":0,\"error\":{\"message\":\"Transaction timed "
                 "out\",\"code\":\"TRANSACTION_TIMEOUT\"}}\n");
    (void)peer_answer(peer, text, (size_t)len);
}

static bool asks_for(const struct peer *peer, const char *what) {
    return memmem(peer->body, peer->body_len, what, strlen(what)) != NULL;
}

static void serve_lost(struct peer *peer, void *arg) {
    (void)arg;
    while (peer_read(peer)) {
        bool describes = asks_for(peer, "describe");

        if (asks_for(peer, "INSERT")) atomic_fetch_add(&writes, 1);
        if (strstr(peer->head, "/cursor") != NULL)
            answer_cursor(peer);
        else
            answer_pipeline(peer, describes || asks_for(peer, "BEGIN"),
                            describes ? DESCRIBED : EXECUTED);
    }
}

/* A server tells it once; here to the cursor whose end a statement waits for. That is not run, for it would be stored
 * by itself. */
static void what_waits_for_a_lost_cursor_is_not_run(void **state) {
    struct server *server = server_start(serve_lost, NULL);
    struct lsq_config cfg;
    struct lsq_conn *conn;
    struct lsq_stmt *stmt;
    bool end = true;

    (void)state;
    snprintf(own_url, sizeof(own_url), "%s", server_url(server, ""));
    cfg = db_config(own_url);
    conn = db_open_as(&cfg);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    if (lsq_stmt_new(&stmt, conn, "SELECT 1", 8, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    assert_int_equal(lsq_stmt_start(stmt, NULL, &last_error), LSQ_OK);
    if (lsq_stmt_fetch(stmt, 5, NULL, NULL, NULL, &end, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    assert_false(end);
    expect(LSQ_TRANSACTION_TIMEOUT, conn, "INSERT INTO t VALUES (1)");
    assert_int_equal(atomic_load(&writes), 0);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_NO_TRANSACTION);
    lsq_stmt_free(stmt);
    db_close(conn);
    server_stop(server);
}

#define TEST(name) cmocka_unit_test_teardown(name, db_forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_follows_is_refused),
        TEST(a_write_whose_rows_do_not_come_is_undone),
        TEST(what_is_too_large_for_us_leaves_no_lock),
        TEST(a_cursor_is_of_the_transaction_or_of_none),
        TEST(what_waits_for_a_lost_cursor_is_not_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
