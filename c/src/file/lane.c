#include "file/lane.h"

#include <stddef.h>
#include <time.h>

#include "base/clock.h"

enum { LOOK_MS = 10 };

void lsqi_lane_init(struct lsqi_lane *lane) {
    *lane = (struct lsqi_lane){.holder = NULL};
    pthread_mutex_init(&lane->lock, NULL);
}

void lsqi_lane_release(struct lsqi_lane *lane) { pthread_mutex_destroy(&lane->lock); }

static void append_locked(struct lsqi_lane *lane, struct lsqi_ticket *ticket) {
    ticket->waiting = true;
    ticket->next = NULL;
    ticket->prev = lane->last;
    if (lane->last == NULL)
        lane->first = ticket;
    else
        lane->last->next = ticket;
    lane->last = ticket;
}

static void remove_locked(struct lsqi_lane *lane, struct lsqi_ticket *ticket) {
    ticket->waiting = false;
    if (ticket->prev == NULL)
        lane->first = ticket->next;
    else
        ticket->prev->next = ticket->next;
    if (ticket->next == NULL)
        lane->last = ticket->prev;
    else
        ticket->next->prev = ticket->prev;
}

/* A call to be made without the lock. */
struct news {
    void (*fn)(void *arg);
    void *arg;
};

static void tell(struct news news) {
    if (news.fn != NULL) news.fn(news.arg);
}

static struct news grant_locked(struct lsqi_lane *lane, struct lsqi_ticket *ticket) {
    lane->holder = ticket->conn;
    lane->used = false;
    return (struct news){.fn = ticket->fn, .arg = ticket->arg};
}

/* The ticket may be gone once the lock is: what it says is copied. */
static struct news pass_on_locked(struct lsqi_lane *lane) {
    struct lsqi_ticket *next = lane->first;

    lane->holder = NULL;
    if (next == NULL) return (struct news){.fn = NULL};
    remove_locked(lane, next);
    return grant_locked(lane, next);
}

bool lsqi_lane_take(struct lsqi_lane *lane, const void *conn) {
    bool mine;

    pthread_mutex_lock(&lane->lock);
    if (lane->holder == NULL) lane->holder = conn;
    mine = lane->holder == conn;
    if (mine) lane->used = true;
    pthread_mutex_unlock(&lane->lock);
    return mine;
}

void lsqi_lane_leave(struct lsqi_lane *lane, const void *conn) {
    struct news news = {.fn = NULL};

    pthread_mutex_lock(&lane->lock);
    if (lane->holder == conn) news = pass_on_locked(lane);
    pthread_mutex_unlock(&lane->lock);
    tell(news);
}

void lsqi_lane_wait(struct lsqi_lane *lane, struct lsqi_ticket *ticket) {
    struct news news = {.fn = NULL};

    pthread_mutex_lock(&lane->lock);
    ticket->waiting = false;
    if (lane->holder == NULL)
        news = grant_locked(lane, ticket);
    else if (lane->holder == ticket->conn) /* another process uses the same connection */
        news = (struct news){.fn = ticket->fn, .arg = ticket->arg};
    else
        append_locked(lane, ticket);
    pthread_mutex_unlock(&lane->lock);
    tell(news);
}

bool lsqi_lane_cancel(struct lsqi_lane *lane, struct lsqi_ticket *ticket) {
    struct news news = {.fn = NULL};
    bool waited;

    pthread_mutex_lock(&lane->lock);
    waited = ticket->waiting;
    if (waited)
        remove_locked(lane, ticket);
    else if (lane->holder == ticket->conn && !lane->used)
        news = pass_on_locked(lane);
    pthread_mutex_unlock(&lane->lock);
    tell(news);
    return waited;
}

/* ---- Waiting on a thread ---- */

struct sleeper {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool told;
};

static void wake(void *arg) {
    struct sleeper *sleeper = arg;

    pthread_mutex_lock(&sleeper->lock);
    sleeper->told = true;
    pthread_cond_signal(&sleeper->woken);
    pthread_mutex_unlock(&sleeper->lock);
}

static void sleep_a_moment_locked(struct sleeper *sleeper) {
    struct timespec until;
    int64_t ns;

    clock_gettime(CLOCK_REALTIME, &until);
    ns = until.tv_nsec + (int64_t)LOOK_MS * 1000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_cond_timedwait(&sleeper->woken, &sleeper->lock, &until);
}

static bool sleep_until_told(struct sleeper *sleeper, int64_t until, bool (*stop)(void *arg),
                             void *arg) {
    bool told;

    pthread_mutex_lock(&sleeper->lock);
    while (!sleeper->told && lsqi_now_ns() < until && !stop(arg)) sleep_a_moment_locked(sleeper);
    told = sleeper->told;
    pthread_mutex_unlock(&sleeper->lock);
    return told;
}

bool lsqi_lane_await(struct lsqi_lane *lane, const void *conn, int64_t until,
                     bool (*stop)(void *arg), void *arg) {
    struct sleeper sleeper = {.told = false};
    struct lsqi_ticket ticket = {.conn = conn, .fn = wake, .arg = &sleeper};
    bool mine;

    if (lsqi_lane_take(lane, conn)) return true;
    pthread_mutex_init(&sleeper.lock, NULL);
    pthread_cond_init(&sleeper.woken, NULL);
    lsqi_lane_wait(lane, &ticket);
    mine = sleep_until_told(&sleeper, until, stop, arg) && lsqi_lane_take(lane, conn);
    if (!lsqi_lane_cancel(lane, &ticket)) { /* wake() was called, or is about to be */
        pthread_mutex_lock(&sleeper.lock);
        while (!sleeper.told) pthread_cond_wait(&sleeper.woken, &sleeper.lock);
        pthread_mutex_unlock(&sleeper.lock);
    }
    pthread_cond_destroy(&sleeper.woken);
    pthread_mutex_destroy(&sleeper.lock);
    return mine;
}
