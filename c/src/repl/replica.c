#include "repl/replica.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/engine.h"
#include "engine/inject.h"
#include "engine/netfs.h"
#include "file/file.h"
#include "repl/disk.h"
#include "repl/local.h"
#include "repl/open.h"
#include "repl/protocol.h"
#include "repl/state.h"
#include "repl/wait.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* a record is opened, or gone */
    struct lsqi_replica *first; /* Process-wide: a file has one record */
} replicas = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- The list ---- */

static struct lsqi_replica *find_locked(const char *path) {
    struct lsqi_replica *r = replicas.first;

    while (r != NULL && strcmp(r->path, path) != 0) r = r->next_record;
    return r;
}

static void remove_from_list(struct lsqi_replica *r) {
    struct lsqi_replica **link = &replicas.first;

    pthread_mutex_lock(&replicas.lock);
    while (*link != r) link = &(*link)->next_record;
    *link = r->next_record;
    pthread_cond_broadcast(&replicas.changed);
    pthread_mutex_unlock(&replicas.lock);
}

/* ---- Memory ---- */

/* Of one that is in no list. */
static void replica_free(struct lsqi_replica *r, bool has_server) {
    if (has_server) lsqi_server_release(&r->server);
    lsqi_spool_release(&r->spool);
    lsqi_base_release(&r->base);
    lsqi_disk_unlock(&r->lock_fd);
    pthread_mutex_destroy(&r->local.lock);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    lsqi_key_release(&r->key);
    lsqi_free(r->meta_name);
    lsqi_free(r->path);
    lsqi_free(r);
}

/* Takes path. */
static enum lsq_status replica_new(struct lsqi_replica **out, char *path,
                                   const struct lsqi_replica_config *cfg, struct lsq_error *err) {
    struct lsqi_replica *r = lsqi_calloc(1, sizeof(*r));
    size_t size = strlen(path) + sizeof("-replica");
    enum lsq_status st;

    if (r == NULL) {
        lsqi_free(path);
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a replica");
    }
    r->path = path;
    r->refs = 1;
    r->lock_fd = -1;
    r->base.fd = r->spool.fd = -1;
    r->spool.folder_of = path;
    r->base.key = r->spool.key = &r->key;
    r->wanted = cfg->offline ? LSQ_SYNC_V2 : cfg->protocol;
    r->offline = cfg->offline;
    r->chain.odd = UINT64_MAX; /* none */
    r->interval = cfg->sync_interval;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    lsqi_local_init(r);
    lsqi_replica_timer_init(r);
    r->meta_name = lsqi_malloc(size);
    if (r->meta_name == NULL) {
        replica_free(r, false);
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a replica");
    }
    (void)snprintf(r->meta_name, size, "%s-replica", path);
    st = lsqi_key_copy(&r->key, cfg->key, cfg->key_len, err);
    if (st == LSQ_OK) st = lsqi_server_init(&r->server, cfg->server, err);
    if (st == LSQ_OK)
        *out = r;
    else
        replica_free(r, false);
    return st;
}

/* ---- Opening ---- */

static enum lsq_status look(struct lsqi_replica *r, const struct lsqi_replica_config *cfg,
                            struct lsq_error *err) {
    struct lsqi_file *plain = lsqi_file_find(r->path);
    enum lsq_status st;

    if (plain != NULL) {
        lsqi_file_unref(plain);
        return lsqi_error_set(err, LSQ_ALREADY_OPEN,
                              "%s is open as an ordinary database in this program", r->path);
    }
    st = lsqi_disk_lock(&r->lock_fd, r->path, err);
    if (st == LSQ_OK) st = lsqi_replica_look(r, cfg->adopt_replace, err);
    if (st == LSQ_OK) st = lsqi_local_open(r, err);
    if (st == LSQ_OK) st = lsqi_helper_start(err);
    if (st != LSQ_OK) return st;
    if (r->apply != NULL) lsqi_follow_again(r);
    lsqi_protocol_recall(r);
    r->usable = r->apply != NULL;
    if (r->meta.state == LSQI_META_READY && r->meta.applied > 0)
        atomic_store(&r->face.applied, r->meta.applied - 1);
    (void)snprintf(r->counts.log_id, sizeof(r->counts.log_id), "%s", r->meta.log_id);
    return LSQ_OK;
}

