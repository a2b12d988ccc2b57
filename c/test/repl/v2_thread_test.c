/* A replica of a server that speaks protocol v2: bootstrap, generations, other histories, lies. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/answer.h"
#include "../support/generations.h"
#include "../support/primary.h"
#include "repl/meta.h"

static struct sqld server;

static int forget(void **state) {
    sqld_kill(&server);
    return db_forget(state);
}

#define MANY(n) "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " #n ") "

static struct lsq_conn *begin(void) {
    struct lsq_conn *primary;

    generations_start(&server);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "INSERT INTO t (b) VALUES (1), ('two'), (3.0), (NULL), (x'05')");
    replica_events_begin();
    return primary;
}

static uint64_t place(uint64_t generation, uint64_t frame) { return generation << 32 | frame; }

static void expect_failure(struct lsqi_replica *replica, enum lsq_status want, const char *words) {
    enum lsq_status st = lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error);

    if (st != want || strstr(last_error.message, words) == NULL)
        fail_msg("%s: %s", lsq_status_name(st), last_error.message);
}

static void bootstraps_and_catches_up(void **state) {
    struct lsq_conn *primary = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsqi_replica_sync_result result = replica_sync(replica);
    struct lsqi_replica_info info;
    uint64_t frames;

    (void)state;
    assert_true(lsqi_replica_usable(replica));
    assert_true(result.frame > place(1, 0) && result.frame < place(1, 100));
    assert_true(result.applied < 100);
    assert_int_equal(replica_events(LSQI_REPLICA_BOOTSTRAPPED), 1);
    expect_same(replica, primary);
    for (int i = 0; i < 20; i++) {
        run(primary, "INSERT INTO t (b) VALUES (randomblob(3000))");
        result = replica_sync(replica);
        assert_true(result.applied > 0 && result.frame == lsqi_replica_applied(replica));
    }
    expect_same(replica, primary);
    assert_true(replica_sync(replica).applied == 0);
    frames =
        (uint64_t)generations_number(generations_do(&server, "{\"do\": \"counts\"}"), "frames");
    lsqi_replica_info(replica, &info);
    assert_true(info.applied == place(1, frames) && info.lag == 0 && info.failures == 0);
    assert_int_equal(info.protocol, LSQ_SYNC_V2);
    replica_close(replica);
    replica = replica_open(path, &server);
    assert_true(lsqi_replica_usable(replica));
    assert_true(lsqi_replica_applied(replica) == place(1, frames));
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    replica_close(replica);
    db_close(primary);
}

/* More frames than one answer has, as one transaction, and as several. */
static void takes_long_transactions(void **state) {
    struct lsq_conn *primary = begin();
    struct lsqi_replica *replica = replica_open(replica_path(), &server);

    (void)state;
    run(primary, "INSERT INTO t (b) " MANY(4000) "SELECT randomblob(500) FROM n");
    expect_same(replica, primary);
    run(primary, "UPDATE t SET b = randomblob(600)");
    expect_same(replica, primary);
    for (int i = 0; i < 30; i++) run(primary, "UPDATE t SET b = randomblob(600) WHERE a % 50 = 1");
    expect_same(replica, primary);
    run(primary, "DELETE FROM t WHERE a > 10");
    run(primary, "VACUUM");
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

static void goes_on_in_the_next_generation(void **state) {
    struct lsq_conn *primary = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsqi_replica_info info;

    (void)state;
    expect_same(replica, primary);
    for (int i = 0; i < 3; i++) {
        run(primary, "INSERT INTO t (b) VALUES (randomblob(9000))");
        generations_checkpoint(&server);
        if (i == 1) run(primary, "CREATE TABLE u AS SELECT * FROM t");
        expect_same(replica, primary);
        lsqi_replica_info(replica, &info);
        assert_true(info.lag == 0);
    }
    /* Several of them while it was away. */
    replica_close(replica);
    for (int i = 0; i < 5; i++) {
        run(primary, "UPDATE t SET b = randomblob(100) WHERE a = 1");
        generations_checkpoint(&server);
    }
    run(primary, "INSERT INTO t (b) VALUES (7)");
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    lsqi_replica_info(replica, &info);
    assert_true(info.applied >> 32 == 9 && info.lag == 0 && info.rebuilds == 0);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    /* A new replica begins with the last one. */
    replica_close(replica);
    (void)generations_do(&server, "{\"do\": \"forget\"}");
    replica = replica_open(replica_path(), &server);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

/* An empty server, one whose generation has no frame, and one that has forgotten the replica's. */
static void begins_with_what_there_is(void **state) {
    const char *path = replica_path();
    struct lsqi_replica *replica;
    struct lsq_conn *primary;

    (void)state;
    generations_start(&server);
    replica_events_begin();
    generations_fail(&server, "{\"export\": \"empty\"}");
    replica = replica_open(path, &server);
    replica_sync(replica);
    assert_true(lsqi_replica_usable(replica));
    generations_fail(&server, "{}");
    primary = primary_conn(&server);
    expect_same(replica, primary);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    expect_same(replica, primary);
    generations_checkpoint(&server);
    expect_same(replica, primary);
    replica_close(replica);
    replica = replica_open(replica_path(), &server);
    expect_same(replica, primary);
    replica_close(replica);
    run(primary, "INSERT INTO t (b) VALUES (1)");
    generations_checkpoint(&server);
    generations_checkpoint(&server);
    (void)generations_do(&server, "{\"do\": \"forget\"}");
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    replica_close(replica);
    db_close(primary);
}

/* The server goes back to an older state, and goes on otherwise from there: in the same generation or to an earlier
 * one. Readers stay. */
static void follows_a_server_that_was_restored(void **state) {
    struct lsq_conn *primary = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsq_conn *reader;

    (void)state;
    (void)generations_do(&server, "{\"do\": \"save\"}");
    run(primary, "INSERT INTO t (b) VALUES ('lost'), (randomblob(20000))");
    expect_same(replica, primary);
    reader = replica_reader(replica);
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 7);
    for (int i = 0; i < 4; i++) {
        int replaced = replica_events(LSQI_REPLICA_REPLACED);

        if (i > 1) generations_checkpoint(&server);
        if (i == 3) replica_sync(replica);
        (void)generations_do(&server, "{\"do\": \"go_back\"}");
        /* With more frames than before, or fewer; other ones. */
        for (int n = 0; n < 8 * (i % 2); n++)
            run(primary, "INSERT INTO t (b) VALUES ('other'), (randomblob(20000))");
        /* A restore is not done in a moment: meanwhile nobody answers. */
        generations_fail(&server, "{\"status\": 500}");
        expect_failure(replica, LSQ_ERROR, "HTTP 500");
        generations_fail(&server, "{}");
        expect_same(replica, primary);
        assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), replaced + 1);
        assert_true(ask(reader, "SELECT count(*) FROM t WHERE b = 'lost'") == 0);
        if (i == 2) generations_checkpoint(&server);
        run(primary, "INSERT INTO t (b) VALUES ('lost')");
        run(primary, "INSERT INTO t (b) VALUES ('lost'), (randomblob(20000))");
        expect_same(replica, primary);
    }
    db_close(reader);
    replica_close(replica);
    /* The same while it is not open. */
    (void)generations_do(&server, "{\"do\": \"go_back\"}");
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 5);
    replica_close(replica);
    db_close(primary);
}

