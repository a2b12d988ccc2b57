/* Declared types with the rows: asked for, and only then. */
#include <stdio.h>

#include "../support/db.h"

static struct lsq_conn *conn;
static char seen[512]; /* "columns(n)", "types(a,-)" and "row", in their order */

static void note(const char *text) { strncat(seen, text, sizeof(seen) - strlen(seen) - 1); }

static bool note_columns(void *ctx, size_t count, const char *const *names) {
    char text[32];

    (void)ctx, (void)names;
    snprintf(text, sizeof(text), "columns(%d) ", (int)count);
    note(text);
    return true;
}

static bool note_types(void *ctx, size_t count, const char *const *types) {
    (void)ctx;
    note("types(");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) note(",");
        note(types[i] == NULL ? "-" : types[i]);
    }
    note(") ");
    return true;
}

static bool fail_types(void *ctx, size_t count, const char *const *types) {
    (void)ctx, (void)count, (void)types;
    return false;
}

static bool any_null(void *ctx) { return (void)ctx, true; }
static bool any_integer(void *ctx, int64_t value) { return (void)ctx, (void)value, true; }
static bool any_real(void *ctx, double value) { return (void)ctx, (void)value, true; }
static bool any_text(void *ctx, const char *text, size_t len) {
    return (void)ctx, (void)text, (void)len, true;
}
static bool any_blob(void *ctx, const void *data, size_t len) {
    return (void)ctx, (void)data, (void)len, true;
}
static bool note_row(void *ctx) {
    (void)ctx;
    note("row ");
    return true;
}

static struct lsq_sink sink_with(bool (*types)(void *, size_t, const char *const *)) {
    return (struct lsq_sink){
        .columns = note_columns,
        .null = any_null,
        .integer = any_integer,
        .real = any_real,
        .text = any_text,
        .blob = any_blob,
        .row_end = note_row,
        .types = types,
    };
}

static enum lsq_status exec_types(const char *sql, unsigned flags) {
    struct lsq_sink sink = sink_with(note_types);
    struct lsq_call call = {.flags = flags};

    seen[0] = '\0';
    return lsq_exec(conn, sql, strlen(sql), NULL, &call, &sink, NULL, NULL, &last_error);
}

static void types_of(const char *sql, const char *expected) {
    if (exec_types(sql, LSQ_CALL_TYPES) != LSQ_OK) fail_msg("%s: %s", sql, last_error.message);
    if (strcmp(seen, expected) != 0) fail_msg("%s\n  gave %s, not %s", sql, seen, expected);
}

static int open_one(void **state) {
    (void)state;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, d TEXT_DECIMAL, n NUMERIC(10, 2), x)");
    run(conn, "INSERT INTO t VALUES (1, '1.5', 2, 3)");
    return 0;
}

static int close_one(void **state) {
    db_close(conn);
    return db_forget(state);
}

static void of_columns_and_expressions(void **state) {
    (void)state;
    types_of("SELECT id, d, n, x, d || '', rowid FROM t",
             "columns(6) types(INTEGER,TEXT_DECIMAL,NUMERIC(10, 2),-,-,INTEGER) row ");
    types_of("SELECT d FROM (SELECT d FROM t)", "columns(1) types(TEXT_DECIMAL) row ");
    types_of("SELECT d FROM t WHERE id = 9", "columns(1) types(TEXT_DECIMAL) ");
    types_of("SELECT (SELECT n FROM t)", "columns(1) types(NUMERIC(10, 2)) row ");
    types_of("SELECT 1", "columns(1) types(-) row ");
    types_of("INSERT INTO t (d) VALUES ('2') RETURNING d, x",
             "columns(2) types(TEXT_DECIMAL,-) row ");
    types_of("INSERT INTO t (d) VALUES ('2')", "columns(0) types() ");
    types_of("PRAGMA busy_timeout", "columns(1) types(-) row ");
    types_of("PRAGMA user_version", "columns(1) types(-) row ");
}