/* The one that is there, when it is opened, or NULL once there is none; then r is in the list. */
static struct lsqi_replica *join(struct lsqi_replica *r) {
    struct lsqi_replica *found;

    pthread_mutex_lock(&replicas.lock);
    while ((found = find_locked(r->path)) != NULL && (found->closing || !found->opened))
        pthread_cond_wait(&replicas.changed, &replicas.lock);
    if (found != NULL) {
        found->refs++;
    } else {
        r->next_record = replicas.first;
        replicas.first = r;
    }
    pthread_mutex_unlock(&replicas.lock);
    return found;
}

static bool same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_server(const struct lsqi_server *a, const struct lsqi_server *b) {
    return strcmp(lsqi_place_base(a->targets[0].place), lsqi_place_base(b->targets[0].place)) ==
               0 &&
           same_text(a->namespace_, b->namespace_);
}

/* mine is not needed. */
static enum lsq_status share(struct lsqi_replica **out, struct lsqi_replica *found,
                             struct lsqi_replica *mine, struct lsq_error *err) {
    bool same = same_server(&found->server, &mine->server);
    bool same_key = found->key.mark == mine->key.mark;
    bool offline = mine->offline;
    bool same_way = found->offline == offline;

    replica_free(mine, true);
    if (same && same_key && same_way) {
        *out = found;
        return LSQ_OK;
    }
    lsqi_replica_unref(found);
    if (same && same_key)
        return lsqi_error_set(
            err, LSQ_ALREADY_OPEN,
            "the replica is open in this program %s offline writes: one file has one way to be "
            "written to",
            offline ? "without" : "with");
    if (same)
        return lsqi_error_set(err, LSQ_NOT_A_DATABASE,
                              "the replica is open in this program with another key, or without");
    return lsqi_error_set(err, LSQ_ALREADY_OPEN,
                          "the file is open in this program as the replica of another server");
}

static enum lsq_status check(const struct lsqi_replica_config *cfg, struct lsq_error *err) {
    const char *shared = cfg->any_filesystem ? NULL : lsqi_netfs_name(cfg->path);

    if (!lsqi_inject_known())
        return lsqi_error_set(err, LSQ_UNSUPPORTED, "replicas need libSQL's engine");
    if (cfg->offline && cfg->protocol == LSQ_SYNC_V1)
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "offline writes are pushed by the protocol of syncs v2 alone");
    if (cfg->sync_interval < 0)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the sync interval is negative");
    if (shared != NULL)
        return lsqi_error_set(err, LSQ_UNSAFE_FILESYSTEM,
                              "%s is on %s, where a database in WAL mode is not safe", cfg->path,
                              shared);
    return lsqi_engine_init(err);
}

enum lsq_status lsqi_replica_open(struct lsqi_replica **out, const struct lsqi_replica_config *cfg,
                                  struct lsq_error *err) {
    struct lsqi_replica *r = NULL;
    struct lsqi_replica *found;
    char *path = NULL;
    enum lsq_status st = check(cfg, err);

    if (st == LSQ_OK) st = lsqi_disk_name(&path, cfg->path, err);
    if (st == LSQ_OK) st = replica_new(&r, path, cfg, err);
    if (st != LSQ_OK) return st;
    found = join(r);
    if (found != NULL) return share(out, found, r, err);
    st = look(r, cfg, err);
    if (st != LSQ_OK) {
        lsqi_apply_close(r->apply);
        lsqi_local_close(r);
        remove_from_list(r);
        replica_free(r, true);
        return st;
    }
    pthread_mutex_lock(&replicas.lock);
    r->opened = true;
    pthread_cond_broadcast(&replicas.changed);
    pthread_mutex_unlock(&replicas.lock);
    lsqi_replica_timer_start(r);
    *out = r;
    return LSQ_OK;
}

