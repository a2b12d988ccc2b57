#include "base/error.h"
#include "remote/state.h"

enum lsq_status lsqi_pending_enter(struct lsqi_remote *remote, const void *whose,
                                   const struct lsq_call *call, struct lsq_error *err) {
    bool tries = call != NULL && (call->flags & (LSQ_CALL_TRY | LSQ_CALL_BUDGET)) != 0;
    enum lsq_status st;

    if (tries && call->done == NULL)
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "%s", lsq_status_text(LSQ_WOULD_BLOCK));
    if (call != NULL && call->stop != NULL && call->stop(call->stop_arg))
        return lsqi_error_set(err, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
    st = lsqi_gate_begin(remote->gate);
    if (st != LSQ_OK) return lsqi_error_set(err, st, "%s", lsq_status_text(st));
    pthread_mutex_lock(&remote->gate->lock);
    remote->gate->whose = whose;
    pthread_mutex_unlock(&remote->gate->lock);
    /* A cursor that was discarded is not to be read to its end. */
    remote->gate->clean(remote->gate, false);
    return LSQ_OK;
}

void lsqi_pending_init(struct lsqi_pending *pending, struct lsqi_remote *remote,
                       const struct lsq_call *call) {
    pending->remote = remote;
    pending->done = call == NULL ? NULL : call->done;
    pending->arg = call == NULL ? NULL : call->done_arg;
    if (pending->done != NULL) return;
    pthread_mutex_init(&pending->lock, NULL);
    pthread_cond_init(&pending->over, NULL);
}

enum lsq_status lsqi_pending_wait(struct lsqi_pending *pending, struct lsq_error *err) {
    pthread_mutex_lock(&pending->lock);
    while (!pending->ended) pthread_cond_wait(&pending->over, &pending->lock);
    pthread_mutex_unlock(&pending->lock);
    pthread_cond_destroy(&pending->over);
    pthread_mutex_destroy(&pending->lock);
    if (pending->st != LSQ_OK && err != NULL) *err = pending->err;
    return pending->st;
}

void lsqi_pending_end(struct lsqi_pending *pending, enum lsq_status st, const struct lsq_error *err,
                      void (*free_owner)(struct lsqi_pending *pending)) {
    void (*done)(void *arg, enum lsq_status st, const struct lsq_error *err) = pending->done;
    void *arg = pending->arg;
    struct lsq_error copy = {.status = LSQ_OK};

    if (st != LSQ_OK) copy = *err;
    lsqi_remote_running(pending->remote, NULL);
    lsqi_gate_end(pending->remote->gate);
    if (done != NULL) {
        free_owner(pending);
        done(arg, st, &copy);
        return;
    }
    pthread_mutex_lock(&pending->lock);
    pending->st = st;
    pending->err = copy;
    pending->ended = true;
    pthread_cond_signal(&pending->over);
    pthread_mutex_unlock(&pending->lock);
}
