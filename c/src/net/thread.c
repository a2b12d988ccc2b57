#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/curl.h"
#include "net/loop.h"
#include "net/poller.h"

enum {
    /* Answers are decoded on this thread. */
    STACK_BYTES = 2 * 1024 * 1024,
    /* How long the end of the program waits for the thread to be out of libcurl. */
    EXIT_MS = 2000
};

/* Process-wide: of each thread, whether it is the I/O thread. */
static _Thread_local bool on_thread;

bool lsqi_http_on_thread(void) { return on_thread; }

/* ---- The thread ---- */

/* How long the thread may wait now, after what the pace asks for, for which the lock is given back. */
static int keep_pace_locked(int wait_ms) {
    int us = lsqi_pace(&lsqi_loop.pace, lsqi_loop.multi.count);

    if (us == 0) return wait_ms;
    pthread_mutex_unlock(&lsqi_loop.lock);
    lsqi_poller_rest(us);
    pthread_mutex_lock(&lsqi_loop.lock);
    return lsqi_loop_wait_ms_locked();
}

static void *thread_main(void *arg) {
    bool cleans;

    (void)arg;
    on_thread = true;
    pthread_mutex_lock(&lsqi_loop.lock);
    while (!lsqi_loop.leaving && !(lsqi_loop.stopping && lsqi_loop_is_still_locked())) {
        bool stopping = lsqi_loop.stopping;
        int wait_ms;

        pthread_mutex_unlock(&lsqi_loop.lock);
        lsqi_loop_turn(stopping);
        pthread_mutex_lock(&lsqi_loop.lock);
        wait_ms = lsqi_loop_wait_ms_locked();
        if (wait_ms == 0) continue;
        wait_ms = keep_pace_locked(wait_ms);
        lsqi_loop.asleep = true;
        pthread_mutex_unlock(&lsqi_loop.lock);
        lsqi_poller_wait(&lsqi_loop.multi, wait_ms);
        pthread_mutex_lock(&lsqi_loop.lock);
        lsqi_loop.asleep = false;
    }
    /* At the program's end all stays as it is: somebody else may be cleaning up after libcurl. */
    cleans = !lsqi_loop.leaving;
    lsqi_loop.ended = true;
    pthread_cond_broadcast(&lsqi_loop.changed);
    pthread_mutex_unlock(&lsqi_loop.lock);
    if (cleans) {
        lsqi_multi_release(&lsqi_loop.multi);
        lsqi_poller_close();
    }
    return NULL;
}

/* A thread that no signal of the program reaches. */
static bool start_thread(void) {
    sigset_t all;
    sigset_t before;
    pthread_attr_t attr;
    int rc;

    if (pthread_attr_init(&attr) != 0) return false;
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&lsqi_loop.thread, &attr, thread_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0) pthread_setname_np(lsqi_loop.thread, "lsq-net");
    return rc == 0;
}

static void leave_at_exit(void);

static enum lsq_status no_thread(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_ERROR, "no thread could be started");
}

static enum lsq_status begin_thread_locked(struct lsq_error *err) {
    if (!lsqi_loop_make_multi(&lsqi_loop.multi))
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for libcurl");
    if (!lsqi_poller_open()) {
        lsqi_multi_release(&lsqi_loop.multi);
        return lsqi_error_set(err, LSQ_ERROR, "no descriptor for the network's thread");
    }
    lsqi_loop.ended = false;
    lsqi_loop.look_at = INT64_MAX;
    lsqi_loop.idle_since = 0;
    atomic_store(&lsqi_loop.longest_turn, 0);
    atomic_store(&lsqi_loop.connects, 0);
    lsqi_loop.has_thread = start_thread();
    if (lsqi_loop.has_thread) return LSQ_OK;
    lsqi_multi_release(&lsqi_loop.multi);
    lsqi_poller_close();
    return no_thread(err);
}

static bool in_child(void) {
    int pid = atomic_load(&lsqi_loop.pid);

    return pid != 0 && pid != (int)getpid();
}

static enum lsq_status start_locked(struct lsq_error *err) {
    enum lsq_status st;

    /* Between its end and its being joined; lsqi_http_shutdown() is at it. */
    while (!lsqi_loop.leaving && lsqi_loop.has_thread && lsqi_loop.ended)
        pthread_cond_wait(&lsqi_loop.changed, &lsqi_loop.lock);
    if (lsqi_loop.leaving) return lsqi_error_set(err, LSQ_ERROR, "the program is about to end");
    if (lsqi_loop.has_thread) return LSQ_OK;
    st = lsqi_curl_load(err);
    if (st != LSQ_OK) return st;
    /* After libcurl is initialized, so that it comes before what libraries do at the end. */
    if (atomic_load(&lsqi_loop.pid) == 0 && atexit(leave_at_exit) != 0) return no_thread(err);
    atomic_store(&lsqi_loop.pid, (int)getpid());
    return begin_thread_locked(err);
}

