/* The library's own threads: tasks with delays, jobs, the end and the next beginning. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../support/db.h"
#include "base/helper.h"

/* ---- Tasks ---- */

struct counted {
    struct lsqi_task task; /* first, so that a task is a counted */
    atomic_int runs;
    int again_ms; /* what run() answers until runs reaches limit */
    int limit;
    int64_t ran_at;
    sem_t ran;
};

static int run_counted(struct lsqi_task *task) {
    struct counted *counted = (struct counted *)(void *)task;
    int runs = atomic_fetch_add(&counted->runs, 1) + 1;
    int again = runs < counted->limit ? counted->again_ms : -1;

    counted->ran_at = now_ns();
    sem_post(&counted->ran);
    return again;
}

static void prepare(struct counted *counted, int again_ms, int limit) {
    *counted = (struct counted){.again_ms = again_ms, .limit = limit};
    counted->task.run = run_counted;
    sem_init(&counted->ran, 0, 0);
    assert_int_equal(lsqi_helper_start(NULL), LSQ_OK);
}

static void wait_for(sem_t *sem) {
    while (sem_wait(sem) != 0) continue;
}

static void task_runs_once(void **state) {
    struct counted counted;

    (void)state;
    prepare(&counted, 0, 1);
    lsqi_helper_schedule(&counted.task, 0);
    wait_for(&counted.ran);
    lsq_shutdown();
    assert_int_equal(counted.runs, 1);
}

static void task_that_asks_runs_again(void **state) {
    struct counted counted;

    (void)state;
    prepare(&counted, 1, 5);
    lsqi_helper_schedule(&counted.task, 0);
    for (int i = 0; i < 5; i++) wait_for(&counted.ran);
    lsq_shutdown();
    assert_int_equal(counted.runs, 5);
}

static void delays_are_kept_and_order_tasks(void **state) {
    struct counted late;
    struct counted early;
    int64_t start = now_ns();

    (void)state;
    prepare(&late, 0, 1);
    prepare(&early, 0, 1);
    lsqi_helper_schedule(&late.task, 120);
    lsqi_helper_schedule(&early.task, 40);
    wait_for(&early.ran);
    assert_int_equal(atomic_load(&late.runs), 0);
    wait_for(&late.ran);
    assert_true(early.ran_at - start >= 40000000);
    assert_true(late.ran_at - start >= 120000000);
    assert_true(late.ran_at - start < 5000000000);
    lsq_shutdown();
}

static void earlier_time_wins_later_one_does_not(void **state) {
    struct counted counted;
    int64_t start = now_ns();

    (void)state;
    prepare(&counted, 0, 1);
    lsqi_helper_schedule(&counted.task, 60000);
    lsqi_helper_schedule(&counted.task, 10);
    lsqi_helper_schedule(&counted.task, 60000);
    wait_for(&counted.ran);
    assert_true(now_ns() - start < 10000000000);
    lsq_shutdown();
    assert_int_equal(counted.runs, 1);
}

/* A task that waits for the test, to be scheduled while it runs. */
struct slow {
    struct lsqi_task task;
    sem_t began;
    sem_t go_on;
    atomic_int runs;
};

static int run_slow(struct lsqi_task *task) {
    struct slow *slow = (struct slow *)(void *)task;

    atomic_fetch_add(&slow->runs, 1);
    sem_post(&slow->began);
    wait_for(&slow->go_on);
    return -1;
}

static void scheduled_while_it_runs_it_runs_once_more(void **state) {
    struct slow slow = {.task = {.run = run_slow}};

    (void)state;
    sem_init(&slow.began, 0, 0);
    sem_init(&slow.go_on, 0, 0);
    assert_int_equal(lsqi_helper_start(NULL), LSQ_OK);
    lsqi_helper_schedule(&slow.task, 0);
    wait_for(&slow.began);
    lsqi_helper_schedule(&slow.task, 0);
    lsqi_helper_schedule(&slow.task, 0); /* the same once more */
    sem_post(&slow.go_on);
    wait_for(&slow.began);
    sem_post(&slow.go_on);
    lsq_shutdown();
    assert_int_equal(slow.runs, 2);
}

