#include "repl/local.h"

#include <string.h>

#include "base/error.h"
#include "repl/disk.h"

void lsqi_local_init(struct lsqi_replica *r) { pthread_mutex_init(&r->local.lock, NULL); }

/* ---- The metadata, with local.lock ---- */

static enum lsq_status write_locked(struct lsqi_replica *r, const struct lsqi_meta *meta,
                                    struct lsq_error *err) {
    struct lsqi_meta next = *meta;
    enum lsq_status st;

    next.sequence = r->meta.sequence;
    st = lsqi_meta_write(&next, r->meta_name, &r->key, LSQI_META_DURABLE, err);
    /* What failed may be on the disk all the same: what is written next comes after it. */
    if (st == LSQ_OK)
        r->meta = next;
    else
        r->meta.sequence = next.sequence;
    return st;
}

/* The same of the place alone, by who commits: all else of r->meta is the exchange's, who reads it without the lock. */
static enum lsq_status place_locked(struct lsqi_replica *r, const struct lsqi_meta *meta,
                                    struct lsq_error *err) {
    struct lsqi_meta next = *meta;
    enum lsq_status st;

    next.sequence = r->meta.sequence;
    st = lsqi_meta_write(&next, r->meta_name, &r->key, LSQI_META_DURABLE, err);
    r->meta.sequence = next.sequence;
    if (st != LSQ_OK) return st;
    r->meta.beyond = next.beyond;
    r->meta.wal = next.wal;
    r->meta.tried = next.tried;
    r->meta.target_checksum = next.target_checksum;
    return LSQ_OK;
}

struct lsqi_meta lsqi_local_meta(struct lsqi_replica *r) {
    struct lsqi_meta meta;

    pthread_mutex_lock(&r->local.lock);
    meta = r->meta;
    pthread_mutex_unlock(&r->local.lock);
    return meta;
}

static void set_dirty_locked(struct lsqi_replica *r, bool dirty) {
    r->local.firm = false;
    if (!dirty) r->local.lost = false;
    atomic_store(&r->local.settled, false);
    atomic_store_explicit(&r->local.dirty, dirty, memory_order_release);
}

static void count_locked(struct lsqi_replica *r, uint32_t first, uint32_t end) {
    atomic_store(&r->local.first, first);
    atomic_store(&r->local.end, end);
}

/* ---- Opening and closing ---- */

static enum lsq_status guard_locked(struct lsqi_replica *r, struct lsq_error *err) {
    if (r->local.guard != NULL) return LSQ_OK;
    return lsqi_apply_open(&r->local.guard, r->path, &r->key, err);
}

static bool same_wal(const struct lsqi_wal_mark *a, const struct lsqi_wal_mark *b) {
    return memcmp(a->salts, b->salts, sizeof(a->salts)) == 0;
}

/* Which frames of the WAL are local: those behind *first. False: it is not the WAL of the place. */
static bool find_local(const struct lsqi_meta *meta, const struct lsqi_wal_mark *now,
                       uint32_t *first) {
    bool found = lsqi_wal_beyond(&meta->wal, now, first);

    return found && (meta->beyond != LSQI_META_LOCAL_FIRM || same_wal(&meta->wal, now));
}

static enum lsq_status resume_dirty_locked(struct lsqi_replica *r, const struct lsqi_wal_mark *now,
                                           struct lsq_error *err) {
    enum lsq_status st = lsqi_apply_hold(r->local.guard, err);
    uint32_t first;

    if (st != LSQ_OK) return st;
    set_dirty_locked(r, true);
    r->local.lost = !find_local(&r->meta, now, &first);
    count_locked(r, first, r->local.lost ? first : now->frames);
    return LSQ_OK;
}

/* A break has come while the server's frames went in, as one transaction: they are, or they are not. Where that
 * cannot be told all stays as it is, and the next sync puts them in once more. */
