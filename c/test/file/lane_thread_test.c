/* Turns to write: one at a time, in the order of asking, none lost. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "file/lane.h"

enum { THREADS = 8, ROUNDS = 3000, MS = 1000000 };

static struct lsqi_lane lane;
static const int a = 1;
static const int b = 2;
static const int c = 3;
static char told[16]; /* in order */
static size_t told_count;

static void note(void *arg) { told[told_count++] = *(const char *)arg; }

static int begin(void **state) {
    (void)state;
    lsqi_lane_init(&lane);
    told_count = 0;
    memset(told, 0, sizeof(told));
    return 0;
}

static int end(void **state) {
    (void)state;
    lsqi_lane_release(&lane);
    return 0;
}

static struct lsqi_ticket ticket_of(const void *conn, const char *name) {
    return (struct lsqi_ticket){.conn = conn, .fn = note, .arg = (void *)name};
}

static void free_it_is_anybodys(void **state) {
    (void)state;
    assert_true(lsqi_lane_take(&lane, &a));
    assert_true(lsqi_lane_take(&lane, &a));
    assert_false(lsqi_lane_take(&lane, &b));
    lsqi_lane_leave(&lane, &b); /* not its own: nothing */
    assert_false(lsqi_lane_take(&lane, &b));
    lsqi_lane_leave(&lane, &a);
    assert_true(lsqi_lane_take(&lane, &b));
}

static void first_in_first_out(void **state) {
    struct lsqi_ticket second = ticket_of(&b, "b");
    struct lsqi_ticket third = ticket_of(&c, "c");

    (void)state;
    assert_true(lsqi_lane_take(&lane, &a));
    lsqi_lane_wait(&lane, &second);
    lsqi_lane_wait(&lane, &third);
    assert_string_equal(told, "");
    lsqi_lane_leave(&lane, &a);
    assert_string_equal(told, "b");
    assert_false(lsqi_lane_take(&lane, &a)); /* no overtaking */
    assert_false(lsqi_lane_take(&lane, &c));
    assert_true(lsqi_lane_take(&lane, &b));
    assert_false(lsqi_lane_cancel(&lane, &second)); /* used: it stays */
    assert_false(lsqi_lane_take(&lane, &c));
    lsqi_lane_leave(&lane, &b);
    assert_string_equal(told, "bc");
    assert_true(lsqi_lane_take(&lane, &c));
    assert_false(lsqi_lane_cancel(&lane, &third));
    lsqi_lane_leave(&lane, &c);
}

static void who_leaves_the_line_holds_nobody_up(void **state) {
    struct lsqi_ticket second = ticket_of(&b, "b");
    struct lsqi_ticket third = ticket_of(&c, "c");

    (void)state;
    assert_true(lsqi_lane_take(&lane, &a));
    lsqi_lane_wait(&lane, &second);
    lsqi_lane_wait(&lane, &third);
    assert_true(lsqi_lane_cancel(&lane, &second));
    lsqi_lane_leave(&lane, &a);
    assert_string_equal(told, "c");
    assert_false(lsqi_lane_cancel(&lane, &third)); /* not used: it goes on, to nobody */
    assert_true(lsqi_lane_take(&lane, &a));
    lsqi_lane_wait(&lane, &second);
    lsqi_lane_wait(&lane, &third);
    lsqi_lane_leave(&lane, &a);
    assert_string_equal(told, "cb");
    assert_false(lsqi_lane_cancel(&lane, &second));
    assert_string_equal(told, "cbc");
    assert_false(lsqi_lane_cancel(&lane, &third));
}

static void told_at_once_where_it_is_free(void **state) {
    struct lsqi_ticket first = ticket_of(&a, "a");

    (void)state;
    lsqi_lane_wait(&lane, &first);
    assert_string_equal(told, "a");
    assert_false(lsqi_lane_take(&lane, &b));
    assert_true(lsqi_lane_take(&lane, &a));
    assert_false(lsqi_lane_cancel(&lane, &first));
    lsqi_lane_leave(&lane, &a);
}

/* ---- Threads ---- */

static atomic_int inside;
static atomic_int taken;
static atomic_int given_up;

static bool never(void *arg) {
    (void)arg;
    return false;
}

static void *take_turns(void *arg) {
    uint64_t seed = (uint64_t)(uintptr_t)arg * 7919;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t patience = random_next(&seed) % 4 == 0 ? 0 : (int64_t)60000 * MS;

        if (!lsqi_lane_await(&lane, &((char *)arg)[0], now_ns() + patience, never, NULL)) {
            atomic_fetch_add(&given_up, 1);
            continue;
        }
        if (atomic_fetch_add(&inside, 1) != 0) abort();
        atomic_fetch_sub(&inside, 1);
        atomic_fetch_add(&taken, 1);
        lsqi_lane_leave(&lane, &((char *)arg)[0]);
    }
    return NULL;
}

static void one_at_a_time(void **state) {
    pthread_t threads[THREADS];
    static char names[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, &names[i]), 0);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&taken) + atomic_load(&given_up), THREADS * ROUNDS);
    assert_true(atomic_load(&taken) >= THREADS * ROUNDS / 2);
    assert_true(lsqi_lane_take(&lane, &a)); /* nobody has kept it */
}

/* ---- Connections ---- */

