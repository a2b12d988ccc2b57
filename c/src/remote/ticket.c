#include "base/error.h"
#include "remote/state.h"

enum lsq_status lsqi_ticket_enter(struct lsqi_remote *remote, const struct lsq_call *call,
                                  struct lsq_error *err) {
    bool tries = call != NULL && (call->flags & (LSQ_CALL_TRY | LSQ_CALL_BUDGET)) != 0;
    enum lsq_status st;

    if (tries && call->done == NULL)
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "%s", lsq_status_text(LSQ_WOULD_BLOCK));
    if (call != NULL && call->stop != NULL && call->stop(call->stop_arg))
        return lsqi_error_set(err, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
    st = lsqi_gate_begin(remote->gate);
    return st == LSQ_OK ? st : lsqi_error_set(err, st, "%s", lsq_status_text(st));
}

void lsqi_ticket_init(struct lsqi_ticket *ticket, struct lsqi_remote *remote,
                      const struct lsq_call *call) {
    ticket->remote = remote;
    ticket->done = call == NULL ? NULL : call->done;
    ticket->arg = call == NULL ? NULL : call->done_arg;
    if (ticket->done != NULL) return;
    pthread_mutex_init(&ticket->lock, NULL);
    pthread_cond_init(&ticket->over, NULL);
}

enum lsq_status lsqi_ticket_wait(struct lsqi_ticket *ticket, struct lsq_error *err) {
    pthread_mutex_lock(&ticket->lock);
    while (!ticket->ended) pthread_cond_wait(&ticket->over, &ticket->lock);
    pthread_mutex_unlock(&ticket->lock);
    pthread_cond_destroy(&ticket->over);
    pthread_mutex_destroy(&ticket->lock);
    if (ticket->st != LSQ_OK && err != NULL) *err = ticket->err;
    return ticket->st;
}

void lsqi_ticket_end(struct lsqi_ticket *ticket, enum lsq_status st, const struct lsq_error *err,
                     void (*free_owner)(struct lsqi_ticket *ticket)) {
    void (*done)(void *arg, enum lsq_status st, const struct lsq_error *err) = ticket->done;
    void *arg = ticket->arg;
    struct lsq_error copy = {.status = LSQ_OK};

    if (st != LSQ_OK) copy = *err;
    lsqi_remote_running(ticket->remote, NULL);
    lsqi_gate_end(ticket->remote->gate);
    if (done != NULL) {
        free_owner(ticket);
        done(arg, st, &copy);
        return;
    }
    pthread_mutex_lock(&ticket->lock);
    ticket->st = st;
    ticket->err = copy;
    ticket->ended = true;
    pthread_cond_signal(&ticket->over);
    pthread_mutex_unlock(&ticket->lock);
}