void lsqi_replica_ref(struct lsqi_replica *r) {
    pthread_mutex_lock(&replicas.lock);
    r->refs++;
    pthread_mutex_unlock(&replicas.lock);
}

/* ---- Closing ---- */

static void close_replica(void *arg) {
    struct lsqi_replica *r = arg;

    lsqi_replica_await_idle(r);
    lsqi_helper_cancel(&r->timer);
    lsqi_apply_close(r->apply);
    lsqi_local_close(r);
    lsqi_disk_unlock(&r->lock_fd);
    remove_from_list(r);
    replica_free(r, true);
}

void lsqi_replica_unref(struct lsqi_replica *r) {
    bool last;

    if (r == NULL) return;
    pthread_mutex_lock(&replicas.lock);
    last = --r->refs == 0;
    if (last) r->closing = true;
    pthread_mutex_unlock(&replicas.lock);
    if (!last) return;
    lsqi_replica_end(r);
    /* Without a thread, this one has to wait. */
    if (lsq_defer(close_replica, r, NULL) != LSQ_OK) close_replica(r);
}

/* ---- What it is ---- */

/* The record of a file of which path is another name. */
static struct lsqi_replica *find_linked_locked(const char *path) {
    struct stat one;
    struct stat other;

    if (stat(path, &one) != 0 || one.st_nlink < 2) return NULL;
    for (struct lsqi_replica *r = replicas.first; r != NULL; r = r->next_record)
        if (stat(r->path, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino)
            return r;
    return NULL;
}

enum lsq_status lsqi_replica_check_plain(const char *path, struct lsq_error *err) {
    char meta_name[LSQI_DISK_NAME];
    char resolved[PATH_MAX];
    struct lsqi_replica *found;
    char *name = NULL;
    bool known;

    /* What is no file of its own is no replica either. A link to one is. */
    if (path == NULL) return LSQ_OK;
    if (lsqi_disk_name(&name, realpath(path, resolved) == NULL ? path : resolved, NULL) != LSQ_OK)
        return LSQ_OK;
    pthread_mutex_lock(&replicas.lock);
    found = find_locked(name);
    if (found == NULL) found = find_linked_locked(name);
    if (found != NULL) pthread_mutex_lock(&found->lock);
    known = found != NULL && !found->frozen;
    if (found != NULL) pthread_mutex_unlock(&found->lock);
    pthread_mutex_unlock(&replicas.lock);
    lsqi_disk_beside(meta_name, name, "-replica");
    known = known || lsqi_disk_size(meta_name, NULL) >= 0;
    known = known || lsqi_disk_is_link(name, "-replica");
    /* Before there is a file, there are no metadata. */
    known = known || (found == NULL && lsqi_disk_is_locked(name));
    lsqi_free(name);
    if (!known) return LSQ_OK;
    return lsqi_error_set(
        err, LSQ_ALREADY_OPEN,
        "%s is a replica: it is opened with its primary's address; freezing it makes "
        "it an ordinary database",
        path);
}

const char *lsqi_replica_path(const struct lsqi_replica *r) { return r->path; }

const struct lsqi_key *lsqi_replica_key(const struct lsqi_replica *r) { return &r->key; }

enum lsq_status lsqi_replica_set_token(struct lsqi_replica *r, const char *token,
                                       struct lsq_error *err) {
    return lsqi_server_set_token(&r->server, token, err);
}

void lsqi_replica_wrote(struct lsqi_replica *r, uint64_t index) {
    uint64_t before = atomic_load(&r->face.written);

    while (before < index && !atomic_compare_exchange_weak(&r->face.written, &before, index))
        continue;
    pthread_mutex_lock(&r->lock);
    if (r->highest < index) r->highest = index;
    pthread_mutex_unlock(&r->lock);
}
