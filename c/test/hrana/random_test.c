/* Random answers: written with random spaces, order of keys, escapes and keys that nobody knows, given in random
 * pieces. What must be told of them is known by who makes them. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/answer.h"
#include "../support/db.h"
#include "hrana/base64.h"
#include "hrana/json_write.h"

enum { ANSWERS_EACH = 400, MOST_MEMBERS = 12 };

static uint64_t seed;
static struct transcript want;

static unsigned chance(unsigned n) { return (unsigned)(random_next(&seed) % n); }

/* ---- JSON, written in any way ---- */

/* The members of an object, or the elements of an array. */
struct members {
    struct lsqi_buf list[MOST_MEMBERS];
    size_t count;
};

static void add(struct lsqi_buf *json, const char *text) { lsqi_buf_add_text(json, text); }

static void add_space(struct lsqi_buf *json) {
    static const char *const spaces[] = {" ", "\n", "\t", "\r\n", "  "};

    if (chance(8) == 0) add(json, spaces[chance(5)]);
}

static void add_code_point(struct lsqi_buf *json, unsigned c) {
    char text[16];

    if (c >= 0x10000)
        snprintf(text, sizeof(text), "\\u%04x\\u%04X", 0xd800 + ((c - 0x10000) >> 10),
                 0xdc00 + ((c - 0x10000) & 0x3ff));
    else
        snprintf(text, sizeof(text), "\\u%04x", c);
    add(json, text);
}

/* A random character to both, to the JSON in one of its ways. */
static void add_character(struct lsqi_buf *json, struct lsqi_buf *plain, bool nul) {
    static const struct {
        unsigned c;
        const char *utf8;
    } wide[] = {{0xe9, "\xc3\xa9"},
                {0x20ac, "\xe2\x82\xac"},
                {0x1f600, "\xf0\x9f\x98\x80"},
                {0xffff, "\xef\xbf\xbf"},
                {0x10000, "\xf0\x90\x80\x80"}};
    unsigned kind = chance(12);
    char c = kind < 2 ? (char)chance(0x20) : (char)(0x20 + chance(0x5f));

    if (c == '\0' && !nul) c = 'x';
    if (kind == 2) {
        unsigned which = chance(5);

        add(plain, wide[which].utf8);
        if (chance(2) == 0)
            add(json, wide[which].utf8);
        else
            add_code_point(json, wide[which].c);
        return;
    }
    lsqi_buf_add(plain, &c, 1);
    if (kind == 3 || (c < 0x20 && chance(2) == 0)) {
        add_code_point(json, (unsigned char)c);
    } else if (c == '/' && chance(2) == 0) {
        add(json, "\\/");
    } else {
        struct lsqi_buf quoted = {0};

        lsqi_json_string(&quoted, &c, 1);
        lsqi_buf_add(json, quoted.data + 1, quoted.len - 2);
        lsqi_buf_release(&quoted);
    }
}

/* A random text in quotes, and as it is, with a NUL behind it. */
static void add_text(struct lsqi_buf *json, struct lsqi_buf *plain, bool nul) {
    static const unsigned most[] = {1, 4, 10, 40, 300};
    unsigned len = chance(most[chance(5)]);

    lsqi_buf_reset(plain);
    add(json, "\"");
    while (len-- > 0) add_character(json, plain, nul);
    add(json, "\"");
    lsqi_buf_add(plain, "", 1);
}

static void add_anything(struct lsqi_buf *json, unsigned depth) {
    static const char *const values[] = {"null", "true", "-1.5e10", "\"a\\\"b]}\"",
                                         "[]",   "{}",   "0"};

    add_space(json);
    if (depth == 0 || chance(2) == 0) {
        add(json, values[chance(7)]);
    } else if (chance(2) == 0) {
        add(json, "[");
        add_anything(json, depth - 1);
        add(json, ",");
        add_anything(json, depth - 1);
        add(json, "]");
    } else {
        add(json, "{\"rows\":");
        add_anything(json, depth - 1);
        add(json, ",\"type\":");
        add_anything(json, depth - 1);
        add(json, "}");
    }
    add_space(json);
}

