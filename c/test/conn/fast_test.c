/* LSQ_CALL_TRY: what may run on a thread that must not wait, how it earns that, how it loses it. */
#include <stdio.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct lsq_conn *conn;
static const struct lsq_call try = {.flags = LSQ_CALL_TRY};

static void fill(void) {
    static const char sql[] =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
        " INSERT INTO t SELECT i, 'text ' || i FROM n;"
        "CREATE VIRTUAL TABLE words USING fts5 (w);"
        "INSERT INTO words VALUES ('a few words');";

    if (lsq_batch_sql(conn, sql, sizeof(sql) - 1, NULL, NULL, NULL, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
}

static int open_wal(void **state) {
    (void)state;
    conn = db_open(NULL);
    fill();
    return 0;
}

static int close_it(void **state) {
    db_close(conn);
    return db_forget(state);
}

static enum lsq_status try_it(const char *sql) { return exec(conn, sql, NULL, &try, NULL); }

/* Runs it until it is fast, at most so often that chance cannot hide it. */
static bool earns(const char *sql) {
    for (int i = 0; i < 3000; i++) {
        run(conn, sql);
        if (try_it(sql) == LSQ_OK) return true;
        if (last_error.status != LSQ_WOULD_BLOCK) fail_msg("%s: %s", sql, last_error.message);
    }
    return false;
}

static bool never_earns(const char *sql, int runs) {
    for (int i = 0; i < runs; i++) {
        run(conn, sql);
        if (try_it(sql) != LSQ_WOULD_BLOCK) return false;
    }
    return true;
}

static int64_t refusals(void) {
    struct lsq_conn_info info;

    assert_int_equal(lsq_conn_info(conn, true, &info, &last_error), LSQ_OK);
    return info.fast_refusals;
}

static int64_t fast_runs(void) {
    struct lsq_conn_info info;

    assert_int_equal(lsq_conn_info(conn, true, &info, &last_error), LSQ_OK);
    return info.fast_runs;
}

/* ---- Earning it ---- */

static void unknown_statements_would_block(void **state) {
    int64_t before = refusals();

    (void)state;
    assert_int_equal(try_it("SELECT a FROM t WHERE id = 1"), LSQ_WOULD_BLOCK);
    assert_int_equal(last_error.status, LSQ_WOULD_BLOCK);
    assert_int_equal(refusals(), before + 1);
    assert_int_equal(fast_runs(), 0);
    assert_int_equal(try_it("garbage"), LSQ_WOULD_BLOCK); /* not even compiled */
    assert_int_equal(try_it(""), LSQ_WOULD_BLOCK);
}

static void three_short_runs_earn_it(void **state) {
    static const char sql[] = "SELECT a FROM t WHERE id = 7";
    struct lsq_result *res = NULL;
    struct lsq_reply reply;

    (void)state;
    run(conn, sql);
    assert_int_equal(try_it(sql), LSQ_WOULD_BLOCK);
    run(conn, sql);
    assert_int_equal(try_it(sql), LSQ_WOULD_BLOCK);
    assert_true(earns(sql));
    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    for (int i = 0; i < 50 && lsq_result_rows(res) == 0; i++) /* a slow moment may refuse it */
        if (lsq_exec(conn, sql, sizeof(sql) - 1, NULL, &try, lsq_result_sink(), res, &reply,
                     &last_error) != LSQ_OK)
            assert_true(earns(sql));
    assert_string_equal(lsq_result_text(res, 0, 0), "text 7");
    assert_int_equal(reply.rows, 1);
    assert_int_equal(reply.command, LSQ_COMMAND_SELECT);
    assert_true(reply.autocommit);
    assert_true(fast_runs() > 0);
    lsq_result_free(res);
}

static void bounded_statements_earn_it(void **state) {
    static const char *const texts[] = {
        "SELECT * FROM t WHERE id BETWEEN 3 AND 5",
        "SELECT length(a), abs(id), coalesce(a, 'x') FROM t WHERE id = 3",
        "SELECT x.a FROM t AS x JOIN t AS y ON y.id = x.id WHERE x.id = 4",
        "SELECT a FROM t WHERE id IN (1, 2, 3)",
        "SELECT max(id) FROM t",
        "SELECT 1",
    };

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* checked for threads, some take longer than a short run may */
#endif
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (!earns(texts[i])) fail_msg("%s", texts[i]);
    }
}

static void parameters_go_with_it(void **state) {
    static const char sql[] = "SELECT a FROM t WHERE id = ?1";
    enum lsq_status st = LSQ_WOULD_BLOCK;

    (void)state;
    for (int i = 0; i < 3000 && st == LSQ_WOULD_BLOCK; i++) {
        assert_int_equal(exec(conn, sql, LSQ_PARAMS(lsq_int(5)), NULL, NULL), LSQ_OK);
        st = exec(conn, sql, LSQ_PARAMS(lsq_int(6)), &try, NULL);
    }
    assert_int_equal(st, LSQ_OK);
    assert_int_equal(exec(conn, sql, NULL, &try, NULL), LSQ_PARAMETERS);
}

static void one_row_goes_with_it(void **state) {
    static const struct lsq_call one = {.flags = LSQ_CALL_TRY | LSQ_CALL_ONE};
    static const char sql[] = "SELECT a FROM t WHERE id > ?1 LIMIT 2";
    enum lsq_status st = LSQ_WOULD_BLOCK;

    (void)state;
    for (int i = 0; i < 3000 && st == LSQ_WOULD_BLOCK; i++) {
        assert_int_equal(exec(conn, sql, LSQ_PARAMS(lsq_int(5)), NULL, NULL), LSQ_OK);
        st = exec(conn, sql, LSQ_PARAMS(lsq_int(99)), &one, NULL);
    }
    assert_int_equal(st, LSQ_OK);
    st = exec(conn, sql, LSQ_PARAMS(lsq_int(5)), &one, NULL);
    assert_true(st == LSQ_MANY_ROWS || st == LSQ_WOULD_BLOCK);
}

static void handles_earn_it_too(void **state) {
    struct lsq_stmt *stmt = NULL;
    enum lsq_status st = LSQ_WOULD_BLOCK;

    (void)state;
    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELECT a FROM t WHERE id = 3", 28, NULL, NULL),
                     LSQ_OK);
    assert_int_equal(lsq_stmt_exec(stmt, NULL, &try, NULL, NULL, NULL, NULL), LSQ_WOULD_BLOCK);
    for (int i = 0; i < 3000 && st == LSQ_WOULD_BLOCK; i++) {
        assert_int_equal(lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, NULL), LSQ_OK);
        st = lsq_stmt_exec(stmt, NULL, &try, NULL, NULL, NULL, NULL);
    }
    assert_int_equal(st, LSQ_OK);
    lsq_stmt_free(stmt);
}

