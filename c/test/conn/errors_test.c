/* What an error says: which constraint, which table, columns and index; where in the SQL. */
#include <stdio.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct lsq_conn *conn;

static int open_tables(void **state) {
    static const char sql[] =
        "CREATE TABLE p (id INTEGER PRIMARY KEY, n TEXT NOT NULL DEFAULT 'n', u UNIQUE,"
        "  c INTEGER CONSTRAINT positive CHECK (c > 0), a, b);"
        "CREATE UNIQUE INDEX p_a_b ON p (a, b);"
        "CREATE UNIQUE INDEX p_expr ON p (lower(n)) WHERE n <> 'n';"
        "CREATE TABLE w (x, y, PRIMARY KEY (x, y)) WITHOUT ROWID;"
        "CREATE TABLE two (x, y, PRIMARY KEY (x, y));"
        "CREATE TABLE c (p REFERENCES p (id), d CHECK (d <> 'no'));"
        "CREATE TABLE s (i INTEGER, t TEXT) STRICT;"
        "CREATE TABLE \"odd \"\"t\"\"\" (\"a, b\" UNIQUE, \"caf\xc3\xa9\" NOT NULL DEFAULT 1);"
        "CREATE TABLE g (id INTEGER PRIMARY KEY);"
        "CREATE TRIGGER g_no BEFORE INSERT ON g WHEN new.id = 13 BEGIN"
        "  SELECT RAISE(ABORT, 'thirteen is not allowed'); END;"
        "CREATE TEMP TABLE tt (a);"
        "CREATE UNIQUE INDEX temp.tt_a ON tt (a);"
        "INSERT INTO p VALUES (1, 'n', 'u', 1, 'a', 'b'), (2, 'Name', 'v', 1, 'a', 'c');"
        "INSERT INTO w VALUES (1, 2); INSERT INTO two VALUES (1, 2);"
        "INSERT INTO \"odd \"\"t\"\"\" VALUES (1, 1);"
        "INSERT INTO tt VALUES (1);"
        "CREATE TABLE r (p INTEGER REFERENCES p (id) ON UPDATE RESTRICT ON DELETE RESTRICT);"
        "INSERT INTO r VALUES (1);"
        "CREATE TABLE several (a, b UNIQUE, id TEXT PRIMARY KEY);"
        "CREATE UNIQUE INDEX several_one ON several (a) WHERE id > 'm';"
        "CREATE UNIQUE INDEX several_two ON several (a) WHERE id <= 'm';"
        "CREATE UNIQUE INDEX several_b ON several (b);"
        "CREATE UNIQUE INDEX several_id ON several (id) WHERE a = 5;"
        "INSERT INTO several VALUES (1, 1, 'a'), (1, 2, 'z');"
        "ATTACH ':memory:' AS other;"
        "CREATE TABLE both (a, b); CREATE TABLE other.both (a, b);"
        "CREATE UNIQUE INDEX main.both_a ON both (a);"
        "CREATE UNIQUE INDEX other.both_a ON both (a);"
        "CREATE UNIQUE INDEX main.both_b ON both (b);"
        "CREATE UNIQUE INDEX other.both_b_there ON both (b);"
        "INSERT INTO both VALUES (1, 1); INSERT INTO other.both VALUES (1, 1);"
        "CREATE TABLE other.away (a); CREATE UNIQUE INDEX other.away_a ON away (a);"
        "INSERT INTO away VALUES (1);";

    (void)state;
    conn = db_open(":memory:");
    if (lsq_batch_sql(conn, sql, sizeof(sql) - 1, NULL, NULL, NULL, NULL, &last_error) != LSQ_OK)
        fail_msg("%d: %s", last_error.statement, last_error.message);
    return 0;
}

static int close_tables(void **state) {
    (void)state;
    db_close(conn);
    return 0;
}

