/* Statements, batches and transactions on a real server. */
#include <stdio.h>

#include "../support/db.h"
#include "../support/sqld.h"
#include "remote/talk.h"

static struct sqld sqld;
static bool by_socket;

static struct lsq_conn *connect_to(void) {
    struct lsq_config cfg;
    struct lsq_conn *conn;
    char url[256];

    snprintf(url, sizeof(url), "%s%s", by_socket ? "ws" : "http", sqld.url + 4);
    lsq_config_init(&cfg);
    cfg.path = url;
    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
    return conn;
}

static struct lsq_conn *connect_empty(void) {
    struct lsq_conn *conn;

    sqld_start(&sqld, NULL);
    conn = connect_to();
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b NOT NULL DEFAULT 1 CHECK "
              "(b > 0))");
    return conn;
}

static void done(struct lsq_conn *conn) {
    db_close(conn);
    sqld_kill(&sqld);
}

static void values_come_back_as_they_went(void **state) {
    static const unsigned char bytes[] = {0, 1, 255, 'a', 0};
    static const char text[] = "a\0\"\\\xc3\xa9\xf0\x9f\x98\x80\n";
    struct lsq_conn *conn = connect_empty();
    struct lsq_result *res;

    (void)state;
    assert_int_equal(lsq_query(&res, conn, "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7",
                               LSQ_PARAMS(lsq_null(), lsq_int(INT64_MIN), lsq_int(INT64_MAX),
                                          lsq_real(-0.1), lsq_text(text, sizeof(text) - 1),
                                          lsq_blob(bytes, sizeof(bytes)), lsq_real(1e308)),
                               &last_error),
                     LSQ_OK);
    assert_int_equal(lsq_result_rows(res), 1);
    assert_int_equal(lsq_result_value(res, 0, 0).type, LSQ_TYPE_NULL);
    assert_int_equal(lsq_result_int(res, 0, 1), INT64_MIN);
    assert_int_equal(lsq_result_int(res, 0, 2), INT64_MAX);
    assert_true(lsq_result_real(res, 0, 3) == -0.1);
    assert_int_equal(lsq_result_value(res, 0, 4).as.bytes.len, sizeof(text) - 1);
    assert_memory_equal(lsq_result_value(res, 0, 4).as.bytes.data, text, sizeof(text) - 1);
    assert_int_equal(lsq_result_value(res, 0, 5).type, LSQ_TYPE_BLOB);
    assert_memory_equal(lsq_result_value(res, 0, 5).as.bytes.data, bytes, sizeof(bytes));
    assert_true(lsq_result_real(res, 0, 6) == 1e308);
    lsq_result_free(res);
    done(conn);
}

static void a_call_says_what_it_did(void **state) {
    struct lsq_conn *conn = connect_empty();
    struct lsq_reply reply;

    (void)state;
    assert_int_equal(
        exec(conn, "INSERT INTO t (id, a) VALUES (7, 'x'), (9, 'y')", NULL, NULL, &reply), LSQ_OK);
    assert_int_equal(reply.command, LSQ_COMMAND_INSERT);
    assert_int_equal(reply.changes, 2);
    assert_int_equal(reply.last_rowid, 9);
    assert_int_equal(reply.columns, 0);
    assert_true(reply.autocommit);
    assert_int_equal(
        exec(conn, "WITH c AS (SELECT 1) UPDATE t SET a = a || 'z'", NULL, NULL, &reply), LSQ_OK);
    assert_int_equal(reply.command, LSQ_COMMAND_UPDATE);
    assert_int_equal(reply.changes, 2);
    assert_int_equal(exec(conn, "DELETE FROM t WHERE id = 7 RETURNING id, a", NULL, NULL, &reply),
                     LSQ_OK);
    assert_int_equal(reply.columns, 2);
    assert_int_equal(reply.rows, 1);
    assert_string_equal(ask_rows(conn, "SELECT * FROM t"), "9,yz,1");
    assert_string_equal(ask_columns(conn, "SELECT id, a AS \"z z\" FROM t WHERE 0"), "id,z z");
    done(conn);
}

