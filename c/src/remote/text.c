#include "remote/call.h"

#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/error.h"

enum lsq_status lsqi_call_refuse_write(struct lsq_error *err) {
    return lsqi_error_set(
        err, LSQ_READONLY,
        "the transaction was begun as one that only reads (mode: :read); to write, "
        "begin an immediate one (mode: :immediate)");
}

enum lsq_status lsqi_call_look(const char *sql, size_t len, struct lsqi_sql_facts *facts,
                               struct lsq_error *err) {
    enum lsq_status st = lsqi_sql_check(sql, len, err);
    size_t at;

    if (st != LSQ_OK) return st;
    at = lsqi_sql_skip(sql, len, true);
    at += lsqi_sql_statement(sql + at, len - at);
    if (at + lsqi_sql_skip(sql + at, len - at, true) < len)
        return lsqi_error_set(err, LSQ_SQL,
                              "the text holds more than one statement: run it as a batch");
    return lsqi_sql_look(sql, len, facts, err);
}

bool lsqi_call_may_store(const struct lsqi_sql_facts *facts, bool held) {
    if (!held) return !facts->reads && !facts->begins;
    return facts->control && !facts->begins && facts->command != LSQ_COMMAND_ROLLBACK;
}

enum lsqi_effect lsqi_call_effect(const struct lsqi_sql_facts *facts) {
    if (facts->begins) return LSQI_EFFECT_BEGINS;
    if (facts->partly) return LSQI_EFFECT_NONE;
    return facts->command == LSQ_COMMAND_COMMIT || facts->command == LSQ_COMMAND_ROLLBACK
               ? LSQI_EFFECT_ENDS
               : LSQI_EFFECT_NONE;
}

static bool same_name(const char *sql, const struct lsqi_sql_name *name,
                      const struct lsq_name *given) {
    const char *text = sql + name->at;

    if (given->len == name->len && memcmp(given->text, text, name->len) == 0) return true;
    return given->len == name->len - 1 && memcmp(given->text, text + 1, given->len) == 0;
}

static const struct lsq_value *find_value(const char *sql, const struct lsqi_sql_name *name,
                                          const struct lsq_params *params) {
    for (size_t i = 0; i < params->count; i++)
        if (same_name(sql, name, &params->names[i])) return &params->values[i];
    return NULL;
}

static enum lsq_status bind_names(const char *sql, const struct lsqi_sql_facts *facts,
                                  const struct lsq_params *params, struct lsqi_bound *bound,
                                  struct lsq_error *err) {
    if (facts->name_count < facts->params)
        return lsqi_error_set(err, LSQ_PARAMETERS,
                              "a parameter of the statement has no name, but the values have");
    bound->values = lsqi_calloc(facts->params + 1, sizeof(*bound->values));
    if (bound->values == NULL)
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for parameters");
    for (size_t i = 0; i < facts->name_count; i++) {
        const struct lsqi_sql_name *name = &facts->names[i];
        const struct lsq_value *value = find_value(sql, name, params);

        if (value == NULL)
            return lsqi_error_set(err, LSQ_PARAMETERS, "the parameter %.*s has no value",
                                  (int)(name->len < 100 ? name->len : 100), sql + name->at);
        bound->values[name->number - 1] = *value;
    }
    bound->params = (struct lsq_params){.values = bound->values, .count = facts->params};
    return LSQ_OK;
}

enum lsq_status lsqi_call_bind(const char *sql, size_t len, const struct lsqi_sql_facts *facts,
                               const struct lsq_params *params, struct lsqi_bound *bound,
                               struct lsq_error *err) {
    size_t count = params == NULL ? 0 : params->count;
    enum lsq_status st = LSQ_OK;

    *bound = (struct lsqi_bound){.sql = sql, .len = len};
    if (params != NULL && params->names != NULL && count > 0)
        st = bind_names(sql, facts, params, bound, err);
    else if (count != facts->params)
        st = lsqi_error_set(err, LSQ_PARAMETERS,
                            "the statement has %zu parameter%s, and %zu %s given", facts->params,
                            facts->params == 1 ? "" : "s", count, count == 1 ? "was" : "were");
    else if (params != NULL)
        bound->params = *params;
    if (st == LSQ_OK) st = lsqi_hrana_check(sql, len, &bound->params, err);
    if (st == LSQ_OK && facts->name_count > 0) {
        lsqi_sql_number(sql, len, facts, &bound->text);
        if (bound->text.failed)
            st = lsqi_error_set(err, LSQ_NOMEM, "out of memory for a statement");
        bound->sql = bound->text.data;
        bound->len = bound->text.len;
    }
    if (st != LSQ_OK) lsqi_bound_release(bound);
    return st;
}

void lsqi_bound_release(struct lsqi_bound *bound) {
    lsqi_free(bound->values);
    bound->values = NULL;
    lsqi_buf_release(&bound->text);
}

bool lsqi_call_has_star(const char *sql, size_t len) {
    static const char *const words[] = {"SELECT", "DISTINCT", "ALL", "RETURNING"};
    struct lsqi_sql_token before = {.kind = LSQI_SQL_END};
    struct lsqi_sql_token token;
    size_t at = 0;

    while ((token = lsqi_sql_next(sql, len, &at)).kind != LSQI_SQL_END) {
        bool star = token.kind == LSQI_SQL_OTHER && sql[token.at] == '*';

        if (star && before.kind == LSQI_SQL_OTHER && strchr(",.", sql[before.at]) != NULL)
            return true;
        for (size_t i = 0; star && i < sizeof(words) / sizeof(words[0]); i++)
            if (before.kind == LSQI_SQL_WORD && before.len == strlen(words[i]) &&
                strncasecmp(sql + before.at, words[i], before.len) == 0)
                return true;
        before = token;
    }
    return false;
}

void lsqi_call_note_stream(struct lsqi_call *call, const char *sql, size_t len,
                           const struct lsqi_sql_facts *facts) {
    static const char *const functions[] = {"last_insert_rowid", "changes"};
    struct lsqi_sql_token token;
    size_t at = 0;

    if (facts->sets_session) call->x.spoils = true;
    if (!call->x.looks && memchr(sql, '*', len) != NULL)
        call->x.looks = lsqi_call_has_star(sql, len);
    if (memchr(sql, '(', len) == NULL) return;
    while ((token = lsqi_sql_next(sql, len, &at)).kind != LSQI_SQL_END)
        for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
            if (token.kind == LSQI_SQL_WORD && token.len >= strlen(functions[i]) &&
                strncasecmp(sql + token.at + token.len - strlen(functions[i]), functions[i],
                            strlen(functions[i])) == 0)
                call->x.fresh = true;
}
