#include <string.h>

#include "base/alloc.h"
#include "hrana/decoder.h"
#include "hrana/json_text.h"

/* ---- Which keys there are ---- */

#define OBJECT BIT(LSQI_JSON_OBJECT)
#define ARRAY BIT(LSQI_JSON_ARRAY)
#define STRING BIT(LSQI_JSON_STRING)
#define INTEGER (BIT(LSQI_JSON_NUMBER) | BIT(LSQI_JSON_STRING))
#define BOOL (BIT(LSQI_JSON_TRUE) | BIT(LSQI_JSON_FALSE))

struct lsqi_hrana_rule {
    const char *text;
    enum lsqi_hrana_key key;
    uint32_t places;              /* where it means something */
    uint32_t events;              /* what its value may begin with, beside null */
    enum lsqi_hrana_place inside; /* where an array or object leads to */
};

/* Objects that describe a statement's run, or a batch's. */
#define RUN (BIT(AT_RESULT) | BIT(AT_STEP))

static const struct lsqi_hrana_rule rules[] = {
    {"type", KEY_TYPE, BIT(AT_RESPONSE) | BIT(AT_LINE), STRING, AT_START},
    {"row", KEY_ROW, BIT(AT_LINE), ARRAY, AT_ROW},
    {"name", KEY_NAME, BIT(AT_COL) | BIT(AT_PARAM), STRING, AT_START},
    {"decltype", KEY_DECLTYPE, BIT(AT_COL), STRING, AT_START},
    {"response", KEY_RESPONSE, BIT(AT_ENTRY), OBJECT, AT_RESPONSE},
    {"result", KEY_RESULT, BIT(AT_RESPONSE), OBJECT, AT_RESULT},
    {"cols", KEY_COLS, RUN | BIT(AT_LINE), ARRAY, AT_COLS},
    {"rows", KEY_ROWS, RUN, ARRAY, AT_ROWS},
    {"affected_row_count", KEY_AFFECTED, RUN | BIT(AT_LINE), INTEGER, AT_START},
    {"last_insert_rowid", KEY_ROWID, RUN | BIT(AT_LINE), INTEGER, AT_START},
    {"replication_index", KEY_REPLICATION_INDEX, RUN | BIT(AT_LINE), INTEGER, AT_START},
    {"step", KEY_STEP, BIT(AT_LINE), INTEGER, AT_START},
    {"error", KEY_ERROR, BIT(AT_ENTRY) | BIT(AT_LINE), OBJECT, AT_ERROR},
    {"error", KEY_ERROR, BIT(AT_FAILURE), OBJECT | STRING, AT_ERROR},
    {"message", KEY_MESSAGE, BIT(AT_ERROR) | BIT(AT_FAILURE), STRING, AT_START},
    {"code", KEY_CODE, BIT(AT_ERROR) | BIT(AT_FAILURE), STRING, AT_START},
    {"step_results", KEY_STEP_RESULTS, BIT(AT_RESULT), ARRAY, AT_STEPS},
    {"step_errors", KEY_STEP_ERRORS, BIT(AT_RESULT), ARRAY, AT_STEP_ERRORS},
    {"params", KEY_PARAMS, BIT(AT_RESULT), ARRAY, AT_PARAMS},
    {"is_explain", KEY_IS_EXPLAIN, BIT(AT_RESULT), BOOL, AT_START},
    {"is_readonly", KEY_IS_READONLY, BIT(AT_RESULT), BOOL, AT_START},
    {"is_autocommit", KEY_IS_AUTOCOMMIT, BIT(AT_RESPONSE), BOOL, AT_START},
    {"results", KEY_RESULTS, BIT(AT_TOP), ARRAY, AT_RESULTS},
    {"baton", KEY_BATON, BIT(AT_TOP) | BIT(AT_HEAD), STRING, AT_START},
    {"base_url", KEY_BASE_URL, BIT(AT_TOP) | BIT(AT_HEAD), STRING, AT_START},
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const struct lsqi_hrana_rule *find_rule(enum lsqi_hrana_place place, const char *text,
                                               size_t len) {
    for (size_t i = 0; i < COUNT(rules); i++) {
        if ((rules[i].places & BIT(place)) != 0 && strlen(rules[i].text) == len &&
            memcmp(rules[i].text, text, len) == 0)
            return &rules[i];
    }
    return NULL;
}

/* ---- Which of them a type has ---- */

static const struct {
    const char *text;
    enum lsqi_hrana_place place;
    enum lsqi_hrana_type type;
    uint32_t keys;
} types[] = {
    {"execute", AT_RESPONSE, TYPE_EXECUTE,
     BIT(KEY_RESULT) | BIT(KEY_COLS) | BIT(KEY_ROWS) | BIT(KEY_AFFECTED) | BIT(KEY_ROWID)},
    {"batch", AT_RESPONSE, TYPE_BATCH,
     BIT(KEY_RESULT) | BIT(KEY_STEP_RESULTS) | BIT(KEY_STEP_ERRORS)},
    {"describe", AT_RESPONSE, TYPE_DESCRIBE,
     BIT(KEY_RESULT) | BIT(KEY_COLS) | BIT(KEY_PARAMS) | BIT(KEY_IS_EXPLAIN) |
         BIT(KEY_IS_READONLY)},
    {"get_autocommit", AT_RESPONSE, TYPE_AUTOCOMMIT, BIT(KEY_IS_AUTOCOMMIT)},
    {"row", AT_LINE, TYPE_ROW, BIT(KEY_ROW)},
    {"step_begin", AT_LINE, TYPE_STEP_BEGIN, BIT(KEY_STEP) | BIT(KEY_COLS)},
    {"step_end", AT_LINE, TYPE_STEP_END, BIT(KEY_AFFECTED) | BIT(KEY_ROWID)},
    {"step_error", AT_LINE, TYPE_STEP_ERROR, BIT(KEY_STEP) | BIT(KEY_ERROR)},
    {"error", AT_LINE, TYPE_ERROR, BIT(KEY_ERROR)},
};

static void set_type(struct lsqi_hrana_decoder *d, enum lsqi_hrana_place place) {
    d->type = TYPE_OTHER;
    for (size_t i = 0; i < COUNT(types); i++) {
        if (types[i].place == place && strlen(types[i].text) == d->in->len &&
            memcmp(types[i].text, d->in->text, d->in->len) == 0)
            d->type = types[i].type;
    }
}

/* Whether the key belongs to what is being read. In an order in which the type comes last everything does. */
static bool belongs(const struct lsqi_hrana_decoder *d, enum lsqi_hrana_place place,
                    enum lsqi_hrana_key key) {
    if (place != AT_RESPONSE && place != AT_RESULT && place != AT_LINE) return true;
    if (d->type == TYPE_NONE || key == KEY_TYPE || key == KEY_REPLICATION_INDEX) return true;
    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i].type == d->type) return (types[i].keys & BIT(key)) != 0;
    return false;
}

