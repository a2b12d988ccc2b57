/* The decoder's promises, one by one (decode.h), and what becomes of answers that break the protocol's. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/answer.h"
#include "../support/db.h"

#define OK(response) "{\"results\":[{\"type\":\"ok\",\"response\":" response "}]}"
#define EXECUTE(result) OK("{\"type\":\"execute\",\"result\":" result "}")
#define ROWS(cols, rows) EXECUTE("{\"cols\":" cols ",\"rows\":" rows "}")
#define ONE(value) ROWS("[{\"name\":\"a\"}]", "[[" value "]]")

static struct transcript transcript;

static int init(void **state) {
    (void)state;
    transcript_init(&transcript);
    return 0;
}

static int release(void **state) {
    (void)state;
    lsqi_buf_release(&transcript.text);
    return 0;
}

static enum lsq_status told(enum lsqi_hrana_form form, const char *text) {
    struct answer answer = {.form = form, .data = text, .len = strlen(text)};
    struct pieces pieces = {.size = answer.len, .rows = SIZE_MAX};

    lsqi_buf_reset(&transcript.text);
    return transcribe(&transcript, &answer, pieces, &last_error);
}

/* What is told begins so. */
static void tells(enum lsqi_hrana_form form, const char *text, const char *want) {
    if (told(form, text) != LSQ_OK) fail_msg("%s: %s", text, last_error.message);
    if (strncmp(transcript.text.data, want, strlen(want)) != 0)
        fail_msg("%s is told as\n%s\nnot\n%s", text, transcript.text.data, want);
}

/* Refused, at once and byte by byte, with these words and none of the answer's. */
static void refuses(enum lsqi_hrana_form form, const char *text, const char *why) {
    struct answer answer = {.form = form, .data = text, .len = strlen(text)};

    for (int i = 0; i < 2; i++) {
        size_t size = i == 0 ? answer.len : 1;

        lsqi_buf_reset(&transcript.text);
        if (transcribe(&transcript, &answer, (struct pieces){.size = size, .rows = SIZE_MAX},
                       &last_error) == LSQ_OK)
            fail_msg("%s is taken", text);
        assert_int_equal(last_error.status, LSQ_PROTOCOL_UNSUPPORTED);
        if (strstr(last_error.message, why) == NULL)
            fail_msg("%s: \"%s\", not \"%s\"", text, last_error.message, why);
        assert_null(strstr(last_error.message, "SECRET"));
    }
}

/* ---- Values ---- */

static void tells_value(const char *value, const char *want) {
    struct lsqi_buf text = {0};
    struct lsqi_buf line = {0};

    lsqi_buf_add_text(&text,
                      "{\"results\":[{\"response\":{\"type\":\"execute\",\"result\":{\"cols\":"
                      "[{\"name\":\"a\"}],\"rows\":[[");
    lsqi_buf_add_text(&text, value);
    lsqi_buf_add_text(&text, "]]}}}]}");
    lsqi_buf_add(&text, "", 1);
    lsqi_buf_add_text(&line, "sink 0 columns: \"a\" types: -\n    ");
    lsqi_buf_add_text(&line, want);
    lsqi_buf_add_text(&line, ";\nexecute 0 columns 1 rows 1 ");
    lsqi_buf_add(&line, "", 1);
    tells(LSQI_HRANA_PIPELINE, text.data, line.data);
    lsqi_buf_release(&text);
    lsqi_buf_release(&line);
}

