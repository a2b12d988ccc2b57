#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/curl.h"
#include "net/exchange.h"

enum {
    /* sqld answers 429 above 128 requests at once, and more connections make it slower, not faster. */
    HOST_CONNECTIONS = 32,
    IDLE_CONNECTIONS = 256,
    /* Answers are decoded on this thread. */
    STACK_BYTES = 2 * 1024 * 1024,
    /* With nothing to do it looks around this often. */
    LONGEST_WAIT_MS = 60000,
    /* How long the end of the program waits for the thread to be out of libcurl. */
    EXIT_MS = 2000
};

struct post {
    struct post *next;
    void (*fn)(void *arg);
    void *arg;
};

/* Process-wide: there is one I/O thread. */
static struct loop {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the thread ended, or was joined */
    atomic_int pid;         /* whose thread it is; 0: there has been none */
    /* guarded by lock */
    bool has_thread;
    bool ended;    /* it is about to return, and touches nothing of this any more */
    bool stopping; /* lsqi_http_shutdown() is under way */
    bool leaving;  /* the program ends */
    bool asleep;   /* it waits in libcurl, or is about to: only a wake-up ends that at once */
    pthread_t thread;
    struct lsqi_http *first_command;
    struct lsqi_http *last_command;
    unsigned commands;
    struct post *first_post;
    struct post **last_post;
    void *multi; /* constant while there is a thread */
    /* the I/O thread's */
    struct lsqi_http *first; /* in the order of their beginning: who came first is served first */
    struct lsqi_http *last;
    int64_t look_at; /* no exchange is due before */
    /* figures */
    atomic_int_fast64_t longest_turn;
    atomic_int_fast64_t exchanges;
    atomic_int_fast64_t connects;
} loop = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .changed = PTHREAD_COND_INITIALIZER,
          .last_post = &loop.first_post};

/* Process-wide: of each thread, whether it is the I/O thread. */
static _Thread_local bool on_thread;

bool lsqi_http_on_thread(void) { return on_thread; }

void lsqi_http_look_at(int64_t due) {
    if (due < loop.look_at) loop.look_at = due;
}

/* ---- Commands ---- */

static void wake_locked(void) {
    if (!loop.asleep) return;
    loop.asleep = false;
    (void)lsqi_curl()->multi_wakeup(loop.multi);
}

static void put_command_locked(struct lsqi_http *http, unsigned want) {
    if (http->wants == 0) {
        http->next_command = NULL;
        http->prev_command = loop.last_command;
        if (loop.last_command != NULL)
            loop.last_command->next_command = http;
        else
            loop.first_command = http;
        loop.last_command = http;
        loop.commands++;
    }
    http->wants |= want;
    wake_locked();
}

static unsigned take_command_locked(struct lsqi_http *http) {
    unsigned wants = http->wants;

    if (wants == 0) return 0;
    if (http->prev_command != NULL)
        http->prev_command->next_command = http->next_command;
    else
        loop.first_command = http->next_command;
    if (http->next_command != NULL)
        http->next_command->prev_command = http->prev_command;
    else
        loop.last_command = http->prev_command;
    loop.commands--;
    http->wants = 0;
    return wants;
}

void lsqi_http_cancel(struct lsqi_http *http) {
    pthread_mutex_lock(&loop.lock);
    put_command_locked(http, LSQI_HTTP_WANT_CANCEL);
    pthread_mutex_unlock(&loop.lock);
}

void lsqi_http_resume(struct lsqi_http *http, int total_ms) {
    pthread_mutex_lock(&loop.lock);
    http->resume_ms = total_ms;
    put_command_locked(http, LSQI_HTTP_WANT_RESUME);
    pthread_mutex_unlock(&loop.lock);
}

/* ---- Exchanges ---- */

static void link_exchange(struct lsqi_http *http) {
    http->next = NULL;
    http->prev = loop.last;
    if (loop.last != NULL)
        loop.last->next = http;
    else
        loop.first = http;
    loop.last = http;
}

static void unlink_exchange(struct lsqi_http *http) {
    if (http->prev != NULL)
        http->prev->next = http->next;
    else
        loop.first = http->next;
    if (http->next != NULL)
        http->next->prev = http->prev;
    else
        loop.last = http->prev;
}

