#include "file/file.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/helper.h"
#include "engine/oslock.h"
#include "file/events.h"

enum {
    PASSES = 10,       /* of a passive checkpoint */
    MOST_LIMITS = 4,   /* a WAL so many limits long begins again, when little is left to copy */
    PINNED_LIMITS = 8, /* one so long that could not, has a reader whom somebody should know of */
    ALL_LIMITS = 16,   /* one so long in any case: the disk is slower than its writers, who wait */
    TURN_MS = 10000,   /* how long it waits for its turn to do that */
    WAIT_MS = 10,      /* and then for readers: writers wait meanwhile */
    LONG_MS = 100,     /* a snapshot so old may be what pins a WAL */
    BY_CALLERS = 100,  /* checkpoints, before a worker tries again */
    LOOK_EACH = 64     /* turns */
};

/* A checkpoint. */
struct taken {
    enum lsq_checkpoint mode;
    int64_t began; /* ns */
    int64_t ended; /* 0: it has not */
    int pages;
    int done;
    int left; /* pages in the WAL after it */
};

struct lsqi_file {
    struct lsqi_file *next;
    dev_t dev;
    ino_t ino;
    unsigned users; /* guarded by files.lock */
    atomic_uint refs;
    char *path;
    const char *vfs; /* a name that the engine keeps */
    struct lsqi_lane lane;
    struct lsqi_turnstile *turnstile;
    atomic_bool shared; /* another process was seen */
    atomic_uint turns;
    struct lsqi_readers readers;
    atomic_int wal_pages; /* at the last commit */
    atomic_bool pinned;   /* its WAL is; written by the worker */
    pthread_mutex_t lock;
    pthread_cond_t done; /* a checkpoint has ended */
    /* guarded by lock */
    bool ordered;   /* a worker is to take a checkpoint, or takes it */
    bool running;   /* it has begun */
    bool stopping;  /* nobody needs it any more */
    int by_callers; /* so many are for those who commit, since a worker could not */
    sqlite3 *db;    /* the worker's, for an interrupt; NULL: not yet, or closed */
    int limit;
    int pages; /* of the WAL, at the last commit */
    int due;   /* pages that are worth the next one; 0: the limit */
    bool look; /* another one is to be taken at once */
    int64_t checkpoints;
    struct taken last;
};

/* process-wide: files belong to the process. */
static struct {
    pthread_mutex_t lock;
    struct lsqi_file *first;
} files = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- Records ---- */

static struct lsqi_file *find_locked(const struct stat *st) {
    struct lsqi_file *file = files.first;

    while (file != NULL && (file->dev != st->st_dev || file->ino != st->st_ino)) file = file->next;
    return file;
}

static struct lsqi_file *new_locked(const char *path, const char *vfs, const struct stat *st) {
    struct lsqi_file *file = lsqi_calloc(1, sizeof(*file));

    if (file == NULL) return NULL;
    file->path = lsqi_strndup(path, strlen(path));
    if (file->path != NULL) file->turnstile = lsqi_turnstile_new(path);
    if (file->turnstile == NULL) {
        lsqi_free(file->path);
        lsqi_free(file);
        return NULL;
    }
    file->dev = st->st_dev;
    file->ino = st->st_ino;
    file->vfs = vfs;
    atomic_init(&file->refs, 0);
    atomic_init(&file->turns, 0);
    atomic_init(&file->shared, false);
    lsqi_readers_init(&file->readers);
    pthread_mutex_init(&file->lock, NULL);
    pthread_cond_init(&file->done, NULL);
    file->next = files.first;
    files.first = file;
    return file;
}

static const char *vfs_name(sqlite3 *db, const char *database) {
    sqlite3_vfs *vfs = NULL;

    if (sqlite3_file_control(db, database, SQLITE_FCNTL_VFS_POINTER, &vfs) != SQLITE_OK)
        return NULL;
    return vfs == NULL ? NULL : vfs->zName;
}

struct lsqi_file *lsqi_file_get(sqlite3 *db, const char *database) {
    const char *path = sqlite3_db_filename(db, database);
    struct lsqi_file *file;
    struct stat st;

    if (path == NULL || path[0] == '\0' || stat(path, &st) != 0) return NULL;
    pthread_mutex_lock(&files.lock);
    file = find_locked(&st);
    if (file == NULL) file = new_locked(path, vfs_name(db, database), &st);
    if (file != NULL) {
        file->users++;
        atomic_fetch_add(&file->refs, 1);
    }
    pthread_mutex_unlock(&files.lock);
    return file;
}

