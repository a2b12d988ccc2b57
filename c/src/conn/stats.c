/* What is known of a file, of all connections that have it open. */
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "conn/conn.h"

/* ---- Each connection, for itself ---- */

void lsqi_stats_join(struct lsq_conn *conn) {
    if (conn->file != NULL) lsqi_readers_add(lsqi_file_readers(conn->file), &conn->reader);
}

void lsqi_stats_leave(struct lsq_conn *conn) {
    if (conn->file != NULL) lsqi_readers_remove(lsqi_file_readers(conn->file), &conn->reader);
}

/* One that keeps a snapshot has it from an earlier call. */
void lsqi_reading_begin(struct lsq_conn *conn, int64_t now, uint64_t caller) {
    if (caller != 0) atomic_store_explicit(&conn->reader.caller, caller, memory_order_relaxed);
    if (atomic_load_explicit(&conn->reader.since, memory_order_relaxed) == 0)
        atomic_store_explicit(&conn->reader.since, now, memory_order_relaxed);
}

static void note_memory(struct lsq_conn *conn) {
    int now = 0;
    int highest = 0;

    sqlite3_db_status(conn->db, SQLITE_DBSTATUS_CACHE_USED, &now, &highest, 0);
    atomic_store_explicit(&conn->reader.page_cache_bytes, now, memory_order_relaxed);
}

static bool keeps_snapshot(struct lsq_conn *conn) {
    return sqlite3_txn_state(conn->db, "main") != SQLITE_TXN_NONE;
}

/* The fast path ends with what was before it, but for the first read of a transaction. */
void lsqi_reading_end(struct lsq_conn *conn) {
    int64_t since = atomic_load_explicit(&conn->reader.since, memory_order_relaxed);

    if (since == 0 && sqlite3_get_autocommit(conn->db)) return;
    if (keeps_snapshot(conn)) {
        if (since == 0) lsqi_reading_begin(conn, lsqi_now_ns(), conn->run.caller);
    } else if (since != 0) {
        atomic_store_explicit(&conn->reader.since, 0, memory_order_relaxed);
        if (conn->file != NULL) lsqi_file_read(conn->file, since);
    }
    note_memory(conn);
}

/* ---- All of them ---- */

static void add(const struct lsqi_reader *reader, void *arg) {
    const struct lsq_conn *conn =
        (const struct lsq_conn *)(const void *)((const char *)reader -
                                                offsetof(struct lsq_conn, reader));
    struct lsq_file_info *info = arg;

    info->connections++;
    info->cache_hits += atomic_load_explicit(&conn->cache.hits, memory_order_relaxed);
    info->cache_misses += atomic_load_explicit(&conn->cache.misses, memory_order_relaxed);
    info->fast_runs += atomic_load_explicit(&conn->fast_runs, memory_order_relaxed);
    info->page_cache_bytes += atomic_load_explicit(&reader->page_cache_bytes, memory_order_relaxed);
}

static void fill(struct lsqi_file *file, struct lsq_file_info *info) {
    *info = (struct lsq_file_info){.connections = 0};
    lsqi_readers_each(lsqi_file_readers(file), add, info);
    lsqi_file_info(file, info);
}

bool lsq_conn_file_info(struct lsq_conn *conn, struct lsq_file_info *info) {
    if (conn->file == NULL) return false;
    fill(conn->file, info);
    return true;
}

bool lsq_file_info(const char *path, struct lsq_file_info *info) {
    struct lsqi_file *file = path == NULL ? NULL : lsqi_file_find(path);

    if (file == NULL) return false;
    fill(file, info);
    lsqi_file_unref(file);
    return true;
}
