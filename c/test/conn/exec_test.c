/* Running one statement: what the reply says, one row exactly, many rows of parameters, sinks. */
#include <stdio.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct lsq_conn *conn;
static const struct lsq_call one = {.flags = LSQ_CALL_ONE};

static int open_memory(void **state) {
    (void)state;
    conn = db_open(":memory:");
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)");
    return 0;
}

static int close_memory(void **state) {
    (void)state;
    db_close(conn);
    return 0;
}

/* ---- Replies ---- */

static void replies_say_what_was_done(void **state) {
    static const struct {
        const char *sql;
        enum lsq_command command;
        size_t columns;
        size_t rows;
        int64_t changes;
        int64_t last_rowid;
        bool autocommit;
    } cases[] = {
        {"SELECT 1, 2", LSQ_COMMAND_SELECT, 2, 1, 0, 0, true},
        {"SELECT a FROM t", LSQ_COMMAND_SELECT, 1, 0, 0, 0, true},
        {"INSERT INTO t VALUES (10, 'x'), (11, 'y')", LSQ_COMMAND_INSERT, 0, 0, 2, 11, true},
        {"SELECT 1", LSQ_COMMAND_SELECT, 1, 1, 0, 11, true},
        {"insert into t values (12, 'z') returning id, a", LSQ_COMMAND_INSERT, 2, 1, 1, 12, true},
        {"REPLACE INTO t VALUES (12, 'zz')", LSQ_COMMAND_INSERT, 0, 0, 1, 12, true},
        {"INSERT OR IGNORE INTO t VALUES (12, 'no')", LSQ_COMMAND_INSERT, 0, 0, 0, 12, true},
        {"/* c */ -- d\n UPDATE t SET a = a || '!'", LSQ_COMMAND_UPDATE, 0, 0, 3, 12, true},
        {"UPDATE t SET a = 1 WHERE id = 99", LSQ_COMMAND_UPDATE, 0, 0, 0, 12, true},
        {"WITH w AS (SELECT 10 AS n) DELETE FROM t WHERE id IN (SELECT n FROM w)",
         LSQ_COMMAND_DELETE, 0, 0, 1, 12, true},
        {"WITH w AS (SELECT 1) SELECT * FROM w", LSQ_COMMAND_SELECT, 1, 1, 0, 12, true},
        {"WITH w AS (SELECT 20 AS n) INSERT INTO t SELECT n, n FROM w", LSQ_COMMAND_INSERT, 0, 0, 1,
         20, true},
        {"VALUES (1), (2), (3)", LSQ_COMMAND_SELECT, 1, 3, 0, 20, true},
        {"CREATE TABLE u (a)", LSQ_COMMAND_CREATE, 0, 0, 0, 20, true},
        {"CREATE TABLE v AS SELECT * FROM t", LSQ_COMMAND_CREATE, 0, 0, 0, 20, true},
        {"ALTER TABLE u ADD COLUMN b", LSQ_COMMAND_CREATE, 0, 0, 0, 20, true},
        {"DROP TABLE u", LSQ_COMMAND_CREATE, 0, 0, 0, 20, true},
        {"DROP TABLE IF EXISTS u", LSQ_COMMAND_CREATE, 0, 0, 0, 20, true},
        {"BEGIN", LSQ_COMMAND_BEGIN, 0, 0, 0, 20, false},
        {"SELECT 1", LSQ_COMMAND_SELECT, 1, 1, 0, 20, false},
        {"END", LSQ_COMMAND_COMMIT, 0, 0, 0, 20, true},
        {"BEGIN IMMEDIATE", LSQ_COMMAND_BEGIN, 0, 0, 0, 20, false},
        {"COMMIT", LSQ_COMMAND_COMMIT, 0, 0, 0, 20, true},
        {"SAVEPOINT s", LSQ_COMMAND_OTHER, 0, 0, 0, 20, false},
        {"ROLLBACK", LSQ_COMMAND_ROLLBACK, 0, 0, 0, 20, true},
        {"PRAGMA user_version", LSQ_COMMAND_PRAGMA, 1, 1, 0, 20, true},
        {"EXPLAIN DELETE FROM t", LSQ_COMMAND_SELECT, 8, 0, 0, 20, true},
        {"", LSQ_COMMAND_EMPTY, 0, 0, 0, 20, true},
        {"  \n;; ; ", LSQ_COMMAND_EMPTY, 0, 0, 0, 20, true},
        {"-- only a comment", LSQ_COMMAND_EMPTY, 0, 0, 0, 20, true},
        {"/* only a comment */", LSQ_COMMAND_EMPTY, 0, 0, 0, 20, true},
        {"/* never ended", LSQ_COMMAND_EMPTY, 0, 0, 0, 20, true},
        {"VACUUM", LSQ_COMMAND_OTHER, 0, 0, 0, 20, true},
        {"ANALYZE", LSQ_COMMAND_OTHER, 0, 0, 0, 20, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lsq_reply reply;

        if (exec(conn, cases[i].sql, NULL, NULL, &reply) != LSQ_OK)
            fail_msg("%s: %s", cases[i].sql, last_error.message);
        if (reply.command != cases[i].command || reply.columns != cases[i].columns ||
            (cases[i].columns < 8 && reply.rows != cases[i].rows) ||
            reply.changes != cases[i].changes || reply.last_rowid != cases[i].last_rowid ||
            reply.autocommit != cases[i].autocommit)
            fail_msg("%s: command %d, %zu columns, %zu rows, %d changes, rowid %d, %d",
                     cases[i].sql, (int)reply.command, reply.columns, reply.rows,
                     (int)reply.changes, (int)reply.last_rowid, reply.autocommit);
    }
}

static void changes_of_triggers_are_not_counted(void **state) {
    struct lsq_reply reply;
    struct lsq_conn_info info;

    (void)state;
    run(conn, "CREATE TABLE log (a)");
    run(conn, "CREATE TRIGGER tr AFTER INSERT ON t BEGIN "
              "INSERT INTO log VALUES (new.a), (new.a); END");
    assert_int_equal(exec(conn, "INSERT INTO t (a) VALUES (1)", NULL, NULL, &reply), LSQ_OK);
    assert_int_equal(reply.changes, 1);
    assert_int_equal(lsq_conn_info(conn, false, &info, &last_error), LSQ_OK);
    assert_int_equal(info.changes, 1);
    assert_int_equal(info.total_changes, 3);
    assert_int_equal(info.last_rowid, 1);
    assert_true(info.autocommit);
}

static void reply_is_written_only_on_success(void **state) {
    struct lsq_reply reply;

    (void)state;
    memset(&reply, 0x5a, sizeof(reply));
    assert_int_equal(exec(conn, "SELECT garbage", NULL, NULL, &reply), LSQ_SQL);
    assert_int_equal(exec(conn, "SELECT 1", LSQ_PARAMS(lsq_null()), NULL, &reply), LSQ_PARAMETERS);
    assert_int_equal(((unsigned char *)&reply)[0], 0x5a);
}

static void error_is_written_only_on_failure(void **state) {
    struct lsq_error err;

    (void)state;
    memset(&err, 0x5a, sizeof(err));
    assert_int_equal(lsq_exec(conn, "SELECT 1", 8, NULL, NULL, NULL, NULL, NULL, &err), LSQ_OK);
    for (size_t i = 0; i < sizeof(err); i++) assert_int_equal(((unsigned char *)&err)[i], 0x5a);
    assert_int_equal(lsq_exec(conn, "garbage", 7, NULL, NULL, NULL, NULL, NULL, NULL), LSQ_SQL);
}

/* ---- More than one statement ---- */

static void one_statement_and_no_more(void **state) {
    static const struct {
        const char *sql;
        enum lsq_status want;
        int offset;
    } cases[] = {
        {"SELECT 1; SELECT 2", LSQ_SQL, 9},
        {"SELECT 1;;", LSQ_OK, 0},
        {"SELECT 1; -- a comment", LSQ_OK, 0},
        {"SELECT 1; /* ; */ ;\n\t", LSQ_OK, 0},
        {"SELECT 1; /* ; */ x", LSQ_SQL, 9},
        {"INSERT INTO t (a) VALUES (1); DELETE FROM t", LSQ_SQL, 29},
        {";SELECT 1", LSQ_OK, 0},
        {"; ; -- c\nSELECT 1", LSQ_OK, 0},
        {"SELECT ';' AS a;", LSQ_OK, 0},
    };
    struct lsq_stmt *stmt;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum lsq_status st = exec(conn, cases[i].sql, NULL, NULL, NULL);

        if (st != cases[i].want) fail_msg("%s: %s", cases[i].sql, lsq_status_name(st));
        if (st != LSQ_OK) assert_int_equal(last_error.sql_offset, cases[i].offset);
    }
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELECT 1; SELECT 2", 18, NULL, &last_error),
                     LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_stmt_new(&stmt, conn, "-- nothing", 10, NULL, &last_error),
                     LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_stmt_new(&stmt, conn, "", 0, NULL, &last_error), LSQ_BAD_ARGUMENT);
}

