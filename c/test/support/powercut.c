#include "powercut.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"

enum { MOST_FILES = 16, MOST_NAME = 512 };

/* What was written and not synced. */
struct change {
    struct change *next;
    sqlite3_int64 at;
    int size; /* of data; -1: the file was cut off at that byte */
    unsigned char data[];
};

/* A file by its name: closed and opened again, it is the same. */
struct disk {
    char name[MOST_NAME];
    bool there;   /* a sync has put it on the disk */
    bool deleted; /* and none has told the disk yet that it is gone */
    unsigned char *bytes;
    size_t len;
    struct change *first;
    struct change *last;
};

static struct {
    pthread_mutex_t lock;
    /* guarded by lock */
    struct disk disks[MOST_FILES];
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct file {
    sqlite3_file base;
    struct disk *disk; /* NULL: a temporary file */
    sqlite3_file *real;
};

static struct file *file_of(sqlite3_file *base) { return (struct file *)(void *)base; }
static sqlite3_file *real_of(sqlite3_file *base) { return file_of(base)->real; }

/* ---- What is on the disk ---- */

static struct disk *disk_locked(const char *name, bool make) {
    for (int i = 0; i < MOST_FILES; i++)
        if (strcmp(all.disks[i].name, name) == 0) return &all.disks[i];
    for (int i = 0; make && i < MOST_FILES; i++) {
        if (all.disks[i].name[0] != '\0') continue;
        snprintf(all.disks[i].name, sizeof(all.disks[i].name), "%s", name);
        return &all.disks[i];
    }
    return NULL;
}

static void set_length(struct disk *disk, size_t len) {
    disk->bytes = realloc(disk->bytes, len + 1);
    assert_non_null(disk->bytes);
    if (len > disk->len) memset(disk->bytes + disk->len, 0, len - disk->len);
    disk->len = len;
}

/* The first size bytes of a change. */
static void apply(struct disk *disk, const struct change *change, int size) {
    if (change->size < 0) {
        set_length(disk, (size_t)change->at);
        return;
    }
    if ((size_t)(change->at + size) > disk->len) set_length(disk, (size_t)(change->at + size));
    memcpy(disk->bytes + change->at, change->data, (size_t)size);
}

static void forget_changes(struct disk *disk) {
    while (disk->first != NULL) {
        struct change *next = disk->first->next;

        free(disk->first);
        disk->first = next;
    }
    disk->last = NULL;
}

static void note(struct disk *disk, sqlite3_int64 at, const void *data, int size) {
    struct change *change = malloc(sizeof(*change) + (size > 0 ? (size_t)size : 0));

    if (disk == NULL) {
        free(change);
        return;
    }
    assert_non_null(change);
    *change = (struct change){.at = at, .size = size};
    if (size > 0) memcpy(change->data, data, (size_t)size);
    pthread_mutex_lock(&all.lock);
    if (disk->last == NULL)
        disk->first = change;
    else
        disk->last->next = change;
    disk->last = change;
    pthread_mutex_unlock(&all.lock);
}

static void gone_locked(struct disk *disk) {
    set_length(disk, 0);
    disk->there = false;
    disk->deleted = false;
}

static void sync_locked(struct disk *disk) {
    disk->there = true;
    for (const struct change *change = disk->first; change != NULL; change = change->next)
        apply(disk, change, change->size);
    forget_changes(disk);
    for (int i = 0; i < MOST_FILES; i++)
        if (all.disks[i].deleted) gone_locked(&all.disks[i]);
}

/* ---- The cut ---- */

/* One change in two has come to the disk, and one of eight of those in part. */
static void apply_some(struct disk *disk, const struct disk *from, uint64_t *seed) {
    for (const struct change *change = from->first; change != NULL; change = change->next) {
        uint64_t chance = random_next(seed) % 16;

        if (chance < 8) continue;
        apply(disk, change, chance == 8 && change->size > 0 ? change->size / 2 : change->size);
    }
}

static void copy_one(const struct disk *from, const char *to, uint64_t *seed) {
    struct disk copy = {.len = 0};
    FILE *out;

    if ((!from->there || from->deleted) && random_next(seed) % 2 == 0) return;
    set_length(&copy, from->len);
    if (from->len > 0) memcpy(copy.bytes, from->bytes, from->len);
    apply_some(&copy, from, seed);
    out = fopen(to, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(copy.bytes, 1, copy.len, out), copy.len);
    assert_int_equal(fclose(out), 0);
    free(copy.bytes);
}

void powercut_copy(const char *from, const char *to, uint64_t *seed) {
    static const char *const tails[] = {"", "-wal", "-journal"};
    char name[MOST_NAME];
    char copy[MOST_NAME];

    pthread_mutex_lock(&all.lock);
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        const struct disk *disk;

        snprintf(name, sizeof(name), "%s%s", from, tails[i]);
        snprintf(copy, sizeof(copy), "%s%s", to, tails[i]);
        disk = disk_locked(name, false);
        if (disk != NULL) copy_one(disk, copy, seed);
    }
    pthread_mutex_unlock(&all.lock);
}