static enum lsq_status resume_applied_locked(struct lsqi_replica *r,
                                             const struct lsqi_wal_mark *now,
                                             struct lsq_error *err) {
    struct lsqi_meta meta = r->meta;
    bool same = same_wal(&meta.wal, now);
    uint32_t page_size;
    uint32_t first;
    enum lsq_status st;

    if (meta.applied == 0 || meta.applied == meta.target) return LSQ_OK;
    if (!lsqi_wal_beyond(&meta.wal, now, &first)) return LSQ_OK;
    if (now->frames == first && (!same || first == 0)) return LSQ_OK;
    meta.beyond = LSQI_META_UNPLACED;
    if (now->frames == first) {
        meta.target = meta.applied;
        return write_locked(r, &meta, err);
    }
    st = lsqi_apply_pages(r->local.guard, &meta.pages, &page_size, err);
    if (st != LSQ_OK) return st;
    meta.applied = meta.target;
    meta.checksum = meta.target_checksum;
    meta.mark = meta.coming;
    return write_locked(r, &meta, err);
}

/* What there is now is known to be the server's. */
static void know_locked(struct lsqi_replica *r, const struct lsqi_wal_mark *now) {
    r->local.is_known = now != NULL;
    if (now != NULL) r->local.known = *now;
}

static enum lsq_status open_locked(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st;
    struct lsqi_wal_mark now;

    if (r->local.guard != NULL) return LSQ_OK;
    st = guard_locked(r, err);
    if (st == LSQ_OK) st = lsqi_apply_look(r->local.guard, &now, err);
    if (st != LSQ_OK) return st;
    if (lsqi_meta_is_local(&r->meta)) return resume_dirty_locked(r, &now, err);
    know_locked(r, &now);
    if (r->meta.beyond == LSQI_META_APPLIES) return resume_applied_locked(r, &now, err);
    return LSQ_OK;
}

enum lsq_status lsqi_local_open(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st;

    if (!r->offline || r->apply == NULL) return LSQ_OK;
    pthread_mutex_lock(&r->local.lock);
    st = open_locked(r, err);
    pthread_mutex_unlock(&r->local.lock);
    return st;
}

void lsqi_local_close(struct lsqi_replica *r) {
    struct lsqi_apply *guard = r->local.guard;

    r->local.guard = NULL;
    if (guard == NULL) return;
    /* What is in the WAL says then whether the server's frames went in. */
    if (r->meta.applied < r->meta.target) lsqi_apply_keep_wal(guard);
    lsqi_apply_close(guard);
}

void lsqi_local_end(struct lsqi_replica *r) {
    pthread_mutex_lock(&r->local.lock);
    set_dirty_locked(r, false);
    if (r->local.guard != NULL) lsqi_apply_release(r->local.guard);
    pthread_mutex_unlock(&r->local.lock);
}

/* ---- Commits ---- */

/* Another program has written to the file: pages that would never be pushed, under others that would. */
static bool is_foreign(const struct lsqi_replica *r, const struct lsqi_wal_mark *now) {
    const struct lsqi_wal_mark *known = &r->local.known;

    return r->local.is_known && now->frames > (same_wal(known, now) ? known->frames : 0);
}

static enum lsq_status foreign_locked(struct lsqi_replica *r, struct lsq_error *err) {
    lsqi_replica_distrust(r);
    return lsqi_error_set(err, LSQ_SYNC_FIRST,
                          "another program has written to the file: the next sync replaces it");
}

/* In a state of the server's, and of it alone. */
static bool may_change(const struct lsqi_meta *meta) {
    return meta->state == LSQI_META_READY && meta->applied > 0 && meta->applied == meta->target;
}

static enum lsq_status begin_locked(struct lsqi_replica *r, struct lsq_error *err) {
    struct lsqi_meta meta = r->meta;
    enum lsq_status st;

    if (!may_change(&meta))
        return lsqi_error_set(err, LSQ_SYNC_FIRST, "%s", lsq_status_text(LSQ_SYNC_FIRST));
    st = guard_locked(r, err);
    if (st == LSQ_OK) st = lsqi_apply_hold(r->local.guard, err);
    if (st == LSQ_OK) st = lsqi_apply_look(r->local.guard, &meta.wal, err);
    if (st == LSQ_OK && is_foreign(r, &meta.wal)) st = foreign_locked(r, err);
    meta.beyond = LSQI_META_LOCAL;
    meta.tried = 0;
    meta.target_checksum = 0;
    if (st == LSQ_OK) st = place_locked(r, &meta, err);
    if (st != LSQ_OK) {
        if (r->local.guard != NULL) lsqi_apply_release(r->local.guard);
        return st;
    }
    set_dirty_locked(r, true);
    count_locked(r, meta.wal.frames, meta.wal.frames);
    return LSQ_OK;
}

