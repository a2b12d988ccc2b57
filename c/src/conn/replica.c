/* A connection to a file that follows a server: opening, and what is asked of the whole. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "conn/conn.h"
#include "engine/key.h"

enum { OPEN_MS = 30000, STALE_MS = 5000 };

/* The record of the connection's file, to be given to lsqi_replica_unref(); NULL: it is no replica, or closed. Any
 * thread. */
static struct lsqi_replica *replica_of(struct lsq_conn *conn) {
    struct lsqi_replica *replica;

    pthread_mutex_lock(&conn->gate.lock);
    replica = lsqi_followed(conn);
    if (replica != NULL) lsqi_replica_ref(replica);
    pthread_mutex_unlock(&conn->gate.lock);
    return replica;
}

static enum lsq_status no_replica(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_UNSUPPORTED, "the connection is not a replica's");
}

/* ---- Opening ---- */

static enum lsq_status check_path(const char *path, struct lsq_error *err) {
    if (path[0] != '\0' && strncmp(path, "file:", 5) != 0 && strcmp(path, ":memory:") != 0)
        return LSQ_OK;
    return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                          "a replica is a file with a plain name: neither in memory, nor a URI");
}

static enum lsq_status check(const struct lsq_config *cfg, const struct lsq_replica *own,
                             struct lsq_error *err) {
    enum lsq_status st = check_path(cfg->path, err);

    if (st != LSQ_OK) return st;
    if (!lsqi_remote_is_url(cfg->primary))
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                              "the primary's address begins with none of libsql://, https://, "
                              "http://, wss://, ws://");
    if (own->sync_interval < 0 || own->stale_after < 0 || own->open_timeout < -1)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "a time of the replica's is negative");
    if ((unsigned)own->protocol > LSQ_SYNC_V2)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no such protocol of syncs");
    if (cfg->attached_count > 0)
        return lsqi_error_set(err, LSQ_UNSUPPORTED,
                              "databases are attached at opening to local files only");
    if (cfg->vfs != NULL)
        return lsqi_error_set(err, LSQ_UNSUPPORTED, "a replica has the default VFS");
    if ((cfg->flags & LSQ_OPEN_READONLY) != 0)
        return lsqi_error_set(err, LSQ_UNSUPPORTED,
                              "a replica is not opened read-only: use a token that may only read");
    return LSQ_OK;
}

static enum lsq_status join_file(const struct lsq_config *cfg, const struct lsq_config *server,
                                 const struct lsq_replica *own, struct lsqi_replica **replica,
                                 struct lsq_error *err) {
    const struct lsqi_replica_config config = {
        .path = cfg->path,
        .server = server,
        .sync_interval = own->sync_interval,
        .adopt_replace = own->replace,
        .any_filesystem = (cfg->flags & LSQ_OPEN_ANY_FILESYSTEM) != 0,
        .key = cfg->key,
        .key_len = cfg->key_len,
        .protocol = own->protocol,
        .offline = own->offline,
    };

    return lsqi_replica_open(replica, &config, err);
}

/* The first connection of the program brings the file up to date; one that cannot be asked is no reason not to read
 * what is there. */
static enum lsq_status first_sync(struct lsqi_replica *replica, const struct lsq_replica *own,
                                  struct lsq_error *err) {
    int timeout = own->open_timeout == 0 ? OPEN_MS : own->open_timeout;
    bool usable = lsqi_replica_usable(replica);
    struct lsqi_replica_sync_result result;
    struct lsqi_replica_info info;
    enum lsq_status st;

    lsqi_replica_info(replica, &info);
    if (usable && (own->no_sync_on_open || info.synced_ago >= 0)) return LSQ_OK;
    st = lsqi_replica_sync_wait(replica, 0, timeout < 0 ? 0 : timeout, NULL, NULL, &result, err);
    return lsqi_replica_usable(replica) ? LSQ_OK : st;
}

static uint64_t known(void *arg) {
    struct lsqi_replica *replica = replica_of(arg);
    uint64_t index = replica == NULL ? 0 : lsqi_replica_applied(replica);

    lsqi_replica_unref(replica);
    return index;
}

