/* Checkpoints of a file, by a worker with a connection of its own: when writers are calm, or the WAL has become long;
 * for each costs all who are busy, and what is written again and again is copied once then. */
#include <stddef.h>

#include "base/clock.h"
#include "base/helper.h"
#include "engine/giveway.h"
#include "file/events.h"
#include "file/record.h"

enum {
    PASSES = 10,       /* of a passive checkpoint */
    CALM_MS = 10,      /* writers are calm who add less than ... */
    CALM_PART = 50,    /* ... such a part of the limit in that time */
    LITTLE_PART = 10,  /* writers may wait while such a part of the limit is copied, about 1 ms */
    MOST_LIMITS = 8,   /* a WAL so many limits long waits for calm no more, and begins again */
    PINNED_LIMITS = 8, /* one so long that could not, has a reader whom somebody should know of */
    ALL_LIMITS = 16,   /* one so long in any case: the disk is slower than its writers, who wait */
    TURN_MS = 10000,   /* how long it waits for its turn to do that */
    WAIT_MS = 10,      /* and then for readers, or longer: see wait_ms(); writers wait meanwhile */
    LONG_MS = 100,     /* a snapshot so old may be what pins a WAL: it is not waited for */
    VAIN_PART = 4,     /* by such a part a WAL grows before they are waited for again */
    BY_CALLERS = 100   /* checkpoints, before a worker tries again */
};

static void tell(struct lsqi_file *file, enum lsq_file_event_kind kind, const struct taken *taken) {
    struct lsq_file_event event = {
        .kind = kind,
        .path = file->path,
        .mode = taken->mode,
        .took_ns = taken->ended - taken->began,
        .pages = taken->pages,
        .done = taken->done,
        .wal_bytes = lsqi_file_wal_bytes(file),
    };

    event.oldest_reader_ns = lsqi_file_oldest_reader(file, &event.oldest_reader_caller);
    lsqi_event_tell(&event);
}

/* ---- One checkpoint, on a worker ---- */

static bool stopping(struct lsqi_file *file) {
    bool stopping;

    pthread_mutex_lock(&file->lock);
    stopping = file->stopping;
    pthread_mutex_unlock(&file->lock);
    return stopping;
}

/* The file's own connection. It reads the schema, so that a file that it cannot read shows here. */
static sqlite3 *open_own(struct lsqi_file *file) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    sqlite3 *db = NULL;
    struct stat st;
    int rc;

    /* Not another file that has come into its place. */
    if (stat(file->path, &st) != 0 || st.st_dev != file->dev || st.st_ino != file->ino) return NULL;
    rc = sqlite3_open_v2(file->path, &db, flags, file->vfs);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL);
    if (rc == SQLITE_OK) return db;
    (void)sqlite3_close(db);
    return NULL;
}

static void show(struct lsqi_file *file, sqlite3 *db) {
    pthread_mutex_lock(&file->lock);
    file->db = db;
    pthread_mutex_unlock(&file->lock);
}

struct patience {
    int most_ms;
    int64_t since; /* ns */
};

/* The engine's busy handler of that connection; arg: how long it waits. */
static int on_busy(void *arg, int count) {
    struct patience *patience = arg;

    if (count == 0) patience->since = lsqi_now_ns();
    if (lsqi_now_ns() - patience->since > (int64_t)patience->most_ms * 1000000) return 0;
    sqlite3_sleep(1);
    return 1;
}

/* Readers who take longer than WAIT_MS, one beginning before the other ends, would keep it for ever, and nobody would
 * be told of them, for none is old: so the longer it has become, the longer ones are waited for. */
static int wait_ms(int pages, int limit) {
    int64_t ms = (int64_t)WAIT_MS * pages / ((int64_t)MOST_LIMITS * limit);

    if (ms < WAIT_MS) return WAIT_MS;
    return ms < LONG_MS ? (int)ms : LONG_MS;
}

static bool to_stop(void *arg) { return stopping(arg); }

