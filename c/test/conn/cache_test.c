/* The statement cache: what is found, what is kept, what goes first. */
#include <stdio.h>

#include "../support/db.h"

static struct lsq_conn *conn;
static struct lsq_conn_info before;

static struct lsq_conn_info info(void) {
    struct lsq_conn_info now;

    assert_int_equal(lsq_conn_info(conn, true, &now, &last_error), LSQ_OK);
    return now;
}

static void open_sized(size_t size) {
    struct lsq_config cfg = db_config(":memory:");

    cfg.statement_cache = size;
    conn = db_open_as(&cfg);
    before = info();
}

static int close_it(void **state) {
    (void)state;
    db_close(conn);
    return 0;
}

static void expect_since(int64_t hits, int64_t misses) {
    struct lsq_conn_info now = info();

    if (now.cache_hits - before.cache_hits != hits ||
        now.cache_misses - before.cache_misses != misses)
        fail_msg("%d hits and %d misses, not %d and %d", (int)(now.cache_hits - before.cache_hits),
                 (int)(now.cache_misses - before.cache_misses), (int)hits, (int)misses);
    before = now;
}

static void second_run_is_a_hit(void **state) {
    (void)state;
    open_sized(256);
    run(conn, "SELECT 1");
    expect_since(0, 1);
    run(conn, "SELECT 1");
    run(conn, "SELECT 1");
    expect_since(2, 0);
    assert_true(info().statement_bytes > 0);
    assert_true(info().page_cache_bytes > 0);
}

static void text_is_compared_byte_by_byte(void **state) {
    (void)state;
    open_sized(256);
    run(conn, "SELECT 1");
    run(conn, "SELECT  1");
    run(conn, "select 1");
    run(conn, "SELECT 1 ");
    run(conn, "SELECT 1; -- a comment");
    run(conn, "SELECT 1; -- another");
    run(conn, "SELECT 1;");
    expect_since(0, 7);
    run(conn, "SELECT 1; -- another");
    run(conn, "SELECT 1;");
    expect_since(2, 0);
}

static void oldest_use_goes_first(void **state) {
    (void)state;
    open_sized(3);
    run(conn, "SELECT 1");
    run(conn, "SELECT 2");
    run(conn, "SELECT 3");
    run(conn, "SELECT 1"); /* used again: now 2 is the oldest */
    expect_since(1, 3);
    assert_int_equal(info().cache_size, 3);
    run(conn, "SELECT 4"); /* 2 goes */
    run(conn, "SELECT 1");
    run(conn, "SELECT 3");
    expect_since(2, 1);
    run(conn, "SELECT 2");
    expect_since(0, 1);
    assert_int_equal(info().cache_size, 3);
}

static void many_more_than_fit(void **state) {
    char sql[40];

    (void)state;
    open_sized(50);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 400; i++) {
            snprintf(sql, sizeof(sql), "SELECT %d", i);
            assert_int_equal(ask(conn, sql), i);
        }
    }
    assert_int_equal(info().cache_size, 50);
    expect_since(0, 1200);
    for (int i = 350; i < 400; i++) {
        snprintf(sql, sizeof(sql), "SELECT %d", i);
        assert_int_equal(ask(conn, sql), i);
    }
    expect_since(50, 0);
}

static void without_a_cache(void **state) {
    (void)state;
    open_sized(0);
    for (int i = 0; i < 5; i++) assert_int_equal(ask(conn, "SELECT 7"), 7);
    expect_since(0, 0);
    assert_int_equal(info().cache_size, 0);
}

static void what_is_not_kept(void **state) {
    static const char *const texts[] = {
        "PRAGMA user_version",
        "PRAGMA cache_size = 77",
        "CREATE TABLE IF NOT EXISTS u (a)",
        "DROP TABLE IF EXISTS absent",
        "ANALYZE",
        "REINDEX",
        "VACUUM",
        "EXPLAIN SELECT 1",
        "EXPLAIN QUERY PLAN SELECT 1",
        "-- nothing",
    };

    (void)state;
    open_sized(256);
    run(conn, "CREATE TABLE t (a)");
    before = info();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t size = info().cache_size;

        run(conn, texts[i]);
        run(conn, texts[i]);
        if (info().cache_size != size) fail_msg("%s is kept", texts[i]);
    }
    run(conn, "ATTACH ':memory:' AS x");
    run(conn, "DETACH x");
    run(conn, "ATTACH ':memory:' AS x");
    run(conn, "DETACH x");
}