/* ---- What never earns it ---- */

static void unbounded_statements_never_earn_it(void **state) {
    static const char *const texts[] = {
        "SELECT a FROM t ORDER BY a LIMIT 1", /* sorts */
        "SELECT count(*) FROM t",             /* one instruction for the whole table */
        "SELECT w FROM words WHERE words MATCH 'few'",
        "SELECT * FROM pragma_table_info('t')",
        "SELECT upper(a) FROM t WHERE id = 1", /* not known to be bounded */
        "SELECT a FROM t WHERE a LIKE '%9%' AND id = 1",
        "SELECT randomblob(10)",
        "SELECT group_concat(a) FROM t WHERE id < 3",
        "PRAGMA user_version",
        "EXPLAIN SELECT 1",
        "SAVEPOINT s",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (!never_earns(texts[i], 20)) fail_msg("%s", texts[i]);
    }
}

static void writes_never_earn_it(void **state) {
    static const char *const texts[] = {
        "UPDATE t SET a = a WHERE id = 1",
        "DELETE FROM t WHERE id = 999",
        "INSERT OR IGNORE INTO t VALUES (1, 'x')",
        "UPDATE t SET a = a WHERE id = 1 RETURNING a",
        "INSERT INTO mine VALUES (1)",
    };

    (void)state;
    run(conn, "CREATE TEMP TABLE mine (a)");
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (!never_earns(texts[i], 20)) fail_msg("%s", texts[i]);
    }
    for (int i = 0; i < 20; i++) { /* nor do the words around them */
        run(conn, "BEGIN");
        assert_int_equal(try_it("COMMIT"), LSQ_WOULD_BLOCK);
        run(conn, "COMMIT");
        assert_int_equal(try_it("BEGIN"), LSQ_WOULD_BLOCK);
    }
}

