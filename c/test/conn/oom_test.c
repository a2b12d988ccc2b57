/* Every allocation fails once, in each kind of call: the answer is an error, nothing leaks, and the
 * connection works afterwards. The engine's memory comes from the same allocator. */
#include <stdio.h>

#include "../support/db.h"

enum { MAX_ALLOCATIONS = 20000 };

static struct lsq_conn *conn;
static char path[256];

static int64_t blocks(void) {
    struct lsq_memory memory;

    lsq_shutdown(); /* the helper frees a connection a moment after it told that it is closed */
    lsq_memory(&memory);
    return memory.blocks;
}

/* Raises the budget until the call succeeds; every earlier try must fail cleanly. */
static void walk(const char *name, enum lsq_status (*call)(void), void (*after)(void)) {
    int64_t budget = 0;
    enum lsq_status st;

    for (;; budget++) {
        lsq_memory_set_budget(budget);
        st = call();
        lsq_memory_set_budget(-1);
        if (after != NULL) after();
        if (st == LSQ_OK) break;
        if (st != LSQ_NOMEM && st != LSQ_SQL && st != LSQ_IO && st != LSQ_CANNOT_OPEN &&
            st != LSQ_ERROR)
            fail_msg("%s with %d allocations: %s (%s)", name, (int)budget, lsq_status_name(st),
                     last_error.message);
        if (budget == MAX_ALLOCATIONS) fail_msg("%s never succeeds", name);
    }
    assert_true(budget > 0);
}

static int open_file(void **state) {
    (void)state;
    conn = db_open(NULL);
    strcpy(path, ask_text(conn, "SELECT file FROM pragma_database_list"));
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)");
    return 0;
}

static int close_file(void **state) {
    db_close(conn);
    return db_forget(state);
}

static void works(void) { assert_int_equal(ask(conn, "SELECT 40 + 2"), 42); }

/* ---- The calls ---- */

static enum lsq_status open_call(void) {
    struct lsq_config cfg;
    struct lsq_conn *other = NULL;
    enum lsq_status st;

    lsq_config_init(&cfg);
    cfg.path = path;
    st = lsq_conn_open(&other, &cfg, &last_error);
    lsq_memory_set_budget(-1);
    if (st == LSQ_OK) db_close(other);
    return st;
}

static enum lsq_status exec_call(void) {
    return exec(conn, "SELECT id, a || 'x' FROM t WHERE a > ?1 ORDER BY a DESC",
                LSQ_PARAMS(lsq_text("a", 1)), NULL, NULL);
}

static enum lsq_status query_call(void) {
    struct lsq_result *res = NULL;
    enum lsq_status st = lsq_query(&res, conn,
                                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                                   "WHERE i < 300) SELECT i, 'text number ' || i FROM n",
                                   NULL, &last_error);

    lsq_memory_set_budget(-1);
    if (st == LSQ_OK) {
        assert_int_equal(lsq_result_rows(res), 300);
        assert_string_equal(lsq_result_text(res, 299, 1), "text number 300");
    }
    lsq_result_free(res);
    return st;
}

static enum lsq_status write_call(void) {
    return exec(conn, "INSERT INTO t (a) VALUES (?1) ON CONFLICT DO NOTHING",
                LSQ_PARAMS(lsq_text("row", 3)), NULL, NULL);
}

static enum lsq_status batch_call(void) {
    static const char sql[] = "INSERT INTO t (a) VALUES ('b1'); INSERT INTO t (a) VALUES ('b2'); "
                              "DELETE FROM t WHERE a LIKE 'b%'; SELECT count(*) FROM t";
    struct lsq_call call = {.flags = LSQ_CALL_TRANSACTION};

    return lsq_batch_sql(conn, sql, sizeof(sql) - 1, &call, NULL, NULL, NULL, &last_error);
}

static void batch_left_nothing(void) {
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE a LIKE 'b%'"), 0);
}