static void count_connects(struct lsqi_http *http) {
    long connects = 0;

    (void)lsqi_curl()->easy_getinfo(http->easy, LSQI_CURLINFO_NUM_CONNECTS, &connects);
    atomic_fetch_add(&loop.connects, connects);
}

static void finish(struct lsqi_http *http, const struct lsqi_http_end *end) {
    if (http->running) {
        (void)lsqi_curl()->multi_remove_handle(loop.multi, http->easy);
        count_connects(http);
    }
    unlink_exchange(http);
    atomic_fetch_sub(&loop.exchanges, 1);
    http->events->done(http->arg, end);
    /* Others may have asked for something until done() told the caller. */
    pthread_mutex_lock(&loop.lock);
    (void)take_command_locked(http);
    pthread_mutex_unlock(&loop.lock);
    lsqi_exchange_free(http);
}

static void finish_with(struct lsqi_http *http, int code) {
    struct lsqi_http_end end;

    lsqi_exchange_result(http, code, &end);
    finish(http, &end);
}

static void finish_cancelled(struct lsqi_http *http) {
    struct lsqi_http_end end;

    lsqi_exchange_cancelled(http, &end);
    finish(http, &end);
}

static void begin(struct lsqi_http *http) {
    if (lsqi_curl()->multi_add_handle(loop.multi, http->easy) != 0) {
        finish_with(http, LSQI_CURLE_OUT_OF_MEMORY);
        return;
    }
    http->running = true;
    lsqi_http_look_at(lsqi_exchange_due(http));
}

static void begin_or_wait(struct lsqi_http *http, int64_t now) {
    if (!http->running && http->begin_at <= now)
        begin(http);
    else
        lsqi_http_look_at(lsqi_exchange_due(http));
}

static void obey(struct lsqi_http *http, unsigned wants, int resume_ms) {
    int code;

    if (wants & LSQI_HTTP_WANT_START) link_exchange(http);
    if (wants & LSQI_HTTP_WANT_CANCEL) {
        finish_cancelled(http);
    } else if (wants & LSQI_HTTP_WANT_START) {
        begin_or_wait(http, lsqi_now_ns());
    } else if (wants & LSQI_HTTP_WANT_RESUME) {
        code = lsqi_exchange_resume(http, resume_ms);
        if (code != 0) finish_with(http, code);
    }
}

/* As many as there are now: what callbacks add comes in the next turn. */
static void obey_commands(void) {
    unsigned n;

    pthread_mutex_lock(&loop.lock);
    for (n = loop.commands; n > 0 && loop.first_command != NULL; n--) {
        struct lsqi_http *http = loop.first_command;
        unsigned wants = take_command_locked(http);
        int resume_ms = http->resume_ms;

        pthread_mutex_unlock(&loop.lock);
        obey(http, wants, resume_ms);
        pthread_mutex_lock(&loop.lock);
    }
    pthread_mutex_unlock(&loop.lock);
}

static void run_posts(void) {
    struct post *post;

    pthread_mutex_lock(&loop.lock);
    post = loop.first_post;
    loop.first_post = NULL;
    loop.last_post = &loop.first_post;
    pthread_mutex_unlock(&loop.lock);
    while (post != NULL) {
        struct post *next = post->next;

        post->fn(post->arg);
        lsqi_free(post);
        post = next;
    }
}

/* Begins what has waited long enough, and ends what took too long. A callback may begin others (they come at the
 * next turn), but ends none at once: so `next` stays valid. */
static void look_at_deadlines(void) {
    int64_t now = lsqi_now_ns();
    struct lsqi_http *next;

    if (now < loop.look_at) return;
    loop.look_at = INT64_MAX;
    for (struct lsqi_http *http = loop.first; http != NULL; http = next) {
        const char *phase = lsqi_exchange_overdue(http, now);
        struct lsqi_http_end end;

        next = http->next;
        if (phase != NULL) {
            lsqi_exchange_timed_out(http, phase, &end);
            finish(http, &end);
        } else {
            begin_or_wait(http, now);
        }
    }
}

static void cancel_all(void) {
    while (loop.first != NULL) finish_cancelled(loop.first);
}

/* libcurl itself is out of memory, or worse: nothing that it has can be trusted to end. */
static void give_up_all(void) {
    struct lsqi_http *next;

    for (struct lsqi_http *http = loop.first; http != NULL; http = next) {
        next = http->next;
        if (http->running) finish_with(http, LSQI_CURLE_OUT_OF_MEMORY);
    }
}