static enum lsq_status lock_started(struct lsq_error *err) {
    enum lsq_status st;

    /* The lock may be held by a thread that the child does not have. */
    if (in_child())
        return lsqi_error_set(err, LSQ_ERROR,
                              "a child of fork() cannot use its parent's remote databases");
    pthread_mutex_lock(&lsqi_loop.lock);
    st = start_locked(err);
    if (st != LSQ_OK) pthread_mutex_unlock(&lsqi_loop.lock);
    return st;
}

enum lsq_status lsqi_http_start(struct lsqi_http **out, const struct lsqi_http_request *request,
                                struct lsq_error *err) {
    enum lsq_status st = lock_started(err);
    struct lsqi_http *http;

    if (st != LSQ_OK) return st;
    pthread_mutex_unlock(&lsqi_loop.lock);
    st = lsqi_exchange_new(&http, request, err);
    if (st != LSQ_OK) return st;
    st = lock_started(err);
    if (st != LSQ_OK) {
        lsqi_exchange_free(http);
        return st;
    }
    *out = http;
    atomic_fetch_add(&lsqi_loop.exchanges, 1);
    lsqi_loop_command_locked(http, LSQI_HTTP_WANT_START);
    pthread_mutex_unlock(&lsqi_loop.lock);
    return LSQ_OK;
}

enum lsq_status lsqi_http_post(void (*fn)(void *arg), void *arg, struct lsq_error *err) {
    struct lsqi_post *post = lsqi_malloc(sizeof(*post));
    enum lsq_status st;

    if (post == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a job");
    *post = (struct lsqi_post){.fn = fn, .arg = arg};
    st = lock_started(err);
    if (st != LSQ_OK) {
        lsqi_free(post);
        return st;
    }
    *lsqi_loop.last_post = post;
    lsqi_loop.last_post = &post->next;
    lsqi_loop_wake_locked();
    pthread_mutex_unlock(&lsqi_loop.lock);
    return LSQ_OK;
}

/* ---- The end ---- */

bool lsqi_http_shutdown(void) {
    bool had;

    if (in_child()) return false;
    pthread_mutex_lock(&lsqi_loop.lock);
    while (lsqi_loop.stopping) pthread_cond_wait(&lsqi_loop.changed, &lsqi_loop.lock);
    had = lsqi_loop.has_thread && !lsqi_loop.leaving;
    if (had) {
        lsqi_loop.stopping = true;
        lsqi_loop_wake_locked();
        while (!lsqi_loop.ended) pthread_cond_wait(&lsqi_loop.changed, &lsqi_loop.lock);
        pthread_join(lsqi_loop.thread, NULL);
        lsqi_loop.has_thread = false;
        lsqi_loop.stopping = false;
        pthread_cond_broadcast(&lsqi_loop.changed);
    }
    pthread_mutex_unlock(&lsqi_loop.lock);
    return had;
}

/* The thread must be out of libcurl before other libraries clean up for the program's end. */
static void leave_at_exit(void) {
    int64_t until = lsqi_now_ns() + (int64_t)EXIT_MS * 1000000;

    if (in_child() || on_thread) return;
    pthread_mutex_lock(&lsqi_loop.lock);
    lsqi_loop.leaving = true;
    if (lsqi_loop.has_thread && !lsqi_loop.stopping) {
        lsqi_loop_wake_locked();
        while (!lsqi_loop.ended && lsqi_now_ns() < until)
            lsqi_wait_ms_locked(&lsqi_loop.changed, &lsqi_loop.lock, EXIT_MS / 20);
        if (lsqi_loop.ended) {
            pthread_join(lsqi_loop.thread, NULL);
            lsqi_loop.has_thread = false;
            pthread_cond_broadcast(&lsqi_loop.changed);
        }
    }
    pthread_mutex_unlock(&lsqi_loop.lock);
}

void lsqi_http_figures(struct lsqi_http_figures *figures) {
    *figures = (struct lsqi_http_figures){.longest_turn_ns = atomic_load(&lsqi_loop.longest_turn),
                                          .running = atomic_load(&lsqi_loop.exchanges),
                                          .connects = atomic_load(&lsqi_loop.connects)};
}
