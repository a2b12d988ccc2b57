/* LSQ_CALL_SHORT: what may run on a thread whose own caller waits. A thread test for the turns in it. */
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

/* Refused, it has not used its turn. */
static void a_turn_is_kept_for_the_next_try(void **state) {
    const struct lsq_call at_once = {.flags = LSQ_CALL_NOWAIT};
    struct lsq_call in_turn = brief;
    struct lsq_turn *turn = NULL;
    int told = 0;

    (void)state;
    run(other, "BEGIN IMMEDIATE");
    assert_int_equal(with(insert, 1, &at_once), LSQ_BUSY);
    assert_int_equal(lsq_turn_new(&turn, conn, note, &told, &last_error), LSQ_OK);
    lsq_turn_wait(turn);
    run(other, "COMMIT");
    assert_int_equal(told, 1);
    in_turn.turn = turn;
    assert_int_equal(with(insert, 1, &in_turn), LSQ_WOULD_BLOCK);
    assert_int_equal(exec(other, "INSERT INTO t VALUES (2)", NULL, &at_once, NULL), LSQ_BUSY);
    in_turn.flags = LSQ_CALL_NOWAIT;
    assert_int_equal(with(insert, 1, &in_turn), LSQ_OK);
    assert_false(lsq_turn_free(turn));
    run(other, "INSERT INTO t VALUES (2)");
    assert_string_equal(ask_rows(conn, "SELECT n FROM t"), "1;2");
}

static int hold(const char *file) { return child_hold(file, "BEGIN IMMEDIATE"); }

/* Neither the engine's lock nor the line of programs, be the turn ours. */
static void other_programs_are_not_waited_for(void **state) {
    struct lsq_call in_turn = brief;
    struct lsq_turn *turn = NULL;
    struct child child;
    int refused = 0;
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
        assert_true(st == LSQ_WOULD_BLOCK || st == LSQ_BUSY);
        assert_true(now_ns() - began < (int64_t)STALL_MS * 1000000);
        assert_false(lsq_turn_free(turn));
        refused += st == LSQ_WOULD_BLOCK;
    }
    assert_int_equal(told, 200);
    /* That there are others is looked for now and then. */
    assert_true(refused > 100);
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
        cmocka_unit_test_setup_teardown(other_programs_are_not_waited_for, open_two, close_two),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