/* Syncs, and leaves what a kill leaves that comes when the frames are in, and before that is noted. */
static void sync_and_die(const char *path, struct lsq_conn *primary) {
    const char *name = beside(path, "-replica");
    struct lsqi_replica *replica;
    struct lsqi_meta before;
    struct lsqi_meta after;

    assert_int_equal(lsqi_meta_read(&before, name, NULL, &last_error), LSQ_OK);
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    replica_close(replica);
    assert_int_equal(lsqi_meta_read(&after, name, NULL, &last_error), LSQ_OK);
    before.target = after.applied;
    before.target_checksum = after.checksum;
    before.coming = after.mark;
    before.sequence = after.sequence;
    assert_int_equal(lsqi_meta_write(&before, name, NULL, LSQI_META_DURABLE, &last_error), LSQ_OK);
}

/* The server was restored to what it was before frames that a kill left, and went on otherwise: pages that only the
 * lost ones touched must not stay. */
static void keeps_nothing_of_frames_that_the_server_lost(void **state) {
    struct lsq_conn *primary = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);

    (void)state;
    run(primary, "INSERT INTO t (b) " MANY(500) "SELECT zeroblob(3000) FROM n");
    expect_same(replica, primary);
    replica_close(replica);
    (void)generations_do(&server, "{\"do\": \"save\"}");
    run(primary, "UPDATE t SET b = 'lost' WHERE a % 7 = 0");
    sync_and_die(path, primary);
    (void)generations_do(&server, "{\"do\": \"go_back\"}");
    run(primary, "CREATE TABLE u AS SELECT b FROM t");
    replica_events_begin();
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    replica_close(replica);
    db_close(primary);
}

