/* Following a server's log: what comes goes to the file in the making, or, where there is a file, to the spool, and
 * from there into the file in whole transactions. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "repl/disk.h"
#include "repl/local.h"
#include "repl/protocol.h"
#include "repl/seen.h"
#include "repl/state.h"

enum {
    APPLY_BYTES = 4 * 1024 * 1024, /* of whole transactions: they go in though more is coming */
    FIRST_DELAY_MS = 20, /* before it is tried again; doubled each time, to MOST_DELAY_MS */
    MOST_DELAY_MS = 500,
    MOST_GREETINGS = 5, /* that the server wants, and nothing new in between */
    MOST_DOUBTS = 3
};

/* ---- Into the file ---- */

/* The end of what has come that is whole transactions; where the file may have frames already that come again, all of
 * them must be in it. */
static bool may_apply(const struct lsqi_replica *r) {
    return r->apply != NULL && !r->in_snapshot && r->spool.committed > 0 &&
           r->committed_next >= r->meta.target;
}

static enum lsq_status apply(struct lsqi_replica *r, struct lsq_error *err) {
    const struct lsqi_apply_around around = {
        .begins = lsqi_local_apply_begins, .ends = lsqi_local_apply_ends, .arg = r};
    size_t n = r->spool.committed;
    enum lsq_status st;

    if (!may_apply(r)) return LSQ_OK;
    r->coming = r->meta.mark;
    st = lsqi_mark_follow(&r->coming, &r->spool, n, r->meta.histories, err);
    if (st != LSQ_OK) return st;
    st = lsqi_apply_put(r->apply, &r->spool, n, r->meta.histories, &around, lsqi_replica_stops, r,
                        err);
    if (r->meta.applied != r->committed_next) return st;
    lsqi_seen_frames(r, n, r->replaced);
    if (st == LSQ_OK) st = lsqi_spool_drop(&r->spool, n, err);
    lsqi_seen_tell(r, r->replaced ? LSQI_REPLICA_REPLACED : LSQI_REPLICA_SYNCED, "", NULL, n);
    r->replaced = false;
    lsqi_replica_progress(r);
    return st;
}

static enum lsq_status mark_base(struct lsqi_replica *r, bool must, struct lsq_error *err) {
    uint64_t pages = r->committed_next == r->next ? r->committed_pages : 0;

    return lsqi_base_mark(&r->base, r->path, r->next, r->chain.sum, pages, must, err);
}

/* Of a snapshot that comes to the file in the making, and can be gone on with. */
static enum lsq_status mark_part(struct lsqi_replica *r, bool must, struct lsq_error *err) {
    const struct lsqi_snapshot *snapshot = &r->snapshot;
    uint64_t pages = snapshot->next - snapshot->lowest;

    if (r->apply != NULL || r->next > 0 || snapshot->version == 0 || snapshot->next == 0)
        return LSQ_OK;
    return lsqi_base_mark_part(&r->base, r->path, (uint32_t)pages, snapshot->version, must, err);
}

enum lsq_status lsqi_follow_pause(void *arg, struct lsq_error *err) {
    struct lsqi_replica *r = arg;

    if (r->in_snapshot) return mark_part(r, false, err);
    if (r->apply == NULL) return mark_base(r, false, err);
    if (r->spool.committed * (uint64_t)r->spool.page_size < APPLY_BYTES) return LSQ_OK;
    return apply(r, err);
}

/* ---- What comes ---- */

void lsqi_follow_coming(struct lsqi_replica *r, uint64_t next, uint64_t sum) {
    if (r->apply == NULL) lsqi_base_expect(&r->base, next, sum);
}

static enum lsq_status keep(struct lsqi_replica *r, const struct lsqi_frame *frame,
                            const void *page, size_t len, struct lsq_error *err) {
    if (r->apply != NULL) return lsqi_spool_add(&r->spool, frame, page, len, err);
    r->came++;
    return lsqi_base_write(&r->base, r->path, frame, page, len, err);
}

