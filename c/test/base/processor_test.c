/* Passing: not often, and rarely where another thread keeps the processor. */
#include <sched.h>

#include "../support/db.h"
#include "base/processor.h"

enum { MS = 1000000 };

/* ---- What is asked of the system, of this program ---- */

static struct {
    int yields;
    int ms; /* that a neighbour keeps the processor */
} seen;

int sched_yield(void) {
    seen.yields++;
    if (seen.ms > 0) sleep_ms(seen.ms);
    return 0;
}

/* Passes again and again until it has yielded once more: after how long, ns. */
static int64_t until_it_yields(void) {
    int64_t began = now_ns();
    int before = seen.yields;

    while (seen.yields == before) lsqi_processor_pass();
    return now_ns() - began;
}

static int begin(void **state) {
    (void)state;
    seen.ms = 0;
    (void)until_it_yields();
    return 0;
}

/* ---- Tests ---- */

static void is_done_now_and_then(void **state) {
    int64_t began = now_ns();
    int yields = seen.yields;

    (void)state;
    while (now_ns() - began < 100 * MS) lsqi_processor_pass();
    yields = seen.yields - yields;
    assert_in_range(yields, 1, 401); /* at most once in 250 us */
}

/* One that takes 5 ms each time is given a tenth of the time, or less. */
static void gives_a_tenth_to_one_who_does_not_pass(void **state) {
    int64_t waited;

    (void)state;
    seen.ms = 5;
    (void)until_it_yields();
    waited = until_it_yields();
    assert_true(waited >= 50 * (int64_t)MS);
    /* When that one has gone, it is as before. */
    seen.ms = 0;
    (void)until_it_yields();
    waited = now_ns();
    for (int i = 0; i < 10; i++) (void)until_it_yields();
    assert_true(now_ns() - waited < 5000 * (int64_t)MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_done_now_and_then, begin),
        cmocka_unit_test_setup(gives_a_tenth_to_one_who_does_not_pass, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