static void *recover(void *arg) {
    (void)arg;
    sleep_ms(6000);
    generations_fail(&server, "{}");
    return NULL;
}

/* That its history is another is learnt late, when what failed before has been tried again for long: that is no failure
 * more, and is healed by the same sync. */
static void begins_again_after_long_trouble(void **state) {
    struct lsq_conn *primary = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    pthread_t thread;

    (void)state;
    expect_same(replica, primary);
    replica_close(replica);
    (void)generations_do(&server, "{\"do\": \"save\"}");
    run(primary, "INSERT INTO t (b) VALUES ('lost')");
    sync_and_die(path, primary);
    (void)generations_do(&server, "{\"do\": \"go_back\"}");
    run(primary, "CREATE TABLE u AS SELECT b FROM t");
    replica_events_begin();
    replica = replica_open(path, &server);
    generations_fail(&server, "{\"status\": 503}");
    assert_int_equal(pthread_create(&thread, NULL, recover, NULL), 0);
    replica_sync(replica);
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    replica_close(replica);
    db_close(primary);
}

/* What a kill left is of the next generation, or the one after it: the server has it all, and nothing is done anew. */
static void goes_on_over_the_end_of_a_generation(void **state) {
    struct lsq_conn *primary = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);

    (void)state;
    expect_same(replica, primary);
    replica_close(replica);
    for (int ends = 1; ends <= 2; ends++) {
        for (int i = 0; i < ends; i++) {
            generations_checkpoint(&server);
            run(primary, "INSERT INTO t (b) VALUES (randomblob(9000))");
        }
        sync_and_die(path, primary);
        run(primary, "INSERT INTO t (b) VALUES (randomblob(9000))");
        replica = replica_open(path, &server);
        expect_same(replica, primary);
        replica_close(replica);
        assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    }
    db_close(primary);
}

/* A lie is an error, and what was there before is still what is read; the truth heals it. */
static void believes_no_lies(void **state) {
    static const struct {
        const char *faults;
        enum lsq_status status;
        const char *words;
    } lies[] = {
        {"{\"frames\": \"short\"}", LSQ_PROTOCOL_UNSUPPORTED, "no frames of 4120"},
        {"{\"frames\": \"wide\"}", LSQ_PROTOCOL_UNSUPPORTED, "no frames of 4120"},
        {"{\"frames\": \"more\"}", LSQ_PROTOCOL_UNSUPPORTED, "longer than what was asked for"},
        {"{\"frames\": \"zero\"}", LSQ_PROTOCOL_UNSUPPORTED, "frame of no page"},
        {"{\"frames\": \"none\"}", LSQ_PROTOCOL_UNSUPPORTED, "no frames of 4120"},
        {"{\"claims\": \"soon\"}", LSQ_ERROR, "HTTP 400"},
        {"{\"claims\": 5000000000}", LSQ_ERROR, "HTTP 400"},
        {"{\"claims\": 0.5}", LSQ_ERROR, "HTTP 400"},
        {"{\"status\": 500}", LSQ_ERROR, "HTTP 500"},
        {"{\"token\": \"x\"}", LSQ_UNAUTHORIZED, "HTTP 401"},
    };
    struct lsq_conn *primary = begin();
    struct lsqi_replica *replica = replica_open(replica_path(), &server);
    struct lsq_conn *reader;

    (void)state;
    expect_same(replica, primary);
    reader = replica_reader(replica);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        int64_t rows = ask(reader, "SELECT count(*) FROM t");

        run(primary, "INSERT INTO t (b) VALUES (randomblob(20000)), (1)");
        generations_fail(&server, lies[i].faults);
        expect_failure(replica, lies[i].status, lies[i].words);
        assert_int_equal(ask(reader, "SELECT count(*) FROM t"), rows);
        assert_string_equal(ask_text(reader, "PRAGMA integrity_check"), "ok");
        generations_fail(&server, "{}");
        expect_same(replica, primary);
    }
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    db_close(reader);
    replica_close(replica);
    db_close(primary);
}

