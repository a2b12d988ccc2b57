/* Memory that runs out anywhere in a replica's opening, bootstrap and syncs: an error, and the next try succeeds. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/generations.h"
#include "../support/primary.h"

static struct sqld server;

static int forget(void **state) {
    lsq_memory_set_budget(-1);
    sqld_kill(&server);
    return db_forget(state);
}

static enum lsq_status try_once(const char *path, int64_t budget) {
    struct lsq_config cfg;
    struct lsqi_replica_config replica_cfg = {.path = path, .server = &cfg};
    struct lsqi_replica *replica = NULL;
    enum lsq_status st;

    lsq_config_init(&cfg);
    cfg.path = server.url;
    lsq_memory_set_budget(budget);
    st = lsqi_replica_open(&replica, &replica_cfg, &last_error);
    if (st == LSQ_OK) st = lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error);
    lsq_memory_set_budget(-1);
    lsqi_replica_unref(replica);
    return st;
}

/* From none on, until it succeeds. */
static int walk(const char *path) {
    enum lsq_status st;
    int n = 0;

    while ((st = try_once(path, n)) != LSQ_OK) {
        assert_true(last_error.status == st && last_error.message[0] != '\0');
        n += n < 100 ? 1 : n / 20;
        assert_true(n < 1000000);
    }
    return n;
}

static void walk_through(bool by_generations) {
    struct lsq_conn *primary;
    const char *path = replica_path();
    struct lsqi_replica *replica;

    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "INSERT INTO t (b) VALUES (randomblob(50000)), (2)");
    if (by_generations) generations_checkpoint(&server);
    assert_true(walk(path) > 20);
    for (int i = 0; i < 3; i++) {
        run(primary, "UPDATE t SET b = randomblob(60000) WHERE a = 1");
        if (by_generations && i == 1) generations_checkpoint(&server);
        assert_true(walk(path) > 20);
    }
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

static void is_told_wherever_it_runs_out(void **state) {
    (void)state;
    sqld_start(&server, NULL);
    walk_through(false);
}

static void is_told_with_generations_too(void **state) {
    (void)state;
    generations_start(&server);
    walk_through(true);
}

/* Of one process, whose connections are kept: what ran out for a moment is not felt later. */
static void goes_on_when_there_is_memory_again(void **state) {
    const char *folder = replica_path();
    struct lsq_conn *primary;
    enum lsq_status st = LSQ_ERROR;
    int failed = 0;

    (void)state;
    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "INSERT INTO t (b) VALUES (randomblob(50000)), (2)");
    for (int n = 0; st != LSQ_OK; n += n < 100 ? 1 : n / 16) {
        struct lsqi_replica *replica;
        char path[200];

        snprintf(path, sizeof(path), "%s-%d", folder, n);
        replica = replica_open(path, &server);
        lsq_memory_set_budget(n);
        st = lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error);
        lsq_memory_set_budget(-1);
        failed += st != LSQ_OK;
        expect_same(replica, primary);
        lsqi_replica_unref(replica);
    }
    assert_true(failed > 10);
    lsq_shutdown();
    db_close(primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(is_told_wherever_it_runs_out, forget),
        cmocka_unit_test_teardown(is_told_with_generations_too, forget),
        cmocka_unit_test_teardown(goes_on_when_there_is_memory_again, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
