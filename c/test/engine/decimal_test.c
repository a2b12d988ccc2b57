/* Decimals in SQL: functions, aggregates, windows and the collation, on each connection. */
#include <stdio.h>

#include "../support/db.h"

static struct lsq_conn *conn;

static int open_one(void **state) {
    (void)state;
    conn = db_open(":memory:");
    return 0;
}

static int close_one(void **state) {
    db_close(conn);
    return db_forget(state);
}

static void answers(const char *sql, const char *expected) {
    const char *got = ask_rows(conn, sql);

    if (strcmp(got, expected) != 0) fail_msg("%s\n  is %s, not %s", sql, got, expected);
}

static void fails(enum lsq_status status, const char *sql, const char *words) {
    expect(status, conn, sql);
    if (strstr(last_error.message, words) == NULL)
        fail_msg("%s\n  answered \"%s\"", sql, last_error.message);
}

/* ---- Functions ---- */

static void functions(void **state) {
    (void)state;
    answers("SELECT decimal('-01.50e2'), decimal(3), decimal(0.1), decimal(1e3), decimal(-0.0)",
            "-150,3,0.1,1000,0");
    answers("SELECT typeof(decimal(1)), typeof(decimal_add(1, 2)), typeof(decimal_cmp(1, 2))",
            "text,text,integer");
    answers("SELECT decimal_cmp('1.0', '1'), decimal_cmp('9', 10), decimal_cmp(0.5, '0.25')",
            "0,-1,1");
    answers("SELECT decimal_add('1.10', '2.20'), decimal_add(0.1, 0.2), decimal_sub(1, '0.00')",
            "3.30,0.3,1.00");
    answers("SELECT decimal_mul('1.10', 3), decimal_div(1, 3), decimal_div('4.00', 2)",
            "3.30,0.3333333333333333333333333333,2.00");
    answers("SELECT decimal_add(9223372036854775807, -9223372036854775808)", "-1");
}

static void what_is_no_number_is_null(void **state) {
    (void)state;
    answers("SELECT decimal(NULL), decimal('abc'), decimal(''), decimal(' 1'), decimal(x'31')",
            "null,null,null,null,null");
    answers("SELECT decimal('NaN'), decimal('Infinity'), decimal(9e999), decimal(-9e999)",
            "null,null,null,null");
    answers("SELECT decimal_cmp(NULL, 1), decimal_cmp(1, 'x'), decimal_add(1, NULL), "
            "decimal_mul('x', 1), decimal_div(NULL, 0)",
            "null,null,null,null,null");
    answers("SELECT decimal_add(NULL, '1e5000'), decimal_add('1e5000', NULL)", "null,null");
    answers("SELECT decimal_div(1, 0), decimal_div(0, '0.00'), decimal_div('x', 0)",
            "null,null,null");
}

static void what_is_too_large_is_an_error(void **state) {
    (void)state;
    fails(LSQ_TOO_BIG, "SELECT decimal('1e1000000000')",
          "decimal: a number has more than 999 digits");
    fails(LSQ_TOO_BIG, "SELECT decimal_add(1, '1e-1000000000')", "decimal_add: ");
    fails(LSQ_TOO_BIG, "SELECT decimal_sub('1e9999999999999999999', 1)", "decimal_sub: ");
    fails(LSQ_TOO_BIG, "SELECT decimal_mul('1e500', '1e499')", "decimal_mul: ");
    fails(LSQ_TOO_BIG, "SELECT decimal_div('1e-999', 10)", "decimal_div: ");
    fails(LSQ_TOO_BIG, "SELECT decimal_sum(column1) FROM (VALUES ('9e998'), ('9e998'))",
          "decimal_sum: ");
    fails(LSQ_TOO_BIG, "SELECT decimal_avg(column1) FROM (VALUES ('9e998'), ('9e998'))",
          "decimal_avg: ");
    answers("SELECT decimal_cmp('1e1000000000', '-1e-1000000000')", "1");
    answers("SELECT length(decimal('1e998')), length(decimal_mul('1e499', '1e499'))", "999,999");
    fails(LSQ_TOO_BIG, "SELECT decimal_cmp('1e9999999999999999999', 1)", "decimal_cmp: ");
}

