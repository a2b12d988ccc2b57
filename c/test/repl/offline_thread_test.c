/* A replica that is written to offline: its changes are its own until they are pushed, go into the server's history
 * once, and are never given up unasked. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#include "../support/offline.h"
#include "conn/conn.h"

static struct sqld server;

static int forget(void **state) {
    sqld_kill(&server);
    replica_use_key(NULL);
    return db_forget(state);
}

/* ---- What is pushed ---- */

#define MANY(n) "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " #n ") "

static void writes_and_pushes(void **state) {
    struct lsq_conn *conn;
    struct lsq_replica_info info;
    int64_t before;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    assert_int_equal(lsq_conn_kind(conn), LSQ_CONN_LOCAL);
    before = offline_frames(&server);
    run(conn, "INSERT INTO t (b) VALUES ('here')");
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t (b) VALUES ('here, too')");
    run(conn, "UPDATE t SET b = 'one' WHERE a = 1");
    run(conn, "COMMIT");
    run(conn, "CREATE TABLE u (a INTEGER PRIMARY KEY, b TEXT UNIQUE)");
    run(conn, "BEGIN");
    run(conn, "DELETE FROM t");
    run(conn, "ROLLBACK");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 7);
    info = offline_info(conn);
    assert_true(info.offline && info.unpushed > 2 && info.pushed == 0 && info.pushed_ago == -1);
    assert_int_equal(offline_frames(&server), before);
    offline_same(conn, &server);
    assert_int_equal(offline_frames(&server), before + info.unpushed);
    assert_int_equal(offline_info(conn).pushed, info.unpushed);
    assert_true(offline_info(conn).pushed_ago >= 0);
    assert_int_equal(replica_events(LSQI_REPLICA_PUSHED), 1);
    /* Nothing is sent twice, and what others write comes. */
    offline_sync(LSQ_OK, conn);
    assert_int_equal(offline_frames(&server), before + info.unpushed);
    offline_elsewhere(&server, "INSERT INTO u (b) VALUES ('elsewhere')");
    offline_same(conn, &server);
    for (int i = 0; i < 5; i++) {
        run(conn, "INSERT INTO t (b) VALUES (randomblob(5000))");
        if (i == 2) offline_elsewhere(&server, "SELECT 1");
        offline_same(conn, &server);
        offline_elsewhere(&server, "INSERT INTO t (b) VALUES (randomblob(3000))");
        offline_same(conn, &server);
    }
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 0);
    offline_close(conn);
}

/* More frames than one request has, in one transaction and in several. */
static void pushes_long_transactions(void **state) {
    struct lsq_conn *conn;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    run(conn, "INSERT INTO t (b) " MANY(1500) "SELECT randomblob(700) FROM n");
    assert_true(offline_info(conn).unpushed > 200);
    offline_same(conn, &server);
    for (int i = 0; i < 8; i++) run(conn, "UPDATE t SET b = randomblob(600) WHERE a % 40 = 1");
    offline_same(conn, &server);
    run(conn, "DELETE FROM t WHERE a > 10");
    offline_same(conn, &server);
    offline_close(conn);
}

