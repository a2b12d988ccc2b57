/* Parameters: each type comes back as it went in; by position and by name; what does not fit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define TEXT(literal) lsq_text(literal, sizeof(literal) - 1)

static struct lsq_conn *conn;
static struct lsq_result *res;

static int open_memory(void **state) {
    (void)state;
    conn = db_open(":memory:");
    return 0;
}

static int close_memory(void **state) {
    (void)state;
    lsq_result_free(res);
    res = NULL;
    db_close(conn);
    return 0;
}

static enum lsq_status query(const char *sql, const struct lsq_params *params) {
    lsq_result_free(res);
    res = NULL;
    return lsq_query(&res, conn, sql, params, &last_error);
}

static enum lsq_status query_named(const char *sql, const struct lsq_value *values,
                                   const char *const *names, size_t count) {
    struct lsq_name list[8];
    struct lsq_params params = {.values = values, .names = list, .count = count};

    assert_true(count <= COUNT(list));
    for (size_t i = 0; i < count; i++)
        list[i] = (struct lsq_name){.text = names[i], .len = strlen(names[i])};
    return query(sql, &params);
}

static void same(struct lsq_value a, struct lsq_value b) {
    assert_int_equal(a.type, b.type);
    if (a.type == LSQ_TYPE_INTEGER) assert_true(a.as.integer == b.as.integer);
    if (a.type == LSQ_TYPE_REAL) assert_true(memcmp(&a.as.real, &b.as.real, sizeof(double)) == 0);
    if (a.type < LSQ_TYPE_TEXT) return;
    assert_int_equal(a.as.bytes.len, b.as.bytes.len);
    if (a.as.bytes.len > 0) assert_memory_equal(a.as.bytes.data, b.as.bytes.data, a.as.bytes.len);
}

/* ---- Values ---- */

static const char long_text[] =
    "a text that is longer than what an engine might keep on its stack, "
    "with \xe2\x82\xac and \xf0\x9f\x98\x80 in it";

static void every_value_comes_back_as_it_went_in(void **state) {
    const struct lsq_value values[] = {
        lsq_null(),
        lsq_int(0),
        lsq_int(-1),
        lsq_int(INT64_MAX),
        lsq_int(INT64_MIN),
        lsq_int(INT32_MIN),
        lsq_real(0.1),
        lsq_real(1.0), /* stays a real */
        lsq_real(1e308),
        lsq_real(-5e-324),
        lsq_real(INFINITY),
        lsq_real(-INFINITY),
        TEXT(""),
        TEXT("text"),
        TEXT("a\0b"),
        TEXT("\0"),
        TEXT(long_text),
        TEXT("\xff\xfe not UTF-8 \xc3"),
        lsq_blob("", 0),
        lsq_blob("\0\1\2\xff", 4),
        lsq_blob(long_text, sizeof(long_text)),
    };
    static const char *const types[] = {"null", "integer", "real", "text", "blob"};

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    for (size_t i = 0; i < COUNT(values); i++) {
        struct lsq_params params = {.values = &values[i], .count = 1};

        assert_int_equal(query("SELECT ?1, typeof(?1)", &params), LSQ_OK);
        same(lsq_result_value(res, 0, 0), values[i]);
        assert_string_equal(lsq_result_text(res, 0, 1), types[values[i].type]);
        run(conn, "DELETE FROM t");
        assert_int_equal(query("INSERT INTO t VALUES (?)", &params), LSQ_OK);
        assert_int_equal(query("SELECT a, typeof(a) FROM t", NULL), LSQ_OK);
        same(lsq_result_value(res, 0, 0), values[i]);
        assert_string_equal(lsq_result_text(res, 0, 1), types[values[i].type]);
        assert_int_equal(query("SELECT count(*) FROM t WHERE a IS ?", &params), LSQ_OK);
        assert_int_equal(lsq_result_int(res, 0, 0), 1);
    }
}

static void nowhere_is_empty_not_null(void **state) {
    (void)state;
    assert_int_equal(query("SELECT typeof(?1), length(?1), typeof(?2), length(?2)",
                           LSQ_PARAMS(lsq_text(NULL, 0), lsq_blob(NULL, 0))),
                     LSQ_OK);
    assert_string_equal(lsq_result_text(res, 0, 0), "text");
    assert_int_equal(lsq_result_value(res, 0, 1).type, LSQ_TYPE_INTEGER);
    assert_string_equal(lsq_result_text(res, 0, 2), "blob");
    assert_int_equal(lsq_result_int(res, 0, 3), 0);
}

