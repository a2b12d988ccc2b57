/* Statement handles: what they tell, whom they belong to, how they end. */
#include <pthread.h>
#include <stdio.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct lsq_conn *conn;

static int open_memory(void **state) {
    (void)state;
    conn = db_open(":memory:");
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, \"b c\" REAL)");
    run(conn, "INSERT INTO t VALUES (1, 'x', 1.5), (2, 'y', 2.5)");
    return 0;
}

static int close_memory(void **state) {
    (void)state;
    db_close(conn);
    return db_forget(state);
}

static struct lsq_stmt *prepare(const char *sql) {
    struct lsq_stmt *stmt = NULL;

    if (lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error) != LSQ_OK)
        fail_msg("%s: %s", sql, last_error.message);
    return stmt;
}

static int64_t stmt_ask(struct lsq_stmt *stmt, const struct lsq_params *params) {
    struct lsq_result *res = NULL;
    int64_t value;

    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    if (lsq_stmt_exec(stmt, params, NULL, lsq_result_sink(), res, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    value = lsq_result_int(res, 0, 0);
    lsq_result_free(res);
    return value;
}

/* ---- What they tell ---- */

static void same_text(const char *got, const char *want) {
    if (want == NULL)
        assert_null(got);
    else
        assert_string_equal(got, want);
}

static void columns_tell_their_origin(void **state) {
    static const struct lsq_column want[] = {
        {"id", "main", "t", "id", "INTEGER"}, {"name", "main", "t", "a", "TEXT"},
        {"b c", "main", "t", "b c", "REAL"},  {"1 + 1", NULL, NULL, NULL, NULL},
        {"count", NULL, NULL, NULL, NULL},
    };
    struct lsq_stmt *stmt =
        prepare("SELECT id, a AS name, x.\"b c\", 1 + 1, (SELECT 5) AS count FROM t AS x");
    struct lsq_column got;
    size_t count;

    (void)state;
    assert_int_equal(lsq_stmt_column_count(stmt, &count, &last_error), LSQ_OK);
    assert_int_equal(count, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_int_equal(lsq_stmt_column(stmt, i, &got, &last_error), LSQ_OK);
        same_text(got.name, want[i].name);
        same_text(got.declared_type, want[i].declared_type);
        same_text(got.database, want[i].database);
        same_text(got.table, want[i].table);
        same_text(got.origin, want[i].origin);
    }
    assert_int_equal(lsq_stmt_column(stmt, COUNT(want), &got, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_stmt_column(stmt, SIZE_MAX, &got, &last_error), LSQ_BAD_ARGUMENT);
    lsq_stmt_free(stmt);
}

static void column_counts(void **state) {
    static const struct {
        const char *sql;
        size_t count;
    } cases[] = {
        {"INSERT INTO t (a) VALUES (1)", 0},
        {"INSERT INTO t (a) VALUES (1) RETURNING id, a", 2},
        {"SELECT * FROM t", 3},
        {"CREATE TABLE u (a)", 0},
        {"PRAGMA table_info(t)", 6},
        {"EXPLAIN SELECT 1", 8},
        {"BEGIN", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lsq_stmt *stmt = prepare(cases[i].sql);
        size_t count = 99;

        assert_int_equal(lsq_stmt_column_count(stmt, &count, &last_error), LSQ_OK);
        if (count != cases[i].count) fail_msg("%s: %zu", cases[i].sql, count);
        lsq_stmt_free(stmt);
    }
    expect(LSQ_SQL, conn, "SELECT * FROM u"); /* nothing of it ran */
}

static void parameters_tell_their_names(void **state) {
    struct lsq_stmt *stmt = prepare("SELECT :a, ?, @b, $c, ?9, :a");
    static const char *const want[] = {":a", NULL, "@b", "$c", NULL, NULL, NULL, NULL, "?9"};
    const char *name;
    size_t count;

    (void)state;
    assert_int_equal(lsq_stmt_param_count(stmt, &count, &last_error), LSQ_OK);
    assert_int_equal(count, 9);
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_int_equal(lsq_stmt_param_name(stmt, i + 1, &name, &last_error), LSQ_OK);
        same_text(name, want[i]);
    }
    assert_int_equal(lsq_stmt_param_name(stmt, 0, &name, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_stmt_param_name(stmt, 10, &name, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_stmt_param_name(stmt, (size_t)1 << 32, &name, &last_error),
                     LSQ_BAD_ARGUMENT);
    lsq_stmt_free(stmt);
}

static void readonly_is_what_it_does(void **state) {
    static const struct {
        const char *sql;
        bool want;
    } cases[] = {
        {"SELECT * FROM t ORDER BY a", true},
        {"WITH w AS (SELECT 1) SELECT * FROM w", true},
        {"VALUES (1)", true},
        {"SELECT upper(a) FROM t", true},
        {"WITH w AS (SELECT 1 AS n) DELETE FROM t WHERE id IN w", false},
        {"INSERT INTO t (a) SELECT 1 WHERE 0", false},
        {"CREATE TABLE IF NOT EXISTS t (a)", false},
        {"DROP TABLE IF EXISTS absent", false},
        {"CREATE TEMP TABLE x (a)", false},
        {"PRAGMA user_version", false},
        {"ANALYZE", false},
        {"REINDEX", false},
        {"VACUUM", false},
        {"BEGIN", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lsq_stmt *stmt = prepare(cases[i].sql);
        bool readonly = !cases[i].want;

        assert_int_equal(lsq_stmt_readonly(stmt, &readonly, &last_error), LSQ_OK);
        if (readonly != cases[i].want) fail_msg("%s", cases[i].sql);
        lsq_stmt_free(stmt);
    }
}

static void temporary_tables_are_written_too(void **state) {
    struct lsq_stmt *stmt;
    bool readonly = true;

    (void)state;
    run(conn, "CREATE TEMP TABLE x (a)");
    stmt = prepare("INSERT INTO x VALUES (1)");
    assert_int_equal(lsq_stmt_readonly(stmt, &readonly, &last_error), LSQ_OK);
    assert_false(readonly);
    lsq_stmt_free(stmt);
}

/* ---- Running ---- */

static void runs_again_and_again(void **state) {
    struct lsq_stmt *stmt = prepare("SELECT ?1 * 2");

    (void)state;
    for (int i = 0; i < 10; i++) assert_int_equal(stmt_ask(stmt, LSQ_PARAMS(lsq_int(i))), 2 * i);
    assert_int_equal(lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, &last_error),
                     LSQ_PARAMETERS);
    assert_int_equal(stmt_ask(stmt, LSQ_PARAMS(lsq_int(4))), 8);
    lsq_stmt_free(stmt);
}

static void runs_after_its_own_failure(void **state) {
    struct lsq_stmt *stmt = prepare("INSERT INTO t (id) VALUES (?1)");
    struct lsq_reply reply;

    (void)state;
    assert_int_equal(
        lsq_stmt_exec(stmt, LSQ_PARAMS(lsq_int(1)), NULL, NULL, NULL, NULL, &last_error),
        LSQ_CONSTRAINT);
    assert_int_equal(
        lsq_stmt_exec(stmt, LSQ_PARAMS(lsq_int(3)), NULL, NULL, NULL, &reply, &last_error), LSQ_OK);
    assert_int_equal(reply.changes, 1);
    assert_int_equal(reply.last_rowid, 3);
    lsq_stmt_free(stmt);
}

static void one_row_flag_holds_for_handles(void **state) {
    static const struct lsq_call one = {.flags = LSQ_CALL_ONE};
    struct lsq_stmt *stmt = prepare("DELETE FROM t RETURNING id");

    (void)state;
    assert_int_equal(lsq_stmt_exec(stmt, NULL, &one, NULL, NULL, NULL, &last_error), LSQ_MANY_ROWS);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 2);
    lsq_stmt_free(stmt);
}

static void text_may_go_after_preparing(void **state) {
    char sql[] = "SELECT count(*) FROM t";
    struct lsq_stmt *stmt = prepare(sql);

    (void)state;
    memset(sql, 'x', sizeof(sql) - 1);
    assert_int_equal(stmt_ask(stmt, NULL), 2);
    run(conn, "ALTER TABLE t ADD COLUMN d"); /* compiled anew */
    assert_int_equal(stmt_ask(stmt, NULL), 2);
    lsq_stmt_free(stmt);
}

static void statements_that_do_not_compile(void **state) {
    struct lsq_stmt *stmt = (struct lsq_stmt *)(void *)&state;

    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELECT absent FROM t", 20, NULL, &last_error),
                     LSQ_SQL);
    assert_int_equal(last_error.sql_offset, 7);
    assert_ptr_equal(stmt, &state); /* written only on success */
}

/* ---- Whom they belong to ---- */

static void each_knows_its_connection(void **state) {
    struct lsq_conn *other = db_open(":memory:");
    struct lsq_stmt *mine = prepare("SELECT count(*) FROM t");
    struct lsq_stmt *theirs = NULL;

    (void)state;
    run(other, "CREATE TABLE t (a)");
    assert_int_equal(lsq_stmt_new(&theirs, other, "SELECT count(*) FROM t", 22, NULL, NULL),
                     LSQ_OK);
    assert_ptr_equal(lsq_stmt_conn(mine), conn);
    assert_ptr_equal(lsq_stmt_conn(theirs), other);
    assert_int_equal(stmt_ask(mine, NULL), 2);
    assert_int_equal(stmt_ask(theirs, NULL), 0);
    db_close(other);
    assert_int_equal(lsq_stmt_exec(theirs, NULL, NULL, NULL, NULL, NULL, NULL), LSQ_CLOSED);
    assert_int_equal(stmt_ask(mine, NULL), 2);
    lsq_stmt_free(theirs);
    lsq_stmt_free(mine);
}

static void freed_in_any_order(void **state) {
    struct lsq_stmt *stmt[6];

    (void)state;
    for (int i = 0; i < 6; i++) stmt[i] = prepare("SELECT 1");
    lsq_stmt_free(stmt[2]);
    lsq_stmt_free(stmt[0]);
    lsq_stmt_free(stmt[5]);
    assert_int_equal(stmt_ask(stmt[3], NULL), 1);
    lsq_stmt_free(stmt[3]);
    lsq_stmt_discard(stmt[4]);
    lsq_stmt_free(stmt[1]);
    lsq_stmt_free(NULL);
    lsq_stmt_discard(NULL);
    assert_int_equal(ask(conn, "SELECT 1"), 1);
}

static void outlives_its_connections_handle(void **state) {
    struct lsq_conn *other = db_open(NULL);
    struct lsq_stmt *stmt = NULL;
    struct lsq_stmt *cursor = NULL;
    bool end;

    (void)state;
    assert_int_equal(lsq_stmt_new(&stmt, other, "SELECT 1", 8, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_new(&cursor, other, "VALUES (1), (2)", 15, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_start(cursor, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(cursor, 1, NULL, NULL, NULL, &end, NULL), LSQ_OK);
    lsq_conn_free(other);
    assert_int_equal(lsq_stmt_fetch(cursor, 1, NULL, NULL, NULL, &end, NULL), LSQ_CLOSED);
    lsq_stmt_discard(cursor);
    assert_int_equal(lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, NULL), LSQ_CLOSED);
    lsq_stmt_free(stmt);
    lsq_shutdown();
}

/* ---- Other threads ---- */

static void discard_stmt(void *stmt) { lsq_stmt_discard(stmt); }
static void interrupt_stmt(void *stmt) { lsq_stmt_interrupt(stmt); }

static void discarded_while_another_call_runs(void **state) {
    struct lsq_stmt *stmt[3];
    struct later later[3];
    struct later stop = {.fn = interrupt_conn, .arg = conn, .ms = 120};

    (void)state;
    for (int i = 0; i < 3; i++) {
        stmt[i] = prepare("SELECT a FROM t");
        later[i] = (struct later){.fn = discard_stmt, .arg = stmt[i], .ms = 20 * i};
        later_begin(&later[i]);
    }
    later_begin(&stop);
    expect(LSQ_INTERRUPTED, conn, LONG_QUERY);
    for (int i = 0; i < 3; i++) later_join(&later[i]);
    later_join(&stop);
    run(conn, "DROP TABLE t");
}

/* Its own run goes on: the memory goes when the call is over. */
static void discarded_while_it_runs(void **state) {
    struct lsq_stmt *stmt = prepare(LONG_QUERY);
    struct later discard = {.fn = discard_stmt, .arg = stmt, .ms = 20};
    struct later stop = {.fn = interrupt_conn, .arg = conn, .ms = 100};

    (void)state;
    later_begin(&discard);
    later_begin(&stop);
    assert_int_equal(lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, &last_error),
                     LSQ_INTERRUPTED);
    later_join(&discard);
    later_join(&stop);
    assert_int_equal(ask(conn, "SELECT 3"), 3);
}

/* Without any further call the helper finalizes what was discarded: it holds no lock then. */
static void discarded_cursor_ends_without_a_call(void **state) {
    struct lsq_conn *mine = db_open(NULL);
    struct lsq_conn *other;
    struct lsq_stmt *cursor = NULL;
    bool end;

    (void)state;
    run(mine, "PRAGMA journal_mode = delete");
    run(mine, "CREATE TABLE t (a)");
    run(mine, "INSERT INTO t VALUES (1), (2)");
    other = db_open(db_file(mine));
    run(other, "PRAGMA journal_mode = delete");
    assert_int_equal(lsq_stmt_new(&cursor, mine, "SELECT a FROM t", 15, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_start(cursor, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(cursor, 1, NULL, NULL, NULL, &end, NULL), LSQ_OK);
    lsq_stmt_discard(cursor);
    run(other, "DELETE FROM t"); /* waits until the reader is gone */
    db_close(other);
    db_close(mine);
}

static void interrupts_only_itself(void **state) {
    struct lsq_stmt *running = prepare(LONG_QUERY);
    struct lsq_stmt *idle = prepare("SELECT 1");
    struct later wrong = {.fn = interrupt_stmt, .arg = idle, .ms = 20};
    struct later right = {.fn = interrupt_stmt, .arg = running, .ms = 150};
    int64_t start = now_ns();

    (void)state;
    later_begin(&wrong);
    later_begin(&right);
    assert_int_equal(lsq_stmt_exec(running, NULL, NULL, NULL, NULL, NULL, &last_error),
                     LSQ_INTERRUPTED);
    assert_true(now_ns() - start >= 140000000); /* the idle one's had no effect */
    later_join(&wrong);
    later_join(&right);
    assert_int_equal(stmt_ask(idle, NULL), 1);
    lsq_stmt_free(running);
    lsq_stmt_free(idle);
}

/* A statement's interrupt leaves a run of text alone. */
static void interrupt_of_an_idle_one_leaves_text_alone(void **state) {
    struct lsq_stmt *idle = prepare("SELECT 1");
    struct lsq_call call = {.timeout = 150};
    struct later wrong = {.fn = interrupt_stmt, .arg = idle, .ms = 20};

    (void)state;
    assert_int_equal(stmt_ask(idle, NULL), 1);
    later_begin(&wrong);
    assert_int_equal(exec(conn, LONG_QUERY, NULL, &call, NULL), LSQ_TIMEOUT);
    later_join(&wrong);
    lsq_stmt_free(idle);
}

static void *free_stmt(void *arg) {
    lsq_stmt_free(arg);
    return NULL;
}

static bool free_from_sink(void *ctx) {
    lsq_stmt_free(*(struct lsq_stmt **)ctx);
    *(struct lsq_stmt **)ctx = NULL;
    return true;
}

static bool any_columns(void *ctx, size_t count, const char *const *names) {
    return (void)ctx, (void)count, (void)names, true;
}
static bool any_integer(void *ctx, int64_t value) { return (void)ctx, (void)value, true; }

/* Freed while a call runs, on the very thread: it becomes a discarding. */
static void freed_inside_a_call(void **state) {
    static const struct lsq_sink sink = {
        .columns = any_columns, .integer = any_integer, .row_end = free_from_sink};
    struct lsq_stmt *stmt = prepare("SELECT a FROM t");
    struct lsq_stmt *elsewhere = prepare("SELECT a FROM t");
    pthread_t thread;

    (void)state;
    assert_int_equal(lsq_exec(conn, "SELECT 1", 8, NULL, NULL, &sink, &stmt, NULL, &last_error),
                     LSQ_OK);
    assert_null(stmt);
    assert_int_equal(pthread_create(&thread, NULL, free_stmt, elsewhere), 0);
    pthread_join(thread, NULL);
    run(conn, "DROP TABLE t");
}

static void handles_leak_nothing(void **state) {
    struct lsq_memory before;
    struct lsq_memory after;

    (void)state;
    for (int i = 0; i < 3; i++) lsq_stmt_free(prepare("SELECT a, id FROM t WHERE id > 0"));
    lsq_memory(&before);
    for (int i = 0; i < 100; i++) {
        struct lsq_stmt *stmt = prepare("SELECT a, id FROM t WHERE id > 0");

        assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
        if (i % 2 == 0)
            lsq_stmt_free(stmt);
        else
            lsq_stmt_discard(stmt);
    }
    run(conn, "SELECT 1");
    run(conn, "SELECT 1");
    lsq_memory(&after);
    assert_in_range(after.blocks, 0, before.blocks + 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_memory, close_memory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(columns_tell_their_origin),
        TEST(column_counts),
        TEST(parameters_tell_their_names),
        TEST(readonly_is_what_it_does),
        TEST(temporary_tables_are_written_too),
        TEST(runs_again_and_again),
        TEST(runs_after_its_own_failure),
        TEST(one_row_flag_holds_for_handles),
        TEST(text_may_go_after_preparing),
        TEST(statements_that_do_not_compile),
        TEST(each_knows_its_connection),
        TEST(freed_in_any_order),
        TEST(outlives_its_connections_handle),
        TEST(discarded_while_another_call_runs),
        TEST(discarded_while_it_runs),
        TEST(discarded_cursor_ends_without_a_call),
        TEST(interrupts_only_itself),
        TEST(interrupt_of_an_idle_one_leaves_text_alone),
        TEST(freed_inside_a_call),
        TEST(handles_leak_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
