#include <string.h>

#include "hrana/decoder.h"

/* ---- Rows that nobody wants ---- */

static bool drop_columns(void *ctx, size_t count, const char *const *names) {
    (void)ctx, (void)count, (void)names;
    return true;
}
static bool drop(void *ctx) {
    (void)ctx;
    return true;
}
static bool drop_integer(void *ctx, int64_t value) {
    (void)ctx, (void)value;
    return true;
}
static bool drop_real(void *ctx, double value) {
    (void)ctx, (void)value;
    return true;
}
static bool drop_text(void *ctx, const char *text, size_t len) {
    (void)ctx, (void)text, (void)len;
    return true;
}
static bool drop_blob(void *ctx, const void *data, size_t len) {
    (void)ctx, (void)data, (void)len;
    return true;
}

static const struct lsq_sink drop_sink = {
    .columns = drop_columns,
    .null = drop,
    .integer = drop_integer,
    .real = drop_real,
    .text = drop_text,
    .blob = drop_blob,
    .row_end = drop,
};

/* ---- A statement ---- */

void lsqi_hrana_statement_begin(struct lsqi_hrana_decoder *d) {
    lsqi_buf_reset(&d->held);
    d->columns_told = false;
    d->width = 0;
    d->sink = &drop_sink;
    d->sink_ctx = NULL;
    d->rows = 0;
    d->affected_rows = 0;
    d->last_rowid = 0;
}

static enum lsq_status tell_types(struct lsqi_hrana_decoder *d) {
    const char *const *types;

    if (!d->handler->types || d->sink->types == NULL) return LSQ_OK;
    types = lsqi_names_list(&d->types);
    if (types == NULL || !d->sink->types(d->sink_ctx, d->types.count, types))
        return lsqi_hrana_nomem(d);
    return LSQ_OK;
}

enum lsq_status lsqi_hrana_tell_columns(struct lsqi_hrana_decoder *d) {
    const struct lsqi_hrana_handler *handler = d->handler;
    const struct lsq_sink *sink = NULL;
    const char *const *names;

    if (d->columns_told) return LSQ_OK;
    d->columns_told = true;
    d->width = d->columns.count;
    if (d->width == 0 || handler->sink == NULL) return LSQ_OK;
    sink = handler->sink(handler->arg, d->request, d->step, &d->sink_ctx);
    if (sink == NULL) return LSQ_OK;
    d->sink = sink;
    d->told = true;
    names = lsqi_names_list(&d->columns);
    if (names == NULL || !sink->columns(d->sink_ctx, d->width, names)) return lsqi_hrana_nomem(d);
    return tell_types(d);
}

/* ---- Results ---- */

static enum lsq_status tell(struct lsqi_hrana_decoder *d, const struct lsqi_hrana_result *result) {
    d->told = true;
    return d->handler->result(d->handler->arg, result) ? LSQ_OK : LSQ_INTERRUPTED;
}

enum lsq_status lsqi_hrana_tell_statement(struct lsqi_hrana_decoder *d) {
    enum lsq_status st = lsqi_hrana_tell_columns(d);

    if (st != LSQ_OK) return st;
    return tell(d, &(struct lsqi_hrana_result){.kind = LSQI_HRANA_EXECUTE,
                                               .request = d->request,
                                               .step = d->step,
                                               .columns = d->width,
                                               .rows = d->rows,
                                               .affected_rows = d->affected_rows,
                                               .last_rowid = d->last_rowid});
}

static const char *text_of(const struct lsqi_buf *buf) { return buf->len > 0 ? buf->data : ""; }

enum lsq_status lsqi_hrana_tell_error(struct lsqi_hrana_decoder *d, size_t step) {
    return tell(d, &(struct lsqi_hrana_result){.kind = LSQI_HRANA_ERROR,
                                               .request = d->request,
                                               .step = step,
                                               .message = text_of(&d->message),
                                               .code = text_of(&d->code)});
}

static enum lsq_status tell_kind(struct lsqi_hrana_decoder *d, enum lsqi_hrana_kind kind) {
    return tell(d, &(struct lsqi_hrana_result){.kind = kind,
                                               .request = d->request,
                                               .step = SIZE_MAX,
                                               .autocommit = d->is_autocommit});
}

static enum lsq_status tell_description(struct lsqi_hrana_decoder *d) {
    struct lsqi_hrana_description description = {
        .param_count = d->params.count,
        .params = lsqi_names_list(&d->params),
        .column_count = d->columns.count,
        .columns = lsqi_names_list(&d->columns),
        .types = lsqi_names_list(&d->types),
        .is_explain = d->is_explain,
        .is_readonly = d->is_readonly,
    };

    if (description.params == NULL || description.columns == NULL || description.types == NULL)
        return lsqi_hrana_nomem(d);
    return tell(d, &(struct lsqi_hrana_result){.kind = LSQI_HRANA_DESCRIBE,
                                               .request = d->request,
                                               .step = SIZE_MAX,
                                               .description = &description});
}

/* ---- Batches ---- */

/* The step's place in the list, which grows to have it; NULL: no memory. */
static struct lsqi_hrana_step *step_at(struct lsqi_hrana_decoder *d, size_t number) {
    static const struct lsqi_hrana_step unknown = {false, false};

    while (d->steps.len <= number * sizeof(unknown) && !d->steps.failed)
        lsqi_buf_add(&d->steps, &unknown, sizeof(unknown));
    if (d->steps.failed) return NULL;
    return (struct lsqi_hrana_step *)(void *)d->steps.data + number;
}

static enum lsq_status keep_error(struct lsqi_hrana_decoder *d) {
    const char *message = text_of(&d->message);
    const char *code = text_of(&d->code);

