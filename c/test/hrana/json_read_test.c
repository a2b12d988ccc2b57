/* The reader alone: what is JSON and what is not (RFC 8259), in pieces of every size. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "hrana/json_read.h"

/* The events of a text as text: "{ k"a" s"b" n"1" t f - } ]"; BAD at an error, "..." where the text is not whole. */
static void read_text(struct lsqi_buf *events, const char *text, size_t len, size_t piece,
                      bool many) {
    static const char *const names[] = {
        [LSQI_JSON_MORE] = "?",       [LSQI_JSON_BAD] = "BAD ",      [LSQI_JSON_NOMEM] = "NOMEM ",
        [LSQI_JSON_OBJECT] = "{ ",    [LSQI_JSON_OBJECT_END] = "} ", [LSQI_JSON_ARRAY] = "[ ",
        [LSQI_JSON_ARRAY_END] = "] ", [LSQI_JSON_KEY] = "k",         [LSQI_JSON_STRING] = "s",
        [LSQI_JSON_NUMBER] = "n",     [LSQI_JSON_TRUE] = "t ",       [LSQI_JSON_FALSE] = "f ",
        [LSQI_JSON_NULL] = "- "};
    struct lsqi_json json;
    enum lsqi_json_event event = LSQI_JSON_MORE;

    lsqi_json_init(&json, many);
    lsqi_buf_reset(events);
    for (size_t at = 0; at < len && event == LSQI_JSON_MORE; at += piece) {
        size_t size = len - at < piece ? len - at : piece;
        char *block = malloc(size);

        memcpy(block, text + at, size);
        lsqi_json_feed(&json, block, size);
        while ((event = lsqi_json_next(&json)) > LSQI_JSON_NOMEM) {
            lsqi_buf_add_text(events, names[event]);
            if (event < LSQI_JSON_KEY || event > LSQI_JSON_NUMBER) continue;
            lsqi_buf_add_text(events, "\"");
            lsqi_buf_add(events, json.text, json.len);
            lsqi_buf_add_text(events, "\" ");
        }
        free(block);
    }
    if (event != LSQI_JSON_MORE)
        lsqi_buf_add_text(events, names[event]);
    else if (!lsqi_json_whole(&json))
        lsqi_buf_add_text(events, "...");
    if (event == LSQI_JSON_BAD) assert_non_null(json.problem);
    lsqi_buf_add(events, "", 1);
    lsqi_json_release(&json);
}

static void check_as(const char *text, size_t len, const char *want, bool many) {
    struct lsqi_buf events = {0};

    for (size_t piece = 1; piece <= len; piece++) {
        read_text(&events, text, len, piece, many);
        if (strcmp(events.data, want) != 0)
            fail_msg("%s in pieces of %zu: %s, not %s", text, piece, events.data, want);
    }
    lsqi_buf_release(&events);
}

static void check(const char *text, const char *want) { check_as(text, strlen(text), want, false); }

/* It is refused, however it is cut. */
static void refused(const char *text, size_t len) {
    struct lsqi_buf events = {0};

    for (size_t piece = 1; piece <= len; piece++) {
        read_text(&events, text, len, piece, false);
        if (strstr(events.data, "BAD") == NULL)
            fail_msg("%s in pieces of %zu: %s", text, piece, events.data);
    }
    lsqi_buf_release(&events);
}

static void values_and_structure(void **state) {
    (void)state;
    check("{}", "{ } ");
    check(" [ ] ", "[ ] ");
    check("\"\"", "s\"\" ");
    check("[1,-2.5e+3,true,false,null]", "[ n\"1\" n\"-2.5e+3\" t f - ] ");
    check("{\"a\":{\"b\":[{},[]]},\"\":\"x\"}", "{ k\"a\" { k\"b\" [ { } [ ] ] } k\"\" s\"x\" } ");
    check("\t{\r\n\"a\" : 1 , \"b\" : [ 2 , 3 ] }\n",
          "{ k\"a\" n\"1\" k\"b\" [ n\"2\" n\"3\" ] } ");
    check("[\"\\u00e9\\n\\\"\", \"\xe2\x82\xac\"]", "[ s\"\xc3\xa9\n\"\" s\"\xe2\x82\xac\" ] ");
    check("{\"\\u0061\\/\":0}", "{ k\"a/\" n\"0\" } ");
    check("[\"long enough for several words of eight bytes, and then \\\\ some\"]",
          "[ s\"long enough for several words of eight bytes, and then \\ some\" ] ");
}

static void what_is_not_whole(void **state) {
    (void)state;
    check("{\"a\":", "{ k\"a\" ...");
    check("[1,", "[ n\"1\" ...");
    check("[1", "[ ...");
    check("[\"ab", "[ ...");
    check("[\"ab\\", "[ ...");
    check("[tru", "[ ...");
    check("  ", "...");
}

