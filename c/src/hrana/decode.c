#include "hrana/decode.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/error.h"
#include "hrana/decoder.h"

enum { MOST_HELD = 1 << 30 }; /* bytes of rows that come before their columns */

/* ---- A decoder ---- */

enum lsq_status lsqi_hrana_decoder_new(struct lsqi_hrana_decoder **out, enum lsqi_hrana_form form,
                                       const struct lsqi_hrana_handler *handler,
                                       struct lsq_error *err) {
    struct lsqi_hrana_decoder *d = lsqi_calloc(1, sizeof(*d));

    if (d == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for an answer");
    d->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (d->c_locale == (locale_t)0) {
        lsqi_free(d);
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for an answer");
    }
    d->form = form;
    d->handler = handler;
    d->rows_allowed = SIZE_MAX;
    d->replication_index = -1;
    d->step = form == LSQI_HRANA_CURSOR ? 0 : SIZE_MAX;
    lsqi_json_init(&d->json, form == LSQI_HRANA_CURSOR || form == LSQI_HRANA_MESSAGE);
    d->in = &d->json;
    lsqi_hrana_statement_begin(d);
    *out = d;
    return LSQ_OK;
}

void lsqi_hrana_decoder_free(struct lsqi_hrana_decoder *d) {
    if (d == NULL) return;
    lsqi_json_release(&d->json);
    lsqi_json_release(&d->held_json);
    lsqi_buf_release(&d->held);
    lsqi_buf_release(&d->message);
    lsqi_buf_release(&d->code);
    lsqi_buf_release(&d->steps);
    lsqi_buf_release(&d->name);
    lsqi_buf_release(&d->declared);
    lsqi_buf_release(&d->kept);
    lsqi_buf_release(&d->bytes);
    lsqi_names_release(&d->errors);
    lsqi_names_release(&d->columns);
    lsqi_names_release(&d->types);
    lsqi_names_release(&d->params);
    lsqi_free(d->baton);
    lsqi_free(d->base_url);
    freelocale(d->c_locale);
    lsqi_free(d);
}

/* Where an entry begins, it is counted. */
void lsqi_hrana_decoder_request(struct lsqi_hrana_decoder *d, size_t request) {
    d->request = request - 1;
}

void lsqi_hrana_decoder_allow(struct lsqi_hrana_decoder *d, size_t rows) {
    if (d->rows_allowed == SIZE_MAX) d->rows_allowed = 0;
    d->rows_allowed = rows > SIZE_MAX - d->rows_allowed ? SIZE_MAX : d->rows_allowed + rows;
}

size_t lsqi_hrana_decoder_allowed(const struct lsqi_hrana_decoder *d) { return d->rows_allowed; }
const char *lsqi_hrana_decoder_baton(const struct lsqi_hrana_decoder *d) { return d->baton; }
const char *lsqi_hrana_decoder_base_url(const struct lsqi_hrana_decoder *d) { return d->base_url; }
bool lsqi_hrana_decoder_told(const struct lsqi_hrana_decoder *d) { return d->told; }

int64_t lsqi_hrana_decoder_replication_index(const struct lsqi_hrana_decoder *d) {
    return d->replication_index;
}

/* ---- Errors ---- */

enum lsq_status lsqi_hrana_bad(struct lsqi_hrana_decoder *d, const char *format, ...) {
    char what[128];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return lsqi_error_set(
        d->err, LSQ_PROTOCOL_UNSUPPORTED, "the server's answer is not understood: %s (byte %llu)",
        what, (unsigned long long)d->offset + (unsigned long long)(d->json.at - d->piece));
}

enum lsq_status lsqi_hrana_nomem(struct lsqi_hrana_decoder *d) {
    return lsqi_error_set(d->err, LSQ_NOMEM, "out of memory for a server's answer");
}

/* ---- What is passed over ---- */

void lsqi_hrana_skip(struct lsqi_hrana_decoder *d) {
    d->skip = true;
    d->skip_depth = d->in->depth;
}

static enum lsq_status hold(struct lsqi_hrana_decoder *d, const char *to) {
    size_t len = (size_t)(to - d->hold_from);

    if (len > MOST_HELD || d->held.len > MOST_HELD - len)
        return lsqi_hrana_bad(d, "its rows are too long to be kept until the columns come");
    lsqi_buf_add(&d->held, d->hold_from, len);
    d->hold_from = to;
    return d->held.failed ? lsqi_hrana_nomem(d) : LSQ_OK;
}

enum lsq_status lsqi_hrana_hold(struct lsqi_hrana_decoder *d) {
    lsqi_hrana_skip(d);
    d->skip_depth--;
    d->holding = true;
    d->hold_from = d->in->at;
    lsqi_buf_reset(&d->held);
    lsqi_buf_add(&d->held, "[", 1);
    return d->held.failed ? lsqi_hrana_nomem(d) : LSQ_OK;
}

/* An event of what is passed over. */
static enum lsq_status skipped(struct lsqi_hrana_decoder *d) {
    if (d->in->depth > d->skip_depth) return LSQ_OK;
    d->skip = false;
    if (!d->holding) return LSQ_OK;
    d->holding = false;
    return hold(d, d->in->at);
}

/* ---- Rows that came before their columns ---- */

/* Their events come from a reader of their own. As long as that is so, the byte that ended the columns does not
 * count as used, so that there is something to be given again where the limit of rows stops it. */
enum lsq_status lsqi_hrana_replay(struct lsqi_hrana_decoder *d) {
    if (d->held.len == 0) return LSQ_OK;
    d->in = &d->held_json;
    lsqi_json_release(d->in);
    lsqi_json_init(d->in, false);
    lsqi_json_feed(d->in, d->held.data, d->held.len);
    (void)lsqi_json_next(d->in); /* the bracket that was put there */
    return lsqi_hrana_push(d, AT_ROWS);
}

static bool replaying(const struct lsqi_hrana_decoder *d) { return d->in == &d->held_json; }

static void end_replay(struct lsqi_hrana_decoder *d) {
    d->in = &d->json;
    lsqi_buf_reset(&d->held);
}

/* ---- Decoding ---- */

/* Whether a row comes, and may not. */
static bool must_stop(struct lsqi_hrana_decoder *d) {
    const struct lsqi_hrana_frame *here = lsqi_hrana_here(d);

    if (d->rows_allowed > 0 || d->skip) return false;
    if (here->place != AT_ROWS && !(here->place == AT_LINE && here->key == KEY_ROW)) return false;
    return lsqi_json_peek(d->in) == '[';
}

static enum lsq_status take(struct lsqi_hrana_decoder *d, enum lsqi_json_event event) {
    enum lsqi_hrana_place place = lsqi_hrana_here(d)->place;

    if (event == LSQI_JSON_NOMEM) return lsqi_hrana_nomem(d);
    if (event == LSQI_JSON_BAD) return lsqi_hrana_bad(d, "%s", d->in->problem);
    if (d->skip) return skipped(d);
    if (place == AT_ROW || place == AT_ROWS || place == AT_VALUE)
        return lsqi_hrana_row_event(d, event);
    return lsqi_hrana_event(d, event);
}

/* To the piece's end, or to where it must stop. */
static enum lsq_status run(struct lsqi_hrana_decoder *d) {
    enum lsq_status st = LSQ_OK;

    while (st == LSQ_OK && !must_stop(d)) {
        enum lsqi_json_event event;

        if (lsqi_hrana_here(d)->place == AT_ROW) {
            st = lsqi_hrana_row_fast(d);
            if (st != LSQ_OK) break;
        }
        event = lsqi_json_next(d->in);
        if (event != LSQI_JSON_MORE)
            st = take(d, event);
        else if (replaying(d))
            end_replay(d);
        else
            break;
    }
    if (st == LSQ_OK && d->holding) st = hold(d, d->json.at);
    return st;
}

enum lsq_status lsqi_hrana_decode(struct lsqi_hrana_decoder *d, const char *data, size_t len,
                                  size_t *used, struct lsq_error *err) {
    enum lsq_status st;

    *used = 0;
    if (d->broken)
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED, "the answer was given up before");
    if (len == 0) return LSQ_OK;
    d->err = err;
    d->piece = data;
    lsqi_json_feed(&d->json, data, len);
    if (replaying(d)) d->json.at++;
    d->hold_from = data;
    st = run(d);
    if (st == LSQ_OK) {
        *used = (size_t)(d->json.at - data) - (replaying(d) ? 1 : 0);
        d->offset += *used;
    }
    d->broken = st != LSQ_OK;
    return st;
}

enum lsq_status lsqi_hrana_decode_end(struct lsqi_hrana_decoder *d, struct lsq_error *err) {
    bool whole = d->head_read && d->depth == 0 && lsqi_json_whole(&d->json);

    if (d->form == LSQI_HRANA_CURSOR && (d->step_open || !d->told)) whole = false;
    if (whole && !d->broken) return LSQ_OK;
    return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                          "the server's answer ends before it is whole (byte %llu)",
                          (unsigned long long)d->offset);
}
