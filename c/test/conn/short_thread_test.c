/* LSQ_CALL_SHORT: what may run on a thread whose own caller waits. A thread test for the turns in it. */
#include <pthread.h>

#include "../support/db.h"

enum { TRIES = 3000, STALL_MS = 5000 };

static struct lsq_conn *conn;
static struct lsq_conn *other;
static const struct lsq_call brief = {.flags = LSQ_CALL_SHORT | LSQ_CALL_BUDGET | LSQ_CALL_NOWAIT};
static const char insert[] = "INSERT INTO t VALUES (?1)";
/* As many rows as the parameter says. */
static const char insert_many[] =
    "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT ?1)"
    " SELECT n FROM c";

static int open_two(void **state) {
    struct lsq_config cfg = db_config(db_path());

    (void)state;
    cfg.busy_timeout = 60000;
    conn = db_open_as(&cfg);
    run(conn, "CREATE TABLE t (n)");
    other = db_open(db_file(conn));
    return 0;
}

static int close_two(void **state) {
    db_close(other);
    db_close(conn);
    return db_forget(state);
}

static enum lsq_status with(const char *sql, int64_t n, const struct lsq_call *call) {
    return exec(conn, sql, LSQ_PARAMS(lsq_int(n)), call, NULL);
}

/* Runs it until it is short, as often as a slow machine needs. */
static void make_short(const char *sql) {
    for (int i = 0; i < TRIES; i++) {
        assert_int_equal(with(sql, 1, NULL), LSQ_OK);
        if (with(sql, 1, &brief) == LSQ_OK) return;
        assert_int_equal(last_error.status, LSQ_WOULD_BLOCK);
    }
    fail_msg("never short: %s", sql);
}

static void unknown_it_would_block(void **state) {
    (void)state;
    assert_int_equal(with(insert, 1, &brief), LSQ_WOULD_BLOCK);
    assert_int_equal(with(insert, 1, &brief), LSQ_WOULD_BLOCK);
    assert_int_equal(with("garbage", 1, &brief), LSQ_SQL);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    run(other, "INSERT INTO t VALUES (1)"); /* nor has it taken a turn */
}

static void three_short_runs_earn_it(void **state) {
    int64_t before;

    (void)state;
    assert_int_equal(with(insert, 1, NULL), LSQ_OK);
    assert_int_equal(with(insert, 1, NULL), LSQ_OK);
    assert_int_equal(with(insert, 1, &brief), LSQ_WOULD_BLOCK);
    make_short(insert);
    before = ask(conn, "SELECT count(*) FROM t");
    while (with(insert, 5, &brief) == LSQ_WOULD_BLOCK) { /* a slow moment may refuse it */
        make_short(insert);
        before = ask(conn, "SELECT count(*) FROM t");
    }
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), before + 1);
    assert_int_equal(ask(conn, "SELECT max(n) FROM t"), 5);
}

static void long_run_loses_it(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* checked for threads, it is never short */
#endif
    make_short(insert_many);
    assert_int_equal(with(insert_many, 30000, NULL), LSQ_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(with(insert_many, 1, &brief), LSQ_WOULD_BLOCK);
        assert_int_equal(with(insert_many, 1, NULL), LSQ_OK);
    }
    make_short(insert_many);
}

static void note(void *arg) { ++*(int *)arg; }

static const struct lsq_call at_once = {.flags = LSQ_CALL_NOWAIT};

/* Stands in line behind a transaction of the other, whose statement it is; its end has told of the turn. */
static struct lsq_turn *turn_after(const char *sql) {
    struct lsq_turn *turn = NULL;
    int told = 0;

    run(other, "BEGIN IMMEDIATE");
    run(other, sql);
    assert_int_equal(with(insert, 1, &at_once), LSQ_BUSY);
    assert_int_equal(lsq_turn_new(&turn, conn, note, &told, &last_error), LSQ_OK);
    lsq_turn_wait(turn);
    run(other, "COMMIT");
    assert_int_equal(told, 1);
    return turn;
}

static void expect_kept(const struct lsq_turn *turn) {
    struct lsq_call in_turn = brief;

    in_turn.turn = turn;
    assert_int_equal(with(insert, 1, &in_turn), LSQ_WOULD_BLOCK);
    assert_int_equal(exec(other, "INSERT INTO t (n) VALUES (2)", NULL, &at_once, NULL), LSQ_BUSY);
    assert_int_equal(last_error.engine_code, 0);
}

