#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "conn/conn.h"
#include "engine/decimal.h"
#include "engine/engine.h"
#include "engine/failure.h"
#include "engine/key.h"
#include "engine/netfs.h"

enum { BUSY_TIMEOUT_MS = 5000, STATEMENT_CACHE = 256, MAX_LENGTH = 100000000 };

static const struct lsq_setting default_settings[] = {
    {"journal_mode", "wal"},
    {"synchronous", "normal"},
    {"foreign_keys", "on"},
};

void lsq_config_init(struct lsq_config *cfg) {
    *cfg = (struct lsq_config){
        .busy_timeout = BUSY_TIMEOUT_MS,
        .settings = default_settings,
        .setting_count = sizeof(default_settings) / sizeof(default_settings[0]),
        .statement_cache = STATEMENT_CACHE,
    };
}

/* ---- What the helper does ---- */

static struct lsq_conn *conn_of(struct lsqi_gate *gate) {
    return (struct lsq_conn *)(void *)gate; /* its first member */
}

void lsqi_engine_close(struct lsq_conn *conn) {
    sqlite3 *db = conn->db;

    if (db == NULL) return;
    lsqi_stmt_orphan_all(conn);
    lsqi_undo_release(conn);
    lsqi_cache_release(&conn->cache);
    pthread_mutex_lock(&conn->gate.lock);
    conn->db = NULL;
    pthread_mutex_unlock(&conn->gate.lock);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    sqlite3_busy_handler(db, NULL, NULL); /* the last connection checkpoints: not at any price */
    lsqi_stats_leave(conn);
    if (conn->file != NULL) lsqi_file_leave(conn->file);
    lsqi_files_leave(conn);
    (void)sqlite3_close_v2(db);
    lsqi_turn_end(conn);
}

static void clean(struct lsqi_gate *gate, bool closing) {
    struct lsq_conn *conn = conn_of(gate);

    lsqi_stmt_reap(conn);
    if (closing && conn->remote != NULL) {
        lsqi_stmt_orphan_all(conn);
        lsqi_remote_leave(conn->remote);
    } else if (closing) {
        lsqi_engine_close(conn);
        if (conn->primary != NULL) lsqi_remote_leave(conn->primary);
        lsqi_replica_part(conn);
    }
}

static void destroy(struct lsqi_gate *gate) {
    struct lsq_conn *conn = conn_of(gate);

    lsqi_settings_release(conn);
    lsqi_attached_release(conn);
    lsqi_files_unref(conn->files);
    lsqi_file_unref(conn->file);
    lsqi_remote_free(conn->remote);
    lsqi_remote_free(conn->primary);
    lsqi_free(conn);
}

/* ---- Opening ---- */

static enum lsq_status check(const struct lsq_config *cfg, struct lsq_error *err) {
    if (cfg->path == NULL) return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the path is NULL");
    if (cfg->busy_timeout < 0)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the busy time-out is negative");
    if (cfg->max_length < 0 || cfg->max_length > 1000000000)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the maximal length is not in 0..10^9");
    if (cfg->setting_count > 0 && cfg->settings == NULL)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the settings are NULL");
    if (cfg->statement_cache > 1000000)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                              "the statement cache is over a million statements");
    if (cfg->vfs != NULL && sqlite3_vfs_find(cfg->vfs) == NULL)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no VFS \"%s\"", cfg->vfs);
    return lsqi_attached_check(cfg, err);
}

static int open_flags(const struct lsq_config *cfg) {
    int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

    if ((cfg->flags & LSQ_OPEN_READONLY) != 0)
        flags |= SQLITE_OPEN_READONLY;
    else
        flags |= SQLITE_OPEN_READWRITE;
    if ((cfg->flags & (LSQ_OPEN_READONLY | LSQ_OPEN_NOCREATE)) == 0) flags |= SQLITE_OPEN_CREATE;
    if ((cfg->flags & LSQ_OPEN_NOFOLLOW) != 0) flags |= SQLITE_OPEN_NOFOLLOW;
    return flags;
}

