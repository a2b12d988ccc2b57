#include "net/watch.h"

#include <stddef.h>

#include "base/clock.h"

struct watches {
    struct lsqi_watch *first;
    struct lsqi_watch *last;
    struct lsqi_watch *next; /* whose turn comes, of the round under way */
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

struct lsqi_watch *lsqi_watches(void) {
    return watches.first;
}

int64_t lsqi_watches_due(void) {
    int64_t due = INT64_MAX;

    for (const struct lsqi_watch *watch = watches.first; watch != NULL; watch = watch->next) {
        if (watch->ready) return 0;
        if (watch->due < due) due = watch->due;
    }
    return due;
}
