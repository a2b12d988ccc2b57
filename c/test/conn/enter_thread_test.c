/* Who asks for a connection and waits for a moment only. */
#include <pthread.h>
#include <stdatomic.h>

#include "../support/db.h"

enum { TIMES = 400, HOLD_NS = 30000 };

static struct lsq_conn *conn;
static atomic_int round_now; /* that the other thread is, or was, in the connection for */

static void spin(int64_t ns) {
    int64_t until = now_ns() + ns;

    while (now_ns() < until) continue;
}

static void await_round(int number) {
    while (atomic_load(&round_now) != number) continue;
}

/* Is in the connection for a moment each time that it is asked. */
static void *hold(void *arg) {
    atomic_int *asked = arg;

    for (int i = 1; i <= TIMES; i++) {
        while (atomic_load(asked) != i) continue;
        if (lsq_conn_enter(conn, true) != LSQ_OK) return arg;
        atomic_store(&round_now, i);
        spin(HOLD_NS);
        lsq_conn_leave(conn);
    }
    return NULL;
}

/* Without waiting, it would be in use nearly always. */
static void waits_for_one_who_is_out_soon(void **state) {
    atomic_int asked = 0;
    pthread_t thread;
    void *failed;
    int came = 0;

    (void)state;
    conn = db_open(NULL);
    atomic_store(&round_now, 0);
    assert_int_equal(pthread_create(&thread, NULL, hold, &asked), 0);
    for (int i = 1; i <= TIMES; i++) {
        enum lsq_status st;

        atomic_store(&asked, i);
        await_round(i);
        st = lsq_conn_enter_soon(conn);
        if (st != LSQ_OK) assert_int_equal(st, LSQ_IN_USE);
        if (st == LSQ_OK) lsq_conn_leave(conn);
        came += st == LSQ_OK;
    }
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    print_message("in %d of %d times\n", came, TIMES);
    assert_true(came > TIMES / 4);
    db_close(conn);
}

static void does_not_wait_for_others(void **state) {
    int64_t began;

    (void)state;
    conn = db_open(NULL);
    assert_int_equal(lsq_conn_enter(conn, false), LSQ_OK);
    began = now_ns();
    assert_int_equal(lsq_conn_enter_soon(conn), LSQ_IN_USE);
    assert_true(now_ns() - began >= 100000);
    assert_true(now_ns() - began < 5000000000); /* a stall of seconds */
    lsq_conn_leave(conn);
    assert_int_equal(lsq_conn_enter_soon(conn), LSQ_OK);
    lsq_conn_leave(conn);
    lsq_conn_close(conn, NULL, NULL);
    assert_int_equal(lsq_conn_enter_soon(conn), LSQ_CLOSED);
    lsq_conn_free(conn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(waits_for_one_who_is_out_soon, db_forget),
        cmocka_unit_test_teardown(does_not_wait_for_others, db_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
