/* A bootstrap that is broken off goes on where it was: what comes over the link says so. Of protocol v1, of v2's
 * frames, and of v2's export. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/generations.h"
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

/* What is broken off: a test's state. */
static char v1[] = "v1";
static char v2_frames[] = "v2, frames";
static char v2_export[] = "v2, an export";

static void fill(const char *source) {
    struct lsqi_replica *replica;

    if (source == v1)
        sqld_start(&server, NULL);
    else
        generations_start(&server);
    way = link_start(server.port, 0);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    for (int i = 0; i < 6; i++)
        run(primary, "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                     "FROM n WHERE i < 1600) SELECT randomblob(3500) FROM n");
    if (source == v2_export) {
        generations_checkpoint(&server);
        run(primary, "INSERT INTO t (b) VALUES ('behind it')");
    }
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

    link_set_rate(way, (int)whole);
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
    struct lsqi_replica *replica;

    fill(*state);
    replica = replica_open_at(replica_path(), link_url(way));
    break_off(replica);
    expect_rest(replica, 25);
    replica_close(replica);
    db_close(primary);
}

static void by_who_opens_it_next(void **state) {
    const char *path = replica_path();
    struct lsqi_replica *replica;

    fill(*state);
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

/* What came since the last mark is lost with the process: a second's worth at most, of four. */
static void after_a_kill(void **state) {
    static const char *const keys[] = {"", "key"};

    fill(*state);
    for (size_t i = 0; i < 2; i++) {
        const char *path = replica_path();
        int64_t before = link_came(way);
        struct lsqi_replica *replica;
        char argument[400];
        struct child child;

        link_set_rate(way, (int)(whole / 5));
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

static int64_t exports_in_parts(void) {
    return generations_number(generations_do(&server, "{\"do\": \"counts\"}"), "parts");
}

/* A server that gives no part, or says nothing by which the file would be known again, or lies: it is begun again. */
static void what_cannot_be_gone_on_with_begins_again(void **state) {
    static const struct {
        const char *faults;
        bool asked; /* for a part */
    } servers[] = {
        {"{\"parts\": \"none\"}", false},     {"{\"parts\": \"weak\"}", false},
        {"{\"parts\": \"whole\"}", true},     {"{\"parts\": \"416\"}", true},
        {"{\"parts\": \"elsewhere\"}", true}, {"{\"parts\": \"400\"}", true},
    };

    fill(*state);
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        struct lsqi_replica *replica = replica_open_at(replica_path(), link_url(way));

        generations_fail(&server, i < 2 ? servers[i].faults : "{}");
        break_off(replica);
        generations_fail(&server, servers[i].faults);
        (void)exports_in_parts();
        expect_rest(replica, 110);
        assert_int_equal(exports_in_parts() > 0, servers[i].asked);
        replica_close(replica);
    }
    db_close(primary);
}

/* While it was away, the server's generation has gone on: the old one's export is gone on with as long as it is there.
 * Or its file is another. */
static void the_server_has_moved_on(void **state) {
    struct lsqi_replica *replica;

    fill(*state);
    (void)generations_do(&server, "{\"do\": \"save\"}");
    replica = replica_open_at(replica_path(), link_url(way));
    break_off(replica);
    generations_checkpoint(&server);
    run(primary, "INSERT INTO t (b) VALUES ('in the next one')");
    expect_rest(replica, 25);
    replica_close(replica);

    replica = replica_open_at(replica_path(), link_url(way));
    break_off(replica);
    generations_checkpoint(&server);
    (void)generations_do(&server, "{\"do\": \"forget\"}");
    expect_rest(replica, 110);
    replica_close(replica);

    /* The same generation, and as many pages; the last one, amid which it was broken off, is the same, too. */
    replica = replica_open_at(replica_path(), link_url(way));
    break_off(replica);
    (void)generations_do(&server, "{\"do\": \"go_back\"}");
    for (int i = 0; i < 2; i++) {
        run(primary, "UPDATE t SET b = randomblob(3500) WHERE a BETWEEN 100 AND 200");
        generations_checkpoint(&server);
    }
    expect_rest(replica, 110);
    replica_close(replica);
    db_close(primary);
}

/* Somebody was at the file in the making. In the same process or in the next one, it is begun again. */
static void what_is_not_there_any_more_is_not_gone_on_with(void **state) {
    static const char *const keys[] = {NULL, "key"};
    static const struct {
        off_t left; /* bytes; -1: no file */
        bool reopened;
    } cases[] = {{0, false}, {0, true}, {8000000, false}, {8000000, true}, {-1, false}, {-1, true}};

    fill(*state);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *path = replica_path();
        struct lsqi_replica *replica;
        char incoming[512];

        replica_use_key(keys[i % 2]);
        replica = replica_open_at(path, link_url(way));
        break_off(replica);
        if (cases[i].reopened) replica_close(replica);
        snprintf(incoming, sizeof(incoming), "%s-incoming", path);
        if (cases[i].left < 0)
            assert_int_equal(unlink(incoming), 0);
        else
            assert_int_equal(truncate(incoming, cases[i].left), 0);
        if (cases[i].reopened) replica = replica_open_at(path, link_url(way));
        expect_rest(replica, 210);
        replica_close(replica);
    }
    db_close(primary);
}

/* A connection that breaks again and again, each time a bit further on. */
static void each_break_costs_a_bit(void **state) {
    struct lsqi_replica *replica;

    fill(*state);
    generations_fail(&server, "{\"cut\": 4000000}");
    replica = replica_open_at(replica_path(), link_url(way));
    if (lsqi_replica_sync_wait(replica, 0, 120000, NULL, NULL, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    generations_fail(&server, "{}");
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

/* Greeted well, and given nothing for a while: that is waited for. */
static void an_overloaded_server_is_waited_for(void **state) {
    struct lsqi_replica *replica;

    fill(*state);
    generations_fail(&server, "{\"export\": \"busy\"}");
    replica = replica_open_at(replica_path(), link_url(way));
    assert_int_equal(lsqi_replica_sync_wait(replica, 0, 5000, NULL, NULL, NULL, &last_error),
                     LSQ_TIMEOUT);
    generations_fail(&server, "{}");
    expect_rest(replica, 110);
    replica_close(replica);
    db_close(primary);
}

#define TEST(name, of)                                                                             \
    { #name ", " #of, name, NULL, forget, of }

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(in_the_same_process, v1),
        TEST(by_who_opens_it_next, v1),
        TEST(after_a_kill, v1),
        TEST(in_the_same_process, v2_frames),
        TEST(by_who_opens_it_next, v2_frames),
        TEST(after_a_kill, v2_frames),
        TEST(in_the_same_process, v2_export),
        TEST(by_who_opens_it_next, v2_export),
        TEST(after_a_kill, v2_export),
        TEST(what_cannot_be_gone_on_with_begins_again, v2_export),
        TEST(the_server_has_moved_on, v2_export),
        TEST(what_is_not_there_any_more_is_not_gone_on_with, v2_export),
        TEST(what_is_not_there_any_more_is_not_gone_on_with, v2_frames),
        TEST(each_break_costs_a_bit, v2_export),
        TEST(an_overloaded_server_is_waited_for, v2_export),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
