#include "repl/wait.h"

#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "repl/disk.h"
#include "repl/events.h"
#include "repl/local.h"

enum {
    POLL_MS = 50, /* between exchanges, for who waits for a frame that is not there yet */
    MOST_BACKOFF_MS = 300000 /* of the interval, after refusals on end */
};

#define MS ((int64_t)1000000)

/* Callers that are to be told, and what. */
struct told {
    struct lsqi_replica_sync *first;
    enum lsq_status status;
    struct lsq_error err;
};

/* ---- Telling ---- */

/* Moves those who fit from the waiters to *told. */
static void move_locked(struct lsqi_replica *r, struct told *told,
                        bool (*fits)(const struct lsqi_replica *r,
                                     const struct lsqi_replica_sync *sync, int64_t now)) {
    struct lsqi_replica_sync **link = &r->waiters;
    int64_t now = lsqi_now_ns();

    while (*link != NULL) {
        struct lsqi_replica_sync *sync = *link;

        if (!fits(r, sync, now)) {
            link = &sync->next;
            continue;
        }
        *link = sync->next;
        sync->waiting = false;
        sync->applied_before = r->counts.frames - sync->applied_before;
        sync->bytes_before = r->counts.bytes - sync->bytes_before;
        sync->next = told->first;
        told->first = sync;
    }
}

/* A caller's memory may be gone once it is told. */
static void tell_all(const struct lsqi_replica *r, const struct told *told) {
    struct lsqi_replica_sync *next;

    for (struct lsqi_replica_sync *sync = told->first; sync != NULL; sync = next) {
        const struct lsqi_replica_sync_result result = {.frame = lsqi_replica_applied(r),
                                                        .applied = sync->applied_before,
                                                        .bytes = sync->bytes_before};

        next = sync->next;
        sync->done(sync->arg, told->status, &result, told->status == LSQ_OK ? NULL : &told->err);
    }
}

static bool is_served(const struct lsqi_replica *r, const struct lsqi_replica_sync *sync,
                      int64_t now) {
    (void)now;
    if (!r->usable) return false;
    if (sync->until > 0 && lsqi_replica_applied(r) >= sync->until) return true;
    return sync->until == 0 && r->reached > sync->after;
}

static bool is_late(const struct lsqi_replica *r, const struct lsqi_replica_sync *sync,
                    int64_t now) {
    (void)r;
    return sync->deadline != 0 && now >= sync->deadline;
}

/* Its exchange has failed; who came while it ran has another. */
static bool is_failed(const struct lsqi_replica *r, const struct lsqi_replica_sync *sync,
                      int64_t now) {
    (void)now;
    return sync->exchange < r->exchanges;
}

static bool is_any(const struct lsqi_replica *r, const struct lsqi_replica_sync *sync,
                   int64_t now) {
    (void)r, (void)sync, (void)now;
    return true;
}

/* ---- The thread ---- */

bool lsqi_replica_stops(void *arg) {
    struct lsqi_replica *r = arg;
    bool stops;

    pthread_mutex_lock(&r->lock);
    stops = r->ending || r->frozen || (r->waiters == NULL && !r->due);
    if (stops) r->stopped = true;
    pthread_mutex_unlock(&r->lock);
    return stops;
}

void lsqi_replica_progress(struct lsqi_replica *r) {
    struct told told = {.status = LSQ_OK};

    pthread_mutex_lock(&r->lock);
    move_locked(r, &told, is_served);
    pthread_mutex_unlock(&r->lock);
    tell_all(r, &told);
}

int64_t lsqi_replica_delay_ms(int interval, unsigned refusals, int64_t chance) {
    int64_t ms = interval;

    for (unsigned i = 0; i < refusals && ms < MOST_BACKOFF_MS; i++) ms *= 2;
    if (ms > MOST_BACKOFF_MS) ms = interval > MOST_BACKOFF_MS ? interval : MOST_BACKOFF_MS;
    return ms - chance % (ms / 10 + 1);
}

static void make_due_locked(struct lsqi_replica *r) {
    int64_t now = lsqi_now_ns();

    if (r->interval == 0) return;
    /* Those who began together part. */
    r->next_due = now + lsqi_replica_delay_ms(r->interval, r->refusals_on_end, now / 1000) * MS;
}