static void shutdown_runs_what_was_delayed(void **state) {
    struct counted counted;
    int64_t start = now_ns();

    (void)state;
    prepare(&counted, 0, 1);
    lsqi_helper_schedule(&counted.task, 3600000);
    lsq_shutdown();
    assert_int_equal(counted.runs, 1);
    assert_true(now_ns() - start < 10000000000);
}

/* ---- Jobs ---- */

static atomic_int jobs_done;

static void job(void *arg) { atomic_fetch_add(&jobs_done, *(int *)arg); }

enum { THREADS = 6, JOBS = 400 };

static void *defer_many(void *arg) {
    for (int i = 0; i < JOBS; i++) {
        if (lsq_defer(job, arg, NULL) != LSQ_OK) return arg;
    }
    return NULL;
}

static void jobs_from_many_threads_all_run(void **state) {
    static int one = 1;
    pthread_t thread[THREADS];
    void *failed;

    (void)state;
    atomic_store(&jobs_done, 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, defer_many, &one), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    lsq_shutdown();
    assert_int_equal(atomic_load(&jobs_done), THREADS * JOBS);
}

/* Two jobs that need each other: one worker alone would stand still. */
static sem_t first_here;
static sem_t second_here;

static void first(void *arg) {
    sem_post(&first_here);
    wait_for(&second_here);
    sem_post(arg);
}

static void second(void *arg) {
    sem_post(&second_here);
    wait_for(&first_here);
    sem_post(arg);
}

static void two_jobs_run_side_by_side(void **state) {
    sem_t done;

    (void)state;
    sem_init(&done, 0, 0);
    sem_init(&first_here, 0, 0);
    sem_init(&second_here, 0, 0);
    assert_int_equal(lsq_defer(first, &done, NULL), LSQ_OK);
    assert_int_equal(lsq_defer(second, &done, NULL), LSQ_OK);
    wait_for(&done);
    wait_for(&done);
    lsq_shutdown();
}

static void note_thread(void *arg) { *(pthread_t *)arg = pthread_self(); }

static void jobs_run_on_another_thread(void **state) {
    pthread_t ran_on = pthread_self();

    (void)state;
    assert_int_equal(lsq_defer(note_thread, &ran_on, NULL), LSQ_OK);
    lsq_shutdown();
    assert_false(pthread_equal(ran_on, pthread_self()));
}

static struct counted from_job;

static void schedule_task(void *arg) {
    (void)arg;
    lsqi_helper_schedule(&from_job.task, 50);
}

static void defer_next(void *arg) {
    static int ten = 10;

    (void)lsq_defer(schedule_task, arg, NULL);
    (void)lsq_defer(job, &ten, NULL);
}

static void shutdown_waits_for_what_jobs_began(void **state) {
    (void)state;
    atomic_store(&jobs_done, 0);
    prepare(&from_job, 0, 1);
    assert_int_equal(lsq_defer(defer_next, NULL, NULL), LSQ_OK);
    lsq_shutdown();
    assert_int_equal(atomic_load(&jobs_done), 10);
    assert_int_equal(from_job.runs, 1);
}

static void job_without_memory_is_refused(void **state) {
    static int one = 1;
    struct lsq_error err;

    (void)state;
    atomic_store(&jobs_done, 0);
    lsq_memory_set_budget(0);
    assert_int_equal(lsq_defer(job, &one, &err), LSQ_NOMEM);
    lsq_memory_set_budget(-1);
    assert_int_equal(err.status, LSQ_NOMEM);
    lsq_shutdown();
    assert_int_equal(atomic_load(&jobs_done), 0);
}

/* ---- The end ---- */

