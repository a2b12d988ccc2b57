#include "hrana/json_read.h"

#include <string.h>

#include "base/utf8.h"
#include "hrana/json_text.h"

enum { LONGEST = 1 << 30 }; /* bytes that a string may have, as it is written */

void lsqi_json_init(struct lsqi_json *json, bool many) {
    *json = (struct lsqi_json){.expect = LSQI_JSON_A_VALUE, .many = many};
}

void lsqi_json_release(struct lsqi_json *json) { lsqi_buf_release(&json->cut); }

void lsqi_json_feed(struct lsqi_json *json, const char *data, size_t len) {
    json->at = data;
    json->end = len > 0 ? data + len : data;
}

static enum lsqi_json_event bad(struct lsqi_json *json, const char *problem) {
    json->problem = problem;
    return LSQI_JSON_BAD;
}

static bool in_object(const struct lsqi_json *json) {
    return json->depth > 0 && (json->objects >> (json->depth - 1) & 1) != 0;
}

/* ---- Between tokens ---- */

/* A value has ended. */
static void after_value(struct lsqi_json *json) {
    if (json->depth > 0)
        json->expect = LSQI_JSON_COMMA_OR_END;
    else
        json->expect = json->many ? LSQI_JSON_A_VALUE : LSQI_JSON_NOTHING;
}

/* Passes over a comma or a colon where one must come. False: none is to come, or it is another character. */
static bool pass_separator(struct lsqi_json *json, char c) {
    if (c == ',' && json->expect == LSQI_JSON_COMMA_OR_END)
        json->expect = in_object(json) ? LSQI_JSON_A_KEY : LSQI_JSON_A_VALUE;
    else if (c == ':' && json->expect == LSQI_JSON_COLON)
        json->expect = LSQI_JSON_A_VALUE;
    else
        return false;
    json->at++;
    return true;
}

char lsqi_json_peek(struct lsqi_json *json) {
    if (json->in_string || json->in_word) return 0;
    for (; json->at < json->end;) {
        char c = *json->at;

        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            json->at++;
        else if (!pass_separator(json, c))
            return c;
    }
    return 0;
}

bool lsqi_json_whole(const struct lsqi_json *json) {
    return json->depth == 0 && !json->in_string && !json->in_word &&
           (json->many || json->expect == LSQI_JSON_NOTHING);
}

void lsqi_json_took_value(struct lsqi_json *json, const char *end) {
    json->at = end;
    after_value(json);
}

/* ---- Arrays and objects ---- */

static enum lsqi_json_event open_container(struct lsqi_json *json, bool object) {
    uint64_t bit = (uint64_t)1 << (json->depth % LSQI_JSON_DEPTH);

    if (json->depth == LSQI_JSON_DEPTH) return bad(json, "it is nested too deeply");
    json->objects = object ? json->objects | bit : json->objects & ~bit;
    json->depth++;
    json->at++;
    json->expect = object ? LSQI_JSON_KEY_OR_END : LSQI_JSON_VALUE_OR_END;
    return object ? LSQI_JSON_OBJECT : LSQI_JSON_ARRAY;
}

static enum lsqi_json_event close_container(struct lsqi_json *json, bool object) {
    enum lsqi_json_expect empty = object ? LSQI_JSON_KEY_OR_END : LSQI_JSON_VALUE_OR_END;

    if (json->depth == 0 || in_object(json) != object ||
        (json->expect != LSQI_JSON_COMMA_OR_END && json->expect != empty))
        return bad(json, "a bracket does not belong there");
    json->depth--;
    json->at++;
    after_value(json);
    return object ? LSQI_JSON_OBJECT_END : LSQI_JSON_ARRAY_END;
}

/* ---- Strings ---- */

#define EACH_BYTE(c) (0x0101010101010101u * (uint64_t)(c))
#define HIGH_BITS EACH_BYTE(0x80)

/* Bit 0x80 of bytes that are 0: of the lowest one for certain, of those above it maybe without reason. */
static inline uint64_t zero_bytes(uint64_t word) { return (word - EACH_BYTE(1)) & ~word; }

/* The same, of bytes under 0x20. */
static inline uint64_t control_bytes(uint64_t word) { return (word - EACH_BYTE(0x20)) & ~word; }

static inline bool is_plain(char c) { return (unsigned char)c >= 0x20 && c != '"' && c != '\\'; }

const char *lsqi_json_plain_end(const char *p, const char *end, uint64_t *high) {
    uint64_t seen = 0;

    for (; end - p >= 8; p += 8) {
        uint64_t word;
        uint64_t hits;

        memcpy(&word, p, sizeof(word));
        seen |= word;
        hits = (zero_bytes(word ^ EACH_BYTE('"')) | zero_bytes(word ^ EACH_BYTE('\\')) |
                control_bytes(word)) &
               HIGH_BITS;
        if (hits == 0) continue;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        *high |= seen & HIGH_BITS;
        return p + __builtin_ctzll(hits) / 8;
#else
        break;
#endif
    }
    for (; p < end && is_plain(*p); p++) seen |= (unsigned char)*p;
    *high |= seen & HIGH_BITS;
    return p;
}