/* ---- Exactly one row ---- */

static void one_row_of_a_read(void **state) {
    struct lsq_reply reply;

    (void)state;
    assert_int_equal(exec(conn, "SELECT a FROM t", NULL, &one, NULL), LSQ_NO_ROW);
    assert_int_equal(last_error.status, LSQ_NO_ROW);
    assert_int_equal(exec(conn, "SELECT 1", NULL, &one, &reply), LSQ_OK);
    assert_int_equal(reply.rows, 1);
    assert_int_equal(exec(conn, "VALUES (1), (2)", NULL, &one, NULL), LSQ_MANY_ROWS);
    assert_int_equal(exec(conn, "VALUES (1), (2)", NULL, NULL, NULL), LSQ_OK);
}

/* A second row ends it: an endless query with one row too many comes back. */
static void one_row_stops_at_the_second(void **state) {
    int64_t start = now_ns();

    (void)state;
    assert_int_equal(exec(conn,
                          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                          "SELECT i FROM n",
                          NULL, &one, NULL),
                     LSQ_MANY_ROWS);
    assert_true(now_ns() - start < 5000000000);
}

struct write_case {
    const char *sql;
    enum lsq_status want;
};

static const struct write_case write_cases[] = {
    {"INSERT INTO w VALUES (5), (6) RETURNING a", LSQ_MANY_ROWS},
    {"UPDATE w SET a = a + 100 RETURNING a", LSQ_MANY_ROWS},
    {"DELETE FROM w RETURNING a", LSQ_MANY_ROWS},
    {"INSERT INTO w SELECT 1 WHERE 0 RETURNING a", LSQ_NO_ROW},
    {"INSERT INTO w VALUES (9)", LSQ_NO_ROW}, /* it returns none */
    {"DELETE FROM w", LSQ_NO_ROW},
};

