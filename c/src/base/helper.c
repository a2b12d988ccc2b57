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
    /* A job that has used more processor time than this lets others go first: opening and compiling are short, and
     * somebody waits for them. A thread cannot get its priority back, so it ends with that job. */
    SHORT_MS = 20,
    LONG_NICE = 10,
    /* Reserved, not used: a page costs memory when it is first touched. What is deeply nested in the
     * schema is compiled on these threads. */
    STACK_BYTES = 16 * 1024 * 1024,
    /* How long the end of the program waits for connections that are being closed. */
    EXIT_MS = 2000
};

struct job {
    struct job *next;
    void (*fn)(void *arg);
    void *arg;
    bool pressing;
};

struct worker {
    pthread_t thread;
    id_t tid;
    int64_t used;  /* processor time that it had used when its job began, ns */
    bool busy;     /* it has a job ... */
    bool nice;     /* ... a long one ... */
    bool pressing; /* ... or one that keeps its priority */
    bool started;  /* it is to be joined */
    bool ended;    /* it returns, or has */
};

static int look_for_long_jobs(struct lsqi_task *task);

/* process-wide: threads belong to the process, and so does the work that outlives a handle. */
static struct helper {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* tasks, jobs, or stopping; on the monotonic clock from start() on */
    pthread_cond_t job;     /* a job came, or stopping: workers wait here, one is woken for each */
    bool has_clock;
    pid_t pid; /* whose threads they are; 0: there have been none */
    /* guarded by lock */
    struct lsqi_task *tasks; /* by due time */
    struct lsqi_task *running;
    /* of the running one, whose memory may be gone before it returns */
    bool running_upkeep;
    bool running_cancelled; /* it is not to come again */
    bool helper_runs;
    bool stopping; /* threads leave when they have nothing to do, and none is started */
    bool shutting; /* lsq_shutdown() is under way */
    pthread_t helper;
    struct job *first_job;
    struct job **last_job;
    unsigned waiting; /* jobs that nobody has taken */
    unsigned jobs;    /* these and the running ones */
    unsigned workers; /* that have not ended */
    unsigned idle_workers;
    struct worker worker[MAX_WORKERS];
    struct lsqi_task look; /* for long jobs */
} helper = {.lock = PTHREAD_MUTEX_INITIALIZER,
            .changed = PTHREAD_COND_INITIALIZER,
            .job = PTHREAD_COND_INITIALIZER,
            .last_job = &helper.first_job,
            .look = {.run = look_for_long_jobs, .upkeep = true}};

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

static void take_back_locked(struct lsqi_task *task) {
    if (!task->scheduled) return;
    remove_locked(task);
    task->scheduled = false;
}

