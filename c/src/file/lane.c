#include "file/lane.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"

enum { LOOK_MS = 10, FIRST_WAIT_NS = 100000 };

/* Process-wide: one lock for all lines, held for no more than a few pointers, so that a turn for several
 * files is taken at once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- Lines ---- */

static void append_locked(struct lsqi_stand *stand) {
    struct lsqi_lane *lane = stand->lane;

    stand->next = NULL;
    stand->prev = lane->last;
    if (lane->last == NULL)
        lane->first = stand;
    else
        lane->last->next = stand;
    lane->last = stand;
    lane->counts.line++;
}

static void remove_locked(struct lsqi_stand *stand) {
    struct lsqi_lane *lane = stand->lane;

    if (stand->prev == NULL)
        lane->first = stand->next;
    else
        stand->prev->next = stand->next;
    if (stand->next == NULL)
        lane->last = stand->prev;
    else
        stand->next->prev = stand->prev;
    lane->counts.line--;
}

static void leave_lines_locked(struct lsqi_ticket *ticket) {
    ticket->waiting = false;
    for (unsigned i = 0; i < ticket->count; i++) remove_locked(&ticket->stands[i]);
}

struct lsqi_lane_counts lsqi_lane_counts(const struct lsqi_lane *lane) {
    struct lsqi_lane_counts counts;

    pthread_mutex_lock(&lock);
    counts = lane->counts;
    pthread_mutex_unlock(&lock);
    return counts;
}

/* ---- Giving a turn ---- */

/* Calls to be made without the lock, when what they are for may be gone. */
struct news {
    unsigned count; /* the rest is not set */
    struct {
        void (*fn)(void *arg);
        void *arg;
    } of[LSQI_MOST_LANES];
};

static void tell(const struct news *news) {
    for (unsigned i = 0; i < news->count; i++) news->of[i].fn(news->of[i].arg);
}

/* What the connection has in a transaction it need not wait for; one call's turn is that call's. */
static bool has_come_locked(const struct lsqi_ticket *ticket) {
    for (unsigned i = 0; i < ticket->count; i++) {
        const struct lsqi_lane *lane = ticket->stands[i].lane;

        if (lane->conn == ticket->conn && lane->kept) continue;
        if (lane->conn != NULL || lane->first != &ticket->stands[i]) return false;
    }
    return true;
}

static void give_locked(struct lsqi_lane *lane, const void *conn, int64_t now) {
    if (lane->conn == conn) return;
    lane->conn = conn;
    lane->by = NULL;
    lane->used = false;
    lane->kept = false;
    lane->since = now;
    lane->about.caller = 0;
    lane->about.statement[0] = '\0';
}

static void count_wait_locked(struct lsqi_lane_counts *counts, int64_t waited) {
    int64_t bound = FIRST_WAIT_NS;
    int i = 0;

    for (; i < LSQ_WAITS - 1 && waited >= bound; i++) bound *= 10;
    counts->waits[i]++;
    counts->waited++;
    counts->wait_ns += waited;
}

/* One that came at once, as it got in line, has not waited. */
static void count_waits_locked(const struct lsqi_ticket *ticket, int64_t now) {
    for (unsigned i = 0; ticket->since != 0 && i < ticket->count; i++)
        count_wait_locked(&ticket->stands[i].lane->counts, now - ticket->since);
}

static void grant_locked(struct lsqi_ticket *ticket, struct news *news) {
    int64_t now = lsqi_now_ns();

    leave_lines_locked(ticket);
    count_waits_locked(ticket, now);
    for (unsigned i = 0; i < ticket->count; i++) {
        struct lsqi_lane *lane = ticket->stands[i].lane;

        if (lane->conn == ticket->conn) continue; /* kept */
        give_locked(lane, ticket->conn, now);
        lane->by = ticket;
    }
    news->of[news->count].fn = ticket->fn;
    news->of[news->count++].arg = ticket->arg;
}

