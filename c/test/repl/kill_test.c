/* kill -9 of a process with a replica, at random moments of its bootstrap, its syncs, its checkpoints, and of the writes
 * that it has the primary do. After each: the file opens by itself and is sound, has what the primary has after the
 * next sync, and what a write was acknowledged for is there, once.
 * LSQ_TEST_KILLS: how many rounds; without it 200, or 30 where the program is checked while it runs, and as many as two
 * minutes have room for. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/generations.h"
#include "../support/primary.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 30 };
#else
enum { ROUNDS = 200 };
#endif

static struct sqld server;
static bool by_generations; /* the server is one of protocol v2 */

static int forget(void **state) {
    sqld_kill(&server);
    return db_forget(state);
}

/* ---- What is killed ---- */

static bool arguments(const char *argument, char *path, char *url, int *first) {
    return sscanf(argument, "%255s %127s %d", path, url, first) == 3;
}

/* "PATH URL 0": syncs without end, with a reader beside. */
static int follow(const char *argument) {
    char path[256];
    char url[128];
    int none;
    struct lsqi_replica *replica;
    struct lsq_conn *reader = NULL;

    if (!arguments(argument, path, url, &none)) return 2;
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

/* The same, closed each time, which takes a checkpoint. */
static int come_and_go(const char *argument) {
    char path[256];
    char url[128];
    int none;

    if (!arguments(argument, path, url, &none)) return 2;
    (void)!write(1, "r", 1);
    for (;;) {
        struct lsqi_replica *replica = replica_open_at(path, url);

        if (lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error) != LSQ_OK)
            return 3;
        replica_close(replica);
    }
}

/* An id is told when the write of it was acknowledged; each third write is a transaction of two rows. */
static int forward(const char *argument) {
    static const struct lsq_remote remote = {.proxy = "", .timeout = 60000};
    char path[256];
    char url[128];
    char sql[128];
    int id;
    struct lsq_config cfg;
    struct lsq_conn *conn;

    if (!arguments(argument, path, url, &id)) return 2;
    cfg = db_config(path);
    cfg.primary = url;
    cfg.remote = &remote;
    conn = db_open_as(&cfg);
    (void)!write(1, "r", 1);
    for (;; id++) {
        bool both = id % 3 == 0;

        if (both) run(conn, "BEGIN");
        snprintf(sql, sizeof(sql), "INSERT INTO w (id, part) VALUES (%d, 1)", id);
        run(conn, sql);
        snprintf(sql, sizeof(sql), "INSERT INTO w (id, part) VALUES (%d, 2)", id);
        if (both) run(conn, sql);
        if (both) run(conn, "COMMIT");
        if (write(1, &id, sizeof(id)) != sizeof(id)) return 4;
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM w WHERE id = %d", id);
        if (ask(conn, sql) != (both ? 2 : 1)) return 5;
    }
}

static const struct child_role roles[] = {
    {"follow", follow}, {"come_and_go", come_and_go}, {"forward", forward}};

static bool goes_on(int rounds, int64_t began) {
    const char *text = getenv("LSQ_TEST_KILLS");

    if (text != NULL) return rounds < atoi(text);
    return rounds < (by_generations ? ROUNDS / 3 : ROUNDS) &&
           now_ns() - began < INT64_C(120000000000);
}

/* Small and large transactions, of which checkpoints come, too. */
static void write_something(struct lsq_conn *primary, uint64_t *seed) {
    char sql[200];

    if (by_generations && random_next(seed) % 4 == 0) generations_checkpoint(&server);
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
        snprintf(sql, sizeof(sql), "DELETE FROM t WHERE a %% 3 = %d", (int)(random_next(seed) % 3));
        run(primary, sql);
        break;
    }
}

/* ---- What is left ---- */

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

static void check_in_step(const char *path, struct lsq_conn *primary) {
    struct lsqi_replica *replica = replica_open(path, &server);

    expect_same(replica, primary);
    replica_close(replica);
}

/* The ids from first on that were acknowledged; answers the one after the last. */
static int acknowledged(const struct child *child, int first) {
    int id;

    while (read(child->from, &id, sizeof(id)) == sizeof(id)) {
        assert_int_equal(id, first);
        first++;
    }
    return first;
}

