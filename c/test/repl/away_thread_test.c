/* A primary that is away: at open, in the midst of a sync, and for long. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>

#include "../support/link.h"
#include "../support/primary.h"
#include "repl/wait.h"

enum { INTERVAL = 100, PATIENCE_MS = 60000 };

static struct sqld sqld;
static struct link *path_to_it;
static atomic_int downs;
static atomic_int ups;

static int forget(void **state) {
    lsq_on_server_event(NULL, NULL);
    link_stop(path_to_it);
    path_to_it = NULL;
    sqld_kill(&sqld);
    return db_forget(state);
}

static void on_server(const struct lsq_server_event *event, void *arg) {
    (void)arg;
    if (event->kind == LSQ_SERVER_DOWN) atomic_fetch_add(&downs, 1);
    if (event->kind == LSQ_SERVER_UP) atomic_fetch_add(&ups, 1);
}

static struct lsq_conn *begin(void) {
    struct lsq_conn *server;

    sqld_start(&sqld, NULL);
    path_to_it = link_start(sqld.port, 0);
    server = primary_conn(&sqld);
    run(server, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(server, "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                "WHERE i < 1000) SELECT randomblob(3000) FROM n");
    atomic_store(&downs, 0);
    atomic_store(&ups, 0);
    lsq_on_server_event(on_server, NULL);
    replica_events_begin();
    return server;
}

static struct lsqi_replica *follow(const char *path, int interval) {
    struct lsq_remote remote = {.proxy = "", .retry_time = -1, .timeout = 60000};
    struct lsq_config server;
    struct lsqi_replica_config cfg = {.path = path, .server = &server, .sync_interval = interval};
    struct lsqi_replica *replica;

    lsq_config_init(&server);
    server.path = link_url(path_to_it);
    server.remote = &remote;
    assert_int_equal(lsqi_replica_open(&replica, &cfg, &last_error), LSQ_OK);
    return replica;
}

static struct lsqi_replica_info info_of(struct lsqi_replica *replica) {
    struct lsqi_replica_info info;

    lsqi_replica_info(replica, &info);
    return info;
}

#define eventually(condition)                                                                      \
    do {                                                                                           \
        for (int64_t until = now_ns() + PATIENCE_MS * INT64_C(1000000);                            \
             !(condition) && now_ns() < until;)                                                    \
            sleep_ms(5);                                                                           \
        assert_true(condition);                                                                    \
    } while (0)

static void syncs_again_once_the_server_is_there_again(void **state) {
    struct lsq_conn *server = begin();
    struct lsqi_replica *replica = follow(replica_path(), INTERVAL);
    struct lsqi_replica_info info;
    struct lsq_conn *reader;
    uint64_t failures;

    (void)state;
    eventually(lsqi_replica_usable(replica));
    reader = replica_reader(replica);
    link_cut(path_to_it);
    eventually(atomic_load(&downs) > 0);
    run(server, "INSERT INTO t (b) VALUES ('meanwhile')");
    /* From here on it costs nothing, and nothing is told of it. */
    eventually(!info_of(replica).running);
    failures = info_of(replica).failures;
    assert_true(failures > 0);
    for (int i = 0; i < 10; i++) {
        sleep_ms(INTERVAL);
        assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 1000);
    }
    info = info_of(replica);
    assert_int_equal(info.failures, failures);
    assert_int_equal(info.last_error.status == LSQ_OK, 0);
    assert_true(info.synced_ago >= 10 * INTERVAL);
    assert_int_equal(replica_events(LSQI_REPLICA_FAILED), (int)failures);
    link_mend(path_to_it);
    eventually(atomic_load(&ups) > 0);
    eventually(ask(reader, "SELECT count(*) FROM t") == 1001);
    eventually(info_of(replica).synced_ago < PATIENCE_MS && info_of(replica).lag == 0);
    info = info_of(replica);
    assert_int_equal(info.last_error.status, LSQ_OK);
    assert_int_equal(atomic_load(&downs), 1);
    assert_int_equal(atomic_load(&ups), 1);
    db_close(reader);
    replica_close(replica);
    db_close(server);
}

