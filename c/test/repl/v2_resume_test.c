/* A bootstrap by protocol v2 that was broken off, and cannot be gone on with, or not as it was begun: the server has
 * moved on, or is another, or tells lies; what was there is there no more. */
#include <stdio.h>
#include <unistd.h>

#include "../support/bootstrap.h"
#include "repl/meta.h"

static struct bootstrap b;

static int forget(void **state) { return bootstrap_forget(&b, state); }

static int64_t exports_in_parts(void) {
    return generations_number(generations_do(&b.server, "{\"do\": \"counts\"}"), "parts");
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

    (void)state;
    bootstrap_fill(&b, V2_EXPORT);
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        struct lsqi_replica *replica = bootstrap_open(&b, replica_path());

        generations_fail(&b.server, i < 2 ? servers[i].faults : "{}");
        bootstrap_break_off(&b, replica, 80);
        generations_fail(&b.server, servers[i].faults);
        (void)exports_in_parts();
        bootstrap_expect_rest(&b, replica, 150);
        assert_int_equal(exports_in_parts() > 0, servers[i].asked);
        replica_close(replica);
    }
}

/* While it was away, the server's generation has gone on: the old one's export is gone on with as long as it is there.
 * Or its file is another. */
static void the_server_has_moved_on(void **state) {
    struct lsqi_replica *replica;

    (void)state;
    bootstrap_fill(&b, V2_EXPORT);
    (void)generations_do(&b.server, "{\"do\": \"save\"}");
    replica = bootstrap_open(&b, replica_path());
    bootstrap_break_off(&b, replica, 80);
    generations_checkpoint(&b.server);
    run(b.primary, "INSERT INTO t (b) VALUES ('in the next one')");
    bootstrap_expect_rest(&b, replica, 25);
    replica_close(replica);

    replica = bootstrap_open(&b, replica_path());
    bootstrap_break_off(&b, replica, 80);
    generations_checkpoint(&b.server);
    (void)generations_do(&b.server, "{\"do\": \"forget\"}");
    bootstrap_expect_rest(&b, replica, 150);
    replica_close(replica);

    /* The same generation, and as many pages; the last one, amid which it was broken off, is the same, too. */
    replica = bootstrap_open(&b, replica_path());
    bootstrap_break_off(&b, replica, 80);
    (void)generations_do(&b.server, "{\"do\": \"go_back\"}");
    for (int i = 0; i < 2; i++) {
        run(b.primary, "UPDATE t SET b = randomblob(3500) WHERE a BETWEEN 100 AND 200");
        generations_checkpoint(&b.server);
    }
    bootstrap_expect_rest(&b, replica, 150);
    replica_close(replica);
}

/* Somebody was at the file in the making. In the same process or in the next one, it is begun again. */
static void what_is_not_there_any_more_is_not_gone_on_with(void **state) {
    static const char *const keys[] = {NULL, "key"};
    static const struct {
        off_t left; /* bytes; -1: no file */
        bool reopened;
    } cases[] = {{0, false}, {0, true}, {8000000, false}, {8000000, true}, {-1, false}, {-1, true}};

    (void)state;
    bootstrap_fill(&b, V2_EXPORT);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *path = replica_path();
        struct lsqi_replica *replica;
        char incoming[512];

        replica_use_key(keys[i % 2]);
        replica = bootstrap_open(&b, path);
        bootstrap_break_off(&b, replica, 80);
        if (cases[i].reopened) replica_close(replica);
        snprintf(incoming, sizeof(incoming), "%s-incoming", path);
        if (cases[i].left < 0)
            assert_int_equal(unlink(incoming), 0);
        else
            assert_int_equal(truncate(incoming, cases[i].left), 0);
        if (cases[i].reopened) replica = bootstrap_open(&b, path);
        bootstrap_expect_rest(&b, replica, 250);
        replica_close(replica);
    }
}

/* A connection that breaks again and again, each time a bit further on. */
static void each_break_costs_a_bit(void **state) {
    struct lsqi_replica *replica;

    (void)state;
    bootstrap_fill(&b, V2_EXPORT);
    generations_fail(&b.server, "{\"cut\": 4000000}");
    replica = bootstrap_open(&b, replica_path());
    if (lsqi_replica_sync_wait(replica, 0, 120000, NULL, NULL, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    generations_fail(&b.server, "{}");
    expect_same(replica, b.primary);
    replica_close(replica);
}

/* Greeted well, and given nothing for a while: that is waited for. */
static void an_overloaded_server_is_waited_for(void **state) {
    struct lsqi_replica *replica;

    (void)state;
    bootstrap_fill(&b, V2_EXPORT);
    generations_fail(&b.server, "{\"export\": \"busy\"}");
    replica = bootstrap_open(&b, replica_path());
    assert_int_equal(lsqi_replica_sync_wait(replica, 0, 5000, NULL, NULL, NULL, &last_error),
                     LSQ_TIMEOUT);
    generations_fail(&b.server, "{}");
    bootstrap_expect_rest(&b, replica, 150);
    replica_close(replica);
}

/* The process was killed while frames came that it had not noted yet; then the server was restored to a state amid them,
 * and went on otherwise: what only the lost ones touched must not stay. */
static void a_server_that_lost_what_is_here_is_begun_again(void **state) {
    struct lsqi_replica *replica;
    struct lsqi_meta before;
    struct lsqi_meta after;
    const char *path;
    const char *name;

    (void)state;
    bootstrap_fill(&b, V2_FRAMES);
    (void)generations_do(&b.server, "{\"do\": \"save\"}");
    run(b.primary, "UPDATE t SET b = zeroblob(3500) WHERE a % 2 = 0");
    bootstrap_measure(&b);
    path = replica_path();
    name = beside(path, "-incoming-state");
    replica = bootstrap_open(&b, path);
    bootstrap_break_off(&b, replica, 50);
    replica_close(replica);
    assert_int_equal(lsqi_meta_read(&before, name, NULL, &last_error), LSQ_OK);
    replica = bootstrap_open(&b, path);
    bootstrap_break_off(&b, replica, 45);
    replica_close(replica);
    assert_int_equal(lsqi_meta_read(&after, name, NULL, &last_error), LSQ_OK);
    assert_true(before.applied > 0 && after.applied > before.applied + 1000);
    /* As the kill leaves it. */
    before.target = after.target;
    before.target_checksum = after.target_checksum;
    before.sequence = after.sequence;
    assert_int_equal(lsqi_meta_write(&before, name, NULL, LSQI_META_DURABLE, &last_error), LSQ_OK);
    (void)generations_do(&b.server, "{\"do\": \"go_back\"}");
    run(b.primary, "CREATE TABLE u AS SELECT b FROM t");
    replica = bootstrap_open(&b, path);
    bootstrap_expect_rest(&b, replica, 300);
    replica_close(replica);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_cannot_be_gone_on_with_begins_again, forget),
        cmocka_unit_test_teardown(the_server_has_moved_on, forget),
        cmocka_unit_test_teardown(what_is_not_there_any_more_is_not_gone_on_with, forget),
        cmocka_unit_test_teardown(each_break_costs_a_bit, forget),
        cmocka_unit_test_teardown(an_overloaded_server_is_waited_for, forget),
        cmocka_unit_test_teardown(a_server_that_lost_what_is_here_is_begun_again, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