/* A server that is not there is looked after by the breaker of its address, and asked within the interval once it is
 * there again. One that refuses would refuse the same a moment later. */
static bool is_refusal(enum lsq_status st) {
    return st != LSQ_UNREACHABLE && st != LSQ_CONNECTION_LOST && st != LSQ_TIMEOUT;
}

static void note_locked(struct lsqi_replica *r, enum lsq_status st, const struct lsq_error *err) {
    r->due = false;
    if (st == LSQ_INTERRUPTED) return;
    if (st == LSQ_OK) {
        r->refusals_on_end = 0;
        r->counts.syncs++;
        r->counts.last_error.status = LSQ_OK;
    } else {
        r->refusals_on_end = is_refusal(st) ? r->refusals_on_end + 1 : 0;
        r->counts.failures++;
        r->counts.last_error = *err;
    }
    make_due_locked(r);
}

static void tell_failure(struct lsqi_replica *r, const struct lsq_error *err) {
    const struct lsqi_replica_event event = {
        .kind = LSQI_REPLICA_FAILED,
        .path = r->path,
        .why = err->status,
        .message = err->message,
        .frame = lsqi_replica_applied(r),
    };

    lsqi_replica_tell(&event);
}

static void settle(struct lsqi_replica *r, enum lsq_status st, const struct lsq_error *err) {
    struct told told = {.status = st};
    bool failed = st != LSQ_OK && st != LSQ_INTERRUPTED;

    if (failed) told.err = *err;
    pthread_mutex_lock(&r->lock);
    note_locked(r, st, err);
    move_locked(r, &told, failed ? is_failed : is_served);
    pthread_mutex_unlock(&r->lock);
    if (failed) tell_failure(r, err);
    tell_all(r, &told);
}

/* Whether all who wait know that what they wait for was not there a moment ago. */
static bool can_wait_locked(const struct lsqi_replica *r) {
    const struct lsqi_replica_sync *sync = r->waiters;

    while (sync != NULL && sync->until > 0 && r->reached > sync->after) sync = sync->next;
    return sync == NULL;
}