static void transactions_are_kept(void **state) {
    (void)state;
    open_sized(256);
    for (int i = 0; i < 2; i++) {
        run(conn, "BEGIN IMMEDIATE");
        run(conn, "SAVEPOINT s");
        run(conn, "RELEASE s");
        run(conn, "COMMIT");
    }
    expect_since(4, 4);
}

static void failed_texts_are_not_kept(void **state) {
    (void)state;
    open_sized(256);
    for (int i = 0; i < 3; i++) {
        expect(LSQ_SQL, conn, "SELECT absent");
        expect(LSQ_SQL, conn, "SELECT 1; SELECT 2");
    }
    expect_since(0, 0);
    assert_int_equal(info().cache_size, before.cache_size);
}

static void statement_that_failed_is_used_again(void **state) {
    (void)state;
    open_sized(256);
    run(conn, "CREATE TABLE t (a UNIQUE)");
    before = info();
    run(conn, "INSERT INTO t VALUES (1)");
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO t VALUES (1)");
    run(conn, "DELETE FROM t");
    run(conn, "INSERT INTO t VALUES (1)");
    expect_since(2, 2);
}

/* The same text as a cursor that is open, as text, and twice in one batch. */
static void statement_in_use_twice(void **state) {
    static const char sql[] = "SELECT a FROM t ORDER BY a";
    struct lsq_batch_item items[3] = {
        {.sql = sql, .len = sizeof(sql) - 1},
        {.sql = sql, .len = sizeof(sql) - 1},
        {.sql = "SELECT 1", .len = 8},
    };
    struct lsq_stmt *cursor[2];
    struct lsq_result *res = NULL;
    size_t done = 0;
    bool end = false;

    (void)state;
    open_sized(1);
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES (1), (2), (3)");
    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lsq_stmt_new(&cursor[i], conn, sql, sizeof(sql) - 1, NULL, &last_error),
                         LSQ_OK);
        assert_int_equal(lsq_stmt_start(cursor[i], NULL, &last_error), LSQ_OK);
        assert_int_equal(lsq_stmt_fetch(cursor[i], 1, NULL, NULL, NULL, &end, &last_error), LSQ_OK);
    }
    assert_string_equal(ask_rows(conn, sql), "1;2;3");
    assert_int_equal(lsq_batch(conn, items, 3, NULL, NULL, NULL, &done, &last_error), LSQ_OK);
    assert_int_equal(done, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lsq_stmt_fetch(cursor[i], 1, NULL, lsq_result_sink(), res, &end, NULL),
                         LSQ_OK);
        assert_int_equal(lsq_result_int(res, 0, 0), 2);
        lsq_stmt_free(cursor[i]);
    }
    lsq_result_free(res);
}

static void cached_statements_follow_settings(void **state) {
    (void)state;
    open_sized(256);
    run(conn, "CREATE TABLE p (id INTEGER PRIMARY KEY)");
    run(conn, "CREATE TABLE c (p REFERENCES p (id))");
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO c VALUES (1)");
    run(conn, "PRAGMA foreign_keys = off");
    run(conn, "INSERT INTO c VALUES (1)");
    run(conn, "DELETE FROM c");
    run(conn, "PRAGMA foreign_keys = on");
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO c VALUES (1)");
}

static void cache_gives_its_memory_back(void **state) {
    struct lsq_memory start;
    struct lsq_memory now;
    char sql[60];

    (void)state;
    open_sized(10);
    for (int i = 0; i < 30; i++) {
        snprintf(sql, sizeof(sql), "SELECT %d + %d", 10000 + i, 20000 + i);
        run(conn, sql);
    }
    lsq_memory(&start);
    for (int i = 0; i < 300; i++) {
        snprintf(sql, sizeof(sql), "SELECT %d + %d", 30000 + i, 40000 + i);
        run(conn, sql);
    }
    lsq_memory(&now);
    assert_in_range(now.blocks, 1, start.blocks + 20); /* not three hundred statements more */
}

#define TEST(name) cmocka_unit_test_teardown(name, close_it)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(second_run_is_a_hit),
        TEST(text_is_compared_byte_by_byte),
        TEST(oldest_use_goes_first),
        TEST(many_more_than_fit),
        TEST(without_a_cache),
        TEST(what_is_not_kept),
        TEST(transactions_are_kept),
        TEST(failed_texts_are_not_kept),
        TEST(statement_that_failed_is_used_again),
        TEST(statement_in_use_twice),
        TEST(cached_statements_follow_settings),
        TEST(cache_gives_its_memory_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
