#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "nif.h"

/* ---- Small terms ---- */

ERL_NIF_TERM make_ok(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM value) {
    return enif_make_tuple2(env, state->atoms.ok, value);
}

ERL_NIF_TERM make_bool(struct nif_state *state, bool value) {
    return value ? state->atoms.true_ : state->atoms.false_;
}

static ERL_NIF_TERM make_bytes(ErlNifEnv *env, const void *data, size_t len) {
    ERL_NIF_TERM term;
    unsigned char *bytes = enif_make_new_binary(env, len, &term);

    if (len > 0) memcpy(bytes, data, len);
    return term;
}

ERL_NIF_TERM make_text(ErlNifEnv *env, const char *text) {
    return make_bytes(env, text, strlen(text));
}

ERL_NIF_TERM make_text_or_nil(ErlNifEnv *env, struct nif_state *state, const char *text) {
    return text == NULL || text[0] == '\0' ? state->atoms.nil : make_text(env, text);
}

bool get_text(ErlNifEnv *env, ERL_NIF_TERM term, char **text) {
    ErlNifBinary bin;

    if (!enif_inspect_binary(env, term, &bin)) return false;
    if (bin.size > 0 && memchr(bin.data, '\0', bin.size) != NULL) return false;
    *text = enif_alloc(bin.size + 1);
    if (*text == NULL) return false;
    memcpy(*text, bin.data, bin.size);
    (*text)[bin.size] = '\0';
    return true;
}

/* The external term format of one atom: version, tag, a length of one byte or two, UTF-8. */
static size_t atom_from_external(const ErlNifBinary *bin, char *text) {
    enum { SMALL_ATOM_UTF8 = 119, ATOM_UTF8 = 118 };
    size_t start = 0;
    size_t len = 0;

    if (bin->size >= 3 && bin->data[1] == SMALL_ATOM_UTF8) {
        start = 3;
        len = bin->data[2];
    } else if (bin->size >= 4 && bin->data[1] == ATOM_UTF8) {
        start = 4;
        len = (size_t)bin->data[2] << 8 | bin->data[3];
    }
    if (start == 0 || len > ATOM_BYTES || bin->size - start < len) return SIZE_MAX;
    memcpy(text, bin->data + start, len);
    return len;
}

size_t get_atom_text(ErlNifEnv *env, ERL_NIF_TERM term, char *text) {
    char latin[256];
    ErlNifBinary bin;
    size_t len = 0;
    int chars = enif_get_atom(env, term, latin, sizeof(latin), ERL_NIF_LATIN1);

    if (chars > 0) { /* with the NUL behind them; there may be one among them */
        for (int i = 0; i < chars - 1; i++) {
            unsigned char c = (unsigned char)latin[i];

            if (c >= 0x80) text[len++] = (char)(0xC0 | c >> 6);
            text[len++] = (char)(c < 0x80 ? c : (0x80 | (c & 0x3F)));
        }
        return len;
    }
    /* Beyond Latin-1. Before OTP 26 no function gives it but this one. */
    if (!enif_is_atom(env, term) || !enif_term_to_binary(env, term, &bin)) return SIZE_MAX;
    len = atom_from_external(&bin, text);
    enif_release_binary(&bin);
    return len;
}

/* ---- Errors ---- */

static ERL_NIF_TERM make_columns(ErlNifEnv *env, const char *columns) {
    ERL_NIF_TERM list = enif_make_list(env, 0);
    const char *end = columns + strlen(columns);

    while (end > columns) { /* from the last to the first */
        const char *start = end;

        while (start > columns && !(start - columns >= 2 && start[-2] == ',' && start[-1] == ' '))
            start--;
        list = enif_make_list_cell(env, make_bytes(env, start, (size_t)(end - start)), list);
        end = start > columns ? start - 2 : start;
    }
    return list;
}

static ERL_NIF_TERM make_constraint(ErlNifEnv *env, struct nif_state *state,
                                    const struct lsq_error *err) {
    const struct atoms *a = &state->atoms;
    const ERL_NIF_TERM kinds[] = {
        [LSQ_CONSTRAINT_NONE] = a->nil,
        [LSQ_CONSTRAINT_UNIQUE] = a->unique,
        [LSQ_CONSTRAINT_PRIMARY_KEY] = a->primary_key,
        [LSQ_CONSTRAINT_FOREIGN_KEY] = a->foreign_key,
        [LSQ_CONSTRAINT_CHECK] = a->check,
        [LSQ_CONSTRAINT_NOT_NULL] = a->not_null,
        [LSQ_CONSTRAINT_OTHER] = a->other,
    };

    if (err->constraint == LSQ_CONSTRAINT_NONE) return a->nil;
    return enif_make_tuple4(env, kinds[err->constraint], make_text_or_nil(env, state, err->table),
                            make_columns(env, err->columns),
                            make_text_or_nil(env, state, err->constraint_name));
}

