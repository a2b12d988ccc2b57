/* Answers that nobody should write: changed at random, and pieces that end where memory ends. Whatever comes is an
 * answer or LSQ_PROTOCOL_UNSUPPORTED, nothing is read that was not given, and cutting makes no difference. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/answer.h"
#include "../support/db.h"

enum { CHANGED_EACH = 400, MOST_CHANGES = 4, ROOM = 8192 };

static uint64_t seed;
static size_t understood;
static size_t refused;

static size_t chance(size_t n) { return n == 0 ? 0 : (size_t)(random_next(&seed) % n); }

/* ---- Changes ---- */

static const char *const words[] = {
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e999",
    "0.5",
    "99999999999999999999",
    "\"type\":",
    "\"rows\":[",
    "\"cols\":[",
    "[[",
    "]]",
    "}]}",
    "\"row\":[",
    "\"result\":{",
    "\"step_results\":[null,",
    "\"step_errors\":[",
    "\"error\":{",
    "\"message\":\"\",",
    "\"base64\":\"=\"",
    "\"value\":null",
    "\"integer\"",
    "\"float\"",
    "\"text\"",
    "\"blob\"",
    "\xff",
    "\n",
    "\x01",
    "{\"type\":\"null\"},",
    "{\"type\":\"step_begin\",\"step\":0,\"cols\":[]}",
};

/* text[0..len) has room for ROOM bytes. Returns the new length. */
static size_t change(char *text, size_t len) {
    size_t at = chance(len + 1);
    size_t other = chance(len + 1);
    size_t n = chance(60);
    const char *word = words[chance(sizeof(words) / sizeof(words[0]))];

    switch (chance(5)) {
    case 0: /* a byte becomes another */
        if (at < len) text[at] = (char)chance(256);
        return len;
    case 1: /* some go */
        if (n > len - at) n = len - at;
        memmove(text + at, text + at + n, len - at - n);
        return len - n;
    case 2: /* some come twice, elsewhere */
        if (n > len - other) n = len - other;
        if (len + n > ROOM) return len;
        {
            char copy[60];

            memcpy(copy, text + other, n);
            memmove(text + at + n, text + at, len - at);
            memcpy(text + at, copy, n);
        }
        return len + n;
    case 3: /* a word comes in */
        n = strlen(word);
        if (len + n > ROOM) return len;
        memmove(text + at + n, text + at, len - at);
        memcpy(text + at, word, n);
        return len + n;
    default: /* a word is written over it */
        n = strlen(word);
        if (n <= len - at) memcpy(text + at, word, n);
        return len;
    }
}

/* ---- What comes of them ---- */

static void same(const struct answer *answer, const struct transcript *a,
                 const struct transcript *b) {
    if (strcmp(a->text.data, b->text.data) != 0)
        fail_msg("%.*s\nis told as\n%s\nand as\n%s", (int)answer->len, answer->data, a->text.data,
                 b->text.data);
}

static void try_answer(const struct answer *answer) {
    struct transcript whole;
    struct transcript cut;
    enum piece_memory where = chance(2) == 0 ? PIECE_BEFORE_GUARD : PIECE_BEHIND_GUARD;
    uint64_t pieces_seed = random_next(&seed);
    enum lsq_status st;

    transcript_init(&whole);
    transcript_init(&cut);
    st = transcribe(&whole, answer,
                    (struct pieces){.size = answer->len, .rows = SIZE_MAX, .memory = where},
                    &last_error);
    if (st == LSQ_OK)
        understood++;
    else if (st == LSQ_PROTOCOL_UNSUPPORTED)
        refused++;
    else
        fail_msg("%s: %s", lsq_status_name(st), last_error.message);
    transcribe(&cut, answer,
               (struct pieces){.size = chance(30) + 1, .rows = chance(3), .seed = &pieces_seed},
               &last_error);
    same(answer, &whole, &cut);
    lsqi_buf_reset(&cut.text);
    transcribe(&cut, answer,
               (struct pieces){.size = chance(90) + 1, .rows = SIZE_MAX, .memory = where},
               &last_error);
    same(answer, &whole, &cut);
    lsqi_buf_release(&whole.text);
    lsqi_buf_release(&cut.text);
}

