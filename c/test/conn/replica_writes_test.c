/* Replicas: what was written is seen, be its answer an error or none at all; and statements by ways that are seldom
 * gone. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/db.h"
#include "../support/server.h"
#include "../support/sqld.h"

static struct sqld sqld;
static struct server *proxy;
static atomic_bool loses; /* the next answer, and the connection with it */

static const struct lsq_remote quick = {.retry_time = -1, .timeout = 20000};

/* ---- A proxy that can lose an answer ---- */

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0) return fd;
    close(fd);
    return -1;
}

static bool pass(int from, int to) {
    char data[16384];
    ssize_t n = recv(from, data, sizeof(data), 0);

    return n > 0 && send(to, data, (size_t)n, MSG_NOSIGNAL) == n;
}

static void relay(struct peer *peer, void *arg) {
    int fd = connect_to(sqld.port);
    struct pollfd fds[2] = {{.fd = peer->fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    bool ok = fd >= 0;

    (void)arg;
    while (ok && poll(fds, 2, 20) >= 0) {
        if (fds[0].revents != 0) ok = pass(peer->fd, fd);
        if (ok && fds[1].revents != 0 && atomic_exchange(&loses, false)) {
            peer_reset(peer);
            break;
        }
        if (ok && fds[1].revents != 0) ok = pass(fd, peer->fd);
    }
    if (fd >= 0) close(fd);
}

/* ---- Set-up ---- */

static struct lsq_conn *open_replica(const char *url) {
    struct lsq_config cfg = db_config(db_path());
    const struct lsq_replica never = {.stale_after = 20000};

    cfg.primary = url;
    cfg.remote = &quick;
    cfg.replica = &never;
    return db_open_as(&cfg);
}

static void begin_with(const char *const *args) {
    struct lsq_config cfg;
    struct lsq_conn *server;

    sqld_start(&sqld, args);
    cfg = db_config(sqld.url);
    server = db_open_as(&cfg);
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    run(server, "INSERT INTO t VALUES (1, 'x')");
    db_close(server);
}

static int forget(void **state) {
    if (proxy != NULL) server_stop(proxy);
    proxy = NULL;
    sqld_kill(&sqld);
    lsq_shutdown();
    return db_forget(state);
}

static struct lsq_conn *begin_by_proxy(void) {
    begin_with(NULL);
    atomic_store(&loses, false);
    proxy = server_start(relay, NULL);
    return open_replica(server_url(proxy, ""));
}

static struct lsq_stmt *prepare(struct lsq_conn *conn, const char *sql) {
    struct lsq_stmt *stmt;

    if (lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error) != LSQ_OK)
        fail_msg("%s: %s", sql, last_error.message);
    return stmt;
}

/* ---- Answers that say nothing, or no ---- */

static void what_may_have_been_stored_is_looked_for(void **state) {
    struct lsq_conn *replica = begin_by_proxy();
    struct lsq_stmt *insert = prepare(replica, "INSERT INTO t VALUES (4, 'd') RETURNING id");
    const struct lsq_config cfg = db_config(sqld.url);
    struct lsq_conn *server = db_open_as(&cfg);
    bool end;

    (void)state;
    atomic_store(&loses, true);
    assert_int_equal(exec(replica, "INSERT INTO t VALUES (2, 'b')", NULL, NULL, NULL),
                     LSQ_CONNECTION_LOST);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_UNKNOWN);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 2);
    assert_int_equal(lsq_begin(replica, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    run(replica, "INSERT INTO t VALUES (3, 'c')");
    atomic_store(&loses, true);
    assert_int_equal(lsq_commit(replica, NULL, &last_error), LSQ_CONNECTION_LOST);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 3);
    assert_int_equal(lsq_stmt_start(insert, NULL, &last_error), LSQ_OK);
    atomic_store(&loses, true);
    assert_int_equal(lsq_stmt_fetch(insert, 1, NULL, NULL, NULL, &end, &last_error),
                     LSQ_CONNECTION_LOST);
    /* A cursor's answer begins before its statement is done, which goes on or not. */
    sleep_ms(300);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), ask(server, "SELECT count(*) FROM t"));
    lsq_stmt_free(insert);
    db_close(server);
    db_close(replica);
}