/* Goes on to the quote that ends the string, or to the piece's end. False: a character that may not be there. */
static bool scan_string(struct lsqi_json *json) {
    uint64_t high = 0;

    while (json->at < json->end) {
        if (json->escaping) {
            json->escaping = false;
            json->at++;
            continue;
        }
        json->at = lsqi_json_plain_end(json->at, json->end, &high);
        if (json->at == json->end || *json->at == '"') break;
        if (*json->at != '\\') return false;
        json->escaping = true;
        json->escapes = true;
        json->at++;
    }
    if (high != 0) json->wide = true;
    return true;
}

/* Keeps bytes of a token that is not whole, or has escapes. */
static enum lsqi_json_event keep(struct lsqi_json *json, const char *from, size_t most) {
    size_t len = (size_t)(json->at - from);

    if (len > most || json->cut.len > most - len) return bad(json, "a value is too long");
    lsqi_buf_add(&json->cut, from, len);
    return json->cut.failed ? LSQI_JSON_NOMEM : LSQI_JSON_MORE;
}

/* The string's bytes are text[0..len); at stands behind its quote. */
static enum lsqi_json_event finish_string(struct lsqi_json *json) {
    bool key = json->expect == LSQI_JSON_A_KEY || json->expect == LSQI_JSON_KEY_OR_END;

    if (json->escapes) {
        json->len = lsqi_json_unescape(json->cut.data, json->cut.data, json->cut.len);
        if (json->len == SIZE_MAX) return bad(json, "a text has an escape that there is not");
        json->text = json->cut.data;
    }
    if (json->wide && !lsqi_utf8_valid(json->text, json->len))
        return bad(json, "a text is not UTF-8");
    if (!key) {
        after_value(json);
        return LSQI_JSON_STRING;
    }
    json->expect = LSQI_JSON_COLON;
    return LSQI_JSON_KEY;
}

/* From at, inside the string, on. */
static enum lsqi_json_event go_on_string(struct lsqi_json *json) {
    const char *from = json->at;
    enum lsqi_json_event event;
    bool whole;

    if (!scan_string(json)) return bad(json, "a text has a control character");
    whole = json->at < json->end;
    if (!whole || json->in_string || json->escapes) {
        event = keep(json, from, LONGEST);
        if (event != LSQI_JSON_MORE) return event;
        json->text = json->cut.len > 0 ? json->cut.data : "";
        json->len = json->cut.len;
    } else {
        json->text = from;
        json->len = (size_t)(json->at - from);
    }
    json->in_string = !whole;
    if (!whole) return LSQI_JSON_MORE;
    json->at++;
    return finish_string(json);
}

static enum lsqi_json_event begin_string(struct lsqi_json *json) {
    if (json->expect == LSQI_JSON_COMMA_OR_END || json->expect == LSQI_JSON_COLON ||
        json->expect == LSQI_JSON_NOTHING)
        return bad(json, "a text does not belong there");
    json->escapes = json->escaping = json->wide = false;
    json->at++;
    return go_on_string(json);
}

/* ---- Numbers and literals ---- */

static inline bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
}

static bool is_text(const struct lsqi_json *json, const char *text) {
    return json->len == strlen(text) && memcmp(json->text, text, json->len) == 0;
}

static enum lsqi_json_event finish_word(struct lsqi_json *json) {
    after_value(json);
    if (is_text(json, "null")) return LSQI_JSON_NULL;
    if (is_text(json, "true")) return LSQI_JSON_TRUE;
    if (is_text(json, "false")) return LSQI_JSON_FALSE;
    if (lsqi_json_is_number(json->text, json->len)) return LSQI_JSON_NUMBER;
    return bad(json, "it is no JSON");
}

static enum lsqi_json_event go_on_word(struct lsqi_json *json) {
    const char *from = json->at;
    enum lsqi_json_event event;
    bool whole;

    while (json->at < json->end && is_word(*json->at)) json->at++;
    whole = json->at < json->end;
    if (!whole || json->in_word) {
        event = keep(json, from, LSQI_JSON_WORD);
        if (event != LSQI_JSON_MORE) return event;
        json->text = json->cut.data;
        json->len = json->cut.len;
    } else {
        json->text = from;
        json->len = (size_t)(json->at - from);
    }
    json->in_word = !whole;
    if (!whole) return LSQI_JSON_MORE;
    return json->len > LSQI_JSON_WORD ? bad(json, "a value is too long") : finish_word(json);
}

static enum lsqi_json_event begin_word(struct lsqi_json *json) {
    if (!is_word(*json->at)) return bad(json, "it is no JSON");
    return go_on_word(json);
}

/* ---- The next event ---- */

enum lsqi_json_event lsqi_json_next(struct lsqi_json *json) {
    char c;

    if (json->in_string) return go_on_string(json);
    if (json->in_word) return go_on_word(json);
    json->cut.len = 0;
    c = lsqi_json_peek(json);
    if (c == 0 && json->at == json->end) return LSQI_JSON_MORE;
    if (c == '"') return begin_string(json);
    if (c == '}') return close_container(json, true);
    if (c == ']') return close_container(json, false);
    if (!lsqi_json_wants_value(json)) return bad(json, "it is no JSON");
    if (c == '{') return open_container(json, true);
    if (c == '[') return open_container(json, false);
    return begin_word(json);
}
