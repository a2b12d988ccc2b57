/* Parameters in, rows out. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "conn/conn.h"

/* ---- Parameters ---- */

static int bind_value(sqlite3_stmt *stmt, int i, const struct lsq_value *value,
                      void (*keep)(void *)) {
    const void *data = value->as.bytes.data == NULL ? "" : value->as.bytes.data;

    /* The engine takes a length over 2^63 as "up to the NUL". */
    if (value->type >= LSQ_TYPE_TEXT && value->as.bytes.len > INT_MAX) return SQLITE_TOOBIG;
    switch (value->type) {
    case LSQ_TYPE_NULL: return sqlite3_bind_null(stmt, i);
    case LSQ_TYPE_INTEGER: return sqlite3_bind_int64(stmt, i, value->as.integer);
    case LSQ_TYPE_REAL:
        if (isnan(value->as.real)) return SQLITE_MISMATCH;
        return sqlite3_bind_double(stmt, i, value->as.real);
    case LSQ_TYPE_TEXT:
        return sqlite3_bind_text64(stmt, i, data, value->as.bytes.len, keep, SQLITE_UTF8);
    case LSQ_TYPE_BLOB: return sqlite3_bind_blob64(stmt, i, data, value->as.bytes.len, keep);
    default: return SQLITE_MISUSE;
    }
}

static bool same_name(const char *parameter, const struct lsq_name *name) {
    const char *text = name->text;
    size_t len = name->len;

    if (len > 0 && (text[0] == ':' || text[0] == '@' || text[0] == '$')) {
        if (text[0] != parameter[0]) return false;
        text++;
        len--;
    }
    return strlen(parameter + 1) == len && memcmp(parameter + 1, text, len) == 0;
}

static enum lsq_status bind_failed(int i, int rc, struct lsq_error *err) {
    if (rc == SQLITE_NOMEM) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a parameter");
    if (rc == SQLITE_TOOBIG)
        return lsqi_error_set(err, LSQ_TOO_BIG, "parameter %d is longer than the engine allows", i);
    if (rc == SQLITE_MISMATCH)
        return lsqi_error_set(err, LSQ_PARAMETERS, "parameter %d is not a number (NaN)", i);
    return lsqi_error_set(err, LSQ_PARAMETERS, "parameter %d cannot be bound: %s", i,
                          sqlite3_errstr(rc));
}

static enum lsq_status bind_named(sqlite3_stmt *stmt, int count, const struct lsq_params *params,
                                  void (*keep)(void *), struct lsq_error *err) {
    for (int i = 1; i <= count; i++) {
        const char *name = sqlite3_bind_parameter_name(stmt, i);
        size_t at = 0;
        int rc;

        if (name == NULL || name[0] == '?')
            return lsqi_error_set(err, LSQ_PARAMETERS,
                                  "parameter %d has no name: give the parameters by position", i);
        while (at < params->count && !same_name(name, &params->names[at])) at++;
        if (at == params->count)
            return lsqi_error_set(err, LSQ_PARAMETERS, "there is no value for parameter %s", name);
        rc = bind_value(stmt, i, &params->values[at], keep);
        if (rc != SQLITE_OK) return bind_failed(i, rc, err);
    }
    return LSQ_OK;
}

enum lsq_status lsqi_bind(struct lsqi_prepared *prepared, const struct lsq_params *params,
                          bool copy, struct lsq_error *err) {
    static const struct lsq_params none = {0};
    void (*keep)(void *) = copy ? SQLITE_TRANSIENT : SQLITE_STATIC;
    int count = sqlite3_bind_parameter_count(prepared->stmt);

    if (params == NULL) params = &none;
    if (params->count > 0 && params->values == NULL)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the parameters' values are NULL");
    if (params->names != NULL) return bind_named(prepared->stmt, count, params, keep, err);
    if (params->count != (size_t)count)
        return lsqi_error_set(
            err, LSQ_PARAMETERS, "the statement has %d parameter%s, and %zu %s given", count,
            count == 1 ? "" : "s", params->count, params->count == 1 ? "was" : "were");
    for (int i = 1; i <= count; i++) {
        int rc = bind_value(prepared->stmt, i, &params->values[i - 1], keep);

        if (rc != SQLITE_OK) return bind_failed(i, rc, err);
    }
    return LSQ_OK;
}

/* ---- Copies of parameters ---- */