static const struct {
    const char *sql;
    enum lsq_constraint kind;
    const char *table;
    const char *columns;
    const char *name;
} constraints[] = {
    {"INSERT INTO p (id) VALUES (1)", LSQ_CONSTRAINT_PRIMARY_KEY, "p", "id", ""},
    {"UPDATE p SET id = 1 WHERE id = 2", LSQ_CONSTRAINT_PRIMARY_KEY, "p", "id", ""},
    {"INSERT INTO p (u) VALUES ('u')", LSQ_CONSTRAINT_UNIQUE, "p", "u", ""},
    {"INSERT INTO p (a, b) VALUES ('a', 'b')", LSQ_CONSTRAINT_UNIQUE, "p", "a, b", "p_a_b"},
    {"UPDATE p SET b = 'b' WHERE id = 2", LSQ_CONSTRAINT_UNIQUE, "p", "a, b", "p_a_b"},
    {"INSERT INTO p (n) VALUES ('NAME')", LSQ_CONSTRAINT_UNIQUE, "p", "", "p_expr"},
    {"INSERT INTO p (n) VALUES (NULL)", LSQ_CONSTRAINT_NOT_NULL, "p", "n", ""},
    {"INSERT INTO p (c) VALUES (-1)", LSQ_CONSTRAINT_CHECK, "", "", "positive"},
    {"INSERT INTO c (d) VALUES ('no')", LSQ_CONSTRAINT_CHECK, "", "", "d <> 'no'"},
    {"INSERT INTO w VALUES (1, 2)", LSQ_CONSTRAINT_PRIMARY_KEY, "w", "x, y", ""},
    {"INSERT INTO w VALUES (1, NULL)", LSQ_CONSTRAINT_NOT_NULL, "w", "y", ""},
    {"INSERT INTO two VALUES (1, 2)", LSQ_CONSTRAINT_PRIMARY_KEY, "two", "x, y", ""},
    {"INSERT INTO c (p) VALUES (99)", LSQ_CONSTRAINT_FOREIGN_KEY, "", "", ""},
    {"DELETE FROM p WHERE id = 1", LSQ_CONSTRAINT_FOREIGN_KEY, "", "", ""},
    {"UPDATE p SET id = 3 WHERE id = 1", LSQ_CONSTRAINT_FOREIGN_KEY, "", "", ""},
    {"INSERT INTO s VALUES ('text', 't')", LSQ_CONSTRAINT_OTHER, "", "", ""},
    {"INSERT INTO g VALUES (13)", LSQ_CONSTRAINT_OTHER, "", "", ""},
    {"INSERT INTO \"odd \"\"t\"\"\" VALUES (1, 1)", LSQ_CONSTRAINT_UNIQUE, "odd \"t\"", "a, b", ""},
    {"INSERT INTO \"odd \"\"t\"\"\" VALUES (2, NULL)", LSQ_CONSTRAINT_NOT_NULL, "odd \"t\"",
     "caf\xc3\xa9", ""},
    {"INSERT INTO tt VALUES (1)", LSQ_CONSTRAINT_UNIQUE, "tt", "a", "tt_a"},
    /* What the engine's words leave open has no name. */
    {"INSERT INTO several (a, id) VALUES (1, 'b')", LSQ_CONSTRAINT_UNIQUE, "several", "a", ""},
    {"INSERT INTO several (b, id) VALUES (1, 'b')", LSQ_CONSTRAINT_UNIQUE, "several", "b", ""},
    {"INSERT INTO several (id) VALUES ('a')", LSQ_CONSTRAINT_PRIMARY_KEY, "several", "id", ""},
    {"INSERT INTO both (a) VALUES (1)", LSQ_CONSTRAINT_UNIQUE, "both", "a", "both_a"},
    {"INSERT INTO other.both (a) VALUES (1)", LSQ_CONSTRAINT_UNIQUE, "both", "a", "both_a"},
    {"INSERT INTO other.both (b) VALUES (1)", LSQ_CONSTRAINT_UNIQUE, "both", "b", ""},
    {"INSERT INTO away VALUES (1)", LSQ_CONSTRAINT_UNIQUE, "away", "a", "away_a"},
};