/* What was stored comes after all that was known before: if not, the server has another history now, which the next
 * sync finds out. (What stored nothing is answered with the last index, too: then a sync is made in vain.) */
static void on_stored(void *arg, uint64_t before, int64_t index) {
    struct lsqi_replica *replica = replica_of(arg);

    if (replica == NULL) return;
    /* Where the server's index says nothing of what the replica follows, all that there is must be had. */
    if (!lsqi_replica_indexed(replica)) index = -1;
    if (index >= 0) lsqi_replica_wrote(replica, (uint64_t)index);
    if (index <= (int64_t)before) lsqi_replica_doubt(replica);
    lsqi_replica_unref(replica);
}

/* The server was asked what the file did not know, and has more than it. */
static void on_seen(void *arg, int64_t index) {
    struct lsqi_replica *replica = replica_of(arg);

    if (replica == NULL) return;
    if (!lsqi_replica_indexed(replica) || index > (int64_t)lsqi_replica_applied(replica))
        lsqi_replica_hurry(replica);
    lsqi_replica_unref(replica);
}

/* What compiles by the file's schema, or was meant for it, does not by the server's. */
static void on_refused(void *arg, const struct lsq_error *err) {
    static const char *const words[] = {"no such table",         "no such column",
                                        " has no column named ", " values were supplied",
                                        " already exists",       "duplicate column name"};
    struct lsqi_replica *replica;
    bool other = false;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        other = other || strstr(err->message, words[i]) != NULL;
    replica = other ? replica_of(arg) : NULL;
    if (replica != NULL) lsqi_replica_hurry(replica);
    lsqi_replica_unref(replica);
}

/* The file is the connection's to write to. */
static enum lsq_status join_offline(struct lsq_conn *conn, const struct lsq_config *cfg,
                                    const struct lsq_config *server, const struct lsq_replica *own,
                                    struct lsq_config *file, struct lsq_error *err) {
    enum lsq_status st = join_file(cfg, server, own, &conn->offline, err);

    if (st == LSQ_OK) st = first_sync(conn->offline, own, err);
    if (st != LSQ_OK) return st;
    file->path = lsqi_replica_path(conn->offline);
    file->flags |= LSQ_OPEN_NOCREATE;
    return LSQ_OK;
}

enum lsq_status lsqi_replica_join(struct lsq_conn *conn, const struct lsq_config *cfg,
                                  struct lsq_config *file, struct lsq_error *err) {
    static const struct lsq_replica usual = {0};
    static const struct lsqi_remote_watcher watcher = {
        .known = known, .stored = on_stored, .seen = on_seen, .refused = on_refused};
    const struct lsq_replica *own = cfg->replica == NULL ? &usual : cfg->replica;
    const struct lsq_config server = {
        .path = cfg->primary, .remote = cfg->remote, .busy_timeout = cfg->busy_timeout};
    enum lsq_status st = check(cfg, own, err);

    conn->max_length = cfg->max_length;
    conn->statement_cache = cfg->statement_cache;
    if (st == LSQ_OK && own->offline) return join_offline(conn, cfg, &server, own, file, err);
    if (st == LSQ_OK) st = lsqi_remote_new(&conn->primary, &server, &conn->gate, err);
    if (st == LSQ_OK) st = join_file(cfg, &server, own, &conn->replica, err);
    if (st == LSQ_OK) st = first_sync(conn->replica, own, err);
    if (st != LSQ_OK) return st;
    lsqi_remote_watch(conn->primary, &watcher, conn);
    conn->stale_reads = own->stale_reads;
    conn->stale_is_error = own->stale_is_error;
    conn->stale_after = own->stale_after == 0 ? STALE_MS : own->stale_after;
    atomic_store(&conn->is_replica, true);
    file->path = lsqi_replica_path(conn->replica);
    file->flags |= LSQ_OPEN_READONLY;
    return LSQ_OK;
}

