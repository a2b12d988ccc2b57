/* json_read.h - JSON text (RFC 8259), given in pieces of any size, as a sequence of events. Checks the grammar and
 * that texts are UTF-8. Allocates only for a token that a piece's end cuts and for texts with escapes.
 * Threads: the reader's owner.
 *
 *     lsqi_json_feed(&json, data, len);
 *     while ((event = lsqi_json_next(&json)) > LSQI_JSON_NOMEM) ...
 */
#ifndef LSQI_HRANA_JSON_READ_H
#define LSQI_HRANA_JSON_READ_H

#include <stdint.h>

#include "base/buf.h"

enum lsqi_json_event {
    LSQI_JSON_MORE,  /* the piece is at its end */
    LSQI_JSON_BAD,   /* it is no JSON: problem says why. The reader is of no more use */
    LSQI_JSON_NOMEM, /* likewise */
    LSQI_JSON_OBJECT,
    LSQI_JSON_OBJECT_END,
    LSQI_JSON_ARRAY,
    LSQI_JSON_ARRAY_END,
    LSQI_JSON_KEY,    /* text, len */
    LSQI_JSON_STRING, /* text, len: unescaped */
    LSQI_JSON_NUMBER, /* text, len: as it is written */
    LSQI_JSON_TRUE,
    LSQI_JSON_FALSE,
    LSQI_JSON_NULL
};

/* What may come next. */
enum lsqi_json_expect {
    LSQI_JSON_A_VALUE,
    LSQI_JSON_VALUE_OR_END, /* an array has begun */
    LSQI_JSON_KEY_OR_END,   /* an object has begun */
    LSQI_JSON_A_KEY,
    LSQI_JSON_COLON,
    LSQI_JSON_COMMA_OR_END,
    LSQI_JSON_NOTHING /* the text is whole */
};

enum {
    LSQI_JSON_DEPTH = 64, /* of arrays and objects in one another */
    LSQI_JSON_WORD = 1024 /* bytes that a number may have */
};

struct lsqi_json {
    const char *at; /* what of the piece is not read yet */
    const char *end;
    const char
        *text; /* of the last KEY, STRING, NUMBER; borrowed until the next call. No NUL behind it */
    size_t len;
    const char *problem;
    unsigned depth;

    /* The reader's own. */
    uint64_t objects; /* bit n: depth n + 1 is an object's */
    enum lsqi_json_expect expect;
    bool many;      /* values follow one another */
    bool in_string; /* cut has a string's beginning, without its quote */
    bool in_word;   /* cut has the beginning of a number or of a literal */
    bool escaping;  /* cut ends with a backslash that escapes what follows */
    bool escapes;   /* there is one in the string */
    bool wide;      /* there is more than ASCII in the string */
    struct lsqi_buf cut;
};

/* many: the text is any number of values, else one. */
void lsqi_json_init(struct lsqi_json *json, bool many);
void lsqi_json_release(struct lsqi_json *json);

/* The next piece, once lsqi_json_next() wants more; borrowed until it does so again. */
void lsqi_json_feed(struct lsqi_json *json, const char *data, size_t len);
enum lsqi_json_event lsqi_json_next(struct lsqi_json *json);

/* The first byte of the next event, without reading it: a bracket, a quote, a digit, ... 0: not known yet, or
 * what is there is not allowed; lsqi_json_next() then says which. */
char lsqi_json_peek(struct lsqi_json *json);

/* Whether the text may end here. */
bool lsqi_json_whole(const struct lsqi_json *json);

/* Where the string ends, in [p, end): at a quote, a backslash or a control character; else end. *high gets
 * the bits 0x80 of some of its bytes or of those behind it: all 0, it is ASCII. */
const char *lsqi_json_plain_end(const char *p, const char *end, uint64_t *high);

/* Whether a value may begin where lsqi_json_peek() looked. */
static inline bool lsqi_json_wants_value(const struct lsqi_json *json) {
    return json->expect == LSQI_JSON_A_VALUE || json->expect == LSQI_JSON_VALUE_OR_END;
}

/* Said by those who read a value by themselves: the value that began at `at` ends at end. */
void lsqi_json_took_value(struct lsqi_json *json, const char *end);

#endif
