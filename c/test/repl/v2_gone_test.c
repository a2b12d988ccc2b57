/* A bootstrap by protocol v2 that was broken off, and of which something is gone since: here, or on the server. */
#include <stdio.h>
#include <unistd.h>

#include "../support/bootstrap.h"
#include "repl/meta.h"

static struct bootstrap b;

static int forget(void **state) { return bootstrap_forget(&b, state); }

/* Somebody was at the file in the making. In the same process or in the next one, it is begun again. */
static void what_is_not_there_any_more_is_not_gone_on_with(void **state) {
    static const char *const keys[] = {NULL, "key"};
    static const struct {
        off_t left; /* bytes; -1: no file */
        bool reopened;
    } cases[] = {{0, false}, {8000000, true}, {-1, false}};

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
        cmocka_unit_test_teardown(what_is_not_there_any_more_is_not_gone_on_with, forget),
        cmocka_unit_test_teardown(a_server_that_lost_what_is_here_is_begun_again, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