static void expect_constraint(size_t i, const struct lsq_error *err) {
    if (err->status != LSQ_CONSTRAINT || err->constraint != constraints[i].kind)
        fail_msg("%s: %s, kind %d", constraints[i].sql, err->message, (int)err->constraint);
    /* The two of STRICT and RAISE promise only their kind. */
    if (constraints[i].kind == LSQ_CONSTRAINT_OTHER) return;
    if (strcmp(err->table, constraints[i].table) != 0 ||
        strcmp(err->columns, constraints[i].columns) != 0 ||
        strcmp(err->constraint_name, constraints[i].name) != 0)
        fail_msg("%s: table \"%s\", columns \"%s\", name \"%s\"", constraints[i].sql, err->table,
                 err->columns, err->constraint_name);
}

static void constraints_are_told_apart(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(constraints); i++) {
        for (int round = 0; round < 2; round++) { /* compiled, and from the cache */
            (void)exec(conn, constraints[i].sql, NULL, NULL, NULL);
            expect_constraint(i, &last_error);
            assert_int_equal(last_error.engine_code & 0xff, 19);
            assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
            assert_false(last_error.transient);
            assert_int_equal(last_error.statement, 0);
        }
    }
    assert_int_equal(ask(conn, "SELECT count(*) FROM p"), 2);
}

/* By every way to run a statement the error is the same. */
static void every_way_tells_the_same(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(constraints); i++) {
        const char *sql = constraints[i].sql;
        struct lsq_batch_item item = {.sql = sql, .len = strlen(sql)};
        struct lsq_stmt *stmt = NULL;
        bool end;

        (void)lsq_batch(conn, &item, 1, NULL, NULL, NULL, NULL, &last_error);
        expect_constraint(i, &last_error);
        assert_int_equal(last_error.statement, 1);
        (void)lsq_batch_sql(conn, sql, strlen(sql), NULL, NULL, NULL, NULL, &last_error);
        expect_constraint(i, &last_error);
        assert_int_equal(lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, NULL), LSQ_OK);
        (void)lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, &last_error);
        expect_constraint(i, &last_error);
        assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
        (void)lsq_stmt_fetch(stmt, 1, NULL, NULL, NULL, &end, &last_error);
        expect_constraint(i, &last_error);
        lsq_stmt_free(stmt);
    }
}

static void triggers_tell_their_words(void **state) {
    (void)state;
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO g VALUES (13)");
    assert_string_equal(last_error.message, "thirteen is not allowed");
}

static void long_lists_of_columns_are_cut(void **state) {
    char sql[4000] = "CREATE TABLE wide (";
    char insert[2000] = "INSERT INTO wide VALUES (1";

    (void)state;
    for (int i = 0; i < 40; i++) sprintf(sql + strlen(sql), "a_column_with_a_long_name_%02d, ", i);
    strcat(sql, "UNIQUE (a_column_with_a_long_name_00");
    for (int i = 1; i < 40; i++) sprintf(sql + strlen(sql), ", a_column_with_a_long_name_%02d", i);
    strcat(sql, "))");
    for (int i = 1; i < 40; i++) strcat(insert, ", 1");
    strcat(insert, ")");
    run(conn, sql);
    run(conn, insert);
    expect(LSQ_CONSTRAINT, conn, insert);
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_UNIQUE);
    assert_string_equal(last_error.table, "wide");
    assert_memory_equal(last_error.columns, "a_column_with_a_long_name_00, a_column", 38);
    assert_true(strlen(last_error.columns) < sizeof(last_error.columns));
}

/* ---- Other errors ---- */