static void commit(struct lsqi_replica *r, uint64_t next, uint32_t pages, uint64_t sum) {
    r->committed_next = next;
    r->committed_pages = pages;
    r->committed_sum = sum;
}

static enum lsq_status out_of_order(struct lsq_error *err, const struct lsqi_frame *frame,
                                    uint64_t expected) {
    return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                          "the server sent frame %llu where %llu was due",
                          (unsigned long long)frame->number, (unsigned long long)expected);
}

static enum lsq_status snapshot_frame(struct lsqi_replica *r, const struct lsqi_frame *frame,
                                      const void *page, size_t len, struct lsq_error *err) {
    struct lsqi_snapshot *snapshot = &r->snapshot;
    bool first = snapshot->next == 0;

    if (snapshot->pages > 0 || frame->number < r->next ||
        (!first && frame->number >= snapshot->lowest))
        return out_of_order(err, frame, first ? r->next : snapshot->lowest - 1);
    if (first) snapshot->next = frame->number + 1;
    snapshot->lowest = frame->number;
    snapshot->pages = frame->size_after;
    return keep(r, frame, page, len, err);
}

void lsqi_follow_snapshot_begin(struct lsqi_replica *r) {
    r->in_snapshot = true;
    r->snapshot = (struct lsqi_snapshot){.spooled = r->spool.count};
}

void lsqi_follow_snapshot_go_on(struct lsqi_replica *r, uint64_t number, uint32_t pages) {
    r->snapshot.next = number + 1;
    r->snapshot.lowest = number + 1 - pages;
    r->snapshot.version = r->base.meta.checksum;
}

enum lsq_status lsqi_follow_snapshot_end(struct lsqi_replica *r, bool whole,
                                         struct lsq_error *err) {
    const struct lsqi_snapshot *snapshot = &r->snapshot;
    enum lsq_status st = LSQ_OK;

    r->in_snapshot = false;
    if (!whole || snapshot->pages == 0) {
        (void)mark_part(r, true, NULL);
        lsqi_spool_cut(&r->spool, snapshot->spooled);
        return whole ? lsqi_error_set(err, LSQ_CONNECTION_LOST, "a snapshot has no end") : LSQ_OK;
    }
    st = lsqi_chain_leap(r, snapshot->next, err);
    if (st != LSQ_OK) {
        lsqi_spool_cut(&r->spool, snapshot->spooled);
        return st;
    }
    r->next = snapshot->next;
    commit(r, snapshot->next, snapshot->pages, 0);
    lsqi_chain_join(r, 0);
    return r->apply == NULL ? mark_base(r, true, err) : LSQ_OK;
}

enum lsq_status lsqi_follow_frame(void *arg, const struct lsqi_frame *frame, const void *page,
                                  size_t len, struct lsq_error *err) {
    struct lsqi_replica *r = arg;
    enum lsq_status st;

    if (r->in_snapshot) return snapshot_frame(r, frame, page, len, err);
    if (frame->number != r->next) return out_of_order(err, frame, r->next);
    st = lsqi_chain_check(r, frame, page, len, err);
    if (st == LSQ_OK) st = keep(r, frame, page, len, err);
    if (st != LSQ_OK) return st;
    lsqi_chain_took(r, frame);
    r->next = frame->number + 1;
    if (frame->size_after > 0) commit(r, r->next, frame->size_after, r->chain.sum);
    return LSQ_OK;
}

/* ---- Who the server is ---- */

/* What the file has is not of the server's history: kept in a copy, for it may be all that is left of it. From now on
 * the file is to get, in one transaction, everything that the server has. */
