/* Messages of a WebSocket: what they are about, and the requests that go one by one. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "hrana/decode.h"
#include "hrana/encode.h"
#include "hrana/message.h"

static enum lsqi_message_kind read_copy(const char *text, int64_t *id) {
    size_t len = strlen(text);
    char *copy = malloc(len + 1); /* nothing behind it */
    enum lsqi_message_kind kind;

    assert_non_null(copy);
    memcpy(copy, text, len);
    copy = realloc(copy, len == 0 ? 1 : len);
    kind = lsqi_hrana_message(copy, len, id);
    free(copy);
    return kind;
}

static void messages_are_told_apart(void **state) {
    static const struct {
        const char *text;
        enum lsqi_message_kind kind;
        int64_t id;
    } cases[] = {
        {"{\"type\":\"hello_ok\"}", LSQI_MESSAGE_HELLO_OK, 0},
        {"{\"type\":\"hello_error\",\"error\":{\"message\":\"m\"}}", LSQI_MESSAGE_HELLO_ERROR, 0},
        {"{\"type\":\"response_ok\",\"request_id\":7,\"response\":{", LSQI_MESSAGE_RESPONSE_OK, 7},
        {"{\"response\":{\"type\":\"hello_ok\",\"request_id\":1},\"request_id\":-3,\"x\":[{}],"
         "\"type\":\"response_error\"}",
         LSQI_MESSAGE_RESPONSE_ERROR, -3},
        {"{\"type\":\"news\",\"request_id\":1}", LSQI_MESSAGE_OTHER, 0},
        {"{\"type\":\"response_ok\"}", LSQI_MESSAGE_BAD, 0},
        {"{\"type\":\"response_ok\",\"request_id\":1.5}", LSQI_MESSAGE_BAD, 0},
        {"{\"request_id\":1}", LSQI_MESSAGE_BAD, 0},
        {"[\"type\",\"hello_ok\"]", LSQI_MESSAGE_BAD, 0},
        {"hello", LSQI_MESSAGE_BAD, 0},
        {"{\"type\":", LSQI_MESSAGE_BAD, 0},
        {"", LSQI_MESSAGE_BAD, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t id = 0;
        enum lsqi_message_kind kind = read_copy(cases[i].text, &id);

        if (kind != cases[i].kind) fail_msg("%s: %d", cases[i].text, (int)kind);
        if (cases[i].id != 0) assert_int_equal(id, cases[i].id);
    }
}

static void requests_come_one_by_one(void **state) {
    static const char sql[] = "SELECT '\n,{\"type\"'";
    const struct lsqi_hrana_stmt stmt = {.sql = sql, .len = sizeof(sql) - 1, .want_rows = true};
    static const char *const wants[] = {"{\"type\":\"execute\",\"stmt\":{\"sql\":\"SELECT "
                                        "'\\n,{\\\"type\\\"'\",\"want_rows\":true}}",
                                        "{\"type\":\"get_autocommit\"}", "{\"type\":\"close\"}"};
    struct lsqi_buf buf = {0};
    const char *request;
    size_t at = 0;
    size_t len;

    (void)state;
    lsqi_hrana_begin(&buf, "baton");
    assert_false(lsqi_hrana_next_request(&buf, &at, &request, &len));
    lsqi_hrana_execute(&buf, &stmt);
    lsqi_hrana_request(&buf, "get_autocommit");
    lsqi_hrana_request(&buf, "close");
    for (size_t i = 0; i < 3; i++) {
        assert_true(lsqi_hrana_next_request(&buf, &at, &request, &len));
        assert_int_equal(len, strlen(wants[i]));
        assert_memory_equal(request, wants[i], len);
    }
    assert_false(lsqi_hrana_next_request(&buf, &at, &request, &len));
    lsqi_buf_release(&buf);
}

struct told {
    char text[256];
};

static bool on_result(void *arg, const struct lsqi_hrana_result *r) {
    struct told *told = arg;
    size_t used = strlen(told->text);

    snprintf(told->text + used, sizeof(told->text) - used, "%zu:%s ", r->request,
             r->kind == LSQI_HRANA_ERROR     ? r->code
             : r->kind == LSQI_HRANA_EXECUTE ? "ok"
                                             : "other");
    return true;
}

static void answers_come_in_any_order(void **state) {
    static const struct {
        size_t request;
        const char *text;
    } answers[] = {
        {2, "{\"type\":\"response_ok\",\"request_id\":9,\"response\":{\"type\":\"close_sql\"}}"},
        {0,
         "{\"type\":\"response_ok\",\"request_id\":7,\"response\":{\"type\":\"execute\",\"result\":"
         "{\"cols\":[],\"rows\":[],\"affected_row_count\":1}}}"},
        {1, "{\"type\":\"response_error\",\"request_id\":8,\"error\":{\"message\":\"m\",\"code\":"
            "\"C\"}}"},
    };
    struct told told = {""};
    const struct lsqi_hrana_handler handler = {.result = on_result, .arg = &told};
    struct lsqi_hrana_decoder *decoder;

    (void)state;
    assert_int_equal(lsqi_hrana_decoder_new(&decoder, LSQI_HRANA_MESSAGE, &handler, NULL), LSQ_OK);
    for (size_t i = 0; i < 3; i++) {
        size_t used;

        lsqi_hrana_decoder_request(decoder, answers[i].request);
        assert_int_equal(lsqi_hrana_decode(decoder, answers[i].text, strlen(answers[i].text), &used,
                                           &last_error),
                         LSQ_OK);
        assert_int_equal(lsqi_hrana_decode_end(decoder, &last_error), LSQ_OK);
    }
    assert_string_equal(told.text, "2:other 0:ok 1:C ");
    lsqi_hrana_decoder_free(decoder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_told_apart),
        cmocka_unit_test(requests_come_one_by_one),
        cmocka_unit_test(answers_come_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