static void what_a_batch_stored_before_it_failed_is_seen(void **state) {
    const struct lsq_batch_item items[] = {{.sql = "INSERT INTO t VALUES (2, 'b')", .len = 29},
                                           {.sql = "INSERT INTO t VALUES (1, 'x')", .len = 29}};
    static const char text[] = "INSERT INTO t VALUES (3, 'c'); INSERT INTO t VALUES (1, 'x')";
    static const char commits[] = "BEGIN; INSERT INTO t VALUES (4, 'd'); COMMIT; SELECT nope";
    struct lsq_conn *replica;

    (void)state;
    begin_with(NULL);
    replica = open_replica(sqld.url);
    assert_int_equal(lsq_batch(replica, items, 2, NULL, NULL, NULL, NULL, &last_error),
                     LSQ_CONSTRAINT);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 2);
    assert_int_equal(
        lsq_batch_sql(replica, text, strlen(text), NULL, NULL, NULL, NULL, &last_error),
        LSQ_CONSTRAINT);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 3);
    assert_int_not_equal(
        lsq_batch_sql(replica, commits, strlen(commits), NULL, NULL, NULL, NULL, &last_error),
        LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 4);
    db_close(replica);
}

static void what_was_stored_with_too_large_an_answer_is_seen(void **state) {
    static const char *const args[] = {"--max-response-size", "100KB", NULL};
    static const char insert[] =
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
        "INSERT INTO t SELECT i, 'a value that is returned: ' || i FROM n RETURNING *";
    struct lsq_conn *replica;

    (void)state;
    begin_with(args);
    replica = open_replica(sqld.url);
    expect(LSQ_RESPONSE_TOO_LARGE, replica, insert);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_COMMITTED);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 3000);
    db_close(replica);
}

/* ---- Ways ---- */

static void what_is_to_read_only_does_not_write_there(void **state) {
    struct lsq_conn *replica;

    (void)state;
    begin_with(NULL);
    replica = open_replica(sqld.url);
    run(replica, "PRAGMA query_only = on");
    expect(LSQ_READONLY, replica, "INSERT INTO t VALUES (2, 'b')");
    assert_int_equal(lsq_batch_sql(replica, "DELETE FROM t", 13, NULL, NULL, NULL, NULL, NULL),
                     LSQ_READONLY);
    run(replica, "PRAGMA query_only = off");
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 1);
    run(replica, "INSERT INTO t VALUES (2, 'b')");
    db_close(replica);
}

static void temporary_tables_are_here_by_any_name(void **state) {
    static const char *const here[] = {
        "CREATE TABLE temp.own (n)",
        "CREATE TABLE IF NOT EXISTS temp.own (n)",
        "CREATE INDEX temp.own_n ON own (n)",
        "CREATE INDEX IF NOT EXISTS temp.own_n ON own (n)",
        "ALTER TABLE own ADD COLUMN m",
        "ALTER TABLE own RENAME TO mine",
        "ALTER TABLE temp.mine RENAME COLUMN m TO k",
        "REINDEX temp.own_n",
        "CREATE TEMP VIEW v AS SELECT * FROM t",
        "SELECT * FROM v",
        "DROP VIEW v",
        "DROP TABLE IF EXISTS temp.nope",
        "DROP TABLE IF EXISTS temp.mine",
        "CREATE TEMP TABLE t (n)",
        "INSERT INTO t VALUES (7)",
        "UPDATE t SET n = 8",
        "SELECT * FROM t",
        "DROP TABLE t",
    };
    struct lsq_conn *replica;

    (void)state;
    begin_with(NULL);
    replica = open_replica(sqld.url);
    sqld_kill(&sqld);
    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
        enum lsq_status st = exec(replica, here[i], NULL, NULL, NULL);

        if (st != LSQ_OK) fail_msg("%s: %s", here[i], last_error.message);
    }
    assert_string_equal(ask_rows(replica, "SELECT * FROM t"), "1,x");
    db_close(replica);
}