/* "file:NAME?mode=memory&cache=shared" is how SQLite named a shared in-memory database before it had
 * the memdb VFS; the engine is built without its shared cache. */
char *lsqi_memdb_path(const char *path) {
    static const char scheme[] = "file:";
    const char *name = path + sizeof(scheme) - 1;
    const char *query = strchr(path, '?');

    if (strncmp(path, scheme, sizeof(scheme) - 1) != 0 || query == NULL) return NULL;
    if (strstr(query, "mode=memory") == NULL || strstr(query, "cache=shared") == NULL) return NULL;
    while (*name == '/') name++;
    if (name >= query || strncmp(name, ":memory:", 8) == 0) return NULL;
    return sqlite3_mprintf("file:/%.*s?vfs=memdb", (int)(query - name), name);
}

static int open_path(struct lsq_conn *conn, const struct lsq_config *cfg) {
    char *named = lsqi_memdb_path(cfg->path);
    int rc = sqlite3_open_v2(named == NULL ? cfg->path : named, &conn->db, open_flags(cfg),
                             named == NULL ? cfg->vfs : NULL);

    sqlite3_free(named);
    return rc;
}

static enum lsq_status open_engine(struct lsq_conn *conn, const struct lsq_config *cfg,
                                   struct lsq_error *err) {
    int dqs = (cfg->flags & LSQ_OPEN_DQS) != 0;
    int rc = open_path(conn, cfg);

    if (rc != SQLITE_OK) {
        enum lsq_status st = lsqi_failure_set(err, conn->db, rc);

        if (st == LSQ_ERROR) st = LSQ_CANNOT_OPEN;
        if (err != NULL && st == LSQ_CANNOT_OPEN)
            lsqi_error_set(err, st, "cannot open \"%s\": %s", cfg->path,
                           conn->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(conn->db));
        if (err != NULL) err->engine_code = rc;
        return st;
    }
    rc = lsqi_decimal_register(conn->db);
    if (rc != SQLITE_OK) return lsqi_failure_set(err, conn->db, rc);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DQS_DML, dqs, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DQS_DDL, dqs, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_limit(conn->db, SQLITE_LIMIT_LENGTH,
                  cfg->max_length == 0 ? MAX_LENGTH : cfg->max_length);
    conn->max_sql = sqlite3_limit(conn->db, SQLITE_LIMIT_SQL_LENGTH, -1);
    (void)lsqi_call_compile(conn, true);
    return LSQ_OK;
}

static bool wants_wal(const struct lsq_config *cfg) {
    for (size_t i = 0; i < cfg->setting_count; i++) {
        const struct lsq_setting *setting = &cfg->settings[i];

        if (setting->name != NULL && setting->value != NULL &&
            sqlite3_stricmp(setting->name, "journal_mode") == 0)
            return sqlite3_stricmp(setting->value, "wal") == 0;
    }
    return false;
}

static enum lsq_status check_file(const char *file, struct lsq_error *err) {
    const char *name;

    if (file == NULL || file[0] == '\0') return LSQ_OK;
    name = lsqi_netfs_name(file);
    if (name == NULL) return LSQ_OK;
    return lsqi_error_set(
        err, LSQ_UNSAFE_FILESYSTEM,
        "\"%s\" is on a network or shared-folder file system (%s), where WAL mode "
        "loses data: put it on a local disk, or set another journal mode",
        file, name);
}

static enum lsq_status check_filesystems(struct lsq_conn *conn, const struct lsq_config *cfg,
                                         struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;
    const char *name;

    if (!wants_wal(cfg) || (cfg->flags & LSQ_OPEN_ANY_FILESYSTEM) != 0) return LSQ_OK;
    for (int i = 0; st == LSQ_OK && (name = sqlite3_db_name(conn->db, i)) != NULL; i++)
        st = check_file(sqlite3_db_filename(conn->db, name), err);
    return st;
}

/* Reads the file's header, so that a file that is no database, or a wrong key, shows now. */
static enum lsq_status check_header(struct lsq_conn *conn, struct lsq_error *err) {
    struct lsq_reply reply;
    struct lsqi_prepared *prepared;
    static const char sql[] = "SELECT count(*) FROM sqlite_schema";
    enum lsq_status st = lsqi_statement_get(conn, sql, sizeof(sql) - 1, &prepared, err);