/* ,"name": */
static struct lsqi_buf *member(struct members *members, const char *name) {
    struct lsqi_buf *json = &members->list[members->count++];

    assert_true(members->count <= MOST_MEMBERS);
    *json = (struct lsqi_buf){0};
    add_space(json);
    lsqi_json_string(json, name, strlen(name));
    add_space(json);
    add(json, ":");
    add_space(json);
    return json;
}

static void add_object(struct lsqi_buf *json, struct members *members) {
    if (chance(3) == 0) add_anything(member(members, "unknown \"key\""), 3);
    if (chance(9) == 0) add(member(members, "query_duration_ms"), "0.25");
    add(json, "{");
    for (size_t left = members->count; left > 0; left--) {
        size_t which = chance(2) == 0 ? 0 : chance((unsigned)left);
        struct lsqi_buf one = members->list[which];

        memmove(&members->list[which], &members->list[which + 1], (left - which - 1) * sizeof(one));
        if (left < members->count) add(json, ",");
        lsqi_buf_add(json, one.data, one.len);
        lsqi_buf_release(&one);
        add_space(json);
    }
    members->count = 0;
    add(json, "}");
}

/* ---- Values, to the sink that keeps what is wanted ---- */

static const struct lsq_sink *sink;
static void *sink_ctx;

static void add_integer(struct lsqi_buf *json, int64_t value) {
    bool text = chance(4) > 0;

    if (text) add(json, "\"");
    lsqi_json_integer(json, value);
    if (text) add(json, "\"");
}

static int64_t random_integer(void) {
    int64_t value = (int64_t)random_next(&seed);

    if (chance(10) == 0) return chance(2) == 0 ? INT64_MIN : INT64_MAX;
    return value >> chance(64);
}

static double random_real(void) {
    uint64_t bits = random_next(&seed);
    double value;

    memcpy(&value, &bits, sizeof(value));
    if (chance(2) == 0 || value != value || value - value != 0)
        value = (double)(int64_t)bits / 1024;
    return value;
}

static void value_integer(struct members *members) {
    int64_t value = random_integer();

    add(member(members, "type"), "\"integer\"");
    add_integer(member(members, "value"), value);
    sink->integer(sink_ctx, value);
}

static void value_real(struct members *members) {
    double value = random_real();
    char text[40];

    add(member(members, "type"), "\"float\"");
    snprintf(text, sizeof(text), "%.17g", value);
    if (chance(2) == 0)
        lsqi_json_real(member(members, "value"), value);
    else
        add(member(members, "value"), text);
    sink->real(sink_ctx, value);
}

static void value_text(struct members *members) {
    struct lsqi_buf plain = {0};

    add(member(members, "type"), "\"text\"");
    add_text(member(members, "value"), &plain, true);
    sink->text(sink_ctx, plain.data, plain.len - 1);
    lsqi_buf_release(&plain);
}

static void value_blob(struct members *members) {
    struct lsqi_buf *json;
    unsigned char bytes[100];
    size_t len = chance(sizeof(bytes));

    for (size_t i = 0; i < len; i++) bytes[i] = (unsigned char)chance(256);
    add(member(members, "type"), chance(5) == 0 ? "\"blo\\u0062\"" : "\"blob\"");
    json = member(members, "base64");
    add(json, "\"");
    lsqi_base64_encode(json, bytes, len);
    while (chance(2) == 0 && json->data[json->len - 1] == '=')
        while (json->data[json->len - 1] == '=') json->len--;
    add(json, "\"");
    sink->blob(sink_ctx, bytes, len);
}

static void add_value(struct lsqi_buf *json) {
    struct members members = {.count = 0};

    switch (chance(5)) {
    case 0:
        add(member(&members, "type"), "\"null\"");
        if (chance(4) == 0) add(member(&members, "value"), "null");
        sink->null(sink_ctx);
        break;
    case 1: value_integer(&members); break;
    case 2: value_real(&members); break;
    case 3: value_text(&members); break;
    default: value_blob(&members);
    }
    add_object(json, &members);
}