/* Of ids below next all are there, whole and once; of the next one, all or nothing. What the server was asked for last
 * it may still be about to do: a later write comes after it. */
static int check_written(struct lsq_conn *primary, int next) {
    char sql[300];
    int most;

    run(primary, "UPDATE big SET i = i WHERE i = 1");
    snprintf(sql, sizeof(sql),
             "SELECT count(*) FROM (SELECT id, count(*) AS n, count(DISTINCT part) AS parts FROM w "
             "GROUP BY id HAVING n <> parts OR n <> (CASE id %% 3 WHEN 0 THEN 2 ELSE 1 END))");
    assert_int_equal(ask(primary, sql), 0);
    assert_int_equal(ask(primary, "SELECT count(DISTINCT id) FROM w"),
                     ask(primary, "SELECT coalesce(max(id), 0) FROM w"));
    most = (int)ask(primary, "SELECT coalesce(max(id), 0) FROM w");
    assert_in_range(most, next - 1, next);
    return most + 1;
}

/* ---- A kill ---- */

static void remove_file(const char *path) {
    char wal[300];

    unlink(path);
    snprintf(wal, sizeof(wal), "%s-wal", path);
    unlink(wal);
}

static void kill_it(struct child *child) {
    int status;

    kill(child->pid, SIGKILL);
    close(child->to);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    if (!WIFSIGNALED(status)) fail_msg("the child ended with %d", WEXITSTATUS(status));
}

static void kill_one(const char *path, struct lsq_conn *primary, uint64_t *seed, int *next) {
    const char *role = roles[random_next(seed) % 3].name;
    char argument[400];
    struct child child;

    /* Now and then the file is gone: a bootstrap is what is killed then. */
    if (random_next(seed) % 5 == 0) remove_file(path);
    snprintf(argument, sizeof(argument), "%s %s %d", path, server.url, *next);
    child = child_begin(role, argument);
    child_ready(&child);
    for (uint64_t n = random_next(seed) % 4; n > 0; n--) write_something(primary, seed);
    sleep_ms((int)(random_next(seed) % 60));
    kill_it(&child);
    if (by_generations) (void)generations_do(&server, "{\"do\": \"settle\"}");
    if (strcmp(role, "forward") == 0) *next = check_written(primary, acknowledged(&child, *next));
    close(child.from);
}

static void kill_anywhere(void) {
    uint64_t seed = test_seed();
    const char *path = replica_path();
    struct lsq_conn *primary;
    int usable = 0;
    int kills = 0;
    int next = 1;
    int64_t began = now_ns();
    int rounds = 0;

    primary = primary_conn(&server);
    run(primary,
        "CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < 5000) SELECT i, randomblob(100) AS r FROM n");
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "CREATE INDEX tb ON t (b)");
    run(primary, "CREATE TABLE w (k INTEGER PRIMARY KEY, id INTEGER, part INTEGER)");
    replica_events_begin();
    for (; goes_on(rounds, began); rounds++) {
        /* Some come on top of one another. */
        do {
            kill_one(path, primary, &seed, &next);
            usable += check_alone(path);
            kills++;
        } while (random_next(&seed) % 4 == 0);
        check_in_step(path, primary);
    }
    print_message("%d rounds, %d kills, %d left a usable file; %d writes acknowledged or found\n",
                  rounds, kills, usable, next - 1);
    /* The server has lost nothing: no file had to be begun again, here or in what was killed. Of a snapshot, as sqld has
     * them, that cannot always be known. */
    if (by_generations) assert_int_equal(access(beside(path, "-aside-1"), F_OK), -1);
    db_close(primary);
}

static void is_killed_anywhere(void **state) {
    (void)state;
    by_generations = false;
    sqld_start(&server, NULL);
    kill_anywhere();
}

static void is_killed_anywhere_with_generations(void **state) {
    (void)state;
    by_generations = true;
    generations_start(&server);
    kill_anywhere();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(is_killed_anywhere, forget),
        cmocka_unit_test_teardown(is_killed_anywhere_with_generations, forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