static const char *path;

static void *write_rows(void *arg) {
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *conn;

    cfg.busy_timeout = 600000;
    conn = db_open_as(&cfg);
    for (int i = 0; i < 100; i++) {
        run(conn, i % 2 == 0 ? "BEGIN IMMEDIATE" : "SAVEPOINT s");
        run(conn, "UPDATE t SET n = n + 1");
        run(conn, i % 2 == 0 ? "COMMIT" : "RELEASE s");
        run(conn, "UPDATE t SET n = n + 1");
    }
    db_close(conn);
    (void)arg;
    return NULL;
}

static void connections_take_turns(void **state) {
    pthread_t threads[THREADS];
    struct lsq_conn *first;

    path = db_path();
    first = db_open(path);
    run(first, "CREATE TABLE t (n INTEGER)");
    run(first, "INSERT INTO t VALUES (0)");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_rows, NULL), 0);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(ask(first, "SELECT n FROM t"), THREADS * 200);
    db_close(first);
    db_forget(state);
}

/* ---- Two of one file ---- */

static struct lsq_conn *conn;
static struct lsq_conn *other;

static int open_two(void **state) {
    (void)state;
    told_count = 0;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE t (n INTEGER)");
    other = db_open(db_file(conn));
    return 0;
}

static int close_two(void **state) {
    if (other != NULL) db_close(other);
    if (conn != NULL) db_close(conn);
    return db_forget(state);
}

/* A transaction that has read, and would have to wait, can only fail. */
static void who_has_read_does_not_get_in_line(void **state) {

    (void)state;
    run(conn, "BEGIN IMMEDIATE");
    run(other, "BEGIN");
    run(other, "SELECT * FROM t");
    expect(LSQ_BUSY_SNAPSHOT, other, "INSERT INTO t VALUES (1)");
    run(conn, "ROLLBACK");
    run(other, "INSERT INTO t VALUES (1)");
    run(other, "COMMIT");
}

/* Its write is an error in any case: it does not get in line for that. */
static void who_only_queries_does_not_get_in_line(void **state) {

    (void)state;
    run(other, "PRAGMA query_only = 1");
    run(conn, "BEGIN IMMEDIATE");
    expect(LSQ_READONLY, other, "INSERT INTO t VALUES (1)");
    run(conn, "ROLLBACK");
    run(other, "PRAGMA query_only = 0");
    run(other, "INSERT INTO t VALUES (1)");
}

static void what_reads_takes_no_turn(void **state) {
    static const char *const texts[] = {
        "EXPLAIN INSERT INTO t VALUES (1)",
        "EXPLAIN QUERY PLAN UPDATE t SET n = 1",
        "PRAGMA journal_mode",
        "PRAGMA wal_checkpoint(passive)",
        "PRAGMA user_version",
        "VACUUM main INTO 'COPY'",
        "CREATE TEMP TABLE mine (a)",
        "INSERT INTO mine VALUES (1)",
    };

    (void)state;
    assert_int_equal(lsq_conn_set_busy_timeout(other, 100, NULL), LSQ_OK);
    run(conn, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char sql[600];

        snprintf(sql, sizeof(sql), "%s", texts[i]);
        if (strstr(sql, "COPY") != NULL)
            snprintf(sql, sizeof(sql), "VACUUM main INTO '%s-copy'", db_file(conn));
        run(other, sql);
    }
    expect(LSQ_BUSY, other, "VACUUM");
    expect(LSQ_BUSY, other, "PRAGMA user_version = 7");
    run(conn, "ROLLBACK");
    assert_int_equal(lsq_begin(other, LSQ_TXN_READ, NULL, NULL), LSQ_OK);
    run(other, "EXPLAIN QUERY PLAN UPDATE t SET n = 1");
    run(other, "ROLLBACK");
}

/* A closed connection has no turn, whatever it was about; nor has one that was told, and freed. */
static void the_end_of_a_connection_ends_its_turn(void **state) {
    struct lsq_conn *third = db_open(db_file(conn));
    struct lsq_turn *turn = NULL;

    (void)state;
    run(conn, "BEGIN IMMEDIATE");
    told_count = 0;
    assert_int_equal(lsq_turn_new(&turn, other, note, "o", &last_error), LSQ_OK);
    lsq_turn_wait(turn);
    db_close(conn);
    conn = NULL;
    for (int i = 0; i < 500 && told_count == 0; i++) sleep_ms(10);
    assert_int_equal(told_count, 1);
    db_close(other);
    other = NULL;
    assert_false(lsq_turn_free(turn));
    assert_false(lsq_turn_free(NULL));
    run(third, "INSERT INTO t VALUES (1)");
    db_close(third);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
#define TEST_TWO(name) cmocka_unit_test_setup_teardown(name, open_two, close_two)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(free_it_is_anybodys),
        TEST(first_in_first_out),
        TEST(who_leaves_the_line_holds_nobody_up),
        TEST(told_at_once_where_it_is_free),
        TEST(one_at_a_time),
        TEST(connections_take_turns),
        TEST_TWO(who_has_read_does_not_get_in_line),
        TEST_TWO(who_only_queries_does_not_get_in_line),
        TEST_TWO(what_reads_takes_no_turn),
        TEST_TWO(the_end_of_a_connection_ends_its_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