/* After the turn of a line has ended, or its first has gone. */
static void look_locked(const struct lsqi_lane *lane, struct news *news) {
    if (lane->conn == NULL && lane->first != NULL && has_come_locked(lane->first->ticket))
        grant_locked(lane->first->ticket, news);
}

/* ---- Taking and leaving ---- */

static void note_locked(struct lsqi_lane *lane, const struct lsqi_claim *claim) {
    struct lsq_turn_holder *about = &lane->about;
    size_t len = claim->sql == NULL ? 0 : claim->len;

    lane->used = true;
    lane->counts.turns++;
    about->caller = claim->caller;
    if (len >= sizeof(about->statement))
        len = lsqi_utf8_cut(claim->sql, len, sizeof(about->statement) - 1);
    if (len > 0) memcpy(about->statement, claim->sql, len);
    about->statement[len] = '\0';
}

/* What was given to a ticket and not used yet is for who comes with it. */
static bool is_own_locked(const struct lsqi_lane *lane, const struct lsqi_claim *claim) {
    return lane->conn == claim->conn && (lane->used || lane->by == claim->ticket);
}

static bool can_take_locked(const struct lsqi_lanes *lanes, const struct lsqi_claim *claim) {
    for (unsigned i = 0; i < lanes->count; i++) {
        const struct lsqi_lane *lane = lanes->of[i];

        if (is_own_locked(lane, claim)) continue;
        if (lane->conn != NULL || lane->first != NULL) return false;
    }
    return true;
}

bool lsqi_lanes_take(const struct lsqi_lanes *lanes, const struct lsqi_claim *claim) {
    int64_t now = lsqi_now_ns();
    bool can;

    pthread_mutex_lock(&lock);
    can = can_take_locked(lanes, claim);
    for (unsigned i = 0; can && i < lanes->count; i++) {
        give_locked(lanes->of[i], claim->conn, now);
        if (!lanes->of[i]->used) note_locked(lanes->of[i], claim);
    }
    pthread_mutex_unlock(&lock);
    return can;
}

/* Those of the line who wait with its holder, as many as there is room for. */
static void grant_own_locked(const struct lsqi_lane *lane, struct news *news) {
    struct lsqi_stand *next;

    for (struct lsqi_stand *at = lane->first; at != NULL; at = next) {
        next = at->next;
        if (news->count == LSQI_MOST_LANES) return;
        if (at->ticket->conn == lane->conn && has_come_locked(at->ticket))
            grant_locked(at->ticket, news);
    }
}

void lsqi_lanes_keep(const struct lsqi_lanes *lanes, const void *conn) {
    struct news news;

    do {
        news.count = 0;
        pthread_mutex_lock(&lock);
        for (unsigned i = 0; i < lanes->count; i++)
            if (lanes->of[i]->conn == conn) lanes->of[i]->kept = true;
        for (unsigned i = 0; i < lanes->count; i++)
            if (lanes->of[i]->conn == conn) grant_own_locked(lanes->of[i], &news);
        pthread_mutex_unlock(&lock);
        tell(&news);
    } while (news.count > 0);
}

void lsqi_lanes_leave(const struct lsqi_lanes *lanes, const void *conn) {
    struct news news;

    news.count = 0;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < lanes->count; i++)
        if (lanes->of[i]->conn == conn) lanes->of[i]->conn = NULL;
    for (unsigned i = 0; i < lanes->count; i++) look_locked(lanes->of[i], &news);
    pthread_mutex_unlock(&lock);
    tell(&news);
}

void lsqi_lanes_return(const struct lsqi_lanes *lanes, const struct lsqi_ticket *ticket) {
    struct news news;

    news.count = 0;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < lanes->count; i++) {
        struct lsqi_lane *lane = lanes->of[i];

        if (lane->conn != ticket->conn) continue;
        if (lane->by == ticket)
            lane->used = false;
        else
            lane->conn = NULL;
        look_locked(lane, &news);
    }
    pthread_mutex_unlock(&lock);
    tell(&news);
}