/* ---- Into a place, and out of it ---- */

static void forget_columns(struct lsqi_hrana_decoder *d) {
    lsqi_names_reset(&d->columns);
    lsqi_names_reset(&d->types);
}

static enum lsq_status enter(struct lsqi_hrana_decoder *d, enum lsqi_hrana_place place) {
    switch (place) {
    case AT_RESULTS: d->request = SIZE_MAX; break;
    case AT_ENTRY: d->request++; break;
    case AT_RESPONSE:
        d->type = TYPE_NONE;
        d->result_seen = 0;
        break;
    case AT_RESULT:
        d->step = SIZE_MAX;
        lsqi_buf_reset(&d->steps);
        lsqi_names_reset(&d->errors);
        lsqi_names_reset(&d->params);
        d->is_explain = d->is_readonly = false;
        forget_columns(d);
        lsqi_hrana_statement_begin(d);
        break;
    case AT_STEP:
        forget_columns(d);
        lsqi_hrana_statement_begin(d);
        break;
    case AT_STEPS:
    case AT_STEP_ERRORS: d->step = 0; break;
    case AT_COL:
    case AT_PARAM: d->has_name = d->has_declared = false; break;
    case AT_ROWS: return lsqi_hrana_tell_columns(d);
    case AT_ROW: return lsqi_hrana_row_begin(d);
    case AT_FAILURE:
    case AT_ERROR:
        lsqi_buf_reset(&d->message);
        lsqi_buf_reset(&d->code);
        break;
    case AT_LINE:
        d->type = TYPE_NONE;
        d->line_step = SIZE_MAX;
        forget_columns(d);
        break;
    default: break;
    }
    return LSQ_OK;
}