/* A text for people, also where it names a path that is not UTF-8. */
static ERL_NIF_TERM make_message(ErlNifEnv *env, const char *message) {
    size_t len = strlen(message);
    ERL_NIF_TERM term;
    unsigned char *bytes;

    if (lsqi_utf8_valid(message, len)) return make_bytes(env, message, len);
    bytes = enif_make_new_binary(env, len, &term);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)message[i] < 0x80 ? (unsigned char)message[i] : '?';
    return term;
}

ERL_NIF_TERM make_error(ErlNifEnv *env, struct nif_state *state, const struct lsq_error *err) {
    const struct atoms *a = &state->atoms;
    const ERL_NIF_TERM outcomes[] = {
        [LSQ_OUTCOME_NONE] = a->none,
        [LSQ_OUTCOME_COMMITTED] = a->committed,
        [LSQ_OUTCOME_UNKNOWN] = a->unknown,
    };
    ERL_NIF_TERM detail = enif_make_tuple8(
        env, enif_make_atom(env, lsq_status_name(err->status)),
        enif_make_int(env, err->engine_code), make_message(env, err->message),
        err->sql_offset >= 0 ? enif_make_int(env, err->sql_offset) : a->nil,
        err->statement > 0 ? enif_make_int(env, err->statement) : a->nil,
        make_bool(state, err->transient), outcomes[err->outcome], make_constraint(env, state, err));

    return enif_make_tuple2(env, a->error, detail);
}

ERL_NIF_TERM make_failure(ErlNifEnv *env, struct nif_state *state, enum lsq_status status,
                          const char *message) {
    struct lsq_error err = {.status = status, .sql_offset = -1};

    snprintf(err.message, sizeof(err.message), "%s",
             message == NULL ? lsq_status_text(status) : message);
    return make_error(env, state, &err);
}

/* ---- Parameters ---- */

/* {:blob, [byte]}: the bytes as a binary of the environment. */
static bool get_bytes(ErlNifEnv *env, ERL_NIF_TERM term, ErlNifBinary *bin) {
    return enif_inspect_binary(env, term, bin) ||
           (enif_is_list(env, term) && enif_inspect_iolist_as_binary(env, term, bin));
}

static bool get_tagged(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM term,
                       struct lsq_value *value) {
    const ERL_NIF_TERM *parts;
    ErlNifBinary bin;
    int arity;

    if (!enif_get_tuple(env, term, &arity, &parts) || arity != 2) return false;
    if (enif_is_identical(parts[0], state->atoms.blob) && get_bytes(env, parts[1], &bin)) {
        *value = lsq_blob(bin.data, bin.size);
        return true;
    }
    if (enif_is_identical(parts[0], state->atoms.text) &&
        enif_inspect_binary(env, parts[1], &bin) && lsqi_utf8_valid(bin.data, bin.size)) {
        *value = lsq_text((const char *)bin.data, bin.size);
        return true;
    }
    return false;
}

static bool get_atom_value(struct nif_state *state, ERL_NIF_TERM term, struct lsq_value *value) {
    const struct atoms *a = &state->atoms;

    if (term == a->nil || term == a->null)
        *value = lsq_null();
    else if (term == a->true_)
        *value = lsq_int(1);
    else if (term == a->false_)
        *value = lsq_int(0);
    else if (term == a->infinity)
        *value = lsq_real(INFINITY);
    else if (term == a->neg_infinity)
        *value = lsq_real(-INFINITY);
    else
        return false;
    return true;
}

static bool get_value(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM term,
                      struct lsq_value *value) {
    ErlNifSInt64 integer;
    ErlNifBinary bin;
    double real;

    if (enif_get_int64(env, term, &integer)) {
        *value = lsq_int(integer);
        return true;
    }
    if (enif_inspect_binary(env, term, &bin)) {
        *value = lsqi_utf8_valid(bin.data, bin.size) ? lsq_text((const char *)bin.data, bin.size)
                                                     : lsq_blob(bin.data, bin.size);
        return true;
    }
    if (enif_get_double(env, term, &real)) {
        *value = lsq_real(real);
        return true;
    }
    return get_atom_value(state, term, value) || get_tagged(env, state, term, value);
}

static void say_value(ErlNifEnv *env, ERL_NIF_TERM term, unsigned number, char *why) {
    char shown[128];

    if (enif_term_type(env, term) == ERL_NIF_TERM_TYPE_INTEGER) {
        snprintf(why, 256, "parameter %u is an integer of more than 64 bits", number);
        return;
    }
    if (enif_snprintf(shown, sizeof(shown), "%T", term) < 0) shown[0] = '\0';
    shown[lsqi_utf8_cut(shown, strlen(shown), 100)] = '\0';
    snprintf(why, 256, "parameter %u cannot be stored: %s", number, shown);
}