static void what_is_no_json(void **state) {
    static const char *const texts[] = {
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{\"a\":1 \"b\":2}",
        "{,}",
        "[}",
        "{]",
        "[1}",
        "]",
        "}",
        ",",
        ":",
        "[:1]",
        "[1:2]",
        "[nul ]",
        "[TRUE]",
        "['a']",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[1e]",
        "[0x1]",
        "[NaN]",
        "[Infinity]",
        "[1]1",
        "[] []",
        "{} x",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[\"\x01\"]",
        "[\"a\nb\"]",
        "[\"\xff\"]",
        "[\"\xc3\"]",
        "[\"\xc3\\u00a9\"]",
        "[\"\xed\xa0\x80\"]",
        "[/* */]",
        "[true1]",
        "[--1]",
        "{\"a\":1]",
        "[\"a\"\"b\"]",
        "{\"a\":1,,\"b\":2}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        refused(texts[i], strlen(texts[i]));
    check("[[]", "[ [ ] ...");
    refused("[\"a\0b\"]", 7);
    refused("[\0]", 3);
    refused("\0", 1);
}

static void values_may_follow_one_another(void **state) {
    (void)state;
    check_as("{}\n[1]\n\n{\"a\":2}", 15, "{ } [ n\"1\" ] { k\"a\" n\"2\" } ", true);
    check_as("{}\n[1", 5, "{ } [ ...", true);
    check_as("{},{}", 5, "{ } BAD ", true);
}

static void depth_is_bounded(void **state) {
    char text[2 * LSQI_JSON_DEPTH + 2];
    struct lsqi_buf events = {0};

    (void)state;
    memset(text, '[', LSQI_JSON_DEPTH);
    memset(text + LSQI_JSON_DEPTH, ']', LSQI_JSON_DEPTH);
    read_text(&events, text, 2 * LSQI_JSON_DEPTH, 7, false);
    assert_null(strstr(events.data, "BAD"));
    assert_null(strstr(events.data, "..."));
    memset(text, '[', LSQI_JSON_DEPTH + 1);
    read_text(&events, text, LSQI_JSON_DEPTH + 1, 7, false);
    assert_non_null(strstr(events.data, "BAD"));
    lsqi_buf_release(&events);
}

/* Which of the containers around is an object is not mixed up, at any depth. */
static void brackets_match_at_every_depth(void **state) {
    struct lsqi_buf text = {0};
    struct lsqi_buf events = {0};

    (void)state;
    for (unsigned pattern = 0; pattern < 256; pattern++) {
        lsqi_buf_reset(&text);
        for (int i = 0; i < 8; i++) lsqi_buf_add_text(&text, pattern >> i & 1 ? "{\"k\":" : "[");
        lsqi_buf_add_text(&text, "0");
        for (int i = 7; i >= 0; i--) lsqi_buf_add_text(&text, pattern >> i & 1 ? "}" : "]");
        read_text(&events, text.data, text.len, 3, false);
        assert_null(strstr(events.data, "BAD"));
        text.data[text.len - 1] = pattern & 1 ? ']' : '}';
        read_text(&events, text.data, text.len, 3, false);
        assert_non_null(strstr(events.data, "BAD"));
    }
    lsqi_buf_release(&text);
    lsqi_buf_release(&events);
}

static void numbers_are_bounded(void **state) {
    char text[LSQI_JSON_WORD + 8];

    (void)state;
    memset(text, '1', sizeof(text));
    text[0] = '[';
    text[LSQI_JSON_WORD + 5] = ']';
    refused(text, LSQI_JSON_WORD + 6);
}

/* Every byte, at every place of a word of eight. */
static void plain_end_sees_each_byte(void **state) {
    (void)state;
    for (size_t len = 1; len <= 40; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                char *block = malloc(len);
                bool stops = byte < 0x20 || byte == '"' || byte == '\\';
                uint64_t high = 0;

                memset(block, 'a', len);
                block[at] = (char)byte;
                if (lsqi_json_plain_end(block, block + len, &high) != block + (stops ? at : len))
                    fail_msg("byte %d at %zu of %zu", byte, at, len);
                if (byte >= 0x80) assert_true(high != 0);
                if (byte < 0x80) assert_true(high == 0);
                free(block);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_structure), cmocka_unit_test(what_is_not_whole),
        cmocka_unit_test(what_is_no_json),      cmocka_unit_test(values_may_follow_one_another),
        cmocka_unit_test(depth_is_bounded),     cmocka_unit_test(brackets_match_at_every_depth),
        cmocka_unit_test(numbers_are_bounded),  cmocka_unit_test(plain_end_sees_each_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