/* A WAL begins again from its start when a writer finds all of it in the file, and no reader in it. Beside
 * writers who never rest, a passive checkpoint is always a few commits behind: this one takes a turn, and
 * sees the last readers off. */
static int restart(struct lsqi_file *file, sqlite3 *db, int mode, int most_ms, int *pages,
                   int *done) {
    int64_t until = lsqi_now_ns() + (int64_t)TURN_MS * 1000000;
    const struct lsqi_lanes lanes = {.count = 1, .of = {&file->lane}};
    const struct lsqi_claim claim = {.conn = file};
    struct patience patience = {.most_ms = most_ms};
    int rc;

    if (!lsqi_lanes_await(&lanes, &claim, until, to_stop, file)) return SQLITE_INTERRUPT;
    sqlite3_busy_handler(db, on_busy, &patience);
    rc = sqlite3_wal_checkpoint_v2(db, "main", mode, pages, done);
    sqlite3_busy_handler(db, NULL, NULL);
    lsqi_lanes_leave(&lanes, file);
    return rc;
}

/* Pages of the WAL, by the last commit, that are not in the file. */
static int pages_left(struct lsqi_file *file, int done) {
    int left;

    pthread_mutex_lock(&file->lock);
    left = file->pages - done;
    pthread_mutex_unlock(&file->lock);
    return left;
}

/* Unless it hurries, others go first. */
static int passive_once(struct lsqi_file *file, sqlite3 *db, int before, int left, bool hurries,
                        int *pages, int *done) {
    int rc;

    if (!hurries) {
        lsqi_giveway_begin();
        if (left > 0) lsqi_giveway_wal(file->path, (uint32_t)before, (uint32_t)(before + left));
    }
    rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, pages, done);
    lsqi_giveway_end();
    return rc;
}

/* Whether what is left is to be copied while writers wait: little of it, or what another pass would not make less. */
static bool is_enough(int left, int before, bool hurried, int limit) {
    if (left <= limit / LITTLE_PART) return true;
    return left > before / 2 && (left <= limit || hurried);
}

/* Again until little is left: a long one, after a reader that kept the WAL, gives writers time for many pages,
 * and those are not to be copied while they wait. */
static int passive(struct lsqi_file *file, sqlite3 *db, int limit, int *pages, int *done) {
    int rc = SQLITE_OK;
    bool hurries;
    int before;
    int left;

    *done = 0;
    for (int i = 0; rc == SQLITE_OK && i < PASSES && !stopping(file); i++) {
        before = *done;
        left = pages_left(file, before);
        hurries = (before + left) / ALL_LIMITS >= limit;
        rc = passive_once(file, db, before, left, hurries, pages, done);
        if (*done == before || is_enough(pages_left(file, *done), left, hurries, limit)) break;
    }
    return rc;
}

/* Whether it is to begin again, though writers have to wait for it. */
static bool too_long(struct lsqi_file *file, int limit, int pages, int done) {
    if (pages / ALL_LIMITS >= limit) return true;
    return pages / MOST_LIMITS >= limit && pages_left(file, done) <= limit;
}

/* The WAL is empty: all of its pages are in the file, however many they were. */
static void note_truncated(struct lsqi_file *file, struct taken *taken) {
    pthread_mutex_lock(&file->lock);
    if (file->pages > taken->pages) taken->pages = file->pages;
    file->pages = 0;
    pthread_mutex_unlock(&file->lock);
    taken->done = taken->pages;
    atomic_store_explicit(&file->wal_pages, 0, memory_order_relaxed);
}

/* A WAL that had grown gives its space back. Readers of old pages, other processes: next time. */
static int begin_again(struct lsqi_file *file, sqlite3 *db, int limit, struct taken *taken,
                       bool *held) {
    bool was_pinned = atomic_load(&file->pinned);
    int mode = was_pinned ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART;
    int pages = 0;
    int done = 0;
    int rc = restart(file, db, mode, wait_ms(taken->pages, limit), &pages, &done);

    taken->mode = was_pinned ? LSQ_CHECKPOINT_TRUNCATE : LSQ_CHECKPOINT_RESTART;
    *held = rc != SQLITE_OK;
    if (rc != SQLITE_OK) return rc == SQLITE_BUSY ? SQLITE_OK : rc;
    taken->left = pages;
    if (was_pinned) {
        note_truncated(file, taken);
    } else {
        taken->pages = pages;
        taken->done = done;
    }
    return rc;
}

