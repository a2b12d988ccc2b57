#include "base/sql.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/utf8.h"

static size_t skip_line(const char *sql, size_t len, size_t at) {
    const char *end = memchr(sql + at, '\n', len - at);

    return end == NULL ? len : (size_t)(end - sql) + 1;
}

static size_t skip_comment(const char *sql, size_t len, size_t at) {
    for (at += 2; at + 1 < len; at++) {
        if (sql[at] == '*' && sql[at + 1] == '/') return at + 2;
    }
    return len;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

size_t lsqi_sql_skip(const char *sql, size_t len, bool semicolons) {
    size_t at = 0;

    while (at < len) {
        if (is_space(sql[at]) || (semicolons && sql[at] == ';'))
            at++;
        else if (at + 1 < len && sql[at] == '-' && sql[at + 1] == '-')
            at = skip_line(sql, len, at);
        else if (at + 1 < len && sql[at] == '/' && sql[at + 1] == '*')
            at = skip_comment(sql, len, at);
        else
            break;
    }
    return at;
}

enum lsq_status lsqi_sql_check(const char *sql, size_t len, struct lsq_error *err) {
    const char *nul;

    if (sql == NULL) return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the SQL is NULL");
    if (len > INT_MAX - 1) return lsqi_error_set(err, LSQ_TOO_BIG, "the SQL is over 2 GiB");
    nul = memchr(sql, '\0', len);
    if (nul != NULL)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the SQL has a NUL character at byte %zu",
                              (size_t)(nul - sql));
    if (!lsqi_utf8_valid(sql, len))
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the SQL is not valid UTF-8");
    return LSQ_OK;
}

/* ---- What kind of statement ---- */

struct keyword {
    const char *word;
    enum lsq_command command;
};

static const struct keyword keywords[] = {
    {"SELECT", LSQ_COMMAND_SELECT},  {"INSERT", LSQ_COMMAND_INSERT},
    {"UPDATE", LSQ_COMMAND_UPDATE},  {"DELETE", LSQ_COMMAND_DELETE},
    {"BEGIN", LSQ_COMMAND_BEGIN},    {"COMMIT", LSQ_COMMAND_COMMIT},
    {"END", LSQ_COMMAND_COMMIT},     {"ROLLBACK", LSQ_COMMAND_ROLLBACK},
    {"CREATE", LSQ_COMMAND_CREATE},  {"DROP", LSQ_COMMAND_CREATE},
    {"ALTER", LSQ_COMMAND_CREATE},   {"PRAGMA", LSQ_COMMAND_PRAGMA},
    {"REPLACE", LSQ_COMMAND_INSERT}, {"VALUES", LSQ_COMMAND_SELECT},
    {"EXPLAIN", LSQ_COMMAND_SELECT}, {"WITH", LSQ_COMMAND_SELECT},
};

enum lsq_command lsqi_sql_first_word(const char *sql, size_t len) {
    size_t at = lsqi_sql_skip(sql, len, true);

    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        size_t n = strlen(keywords[i].word);

        if (len - at >= n && strncasecmp(sql + at, keywords[i].word, n) == 0)
            return keywords[i].command;
    }
    return LSQ_COMMAND_OTHER;
}

/* ---- Tokens ---- */

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static size_t word_end(const char *sql, size_t len, size_t at) {
    while (at < len && (is_word(sql[at]) || sql[at] == '$')) at++;
    return at;
}

/* Behind the closing quote, which is doubled inside; the text's end where there is none. */
static size_t quote_end(const char *sql, size_t len, size_t at) {
    char close = sql[at] == '[' ? ']' : sql[at];

    for (at++; at < len; at++) {
        if (sql[at] != close) continue;
        if (close == ']' || at + 1 >= len || sql[at + 1] != close) return at + 1;
        at++;
    }
    return len;
}

static size_t strcspn_within(const char *text, size_t len, const char *stops) {
    size_t at = 0;

    while (at < len && strchr(stops, text[at]) == NULL) at++;
    return at;
}

/* As the engine: a '$' name may hold "::" and end in "(...)". */
static size_t param_end(const char *sql, size_t len, size_t at) {
    char first = sql[at++];

    if (first == '?') {
        while (at < len && isdigit((unsigned char)sql[at])) at++;
        return at;
    }
    for (;;) {
        at = word_end(sql, len, at);
        if (at + 1 < len && sql[at] == ':' && sql[at + 1] == ':') {
            at += 2;
            continue;
        }
        if (at < len && sql[at] == '(') {
            size_t end = at + strcspn_within(sql + at, len - at, ") \t\n\f\r");

            if (end < len && sql[end] == ')') at = end + 1;
        }
        return at;
    }
}