static void expect_unchanged(void) {
    for (size_t i = 0; i < COUNT(write_cases); i++) {
        if (exec(conn, write_cases[i].sql, NULL, &one, NULL) != write_cases[i].want)
            fail_msg("%s: %s", write_cases[i].sql, lsq_status_name(last_error.status));
        assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
        if (strcmp(ask_rows(conn, "SELECT a FROM w ORDER BY a"), "1;2") != 0)
            fail_msg("%s: changed to %s", write_cases[i].sql,
                     ask_rows(conn, "SELECT a FROM w ORDER BY a"));
    }
}

static void one_row_of_a_write(void **state) {
    (void)state;
    run(conn, "CREATE TABLE w (a)");
    run(conn, "INSERT INTO w VALUES (1), (2)");
    expect_unchanged();
    run(conn, "BEGIN");
    expect_unchanged();
    run(conn, "SAVEPOINT lsq_one"); /* a name that the library uses too */
    expect_unchanged();
    run(conn, "COMMIT");
    assert_int_equal(exec(conn, "INSERT INTO w VALUES (3) RETURNING a", NULL, &one, NULL), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM w"), 3);
}

static void one_row_of_a_write_to_a_temporary_table(void **state) {
    (void)state;
    run(conn, "CREATE TEMP TABLE w (a)");
    run(conn, "INSERT INTO w VALUES (1), (2)");
    expect_unchanged();
    assert_int_equal(exec(conn, "INSERT INTO w VALUES (3) RETURNING a", NULL, &one, NULL), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM w"), 3);
}

static void one_row_that_fails_otherwise(void **state) {
    (void)state;
    run(conn, "INSERT INTO t VALUES (1, 'x')");
    assert_int_equal(
        exec(conn, "INSERT INTO t VALUES (2, 'y'), (3, 'x') RETURNING id", NULL, &one, NULL),
        LSQ_CONSTRAINT);
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_UNIQUE);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    assert_int_equal(
        exec(conn, "INSERT OR ROLLBACK INTO t VALUES (2, 'x') RETURNING id", NULL, &one, NULL),
        LSQ_CONSTRAINT);
    run(conn, "BEGIN"); /* no savepoint was left open */
    run(conn, "COMMIT");
}

/* With the smallest cache there is: what the call runs beside its statement may not evict it. */
static void one_row_with_a_cache_of_one(void **state) {
    struct lsq_config cfg = db_config(":memory:");
    struct lsq_conn *small;

    (void)state;
    cfg.statement_cache = 1;
    small = db_open_as(&cfg);
    run(small, "CREATE TABLE t (a)");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(exec(small, "INSERT INTO t VALUES (1) RETURNING a", NULL, &one, NULL),
                         LSQ_OK);
        assert_int_equal(exec(small, "INSERT INTO t VALUES (1), (2) RETURNING a", NULL, &one, NULL),
                         LSQ_MANY_ROWS);
    }
    assert_int_equal(ask(small, "SELECT count(*) FROM t"), 3);
    db_close(small);
}

