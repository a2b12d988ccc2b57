/* Schemas that the primary changes while a replica's statements, cursors and snapshots are in use. */
#include <stdio.h>

#include "../support/primary.h"

static struct sqld sqld;
static struct lsq_conn *server;
static struct lsq_conn *replica;
static struct lsq_conn *other; /* of the same file */

static int forget(void **state) {
    sqld_kill(&sqld);
    lsq_shutdown();
    return db_forget(state);
}

static void begin(void) {
    static const struct lsq_remote remote = {.proxy = "", .timeout = 60000};
    const char *path = replica_path();
    struct lsq_config cfg = db_config(path);

    sqld_start(&sqld, NULL);
    server = primary_conn(&sqld);
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    run(server, "INSERT INTO t SELECT value, 'a' || value FROM generate_series(1, 1000)");
    cfg.primary = sqld.url;
    cfg.remote = &remote;
    replica = db_open_as(&cfg);
    other = db_open_as(&cfg);
}

static void end(void) {
    uint64_t content = content_of(server);

    assert_int_equal(lsq_sync(replica, NULL, NULL, &last_error), LSQ_OK);
    assert_true(content_of(replica) == content);
    assert_true(content_of(other) == content);
    db_close(other);
    db_close(replica);
    db_close(server);
}

/* At the primary, and then in the file. */
static void change(const char *sql) {
    run(server, sql);
    assert_int_equal(lsq_sync(other, NULL, NULL, &last_error), LSQ_OK);
}

static struct lsq_stmt *prepare(const char *sql) {
    struct lsq_stmt *stmt;

    if (lsq_stmt_new(&stmt, replica, sql, strlen(sql), NULL, &last_error) != LSQ_OK)
        fail_msg("%s: %s", sql, last_error.message);
    return stmt;
}

