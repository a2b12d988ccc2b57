/* kill -9 of a process with a replica, at random moments of its bootstrap, its syncs and its checkpoints: the file is
 * never unreadable, and has what the primary has after the next sync. LSQ_TEST_KILLS: how often; 50. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/primary.h"

static struct sqld server;

static int forget(void **state) {
    sqld_kill(&server);
    return db_forget(state);
}

/* "PATH URL": syncs without end, with a reader beside. */
static int follow(const char *argument) {
    char path[256];
    char url[128];
    struct lsqi_replica *replica;
    struct lsq_conn *reader = NULL;

    if (sscanf(argument, "%255s %127s", path, url) != 2) return 2;
    replica = replica_open_at(path, url);
    (void)!write(1, "r", 1);
    for (;;) {
        if (lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error) != LSQ_OK)
            return 3;
        if (reader == NULL) reader = replica_reader(replica);
        (void)ask(reader, "SELECT count(*) FROM t");
        sleep_ms(1); /* an endless train of requests would keep the server from all else */
    }
}

static const struct child_role roles[] = {{"follow", follow}};

static int rounds(void) {
    const char *text = getenv("LSQ_TEST_KILLS");

    return text == NULL ? 50 : atoi(text);
}

/* Small and large transactions, of which checkpoints come, too. */
static void write_something(struct lsq_conn *primary, uint64_t *seed) {
    char sql[200];

    switch (random_next(seed) % 4) {
    case 0: run(primary, "INSERT INTO t (b) VALUES (randomblob(100))"); break;
    case 1:
        snprintf(sql, sizeof(sql), "INSERT INTO t (b) SELECT randomblob(500) FROM big LIMIT %d",
                 (int)(random_next(seed) % 800));
        run(primary, sql);
        break;
    case 2:
        snprintf(sql, sizeof(sql), "UPDATE t SET b = randomblob(300) WHERE a %% 7 = %d",
                 (int)(random_next(seed) % 7));
        run(primary, sql);
        break;
    default:
        snprintf(sql, sizeof(sql), "DELETE FROM t WHERE a %% 11 = %d",
                 (int)(random_next(seed) % 11));
        run(primary, sql);
        break;
    }
}

/* What it has without a server: some state of the primary's, sound. */
static bool check_alone(const char *path) {
    struct lsqi_replica *replica = replica_open_at(path, server.url);
    bool usable = lsqi_replica_usable(replica);

    if (usable) {
        struct lsq_conn *reader = replica_reader(replica);

        assert_string_equal(ask_text(reader, "PRAGMA integrity_check"), "ok");
        db_close(reader);
    }
    replica_close(replica);
    return usable;
}

static void is_killed_anywhere(void **state) {
    uint64_t seed = test_seed();
    const char *path = replica_path();
    char argument[400];
    struct lsq_conn *primary;
    int usable = 0;
    int killed = rounds();

    (void)state;
    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    run(primary,
        "CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 5000) SELECT i, randomblob(100) AS r FROM n");
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "CREATE INDEX tb ON t (b)");
    snprintf(argument, sizeof(argument), "%s %s", path, server.url);
    replica_events_begin();
    for (int i = 0; i < killed; i++) {
        struct child child;
        struct lsqi_replica *replica;
        int status;

        /* Now and then the file is gone: a bootstrap is what is killed then. */
        if (random_next(&seed) % 5 == 0) {
            unlink(path);
            snprintf(argument, sizeof(argument), "%s-wal", path);
            unlink(argument);
            snprintf(argument, sizeof(argument), "%s %s", path, server.url);
        }
        child = child_begin("follow", argument);
        child_ready(&child);
        for (uint64_t n = random_next(&seed) % 4; n > 0; n--) write_something(primary, &seed);
        sleep_ms((int)(random_next(&seed) % 60));
        kill(child.pid, SIGKILL);
        close(child.to);
        close(child.from);
        assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
        if (!WIFSIGNALED(status)) fail_msg("the child ended with %d", WEXITSTATUS(status));
        usable += check_alone(path);
        if (i % 3 != 0) continue; /* else kills come on top of one another */
        replica = replica_open(path, &server);
        expect_same(replica, primary);
        replica_close(replica);
    }
    print_message("%d kills, %d left a usable file; set aside %d times\n", killed, usable,
                  replica_events(LSQI_REPLICA_SET_ASIDE));
    db_close(primary);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(is_killed_anywhere, forget)};

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
