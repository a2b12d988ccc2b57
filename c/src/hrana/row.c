#include <string.h>

#include "base/utf8.h"
#include "hrana/base64.h"
#include "hrana/decoder.h"
#include "hrana/json_text.h"

/* ---- To the sink ---- */

/* Never NULL, also where there are none. */
static const char *bytes_of(const struct lsqi_buf *buf) { return buf->len > 0 ? buf->data : ""; }

static enum lsq_status pushed(struct lsqi_hrana_decoder *d, bool taken) {
    d->pushed = true;
    return taken ? LSQ_OK : lsqi_hrana_nomem(d);
}

static enum lsq_status push_integer(struct lsqi_hrana_decoder *d, const char *text, size_t len) {
    int64_t value;

    if (!lsqi_json_to_integer(&value, text, len))
        return lsqi_hrana_bad(d, "an integer is none of 64 bits");
    return pushed(d, d->sink->integer(d->sink_ctx, value));
}

static enum lsq_status push_real(struct lsqi_hrana_decoder *d, const char *text, size_t len) {
    double value;

    if (!lsqi_json_to_real(&value, text, len, d->c_locale))
        return lsqi_hrana_bad(d, "a float is no number");
    return pushed(d, d->sink->real(d->sink_ctx, value));
}

static enum lsq_status push_blob(struct lsqi_hrana_decoder *d, const char *text, size_t len) {
    lsqi_buf_reset(&d->bytes);
    if (!lsqi_base64_decode(&d->bytes, text, len))
        return d->bytes.failed ? lsqi_hrana_nomem(d) : lsqi_hrana_bad(d, "a blob is no base64");
    return pushed(d, d->sink->blob(d->sink_ctx, bytes_of(&d->bytes), d->bytes.len));
}

/* The value's "value" or "base64", whose type is known. */
static enum lsq_status push_value(struct lsqi_hrana_decoder *d, enum lsqi_json_event event,
                                  const char *text, size_t len) {
    bool string = event == LSQI_JSON_STRING;

    switch (d->value_type) {
    case LSQ_TYPE_NULL: return pushed(d, d->sink->null(d->sink_ctx));
    case LSQ_TYPE_INTEGER:
        if (string || event == LSQI_JSON_NUMBER) return push_integer(d, text, len);
        break;
    case LSQ_TYPE_REAL:
        if (string || event == LSQI_JSON_NUMBER) return push_real(d, text, len);
        /* What is infinite has no number in JSON: servers write null. */
        if (event == LSQI_JSON_NULL) return pushed(d, d->sink->null(d->sink_ctx));
        break;
    case LSQ_TYPE_TEXT:
        if (string) return pushed(d, d->sink->text(d->sink_ctx, text, len));
        break;
    case LSQ_TYPE_BLOB:
        if (string) return push_blob(d, text, len);
        break;
    }
    return lsqi_hrana_bad(d, "a value does not fit its type");
}

/* ---- A value, key by key ---- */

static bool is_text(const struct lsqi_hrana_decoder *d, const char *text) {
    return d->in->len == strlen(text) && memcmp(d->in->text, text, d->in->len) == 0;
}

static enum lsq_status set_type(struct lsqi_hrana_decoder *d) {
    static const char *const names[] = {
        [LSQ_TYPE_NULL] = "null", [LSQ_TYPE_INTEGER] = "integer", [LSQ_TYPE_REAL] = "float",
        [LSQ_TYPE_TEXT] = "text", [LSQ_TYPE_BLOB] = "blob",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!is_text(d, names[i])) continue;
        d->value_type = (enum lsq_type)i;
        d->type_known = true;
        return LSQ_OK;
    }
    return lsqi_hrana_bad(d, "a value is of a type that is not known");
}

/* Until the type is known. */
static enum lsq_status keep_value(struct lsqi_hrana_decoder *d, enum lsqi_json_event event) {
    d->kept_event = event;
    lsqi_buf_reset(&d->kept);
    if (event == LSQI_JSON_STRING || event == LSQI_JSON_NUMBER)
        lsqi_buf_add(&d->kept, d->in->text, d->in->len);
    return d->kept.failed ? lsqi_hrana_nomem(d) : LSQ_OK;
}

static enum lsq_status value_key(struct lsqi_hrana_decoder *d) {
    struct lsqi_hrana_frame *here = lsqi_hrana_here(d);

