/* result.c - rows kept in memory, for C users and for cursors that must be read at once. */
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "lsq/lsq.h"

enum { FIRST_VALUES = 64, CHUNK_BYTES = 4096 };

/* Bytes of texts and blobs. A chunk never moves, so a value may point into it. */
struct chunk {
    struct chunk *next;
    size_t used;
    size_t size;
    char bytes[];
};

struct lsq_result {
    size_t columns;
    size_t rows;
    struct lsq_value *values; /* row by row */
    size_t used;
    size_t size;
    struct chunk *chunks;
    char **names;
};

/* ---- Memory ---- */

/* Room for len bytes and a NUL. */
static char *take_bytes(struct lsq_result *res, size_t len) {
    struct chunk *chunk = res->chunks;
    size_t size;
    char *at;

    if (len >= SIZE_MAX / 4) return NULL;
    if (chunk == NULL || chunk->size - chunk->used <= len) {
        size = chunk == NULL ? CHUNK_BYTES : chunk->size * 2;
        if (size > 16 * 1024 * 1024) size = 16 * 1024 * 1024;
        if (size <= len) size = len + 1;
        chunk = lsqi_malloc(sizeof(*chunk) + size);
        if (chunk == NULL) return NULL;
        *chunk = (struct chunk){.next = res->chunks, .size = size};
        res->chunks = chunk;
    }
    at = chunk->bytes + chunk->used;
    chunk->used += len + 1;
    return at;
}

static const void *keep_bytes(struct lsq_result *res, const void *data, size_t len) {
    char *at = take_bytes(res, len);

    if (at == NULL) return NULL;
    if (len > 0) memcpy(at, data, len);
    at[len] = '\0';
    return at;
}

static bool add(struct lsq_result *res, struct lsq_value value) {
    if (res->used == res->size) {
        size_t size = res->size == 0 ? FIRST_VALUES : res->size * 2;
        struct lsq_value *values;

        if (size > SIZE_MAX / sizeof(*values)) return false;
        values = lsqi_realloc(res->values, size * sizeof(*values));
        if (values == NULL) return false;
        res->values = values;
        res->size = size;
    }
    res->values[res->used++] = value;
    return true;
}

static void clear(struct lsq_result *res) {
    while (res->chunks != NULL) {
        struct chunk *next = res->chunks->next;

        lsqi_free(res->chunks);
        res->chunks = next;
    }
    lsqi_free(res->names);
    lsqi_free(res->values);
    *res = (struct lsq_result){0};
}

/* ---- The sink ---- */

static bool sink_columns(void *ctx, size_t count, const char *const *names) {
    struct lsq_result *res = ctx;

    clear(res);
    if (count == 0) return true;
    res->names = lsqi_calloc(count, sizeof(char *));
    if (res->names == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        res->names[i] = (char *)keep_bytes(res, names[i], strlen(names[i]));
        if (res->names[i] == NULL) return false;
    }
    res->columns = count;
    return true;
}

static bool sink_null(void *ctx) { return add(ctx, lsq_null()); }
static bool sink_integer(void *ctx, int64_t value) { return add(ctx, lsq_int(value)); }
static bool sink_real(void *ctx, double value) { return add(ctx, lsq_real(value)); }

static bool sink_text(void *ctx, const char *text, size_t len) {
    const char *kept = keep_bytes(ctx, text, len);

    return kept != NULL && add(ctx, lsq_text(kept, len));
}

static bool sink_blob(void *ctx, const void *data, size_t len) {
    const void *kept = keep_bytes(ctx, data, len);

    return kept != NULL && add(ctx, lsq_blob(kept, len));
}

static bool sink_row_end(void *ctx) {
    struct lsq_result *res = ctx;

    res->rows++;
    return true;
}

const struct lsq_sink *lsq_result_sink(void) {
    static const struct lsq_sink sink = {
        .columns = sink_columns,
        .row_begin = NULL,
        .null = sink_null,
        .integer = sink_integer,
        .real = sink_real,
        .text = sink_text,
        .blob = sink_blob,
        .row_end = sink_row_end,
        .statement_end = NULL,
    };

    return &sink;
}

/* ---- Results ---- */

enum lsq_status lsq_result_new(struct lsq_result **out, struct lsq_error *err) {
    struct lsq_result *res = lsqi_calloc(1, sizeof(*res));

    if (res == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a result");
    *out = res;
    return LSQ_OK;
}

void lsq_result_free(struct lsq_result *res) {
    if (res == NULL) return;
    clear(res);
    lsqi_free(res);
}

size_t lsq_result_rows(const struct lsq_result *res) { return res->rows; }
size_t lsq_result_columns(const struct lsq_result *res) { return res->columns; }

const char *lsq_result_name(const struct lsq_result *res, size_t column) {
    return column < res->columns ? res->names[column] : NULL;
}

struct lsq_value lsq_result_value(const struct lsq_result *res, size_t row, size_t column) {
    if (row >= res->rows || column >= res->columns) return lsq_null();
    return res->values[row * res->columns + column];
}

int64_t lsq_result_int(const struct lsq_result *res, size_t row, size_t column) {
    struct lsq_value value = lsq_result_value(res, row, column);

    return value.type == LSQ_TYPE_INTEGER ? value.as.integer : 0;
}

double lsq_result_real(const struct lsq_result *res, size_t row, size_t column) {
    struct lsq_value value = lsq_result_value(res, row, column);

    return value.type == LSQ_TYPE_REAL ? value.as.real : 0.0;
}

const char *lsq_result_text(const struct lsq_result *res, size_t row, size_t column) {
    struct lsq_value value = lsq_result_value(res, row, column);

    return value.type == LSQ_TYPE_TEXT ? value.as.bytes.data : "";
}