static void only_where_asked_for(void **state) {
    struct lsq_sink without = sink_with(NULL);
    struct lsq_call call = {.flags = LSQ_CALL_TYPES};
    static const char sql[] = "SELECT d FROM t";

    (void)state;
    assert_int_equal(exec_types(sql, 0), LSQ_OK);
    assert_string_equal(seen, "columns(1) row ");
    seen[0] = '\0';
    assert_int_equal(
        lsq_exec(conn, sql, sizeof(sql) - 1, NULL, &call, &without, NULL, NULL, &last_error),
        LSQ_OK);
    assert_string_equal(seen, "columns(1) row ");
    assert_int_equal(lsq_exec(conn, sql, sizeof(sql) - 1, NULL, &call, NULL, NULL, NULL, NULL),
                     LSQ_OK);
}

static void many_columns(void **state) {
    char sql[1024] = "SELECT d";

    (void)state;
    for (int i = 1; i < 40; i++) strcat(sql, ", d");
    strcat(sql, " FROM t");
    assert_int_equal(exec_types(sql, LSQ_CALL_TYPES), LSQ_OK);
    assert_non_null(strstr(seen, "columns(40) types(TEXT_DECIMAL,TEXT_DECIMAL,"));
}

static void a_sink_without_room(void **state) {
    struct lsq_sink sink = sink_with(fail_types);
    struct lsq_call call = {.flags = LSQ_CALL_TYPES};

    (void)state;
    assert_int_equal(lsq_exec(conn, "SELECT 1", 8, NULL, &call, &sink, NULL, NULL, &last_error),
                     LSQ_NOMEM);
    run(conn, "SELECT 1");
}

/* A statement that is in the cache knows of a change of the schema when it runs. */
static void after_a_change_of_the_schema(void **state) {
    struct lsq_conn *other = db_open(db_file(conn));

    (void)state;
    for (int i = 0; i < 3; i++) types_of("SELECT d FROM t", "columns(1) types(TEXT_DECIMAL) row ");
    run(conn, "ALTER TABLE t RENAME TO old");
    run(conn, "CREATE TABLE t (d TEXT_DATE)");
    types_of("SELECT d FROM t", "columns(1) types(TEXT_DATE) ");
    run(other, "DROP TABLE t");
    run(other, "CREATE TABLE t (d BLOB_UUID)");
    types_of("SELECT d FROM t", "columns(1) types(BLOB_UUID) ");
    db_close(other);
}

static void on_the_fast_path(void **state) {
    static const char sql[] = "SELECT d FROM t WHERE id = 1";
    enum lsq_status st = LSQ_WOULD_BLOCK;

    (void)state;
    for (int i = 0; i < 3000 && st == LSQ_WOULD_BLOCK; i++) {
        run(conn, sql);
        st = exec_types(sql, LSQ_CALL_TRY | LSQ_CALL_TYPES);
    }
    assert_int_equal(st, LSQ_OK);
    assert_string_equal(seen, "columns(1) types(TEXT_DECIMAL) row ");
}

static void of_statements_and_cursors(void **state) {
    static const char *const texts[] = {"SELECT d, 1 FROM t UNION ALL SELECT d, 2 FROM t",
                                        "INSERT INTO t (d) VALUES (3), (4) RETURNING d, 1"};
    struct lsq_sink sink = sink_with(note_types);
    struct lsq_call call = {.flags = LSQ_CALL_TYPES};
    struct lsq_stmt *stmt;
    bool end;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lsq_stmt_new(&stmt, conn, texts[i], strlen(texts[i]), NULL, NULL), LSQ_OK);
        seen[0] = '\0';
        assert_int_equal(lsq_stmt_exec(stmt, NULL, &call, &sink, NULL, NULL, NULL), LSQ_OK);
        assert_string_equal(seen, "columns(2) types(TEXT_DECIMAL,-) row row ");
        assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
        seen[0] = '\0';
        for (int fetch = 0; fetch < 2; fetch++)
            assert_int_equal(lsq_stmt_fetch(stmt, 1, &call, &sink, NULL, &end, NULL), LSQ_OK);
        assert_string_equal(seen, "columns(2) types(TEXT_DECIMAL,-) row "
                                  "columns(2) types(TEXT_DECIMAL,-) row ");
        lsq_stmt_free(stmt);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(of_columns_and_expressions),
        TEST(only_where_asked_for),
        TEST(many_columns),
        TEST(a_sink_without_room),
        TEST(after_a_change_of_the_schema),
        TEST(on_the_fast_path),
        TEST(of_statements_and_cursors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
