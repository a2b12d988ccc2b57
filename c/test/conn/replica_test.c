/* Connections to a file that follows a server: what is read here, and what goes to the primary. Where a statement ran
 * is seen by what it comes to while the primary is away. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "../support/db.h"
#include "../support/sqld.h"

static struct sqld sqld;

/* In memory that the next call overwrites, and nobody else. */
static const char *new_path(void) {
    static char path[256];

    snprintf(path, sizeof(path), "%s", db_path());
    return path;
}

enum { NO_RETRY = -1 };

static const struct lsq_remote quick = {.retry_time = NO_RETRY, .timeout = 10000};

static struct lsq_config config_of(const char *path, const struct lsq_replica *replica) {
    struct lsq_config cfg = db_config(path);

    cfg.primary = sqld.url;
    cfg.remote = &quick;
    cfg.replica = replica;
    return cfg;
}

static struct lsq_conn *open_replica(const char *path) {
    struct lsq_config cfg = config_of(path, NULL);

    return db_open_as(&cfg);
}

static struct lsq_conn *open_server(void) {
    struct lsq_config cfg = db_config(sqld.url);

    return db_open_as(&cfg);
}

static void begin_with(const char *sql) {
    struct lsq_conn *server;

    sqld_start(&sqld, NULL);
    server = open_server();
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    run(server, sql);
    db_close(server);
}

static int forget(void **state) {
    lsq_on_replica_event(NULL, NULL);
    sqld_kill(&sqld);
    lsq_shutdown();
    return db_forget(state);
}

/* ---- Where things run ---- */

static void reads_the_file_and_writes_to_the_primary(void **state) {
    struct lsq_conn *replica;
    struct lsq_conn *server;
    struct lsq_reply reply;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x')");
    replica = open_replica(new_path());
    assert_int_equal(lsq_conn_kind(replica), LSQ_CONN_REPLICA);
    assert_false(lsq_conn_is_remote(replica));
    assert_string_equal(ask_rows(replica, "SELECT * FROM t"), "1,x");
    assert_int_equal(exec(replica, "INSERT INTO t (a) VALUES ('y')", NULL, NULL, &reply), LSQ_OK);
    assert_int_equal(reply.last_rowid, 2);
    assert_int_equal(reply.changes, 1);
    assert_string_equal(ask_rows(replica, "SELECT * FROM t"), "1,x;2,y");
    server = open_server();
    assert_string_equal(ask_rows(server, "SELECT * FROM t"), "1,x;2,y");
    db_close(server);
    sqld_kill(&sqld);
    assert_string_equal(ask_rows(replica, "SELECT * FROM t"), "1,x;2,y");
    expect(LSQ_UNREACHABLE, replica, "INSERT INTO t (a) VALUES ('z')");
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    assert_string_equal(ask_rows(replica, "SELECT * FROM t"), "1,x;2,y");
    db_close(replica);
}

static void a_statements_place_is_told_by_what_it_does(void **state) {
    static const char *const here[] = {
        "SELECT a FROM t",
        "WITH c AS (SELECT 1) SELECT * FROM c, t",
        "EXPLAIN INSERT INTO t VALUES (9, 9)",
        "EXPLAIN QUERY PLAN DELETE FROM t",
        "CREATE TEMP TABLE own (n)",
        "CREATE TEMPORARY TABLE IF NOT EXISTS own (n)",
        "INSERT INTO own SELECT id FROM t",
        "UPDATE own SET n = n + 1",
        "SELECT * FROM own, t",
        "DELETE FROM own",
        "DROP TABLE own",
        "PRAGMA user_version",
        "PRAGMA table_info(t)",
        "SELECT * FROM pragma_table_info('t')",
        "PRAGMA cache_size = -1000",
        "PRAGMA journal_mode",
        "ATTACH ':memory:' AS other",
        "DETACH other",
        "",
    };
    static const char *const there[] = {
        "INSERT INTO t VALUES (9, 9)",
        "WITH c AS (SELECT 1) UPDATE t SET a = 2",
        "DELETE FROM t WHERE 0",
        "INSERT INTO t VALUES (9, 9) RETURNING id",
        "CREATE TABLE u (a)",
        "CREATE TABLE IF NOT EXISTS t (a)",
        "DROP TABLE IF EXISTS nope",
        "DROP TABLE t",
        "CREATE INDEX i ON t (a)",
        "ALTER TABLE t ADD COLUMN b",
        "REINDEX",
        "VACUUM",
        "PRAGMA user_version = 3",
        "PRAGMA journal_mode = delete",
        "PRAGMA wal_checkpoint",
        "PRAGMA foreign_keys = off",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "SAVEPOINT s",
        "SELECT * FROM nope",
        "SELECT nope FROM t",
        "INSERT INTO nope VALUES (1)",
    };
    struct lsq_conn *replica;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x')");
    replica = open_replica(new_path());
    sqld_kill(&sqld);
    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
        enum lsq_status st = exec(replica, here[i], NULL, NULL, NULL);

        if (st != LSQ_OK) fail_msg("%s: %s", here[i], last_error.message);
    }
    for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++) {
        enum lsq_status st = exec(replica, there[i], NULL, NULL, NULL);

        if (st != LSQ_UNREACHABLE) fail_msg("%s: %s", there[i], lsq_status_name(st));
    }
    expect(LSQ_SQL, replica, "SELEC 1");
    expect(LSQ_SQL, replica, "SELECT 1; SELECT 2");
    assert_string_equal(ask_rows(replica, "SELECT * FROM t"), "1,x");
    db_close(replica);
}

