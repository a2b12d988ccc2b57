#include "base/helper.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

enum {
    /* A job may run for hours: another must not wait for it. So there are as many workers as there have
     * ever been jobs at once, far more than processors; the system shares those out. */
    MAX_WORKERS = 256,
    WORKER_NICE = 10,
    /* Reserved, not used: a page costs memory when it is first touched. What is deeply nested in the
     * schema is compiled on these threads. */
    STACK_BYTES = 16 * 1024 * 1024
};

struct job {
    struct job *next;
    void (*fn)(void *arg);
    void *arg;
};

/* process-wide: threads belong to the process, and so does the work that outlives a handle. */
static struct helper {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* tasks, jobs, or stopping; on the monotonic clock from start() on */
    pthread_cond_t job;     /* a job came, or stopping: workers wait here, one is woken for each */
    bool has_clock;
    /* guarded by lock */
    struct lsqi_task *tasks; /* by due time */
    struct lsqi_task *running;
    bool helper_runs;
    bool stopping; /* threads leave when they have nothing to do, and none is started */
    bool shutting; /* lsq_shutdown() is under way */
    pthread_t helper;
    struct job *first_job;
    struct job **last_job;
    unsigned waiting; /* jobs that nobody has taken */
    unsigned jobs;    /* these and the running ones */
    unsigned workers;
    unsigned idle_workers;
    pthread_t worker[MAX_WORKERS];
} helper = {.lock = PTHREAD_MUTEX_INITIALIZER,
            .changed = PTHREAD_COND_INITIALIZER,
            .job = PTHREAD_COND_INITIALIZER};

static void wait_until_locked(int64_t ns) {
    struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    pthread_cond_timedwait(&helper.changed, &helper.lock, &ts);
}

/* ---- Tasks ---- */

static void insert_locked(struct lsqi_task *task, int64_t due) {
    struct lsqi_task **link = &helper.tasks;

    task->due = due;
    task->scheduled = true;
    while (*link != NULL && (*link)->due <= due) link = &(*link)->next;
    task->next = *link;
    *link = task;
}

static void remove_locked(struct lsqi_task *task) {
    struct lsqi_task **link = &helper.tasks;

    while (*link != task) link = &(*link)->next;
    *link = task->next;
}

static void run_first_locked(void) {
    struct lsqi_task *task = helper.tasks;
    int again;

    helper.tasks = task->next;
    task->scheduled = false;
    helper.running = task;
    pthread_mutex_unlock(&helper.lock);
    again = task->run(task);
    pthread_mutex_lock(&helper.lock);
    helper.running = NULL;
    if (again >= 0 && !task->scheduled)
        insert_locked(task, lsqi_now_ns() + (int64_t)again * 1000000);
    pthread_cond_broadcast(&helper.changed);
}

static void *helper_main(void *arg) {
    (void)arg;
    pthread_mutex_lock(&helper.lock);
    while (helper.tasks != NULL || !helper.stopping) {
        if (helper.tasks == NULL)
            pthread_cond_wait(&helper.changed, &helper.lock);
        else if (!helper.stopping && helper.tasks->due > lsqi_now_ns())
            wait_until_locked(helper.tasks->due);
        else
            run_first_locked();
    }
    pthread_mutex_unlock(&helper.lock);
    return NULL;
}

/* ---- Threads ---- */

/* A thread that no signal of the program reaches. */
static bool start_thread(pthread_t *thread, void *(*entry)(void *arg), const char *name) {
    sigset_t all;
    sigset_t before;
    pthread_attr_t attr;
    int rc;

    if (pthread_attr_init(&attr) != 0) return false;
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(thread, &attr, entry, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0) pthread_setname_np(*thread, name);
    return rc == 0;
}

static bool start_locked(void) {
    pthread_condattr_t attr;

    if (!helper.has_clock) {
        if (pthread_condattr_init(&attr) != 0) return false;
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_destroy(&helper.changed);
        helper.has_clock = pthread_cond_init(&helper.changed, &attr) == 0;
        pthread_condattr_destroy(&attr);
        if (!helper.has_clock) return false;
        helper.last_job = &helper.first_job;
    }
    if (!helper.helper_runs)
        helper.helper_runs = start_thread(&helper.helper, helper_main, "lsq-helper");
    return helper.helper_runs;
}

enum lsq_status lsqi_helper_start(struct lsq_error *err) {
    bool ok;

    pthread_mutex_lock(&helper.lock);
    ok = start_locked();
    pthread_mutex_unlock(&helper.lock);
    return ok ? LSQ_OK : lsqi_error_set(err, LSQ_ERROR, "no thread could be started");
}