static bool starts_param(const char *sql, size_t len, size_t at) {
    if (sql[at] == '?') return true;
    return strchr(":@$#", sql[at]) != NULL && at + 1 < len && is_word(sql[at + 1]);
}

struct lsqi_sql_token lsqi_sql_next(const char *sql, size_t len, size_t *at) {
    size_t from = *at + lsqi_sql_skip(sql + *at, len - *at, false);
    struct lsqi_sql_token token = {.kind = LSQI_SQL_END, .at = from};

    if (from < len) {
        if (strchr("'\"`[", sql[from]) != NULL) {
            token.kind = LSQI_SQL_QUOTED;
            *at = quote_end(sql, len, from);
        } else if (starts_param(sql, len, from)) {
            token.kind = LSQI_SQL_PARAM;
            *at = param_end(sql, len, from);
        } else if (is_word(sql[from])) {
            token.kind = LSQI_SQL_WORD;
            *at = word_end(sql, len, from);
        } else {
            token.kind = LSQI_SQL_OTHER;
            *at = from + 1;
        }
    } else {
        *at = from;
    }
    token.len = *at - from;
    return token;
}

static bool is(const char *sql, const struct lsqi_sql_token *token, const char *word) {
    return token->kind == LSQI_SQL_WORD && token->len == strlen(word) &&
           strncasecmp(sql + token->at, word, token->len) == 0;
}

static bool is_one_of(const char *sql, const struct lsqi_sql_token *token,
                      const char *const *words) {
    for (; *words != NULL; words++)
        if (is(sql, token, *words)) return true;
    return false;
}

/* ---- One look over a statement ---- */

static size_t number_of(const char *text, size_t len) {
    size_t number = 0;

    for (size_t i = 0; i < len && number < 1000000; i++)
        number = number * 10 + (size_t)(text[i] - '0');
    return number;
}

/* The name's number; 0: it is not noted. */
static size_t number_of_name(const char *sql, const struct lsqi_sql_token *token,
                             const struct lsqi_sql_facts *facts) {
    for (size_t i = 0; i < facts->name_count; i++)
        if (facts->names[i].len == token->len &&
            memcmp(sql + facts->names[i].at, sql + token->at, token->len) == 0)
            return facts->names[i].number;
    return 0;
}

static enum lsq_status note_param(const char *sql, const struct lsqi_sql_token *token,
                                  struct lsqi_sql_facts *facts) {
    size_t count = facts->name_count;

    if (sql[token->at] == '?' && token->len > 1) {
        size_t number = number_of(sql + token->at + 1, token->len - 1);

        if (number > facts->params) facts->params = number;
        return LSQ_OK;
    }
    if (token->len > 1 && number_of_name(sql, token, facts) != 0) return LSQ_OK;
    facts->params++;
    if (token->len == 1) return LSQ_OK;
    if ((count & (count - 1)) == 0) { /* room doubles */
        size_t room = count == 0 ? 1 : count * 2;
        struct lsqi_sql_name *names = lsqi_realloc(facts->names, room * sizeof(*names));

        if (names == NULL) return LSQ_NOMEM;
        facts->names = names;
    }
    facts->names[facts->name_count++] =
        (struct lsqi_sql_name){.at = token->at, .len = token->len, .number = facts->params};
    return LSQ_OK;
}

void lsqi_sql_facts_release(struct lsqi_sql_facts *facts) {
    lsqi_free(facts->names);
    facts->names = NULL;
}

void lsqi_sql_number(const char *sql, size_t len, const struct lsqi_sql_facts *facts,
                     struct lsqi_buf *out) {
    struct lsqi_sql_token token;
    size_t copied = 0;
    size_t at = 0;

    while ((token = lsqi_sql_next(sql, len, &at)).kind != LSQI_SQL_END) {
        size_t number = token.kind == LSQI_SQL_PARAM ? number_of_name(sql, &token, facts) : 0;
        char text[24];

        if (number == 0) continue;
        snprintf(text, sizeof(text), "?%zu", number);
        lsqi_buf_add(out, sql + copied, token.at - copied);
        lsqi_buf_add_text(out, text);
        copied = at;
    }
    lsqi_buf_add(out, sql + copied, len - copied);
}

/* The first word behind the CTEs: those stand in brackets. */
static void note_main_word(const char *sql, const struct lsqi_sql_token *token, int depth,
                           bool *found, struct lsqi_sql_facts *facts) {
    static const char *const verbs[] = {"SELECT", "VALUES",  "INSERT", "UPDATE",
                                        "DELETE", "REPLACE", NULL};

    if (*found || depth > 0 || !is_one_of(sql, token, verbs)) return;
    *found = true;
    facts->command = lsqi_sql_first_word(sql + token->at, token->len);
}