static int next_row(void *ctx, struct lsq_params *row, char *why) {
    static struct lsq_value value;
    int *i = ctx;

    (void)why;
    if (*i == 50) return 0;
    value = lsq_int((*i)++);
    *row = (struct lsq_params){.values = &value, .count = 1};
    return 1;
}

static enum lsq_status many_call(void) {
    static const char sql[] = "INSERT INTO t (a) VALUES ('many' || ?1) RETURNING id";
    int i = 0;

    return lsq_exec_many(conn, sql, sizeof(sql) - 1, next_row, &i, NULL, NULL, NULL, NULL,
                         &last_error);
}

static void many_is_all_or_nothing(void) {
    int64_t count = ask(conn, "SELECT count(*) FROM t WHERE a LIKE 'many%'");

    assert_true(count == 0 || count == 50);
}

static enum lsq_status cursor_call(void) {
    static const char sql[] = "SELECT id, a FROM t WHERE a <> ?1 ORDER BY a";
    struct lsq_stmt *stmt = NULL;
    struct lsq_result *res = NULL;
    bool end = false;
    enum lsq_status st = lsq_result_new(&res, &last_error);

    if (st == LSQ_OK) st = lsq_stmt_new(&stmt, conn, sql, sizeof(sql) - 1, NULL, &last_error);
    if (st == LSQ_OK) st = lsq_stmt_start(stmt, LSQ_PARAMS(lsq_text("zzz", 3)), &last_error);
    while (st == LSQ_OK && !end)
        st = lsq_stmt_fetch(stmt, 7, NULL, lsq_result_sink(), res, &end, &last_error);
    lsq_stmt_free(stmt);
    lsq_result_free(res);
    return st;
}

static enum lsq_status savepoint_call(void) {
    enum lsq_status st = lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error);

    if (st == LSQ_OK) st = lsq_savepoint(conn, "a \"b\"", 5, NULL, &last_error);
    if (st == LSQ_OK) st = write_call();
    if (st == LSQ_OK) st = lsq_rollback_to(conn, "a \"b\"", 5, NULL, &last_error);
    if (st == LSQ_OK) st = lsq_release(conn, "a \"b\"", 5, NULL, &last_error);
    if (st == LSQ_OK) st = lsq_commit(conn, NULL, &last_error);
    return st;
}

static void roll_back(void) {
    (void)lsq_rollback(conn, NULL, NULL);
    works();
}

static enum lsq_status reset_call(void) { return lsq_conn_reset(conn, &last_error); }

/* ---- The tests ---- */

static void open_survives(void **state) {
    int64_t before;

    (void)state;
    open_call(); /* what is made once for the process */
    before = blocks();
    walk("open", open_call, NULL);
    assert_int_equal(blocks(), before);
}

#define SURVIVES(name, call, after)                                                                \
    static void name##_survives(void **state) {                                                    \
        (void)state;                                                                               \
        walk(#name, call, after);                                                                  \
        works();                                                                                   \
    }

SURVIVES(exec, exec_call, works)
SURVIVES(query, query_call, works)
SURVIVES(write, write_call, works)
SURVIVES(batch, batch_call, batch_left_nothing)
SURVIVES(many, many_call, many_is_all_or_nothing)
SURVIVES(cursor, cursor_call, works)
SURVIVES(savepoint, savepoint_call, roll_back)
SURVIVES(reset, reset_call, works)

static void results_leak_nothing(void **state) {
    int64_t before;

    (void)state;
    query_call();
    cursor_call();
    before = blocks();
    for (int i = 0; i < 50; i++) {
        query_call();
        cursor_call();
    }
    assert_int_equal(blocks(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_file, close_file)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(open_survives),        TEST(exec_survives),      TEST(query_survives),
        TEST(write_survives),       TEST(batch_survives),     TEST(many_survives),
        TEST(cursor_survives),      TEST(savepoint_survives), TEST(reset_survives),
        TEST(results_leak_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
