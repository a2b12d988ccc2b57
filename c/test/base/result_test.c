/* Rows kept in memory for C programs. */
#include "../support/db.h"

static struct lsq_result *res;
static const struct lsq_sink *sink;

static int make(void **state) {
    (void)state;
    sink = lsq_result_sink();
    return lsq_result_new(&res, NULL) == LSQ_OK ? 0 : -1;
}

static int drop(void **state) {
    (void)state;
    lsq_result_free(res);
    return 0;
}

static void push_columns(size_t count, const char *const *names) {
    assert_true(sink->columns(res, count, names));
}

static void push_texts(const char *a, const char *b) {
    assert_true(sink->text(res, a, strlen(a)));
    assert_true(sink->text(res, b, strlen(b)));
    assert_true(sink->row_end(res));
}

static void empty_has_nothing(void **state) {
    (void)state;
    assert_int_equal(lsq_result_rows(res), 0);
    assert_int_equal(lsq_result_columns(res), 0);
    assert_null(lsq_result_name(res, 0));
    assert_int_equal(lsq_result_value(res, 0, 0).type, LSQ_TYPE_NULL);
    assert_string_equal(lsq_result_text(res, 0, 0), "");
    lsq_result_free(NULL);
}

static void values_of_each_type(void **state) {
    static const char *const names[] = {"n", "i", "r", "t", "b"};
    static const char text[] = "a\0b";
    struct lsq_value value;

    (void)state;
    push_columns(5, names);
    assert_true(sink->null(res));
    assert_true(sink->integer(res, INT64_MIN));
    assert_true(sink->real(res, -0.5));
    assert_true(sink->text(res, text, 3));
    assert_true(sink->blob(res, "\0\xff", 2));
    assert_true(sink->row_end(res));
    assert_int_equal(lsq_result_rows(res), 1);
    assert_int_equal(lsq_result_columns(res), 5);
    assert_string_equal(lsq_result_name(res, 4), "b");
    assert_null(lsq_result_name(res, 5));
    assert_int_equal(lsq_result_value(res, 0, 0).type, LSQ_TYPE_NULL);
    assert_true(lsq_result_int(res, 0, 1) == INT64_MIN);
    assert_true(lsq_result_real(res, 0, 2) == -0.5);
    value = lsq_result_value(res, 0, 3);
    assert_int_equal(value.type, LSQ_TYPE_TEXT);
    assert_int_equal(value.as.bytes.len, 3);
    assert_memory_equal(value.as.bytes.data, text, 4); /* the NUL behind it, too */
    assert_ptr_not_equal(value.as.bytes.data, text);
    value = lsq_result_value(res, 0, 4);
    assert_int_equal(value.type, LSQ_TYPE_BLOB);
    assert_int_equal(value.as.bytes.len, 2);
    assert_memory_equal(value.as.bytes.data, "\0\xff\0", 3);
}

static void short_cuts_of_other_types_are_nought(void **state) {
    static const char *const names[] = {"i", "r", "t", "b", "n"};

    (void)state;
    push_columns(5, names);
    sink->integer(res, 1);
    sink->real(res, 2.5);
    sink->text(res, "3", 1);
    sink->blob(res, "4", 1);
    sink->null(res);
    sink->row_end(res);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(lsq_result_int(res, 0, i), i == 0 ? 1 : 0);
        assert_true(lsq_result_real(res, 0, i) == (i == 1 ? 2.5 : 0.0));
        assert_string_equal(lsq_result_text(res, 0, i), i == 2 ? "3" : "");
    }
}

static void beyond_the_last_is_null(void **state) {
    static const char *const names[] = {"a", "b"};
    static const size_t beyond[][2] = {
        {0, 2},
        {1, 0},
        {1, 2},
        {SIZE_MAX, 0},
        {0, SIZE_MAX},
        {SIZE_MAX, SIZE_MAX},
        {SIZE_MAX / 2 + 1, 0}, /* times two columns this wraps to the first value */
    };

    (void)state;
    push_columns(2, names);
    push_texts("x", "y");
    assert_string_equal(lsq_result_text(res, 0, 1), "y");
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        assert_int_equal(lsq_result_value(res, beyond[i][0], beyond[i][1]).type, LSQ_TYPE_NULL);
        assert_string_equal(lsq_result_text(res, beyond[i][0], beyond[i][1]), "");
    }
}