void powercut_forget(void) {
    pthread_mutex_lock(&all.lock);
    for (int i = 0; i < MOST_FILES; i++) {
        forget_changes(&all.disks[i]);
        free(all.disks[i].bytes);
        all.disks[i] = (struct disk){.len = 0};
    }
    pthread_mutex_unlock(&all.lock);
}

/* ---- Files ---- */

static int file_close(sqlite3_file *base) { return real_of(base)->pMethods->xClose(real_of(base)); }

static int file_read(sqlite3_file *base, void *to, int size, sqlite3_int64 at) {
    return real_of(base)->pMethods->xRead(real_of(base), to, size, at);
}

static int file_write(sqlite3_file *base, const void *from, int size, sqlite3_int64 at) {
    note(file_of(base)->disk, at, from, size);
    return real_of(base)->pMethods->xWrite(real_of(base), from, size, at);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
    note(file_of(base)->disk, size, NULL, -1);
    return real_of(base)->pMethods->xTruncate(real_of(base), size);
}

static int file_sync(sqlite3_file *base, int flags) {
    (void)flags;
    pthread_mutex_lock(&all.lock);
    if (file_of(base)->disk != NULL) sync_locked(file_of(base)->disk);
    pthread_mutex_unlock(&all.lock);
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
    return real_of(base)->pMethods->xFileSize(real_of(base), size);
}

static int file_lock(sqlite3_file *base, int lock) {
    return real_of(base)->pMethods->xLock(real_of(base), lock);
}

static int file_unlock(sqlite3_file *base, int lock) {
    return real_of(base)->pMethods->xUnlock(real_of(base), lock);
}

static int file_reserved(sqlite3_file *base, int *out) {
    return real_of(base)->pMethods->xCheckReservedLock(real_of(base), out);
}

static int file_control(sqlite3_file *base, int op, void *arg) {
    return real_of(base)->pMethods->xFileControl(real_of(base), op, arg);
}

static int file_sector(sqlite3_file *base) {
    return real_of(base)->pMethods->xSectorSize(real_of(base));
}

/* A disk that promises nothing. */
static int file_traits(sqlite3_file *base) { return (void)base, 0; }

static int file_shm_map(sqlite3_file *base, int page, int size, int extend, void volatile **out) {
    return real_of(base)->pMethods->xShmMap(real_of(base), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *base, int offset, int n, int flags) {
    return real_of(base)->pMethods->xShmLock(real_of(base), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *base) {
    real_of(base)->pMethods->xShmBarrier(real_of(base));
}

static int file_shm_unmap(sqlite3_file *base, int delete_it) {
    return real_of(base)->pMethods->xShmUnmap(real_of(base), delete_it);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* without memory mapping: every write is a call */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- The VFS ---- */

static sqlite3_vfs *real_vfs;

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out) {
    struct file *file = file_of(base);
    bool made_again;
    int rc;

    (void)vfs;
    file->real = (sqlite3_file *)(void *)(file + 1);
    rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out);
    file->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
    pthread_mutex_lock(&all.lock);
    file->disk = name == NULL ? NULL : disk_locked(name, true);
    made_again = file->disk != NULL && file->disk->deleted;
    if (made_again) file->disk->deleted = false;
    pthread_mutex_unlock(&all.lock);
    if (made_again) note(file->disk, 0, NULL, -1);
    return rc;
}

/* File systems with a journal tell the disk of it with the next file that is synced. */
static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync) {
    struct disk *disk;

    (void)vfs;
    pthread_mutex_lock(&all.lock);
    disk = disk_locked(name, false);
    if (disk != NULL) {
        forget_changes(disk);
        disk->deleted = true;
        if (sync) gone_locked(disk);
    }
    pthread_mutex_unlock(&all.lock);
    return real_vfs->xDelete(real_vfs, name, 0);
}

void powercut_register(void) {
    static sqlite3_vfs vfs;
    struct lsq_core_info info;

    if (real_vfs != NULL || lsq_core_info(&info, NULL) != LSQ_OK) return;
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "powercut";
    vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    (void)sqlite3_vfs_register(&vfs, 0);
}