void lsqi_params_release(struct lsq_params *params) {
    for (size_t i = 0; params->values != NULL && i < params->count; i++) {
        const struct lsq_value *value = &params->values[i];

        if (value->type >= LSQ_TYPE_TEXT) lsqi_free((void *)value->as.bytes.data);
        if (params->names != NULL) lsqi_free((void *)params->names[i].text);
    }
    lsqi_free((void *)params->values);
    lsqi_free((void *)params->names);
}

static bool value_copy(struct lsq_value *copy, const struct lsq_value *value) {
    *copy = *value;
    if (value->type < LSQ_TYPE_TEXT) return true;
    copy->as.bytes.data =
        lsqi_strndup(value->as.bytes.len == 0 ? "" : value->as.bytes.data, value->as.bytes.len);
    return copy->as.bytes.data != NULL;
}

bool lsqi_params_copy(struct lsq_params *copy, const struct lsq_params *params) {
    struct lsq_value *values;
    struct lsq_name *names = NULL;

    if (params == NULL || params->count == 0) return true;
    values = lsqi_calloc(params->count, sizeof(*values));
    if (params->names != NULL) names = lsqi_calloc(params->count, sizeof(*names));
    *copy = (struct lsq_params){.values = values, .names = names};
    if (values == NULL || (params->names != NULL && names == NULL)) return false;
    copy->count = params->count;
    for (size_t i = 0; i < params->count; i++) {
        if (!value_copy(&values[i], &params->values[i])) return false;
        if (names == NULL) continue;
        names[i] = params->names[i];
        names[i].text = lsqi_strndup(params->names[i].text, params->names[i].len);
        if (names[i].text == NULL) return false;
    }
    return true;
}

/* ---- Rows ---- */

/* Of all columns, to the sink's slot. A name that is missing is for want of memory. */
static bool push_texts(sqlite3_stmt *stmt, const char *get(sqlite3_stmt *stmt, int i), bool all,
                       bool push(void *ctx, size_t count, const char *const *texts), void *ctx) {
    enum { ON_STACK = 32 };
    const char *few[ON_STACK];
    const char **texts = few;
    int count = sqlite3_column_count(stmt);
    bool ok = true;

    if (count > ON_STACK) {
        texts = lsqi_malloc((size_t)count * sizeof(*texts));
        if (texts == NULL) return false;
    }
    for (int i = 0; ok && i < count; i++) {
        texts[i] = get(stmt, i);
        ok = texts[i] != NULL || !all;
    }
    ok = ok && push(ctx, (size_t)count, texts);
    if (texts != few) lsqi_free(texts);
    return ok;
}

bool lsqi_push_columns(sqlite3_stmt *stmt, unsigned flags, const struct lsq_sink *sink, void *ctx) {
    if (sink == NULL) return true;
    if (!push_texts(stmt, sqlite3_column_name, true, sink->columns, ctx)) return false;
    if ((flags & LSQ_CALL_TYPES) == 0 || sink->types == NULL) return true;
    return push_texts(stmt, sqlite3_column_decltype, false, sink->types, ctx);
}

static bool push_value(sqlite3_stmt *stmt, int i, const struct lsq_sink *sink, void *ctx) {
    const void *data;

    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER: return sink->integer(ctx, sqlite3_column_int64(stmt, i));
    case SQLITE_FLOAT: return sink->real(ctx, sqlite3_column_double(stmt, i));
    case SQLITE_TEXT:
        data = sqlite3_column_text(stmt, i);
        return data != NULL && sink->text(ctx, data, (size_t)sqlite3_column_bytes(stmt, i));
    case SQLITE_BLOB:
        data = sqlite3_column_blob(stmt, i);
        if (data == NULL) return sqlite3_column_bytes(stmt, i) == 0 && sink->blob(ctx, "", 0);
        return sink->blob(ctx, data, (size_t)sqlite3_column_bytes(stmt, i));
    default: return sink->null(ctx);
    }
}

bool lsqi_push_row(sqlite3_stmt *stmt, int columns, const struct lsq_sink *sink, void *ctx) {
    if (sink == NULL) return true;
    if (sink->row_begin != NULL && !sink->row_begin(ctx)) return false;
    for (int i = 0; i < columns; i++) {
        if (!push_value(stmt, i, sink, ctx)) return false;
    }
    return sink->row_end(ctx);
}