enum lsq_status lsqi_hrana_push(struct lsqi_hrana_decoder *d, enum lsqi_hrana_place place) {
    d->frames[++d->depth] = (struct lsqi_hrana_frame){.place = place};
    return enter(d, place);
}

void lsqi_hrana_pop(struct lsqi_hrana_decoder *d) { d->depth--; }

static enum lsq_status add_name(struct lsqi_hrana_decoder *d, struct lsqi_names *names,
                                const char *text, size_t len) {
    if (lsqi_names_add(names, text, len)) return LSQ_OK;
    return names->text.failed ? lsqi_hrana_nomem(d)
                              : lsqi_hrana_bad(d, "its description is too long");
}

static enum lsq_status leave_col(struct lsqi_hrana_decoder *d) {
    enum lsq_status st = add_name(d, &d->columns, d->has_name ? d->name.data : "",
                                  d->has_name ? d->name.len - 1 : 0);

    if (st != LSQ_OK) return st;
    return add_name(d, &d->types, d->has_declared ? d->declared.data : NULL,
                    d->has_declared ? d->declared.len - 1 : 0);
}

static enum lsq_status leave_param(struct lsqi_hrana_decoder *d) {
    return add_name(d, &d->params, d->has_name ? d->name.data : NULL,
                    d->has_name ? d->name.len - 1 : 0);
}

/* A statement's result, alone or of a step. */
static enum lsq_status leave_statement(struct lsqi_hrana_decoder *d, uint32_t seen) {
    if ((seen & BIT(KEY_ROWS)) != 0 && (seen & BIT(KEY_COLS)) == 0)
        return lsqi_hrana_bad(d, "there are rows without columns");
    d->result_seen = seen;
    return LSQ_OK;
}

static enum lsq_status leave_step(struct lsqi_hrana_decoder *d, uint32_t seen) {
    uint32_t result_seen = d->result_seen;
    enum lsq_status st = leave_statement(d, seen);

    d->result_seen = result_seen;
    if (st == LSQ_OK) st = lsqi_hrana_tell_statement(d);
    return st == LSQ_OK ? lsqi_hrana_note_step(d, true, false) : st;
}

static enum lsq_status leave_error(struct lsqi_hrana_decoder *d, enum lsqi_hrana_place outside) {
    if (outside == AT_ENTRY) return lsqi_hrana_tell_error(d, SIZE_MAX);
    if (outside == AT_STEP_ERRORS) return lsqi_hrana_note_step(d, false, true);
    return LSQ_OK; /* the line's end, or the answer's, tells */
}

static enum lsq_status leave_entry(struct lsqi_hrana_decoder *d, uint32_t seen) {
    uint32_t answers = seen & (BIT(KEY_RESPONSE) | BIT(KEY_ERROR));

    if (answers == 0) return lsqi_hrana_bad(d, "a request has no answer");
    if ((answers & (answers - 1)) != 0)
        return lsqi_hrana_bad(d, "a request both succeeded and failed");
    return LSQ_OK;
}

static enum lsq_status leave_failure(struct lsqi_hrana_decoder *d, uint32_t seen) {
    if ((seen & (BIT(KEY_MESSAGE) | BIT(KEY_CODE) | BIT(KEY_ERROR))) == 0)
        return lsqi_hrana_bad(d, "it says nothing of an error");
    return lsqi_hrana_tell_error(d, SIZE_MAX);
}

/* An array or object has ended. */
static enum lsq_status leave(struct lsqi_hrana_decoder *d) {
    struct lsqi_hrana_frame frame = *lsqi_hrana_here(d);

