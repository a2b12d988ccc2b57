/* Turns to write: one at a time, in the order of asking, none lost. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "file/lane.h"

enum { THREADS = 8, ROUNDS = 3000, MS = 1000000 };

static struct lsqi_lane lane;
static struct lsqi_lane second_lane;
static const struct lsqi_lanes one = {.count = 1, .of = {&lane}};
static const struct lsqi_lanes second = {.count = 1, .of = {&second_lane}};
static const struct lsqi_lanes both = {.count = 2, .of = {&lane, &second_lane}};
static const int a = 1;
static const int b = 2;
static const int c = 3;
static char told[64]; /* in order */
static size_t told_count;

static void note(void *arg) { told[told_count++] = *(const char *)arg; }

static int begin(void **state) {
    (void)state;
    lane = second_lane = (struct lsqi_lane){.conn = NULL};
    told_count = 0;
    memset(told, 0, sizeof(told));
    return 0;
}

struct place {
    struct lsqi_ticket ticket;
    struct lsqi_stand stands[2];
};

/* With the ticket that was waited with. */
static bool take_with(const struct lsqi_lanes *lanes, const struct place *place) {
    const struct lsqi_claim claim = {.conn = place->ticket.conn, .ticket = &place->ticket};

    return lsqi_lanes_take(lanes, &claim);
}

static bool take_as(const struct lsqi_lanes *lanes, const void *conn, uint64_t caller,
                    const char *sql) {
    const struct lsqi_claim claim = {
        .conn = conn, .caller = caller, .sql = sql, .len = sql == NULL ? 0 : strlen(sql)};

    return lsqi_lanes_take(lanes, &claim);
}

static bool take_all(const struct lsqi_lanes *lanes, const void *conn) {
    return take_as(lanes, conn, 0, NULL);
}

static bool take(const void *conn) { return take_all(&one, conn); }
static void leave(const void *conn) { lsqi_lanes_leave(&both, conn); }

static void stand_in(struct place *place, const struct lsqi_lanes *lanes, const void *conn,
                     const char *name) {
    *place = (struct place){
        .ticket = {.conn = conn, .fn = note, .arg = (void *)name, .count = lanes->count}};
    place->ticket.stands = place->stands;
    for (unsigned i = 0; i < lanes->count; i++) place->stands[i].lane = lanes->of[i];
    lsqi_lanes_wait(&place->ticket);
}

static void stand(struct place *place, const void *conn, const char *name) {
    stand_in(place, &one, conn, name);
}

static bool cancel(struct place *place) { return lsqi_lanes_cancel(&place->ticket); }

static void free_it_is_anybodys(void **state) {
    (void)state;
    assert_true(take(&a));
    assert_true(take(&a));
    assert_false(take(&b));
    leave(&b); /* not its own: nothing */
    assert_false(take(&b));
    leave(&a);
    assert_true(take(&b));
}

static void first_in_first_out(void **state) {
    struct place of_b;
    struct place of_c;

    (void)state;
    assert_true(take(&a));
    stand(&of_b, &b, "b");
    stand(&of_c, &c, "c");
    assert_string_equal(told, "");
    leave(&a);
    assert_string_equal(told, "b");
    assert_false(take(&a)); /* no overtaking */
    assert_false(take(&c));
    assert_true(take_with(&one, &of_b));
    assert_false(cancel(&of_b)); /* used: it stays */
    assert_false(take(&c));
    leave(&b);
    assert_string_equal(told, "bc");
    assert_true(take_with(&one, &of_c));
    assert_false(cancel(&of_c));
    leave(&c);
}

static void who_leaves_the_line_holds_nobody_up(void **state) {
    struct place of_b;
    struct place of_c;

    (void)state;
    assert_true(take(&a));
    stand(&of_b, &b, "b");
    stand(&of_c, &c, "c");
    assert_true(cancel(&of_b));
    leave(&a);
    assert_string_equal(told, "c");
    assert_false(cancel(&of_c)); /* not used: it goes on, to nobody */
    assert_true(take(&a));
    stand(&of_c, &c, "c");
    stand(&of_b, &b, "b");
    leave(&a);
    assert_string_equal(told, "cc");
    assert_false(cancel(&of_c));
    assert_string_equal(told, "ccb");
    assert_false(cancel(&of_b));
    assert_true(take(&a));
}