/* Until there is a local frame in the WAL, a writer may begin it anew, with other salts: the place follows. From then on
 * it cannot be another unless somebody else has taken a checkpoint. */
static enum lsq_status firm_locked(struct lsqi_replica *r, const struct lsqi_wal_mark *now,
                                   struct lsq_error *err) {
    struct lsqi_meta meta = r->meta;
    bool same = same_wal(&meta.wal, now);
    enum lsq_status st = LSQ_OK;
    uint32_t first;

    if (r->local.lost || !find_local(&meta, now, &first)) {
        r->local.lost = true;
        return LSQ_OK;
    }
    memcpy(meta.wal.salts, now->salts, sizeof(now->salts));
    meta.wal.frames = first;
    if (now->frames > first) meta.beyond = LSQI_META_LOCAL_FIRM;
    if (!same || meta.beyond != r->meta.beyond) st = place_locked(r, &meta, err);
    if (st != LSQ_OK) return st;
    count_locked(r, first, now->frames);
    r->local.firm = meta.beyond == LSQI_META_LOCAL_FIRM;
    atomic_store(&r->local.settled, r->local.firm);
    return LSQ_OK;
}

static enum lsq_status go_on_locked(struct lsqi_replica *r, struct lsq_error *err) {
    struct lsqi_wal_mark now;
    enum lsq_status st;

    if (r->local.firm || r->local.lost) return LSQ_OK;
    st = lsqi_apply_look(r->local.guard, &now, err);
    return st == LSQ_OK ? firm_locked(r, &now, err) : st;
}

enum lsq_status lsqi_replica_will_commit(struct lsqi_replica *r, struct lsq_error *err) {
    enum lsq_status st;

    if (atomic_load_explicit(&r->local.settled, memory_order_acquire)) return LSQ_OK;
    pthread_mutex_lock(&r->local.lock);
    st = lsqi_local_dirty(r) ? go_on_locked(r, err) : begin_locked(r, err);
    pthread_mutex_unlock(&r->local.lock);
    return st;
}

/* It has the turn to write still, so that nobody changes the WAL meanwhile. */
void lsqi_replica_committed(struct lsqi_replica *r, int frames) {
    if (!lsqi_local_dirty(r)) return;
    if (!atomic_load_explicit(&r->local.settled, memory_order_acquire)) {
        pthread_mutex_lock(&r->local.lock);
        if (lsqi_local_dirty(r)) (void)go_on_locked(r, NULL);
        pthread_mutex_unlock(&r->local.lock);
    }
    atomic_store(&r->local.end, (uint32_t)frames);
}

uint64_t lsqi_local_count(const struct lsqi_replica *r) {
    uint32_t first = atomic_load(&r->local.first);
    uint32_t end = atomic_load(&r->local.end);

    return lsqi_local_dirty(r) && end > first ? end - first : 0;
}

/* ---- What comes from the server ---- */

static enum lsq_status overtaken_locked(struct lsqi_replica *r, struct lsq_error *err) {
    r->overtaken = true;
    return lsqi_error_set(err, LSQ_BUSY_SNAPSHOT, "the file was written to meanwhile");
}

/* The lock is kept until ends(). */
enum lsq_status lsqi_local_apply_begins(void *arg, struct lsq_error *err) {
    struct lsqi_replica *r = arg;
    struct lsqi_meta meta;
    enum lsq_status st = LSQ_OK;