    lsqi_hrana_pop(d);
    switch (frame.place) {
    case AT_TOP:
        if ((frame.seen & BIT(KEY_RESULTS)) != 0) return LSQ_OK;
        return lsqi_hrana_bad(d, "it has no results");
    case AT_ENTRY: return leave_entry(d, frame.seen);
    case AT_RESPONSE: return lsqi_hrana_tell_response(d, frame.seen);
    case AT_RESULT: return leave_statement(d, frame.seen);
    case AT_STEP: return leave_step(d, frame.seen);
    case AT_COL: return leave_col(d);
    case AT_COLS: return lsqi_hrana_replay(d);
    case AT_PARAM: return leave_param(d);
    case AT_ERROR: return leave_error(d, lsqi_hrana_here(d)->place);
    case AT_LINE: return lsqi_hrana_tell_line(d, frame.seen);
    case AT_FAILURE: return leave_failure(d, frame.seen);
    default: return LSQ_OK;
    }
}

/* ---- Values of keys ---- */

enum lsq_status lsqi_hrana_keep_text(struct lsqi_hrana_decoder *d, struct lsqi_buf *buf) {
    if (d->in->len >= LSQI_NAMES_MOST) return lsqi_hrana_bad(d, "a name or message is too long");
    lsqi_buf_reset(buf);
    lsqi_buf_add(buf, d->in->text, d->in->len);
    lsqi_buf_add(buf, "", 1);
    return buf->failed ? lsqi_hrana_nomem(d) : LSQ_OK;
}

static enum lsq_status keep_copy(struct lsqi_hrana_decoder *d, char **copy) {
    char *text = lsqi_strndup(d->in->text, d->in->len);

    if (text == NULL) return lsqi_hrana_nomem(d);
    lsqi_free(*copy);
    *copy = text;
    return LSQ_OK;
}

static enum lsq_status set_integer(struct lsqi_hrana_decoder *d, enum lsqi_hrana_key key) {
    int64_t value;

    if (!lsqi_json_to_integer(&value, d->in->text, d->in->len))
        return lsqi_hrana_bad(d, "\"%s\" is no integer", lsqi_hrana_here(d)->rule->text);
    switch (key) {
    case KEY_AFFECTED: d->affected_rows = value; break;
    case KEY_ROWID: d->last_rowid = value; break;
    case KEY_STEP:
        if (value < 0) return lsqi_hrana_bad(d, "a step's number is negative");
        d->line_step = (size_t)value;
        break;
    default:
        if (value > d->replication_index) d->replication_index = value;
    }
    return LSQ_OK;
}

static enum lsq_status set_scalar(struct lsqi_hrana_decoder *d, enum lsqi_hrana_key key,
                                  bool value) {
    switch (key) {
    case KEY_TYPE: set_type(d, lsqi_hrana_here(d)->place); return LSQ_OK;
    case KEY_BATON: return keep_copy(d, &d->baton);
    case KEY_BASE_URL: return keep_copy(d, &d->base_url);
    case KEY_NAME: d->has_name = true; return lsqi_hrana_keep_text(d, &d->name);
    case KEY_DECLTYPE: d->has_declared = true; return lsqi_hrana_keep_text(d, &d->declared);
    case KEY_ERROR: /* a failure's, as a text */
    case KEY_MESSAGE: return lsqi_hrana_keep_text(d, &d->message);
    case KEY_CODE: return lsqi_hrana_keep_text(d, &d->code);
    case KEY_IS_AUTOCOMMIT: d->is_autocommit = value; return LSQ_OK;
    case KEY_IS_EXPLAIN: d->is_explain = value; return LSQ_OK;
    case KEY_IS_READONLY: d->is_readonly = value; return LSQ_OK;
    default: return set_integer(d, key);
    }
}

/* Keys of a statement's result or description, and keys of a batch's, do not go together. */
static bool is_mixed(const struct lsqi_hrana_frame *here) {
    uint32_t batch = BIT(KEY_STEP_RESULTS) | BIT(KEY_STEP_ERRORS);
    uint32_t statement = BIT(KEY_COLS) | BIT(KEY_ROWS) | BIT(KEY_PARAMS);

    return (here->seen & batch) != 0 && (here->seen & statement) != 0;
}

