#include "remote/failure.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "engine/failure.h"

/* ---- Codes of the server's own ---- */

struct server_code {
    const char *name;
    enum lsq_status status;
    bool transient;
};

static const struct server_code server_codes[] = {
    {"STREAM_EXPIRED", LSQ_STREAM_EXPIRED, false},
    {"TRANSACTION_TIMEOUT", LSQ_TRANSACTION_TIMEOUT, false},
    {"TRANSACTION_BUSY", LSQ_BUSY, true},
    {"RESPONSE_TOO_LARGE", LSQ_RESPONSE_TOO_LARGE, false},
    {"SQL_PARSE_ERROR", LSQ_SQL, false},
    {"SQL_NO_STATEMENT", LSQ_BAD_ARGUMENT, false},
    {"SQL_MANY_STATEMENTS", LSQ_BAD_ARGUMENT, false},
    {"SQL_INPUT_ERROR", LSQ_SQL, false},
    {"ARGS_INVALID", LSQ_PARAMETERS, false},
    {"ARGS_BOTH_POSITIONAL_AND_NAMED", LSQ_PARAMETERS, false},
    {"BLOCKED", LSQ_QUOTA_EXCEEDED, false},
    {"QUERY_CANCELED", LSQ_INTERRUPTED, true},
    {"SERVER_BUSY", LSQ_OVERLOADED, true},
    {"AUTH_JWT_EXPIRED", LSQ_UNAUTHORIZED, false},
    {"AUTH_TOKEN_INVALID", LSQ_UNAUTHORIZED, false},
};

/* The words that servers put before the engine's. */
static const char *engine_words(const char *message) {
    static const char *const prefixes[] = {
        "SQLite error: ", "SQLite input error: ", "SQL input error: "};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(message, prefixes[i], strlen(prefixes[i])) == 0)
            return message + strlen(prefixes[i]);
    return message;
}

/* Plans and quotas are told in words. */
static bool tells_of_quota(const char *message) {
    return strcasestr(message, "blocked") != NULL || strcasestr(message, "quota") != NULL ||
           strcasestr(message, "upgrade your plan") != NULL;
}

/* "no such column: a (at offset 7)" */
static void read_offset(struct lsq_error *err) {
    static const char words[] = " (at offset ";
    char *at = strstr(err->message, words);
    char *end;
    long offset;

    if (at == NULL) return;
    offset = strtol(at + sizeof(words) - 1, &end, 10);
    if (*end != ')' || offset < 0 || offset > INT_MAX) return;
    err->sql_offset = (int)offset;
    *at = '\0';
}

static enum lsq_status of_server(struct lsq_error *err, const struct server_code *code,
                                 const char *message) {
    enum lsq_status st = code->status;

    /* What the server's own parser does not let through. */
    if (st == LSQ_SQL && strstr(message, "unsupported statement") != NULL) st = LSQ_UNSUPPORTED;
    lsqi_error_set(err, st, "%s", engine_words(message));
    if (err != NULL && st == LSQ_SQL) read_offset(err);
    if (err != NULL) err->transient = code->transient;
    /* A lock of others, as the engine has it: of a turn, which servers have none of, there is no code. */
    if (err != NULL && st == LSQ_BUSY) err->engine_code = lsqi_failure_code("SQLITE_BUSY");
    return st;
}

/* The engine's plain error is mostly what it says of SQL that it cannot compile, for which its API has no code of its
 * own. Servers tell it by a code where they know the place in the text, which the engine does not always. */
static bool is_of_compiling(const char *words) {
    static const char *const begins[] = {
        "no such ",
        "ambiguous column name",
        "duplicate column name",
        "wrong number of ",
        "misuse of ",
        "cannot modify ",
        "cannot UPDATE ",
        "cannot INSERT ",
        "ON CONFLICT clause does not match",
        "there is already a",
        "incomplete input",
        "unrecognized token",
    };
    static const char *const has[] = {"syntax error",          " has no column named ",
                                      " values were supplied", " values for ",
                                      " already exists",       " may not be "};

    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        if (strncmp(words, begins[i], strlen(begins[i])) == 0) return true;
    for (size_t i = 0; i < sizeof(has) / sizeof(has[0]); i++)
        if (strstr(words, has[i]) != NULL) return true;
    return false;
}