/* Of this process; or none of it, and another's. Beside short ones, the WAL is long for the disk's sake. */
static bool has_old_reader(struct lsqi_file *file) {
    uint64_t caller;
    int64_t age = lsqi_file_oldest_reader(file, &caller);

    return age < 0 || age >= (int64_t)LONG_MS * 1000000;
}

static void note(struct lsqi_file *file, struct taken *taken, int limit, bool held) {
    bool pinned = held && taken->pages / PINNED_LIMITS >= limit && has_old_reader(file);
    bool before;

    taken->ended = lsqi_now_ns();
    pthread_mutex_lock(&file->lock);
    file->last = *taken;
    file->checkpoints++;
    pthread_mutex_unlock(&file->lock);
    before = atomic_exchange(&file->pinned, pinned);
    tell(file, LSQ_FILE_CHECKPOINT, taken);
    if (pinned && !before) tell(file, LSQ_FILE_WAL_PINNED, taken);
}

/* Whether writers may find it worth their while to wait: not for a reader who pins it, nor again and again for those
 * of whom nothing is known. */
static bool worth_waiting(struct lsqi_file *file, int pages, bool held) {
    int before;

    if (held && atomic_load(&file->pinned) && has_old_reader(file)) return false;
    pthread_mutex_lock(&file->lock);
    before = file->in_vain;
    pthread_mutex_unlock(&file->lock);
    return pages < before || pages - before >= before / VAIN_PART;
}

static void note_waited(struct lsqi_file *file, int pages, bool in_vain) {
    pthread_mutex_lock(&file->lock);
    file->in_vain = in_vain ? pages : 0;
    pthread_mutex_unlock(&file->lock);
}

/* *pages: of the WAL afterwards, that are not to be looked at again. */
static bool take(struct lsqi_file *file, sqlite3 *db, int limit, int *pages) {
    struct taken taken = {.mode = LSQ_CHECKPOINT_PASSIVE, .began = lsqi_now_ns()};
    int rc = passive(file, db, limit, &taken.pages, &taken.done);
    bool held = taken.done < taken.pages;

    if (rc == SQLITE_BUSY) {
        /* Somebody else takes one, or keeps all off: not again before it has grown. */
        *pages = pages_left(file, 0);
        return true;
    }
    taken.left = taken.pages;
    if (rc == SQLITE_OK && too_long(file, limit, taken.pages, taken.done) &&
        worth_waiting(file, taken.pages, held)) {
        rc = begin_again(file, db, limit, &taken, &held);
        note_waited(file, taken.left, held);
    }
    if (rc == SQLITE_OK && taken.pages >= 0) note(file, &taken, limit, held);
    *pages = taken.left;
    return (rc == SQLITE_OK && taken.pages >= 0) || rc == SQLITE_INTERRUPT;
}

static bool begin(struct lsqi_file *file, int *limit) {
    pthread_mutex_lock(&file->lock);
    file->running = !file->stopping;
    *limit = file->limit;
    pthread_mutex_unlock(&file->lock);
    return file->running;
}

/* Whether there is another to take, for what was committed meanwhile. */
static bool again(struct lsqi_file *file, bool taken, int pages) {
    bool more;

    pthread_mutex_lock(&file->lock);
    if (!taken) file->by_callers = BY_CALLERS;
    file->due = pages + file->limit;
    more = taken && !file->stopping && (file->pages >= file->due || file->look);
    file->look = false;
    pthread_mutex_unlock(&file->lock);
    return more;
}

static bool order_locked(struct lsqi_file *file);