static enum lsq_status change_history(struct lsqi_replica *r, const char *why,
                                      struct lsq_error *err) {
    uint64_t had = r->meta.applied;
    struct lsqi_meta meta = lsqi_local_meta(r);
    char aside[LSQI_DISK_NAME];
    enum lsq_status st = LSQ_OK;
    bool copied = false;

    if (meta.applied > 0) {
        lsqi_disk_aside_name(aside, r->path);
        st = lsqi_apply_copy(r->apply, aside, err);
        /* What cannot be read as a whole is no copy of anything. */
        copied = st == LSQ_OK;
        if (!copied) lsqi_disk_remove(aside, "");
        if (st != LSQ_OK && st != LSQ_CORRUPT && st != LSQ_NOT_A_DATABASE) return st;
    }
    meta.applied = 0;
    meta.target = r->hello.index + 1;
    meta.checksum = 0;
    meta.histories++;
    (void)snprintf(meta.log_id, sizeof(meta.log_id), "%s", r->hello.log_id);
    st = lsqi_local_take(r, &meta, err);
    if (r->overtaken && copied) lsqi_disk_remove(aside, "");
    if (st != LSQ_OK) return st;
    if (had > 0) lsqi_seen_tell(r, LSQI_REPLICA_SET_ASIDE, why, copied ? aside : NULL, 0);
    r->replaced = had > 0 || r->replaced;
    atomic_store_explicit(&r->face.written, 0, memory_order_release);
    lsqi_seen_frames(r, 0, false);
    return LSQ_OK;
}

/* What has come and was not applied is asked for again. */
static void restart(struct lsqi_replica *r, uint64_t next, uint64_t pages, uint64_t sum) {
    lsqi_spool_cut(&r->spool, 0);
    r->next = next;
    commit(r, pages > 0 ? next : 0, (uint32_t)pages, sum);
    lsqi_chain_join(r, sum);
    r->chain.until = 0;
}

/* From what is in the file. */
static void start_again(struct lsqi_replica *r) {
    restart(r, r->meta.applied, r->meta.pages, r->meta.checksum);
    lsqi_chain_expect(r, &r->meta);
}

void lsqi_follow_again(struct lsqi_replica *r) { start_again(r); }

void lsqi_follow_from_nothing(struct lsqi_replica *r) {
    if (r->apply == NULL) {
        lsqi_base_discard(&r->base, r->path);
        restart(r, 0, 0, 0);
    }
    r->greeted = false;
}

void lsqi_follow_part_ends(struct lsqi_replica *r, uint64_t next) {
    if (r->apply != NULL) {
        lsqi_spool_cut(&r->spool, r->spool.committed);
        r->next = next;
    } else if (r->next == r->committed_next) {
        r->next = next;
        commit(r, next, r->committed_pages, 0);
        lsqi_chain_join(r, 0);
    } else {
        /* Pages of it are in their places already. */
        lsqi_follow_from_nothing(r);
    }
}

/* An empty database takes on any history. */
static enum lsq_status take_history(struct lsqi_replica *r, struct lsq_error *err) {
    struct lsqi_meta meta = lsqi_local_meta(r);

    (void)snprintf(meta.log_id, sizeof(meta.log_id), "%s", r->hello.log_id);
    return lsqi_local_take(r, &meta, err);
}

static bool take_distrust(struct lsqi_replica *r) {
    bool distrusted;

    pthread_mutex_lock(&r->lock);
    distrusted = r->distrusted;
    r->distrusted = false;
    pthread_mutex_unlock(&r->lock);
    return distrusted;
}

static enum lsq_status compare_history(struct lsqi_replica *r, struct lsq_error *err) {
    bool same = strcmp(r->meta.log_id, r->hello.log_id) == 0;
    const char *why = NULL;
    enum lsq_status st = LSQ_OK;

    if (!same) why = "the server has another history";
    /* A server that lost the end of its log goes on with other frames of the same numbers. */
    if (same && r->hello.index + 1 < r->meta.target)
        why = "the server has lost the end of its history";
    if (same && r->chain.parted) why = "the server's log does not go on from what the file has";
    if (take_distrust(r)) why = "the file is damaged";
    if (why == NULL) {
        if (r->next < r->meta.applied) start_again(r);
        return LSQ_OK;
    }
    if (r->meta.log_id[0] == '\0')
        st = take_history(r, err);
    else
        st = change_history(r, why, err);
    r->chain.holds = r->chain.none = false;
    if (st == LSQ_OK) restart(r, 0, 0, 0);
    return st;
}

