/* Requests, byte for byte: the forms are those that sqld 0.24.32 takes. */
#include <locale.h>
#include <math.h>
#include <stdio.h>

#include "../support/db.h"
#include "hrana/encode.h"

static struct lsqi_buf buf;

static int release(void **state) {
    (void)state;
    lsqi_buf_release(&buf);
    return 0;
}

static void begin(void) { lsqi_buf_reset(&buf); }

/* Line breaks stand between the requests only, for who sends them one by one: message_test. */
static void body_is(const char *want) {
    size_t len = 0;

    lsqi_buf_add(&buf, "", 1);
    for (size_t i = 0; i < buf.len; i++)
        if (buf.data[i] != '\n') buf.data[len++] = buf.data[i];
    buf.len = len;
    assert_false(buf.failed);
    assert_string_equal(buf.data, want);
}

static struct lsqi_hrana_stmt stmt_of(const char *sql, const struct lsq_params *params) {
    return (struct lsqi_hrana_stmt){
        .sql = sql, .len = strlen(sql), .params = params, .want_rows = true};
}

static void pipeline_has_baton_and_requests(void **state) {
    struct lsqi_hrana_stmt stmt = stmt_of("SELECT 1", NULL);

    (void)state;
    begin();
    lsqi_hrana_begin(&buf, NULL);
    lsqi_hrana_execute(&buf, &stmt);
    lsqi_hrana_request(&buf, "close");
    assert_true(lsqi_hrana_end(&buf));
    body_is("{\"baton\":null,\"requests\":["
            "{\"type\":\"execute\",\"stmt\":{\"sql\":\"SELECT 1\",\"want_rows\":true}},"
            "{\"type\":\"close\"}]}");
    begin();
    lsqi_hrana_begin(&buf, "a\"b");
    assert_true(lsqi_hrana_end(&buf));
    body_is("{\"baton\":\"a\\\"b\",\"requests\":[]}");
}

static void every_kind_of_request(void **state) {
    struct lsqi_hrana_stmt stored = {.sql_id = -7};

    (void)state;
    begin();
    lsqi_hrana_begin(&buf, "b");
    lsqi_hrana_describe(&buf, "SELECT 1", 8);
    lsqi_hrana_sequence(&buf, "A;B", 3);
    lsqi_hrana_store_sql(&buf, 5, "SELECT ?", 8);
    lsqi_hrana_execute(&buf, &stored);
    lsqi_hrana_close_sql(&buf, 5);
    lsqi_hrana_request(&buf, "get_autocommit");
    assert_true(lsqi_hrana_end(&buf));
    body_is("{\"baton\":\"b\",\"requests\":["
            "{\"type\":\"describe\",\"sql\":\"SELECT 1\"},"
            "{\"type\":\"sequence\",\"sql\":\"A;B\"},"
            "{\"type\":\"store_sql\",\"sql_id\":5,\"sql\":\"SELECT ?\"},"
            "{\"type\":\"execute\",\"stmt\":{\"sql_id\":-7,\"want_rows\":false}},"
            "{\"type\":\"close_sql\",\"sql_id\":5},"
            "{\"type\":\"get_autocommit\"}]}");
}

static void batch_has_steps_with_conditions(void **state) {
    struct lsqi_hrana_stmt stmt = {.sql = "X", .len = 1};

    (void)state;
    begin();
    lsqi_hrana_begin(&buf, NULL);
    lsqi_hrana_batch_begin(&buf);
    lsqi_hrana_batch_step(&buf, &stmt, (struct lsqi_hrana_cond){LSQI_HRANA_ALWAYS, 0});
    lsqi_hrana_batch_step(&buf, &stmt, (struct lsqi_hrana_cond){LSQI_HRANA_IF_OK, 0});
    lsqi_hrana_batch_step(&buf, &stmt, (struct lsqi_hrana_cond){LSQI_HRANA_IF_NOT_OK, 12});
    lsqi_hrana_batch_step(&buf, &stmt, (struct lsqi_hrana_cond){LSQI_HRANA_IF_IN_TXN, 0});
    lsqi_hrana_batch_end(&buf);
    lsqi_hrana_request(&buf, "close");
    assert_true(lsqi_hrana_end(&buf));
#define STMT "\"stmt\":{\"sql\":\"X\",\"want_rows\":false}}"
    body_is("{\"baton\":null,\"requests\":[{\"type\":\"batch\",\"batch\":{\"steps\":["
            "{" STMT ","
            "{\"condition\":{\"type\":\"ok\",\"step\":0}," STMT ","
            "{\"condition\":{\"type\":\"not\",\"cond\":{\"type\":\"ok\",\"step\":12}}," STMT ","
            "{\"condition\":{\"type\":\"not\",\"cond\":{\"type\":\"is_autocommit\"}}," STMT
            "]}},{\"type\":\"close\"}]}");
    begin();
    lsqi_hrana_begin(&buf, NULL);
    lsqi_hrana_batch_begin(&buf);
    lsqi_hrana_batch_end(&buf);
    assert_true(lsqi_hrana_end(&buf));
    body_is("{\"baton\":null,\"requests\":[{\"type\":\"batch\",\"batch\":{\"steps\":[]}}]}");
    begin();
    assert_true(
        lsqi_hrana_cursor(&buf, "b", &stmt, (struct lsqi_hrana_cond){.kind = LSQI_HRANA_ALWAYS}));
    body_is("{\"baton\":\"b\",\"batch\":{\"steps\":[{" STMT "]}}");
}