/* The engine's handle is closed: who waits may find itself alone with the file. */
static void end(struct lsqi_file *file) {
    pthread_mutex_lock(&file->lock);
    file->ordered = false;
    file->running = false;
    if (file->look && !file->stopping) (void)order_locked(file);
    file->look = false;
    pthread_cond_broadcast(&file->done);
    pthread_mutex_unlock(&file->lock);
}

static void job(void *arg) {
    struct lsqi_file *file = arg;
    bool taken;
    int pages;
    int limit;

    if (begin(file, &limit)) {
        sqlite3 *db = open_own(file);

        show(file, db);
        do {
            pages = 0;
            taken = db != NULL && take(file, db, limit, &pages);
        } while (again(file, taken, pages));
        show(file, NULL);
        (void)sqlite3_close(db);
        end(file);
    }
    lsqi_file_unref(file);
}

/* ---- Asking for one ---- */

static bool wanted_locked(struct lsqi_file *file, int pages, int limit) {
    if (pages < file->pages) file->due = 0; /* it has begun again from its start */
    file->pages = pages;
    file->limit = limit;
    return pages >= limit && pages >= file->due && !file->ordered;
}

static bool order_locked(struct lsqi_file *file) {
    if (file->by_callers > 0) {
        file->by_callers--;
        return false;
    }
    atomic_fetch_add(&file->refs, 1);
    file->ordered = lsqi_worker_submit_pressing(job, file, NULL) == LSQ_OK;
    if (!file->ordered) atomic_fetch_sub(&file->refs, 1);
    return file->ordered;
}

/* What is to be done about it: true, if it is to be looked at again. */
static bool look_locked(struct lsqi_file *file, int pages) {
    int came = pages - file->seen;

    file->seen = pages;
    if (file->ordered || file->stopping || pages < file->limit || lsqi_helper_shutting())
        return false;
    if (came > file->limit / CALM_PART) return true;
    (void)order_locked(file);
    return false;
}

/* A task of the helper's. */
static int look_for_calm(struct lsqi_task *task) {
    struct lsqi_file *file = (struct lsqi_file *)((char *)task - offsetof(struct lsqi_file, calm));
    int pages = atomic_load_explicit(&file->wal_pages, memory_order_relaxed);
    bool again;

    pthread_mutex_lock(&file->lock);
    again = file->waits = look_locked(file, pages);
    pthread_mutex_unlock(&file->lock);
    if (again) return CALM_MS;
    lsqi_file_unref(file);
    return -1;
}

static void wait_for_calm_locked(struct lsqi_file *file, int pages) {
    if (file->waits) return;
    file->waits = true;
    file->seen = pages;
    file->calm.run = look_for_calm;
    file->calm.upkeep = true;
    atomic_fetch_add(&file->refs, 1);
    lsqi_helper_schedule(&file->calm, CALM_MS);
}

bool lsqi_file_checkpoint(struct lsqi_file *file, int pages, int limit) {
    bool ok = true;

    pthread_mutex_lock(&file->lock);
    if (wanted_locked(file, pages, limit)) {
        if (file->by_callers > 0 || pages / MOST_LIMITS >= limit)
            ok = order_locked(file);
        else
            wait_for_calm_locked(file, pages);
    }
    pthread_mutex_unlock(&file->lock);
    return ok;
}

void lsqi_file_look_again(struct lsqi_file *file) {
    pthread_mutex_lock(&file->lock);
    file->due = 0;
    pthread_mutex_unlock(&file->lock);
}

void lsqi_file_read(struct lsqi_file *file, int64_t since) {
    if (!atomic_load_explicit(&file->pinned, memory_order_relaxed)) return;
    if (lsqi_now_ns() - since < (int64_t)LONG_MS * 1000000) return;
    pthread_mutex_lock(&file->lock);
    file->in_vain = 0;          /* it may have been this one */
    file->look = file->ordered; /* one that runs may have looked before */
    if (!file->ordered) (void)order_locked(file);
    pthread_mutex_unlock(&file->lock);
}