    pthread_mutex_lock(&r->local.lock);
    if (lsqi_local_dirty(r)) return overtaken_locked(r, err);
    meta = r->meta;
    meta.target = r->committed_next;
    meta.target_checksum = r->committed_sum;
    meta.coming = r->coming;
    meta.beyond = LSQI_META_UNPLACED;
    if (r->offline) {
        meta.beyond = LSQI_META_APPLIES;
        st = open_locked(r, err);
        if (st == LSQ_OK) st = lsqi_apply_look(r->local.guard, &meta.wal, err);
        /* Not where it may be our own that are there, nor where all is replaced anyway. */
        if (st == LSQ_OK && may_change(&r->meta) && is_foreign(r, &meta.wal)) {
            lsqi_replica_distrust(r);
            return overtaken_locked(r, err);
        }
    }
    return st == LSQ_OK ? write_locked(r, &meta, err) : st;
}

/* Of what could not be put in it is not known whether it is: the file says. */
static void look_what_it_is(struct lsqi_replica *r) {
    struct lsqi_mark now = r->coming;

    if (lsqi_apply_mark(r->apply, &now, NULL) != LSQ_OK) now = (struct lsqi_mark){0};
    r->meta.mark = now;
}

/* After frames of the server, while nobody else writes. */
static void know_anew_locked(struct lsqi_replica *r) {
    struct lsqi_wal_mark now;
    bool looked = r->local.guard != NULL && lsqi_apply_look(r->local.guard, &now, NULL) == LSQ_OK;

    if (!lsqi_local_dirty(r)) know_locked(r, looked ? &now : NULL);
}

enum lsq_status lsqi_local_apply_ends(void *arg, enum lsq_status st, struct lsq_error *err) {
    struct lsqi_replica *r = arg;

    if (st != LSQ_OK && r->meta.target > r->meta.applied) look_what_it_is(r);
    if (st == LSQ_OK) {
        r->meta.mark = r->coming;
        r->meta.applied = r->committed_next;
        r->meta.pages = r->committed_pages;
        r->meta.checksum = r->committed_sum;
        r->meta.page_size = r->spool.page_size;
        r->meta.beyond = LSQI_META_UNPLACED;
        st = lsqi_meta_write(&r->meta, r->meta_name, &r->key, LSQI_META_LAZY, err);
    }
    if (r->offline && st == LSQ_OK) know_anew_locked(r);
    pthread_mutex_unlock(&r->local.lock);
    return st;
}

enum lsq_status lsqi_local_take(struct lsqi_replica *r, const struct lsqi_meta *meta,
                                struct lsq_error *err) {
    enum lsq_status st;

    pthread_mutex_lock(&r->local.lock);
    st = lsqi_local_dirty(r) ? overtaken_locked(r, err) : write_locked(r, meta, err);
    pthread_mutex_unlock(&r->local.lock);
    return st;
}

/* ---- Pushing ---- */

struct look {
    struct lsqi_replica *replica;
    uint32_t *first;
    uint32_t *end;
    bool *clean;
};

static enum lsq_status end_locked(struct lsqi_replica *r, struct lsq_error *err) {
    struct lsqi_meta meta = r->meta;
    enum lsq_status st;

    meta.beyond = LSQI_META_UNPLACED;
    st = lsqi_apply_new_mark(r->apply, &meta.mark, err);
    if (st == LSQ_OK) st = write_locked(r, &meta, err);
    if (st != LSQ_OK) return st;
    set_dirty_locked(r, false);
    know_locked(r, &r->meta.wal);
    lsqi_apply_release(r->local.guard);
    return LSQ_OK;
}

static enum lsq_status look_locked(struct look *look, struct lsq_error *err) {
    struct lsqi_replica *r = look->replica;
    struct lsqi_wal_mark now;
    enum lsq_status st = lsqi_apply_look(r->local.guard, &now, err);

    if (st == LSQ_OK) st = firm_locked(r, &now, err);
    if (st != LSQ_OK) return st;
    if (r->local.lost)
        return lsqi_error_set(
            err, LSQ_CONFLICT,
            "another program has checkpointed %s, so that what was changed here cannot be told "
            "from "
            "what the server has any more: the file is kept as it is, until it is set aside",
            r->path);
    *look->first = r->meta.wal.frames;
    *look->end = now.frames;
    *look->clean = now.frames == r->meta.wal.frames;
    return *look->clean ? end_locked(r, err) : LSQ_OK;
}

