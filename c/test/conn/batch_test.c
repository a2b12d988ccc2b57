/* Batches: many statements, as one transaction or one by one. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct lsq_conn *conn;
static const struct lsq_call as_one = {.flags = LSQ_CALL_TRANSACTION};

static int open_memory(void **state) {
    (void)state;
    conn = db_open(":memory:");
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)");
    return 0;
}

static int close_memory(void **state) {
    db_close(conn);
    return db_forget(state);
}

/* ---- What a sink sees, as text: "columns(a,b) row end(1)" ---- */

static char seen[1000];

static bool see_columns(void *ctx, size_t count, const char *const *names) {
    (void)ctx;
    strcat(seen, "(");
    for (size_t i = 0; i < count; i++) {
        strcat(seen, i > 0 ? "," : "");
        strcat(seen, names[i]);
    }
    strcat(seen, ")");
    return true;
}

static bool see_row(void *ctx) { return (void)ctx, strcat(seen, "r") != NULL; }
static bool see_integer(void *ctx, int64_t value) {
    sprintf(seen + strlen(seen), "%d", (int)value);
    return (void)ctx, true;
}
static bool see_null(void *ctx) { return (void)ctx, true; }
static bool see_real(void *ctx, double value) { return (void)ctx, (void)value, true; }
static bool see_text(void *ctx, const char *text, size_t len) {
    return (void)ctx, strncat(seen, text, len) != NULL;
}
static bool see_blob(void *ctx, const void *data, size_t len) {
    return (void)ctx, (void)data, (void)len, true;
}

/* *ctx, if any, is the number of the statement at whose end it refuses. */
static bool see_end(void *ctx, int number, const struct lsq_reply *reply) {
    sprintf(seen + strlen(seen), "=%d:%d ", number, (int)reply->changes);
    return ctx == NULL || number != *(int *)ctx;
}

static const struct lsq_sink seeing = {
    .columns = see_columns,
    .null = see_null,
    .integer = see_integer,
    .real = see_real,
    .text = see_text,
    .blob = see_blob,
    .row_end = see_row,
    .statement_end = see_end,
};

static enum lsq_status batch_sql(const char *sql, const struct lsq_call *call, size_t *done) {
    seen[0] = '\0';
    return lsq_batch_sql(conn, sql, strlen(sql), call, &seeing, NULL, done, &last_error);
}

static int64_t rows(void) { return ask(conn, "SELECT count(*) FROM t"); }

/* ---- Text ---- */

static void statements_run_in_order(void **state) {
    size_t done = 99;

    (void)state;
    assert_int_equal(batch_sql("INSERT INTO t VALUES (1, 'x'); ; -- a comment; with one\n"
                               "INSERT INTO t VALUES (2, ';'), (3, '--') ;;"
                               "SELECT id AS i FROM t ORDER BY i; /* the end */",
                               NULL, &done),
                     LSQ_OK);
    assert_int_equal(done, 3);
    assert_string_equal(seen, "()=1:1 ()=2:2 (i)1r2r3r=3:0 ");
}

static void nothing_to_run(void **state) {
    static const char *const texts[] = {"",        ";",    " ; ;\n; ", "-- c",
                                        "/* c */", "/* c", "-- c\n;--"};
    size_t done = 99;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_equal(batch_sql(texts[i], i % 2 ? &as_one : NULL, &done), LSQ_OK);
        assert_int_equal(done, 0);
        assert_string_equal(seen, "");
    }
}

static void triggers_hold_semicolons(void **state) {
    size_t done = 0;

    (void)state;
    assert_int_equal(batch_sql("CREATE TRIGGER tr AFTER INSERT ON t BEGIN "
                               "UPDATE t SET a = a || '1' WHERE id = new.id; "
                               "UPDATE t SET a = a || '2' WHERE id = new.id; END; "
                               "INSERT INTO t VALUES (1, 'x')",
                               NULL, &done),
                     LSQ_OK);
    assert_int_equal(done, 2);
    assert_string_equal(ask_text(conn, "SELECT a FROM t"), "x12");
}