    if (is_text(d, "type"))
        here->key = KEY_TYPE;
    else if (is_text(d, "value"))
        here->key = KEY_VALUE;
    else if (is_text(d, "base64"))
        here->key = KEY_BASE64;
    else
        here->key = KEY_NONE;
    if (here->key == KEY_NONE)
        lsqi_hrana_skip(d);
    else if ((here->seen & BIT(here->key)) != 0)
        return lsqi_hrana_bad(d, "a value has a key twice");
    here->seen |= BIT(here->key);
    return LSQ_OK;
}

static enum lsq_status value_end(struct lsqi_hrana_decoder *d) {
    enum lsq_status st = LSQ_OK;

    if (!d->type_known) return lsqi_hrana_bad(d, "a value has no type");
    if (!d->pushed) {
        if (d->kept_event == LSQI_JSON_MORE && d->value_type != LSQ_TYPE_NULL)
            return lsqi_hrana_bad(d, "a value is missing");
        st = push_value(d, d->kept_event, bytes_of(&d->kept), d->kept.len);
    }
    lsqi_hrana_pop(d);
    d->column++;
    return st;
}

static enum lsq_status value_event(struct lsqi_hrana_decoder *d, enum lsqi_json_event event) {
    bool blob = lsqi_hrana_here(d)->key == KEY_BASE64;

    if (event == LSQI_JSON_KEY) return value_key(d);
    if (event == LSQI_JSON_OBJECT_END) return value_end(d);
    if (event == LSQI_JSON_OBJECT || event == LSQI_JSON_ARRAY)
        return lsqi_hrana_bad(d, "a value does not fit its type");
    if (lsqi_hrana_here(d)->key == KEY_TYPE)
        return event == LSQI_JSON_STRING ? set_type(d)
                                         : lsqi_hrana_bad(d, "a value's type is no text");
    if (d->kept_event != LSQI_JSON_MORE || d->pushed)
        return lsqi_hrana_bad(d, "a value is given twice");
    if (!d->type_known) return keep_value(d, event);
    if (blob != (d->value_type == LSQ_TYPE_BLOB) && d->value_type != LSQ_TYPE_NULL)
        return lsqi_hrana_bad(d, "a value does not fit its type");
    return push_value(d, event, d->in->text, d->in->len);
}

/* ---- A value at once, where it is written as servers do ---- */

/* What stands behind text at p; NULL: it is not there. */
static inline const char *behind(const char *p, const char *end, const char *text, size_t len) {
    return (size_t)(end - p) >= len && memcmp(p, text, len) == 0 ? p + len : NULL;
}
#define BEHIND(p, end, literal) behind(p, end, literal, sizeof(literal) - 1)

/* The quote that ends the text at p, if it ends the value, too, and all is UTF-8; else NULL. *escapes: there are
 * some. */
static const char *whole_text(const char *p, const char *end, bool *escapes) {
    const char *from = p;
    uint64_t high = 0;

    *escapes = false;
    for (;; p += 2) {
        p = lsqi_json_plain_end(p, end, &high);
        if (end - p < 2) return NULL;
        if (*p != '\\') break;
        *escapes = true;
    }
    if (p[0] != '"' || p[1] != '}') return NULL;
    return high == 0 || lsqi_utf8_valid(from, (size_t)(p - from)) ? p : NULL;
}

/* Behind the digits of the number at p; NULL: something else follows, or it is too long. */
static const char *whole_number(const char *p, const char *end) {
    const char *from = p;

    while (p < end && ((*p >= '0' && *p <= '9') || *p == '-' || *p == '.' || *p == 'e' ||
                       *p == 'E' || *p == '+'))
        p++;
    return p < end && *p == '}' && p - from <= LSQI_JSON_WORD ? p : NULL;
}

/* Of the value whose text begins at p. As fast_value(). */
static const char *fast_text(struct lsqi_hrana_decoder *d, const char *p, const char *end,
                             enum lsq_status *st) {
    bool escapes;
    const char *to = whole_text(p, end, &escapes);
    size_t len;

    if (to == NULL) return NULL;
    len = (size_t)(to - p);
    if (escapes) {
        lsqi_buf_reset(&d->bytes);
        if (!lsqi_buf_reserve(&d->bytes, len)) return NULL;
        len = lsqi_json_unescape(d->bytes.data, p, len);
        if (len == SIZE_MAX) return NULL;
        p = d->bytes.data;
    }
    *st = pushed(d, d->sink->text(d->sink_ctx, p, len));
    return to + 2;
}