/* ---- Sinks ---- */

struct watcher {
    int calls_left; /* until a slot returns false */
    int columns;
    int values;
    int rows;
};

static bool slot(struct watcher *watcher, int *count) {
    if (watcher->calls_left-- == 0) return false;
    ++*count;
    return true;
}

static bool on_columns(void *ctx, size_t count, const char *const *names) {
    (void)count, (void)names;
    return slot(ctx, &((struct watcher *)ctx)->columns);
}
static bool on_row(void *ctx) { return slot(ctx, &((struct watcher *)ctx)->rows); }
static bool on_begin(void *ctx) { return slot(ctx, &(int){0}); }
static bool on_null(void *ctx) { return slot(ctx, &((struct watcher *)ctx)->values); }
static bool on_integer(void *ctx, int64_t value) { return (void)value, on_null(ctx); }
static bool on_real(void *ctx, double value) { return (void)value, on_null(ctx); }
static bool on_text(void *ctx, const char *text, size_t len) {
    return (void)text, (void)len, on_null(ctx);
}
static bool on_blob(void *ctx, const void *data, size_t len) {
    return (void)data, (void)len, on_null(ctx);
}

static const struct lsq_sink watching = {
    .columns = on_columns,
    .row_begin = on_begin,
    .null = on_null,
    .integer = on_integer,
    .real = on_real,
    .text = on_text,
    .blob = on_blob,
    .row_end = on_row,
};

static enum lsq_status watch(const char *sql, struct watcher *watcher) {
    return lsq_exec(conn, sql, strlen(sql), NULL, NULL, &watching, watcher, NULL, &last_error);
}

static void sink_that_refuses_ends_the_run(void **state) {
    static const char sql[] = "VALUES (1, 2.5, 'text', x'00', NULL), (2, 2.5, 't', x'01', NULL)";

    (void)state;
    for (int calls = 0; calls <= 15; calls++) {
        struct watcher watcher = {.calls_left = calls};
        enum lsq_status st = watch(sql, &watcher);

        assert_int_equal(st, calls == 15 ? LSQ_OK : LSQ_NOMEM);
        assert_int_equal(watcher.columns, calls > 0);
        assert_int_equal(watcher.rows, calls < 8 ? 0 : calls < 15 ? 1 : 2);
        assert_int_equal(ask(conn, "SELECT 7"), 7);
    }
}

/* Rows that a write returns come when it is done: refusing them does not undo it, and says so. */
static void sink_that_refuses_a_writes_rows(void **state) {
    static const char sql[] = "INSERT INTO t (a) VALUES (1), (2) RETURNING a";
    struct watcher watcher = {.calls_left = 2};

    (void)state;
    assert_int_equal(watch(sql, &watcher), LSQ_NOMEM);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_COMMITTED);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 2);
    run(conn, "DELETE FROM t");
    run(conn, "BEGIN");
    watcher = (struct watcher){.calls_left = 2};
    assert_int_equal(watch(sql, &watcher), LSQ_NOMEM);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE); /* that is for COMMIT to decide */
    run(conn, "ROLLBACK");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
}

