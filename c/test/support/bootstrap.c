#include "bootstrap.h"

#include <pthread.h>
#include <stdio.h>

void bootstrap_fill(struct bootstrap *b, enum source source) {
    if (source == V1)
        sqld_start(&b->server, NULL);
    else
        generations_start(&b->server);
    b->way = link_start(b->server.port, 0);
    b->primary = primary_conn(&b->server);
    run(b->primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    for (int i = 0; i < 6; i++)
        run(b->primary, "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                        "FROM n WHERE i < 1600) SELECT randomblob(3500) FROM n");
    if (source == V2_EXPORT) {
        generations_checkpoint(&b->server);
        run(b->primary, "INSERT INTO t (b) VALUES ('behind it')");
    }
    bootstrap_measure(b);
    assert_true(b->whole > 30000000);
}

struct lsqi_replica *bootstrap_open(struct bootstrap *b, const char *path) {
    return replica_open_at(path, link_url(b->way));
}

void bootstrap_measure(struct bootstrap *b) {
    struct lsqi_replica *replica = bootstrap_open(b, replica_path());
    int64_t before = link_came(b->way);

    replica_sync(replica);
    replica_close(replica);
    b->whole = link_came(b->way) - before;
}

int bootstrap_forget(struct bootstrap *b, void **state) {
    if (b->primary != NULL) db_close(b->primary);
    link_stop(b->way);
    replica_use_key(NULL);
    sqld_kill(&b->server);
    *b = (struct bootstrap){.whole = 0};
    return db_forget(state);
}

void bootstrap_await(struct bootstrap *b, int hundredths, int64_t before) {
    int64_t bytes = b->whole / 100 * hundredths;

    for (int i = 0; i < 60000 && link_came(b->way) - before < bytes; i++) sleep_ms(1);
    assert_true(link_came(b->way) - before >= bytes);
}

static void *sync_and_fail(void *arg) {
    assert_int_not_equal(
        lsqi_replica_sync_wait(arg, 0, 120000, NULL, NULL, NULL, &(struct lsq_error){0}), LSQ_OK);
    return NULL;
}

void bootstrap_break_off(struct bootstrap *b, struct lsqi_replica *replica, int hundredths) {
    int64_t before = link_came(b->way);
    pthread_t thread;

    link_set_rate(b->way, (int)b->whole);
    assert_int_equal(pthread_create(&thread, NULL, sync_and_fail, replica), 0);
    bootstrap_await(b, hundredths, before);
    link_cut(b->way);
    pthread_join(thread, NULL);
    assert_false(lsqi_replica_usable(replica));
    link_set_rate(b->way, 0);
    link_mend(b->way);
}

void bootstrap_expect_rest(struct bootstrap *b, struct lsqi_replica *replica, int most) {
    int64_t before = link_came(b->way);

    /* The breaker of the address may have to see first that it is there again. */
    for (int i = 0; i < 300; i++) {
        if (lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error) == LSQ_OK)
            break;
        sleep_ms(100);
    }
    if ((link_came(b->way) - before) * 100 > b->whole * most)
        fail_msg("%lld bytes of %lld came again", (long long)(link_came(b->way) - before),
                 (long long)b->whole);
    expect_same(replica, b->primary);
}