/* Whether a greeting is due. */
bool lsqi_follow_is_to_greet(struct lsqi_replica *r) {
    int64_t holds = r->protocol == NULL ? 0 : (int64_t)r->protocol->greeting_ms * 1000000;
    bool distrusted;

    if (holds > 0 && lsqi_now_ns() - r->greeted_at > holds) return true;
    /* What comes has no place to go to: the greeting makes one, or finds that of before. */
    if (r->apply == NULL && r->base.fd < 0) return true;
    pthread_mutex_lock(&r->lock);
    distrusted = r->distrusted;
    pthread_mutex_unlock(&r->lock);
    return !r->greeted || distrusted;
}

static enum lsq_status begin_base(struct lsqi_replica *r, struct lsq_error *err) {
    const struct lsqi_meta *meta = &r->base.meta;
    enum lsq_status st;

    if (r->chain.parted) lsqi_base_discard(&r->base, r->path);
    if (r->base.fd >= 0 && strcmp(meta->log_id, r->hello.log_id) == 0 &&
        meta->target <= r->hello.index + 1)
        return LSQ_OK;
    st = lsqi_base_begin(&r->base, r->path, r->hello.log_id, r->hello.index, err);
    r->chain.holds = r->chain.none = false;
    if (st == LSQ_OK) restart(r, 0, 0, 0);
    r->came = 0;
    return st;
}

/* What an earlier process left: before the server is greeted, for it is asked whether it has that, too. */
static void recall_base(struct lsqi_replica *r) {
    const struct lsqi_meta *meta = &r->base.meta;

    if (r->apply != NULL || r->base.fd >= 0 || !lsqi_base_recall(&r->base, r->path)) return;
    restart(r, meta->applied, meta->applied > 0 ? meta->pages : 0, meta->checksum);
    lsqi_chain_expect(r, meta);
}

enum lsq_status lsqi_follow_greet(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st = lsqi_protocol_greet(r, err);

    r->greeted = st == LSQ_OK;
    r->greeted_at = lsqi_now_ns();
    if (st != LSQ_OK) return st;
    pthread_mutex_lock(&r->lock);
    r->highest = r->hello.index;
    pthread_mutex_unlock(&r->lock);
    return LSQ_OK;
}

static enum lsq_status greet(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st;

    recall_base(r);
    st = lsqi_follow_greet(r, err);
    if (st == LSQ_OK) st = r->apply == NULL ? begin_base(r, err) : compare_history(r, err);
    /* It may have been restored from a copy of its files meanwhile. */
    r->chain.joint = r->next;
    r->greeted = st == LSQ_OK;
    return st;
}

/* ---- Local changes ---- */

void lsqi_follow_publish(struct lsqi_replica *r) {
    start_again(r);
    lsqi_seen_frames(r, 0, false);
}

void lsqi_follow_yielded(struct lsqi_replica *r, const char *aside) {
    lsqi_seen_tell(r, LSQI_REPLICA_SET_ASIDE, "its changes give way to the server's", aside, 0);
    pthread_mutex_lock(&r->lock);
    (void)snprintf(r->aside, sizeof(r->aside), "%s", aside);
    pthread_mutex_unlock(&r->lock);
    r->wished = false;
    r->replaced = true;
    atomic_store_explicit(&r->face.written, 0, memory_order_release);
    lsqi_seen_frames(r, 0, false);
    restart(r, 0, 0, 0);
    r->chain.holds = r->chain.none = false;
}

/* What was fetched does not go on from what is here any more: that is pushed first. */
static enum lsq_status was_overtaken(struct lsqi_replica *r, enum lsq_status st, bool *end) {
    if (!r->overtaken) return st;
    r->overtaken = false;
    *end = false;
    start_again(r);
    return LSQ_OK;
}

static void take_wish(struct lsqi_replica *r) {
    pthread_mutex_lock(&r->lock);
    r->wished = r->wish;
    r->wish = false;
    pthread_mutex_unlock(&r->lock);
}