static void sink_sees_columns_of_every_statement(void **state) {
    static const struct {
        const char *sql;
        int columns;
        int values;
        int rows;
    } cases[] = {
        {"SELECT 1, 2", 1, 2, 1},
        {"SELECT a FROM t", 1, 0, 0},
        {"INSERT INTO t (a) VALUES (5)", 1, 0, 0},
        {"-- nothing", 1, 0, 0},
        {"PRAGMA busy_timeout", 1, 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct watcher watcher = {.calls_left = -1};

        assert_int_equal(watch(cases[i].sql, &watcher), LSQ_OK);
        assert_int_equal(watcher.columns, cases[i].columns);
        assert_int_equal(watcher.values, cases[i].values);
        assert_int_equal(watcher.rows, cases[i].rows);
    }
}

static bool call_again(void *ctx) {
    enum lsq_status *got = ctx;

    *got = lsq_exec(conn, "SELECT 1", 8, NULL, NULL, NULL, NULL, NULL, NULL);
    return true;
}

static bool any_columns(void *ctx, size_t count, const char *const *names) {
    return (void)ctx, (void)count, (void)names, true;
}
static bool any_integer(void *ctx, int64_t value) { return (void)ctx, (void)value, true; }

static void call_inside_a_call_is_refused(void **state) {
    const struct lsq_sink sink = {
        .columns = any_columns, .integer = any_integer, .row_end = call_again};
    enum lsq_status got = LSQ_OK;

    (void)state;
    assert_int_equal(lsq_exec(conn, "SELECT 1", 8, NULL, NULL, &sink, &got, NULL, &last_error),
                     LSQ_OK);
    assert_int_equal(got, LSQ_IN_USE);
}

static void many_columns(void **state) {
    char sql[2000] = "SELECT 0";
    struct lsq_result *res = NULL;

    (void)state;
    for (int i = 1; i < 200; i++) sprintf(sql + strlen(sql), ",%d a%d", i, i);
    assert_int_equal(lsq_query(&res, conn, sql, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_result_columns(res), 200);
    assert_int_equal(lsq_result_int(res, 0, 199), 199);
    assert_string_equal(lsq_result_name(res, 199), "a199");
    lsq_result_free(res);
}

/* ---- Many rows of parameters ---- */

struct feed {
    const struct lsq_value *values;
    size_t width;
    size_t count; /* of rows */
    size_t next;
    size_t refuse; /* this row, from 1, is refused; 0: none */
};

static int feed_next(void *ctx, struct lsq_params *row, char *why) {
    struct feed *feed = ctx;

    if (feed->next + 1 == feed->refuse) {
        strcpy(why, "this row is refused");
        return -1;
    }
    if (feed->next == feed->count) return 0;
    *row = (struct lsq_params){.values = feed->values + feed->next++ * feed->width,
                               .count = feed->width};
    return 1;
}

static enum lsq_status many(const char *sql, struct feed *feed, struct lsq_reply *reply) {
    return lsq_exec_many(conn, sql, strlen(sql), feed_next, feed, NULL, NULL, NULL, reply,
                         &last_error);
}

static const struct lsq_value four[] = {
    {.type = LSQ_TYPE_INTEGER, .as = {.integer = 1}},
    {.type = LSQ_TYPE_INTEGER, .as = {.integer = 2}},
    {.type = LSQ_TYPE_INTEGER, .as = {.integer = 1}}, /* once more: not unique */
    {.type = LSQ_TYPE_INTEGER, .as = {.integer = 4}},
};

static void many_rows_are_one_transaction(void **state) {
    struct feed feed = {.values = four, .width = 1, .count = 2};
    struct lsq_reply reply;

    (void)state;
    assert_int_equal(many("INSERT INTO t (a) VALUES (?1)", &feed, &reply), LSQ_OK);
    assert_int_equal(reply.command, LSQ_COMMAND_INSERT);
    assert_int_equal(reply.changes, 2);
    assert_int_equal(reply.last_rowid, 2);
    assert_int_equal(reply.rows, 0);
    assert_true(reply.autocommit);
    feed = (struct feed){.values = four, .width = 1, .count = 4};
    run(conn, "DELETE FROM t");
    assert_int_equal(many("INSERT INTO t (a) VALUES (?1)", &feed, NULL), LSQ_CONSTRAINT);
    assert_int_equal(last_error.statement, 3);
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_UNIQUE);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    run(conn, "BEGIN"); /* none was left open */
    run(conn, "COMMIT");
}

static void many_rows_inside_a_transaction(void **state) {
    struct feed feed = {.values = four, .width = 1, .count = 4};
    struct lsq_reply reply;

    (void)state;
    run(conn, "BEGIN");
    assert_int_equal(many("INSERT INTO t (a) VALUES (?1)", &feed, NULL), LSQ_CONSTRAINT);
    assert_int_equal(last_error.statement, 3);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 2); /* those before it stay */
    feed = (struct feed){.values = four + 3, .width = 1, .count = 1};
    assert_int_equal(many("INSERT INTO t (a) VALUES (?1)", &feed, &reply), LSQ_OK);
    assert_false(reply.autocommit);
    run(conn, "ROLLBACK");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
}