static const char *const control_words[] = {"BEGIN",     "COMMIT",  "END", "ROLLBACK",
                                            "SAVEPOINT", "RELEASE", NULL};
static const char *const session_words[] = {"PRAGMA", "ATTACH", "DETACH", NULL};

static void note_first_word(const char *sql, const struct lsqi_sql_token *token,
                            struct lsqi_sql_facts *facts) {
    facts->explain = is(sql, token, "EXPLAIN");
    facts->control = is_one_of(sql, token, control_words);
    facts->begins = is(sql, token, "BEGIN") || is(sql, token, "SAVEPOINT");
    facts->sets_session = is_one_of(sql, token, session_words);
}

/* A table-valued PRAGMA may write; nothing else that is selected from does. */
static bool may_write(const char *sql, const struct lsqi_sql_token *token) {
    const char *text = sql + token->at;
    size_t len = token->len;

    if (token->kind == LSQI_SQL_QUOTED && len > 1) {
        text++;
        len--;
    }
    return len >= 7 && strncasecmp(text, "pragma_", 7) == 0;
}

enum lsq_status lsqi_sql_look(const char *sql, size_t len, struct lsqi_sql_facts *facts,
                              struct lsq_error *err) {
    struct lsqi_sql_token token;
    enum lsq_status st = LSQ_OK;
    bool with = false;
    bool found = false;
    bool pragma_table = false;
    bool first = true;
    bool second = false;
    bool creates = false;
    size_t at = lsqi_sql_skip(sql, len, true);
    int depth = 0;

    *facts = (struct lsqi_sql_facts){.command = lsqi_sql_first_word(sql, len)};
    len = at + lsqi_sql_statement(sql + at, len - at);
    while (st == LSQ_OK && (token = lsqi_sql_next(sql, len, &at)).kind != LSQI_SQL_END) {
        if (first) {
            note_first_word(sql, &token, facts);
            with = is(sql, &token, "WITH");
            creates = is(sql, &token, "CREATE");
        }
        if (second && creates && (is(sql, &token, "TEMP") || is(sql, &token, "TEMPORARY")))
            facts->sets_session = true;
        if (facts->command == LSQ_COMMAND_ROLLBACK && is(sql, &token, "TO")) facts->partly = true;
        if (facts->explain && is(sql, &token, "WITH")) with = true;
        if (with) note_main_word(sql, &token, depth, &found, facts);
        if (token.kind == LSQI_SQL_PARAM) st = note_param(sql, &token, facts);
        if (token.kind == LSQI_SQL_OTHER && sql[token.at] == '(') depth++;
        if (token.kind == LSQI_SQL_OTHER && sql[token.at] == ')') depth--;
        pragma_table = pragma_table || may_write(sql, &token);
        second = first;
        first = false;
    }
    if (st != LSQ_OK) {
        lsqi_sql_facts_release(facts);
        return lsqi_error_set(err, st, "%s", lsq_status_text(st));
    }
    if (facts->explain) facts->command = LSQ_COMMAND_SELECT;
    if (first) facts->command = LSQ_COMMAND_EMPTY;
    facts->reads = facts->explain || (facts->command == LSQ_COMMAND_SELECT && !pragma_table);
    return LSQ_OK;
}

/* ---- Where a statement ends ---- */

/* A trigger's body holds semicolons, and ends with the END that follows one of them. CASE ... END stands in the
 * midst of a statement. */
size_t lsqi_sql_statement(const char *sql, size_t len) {
    static const char *const before_trigger[] = {"TEMP", "TEMPORARY", NULL};
    struct lsqi_sql_token token;
    bool create = false;
    bool trigger = false;
    bool after_semicolon = false;
    bool ended = false;
    size_t count = 0;
    size_t at = 0;

    while ((token = lsqi_sql_next(sql, len, &at)).kind != LSQI_SQL_END) {
        bool semicolon = token.kind == LSQI_SQL_OTHER && sql[token.at] == ';';

        if (count == 0 && is(sql, &token, "EXPLAIN")) continue;
        if (count == 0) create = is(sql, &token, "CREATE");
        if (count > 0 && count < 3 && create && is(sql, &token, "TRIGGER")) trigger = true;
        if (!(count == 1 && is_one_of(sql, &token, before_trigger))) count++;
        if (semicolon && (!trigger || ended)) return at;
        ended = after_semicolon && is(sql, &token, "END");
        after_semicolon = semicolon;
    }
    return len;
}