static void failures_are_told_apart(void **state) {
    struct lsq_conn *conn = connect_empty();

    (void)state;
    run(conn, "INSERT INTO t (id, a) VALUES (1, 'x')");
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO t (a) VALUES ('x')");
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_UNIQUE);
    assert_string_equal(last_error.table, "t");
    assert_string_equal(last_error.columns, "a");
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO t (b) VALUES (NULL)");
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_NOT_NULL);
    assert_string_equal(last_error.columns, "b");
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO t (b) VALUES (0)");
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_CHECK);
    run(conn, "CREATE TABLE c (t_id REFERENCES t)");
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO c VALUES (99)");
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_FOREIGN_KEY);
    expect(LSQ_SQL, conn, "SELEC 1");
    expect(LSQ_SQL, conn, "SELECT * FROM nope");
    expect(LSQ_SQL, conn, "SELECT nope FROM t");
    assert_int_equal(last_error.sql_offset, 7);
    expect(LSQ_SQL, conn, "SELECT 1; SELECT 2");
    expect(LSQ_UNSUPPORTED, conn, "PRAGMA journal_mode = delete");
    assert_int_equal(exec(conn, "SELECT ?1, ?2", LSQ_PARAMS(lsq_int(1)), NULL, NULL),
                     LSQ_PARAMETERS);
    assert_int_equal(
        lsq_conn_checkpoint(conn, NULL, LSQ_CHECKPOINT_PASSIVE, NULL, NULL, &last_error),
        LSQ_UNSUPPORTED);
    done(conn);
}