/* The engine would silently make a NULL of it. */
static void not_a_number_is_refused(void **state) {
    (void)state;
    assert_int_equal(query("SELECT ?1, ?2", LSQ_PARAMS(lsq_int(1), lsq_real(NAN))), LSQ_PARAMETERS);
    assert_non_null(strstr(last_error.message, "parameter 2"));
    assert_int_equal(query("SELECT ?1", LSQ_PARAMS(lsq_real(-NAN))), LSQ_PARAMETERS);
}

static void unknown_type_is_refused(void **state) {
    struct lsq_value odd = {.type = (enum lsq_type)77};

    (void)state;
    assert_int_equal(query("SELECT ?1", LSQ_PARAMS(odd)), LSQ_PARAMETERS);
    assert_int_equal(query("SELECT ?1", LSQ_PARAMS(lsq_int(5))), LSQ_OK);
}

static void text_stands_where_its_length_says(void **state) {
    (void)state;
    assert_int_equal(
        query("SELECT ?1, length(?2)", LSQ_PARAMS(lsq_text("abcdef", 3), lsq_text("abcdef", 0))),
        LSQ_OK);
    assert_string_equal(lsq_result_text(res, 0, 0), "abc");
    assert_int_equal(lsq_result_int(res, 0, 1), 0);
}

/* What was borrowed is forgotten: a statement that runs again from the cache reads nothing old. */
static void parameters_are_not_kept(void **state) {
    static const char sql[] = "SELECT ?1 || ?2";
    char *text = strdup("gone");

    (void)state;
    assert_int_equal(query(sql, LSQ_PARAMS(lsq_text(text, 4), TEXT("!"))), LSQ_OK);
    memset(text, 'x', 4);
    free(text);
    assert_string_equal(lsq_result_text(res, 0, 0), "gone!");
    assert_int_equal(query(sql, LSQ_PARAMS(TEXT("new"), lsq_null())), LSQ_OK);
    assert_int_equal(lsq_result_value(res, 0, 0).type, LSQ_TYPE_NULL);
    assert_int_equal(query(sql, LSQ_PARAMS(TEXT("only one"))), LSQ_PARAMETERS);
    assert_int_equal(query(sql, LSQ_PARAMS(TEXT("a"), TEXT("b"))), LSQ_OK);
    assert_string_equal(lsq_result_text(res, 0, 0), "ab");
}

/* ---- How many ---- */

static void as_many_as_the_statement_has(void **state) {
    static const struct {
        const char *sql;
        size_t count;
        enum lsq_status want;
    } cases[] = {
        {"SELECT 1", 0, LSQ_OK},
        {"SELECT 1", 1, LSQ_PARAMETERS},
        {"SELECT ?", 0, LSQ_PARAMETERS},
        {"SELECT ?", 1, LSQ_OK},
        {"SELECT ?, ?", 1, LSQ_PARAMETERS},
        {"SELECT ?, ?", 2, LSQ_OK},
        {"SELECT ?, ?", 3, LSQ_PARAMETERS},
        {"SELECT ?1, ?1", 1, LSQ_OK},
        {"SELECT ?3", 3, LSQ_OK}, /* the largest index */
        {"SELECT ?3", 1, LSQ_PARAMETERS},
        {"SELECT :a, :b, :a", 2, LSQ_OK},
        {"SELECT :a, @a, $a", 3, LSQ_OK},
        {"-- nothing", 0, LSQ_OK},
        {"-- nothing", 1, LSQ_PARAMETERS},
    };
    struct lsq_value values[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) values[i] = lsq_int((int64_t)i);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lsq_params params = {.values = values, .count = cases[i].count};

        if (query(cases[i].sql, &params) != cases[i].want)
            fail_msg("%s with %zu", cases[i].sql, cases[i].count);
    }
    assert_int_equal(query("SELECT ?, ?", LSQ_PARAMS(lsq_int(1))), LSQ_PARAMETERS);
    assert_string_equal(last_error.message, "the statement has 2 parameters, and 1 was given");
    assert_int_equal(query("SELECT ?", NULL), LSQ_PARAMETERS);
    assert_string_equal(last_error.message, "the statement has 1 parameter, and 0 were given");
}