static void many_rows_refused_by_the_caller(void **state) {
    struct feed feed = {.values = four, .width = 1, .count = 4, .refuse = 2};

    (void)state;
    assert_int_equal(many("INSERT INTO t (a) VALUES (?1)", &feed, NULL), LSQ_PARAMETERS);
    assert_string_equal(last_error.message, "this row is refused");
    assert_int_equal(last_error.statement, 2);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    feed = (struct feed){.values = four, .width = 2, .count = 2};
    assert_int_equal(many("INSERT INTO t (a) VALUES (?1)", &feed, NULL), LSQ_PARAMETERS);
    assert_int_equal(last_error.statement, 1);
}

static void many_rows_returned_are_one_result(void **state) {
    static const char sql[] = "INSERT INTO t (a) VALUES (?1), (?1 + 10) RETURNING a";
    struct feed feed = {.values = four, .width = 1, .count = 2};
    struct lsq_result *res = NULL;
    struct lsq_reply reply;

    (void)state;
    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    assert_int_equal(lsq_exec_many(conn, sql, sizeof(sql) - 1, feed_next, &feed, NULL,
                                   lsq_result_sink(), res, &reply, &last_error),
                     LSQ_OK);
    assert_int_equal(lsq_result_rows(res), 4);
    assert_int_equal(lsq_result_int(res, 3, 0), 12);
    assert_int_equal(reply.rows, 4);
    assert_int_equal(reply.columns, 1);
    assert_int_equal(reply.changes, 4);
    lsq_result_free(res);
}

static void many_of_nothing(void **state) {
    struct feed feed = {.values = four, .width = 1, .count = 0};
    struct watcher watcher = {.calls_left = -1};
    struct lsq_reply reply;

    (void)state;
    assert_int_equal(lsq_exec_many(conn, "SELECT ?1", 9, feed_next, &feed, NULL, &watching,
                                   &watcher, &reply, &last_error),
                     LSQ_OK);
    assert_int_equal(watcher.columns, 1);
    assert_int_equal(reply.changes, 0);
    assert_true(reply.autocommit);
    assert_int_equal(many("-- nothing", &feed, NULL), LSQ_SQL);
    assert_int_equal(many("garbage", &feed, NULL), LSQ_SQL);
}

static void many_rows_with_a_sink_that_refuses(void **state) {
    static const char sql[] = "INSERT INTO t (a) VALUES (?1) RETURNING a";
    struct feed feed = {.values = four, .width = 1, .count = 2};
    struct watcher watcher = {.calls_left = 5};

    (void)state;
    assert_int_equal(lsq_exec_many(conn, sql, sizeof(sql) - 1, feed_next, &feed, NULL, &watching,
                                   &watcher, NULL, &last_error),
                     LSQ_NOMEM);
    assert_int_equal(last_error.statement, 2);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
}