/* {name, value} with a name that is a binary or an atom. */
static bool get_named(ErlNifEnv *env, ERL_NIF_TERM term, struct lsq_name *name,
                      ERL_NIF_TERM *value) {
    const ERL_NIF_TERM *parts;
    ErlNifBinary bin;
    char room[ATOM_BYTES];
    unsigned char *text;
    ERL_NIF_TERM kept;
    size_t len;
    int arity;

    if (!enif_get_tuple(env, term, &arity, &parts) || arity != 2) return false;
    *value = parts[1];
    if (enif_inspect_binary(env, parts[0], &bin)) {
        *name = (struct lsq_name){.text = (const char *)bin.data, .len = bin.size};
        return true;
    }
    len = get_atom_text(env, parts[0], room);
    if (len == SIZE_MAX) return false;
    text = enif_make_new_binary(env, len, &kept); /* the environment's */
    if (len > 0) memcpy(text, room, len);
    *name = (struct lsq_name){.text = (const char *)text, .len = len};
    return true;
}

/* A list is named if its first element is a pair that is no tagged value. */
static bool is_named(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM list) {
    ERL_NIF_TERM head;
    ERL_NIF_TERM tail;
    const ERL_NIF_TERM *parts;
    int arity;

    return enif_get_list_cell(env, list, &head, &tail) &&
           enif_get_tuple(env, head, &arity, &parts) && arity == 2 &&
           !enif_is_identical(parts[0], state->atoms.blob) &&
           !enif_is_identical(parts[0], state->atoms.text);
}

static bool params_room(struct params *params, unsigned count, bool named, char *why) {
    params->values = params->values_inline;
    if (count > PARAMS_INLINE) params->values = enif_alloc(count * sizeof(*params->values));
    if (named) params->names = enif_alloc((count + 1) * sizeof(*params->names));
    if (params->values != NULL && (!named || params->names != NULL)) return true;
    snprintf(why, 256, "out of memory for %u parameters", count);
    return false;
}

bool params_decode(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM list,
                   struct params *params, char *why) {
    unsigned count;
    ERL_NIF_TERM head;
    bool named;

    params->values = NULL;
    params->names = NULL;
    if (!enif_get_list_length(env, list, &count)) {
        snprintf(why, 256, "the parameters are not a list");
        return false;
    }
    if (count > 1000000) {
        snprintf(why, 256, "there are more than a million parameters");
        return false;
    }
    named = is_named(env, state, list);
    if (!params_room(params, count, named, why)) return false;
    for (unsigned i = 0; i < count; i++) {
        ERL_NIF_TERM value;

        enif_get_list_cell(env, list, &head, &list);
        value = head;
        if (named && !get_named(env, head, &params->names[i], &value)) {
            snprintf(why, 256, "parameter %u has no name, but the first one has", i + 1);
            return false;
        }
        if (!get_value(env, state, value, &params->values[i])) {
            say_value(env, value, i + 1, why);
            return false;
        }
    }
    params->params = (struct lsq_params){
        .values = params->values, .names = named ? params->names : NULL, .count = count};
    return true;
}

void params_release(struct params *params) {
    if (params->values != params->values_inline) enif_free(params->values);
    enif_free(params->names);
}

/* ---- Rows ---- */

void rows_init(struct rows *rows, ErlNifEnv *env, struct nif_state *state) {
    rows->env = env;
    rows->state = state;
    rows->columns = state->atoms.nil;
    rows->types = 0;
    rows->how = false;
    rows->fast = false;
    rows->list = enif_make_list(env, 0);
    rows->results = rows->list;
    rows->cells = rows->cells_inline;
    rows->cell_count = 0;
    rows->at = 0;
    rows->row_count = 0;
}

void rows_init_for(struct rows *rows, struct call *call, const struct lsq_call *options) {
    rows_init(rows, call->env, call->state);
    if ((options->flags & LSQ_CALL_TYPES) != 0) rows->types = call->state->atoms.nil;
    rows->how = call->how;
    rows->fast = call->stage == STAGE_NORMAL;
}

void rows_release(struct rows *rows) {
    if (rows->cells != rows->cells_inline) enif_free(rows->cells);
    rows->cells = rows->cells_inline;
}