static void a_transaction_is_all_or_nothing(void **state) {
    struct lsq_conn *conn = connect_empty();
    struct lsq_conn *other = connect_to();
    struct lsq_reply reply;

    (void)state;
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_IN_TRANSACTION);
    assert_int_equal(exec(conn, "INSERT INTO t (id) VALUES (1)", NULL, NULL, &reply), LSQ_OK);
    assert_false(reply.autocommit);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 0);
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO t (id) VALUES (1)");
    assert_int_equal(lsq_savepoint(conn, "a \"b", 4, NULL, &last_error), LSQ_OK);
    run(conn, "INSERT INTO t (id) VALUES (2)");
    assert_int_equal(lsq_rollback_to(conn, "a \"b", 4, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_release(conn, "a \"b", 4, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_NO_TRANSACTION);
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 1);
    run(conn, "BEGIN");
    run(conn, "DELETE FROM t");
    assert_int_equal(exec(conn, "ROLLBACK", NULL, NULL, &reply), LSQ_OK);
    assert_true(reply.autocommit);
    run(conn, "SAVEPOINT s");
    run(conn, "DELETE FROM t");
    assert_int_equal(lsq_rollback(conn, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
    run(other, "INSERT INTO t (id) VALUES (5)");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    expect(LSQ_READONLY, conn, "DELETE FROM t");
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 2);
    db_close(other);
    done(conn);
}

struct row_source {
    bool named;
    int64_t next;
    int64_t last;
    struct lsq_value values[2];
};

static int next_row(void *ctx, struct lsq_params *row, char *why) {
    static const struct lsq_name names[] = {{"id", 2}, {"a", 1}};
    struct row_source *source = ctx;

    (void)why;
    if (source->next > source->last) return 0;
    source->values[0] = lsq_int(source->next % 1000 == 777 ? 1 : source->next);
    source->values[1] = lsq_text("text", 4);
    source->next++;
    *row = (struct lsq_params){
        .values = source->values, .names = source->named ? names : NULL, .count = 2};
    return 1;
}

static void many_rows_are_one_request(void **state) {
    static const char sql[] = "INSERT INTO m (id, a) VALUES (?, ?) RETURNING id";
    struct lsq_conn *conn = connect_empty();
    static const char by_name[] = "INSERT INTO m (a, id) VALUES (:a, $id)";
    struct row_source named = {.named = true, .next = 9001, .last = 9002};
    struct row_source good = {.next = 1, .last = 500};
    struct row_source bad = {.next = 770, .last = 780};
    struct lsq_result *res;
    struct lsq_reply reply;

    (void)state;
    run(conn, "CREATE TABLE m (id INTEGER PRIMARY KEY, a)");
    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    assert_int_equal(lsq_exec_many(conn, sql, strlen(sql), next_row, &good, NULL, lsq_result_sink(),
                                   res, &reply, &last_error),
                     LSQ_OK);
    assert_int_equal(reply.changes, 500);
    assert_int_equal(lsq_result_rows(res), 500);
    assert_int_equal(lsq_result_int(res, 499, 0), 500);
    assert_int_equal(lsq_exec_many(conn, sql, strlen(sql), next_row, &bad, NULL, lsq_result_sink(),
                                   res, &reply, &last_error),
                     LSQ_CONSTRAINT);
    assert_int_equal(last_error.statement, 8);
    assert_int_equal(ask(conn, "SELECT count(*) FROM m"), 500);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    bad.next = 770;
    assert_int_equal(lsq_exec_many(conn, sql, strlen(sql), next_row, &bad, NULL, NULL, NULL, &reply,
                                   &last_error),
                     LSQ_CONSTRAINT);
    assert_int_equal(ask(conn, "SELECT count(*) FROM m"), 507);
    assert_int_equal(lsq_rollback(conn, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM m"), 500);
    assert_int_equal(lsq_exec_many(conn, by_name, strlen(by_name), next_row, &named, NULL, NULL,
                                   NULL, &reply, &last_error),
                     LSQ_OK);
    assert_string_equal(ask_rows(conn, "SELECT id, a FROM m WHERE id > 9000"),
                        "9001,text;9002,text");
    lsq_result_free(res);
    done(conn);
}

static void a_batch_stops_at_the_first_error(void **state) {
    static const char sql[] = "INSERT INTO t (id) VALUES (1); -- a comment; here\n"
                              "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END;\n"
                              "INSERT INTO t (id) VALUES (1); INSERT INTO t (id) VALUES (2);";
    static const struct lsq_call whole = {.flags = LSQ_CALL_TRANSACTION};
    struct lsq_conn *conn = connect_empty();
    size_t count = 0;

    (void)state;
    assert_int_equal(lsq_batch_sql(conn, sql, strlen(sql), &whole, NULL, NULL, &count, &last_error),
                     LSQ_CONSTRAINT);
    assert_int_equal(last_error.statement, 3);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    assert_int_equal(ask(conn, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 0);
    assert_int_equal(lsq_batch_sql(conn, sql, strlen(sql), NULL, NULL, NULL, &count, &last_error),
                     LSQ_CONSTRAINT);
    assert_int_equal(count, 2);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    done(conn);
}

static void a_cursor_gives_rows_as_they_are_asked_for(void **state) {
    static const char sql[] = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c "
                              "WHERE i < :n) SELECT i, 'abc' || i FROM c";
    struct lsq_conn *conn = connect_empty();
    struct lsq_name names[] = {{"n", 1}};
    struct lsq_value values[] = {lsq_int(20000)};
    struct lsq_params params = {.values = values, .names = names, .count = 1};
    struct lsq_stmt *stmt;
    struct lsq_result *res;
    int64_t sum = 0;
    bool end = false;
    int fetches = 0;

    (void)state;
    assert_int_equal(lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    for (int round = 0; round < 3; round++) {
        if (round == 1) run(conn, "BEGIN");
        assert_int_equal(lsq_stmt_start(stmt, &params, &last_error), LSQ_OK);
        sum = 0;
        end = false;
        for (fetches = 0; !end; fetches++) {
            if (lsq_stmt_fetch(stmt, 700, NULL, lsq_result_sink(), res, &end, &last_error) !=
                LSQ_OK)
                fail_msg("%s", last_error.message);
            for (size_t i = 0; i < lsq_result_rows(res); i++) sum += lsq_result_int(res, i, 0);
            if (round == 2 && fetches == 3) run(conn, "INSERT INTO t (a) VALUES ('beside')");
        }
        assert_int_equal(sum, 20000LL * 20001 / 2);
    }
    run(conn, "COMMIT");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    /* Left half way, in a transaction and outside. */
    assert_int_equal(lsq_stmt_start(stmt, &params, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(stmt, 5, NULL, lsq_result_sink(), res, &end, &last_error),
                     LSQ_OK);
    assert_int_equal(lsq_stmt_reset(stmt, &last_error), LSQ_OK);
    run(conn, "BEGIN");
    run(conn, "DELETE FROM t");
    assert_int_equal(lsq_stmt_start(stmt, &params, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(stmt, 5, NULL, lsq_result_sink(), res, &end, &last_error),
                     LSQ_OK);
    assert_int_equal(lsq_stmt_reset(stmt, &last_error), LSQ_OK);
    run(conn, "COMMIT");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    lsq_result_free(res);
    lsq_stmt_free(stmt);
    done(conn);
}

static void a_statement_is_described(void **state) {
    static const char sql[] = "SELECT id, a AS z, 1 + ? FROM t WHERE a = :k";
    struct lsq_conn *conn = connect_empty();
    struct lsq_column column;
    struct lsq_stmt *stmt;
    const char *name;
    size_t count;
    bool readonly = false;

    (void)state;
    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELEC", 5, NULL, &last_error), LSQ_SQL);
    assert_int_equal(lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_column_count(stmt, &count, NULL), LSQ_OK);
    assert_int_equal(count, 3);
    assert_int_equal(lsq_stmt_column(stmt, 1, &column, NULL), LSQ_OK);
    assert_string_equal(column.name, "z");
    assert_string_equal(column.declared_type, "TEXT");
    assert_int_equal(lsq_stmt_param_count(stmt, &count, NULL), LSQ_OK);
    assert_int_equal(count, 2);
    assert_int_equal(lsq_stmt_param_name(stmt, 2, &name, NULL), LSQ_OK);
    assert_string_equal(name, ":k");
    assert_int_equal(lsq_stmt_readonly(stmt, &readonly, NULL), LSQ_OK);
    assert_true(readonly);
    assert_int_equal(lsq_stmt_exec(stmt, LSQ_PARAMS(lsq_int(1), lsq_null()), NULL, NULL, NULL, NULL,
                                   &last_error),
                     LSQ_OK);
    db_close(conn);
    assert_int_equal(lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, &last_error), LSQ_CLOSED);
    lsq_stmt_free(stmt);
    sqld_kill(&sqld);
}

/* The same over both: HTTP, and a WebSocket. */
static int over_http(void **state) {
    (void)state;
    by_socket = false;
    return 0;
}

static int over_socket(void **state) {
    (void)state;
    by_socket = true;
    return 0;
}

static void a_socket_is_one_for_all(void **state) {
    struct lsqi_talk_figures before;
    struct lsqi_talk_figures after;
    struct lsq_conn *conn;
    struct lsq_conn *other;

    (void)state;
    lsqi_talk_figures(&before);
    conn = connect_empty();
    other = connect_to();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(ask(conn, "SELECT 1"), 1);
        assert_int_equal(ask(other, "SELECT 2"), 2);
    }
    lsqi_talk_figures(&after);
    assert_int_equal(after.sockets - before.sockets, 1);
    assert_int_equal(after.streams - before.streams, 1);
    assert_int_equal(after.talks - before.talks, 21);
    db_close(other);
    done(conn);
}

#define TEST(name)                                                                                 \
    {#name, name, over_http, db_forget, NULL}, { #name "/ws", name, over_socket, db_forget, NULL }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_socket_is_one_for_all, over_socket, db_forget),
        TEST(values_come_back_as_they_went),
        TEST(a_call_says_what_it_did),
        TEST(failures_are_told_apart),
        TEST(a_transaction_is_all_or_nothing),
        TEST(many_rows_are_one_request),
        TEST(a_batch_stops_at_the_first_error),
        TEST(a_cursor_gives_rows_as_they_are_asked_for),
        TEST(a_statement_is_described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