/* What fails at the end is no row's fault. */
static void many_rows_whose_commit_fails(void **state) {
    struct feed feed = {.values = four, .width = 1, .count = 2};

    (void)state;
    run(conn, "CREATE TABLE c (a REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)");
    memset(&last_error, 0x5a, sizeof(last_error));
    assert_int_equal(many("INSERT INTO c VALUES (?1)", &feed, NULL), LSQ_CONSTRAINT);
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_FOREIGN_KEY);
    assert_int_equal(last_error.statement, 0);
    assert_int_equal(ask(conn, "SELECT count(*) FROM c"), 0);
    run(conn, "BEGIN");
    run(conn, "COMMIT");
}

static void many_rows_with_a_cache_of_one(void **state) {
    struct lsq_config cfg = db_config(":memory:");
    struct lsq_conn *old = conn;

    (void)state;
    cfg.statement_cache = 1;
    conn = db_open_as(&cfg);
    run(conn, "CREATE TABLE t (a)");
    for (int i = 0; i < 3; i++) {
        struct feed feed = {.values = four, .width = 1, .count = 4};

        assert_int_equal(many("INSERT INTO t (a) VALUES (?1)", &feed, NULL), LSQ_OK);
    }
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 12);
    db_close(conn);
    conn = old;
}

/* SQLite's habit of -1 for "up to the NUL", and other lengths that no memory has. */
static void lengths_that_cannot_be(void **state) {
    struct lsq_value value = lsq_blob("x", (size_t)-1);
    const struct lsq_params params = {.values = &value, .count = 1};
    const struct lsq_params without = {.values = NULL, .count = 1};

    (void)state;
    assert_int_equal(
        lsq_exec(conn, "SELECT 1", (size_t)-1, NULL, NULL, NULL, NULL, NULL, &last_error),
        LSQ_TOO_BIG);
    assert_int_equal(exec(conn, "SELECT length(?1)", &params, NULL, NULL), LSQ_TOO_BIG);
    value = lsq_text("x", (size_t)1 << 63);
    assert_int_equal(exec(conn, "SELECT length(?1)", &params, NULL, NULL), LSQ_TOO_BIG);
    assert_int_equal(exec(conn, "SELECT length(?1)", &without, NULL, NULL), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_batch(conn, NULL, 3, NULL, NULL, NULL, NULL, &last_error),
                     LSQ_BAD_ARGUMENT);
}

/* LSQ_CALL_TRY of what is never known to be short. */
static void a_try_begins_nothing_long(void **state) {
    static const struct lsq_call call = {.flags = LSQ_CALL_TRY};
    static const char sql[] = "CREATE TABLE tried (a)";

    (void)state;
    assert_int_equal(
        lsq_batch_sql(conn, sql, sizeof(sql) - 1, &call, NULL, NULL, NULL, &last_error),
        LSQ_WOULD_BLOCK);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, &call, &last_error), LSQ_WOULD_BLOCK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM sqlite_schema WHERE name = 'tried'"), 0);
    run(conn, "BEGIN");
    assert_int_equal(lsq_commit(conn, &call, &last_error), LSQ_WOULD_BLOCK);
    run(conn, "ROLLBACK");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_memory, close_memory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(lengths_that_cannot_be),
        TEST(a_try_begins_nothing_long),
        TEST(replies_say_what_was_done),
        TEST(changes_of_triggers_are_not_counted),
        TEST(reply_is_written_only_on_success),
        TEST(error_is_written_only_on_failure),
        TEST(one_statement_and_no_more),
        TEST(one_row_of_a_read),
        TEST(one_row_stops_at_the_second),
        TEST(one_row_of_a_write),
        TEST(one_row_of_a_write_to_a_temporary_table),
        TEST(one_row_that_fails_otherwise),
        TEST(one_row_with_a_cache_of_one),
        TEST(sink_that_refuses_ends_the_run),
        TEST(sink_that_refuses_a_writes_rows),
        TEST(sink_sees_columns_of_every_statement),
        TEST(call_inside_a_call_is_refused),
        TEST(many_columns),
        TEST(many_rows_are_one_transaction),
        TEST(many_rows_inside_a_transaction),
        TEST(many_rows_refused_by_the_caller),
        TEST(many_rows_returned_are_one_result),
        TEST(many_of_nothing),
        TEST(many_rows_with_a_sink_that_refuses),
        TEST(many_rows_whose_commit_fails),
        TEST(many_rows_with_a_cache_of_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