static void add_row(struct lsqi_buf *json, size_t columns) {
    sink->row_begin(sink_ctx);
    add(json, "[");
    for (size_t i = 0; i < columns; i++) {
        if (i > 0) add(json, ",");
        add_space(json);
        add_value(json);
        add_space(json);
    }
    add(json, "]");
    sink->row_end(sink_ctx);
}

/* ---- Columns ---- */

/* [{"name":, "decltype":}, ...]; the texts are kept in names and types. */
static void add_columns(struct lsqi_buf *json, size_t count, char **names, char **types) {
    add(json, "[");
    for (size_t i = 0; i < count; i++) {
        struct members members = {.count = 0};
        struct lsqi_buf text = {0};

        if (i > 0) add(json, ",");
        add_text(member(&members, "name"), &text, false);
        names[i] = strdup(text.data);
        types[i] = NULL;
        if (chance(2) == 0) {
            add_text(member(&members, "decltype"), &text, false);
            types[i] = strdup(text.data);
        } else if (chance(2) == 0) {
            add(member(&members, "decltype"), "null");
        }
        lsqi_buf_release(&text);
        add_object(json, &members);
    }
    add(json, "]");
}

static void begin_statement(struct lsqi_buf *cols, size_t request, size_t step, size_t columns) {
    char *names[8];
    char *types[8];

    assert_true(columns <= 8);
    add_columns(cols, columns, names, types);
    if (columns > 0) {
        sink = want.handler.sink(want.handler.arg, request, step, &sink_ctx);
        sink->columns(sink_ctx, columns, (const char *const *)names);
        sink->types(sink_ctx, columns, (const char *const *)types);
    }
    for (size_t i = 0; i < columns; i++) {
        free(names[i]);
        free(types[i]);
    }
}

static void tell(const struct lsqi_hrana_result *result) {
    want.handler.result(want.handler.arg, result);
}

/* ---- Results ---- */

static void add_counts(struct members *members, struct lsqi_hrana_result *result) {
    result->affected_rows = chance(2) == 0 ? chance(100) : random_integer();
    add_integer(member(members, "affected_row_count"), result->affected_rows);
    if (chance(3) == 0) {
        add(member(members, "last_insert_rowid"), "null");
    } else {
        result->last_rowid = random_integer();
        add_integer(member(members, "last_insert_rowid"), result->last_rowid);
    }
}

static void add_statement(struct lsqi_buf *json, size_t request, size_t step) {
    struct lsqi_hrana_result result = {.kind = LSQI_HRANA_EXECUTE,
                                       .request = request,
                                       .step = step,
                                       .columns = chance(5),
                                       .rows = chance(6)};
    struct members members = {.count = 0};
    struct lsqi_buf *rows;

    if (result.columns == 0) result.rows = 0;
    begin_statement(member(&members, "cols"), request, step, result.columns);
    rows = member(&members, "rows");
    add(rows, "[");
    for (size_t i = 0; i < result.rows; i++) {
        if (i > 0) add(rows, ",");
        add_space(rows);
        add_row(rows, result.columns);
    }
    add_space(rows);
    add(rows, "]");
    add_counts(&members, &result);
    add_object(json, &members);
    tell(&result);
}

static void add_error(struct lsqi_buf *json, struct lsqi_buf *message, struct lsqi_buf *code) {
    struct members members = {.count = 0};

    lsqi_buf_reset(code);
    add_text(member(&members, "message"), message, false);
    if (chance(4) == 0)
        lsqi_buf_add(code, "", 1);
    else
        add_text(member(&members, "code"), code, false);
    add_object(json, &members);
}

static void add_told_error(struct lsqi_buf *json, size_t request, size_t step) {
    struct lsqi_buf message = {0};
    struct lsqi_buf code = {0};

    add_error(json, &message, &code);
    tell(&(struct lsqi_hrana_result){.kind = LSQI_HRANA_ERROR,
                                     .request = request,
                                     .step = step,
                                     .message = message.data,
                                     .code = code.data});
    lsqi_buf_release(&message);
    lsqi_buf_release(&code);
}

