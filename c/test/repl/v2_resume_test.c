/* A bootstrap by protocol v2 that was broken off, and servers that make it hard to go on: that give no parts, have moved
 * on, lie, break off again, or are overloaded. */
#include "../support/bootstrap.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_cannot_be_gone_on_with_begins_again, forget),
        cmocka_unit_test_teardown(the_server_has_moved_on, forget),
        cmocka_unit_test_teardown(each_break_costs_a_bit, forget),
        cmocka_unit_test_teardown(an_overloaded_server_is_waited_for, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
