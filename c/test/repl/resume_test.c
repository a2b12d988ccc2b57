/* A bootstrap that is broken off goes on where it was: what comes over the link says so. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/link.h"
#include "../support/primary.h"

static struct sqld server;
static struct link *way;
static struct lsq_conn *primary;
static int64_t whole; /* bytes of a bootstrap */

static int forget(void **state) {
    link_stop(way);
    way = NULL;
    replica_use_key(NULL);
    sqld_kill(&server);
    return db_forget(state);
}

static void fill(void) {
    struct lsqi_replica *replica;

    sqld_start(&server, NULL);
    way = link_start(server.port, 0);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    for (int i = 0; i < 6; i++)
        run(primary, "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                     "FROM n WHERE i < 1600) SELECT randomblob(3500) FROM n");
    replica = replica_open_at(replica_path(), link_url(way));
    replica_sync(replica);
    replica_close(replica);
    whole = link_came(way);
    assert_true(whole > 30000000);
}

static int64_t await_came(int64_t bytes, int64_t before) {
    int64_t came = 0;

    for (int i = 0; i < 60000 && came < bytes; i++) {
        came = link_came(way) - before;
        sleep_ms(1);
    }
    assert_true(came >= bytes);
    return came;
}

static void *sync_and_fail(void *arg) {
    assert_int_not_equal(
        lsqi_replica_sync_wait(arg, 0, 120000, NULL, NULL, NULL, &(struct lsq_error){0}), LSQ_OK);
    return NULL;
}

/* Cuts the link at four fifths; the sync fails. */
static void break_off(struct lsqi_replica *replica) {
    int64_t before = link_came(way);
    pthread_t thread;

    link_set_rate(way, (int)(whole / 3));
    assert_int_equal(pthread_create(&thread, NULL, sync_and_fail, replica), 0);
    (void)await_came(whole / 5 * 4, before);
    link_cut(way);
    pthread_join(thread, NULL);
    assert_false(lsqi_replica_usable(replica));
    link_set_rate(way, 0);
    link_mend(way);
}

/* The rest, and little more: so many hundredths of the whole at most. */
static void expect_rest(struct lsqi_replica *replica, int most) {
    int64_t before = link_came(way);

    /* The breaker of the address may have to see first that it is there again. */
    for (int i = 0; i < 300; i++) {
        if (lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error) == LSQ_OK)
            break;
        sleep_ms(100);
    }
    if ((link_came(way) - before) * 100 > whole * most)
        fail_msg("%lld bytes of %lld came again", (long long)(link_came(way) - before),
                 (long long)whole);
    expect_same(replica, primary);
}

static void in_the_same_process(void **state) {
    const char *path = replica_path();
    struct lsqi_replica *replica;

    (void)state;
    fill();
    replica = replica_open_at(path, link_url(way));
    break_off(replica);
    expect_rest(replica, 25);
    replica_close(replica);
    db_close(primary);
}

static void by_who_opens_it_next(void **state) {
    const char *path = replica_path();
    struct lsqi_replica *replica;

    (void)state;
    fill();
    replica_use_key("with a key");
    replica = replica_open_at(path, link_url(way));
    break_off(replica);
    replica_close(replica);
    replica = replica_open_at(path, link_url(way));
    expect_rest(replica, 25);
    replica_close(replica);
    db_close(primary);
}

/* "PATH URL KEY" */
static int follow(const char *argument) {
    char path[256];
    char url[128];
    char key[16] = "";
    struct lsqi_replica *replica;

    if (sscanf(argument, "%255s %127s %15s", path, url, key) < 2) return 2;
    replica_use_key(key[0] == '\0' ? NULL : key);
    replica = replica_open_at(path, url);
    (void)!write(1, "r", 1);
    (void)lsqi_replica_sync_wait(replica, 0, 120000, NULL, NULL, NULL, &last_error);
    return 3;
}

static const struct child_role roles[] = {{"follow", follow}};

/* What came since the last mark is lost with the process: a second's worth at most, of three. */
static void after_a_kill(void **state) {
    static const char *const keys[] = {"", "key"};

    (void)state;
    fill();
    for (size_t i = 0; i < 2; i++) {
        const char *path = replica_path();
        int64_t before = link_came(way);
        struct lsqi_replica *replica;
        char argument[400];
        struct child child;

        link_set_rate(way, (int)(whole / 6));
        snprintf(argument, sizeof(argument), "%s %s %s", path, link_url(way), keys[i]);
        child = child_begin("follow", argument);
        child_ready(&child);
        (void)await_came(whole / 5 * 4, before);
        kill(child.pid, SIGKILL);
        (void)child_end(&child);
        link_set_rate(way, 0);
        replica_use_key(keys[i][0] == '\0' ? NULL : keys[i]);
        replica = replica_open_at(path, link_url(way));
        expect_rest(replica, 75);
        replica_close(replica);
    }
    db_close(primary);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(in_the_same_process, forget),
        cmocka_unit_test_teardown(by_who_opens_it_next, forget),
        cmocka_unit_test_teardown(after_a_kill, forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
