/* JSON text of terms, for VMs that have no JSON library. The text is the one that Jason and Elixir's
 * JSON write: RFC 8259, no spaces, control characters as \b \f \n \r \t or \u00XX. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "nif.h"

enum { MAX_DEPTH = 512 };

struct text {
    ErlNifEnv *env;
    struct nif_state *state;
    ErlNifBinary bin; /* size is what is allocated */
    size_t len;
    const char *problem; /* NULL: none yet */
};

static bool fail(struct text *text, const char *problem) {
    if (text->problem == NULL) text->problem = problem;
    return false;
}

static bool append(struct text *text, const void *data, size_t len) {
    if (text->bin.size - text->len < len) {
        size_t size = text->bin.size + len + text->bin.size / 2;

        if (!enif_realloc_binary(&text->bin, size)) return fail(text, "out of memory");
    }
    memcpy(text->bin.data + text->len, data, len);
    text->len += len;
    return true;
}

static bool append_text(struct text *text, const char *data) {
    return append(text, data, strlen(data));
}

/* ---- Strings ---- */

/* What stands for the byte; NULL: itself. */
static const char *escape(unsigned char byte, char *room) {
    switch (byte) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
    }
    if (byte >= 0x20) return NULL;
    snprintf(room, 8, "\\u%04X", byte);
    return room;
}

static bool put_string(struct text *text, const unsigned char *data, size_t len) {
    size_t plain = 0; /* where the bytes begin that stand for themselves */
    char room[8];

    if (!lsqi_utf8_valid(data, len)) return fail(text, "a text is not UTF-8");
    if (!append(text, "\"", 1)) return false;
    for (size_t i = 0; i < len; i++) {
        const char *other = escape(data[i], room);

        if (other == NULL) continue;
        if (!append(text, data + plain, i - plain) || !append_text(text, other)) return false;
        plain = i + 1;
    }
    return append(text, data + plain, len - plain) && append(text, "\"", 1);
}

/* ---- Numbers ---- */

/* Adds one to the last digit of "d.ddde+x". False where all of them are nines. */
static bool next_above(char *out) {
    for (char *at = strchr(out, 'e'); at > out;) {
        if (*--at == '.') continue;
        if (*at != '9') {
            ++*at;
            return true;
        }
        *at = '0';
    }
    return false;
}

/* The shortest digits that read back as value, "ddd" without the point; *exponent is that of the
 * first one. Returns how many. */
static int shortest(double value, char *digits, int *exponent) {
    char out[40];
    int count = 0;
    int unused;
    bool power = frexp(value, &unused) == 0.5;

    for (int precision = 0; precision <= 16; precision++) {
        snprintf(out, sizeof(out), "%.*e", precision, value);
        if (strtod(out, NULL) == value) break;
        /* Above a power of two the next number is twice as far away as below: digits that are not
         * the nearest ones may still read back. */
        if (power && precision < 16 && next_above(out) && strtod(out, NULL) == value) break;
    }
    for (const char *at = out; *at != 'e'; at++)
        if (*at != '.') digits[count++] = *at;
    while (count > 1 && digits[count - 1] == '0') count--;
    digits[count] = '\0';
    *exponent = (int)strtol(strchr(out, 'e') + 1, NULL, 10);
    return count;
}

static void scientific(char *out, size_t size, const char *digits, int exponent) {
    snprintf(out, size, "%c.%se%d", digits[0], digits[1] == '\0' ? "0" : digits + 1, exponent);
}

