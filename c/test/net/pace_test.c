/* How often answers are looked for: less often only while some wait in line, and so that the server has enough to do. */
#include "../support/db.h"
#include "net/pace.h"

/* A server that answers one in so many us, with so many under way: the pace that it is looked at in after a while. */
static int settles_at(struct lsqi_pace *pace, int answer_us, unsigned running) {
    int us = 0;

    for (int i = 0; i < 100; i++) {
        /* The time that a turn takes in any case is as for one answer. */
        unsigned came = (unsigned)(us / answer_us) + 1;

        pace->ended = came < running ? came : running;
        us = lsqi_pace(pace, running);
        assert_true(us == 0 || (us >= LSQI_PACE_SHORTEST_US && us <= LSQI_PACE_LONGEST_US));
        assert_int_equal(pace->ended, 0);
    }
    return us;
}

static void looks_at_once_where_nobody_waits(void **state) {
    struct lsqi_pace pace = {.waiting = 0};

    (void)state;
    for (int us = 10; us < 100000; us *= 10) assert_int_equal(settles_at(&pace, us, 32), 0);
}

static void leaves_servers_enough_to_do(void **state) {
    (void)state;
    for (int answer_us = 5; answer_us < 20000; answer_us = answer_us * 3 / 2) {
        struct lsqi_pace pace = {.waiting = 10};
        int us = settles_at(&pace, answer_us, 32);

        /* A quarter of those under way at most have been answered, unless the server answers all in no time. */
        assert_true(us / answer_us <= 8);
        if (answer_us >= LSQI_PACE_LONGEST_US) assert_int_equal(us, LSQI_PACE_LONGEST_US);
    }
}

static void is_at_once_again_when_the_line_is_empty(void **state) {
    struct lsqi_pace pace = {.waiting = 1};

    (void)state;
    assert_true(settles_at(&pace, 1000, 32) > 0);
    pace.waiting = 0;
    assert_int_equal(lsqi_pace(&pace, 32), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_at_once_where_nobody_waits),
        cmocka_unit_test(leaves_servers_enough_to_do),
        cmocka_unit_test(is_at_once_again_when_the_line_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