/* Two processes wait for one connection's turn. The first one's ticket may be given back only when the turn is
 * the second one's already. */
static void a_ticket_takes_no_other_tickets_turn(void **state) {
    struct place first;
    struct place next;
    struct place of_c;

    (void)state;
    assert_true(take(&a));
    stand(&first, &b, "1");
    stand(&next, &b, "2");
    stand(&of_c, &c, "c");
    leave(&a);
    assert_true(take_with(&one, &first));
    leave(&b);
    assert_string_equal(told, "12");
    assert_false(cancel(&first));
    assert_string_equal(told, "12");
    assert_false(take(&c));
    assert_true(take_with(&one, &next));
    assert_false(cancel(&next));
    leave(&b);
    assert_string_equal(told, "12c");
    /* Its memory is used again by one that comes while the turn is the connection's anyhow. */
    leave(&c);
    assert_false(cancel(&of_c));
    assert_true(take(&b));
    lsqi_lanes_keep(&one, &b);
    stand(&next, &b, "2");
    assert_false(cancel(&next));
    assert_false(take(&c));
}

/* What was given to one who waited is nobody else's, though he come with the same connection: he would be before
 * all who wait, and the one whose turn it was behind them. */
static void a_turn_is_its_ticket_s(void **state) {
    struct place first;
    struct place next;
    struct place of_c;

    (void)state;
    assert_true(take(&a));
    stand(&first, &b, "1");
    stand(&of_c, &c, "c");
    leave(&a);
    assert_string_equal(told, "1");
    assert_false(take(&b));
    stand(&next, &b, "2");
    assert_string_equal(told, "1");
    assert_false(take_with(&one, &next));
    assert_true(take_with(&one, &first));
    leave(&b);
    assert_false(cancel(&first));
    assert_string_equal(told, "1c");
    assert_true(take_with(&one, &of_c));
    leave(&c);
    assert_false(cancel(&of_c));
    assert_string_equal(told, "1c2");
    assert_false(cancel(&next));
}

/* Who gets in line while the connection has the turn for one call has a place of his own. */
static void a_call_s_turn_is_no_other_s(void **state) {
    struct place of_a;
    struct place of_c;

    (void)state;
    assert_true(take(&a));
    stand(&of_c, &c, "c");
    stand(&of_a, &a, "a");
    assert_string_equal(told, "");
    leave(&a);
    assert_string_equal(told, "c");
    assert_true(take_with(&one, &of_c));
    leave(&c);
    assert_false(cancel(&of_c));
    assert_string_equal(told, "ca");
    assert_false(cancel(&of_a));
    assert_true(take(&b));
}

/* In a transaction it is: he would wait for it, and it perhaps for him. */
static void a_transaction_s_turn_is_all_of_theirs(void **state) {
    static struct place places[LSQI_MOST_LANES + 8];
    const int count = sizeof(places) / sizeof(places[0]);
    struct place late;
    struct place of_c;

    (void)state;
    assert_true(take_all(&both, &a));
    stand(&of_c, &c, "c");
    for (int i = 0; i < count; i++) stand_in(&places[i], i % 2 == 0 ? &one : &both, &a, "");
    assert_int_equal(told_count, 0);
    lsqi_lanes_keep(&both, &b); /* not its own: nothing */
    assert_int_equal(told_count, 0);
    lsqi_lanes_keep(&both, &a);
    assert_int_equal(told_count, count);
    stand(&late, &a, "");
    assert_int_equal(told_count, count + 1);
    assert_true(take_with(&one, &late));
    for (int i = 0; i < count; i++) assert_false(cancel(&places[i]));
    assert_false(cancel(&late));
    assert_int_equal(told_count, count + 1);
    told_count = 0;
    leave(&a);
    assert_string_equal(told, "c");
    stand(&late, &a, "a"); /* the next turn is one call's again */
    assert_string_equal(told, "c");
    assert_false(cancel(&of_c));
    assert_string_equal(told, "ca");
    assert_false(cancel(&late));
}