/* What follows a key. Null is as if the key were not there. */
static enum lsq_status value_event(struct lsqi_hrana_decoder *d, enum lsqi_json_event event) {
    struct lsqi_hrana_frame *here = lsqi_hrana_here(d);
    const struct lsqi_hrana_rule *rule = here->rule;

    if (event == LSQI_JSON_NULL) return LSQ_OK;
    if ((rule->events & BIT(event)) == 0)
        return lsqi_hrana_bad(d, "\"%s\" is not of its kind", rule->text);
    if ((here->seen & BIT(rule->key)) != 0)
        return lsqi_hrana_bad(d, "\"%s\" comes twice", rule->text);
    here->seen |= BIT(rule->key);
    if (is_mixed(here)) return lsqi_hrana_bad(d, "a result is a statement's and a batch's");
    if (rule->key == KEY_ROWS && (here->seen & BIT(KEY_COLS)) == 0) return lsqi_hrana_hold(d);
    if (event == LSQI_JSON_OBJECT || event == LSQI_JSON_ARRAY)
        return lsqi_hrana_push(d, rule->inside);
    return set_scalar(d, rule->key, event == LSQI_JSON_TRUE);
}

static enum lsq_status key_event(struct lsqi_hrana_decoder *d) {
    struct lsqi_hrana_frame *here = lsqi_hrana_here(d);

    here->rule = find_rule(here->place, d->in->text, d->in->len);
    if (here->rule == NULL || !belongs(d, here->place, here->rule->key)) {
        here->key = KEY_NONE;
        lsqi_hrana_skip(d);
    } else {
        here->key = here->rule->key;
    }
    return LSQ_OK;
}

/* ---- Elements of arrays ---- */

static enum lsq_status element_event(struct lsqi_hrana_decoder *d, enum lsqi_json_event event) {
    enum lsqi_hrana_place place = lsqi_hrana_here(d)->place;

    if (event == LSQI_JSON_NULL && (place == AT_STEPS || place == AT_STEP_ERRORS))
        return lsqi_hrana_note_step(d, false, false);
    if (event != LSQI_JSON_OBJECT)
        return lsqi_hrana_bad(d, "an array holds something that is no object");
    switch (place) {
    case AT_RESULTS: return lsqi_hrana_push(d, AT_ENTRY);
    case AT_STEPS: return lsqi_hrana_push(d, AT_STEP);
    case AT_STEP_ERRORS: return lsqi_hrana_push(d, AT_ERROR);
    case AT_COLS: return lsqi_hrana_push(d, AT_COL);
    default: return lsqi_hrana_push(d, AT_PARAM);
    }
}

/* ---- Events ---- */

static enum lsq_status start_event(struct lsqi_hrana_decoder *d, enum lsqi_json_event event) {
    bool first = !d->head_read;

    if (event != LSQI_JSON_OBJECT) return lsqi_hrana_bad(d, "it is no object");
    d->head_read = true;
    switch (d->form) {
    case LSQI_HRANA_PIPELINE: return lsqi_hrana_push(d, AT_TOP);
    case LSQI_HRANA_CURSOR: return lsqi_hrana_push(d, first ? AT_HEAD : AT_LINE);
    case LSQI_HRANA_MESSAGE: return lsqi_hrana_push(d, AT_ENTRY);
    default: return lsqi_hrana_push(d, AT_FAILURE);
    }
}

enum lsq_status lsqi_hrana_event(struct lsqi_hrana_decoder *d, enum lsqi_json_event event) {
    if (event == LSQI_JSON_OBJECT_END || event == LSQI_JSON_ARRAY_END) return leave(d);
    if (event == LSQI_JSON_KEY) return key_event(d);
    switch (lsqi_hrana_here(d)->place) {
    case AT_START: return start_event(d, event);
    case AT_RESULTS:
    case AT_STEPS:
    case AT_STEP_ERRORS:
    case AT_COLS:
    case AT_PARAMS: return element_event(d, event);
    default: return value_event(d, event);
    }
}