static void refused_it_has_done_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) run(conn, "INSERT INTO t (a) VALUES ('more')");
    assert_int_equal(try_it("INSERT INTO t (a) VALUES ('more')"), LSQ_WOULD_BLOCK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 110);
}

static void long_run_loses_it(void **state) {
    static const char sql[] = "SELECT min(x.id + y.id * z.id) FROM t AS x, t AS y, t AS z "
                              "WHERE x.id <= ?1 AND y.id <= ?1 AND z.id <= ?1";
    enum lsq_status st = LSQ_WOULD_BLOCK;

    (void)state;
    for (int i = 0; i < 3000 && st == LSQ_WOULD_BLOCK; i++) {
        assert_int_equal(exec(conn, sql, LSQ_PARAMS(lsq_int(1)), NULL, NULL), LSQ_OK);
        st = exec(conn, sql, LSQ_PARAMS(lsq_int(1)), &try, NULL);
    }
    assert_int_equal(st, LSQ_OK);
    /* The same statement with a million steps is broken off, and refused from then on. */
    assert_int_equal(exec(conn, sql, LSQ_PARAMS(lsq_int(100)), &try, NULL), LSQ_WOULD_BLOCK);
    assert_int_equal(exec(conn, sql, LSQ_PARAMS(lsq_int(1)), &try, NULL), LSQ_WOULD_BLOCK);
    assert_int_equal(exec(conn, sql, LSQ_PARAMS(lsq_int(100)), NULL, NULL), LSQ_OK);
}

/* ---- Where there is none ---- */

static void switched_off(void **state) {
    struct lsq_config cfg = db_config(db_file(conn));
    struct lsq_conn *old = conn;

    (void)state;
    cfg.no_fast_path = true;
    conn = db_open_as(&cfg);
    assert_true(never_earns("SELECT a FROM t WHERE id = 1", 100));
    assert_int_equal(fast_runs(), 0);
    db_close(conn);
    conn = old;
}

static void only_in_wal_mode(void **state) {
    static const char sql[] = "SELECT a FROM t WHERE id = 1";

    (void)state;
    assert_true(earns(sql));
    run(conn, "PRAGMA journal_mode = delete");
    assert_true(never_earns(sql, 100));
    run(conn, "PRAGMA journal_mode = wal");
    assert_true(earns(sql));
}

static void private_memory_has_it_shared_memory_has_not(void **state) {
    struct lsq_conn *old = conn;

    (void)state;
    conn = db_open(":memory:");
    fill();
    assert_true(earns("SELECT a FROM t WHERE id = 1"));
    db_close(conn);
    conn = db_open("file:/fast?vfs=memdb");
    fill();
    assert_true(never_earns("SELECT a FROM t WHERE id = 1", 100));
    db_close(conn);
    conn = old;
}

static void without_a_cache_text_has_none(void **state) {
    struct lsq_config cfg = db_config(db_file(conn));
    struct lsq_conn *old = conn;

    (void)state;
    cfg.statement_cache = 0;
    conn = db_open_as(&cfg);
    assert_true(never_earns("SELECT a FROM t WHERE id = 1", 100));
    db_close(conn);
    conn = old;
}

/* ---- What happens around it ---- */