/* ---- The file that has come ---- */

/* Of a server that has nothing yet. */
static enum lsq_status install_empty(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st = lsqi_replica_create_empty(r, err);

    lsqi_base_discard(&r->base, r->path);
    return st == LSQ_OK ? take_history(r, err) : st;
}

static enum lsq_status install(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st = mark_base(r, true, err);

    if (st == LSQ_OK) st = lsqi_base_install(&r->base, r->path, &r->meta, err);
    if (st == LSQ_OK) st = lsqi_apply_open(&r->apply, r->path, &r->key, err);
    if (st != LSQ_OK) r->greeted = false;
    return st;
}

/* It is in its place, and could not be noted or opened then. */
static enum lsq_status open_installed(struct lsqi_replica *r, struct lsq_error *err) {
    uint64_t inode = 0;
    enum lsq_status st = LSQ_OK;

    if (lsqi_disk_size(r->path, &inode) <= 0 || inode != r->meta.inode) return LSQ_OK;
    if (r->meta.state == LSQI_META_INSTALLING) {
        st = lsqi_disk_sync_folder(r->path, err);
        if (st == LSQ_OK) st = lsqi_base_installed(r->path, &r->key, &r->meta, err);
    }
    if (st != LSQ_OK || r->meta.state != LSQI_META_READY) return st;
    st = lsqi_apply_open(&r->apply, r->path, &r->key, err);
    if (st != LSQ_OK) return st;
    start_again(r);
    lsqi_seen_frames(r, r->meta.applied, false);
    lsqi_seen_tell(r, LSQI_REPLICA_BOOTSTRAPPED, "", NULL, r->meta.applied);
    return LSQ_OK;
}

static bool is_whole(const struct lsqi_replica *r) {
    return r->next > 0 && r->committed_next == r->next && r->next >= r->base.meta.target;
}

/* At the end of the log. */
static enum lsq_status finish_base(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st;

    if (r->next > 0 && !is_whole(r))
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "the server's log ends at frame %llu, amid a transaction",
                              (unsigned long long)r->next);
    st = r->next == 0 ? install_empty(r, err) : install(r, err);
    if (st != LSQ_OK) return st;
    lsqi_seen_frames(r, r->came, false);
    lsqi_seen_tell(r, LSQI_REPLICA_BOOTSTRAPPED, "", NULL, r->came);
    r->came = 0;
    return LSQ_OK;
}

/* ---- An exchange ---- */

static enum lsq_status turn(struct lsqi_replica *r, bool *end, unsigned *greetings,
                            struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;
    bool greets = false;

    *end = false;
    if (r->apply == NULL) st = open_installed(r, err);
    if (st == LSQ_OK && lsqi_local_dirty(r)) return lsqi_push(r, end, err);
    if (st == LSQ_OK && lsqi_follow_is_to_greet(r)) {
        greets = true;
        st = greet(r, err);
        if (st == LSQ_OK && *greetings >= MOST_GREETINGS)
            st = lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                                "the server wants to be greeted again and again");
    }
    if (st == LSQ_OK) st = r->protocol->fetch(r, end, err);
    if (st != LSQ_OK && r->protocol != NULL && r->protocol->greeting_ms > 0) r->greeted = false;
    /* What fails is tried again, greeting and all: for how long is another matter. */
    if (st == LSQ_OK && greets) ++*greetings;
    if (st == LSQ_OK && r->apply != NULL) st = apply(r, err);
    if (st == LSQ_OK && r->apply == NULL && *end) st = finish_base(r, err);
    return was_overtaken(r, st, end);
}