static void unfinished_row_is_not_seen(void **state) {
    static const char *const names[] = {"a", "b"};

    (void)state;
    push_columns(2, names);
    push_texts("x", "y");
    assert_true(sink->integer(res, 9));
    assert_int_equal(lsq_result_rows(res), 1);
    assert_int_equal(lsq_result_value(res, 1, 0).type, LSQ_TYPE_NULL);
}

static void new_columns_empty_it(void **state) {
    static const char *const first[] = {"a", "b"};
    static const char *const second[] = {"c"};

    (void)state;
    push_columns(2, first);
    push_texts("x", "y");
    push_columns(1, second);
    assert_int_equal(lsq_result_rows(res), 0);
    assert_int_equal(lsq_result_columns(res), 1);
    assert_string_equal(lsq_result_name(res, 0), "c");
    push_columns(0, NULL);
    assert_int_equal(lsq_result_columns(res), 0);
    assert_null(lsq_result_name(res, 0));
}

/* Values stay where they are while the result grows, whatever their size. */
static void many_rows_of_many_sizes(void **state) {
    enum { ROWS = 3000, LONGEST = 40000 };
    static const char *const names[] = {"number", "text"};
    static char bytes[LONGEST];
    const char *first;

    (void)state;
    for (int i = 0; i < LONGEST; i++) bytes[i] = (char)('a' + i % 26);
    push_columns(2, names);
    for (int i = 0; i < ROWS; i++) {
        assert_true(sink->integer(res, i));
        assert_true(sink->text(res, bytes, (size_t)i % 500 == 0 ? LONGEST : (size_t)i % 97));
        assert_true(sink->row_end(res));
        if (i == 0) first = lsq_result_text(res, 0, 1);
    }
    assert_ptr_equal(lsq_result_text(res, 0, 1), first);
    assert_int_equal(lsq_result_rows(res), ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        struct lsq_value value = lsq_result_value(res, i, 1);
        size_t want = i % 500 == 0 ? LONGEST : i % 97;

        assert_int_equal(lsq_result_int(res, i, 0), i);
        assert_int_equal(value.as.bytes.len, want);
        assert_memory_equal(value.as.bytes.data, bytes, want);
        assert_int_equal(((const char *)value.as.bytes.data)[want], 0);
    }
    assert_string_equal(lsq_result_name(res, 0), "number");
}

static void empty_text_is_text(void **state) {
    static const char *const names[] = {""};

    (void)state;
    push_columns(1, names);
    assert_string_equal(lsq_result_name(res, 0), "");
    assert_true(sink->text(res, "", 0));
    assert_true(sink->row_end(res));
    assert_true(sink->blob(res, NULL, 0));
    assert_true(sink->row_end(res));
    assert_int_equal(lsq_result_value(res, 0, 0).type, LSQ_TYPE_TEXT);
    assert_int_equal(lsq_result_value(res, 1, 0).type, LSQ_TYPE_BLOB);
    assert_int_equal(lsq_result_value(res, 1, 0).as.bytes.len, 0);
    assert_non_null(lsq_result_value(res, 1, 0).as.bytes.data);
}

static void no_memory_is_false_and_what_was_stays(void **state) {
    static const char *const names[] = {"a"};
    static const char big[100000];
    struct lsq_result *none = NULL;
    struct lsq_error err;

    (void)state;
    push_columns(1, names);
    sink->text(res, "kept", 4);
    sink->row_end(res);
    lsq_memory_set_budget(0);
    assert_false(sink->text(res, big, sizeof(big)));
    assert_false(sink->blob(res, big, sizeof(big)));
    assert_int_equal(lsq_result_new(&none, &err), LSQ_NOMEM);
    lsq_memory_set_budget(-1);
    assert_null(none);
    assert_int_equal(err.status, LSQ_NOMEM);
    assert_string_equal(lsq_result_text(res, 0, 0), "kept");
    lsq_memory_set_budget(0);
    assert_false(sink->columns(res, 1, names));
    lsq_memory_set_budget(-1);
    assert_int_equal(lsq_result_rows(res), 0);
    assert_int_equal(lsq_result_columns(res), 0);
    assert_null(lsq_result_name(res, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(empty_has_nothing),
        TEST(values_of_each_type),
        TEST(short_cuts_of_other_types_are_nought),
        TEST(beyond_the_last_is_null),
        TEST(unfinished_row_is_not_seen),
        TEST(new_columns_empty_it),
        TEST(many_rows_of_many_sizes),
        TEST(empty_text_is_text),
        TEST(no_memory_is_false_and_what_was_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