static void offsets_say_where(void **state) {
    static const struct {
        const char *sql;
        const char *at; /* NULL: nowhere */
    } cases[] = {
        {"SELECT absent FROM p", "absent"},
        {"SELECT id FROM p WHERE nowhere = 1", "nowhere"},
        {"SELECT id, FROM p", "FROM"},
        {"SELEC 1", "SELEC"},
        {"SELECT 1 FROM p WHERE id = ) 2", ")"},
        {"SELECT 'caf\xc3\xa9', absent FROM p", "absent"},
        {"SELECT (1", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *at = cases[i].at == NULL ? NULL : strstr(cases[i].sql, cases[i].at);
        int want = at == NULL ? -1 : (int)(at - cases[i].sql);

        expect(LSQ_SQL, conn, cases[i].sql);
        if (last_error.sql_offset != want)
            fail_msg("%s: offset %d (%s)", cases[i].sql, last_error.sql_offset, last_error.message);
        assert_int_equal(last_error.engine_code & 0xff, 1);
    }
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO p (id) VALUES (1)");
    assert_int_equal(last_error.sql_offset, -1);
}

static void statuses_of_common_failures(void **state) {
    static const struct {
        const char *sql;
        enum lsq_status want;
    } cases[] = {
        {"SELECT * FROM absent", LSQ_SQL},
        {"SELECT absent()", LSQ_SQL},
        {"INSERT INTO p (absent) VALUES (1)", LSQ_SQL},
        {"CREATE TABLE p (a)", LSQ_SQL},
        {"DROP TABLE absent", LSQ_SQL},
        {"INSERT INTO g VALUES ('text')", LSQ_MISMATCH},
        {"SELECT zeroblob(2000000000)", LSQ_TOO_BIG},
        {"SELECT abs(-9223372036854775807 - 1)", LSQ_ERROR},
        {"SELECT json_extract('{', '$.a')", LSQ_ERROR},
        {"SELECT load_extension('x')", LSQ_SQL}, /* so the engine tells it */
        {"COMMIT", LSQ_ERROR},
        {"ROLLBACK", LSQ_ERROR},
        {"RELEASE absent", LSQ_ERROR},
        {"DETACH absent", LSQ_ERROR},
        {"ATTACH '/missing/folder/x' AS x", LSQ_CANNOT_OPEN},
        {"INSERT INTO sqlite_schema VALUES (1, 2, 3, 4, 5)", LSQ_SQL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum lsq_status st = exec(conn, cases[i].sql, NULL, NULL, NULL);

        if (st != cases[i].want)
            fail_msg("%s: %s (%s)", cases[i].sql, lsq_status_name(st), last_error.message);
        if (last_error.status != st) fail_msg("%s: the status is not the answer", cases[i].sql);
        if (last_error.message[0] == '\0') fail_msg("%s: no message", cases[i].sql);
        assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_NONE);
    }
}

static void long_messages_are_cut(void **state) {
    char sql[3000] = "SELECT \"";

    (void)state;
    for (size_t i = 8; i < 2000; i += 2) memcpy(sql + i, "\xc3\xa9", 2);
    strcpy(sql + 2000, "\"");
    expect(LSQ_SQL, conn, sql);
    assert_true(strlen(last_error.message) >= sizeof(last_error.message) - 2);
    assert_non_null(strstr(last_error.message, "no such column"));
}

static void error_outlives_its_connection(void **state) {
    struct lsq_conn *gone = db_open(":memory:");
    struct lsq_error err;

    (void)state;
    run(gone, "CREATE TABLE t (a UNIQUE)");
    run(gone, "INSERT INTO t VALUES (1)");
    assert_int_equal(
        lsq_exec(gone, "INSERT INTO t VALUES (1)", 24, NULL, NULL, NULL, NULL, NULL, &err),
        LSQ_CONSTRAINT);
    db_close(gone);
    assert_string_equal(err.table, "t");
    assert_string_equal(err.message, "UNIQUE constraint failed: t.a");
}

static void nobody_wants_the_error(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(constraints); i++)
        assert_int_equal(lsq_exec(conn, constraints[i].sql, strlen(constraints[i].sql), NULL, NULL,
                                  NULL, NULL, NULL, NULL),
                         LSQ_CONSTRAINT);
    assert_int_equal(lsq_batch_sql(conn, "SELECT 1; garbage", 17, NULL, NULL, NULL, NULL, NULL),
                     LSQ_SQL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_tables, close_tables)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(constraints_are_told_apart), TEST(every_way_tells_the_same),
        TEST(triggers_tell_their_words),  TEST(long_lists_of_columns_are_cut),
        TEST(offsets_say_where),          TEST(statuses_of_common_failures),
        TEST(long_messages_are_cut),      TEST(error_outlives_its_connection),
        TEST(nobody_wants_the_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