/* Until when it is tried again, ns. A server that compacts its log has no snapshot of it for some seconds. */
static int64_t retry_until(const struct lsqi_replica *r, enum lsq_status st, int64_t since,
                           unsigned tries) {
    int64_t ms = r->server.retry_ms;

    /* What is wrong with a frame is known when it comes again. */
    if (st == LSQ_CONNECTION_LOST && lsqi_chain_doubts(r) && tries < MOST_DOUBTS) return INT64_MAX;
    if (st != LSQ_UNREACHABLE && st != LSQ_CONNECTION_LOST && st != LSQ_OVERLOADED &&
        st != LSQ_TIMEOUT)
        return 0;
    if (st == LSQ_OVERLOADED && r->server.timeout_ms > ms) ms = r->server.timeout_ms;
    return since + ms * 1000000;
}

/* False: it is to be given up. */
static bool wait_to_retry(struct lsqi_replica *r, unsigned tries) {
    int64_t now = lsqi_now_ns();
    int delay = FIRST_DELAY_MS;
    bool stops;

    for (unsigned i = 1; i < tries && delay < MOST_DELAY_MS; i++) delay *= 2;
    delay = delay / 2 + (int)(now / 1000 % (delay / 2 + 1)); /* those who failed together part */
    while (!(stops = lsqi_replica_stops(r)) && lsqi_now_ns() - now < (int64_t)delay * 1000000) {
        pthread_mutex_lock(&r->lock);
        lsqi_wait_ms_locked(&r->changed, &r->lock, delay);
        pthread_mutex_unlock(&r->lock);
    }
    return !stops;
}

static enum lsq_status nobody_answers(struct lsqi_replica *r, struct lsq_error *err) {
    struct lsqi_place *place = r->server.targets[0].place;

    lsqi_error_set(
        err, LSQ_UNREACHABLE,
        "%s could not be reached several times on end, and is not asked until it answers "
        "(it was so for %lld ms)",
        lsqi_place_base(place), (long long)lsqi_place_down_ms(place));
    if (err != NULL) err->transient = true;
    return LSQ_UNREACHABLE;
}

/* What has come of a file in the making stays, whatever ends the process next. */
static void keep_base(struct lsqi_replica *r, enum lsq_status st) {
    if (st != LSQ_OK && r->apply == NULL && r->base.fd >= 0 && r->next > 0 && !r->in_snapshot)
        (void)mark_base(r, true, NULL);
}

/* What waits to be applied is given up where it takes the room that it lacks itself, or where the disk that has it
 * failed: it can be had again. */
static void give_room(struct lsqi_replica *r, enum lsq_status st) {
    if (r->apply != NULL && (st == LSQ_FULL || st == LSQ_NOMEM || st == LSQ_IO)) start_again(r);
}

/* It has changed where something has come that is kept. */
static uint64_t progress(const struct lsqi_replica *r) {
    return r->next > 0 ? r->next : lsqi_base_part(&r->base);
}

enum lsq_status lsqi_follow(struct lsqi_replica *r, struct lsq_error *err) {
    int patience = r->server.retry_ms > 0 ? r->server.retry_ms : 0;
    int64_t since = lsqi_now_ns();
    uint64_t before = progress(r);
    uint64_t most = before;
    enum lsq_status st = LSQ_OK;
    unsigned greetings = 0;
    unsigned tries = 0;
    bool parted = false;
    bool end = false;

    take_wish(r);
    lsqi_seen_begin(r);
    if (lsqi_place_down_ms(r->server.targets[0].place) > patience) return nobody_answers(r, err);
    /* What nobody waits for any more is not asked for: a request that is broken off costs its connection. */
    while (!end && (tries > 0 || !lsqi_replica_stops(r))) {
        st = turn(r, &end, &greetings, err);
        if (progress(r) > most) {
            most = progress(r);
            greetings = 0;
        }
        /* That the histories part has been found out, and is mended next: that is progress, too, once. */
        if (progress(r) != before || (r->chain.parted && !parted)) {
            before = progress(r);
            parted = r->chain.parted || parted;
            tries = 0;
            since = lsqi_now_ns();
        }
        if (st == LSQ_OK) continue;
        if (lsqi_now_ns() >= retry_until(r, st, since, tries) || !wait_to_retry(r, ++tries)) break;
    }
    give_room(r, st);
    keep_base(r, st);
    r->wished = false;
    return st;
}