/* Whether there is more to do. If not, the record may be gone when this returns. */
static bool goes_on(struct lsqi_replica *r, enum lsq_status st) {
    struct lsqi_task *timer = &r->timer;
    bool more;

    pthread_mutex_lock(&r->lock);
    /* After an interruption that was not ours (the library is being shut down) it would be so again. */
    more = !r->ending && !r->frozen && r->waiters != NULL;
    if (more && st == LSQ_OK && can_wait_locked(r))
        lsqi_wait_ms_locked(&r->changed, &r->lock, POLL_MS);
    more = !r->ending && !r->frozen && r->waiters != NULL;
    if (!more) {
        if (r->interval > 0 && !r->ending) lsqi_helper_schedule(timer, 0);
        r->running = false;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return more;
}

/* Whether it was told to end because nobody was left to wait: those who have come since are served by the next one.
 * From now on that is forgotten. */
static bool was_stopped(struct lsqi_replica *r) {
    bool stopped;

    pthread_mutex_lock(&r->lock);
    stopped = r->stopped;
    r->stopped = false;
    pthread_mutex_unlock(&r->lock);
    return stopped;
}

static void begin(struct lsqi_replica *r) {
    pthread_mutex_lock(&r->lock);
    r->exchanges++;
    r->stopped = false;
    pthread_mutex_unlock(&r->lock);
}

static void fail_all(struct lsqi_replica *r, enum lsq_status st, const char *why) {
    struct told told = {.status = st};

    lsqi_error_set(&told.err, st, "%s", why);
    pthread_mutex_lock(&r->lock);
    move_locked(r, &told, is_any);
    pthread_mutex_unlock(&r->lock);
    tell_all(r, &told);
}

static void exchange(void *arg) {
    struct lsqi_replica *r = arg;
    unsigned broken_off = 0;
    struct lsq_error err;
    enum lsq_status st;

    do {
        begin(r);
        lsqi_error_set(&err, LSQ_OK, "%s", "");
        st = lsqi_follow(r, &err);
        settle(r, st, &err);
        broken_off = st == LSQ_INTERRUPTED && !was_stopped(r) ? broken_off + 1 : 0;
        if (broken_off > 1) fail_all(r, LSQ_INTERRUPTED, "the library is being shut down");
    } while (goes_on(r, st));
}

/* running has become true. */
static enum lsq_status start(struct lsqi_replica *r, struct lsq_error *err) {
    struct lsq_error why;
    enum lsq_status st = lsqi_worker_submit_pressing(exchange, r, &why);

    if (st == LSQ_OK) return LSQ_OK;
    pthread_mutex_lock(&r->lock);
    r->running = false;
    r->due = false;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (err != NULL) *err = why;
    return st;
}

/* ---- The timer: deadlines, and the interval ---- */

static int64_t earliest_locked(const struct lsqi_replica *r) {
    int64_t due = INT64_MAX;

    for (const struct lsqi_replica_sync *sync = r->waiters; sync != NULL; sync = sync->next)
        if (sync->deadline != 0 && sync->deadline < due) due = sync->deadline;
    if (r->interval > 0 && !r->running && r->next_due < due) due = r->next_due;
    return due;
}

static int delay_of(int64_t due) {
    int64_t ms = (due - lsqi_now_ns()) / MS + 1;

    if (due == INT64_MAX) return -1;
    return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

static struct lsqi_replica *of_timer(struct lsqi_task *task) {
    return (struct lsqi_replica *)(void *)((char *)task - offsetof(struct lsqi_replica, timer));
}

/* Whether the interval is over, and there is somebody to ask: an address whose breaker is open is passed over, and
 * nothing told of it, for that was told when it opened. */
static bool is_due_locked(struct lsqi_replica *r) {
    if (r->interval == 0 || r->running || r->ending || r->frozen) return false;
    if (lsqi_now_ns() < r->next_due) return false;
    if (lsqi_place_usable(r->server.targets[0].place)) return true;
    make_due_locked(r);
    return false;
}

static int on_timer(struct lsqi_task *task) {
    struct lsqi_replica *r = of_timer(task);
    struct told told = {.status = LSQ_TIMEOUT};
    bool begins;
    int delay;

    if (lsqi_helper_shutting()) return -1;
    lsqi_error_set(&told.err, LSQ_TIMEOUT, "the sync took longer than its time-out");
    told.err.transient = true;
    pthread_mutex_lock(&r->lock);
    move_locked(r, &told, is_late);
    begins = is_due_locked(r);
    if (begins) r->running = r->due = true;
    delay = r->ending || r->frozen ? -1 : delay_of(earliest_locked(r));
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    tell_all(r, &told);
    if (begins) (void)start(r, NULL);
    return delay;
}

void lsqi_replica_timer_init(struct lsqi_replica *r) {
    r->timer = (struct lsqi_task){.run = on_timer, .upkeep = true};
}

void lsqi_replica_timer_start(struct lsqi_replica *r) {
    if (r->interval == 0) return;
    pthread_mutex_lock(&r->lock);
    make_due_locked(r);
    pthread_mutex_unlock(&r->lock);
    lsqi_helper_schedule(&r->timer, r->interval);
}

/* ---- Callers ---- */

void lsqi_replica_hurry(struct lsqi_replica *r) {
    bool begins;

    pthread_mutex_lock(&r->lock);
    begins = !r->frozen && !r->ending && !r->running;
    if (begins) r->running = r->due = true;
    pthread_mutex_unlock(&r->lock);
    if (begins) (void)start(r, NULL);
}

enum lsq_status lsqi_replica_sync(struct lsqi_replica *r, struct lsqi_replica_sync *sync,
                                  struct lsq_error *err) {
    bool begins = false;
    enum lsq_status st = LSQ_OK;

    pthread_mutex_lock(&r->lock);
    if (r->frozen || r->ending) {
        st = lsqi_error_set(err, LSQ_CLOSED, "the replica is %s",
                            r->frozen ? "frozen: it is an ordinary database" : "closed");
    } else {
        sync->after = r->serial;
        sync->exchange = r->exchanges;
        sync->applied_before = r->counts.frames;
        sync->bytes_before = r->counts.bytes;
        sync->deadline = sync->timeout > 0 ? lsqi_now_ns() + sync->timeout * MS : 0;
        sync->waiting = true;
        sync->next = r->waiters;
        r->waiters = sync;
        begins = !r->running;
        r->running = true;
        pthread_cond_broadcast(&r->changed);
        if (sync->timeout > 0) lsqi_helper_schedule(&r->timer, sync->timeout);
    }
    pthread_mutex_unlock(&r->lock);
    if (begins) st = start(r, err);
    /* Others may have come meanwhile, who relied on it. */
    if (begins && st != LSQ_OK) {
        bool told = !lsqi_replica_sync_cancel(r, sync);

        fail_all(r, st, "no thread could be started for a sync");
        if (told) return LSQ_OK;
    }
    return st;
}

bool lsqi_replica_sync_cancel(struct lsqi_replica *r, struct lsqi_replica_sync *sync) {
    struct lsqi_replica_sync **link = &r->waiters;
    bool was;

    pthread_mutex_lock(&r->lock);
    was = sync->waiting;
    if (was) {
        while (*link != sync) link = &(*link)->next;
        *link = sync->next;
        sync->waiting = false;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return was;
}

/* ---- Ends ---- */

void lsqi_replica_end(struct lsqi_replica *r) {
    pthread_mutex_lock(&r->lock);
    r->ending = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    fail_all(r, LSQ_CLOSED, "the replica is closed");
}

void lsqi_replica_await_idle(struct lsqi_replica *r) {
    pthread_mutex_lock(&r->lock);
    while (r->running) pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

enum lsq_status lsqi_replica_freeze(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;
    bool usable;

    pthread_mutex_lock(&r->lock);
    usable = r->usable;
    if (usable) r->frozen = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (!usable)
        return lsqi_error_set(err, LSQ_MISUSE, "the replica has no file yet that could be frozen");
    fail_all(r, LSQ_CLOSED, "the replica is frozen: it is an ordinary database");
    lsqi_replica_await_idle(r);
    lsqi_local_end(r);
    lsqi_disk_remove(r->path, "-replica");
    if (lsqi_disk_size(r->meta_name, NULL) >= 0)
        st = lsqi_error_set(err, LSQ_IO, "%s could not be removed", r->meta_name);
    lsqi_base_discard(&r->base, r->path);
    return st == LSQ_OK ? lsqi_disk_sync_folder(r->path, err) : st;
}

/* As if a thread exchanged: nobody else touches the file meanwhile. */
enum lsq_status lsqi_replica_make_empty(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;
    bool usable;

    pthread_mutex_lock(&r->lock);
    while (r->running) pthread_cond_wait(&r->changed, &r->lock);
    usable = r->usable;
    r->running = true;
    pthread_mutex_unlock(&r->lock);
    if (!usable) st = lsqi_replica_create_empty(r, err);
    if (st == LSQ_OK) r->greeted = false;
    pthread_mutex_lock(&r->lock);
    r->usable = r->apply != NULL;
    r->running = r->waiters != NULL && !r->ending;
    pthread_cond_broadcast(&r->changed);
    usable = r->running;
    pthread_mutex_unlock(&r->lock);
    if (usable) (void)start(r, NULL);
    return st;
}

void lsqi_replica_wish_aside(struct lsqi_replica *r) {
    pthread_mutex_lock(&r->lock);
    r->wish = true;
    r->wishers++;
    r->aside[0] = '\0';
    pthread_mutex_unlock(&r->lock);
}

void lsqi_replica_aside(struct lsqi_replica *r, char aside[LSQI_REPLICA_ASIDE]) {
    pthread_mutex_lock(&r->lock);
    r->wishers--;
    r->wish = r->wish && r->wishers > 0;
    memcpy(aside, r->aside, sizeof(r->aside));
    pthread_mutex_unlock(&r->lock);
}

void lsqi_replica_distrust(struct lsqi_replica *r) {
    pthread_mutex_lock(&r->lock);
    r->distrusted = true;
    pthread_mutex_unlock(&r->lock);
}
