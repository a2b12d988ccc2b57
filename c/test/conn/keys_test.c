/* Foreign keys switched for the length of a transaction: what for, and that it ends with it. */
#include "../support/db.h"

static struct lsq_conn *conn;

static int open_one(void **state) {
    (void)state;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE p (id INTEGER PRIMARY KEY)");
    run(conn, "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE)");
    run(conn, "INSERT INTO p VALUES (1), (2)");
    run(conn, "INSERT INTO c VALUES (10, 1), (20, 2)");
    return 0;
}

static int close_one(void **state) {
    db_close(conn);
    return db_forget(state);
}

static bool enforced(void) {
    bool pragma = ask(conn, "PRAGMA foreign_keys") != 0;
    enum lsq_status st = exec(conn, "INSERT INTO c VALUES (99, 99)", NULL, NULL, NULL);

    if (st == LSQ_OK) run(conn, "DELETE FROM c WHERE id = 99");
    assert_int_equal(st, pragma ? LSQ_CONSTRAINT : LSQ_OK);
    return pragma;
}

static void begin(void) {
    if (lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
}

static bool enforce(bool on) {
    bool before;

    if (lsq_enforce_foreign_keys(conn, on, &before, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    return before;
}

static void begin_without_keys(void) {
    begin();
    assert_true(enforce(false));
    assert_false(enforced());
}

static int64_t children(void) { return ask(conn, "SELECT count(*) FROM c"); }

static void rebuild(void) {
    run(conn, "CREATE TABLE p_new (id INTEGER PRIMARY KEY, name TEXT)");
    run(conn, "INSERT INTO p_new (id) SELECT id FROM p");
    run(conn, "DROP TABLE p");
    run(conn, "ALTER TABLE p_new RENAME TO p");
}

/* ---- What for ---- */

static void a_dropped_parent_takes_its_children_along(void **state) {
    (void)state;
    begin();
    rebuild();
    assert_int_equal(children(), 0);
    assert_int_equal(lsq_rollback(conn, NULL, NULL), LSQ_OK);
}

static void a_parent_is_rebuilt_and_keeps_its_children(void **state) {
    (void)state;
    assert_true(enforced()); /* statements of before are compiled anew */
    begin_without_keys();
    rebuild();
    assert_int_equal(children(), 2);
    assert_int_equal(ask(conn, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_OK);
    assert_true(enforced());
    run(conn, "DELETE FROM p WHERE id = 1");
    assert_int_equal(children(), 1);
}

/* ---- It ends with the transaction ---- */

static void ends_at_commit(void **state) {
    (void)state;
    begin_without_keys();
    assert_int_equal(lsq_commit(conn, NULL, NULL), LSQ_OK);
    assert_true(enforced());
}

static void ends_at_rollback(void **state) {
    (void)state;
    begin_without_keys();
    assert_int_equal(lsq_rollback(conn, NULL, NULL), LSQ_OK);
    assert_true(enforced());
}

static void ends_by_sql(void **state) {
    static const char *const ends[] = {"COMMIT", "END", "ROLLBACK"};

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        begin_without_keys();
        run(conn, ends[i]);
        assert_true(enforced());
    }
}

static void ends_with_the_outermost_savepoint(void **state) {
    (void)state;
    assert_int_equal(lsq_savepoint(conn, "a", 1, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_savepoint(conn, "b", 1, NULL, NULL), LSQ_OK);
    enforce(false);
    assert_int_equal(lsq_rollback_to(conn, "b", 1, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_release(conn, "b", 1, NULL, NULL), LSQ_OK);
    assert_false(enforced()); /* the transaction is still open */
    assert_int_equal(lsq_release(conn, "a", 1, NULL, NULL), LSQ_OK);
    assert_true(enforced());
}

static void ends_when_a_failure_rolls_back(void **state) {
    (void)state;
    begin_without_keys();
    expect(LSQ_CONSTRAINT, conn, "INSERT OR ROLLBACK INTO p VALUES (1)");
    assert_true(enforced());
}

static void ends_when_an_interrupt_rolls_back(void **state) {
    struct later later = {.fn = interrupt_conn, .arg = conn, .ms = 30};

    (void)state;
    begin_without_keys();
    later_begin(&later);
    expect(LSQ_INTERRUPTED, conn,
           "INSERT INTO p WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n) "
           "SELECT i FROM n");
    later_join(&later);
    assert_true(enforced());
}

static void ends_at_reset(void **state) {
    (void)state;
    begin_without_keys();
    assert_int_equal(lsq_conn_reset(conn, NULL), LSQ_OK);
    assert_true(enforced());
}

static void ends_in_the_middle_of_a_batch(void **state) {
    static const char sql[] = "COMMIT; INSERT INTO c VALUES (99, 99)";

    (void)state;
    begin_without_keys();
    assert_int_equal(lsq_batch_sql(conn, sql, sizeof(sql) - 1, NULL, NULL, NULL, NULL, &last_error),
                     LSQ_CONSTRAINT);
    assert_int_equal(last_error.statement, 2);
    assert_int_equal(children(), 2);
}

static void ends_with_a_cursor_over_commit(void **state) {
    struct lsq_stmt *stmt;
    bool end;

    (void)state;
    begin_without_keys();
    assert_int_equal(lsq_stmt_new(&stmt, conn, "COMMIT", 6, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(stmt, 1, NULL, NULL, NULL, &end, NULL), LSQ_OK);
    assert_true(enforced());
    lsq_stmt_free(stmt);
}

static void a_failed_commit_does_not_end_it(void **state) {
    (void)state;
    run(conn, "CREATE TABLE d (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)");
    begin();
    run(conn, "INSERT INTO d VALUES (99)");
    enforce(false);
    assert_int_equal(lsq_commit(conn, NULL, NULL), LSQ_CONSTRAINT);
    assert_false(enforced());
    assert_int_equal(lsq_rollback(conn, NULL, NULL), LSQ_OK);
    assert_true(enforced());
}

/* ---- The rest ---- */

static void what_held_before_holds_again(void **state) {
    (void)state;
    run(conn, "PRAGMA foreign_keys = off");
    begin();
    assert_false(enforce(true));
    assert_true(enforced());
    assert_true(enforce(false));
    assert_false(enforce(true));
    assert_int_equal(lsq_commit(conn, NULL, NULL), LSQ_OK);
    assert_false(enforced());
    assert_int_equal(lsq_conn_reset(conn, NULL), LSQ_OK);
    assert_true(enforced()); /* as configured */
}

static void only_in_a_transaction(void **state) {
    (void)state;
    assert_int_equal(lsq_enforce_foreign_keys(conn, false, NULL, NULL, &last_error),
                     LSQ_NO_TRANSACTION);
    assert_true(enforced());
    begin();
    assert_int_equal(lsq_enforce_foreign_keys(conn, false, NULL, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_rollback(conn, NULL, NULL), LSQ_OK);
}

static void open_cursors_go_on(void **state) {
    static const char sql[] = "SELECT id FROM p ORDER BY id";
    struct lsq_stmt *stmt;
    struct lsq_result *res;
    bool end;

    (void)state;
    begin();
    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_new(&stmt, conn, sql, sizeof(sql) - 1, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(stmt, 1, NULL, lsq_result_sink(), res, &end, NULL), LSQ_OK);
    enforce(false);
    assert_int_equal(lsq_stmt_fetch(stmt, 9, NULL, lsq_result_sink(), res, &end, &last_error),
                     LSQ_OK);
    assert_int_equal(lsq_result_int(res, 0, 0), 2);
    assert_true(end);
    lsq_stmt_free(stmt);
    lsq_result_free(res);
    assert_int_equal(lsq_rollback(conn, NULL, NULL), LSQ_OK);
}

/* Another connection of the same file is not concerned. */
static void others_are_not_concerned(void **state) {
    struct lsq_conn *other = db_open(db_file(conn));

    (void)state;
    begin_without_keys();
    assert_int_equal(ask(other, "PRAGMA foreign_keys"), 1);
    db_close(other);
    assert_int_equal(lsq_rollback(conn, NULL, NULL), LSQ_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_dropped_parent_takes_its_children_along),
        TEST(a_parent_is_rebuilt_and_keeps_its_children),
        TEST(ends_at_commit),
        TEST(ends_at_rollback),
        TEST(ends_by_sql),
        TEST(ends_with_the_outermost_savepoint),
        TEST(ends_when_a_failure_rolls_back),
        TEST(ends_when_an_interrupt_rolls_back),
        TEST(ends_at_reset),
        TEST(ends_in_the_middle_of_a_batch),
        TEST(ends_with_a_cursor_over_commit),
        TEST(a_failed_commit_does_not_end_it),
        TEST(what_held_before_holds_again),
        TEST(only_in_a_transaction),
        TEST(open_cursors_go_on),
        TEST(others_are_not_concerned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
