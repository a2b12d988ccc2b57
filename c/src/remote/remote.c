#include "remote/remote.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "remote/state.h"

/* ---- Set-up ---- */

static enum lsq_status check(const struct lsq_config *cfg, struct lsq_error *err) {
    if (cfg->key != NULL || cfg->key_len > 0)
        return lsqi_error_set(
            err, LSQ_UNSUPPORTED,
            "a local encryption key is of no use for a server's database; that of the "
            "server is lsq_remote.encryption_key");
    if (cfg->attached_count > 0)
        return lsqi_error_set(err, LSQ_UNSUPPORTED,
                              "databases are attached at opening for local files only");
    if ((cfg->flags & LSQ_OPEN_READONLY) != 0)
        return lsqi_error_set(
            err, LSQ_UNSUPPORTED,
            "a server's connection is not opened read-only: begin transactions that "
            "only read, or use a token that may only read");
    return LSQ_OK;
}

enum lsq_status lsqi_remote_new(struct lsqi_remote **out, const struct lsq_config *cfg,
                                struct lsqi_gate *gate, struct lsq_error *err) {
    enum lsq_status st = check(cfg, err);
    struct lsqi_remote *remote;

    if (st != LSQ_OK) return st;
    remote = lsqi_calloc(1, sizeof(*remote));
    if (remote == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a connection");
    remote->gate = gate;
    st = lsqi_server_init(&remote->server, cfg, err);
    if (st != LSQ_OK) {
        lsqi_free(remote);
        return st;
    }
    *out = remote;
    return LSQ_OK;
}

void lsqi_remote_free(struct lsqi_remote *remote) {
    if (remote == NULL) return;
    lsqi_remote_forget(remote);
    lsqi_server_release(&remote->server);
    lsqi_free(remote);
}

/* ---- The stream ---- */

void lsqi_remote_forget(struct lsqi_remote *remote) {
    lsqi_free(remote->baton);
    lsqi_free(remote->base_url);
    remote->baton = NULL;
    remote->base_url = NULL;
    remote->reads = false;
    remote->by_sql = false;
}

void lsqi_remote_lose(struct lsqi_remote *remote) {
    remote->lost = remote->lost || remote->by_sql;
    lsqi_remote_forget(remote);
}

enum lsq_status lsqi_remote_there(const struct lsqi_remote *remote, struct lsq_error *err) {
    if (!remote->lost) return LSQ_OK;
    return lsqi_error_set(
        err, LSQ_NO_TRANSACTION,
        "the transaction that BEGIN or SAVEPOINT began was ended by the server, and undone: "
        "ROLLBACK, and begin it again");
}

static char *copy(const char *text) {
    return text == NULL ? NULL : lsqi_strndup(text, strlen(text));
}

uint64_t lsqi_remote_known(const struct lsqi_remote *remote) {
    return remote->watcher == NULL ? 0 : remote->watcher->known(remote->watcher_arg);
}

void lsqi_remote_note_stored(const struct lsqi_remote *remote, const struct lsqi_exchange *x,
                             enum lsq_status st, enum lsq_outcome outcome) {
    int64_t index = st == LSQ_OK ? lsqi_hrana_decoder_replication_index(x->decoder) : -1;
    bool ran = st == LSQ_OK && (index >= 0 || !x->failed);

    if (remote->watcher == NULL) return;
    if (!x->stores && st == LSQ_OK && !x->failed) remote->watcher->seen(remote->watcher_arg, index);
    if (!x->stores) return;
    if (ran || outcome != LSQ_OUTCOME_NONE)
        remote->watcher->stored(remote->watcher_arg, x->known, index);
}

void lsqi_remote_note_refused(const struct lsqi_remote *remote, const struct lsq_error *err) {
    if (remote->watcher != NULL) remote->watcher->refused(remote->watcher_arg, err);
}

void lsqi_remote_settle(struct lsqi_remote *remote, const struct lsqi_exchange *x,
                        bool autocommit) {
    const char *baton = lsqi_exchange_baton(x);
    const char *base_url = lsqi_exchange_base_url(x);
    bool reads = remote->reads;
    bool by_sql = remote->by_sql;
    char *place = NULL;
    char *url = NULL;

    if (baton != NULL && !autocommit) {
        place = copy(baton);
        url = copy(base_url);
        /* Without memory for it the stream is left, and the transaction undone. */
        if (place != NULL && base_url != NULL && url == NULL) {
            lsqi_free(place);
            place = NULL;
        }
    }
    if (baton != NULL && place == NULL) lsqi_exchange_leave_stream(x, autocommit);
    lsqi_remote_forget(remote);
    remote->baton = place;
    remote->base_url = url;
    remote->reads = place != NULL && reads;
    remote->by_sql = place != NULL && by_sql;
}

void lsqi_remote_leave(struct lsqi_remote *remote) {
    remote->lost = false;
    if (remote->baton == NULL) return;
    lsqi_exchange_close_stream(&remote->server, remote->baton, remote->base_url);
    lsqi_remote_forget(remote);
}

/* ---- What the connection says of itself ---- */

void lsqi_remote_running(struct lsqi_remote *remote, struct lsqi_exchange *x) {
    pthread_mutex_lock(&remote->gate->lock);
    remote->running = x;
    pthread_mutex_unlock(&remote->gate->lock);
}

enum lsq_status lsqi_remote_go_on(struct lsqi_remote *remote, struct lsqi_exchange *x,
                                  struct lsq_error *err) {
    lsqi_remote_running(remote, x);
    if (!atomic_load(&remote->gate->cancel)) return LSQ_OK;
    return lsqi_error_set(err, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
}

void lsqi_remote_interrupt_locked(struct lsqi_remote *remote) {
    if (remote->running != NULL) lsqi_exchange_call_off_locked(remote->running);
}

enum lsq_status lsqi_remote_set_token(struct lsqi_remote *remote, const char *token,
                                      struct lsq_error *err) {
    return lsqi_server_set_token(&remote->server, token, err);
}

bool lsqi_remote_autocommit(const struct lsqi_remote *remote) { return remote->baton == NULL; }

bool lsqi_remote_idle(const struct lsqi_remote *remote) {
    return remote->baton == NULL && !remote->lost;
}

void lsqi_remote_watch(struct lsqi_remote *remote, const struct lsqi_remote_watcher *watcher,
                       void *arg) {
    remote->watcher = watcher;
    remote->watcher_arg = arg;
}

void lsqi_remote_info(struct lsqi_remote *remote, struct lsq_conn_info *info) {
    *info = (struct lsq_conn_info){
        .autocommit = remote->baton == NULL,
        .last_rowid = remote->last_rowid,
        .changes = remote->changes,
        .total_changes = remote->total_changes,
    };
}

int lsqi_call_timeout(const struct lsqi_remote *remote, const struct lsq_call *call) {
    if (call != NULL && call->timeout > 0) return call->timeout;
    return remote->server.timeout_ms > 0 ? remote->server.timeout_ms : 0;
}