/* A step is 's' (it succeeds), 'f' (it fails) or '-' (it is not run). */
static void add_batch(struct lsqi_buf *json, size_t request) {
    struct members members = {.count = 0};
    struct lsqi_buf *results = member(&members, "step_results");
    struct lsqi_buf *errors = member(&members, "step_errors");
    size_t count = chance(6);
    char kinds[6];

    add(results, "[");
    for (size_t i = 0; i < count; i++) {
        kinds[i] = "sf-"[chance(3)];
        if (i > 0) add(results, ",");
        if (kinds[i] == 's')
            add_statement(results, request, i);
        else
            add(results, "null");
    }
    add(results, "]");
    add(errors, "[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) add(errors, ",");
        if (kinds[i] == 'f')
            add_told_error(errors, request, i);
        else
            add(errors, "null");
        if (kinds[i] == '-')
            tell(&(struct lsqi_hrana_result){
                .kind = LSQI_HRANA_SKIPPED, .request = request, .step = i});
    }
    add(errors, "]");
    add_object(json, &members);
    tell(&(struct lsqi_hrana_result){
        .kind = LSQI_HRANA_BATCH, .request = request, .step = SIZE_MAX});
}

static void add_description(struct lsqi_buf *json, size_t request) {
    struct members members = {.count = 0};
    struct lsqi_buf *params = member(&members, "params");
    struct lsqi_hrana_description description = {.param_count = chance(4),
                                                 .column_count = chance(4),
                                                 .is_explain = chance(2) == 0,
                                                 .is_readonly = chance(2) == 0};
    char *names[4];
    char *columns[4];
    char *types[4];

    add(params, "[");
    for (size_t i = 0; i < description.param_count; i++) {
        names[i] = chance(3) == 0 ? NULL : strdup(":name");
        if (i > 0) add(params, ",");
        add(params, names[i] == NULL ? "{\"name\":null}" : "{ \"name\" : \":name\" }");
    }
    add(params, "]");
    add_columns(member(&members, "cols"), description.column_count, columns, types);
    add(member(&members, "is_explain"), description.is_explain ? "true" : "false");
    add(member(&members, "is_readonly"), description.is_readonly ? "true" : "false");
    add_object(json, &members);
    description.params = (const char *const *)names;
    description.columns = (const char *const *)columns;
    description.types = (const char *const *)types;
    tell(&(struct lsqi_hrana_result){.kind = LSQI_HRANA_DESCRIBE,
                                     .request = request,
                                     .step = SIZE_MAX,
                                     .description = &description});
    for (size_t i = 0; i < description.param_count; i++) free(names[i]);
    for (size_t i = 0; i < description.column_count; i++) free(columns[i]), free(types[i]);
}

/* ---- A pipeline ---- */

static void add_response(struct lsqi_buf *json, size_t request) {
    struct members members = {.count = 0};
    struct lsqi_hrana_result other = {
        .kind = LSQI_HRANA_OTHER, .request = request, .step = SIZE_MAX};

    switch (chance(5)) {
    case 0:
        add(member(&members, "type"), "\"batch\"");
        add_batch(member(&members, "result"), request);
        break;
    case 1:
        add(member(&members, "type"), "\"describe\"");
        add_description(member(&members, "result"), request);
        break;
    case 2:
        other.kind = LSQI_HRANA_AUTOCOMMIT;
        other.autocommit = chance(2) == 0;
        add(member(&members, "type"), "\"get_autocommit\"");
        add(member(&members, "is_autocommit"), other.autocommit ? "true" : "false");
        tell(&other);
        break;
    case 3:
        add(member(&members, "type"), "\"close\"");
        tell(&other);
        break;
    default:
        add(member(&members, "type"), "\"execute\"");
        add_statement(member(&members, "result"), request, SIZE_MAX);
    }
    add_object(json, &members);
}

static void add_entry(struct lsqi_buf *json, size_t request) {
    struct members members = {.count = 0};
    bool fails = chance(6) == 0;

    add(member(&members, "type"), fails ? "\"error\"" : "\"ok\"");
    if (fails)
        add_told_error(member(&members, "error"), request, SIZE_MAX);
    else
        add_response(member(&members, "response"), request);
    if (chance(6) == 0) add(member(&members, fails ? "response" : "error"), "null");
    add_object(json, &members);
}