static void failure_stops_it_and_keeps_what_ran(void **state) {
    size_t done = 99;

    (void)state;
    assert_int_equal(batch_sql("INSERT INTO t VALUES (1, 'x'); INSERT INTO t VALUES (2, 'x'); "
                               "INSERT INTO t VALUES (3, 'z')",
                               NULL, &done),
                     LSQ_CONSTRAINT);
    assert_int_equal(done, 1);
    assert_int_equal(last_error.statement, 2);
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_UNIQUE);
    assert_int_equal(rows(), 1);
}

static void offsets_count_from_the_text(void **state) {
    static const char sql[] = "SELECT 1; SELECT 2; SELECT absent; SELECT 4";
    size_t done = 99;

    (void)state;
    assert_int_equal(batch_sql(sql, NULL, &done), LSQ_SQL);
    assert_int_equal(done, 2);
    assert_int_equal(last_error.statement, 3);
    assert_int_equal(last_error.sql_offset, strstr(sql, "absent") - sql);
}

static void statements_see_what_was_before(void **state) {
    size_t done = 0;

    (void)state;
    assert_int_equal(batch_sql("CREATE TABLE u (a); INSERT INTO u VALUES (7); "
                               "ALTER TABLE u ADD COLUMN b DEFAULT 8; SELECT * FROM u; "
                               "DROP TABLE u",
                               NULL, &done),
                     LSQ_OK);
    assert_int_equal(done, 5);
    assert_non_null(strstr(seen, "(a,b)78r=4:0"));
}

static void parameters_in_text_are_refused(void **state) {
    size_t done = 99;

    (void)state;
    assert_int_equal(batch_sql("SELECT 1; SELECT ?1", NULL, &done), LSQ_PARAMETERS);
    assert_int_equal(done, 1);
    assert_int_equal(last_error.statement, 2);
}

/* ---- As one transaction ---- */

static void as_one_all_or_nothing(void **state) {
    size_t done = 99;

    (void)state;
    assert_int_equal(batch_sql("INSERT INTO t VALUES (1, 'x'); CREATE TABLE u (a); "
                               "INSERT INTO t VALUES (2, 'x')",
                               &as_one, &done),
                     LSQ_CONSTRAINT);
    assert_int_equal(done, 2);
    assert_int_equal(last_error.statement, 3);
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    assert_int_equal(rows(), 0);
    expect(LSQ_SQL, conn, "SELECT * FROM u");
    assert_int_equal(
        batch_sql("INSERT INTO t VALUES (1, 'x'); INSERT INTO t VALUES (2, 'y')", &as_one, &done),
        LSQ_OK);
    assert_int_equal(done, 2);
    assert_int_equal(rows(), 2);
    run(conn, "BEGIN"); /* none was left open */
    run(conn, "COMMIT");
}

static void as_one_inside_a_transaction(void **state) {
    size_t done = 99;

    (void)state;
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (1, 'x')");
    assert_int_equal(batch_sql("INSERT INTO t VALUES (2, 'y')", &as_one, &done),
                     LSQ_IN_TRANSACTION);
    assert_int_equal(done, 0);
    assert_int_equal(batch_sql("INSERT INTO t VALUES (2, 'y')", NULL, &done), LSQ_OK);
    run(conn, "COMMIT");
    assert_int_equal(rows(), 2);
}

static void as_one_holds_no_transaction_words(void **state) {
    static const char *const words[] = {"BEGIN", "COMMIT", "END", "ROLLBACK", "BEGIN IMMEDIATE"};
    char sql[100];
    size_t done = 99;

    (void)state;
    for (size_t i = 0; i < COUNT(words); i++) {
        snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (1, 'x'); %s", words[i]);
        assert_int_equal(batch_sql(sql, &as_one, &done), LSQ_IN_TRANSACTION);
        assert_int_equal(last_error.statement, 2);
        assert_int_equal(rows(), 0);
    }
    assert_int_equal(batch_sql("SAVEPOINT s; INSERT INTO t VALUES (1, 'x'); ROLLBACK TO s; "
                               "RELEASE s; INSERT INTO t VALUES (2, 'y')",
                               &as_one, &done),
                     LSQ_OK);
    assert_string_equal(ask_rows(conn, "SELECT id FROM t"), "2");
}