static void it_works_again_after_each_end(void **state) {
    static int one = 1;
    struct lsq_memory before;
    struct lsq_memory after;

    (void)state;
    atomic_store(&jobs_done, 0);
    lsq_shutdown(); /* with nothing running */
    lsq_memory(&before);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(lsq_defer(job, &one, NULL), LSQ_OK);
        lsq_shutdown();
        lsq_shutdown();
        assert_int_equal(atomic_load(&jobs_done), i + 1);
    }
    lsq_memory(&after);
    assert_int_equal(after.blocks, before.blocks);
}

static void note(void *arg) { sem_post(arg); }
static void wait_for_end(void *arg) { sem_wait(arg); }
static void count_up(void *arg) { atomic_fetch_add((atomic_int *)arg, 1); }

/* A connection that was not freed when the threads ended is closed by new ones. */
static void connection_outlives_the_threads(void **state) {
    struct lsq_conn *conn = db_open(":memory:");
    struct lsq_stmt *stmt = NULL;
    struct timespec limit;
    sem_t closed;

    (void)state;
    sem_init(&closed, 0, 0);
    lsq_shutdown();
    assert_int_equal(ask(conn, "SELECT 42"), 42);
    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELECT 1", 8, NULL, &last_error), LSQ_OK);
    lsq_stmt_discard(stmt);
    lsq_conn_close(conn, note, &closed);
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 10;
    assert_int_equal(sem_timedwait(&closed, &limit), 0);
    lsq_conn_free(conn);
    lsq_shutdown();
}

static void *defer_beside(void *arg) {
    struct lsq_error err;

    for (int i = 0; i < 200; i++) {
        if (lsq_defer(count_up, arg, &err) != LSQ_OK) return NULL;
        if (i % 20 == 0) sleep_ms(1);
    }
    return arg;
}

/* What is handed over while the threads leave is not lost, and two may end it at once. */
static void *shut_down(void *arg) {
    for (int i = 0; i < 20; i++) lsq_shutdown();
    return arg;
}

static void calls_handed_over_beside_the_end_all_run(void **state) {
    static atomic_int done;
    pthread_t giver;
    pthread_t ender;
    void *given = NULL;

    (void)state;
    atomic_store(&done, 0);
    pthread_create(&giver, NULL, defer_beside, &done);
    pthread_create(&ender, NULL, shut_down, NULL);
    shut_down(NULL);
    pthread_join(giver, &given);
    pthread_join(ender, NULL);
    lsq_shutdown();
    assert_ptr_equal(given, &done);
    assert_int_equal(atomic_load(&done), 200);
}

/* A call that has no end holds up no other: there are more threads than processors. */
static void long_calls_hold_up_no_other(void **state) {
    enum { LONG = 40 };
    static sem_t end;
    static sem_t other;
    struct timespec limit;
    struct lsq_error err;

    (void)state;
    sem_init(&end, 0, 0);
    sem_init(&other, 0, 0);
    for (int i = 0; i < LONG; i++) assert_int_equal(lsq_defer(wait_for_end, &end, &err), LSQ_OK);
    assert_int_equal(lsq_defer(note, &other, &err), LSQ_OK);
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 10;
    assert_int_equal(sem_timedwait(&other, &limit), 0);
    for (int i = 0; i < LONG; i++) sem_post(&end);
    lsq_shutdown();
}

/* ---- Priorities ---- */

static int own_nice(void) { return getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid)); }

struct noted {
    int nice;
    sem_t done;
};

static void note_nice(void *arg) {
    struct noted *noted = arg;

    noted->nice = own_nice();
    sem_post(&noted->done);
}

/* Runs until it has another priority, or ten seconds. */
static void run_long(void *arg) {
    struct noted *noted = arg;
    int before = own_nice();
    int64_t start = now_ns();

    while (own_nice() == before && now_ns() - start < 10000000000) continue;
    note_nice(noted);
}

static int nice_of(void (*fn)(void *arg)) {
    struct noted noted;
    struct lsq_error err;

    sem_init(&noted.done, 0, 0);
    assert_int_equal(lsq_defer(fn, &noted, &err), LSQ_OK);
    wait_for(&noted.done);
    return noted.nice;
}

