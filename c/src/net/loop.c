#include "net/loop.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "net/curl.h"
#include "net/poller.h"
#include "net/watch.h"

enum {
    /* sqld answers 429 above 128 requests at once. */
    HOST_CONNECTIONS = 120,
    IDLE_CONNECTIONS = 256,
    /* With nothing to do the thread looks around this often. */
    LONGEST_WAIT_MS = 60000
};

/* Process-wide: there is one I/O thread. */
struct lsqi_loop lsqi_loop = {.lock = PTHREAD_MUTEX_INITIALIZER,
                              .changed = PTHREAD_COND_INITIALIZER,
                              .last_post = &lsqi_loop.first_post,
                              .close_idle_ns = LSQI_HTTP_IDLE_S * INT64_C(1000000000)};

void lsqi_http_look_at(int64_t due) {
    if (due < lsqi_loop.look_at) lsqi_loop.look_at = due;
}

/* ---- Commands ---- */

void lsqi_loop_wake_locked(void) {
    if (!lsqi_loop.asleep) return;
    lsqi_loop.asleep = false;
    lsqi_poller_wake();
}

void lsqi_loop_command_locked(struct lsqi_http *http, unsigned want) {
    if (http->wants == 0) {
        http->next_command = NULL;
        http->prev_command = lsqi_loop.last_command;
        if (lsqi_loop.last_command != NULL)
            lsqi_loop.last_command->next_command = http;
        else
            lsqi_loop.first_command = http;
        lsqi_loop.last_command = http;
        lsqi_loop.commands++;
    }
    http->wants |= want;
    lsqi_loop_wake_locked();
}

static unsigned take_command_locked(struct lsqi_http *http) {
    unsigned wants = http->wants;

    if (wants == 0) return 0;
    if (http->prev_command != NULL)
        http->prev_command->next_command = http->next_command;
    else
        lsqi_loop.first_command = http->next_command;
    if (http->next_command != NULL)
        http->next_command->prev_command = http->prev_command;
    else
        lsqi_loop.last_command = http->prev_command;
    lsqi_loop.commands--;
    http->wants = 0;
    return wants;
}

void lsqi_http_cancel(struct lsqi_http *http) {
    pthread_mutex_lock(&lsqi_loop.lock);
    lsqi_loop_command_locked(http, LSQI_HTTP_WANT_CANCEL);
    pthread_mutex_unlock(&lsqi_loop.lock);
}

void lsqi_http_resume(struct lsqi_http *http, int total_ms) {
    pthread_mutex_lock(&lsqi_loop.lock);
    http->resume_ms = total_ms;
    lsqi_loop_command_locked(http, LSQI_HTTP_WANT_RESUME);
    pthread_mutex_unlock(&lsqi_loop.lock);
}

/* ---- Exchanges ---- */

static void link_exchange(struct lsqi_http *http) {
    http->next = NULL;
    http->prev = lsqi_loop.last;
    if (lsqi_loop.last != NULL)
        lsqi_loop.last->next = http;
    else
        lsqi_loop.first = http;
    lsqi_loop.last = http;
}

static void unlink_exchange(struct lsqi_http *http) {
    if (http->prev != NULL)
        http->prev->next = http->next;
    else
        lsqi_loop.first = http->next;
    if (http->next != NULL)
        http->next->prev = http->prev;
    else
        lsqi_loop.last = http->prev;
}

/* ---- Groups ---- */

static void wait_in_line(struct lsqi_http *http) {
    struct lsqi_http_group *group = http->group;

    http->waiting = true;
    lsqi_loop.pace.waiting++;
    http->next_waiting = NULL;
    http->prev_waiting = group->last;
    if (group->last != NULL)
        group->last->next_waiting = http;
    else
        group->first = http;
    group->last = http;
}

static void leave_line(struct lsqi_http *http) {
    struct lsqi_http_group *group = http->group;

    http->waiting = false;
    lsqi_loop.pace.waiting--;
    if (http->prev_waiting != NULL)
        http->prev_waiting->next_waiting = http->next_waiting;
    else
        group->first = http->next_waiting;
    if (http->next_waiting != NULL)
        http->next_waiting->prev_waiting = http->prev_waiting;
    else
        group->last = http->prev_waiting;
}

