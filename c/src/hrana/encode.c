#include "hrana/encode.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "hrana/base64.h"
#include "hrana/json_write.h"

/* A comma between two members, by what stands before it. */
static void separate(struct lsqi_buf *buf) {
    char last = buf->len > 0 ? buf->data[buf->len - 1] : '[';

    if (last != '[' && last != '{') lsqi_buf_add_text(buf, ",");
}

/* ---- What a server cannot take ---- */

static enum lsq_status check_value(const struct lsq_value *value, size_t number,
                                   struct lsq_error *err) {
    if (value->type == LSQ_TYPE_REAL && isinf(value->as.real))
        return lsqi_error_set(err, LSQ_PARAMETERS,
                              "parameter %zu is infinite, which cannot be sent to a server",
                              number);
    if (value->type == LSQ_TYPE_TEXT && !lsqi_utf8_valid(value->as.bytes.data, value->as.bytes.len))
        return lsqi_error_set(
            err, LSQ_PARAMETERS,
            "parameter %zu is a text that is not UTF-8, which cannot be sent to a "
            "server: send it as a blob",
            number);
    return LSQ_OK;
}

enum lsq_status lsqi_hrana_check(const char *sql, size_t len, const struct lsq_params *params,
                                 struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    if (sql != NULL && !lsqi_utf8_valid(sql, len))
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the SQL is not UTF-8");
    for (size_t i = 0; params != NULL && i < params->count && st == LSQ_OK; i++) {
        const struct lsq_name *name = params->names == NULL ? NULL : &params->names[i];

        st = check_value(&params->values[i], i + 1, err);
        if (st == LSQ_OK && name != NULL && !lsqi_utf8_valid(name->text, name->len))
            st = lsqi_error_set(err, LSQ_PARAMETERS, "the name of parameter %zu is not UTF-8",
                                i + 1);
    }
    return st;
}

/* ---- Statements ---- */

static void add_value(struct lsqi_buf *buf, const struct lsq_value *value) {
    const void *data = value->as.bytes.data;
    size_t len = value->as.bytes.len;

    switch (value->type) {
    case LSQ_TYPE_INTEGER:
        lsqi_buf_add_text(buf, "{\"type\":\"integer\",\"value\":\"");
        lsqi_json_integer(buf, value->as.integer);
        lsqi_buf_add_text(buf, "\"}");
        return;
    case LSQ_TYPE_REAL:
        if (isnan(value->as.real)) break; /* NULL, as the engine stores it */
        lsqi_buf_add_text(buf, "{\"type\":\"float\",\"value\":");
        lsqi_json_real(buf, value->as.real);
        lsqi_buf_add_text(buf, "}");
        return;
    case LSQ_TYPE_TEXT:
        lsqi_buf_add_text(buf, "{\"type\":\"text\",\"value\":");
        lsqi_json_string(buf, data, len);
        lsqi_buf_add_text(buf, "}");
        return;
    case LSQ_TYPE_BLOB:
        lsqi_buf_add_text(buf, "{\"type\":\"blob\",\"base64\":\"");
        lsqi_base64_encode(buf, data, len);
        lsqi_buf_add_text(buf, "\"}");
        return;
    default: break;
    }
    lsqi_buf_add_text(buf, "{\"type\":\"null\"}");
}

static void add_args(struct lsqi_buf *buf, const struct lsq_params *params) {
    lsqi_buf_add_text(buf, ",\"args\":[");
    for (size_t i = 0; i < params->count; i++) {
        separate(buf);
        add_value(buf, &params->values[i]);
    }
    lsqi_buf_add_text(buf, "]");
}

static void add_named_args(struct lsqi_buf *buf, const struct lsq_params *params) {
    lsqi_buf_add_text(buf, ",\"named_args\":[");
    for (size_t i = 0; i < params->count; i++) {
        separate(buf);
        lsqi_buf_add_text(buf, "{\"name\":");
        lsqi_json_string(buf, params->names[i].text, params->names[i].len);
        lsqi_buf_add_text(buf, ",\"value\":");
        add_value(buf, &params->values[i]);
        lsqi_buf_add_text(buf, "}");
    }
    lsqi_buf_add_text(buf, "]");
}

/* "stmt": {...} */
static void add_stmt(struct lsqi_buf *buf, const struct lsqi_hrana_stmt *stmt) {
    const struct lsq_params *params = stmt->params;

    lsqi_buf_add_text(buf, "\"stmt\":{");
    if (stmt->sql != NULL) {
        lsqi_buf_add_text(buf, "\"sql\":");
        lsqi_json_string(buf, stmt->sql, stmt->len);
    } else {
        lsqi_buf_add_text(buf, "\"sql_id\":");
        lsqi_json_integer(buf, stmt->sql_id);
    }
    if (params != NULL && params->count > 0) {
        if (params->names == NULL)
            add_args(buf, params);
        else
            add_named_args(buf, params);
    }
    lsqi_buf_add_text(buf, stmt->want_rows ? ",\"want_rows\":true}" : ",\"want_rows\":false}");
}