static void the_file_is_not_written_to_by_connections(void **state) {
    struct lsq_conn *replica;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x')");
    replica = open_replica(new_path());
    run(replica, "CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END");
    run(replica, "ATTACH ':memory:' AS other");
    expect(LSQ_READONLY, replica, "CREATE TABLE other.n (a)");
    assert_int_equal(lsq_conn_checkpoint(replica, NULL, LSQ_CHECKPOINT_PASSIVE, NULL, NULL, NULL),
                     LSQ_UNSUPPORTED);
    assert_int_equal(lsq_conn_cacheflush(replica, NULL), LSQ_UNSUPPORTED);
    expect(LSQ_UNSUPPORTED, replica, "VACUUM");
    expect(LSQ_UNSUPPORTED, replica, "PRAGMA wal_checkpoint");
    run(replica, "PRAGMA user_version = 3");
    assert_int_equal(ask(replica, "PRAGMA user_version"), 3);
    db_close(replica);
}

static void what_the_files_schema_does_not_know_is_asked_of_the_primary(void **state) {
    struct lsq_conn *replica;
    struct lsq_conn *server;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x')");
    replica = open_replica(new_path());
    server = open_server();
    run(server, "CREATE TABLE later (a)");
    run(server, "INSERT INTO later VALUES (5)");
    assert_int_equal(ask(replica, "SELECT a FROM later"), 5);
    run(replica, "INSERT INTO later VALUES (6)");
    assert_int_equal(ask(replica, "SELECT sum(a) FROM later"), 11);
    expect(LSQ_SQL, replica, "SELECT * FROM nope");
    assert_non_null(strstr(last_error.message, "no such table: nope"));
    assert_int_equal(lsq_sync(replica, NULL, NULL, &last_error), LSQ_OK);
    sqld_kill(&sqld);
    assert_int_equal(ask(replica, "SELECT sum(a) FROM later"), 11);
    db_close(server);
    db_close(replica);
}

static void a_table_that_was_just_made_is_read_from_the_file(void **state) {
    struct lsq_conn *replica;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x')");
    replica = open_replica(new_path());
    run(replica, "CREATE TABLE own (a)");
    run(replica, "INSERT INTO own VALUES (5)");
    assert_int_equal(ask(replica, "SELECT a FROM own"), 5);
    sqld_kill(&sqld);
    assert_int_equal(ask(replica, "SELECT a FROM own"), 5);
    db_close(replica);
}

/* ---- Transactions ---- */