static void many_parameters(void **state) {
    enum { MANY = 2000 };
    static struct lsq_value values[MANY];
    static char sql[MANY * 4 + 20];
    struct lsq_params params = {.values = values, .count = MANY};
    char *at = sql + sprintf(sql, "SELECT ?");

    (void)state;
    for (int i = 0; i < MANY; i++) {
        values[i] = lsq_int(i);
        if (i > 0) at += sprintf(at, "%s", i % 100 == 0 ? " + ?" : "+?");
        if (i == 500 || i == 1000 || i == 1500) at += sprintf(at, ",0");
    }
    assert_int_equal(query(sql, &params), LSQ_OK);
    assert_int_equal(lsq_result_columns(res), 4);
    assert_int_equal(lsq_result_int(res, 0, 0), 500 * 501 / 2);
}

/* ---- Names ---- */

static void names_with_and_without_prefix(void **state) {
    static const char *const spellings[][3] = {
        {"a", "b", "c"}, {":a", "@b", "$c"}, {":a", "b", "c"}, {"a", "@b", "$c"}};
    const struct lsq_value values[] = {lsq_int(1), TEXT("two"), lsq_real(3.5)};

    (void)state;
    for (size_t i = 0; i < COUNT(spellings); i++) {
        assert_int_equal(query_named("SELECT :a, @b, $c, :a", values, spellings[i], 3), LSQ_OK);
        assert_int_equal(lsq_result_int(res, 0, 0), 1);
        assert_string_equal(lsq_result_text(res, 0, 1), "two");
        assert_true(lsq_result_real(res, 0, 2) == 3.5);
        assert_int_equal(lsq_result_int(res, 0, 3), 1);
    }
}

static void names_that_are_not_there(void **state) {
    const struct lsq_value values[] = {lsq_int(1), lsq_int(2), lsq_int(3)};
    static const struct {
        const char *sql;
        const char *names[3];
        size_t count;
        enum lsq_status want;
    } cases[] = {
        {"SELECT :a", {"a", "other", "third"}, 3, LSQ_OK}, /* passed over */
        {"SELECT 1", {"a", "b", "c"}, 3, LSQ_OK},
        {"SELECT :a, :b", {"a"}, 1, LSQ_PARAMETERS},
        {"SELECT :a", {"b"}, 1, LSQ_PARAMETERS},
        {"SELECT :a", {"A"}, 1, LSQ_PARAMETERS}, /* the case counts */
        {"SELECT :a", {"@a"}, 1, LSQ_PARAMETERS},
        {"SELECT :a", {"$a"}, 1, LSQ_PARAMETERS},
        {"SELECT :abc", {"ab"}, 1, LSQ_PARAMETERS},
        {"SELECT :ab", {"abc"}, 1, LSQ_PARAMETERS},
        {"SELECT :a", {""}, 1, LSQ_PARAMETERS},
        {"SELECT :a", {":"}, 1, LSQ_PARAMETERS},
        {"SELECT ?, :a", {"a"}, 1, LSQ_PARAMETERS}, /* one has no name */
        {"SELECT ?1", {"1"}, 1, LSQ_PARAMETERS},
        {"SELECT :caf\xc3\xa9", {"caf\xc3\xa9"}, 1, LSQ_OK},
        {"-- nothing", {"a"}, 1, LSQ_OK},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum lsq_status st = query_named(cases[i].sql, values, cases[i].names, cases[i].count);

        if (st != cases[i].want) fail_msg("%s: %s", cases[i].sql, lsq_status_name(st));
    }
    assert_int_equal(query_named("SELECT :a, :missing", values, cases[0].names, 1), LSQ_PARAMETERS);
    assert_non_null(strstr(last_error.message, ":missing"));
}

static void first_of_equal_names_is_taken(void **state) {
    static const char *const names[] = {"a", "a", ":a"};
    const struct lsq_value values[] = {lsq_int(1), lsq_int(2), lsq_int(3)};

    (void)state;
    assert_int_equal(query_named("SELECT :a", values, names, 3), LSQ_OK);
    assert_int_equal(lsq_result_int(res, 0, 0), 1);
}

static void names_hold_a_length(void **state) {
    const struct lsq_value values[] = {lsq_int(1)};
    const struct lsq_name name = {.text = "abc", .len = 2};
    struct lsq_params params = {.values = values, .names = &name, .count = 1};

    (void)state;
    assert_int_equal(query("SELECT :ab", &params), LSQ_OK);
    assert_int_equal(query("SELECT :abc", &params), LSQ_PARAMETERS);
}

