/* Bytes that grow, and what happens when they cannot. */
#include "../support/db.h"
#include "base/alloc.h"
#include "base/buf.h"

static void grows_and_keeps_what_it_has(void **state) {
    struct lsqi_buf buf = {0};

    (void)state;
    for (int i = 0; i < 10000; i++) {
        char byte = (char)i;

        lsqi_buf_add(&buf, &byte, 1);
    }
    assert_int_equal(buf.len, 10000);
    for (int i = 0; i < 10000; i++) assert_int_equal(buf.data[i], (char)i);
    lsqi_buf_release(&buf);
    assert_null(buf.data);
}

static void reset_keeps_memory(void **state) {
    struct lsqi_buf buf = {0};
    const char *data;

    (void)state;
    lsqi_buf_add_text(&buf, "some text");
    data = buf.data;
    lsqi_buf_reset(&buf);
    assert_int_equal(buf.len, 0);
    lsqi_buf_add_text(&buf, "other");
    assert_ptr_equal(buf.data, data);
    assert_memory_equal(buf.data, "other", 5);
    lsqi_buf_release(&buf);
}

static void nothing_added_allocates_nothing(void **state) {
    struct lsqi_buf buf = {0};

    (void)state;
    lsqi_buf_add(&buf, NULL, 0);
    lsqi_buf_add_text(&buf, "");
    assert_null(buf.data);
    assert_false(buf.failed);
}

static void reserve_makes_room_at_the_end(void **state) {
    struct lsqi_buf buf = {0};

    (void)state;
    lsqi_buf_add_text(&buf, "ab");
    assert_true(lsqi_buf_reserve(&buf, 100000));
    assert_true(buf.size - buf.len >= 100000);
    memset(buf.data + buf.len, 'x', 100000);
    assert_memory_equal(buf.data, "ab", 2);
    lsqi_buf_release(&buf);
}

static void more_than_there_can_be_is_refused(void **state) {
    struct lsqi_buf buf = {0};

    (void)state;
    lsqi_buf_add_text(&buf, "ab");
    assert_false(lsqi_buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.failed);
    lsqi_buf_reset(&buf);
    assert_false(lsqi_buf_reserve(&buf, SIZE_MAX / 2 - 1));
    assert_true(buf.failed);
    lsqi_buf_release(&buf);
}

/* What was written before stays; what comes then is dropped until a reset. */
static void remembers_that_memory_ran_out(void **state) {
    struct lsqi_buf buf = {0};
    char block[4096] = {0};

    (void)state;
    lsqi_buf_add_text(&buf, "kept");
    lsq_memory_set_budget(0);
    lsqi_buf_add(&buf, block, sizeof(block));
    lsq_memory_set_budget(-1);
    assert_true(buf.failed);
    assert_int_equal(buf.len, 4);
    lsqi_buf_add_text(&buf, "!");
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.data, "kept", 4);
    lsqi_buf_reset(&buf);
    lsqi_buf_add(&buf, block, sizeof(block));
    assert_false(buf.failed);
    assert_int_equal(buf.len, sizeof(block));
    lsqi_buf_release(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_keeps_what_it_has),
        cmocka_unit_test(reset_keeps_memory),
        cmocka_unit_test(nothing_added_allocates_nothing),
        cmocka_unit_test(reserve_makes_room_at_the_end),
        cmocka_unit_test(more_than_there_can_be_is_refused),
        cmocka_unit_test(remembers_that_memory_ran_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