/* A statement that rolls the transaction back itself: what came before is gone too. */
static void as_one_with_a_statement_that_rolls_back(void **state) {
    size_t done = 99;

    (void)state;
    assert_int_equal(batch_sql("INSERT INTO t VALUES (1, 'x'); "
                               "INSERT OR ROLLBACK INTO t VALUES (2, 'x'); "
                               "INSERT INTO t VALUES (3, 'z')",
                               &as_one, &done),
                     LSQ_CONSTRAINT);
    assert_int_equal(last_error.statement, 2);
    assert_int_equal(rows(), 0);
    run(conn, "BEGIN");
    run(conn, "COMMIT");
}

static void as_one_whose_commit_fails(void **state) {
    size_t done = 99;

    (void)state;
    run(conn, "CREATE TABLE c (a REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)");
    memset(&last_error, 0x5a, sizeof(last_error));
    assert_int_equal(batch_sql("INSERT INTO c VALUES (9); SELECT 1", &as_one, &done),
                     LSQ_CONSTRAINT);
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_FOREIGN_KEY);
    assert_int_equal(last_error.statement, 0); /* no single statement's fault */
    assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
    assert_int_equal(done, 2);
    assert_int_equal(ask(conn, "SELECT count(*) FROM c"), 0);
    run(conn, "BEGIN");
    run(conn, "COMMIT");
}

static void transaction_words_without_the_flag(void **state) {
    size_t done = 99;
    struct lsq_conn_info info;

    (void)state;
    assert_int_equal(batch_sql("BEGIN; INSERT INTO t VALUES (1, 'x'); COMMIT; BEGIN; "
                               "INSERT INTO t VALUES (2, 'y')",
                               NULL, &done),
                     LSQ_OK);
    assert_int_equal(done, 5);
    assert_int_equal(lsq_conn_info(conn, false, &info, NULL), LSQ_OK);
    assert_false(info.autocommit);
    run(conn, "ROLLBACK");
    assert_int_equal(rows(), 1);
}

/* ---- Items ---- */

static struct lsq_batch_item item(const char *sql, const struct lsq_params *params) {
    struct lsq_batch_item it = {.sql = sql, .len = strlen(sql)};

    if (params != NULL) it.params = *params;
    return it;
}

static void items_have_their_own_parameters(void **state) {
    const struct lsq_name name = {.text = "n", .len = 1};
    const struct lsq_value nine = lsq_int(9);
    struct lsq_batch_item items[4];
    size_t done = 0;

    (void)state;
    items[0] = item("INSERT INTO t VALUES (?1, ?2)", LSQ_PARAMS(lsq_int(1), lsq_text("x", 1)));
    items[1] = item("INSERT INTO t VALUES (?1, ?2)", LSQ_PARAMS(lsq_int(2), lsq_null()));
    items[2] = item("INSERT INTO t (id) VALUES (:n)",
                    &(struct lsq_params){.values = &nine, .names = &name, .count = 1});
    items[3] = item("SELECT id FROM t WHERE id > ?", LSQ_PARAMS(lsq_int(1)));
    seen[0] = '\0';
    assert_int_equal(lsq_batch(conn, items, 4, NULL, &seeing, NULL, &done, &last_error), LSQ_OK);
    assert_int_equal(done, 4);
    assert_string_equal(seen, "()=1:1 ()=2:1 ()=3:1 (id)2r9r=4:0 ");
    assert_int_equal(lsq_batch(conn, items, 0, &as_one, &seeing, NULL, &done, &last_error), LSQ_OK);
    assert_int_equal(done, 0);
    assert_int_equal(lsq_batch(conn, NULL, 0, NULL, NULL, NULL, NULL, NULL), LSQ_OK);
}

static void items_that_fail(void **state) {
    static const struct {
        const char *sql;
        size_t len;
        enum lsq_status want;
    } cases[] = {
        {"garbage", 7, LSQ_SQL},         {"SELECT 1; SELECT 2", 18, LSQ_SQL},
        {NULL, 0, LSQ_BAD_ARGUMENT},     {"SELECT\0 1", 9, LSQ_BAD_ARGUMENT},
        {"SELECT ?", 8, LSQ_PARAMETERS}, {"INSERT INTO t VALUES (1, 1)", 27, LSQ_CONSTRAINT},
    };
    size_t done = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lsq_batch_item items[3];

        items[0] = item("INSERT INTO t VALUES (1, 'x')", NULL);
        items[1] = (struct lsq_batch_item){.sql = cases[i].sql, .len = cases[i].len};
        items[2] = item("INSERT INTO t VALUES (2, 'y')", NULL);
        for (int one = 0; one < 2; one++) {
            run(conn, "DELETE FROM t");
            assert_int_equal(
                lsq_batch(conn, items, 3, one ? &as_one : NULL, NULL, NULL, &done, &last_error),
                cases[i].want);
            assert_int_equal(done, 1);
            assert_int_equal(last_error.statement, 2);
            assert_int_equal(rows(), one ? 0 : 1);
        }
    }
}

