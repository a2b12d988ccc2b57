/* Compiling recurses as deep as its input. A call with LSQ_CALL_BUDGET on a small stack, such as a
 * scheduler of the Erlang VM has, runs only what is compiled already; what it refuses runs elsewhere.
 * Each of these texts ended the process when it was compiled on such a stack. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SMALL_STACK = 1024 * 1024 }; /* checked code needs more */
#else
enum { SMALL_STACK = 256 * 1024 };
#endif

static const struct lsq_call shared = {.flags = LSQ_CALL_BUDGET | LSQ_CALL_NOWAIT};

struct deed {
    struct lsq_conn *conn;
    const char *sql;
    const struct lsq_params *params;
    enum lsq_status st;
};

static void *do_it(void *arg) {
    struct deed *deed = arg;

    deed->st = exec(deed->conn, deed->sql, deed->params, &shared, NULL);
    return NULL;
}

/* The same as exec(), on a thread with a small stack. */
static enum lsq_status small_with(struct lsq_conn *conn, const char *sql,
                                  const struct lsq_params *params) {
    struct deed deed = {.conn = conn, .sql = sql, .params = params};
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, SMALL_STACK);
    assert_int_equal(pthread_create(&thread, &attr, do_it, &deed), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    return deed.st;
}

static enum lsq_status small(struct lsq_conn *conn, const char *sql) {
    return small_with(conn, sql, NULL);
}

/* Runs it often enough for one slow run, of a busy machine, to be forgotten. */
static void settle(struct lsq_conn *conn, const char *sql) {
    for (int i = 0; i < 9; i++) run(conn, sql);
}

/* Whether it comes to run on the small stack; a run of over 20 ms sends it away again for a while. */
static bool runs_small(struct lsq_conn *conn, const char *sql) {
    for (int i = 0; i < 100; i++) {
        settle(conn, sql);
        if (small(conn, sql) == LSQ_OK) return true;
    }
    return false;
}

static char *nested(const char *open, int count, const char *inner, const char *close) {
    char *text = calloc((strlen(open) + strlen(close)) * (size_t)count + strlen(inner) + 1, 1);
    char *at = text;

    assert_non_null(text);
    for (int i = 0; i < count; i++) at += sprintf(at, "%s", open);
    at += sprintf(at, "%s", inner);
    for (int i = 0; i < count; i++) at += sprintf(at, "%s", close);
    return text;
}

static void what_is_compiled_runs_the_rest_is_refused(void **state) {
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    assert_int_equal(small(conn, "SELECT 1"), LSQ_WOULD_BLOCK);
    assert_true(runs_small(conn, "SELECT 1"));
    assert_int_equal(small(conn, "SELEC 1"), LSQ_WOULD_BLOCK);
    /* A PRAGMA acts while it is compiled. */
    run(conn, "PRAGMA user_version = 3");
    assert_int_equal(small(conn, "PRAGMA user_version = 4"), LSQ_WOULD_BLOCK);
    assert_int_equal(ask(conn, "PRAGMA user_version"), 3);
    db_close(conn);
}

static void a_changed_schema_is_not_read_there(void **state) {
    const char *path = db_path();
    struct lsq_conn *conn = db_open(path);
    struct lsq_conn *other = db_open(path);
    static const char insert[] = "INSERT INTO t VALUES (1)";
    static const char select[] = "SELECT * FROM t";
    int64_t rows;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    settle(conn, insert);
    settle(conn, select);
    assert_true(runs_small(conn, insert));
    run(other, "CREATE TABLE u (a)");
    rows = ask(conn, "SELECT count(*) FROM t");
    run(other, "CREATE TABLE v (a)");
    assert_int_equal(small(conn, insert), LSQ_WOULD_BLOCK);
    assert_int_equal(small(conn, select), LSQ_WOULD_BLOCK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), rows);
    settle(conn, insert);
    settle(conn, select);
    assert_true(runs_small(conn, insert));
    assert_true(runs_small(conn, select));
    /* In a transaction whose own change of the schema has expired everything. */
    rows = ask(conn, "SELECT count(*) FROM t");
    run(conn, "BEGIN");
    run(conn, "CREATE TABLE w (a)");
    assert_int_equal(small(conn, insert), LSQ_WOULD_BLOCK);
    run(conn, "ROLLBACK");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), rows);
    db_close(other);
    db_close(conn);
}