static void drive(void) {
    const struct lsqi_curl *curl = lsqi_curl();
    struct lsqi_curl_msg *msg;
    int left;

    if (curl->multi_perform(loop.multi, &left) != 0) {
        give_up_all();
        return;
    }
    while ((msg = curl->multi_info_read(loop.multi, &left)) != NULL) {
        void *http = NULL;
        int code = msg->data.result;

        if (msg->msg != LSQI_CURLMSG_DONE) continue;
        if (curl->easy_getinfo(msg->easy, LSQI_CURLINFO_PRIVATE, &http) != 0) continue;
        finish_with(http, code);
    }
}

/* ---- The thread ---- */

static int wait_ms_locked(void) {
    int64_t ns;

    if (loop.commands > 0 || loop.first_post != NULL || loop.leaving) return 0;
    if (loop.stopping) return 0;
    if (loop.look_at == INT64_MAX) return LONGEST_WAIT_MS;
    ns = loop.look_at - lsqi_now_ns();
    if (ns <= 0) return 0;
    return ns > (int64_t)LONGEST_WAIT_MS * 1000000 ? LONGEST_WAIT_MS
                                                   : (int)((ns + 999999) / 1000000);
}

static void note_turn(int64_t began) {
    int64_t took = lsqi_now_ns() - began;

    if (took > atomic_load(&loop.longest_turn)) atomic_store(&loop.longest_turn, took);
}

static void turn(bool stopping) {
    int64_t began = lsqi_now_ns();

    obey_commands();
    run_posts();
    if (stopping) cancel_all();
    look_at_deadlines();
    drive();
    note_turn(began);
}

static bool is_still_locked(void) {
    return loop.first == NULL && loop.commands == 0 && loop.first_post == NULL;
}

static void wait_in_libcurl(void *multi, int wait_ms) {
    enum { NO_MEMORY_MS = 10 };

    if (lsqi_curl()->multi_poll(multi, NULL, 0, wait_ms, NULL) != 0)
        (void)poll(NULL, 0, NO_MEMORY_MS); /* it could not wait, and would not the next time */
}

static void *thread_main(void *arg) {
    void *multi = loop.multi;
    bool clean;

    (void)arg;
    on_thread = true;
    pthread_mutex_lock(&loop.lock);
    while (!loop.leaving && !(loop.stopping && is_still_locked())) {
        bool stopping = loop.stopping;
        int wait_ms;

        pthread_mutex_unlock(&loop.lock);
        turn(stopping);
        pthread_mutex_lock(&loop.lock);
        wait_ms = wait_ms_locked();
        if (wait_ms == 0) continue;
        loop.asleep = true;
        pthread_mutex_unlock(&loop.lock);
        wait_in_libcurl(multi, wait_ms);
        pthread_mutex_lock(&loop.lock);
        loop.asleep = false;
    }
    /* At the program's end all stays as it is: somebody else may be cleaning up after libcurl. */
    clean = !loop.leaving;
    loop.ended = true;
    pthread_cond_broadcast(&loop.changed);
    pthread_mutex_unlock(&loop.lock);
    if (clean) (void)lsqi_curl()->multi_cleanup(multi);
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
    rc = pthread_create(&loop.thread, &attr, thread_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0) pthread_setname_np(loop.thread, "lsq-net");
    return rc == 0;
}

static void leave_at_exit(void);

static enum lsq_status no_thread(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_ERROR, "no thread could be started");
}

static enum lsq_status begin_thread_locked(struct lsq_error *err) {
    const struct lsqi_curl *curl = lsqi_curl();

