/* Encoder and decoder against a real server: what goes out comes back, and each kind of request is understood. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/answer.h"
#include "../support/db.h"
#include "../support/http_call.h"
#include "../support/sqld.h"
#include "hrana/encode.h"

enum { ROUNDS = 30, VALUES = 40, MOST_BYTES = 2000 };

static struct sqld server;
static struct lsqi_buf body;
static struct transcript got;
static struct lsqi_buf bytes[VALUES];
static uint64_t seed;

static int start(void **state) {
    (void)state;
    sqld_start(&server, NULL);
    transcript_init(&got);
    return 0;
}

static int stop(void **state) {
    sqld_kill(&server);
    lsqi_buf_release(&body);
    lsqi_buf_release(&got.text);
    for (size_t i = 0; i < VALUES; i++) lsqi_buf_release(&bytes[i]);
    return db_forget(state);
}

/* Sends the body to url/path, and has the answer told. */
static void ask_server(const char *path, enum lsqi_hrana_form form) {
    struct http_call call;
    struct answer answer = {.form = form};
    char url[128];

    snprintf(url, sizeof(url), "%s%s", server.url, path);
    http_call_init(&call, url);
    call.request.body = body.data;
    call.request.body_len = body.len;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    if (call.status != 200) fail_msg("%d: %.*s", call.status, (int)call.len, call.data);
    answer.data = call.data;
    answer.len = call.len;
    lsqi_buf_reset(&got.text);
    if (transcribe(&got, &answer, (struct pieces){.size = 1000, .rows = SIZE_MAX}, &last_error) !=
        LSQ_OK)
        fail_msg("%s", last_error.message);
    http_call_free(&call);
}

static struct lsqi_hrana_stmt stmt_of(const char *sql, const struct lsq_params *params) {
    return (struct lsqi_hrana_stmt){
        .sql = sql, .len = strlen(sql), .params = params, .want_rows = true};
}

/* ---- Values ---- */

static struct lsq_value random_value(struct lsqi_buf *keep) {
    static const char *const characters[] = {"a",
                                             "\"",
                                             "\\",
                                             "/",
                                             "\n",
                                             "\x01",
                                             "\x7f",
                                             " ",
                                             "\xc3\xa9",
                                             "\xe2\x82\xac",
                                             "\xf0\x9f\x98\x80"};
    uint64_t bits = random_next(&seed);
    size_t len = random_next(&seed) % (random_next(&seed) % 10 == 0 ? MOST_BYTES : 20);
    double real;

    lsqi_buf_reset(keep);
    switch (random_next(&seed) % 5) {
    case 0: return lsq_null();
    case 1: return lsq_int((int64_t)bits >> bits % 64);
    case 2: memcpy(&real, &bits, sizeof(real)); return lsq_real(isfinite(real) ? real : 0.1);
    case 3:
        for (size_t i = 0; i < len; i++)
            lsqi_buf_add_text(keep, characters[random_next(&seed) % 11]);
        return lsq_text(keep->data, keep->len);
    default:
        for (size_t i = 0; i < len; i++) {
            char byte = (char)random_next(&seed);

            lsqi_buf_add(keep, &byte, 1);
        }
        return lsq_blob(keep->data, keep->len);
    }
}

/* The row as a transcript has it. */
static char *row_text(const struct lsq_value *values, size_t count) {
    struct transcript row;
    const struct lsq_sink *sink;
    void *ctx;

    transcript_init(&row);
    sink = row.handler.sink(row.handler.arg, 0, SIZE_MAX, &ctx);
    lsqi_buf_reset(&row.text);
    sink->row_begin(ctx);
    for (size_t i = 0; i < count; i++) {
        const struct lsq_value *value = &values[i];
        const char *data = value->as.bytes.len > 0 ? value->as.bytes.data : "";

        switch (value->type) {
        case LSQ_TYPE_INTEGER: sink->integer(ctx, value->as.integer); break;
        case LSQ_TYPE_REAL: sink->real(ctx, value->as.real); break;
        case LSQ_TYPE_TEXT: sink->text(ctx, data, value->as.bytes.len); break;
        case LSQ_TYPE_BLOB: sink->blob(ctx, data, value->as.bytes.len); break;
        default: sink->null(ctx);
        }
    }
    sink->row_end(ctx);
    lsqi_buf_add(&row.text, "", 1);
    return row.text.data; /* the buffer's memory goes to the caller */
}

static void came_back(const struct lsq_value *values) {
    char *want = row_text(values, VALUES);

    if (strstr(got.text.data, want) == NULL) fail_msg("%s\nnot\n%s", got.text.data, want);
    lsqi_buf_release(&(struct lsqi_buf){.data = want});
}

static void values_come_back(void **state) {
    struct lsq_value values[VALUES];
    struct lsq_params params = {.values = values, .count = VALUES};
    struct lsqi_buf sql = {0};
    struct lsqi_hrana_stmt stmt;

    (void)state;
    seed = test_seed();
    for (size_t i = 0; i < VALUES; i++) lsqi_buf_add_text(&sql, i == 0 ? "SELECT ?" : ",?");
    lsqi_buf_add(&sql, "", 1);
    stmt = stmt_of(sql.data, &params);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < VALUES; i++) values[i] = random_value(&bytes[i]);
        assert_int_equal(lsqi_hrana_check(stmt.sql, stmt.len, &params, &last_error), LSQ_OK);
        lsqi_buf_reset(&body);
        lsqi_hrana_begin(&body, NULL);
        lsqi_hrana_execute(&body, &stmt);
        lsqi_hrana_request(&body, "close");
        assert_true(lsqi_hrana_end(&body));
        ask_server("/v3/pipeline", LSQI_HRANA_PIPELINE);
        came_back(values);
        lsqi_buf_reset(&body);
        assert_true(lsqi_hrana_cursor(&body, NULL, &stmt,
                                      (struct lsqi_hrana_cond){.kind = LSQI_HRANA_ALWAYS}));
        ask_server("/v3/cursor", LSQI_HRANA_CURSOR);
        came_back(values);
    }
    lsqi_buf_release(&sql);
}

