#include "hrana/message.h"

#include <string.h>

#include "hrana/json_read.h"
#include "hrana/json_text.h"
#include "hrana/json_write.h"

/* ---- What comes ---- */

static bool is(const struct lsqi_json *json, const char *text) {
    return json->len == strlen(text) && memcmp(json->text, text, json->len) == 0;
}

static enum lsqi_message_kind kind_of(const struct lsqi_json *json) {
    if (is(json, "response_ok")) return LSQI_MESSAGE_RESPONSE_OK;
    if (is(json, "response_error")) return LSQI_MESSAGE_RESPONSE_ERROR;
    if (is(json, "hello_ok")) return LSQI_MESSAGE_HELLO_OK;
    if (is(json, "hello_error")) return LSQI_MESSAGE_HELLO_ERROR;
    return LSQI_MESSAGE_OTHER;
}

static bool answers(enum lsqi_message_kind kind) {
    return kind == LSQI_MESSAGE_RESPONSE_OK || kind == LSQI_MESSAGE_RESPONSE_ERROR;
}

enum lsqi_message_kind lsqi_hrana_message(const char *data, size_t len, int64_t *request_id) {
    enum { NO_KEY, TYPE, ID } key = NO_KEY;
    enum lsqi_message_kind kind = LSQI_MESSAGE_BAD;
    enum lsqi_json_event event;
    struct lsqi_json json;
    bool has_id = false;

    lsqi_json_init(&json, false);
    lsqi_json_feed(&json, data, len);
    while ((event = lsqi_json_next(&json)) > LSQI_JSON_NOMEM) {
        if (json.depth != 1) continue;
        if (event == LSQI_JSON_KEY) {
            key = is(&json, "type") ? TYPE : is(&json, "request_id") ? ID : NO_KEY;
            continue;
        }
        if (key == TYPE && event == LSQI_JSON_STRING) kind = kind_of(&json);
        if (key == ID && (event == LSQI_JSON_NUMBER || event == LSQI_JSON_STRING))
            has_id = lsqi_json_to_integer(request_id, json.text, json.len);
        key = NO_KEY;
        if (kind != LSQI_MESSAGE_BAD && (has_id || !answers(kind))) break;
    }
    lsqi_json_release(&json);
    return answers(kind) && !has_id ? LSQI_MESSAGE_BAD : kind;
}

/* ---- What goes ---- */

void lsqi_hrana_hello(struct lsqi_buf *buf, const char *token) {
    lsqi_buf_add_text(buf, "{\"type\":\"hello\",\"jwt\":");
    if (token == NULL)
        lsqi_buf_add_text(buf, "null");
    else
        lsqi_json_string(buf, token, strlen(token));
    lsqi_buf_add_text(buf, "}");
}

/* Each begins on a line of its own; there is no other line break in JSON that we write. */
bool lsqi_hrana_next_request(const struct lsqi_buf *pipeline, size_t *at, const char **request,
                             size_t *len) {
    const char *end = pipeline->data + pipeline->len;
    const char *line = memchr(pipeline->data + *at, '\n', pipeline->len - *at);
    const char *next;

    if (line == NULL) return false;
    line++;
    next = memchr(line, '\n', (size_t)(end - line));
    *request = line;
    *at = (size_t)((next == NULL ? end : next) - pipeline->data);
    if (next != NULL) end = next - 1; /* the comma */
    *len = (size_t)(end - line);
    return true;
}