static void told_at_once_where_it_is_free(void **state) {
    struct place of_a;

    (void)state;
    stand(&of_a, &a, "a");
    assert_string_equal(told, "a");
    assert_false(take(&b));
    assert_true(take_with(&one, &of_a));
    assert_false(cancel(&of_a));
    leave(&a);
}

/* ---- Who has it ---- */

static void the_holder_is_known(void **state) {
    struct lsq_turn_holder holder;

    (void)state;
    assert_false(lsqi_lanes_holder(&one, &b, &holder));
    assert_true(take_as(&one, &a, 17, "BEGIN IMMEDIATE"));
    sleep_ms(5);
    assert_false(lsqi_lanes_holder(&one, &a, &holder)); /* itself */
    assert_true(lsqi_lanes_holder(&one, &b, &holder));
    assert_int_equal(holder.caller, 17);
    assert_string_equal(holder.statement, "BEGIN IMMEDIATE");
    assert_in_range(holder.held, 5, 60000);
    assert_true(take_as(&one, &a, 18, "INSERT")); /* what took it stays */
    assert_true(lsqi_lanes_holder(&one, &b, &holder));
    assert_int_equal(holder.caller, 17);
    leave(&a);
    assert_false(lsqi_lanes_holder(&one, &b, &holder));
}

/* Given, it is not yet used: nothing of the one before is shown. */
static void the_next_holder_is_another(void **state) {
    struct lsq_turn_holder holder;
    struct place of_b;

    (void)state;
    assert_true(take_as(&one, &a, 17, "BEGIN IMMEDIATE"));
    stand(&of_b, &b, "b");
    leave(&a);
    assert_true(lsqi_lanes_holder(&one, &a, &holder));
    assert_int_equal(holder.caller, 0);
    assert_string_equal(holder.statement, "");
    assert_false(cancel(&of_b));
    assert_true(take_as(&one, &b, 18, "INSERT"));
    assert_true(lsqi_lanes_holder(&one, &a, &holder));
    assert_int_equal(holder.caller, 18);
    assert_string_equal(holder.statement, "INSERT");
    leave(&b);
}

static void long_statements_are_cut_between_characters(void **state) {
    struct lsq_turn_holder holder;
    char sql[400];
    size_t len;

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(sql, 'x', sizeof(sql));
        for (size_t i = shift; i + 3 <= sizeof(sql) - 1; i += 3) memcpy(sql + i, "\xe2\x82\xac", 3);
        sql[sizeof(sql) - 1] = '\0';
        assert_true(take_as(&one, &a, 1, sql));
        assert_true(lsqi_lanes_holder(&one, &b, &holder));
        len = strlen(holder.statement);
        assert_in_range(len, sizeof(holder.statement) - 3, sizeof(holder.statement) - 1);
        assert_int_equal((len - shift) % 3, 0);
        assert_memory_equal(holder.statement, sql, len);
        leave(&a);
    }
}

/* ---- Several files ---- */

static void all_or_nothing(void **state) {
    struct place of_b;

    (void)state;
    assert_true(take(&a));
    assert_false(take_all(&both, &b));
    assert_true(take_all(&second, &c)); /* it took none of them */
    stand_in(&of_b, &both, &b, "b");
    leave(&a);
    assert_string_equal(told, "");
    assert_false(take(&a)); /* free, but not to be overtaken */
    leave(&c);
    assert_string_equal(told, "b");
    assert_false(take(&a));
    assert_false(take_all(&second, &a));
    assert_true(take_with(&both, &of_b));
    leave(&b);
    assert_false(cancel(&of_b));
    assert_true(take_all(&both, &a));
}