    if (st != LSQ_OK) return st;
    st = lsqi_run(conn, prepared, NULL, NULL, NULL, &reply, err);
    lsqi_statement_done(conn, prepared);
    return st;
}

/* What follows a server is not written to by others. */
static enum lsq_status check_role(struct lsq_conn *conn, unsigned flags, struct lsq_error *err) {
    const unsigned unchecked = LSQI_OPEN_ANY_ROLE | LSQ_OPEN_READONLY;
    const char *path = sqlite3_db_filename(conn->db, "main");

    if (lsqi_followed(conn) != NULL || (flags & unchecked) == unchecked || path == NULL ||
        path[0] == '\0')
        return LSQ_OK;
    return lsqi_replica_check_plain(path, err);
}

enum lsq_status lsqi_engine_open(struct lsq_conn *conn, const struct lsq_config *cfg,
                                 struct lsq_error *err) {
    enum lsq_status st = open_engine(conn, cfg, err);

    if (st == LSQ_OK) st = check_role(conn, cfg->flags, err);
    if (st == LSQ_OK) st = lsqi_call_install(conn, err);
    if (st == LSQ_OK) st = lsqi_key_give(conn->db, cfg->key, cfg->key_len, err);
    if (st == LSQ_OK) st = check_filesystems(conn, cfg, err);
    if (st == LSQ_OK) st = check_header(conn, err);
    if (st == LSQ_OK) st = lsqi_attached_restore(conn, err);
    if (st == LSQ_OK) st = check_filesystems(conn, cfg, err);
    if (st == LSQ_OK) st = lsqi_settings_apply(conn, err);
    if (st == LSQ_OK) st = lsqi_undo_prepare(conn, err);
    if (st == LSQ_OK) conn->file = lsqi_file_get(conn->db, "main");
    if (st == LSQ_OK) lsqi_files_look(conn);
    lsqi_stats_join(conn);
    conn->has_key = cfg->key != NULL;
    return st;
}