static void make_pipeline(struct lsqi_buf *json) {
    struct members members = {.count = 0};
    struct lsqi_buf *results = member(&members, "results");
    size_t count = chance(6);

    add(member(&members, "baton"), "null");
    add(member(&members, "base_url"), "\"http:\\/\\/host\"");
    add(results, "[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) add(results, ",");
        add_space(results);
        add_entry(results, i);
    }
    add(results, "]");
    add_space(json);
    add_object(json, &members);
    add_space(json);
}

/* ---- A cursor ---- */

static struct members line(const char *type) {
    struct members members = {.count = 0};
    struct lsqi_buf *json = member(&members, "type");

    lsqi_json_string(json, type, strlen(type));
    return members;
}

static void end_line(struct lsqi_buf *json, struct members *members) {
    add_object(json, members);
    add(json, "\n");
    if (chance(6) > 0) return;
    /* What it is must come first: else its row would be one. */
    add(json, "{\"type\":\"something new\",\"row\":");
    add_anything(json, 2);
    add(json, "}\n");
}

static void add_step(struct lsqi_buf *json, size_t step) {
    struct lsqi_hrana_result result = {
        .kind = LSQI_HRANA_EXECUTE, .step = step, .columns = chance(5), .rows = chance(6)};
    struct members members = line("step_begin");

    if (result.columns == 0) result.rows = 0;
    add_integer(member(&members, "step"), (int64_t)step);
    begin_statement(member(&members, "cols"), 0, step, result.columns);
    end_line(json, &members);
    for (size_t i = 0; i < result.rows; i++) {
        members = line("row");
        add_row(member(&members, "row"), result.columns);
        end_line(json, &members);
    }
    if (chance(5) == 0) {
        members = line("step_error");
        add_integer(member(&members, "step"), (int64_t)step);
        add_told_error(member(&members, "error"), 0, step);
        end_line(json, &members);
        return;
    }
    members = line("step_end");
    add_counts(&members, &result);
    tell(&result);
    end_line(json, &members);
}

static void make_cursor(struct lsqi_buf *json) {
    struct members members = {.count = 0};
    size_t count = chance(3) + 1;

    add(member(&members, "baton"), "\"baton\"");
    add(member(&members, "base_url"), "null");
    add_object(json, &members);
    add(json, "\n");
    for (size_t i = 0; i < count; i++) add_step(json, i);
    members = line("replication_index");
    add_integer(member(&members, "replication_index"), 17);
    add_object(json, &members);
}

/* ---- Comparing ---- */

static void compare(enum lsqi_hrana_form form, void (*make)(struct lsqi_buf *), const char *end) {
    struct lsqi_buf json = {0};
    struct transcript got;
    struct answer answer = {.form = form};
    uint64_t pieces_seed;

    transcript_init(&want);
    transcript_init(&got);
    make(&json);
    lsqi_buf_add_text(&want.text, end);
    lsqi_buf_add(&want.text, "", 1);
    answer.data = json.data;
    answer.len = json.len;
    pieces_seed = random_next(&seed);
    transcribe(&got, &answer,
               (struct pieces){.size = chance(200) + 1, .rows = chance(3), .seed = &pieces_seed},
               &last_error);
    if (strcmp(want.text.data, got.text.data) != 0)
        fail_msg("%.*s\nis told as\n%s\nnot\n%s\n%s", (int)json.len, json.data, got.text.data,
                 want.text.data, last_error.message);
    lsqi_buf_release(&json);
    lsqi_buf_release(&got.text);
    lsqi_buf_release(&want.text);
}

static void random_pipelines(void **state) {
    (void)state;
    seed = test_seed();
    for (int i = 0; i < ANSWERS_EACH; i++)
        compare(LSQI_HRANA_PIPELINE, make_pipeline, "ok baton - url http://host index -1\n");
}

static void random_cursors(void **state) {
    (void)state;
    seed = test_seed();
    for (int i = 0; i < ANSWERS_EACH; i++)
        compare(LSQI_HRANA_CURSOR, make_cursor, "ok baton baton url - index 17\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_pipelines),
        cmocka_unit_test(random_cursors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
