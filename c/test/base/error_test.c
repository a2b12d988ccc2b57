/* struct lsq_error is filled wholly, its texts are cut between characters, each status has its name
 * and text. */
#include <ctype.h>

#include "../support/db.h"
#include "base/error.h"
#include "base/utf8.h"

static const struct {
    enum lsq_status status;
    const char *name;
    const char *atom;
    const char *text;
} statuses[] = {
#define LSQ_STATUS(name, atom, text) {LSQ_##name, #name, #atom, text},
#include "lsq/status.def"
#undef LSQ_STATUS
};

static void every_status_has_name_and_text(void **state) {
    (void)state;
    assert_int_equal(sizeof(statuses) / sizeof(statuses[0]), LSQ_STATUS_COUNT);
    for (int i = 0; i < LSQ_STATUS_COUNT; i++) {
        const char *name = lsq_status_name(statuses[i].status);

        assert_int_equal(statuses[i].status, i);
        assert_string_equal(name, statuses[i].atom);
        assert_string_equal(lsq_status_text(statuses[i].status), statuses[i].text);
        assert_true(strlen(statuses[i].text) > 5);
        /* the enum's own name, in small letters */
        assert_int_equal(strlen(name), strlen(statuses[i].name));
        for (size_t j = 0; name[j] != '\0'; j++)
            assert_int_equal(name[j], tolower((unsigned char)statuses[i].name[j]));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, lsq_status_name(statuses[j].status));
    }
}

/* The numbers are public: programs are compiled with them. */
static void numbers_stay(void **state) {
    (void)state;
    assert_int_equal(LSQ_OK, 0);
    assert_int_equal(LSQ_ERROR, 1);
    assert_int_equal(LSQ_NOMEM, 3);
    assert_int_equal(LSQ_BUSY, 4);
    assert_int_equal(LSQ_CONSTRAINT, 10);
    assert_int_equal(LSQ_CLOSED, 24);
    assert_int_equal(LSQ_WOULD_BLOCK, 26);
    assert_int_equal(LSQ_MISUSE, 37);
}

static void unknown_numbers_have_words_too(void **state) {
    (void)state;
    assert_string_equal(lsq_status_name((enum lsq_status)LSQ_STATUS_COUNT), "unknown");
    assert_string_equal(lsq_status_name((enum lsq_status)9999), "unknown");
    assert_string_equal(lsq_status_name((enum lsq_status) - 1), "unknown");
    assert_true(strlen(lsq_status_text((enum lsq_status) - 1)) > 5);
    assert_true(strlen(lsq_status_text((enum lsq_status)LSQ_STATUS_COUNT)) > 5);
}

static void every_field_is_set(void **state) {
    struct lsq_error err;

    (void)state;
    memset(&err, 0x5a, sizeof(err));
    assert_int_equal(lsqi_error_set(&err, LSQ_BUSY, "number %d", 7), LSQ_BUSY);
    assert_int_equal(err.status, LSQ_BUSY);
    assert_int_equal(err.engine_code, 0);
    assert_int_equal(err.sql_offset, -1);
    assert_int_equal(err.statement, 0);
    assert_false(err.transient);
    assert_int_equal(err.outcome, LSQ_OUTCOME_NONE);
    assert_int_equal(err.constraint, LSQ_CONSTRAINT_NONE);
    assert_string_equal(err.message, "number 7");
    assert_string_equal(err.table, "");
    assert_string_equal(err.columns, "");
    assert_string_equal(err.constraint_name, "");
}

static void no_error_is_wanted(void **state) {
    (void)state;
    assert_int_equal(lsqi_error_set(NULL, LSQ_FULL, "%s", "nobody reads this"), LSQ_FULL);
}

/* A message of `lead` bytes 'x' and then characters of three bytes, too long for its field. */
static void messages_are_cut_between_characters(void **state) {
    struct lsq_error err;
    char text[1024];

    (void)state;
    for (size_t lead = 0; lead < 3; lead++) {
        size_t room = sizeof(err.message) - 1;

        memset(text, 'x', lead);
        for (size_t i = lead; i + 3 < sizeof(text); i += 3) memcpy(text + i, "\xe2\x82\xac", 4);
        lsqi_error_set(&err, LSQ_ERROR, "%s", text);
        assert_int_equal(strlen(err.message), lead + (room - lead) / 3 * 3);
        assert_true(lsqi_utf8_valid(err.message, strlen(err.message)));
        assert_memory_equal(err.message, text, strlen(err.message));
    }
}

static void messages_that_just_fit_are_whole(void **state) {
    struct lsq_error err;
    char text[sizeof(err.message)];

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text + sizeof(text) - 4, "\xe2\x82\xac", 4);
    lsqi_error_set(&err, LSQ_ERROR, "%s", text);
    assert_string_equal(err.message, text);
    lsqi_error_set(&err, LSQ_ERROR, "x%s", text);
    assert_int_equal(strlen(err.message), sizeof(err.message) - 3);
}

static void fields_are_cut_between_characters(void **state) {
    static const struct {
        const char *text;
        size_t len;
        size_t size;
        const char *want;
    } cases[] = {
        {"abc", 3, 4, "abc"},
        {"abcd", 4, 4, "abc"},
        {"abc", 0, 4, ""},
        {"abc", 3, 1, ""},
        {"a\xc3\xa9", 3, 4, "a\xc3\xa9"},
        {"a\xc3\xa9", 3, 3, "a"},
        {"ab\xc3\xa9", 4, 4, "ab"},
        {"\xf0\x9f\x98\x80", 4, 4, ""},
        {"\xf0\x9f\x98\x80", 4, 5, "\xf0\x9f\x98\x80"},
        {"abcdef", 2, 10, "ab"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char field[16];

        memset(field, 'z', sizeof(field));
        lsqi_error_copy(field, cases[i].size, cases[i].text, cases[i].len);
        assert_string_equal(field, cases[i].want);
        for (size_t j = cases[i].size; j < sizeof(field); j++) assert_int_equal(field[j], 'z');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_name_and_text),
        cmocka_unit_test(numbers_stay),
        cmocka_unit_test(unknown_numbers_have_words_too),
        cmocka_unit_test(every_field_is_set),
        cmocka_unit_test(no_error_is_wanted),
        cmocka_unit_test(messages_are_cut_between_characters),
        cmocka_unit_test(messages_that_just_fit_are_whole),
        cmocka_unit_test(fields_are_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