static void commit_elsewhere_is_seen(void **state) {
    static const char sql[] = "SELECT a FROM t WHERE id = 1";
    struct lsq_conn *other = db_open(db_file(conn));
    struct lsq_result *res = NULL;
    enum lsq_status st;

    (void)state;
    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    assert_true(earns(sql));
    run(other, "UPDATE t SET a = 'changed' WHERE id = 1");
    st = lsq_exec(conn, sql, sizeof(sql) - 1, NULL, &try, lsq_result_sink(), res, NULL, NULL);
    assert_true(st == LSQ_OK || st == LSQ_WOULD_BLOCK); /* its page has to be read again */
    if (st == LSQ_OK) assert_string_equal(lsq_result_text(res, 0, 0), "changed");
    assert_string_equal(ask_text(conn, sql), "changed");
    lsq_result_free(res);
    db_close(other);
}

static void exclusive_lock_does_not_make_it_wait(void **state) {
    static const char sql[] = "SELECT a FROM t WHERE id = 1";
    struct lsq_conn *other = db_open(db_file(conn));
    int64_t start;

    (void)state;
    assert_true(earns(sql));
    run(other, "BEGIN EXCLUSIVE");
    run(other, "UPDATE t SET a = 'x'");
    start = now_ns();
    for (int i = 0; i < 100; i++) {
        enum lsq_status st = try_it(sql);

        assert_true(st == LSQ_OK || st == LSQ_WOULD_BLOCK);
    }
    assert_true(now_ns() - start < 2000000000);
    run(other, "ROLLBACK");
    db_close(other);
}

/* The statement would have to be compiled anew: that may be long, and is not done there. */
static void change_of_schema_elsewhere_would_block(void **state) {
    static const char *const texts[] = {
        "SELECT length(a), abs(id) FROM t WHERE id = 1",
        "SELECT * FROM t WHERE id = (SELECT max(id) FROM t)",
        "SELECT 1 WHERE EXISTS (SELECT id FROM t WHERE id = 5)",
    };
    struct lsq_conn *other = db_open(db_file(conn));

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        char sql[60];

        assert_true(earns(texts[i]));
        snprintf(sql, sizeof(sql), "CREATE TABLE change_%zu (a)", i);
        run(other, sql);
        assert_int_equal(try_it(texts[i]), LSQ_WOULD_BLOCK);
        run(conn, texts[i]);
        assert_true(earns(texts[i]));
    }
    db_close(other);
}

static void in_a_transaction_it_sees_its_own_rows(void **state) {
    static const char sql[] = "SELECT a FROM t WHERE id = 1000";
    struct lsq_reply reply;
    enum lsq_status st = LSQ_WOULD_BLOCK;

    (void)state;
    assert_true(earns(sql));
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (1000, 'mine')");
    for (int i = 0; i < 1000 && st != LSQ_OK; i++) {
        run(conn, sql);
        st = exec(conn, sql, NULL, &try, &reply);
    }
    assert_int_equal(st, LSQ_OK);
    assert_int_equal(reply.rows, 1);
    assert_false(reply.autocommit);
    run(conn, "ROLLBACK");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_wal, close_it)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(unknown_statements_would_block),
        TEST(three_short_runs_earn_it),
        TEST(bounded_statements_earn_it),
        TEST(parameters_go_with_it),
        TEST(one_row_goes_with_it),
        TEST(handles_earn_it_too),
        TEST(unbounded_statements_never_earn_it),
        TEST(writes_never_earn_it),
        TEST(refused_it_has_done_nothing),
        TEST(long_run_loses_it),
        TEST(switched_off),
        TEST(only_in_wal_mode),
        TEST(private_memory_has_it_shared_memory_has_not),
        TEST(without_a_cache_text_has_none),
        TEST(commit_elsewhere_is_seen),
        TEST(exclusive_lock_does_not_make_it_wait),
        TEST(change_of_schema_elsewhere_would_block),
        TEST(in_a_transaction_it_sees_its_own_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