/* ---- Frozen ---- */

static void statements_of_before_are_closed_by_freezing(void **state) {
    struct lsq_conn *replica;
    struct lsq_stmt *insert;
    struct lsq_stmt *theirs;
    struct lsq_stmt *cursor;
    bool end = false;

    (void)state;
    begin_with(NULL);
    replica = open_replica(sqld.url);
    insert = prepare(replica, "INSERT INTO t (a) VALUES ('y')");
    cursor = prepare(replica, "UPDATE t SET a = 'z' RETURNING id");
    {
        struct lsq_config cfg = db_config(sqld.url);
        struct lsq_conn *server = db_open_as(&cfg);

        run(server, "CREATE TABLE later (a)");
        db_close(server);
    }
    theirs = prepare(replica, "INSERT INTO later VALUES (1)");
    assert_int_equal(lsq_stmt_exec(insert, NULL, NULL, NULL, NULL, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_start(cursor, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_sync(replica, NULL, NULL, &last_error), LSQ_OK);
    if (lsq_freeze(replica, NULL, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
    assert_int_equal(lsq_stmt_exec(insert, NULL, NULL, NULL, NULL, NULL, NULL), LSQ_CLOSED);
    assert_int_equal(lsq_stmt_exec(theirs, NULL, NULL, NULL, NULL, NULL, NULL), LSQ_CLOSED);
    assert_int_equal(lsq_stmt_start(insert, NULL, NULL), LSQ_CLOSED);
    assert_int_equal(lsq_stmt_fetch(cursor, 1, NULL, NULL, NULL, &end, NULL), LSQ_CLOSED);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 2);
    lsq_stmt_free(insert);
    lsq_stmt_free(theirs);
    lsq_stmt_free(cursor);
    db_close(replica);
}

/* ---- What is no damage ---- */

static atomic_int set_asides;

static void on_event(const struct lsq_replica_event *event, void *arg) {
    (void)arg;
    if (event->kind == LSQ_REPLICA_SET_ASIDE) atomic_fetch_add(&set_asides, 1);
}

static void an_index_that_misses_its_content_is_no_damaged_file(void **state) {
    struct lsq_conn *replica;

    (void)state;
    begin_with(NULL);
    replica = open_replica(sqld.url);
    run(replica, "CREATE VIRTUAL TABLE f USING fts5(a, content='t', content_rowid='id')");
    run(replica, "INSERT INTO f (rowid, a) SELECT id, a FROM t");
    run(replica, "DELETE FROM t");
    lsq_on_replica_event(on_event, NULL);
    for (int i = 0; i < 3; i++) {
        expect(LSQ_CORRUPT, replica, "SELECT * FROM f WHERE f MATCH 'x'");
        run(replica, "SELECT count(*) FROM t");
    }
    lsq_on_replica_event(NULL, NULL);
    assert_int_equal(atomic_load(&set_asides), 0);
    db_close(replica);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_may_have_been_stored_is_looked_for, forget),
        cmocka_unit_test_teardown(what_a_batch_stored_before_it_failed_is_seen, forget),
        cmocka_unit_test_teardown(what_was_stored_with_too_large_an_answer_is_seen, forget),
        cmocka_unit_test_teardown(what_is_to_read_only_does_not_write_there, forget),
        cmocka_unit_test_teardown(temporary_tables_are_here_by_any_name, forget),
        cmocka_unit_test_teardown(statements_of_before_are_closed_by_freezing, forget),
        cmocka_unit_test_teardown(an_index_that_misses_its_content_is_no_damaged_file, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
