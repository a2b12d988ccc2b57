#include "file/file.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/oslock.h"
#include "file/record.h"

enum { LOOK_EACH = 64 /* turns */ };

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

int64_t lsqi_file_wal_bytes(const struct lsqi_file *file) {
    char name[4096];
    struct stat st;
    int len = snprintf(name, sizeof(name), "%s-wal", file->path);

    return len < (int)sizeof(name) && stat(name, &st) == 0 ? (int64_t)st.st_size : -1;
}

int64_t lsqi_file_oldest_reader(struct lsqi_file *file, uint64_t *caller) {
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
    info->wal_bytes = lsqi_file_wal_bytes(file);
    info->wal_pages = atomic_load_explicit(&file->wal_pages, memory_order_relaxed);
    info->wal_pinned = atomic_load(&file->pinned);
    info->oldest_reader_ns = lsqi_file_oldest_reader(file, &info->oldest_reader_caller);
    fill_checkpoints(file, info);
}

void lsqi_file_wrote(struct lsqi_file *file, int pages) {
    atomic_store_explicit(&file->wal_pages, pages, memory_order_relaxed);
}
