#include "net/watch.h"

#include <stddef.h>

#include "base/alloc.h"
#include "base/clock.h"

struct watches {
    struct lsqi_watch *first;
    struct lsqi_watch *last;
    struct lsqi_watch *next; /* whose turn comes, of the round under way */
    struct lsqi_curl_waitfd *fds;
    unsigned room;
};

/* Process-wide: what the one I/O thread looks after. */
static struct watches watches;

void lsqi_watch_add(struct lsqi_watch *watch) {
    watch->next = NULL;
    watch->prev = watches.last;
    if (watches.last != NULL)
        watches.last->next = watch;
    else
        watches.first = watch;
    watches.last = watch;
}

void lsqi_watch_remove(struct lsqi_watch *watch) {
    if (watches.next == watch) watches.next = watch->next;
    if (watch->prev != NULL)
        watch->prev->next = watch->next;
    else
        watches.first = watch->next;
    if (watch->next != NULL)
        watch->next->prev = watch->prev;
    else
        watches.last = watch->prev;
}

void lsqi_watches_turn(bool stopping) {
    int64_t now;

    if (watches.first == NULL) return;
    now = lsqi_now_ns();
    for (struct lsqi_watch *watch = watches.first; watch != NULL; watch = watches.next) {
        watches.next = watch->next;
        if (!stopping && !watch->ready && watch->due > now) continue;
        watch->ready = false;
        watch->turn(watch, stopping);
    }
}

bool lsqi_watches_any(void) { return watches.first != NULL; }

int64_t lsqi_watches_due(void) {
    int64_t due = INT64_MAX;

    for (const struct lsqi_watch *watch = watches.first; watch != NULL; watch = watch->next) {
        if (watch->ready) return 0;
        if (watch->due < due) due = watch->due;
    }
    return due;
}

/* ---- Descriptors ---- */

struct lsqi_curl_waitfd *lsqi_watches_fds(unsigned *count) {
    unsigned n = 0;

    for (const struct lsqi_watch *watch = watches.first; watch != NULL; watch = watch->next)
        n += watch->fd_count;
    *count = n;
    if (n > watches.room) {
        struct lsqi_curl_waitfd *more = lsqi_realloc(watches.fds, 2 * n * sizeof(*more));

        if (more == NULL) return NULL;
        watches.fds = more;
        watches.room = 2 * n;
    }
    n = 0;
    for (const struct lsqi_watch *watch = watches.first; watch != NULL; watch = watch->next)
        for (unsigned i = 0; i < watch->fd_count; i++) {
            watches.fds[n] = watch->fds[i];
            watches.fds[n++].revents = 0;
        }
    return watches.fds;
}

void lsqi_watches_wake(const struct lsqi_curl_waitfd *fds) {
    for (struct lsqi_watch *watch = watches.first; watch != NULL; watch = watch->next)
        for (unsigned i = 0; i < watch->fd_count; i++, fds++) {
            watch->fds[i].revents = fds->revents;
            if (fds->revents != 0) watch->ready = true;
        }
}

void lsqi_watches_release(void) {
    lsqi_free(watches.fds);
    watches.fds = NULL;
    watches.room = 0;
}