static bool sink_columns(void *ctx, size_t count, const char *const *names) {
    struct rows *rows = ctx;

    rows_release(rows);
    rows->cell_count = count;
    rows->list = enif_make_list(rows->env, 0);
    rows->columns = rows->state->atoms.nil;
    if (count == 0) return true;
    if (count > CELLS_INLINE) {
        rows->cells = enif_alloc(count * sizeof(*rows->cells));
        if (rows->cells == NULL) {
            rows->cells = rows->cells_inline;
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) rows->cells[i] = make_text(rows->env, names[i]);
    rows->columns = enif_make_list_from_array(rows->env, rows->cells, (unsigned)count);
    rows->at = 0;
    return true;
}

static bool sink_types(void *ctx, size_t count, const char *const *types) {
    struct rows *rows = ctx;

    if (count == 0) return true;
    for (size_t i = 0; i < count; i++)
        rows->cells[i] = make_text_or_nil(rows->env, rows->state, types[i]);
    rows->types = enif_make_list_from_array(rows->env, rows->cells, (unsigned)count);
    return true;
}

static inline bool put(struct rows *rows, ERL_NIF_TERM term) {
    rows->cells[rows->at++] = term;
    return true;
}

static bool sink_null(void *ctx) {
    struct rows *rows = ctx;

    return put(rows, rows->state->atoms.nil);
}

static bool sink_integer(void *ctx, int64_t value) {
    struct rows *rows = ctx;

    return put(rows, enif_make_int64(rows->env, value));
}

static bool sink_real(void *ctx, double value) {
    struct rows *rows = ctx;

    if (isfinite(value)) return put(rows, enif_make_double(rows->env, value));
    /* The engine stores no NaN. */
    return put(rows, value > 0 ? rows->state->atoms.infinity : rows->state->atoms.neg_infinity);
}

static bool sink_text(void *ctx, const char *text, size_t len) {
    struct rows *rows = ctx;

    return put(rows, make_bytes(rows->env, text, len));
}

static bool sink_blob(void *ctx, const void *data, size_t len) {
    struct rows *rows = ctx;

    return put(rows, make_bytes(rows->env, data, len));
}

static bool sink_row_end(void *ctx) {
    struct rows *rows = ctx;
    ERL_NIF_TERM row = enif_make_list_from_array(rows->env, rows->cells, (unsigned)rows->at);

    rows->list = enif_make_list_cell(rows->env, row, rows->list);
    rows->at = 0;
    rows->row_count++;
    return true;
}

static bool sink_statement_end(void *ctx, int number, const struct lsq_reply *reply) {
    struct rows *rows = ctx;

    (void)number;
    rows->results = enif_make_list_cell(rows->env, rows_result(rows, reply), rows->results);
    return true;
}

const struct lsq_sink rows_sink = {
    .columns = sink_columns,
    .row_begin = NULL,
    .null = sink_null,
    .integer = sink_integer,
    .real = sink_real,
    .text = sink_text,
    .blob = sink_blob,
    .row_end = sink_row_end,
    .statement_end = sink_statement_end,
    .types = sink_types,
};

ERL_NIF_TERM rows_list(struct rows *rows) {
    ERL_NIF_TERM list = rows->list;

    /* Rows were put in front of one another. */
    (void)enif_make_reverse_list(rows->env, rows->list, &list);
    return list;
}

static ERL_NIF_TERM make_command(struct nif_state *state, enum lsq_command command) {
    const struct atoms *a = &state->atoms;

    switch (command) {
    case LSQ_COMMAND_SELECT: return a->select_;
    case LSQ_COMMAND_INSERT: return a->insert;
    case LSQ_COMMAND_UPDATE: return a->update;
    case LSQ_COMMAND_DELETE: return a->delete_;
    case LSQ_COMMAND_CREATE: return a->create;
    case LSQ_COMMAND_BEGIN: return a->begin;
    case LSQ_COMMAND_COMMIT: return a->commit;
    case LSQ_COMMAND_ROLLBACK: return a->rollback;
    case LSQ_COMMAND_PRAGMA: return a->pragma;
    default: return a->other;
    }
}

enum { HOW_PREPARED = 1, HOW_FAST = 2 };

ERL_NIF_TERM rows_result(struct rows *rows, const struct lsq_reply *reply) {
    struct nif_state *state = rows->state;
    ErlNifEnv *env = rows->env;
    bool returns = reply->columns > 0;
    const ERL_NIF_TERM parts[] = {
        make_command(state, reply->command),
        returns ? rows->columns : state->atoms.nil,
        returns ? rows_list(rows) : state->atoms.nil,
        enif_make_int64(env, returns ? (ErlNifSInt64)reply->rows : reply->changes),
        enif_make_int64(env, reply->last_rowid),
        make_bool(state, reply->autocommit),
        rows->types == 0 ? state->atoms.nil : rows->types,
        enif_make_int(env, (reply->prepared ? HOW_PREPARED : 0) + (rows->fast ? HOW_FAST : 0)),
    };
    unsigned count = rows->how ? 8 : rows->types != 0 ? 7 : 6;

    return enif_make_tuple_from_array(env, parts, count);
}
