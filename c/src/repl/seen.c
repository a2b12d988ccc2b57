#include "repl/seen.h"

#include <stdio.h>

#include "base/clock.h"
#include "repl/events.h"

static uint64_t bytes_so_far(struct lsqi_replica *r) {
    uint64_t bytes;

    pthread_mutex_lock(&r->lock);
    bytes = r->counts.bytes;
    pthread_mutex_unlock(&r->lock);
    return bytes;
}

void lsqi_seen_begin(struct lsqi_replica *r) {
    r->began = lsqi_now_ns();
    r->began_bytes = bytes_so_far(r);
}

void lsqi_seen_tell(struct lsqi_replica *r, enum lsqi_replica_event_kind kind, const char *message,
                    const char *aside, uint64_t frames) {
    const struct lsqi_replica_event event = {
        .kind = kind,
        .path = r->path,
        .why = LSQ_OK,
        .message = message,
        .aside = aside,
        .frame = lsqi_replica_applied(r),
        .frames = frames,
        .bytes = bytes_so_far(r) - r->began_bytes,
        .took_ns = lsqi_now_ns() - r->began,
    };

    lsqi_replica_tell(&event);
}

uint64_t lsqi_seen_asks(struct lsqi_replica *r) {
    uint64_t serial;

    pthread_mutex_lock(&r->lock);
    serial = ++r->serial;
    pthread_mutex_unlock(&r->lock);
    return serial;
}

void lsqi_seen_reached(struct lsqi_replica *r, uint64_t serial) {
    pthread_mutex_lock(&r->lock);
    r->reached = serial;
    r->synced_at = lsqi_now_ns();
    pthread_mutex_unlock(&r->lock);
}

void lsqi_seen_has_all(struct lsqi_replica *r) {
    pthread_mutex_lock(&r->lock);
    if (r->apply != NULL) r->highest = lsqi_replica_applied(r);
    pthread_mutex_unlock(&r->lock);
}

void lsqi_seen_bytes(struct lsqi_replica *r, uint64_t bytes) {
    pthread_mutex_lock(&r->lock);
    r->counts.bytes += bytes;
    pthread_mutex_unlock(&r->lock);
}

void lsqi_seen_frames(struct lsqi_replica *r, uint64_t frames, bool rebuilt) {
    uint64_t last = r->meta.applied == 0 ? 0 : r->meta.applied - 1;

    pthread_mutex_lock(&r->lock);
    r->counts.frames += frames;
    r->counts.rebuilds += rebuilt;
    r->usable = r->apply != NULL;
    if (r->highest < last) r->highest = last;
    (void)snprintf(r->counts.log_id, sizeof(r->counts.log_id), "%s", r->meta.log_id);
    pthread_mutex_unlock(&r->lock);
    atomic_store_explicit(&r->face.applied, last, memory_order_release);
}

void lsqi_seen_pushed(struct lsqi_replica *r, uint64_t frames, uint64_t bytes, int64_t since) {
    const struct lsqi_replica_event event = {
        .kind = LSQI_REPLICA_PUSHED,
        .path = r->path,
        .why = LSQ_OK,
        .message = "",
        .frame = lsqi_replica_applied(r),
        .frames = frames,
        .bytes = bytes,
        .took_ns = lsqi_now_ns() - since,
    };

    pthread_mutex_lock(&r->lock);
    r->counts.pushed += frames;
    r->pushed_at = lsqi_now_ns();
    pthread_mutex_unlock(&r->lock);
    lsqi_replica_tell(&event);
}