/* The statement's own failure is not lost, and nothing of a refused one is stored. */
static void errors_are_the_same_elsewhere(void **state) {
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    run(conn, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)");
    run(conn, "CREATE UNIQUE INDEX t_b ON t (b)");
    run(conn, "INSERT INTO t VALUES (1, 'x')");
    for (int i = 0; i < 9; i++) expect(LSQ_CONSTRAINT, conn, "INSERT INTO t VALUES (2, 'x')");
    assert_int_equal(small(conn, "INSERT INTO t VALUES (2, 'x')"), LSQ_CONSTRAINT);
    assert_string_equal(last_error.constraint_name, "t_b");
    expect(LSQ_ERROR, conn, "UPDATE t SET b = json('{')");
    assert_int_equal(small(conn, "UPDATE t SET b = json('{')"), LSQ_WOULD_BLOCK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b = 'x'"), 1);
    db_close(conn);
}

static void a_like_pattern_of_many_wildcards(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    char *pattern = nested("%a", 2000, "", "");
    const struct lsq_params params = {
        .values = (const struct lsq_value[]){lsq_text(pattern, strlen(pattern))}, .count = 1};
    static const char sql[] = "SELECT 'aaaa' LIKE ?1";

    (void)state;
    assert_int_equal(exec(conn, sql, &params, NULL, NULL), LSQ_OK);
    for (int i = 0; i < 3; i++) (void)exec(conn, sql, &params, NULL, NULL);
    assert_int_equal(small_with(conn, sql, &params), LSQ_WOULD_BLOCK);
    db_close(conn);
    free(pattern);
}

/* Deep texts: an answer, whatever it is, and the connection goes on. */
static void deep_texts(void **state) {
    static const struct {
        const char *open;
        int count;
        const char *inner;
        const char *close;
    } texts[] = {
        {"SELECT * FROM (", 300, "SELECT 1", ")"},
        {"SELECT * FROM (", 20000, "SELECT 1", ")"},
        {"SELECT (", 5000, "SELECT 1", ")"},
        {"SELECT 1 IN (", 5000, "SELECT 1", ")"},
        {"SELECT EXISTS (", 5000, "SELECT 1", ")"},
        {"EXPLAIN SELECT * FROM (", 9, "x", ")"},
        {"SELECT 1 UNION ALL ", 5000, "SELECT 1", ""},
        {"WITH a AS (", 5000, "SELECT 1", ") SELECT 1"},
    };
    static const char *const expressions[][3] = {
        {"(", "1", ")"},  {"NOT ", "1", ""},      {"- ", "1", ""},
        {"1+", "1", ""},  {"abs(", "1", ")"},     {"CASE WHEN 1 THEN ", "1", " END"},
        {"1||", "1", ""}, {"1 IN (1,", "1", ")"}, {"CAST(", "1", " AS INT)"},
    };
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *sql = nested(texts[i].open, texts[i].count, texts[i].inner, texts[i].close);

        (void)exec(conn, sql, NULL, NULL, NULL);
        (void)small(conn, sql);
        free(sql);
    }
    for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
        for (int depth = 500; depth <= 50000; depth *= 10) {
            char *deep = nested(expressions[i][0], depth, expressions[i][1], expressions[i][2]);
            char *sql = nested("SELECT ", 1, deep, "");

            (void)exec(conn, sql, NULL, NULL, NULL);
            (void)small(conn, sql);
            free(sql);
            free(deep);
        }
    }
    assert_int_equal(ask(conn, "SELECT 1"), 1);
    db_close(conn);
}

static void run_format(struct lsq_conn *conn, const char *format, int a, int b) {
    char sql[256];

    snprintf(sql, sizeof(sql), format, a, b);
    run(conn, sql);
}

/* A schema that is deep: short texts that recurse far. */
static void deep_schemas(void **state) {
    enum { DEPTH = 400 };
    const char *path = db_path();
    struct lsq_conn *conn = db_open(path);
    struct lsq_conn *other;

    (void)state;
    run(conn, "BEGIN");
    run(conn, "CREATE VIEW v0 AS SELECT 1 AS a");
    run(conn, "CREATE TABLE t0 (a INTEGER PRIMARY KEY)");
    for (int i = 1; i < DEPTH; i++) {
        run_format(conn, "CREATE VIEW v%d AS SELECT DISTINCT a + 1 AS a FROM v%d LIMIT 9", i,
                   i - 1);
        run_format(conn,
                   "CREATE TABLE t%d (a INTEGER PRIMARY KEY REFERENCES t%d ON DELETE CASCADE)", i,
                   i - 1);
    }
    run(conn, "COMMIT");
    other = db_open(path);
    settle(other, "SELECT a FROM v399");
    (void)small(other, "SELECT a FROM v399"); /* or it takes too long: checked code does */
    run(conn, "CREATE TABLE changed (a)");
    assert_int_equal(small(other, "SELECT a FROM v399"), LSQ_WOULD_BLOCK);
    assert_int_equal(small(other, "SELECT a FROM v398"), LSQ_WOULD_BLOCK);
    settle(other, "DELETE FROM t0");
    (void)small(other, "DELETE FROM t0"); /* or it takes too long: checked code does */
    assert_int_equal(ask(other, "SELECT a FROM v399"), DEPTH);
    db_close(other);
    db_close(conn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_compiled_runs_the_rest_is_refused, db_forget),
        cmocka_unit_test_teardown(a_changed_schema_is_not_read_there, db_forget),
        cmocka_unit_test_teardown(errors_are_the_same_elsewhere, db_forget),
        cmocka_unit_test_teardown(a_like_pattern_of_many_wildcards, db_forget),
        cmocka_unit_test_teardown(deep_texts, db_forget),
        cmocka_unit_test_teardown(deep_schemas, db_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