/* The WAL is kept while it is needed, and no longer; also by who closes the file, and opens it again. */
static void keeps_what_is_not_pushed(void **state) {
    const char *path = replica_path();
    struct lsq_conn *conn;
    int64_t unpushed;

    (void)state;
    offline_begin(&server);
    conn = offline_open(path, server.url);
    sqld_kill(&server);
    for (int i = 0; i < 600; i++) run(conn, "INSERT INTO t (b) VALUES (randomblob(3000))");
    assert_int_equal(
        lsq_conn_checkpoint(conn, "main", LSQ_CHECKPOINT_TRUNCATE, NULL, NULL, &last_error),
        LSQ_BUSY);
    unpushed = offline_info(conn).unpushed;
    assert_true(unpushed > 1000);
    offline_sync(LSQ_UNREACHABLE, conn);
    offline_close(conn);
    assert_true(exists(path, "-wal"));
    for (int i = 0; i < 3; i++) {
        conn = offline_open(path, server.url);
        assert_int_equal(offline_info(conn).unpushed, unpushed);
        assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 605 + i);
        run(conn, "INSERT INTO t (b) VALUES (1)");
        unpushed = offline_info(conn).unpushed;
        offline_close(conn);
    }
    generations_restart(&server);
    conn = offline_open(path, server.url);
    offline_same(conn, &server);
    assert_int_equal(
        lsq_conn_checkpoint(conn, "main", LSQ_CHECKPOINT_TRUNCATE, NULL, NULL, &last_error),
        LSQ_OK);
    run(conn, "INSERT INTO t (b) VALUES ('after')");
    offline_same(conn, &server);
    offline_close(conn);
}

/* What is lost on the way is not known to have come, or comes in part. */
static void gets_through_torn_answers(void **state) {
    static const char *const faults[] = {
        "{\"cut\": 20000}",
        "{\"push_lost\": 0.6}",
        "{\"push_unheard\": 0.6}",
        "{\"push_part\": 0.7}",
        "{\"push_refused\": 0.5}",
        "{\"redirect\": true}",
        "{\"number\": \"text\"}",
        "{\"number\": \"real\"}",
        "{\"cut\": 30000, \"push_lost\": 0.3, \"push_part\": 0.3, \"push_unheard\": 0.3}",
    };
    uint64_t seed = test_seed();
    struct lsq_conn *conn;
    int64_t frames;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        frames = offline_frames(&server);
        for (uint64_t n = random_next(&seed) % 5; n > 0; n--)
            run(conn, "INSERT INTO t (b) VALUES (randomblob(9000))");
        run(conn, "INSERT INTO t (b) " MANY(300) "SELECT randomblob(700) FROM n");
        frames += offline_info(conn).unpushed;
        generations_fail(&server, faults[i]);
        for (int tries = 0; tries < 200 && offline_info(conn).unpushed > 0; tries++)
            (void)lsq_sync(conn, NULL, NULL, &last_error);
        generations_fail(&server, "{}");
        offline_same(conn, &server);
        assert_int_equal(offline_frames(&server), frames);
    }
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    offline_close(conn);
}

/* Its generation ends while there is something to push, and goes on, or not, where it was. */
static void moves_to_the_next_generation(void **state) {
    const char *path = replica_path();
    struct lsq_conn *conn;

    (void)state;
    offline_begin(&server);
    conn = offline_open(path, server.url);
    for (int i = 0; i < 4; i++) {
        run(conn, "INSERT INTO t (b) VALUES (randomblob(9000))");
        for (int n = 0; n <= i; n++) generations_checkpoint(&server);
        if (i == 2) {
            offline_close(conn);
            conn = offline_open(path, server.url);
        }
        offline_same(conn, &server);
        assert_true(offline_info(conn).index >> 32 == 1 + (i + 1) * (i + 2) / 2);
    }
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    offline_close(conn);
}

/* The server took it, its answer was lost, and then the generation ended. */
static void finds_its_frames_in_the_generation_before(void **state) {
    struct lsq_conn *conn;
    int64_t pushed;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    run(conn, "INSERT INTO t (b) VALUES (randomblob(9000))");
    pushed = offline_info(conn).unpushed;
    generations_fail(&server, "{\"push_last\": true}");
    assert_true(lsq_sync(conn, NULL, NULL, &last_error) != LSQ_OK);
    assert_int_equal(offline_info(conn).unpushed, pushed);
    run(conn, "INSERT INTO t (b) VALUES (randomblob(5000))");
    generations_checkpoint(&server);
    generations_fail(&server, "{}");
    offline_same(conn, &server);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 7);
    assert_true(offline_info(conn).index >> 32 == 2);
    offline_close(conn);
}

