/* kill -9 of a process that writes to a replica offline, at random moments of its commits, pushes, fetches, checkpoints and
 * of setting aside; and of the server. After each: the file opens by itself and is sound, each commit that was acknowledged
 * is there, whole and once; and, after the next sync, on the server, which has nothing else.
 * LSQ_TEST_KILLS: how many rounds; without it 60, or 15 where the program is checked while it runs, and as many as
 * two minutes have room for. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/offline.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 15 };
#else
enum { ROUNDS = 60 };
#endif

static struct sqld server;
static const char *other; /* a replica that is not written to */

static int forget(void **state) {
    sqld_kill(&server);
    return db_forget(state);
}

/* ---- What is killed ---- */

static void write_one(struct lsq_conn *conn, int id, uint64_t *seed) {
    bool both = id % 3 == 0;
    char sql[200];

    if (both) run(conn, "BEGIN");
    snprintf(sql, sizeof(sql), "INSERT INTO w (id, part, b) VALUES (%d, 1, randomblob(%d))", id,
             (int)(random_next(seed) % 3000));
    run(conn, sql);
    snprintf(sql, sizeof(sql), "INSERT INTO w (id, part, b) VALUES (%d, 2, randomblob(%d))", id,
             random_next(seed) % 8 == 0 ? 400000 : 100);
    if (both) run(conn, sql);
    if (both) run(conn, "COMMIT");
}

/* "PATH URL ID SEED": writes from that id on; an id is told when its write was acknowledged. */
static int write_on(const char *argument) {
    char path[256];
    char url[128];
    unsigned long long seed_given;
    struct lsq_conn *conn;
    uint64_t seed;
    int id;

    if (sscanf(argument, "%255s %127s %d %llu", path, url, &id, &seed_given) != 4) return 2;
    seed = seed_given;
    conn = offline_open(path, url);
    (void)!write(1, "r", 1);
    for (;; id++) {
        write_one(conn, id, &seed);
        if (write(1, &id, sizeof(id)) != sizeof(id)) return 4;
        switch (random_next(&seed) % 8) {
        case 0:
        case 1: (void)lsq_sync(conn, NULL, NULL, &last_error); break;
        case 2:
            (void)lsq_conn_checkpoint(conn, "main", LSQ_CHECKPOINT_TRUNCATE, NULL, NULL,
                                      &last_error);
            break;
        case 3:
            offline_close(conn);
            conn = offline_open(path, url);
            break;
        default: break;
        }
    }
}

static const struct child_role roles[] = {{"write_on", write_on}};

/* ---- What is left ---- */

/* Ids below next all are there, whole and once; of the next one, all or nothing. Answers the one after the last. */
static int check_written(struct lsq_conn *conn, int next) {
    int most;

    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    assert_int_equal(
        ask(conn,
            "SELECT count(*) FROM (SELECT id, count(*) AS n, count(DISTINCT part) AS parts FROM w "
            "GROUP BY id HAVING n <> parts OR n <> (CASE id % 3 WHEN 0 THEN 2 ELSE 1 END))"),
        0);
    most = (int)ask(conn, "SELECT coalesce(max(id), 0) FROM w");
    assert_int_equal(ask(conn, "SELECT count(DISTINCT id) FROM w"), most);
    assert_in_range(most, next - 1, next);
    return most + 1;
}

static int acknowledged(const struct child *child, bool ready, int first) {
    char told;
    int id;

    if (!ready && read(child->from, &told, 1) != 1) return first;
    while (read(child->from, &id, sizeof(id)) == sizeof(id)) {
        assert_int_equal(id, first);
        first++;
    }
    return first;
}

static void kill_it(struct child *child) {
    int status;

    kill(child->pid, SIGKILL);
    close(child->to);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    if (!WIFSIGNALED(status)) fail_msg("the child ended with %d", WEXITSTATUS(status));
}

static void disturb(uint64_t *seed) {
    switch (random_next(seed) % 6) {
    case 0: generations_restart(&server); break;
    case 1: generations_checkpoint(&server); break;
    case 2: generations_fail(&server, "{\"push_lost\": 0.5}"); break;
    case 3: generations_fail(&server, "{\"push_part\": 0.4, \"push_unheard\": 0.2}"); break;
    case 4: generations_fail(&server, "{\"cut\": 200000}"); break;
    default: generations_fail(&server, "{}"); break;
    }
}

static void kill_one(const char *path, uint64_t *seed, int *next) {
    bool ready = random_next(seed) % 6 > 0; /* or it is killed amid its opening */
    char argument[500];
    struct child child;

    snprintf(argument, sizeof(argument), "%s %s %d %llu", path, server.url, *next,
             (unsigned long long)random_next(seed));
    child = child_begin("write_on", argument);
    if (ready) child_ready(&child);
    if (random_next(seed) % 2 == 0) disturb(seed);
    sleep_ms((int)(random_next(seed) % 150));
    kill_it(&child);
    if (random_next(seed) % 8 == 0) generations_restart(&server);
    generations_fail(&server, "{}");
    *next = acknowledged(&child, ready, *next);
    close(child.from);
}

/* Without its server, then with it. */
static int check_file(const char *path, int next) {
    struct lsq_conn *conn = offline_open(path, "http://127.0.0.1:9");

    next = check_written(conn, next);
    offline_close(conn);
    conn = offline_open(path, server.url);
    offline_same_as(conn, &server, other);
    assert_int_equal(check_written(conn, next), next);
    offline_close(conn);
    return next;
}

static bool goes_on(int rounds, int64_t began) {
    const char *text = getenv("LSQ_TEST_KILLS");

    if (text != NULL) return rounds < atoi(text);
    return rounds < ROUNDS && now_ns() - began < INT64_C(120000000000);
}

static void is_killed_anywhere(void **state) {
    uint64_t seed = test_seed();
    const char *path = replica_path();
    struct lsq_conn *conn;
    int64_t began = now_ns();
    int rounds = 0;
    int kills = 0;
    int next = 1;

    (void)state;
    generations_start(&server);
    other = replica_path();
    replica_events_begin();
    conn = offline_open(path, server.url);
    run(conn, "CREATE TABLE w (k INTEGER PRIMARY KEY, id INTEGER, part INTEGER, b)");
    run(conn, "CREATE INDEX wb ON w (b)");
    offline_close(conn);
    for (; goes_on(rounds, began); rounds++) {
        /* Some come on top of one another. */
        do {
            kill_one(path, &seed, &next);
            kills++;
        } while (random_next(&seed) % 4 == 0);
        next = check_file(path, next);
        /* Somebody else writes, too, when nothing is to be pushed. */
        if (random_next(&seed) % 3 == 0) {
            conn = primary_conn(&server);
            run(conn,
                "UPDATE w SET b = NULL WHERE id % 5 = 1 AND id > (SELECT max(id) - 40 FROM w)");
            db_close(conn);
            conn = offline_open(path, server.url);
            offline_same_as(conn, &server, other);
            offline_close(conn);
        }
        if (random_next(&seed) % 10 == 0) generations_checkpoint(&server);
    }
    print_message("%d rounds, %d kills; %d writes acknowledged or found\n", rounds, kills,
                  next - 1);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(is_killed_anywhere, forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
