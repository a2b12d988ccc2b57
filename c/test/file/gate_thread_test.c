/* Turnstile: what a worker was given by the system while it did not run, and is no longer there when it does. Two
 * turnstiles of one file are as two processes: each has a description of its own. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "../support/db.h"
#include "file/turnstile.h"

enum { SETLKW = 38, PATIENCE_MS = 60000, MOMENT_MS = 200 };

static atomic_bool kept;    /* a worker that got the gate is kept from going on */
static atomic_bool arrived; /* one is */

/* The library's, which waits with F_OFD_SETLKW in one place only. */
__attribute__((visibility("default"))) int fcntl64(int fd, int cmd, ...) {
    int (*real)(int, int, ...);
    void *function = dlsym(RTLD_NEXT, "fcntl64");
    void *arg;
    va_list args;
    int rc;

    va_start(args, cmd);
    arg = va_arg(args, void *);
    va_end(args);
    memcpy(&real, &function, sizeof(real));
    rc = real(fd, cmd, arg);
    if (cmd != SETLKW || !atomic_load(&kept)) return rc;
    atomic_store(&arrived, true);
    while (atomic_load(&kept)) sleep_ms(1);
    return rc;
}

static struct lsqi_turnstile *ours;
static struct lsqi_turnstile *theirs;
static char lane_file[300];

static int begin(void **state) {
    const char *path = db_path();
    FILE *file = fopen(path, "w");

    (void)state;
    if (file == NULL) return -1;
    fclose(file);
    snprintf(lane_file, sizeof(lane_file), "%s-lane", path);
    atomic_store(&kept, false);
    atomic_store(&arrived, false);
    ours = lsqi_turnstile_new(path);
    theirs = lsqi_turnstile_new(path);
    return ours == NULL || theirs == NULL ? -1 : 0;
}

static int end(void **state) {
    lsqi_turnstile_unref(ours);
    lsqi_turnstile_unref(theirs);
    (void)unlink(lane_file);
    return db_forget(state);
}

static bool never(void *arg) {
    (void)arg;
    return false;
}

static bool enter(struct lsqi_turnstile *ts) {
    return lsqi_turnstile_enter(ts, now_ns() + (int64_t)PATIENCE_MS * 1000000, never, NULL);
}

/* One that goes in and, when it is told, out. */
struct visitor {
    pthread_t thread;
    atomic_bool inside;
    atomic_bool over;
};

static void *visit(void *arg) {
    struct visitor *visitor = arg;

    if (!enter(ours)) return NULL;
    atomic_store(&visitor->inside, true);
    while (!atomic_load(&visitor->over)) sleep_ms(1);
    lsqi_turnstile_leave(ours);
    return NULL;
}

static void visitor_begin(struct visitor *visitor) {
    atomic_init(&visitor->inside, false);
    atomic_init(&visitor->over, false);
    assert_int_equal(pthread_create(&visitor->thread, NULL, visit, visitor), 0);
}

static void visitor_end(struct visitor *visitor) {
    atomic_store(&visitor->over, true);
    assert_int_equal(pthread_join(visitor->thread, NULL), 0);
}

static bool becomes(atomic_bool *flag) {
    for (int i = 0; i < PATIENCE_MS && !atomic_load(flag); i++) sleep_ms(1);
    return atomic_load(flag);
}

/* The worker has the gate, and does not run. After a second the first one looks for himself, finds the gate his
 * own, and has gone out of it again when another process comes in. Then the worker runs. */
static void a_gate_that_was_left_is_not_ours(void **state) {
    struct visitor first;
    struct visitor next;

    (void)state;
    assert_true(enter(theirs));
    visitor_begin(&first);
    sleep_ms(MOMENT_MS); /* it stands there */
    atomic_store(&kept, true);
    lsqi_turnstile_leave(theirs);
    if (!becomes(&first.inside)) fail_msg("nobody came in");
    if (!atomic_load(&arrived)) {
        print_message("this C library has no fcntl64: nothing to test\n");
        visitor_end(&first);
        return;
    }
    visitor_end(&first);
    assert_true(enter(theirs));
    visitor_begin(&next);
    sleep_ms(MOMENT_MS); /* it stands there, for the worker of before */
    atomic_store(&kept, false);
    sleep_ms(MOMENT_MS);
    assert_false(atomic_load(&next.inside));
    lsqi_turnstile_leave(theirs);
    assert_true(becomes(&next.inside));
    assert_false(lsqi_turnstile_enter(theirs, now_ns() + 50 * INT64_C(1000000), never, NULL));
    visitor_end(&next);
    assert_true(enter(theirs));
    lsqi_turnstile_leave(theirs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_gate_that_was_left_is_not_ours, begin, end),
    };
    struct lsq_core_info info;
    int failed;

    if (lsq_core_info(&info, NULL) != LSQ_OK || !info.ofd_locks) {
        puts("no locks of open file descriptions here: nothing to test");
        return 0;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    lsq_shutdown();
    return failed;
}