static void items_may_be_empty_statements(void **state) {
    struct lsq_batch_item items[2] = {{.sql = "-- c", .len = 4}, {.sql = "SELECT 1", .len = 8}};
    size_t done = 0;

    (void)state;
    assert_int_equal(lsq_batch(conn, items, 2, NULL, NULL, NULL, &done, &last_error), LSQ_OK);
    assert_int_equal(done, 2);
}

static void sink_may_refuse_at_the_end_of_a_statement(void **state) {
    int refuse = 2;
    size_t done = 0;
    static const char sql[] = "INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (2, 2); SELECT 1";

    (void)state;
    seen[0] = '\0';
    assert_int_equal(
        lsq_batch_sql(conn, sql, sizeof(sql) - 1, &as_one, &seeing, &refuse, &done, &last_error),
        LSQ_NOMEM);
    assert_int_equal(last_error.statement, 2);
    assert_int_equal(rows(), 0);
}

/* ---- Stopping: between short statements, too, of which none is long enough to be looked at ---- */

enum { SHORT = 400000 };

static char *short_statements(void) {
    static const char one[] = "SELECT 1;";
    char *sql = malloc(SHORT * (sizeof(one) - 1) + 1);

    for (int i = 0; i < SHORT; i++) memcpy(sql + (size_t)i * 9, one, sizeof(one));
    return sql;
}

static void interrupted_between_short_statements(void **state) {
    struct later later = {.fn = interrupt_conn, .arg = conn, .ms = 50};
    char *sql = short_statements();
    size_t done = 0;
    enum lsq_status st;

    (void)state;
    later_begin(&later);
    st = lsq_batch_sql(conn, sql, strlen(sql), NULL, NULL, NULL, &done, &last_error);
    later_join(&later);
    free(sql);
    assert_int_equal(st, LSQ_INTERRUPTED);
    assert_true(done < SHORT);
    assert_int_equal(last_error.statement, done + 1);
    assert_int_equal(ask(conn, "SELECT 1"), 1);
}

static void timed_out_between_short_statements(void **state) {
    struct lsq_call call = {.timeout = 50, .flags = LSQ_CALL_TRANSACTION};
    struct lsq_batch_item *items = calloc(SHORT, sizeof(*items));
    size_t done = 0;
    enum lsq_status st;

    (void)state;
    for (int i = 0; i < SHORT; i++) items[i] = item("INSERT INTO t (a) VALUES (NULL)", NULL);
    st = lsq_batch(conn, items, SHORT, &call, NULL, NULL, &done, &last_error);
    free(items);
    assert_int_equal(st, LSQ_TIMEOUT);
    assert_true(done < SHORT);
    assert_int_equal(rows(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_memory, close_memory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(statements_run_in_order),
        TEST(nothing_to_run),
        TEST(triggers_hold_semicolons),
        TEST(failure_stops_it_and_keeps_what_ran),
        TEST(offsets_count_from_the_text),
        TEST(statements_see_what_was_before),
        TEST(parameters_in_text_are_refused),
        TEST(as_one_all_or_nothing),
        TEST(as_one_inside_a_transaction),
        TEST(as_one_holds_no_transaction_words),
        TEST(as_one_with_a_statement_that_rolls_back),
        TEST(as_one_whose_commit_fails),
        TEST(transaction_words_without_the_flag),
        TEST(items_have_their_own_parameters),
        TEST(items_that_fail),
        TEST(items_may_be_empty_statements),
        TEST(sink_may_refuse_at_the_end_of_a_statement),
        TEST(interrupted_between_short_statements),
        TEST(timed_out_between_short_statements),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