static void who_gives_up_several_lets_all_behind_it_go(void **state) {
    struct place of_both;
    struct place of_first;
    struct place of_second;

    (void)state;
    assert_true(take_all(&both, &a));
    stand_in(&of_both, &both, &b, "b");
    stand_in(&of_first, &one, &c, "1");
    stand_in(&of_second, &second, &told, "2");
    leave(&a);
    assert_string_equal(told, "b");
    assert_false(cancel(&of_both)); /* given, and not used */
    assert_string_equal(told, "b12");
    assert_false(cancel(&of_first));
    assert_false(cancel(&of_second));
    assert_true(take_all(&both, &a));
}

static void who_waits_for_several_and_gives_up_is_in_nobodys_way(void **state) {
    struct place of_both;
    struct place of_second;

    (void)state;
    assert_true(take(&a));
    stand_in(&of_both, &both, &b, "b");
    stand_in(&of_second, &second, &c, "c");
    assert_string_equal(told, "");
    assert_true(cancel(&of_both));
    assert_string_equal(told, "c");
    assert_false(cancel(&of_second));
}

/* ---- Threads ---- */

static atomic_int inside[2];
static atomic_int taken;
static atomic_int given_up;

static bool never(void *arg) {
    (void)arg;
    return false;
}

static void enter(const struct lsqi_lanes *lanes, int change) {
    for (unsigned i = 0; i < lanes->count; i++) {
        atomic_int *count = &inside[lanes->of[i] == &lane ? 0 : 1];
        int before = atomic_fetch_add(count, change);

        if (before != (change > 0 ? 0 : 1)) abort();
    }
}