/* Whether it may begin now; else it has its place in line. */
static bool join_group(struct lsqi_http *http) {
    struct lsqi_http_group *group = http->group;

    if (group == NULL || http->counted) return true;
    if (group->running == LSQI_HTTP_AT_ONCE) {
        wait_in_line(http);
        return false;
    }
    group->running++;
    http->counted = true;
    return true;
}

/* Its place is for the next one, who begins by a command: where this is called, nobody may end but the one who does. */
static void leave_group(struct lsqi_http *http) {
    struct lsqi_http *next = http->group == NULL ? NULL : http->group->first;

    if (http->waiting) leave_line(http);
    if (!http->counted) return;
    http->counted = false;
    if (next == NULL) {
        http->group->running--;
        return;
    }
    leave_line(next);
    next->counted = true;
    pthread_mutex_lock(&lsqi_loop.lock);
    lsqi_loop_command_locked(next, LSQI_HTTP_WANT_BEGIN);
    pthread_mutex_unlock(&lsqi_loop.lock);
}

/* ---- Their end ---- */

static void count_connects(struct lsqi_http *http) {
    long connects = 0;

    (void)lsqi_curl()->easy_getinfo(http->easy, LSQI_CURLINFO_NUM_CONNECTS, &connects);
    atomic_fetch_add(&lsqi_loop.connects, connects);
}