static void decimal(char *out, size_t size, const char *digits, int count, int exponent) {
    static const char zeros[] = "00000000000000000";

    if (exponent < 0)
        snprintf(out, size, "0.%.*s%s", -exponent - 1, zeros, digits);
    else if (count > exponent + 1)
        snprintf(out, size, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    else
        snprintf(out, size, "%s%.*s.0", digits, exponent + 1 - count, zeros);
}

/* As the VM writes floats in their short form: decimal where that is not the longer one;
 * scientific from 2^53 on. */
static bool put_float(struct text *text, double value) {
    char digits[40];
    char sci[48];
    char dec[64];
    int exponent;
    int count;
    bool small = fabs(value) < 9007199254740992.0;

    if (signbit(value) && !append(text, "-", 1)) return false;
    value = fabs(value);
    count = shortest(value, digits, &exponent);
    scientific(sci, sizeof(sci), digits, exponent);
    if (!small || exponent < -17) return append_text(text, sci);
    decimal(dec, sizeof(dec), digits, count, exponent);
    return append_text(text, strlen(dec) <= strlen(sci) ? dec : sci);
}

static bool put_integer(struct text *text, ERL_NIF_TERM term) {
    ErlNifSInt64 value;
    char out[32];

    if (!enif_get_int64(text->env, term, &value))
        return fail(text, "an integer has more than 64 bits");
    snprintf(out, sizeof(out), "%lld", (long long)value);
    return append_text(text, out);
}

/* ---- Terms ---- */

static bool put_term(struct text *text, ERL_NIF_TERM term, int depth);

static bool put_name(struct text *text, ERL_NIF_TERM atom) {
    char name[ATOM_BYTES];
    size_t len = get_atom_text(text->env, atom, name);

    if (len == SIZE_MAX) return fail(text, "out of memory");
    return put_string(text, (const unsigned char *)name, len);
}

static bool put_atom(struct text *text, ERL_NIF_TERM term) {
    const struct atoms *a = &text->state->atoms;

    if (term == a->nil || term == a->null) return append_text(text, "null");
    if (term == a->true_) return append_text(text, "true");
    if (term == a->false_) return append_text(text, "false");
    return put_name(text, term);
}

static bool put_list(struct text *text, ERL_NIF_TERM list, int depth) {
    ERL_NIF_TERM head;
    bool first = true;

    if (!append(text, "[", 1)) return false;
    while (enif_get_list_cell(text->env, list, &head, &list)) {
        if (!first && !append(text, ",", 1)) return false;
        first = false;
        if (!put_term(text, head, depth + 1)) return false;
    }
    if (!enif_is_empty_list(text->env, list)) return fail(text, "a list has no proper end");
    return append(text, "]", 1);
}

static bool put_key(struct text *text, ERL_NIF_TERM key) {
    ErlNifBinary bin;

    /* nil, true and false are texts here. */
    if (enif_is_atom(text->env, key)) return put_name(text, key);
    if (!enif_inspect_binary(text->env, key, &bin))
        return fail(text, "a map's keys are texts or atoms");
    return put_string(text, bin.data, bin.size);
}

static bool put_pair(struct text *text, ERL_NIF_TERM term, int depth) {
    const ERL_NIF_TERM *pair;
    int arity;

    if (!enif_get_tuple(text->env, term, &arity, &pair) || arity != 2)
        return fail(text, "an object is a list of pairs");
    return put_key(text, pair[0]) && append(text, ":", 1) && put_term(text, pair[1], depth + 1);
}

static bool put_object(struct text *text, ERL_NIF_TERM list, int depth) {
    ERL_NIF_TERM head;
    bool first = true;

    if (!append(text, "{", 1)) return false;
    while (enif_get_list_cell(text->env, list, &head, &list)) {
        if (!first && !append(text, ",", 1)) return false;
        first = false;
        if (!put_pair(text, head, depth)) return false;
    }
    if (!enif_is_empty_list(text->env, list)) return fail(text, "an object is a list of pairs");
    return append(text, "}", 1);
}

/* {:digits, binary}: an integer of more than 64 bits. */
static bool put_digits(struct text *text, ERL_NIF_TERM term) {
    ErlNifBinary bin;

    if (!enif_inspect_binary(text->env, term, &bin) || bin.size == 0)
        return fail(text, "digits are a text");
    for (size_t i = 0; i < bin.size; i++) {
        if (!(bin.data[i] >= '0' && bin.data[i] <= '9') && !(i == 0 && bin.data[i] == '-'))
            return fail(text, "digits are from 0 to 9");
    }
    return append(text, bin.data, bin.size);
}

/* {[{key, value}, ...]}, or digits. */
static bool put_tuple(struct text *text, ERL_NIF_TERM term, int depth) {
    const ERL_NIF_TERM *parts;
    int arity;

    if (!enif_get_tuple(text->env, term, &arity, &parts))
        return fail(text, "a value is none that JSON has");
    if (arity == 1) return put_object(text, parts[0], depth);
    if (arity == 2 && parts[0] == text->state->atoms.digits) return put_digits(text, parts[1]);
    return fail(text, "a value is none that JSON has");
}

static bool put_term(struct text *text, ERL_NIF_TERM term, int depth) {
    ErlNifBinary bin;
    double real;

    if (depth > MAX_DEPTH) return fail(text, "it is nested too deeply");
    if (enif_inspect_binary(text->env, term, &bin)) return put_string(text, bin.data, bin.size);
    if (enif_get_double(text->env, term, &real)) return put_float(text, real);
    if (enif_is_number(text->env, term)) return put_integer(text, term);
    if (enif_is_atom(text->env, term)) return put_atom(text, term);
    if (enif_is_list(text->env, term)) return put_list(text, term, depth);
    return put_tuple(text, term, depth);
}

ERL_NIF_TERM nif_json_encode(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct text text = {.env = env, .state = state};

    (void)argc;
    if (!enif_alloc_binary(256, &text.bin)) return make_failure(env, state, LSQ_NOMEM, NULL);
    if (put_term(&text, argv[0], 0) && enif_realloc_binary(&text.bin, text.len))
        return make_ok(env, state, enif_make_binary(env, &text.bin));
    enif_release_binary(&text.bin);
    return make_failure(env, state, LSQ_BAD_ARGUMENT,
                        text.problem == NULL ? "out of memory" : text.problem);
}