/* A long job lets others go first; the job after it has the usual priority again. */
static void only_long_jobs_are_nice(void **state) {
    int usual = own_nice();
    int lowered = usual + 10 > 19 ? 19 : usual + 10;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(nice_of(note_nice), usual);
        assert_int_equal(nice_of(run_long), lowered);
    }
    assert_int_equal(nice_of(note_nice), usual);
    lsq_shutdown();
}

/* Until it has used 100 ms of processor time, five times what is long. */
static void run_for_long(void *arg) {
    struct timespec used;

    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    } while (used.tv_sec == 0 && used.tv_nsec < 100000000);
    note_nice(arg);
}

/* A checkpoint that is given less than the writers beside it never catches up with them. */
static void pressing_jobs_are_not(void **state) {
    struct noted noted;
    struct lsq_error err;

    (void)state;
    sem_init(&noted.done, 0, 0);
    assert_int_equal(lsqi_worker_submit_pressing(run_for_long, &noted, &err), LSQ_OK);
    wait_for(&noted.done);
    assert_int_equal(noted.nice, own_nice());
    /* Its worker lives on, and tells long jobs from others as before. */
    assert_int_not_equal(nice_of(run_long), own_nice());
    lsq_shutdown();
}

/* Each long job ends its worker: more of them than there are places. */
static void places_of_ended_workers_are_used_again(void **state) {
    (void)state;
    for (int i = 0; i < 260; i++) (void)nice_of(run_long);
    lsq_shutdown();
}

/* ---- Taken back ---- */

static void taken_back_it_does_not_run(void **state) {
    struct counted counted;

    (void)state;
    prepare(&counted, 0, 1);
    lsqi_helper_schedule(&counted.task, 50);
    lsqi_helper_cancel(&counted.task);
    lsqi_helper_cancel(&counted.task);
    sleep_ms(100);
    assert_int_equal(counted.runs, 0);
    lsqi_helper_schedule(&counted.task, 0);
    wait_for(&counted.ran);
    lsq_shutdown();
    assert_int_equal(counted.runs, 1);
}

/* Whoever takes it back may free it: it neither runs any more nor comes again. */
static void taken_back_while_it_runs(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct counted *counted = malloc(sizeof(*counted));

        assert_non_null(counted);
        prepare(counted, 0, 1000000);
        lsqi_helper_schedule(&counted->task, 0);
        wait_for(&counted->ran);
        lsqi_helper_cancel(&counted->task);
        sem_destroy(&counted->ran);
        free(counted);
    }
    lsq_shutdown();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_back_it_does_not_run),
        cmocka_unit_test(taken_back_while_it_runs),
        cmocka_unit_test(only_long_jobs_are_nice),
        cmocka_unit_test(pressing_jobs_are_not),
        cmocka_unit_test(places_of_ended_workers_are_used_again),
        cmocka_unit_test(calls_handed_over_beside_the_end_all_run),
        cmocka_unit_test(long_calls_hold_up_no_other),
        cmocka_unit_test(task_runs_once),
        cmocka_unit_test(task_that_asks_runs_again),
        cmocka_unit_test(delays_are_kept_and_order_tasks),
        cmocka_unit_test(earlier_time_wins_later_one_does_not),
        cmocka_unit_test(scheduled_while_it_runs_it_runs_once_more),
        cmocka_unit_test(shutdown_runs_what_was_delayed),
        cmocka_unit_test(jobs_from_many_threads_all_run),
        cmocka_unit_test(two_jobs_run_side_by_side),
        cmocka_unit_test(jobs_run_on_another_thread),
        cmocka_unit_test(shutdown_waits_for_what_jobs_began),
        cmocka_unit_test(job_without_memory_is_refused),
        cmocka_unit_test(it_works_again_after_each_end),
        cmocka_unit_test(connection_outlives_the_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