/* The body of one value, without what is around it. */
static void sent_as(struct lsq_value value, const char *want) {
    struct lsq_params params = {.values = &value, .count = 1};
    struct lsqi_hrana_stmt stmt = stmt_of("X", &params);
    const char *from;

    begin();
    lsqi_hrana_begin(&buf, NULL);
    lsqi_hrana_execute(&buf, &stmt);
    assert_true(lsqi_hrana_end(&buf));
    lsqi_buf_add(&buf, "", 1);
    from = strstr(buf.data, "\"args\":[");
    assert_non_null(from);
    from += strlen("\"args\":[");
    if (strncmp(from, want, strlen(want)) != 0 || strncmp(from + strlen(want), "],", 2) != 0)
        fail_msg("%s, not %s", from, want);
}

static void values_of_each_type(void **state) {
    (void)state;
    sent_as(lsq_null(), "{\"type\":\"null\"}");
    sent_as(lsq_int(0), "{\"type\":\"integer\",\"value\":\"0\"}");
    sent_as(lsq_int(INT64_MIN), "{\"type\":\"integer\",\"value\":\"-9223372036854775808\"}");
    sent_as(lsq_int(INT64_MAX), "{\"type\":\"integer\",\"value\":\"9223372036854775807\"}");
    sent_as(lsq_real(NAN), "{\"type\":\"null\"}");
    sent_as(lsq_blob(NULL, 0), "{\"type\":\"blob\",\"base64\":\"\"}");
    sent_as(lsq_blob("f", 1), "{\"type\":\"blob\",\"base64\":\"Zg==\"}");
    sent_as(lsq_blob("fo", 2), "{\"type\":\"blob\",\"base64\":\"Zm8=\"}");
    sent_as(lsq_blob("\0\xff\xfe", 3), "{\"type\":\"blob\",\"base64\":\"AP/+\"}");
    sent_as(lsq_text(NULL, 0), "{\"type\":\"text\",\"value\":\"\"}");
}

static void reals_are_short_and_exact(void **state) {
    static const struct {
        double value;
        const char *want;
    } cases[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1.0, "1.0"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {5.0, "5.0"},
        {100.0, "100.0"},
        {123456789.123, "123456789.123"},
        {1e308, "1e308"},
        {1.7976931348623157e308, "1.7976931348623157e308"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {5e-324, "5e-324"},
        {0.000001234, "0.000001234"},
        {0.0000001, "1e-7"},
        {1e16, "10000000000000000.0"},
        {1e17, "1e17"},
        {12345678901234567890.0, "1.2345678901234567e19"},
        {9007199254740993.0, "9007199254740992.0"},
    };
    char want[80];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(want, sizeof(want), "{\"type\":\"float\",\"value\":%s}", cases[i].want);
        sent_as(lsq_real(cases[i].value), want);
    }
}

/* Where the machine has a locale with another point; else it is tried with "C" alone. */
static void the_locale_has_no_say(void **state) {
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C"};
    char old[64];

    (void)state;
    snprintf(old, sizeof(old), "%s", setlocale(LC_NUMERIC, NULL));
    for (size_t i = 0; setlocale(LC_NUMERIC, locales[i]) == NULL;) i++;
    sent_as(lsq_real(1234.5), "{\"type\":\"float\",\"value\":1234.5}");
    setlocale(LC_NUMERIC, old);
}

static void texts_are_escaped(void **state) {
    static const char text[] = "a\"b\\c/\b\f\n\r\t\x01\x1f\x7f\0z \xe2\x82\xac \xf0\x9f\x98\x80";

    (void)state;
    sent_as(lsq_text(text, sizeof(text) - 1),
            "{\"type\":\"text\",\"value\":\"a\\\"b\\\\c/\\u0008\\u000c\\n\\r\\t\\u0001\\u001f"
            "\x7f\\u0000z \xe2\x82\xac \xf0\x9f\x98\x80\"}");
}