enum lsq_status lsqi_remote_failure(struct lsq_error *err, const char *code, const char *message) {
    const char *words = engine_words(message);
    enum lsq_status st;
    int engine;

    for (size_t i = 0; i < sizeof(server_codes) / sizeof(server_codes[0]); i++)
        if (strcmp(code, server_codes[i].name) == 0)
            return of_server(err, &server_codes[i], message);
    if (strncmp(code, "AUTH_", 5) == 0) return lsqi_error_set(err, LSQ_UNAUTHORIZED, "%s", message);
    engine = strcmp(code, "SQLITE_UNKNOWN") == 0 ? lsqi_failure_code("SQLITE_ERROR")
                                                 : lsqi_failure_code(code);
    if (engine == 0) {
        st = tells_of_quota(message) ? LSQ_QUOTA_EXCEEDED : LSQ_ERROR;
        return code[0] == '\0' ? lsqi_error_set(err, st, "%s", words)
                               : lsqi_error_set(err, st, "%s (%s)", words, code);
    }
    st = lsqi_failure_told(err, engine, words);
    if (st == LSQ_ERROR && is_of_compiling(words)) {
        st = LSQ_SQL;
        if (err != NULL) err->status = st;
    }
    return st;
}

/* ---- Answers that are refusals ---- */

/* The text of a key of a flat JSON object, as far as it has no escapes but of quotes: for people to read. False: it
 * is not there. */
static bool read_text(const char *body, size_t len, const char *key, char *text, size_t size) {
    char quoted[32];
    const char *at;
    const char *end = body + len;
    size_t n = 0;

    snprintf(quoted, sizeof(quoted), "\"%s\"", key);
    at = memmem(body, len, quoted, strlen(quoted));
    if (at == NULL) return false;
    at += strlen(quoted);
    while (at < end && (*at == ' ' || *at == ':')) at++;
    if (at >= end || *at++ != '"') return false;
    for (; at < end && *at != '"' && n + 1 < size; at++) {
        if (*at == '\\' && at + 1 < end) at++;
        text[n++] = *at;
    }
    text[n] = '\0';
    return true;
}

static void read_message(const char *body, size_t len, char *text, size_t size) {
    if (body == NULL) body = "";
    if (read_text(body, len, "message", text, size) || read_text(body, len, "error", text, size))
        return;
    lsqi_error_copy(text, size, body, len);
    /* A page for people is no message. */
    if (text[0] == '<') text[0] = '\0';
}

static enum lsq_status status_of(int http_status, const char *message, bool held) {
    switch (http_status) {
    case 400: return held ? LSQ_STREAM_EXPIRED : LSQ_ERROR;
    case 401: return LSQ_UNAUTHORIZED;
    case 402: return LSQ_QUOTA_EXCEEDED;
    case 403: return tells_of_quota(message) ? LSQ_QUOTA_EXCEEDED : LSQ_UNAUTHORIZED;
    case 404:
        return strcasestr(message, "amespace") != NULL ? LSQ_NAMESPACE_NOT_FOUND
                                                       : LSQ_PROTOCOL_UNSUPPORTED;
    case 413: return LSQ_TOO_BIG;
    case 429:
    case 502:
    case 503:
    case 504: return LSQ_OVERLOADED;
    default: return http_status >= 500 ? LSQ_ERROR : LSQ_PROTOCOL_UNSUPPORTED;
    }
}

enum lsq_status lsqi_remote_refusal(struct lsq_error *err, int http_status, const char *body,
                                    size_t len, bool held) {
    char message[400];
    char code[64];
    enum lsq_status st;

    read_message(body, len, message, sizeof(message));
    if (body != NULL && read_text(body, len, "code", code, sizeof(code)) && code[0] != '\0') {
        st = lsqi_remote_failure(err, code, message);
        if (st != LSQ_ERROR) return st;
    }
    st = status_of(http_status, message, held);
    lsqi_error_set(err, st, "%s (HTTP %d)%s%s", lsq_status_text(st), http_status,
                   message[0] == '\0' ? "" : ": ", message);
    if (err != NULL) err->transient = st == LSQ_OVERLOADED;
    return st;
}