/* One that has not begun will find that it is not wanted: it is not waited for. */
static void stop(struct lsqi_file *file) {
    pthread_mutex_lock(&file->lock);
    file->stopping = true;
    if (file->db != NULL) sqlite3_interrupt(file->db);
    while (file->running) pthread_cond_wait(&file->done, &file->lock);
    pthread_mutex_unlock(&file->lock);
}

void lsqi_file_unref(struct lsqi_file *file) {
    if (file == NULL || atomic_fetch_sub(&file->refs, 1) != 1) return;
    lsqi_readers_release(&file->readers);
    pthread_cond_destroy(&file->done);
    pthread_mutex_destroy(&file->lock);
    lsqi_turnstile_unref(file->turnstile);
    lsqi_free(file->path);
    lsqi_free(file);
}

void lsqi_file_leave(struct lsqi_file *file) {
    struct lsqi_file **link = &files.first;
    bool last;

    pthread_mutex_lock(&files.lock);
    last = --file->users == 0;
    if (last) {
        while (*link != file) link = &(*link)->next;
        *link = file->next;
    }
    pthread_mutex_unlock(&files.lock);
    if (last) stop(file);
}

struct lsqi_lane *lsqi_file_lane(struct lsqi_file *file) {
    return &file->lane;
}

struct lsqi_turnstile *lsqi_file_turnstile(struct lsqi_file *file) {
    return file->turnstile;
}

/* Who never meets a lock would never see that others wait for it: hence the look now and then, from the
 * first turn on. */
bool lsqi_file_shared(struct lsqi_file *file, bool look) {
    if (atomic_load_explicit(&file->shared, memory_order_relaxed)) return true;
    if (!look && atomic_fetch_add(&file->turns, 1) % LOOK_EACH != 0) return false;
    if (!lsqi_oslock_shared(file->dev, file->ino)) return false;
    atomic_store(&file->shared, true);
    return true;
}

struct lsqi_readers *lsqi_file_readers(struct lsqi_file *file) {
    return &file->readers;
}

struct lsqi_file *lsqi_file_find(const char *path) {
    struct lsqi_file *file;
    struct stat st;

    if (stat(path, &st) != 0) return NULL;
    pthread_mutex_lock(&files.lock);
    file = find_locked(&st);
    if (file != NULL) atomic_fetch_add(&file->refs, 1);
    pthread_mutex_unlock(&files.lock);
    return file;
}

/* ---- What is known ---- */

static int64_t wal_bytes(const struct lsqi_file *file) {
    char name[4096];
    struct stat st;
    int len = snprintf(name, sizeof(name), "%s-wal", file->path);

    return len < (int)sizeof(name) && stat(name, &st) == 0 ? (int64_t)st.st_size : -1;
}

static int64_t oldest_reader(struct lsqi_file *file, uint64_t *caller) {
    int64_t since = lsqi_readers_oldest(&file->readers, caller);

    return since == 0 ? -1 : lsqi_now_ns() - since;
}

static void fill_checkpoints(struct lsqi_file *file, struct lsq_file_info *info) {
    struct taken last;

    pthread_mutex_lock(&file->lock);
    info->checkpoints = file->checkpoints;
    last = file->last;
    pthread_mutex_unlock(&file->lock);
    info->last_checkpoint.ago_ns = last.ended == 0 ? -1 : lsqi_now_ns() - last.ended;
    info->last_checkpoint.took_ns = last.ended - last.began;
    info->last_checkpoint.mode = last.mode;
    info->last_checkpoint.pages = last.pages;
    info->last_checkpoint.done = last.done;
}

void lsqi_file_info(struct lsqi_file *file, struct lsq_file_info *info) {
    struct lsqi_lane_counts counts = lsqi_lane_counts(&file->lane);
    const struct lsqi_lanes lanes = {.count = 1, .of = {&file->lane}};

    info->line = counts.line;
    info->turns = counts.turns;
    info->waited = counts.waited;
    info->wait_ns = counts.wait_ns;
    memcpy(info->waits, counts.waits, sizeof(info->waits));
    info->held = lsqi_lanes_holder(&lanes, NULL, &info->holder);
    info->wal_bytes = wal_bytes(file);
    info->wal_pages = atomic_load_explicit(&file->wal_pages, memory_order_relaxed);
    info->wal_pinned = atomic_load(&file->pinned);
    info->oldest_reader_ns = oldest_reader(file, &info->oldest_reader_caller);
    fill_checkpoints(file, info);
}