static void expect_usable(struct lsq_turn *turn) {
    struct lsq_call in_turn = {.flags = LSQ_CALL_NOWAIT, .turn = turn};

    assert_int_equal(with(insert, 1, &in_turn), LSQ_OK);
    assert_false(lsq_turn_free(turn));
    assert_int_equal(exec(other, "INSERT INTO t (n) VALUES (2)", NULL, &at_once, NULL), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT n FROM t ORDER BY rowid DESC LIMIT 1 OFFSET 1"), 1);
}

/* Refused, it has not used its turn. */
static void a_turn_is_kept_for_the_next_try(void **state) {
    struct lsq_turn *turn = turn_after("SELECT 1");

    (void)state;
    expect_kept(turn);
    expect_kept(turn);
    expect_usable(turn);
}

/* Nor by the engine, in the middle of it: it would have to compile the statement anew, for which there is no room. */
static void *refused_for_a_new_schema(void *arg) {
    expect_kept(arg);
    return arg;
}

static struct lsq_turn *turn_refused_by_the_engine(void) {
    pthread_attr_t small;
    pthread_t thread;
    struct lsq_turn *turn;
    void *done;

    make_short(insert);
    turn = turn_after("CREATE INDEX i ON t (n)");
    assert_int_equal(pthread_attr_init(&small), 0);
    assert_int_equal(pthread_attr_setstacksize(&small, 512 * 1024), 0);
    assert_int_equal(pthread_create(&thread, &small, refused_for_a_new_schema, turn), 0);
    assert_int_equal(pthread_join(thread, &done), 0);
    assert_ptr_equal(done, turn);
    return turn;
}

static void a_turn_is_kept_where_the_schema_has_changed(void **state) {
    (void)state;
    expect_usable(turn_refused_by_the_engine());
}

/* Who gives up after that gives the turn on. */
static void a_kept_turn_is_given_up(void **state) {
    struct lsq_turn *turn = turn_refused_by_the_engine();

    (void)state;
    assert_false(lsq_turn_free(turn));
    assert_int_equal(exec(other, "INSERT INTO t VALUES (2)", NULL, &at_once, NULL), LSQ_OK);
}

static int hold(const char *file) { return child_hold(file, "BEGIN IMMEDIATE"); }

/* Neither the engine's lock nor the line of programs, be the turn ours. */
static void other_programs_are_not_waited_for(void **state) {
    struct lsq_call in_turn = brief;
    struct lsq_turn *turn = NULL;
    struct child child;
    int told = 0;

    (void)state;
    make_short(insert);
    run(conn, "DELETE FROM t");
    child = child_begin("holder", db_file(conn));
    child_ready(&child);
    for (int i = 0; i < 200; i++) {
        int64_t began = now_ns();
        enum lsq_status st;

        assert_int_equal(lsq_turn_new(&turn, conn, note, &told, &last_error), LSQ_OK);
        lsq_turn_wait(turn);
        in_turn.turn = turn;
        st = with(insert, 1, &in_turn);
        assert_int_equal(st, LSQ_WOULD_BLOCK);
        assert_true(now_ns() - began < (int64_t)STALL_MS * 1000000);
        assert_false(lsq_turn_free(turn));
    }
    assert_int_equal(told, 200);
    assert_int_equal(child_end(&child), 0);
    assert_int_equal(with(insert, 1, NULL), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"holder", hold}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unknown_it_would_block, open_two, close_two),
        cmocka_unit_test_setup_teardown(three_short_runs_earn_it, open_two, close_two),
        cmocka_unit_test_setup_teardown(long_run_loses_it, open_two, close_two),
        cmocka_unit_test_setup_teardown(a_turn_is_kept_for_the_next_try, open_two, close_two),
        cmocka_unit_test_setup_teardown(a_turn_is_kept_where_the_schema_has_changed, open_two,
                                        close_two),
        cmocka_unit_test_setup_teardown(a_kept_turn_is_given_up, open_two, close_two),
        cmocka_unit_test_setup_teardown(other_programs_are_not_waited_for, open_two, close_two),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