bool lsqi_lanes_holder(const struct lsqi_lanes *lanes, const void *conn,
                       struct lsq_turn_holder *holder) {
    bool found = false;

    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < lanes->count && !found; i++) {
        const struct lsqi_lane *lane = lanes->of[i];

        found = lane->conn != NULL && lane->conn != conn;
        if (!found) continue;
        *holder = lane->about;
        holder->held = (lsqi_now_ns() - lane->since) / 1000000;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

/* ---- Tickets ---- */

void lsqi_lanes_wait(struct lsqi_ticket *ticket) {
    struct news news;

    news.count = 0;
    pthread_mutex_lock(&lock);
    ticket->waiting = true;
    ticket->since = 0;
    for (unsigned i = 0; i < ticket->count; i++) {
        ticket->stands[i].ticket = ticket;
        append_locked(&ticket->stands[i]);
    }
    if (has_come_locked(ticket))
        grant_locked(ticket, &news);
    else
        ticket->since = lsqi_now_ns();
    pthread_mutex_unlock(&lock);
    tell(&news);
}

bool lsqi_lanes_cancel(struct lsqi_ticket *ticket) {
    struct news news;
    bool waited;

    news.count = 0;
    pthread_mutex_lock(&lock);
    waited = ticket->waiting;
    if (waited) leave_lines_locked(ticket);
    for (unsigned i = 0; i < ticket->count && !waited; i++) {
        struct lsqi_lane *lane = ticket->stands[i].lane;

        if (lane->conn == ticket->conn && lane->by == ticket && !lane->used) lane->conn = NULL;
    }
    for (unsigned i = 0; i < ticket->count; i++) look_locked(ticket->stands[i].lane, &news);
    pthread_mutex_unlock(&lock);
    tell(&news);
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

static bool sleep_until_told(struct sleeper *sleeper, int64_t until, bool (*stop)(void *arg),
                             void *arg) {
    bool told;

    pthread_mutex_lock(&sleeper->lock);
    while (!sleeper->told && lsqi_now_ns() < until && !stop(arg))
        lsqi_wait_ms_locked(&sleeper->woken, &sleeper->lock, LOOK_MS);
    told = sleeper->told;
    pthread_mutex_unlock(&sleeper->lock);
    return told;
}

bool lsqi_lanes_await(const struct lsqi_lanes *lanes, const struct lsqi_claim *claim, int64_t until,
                      bool (*stop)(void *arg), void *arg) {
    struct sleeper sleeper = {.told = false};
    struct lsqi_stand stands[LSQI_MOST_LANES];
    struct lsqi_ticket ticket = {.conn = claim->conn, .fn = wake, .arg = &sleeper};
    struct lsqi_claim with = *claim;
    bool mine;

    if (lsqi_lanes_take(lanes, claim)) return true;
    with.ticket = &ticket;
    ticket.stands = stands;
    ticket.count = lanes->count;
    for (unsigned i = 0; i < lanes->count; i++)
        stands[i] = (struct lsqi_stand){.lane = lanes->of[i]};
    pthread_mutex_init(&sleeper.lock, NULL);
    pthread_cond_init(&sleeper.woken, NULL);
    lsqi_lanes_wait(&ticket);
    mine = sleep_until_told(&sleeper, until, stop, arg) && lsqi_lanes_take(lanes, &with);
    if (!lsqi_lanes_cancel(&ticket)) { /* wake() was called, or is about to be */
        pthread_mutex_lock(&sleeper.lock);
        while (!sleeper.told) pthread_cond_wait(&sleeper.woken, &sleeper.lock);
        pthread_mutex_unlock(&sleeper.lock);
    }
    pthread_cond_destroy(&sleeper.woken);
    pthread_mutex_destroy(&sleeper.lock);
    return mine;
}
