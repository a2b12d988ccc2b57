#include "engine/inject.h"

#include <limits.h>
#include <string.h>

#ifdef LSQ_ENGINE_SYSTEM

bool lsqi_inject_known(void) { return false; }

int lsqi_inject_begin(sqlite3 *db) {
    (void)db;
    return SQLITE_MISUSE;
}

int lsqi_inject_frame(sqlite3 *db, unsigned char *frame, uint32_t page_size, uint32_t page,
                      uint32_t size_after) {
    (void)db, (void)frame, (void)page_size, (void)page, (void)size_after;
    return SQLITE_MISUSE;
}

int lsqi_inject_end(sqlite3 *db) {
    (void)db;
    return SQLITE_MISUSE;
}

int lsqi_inject_wal_frames(sqlite3 *db) {
    (void)db;
    return -1;
}

#else

enum { HEADER = 24 };

bool lsqi_inject_known(void) { return true; }

int lsqi_inject_begin(sqlite3 *db) { return libsql_wal_insert_begin(db); }

static void put_big(unsigned char *at, uint32_t value) {
    for (int i = 3; i >= 0; i--, value >>= 8) at[i] = (unsigned char)value;
}

/* A place in the WAL that is taken is compared with, one beyond the end is appended to: so it is the last place that
 * there can be. */
int lsqi_inject_frame(sqlite3 *db, unsigned char *frame, uint32_t page_size, uint32_t page,
                      uint32_t size_after) {
    memset(frame, 0, HEADER);
    put_big(frame, page);
    put_big(frame + 4, size_after);
    return libsql_wal_insert_frame(db, UINT_MAX, frame, HEADER + page_size, NULL);
}

int lsqi_inject_end(sqlite3 *db) { return libsql_wal_insert_end(db); }

int lsqi_inject_wal_frames(sqlite3 *db) {
    unsigned count = 0;

    if (libsql_wal_frame_count(db, &count) != SQLITE_OK || count > INT_MAX) return -1;
    return (int)count;
}

#endif
