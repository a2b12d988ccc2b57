/* Attached databases: their writers take turns, too, and nobody waits with one file's turn for another's. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "../support/db.h"

enum { THREADS = 4, ROUNDS = 60, PATIENCE = 60000, AT_ONCE_MS = 10000 };

static const struct lsq_call nowait = {.flags = LSQ_CALL_NOWAIT};
static struct lsq_conn *both;   /* of one, with two attached as x */
static struct lsq_conn *second; /* of two alone */
static char one[256];
static char two[256];

static struct lsq_conn *open_with(const char *path, const char *attached) {
    const struct lsq_attached list[] = {{.name = "x", .path = attached}};
    struct lsq_config cfg = db_config(path);

    cfg.busy_timeout = PATIENCE;
    if (attached != NULL) {
        cfg.attached = list;
        cfg.attached_count = 1;
    }
    return db_open_as(&cfg);
}

static int open_both(void **state) {
    (void)state;
    snprintf(one, sizeof(one), "%s", db_path());
    snprintf(two, sizeof(two), "%s", db_path());
    second = open_with(two, NULL);
    run(second, "CREATE TABLE b (n INTEGER)");
    run(second, "INSERT INTO b VALUES (0)");
    both = open_with(one, two);
    run(both, "CREATE TABLE a (n INTEGER)");
    run(both, "INSERT INTO a VALUES (0)");
    return 0;
}

static int close_both(void **state) {
    db_close(both);
    db_close(second);
    return db_forget(state);
}

static void refused(struct lsq_conn *conn, const char *sql, bool transient) {
    int64_t start = now_ns();

    if (exec(conn, sql, NULL, transient ? &nowait : NULL, NULL) != LSQ_BUSY)
        fail_msg("%s: %s", sql, lsq_status_name(last_error.status));
    assert_int_equal(last_error.transient, transient);
    assert_in_range((now_ns() - start) / 1000000, 0, AT_ONCE_MS);
}

static void note(void *arg) { atomic_store((atomic_bool *)arg, true); }

static void an_immediate_transaction_takes_all(void **state) {
    struct lsq_call in_turn = {.flags = LSQ_CALL_NOWAIT};
    struct lsq_turn_holder holder;
    struct lsq_turn *turn;
    atomic_bool told;

    (void)state;
    atomic_init(&told, false);
    run(second, "BEGIN IMMEDIATE");
    refused(both, "BEGIN IMMEDIATE", true);
    assert_int_equal(last_error.engine_code, 0);
    assert_true(lsq_turn_holder(both, &holder));
    assert_string_equal(holder.statement, "BEGIN IMMEDIATE");
    run(both, "UPDATE a SET n = 1"); /* it has taken nothing of what was free */
    refused(both, "BEGIN IMMEDIATE", true);
    assert_int_equal(lsq_turn_new(&turn, both, note, &told, &last_error), LSQ_OK);
    lsq_turn_wait(turn);
    assert_false(atomic_load(&told));
    run(second, "COMMIT");
    assert_true(atomic_load(&told));
    refused(second, "BEGIN IMMEDIATE", true); /* it is both's now */
    in_turn.turn = turn;
    assert_int_equal(exec(both, "BEGIN IMMEDIATE", NULL, &in_turn, NULL), LSQ_OK);
    assert_false(lsq_turn_free(turn));
    refused(second, "UPDATE b SET n = 2", true);
    run(both, "UPDATE b SET n = n + 1");
    run(both, "COMMIT");
    run(second, "UPDATE b SET n = n + 1");
    assert_int_equal(ask(both, "SELECT a.n + 10 * b.n FROM a, x.b"), 21);
}

static void a_statement_takes_those_that_it_writes(void **state) {
    (void)state;
    run(second, "BEGIN IMMEDIATE");
    run(both, "UPDATE a SET n = n + 1");
    run(both, "UPDATE a SET n = (SELECT n FROM x.b) + 1"); /* it reads x */
    refused(both, "UPDATE x.b SET n = 7", true);
    assert_int_equal(last_error.engine_code, 0);
    refused(both, "CREATE TABLE x.c (n)", true);
    refused(both, "PRAGMA x.user_version = 7", true);
    run(both, "PRAGMA user_version = 7");
    run(both, "PRAGMA main.user_version = 8");
    run(second, "COMMIT");
    run(both, "UPDATE x.b SET n = 7");
    run(both, "BEGIN");
    run(both, "UPDATE x.b SET n = n + 1");
    refused(second, "UPDATE b SET n = 9", true);
    run(both, "COMMIT");
    assert_int_equal(ask(second, "SELECT n FROM b"), 8);
}