    loop.multi = curl->multi_init();
    if (loop.multi == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for libcurl");
    (void)curl->multi_setopt(loop.multi, LSQI_CURLMOPT_MAX_HOST_CONNECTIONS,
                             (long)HOST_CONNECTIONS);
    (void)curl->multi_setopt(loop.multi, LSQI_CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    loop.ended = false;
    loop.look_at = INT64_MAX;
    atomic_store(&loop.longest_turn, 0);
    atomic_store(&loop.connects, 0);
    loop.has_thread = start_thread();
    if (loop.has_thread) return LSQ_OK;
    (void)curl->multi_cleanup(loop.multi);
    return no_thread(err);
}

static bool in_child(void) {
    int pid = atomic_load(&loop.pid);

    return pid != 0 && pid != (int)getpid();
}

static enum lsq_status start_locked(struct lsq_error *err) {
    enum lsq_status st;

    /* Between its end and its being joined; lsqi_http_shutdown() is at it. */
    while (!loop.leaving && loop.has_thread && loop.ended)
        pthread_cond_wait(&loop.changed, &loop.lock);
    if (loop.leaving) return lsqi_error_set(err, LSQ_ERROR, "the program is about to end");
    if (loop.has_thread) return LSQ_OK;
    st = lsqi_curl_load(err);
    if (st != LSQ_OK) return st;
    /* After libcurl is initialized, so that it comes before what libraries do at the end. */
    if (atomic_load(&loop.pid) == 0 && atexit(leave_at_exit) != 0) return no_thread(err);
    atomic_store(&loop.pid, (int)getpid());
    return begin_thread_locked(err);
}

static enum lsq_status lock_started(struct lsq_error *err) {
    enum lsq_status st;

    /* The lock may be held by a thread that the child does not have. */
    if (in_child())
        return lsqi_error_set(err, LSQ_ERROR,
                              "a child of fork() cannot use its parent's remote databases");
    pthread_mutex_lock(&loop.lock);
    st = start_locked(err);
    if (st != LSQ_OK) pthread_mutex_unlock(&loop.lock);
    return st;
}

enum lsq_status lsqi_http_start(struct lsqi_http **out, const struct lsqi_http_request *request,
                                struct lsq_error *err) {
    enum lsq_status st = lock_started(err);
    struct lsqi_http *http;

    if (st != LSQ_OK) return st;
    pthread_mutex_unlock(&loop.lock);
    st = lsqi_exchange_new(&http, request, err);
    if (st != LSQ_OK) return st;
    st = lock_started(err);
    if (st != LSQ_OK) {
        lsqi_exchange_free(http);
        return st;
    }
    *out = http;
    atomic_fetch_add(&loop.exchanges, 1);
    put_command_locked(http, LSQI_HTTP_WANT_START);
    pthread_mutex_unlock(&loop.lock);
    return LSQ_OK;
}

enum lsq_status lsqi_http_post(void (*fn)(void *arg), void *arg, struct lsq_error *err) {
    struct post *post = lsqi_malloc(sizeof(*post));
    enum lsq_status st;

    if (post == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a job");
    *post = (struct post){.fn = fn, .arg = arg};
    st = lock_started(err);
    if (st != LSQ_OK) {
        lsqi_free(post);
        return st;
    }
    *loop.last_post = post;
    loop.last_post = &post->next;
    wake_locked();
    pthread_mutex_unlock(&loop.lock);
    return LSQ_OK;
}

/* ---- The end ---- */

bool lsqi_http_shutdown(void) {
    bool had;

    if (in_child()) return false;
    pthread_mutex_lock(&loop.lock);
    while (loop.stopping) pthread_cond_wait(&loop.changed, &loop.lock);
    had = loop.has_thread && !loop.leaving;
    if (had) {
        loop.stopping = true;
        wake_locked();
        while (!loop.ended) pthread_cond_wait(&loop.changed, &loop.lock);
        pthread_join(loop.thread, NULL);
        loop.has_thread = false;
        loop.stopping = false;
        pthread_cond_broadcast(&loop.changed);
    }
    pthread_mutex_unlock(&loop.lock);
    return had;
}

/* The thread must be out of libcurl before other libraries clean up for the program's end. */
static void leave_at_exit(void) {
    int64_t until = lsqi_now_ns() + (int64_t)EXIT_MS * 1000000;

    if (in_child() || on_thread) return;
    pthread_mutex_lock(&loop.lock);
    loop.leaving = true;
    if (loop.has_thread && !loop.stopping) {
        wake_locked();
        while (!loop.ended && lsqi_now_ns() < until)
            lsqi_wait_ms_locked(&loop.changed, &loop.lock, EXIT_MS / 20);
        if (loop.ended) {
            pthread_join(loop.thread, NULL);
            loop.has_thread = false;
            pthread_cond_broadcast(&loop.changed);
        }
    }
    pthread_mutex_unlock(&loop.lock);
}

void lsqi_http_figures(struct lsqi_http_figures *figures) {
    *figures = (struct lsqi_http_figures){.longest_turn_ns = atomic_load(&loop.longest_turn),
                                          .running = atomic_load(&loop.exchanges),
                                          .connects = atomic_load(&loop.connects)};
}