static void wrong_numbers_of_arguments(void **state) {
    static const char *const texts[] = {"SELECT decimal()", "SELECT decimal(1, 2)",
                                        "SELECT decimal_add(1)", "SELECT decimal_div(1, 2, 3)",
                                        "SELECT decimal_sum()"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        fails(LSQ_SQL, texts[i], "wrong number of arguments");
}

/* ---- Aggregates ---- */

static void aggregates(void **state) {
    (void)state;
    run(conn, "CREATE TABLE t (g, a)");
    answers("SELECT decimal_sum(a), decimal_avg(a) FROM t", "null,null");
    run(conn,
        "INSERT INTO t VALUES (1, '0.1'), (1, '0.20'), (1, NULL), (2, 3), (2, 0.5), (3, NULL)");
    answers("SELECT decimal_sum(a), decimal_avg(a) FROM t", "3.80,0.95");
    answers("SELECT g, decimal_sum(a), decimal_avg(a) FROM t GROUP BY g ORDER BY g",
            "1,0.30,0.15;2,3.5,1.75;3,null,null");
    answers("SELECT decimal_sum(DISTINCT a) FROM (SELECT '1.5' AS a UNION ALL SELECT '1.5')",
            "1.5");
    answers("SELECT decimal_sum(a) FILTER (WHERE g = 1) FROM t", "0.30");
    answers("SELECT decimal_avg(column1) FROM (VALUES (1), (0), (0))",
            "0.3333333333333333333333333333");
    answers("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
            "SELECT decimal_sum('0.1') FROM n",
            "100.0");
    answers("SELECT decimal_sum(column1) FROM (VALUES ('9007199254740993'), ('0.0000000001'))",
            "9007199254740993.0000000001");
    fails(LSQ_MISMATCH, "SELECT decimal_sum(column1) FROM (VALUES (1), ('x'))",
          "decimal_sum: a value is no decimal number");
    fails(LSQ_MISMATCH, "SELECT decimal_avg(x'00')", "decimal_avg: a value is no decimal number");
    fails(LSQ_MISMATCH, "SELECT decimal_sum('NaN')", "no decimal number");
}

/* Each frame's sum is that of the rows in it, its scale too, however the window came there. */
static void windows(void **state) {
    (void)state;
    run(conn, "CREATE TABLE t (i INTEGER PRIMARY KEY, a)");
    run(conn, "INSERT INTO t (a) VALUES ('1.10'), ('2'), (NULL), ('3.5'), ('-7'), ('0.001'), (4)");
    answers("SELECT decimal_sum(a) OVER (ORDER BY i ROWS 1 PRECEDING) FROM t",
            "1.10;3.10;2;3.5;-3.5;-6.999;4.001");
    answers(
        "SELECT decimal_sum(a) OVER (ORDER BY i ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) FROM t",
        "3.10;2;3.5;-3.5;-6.999;4.001;4");
    answers("SELECT decimal_avg(a) OVER (ORDER BY i ROWS 1 PRECEDING) FROM t",
            "1.10;1.55;2;3.5;-1.75;-3.4995;2.0005");
    answers(
        "SELECT decimal_sum(a) OVER (ORDER BY i ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) FROM t",
        "null;1.10;3.10;2;3.5;-3.5;-6.999");
    answers("SELECT decimal_sum(a) OVER (ORDER BY i) FROM t",
            "1.10;3.10;3.10;6.60;-0.40;-0.399;3.601");
    fails(LSQ_MISMATCH,
          "SELECT decimal_sum(x) OVER (ORDER BY x ROWS 1 PRECEDING) "
          "FROM (SELECT 1 AS x UNION ALL SELECT 'x')",
          "no decimal number");
}

/* Sliding sums against sums of their own. */
static void windows_agree_with_sums(void **state) {
    char sql[256];
    uint64_t seed = test_seed();

    (void)state;
    run(conn, "CREATE TABLE t (i INTEGER PRIMARY KEY, a)");
    for (int i = 0; i < 300; i++) {
        int digits = (int)(random_next(&seed) % 6);
        int scaled = (int)(random_next(&seed) % 2000000) - 1000000;

        snprintf(sql, sizeof(sql), "INSERT INTO t (a) VALUES ('%de-%d')", scaled, digits);
        run(conn, random_next(&seed) % 10 == 0 ? "INSERT INTO t (a) VALUES (NULL)" : sql);
    }
    answers("SELECT count(*) FROM ("
            "SELECT decimal_sum(a) OVER w AS s, decimal_avg(a) OVER w AS v, i FROM t "
            "WINDOW w AS (ORDER BY i ROWS BETWEEN 5 PRECEDING AND 3 FOLLOWING)) AS f "
            "WHERE s IS NOT (SELECT decimal_sum(a) FROM t WHERE t.i BETWEEN f.i - 5 AND f.i + 3) "
            "OR v IS NOT (SELECT decimal_avg(a) FROM t WHERE t.i BETWEEN f.i - 5 AND f.i + 3)",
            "0");
}

/* ---- The collation ---- */

static void collation(void **state) {
    (void)state;
    run(conn, "CREATE TABLE t (a TEXT COLLATE decimal)");
    run(conn,
        "INSERT INTO t VALUES ('10'), ('9.5'), ('-1'), ('1e1'), ('abc'), ('0.50'), (NULL), ('')");
    answers("SELECT a FROM t ORDER BY a, rowid", "null;-1;0.50;9.5;10;1e1;;abc");
    answers("SELECT a FROM t ORDER BY a DESC LIMIT 2", "abc;");
    answers("SELECT count(*) FROM t WHERE a = '10.00'", "2");
    answers("SELECT a FROM t WHERE a > '9' AND a < '9.75'", "9.5");
    answers("SELECT a FROM t WHERE a IN ('0.5', '-1.0') ORDER BY a", "-1;0.50");
    answers("SELECT count(DISTINCT a) FROM t", "6");
    answers("SELECT count(*), min(a) FROM t GROUP BY a ORDER BY a",
            "1,null;1,-1;1,0.50;1,9.5;2,10;1,;1,abc");
    answers("SELECT min(a), max(a) FROM t WHERE a GLOB '[-0-9]*'", "-1,10");
    answers("SELECT '2' < '10' COLLATE decimal, '2' < '10', '1.0' = '1' COLLATE decimal", "1,0,1");
    /* Numbers of the engine come before all texts, and are compared as numbers. */
    answers(
        "SELECT column1 FROM (VALUES ('2'), (10), ('1'), (9.5)) ORDER BY column1 COLLATE decimal",
        "9.5;10;1;2");
}

static void collation_in_indexes(void **state) {
    (void)state;
    run(conn, "CREATE TABLE t (a TEXT, UNIQUE (a COLLATE decimal))");
    run(conn, "INSERT INTO t VALUES ('1.0'), ('2'), ('10')");
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO t VALUES ('1.00')");
    run(conn, "CREATE INDEX i ON t (a COLLATE decimal)");
    answers("SELECT a FROM t WHERE a COLLATE decimal >= '2.0' ORDER BY a COLLATE decimal", "2;10");
    answers("PRAGMA integrity_check", "ok");
    run(conn,
        "CREATE TABLE p (x TEXT, y TEXT GENERATED ALWAYS AS (decimal_mul(x, '1.19')) STORED)");
    run(conn, "CREATE INDEX j ON p (decimal(y))");
    run(conn, "INSERT INTO p (x) VALUES ('1.10'), ('2')");
    answers("SELECT y FROM p ORDER BY decimal(y) COLLATE decimal", "1.3090;2.38");
    run(conn, "CREATE TABLE c (x TEXT CHECK (decimal_cmp(x, 0) > 0))");
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO c VALUES ('-0.1')");
}

static void untrusted_schemas_may_use_them(void **state) {
    (void)state;
    run(conn, "PRAGMA trusted_schema = off");
    run(conn, "CREATE VIEW v AS SELECT decimal_add('0.1', '0.2') AS a, decimal_sum('1') AS b");
    answers("SELECT a, b FROM v", "0.3,1");
}

static void utf16_databases(void **state) {
    struct lsq_config cfg = db_config(":memory:");
    struct lsq_setting settings[] = {{"encoding", "UTF-16"}};

    (void)state;
    cfg.settings = settings;
    cfg.setting_count = 1;
    db_close(conn);
    conn = db_open_as(&cfg);
    answers("PRAGMA encoding", "UTF-16le");
    run(conn, "CREATE TABLE t (a TEXT)");
    run(conn, "INSERT INTO t VALUES ('10'), ('9.50'), ('abc')");
    answers("SELECT a, decimal_mul(a, 2) FROM t ORDER BY a COLLATE decimal",
            "9.50,19.00;10,20;abc,null");
    answers("SELECT decimal_sum(a) FROM t WHERE a <> 'abc'", "19.50");
}

static void as_ever_after_a_reset(void **state) {
    (void)state;
    assert_int_equal(lsq_conn_reset(conn, NULL), LSQ_OK);
    answers("SELECT decimal('1e2'), '2' < '10' COLLATE decimal", "100,1");
}

/* ---- Where they run, and without memory ---- */

static void bounded_ones_take_the_fast_path(void **state) {
    static const char sql[] = "SELECT decimal_add(a, '0.1'), decimal_sum(a), decimal_avg(a) FROM t "
                              "WHERE decimal_cmp(a, '5') < 0 AND a < '5' COLLATE decimal";

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES ('1'), ('10')");
    assert_true(becomes_fast(conn, sql));
    assert_false(becomes_fast(conn, "SELECT hex(a) FROM t"));
}

static void without_memory(void **state) {
    static const char *const texts[] = {
        "SELECT decimal(a), decimal_add(a, a), decimal_mul(a, a), decimal_div(a, 3) FROM t",
        "SELECT decimal_sum(a), decimal_avg(a) FROM t GROUP BY i % 2",
        "SELECT decimal_sum(a) OVER (ORDER BY i ROWS 1 PRECEDING) FROM t",
        "SELECT a FROM t ORDER BY a COLLATE decimal",
        "SELECT decimal('1e5000')",
    };

    (void)state;
    run(conn, "CREATE TABLE t (i INTEGER PRIMARY KEY, a)");
    run(conn, "INSERT INTO t (a) VALUES ('1.10'), (0.5), (3), ('123456789123456789.123456789')");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        enum lsq_status wanted = i == 4 ? LSQ_TOO_BIG : LSQ_OK;
        enum lsq_status st = LSQ_NOMEM;

        for (int budget = 0; st != wanted; budget++) {
            assert_in_range(budget, 0, 5000);
            lsq_memory_set_budget(budget);
            st = exec(conn, texts[i], NULL, NULL, NULL);
            lsq_memory_set_budget(-1);
            if (st != wanted && st != LSQ_NOMEM && st != LSQ_SQL && st != LSQ_ERROR)
                fail_msg("%s: %s", texts[i], last_error.message);
        }
    }
    answers("SELECT decimal_sum(a) FROM t", "123456789123456793.723456789");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(functions),
        TEST(what_is_no_number_is_null),
        TEST(what_is_too_large_is_an_error),
        TEST(wrong_numbers_of_arguments),
        TEST(aggregates),
        TEST(windows),
        TEST(windows_agree_with_sums),
        TEST(collation),
        TEST(collation_in_indexes),
        TEST(untrusted_schemas_may_use_them),
        TEST(utf16_databases),
        TEST(as_ever_after_a_reset),
        TEST(bounded_ones_take_the_fast_path),
        TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