/* ---- A pipeline ---- */

static void add_baton(struct lsqi_buf *buf, const char *baton) {
    lsqi_buf_add_text(buf, "{\"baton\":");
    if (baton == NULL)
        lsqi_buf_add_text(buf, "null");
    else
        lsqi_json_string(buf, baton, strlen(baton));
}

/* {"type":"..." , on a line of its own: see lsqi_hrana_next_request(). */
static void request_begin(struct lsqi_buf *buf, const char *type) {
    separate(buf);
    lsqi_buf_add_text(buf, "\n{\"type\":");
    lsqi_json_string(buf, type, strlen(type));
}

void lsqi_hrana_begin(struct lsqi_buf *buf, const char *baton) {
    add_baton(buf, baton);
    lsqi_buf_add_text(buf, ",\"requests\":[");
}

bool lsqi_hrana_end(struct lsqi_buf *buf) {
    lsqi_buf_add_text(buf, "]}");
    return !buf->failed;
}

void lsqi_hrana_execute(struct lsqi_buf *buf, const struct lsqi_hrana_stmt *stmt) {
    request_begin(buf, "execute");
    separate(buf);
    add_stmt(buf, stmt);
    lsqi_buf_add_text(buf, "}");
}

static void add_sql_request(struct lsqi_buf *buf, const char *type, const char *sql, size_t len) {
    request_begin(buf, type);
    lsqi_buf_add_text(buf, ",\"sql\":");
    lsqi_json_string(buf, sql, len);
    lsqi_buf_add_text(buf, "}");
}

void lsqi_hrana_describe(struct lsqi_buf *buf, const char *sql, size_t len) {
    add_sql_request(buf, "describe", sql, len);
}

void lsqi_hrana_sequence(struct lsqi_buf *buf, const char *sql, size_t len) {
    add_sql_request(buf, "sequence", sql, len);
}

static void add_sql_id(struct lsqi_buf *buf, int32_t sql_id) {
    lsqi_buf_add_text(buf, ",\"sql_id\":");
    lsqi_json_integer(buf, sql_id);
}

void lsqi_hrana_store_sql(struct lsqi_buf *buf, int32_t sql_id, const char *sql, size_t len) {
    request_begin(buf, "store_sql");
    add_sql_id(buf, sql_id);
    lsqi_buf_add_text(buf, ",\"sql\":");
    lsqi_json_string(buf, sql, len);
    lsqi_buf_add_text(buf, "}");
}

void lsqi_hrana_close_sql(struct lsqi_buf *buf, int32_t sql_id) {
    request_begin(buf, "close_sql");
    add_sql_id(buf, sql_id);
    lsqi_buf_add_text(buf, "}");
}

void lsqi_hrana_request(struct lsqi_buf *buf, const char *type) {
    request_begin(buf, type);
    lsqi_buf_add_text(buf, "}");
}

/* ---- Batches ---- */

static void add_cond(struct lsqi_buf *buf, struct lsqi_hrana_cond cond) {
    if (cond.kind == LSQI_HRANA_IF_IN_TXN) {
        lsqi_buf_add_text(buf, "{\"type\":\"not\",\"cond\":{\"type\":\"is_autocommit\"}}");
        return;
    }
    if (cond.kind == LSQI_HRANA_IF_NOT_OK) lsqi_buf_add_text(buf, "{\"type\":\"not\",\"cond\":");
    lsqi_buf_add_text(buf, "{\"type\":\"ok\",\"step\":");
    lsqi_json_integer(buf, (int64_t)cond.step);
    lsqi_buf_add_text(buf, cond.kind == LSQI_HRANA_IF_NOT_OK ? "}}" : "}");
}

void lsqi_hrana_batch_begin(struct lsqi_buf *buf) {
    request_begin(buf, "batch");
    lsqi_buf_add_text(buf, ",\"batch\":{\"steps\":[");
}

void lsqi_hrana_batch_step(struct lsqi_buf *buf, const struct lsqi_hrana_stmt *stmt,
                           struct lsqi_hrana_cond cond) {
    separate(buf);
    lsqi_buf_add_text(buf, "{");
    if (cond.kind != LSQI_HRANA_ALWAYS) {
        lsqi_buf_add_text(buf, "\"condition\":");
        add_cond(buf, cond);
        lsqi_buf_add_text(buf, ",");
    }
    add_stmt(buf, stmt);
    lsqi_buf_add_text(buf, "}");
}

void lsqi_hrana_batch_end(struct lsqi_buf *buf) { lsqi_buf_add_text(buf, "]}}"); }

bool lsqi_hrana_cursor(struct lsqi_buf *buf, const char *baton, const struct lsqi_hrana_stmt *stmt,
                       struct lsqi_hrana_cond cond) {
    add_baton(buf, baton);
    lsqi_buf_add_text(buf, ",\"batch\":{\"steps\":[");
    lsqi_hrana_batch_step(buf, stmt, cond);
    lsqi_buf_add_text(buf, "]}}");
    return !buf->failed;
}