static void run_first_locked(void) {
    struct lsqi_task *task = helper.tasks;
    int again;

    helper.tasks = task->next;
    task->scheduled = false;
    helper.running = task;
    helper.running_upkeep = task->upkeep;
    helper.running_cancelled = false;
    pthread_mutex_unlock(&helper.lock);
    again = task->run(task);
    pthread_mutex_lock(&helper.lock);
    helper.running = NULL;
    if (again >= 0 && !helper.running_cancelled && !task->scheduled)
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
static bool start_thread(pthread_t *thread, void *(*entry)(void *arg), void *arg,
                         const char *name) {
    sigset_t all;
    sigset_t before;
    pthread_attr_t attr;
    int rc;

    if (pthread_attr_init(&attr) != 0) return false;
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(thread, &attr, entry, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0) pthread_setname_np(*thread, name);
    return rc == 0;
}

static void settle_at_exit(void);

static bool start_locked(void) {
    pthread_condattr_t attr;

    if (helper.pid == 0 && atexit(settle_at_exit) != 0) return false;
    helper.pid = getpid();

    if (!helper.has_clock) {
        if (pthread_condattr_init(&attr) != 0) return false;
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_destroy(&helper.changed);
        helper.has_clock = pthread_cond_init(&helper.changed, &attr) == 0;
        pthread_condattr_destroy(&attr);
        if (!helper.has_clock) return false;
    }
    if (!helper.helper_runs)
        helper.helper_runs = start_thread(&helper.helper, helper_main, NULL, "lsq-helper");
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
    if (task->due > due) take_back_locked(task);
    if (!task->scheduled) insert_locked(task, due);
    /* After lsq_shutdown() there may be no thread; what outlived it needs one again. */
    if (!helper.stopping) (void)start_locked();
    pthread_cond_broadcast(&helper.changed);
    pthread_mutex_unlock(&helper.lock);
}

void lsqi_helper_cancel(struct lsqi_task *task) {
    pthread_mutex_lock(&helper.lock);
    take_back_locked(task);
    if (helper.running == task) helper.running_cancelled = true;
    while (helper.running == task && !pthread_equal(pthread_self(), helper.helper))
        pthread_cond_wait(&helper.changed, &helper.lock);
    pthread_mutex_unlock(&helper.lock);
}

bool lsqi_helper_shutting(void) {
    bool shutting;

    pthread_mutex_lock(&helper.lock);
    shutting = helper.shutting;
    pthread_mutex_unlock(&helper.lock);
    return shutting;
}

/* ---- Jobs ---- */

/* On Linux a priority belongs to a thread, and any other may lower it; elsewhere this does no harm. */
static void lower_locked(struct worker *worker) {
    int nice = getpriority(PRIO_PROCESS, worker->tid) + LONG_NICE;

    (void)setpriority(PRIO_PROCESS, worker->tid, nice > 19 ? 19 : nice);
    worker->nice = true;
}

static int64_t clock_ns(clockid_t clock) {
    struct timespec ts;

    return clock_gettime(clock, &ts) == 0 ? ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec : 0;
}

static bool long_locked(struct worker *worker) {
    clockid_t clock;

    return pthread_getcpuclockid(worker->thread, &clock) == 0 &&
           clock_ns(clock) - worker->used >= (int64_t)SHORT_MS * 1000000;
}

/* Lowers the workers whose jobs have become long. Answers ms until the next one may, or -1. */
static int look_for_long_jobs(struct lsqi_task *task) {
    int next = -1;

    (void)task;
    pthread_mutex_lock(&helper.lock);
    for (unsigned i = 0; i < MAX_WORKERS; i++) {
        struct worker *worker = &helper.worker[i];

        if (!worker->busy || worker->nice || worker->pressing) continue;
        if (long_locked(worker))
            lower_locked(worker);
        else
            next = SHORT_MS;
    }
    /* lsq_shutdown() waits until no task is left. */
    if (helper.shutting) next = -1;
    pthread_mutex_unlock(&helper.lock);
    return next;
}

static void run_job_locked(struct worker *worker) {
    struct job *job = helper.first_job;

    helper.first_job = job->next;
    if (helper.first_job == NULL) helper.last_job = &helper.first_job;
    helper.waiting--;
    worker->used = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    worker->busy = true;
    worker->pressing = job->pressing;
    if (!helper.look.scheduled && !helper.shutting) {
        insert_locked(&helper.look, lsqi_now_ns() + (int64_t)SHORT_MS * 1000000);
        pthread_cond_broadcast(&helper.changed);
    }
    pthread_mutex_unlock(&helper.lock);
    job->fn(job->arg);
    lsqi_free(job);
    pthread_mutex_lock(&helper.lock);
    worker->busy = false;
    helper.jobs--;
    if (helper.shutting) pthread_cond_broadcast(&helper.changed);
}

static void *worker_main(void *arg) {
    struct worker *worker = arg;

    pthread_mutex_lock(&helper.lock);
    worker->tid = (id_t)syscall(SYS_gettid);
    for (;;) {
        /* The others are enough for all jobs. It starts none itself: that would inherit its priority. */
        if (worker->nice && helper.workers > helper.jobs) break;
        if (helper.first_job != NULL) {
            run_job_locked(worker);
        } else if (helper.stopping) {
            break;
        } else {
            helper.idle_workers++;
            pthread_cond_wait(&helper.job, &helper.lock);
            helper.idle_workers--;
        }
    }
    worker->ended = true;
    helper.workers--;
    pthread_mutex_unlock(&helper.lock);
    return NULL;
}

/* A place for a worker, or NULL. */
static struct worker *place_locked(void) {
    for (unsigned i = 0; i < MAX_WORKERS; i++) {
        struct worker *worker = &helper.worker[i];

        if (worker->started && !worker->ended) continue;
        /* It needs the lock no more. */
        if (worker->started) pthread_join(worker->thread, NULL);
        *worker = (struct worker){.started = false};
        return worker;
    }
    return NULL;
}

static bool add_worker_locked(void) {
    struct worker *worker = place_locked();

    if (worker == NULL) return false;
    worker->started = start_thread(&worker->thread, worker_main, worker, "lsq-worker");
    if (worker->started) helper.workers++;
    return worker->started;
}

static enum lsq_status submit(void (*fn)(void *arg), void *arg, bool pressing,
                              struct lsq_error *err) {
    struct job *job = lsqi_malloc(sizeof(*job));
    bool ok;

    if (job == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a job");
    *job = (struct job){.fn = fn, .arg = arg, .pressing = pressing};
    pthread_mutex_lock(&helper.lock);
    /* While threads leave, lsq_shutdown() sees to what comes now. */
    ok = helper.stopping || start_locked();
    if (ok && !helper.stopping && helper.idle_workers < helper.waiting + 1)
        (void)add_worker_locked();
    ok = ok && (helper.workers > 0 || helper.stopping);
    if (ok) {
        *helper.last_job = job;
        helper.last_job = &job->next;
        helper.waiting++;
        helper.jobs++;
    }
    pthread_mutex_unlock(&helper.lock);
    /* Without the lock, for which whoever is woken would have to wait. */
    if (ok) pthread_cond_signal(&helper.job);
    if (ok) return LSQ_OK;
    lsqi_free(job);
    return lsqi_error_set(err, LSQ_ERROR, "no thread could be started");
}

enum lsq_status lsqi_worker_submit_pressing(void (*fn)(void *arg), void *arg,
                                            struct lsq_error *err) {
    return submit(fn, arg, true, err);
}

enum lsq_status lsq_defer(void (*fn)(void *arg), void *arg, struct lsq_error *err) {
    return submit(fn, arg, false, err);
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
    bool helper_runs = helper.helper_runs;

    helper.stopping = true;
    pthread_cond_broadcast(&helper.changed);
    pthread_cond_broadcast(&helper.job);
    pthread_mutex_unlock(&helper.lock);
    if (helper_runs) pthread_join(helper.helper, NULL);
    /* No worker is started meanwhile. */
    for (unsigned i = 0; i < MAX_WORKERS; i++) {
        if (!helper.worker[i].started) continue;
        pthread_join(helper.worker[i].thread, NULL);
        helper.worker[i] = (struct worker){.started = false};
    }
    pthread_mutex_lock(&helper.lock);
    helper.helper_runs = false;
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
        (void)add_worker_locked();
        if (helper.workers == 0) break; /* no thread is to be had: it waits for the next job's */
    }
    if (helper.tasks != NULL) (void)start_locked();
    helper.shutting = false;
    pthread_cond_broadcast(&helper.changed);
    pthread_mutex_unlock(&helper.lock);
}

static bool closing_locked(void) {
    bool closing = helper.running != NULL && !helper.running_upkeep;

    for (struct lsqi_task *task = helper.tasks; task != NULL; task = task->next) {
        if (task->upkeep) continue;
        task->due = 0;
        closing = true;
    }
    return closing;
}

/* A program that ends right after it has closed a database would leave the WAL behind, and whoever then copies
 * the file alone lacks what stands there. */
static void settle_at_exit(void) {
    int64_t until = lsqi_now_ns() + (int64_t)EXIT_MS * 1000000;

    /* In the child of a fork there is nobody to wait for; the lock may be held by nobody, too. */
    if (helper.pid != getpid()) return;
    pthread_mutex_lock(&helper.lock);
    while (helper.helper_runs && closing_locked() && lsqi_now_ns() < until) {
        pthread_cond_broadcast(&helper.changed);
        wait_until_locked(until);
    }
    pthread_mutex_unlock(&helper.lock);
}