/* It is not to be seen in the text which file is written. */
static void triggers_count(void **state) {
    (void)state;
    run(both, "CREATE TEMP TRIGGER tt AFTER UPDATE ON main.a BEGIN UPDATE b SET n = new.n; END");
    run(second, "BEGIN IMMEDIATE");
    refused(both, "UPDATE a SET n = 5", true);
    run(second, "COMMIT");
    run(both, "BEGIN");
    run(both, "UPDATE a SET n = 5");
    refused(second, "UPDATE b SET n = 9", true);
    run(both, "COMMIT");
    assert_int_equal(ask(second, "SELECT n FROM b"), 5);
}

/* A has the one and wants the other, B the other way round. */
static void who_has_one_does_not_wait_for_the_other(void **state) {
    struct lsq_conn *crossed = open_with(two, one);

    (void)state;
    run(both, "BEGIN");
    run(both, "UPDATE main.a SET n = 1");
    run(crossed, "BEGIN");
    run(crossed, "UPDATE main.b SET n = 1");
    refused(both, "UPDATE x.b SET n = 2", false);
    assert_int_equal(last_error.engine_code, 0);
    assert_non_null(strstr(last_error.message, "immediate"));
    refused(crossed, "UPDATE x.a SET n = 2", false);
    run(both, "ROLLBACK");
    run(crossed, "UPDATE x.a SET n = 2"); /* now it is free */
    run(crossed, "COMMIT");
    assert_int_equal(ask(both, "SELECT a.n * 10 + b.n FROM a, x.b"), 21);
    db_close(crossed);
}

/* In a batch each statement stands for itself: what it has written it has stored. */
static void statements_of_a_batch_have_nothing_in_hand(void **state) {
    const char *sql = "UPDATE main.a SET n = 3; UPDATE x.b SET n = 3; UPDATE main.a SET n = 4";

    (void)state;
    assert_int_equal(lsq_batch_sql(both, sql, strlen(sql), NULL, NULL, NULL, NULL, &last_error),
                     LSQ_OK);
    run(second, "UPDATE b SET n = 5");
    assert_int_equal(ask(both, "SELECT a.n * 10 + b.n FROM a, x.b"), 45);
}

static void *cross(void *arg) {
    bool odd = ((intptr_t)arg & 1) != 0;
    struct lsq_conn *mine = odd ? open_with(two, one) : open_with(one, two);

    for (int i = 0; i < ROUNDS; i++) {
        run(mine, i % 3 == 0 ? "BEGIN EXCLUSIVE" : "BEGIN IMMEDIATE");
        run(mine, "UPDATE a SET n = n + 1");
        run(mine, "UPDATE b SET n = n + 1");
        run(mine, "COMMIT");
        run(mine, odd ? "UPDATE a SET n = n + 1" : "UPDATE b SET n = n + 1");
    }
    db_close(mine);
    return NULL;
}

static void crossed_transactions_do_not_deadlock(void **state) {
    pthread_t threads[THREADS];

    (void)state;
    for (intptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, cross, (void *)i), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(ask(both, "SELECT n FROM a"), THREADS * ROUNDS + THREADS / 2 * ROUNDS);
    assert_int_equal(ask(both, "SELECT n FROM b"), THREADS * ROUNDS + THREADS / 2 * ROUNDS);
}

/* ---- The same file by two names ---- */

static void a_file_by_two_names_is_written_by_one(void **state) {
    char sql[300];

    (void)state;
    snprintf(sql, sizeof(sql), "ATTACH '%s' AS again", two);
    run(both, sql);
    refused(both, "BEGIN IMMEDIATE", false);
    assert_non_null(strstr(last_error.message, "\"x\" and \"again\" are the same file"));
    run(both, "UPDATE x.b SET n = 1");
    run(both, "UPDATE again.b SET n = n + 1");
    run(both, "BEGIN");
    run(both, "UPDATE x.b SET n = n + 1");
    refused(both, "UPDATE again.b SET n = 9", false);
    assert_non_null(strstr(last_error.message, "same file"));
    refused(second, "UPDATE b SET n = 9", true);
    run(both, "COMMIT");
    run(second, "UPDATE b SET n = n + 1");
    run(both, "DETACH again");
    run(both, "BEGIN IMMEDIATE");
    refused(second, "UPDATE b SET n = 9", true);
    run(both, "COMMIT");
    assert_int_equal(ask(second, "SELECT n FROM b"), 4);
}

static void who_is_attached_later_stands_in_line_too(void **state) {
    struct lsq_conn *later = open_with(one, NULL);
    char sql[300];

    (void)state;
    run(second, "BEGIN IMMEDIATE");
    run(later, "BEGIN IMMEDIATE");
    run(later, "COMMIT");
    snprintf(sql, sizeof(sql), "ATTACH '%s' AS y", two);
    run(later, sql);
    refused(later, "BEGIN IMMEDIATE", true);
    run(second, "COMMIT");
    run(later, "BEGIN IMMEDIATE");
    refused(second, "UPDATE b SET n = 9", true);
    run(later, "COMMIT");
    run(later, "DETACH y");
    run(second, "BEGIN IMMEDIATE");
    run(later, "BEGIN IMMEDIATE");
    run(later, "COMMIT");
    run(second, "COMMIT");
    db_close(later);
}