void lsqi_replica_part(struct lsq_conn *conn) {
    struct lsqi_replica *replica;

    pthread_mutex_lock(&conn->gate.lock);
    replica = lsqi_followed(conn);
    conn->replica = conn->offline = NULL;
    pthread_mutex_unlock(&conn->gate.lock);
    lsqi_replica_unref(replica);
}

/* ---- What it is, and has ---- */

enum lsq_conn_kind lsq_conn_kind(const struct lsq_conn *conn) {
    if (conn->remote != NULL) return LSQ_CONN_REMOTE;
    return atomic_load(&((struct lsq_conn *)conn)->is_replica) ? LSQ_CONN_REPLICA : LSQ_CONN_LOCAL;
}

bool lsqi_replica_known(struct lsq_conn *conn) {
    struct lsqi_replica *replica = replica_of(conn);

    lsqi_replica_unref(replica);
    return replica != NULL;
}

enum lsq_status lsqi_replica_token(struct lsq_conn *conn, const char *token,
                                   struct lsq_error *err) {
    struct lsqi_replica *replica = replica_of(conn);
    enum lsq_status st = LSQ_OK;

    if (conn->primary != NULL) st = lsqi_remote_set_token(conn->primary, token, err);
    if (st == LSQ_OK && replica != NULL) st = lsqi_replica_set_token(replica, token, err);
    lsqi_replica_unref(replica);
    return st;
}

enum lsq_status lsq_replica_info(struct lsq_conn *conn, struct lsq_replica_info *info,
                                 struct lsq_error *err) {
    struct lsqi_replica *replica = replica_of(conn);
    struct lsqi_replica_info own;

    if (replica == NULL) return no_replica(err);
    lsqi_replica_info(replica, &own);
    *info = (struct lsq_replica_info){
        .index = (int64_t)own.applied,
        .written = (int64_t)lsqi_replica_written(replica),
        .primary = (int64_t)own.highest,
        .lag = (int64_t)own.lag,
        .synced_ago = own.synced_ago,
        .waiting = own.waiting,
        .syncs = (int64_t)own.syncs,
        .failures = (int64_t)own.failures,
        .rebuilds = (int64_t)own.rebuilds,
        .frames = (int64_t)own.frames,
        .bytes = (int64_t)own.bytes,
        .running = own.running,
        .protocol = own.protocol,
        .offline = own.offline,
        .unpushed = (int64_t)own.unpushed,
        .pushed = (int64_t)own.pushed,
        .pushed_ago = own.pushed_ago,
        .last_error = own.last_error,
    };
    lsqi_replica_unref(replica);
    return LSQ_OK;
}

void lsqi_replica_mend(struct lsqi_replica *replica) {
    lsqi_replica_distrust(replica);
    lsqi_replica_doubt(replica);
}

/* ---- Syncs ---- */

enum lsq_status lsq_sync(struct lsq_conn *conn, const struct lsq_call *call,
                         struct lsq_sync_result *result, struct lsq_error *err) {
    return lsqi_later_sync(conn, 0, call, result, err);
}

enum lsq_status lsq_sync_until(struct lsq_conn *conn, int64_t index, const struct lsq_call *call,
                               struct lsq_sync_result *result, struct lsq_error *err) {
    if (index < 0) return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the index is negative");
    /* 0 would be all. */
    return lsqi_later_sync(conn, index == 0 ? 1 : (uint64_t)index, call, result, err);
}

/* ---- Freezing ---- */

static void count_one(const struct lsqi_reader *reader, void *arg) {
    (void)reader;
    ++*(int *)arg;
}

static enum lsq_status may_freeze(struct lsq_conn *conn, struct lsq_error *err) {
    int connections = 0;

    if (lsqi_followed(conn) == NULL) return no_replica(err);
    if (!sqlite3_get_autocommit(conn->db) || lsqi_is_there(conn))
        return lsqi_error_set(err, LSQ_IN_TRANSACTION, "a transaction is open: end it first");
    if (conn->file != NULL)
        lsqi_readers_each(lsqi_file_readers(conn->file), count_one, &connections);
    if (connections > 1)
        return lsqi_error_set(
            err, LSQ_ALREADY_OPEN,
            "the replica has %d other connections in this program: close them first",
            connections - 1);
    return LSQ_OK;
}