static void is_opened_while_the_server_is_away(void **state) {
    struct lsq_conn *server = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica = follow(path, 0);
    struct lsqi_replica *none;
    struct lsq_conn *reader;

    (void)state;
    expect_same(replica, server);
    replica_close(replica);
    link_cut(path_to_it);
    replica = follow(path, INTERVAL);
    none = follow(replica_path(), INTERVAL);
    assert_true(lsqi_replica_usable(replica));
    assert_false(lsqi_replica_usable(none));
    assert_int_equal(info_of(replica).synced_ago, -1);
    reader = replica_reader(replica);
    eventually(atomic_load(&downs) > 0);
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 1000);
    link_mend(path_to_it);
    eventually(info_of(replica).synced_ago >= 0 && lsqi_replica_usable(none));
    expect_same(none, server);
    lsqi_replica_unref(none);
    db_close(reader);
    replica_close(replica);
    db_close(server);
}

/* How much has come so far is kept: over a narrow link it is not begun again. */
static void goes_on_where_the_link_was_cut(void **state) {
    struct lsq_conn *server = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica = follow(path, INTERVAL);
    struct lsq_conn *reader;
    int64_t before;

    (void)state;
    eventually(lsqi_replica_usable(replica));
    reader = replica_reader(replica);
    before = link_came(path_to_it);
    link_set_rate(path_to_it, 4000000);
    run(server, "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                "WHERE i < 4000) SELECT randomblob(3000) FROM n");
    for (int i = 0; i < 3; i++) {
        int64_t now = link_came(path_to_it);

        eventually(link_came(path_to_it) > now + 2000000);
        link_cut(path_to_it);
        assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 1000);
        sleep_ms(2 * INTERVAL);
        link_mend(path_to_it);
    }
    eventually(ask(reader, "SELECT count(*) FROM t") == 5000);
    /* 16 MB of pages, and what was on its way three times. */
    assert_true(link_came(path_to_it) - before < 40000000);
    db_close(reader);
    expect_same(replica, server);
    replica_close(replica);
    db_close(server);
}

/* The server dies while it sends, and comes back with another history. */
static void a_server_dies_while_it_sends(void **state) {
    struct lsq_conn *server = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica;
    int64_t came;

    (void)state;
    link_set_rate(path_to_it, 1000000);
    replica = follow(path, INTERVAL);
    eventually(link_came(path_to_it) > 1000000);
    db_close(server);
    sqld_restart(&sqld);
    eventually(lsqi_replica_usable(replica));
    server = primary_conn(&sqld);
    expect_same(replica, server);
    came = link_came(path_to_it);
    run(server, "UPDATE t SET b = randomblob(3001)");
    eventually(link_came(path_to_it) > came + 1000000);
    db_close(server);
    sqld_restart(&sqld);
    server = primary_conn(&sqld);
    eventually(replica_events(LSQI_REPLICA_REPLACED) > 0);
    link_set_rate(path_to_it, 0);
    expect_same(replica, server);
    replica_close(replica);
    db_close(server);
}

/* An hour of a server that refuses, by the clock of the schedule. */
static void backs_off_to_its_limit(void **state) {
    static const int intervals[] = {10, 1000, 60000, 900000};

    (void)state;
    for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++) {
        int64_t limit = intervals[i] > 300000 ? intervals[i] : 300000;
        int64_t clock = 0;
        unsigned refusals = 0;
        int64_t last = 0;

        while (clock < 3600000) {
            int64_t delay = lsqi_replica_delay_ms(intervals[i], refusals, (int64_t)refusals * 977);

            assert_in_range(delay, intervals[i] * 9 / 10, limit);
            last = delay;
            clock += delay;
            refusals++;
        }
        assert_true(last >= limit * 9 / 10);
        assert_in_range(refusals, 3600000 / limit, 40);
    }
    assert_int_equal(lsqi_replica_delay_ms(1000, 0, 0), 1000);
    assert_int_equal(lsqi_replica_delay_ms(1000, 4000000000, 0), 300000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(syncs_again_once_the_server_is_there_again, forget),
        cmocka_unit_test_teardown(is_opened_while_the_server_is_away, forget),
        cmocka_unit_test_teardown(goes_on_where_the_link_was_cut, forget),
        cmocka_unit_test_teardown(a_server_dies_while_it_sends, forget),
        cmocka_unit_test(backs_off_to_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