/* To a server: nobody is asked yet. */
static enum lsq_status open_remote(struct lsq_conn **out, const struct lsq_config *cfg,
                                   struct lsq_error *err) {
    struct lsq_conn *conn = lsqi_calloc(1, sizeof(*conn));
    enum lsq_status st;

    if (conn == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a connection");
    st = lsqi_gate_init(&conn->gate, clean, destroy, lsqi_call_interrupt, err);
    if (st != LSQ_OK) goto undo_alloc;
    st = lsqi_remote_new(&conn->remote, cfg, &conn->gate, err);
    if (st != LSQ_OK) goto undo_gate;
    atomic_store(&conn->busy_timeout, cfg->busy_timeout);
    conn->configured_busy_timeout = cfg->busy_timeout;
    *out = conn;
    return LSQ_OK;

undo_gate:
    lsqi_gate_release(&conn->gate);
undo_alloc:
    lsqi_free(conn);
    return st;
}

/* Of a file: keeps what is to be applied again. */
static enum lsq_status keep(struct lsq_conn *conn, const struct lsq_config *cfg,
                            struct lsq_error *err) {
    enum lsq_status st;

    conn->flags = cfg->flags;
    conn->no_fast_path = cfg->no_fast_path;
    conn->configured_busy_timeout = cfg->busy_timeout;
    atomic_store(&conn->busy_timeout, cfg->busy_timeout);
    if ((cfg->flags & LSQ_OPEN_NOWAIT) != 0) conn->run.flags = LSQ_CALL_NOWAIT;
    st = lsqi_settings_copy(conn, cfg);
    if (st == LSQ_OK) st = lsqi_attached_copy(conn, cfg);
    if (st == LSQ_OK) st = lsqi_cache_init(&conn->cache, cfg->statement_cache);
    return st == LSQ_OK ? st : lsqi_error_set(err, st, "%s", lsq_status_text(st));
}

static enum lsq_status open_file(struct lsq_conn *conn, const struct lsq_config *cfg,
                                 struct lsq_error *err) {
    struct lsq_config file = *cfg;
    enum lsq_status st = keep(conn, cfg, err);

    if (st == LSQ_OK && cfg->primary != NULL) st = lsqi_replica_join(conn, cfg, &file, err);
    return st == LSQ_OK ? lsqi_engine_open(conn, &file, err) : st;
}

enum lsq_status lsq_conn_open(struct lsq_conn **out, const struct lsq_config *cfg,
                              struct lsq_error *err) {
    struct lsq_conn *conn;
    enum lsq_status st = lsqi_engine_init(err);

    if (st == LSQ_OK && cfg->primary == NULL && lsqi_remote_is_url(cfg->path))
        return open_remote(out, cfg, err);

    if (st == LSQ_OK) st = check(cfg, err);
    if (st != LSQ_OK) return st;
    conn = lsqi_calloc(1, sizeof(*conn));
    if (conn == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a connection");
    st = lsqi_gate_init(&conn->gate, clean, destroy, lsqi_call_interrupt, err);
    if (st != LSQ_OK) goto undo_alloc;
    st = open_file(conn, cfg, err);
    if (st != LSQ_OK) goto undo_gate;
    *out = conn;
    return LSQ_OK;

undo_gate:
    lsqi_engine_close(conn);
    lsqi_replica_part(conn);
    lsqi_remote_free(conn->primary);
    lsqi_cache_release(&conn->cache);
    lsqi_settings_release(conn);
    lsqi_attached_release(conn);
    lsqi_gate_release(&conn->gate);
undo_alloc:
    lsqi_free(conn);
    return st;
}

/* ---- Of a server's ---- */

bool lsq_conn_is_remote(const struct lsq_conn *conn) { return conn->remote != NULL; }

enum lsq_status lsq_conn_set_token(struct lsq_conn *conn, const char *token,
                                   struct lsq_error *err) {
    if (conn->remote == NULL && lsqi_replica_known(conn))
        return lsqi_replica_token(conn, token, err);
    if (conn->remote == NULL)
        return lsqi_error_set(err, LSQ_UNSUPPORTED, "a file's connection has no token");
    return lsqi_remote_set_token(conn->remote, token, err);
}

enum lsq_status lsqi_files_only(const struct lsq_conn *conn, const char *what,
                                struct lsq_error *err) {
    if (conn->remote == NULL) return LSQ_OK;
    return lsqi_error_set(err, LSQ_UNSUPPORTED, "a connection to a server has no %s", what);
}

enum lsq_status lsqi_plain_only(const struct lsq_conn *conn, const char *what,
                                struct lsq_error *err) {
    if (lsq_conn_kind(conn) != LSQ_CONN_REPLICA) return lsqi_files_only(conn, what, err);
    return lsqi_error_set(err, LSQ_UNSUPPORTED, "a replica's connection has no %s", what);
}

/* ---- Closing ---- */

void lsq_conn_close(struct lsq_conn *conn, void (*done)(void *arg), void *arg) {
    lsqi_gate_close(&conn->gate, done, arg);
}

void lsq_conn_free(struct lsq_conn *conn) {
    if (conn == NULL) return;
    lsqi_gate_close(&conn->gate, NULL, NULL);
    lsqi_gate_unref(&conn->gate);
}

enum lsq_status lsq_conn_enter(struct lsq_conn *conn, bool wait) {
    return lsqi_gate_enter(&conn->gate, wait);
}

enum lsq_status lsq_conn_enter_soon(struct lsq_conn *conn) {
    return lsqi_gate_enter_soon(&conn->gate);
}

void lsq_conn_leave(struct lsq_conn *conn) { lsqi_gate_leave(&conn->gate); }

enum lsq_status lsq_conn_notify(struct lsq_conn *conn, void (*fn)(void *arg), void *arg) {
    return lsqi_gate_notify(&conn->gate, fn, arg);
}

void lsq_conn_interrupt(struct lsq_conn *conn) { lsqi_gate_interrupt(&conn->gate, NULL, NULL); }