static void *take_turns(void *arg) {
    static const struct lsqi_lanes *const sets[] = {&one, &second, &both};
    const struct lsqi_claim claim = {.conn = arg};
    uint64_t seed = (uint64_t)(uintptr_t)arg * 7919;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t patience = random_next(&seed) % 4 == 0 ? 0 : (int64_t)60000 * MS;

        const struct lsqi_lanes *lanes = sets[random_next(&seed) % 3];

        if (!lsqi_lanes_await(lanes, &claim, now_ns() + patience, never, NULL)) {
            atomic_fetch_add(&given_up, 1);
            continue;
        }
        enter(lanes, 1);
        enter(lanes, -1);
        atomic_fetch_add(&taken, 1);
        lsqi_lanes_leave(lanes, arg);
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
    assert_true(take_all(&both, &a)); /* nobody has kept it */
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

/* Two in one connection: the turn is the one's who stood in line. */
static void a_turn_is_for_who_waited(void **state) {
    struct lsq_call in_turn = {.flags = LSQ_CALL_NOWAIT};
    const struct lsq_call at_once = {.flags = LSQ_CALL_NOWAIT};
    struct lsq_turn *turn = NULL;

    (void)state;
    run(conn, "BEGIN IMMEDIATE");
    assert_int_equal(exec(other, "INSERT INTO t VALUES (1)", NULL, &at_once, NULL), LSQ_BUSY);
    told_count = 0;
    assert_int_equal(lsq_turn_new(&turn, other, note, "o", &last_error), LSQ_OK);
    lsq_turn_wait(turn);
    run(conn, "COMMIT");
    assert_int_equal(told_count, 1);
    assert_int_equal(exec(other, "INSERT INTO t VALUES (2)", NULL, &at_once, NULL), LSQ_BUSY);
    assert_int_equal(last_error.engine_code, 0);
    in_turn.turn = turn;
    assert_int_equal(exec(other, "INSERT INTO t VALUES (1)", NULL, &in_turn, NULL), LSQ_OK);
    assert_false(lsq_turn_free(turn));
    assert_string_equal(ask_rows(conn, "SELECT n FROM t"), "1");
}

/* Both wait for the turn of one transaction, whichever gets it. */
static void a_transaction_s_second_process_writes_in_it(void **state) {
    struct lsq_call in_turn = {.flags = LSQ_CALL_NOWAIT};
    const struct lsq_call at_once = {.flags = LSQ_CALL_NOWAIT};
    struct lsq_turn *first = NULL;
    struct lsq_turn *next = NULL;

    (void)state;
    run(conn, "BEGIN IMMEDIATE");
    run(other, "BEGIN");
    assert_int_equal(exec(other, "INSERT INTO t VALUES (1)", NULL, &at_once, NULL), LSQ_BUSY);
    told_count = 0;
    assert_int_equal(lsq_turn_new(&first, other, note, "1", &last_error), LSQ_OK);
    assert_int_equal(lsq_turn_new(&next, other, note, "2", &last_error), LSQ_OK);
    lsq_turn_wait(first);
    lsq_turn_wait(next);
    run(conn, "COMMIT");
    assert_int_equal(told_count, 1);
    in_turn.turn = first;
    assert_int_equal(exec(other, "INSERT INTO t VALUES (1)", NULL, &in_turn, NULL), LSQ_OK);
    assert_int_equal(told_count, 2);
    in_turn.turn = next;
    assert_int_equal(exec(other, "INSERT INTO t VALUES (2)", NULL, &in_turn, NULL), LSQ_OK);
    assert_false(lsq_turn_free(first));
    assert_false(lsq_turn_free(next));
    run(other, "COMMIT");
    assert_string_equal(ask_rows(conn, "SELECT n FROM t"), "1;2");
}

static void a_waiter_learns_who_has_the_turn(void **state) {
    const struct lsq_call as_42 = {.caller = 42};
    struct lsq_turn_holder holder;

    (void)state;
    assert_false(lsq_turn_holder(other, &holder));
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, &as_42, &last_error), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (17)");
    assert_false(lsq_turn_holder(conn, &holder));
    assert_true(lsq_turn_holder(other, &holder));
    assert_int_equal(holder.caller, 42);
    assert_string_equal(holder.statement, "BEGIN IMMEDIATE");
    assert_int_equal(lsq_conn_set_busy_timeout(other, 30, NULL), LSQ_OK);
    expect(LSQ_BUSY, other, "INSERT INTO t VALUES (1)");
    assert_non_null(strstr(last_error.message, "since BEGIN IMMEDIATE"));
    assert_true(last_error.transient);
    assert_int_equal(last_error.engine_code, 0);
    run(conn, "COMMIT");
    assert_false(lsq_turn_holder(other, &holder));
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (18)"); /* of a call that names nobody */
    assert_true(lsq_turn_holder(other, &holder));
    assert_int_equal(holder.caller, 0);
    assert_string_equal(holder.statement, "INSERT INTO t VALUES (18)");
    run(conn, "ROLLBACK");
}

#define TEST(name) cmocka_unit_test_setup(name, begin)
#define TEST_TWO(name) cmocka_unit_test_setup_teardown(name, open_two, close_two)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(free_it_is_anybodys),
        TEST(first_in_first_out),
        TEST(who_leaves_the_line_holds_nobody_up),
        TEST(a_ticket_takes_no_other_tickets_turn),
        TEST(a_turn_is_its_ticket_s),
        TEST(a_call_s_turn_is_no_other_s),
        TEST(a_transaction_s_turn_is_all_of_theirs),
        TEST(told_at_once_where_it_is_free),
        TEST(the_holder_is_known),
        TEST(the_next_holder_is_another),
        TEST(long_statements_are_cut_between_characters),
        TEST(all_or_nothing),
        TEST(who_gives_up_several_lets_all_behind_it_go),
        TEST(who_waits_for_several_and_gives_up_is_in_nobodys_way),
        TEST(one_at_a_time),
        TEST(connections_take_turns),
        TEST_TWO(who_has_read_does_not_get_in_line),
        TEST_TWO(who_only_queries_does_not_get_in_line),
        TEST_TWO(what_reads_takes_no_turn),
        TEST_TWO(the_end_of_a_connection_ends_its_turn),
        TEST_TWO(a_turn_is_for_who_waited),
        TEST_TWO(a_transaction_s_second_process_writes_in_it),
        TEST_TWO(a_waiter_learns_who_has_the_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