void lsqi_helper_schedule(struct lsqi_task *task, int delay_ms) {
    int64_t due = lsqi_now_ns() + (int64_t)delay_ms * 1000000;

    pthread_mutex_lock(&helper.lock);
    if (task->scheduled && task->due > due) {
        remove_locked(task);
        task->scheduled = false;
    }
    if (!task->scheduled) insert_locked(task, due);
    /* After lsq_shutdown() there may be no thread; what outlived it needs one again. */
    if (!helper.stopping) (void)start_locked();
    pthread_cond_broadcast(&helper.changed);
    pthread_mutex_unlock(&helper.lock);
}

/* ---- Jobs ---- */

static void *worker_main(void *arg) {
    (void)arg;
    /* On Linux a priority belongs to the thread; elsewhere this does no harm. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), WORKER_NICE);
    pthread_mutex_lock(&helper.lock);
    for (;;) {
        struct job *job = helper.first_job;

        if (job == NULL && helper.stopping) break;
        if (job == NULL) {
            helper.idle_workers++;
            pthread_cond_wait(&helper.job, &helper.lock);
            helper.idle_workers--;
            continue;
        }
        helper.first_job = job->next;
        if (helper.first_job == NULL) helper.last_job = &helper.first_job;
        helper.waiting--;
        pthread_mutex_unlock(&helper.lock);
        job->fn(job->arg);
        lsqi_free(job);
        pthread_mutex_lock(&helper.lock);
        helper.jobs--;
        pthread_cond_broadcast(&helper.changed);
    }
    pthread_mutex_unlock(&helper.lock);
    return NULL;
}

static void add_worker_locked(void) {
    if (helper.workers < MAX_WORKERS &&
        start_thread(&helper.worker[helper.workers], worker_main, "lsq-worker"))
        helper.workers++;
}

enum lsq_status lsqi_worker_submit(void (*fn)(void *arg), void *arg, struct lsq_error *err) {
    struct job *job = lsqi_malloc(sizeof(*job));
    bool ok;

    if (job == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a job");
    *job = (struct job){.fn = fn, .arg = arg};
    pthread_mutex_lock(&helper.lock);
    ok = start_locked();
    /* While threads leave, lsq_shutdown() sees to what comes now. */
    if (ok && !helper.stopping && helper.idle_workers < helper.waiting + 1) add_worker_locked();
    ok = ok && (helper.workers > 0 || helper.stopping);
    if (ok) {
        *helper.last_job = job;
        helper.last_job = &job->next;
        helper.waiting++;
        helper.jobs++;
        pthread_cond_signal(&helper.job);
    }
    pthread_mutex_unlock(&helper.lock);
    if (ok) return LSQ_OK;
    lsqi_free(job);
    return lsqi_error_set(err, LSQ_ERROR, "no thread could be started");
}

enum lsq_status lsq_defer(void (*fn)(void *arg), void *arg, struct lsq_error *err) {
    return lsqi_worker_submit(fn, arg, err);
}

/* ---- The end ---- */

static void finish_work_locked(void) {
    while (helper.jobs > 0 || helper.tasks != NULL || helper.running != NULL) {
        /* Jobs may schedule tasks and tasks may hand out jobs: until both are still. */
        for (struct lsqi_task *task = helper.tasks; task != NULL; task = task->next) task->due = 0;
        pthread_cond_broadcast(&helper.changed);
        pthread_cond_wait(&helper.changed, &helper.lock);
    }
}

static void join_threads_locked(void) {
    unsigned workers = helper.workers;
    bool helper_runs = helper.helper_runs;

    helper.stopping = true;
    pthread_cond_broadcast(&helper.changed);
    pthread_cond_broadcast(&helper.job);
    pthread_mutex_unlock(&helper.lock);
    if (helper_runs) pthread_join(helper.helper, NULL);
    for (unsigned i = 0; i < workers; i++) pthread_join(helper.worker[i], NULL);
    pthread_mutex_lock(&helper.lock);
    helper.helper_runs = false;
    helper.workers = 0;
    helper.stopping = false;
}

void lsqi_helper_shutdown(void) {
    pthread_mutex_lock(&helper.lock);
    while (helper.shutting) pthread_cond_wait(&helper.changed, &helper.lock);
    helper.shutting = true;
    for (;;) {
        finish_work_locked();
        join_threads_locked();
        if (helper.jobs == 0) break;
        /* Handed over while the threads left. */
        (void)start_locked();
        add_worker_locked();
        if (helper.workers == 0) break; /* no thread is to be had: it waits for the next job's */
    }
    if (helper.tasks != NULL) (void)start_locked();
    helper.shutting = false;
    pthread_cond_broadcast(&helper.changed);
    pthread_mutex_unlock(&helper.lock);
}

void lsq_shutdown(void) { lsqi_helper_shutdown(); }