void lsqi_file_wrote(struct lsqi_file *file, int pages) {
    atomic_store_explicit(&file->wal_pages, pages, memory_order_relaxed);
}

static void tell(struct lsqi_file *file, enum lsq_file_event_kind kind, const struct taken *taken) {
    struct lsq_file_event event = {
        .kind = kind,
        .path = file->path,
        .mode = taken->mode,
        .took_ns = taken->ended - taken->began,
        .pages = taken->pages,
        .done = taken->done,
        .wal_bytes = wal_bytes(file),
    };

    event.oldest_reader_ns = oldest_reader(file, &event.oldest_reader_caller);
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

/* The engine's busy handler of that connection; arg: when it began to wait, ns, 0 if it has not. */
static int on_busy(void *arg, int count) {
    int64_t *since = arg;

    if (count == 0) *since = lsqi_now_ns();
    if (lsqi_now_ns() - *since > (int64_t)WAIT_MS * 1000000) return 0;
    sqlite3_sleep(1);
    return 1;
}

static bool to_stop(void *arg) { return stopping(arg); }

/* A WAL begins again from its start when a writer finds all of it in the file, and no reader in it. Beside
 * writers who never rest, a passive checkpoint is always a few commits behind: this one takes a turn, and
 * sees the last readers off. */
static int restart(struct lsqi_file *file, sqlite3 *db, int mode, int *pages, int *done) {
    int64_t until = lsqi_now_ns() + (int64_t)TURN_MS * 1000000;
    const struct lsqi_lanes lanes = {.count = 1, .of = {&file->lane}};
    const struct lsqi_claim claim = {.conn = file};
    int64_t since = 0;
    int rc;

    if (!lsqi_lanes_await(&lanes, &claim, until, to_stop, file)) return SQLITE_INTERRUPT;
    sqlite3_busy_handler(db, on_busy, &since);
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

/* Again until little is left: a long one, after a reader that kept the WAL, gives writers time for many pages,
 * and those are not to be copied while they wait. */
static int passive(struct lsqi_file *file, sqlite3 *db, int limit, int *pages, int *done) {
    int rc = SQLITE_OK;
    int before;

    *done = 0;
    for (int i = 0; rc == SQLITE_OK && i < PASSES && !stopping(file); i++) {
        before = *done;
        rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, pages, done);
        if (*done == before || pages_left(file, *done) <= limit || *pages / ALL_LIMITS >= limit)
            break;
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
static int begin_again(struct lsqi_file *file, sqlite3 *db, struct taken *taken, bool *held) {
    bool was_pinned = atomic_load(&file->pinned);
    int mode = was_pinned ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART;
    int pages = 0;
    int done = 0;
    int rc = restart(file, db, mode, &pages, &done);

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
    int64_t age = oldest_reader(file, &caller);

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

/* *pages: of the WAL afterwards, that are not to be looked at again. */
static bool take(struct lsqi_file *file, sqlite3 *db, int limit, int *pages) {
    struct taken taken = {.mode = LSQ_CHECKPOINT_PASSIVE, .began = lsqi_now_ns()};
    int rc = passive(file, db, limit, &taken.pages, &taken.done);
    bool held = taken.done < taken.pages;

    if (rc == SQLITE_BUSY) return true; /* somebody else takes one */
    taken.left = taken.pages;
    /* While a reader pins it, writers would wait for nothing. */
    if (rc == SQLITE_OK && too_long(file, limit, taken.pages, taken.done) &&
        !(held && atomic_load(&file->pinned)))
        rc = begin_again(file, db, &taken, &held);
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

bool lsqi_file_checkpoint(struct lsqi_file *file, int pages, int limit) {
    bool ok = true;

    pthread_mutex_lock(&file->lock);
    if (wanted_locked(file, pages, limit)) ok = order_locked(file);
    pthread_mutex_unlock(&file->lock);
    return ok;
}

void lsqi_file_read(struct lsqi_file *file, int64_t since) {
    if (!atomic_load_explicit(&file->pinned, memory_order_relaxed)) return;
    if (lsqi_now_ns() - since < (int64_t)LONG_MS * 1000000) return;
    pthread_mutex_lock(&file->lock);
    file->look = file->ordered; /* one that runs may have looked before */
    if (!file->ordered) (void)order_locked(file);
    pthread_mutex_unlock(&file->lock);
}