static enum lsq_status look_alone(void *arg, struct lsq_error *err) {
    struct look *look = arg;
    enum lsq_status st;

    pthread_mutex_lock(&look->replica->local.lock);
    st = look_locked(look, err);
    pthread_mutex_unlock(&look->replica->local.lock);
    return st;
}

enum lsq_status lsqi_local_look(struct lsqi_replica *r, uint32_t *first, uint32_t *end, bool *clean,
                                struct lsq_error *err) {
    struct look look = {.replica = r, .first = first, .end = end, .clean = clean};

    *clean = false;
    return lsqi_apply_alone(r->apply, look_alone, &look, lsqi_replica_stops, r, err);
}

enum lsq_status lsqi_local_pushed(struct lsqi_replica *r, uint32_t frames, uint64_t next,
                                  uint64_t sum, uint32_t pages, struct lsq_error *err) {
    struct lsqi_meta meta;
    enum lsq_status st;

    pthread_mutex_lock(&r->local.lock);
    meta = r->meta;
    meta.applied = meta.target = next;
    meta.checksum = sum;
    meta.pages = pages;
    meta.wal.frames = frames;
    st = write_locked(r, &meta, err);
    if (st == LSQ_OK) atomic_store(&r->local.first, frames);
    pthread_mutex_unlock(&r->local.lock);
    return st;
}

enum lsq_status lsqi_local_tries(struct lsqi_replica *r, uint32_t frames, struct lsq_error *err) {
    struct lsqi_meta meta;
    enum lsq_status st;

    pthread_mutex_lock(&r->local.lock);
    meta = r->meta;
    meta.tried = frames;
    st = write_locked(r, &meta, err);
    pthread_mutex_unlock(&r->local.lock);
    return st;
}

/* ---- Giving way ---- */

struct yield {
    struct lsqi_replica *replica;
    char *aside;
};

static enum lsq_status yield_locked(struct lsqi_replica *r, char *aside, struct lsq_error *err) {
    struct lsqi_meta meta = r->meta;
    enum lsq_status st;

    lsqi_disk_own_name(aside, r->path);
    /* Not by the connection that has the write lock: the engine copies nothing of that. */
    st = lsqi_apply_copy(r->local.guard, aside, err);
    if (st == LSQ_OK) st = lsqi_disk_sync_folder(aside, err);
    if (st != LSQ_OK) {
        lsqi_disk_remove(aside, "");
        return st;
    }
    meta.applied = 0;
    meta.target = r->hello.index + 1;
    meta.checksum = 0;
    meta.histories++;
    meta.beyond = LSQI_META_UNPLACED;
    memcpy(meta.log_id, r->hello.log_id, sizeof(meta.log_id));
    st = lsqi_apply_new_mark(r->apply, &meta.mark, err);
    if (st == LSQ_OK) st = write_locked(r, &meta, err);
    if (st != LSQ_OK) return st;
    set_dirty_locked(r, false);
    lsqi_apply_release(r->local.guard);
    return LSQ_OK;
}

/* Who asked for it has been told that it was not done, and goes on with the file. */
static bool is_called_off(struct lsqi_replica *r) {
    bool nobody;

    pthread_mutex_lock(&r->lock);
    nobody = r->wishers == 0;
    pthread_mutex_unlock(&r->lock);
    return nobody;
}

static enum lsq_status yield_alone(void *arg, struct lsq_error *err) {
    struct yield *yield = arg;
    enum lsq_status st;

    if (is_called_off(yield->replica))
        return lsqi_error_set(err, LSQ_INTERRUPTED, "nobody waits for it to be set aside any more");
    pthread_mutex_lock(&yield->replica->local.lock);
    st = yield_locked(yield->replica, yield->aside, err);
    pthread_mutex_unlock(&yield->replica->local.lock);
    return st;
}

enum lsq_status lsqi_local_yield(struct lsqi_replica *r, char *aside, struct lsq_error *err) {
    struct yield yield = {.replica = r, .aside = aside};

    return lsqi_apply_alone(r->apply, yield_alone, &yield, lsqi_replica_stops, r, err);
}