static void what_can_only_be_read_is_not_waited_for(void **state) {
    struct lsq_conn *reader = open_with(one, NULL);
    char sql[300];

    (void)state;
    snprintf(sql, sizeof(sql), "ATTACH 'file:%s?mode=ro' AS y", two);
    run(reader, sql);
    run(second, "BEGIN IMMEDIATE");
    run(reader, "BEGIN IMMEDIATE");
    run(reader, "UPDATE a SET n = (SELECT n FROM y.b) + 1");
    run(reader, "COMMIT");
    run(second, "COMMIT");
    db_close(reader);
}

/* Closed with the turn of both, it leaves both. */
static void a_closed_connection_leaves_all(void **state) {
    struct lsq_conn *gone = open_with(two, one);

    (void)state;
    run(gone, "BEGIN IMMEDIATE");
    db_close(gone);
    run(both, "UPDATE a SET n = 1");
    run(second, "UPDATE b SET n = 1");
}

/* ---- Another process ---- */

static int cross_process(const char *argument) {
    struct lsq_conn *mine;
    char byte;

    snprintf(two, sizeof(two), "%s", argument);
    *strchr(two, ',') = '\0';
    snprintf(one, sizeof(one), "%s", strchr(argument, ',') + 1);
    mine = open_with(two, one);
    if (write(1, "r", 1) != 1) return 1;
    while (read(0, &byte, 1) > 0) continue;
    for (int i = 0; i < ROUNDS; i++) {
        if (exec(mine, "BEGIN IMMEDIATE", NULL, NULL, NULL) != LSQ_OK) return 2;
        if (exec(mine, "UPDATE a SET n = n + 1", NULL, NULL, NULL) != LSQ_OK) return 3;
        if (exec(mine, "UPDATE b SET n = n + 1", NULL, NULL, NULL) != LSQ_OK) return 4;
        if (exec(mine, "COMMIT", NULL, NULL, NULL) != LSQ_OK) return 5;
    }
    db_close(mine);
    return 0;
}

static int hold(const char *file) {
    return child_hold(file, "BEGIN IMMEDIATE; UPDATE b SET n = 100");
}

/* Nor do those of two programs that have the files in another order. */
static void nor_do_crossed_processes(void **state) {
    char argument[600];
    struct child child;
    int64_t start;

    (void)state;
    snprintf(argument, sizeof(argument), "%s,%s", two, one);
    child = child_begin("cross", argument);
    child_ready(&child);
    close(child.to);
    start = now_ns();
    for (int i = 0; i < ROUNDS; i++) {
        run(both, "BEGIN IMMEDIATE");
        run(both, "UPDATE a SET n = n + 1");
        run(both, "UPDATE b SET n = n + 1");
        run(both, "COMMIT");
    }
    child.to = dup(1);
    assert_int_equal(child_end(&child), 0);
    assert_int_equal(ask(both, "SELECT n FROM a"), 2 * ROUNDS);
    assert_int_equal(ask(both, "SELECT n FROM b"), 2 * ROUNDS);
    assert_in_range((now_ns() - start) / 1000000, 0, PATIENCE / 2);
}

static void nor_does_who_has_one_wait_for_another_program_s(void **state) {
    struct child child = child_begin("hold", two);

    (void)state;
    child_ready(&child);
    run(both, "BEGIN");
    run(both, "UPDATE main.a SET n = 1");
    refused(both, "UPDATE x.b SET n = 2", false);
    assert_int_equal(last_error.engine_code & 0xff, 5);
    run(both, "COMMIT");
    assert_int_equal(child_end(&child), 0);
    run(both, "UPDATE x.b SET n = n + 2");
    assert_int_equal(ask(both, "SELECT a.n * 10 + b.n FROM a, x.b"), 12);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"cross", cross_process}, {"hold", hold}};
    const struct CMUnitTest tests[] = {
        TEST(an_immediate_transaction_takes_all),
        TEST(a_statement_takes_those_that_it_writes),
        TEST(triggers_count),
        TEST(who_has_one_does_not_wait_for_the_other),
        TEST(statements_of_a_batch_have_nothing_in_hand),
        TEST(crossed_transactions_do_not_deadlock),
        TEST(a_file_by_two_names_is_written_by_one),
        TEST(who_is_attached_later_stands_in_line_too),
        TEST(what_can_only_be_read_is_not_waited_for),
        TEST(a_closed_connection_leaves_all),
        TEST(nor_do_crossed_processes),
        TEST(nor_does_who_has_one_wait_for_another_program_s),
    };

    child_main(argc, argv, roles, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