    if (lsqi_names_add(&d->errors, message, strlen(message)) &&
        lsqi_names_add(&d->errors, code, strlen(code)))
        return LSQ_OK;
    return d->errors.text.failed ? lsqi_hrana_nomem(d)
                                 : lsqi_hrana_bad(d, "its errors are too long");
}

enum lsq_status lsqi_hrana_note_step(struct lsqi_hrana_decoder *d, bool told, bool failed) {
    struct lsqi_hrana_step *step;

    if (d->step >= LSQI_NAMES_MOST / 8) return lsqi_hrana_bad(d, "a batch has too many steps");
    step = step_at(d, d->step);
    if (step == NULL) return lsqi_hrana_nomem(d);
    step->told |= told;
    step->failed |= failed;
    if (step->told && step->failed) return lsqi_hrana_bad(d, "a step both succeeded and failed");
    d->step++;
    return failed ? keep_error(d) : LSQ_OK;
}

/* Those that failed, and those that were not run. */
static enum lsq_status tell_steps(struct lsqi_hrana_decoder *d) {
    const struct lsqi_hrana_step *steps = (const void *)d->steps.data;
    size_t count = d->steps.len / sizeof(*steps);
    const char *const *texts = lsqi_names_list(&d->errors);
    enum lsq_status st = LSQ_OK;

    if (texts == NULL) return lsqi_hrana_nomem(d);
    for (size_t i = 0; i < count && st == LSQ_OK; i++) {
        struct lsqi_hrana_result result = {
            .kind = LSQI_HRANA_SKIPPED, .request = d->request, .step = i};

        if (steps[i].told) continue;
        if (steps[i].failed) {
            result.kind = LSQI_HRANA_ERROR;
            result.message = *texts++;
            result.code = *texts++;
        }
        st = tell(d, &result);
    }
    return st;
}

/* ---- A response ---- */

static enum lsq_status tell_execute(struct lsqi_hrana_decoder *d) {
    if ((d->result_seen & (BIT(KEY_STEP_RESULTS) | BIT(KEY_STEP_ERRORS))) != 0)
        return lsqi_hrana_bad(d, "a statement's result is a batch's");
    return lsqi_hrana_tell_statement(d);
}

static enum lsq_status tell_batch(struct lsqi_hrana_decoder *d) {
    enum lsq_status st;

    if ((d->result_seen & BIT(KEY_STEP_RESULTS)) == 0)
        return lsqi_hrana_bad(d, "a batch has no \"step_results\"");
    st = tell_steps(d);
    return st == LSQ_OK ? tell_kind(d, LSQI_HRANA_BATCH) : st;
}

enum lsq_status lsqi_hrana_tell_response(struct lsqi_hrana_decoder *d, uint32_t seen) {
    enum lsqi_hrana_type type = d->type;
    bool needs_result = type == TYPE_EXECUTE || type == TYPE_BATCH || type == TYPE_DESCRIBE;

    if (type == TYPE_NONE) return lsqi_hrana_bad(d, "a response has no type");
    if (needs_result && (seen & BIT(KEY_RESULT)) == 0)
        return lsqi_hrana_bad(d, "a response has no result");
    if (type == TYPE_AUTOCOMMIT && (seen & BIT(KEY_IS_AUTOCOMMIT)) == 0)
        return lsqi_hrana_bad(d, "a response has no \"is_autocommit\"");
    switch (type) {
    case TYPE_EXECUTE: return tell_execute(d);
    case TYPE_BATCH: return tell_batch(d);
    case TYPE_DESCRIBE: return tell_description(d);
    case TYPE_AUTOCOMMIT: return tell_kind(d, LSQI_HRANA_AUTOCOMMIT);
    default: return tell_kind(d, LSQI_HRANA_OTHER);
    }
}

/* ---- A cursor's line ---- */

static enum lsq_status begin_step(struct lsqi_hrana_decoder *d) {
    if (d->step_open) return lsqi_hrana_bad(d, "a step begins within another");
    if (d->line_step == SIZE_MAX) return lsqi_hrana_bad(d, "a step has no number");
    lsqi_hrana_statement_begin(d);
    d->step = d->line_step;
    d->step_open = true;
    return lsqi_hrana_tell_columns(d);
}

static enum lsq_status end_step(struct lsqi_hrana_decoder *d) {
    if (!d->step_open) return lsqi_hrana_bad(d, "a step ends that did not begin");
    d->step_open = false;
    return lsqi_hrana_tell_statement(d);
}

static enum lsq_status fail_step(struct lsqi_hrana_decoder *d, uint32_t seen) {
    size_t step = d->line_step != SIZE_MAX ? d->line_step : d->step;

    if ((seen & BIT(KEY_ERROR)) == 0) return lsqi_hrana_bad(d, "an error says nothing");
    d->step_open = false;
    return lsqi_hrana_tell_error(d, d->type == TYPE_ERROR ? SIZE_MAX : step);
}

enum lsq_status lsqi_hrana_tell_line(struct lsqi_hrana_decoder *d, uint32_t seen) {
    bool row = (seen & BIT(KEY_ROW)) != 0;

    if (d->type == TYPE_NONE) return lsqi_hrana_bad(d, "a line has no type");
    if (row != (d->type == TYPE_ROW))
        return lsqi_hrana_bad(d, row ? "a row stands where none should" : "a row is missing");
    switch (d->type) {
    case TYPE_STEP_BEGIN: return begin_step(d);
    case TYPE_STEP_END: return end_step(d);
    case TYPE_STEP_ERROR:
    case TYPE_ERROR: return fail_step(d, seen);
    default: return LSQ_OK;
    }
}