/* The engine's part made anew, for a file that is written to. */
static enum lsq_status open_again(struct lsq_conn *conn, const char *path,
                                  const struct lsqi_key *key, struct lsq_error *err) {
    const struct lsq_config cfg = {.path = path,
                                   .flags = conn->flags | LSQ_OPEN_NOCREATE,
                                   .max_length = conn->max_length,
                                   .key = key->bytes,
                                   .key_len = key->len};
    enum lsq_status st = lsqi_cache_init(&conn->cache, conn->statement_cache);

    if (st != LSQ_OK) return lsqi_error_set(err, st, "%s", lsq_status_text(st));
    conn->watch_steps = 0;
    conn->compiles = false;
    st = lsqi_engine_open(conn, &cfg, err);
    if (st == LSQ_OK) return st;
    lsqi_engine_close(conn);
    lsqi_cache_release(&conn->cache); /* there may have been no engine to close */
    return st;
}

static enum lsq_status become_plain(struct lsq_conn *conn, struct lsq_error *err) {
    struct lsqi_file *file = conn->file;
    struct lsqi_replica *replica = lsqi_followed(conn);
    char *path = lsqi_strndup(lsqi_replica_path(replica), strlen(lsqi_replica_path(replica)));
    const struct lsqi_key *own = lsqi_replica_key(replica);
    struct lsqi_key key;
    enum lsq_status st = lsqi_key_copy(&key, own->bytes, own->len, err);

    if (st == LSQ_OK && path == NULL)
        st = lsqi_error_set(err, LSQ_NOMEM, "out of memory for a path");
    if (st == LSQ_OK) st = lsqi_replica_freeze(replica, err);
    if (st == LSQ_OK) {
        lsqi_engine_close(conn);
        conn->file = NULL;
        lsqi_file_unref(file);
        lsqi_replica_part(conn);
        atomic_store(&conn->is_replica, false);
        st = open_again(conn, path, &key, err);
        /* Without an engine it is of no use. */
        if (st != LSQ_OK) lsq_conn_close(conn, NULL, NULL);
    }
    lsqi_key_release(&key);
    lsqi_free(path);
    return st;
}

enum lsq_status lsq_freeze(struct lsq_conn *conn, const struct lsq_call *call,
                           struct lsq_error *err) {
    enum lsq_status st = lsqi_call_not_short(call, err);

    if (st == LSQ_OK) st = lsqi_call_begin(conn, NULL, err);
    if (st != LSQ_OK) return st;
    st = may_freeze(conn, err);
    if (st == LSQ_OK) st = become_plain(conn, err);
    if (conn->db != NULL)
        lsqi_call_end(conn);
    else
        lsqi_gate_end(&conn->gate);
    return st;
}

/* ---- Local changes ---- */

/* The engine's commit hook: anything but 0 makes a rollback of the commit. */
static int on_commit(void *arg) {
    struct lsq_conn *conn = arg;
    struct lsq_error err;
    enum lsq_status st;

    if (sqlite3_txn_state(conn->db, "main") != SQLITE_TXN_WRITE) return 0;
    st = lsqi_replica_will_commit(conn->offline, &err);
    if (st != LSQ_OK) conn->run.stop = st;
    return st != LSQ_OK;
}

void lsqi_offline_install(struct lsq_conn *conn) {
    (void)sqlite3_commit_hook(conn->db, conn->offline == NULL ? NULL : on_commit, conn);
}

/* VACUUM writes all pages without a commit that the engine would ask for. (So does a new key, which WAL mode refuses.) */
enum lsq_status lsqi_offline_allows(const struct lsq_conn *conn,
                                    const struct lsqi_prepared *prepared, struct lsq_error *err) {
    if (conn->offline == NULL || !lsqi_speed_vacuum(prepared) || lsqi_is_vacuum_into(prepared))
        return LSQ_OK;
    return lsqi_error_set(err, LSQ_UNSUPPORTED,
                          "a replica that is written to offline has no VACUUM: all its pages would "
                          "have to be pushed");
}

