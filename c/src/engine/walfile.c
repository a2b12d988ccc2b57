#include "engine/walfile.h"

#include <sqlite3.h>
#include <string.h>

enum {
    WAL_HEADER = 32,
    FRAME_HEADER = 24,
    CHECKPOINT_LOCK = 1, /* among those of the -shm file (walformat.html, 2.3) */
    INDEX_BYTES = 32768, /* of its first part */
    COUNT_AT = 16,       /* mxFrame in the header of the WAL's index (walformat.html, 2.1) ... */
    SALTS_AT = 32        /* ... and aSalt */
};

static int file_of(sqlite3 *db, int op, sqlite3_file **file) {
    int rc;

    *file = NULL;
    rc = sqlite3_file_control(db, "main", op, file);
    if (rc == SQLITE_OK && (*file == NULL || (*file)->pMethods == NULL)) rc = SQLITE_MISUSE;
    return rc;
}

static int database_file(sqlite3 *db, sqlite3_file **file) {
    int rc = file_of(db, SQLITE_FCNTL_FILE_POINTER, file);

    return rc == SQLITE_OK && (*file)->pMethods->iVersion < 2 ? SQLITE_MISUSE : rc;
}

/* ---- How far ---- */

int lsqi_wal_look(sqlite3 *db, struct lsqi_wal_mark *now) {
    void volatile *part = NULL;
    const unsigned char *index;
    sqlite3_file *file;
    int rc = database_file(db, &file);

    if (rc != SQLITE_OK) return rc;
    rc = file->pMethods->xShmMap(file, 0, INDEX_BYTES, 0, &part);
    if (rc != SQLITE_OK) return rc;
    if (part == NULL) return SQLITE_MISUSE;
    /* Who has the write lock is the only one to change it. */
    index = (const unsigned char *)part;
    memcpy(&now->frames, index + COUNT_AT, sizeof(now->frames));
    memcpy(now->salts, index + SALTS_AT, sizeof(now->salts));
    return SQLITE_OK;
}

static uint32_t first_salt(const struct lsqi_wal_mark *mark) {
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) value = value << 8 | mark->salts[i];
    return value;
}

bool lsqi_wal_beyond(const struct lsqi_wal_mark *from, const struct lsqi_wal_mark *now,
                     uint32_t *first) {
    *first = from->frames;
    if (memcmp(from->salts, now->salts, sizeof(from->salts)) == 0)
        return now->frames >= from->frames;
    *first = 0;
    if (first_salt(now) == first_salt(from) + 1) return true;
    if (from->frames > 0) return false;
    /* It was to be begun anew, and was not. */
    if (first_salt(now) + 1 == first_salt(from)) *first = now->frames;
    return true;
}

/* ---- Frames ---- */

int lsqi_wal_read(sqlite3 *db, uint32_t i, unsigned char *frame, uint32_t page_size) {
    sqlite3_int64 at = WAL_HEADER + (sqlite3_int64)(i - 1) * (FRAME_HEADER + (int64_t)page_size);
    sqlite3_file *file;
    int rc = file_of(db, SQLITE_FCNTL_JOURNAL_POINTER, &file);

    if (rc == SQLITE_OK) rc = file->pMethods->xRead(file, frame, FRAME_HEADER, at);
    /* Apart: what encrypts knows a page by its size. */
    if (rc == SQLITE_OK)
        rc = file->pMethods->xRead(file, frame + FRAME_HEADER, (int)page_size, at + FRAME_HEADER);
    return rc;
}

int lsqi_wal_sync(sqlite3 *db) {
    sqlite3_file *file;
    int rc = file_of(db, SQLITE_FCNTL_JOURNAL_POINTER, &file);

    return rc == SQLITE_OK ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : rc;
}

/* ---- Checkpoints ---- */

int lsqi_wal_hold(sqlite3 *db) {
    sqlite3_file *file;
    int rc = database_file(db, &file);

    if (rc != SQLITE_OK) return rc;
    return file->pMethods->xShmLock(file, CHECKPOINT_LOCK, 1,
                                    SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
}

void lsqi_wal_release(sqlite3 *db) {
    sqlite3_file *file;

    if (database_file(db, &file) != SQLITE_OK) return;
    (void)file->pMethods->xShmLock(file, CHECKPOINT_LOCK, 1,
                                   SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
}
