/* A replica of a real sqld: bootstrap, catching up, what readers see meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/http_call.h"
#include "../support/primary.h"

static struct sqld server;

static int forget(void **state) {
    sqld_kill(&server);
    return db_forget(state);
}

static void bootstraps_and_catches_up(void **state) {
    const char *path = replica_path();
    struct lsqi_replica_sync_result result;
    struct lsqi_replica *replica;
    struct lsq_conn *primary;
    struct lsqi_replica_info info;

    (void)state;
    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "INSERT INTO t (b) VALUES (1), ('two'), (3.0), (NULL), (x'05')");
    replica_events_begin();
    replica = replica_open(path, &server);
    assert_false(lsqi_replica_usable(replica));
    assert_false(exists(path, ""));
    result = replica_sync(replica);
    assert_true(result.frame > 0 && result.applied == result.frame + 1);
    assert_true(lsqi_replica_usable(replica));
    assert_false(exists(path, "-incoming") || exists(path, "-incoming-state"));
    assert_int_equal(replica_events(LSQI_REPLICA_BOOTSTRAPPED), 1);
    expect_same(replica, primary);
    for (int i = 0; i < 20; i++) {
        run(primary, "INSERT INTO t (b) VALUES (randomblob(3000))");
        result = replica_sync(replica);
        assert_true(result.applied > 0 && result.frame == lsqi_replica_applied(replica));
    }
    expect_same(replica, primary);
    assert_true(replica_sync(replica).applied == 0);
    lsqi_replica_info(replica, &info);
    assert_true(info.usable && info.applied == result.frame && info.lag == 0);
    assert_true(info.synced_ago >= 0 && info.failures == 0 && info.log_id[0] != '\0');
    replica_close(replica);
    replica = replica_open(path, &server);
    assert_true(lsqi_replica_usable(replica));
    assert_true(lsqi_replica_applied(replica) == result.frame);
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    replica_close(replica);
    db_close(primary);
}

static void follows_an_empty_server(void **state) {
    struct lsqi_replica *replica;
    struct lsq_conn *primary;

    (void)state;
    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    replica = replica_open(replica_path(), &server);
    assert_true(replica_sync(replica).applied == 0);
    assert_true(lsqi_replica_usable(replica));
    run(primary, "CREATE TABLE t (a)");
    run(primary, "INSERT INTO t VALUES (1)");
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

static void readers_go_on_and_see_schema_changes(void **state) {
    struct lsqi_replica *replica;
    struct lsq_conn *primary;
    struct lsq_conn *reader;
    struct lsq_conn *snapshot;

    (void)state;
    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a)");
    run(primary, "INSERT INTO t VALUES (1)");
    replica = replica_open(replica_path(), &server);
    replica_sync(replica);
    reader = replica_reader(replica);
    snapshot = replica_reader(replica);
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 1);
    run(snapshot, "BEGIN");
    assert_int_equal(ask(snapshot, "SELECT count(*) FROM t"), 1);
    run(primary, "ALTER TABLE t ADD COLUMN b DEFAULT 7");
    run(primary, "CREATE TABLE u AS SELECT * FROM t");
    run(primary, "INSERT INTO t VALUES (2, 3)");
    replica_sync(replica);
    assert_string_equal(ask_rows(reader, "SELECT * FROM t"), "1,7;2,3");
    assert_string_equal(ask_rows(reader, "SELECT * FROM u"), "1,7");
    assert_string_equal(ask_rows(snapshot, "SELECT * FROM t"), "1");
    run(snapshot, "COMMIT");
    assert_int_equal(ask(snapshot, "SELECT sum(b) FROM t"), 10);
    run(primary, "DROP TABLE u");
    replica_sync(replica);
    expect(LSQ_SQL, reader, "SELECT * FROM u");
    db_close(snapshot);
    db_close(reader);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

static void takes_a_transaction_of_many_rows(void **state) {
    struct lsqi_replica *replica;
    struct lsq_conn *primary;
    struct lsqi_replica_info info;

    (void)state;
    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)");
    replica = replica_open(replica_path(), &server);
    replica_sync(replica);
    run(primary, "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                 "WHERE i < 100000) SELECT hex(randomblob(60)) FROM n");
    expect_same(replica, primary);
    run(primary, "UPDATE t SET b = 'x' || b");
    run(primary, "DELETE FROM t WHERE a % 3 = 0");
    expect_same(replica, primary);
    lsqi_replica_info(replica, &info);
    assert_true(info.frames > 3000);
    replica_close(replica);
    db_close(primary);
}

static void create_namespace(int port, const char *name) {
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct http_call call;
    char url[128];

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1/namespaces/%s/create", port, name);
    http_call_init(&call, url);
    call.request.headers = headers;
    call.request.body = "{}";
    call.request.body_len = 2;
    http_run(&call);
    assert_int_equal(call.status, 200);
    http_call_free(&call);
}

static void follows_one_of_many_databases(void **state) {
    char admin[64];
    const char *args[] = {"--enable-namespaces", "--admin-listen-addr", admin, NULL};
    int port = free_port();
    struct lsq_remote remote = {.namespace_ = "shop", .proxy = ""};
    struct lsq_config cfg;
    struct lsqi_replica_config replica_cfg = {.path = NULL, .server = &cfg};
    struct lsqi_replica *replica;
    struct lsq_conn *primary;

    (void)state;
    snprintf(admin, sizeof(admin), "127.0.0.1:%d", port);
    sqld_start(&server, args);
    create_namespace(port, "shop");
    create_namespace(port, "other");
    cfg = db_config(server.url);
    cfg.remote = &remote;
    primary = db_open_as(&cfg);
    run(primary, "CREATE TABLE t (a)");
    run(primary, "INSERT INTO t VALUES ('of the shop')");
    replica_cfg.path = replica_path();
    assert_int_equal(lsqi_replica_open(&replica, &replica_cfg, &last_error), LSQ_OK);
    expect_same(replica, primary);
    /* The same file for another database of the same server is another replica. */
    remote.namespace_ = "other";
    assert_int_equal(lsqi_replica_open(&(struct lsqi_replica *){NULL}, &replica_cfg, &last_error),
                     LSQ_ALREADY_OPEN);
    replica_close(replica);
    remote.namespace_ = "nowhere";
    replica_cfg.path = replica_path();
    assert_int_equal(lsqi_replica_open(&replica, &replica_cfg, &last_error), LSQ_OK);
    assert_int_equal(lsqi_replica_sync_wait(replica, 0, 0, NULL, NULL, NULL, &last_error),
                     LSQ_NAMESPACE_NOT_FOUND);
    replica_close(replica);
    db_close(primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(bootstraps_and_catches_up, forget),
        cmocka_unit_test_teardown(follows_an_empty_server, forget),
        cmocka_unit_test_teardown(readers_go_on_and_see_schema_changes, forget),
        cmocka_unit_test_teardown(follows_one_of_many_databases, forget),
        cmocka_unit_test_teardown(takes_a_transaction_of_many_rows, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