/* Memory that runs out anywhere in a sync leaves what is to be pushed for the next. */
static void runs_out_of_memory(void **state) {
    struct lsq_conn *conn;
    enum lsq_status st;
    int budget = 0;
    int64_t frames;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    frames = offline_frames(&server);
    run(conn, "INSERT INTO t (b) VALUES (randomblob(9000))");
    frames += offline_info(conn).unpushed;
    do {
        lsq_memory_set_budget(budget++);
        st = lsq_sync(conn, NULL, NULL, &last_error);
        lsq_memory_set_budget(-1);
    } while (st != LSQ_OK && budget < 2000);
    assert_true(st == LSQ_OK && budget > 10);
    offline_same(conn, &server);
    assert_int_equal(offline_frames(&server), frames);
    offline_close(conn);
}

/* ---- Beside one another ---- */

static _Atomic int written;
static atomic_bool stop_writing;

static void *write_on(void *arg) {
    struct lsq_conn *conn = arg;

    while (!atomic_load(&stop_writing)) {
        run(conn, "INSERT INTO t (b) VALUES (randomblob(1000))");
        atomic_fetch_add(&written, 1);
        sleep_ms(50);
    }
    return NULL;
}

static void pushes_beside_writers(void **state) {
    enum { WRITERS = 3, SYNCS = 15 };
    const char *path = replica_path();
    struct lsq_conn *conns[WRITERS];
    pthread_t threads[WRITERS];

    (void)state;
    offline_begin(&server);
    atomic_store(&written, 0);
    atomic_store(&stop_writing, false);
    for (int i = 0; i < WRITERS; i++) conns[i] = offline_open(path, server.url);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, conns[i]), 0);
    for (int i = 0; i < SYNCS; i++) {
        struct lsqi_replica *replica = conns[0]->offline;

        if (lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error) != LSQ_OK)
            fail_msg("a sync: %s", last_error.message);
        if (i % 7 == 3) generations_checkpoint(&server);
    }
    atomic_store(&stop_writing, true);
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    offline_same(conns[0], &server);
    assert_int_equal(ask(conns[0], "SELECT count(*) FROM t"), 5 + atomic_load(&written));
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    for (int i = 1; i < WRITERS; i++) db_close(conns[i]);
    offline_close(conns[0]);
}

/* What was fetched when a commit comes first does not go in. */
static void a_commit_comes_before_what_is_fetched(void **state) {
    struct lsq_conn *conn;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('theirs')");
    run(conn, "BEGIN IMMEDIATE");
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    {
        struct lsqi_replica *replica = conn->offline;

        /* It waits for the transaction. */
        assert_int_equal(lsqi_replica_sync_wait(replica, 0, 700, NULL, NULL, NULL, &last_error),
                         LSQ_TIMEOUT);
    }
    run(conn, "COMMIT");
    offline_conflicts(conn);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b IN ('mine', 'theirs')"), 1);
    assert_int_equal(lsq_set_aside(conn, NULL, NULL, 0, &last_error), LSQ_OK);
    offline_same(conn, &server);
    offline_close(conn);
}

/* ---- Roles ---- */