/* ---- Requests ---- */

static void tells(const char *want) {
    if (strncmp(got.text.data, want, strlen(want)) != 0)
        fail_msg("%s\nnot\n%s", got.text.data, want);
}

static void every_kind_of_request(void **state) {
    const struct lsq_value values[] = {lsq_int(1), lsq_text("x", 1)};
    const struct lsq_name names[] = {{":a", 2}, {"b", 1}};
    struct lsq_params params = {.values = values, .names = names, .count = 2};
    struct lsqi_hrana_stmt named = stmt_of("SELECT :a, @b", &params);
    struct lsqi_hrana_stmt stored = {.sql_id = 3, .want_rows = true};

    (void)state;
    lsqi_buf_reset(&body);
    lsqi_hrana_begin(&body, NULL);
    lsqi_hrana_execute(&body, &named);
    lsqi_hrana_sequence(&body, "CREATE TABLE t (id INTEGER PRIMARY KEY); BEGIN", 46);
    lsqi_hrana_request(&body, "get_autocommit");
    lsqi_hrana_describe(&body, "SELECT id FROM t WHERE id = ?1", 30);
    lsqi_hrana_store_sql(&body, 3, "SELECT 7 AS seven", 17);
    lsqi_hrana_execute(&body, &stored);
    lsqi_hrana_close_sql(&body, 3);
    lsqi_hrana_request(&body, "close");
    assert_true(lsqi_hrana_end(&body));
    ask_server("/v3/pipeline", LSQI_HRANA_PIPELINE);
    tells("sink 0 columns: \":a\" \"@b\" types: - -\n    1 \"x\";\n"
          "execute 0 columns 2 rows 1 affected 0 rowid 0\n"
          "other 1\n"
          "autocommit 2 no\n"
          "describe 3 params: \"?1\" columns: \"id\" types: \"INTEGER\" readonly\n"
          "other 4\n"
          "sink 5 columns: \"seven\" types: -\n    7;\n"
          "execute 5 columns 1 rows 1 affected 0 rowid 0\n"
          "other 6\n"
          "other 7\n"
          "ok baton - ");
}

/* A transaction as one batch: a failing step rolls it back. */
static void conditions_of_a_batch(void **state) {
    static const struct {
        const char *sql;
        struct lsqi_hrana_cond cond;
    } steps[] = {
        {"BEGIN", {LSQI_HRANA_ALWAYS, 0}},
        {"CREATE TABLE u (n UNIQUE)", {LSQI_HRANA_IF_OK, 0}},
        {"INSERT INTO u VALUES (1), (1)", {LSQI_HRANA_IF_OK, 1}},
        {"COMMIT", {LSQI_HRANA_IF_OK, 2}},
        {"SELECT 'rolled back'", {LSQI_HRANA_IF_NOT_OK, 3}},
        {"ROLLBACK", {LSQI_HRANA_IF_IN_TXN, 0}},
        {"SELECT 'not reached'", {LSQI_HRANA_IF_IN_TXN, 0}},
        {"SELECT count(*) FROM sqlite_master WHERE name = 'u'", {LSQI_HRANA_IF_OK, 5}},
    };

    (void)state;
    lsqi_buf_reset(&body);
    lsqi_hrana_begin(&body, NULL);
    lsqi_hrana_batch_begin(&body);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct lsqi_hrana_stmt stmt = stmt_of(steps[i].sql, NULL);

        lsqi_hrana_batch_step(&body, &stmt, steps[i].cond);
    }
    lsqi_hrana_batch_end(&body);
    lsqi_hrana_request(&body, "close");
    assert_true(lsqi_hrana_end(&body));
    ask_server("/v3/pipeline", LSQI_HRANA_PIPELINE);
    tells("execute 0.0 columns 0 rows 0 affected 0 rowid 0\n"
          "execute 0.1 columns 0 rows 0 affected 0 rowid 0\n"
          "sink 0.4 columns: \"'rolled back'\" types: -\n    \"rolled back\";\n"
          "execute 0.4 columns 1 rows 1 affected 0 rowid 0\n"
          "execute 0.5 columns 0 rows 0 affected 0 rowid 0\n"
          "sink 0.7 columns: \"count(*)\" types: -\n    0;\n"
          "execute 0.7 columns 1 rows 1 affected 0 rowid 0\n"
          "error 0.2 \"SQLITE_CONSTRAINT\" \"SQLite error: UNIQUE constraint failed: u.n\"\n"
          "skipped 0.3\n"
          "skipped 0.6\n"
          "batch 0\n"
          "other 1\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_come_back, start, stop),
        cmocka_unit_test_setup_teardown(every_kind_of_request, start, stop),
        cmocka_unit_test_setup_teardown(conditions_of_a_batch, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