static void a_transaction_is_the_primarys_as_a_whole(void **state) {
    struct lsq_conn_info info;
    struct lsq_conn *replica;
    struct lsq_conn *server;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x')");
    replica = open_replica(new_path());
    server = open_server();
    assert_int_equal(lsq_begin(replica, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_begin(replica, LSQ_TXN_READ, NULL, NULL), LSQ_IN_TRANSACTION);
    assert_int_equal(lsq_conn_info(replica, false, &info, NULL), LSQ_OK);
    assert_false(info.autocommit);
    run(replica, "INSERT INTO t VALUES (2, 'y')");
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 2);
    assert_int_equal(lsq_savepoint(replica, "s", 1, NULL, &last_error), LSQ_OK);
    run(replica, "DELETE FROM t");
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 0);
    assert_int_equal(lsq_rollback_to(replica, "s", 1, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_release(replica, "s", 1, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(server, "SELECT count(*) FROM t"), 1);
    assert_int_equal(lsq_commit(replica, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 2);
    assert_int_equal(lsq_commit(replica, NULL, NULL), LSQ_NO_TRANSACTION);
    run(replica, "BEGIN");
    run(replica, "INSERT INTO t VALUES (3, 'z')");
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 3);
    run(replica, "ROLLBACK");
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 2);
    assert_int_equal(lsq_savepoint(replica, "s", 1, NULL, &last_error), LSQ_OK);
    run(replica, "INSERT INTO t VALUES (3, 'z')");
    assert_int_equal(lsq_release(replica, "s", 1, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 3);
    db_close(server);
    db_close(replica);
}

static void a_reading_transaction_is_a_snapshot_of_the_file(void **state) {
    const char *path = new_path();
    struct lsq_conn *replica;
    struct lsq_conn *other;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x')");
    replica = open_replica(path);
    other = open_replica(path);
    assert_int_equal(lsq_begin(replica, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
    run(other, "INSERT INTO t VALUES (2, 'y')");
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 2);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 1);
    expect(LSQ_READONLY, replica, "INSERT INTO t VALUES (3, 'z')");
    expect(LSQ_SQL, replica, "SELECT * FROM nope");
    assert_int_equal(lsq_begin(replica, LSQ_TXN_IMMEDIATE, NULL, NULL), LSQ_IN_TRANSACTION);
    assert_int_equal(lsq_commit(replica, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 2);
    sqld_kill(&sqld);
    assert_int_equal(lsq_begin(replica, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 2);
    assert_int_equal(lsq_rollback(replica, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_begin(replica, LSQ_TXN_DEFERRED, NULL, NULL), LSQ_UNREACHABLE);
    db_close(other);
    db_close(replica);
}

static void a_reset_leaves_the_primarys_transaction(void **state) {
    struct lsq_conn *replica;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x')");
    replica = open_replica(new_path());
    run(replica, "CREATE TEMP TABLE own (n)");
    assert_int_equal(lsq_begin(replica, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    run(replica, "INSERT INTO t VALUES (2, 'y')");
    assert_int_equal(lsq_conn_reset(replica, &last_error), LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 1);
    expect(LSQ_SQL, replica, "SELECT * FROM own");
    db_close(replica);
}

/* ---- Statements, cursors, batches ---- */

static struct lsq_stmt *prepare(struct lsq_conn *conn, const char *sql) {
    struct lsq_stmt *stmt;

    if (lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error) != LSQ_OK)
        fail_msg("%s: %s", sql, last_error.message);
    return stmt;
}

static int64_t first_of(struct lsq_stmt *stmt, const struct lsq_params *params) {
    struct lsq_result *res;
    int64_t value;

    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    if (lsq_stmt_exec(stmt, params, NULL, lsq_result_sink(), res, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    value = lsq_result_int(res, 0, 0);
    lsq_result_free(res);
    return value;
}

static size_t fetched(struct lsq_stmt *stmt, size_t max, bool *end) {
    struct lsq_result *res;
    size_t rows;

    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    if (lsq_stmt_fetch(stmt, max, NULL, lsq_result_sink(), res, end, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    rows = lsq_result_rows(res);
    lsq_result_free(res);
    return rows;
}

static void prepared_statements_go_where_they_belong(void **state) {
    struct lsq_column column;
    struct lsq_conn *replica;
    struct lsq_stmt *count;
    struct lsq_stmt *insert;
    struct lsq_stmt *nope;
    bool readonly;
    size_t n;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x')");
    replica = open_replica(new_path());
    count = prepare(replica, "SELECT count(*) AS n FROM t WHERE id >= ?");
    insert = prepare(replica, "INSERT INTO t (a) VALUES (:a) RETURNING id");
    assert_int_equal(lsq_stmt_column_count(insert, &n, NULL), LSQ_OK);
    assert_int_equal(n, 1);
    assert_int_equal(lsq_stmt_column(count, 0, &column, NULL), LSQ_OK);
    assert_string_equal(column.name, "n");
    assert_int_equal(lsq_stmt_readonly(insert, &readonly, NULL), LSQ_OK);
    assert_false(readonly);
    assert_int_equal(first_of(count, LSQ_PARAMS(lsq_int(0))), 1);
    assert_int_equal(first_of(insert, LSQ_PARAMS(lsq_text("y", 1))), 2);
    assert_int_equal(first_of(count, LSQ_PARAMS(lsq_int(0))), 2);
    assert_int_equal(lsq_begin(replica, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    assert_int_equal(first_of(insert, LSQ_PARAMS(lsq_text("z", 1))), 3);
    assert_int_equal(first_of(count, LSQ_PARAMS(lsq_int(0))), 3);
    assert_int_equal(lsq_rollback(replica, NULL, &last_error), LSQ_OK);
    assert_int_equal(first_of(count, LSQ_PARAMS(lsq_int(0))), 2);
    assert_int_equal(lsq_stmt_new(&nope, replica, "SELECT * FROM nope", 18, NULL, &last_error),
                     LSQ_SQL);
    sqld_kill(&sqld);
    assert_int_equal(first_of(count, LSQ_PARAMS(lsq_int(2))), 1);
    assert_int_equal(lsq_stmt_exec(insert, LSQ_PARAMS(lsq_null()), NULL, NULL, NULL, NULL, NULL),
                     LSQ_UNREACHABLE);
    lsq_stmt_free(count);
    lsq_stmt_free(insert);
    db_close(replica);
}

static void cursors_read_the_file_but_in_transactions(void **state) {
    struct lsq_conn *replica;
    struct lsq_stmt *all;
    struct lsq_stmt *update;
    bool end = false;

    (void)state;
    begin_with("INSERT INTO t SELECT value, 'x' FROM generate_series(1, 100)");
    replica = open_replica(new_path());
    all = prepare(replica, "SELECT id FROM t");
    update = prepare(replica, "UPDATE t SET a = 'y' RETURNING id");
    assert_int_equal(lsq_stmt_start(update, NULL, &last_error), LSQ_OK);
    assert_int_equal(fetched(update, 10, &end), 10);
    assert_int_equal(lsq_stmt_reset(update, NULL), LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t WHERE a = 'y'"), 100);
    assert_int_equal(lsq_begin(replica, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    run(replica, "DELETE FROM t WHERE id > 50");
    assert_int_equal(lsq_stmt_start(all, NULL, &last_error), LSQ_OK);
    assert_int_equal(fetched(all, 1000, &end), 50);
    assert_true(end);
    assert_int_equal(lsq_rollback(replica, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_start(all, NULL, &last_error), LSQ_OK);
    assert_int_equal(fetched(all, 60, &end), 60);
    sqld_kill(&sqld);
    assert_int_equal(fetched(all, 60, &end), 40);
    assert_true(end);
    lsq_stmt_free(all);
    lsq_stmt_free(update);
    db_close(replica);
}

static void a_batch_is_here_or_there_as_a_whole(void **state) {
    const struct lsq_batch_item reads[] = {{.sql = "SELECT 1", .len = 8},
                                           {.sql = "SELECT count(*) FROM t", .len = 22}};
    const struct lsq_batch_item mixed[] = {{.sql = "SELECT 1", .len = 8},
                                           {.sql = "DELETE FROM t WHERE id = 1", .len = 26}};
    const struct lsq_call one = {.flags = LSQ_CALL_TRANSACTION};
    static const char text[] = "SELECT 1; SELECT count(*) FROM t;";
    struct lsq_conn *replica;
    size_t done;

    (void)state;
    begin_with("INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    replica = open_replica(new_path());
    assert_int_equal(lsq_batch(replica, mixed, 2, &one, NULL, NULL, &done, &last_error), LSQ_OK);
    assert_int_equal(done, 2);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 1);
    assert_int_equal(
        lsq_batch_sql(replica, "DELETE FROM t; SELECT 1", 23, NULL, NULL, NULL, &done, &last_error),
        LSQ_OK);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 0);
    sqld_kill(&sqld);
    assert_int_equal(lsq_batch(replica, reads, 2, NULL, NULL, NULL, &done, &last_error), LSQ_OK);
    assert_int_equal(lsq_batch(replica, reads, 2, &one, NULL, NULL, &done, &last_error), LSQ_OK);
    assert_int_equal(
        lsq_batch_sql(replica, text, sizeof(text) - 1, NULL, NULL, NULL, &done, &last_error),
        LSQ_OK);
    assert_int_equal(done, 2);
    assert_int_equal(lsq_batch(replica, mixed, 2, NULL, NULL, NULL, &done, NULL), LSQ_UNREACHABLE);
    assert_int_equal(done, 0);
    db_close(replica);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(reads_the_file_and_writes_to_the_primary, forget),
        cmocka_unit_test_teardown(a_statements_place_is_told_by_what_it_does, forget),
        cmocka_unit_test_teardown(the_file_is_not_written_to_by_connections, forget),
        cmocka_unit_test_teardown(what_the_files_schema_does_not_know_is_asked_of_the_primary,
                                  forget),
        cmocka_unit_test_teardown(a_table_that_was_just_made_is_read_from_the_file, forget),
        cmocka_unit_test_teardown(a_transaction_is_the_primarys_as_a_whole, forget),
        cmocka_unit_test_teardown(a_reading_transaction_is_a_snapshot_of_the_file, forget),
        cmocka_unit_test_teardown(a_reset_leaves_the_primarys_transaction, forget),
        cmocka_unit_test_teardown(prepared_statements_go_where_they_belong, forget),
        cmocka_unit_test_teardown(cursors_read_the_file_but_in_transactions, forget),
        cmocka_unit_test_teardown(a_batch_is_here_or_there_as_a_whole, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