static void refuses_what_does_not_fit(void **state) {
    const char *path = replica_path();
    struct lsq_replica own = {.offline = true};
    struct lsq_config cfg;
    struct lsq_conn *conn;

    (void)state;
    offline_begin(&server);
    cfg = *offline_config(path, server.url);
    own = *cfg.replica;
    cfg.replica = &own;
    own.protocol = LSQ_SYNC_V1;
    assert_int_equal(db_try(&cfg), LSQ_PROTOCOL_UNSUPPORTED);
    own.protocol = LSQ_SYNC_AUTO;
    generations_fail(&server, "{\"no_info\": true}");
    assert_int_equal(db_try(&cfg), LSQ_PROTOCOL_UNSUPPORTED);
    generations_fail(&server, "{}");
    conn = offline_open(path, server.url);
    expect(LSQ_UNSUPPORTED, conn, "VACUUM");
    expect(LSQ_UNSUPPORTED, conn, "/* so */ vacuum");
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    own.offline = false;
    assert_int_equal(db_try(&cfg), LSQ_ALREADY_OPEN);
    sqld_kill(&server);
    offline_close(conn);
    /* It has what its server has not. */
    assert_int_equal(db_try(&cfg), LSQ_CONFLICT);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    lsq_shutdown();
    conn = offline_open(path, server.url);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b = 'mine'"), 1);
    generations_restart(&server);
    offline_same(conn, &server);
    offline_close(conn);
    assert_int_equal(db_try(&cfg), LSQ_OK);
    lsq_shutdown();
}

/* Frozen, it keeps all, and is checkpointed like any file. */
static void freezes_with_its_changes(void **state) {
    const char *path = replica_path();
    struct lsq_conn *conn;

    (void)state;
    offline_begin(&server);
    conn = offline_open(path, server.url);
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    assert_int_equal(lsq_freeze(conn, NULL, &last_error), LSQ_OK);
    lsq_shutdown();
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    assert_int_equal(
        lsq_conn_checkpoint(conn, "main", LSQ_CHECKPOINT_TRUNCATE, NULL, NULL, &last_error),
        LSQ_OK);
    db_close(conn);
    conn = db_open(path);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b = 'mine'"), 2);
    db_close(conn);
}

/* All that is kept of it is encrypted; what is pushed is the server's to encrypt. */
static void pushes_from_an_encrypted_file(void **state) {
    const char *path = replica_path();
    struct lsq_config cfg;
    struct lsq_conn *conn;
    struct lsq_conn *primary;
    char aside[300];
    char head[16];
    int fd;

    (void)state;
    offline_begin(&server);
    cfg = *offline_config(path, server.url);
    cfg.key = "a key of no words";
    cfg.key_len = strlen(cfg.key);
    conn = db_open_as(&cfg);
    run(conn, "INSERT INTO t (b) VALUES ('a word in the clear'), (randomblob(20000))");
    offline_close(conn);
    conn = db_open_as(&cfg);
    offline_sync(LSQ_OK, conn);
    primary = primary_conn(&server);
    assert_true(content_of(conn) == content_of(primary));
    run(primary, "INSERT INTO t (b) VALUES ('theirs')");
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    offline_conflicts(conn);
    assert_int_equal(lsq_set_aside(conn, NULL, aside, sizeof(aside), &last_error), LSQ_OK);
    assert_true(content_of(conn) == content_of(primary));
    fd = open(aside, O_RDONLY);
    assert_int_equal(read(fd, head, sizeof(head)), sizeof(head));
    close(fd);
    assert_true(memcmp(head, "SQLite format 3", 16) != 0);
    db_close(primary);
    offline_close(conn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(writes_and_pushes, forget),
        cmocka_unit_test_teardown(pushes_long_transactions, forget),
        cmocka_unit_test_teardown(keeps_what_is_not_pushed, forget),
        cmocka_unit_test_teardown(gets_through_torn_answers, forget),
        cmocka_unit_test_teardown(moves_to_the_next_generation, forget),
        cmocka_unit_test_teardown(finds_its_frames_in_the_generation_before, forget),
        cmocka_unit_test_teardown(runs_out_of_memory, forget),
        cmocka_unit_test_teardown(pushes_beside_writers, forget),
        cmocka_unit_test_teardown(a_commit_comes_before_what_is_fetched, forget),
        cmocka_unit_test_teardown(refuses_what_does_not_fit, forget),
        cmocka_unit_test_teardown(freezes_with_its_changes, forget),
        cmocka_unit_test_teardown(pushes_from_an_encrypted_file, forget),
    };

    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