/* ---- Limits and texts that are none ---- */

static void too_big_for_the_connection(void **state) {
    static char big[2000];
    struct lsq_config cfg = db_config(":memory:");

    (void)state;
    memset(big, 'x', sizeof(big));
    db_close(conn);
    cfg.max_length = 1000;
    conn = db_open_as(&cfg);
    assert_int_equal(query("SELECT length(?1)", LSQ_PARAMS(lsq_text(big, 1000))), LSQ_OK);
    assert_int_equal(lsq_result_int(res, 0, 0), 1000);
    assert_int_equal(query("SELECT length(?1)", LSQ_PARAMS(lsq_text(big, 1001))), LSQ_TOO_BIG);
    assert_non_null(strstr(last_error.message, "parameter 1"));
    assert_int_equal(query("SELECT ?1", LSQ_PARAMS(lsq_blob(big, 1001))), LSQ_TOO_BIG);
    assert_int_equal(query("SELECT ?1 || ?1", LSQ_PARAMS(lsq_text(big, 600))), LSQ_TOO_BIG);
    assert_int_equal(query("SELECT zeroblob(2000)", NULL), LSQ_TOO_BIG);
    assert_int_equal(query("SELECT 1", LSQ_PARAMS(lsq_int(1))), LSQ_PARAMETERS);
    assert_int_equal(query("SELECT 1", NULL), LSQ_OK);
}

static void lengths_beyond_the_engine_are_too_big(void **state) {
    (void)state;
    assert_int_equal(query("SELECT ?1", LSQ_PARAMS(lsq_text("x", (size_t)INT32_MAX + 10))),
                     LSQ_TOO_BIG);
    assert_int_equal(query("SELECT ?1", LSQ_PARAMS(lsq_blob("x", SIZE_MAX / 2))), LSQ_TOO_BIG);
}

static void sql_is_text(void **state) {
    static const struct {
        const char *sql;
        size_t len;
    } cases[] = {
        {"SELECT 1\0", 9},
        {"\0", 1},
        {"SELECT '\0'", 10},
        {"SELECT '\xff'", 10},
        {"SELECT '\xed\xa0\x80'", 12},
        {NULL, 0},
        {NULL, 5},
    };
    struct lsq_stmt *stmt = NULL;
    size_t done;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *sql = cases[i].sql;
        size_t len = cases[i].len;

        assert_int_equal(lsq_exec(conn, sql, len, NULL, NULL, NULL, NULL, NULL, &last_error),
                         LSQ_BAD_ARGUMENT);
        assert_int_equal(lsq_stmt_new(&stmt, conn, sql, len, NULL, &last_error), LSQ_BAD_ARGUMENT);
        assert_int_equal(lsq_batch_sql(conn, sql, len, NULL, NULL, NULL, &done, &last_error),
                         LSQ_BAD_ARGUMENT);
        assert_int_equal(done, 0);
    }
    assert_int_equal(lsq_exec(conn, "SELECT 1\0", 9, NULL, NULL, NULL, NULL, NULL, &last_error),
                     LSQ_BAD_ARGUMENT);
    assert_non_null(strstr(last_error.message, "byte 8"));
    assert_int_equal(lsq_query(&res, conn, NULL, NULL, &last_error), LSQ_BAD_ARGUMENT);
}

static void sql_ends_where_its_length_says(void **state) {
    (void)state;
    assert_int_equal(lsq_exec(conn, "SELECT 1 garbage(", 8, NULL, NULL, NULL, NULL, NULL, NULL),
                     LSQ_OK);
    assert_int_equal(lsq_exec(conn, "SELECT 1 garbage(", 17, NULL, NULL, NULL, NULL, NULL, NULL),
                     LSQ_SQL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_memory, close_memory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_value_comes_back_as_it_went_in),
        TEST(nowhere_is_empty_not_null),
        TEST(not_a_number_is_refused),
        TEST(unknown_type_is_refused),
        TEST(text_stands_where_its_length_says),
        TEST(parameters_are_not_kept),
        TEST(as_many_as_the_statement_has),
        TEST(many_parameters),
        TEST(names_with_and_without_prefix),
        TEST(names_that_are_not_there),
        TEST(first_of_equal_names_is_taken),
        TEST(names_hold_a_length),
        TEST(too_big_for_the_connection),
        TEST(lengths_beyond_the_engine_are_too_big),
        TEST(sql_is_text),
        TEST(sql_ends_where_its_length_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