static void installs_no_lies(void **state) {
    static const struct {
        const char *faults;
        enum lsq_status status;
        const char *words;
    } lies[] = {
        {"{\"export\": \"short\"}", LSQ_CORRUPT, "says that it has"},
        {"{\"export\": \"part\"}", LSQ_CORRUPT, "amid a page"},
        {"{\"export\": \"pages\"}", LSQ_PROTOCOL_UNSUPPORTED, "4096"},
        {"{\"export\": \"damage\"}", LSQ_CORRUPT, "damaged"},
        {"{\"export\": \"html\"}", LSQ_PROTOCOL_UNSUPPORTED, "no database"},
        {"{\"frames\": \"short\"}", LSQ_PROTOCOL_UNSUPPORTED, "no frames of 4120"},
        {"{\"token\": \"x\"}", LSQ_UNAUTHORIZED, "HTTP 401"},
        {"{\"key\": \"x\"}", LSQ_PROTOCOL_UNSUPPORTED, ""},
        {"{\"info\": \"[]\"}", LSQ_PROTOCOL_UNSUPPORTED, "names no generation"},
        {"{\"info\": \"{\\\"current_generation\\\": 0}\"}", LSQ_PROTOCOL_UNSUPPORTED,
         "names no generation"},
    };
    struct lsq_conn *primary = begin();
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);

    (void)state;
    run(primary, "INSERT INTO t (b) " MANY(300) "SELECT randomblob(100) FROM n");
    generations_checkpoint(&server);
    run(primary, "INSERT INTO t (b) VALUES (1)");
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        generations_fail(&server, lies[i].faults);
        expect_failure(replica, lies[i].status, lies[i].words);
        assert_false(lsqi_replica_usable(replica));
        assert_int_not_equal(access(path, F_OK), 0);
    }
    generations_fail(&server, "{}");
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

/* Types that have been seen to change, and a redirect. */
static void is_tolerant(void **state) {
    static const char *const faults[] = {"{\"number\": \"text\"}", "{\"number\": \"real\"}",
                                         "{\"redirect\": true}", "{\"number\": \"text\"}"};
    struct lsq_conn *primary = begin();

    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct lsqi_replica *replica;

        generations_fail(&server, faults[i]);
        replica = replica_open(replica_path(), &server);
        expect_same(replica, primary);
        run(primary, "INSERT INTO t (b) VALUES (randomblob(20000)), (1)");
        generations_checkpoint(&server);
        run(primary, "INSERT INTO t (b) VALUES (randomblob(20000)), (1)");
        expect_same(replica, primary);
        replica_close(replica);
    }
    db_close(primary);
}

/* Connections that are cut anywhere. */
static void gets_through_cuts(void **state) {
    struct lsq_conn *primary = begin();
    struct lsqi_replica *replica;

    (void)state;
    run(primary, "INSERT INTO t (b) " MANY(600) "SELECT randomblob(300) FROM n");
    generations_checkpoint(&server);
    generations_fail(&server, "{\"cut\": 600000}");
    replica = replica_open(replica_path(), &server);
    expect_same(replica, primary);
    for (int i = 0; i < 12; i++) {
        run(primary, "UPDATE t SET b = randomblob(300) WHERE a % 7 = 2");
        generations_fail(&server, i % 2 == 0 ? "{\"cut\": 2000000}" : "{\"cut\": 300000}");
        if (i % 4 == 3) generations_checkpoint(&server);
        /* What is cut too often on end is an error; the next one goes on from there. */
        for (int tries = 0; tries < 8; tries++)
            if (lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error) == LSQ_OK)
                break;
        generations_fail(&server, "{}");
        expect_same(replica, primary);
    }
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    replica_close(replica);
    db_close(primary);
}

static void note_status(void *arg, enum lsq_status status,
                        const struct lsqi_replica_sync_result *result,
                        const struct lsq_error *err) {
    (void)result, (void)err;
    atomic_store((atomic_int *)arg, (int)status);
}

static void await_request(void) {
    const char *counts;

    do {
        sleep_ms(1);
        counts = generations_do(&server, "{\"do\": \"counts\"}");
    } while (generations_number(counts, "info") + generations_number(counts, "sync") == 0);
}

/* Who asks while another's exchange fails is not answered by that: the server may be well again. */
static void has_only_its_own_failures(void **state) {
    struct lsq_conn *primary = begin();
    struct lsqi_replica *replica = replica_open(replica_path(), &server);
    atomic_int status = -1;
    struct lsqi_replica_sync first = {.done = note_status, .arg = &status};

    (void)state;
    expect_same(replica, primary);
    (void)generations_do(&server, "{\"do\": \"counts\"}");
    generations_fail(&server, "{\"status\": 400, \"hold\": 500}");
    assert_int_equal(lsqi_replica_sync(replica, &first, &last_error), LSQ_OK);
    await_request();
    generations_fail(&server, "{}");
    (void)replica_sync(replica);
    assert_int_equal(atomic_load(&status), LSQ_ERROR);
    replica_close(replica);
    db_close(primary);
}

