/* Checksums of frames, and what comes of frames that do not fit them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/link.h"
#include "../support/primary.h"
#include "repl/meta.h"
#include "repl/state.h"
#include "repl/sum.h"

static struct sqld server;
static struct link *way;

static int forget(void **state) {
    link_stop(way);
    way = NULL;
    replica_use_key(NULL);
    sqld_kill(&server);
    return db_forget(state);
}

static uint64_t plain_sum(uint64_t before, const unsigned char *data, size_t len) {
    uint64_t sum = 0;

    for (int i = 0; i < 64; i++) sum |= (before >> i & 1) << (63 - i);
    for (size_t i = 0; i < len; i++) {
        sum ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            sum = (sum >> 1) ^ ((sum & 1) != 0 ? UINT64_C(0xd800000000000000) : 0);
    }
    return ~sum;
}

/* The check value is the catalogue's of CRC-64/GO-ISO, which begins with all ones. */
static void is_the_known_sum(void **state) {
    uint64_t seed = test_seed();
    unsigned char data[300];

    (void)state;
    assert_true(lsqi_frame_sum(UINT64_MAX, "123456789", 9) == UINT64_C(0xb90956c775a41001));
    assert_true(lsqi_frame_sum(0, "", 0) == UINT64_MAX);
    for (int i = 0; i < 2000; i++) {
        size_t len = random_next(&seed) % sizeof(data);
        uint64_t before = random_next(&seed) << 32 ^ random_next(&seed);

        for (size_t j = 0; j < len; j++) data[j] = (unsigned char)random_next(&seed);
        assert_true(lsqi_frame_sum(before, data, len) == plain_sum(before, data, len));
    }
}

static struct lsq_conn *fill(int rows) {
    struct lsq_conn *primary;
    char sql[300];

    sqld_start(&server, NULL);
    way = link_start(server.port, 0);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    snprintf(sql, sizeof(sql),
             "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
             "WHERE i < %d) SELECT replace(hex(zeroblob(1500)), '0', 'q') || i FROM n",
             rows);
    run(primary, sql);
    return primary;
}

/* Every frame of a real server's log fits. */
static void a_servers_log_is_such_a_chain(void **state) {
    struct lsq_conn *primary = fill(300);
    struct lsqi_replica *replica = replica_open(replica_path(), &server);

    (void)state;
    for (int i = 0; i < 5; i++) {
        expect_same(replica, primary);
        assert_true(replica->chain.holds && !replica->chain.none && replica->chain.sum != 0);
        assert_true(replica->meta.checksum == replica->chain.sum);
        run(primary, "UPDATE t SET b = randomblob(2000) WHERE a % 5 = 1");
    }
    replica_close(replica);
    /* Also from what is known on the disk, of a server that began anew with the same log. */
    replica = replica_open(replica_path(), &server);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

/* A flipped bit anywhere in an answer costs another request, and no page. */
static void damage_on_the_way_is_asked_for_again(void **state) {
    uint64_t seed = test_seed();
    struct lsq_conn *primary = fill(300);
    const char *path = replica_path();
    struct lsqi_replica *replica = NULL;
    int damaged = 0;
    int refused = 0;
    int errors = 0;

    (void)state;
    for (int i = 0; i < 60; i++) {
        enum lsq_status st;

        if (replica == NULL) replica = replica_open_at(path, link_url(way));
        (void)link_damage(way, (int64_t)(random_next(&seed) % 300000), 'q');
        st = lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error);
        damaged += link_damage(way, -1, 'q');
        refused += replica->chain.odd != UINT64_MAX;
        replica->chain.odd = UINT64_MAX;
        errors += st != LSQ_OK;
        expect_same(replica, primary);
        run(primary, "UPDATE t SET b = 'qqqqqqqq' || b WHERE a % 3 = 1");
        if (i % 5 != 4) continue;
        /* A bootstrap next. */
        replica_close(replica);
        replica = NULL;
        assert_int_equal(unlink(path), 0);
    }
    print_message("%d damaged, %d frames refused, %d syncs failed by it\n", damaged, refused,
                  errors);
    assert_true(damaged > 20 && refused == damaged);
    if (replica != NULL) replica_close(replica);
    db_close(primary);
}

/* The same frame twice, which does not go on from what the file has: the server has gone on from something else. */
static void a_log_that_parts_from_ours_is_another_history(void **state) {
    struct lsq_conn *primary = fill(30);
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsqi_meta meta;
    char name[256];

    (void)state;
    expect_same(replica, primary);
    replica_close(replica);
    snprintf(name, sizeof(name), "%s-replica", path);
    assert_int_equal(lsqi_meta_read(&meta, name, NULL, &last_error), LSQ_OK);
    meta.checksum ^= 4;
    assert_int_equal(lsqi_meta_write(&meta, name, NULL, LSQI_META_DURABLE, &last_error), LSQ_OK);
    run(primary, "UPDATE t SET b = 7 WHERE a = 3");
    replica_events_begin();
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    assert_true(replica->chain.holds);
    run(primary, "UPDATE t SET b = 8 WHERE a = 3");
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    replica_close(replica);
    db_close(primary);
}

/* What lies in the spool's file is not what was written. */
static void a_damaged_spool_is_fetched_again(void **state) {
    static char secret[] = "key";
    const struct lsqi_key keys[] = {{.bytes = NULL}, {.bytes = secret, .len = 3, .mark = 1}};
    static unsigned char page[4096];
    unsigned char got[4096];

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        char path[300];
        struct lsqi_spool spool = {.folder_of = path, .key = &keys[k], .fd = -1};
        struct lsqi_frame frame = {.page = 2};
        char name[64];
        int fd = -1;

        snprintf(path, sizeof(path), "%s", db_path());
        for (int i = 0; i < 2100; i++) {
            memset(page, i, sizeof(page));
            frame.number = (uint64_t)i;
            assert_int_equal(lsqi_spool_add(&spool, &frame, page, sizeof(page), &last_error),
                             LSQ_OK);
        }
        assert_int_equal(lsqi_spool_page(&spool, 2080, got, &last_error), LSQ_OK);
        assert_true(got[0] == (2080 & 0xff) && got[4095] == (2080 & 0xff));
        fd = spool.fd;
        for (int i = 3; i < 1000 && spool.sealed != NULL; i++) {
            char target[400] = "";

            snprintf(name, sizeof(name), "/proc/self/fd/%d", i);
            if (readlink(name, target, sizeof(target) - 1) > 0 && strstr(target, "-frames") != NULL)
                fd = i;
        }
        assert_true(fd >= 0);
        snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        fd = open(name, O_WRONLY);
        assert_true(pwrite(fd, "x", 1, (2080 - 2048 + (long)k) * 4096 + 1000) == 1);
        close(fd);
        assert_int_equal(lsqi_spool_page(&spool, 2080, got, &last_error), LSQ_IO);
        assert_int_equal(lsqi_spool_page(&spool, 2081, got, &last_error), LSQ_OK);
        lsqi_spool_release(&spool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_known_sum),
        cmocka_unit_test_teardown(a_servers_log_is_such_a_chain, forget),
        cmocka_unit_test_teardown(damage_on_the_way_is_asked_for_again, forget),
        cmocka_unit_test_teardown(a_log_that_parts_from_ours_is_another_history, forget),
        cmocka_unit_test_teardown(a_damaged_spool_is_fetched_again, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