static void try_changed(const struct answer *answer) {
    static char text[ROOM];
    struct answer changed = *answer;

    assert_true(answer->len <= ROOM);
    changed.data = text;
    for (int i = 0; i < CHANGED_EACH; i++) {
        memcpy(text, answer->data, answer->len);
        changed.len = answer->len;
        for (size_t n = chance(MOST_CHANGES) + 1; n > 0; n--)
            changed.len = change(text, changed.len);
        if (changed.len > 0) try_answer(&changed);
    }
}

static void changed_answers(void **state) {
    (void)state;
    seed = test_seed();
    understood = refused = 0;
    each_answer(try_changed);
    print_message("%zu understood, %zu refused\n", understood, refused);
    assert_true(understood > 100);
    assert_true(refused > 100);
}

/* Every answer to its end, and cut everywhere, beside pages that cannot be read. */
static void try_guarded(const struct answer *answer) {
    struct transcript transcript;

    transcript_init(&transcript);
    for (size_t size = 1; size <= answer->len; size++) {
        lsqi_buf_reset(&transcript.text);
        transcribe(
            &transcript, answer,
            (struct pieces){.size = size,
                            .rows = SIZE_MAX,
                            .memory = size % 2 == 0 ? PIECE_BEFORE_GUARD : PIECE_BEHIND_GUARD},
            &last_error);
    }
    lsqi_buf_release(&transcript.text);
}

static void nothing_is_read_outside_of_a_piece(void **state) {
    (void)state;
    each_answer(try_guarded);
}

/* ---- More than is kept ---- */

struct endless {
    const char *name;
    enum lsqi_hrana_form form;
    const char *start;
    const char *again;
};

/* In pieces of 64 KB until it is refused; it must be before so many bytes. */
static void refuses_at_last(const struct endless *endless, size_t most) {
    struct transcript transcript;
    struct lsqi_hrana_decoder *decoder;
    struct lsqi_buf piece = {0};
    enum lsq_status st;
    size_t given = 0;
    size_t used;

    transcript_init(&transcript);
    transcript.handler.sink = NULL;
    while (piece.len < 65536) lsqi_buf_add_text(&piece, endless->again);
    assert_int_equal(
        lsqi_hrana_decoder_new(&decoder, endless->form, &transcript.handler, &last_error), LSQ_OK);
    st = lsqi_hrana_decode(decoder, endless->start, strlen(endless->start), &used, &last_error);
    while (st == LSQ_OK && given < most) {
        st = lsqi_hrana_decode(decoder, piece.data, piece.len, &used, &last_error);
        given += piece.len;
    }
    if (st != LSQ_PROTOCOL_UNSUPPORTED)
        fail_msg("%s: %s after %zu bytes", endless->name, lsq_status_name(st), given);
    lsqi_hrana_decoder_free(decoder);
    lsqi_buf_release(&piece);
    lsqi_buf_release(&transcript.text);
}

#define RESULT "{\"results\":[{\"response\":{\"result\":{"

static void what_is_kept_is_bounded(void **state) {
    static const struct endless cases[] = {
        {"columns", LSQI_HRANA_PIPELINE, RESULT "\"cols\":[", "{\"name\":\"a name\"},"},
        {"columns without names", LSQI_HRANA_PIPELINE, RESULT "\"cols\":[", "{},"},
        {"parameters", LSQI_HRANA_PIPELINE, RESULT "\"params\":[", "{\"name\":null},"},
        {"steps", LSQI_HRANA_PIPELINE, RESULT "\"step_results\":[",
         "null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,"},
        {"errors", LSQI_HRANA_PIPELINE, RESULT "\"step_errors\":[",
         "{\"message\":\"what a message\",\"code\":\"A_CODE\"},"},
        {"a number", LSQI_HRANA_PIPELINE, RESULT "\"affected_row_count\":", "1111111111"},
        {"brackets", LSQI_HRANA_PIPELINE, "{\"x\":", "[[[[[[[["},
        {"objects", LSQI_HRANA_CURSOR, "{}{\"x\":", "{\"a\":"},
    };
    struct lsq_memory before;
    struct lsq_memory after;

    (void)state;
    lsq_memory(&before);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refuses_at_last(&cases[i], (size_t)512 << 20);
    lsq_memory(&after);
    assert_int_equal(after.blocks, before.blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_answers),
        cmocka_unit_test(nothing_is_read_outside_of_a_piece),
        cmocka_unit_test(what_is_kept_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