static void outlives_the_server(void **state) {
    struct lsq_conn *primary = begin();
    struct lsqi_replica *replica = replica_open(replica_path(), &server);

    (void)state;
    expect_same(replica, primary);
    for (int i = 0; i < 3; i++) {
        run(primary, "INSERT INTO t (b) VALUES (randomblob(5000))");
        sqld_kill(&server);
        expect_failure(replica, LSQ_UNREACHABLE, "");
        generations_restart(&server);
        db_close(primary);
        primary = primary_conn(&server);
        /* It is not asked before it has been found to answer. */
        for (int tries = 0; tries < 600; tries++) {
            if (lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error) == LSQ_OK)
                break;
            sleep_ms(50);
        }
        expect_same(replica, primary);
    }
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    replica_close(replica);
    db_close(primary);
}

/* What has come of a transaction, and is not in the file, is of the old history, too. */
static void forgets_the_begin_of_what_will_not_come(void **state) {
    struct lsq_conn *primary = begin();
    struct lsqi_replica *replica = replica_open(replica_path(), &server);

    (void)state;
    expect_same(replica, primary);
    run(primary, "CREATE TABLE mark (a)");
    expect_same(replica, primary);
    (void)generations_do(&server, "{\"do\": \"save\"}");
    run(primary, "INSERT INTO t (b) " MANY(3000) "SELECT randomblob(500) FROM n");
    generations_fail(&server, "{\"most\": 200}");
    expect_failure(replica, LSQ_ERROR, "HTTP 500");
    (void)generations_do(&server, "{\"do\": \"go_back\"}");
    run(primary, "INSERT INTO t (b) " MANY(3000) "SELECT randomblob(600) FROM n");
    generations_fail(&server, "{}");
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

static void expect_plain_nowhere(const char *path) {
    size_t len;
    char *data = read_whole(path, &len);

    assert_true(len > 8192);
    assert_null(memmem(data, len, "plain text", 10));
    assert_null(memmem(data, len, "SQLite format", 13));
    free(data);
}

static void keeps_what_it_has_encrypted(void **state) {
    struct lsq_conn *primary = begin();
    const char *path = replica_path();

    (void)state;
    run(primary, "INSERT INTO t (b) " MANY(300) "SELECT 'plain text ' || i FROM n");
    for (int i = 0; i < 3; i++) {
        struct lsq_config cfg = db_config(path);
        const struct lsq_remote remote = {.proxy = "", .timeout = 120000};
        struct lsq_conn *conn;

        cfg.primary = server.url;
        cfg.remote = &remote;
        cfg.key = "a key";
        cfg.key_len = 5;
        conn = db_open_as(&cfg);
        run(conn, "INSERT INTO t (b) VALUES ('one more')");
        assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 306 + i);
        if (i == 1) generations_checkpoint(&server);
        db_close(conn);
        lsq_shutdown();
    }
    expect_plain_nowhere(path);
    db_close(primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(bootstraps_and_catches_up, forget),
        cmocka_unit_test_teardown(takes_long_transactions, forget),
        cmocka_unit_test_teardown(goes_on_in_the_next_generation, forget),
        cmocka_unit_test_teardown(begins_with_what_there_is, forget),
        cmocka_unit_test_teardown(follows_a_server_that_was_restored, forget),
        cmocka_unit_test_teardown(keeps_nothing_of_frames_that_the_server_lost, forget),
        cmocka_unit_test_teardown(begins_again_after_long_trouble, forget),
        cmocka_unit_test_teardown(goes_on_over_the_end_of_a_generation, forget),
        cmocka_unit_test_teardown(believes_no_lies, forget),
        cmocka_unit_test_teardown(installs_no_lies, forget),
        cmocka_unit_test_teardown(is_tolerant, forget),
        cmocka_unit_test_teardown(gets_through_cuts, forget),
        cmocka_unit_test_teardown(has_only_its_own_failures, forget),
        cmocka_unit_test_teardown(outlives_the_server, forget),
        cmocka_unit_test_teardown(forgets_the_begin_of_what_will_not_come, forget),
        cmocka_unit_test_teardown(keeps_what_it_has_encrypted, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