/* Checked before, it is not sent; sent all the same, it is JSON. */
static void bytes_that_are_no_utf8_are_replaced(void **state) {
    (void)state;
    sent_as(lsq_text("a\xff\xfe\xe2\x82", 5),
            "{\"type\":\"text\",\"value\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}");
    sent_as(lsq_text("\xed\xa0\x80\"", 4),
            "{\"type\":\"text\",\"value\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\\"\"}");
    sent_as(lsq_real(INFINITY), "{\"type\":\"float\",\"value\":null}");
}

static void named_parameters_go_as_they_stand(void **state) {
    const struct lsq_value values[] = {lsq_int(1), lsq_null()};
    const struct lsq_name names[] = {{":a", 2}, {"b\"", 2}};
    struct lsq_params params = {.values = values, .names = names, .count = 2};
    struct lsqi_hrana_stmt stmt = stmt_of("X", &params);

    (void)state;
    begin();
    lsqi_hrana_begin(&buf, NULL);
    lsqi_hrana_execute(&buf, &stmt);
    assert_true(lsqi_hrana_end(&buf));
    body_is("{\"baton\":null,\"requests\":[{\"type\":\"execute\",\"stmt\":{\"sql\":\"X\","
            "\"named_args\":[{\"name\":\":a\",\"value\":{\"type\":\"integer\",\"value\":\"1\"}},"
            "{\"name\":\"b\\\"\",\"value\":{\"type\":\"null\"}}],\"want_rows\":true}}]}");
}

static void check_refuses_what_cannot_be_sent(void **state) {
    const struct lsq_value infinite[] = {lsq_int(1), lsq_real(-INFINITY)};
    const struct lsq_value broken[] = {lsq_text("ok", 2), lsq_null(), lsq_text("\xc3", 1)};
    const struct lsq_value fine[] = {lsq_text("a\0b", 3), lsq_real(NAN), lsq_blob("\xff", 1)};
    const struct lsq_name names[] = {{"a", 1}, {"\xff", 1}, {"c", 1}};
    struct lsq_params params = {.values = infinite, .count = 2};

    (void)state;
    assert_int_equal(lsqi_hrana_check("X", 1, &params, &last_error), LSQ_PARAMETERS);
    assert_non_null(strstr(last_error.message, "parameter 2 "));
    params = (struct lsq_params){.values = broken, .count = 3};
    assert_int_equal(lsqi_hrana_check("X", 1, &params, &last_error), LSQ_PARAMETERS);
    assert_non_null(strstr(last_error.message, "parameter 3 "));
    params = (struct lsq_params){.values = fine, .count = 3};
    assert_int_equal(lsqi_hrana_check("X", 1, &params, &last_error), LSQ_OK);
    params.names = names;
    assert_int_equal(lsqi_hrana_check("X", 1, &params, &last_error), LSQ_PARAMETERS);
    assert_non_null(strstr(last_error.message, "parameter 2"));
    assert_int_equal(lsqi_hrana_check("X\xff", 2, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsqi_hrana_check(NULL, 0, NULL, NULL), LSQ_OK);
}

static void running_out_of_memory_is_told_at_the_end(void **state) {
    const struct lsq_value values[] = {lsq_text("some text", 9), lsq_blob("bytes", 5),
                                       lsq_real(0.5)};
    struct lsq_params params = {.values = values, .count = 3};
    struct lsqi_hrana_stmt stmt = stmt_of("SELECT ?, ?, ?", &params);
    int64_t budget = 0;
    bool done = false;

    (void)state;
    for (; !done; budget++) {
        struct lsqi_buf small = {0};

        lsq_memory_set_budget(budget);
        lsqi_hrana_begin(&small, NULL);
        for (int i = 0; i < 20; i++) lsqi_hrana_execute(&small, &stmt);
        done = lsqi_hrana_end(&small);
        lsq_memory_set_budget(-1);
        lsqi_buf_release(&small);
    }
    assert_true(budget > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(pipeline_has_baton_and_requests, release),
        cmocka_unit_test_teardown(every_kind_of_request, release),
        cmocka_unit_test_teardown(batch_has_steps_with_conditions, release),
        cmocka_unit_test_teardown(values_of_each_type, release),
        cmocka_unit_test_teardown(reals_are_short_and_exact, release),
        cmocka_unit_test_teardown(the_locale_has_no_say, release),
        cmocka_unit_test_teardown(texts_are_escaped, release),
        cmocka_unit_test_teardown(bytes_that_are_no_utf8_are_replaced, release),
        cmocka_unit_test_teardown(named_parameters_go_as_they_stand, release),
        cmocka_unit_test_teardown(check_refuses_what_cannot_be_sent, release),
        cmocka_unit_test_teardown(running_out_of_memory_is_told_at_the_end, release),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