static void finish(struct lsqi_http *http, const struct lsqi_http_end *end) {
    if (http->running) {
        lsqi_exchange_let_go(http);
        (void)lsqi_curl()->multi_remove_handle(lsqi_loop.multi.handle, http->easy);
        count_connects(http);
    }
    unlink_exchange(http);
    leave_group(http);
    lsqi_loop.pace.ended++;
    if (lsqi_loop.first == NULL) lsqi_loop.idle_since = lsqi_now_ns();
    atomic_fetch_sub(&lsqi_loop.exchanges, 1);
    http->events->done(http->arg, end);
    /* Others may have asked for something until done() told the caller. */
    pthread_mutex_lock(&lsqi_loop.lock);
    (void)take_command_locked(http);
    pthread_mutex_unlock(&lsqi_loop.lock);
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

/* ---- Their beginning ---- */

static void begin(struct lsqi_http *http) {
    if (!join_group(http)) {
        lsqi_http_look_at(lsqi_exchange_due(http));
        return;
    }
    if (lsqi_loop.multi.handle == NULL) (void)lsqi_loop_make_multi(&lsqi_loop.multi);
    if (lsqi_loop.multi.handle == NULL ||
        lsqi_curl()->multi_add_handle(lsqi_loop.multi.handle, http->easy) != 0) {
        finish_with(http, LSQI_CURLE_OUT_OF_MEMORY);
        return;
    }
    http->running = true;
    lsqi_http_look_at(lsqi_exchange_due(http));
}

static void begin_or_wait(struct lsqi_http *http, int64_t now) {
    if (!http->running && !http->waiting && http->begin_at <= now)
        begin(http);
    else
        lsqi_http_look_at(lsqi_exchange_due(http));
}

static void obey(struct lsqi_http *http, unsigned wants, int resume_ms) {
    int code;

    if (wants & LSQI_HTTP_WANT_START) link_exchange(http);
    if (wants & LSQI_HTTP_WANT_CANCEL) {
        finish_cancelled(http);
    } else if (wants & (LSQI_HTTP_WANT_START | LSQI_HTTP_WANT_BEGIN)) {
        begin_or_wait(http, lsqi_now_ns());
    } else if (wants & LSQI_HTTP_WANT_RESUME) {
        code = lsqi_exchange_resume(http, resume_ms);
        if (code != 0) finish_with(http, code);
    }
}

/* As many as there are now: what callbacks add comes in the next turn. */
static void obey_commands(void) {
    unsigned n;

    pthread_mutex_lock(&lsqi_loop.lock);
    for (n = lsqi_loop.commands; n > 0 && lsqi_loop.first_command != NULL; n--) {
        struct lsqi_http *http = lsqi_loop.first_command;
        unsigned wants = take_command_locked(http);
        int resume_ms = http->resume_ms;

        pthread_mutex_unlock(&lsqi_loop.lock);
        obey(http, wants, resume_ms);
        pthread_mutex_lock(&lsqi_loop.lock);
    }
    pthread_mutex_unlock(&lsqi_loop.lock);
}

static void run_posts(void) {
    struct lsqi_post *post;

    pthread_mutex_lock(&lsqi_loop.lock);
    post = lsqi_loop.first_post;
    lsqi_loop.first_post = NULL;
    lsqi_loop.last_post = &lsqi_loop.first_post;
    pthread_mutex_unlock(&lsqi_loop.lock);
    while (post != NULL) {
        struct lsqi_post *next = post->next;

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

    if (now < lsqi_loop.look_at) return;
    lsqi_loop.look_at = INT64_MAX;
    for (struct lsqi_http *http = lsqi_loop.first; http != NULL; http = next) {
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
    while (lsqi_loop.first != NULL) finish_cancelled(lsqi_loop.first);
}

/* libcurl itself is out of memory, or worse: nothing that it has can be trusted to end. */
static void give_up_all(void) {
    struct lsqi_http *next;

    for (struct lsqi_http *http = lsqi_loop.first; http != NULL; http = next) {
        next = http->next;
        if (http->running) finish_with(http, LSQI_CURLE_OUT_OF_MEMORY);
    }
}

static void drive(void) {
    void *easy;
    int result;

    if (!lsqi_multi_drive(&lsqi_loop.multi)) {
        give_up_all();
        return;
    }
    while ((easy = lsqi_multi_ended(&lsqi_loop.multi, &result)) != NULL) {
        void *http = NULL;

        if (lsqi_curl()->easy_getinfo(easy, LSQI_CURLINFO_PRIVATE, &http) == 0)
            finish_with(http, result);
    }
}

/* ---- Idle connections ---- */

bool lsqi_loop_make_multi(struct lsqi_multi *multi) {
    const struct lsqi_curl *curl = lsqi_curl();

    if (!lsqi_multi_init(multi)) return false;
    (void)curl->multi_setopt(multi->handle, LSQI_CURLMOPT_MAX_HOST_CONNECTIONS,
                             (long)HOST_CONNECTIONS);
    (void)curl->multi_setopt(multi->handle, LSQI_CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    return true;
}

static int64_t close_idle_at(void) {
    if (lsqi_loop.first != NULL || lsqi_loop.idle_since == 0) return INT64_MAX;
    return lsqi_loop.idle_since + lsqi_loop.close_idle_ns;
}

/* Nobody uses them again after that time (CURLOPT_MAXAGE_CONN), but libcurl looks at them only when it makes
 * another: so they would stay open for as long as nothing is asked, also those that the server has ended. */
static void close_idle(void) {
    if (close_idle_at() > lsqi_now_ns()) return;
    lsqi_loop.idle_since = 0;
    lsqi_multi_release(&lsqi_loop.multi);
    /* Without memory for another, begin() says so, and tries again. */
    (void)lsqi_loop_make_multi(&lsqi_loop.multi);
}

/* ---- A turn ---- */

int lsqi_loop_wait_ms_locked(void) {
    int64_t at = close_idle_at();
    int64_t due = lsqi_watches_due();
    int64_t ns;

    if (lsqi_loop.commands > 0 || lsqi_loop.first_post != NULL || lsqi_loop.leaving) return 0;
    if (lsqi_loop.stopping) return 0;
    if (lsqi_loop.look_at < at) at = lsqi_loop.look_at;
    if (lsqi_loop.multi.due < at) at = lsqi_loop.multi.due;
    if (due < at) at = due;
    if (at == INT64_MAX) return LONGEST_WAIT_MS;
    ns = at - lsqi_now_ns();
    if (ns <= 0) return 0;
    return ns > (int64_t)LONGEST_WAIT_MS * 1000000 ? LONGEST_WAIT_MS
                                                   : (int)((ns + 999999) / 1000000);
}

static void note_turn(int64_t began) {
    int64_t took = lsqi_now_ns() - began;

    if (took > atomic_load(&lsqi_loop.longest_turn)) atomic_store(&lsqi_loop.longest_turn, took);
}

void lsqi_loop_turn(bool stopping) {
    int64_t began = lsqi_now_ns();

    obey_commands();
    run_posts();
    if (stopping) cancel_all();
    look_at_deadlines();
    lsqi_watches_turn(stopping);
    drive();
    close_idle();
    note_turn(began);
}

bool lsqi_loop_is_still_locked(void) {
    return lsqi_loop.first == NULL && lsqi_loop.commands == 0 && lsqi_loop.first_post == NULL &&
           lsqi_watches() == NULL;
}
