/* The counted allocator: sums come out even, the budget of tests fails what it should. */
#include <pthread.h>
#include <stdlib.h>

#include "../support/db.h"
#include "base/alloc.h"

static struct lsq_memory memory(void) {
    struct lsq_memory now;

    lsq_memory(&now);
    return now;
}

static void blocks_and_bytes_are_counted(void **state) {
    struct lsq_memory before = memory();
    char *a = lsqi_malloc(100);
    char *b = lsqi_calloc(10, 10);

    (void)state;
    assert_int_equal(memory().blocks, before.blocks + 2);
    assert_int_equal(memory().bytes,
                     before.bytes + (int64_t)(lsqi_alloc_size(a) + lsqi_alloc_size(b)));
    assert_true(lsqi_alloc_size(a) >= 100);
    for (int i = 0; i < 100; i++) assert_int_equal(b[i], 0);
    lsqi_free(a);
    lsqi_free(b);
    assert_int_equal(memory().blocks, before.blocks);
    assert_int_equal(memory().bytes, before.bytes);
}

static void realloc_keeps_content_and_count(void **state) {
    struct lsq_memory before = memory();
    char *block = lsqi_realloc(NULL, 8);

    (void)state;
    memcpy(block, "seven..", 8);
    block = lsqi_realloc(block, 100000);
    assert_non_null(block);
    assert_string_equal(block, "seven..");
    assert_int_equal(memory().blocks, before.blocks + 1);
    assert_int_equal(memory().bytes, before.bytes + (int64_t)lsqi_alloc_size(block));
    lsqi_free(block);
    assert_int_equal(memory().bytes, before.bytes);
}

static void nothing_is_freed_twice_for_null(void **state) {
    struct lsq_memory before = memory();

    (void)state;
    lsqi_free(NULL);
    assert_int_equal(lsqi_alloc_size(NULL), 0);
    assert_int_equal(memory().blocks, before.blocks);
}

static void strndup_adds_a_nul(void **state) {
    char *copy = lsqi_strndup("abcdef", 3);
    char *with_nul = lsqi_strndup("a\0b", 3);
    char *empty = lsqi_strndup("x", 0);

    (void)state;
    assert_string_equal(copy, "abc");
    assert_memory_equal(with_nul, "a\0b", 4);
    assert_string_equal(empty, "");
    assert_null(lsqi_strndup("x", SIZE_MAX));
    lsqi_free(copy);
    lsqi_free(with_nul);
    lsqi_free(empty);
}

static void budget_fails_what_comes_after(void **state) {
    struct lsq_memory before = memory();
    void *block[2];

    (void)state;
    lsq_memory_set_budget(2);
    block[0] = lsqi_malloc(1);
    block[1] = lsqi_calloc(1, 1);
    assert_non_null(block[0]);
    assert_non_null(block[1]);
    assert_null(lsqi_malloc(1));
    assert_null(lsqi_calloc(1, 1));
    assert_null(lsqi_realloc(block[0], 1000)); /* the old block stays as it was */
    assert_null(lsqi_strndup("a", 1));
    assert_int_equal(memory().failed, before.failed + 4);
    assert_int_equal(memory().blocks, before.blocks + 2);
    lsq_memory_set_budget(-1);
    block[0] = lsqi_realloc(block[0], 1000);
    assert_non_null(block[0]);
    lsqi_free(block[0]);
    lsqi_free(block[1]);
    lsq_memory_set_budget(-7); /* any negative number is no budget */
    block[0] = lsqi_malloc(1);
    assert_non_null(block[0]);
    lsqi_free(block[0]);
    assert_int_equal(memory().failed, before.failed + 4);
}

enum { THREADS = 8, ROUNDS = 2000 };

/* Half of the blocks are freed by another thread than the one that asked for them. */
static void *allocate(void *arg) {
    void **kept = arg;

    for (int i = 0; i < ROUNDS; i++) {
        kept[i] = lsqi_malloc((size_t)(i % 300) + 1);
        if (i % 2 == 0) {
            lsqi_free(kept[i]);
            kept[i] = NULL;
        }
    }
    return NULL;
}

static void many_threads_count_to_nought(void **state) {
    static void *kept[THREADS][ROUNDS];
    struct lsq_memory before = memory();
    pthread_t thread[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, allocate, kept[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(memory().blocks, before.blocks + THREADS * ROUNDS / 2);
    for (int i = 0; i < THREADS; i++) {
        for (int j = 0; j < ROUNDS; j++) lsqi_free(kept[i][j]);
    }
    assert_int_equal(memory().blocks, before.blocks);
    assert_int_equal(memory().bytes, before.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_and_bytes_are_counted),
        cmocka_unit_test(realloc_keeps_content_and_count),
        cmocka_unit_test(nothing_is_freed_twice_for_null),
        cmocka_unit_test(strndup_adds_a_nul),
        cmocka_unit_test(budget_fails_what_comes_after),
        cmocka_unit_test(many_threads_count_to_nought),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