/* The columns of its rows, and the first row's last value. */
static size_t columns_of(struct lsq_stmt *stmt, char *last, size_t size) {
    struct lsq_result *res;
    size_t columns;

    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    if (lsq_stmt_exec(stmt, NULL, NULL, lsq_result_sink(), res, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    columns = lsq_result_columns(res);
    snprintf(last, size, "%s", lsq_result_text(res, 0, columns - 1));
    lsq_result_free(res);
    return columns;
}

static size_t fetched(struct lsq_stmt *stmt, size_t max, bool *at_end) {
    struct lsq_result *res;
    size_t rows;

    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    if (lsq_stmt_fetch(stmt, max, NULL, lsq_result_sink(), res, at_end, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    rows = lsq_result_rows(res);
    lsq_result_free(res);
    return rows;
}

static enum lsq_status exec_stmt(struct lsq_stmt *stmt) {
    return lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, &last_error);
}

static void prepared_statements_follow_the_schema(void **state) {
    struct lsq_stmt *all;
    struct lsq_stmt *insert;
    char last[32];

    (void)state;
    begin();
    all = prepare("SELECT * FROM t ORDER BY id");
    insert = prepare("INSERT INTO t (a) VALUES ('new')");
    assert_int_equal(columns_of(all, last, sizeof(last)), 2);
    assert_string_equal(last, "a1");
    change("ALTER TABLE t ADD COLUMN b DEFAULT 'b'");
    assert_int_equal(columns_of(all, last, sizeof(last)), 3);
    assert_string_equal(last, "b");
    assert_int_equal(exec_stmt(insert), LSQ_OK);
    assert_string_equal(ask_text(replica, "SELECT b FROM t ORDER BY id DESC LIMIT 1"), "b");
    change("ALTER TABLE t DROP COLUMN a");
    assert_int_equal(columns_of(all, last, sizeof(last)), 2);
    assert_string_equal(last, "b");
    /* The primary's word, as for each statement that writes. */
    assert_int_not_equal(exec_stmt(insert), LSQ_OK);
    change("DROP TABLE t");
    assert_int_equal(exec_stmt(all), LSQ_SQL);
    change("CREATE TABLE t (id, a, z)");
    change("INSERT INTO t VALUES (1, 2, 'third')");
    assert_int_equal(columns_of(all, last, sizeof(last)), 3);
    assert_string_equal(last, "third");
    assert_int_equal(exec_stmt(insert), LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t WHERE a = 'new'"), 1);
    lsq_stmt_free(all);
    lsq_stmt_free(insert);
    end();
}

static void a_cursor_ends_what_it_began(void **state) {
    struct lsq_stmt *all;
    bool at_end = false;

    (void)state;
    begin();
    all = prepare("SELECT id, a FROM t");
    assert_int_equal(lsq_stmt_start(all, NULL, &last_error), LSQ_OK);
    assert_int_equal(fetched(all, 10, &at_end), 10);
    change("ALTER TABLE t RENAME COLUMN a TO c");
    change("INSERT INTO t SELECT value, 'a' FROM generate_series(2001, 6000)");
    change("DROP TABLE t");
    change("CREATE TABLE t (id INTEGER PRIMARY KEY, other)");
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 0);
    assert_int_equal(fetched(all, 100000, &at_end), 990);
    assert_true(at_end);
    assert_int_equal(lsq_stmt_reset(all, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_start(all, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(all, 1, NULL, NULL, NULL, &at_end, &last_error), LSQ_SQL);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 0);
    lsq_stmt_free(all);
    end();
}

static void a_snapshot_keeps_its_schema(void **state) {
    (void)state;
    begin();
    assert_int_equal(lsq_begin(replica, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 1000);
    change("CREATE TABLE u AS SELECT * FROM t");
    change("DROP TABLE t");
    assert_int_equal(ask(other, "SELECT count(*) FROM u"), 1000);
    assert_string_equal(ask_text(replica, "SELECT a FROM t WHERE id = 7"), "a7");
    expect(LSQ_SQL, replica, "SELECT * FROM u");
    assert_int_equal(lsq_commit(replica, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM u"), 1000);
    end();
}

static size_t columns_here(const char *table) {
    char sql[100];

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM pragma_table_info('%s')", table);
    return (size_t)ask(replica, sql);
}

/* The file gets it by itself. */
static void await_columns(const char *table, size_t count) {
    for (int i = 0; i < 6000 && columns_here(table) != count; i++) sleep_ms(10);
    assert_int_equal(columns_here(table), count);
}

/* The statement fails as it would at the primary. */
static void expect_refused(const char *sql, const char *why) {
    expect(LSQ_SQL, replica, sql);
    if (strstr(last_error.message, why) == NULL) fail_msg("%s: %s", sql, last_error.message);
}

/* What the primary has dropped is still in the file. */
static void writes_to_what_is_gone_say_so(void **state) {
    struct lsq_stmt *insert;

    (void)state;
    begin();
    insert = prepare("INSERT INTO t (a) VALUES (7)");
    run(server, "ALTER TABLE t DROP COLUMN a");
    assert_int_equal(columns_here("t"), 2);
    expect_refused("INSERT INTO t (a) VALUES ('b')", "no column named a");
    await_columns("t", 1);
    assert_int_equal(exec_stmt(insert), LSQ_SQL);
    lsq_stmt_free(insert);
    run(server, "ALTER TABLE t ADD COLUMN b");
    run(server, "ALTER TABLE t ADD COLUMN c");
    assert_int_equal(lsq_sync(replica, NULL, NULL, &last_error), LSQ_OK);
    run(server, "ALTER TABLE t DROP COLUMN c");
    expect_refused("INSERT INTO t VALUES (5000, 'b', 'c')", "has 2 columns but 3 values");
    await_columns("t", 2);
    run(server, "ALTER TABLE t DROP COLUMN b");
    expect_refused("UPDATE t SET b = 1", "no such column: b");
    await_columns("t", 1);
    run(server, "CREATE TABLE new (a)");
    expect_refused("CREATE TABLE new (b)", "already exists");
    await_columns("new", 1);
    run(server, "DROP TABLE t");
    expect_refused("DELETE FROM t", "no such table: t");
    await_columns("t", 0);
    end();
}

static void in_a_transaction_too(void **state) {
    (void)state;
    begin();
    run(server, "ALTER TABLE t DROP COLUMN a");
    assert_int_equal(lsq_begin(replica, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    expect_refused("INSERT INTO t (a) VALUES ('b')", "no column named a");
    assert_int_equal(lsq_rollback(replica, NULL, &last_error), LSQ_OK);
    await_columns("t", 1);
    end();
}

static int64_t syncs_at_rest(void) {
    struct lsq_replica_info info;

    do {
        sleep_ms(10);
        assert_int_equal(lsq_replica_info(replica, &info, &last_error), LSQ_OK);
    } while (info.running);
    return info.syncs;
}

/* What the primary answers for the file shows that it has more. */
static void reads_of_what_is_new_bring_it(void **state) {
    int64_t syncs;

    (void)state;
    begin();
    run(server, "ALTER TABLE t ADD COLUMN b DEFAULT 'b'");
    assert_int_equal(columns_here("t"), 2);
    assert_string_equal(ask_text(replica, "SELECT b FROM t WHERE id = 7"), "b");
    await_columns("t", 3);
    run(server, "ALTER TABLE t ADD COLUMN c DEFAULT 'c'");
    run(replica, "UPDATE t SET c = 'd' WHERE id = 7");
    assert_string_equal(ask_text(replica, "SELECT c FROM t WHERE id = 7"), "d");
    run(server, "CREATE TABLE u AS SELECT * FROM t");
    assert_int_equal(ask(replica, "SELECT count(*) FROM u"), 1000);
    await_columns("u", 4);
    /* And no more than that: nothing is asked for once it is here, and a read has seen to that. */
    assert_int_equal(ask(replica, "SELECT count(*) FROM u"), 1000);
    syncs = syncs_at_rest();
    for (int i = 0; i < 5; i++) assert_int_equal(ask(replica, "SELECT count(*) FROM u"), 1000);
    assert_int_equal(syncs_at_rest(), syncs);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(prepared_statements_follow_the_schema, forget),
        cmocka_unit_test_teardown(a_cursor_ends_what_it_began, forget),
        cmocka_unit_test_teardown(a_snapshot_keeps_its_schema, forget),
        cmocka_unit_test_teardown(writes_to_what_is_gone_say_so, forget),
        cmocka_unit_test_teardown(in_a_transaction_too, forget),
        cmocka_unit_test_teardown(reads_of_what_is_new_bring_it, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
