/* Which protocol a replica goes by: what is asked for, what is there, and what it went by before. */
#include <stdio.h>
#include <unistd.h>

#include "../support/generations.h"
#include "../support/primary.h"
#include "../support/server.h"

static struct sqld sqld;
static struct sqld generations;
static struct server *other;

static int forget(void **state) {
    if (other != NULL) server_stop(other);
    other = NULL;
    sqld_kill(&sqld);
    sqld_kill(&generations);
    return db_forget(state);
}

static struct lsqi_replica *open_by(const char *path, const char *url,
                                    enum lsq_sync_protocol protocol) {
    struct lsqi_replica *replica = NULL;
    struct lsq_config server;
    struct lsq_remote remote = {.proxy = "", .retry_time = 1000, .timeout = 60000};
    struct lsqi_replica_config cfg = {.path = path, .server = &server, .protocol = protocol};

    lsq_config_init(&server);
    server.path = url;
    server.remote = &remote;
    assert_int_equal(lsqi_replica_open(&replica, &cfg, &last_error), LSQ_OK);
    return replica;
}

static enum lsq_sync_protocol protocol_of(struct lsqi_replica *replica) {
    struct lsqi_replica_info info;

    lsqi_replica_info(replica, &info);
    return info.protocol;
}

/* A sync fails so, and its message has the words. */
static void expect_refused(const char *url, enum lsq_sync_protocol protocol, const char *words,
                           const char *more) {
    struct lsqi_replica *replica = open_by(replica_path(), url, protocol);
    enum lsq_status st = lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error);

    if (st != LSQ_PROTOCOL_UNSUPPORTED || strstr(last_error.message, words) == NULL ||
        strstr(last_error.message, more) == NULL)
        fail_msg("%s: %s", lsq_status_name(st), last_error.message);
    assert_false(lsqi_replica_usable(replica));
    replica_close(replica);
}

static void finds_out_what_a_server_has(void **state) {
    static const char info[] = "GET /info", hello[] = "POST /wal_log.ReplicationLog/Hello";
    struct lsqi_replica *replica;

    (void)state;
    sqld_start(&sqld, NULL);
    generations_start(&generations);
    replica = open_by(replica_path(), sqld.url, LSQ_SYNC_AUTO);
    assert_int_equal(protocol_of(replica), LSQ_SYNC_AUTO);
    replica_sync(replica);
    assert_int_equal(protocol_of(replica), LSQ_SYNC_V1);
    replica_close(replica);
    replica = open_by(replica_path(), generations.url, LSQ_SYNC_AUTO);
    replica_sync(replica);
    assert_int_equal(protocol_of(replica), LSQ_SYNC_V2);
    replica_close(replica);
    expect_refused(sqld.url, LSQ_SYNC_V2, info, "HTTP 404");
    expect_refused(generations.url, LSQ_SYNC_V1, hello, "HTTP 404");
    other = server_start(serve_echo, NULL);
    expect_refused(server_url(other, ""), LSQ_SYNC_AUTO, info, hello);
    expect_refused(server_url(other, ""), LSQ_SYNC_V2, info, "names no generation");
    expect_refused(server_url(other, ""), LSQ_SYNC_V1, hello, "gRPC-web");
}

static int64_t count(const char *what) {
    return generations_number(generations_do(&generations, "{\"do\": \"counts\"}"), what);
}

/* What the file came by is asked for first; a server that has changed its mind is followed all the same. */
static void remembers_what_it_was(void **state) {
    const char *path = replica_path();
    struct lsqi_replica *replica;
    struct lsq_conn *primary;

    (void)state;
    sqld_start(&sqld, NULL);
    generations_start(&generations);
    primary = primary_conn(&sqld);
    run(primary, "CREATE TABLE old (a)");
    db_close(primary);
    replica = open_by(path, sqld.url, LSQ_SYNC_AUTO);
    replica_sync(replica);
    replica_close(replica);
    replica = open_by(path, sqld.url, LSQ_SYNC_AUTO);
    assert_int_equal(protocol_of(replica), LSQ_SYNC_V1);
    replica_sync(replica);
    replica_close(replica);
    /* The same file, of the other server, that says nothing of gRPC. */
    primary = primary_conn(&generations);
    run(primary, "CREATE TABLE t (a)");
    replica_events_begin();
    replica = open_by(path, generations.url, LSQ_SYNC_AUTO);
    expect_same(replica, primary);
    assert_int_equal(protocol_of(replica), LSQ_SYNC_V2);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    replica_close(replica);
    (void)count("info");
    replica = open_by(path, generations.url, LSQ_SYNC_AUTO);
    assert_int_equal(protocol_of(replica), LSQ_SYNC_V2);
    expect_same(replica, primary);
    assert_int_equal(count("info"), 1);
    /* One that does not answer at all is no other server. */
    replica_close(replica);
    generations_fail(&generations, "{\"status\": 500}");
    replica = open_by(path, generations.url, LSQ_SYNC_AUTO);
    assert_int_equal(lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error),
                     LSQ_ERROR);
    assert_int_equal(protocol_of(replica), LSQ_SYNC_V2);
    replica_close(replica);
    db_close(primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(finds_out_what_a_server_has, forget),
        cmocka_unit_test_teardown(remembers_what_it_was, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