/* The same of what is written in a text, and pushed by push. */
static const char *
fast_quoted(struct lsqi_hrana_decoder *d, const char *p, const char *end, enum lsq_status *st,
            enum lsq_status (*push)(struct lsqi_hrana_decoder *, const char *, size_t)) {
    bool escapes;
    const char *to = whole_text(p, end, &escapes);

    if (to == NULL || escapes) return NULL;
    *st = push(d, p, (size_t)(to - p));
    return to + 2;
}

/* The value that begins at p. Returns what stands behind it; NULL: it is written otherwise, or is not all there, and
 * nothing was done. */
static const char *fast_value(struct lsqi_hrana_decoder *d, const char *p, const char *end,
                              enum lsq_status *st) {
    const char *from;
    const char *to;

    p = BEHIND(p, end, "{\"type\":\"");
    if (p == NULL) return NULL;
    if ((from = BEHIND(p, end, "text\",\"value\":\"")) != NULL) return fast_text(d, from, end, st);
    if ((from = BEHIND(p, end, "integer\",\"value\":\"")) != NULL)
        return fast_quoted(d, from, end, st, push_integer);
    if ((from = BEHIND(p, end, "blob\",\"base64\":\"")) != NULL)
        return fast_quoted(d, from, end, st, push_blob);
    if ((from = BEHIND(p, end, "null\"}")) != NULL) {
        *st = pushed(d, d->sink->null(d->sink_ctx));
        return from;
    }
    if ((from = BEHIND(p, end, "float\",\"value\":")) != NULL) {
        to = whole_number(from, end);
        if (to == NULL) return NULL;
        *st = push_real(d, from, (size_t)(to - from));
        return to + 1;
    }
    return NULL;
}

enum lsq_status lsqi_hrana_row_fast(struct lsqi_hrana_decoder *d) {
    struct lsqi_json *in = d->in;
    enum lsq_status st = LSQ_OK;
    const char *p;

    if (lsqi_json_peek(in) != '{' || !lsqi_json_wants_value(in)) return LSQ_OK;
    p = in->at;
    while (d->column < d->width) {
        p = fast_value(d, p, in->end, &st);
        if (p == NULL || st != LSQ_OK) break;
        lsqi_json_took_value(in, p);
        d->column++;
        if (p == in->end || *p != ',') break;
        p++;
    }
    return st;
}

/* ---- Rows ---- */

enum lsq_status lsqi_hrana_row_begin(struct lsqi_hrana_decoder *d) {
    if (d->form == LSQI_HRANA_CURSOR && !d->step_open)
        return lsqi_hrana_bad(d, "a row comes before its columns");
    d->column = 0;
    d->rows++;
    if (d->rows_allowed != SIZE_MAX) d->rows_allowed--;
    if (d->sink->row_begin == NULL || d->sink->row_begin(d->sink_ctx)) return LSQ_OK;
    return lsqi_hrana_nomem(d);
}

static enum lsq_status row_end(struct lsqi_hrana_decoder *d) {
    if (d->column < d->width) return lsqi_hrana_bad(d, "a row has fewer values than columns");
    lsqi_hrana_pop(d);
    return d->sink->row_end(d->sink_ctx) ? LSQ_OK : lsqi_hrana_nomem(d);
}

static enum lsq_status value_begin(struct lsqi_hrana_decoder *d) {
    if (d->column >= d->width) return lsqi_hrana_bad(d, "a row has more values than columns");
    d->type_known = d->pushed = false;
    d->kept_event = LSQI_JSON_MORE;
    d->kept.len = 0;
    return lsqi_hrana_push(d, AT_VALUE);
}

enum lsq_status lsqi_hrana_row_event(struct lsqi_hrana_decoder *d, enum lsqi_json_event event) {
    switch (lsqi_hrana_here(d)->place) {
    case AT_VALUE: return value_event(d, event);
    case AT_ROW:
        if (event == LSQI_JSON_OBJECT) return value_begin(d);
        if (event == LSQI_JSON_ARRAY_END) return row_end(d);
        return lsqi_hrana_bad(d, "a row holds something that is no value");
    default:
        if (event == LSQI_JSON_ARRAY) return lsqi_hrana_push(d, AT_ROW);
        if (event != LSQI_JSON_ARRAY_END)
            return lsqi_hrana_bad(d, "there is something that is no row");
        lsqi_hrana_pop(d);
        return LSQ_OK;
    }
}