static bool to_stop(void *arg) {
    const struct lsq_call *call = arg;

    return call != NULL && call->stop != NULL && call->stop(call->stop_arg);
}

static enum lsq_status set_aside(struct lsqi_replica *replica, const struct lsq_call *call,
                                 char *aside, size_t size, struct lsq_error *err) {
    char own[LSQI_REPLICA_ASIDE];
    struct lsqi_replica_info info;
    enum lsq_status st;

    lsqi_replica_info(replica, &info);
    if (!info.offline)
        return lsqi_error_set(
            err, LSQ_UNSUPPORTED,
            "the replica is not written to offline: it has no changes of its own");
    lsqi_replica_wish_aside(replica);
    st = lsqi_replica_sync_wait(replica, 0, call == NULL ? 0 : call->timeout, to_stop,
                                (void *)(uintptr_t)call, NULL, err);
    lsqi_replica_aside(replica, own);
    if (size > 0) (void)snprintf(aside, size, "%s", own);
    return st;
}

enum lsq_status lsq_set_aside(struct lsq_conn *conn, const struct lsq_call *call, char *aside,
                              size_t size, struct lsq_error *err) {
    struct lsqi_replica *replica = replica_of(conn);
    enum lsq_status st = lsqi_call_not_short(call, err);

    if (size > 0) aside[0] = '\0';
    if (replica == NULL) return no_replica(err);
    if (st == LSQ_OK) st = set_aside(replica, call, aside, size, err);
    lsqi_replica_unref(replica);
    return st;
}

/* ---- Events ---- */

static struct {
    pthread_mutex_t lock;
    void (*fn)(const struct lsq_replica_event *event, void *arg);
    void *arg;
    /* Process-wide: who is told. */
} listener = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void tell(const struct lsq_replica_event *event) {
    void (*fn)(const struct lsq_replica_event *told, void *arg);
    void *arg;

    pthread_mutex_lock(&listener.lock);
    fn = listener.fn;
    arg = listener.arg;
    pthread_mutex_unlock(&listener.lock);
    if (fn != NULL) fn(event, arg);
}

static void on_event(const struct lsqi_replica_event *own, void *arg) {
    static const enum lsq_replica_event_kind kinds[] = {
        [LSQI_REPLICA_BOOTSTRAPPED] = LSQ_REPLICA_BOOTSTRAPPED,
        [LSQI_REPLICA_SYNCED] = LSQ_REPLICA_SYNCED,
        [LSQI_REPLICA_FAILED] = LSQ_REPLICA_FAILED,
        [LSQI_REPLICA_SET_ASIDE] = LSQ_REPLICA_SET_ASIDE,
        [LSQI_REPLICA_REPLACED] = LSQ_REPLICA_REPLACED,
        [LSQI_REPLICA_PUSHED] = LSQ_REPLICA_PUSHED,
    };
    const struct lsq_replica_event event = {.kind = kinds[own->kind],
                                            .path = own->path,
                                            .why = own->why,
                                            .message = own->message == NULL ? "" : own->message,
                                            .aside = own->aside,
                                            .index = (int64_t)own->frame,
                                            .frames = (int64_t)own->frames,
                                            .bytes = (int64_t)own->bytes,
                                            .took_ns = own->took_ns};

    (void)arg;
    tell(&event);
}

void lsqi_replica_stale(const struct lsq_conn *conn, const struct lsq_error *why) {
    const struct lsq_replica_event event = {
        .kind = LSQ_REPLICA_STALE,
        .path = lsqi_replica_path(conn->replica),
        .why = why->status,
        .message = why->message,
        .index = (int64_t)lsqi_replica_applied(conn->replica),
    };

    tell(&event);
}

void lsq_on_replica_event(void (*fn)(const struct lsq_replica_event *event, void *arg), void *arg) {
    pthread_mutex_lock(&listener.lock);
    listener.fn = fn;
    listener.arg = arg;
    pthread_mutex_unlock(&listener.lock);
    lsqi_on_replica_event(fn == NULL ? NULL : on_event, NULL);
}