static void values_in_every_form(void **state) {
    static const char *const cases[][2] = {
        {"{\"type\":\"null\"}", "null"},
        {"{\"type\":\"null\",\"value\":null}", "null"},
        {"{\"type\":\"null\",\"value\":\"x\"}", "null"},
        {"{\"value\":1,\"type\":\"null\"}", "null"},
        {"{\"type\":\"integer\",\"value\":\"-9223372036854775808\"}", "-9223372036854775808"},
        {"{\"type\":\"integer\",\"value\":9223372036854775807}", "9223372036854775807"},
        {"{\"type\":\"integer\",\"value\":\"\\u0031\"}", "1"},
        {"{\"type\":\"float\",\"value\":\"1.5\"}", "1.5'"},
        {"{\"type\":\"float\",\"value\":3}", "3'"},
        {"{\"type\":\"float\",\"value\":-0.0}", "-0'"},
        {"{\"type\":\"float\",\"value\":-0}", "-0'"},
        {"{\"type\":\"float\",\"value\":1e999}", "inf'"},
        {"{\"type\":\"float\",\"value\":5e-324}", "4.9406564584124654e-324'"},
        {"{\"type\":\"float\",\"value\":null}", "null"}, /* infinite, to a writer of JSON */
        {"{\"value\":null,\"type\":\"float\"}", "null"},
        {"{\"type\":\"text\",\"value\":\"\"}", "\"\""},
        {"{\"value\":\"\",\"type\":\"text\"}", "\"\""},
        {"{\"type\":\"text\",\"value\":\"\\u0000\"}", "\"<00>\""},
        {"{\"type\":\"text\",\"value\":\"\\ud800\"}", "\"<ef><bf><bd>\""},
        {"{\"type\":\"blob\",\"base64\":\"\"}", "x\"\""},
        {"{\"base64\":\"\",\"type\":\"blob\"}", "x\"\""},
        {"{\"type\":\"blob\",\"base64\":\"\\/\\/8=\"}", "x\"<ff><ff>\""},
        {"{\"x\":[{\"type\":1}],\"type\":\"integer\",\"y\":{},\"value\":\"7\",\"z\":null}", "7"},
        {" { \"type\" : \"integer\" , \"value\" : \"7\" } ", "7"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        tells_value(cases[i][0], cases[i][1]);
}

static void values_that_are_none(void **state) {
    static const char *const cases[][2] = {
        {ONE("{\"value\":\"SECRET\"}"), "no type"},
        {ONE("{\"type\":\"integer\"}"), "missing"},
        {ONE("{\"type\":\"SECRET\",\"value\":1}"), "not known"},
        {ONE("{\"type\":7,\"value\":1}"), "no text"},
        {ONE("{\"type\":null}"), "no text"},
        {ONE("{\"type\":\"integer\",\"value\":\"SECRET\"}"), "integer"},
        {ONE("{\"type\":\"integer\",\"value\":\"9223372036854775808\"}"), "integer"},
        {ONE("{\"type\":\"integer\",\"value\":1.0}"), "integer"},
        {ONE("{\"type\":\"integer\",\"value\":null}"), "fit"},
        {ONE("{\"type\":\"integer\",\"value\":true}"), "fit"},
        {ONE("{\"type\":\"float\",\"value\":\"inf\"}"), "number"},
        {ONE("{\"type\":\"float\",\"value\":\"0x10\"}"), "number"},
        {ONE("{\"type\":\"text\",\"value\":5}"), "fit"},
        {ONE("{\"type\":\"text\",\"value\":[]}"), "fit"},
        {ONE("{\"type\":\"text\",\"value\":{}}"), "fit"},
        {ONE("{\"type\":\"text\",\"base64\":\"YQ==\"}"), "fit"},
        {ONE("{\"type\":\"blob\",\"value\":\"YQ==\"}"), "fit"},
        {ONE("{\"type\":\"blob\",\"base64\":\"SECRET!\"}"), "base64"},
        {ONE("{\"type\":\"text\",\"value\":\"a\",\"value\":\"b\"}"), "twice"},
        {ONE("{\"type\":\"text\",\"type\":\"text\",\"value\":\"b\"}"), "twice"},
        {ONE("{\"type\":\"text\",\"value\":\"a\",\"base64\":\"b\"}"), "twice"},
        {ONE("{\"value\":\"a\",\"base64\":\"b\",\"type\":\"blob\"}"), "twice"},
        {ONE("{\"type\":\"text\",\"value\":\"\xff\"}"), "UTF-8"},
        {ONE("null"), "no value"},
        {ONE("\"SECRET\""), "no value"},
        {ONE("[]"), "no value"},
        {ONE(""), "fewer"},
        {ONE("{\"type\":\"null\"},{\"type\":\"null\"}"), "more"},
        {ROWS("[{}]", "[{}]"), "no row"},
        {ROWS("[{}]", "[null]"), "no row"},
        {ROWS("[]", "[[{\"type\":\"null\"}]]"), "more"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refuses(LSQI_HRANA_PIPELINE, cases[i][0], cases[i][1]);
}

/* ---- Shapes ---- */

static void pipelines_that_are_none(void **state) {
    static const char *const cases[][2] = {
        {"[]", "no object"},
        {"5 ", "no object"},
        {"SECRET ", "no JSON"},
        {"<html>SECRET</html>", "no JSON"},
        {"{}", "no results"},
        {"{\"error\":\"SECRET\"}", "no results"},
        {"{\"results\":null}", "no results"},
        {"{\"results\":{}}", "\"results\" is not of its kind"},
        {"{\"results\":[]} x", "no JSON"},
        {"{\"results\":[],\"results\":[]}", "\"results\" comes twice"},
        {"{\"baton\":5,\"results\":[]}", "\"baton\""},
        {"{\"results\":[null]}", "no object"},
        {"{\"results\":[{}]}", "no answer"},
        {"{\"results\":[{\"type\":\"ok\"}]}", "no answer"},
        {"{\"results\":[{\"type\":\"ok\",\"response\":null}]}", "no answer"},
        {"{\"results\":[{\"response\":{\"type\":\"close\"},\"error\":{\"message\":\"SECRET\"}}]}",
         "both succeeded and failed"},
        {OK("{}"), "no type"},
        {OK("{\"type\":\"execute\"}"), "no result"},
        {OK("{\"type\":\"batch\"}"), "no result"},
        {OK("{\"type\":\"describe\",\"result\":null}"), "no result"},
        {OK("{\"type\":\"batch\",\"result\":{}}"), "step_results"},
        {OK("{\"type\":\"get_autocommit\"}"), "is_autocommit"},
        {OK("{\"type\":\"get_autocommit\",\"is_autocommit\":1}"), "is_autocommit"},
        {EXECUTE("{\"rows\":[]}"), "rows without columns"},
        {EXECUTE("{\"rows\":[[]],\"cols\":[{}]}"), "fewer"},
        {EXECUTE("{\"cols\":[{}],\"cols\":[{}]}"), "\"cols\" comes twice"},
        {EXECUTE("{\"cols\":[{}],\"rows\":[],\"rows\":[]}"), "\"rows\" comes twice"},
        {EXECUTE("{\"cols\":[{\"name\":5}]}"), "\"name\""},
        {EXECUTE("{\"cols\":[5]}"), "no object"},
        {EXECUTE("{\"cols\":[],\"affected_row_count\":1.5}"),
         "\"affected_row_count\" is no integer"},
        {EXECUTE("{\"cols\":[],\"affected_row_count\":\"SECRET\"}"), "no integer"},
        {EXECUTE("{\"cols\":[],\"last_insert_rowid\":true}"), "\"last_insert_rowid\""},
        {OK("{\"result\":{\"step_results\":[]},\"type\":\"execute\"}"), "batch"},
        {OK("{\"result\":{\"step_results\":[],\"cols\":[]},\"type\":\"execute\"}"), "batch"},
        {OK("{\"type\":\"batch\",\"result\":{\"step_results\":[{}],\"step_errors\":[{}]}}"),
         "both succeeded and failed"},
        {OK("{\"type\":\"batch\",\"result\":{\"step_errors\":[{}],\"step_results\":[{}]}}"),
         "both succeeded and failed"},
        {OK("{\"type\":\"batch\",\"result\":{\"step_results\":[5]}}"), "no object"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refuses(LSQI_HRANA_PIPELINE, cases[i][0], cases[i][1]);
}

#define HEAD "{\"baton\":null}\n"
#define BEGIN HEAD "{\"type\":\"step_begin\",\"step\":0,\"cols\":[{\"name\":\"a\"}]}\n"

static void cursors_that_are_none(void **state) {
    static const char *const cases[][2] = {
        {"\n", "whole"},
        {HEAD, "whole"},
        {BEGIN, "whole"},
        {"[]", "no object"},
        {HEAD "{}", "no type"},
        {HEAD "{\"type\":\"row\",\"row\":[]}", "before its columns"},
        {BEGIN "{\"type\":\"row\"}", "missing"},
        {BEGIN "{\"type\":\"row\",\"row\":null}", "missing"},
        {BEGIN "{\"type\":\"row\",\"row\":{}}", "\"row\""},
        {BEGIN "{\"row\":[{\"type\":\"null\"}],\"type\":\"else\"}", "where none should"},
        {BEGIN "{\"type\":\"step_begin\",\"step\":1,\"cols\":[]}", "within another"},
        {HEAD "{\"type\":\"step_begin\",\"cols\":[]}", "no number"},
        {HEAD "{\"type\":\"step_begin\",\"step\":-1,\"cols\":[]}", "negative"},
        {HEAD "{\"type\":\"step_end\"}", "did not begin"},
        {BEGIN "{\"type\":\"step_error\",\"step\":0}", "says nothing"},
        {BEGIN "{\"type\":\"error\"}", "says nothing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refuses(LSQI_HRANA_CURSOR, cases[i][0], cases[i][1]);
}

/* Columns of a later line don't change what a row of the step must have. */
static void a_steps_width_stays(void **state) {
    (void)state;
    refuses(LSQI_HRANA_CURSOR,
            BEGIN "{\"cols\":[{},{},{}],\"row\":[{\"type\":\"null\"},{\"type\":\"null\"}],"
                  "\"type\":\"row\"}",
            "more values");
}

static void what_is_not_known_is_passed_over(void **state) {
    (void)state;
    tells(
        LSQI_HRANA_PIPELINE,
        "{\"new\":{\"results\":[5]},\"results\":[{\"type\":\"ok\",\"response\":{\"type\":\"dance\","
        "\"result\":[1,{\"cols\":7}],\"is_autocommit\":5}}],\"x\":[[]]}",
        "other 0\n");
    tells(LSQI_HRANA_CURSOR,
          BEGIN "{\"type\":\"news\",\"row\":5,\"error\":[],\"cols\":{}}\n"
                "{\"type\":\"row\",\"step\":\"x\",\"row\":[{\"type\":\"null\"}]}\n"
                "{\"type\":\"step_end\",\"affected_row_count\":\"2\",\"rows_read\":1}\n",
          "sink 0.0 columns: \"a\" types: -\n    null;\n"
          "execute 0.0 columns 1 rows 1 affected 2 rowid 0\nok ");
    tells(LSQI_HRANA_PIPELINE,
          OK("{\"type\":\"describe\",\"result\":{\"rows\":5,\"step_results\":{},\"cols\":[],"
             "\"params\":[]}}"),
          "describe 0 params: columns: types:\n");
}

static void a_cursors_error_belongs_to_no_step(void **state) {
    (void)state;
    tells(LSQI_HRANA_CURSOR,
          BEGIN "{\"type\":\"error\",\"error\":{\"message\":\"m\",\"code\":\"C\"}}",
          "sink 0.0 columns: \"a\" types: -\nerror 0 \"C\" \"m\"\nok ");
    tells(LSQI_HRANA_CURSOR, HEAD "{\"type\":\"error\",\"error\":{}}", "error 0 \"\" \"\"\nok ");
}

static void failures_in_every_form(void **state) {
    (void)state;
    tells(LSQI_HRANA_FAILURE, "{\"message\":\"m\",\"code\":\"C\"}", "error 0 \"C\" \"m\"\n");
    tells(LSQI_HRANA_FAILURE, "{\"error\":\"m\"}", "error 0 \"\" \"m\"\n");
    tells(LSQI_HRANA_FAILURE, "{\"error\":{\"message\":\"m\",\"code\":\"C\"}}",
          "error 0 \"C\" \"m\"\n");
    refuses(LSQI_HRANA_FAILURE, "{}", "nothing of an error");
    refuses(LSQI_HRANA_FAILURE, "{\"error\":null}", "nothing of an error");
    refuses(LSQI_HRANA_FAILURE, "Received an invalid SECRET", "no JSON");
}

static void the_error_says_where(void **state) {
    (void)state;
    refuses(LSQI_HRANA_PIPELINE, "{\"results\":[],  SECRET}", "byte ");
    told(LSQI_HRANA_PIPELINE, "{\"results\":[5]}");
    assert_non_null(strstr(last_error.message, "(byte 13)"));
}

/* ---- Rows let through ---- */

static const char three_rows[] = ROWS(
    "[{\"name\":\"a\"}]", "[[{\"type\":\"null\"}],[{\"type\":\"null\"}],[{\"type\":\"null\"}]]");
static const char three_rows_first[] =
    EXECUTE("{\"rows\":[[{\"type\":\"null\"}],[{\"type\":\"null\"}],[{\"type\":\"null\"}]],"
            "\"cols\":[{\"name\":\"a\"}]}");

/* Gives all at once; each time it stops, n rows more have come. */
static void stops_after_each(const char *text) {
    struct lsqi_hrana_decoder *decoder;
    size_t len = strlen(text);
    size_t at = 0;
    size_t used;

    lsqi_buf_reset(&transcript.text);
    transcript.rows = transcript.results = 0;
    assert_int_equal(
        lsqi_hrana_decoder_new(&decoder, LSQI_HRANA_PIPELINE, &transcript.handler, &last_error),
        LSQ_OK);
    assert_true(lsqi_hrana_decoder_allowed(decoder) == SIZE_MAX);
    lsqi_hrana_decoder_allow(decoder, 0);
    for (size_t rows = 0; rows < 3; rows++) {
        for (int twice = 0; twice < 2; twice++) { /* without more rows nothing comes */
            assert_int_equal(lsqi_hrana_decode(decoder, text + at, len - at, &used, &last_error),
                             LSQ_OK);
            assert_true(used < len - at);
            at += used;
            assert_int_equal(transcript.rows, rows);
            assert_int_equal(transcript.results, 0);
            assert_int_equal(lsqi_hrana_decoder_allowed(decoder), 0);
        }
        lsqi_hrana_decoder_allow(decoder, 1);
        assert_int_equal(lsqi_hrana_decoder_allowed(decoder), 1);
    }
    assert_int_equal(lsqi_hrana_decode(decoder, text + at, len - at, &used, &last_error), LSQ_OK);
    assert_int_equal(used, len - at);
    assert_int_equal(transcript.rows, 3);
    assert_int_equal(transcript.results, 1);
    assert_int_equal(lsqi_hrana_decode_end(decoder, &last_error), LSQ_OK);
    lsqi_hrana_decoder_free(decoder);
}

static void rows_stop_where_the_limit_is(void **state) {
    (void)state;
    stops_after_each(three_rows);
    stops_after_each(three_rows_first);
}

static void limits_add_up(void **state) {
    struct lsqi_hrana_decoder *decoder;
    size_t used;

    (void)state;
    assert_int_equal(
        lsqi_hrana_decoder_new(&decoder, LSQI_HRANA_PIPELINE, &transcript.handler, &last_error),
        LSQ_OK);
    lsqi_hrana_decoder_allow(decoder, 2);
    lsqi_hrana_decoder_allow(decoder, 3);
    assert_int_equal(lsqi_hrana_decoder_allowed(decoder), 5);
    assert_int_equal(lsqi_hrana_decode(decoder, three_rows, strlen(three_rows), &used, &last_error),
                     LSQ_OK);
    assert_int_equal(used, strlen(three_rows));
    assert_int_equal(lsqi_hrana_decoder_allowed(decoder), 2);
    lsqi_hrana_decoder_allow(decoder, SIZE_MAX);
    assert_true(lsqi_hrana_decoder_allowed(decoder) == SIZE_MAX);
    lsqi_hrana_decoder_free(decoder);
}

/* ---- The handler ---- */

static void rows_may_be_dropped(void **state) {
    (void)state;
    transcript.handler.sink = NULL;
    tells(LSQI_HRANA_PIPELINE, three_rows, "execute 0 columns 1 rows 3 affected 0 rowid 0\n");
}

static const struct lsq_sink *no_sink(void *arg, size_t request, size_t step, void **ctx) {
    (void)arg, (void)request, (void)step, (void)ctx;
    return NULL;
}

static void a_sink_may_be_missing(void **state) {
    (void)state;
    transcript.handler.sink = no_sink;
    tells(LSQI_HRANA_PIPELINE, three_rows, "execute 0 columns 1 rows 3 affected 0 rowid 0\n");
    refuses(LSQI_HRANA_PIPELINE, ONE("{\"type\":\"integer\",\"value\":\"x\"}"), "integer");
}

static void types_are_told_where_they_are_wanted(void **state) {
    (void)state;
    transcript.handler.types = false;
    tells(LSQI_HRANA_PIPELINE, three_rows, "sink 0 columns: \"a\"\n    null;");
}

static bool stop(void *arg, const struct lsqi_hrana_result *result) {
    (void)arg, (void)result;
    return false;
}

static void the_handler_may_stop_it(void **state) {
    (void)state;
    transcript.handler.result = stop;
    assert_int_equal(told(LSQI_HRANA_PIPELINE, three_rows), LSQ_INTERRUPTED);
}

/* A sink of which one slot answers false. */
static int failing_slot;

static bool slot(int number) { return failing_slot != number; }
static bool f_columns(void *c, size_t n, const char *const *t) {
    return (void)c, (void)n, (void)t, slot(0);
}
static bool f_row_begin(void *c) { return (void)c, slot(1); }
static bool f_null(void *c) { return (void)c, slot(2); }
static bool f_integer(void *c, int64_t v) { return (void)c, (void)v, slot(3); }
static bool f_real(void *c, double v) { return (void)c, (void)v, slot(4); }
static bool f_text(void *c, const char *t, size_t n) { return (void)c, (void)t, (void)n, slot(5); }
static bool f_blob(void *c, const void *t, size_t n) { return (void)c, (void)t, (void)n, slot(6); }
static bool f_row_end(void *c) { return (void)c, slot(7); }
static bool f_types(void *c, size_t n, const char *const *t) {
    return (void)c, (void)n, (void)t, slot(8);
}

static const struct lsq_sink failing = {
    .columns = f_columns,
    .row_begin = f_row_begin,
    .null = f_null,
    .integer = f_integer,
    .real = f_real,
    .text = f_text,
    .blob = f_blob,
    .row_end = f_row_end,
    .types = f_types,
};

static const struct lsq_sink *failing_sink(void *arg, size_t request, size_t step, void **ctx) {
    (void)arg, (void)request, (void)step, (void)ctx;
    return &failing;
}

static void a_slot_that_fails_is_out_of_memory(void **state) {
    static const char every_type[] = ROWS(
        "[{},{},{},{},{}]", "[[{\"type\":\"null\"},{\"type\":\"integer\",\"value\":\"1\"},"
                            "{\"type\":\"float\",\"value\":1},{\"type\":\"text\",\"value\":\"\"},"
                            "{\"type\":\"blob\",\"base64\":\"\"}]]");
    struct answer answer = {.data = every_type, .len = sizeof(every_type) - 1};

    (void)state;
    transcript.handler.sink = failing_sink;
    for (failing_slot = 0; failing_slot <= 9; failing_slot++) {
        for (size_t size = 1; size <= answer.len; size += answer.len - 1) {
            enum lsq_status want = failing_slot == 9 ? LSQ_OK : LSQ_NOMEM;

            lsqi_buf_reset(&transcript.text);
            assert_int_equal(transcribe(&transcript, &answer,
                                        (struct pieces){.size = size, .rows = SIZE_MAX},
                                        &last_error),
                             want);
        }
    }
}

static void told_says_whether_anything_was_seen(void **state) {
    struct lsqi_hrana_decoder *decoder;
    size_t used;

    (void)state;
    assert_int_equal(lsqi_hrana_decoder_new(&decoder, LSQI_HRANA_CURSOR, &transcript.handler, NULL),
                     LSQ_OK);
    assert_null(lsqi_hrana_decoder_baton(decoder));
    assert_int_equal(lsqi_hrana_decode(decoder, "{\"baton\":\"b\"}\n", 14, &used, NULL), LSQ_OK);
    assert_string_equal(lsqi_hrana_decoder_baton(decoder), "b");
    assert_null(lsqi_hrana_decoder_base_url(decoder));
    assert_int_equal(lsqi_hrana_decoder_replication_index(decoder), -1);
    assert_false(lsqi_hrana_decoder_told(decoder));
    assert_int_equal(
        lsqi_hrana_decode(decoder, BEGIN + strlen(HEAD), strlen(BEGIN) - strlen(HEAD), &used, NULL),
        LSQ_OK);
    assert_true(lsqi_hrana_decoder_told(decoder));
    lsqi_hrana_decoder_free(decoder);
    lsqi_hrana_decoder_free(NULL);
}

static void after_an_error_it_takes_no_more(void **state) {
    struct lsqi_hrana_decoder *decoder;
    size_t used = 9;

    (void)state;
    assert_int_equal(
        lsqi_hrana_decoder_new(&decoder, LSQI_HRANA_PIPELINE, &transcript.handler, NULL), LSQ_OK);
    assert_int_equal(lsqi_hrana_decode(decoder, "<", 1, &used, NULL), LSQ_PROTOCOL_UNSUPPORTED);
    assert_int_equal(used, 0);
    assert_int_equal(lsqi_hrana_decode(decoder, "{}", 2, &used, &last_error),
                     LSQ_PROTOCOL_UNSUPPORTED);
    assert_int_equal(lsqi_hrana_decode_end(decoder, &last_error), LSQ_PROTOCOL_UNSUPPORTED);
    lsqi_hrana_decoder_free(decoder);
}

/* ---- Memory ---- */

static bool ignore(void *arg, const struct lsqi_hrana_result *result) {
    (void)arg, (void)result;
    return true;
}

static const struct lsq_sink *keeping_sink(void *arg, size_t request, size_t step, void **ctx) {
    (void)request, (void)step;
    *ctx = arg;
    return lsq_result_sink();
}

static enum lsq_status decode_small_pieces(const struct answer *answer,
                                           const struct lsqi_hrana_handler *handler) {
    struct lsqi_hrana_decoder *decoder;
    enum lsq_status st = lsqi_hrana_decoder_new(&decoder, answer->form, handler, &last_error);

    if (st != LSQ_OK) return st;
    for (size_t at = 0; st == LSQ_OK && at < answer->len;) {
        size_t size = answer->len - at < 7 ? answer->len - at : 7;
        size_t used;

        st = lsqi_hrana_decode(decoder, answer->data + at, size, &used, &last_error);
        at += used;
    }
    if (st == LSQ_OK) st = lsqi_hrana_decode_end(decoder, &last_error);
    lsqi_hrana_decoder_free(decoder);
    return st;
}

/* Every allocation fails once: out of memory, and nothing is left behind. */
static void fail_each_allocation(const struct answer *answer) {
    struct lsqi_hrana_handler handler = {.sink = keeping_sink, .result = ignore, .types = true};
    struct lsq_memory before;
    struct lsq_memory after;
    struct lsq_result *res;
    enum lsq_status whole;
    enum lsq_status st;

    lsq_memory(&before);
    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    handler.arg = res;
    whole = decode_small_pieces(answer, &handler);
    for (int64_t budget = 0;; budget++) {
        lsq_memory_set_budget(budget);
        st = decode_small_pieces(answer, &handler);
        lsq_memory_set_budget(-1);
        if (st == whole) break;
        assert_int_equal(st, LSQ_NOMEM);
        assert_int_equal(last_error.status, LSQ_NOMEM);
        assert_true(budget < 10000);
    }
    lsq_result_free(res);
    lsq_memory(&after);
    assert_int_equal(after.blocks, before.blocks);
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    each_answer(fail_each_allocation);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, init, release)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(values_in_every_form),
        TEST(values_that_are_none),
        TEST(pipelines_that_are_none),
        TEST(cursors_that_are_none),
        TEST(a_steps_width_stays),
        TEST(what_is_not_known_is_passed_over),
        TEST(a_cursors_error_belongs_to_no_step),
        TEST(failures_in_every_form),
        TEST(the_error_says_where),
        TEST(rows_stop_where_the_limit_is),
        TEST(limits_add_up),
        TEST(rows_may_be_dropped),
        TEST(a_sink_may_be_missing),
        TEST(types_are_told_where_they_are_wanted),
        TEST(the_handler_may_stop_it),
        TEST(a_slot_that_fails_is_out_of_memory),
        TEST(told_says_whether_anything_was_seen),
        TEST(after_an_error_it_takes_no_more),
        TEST(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
