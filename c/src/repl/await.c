/* A sync for a thread that may wait for it. */
#include <pthread.h>

#include "base/clock.h"
#include "base/error.h"
#include "repl/replica.h"

struct waited {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    enum lsq_status status;
    struct lsqi_replica_sync_result result;
    struct lsq_error err;
};

static void on_waited(void *arg, enum lsq_status status,
                      const struct lsqi_replica_sync_result *result, const struct lsq_error *err) {
    struct waited *waited = arg;

    pthread_mutex_lock(&waited->lock);
    waited->done = true;
    waited->status = status;
    waited->result = *result;
    if (err != NULL) waited->err = *err;
    pthread_cond_signal(&waited->changed);
    pthread_mutex_unlock(&waited->lock);
}

/* True: it was called off. */
static bool await(struct lsqi_replica *r, struct lsqi_replica_sync *sync, struct waited *waited,
                  bool (*stop)(void *arg), void *stop_arg) {
    bool left = false;

    pthread_mutex_lock(&waited->lock);
    while (!waited->done && !left) {
        if (stop == NULL) {
            pthread_cond_wait(&waited->changed, &waited->lock);
            continue;
        }
        lsqi_wait_ms_locked(&waited->changed, &waited->lock, 10);
        if (waited->done || !stop(stop_arg)) continue;
        pthread_mutex_unlock(&waited->lock);
        left = lsqi_replica_sync_cancel(r, sync);
        pthread_mutex_lock(&waited->lock);
    }
    pthread_mutex_unlock(&waited->lock);
    return left;
}

enum lsq_status lsqi_replica_sync_wait(struct lsqi_replica *r, uint64_t until, int timeout,
                                       bool (*stop)(void *arg), void *stop_arg,
                                       struct lsqi_replica_sync_result *result,
                                       struct lsq_error *err) {
    struct waited waited = {.done = false};
    struct lsqi_replica_sync sync = {
        .until = until, .timeout = timeout, .done = on_waited, .arg = &waited};
    enum lsq_status st;

    pthread_mutex_init(&waited.lock, NULL);
    pthread_cond_init(&waited.changed, NULL);
    st = lsqi_replica_sync(r, &sync, err);
    if (st == LSQ_OK && await(r, &sync, &waited, stop, stop_arg)) {
        st = lsqi_error_set(err, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
    } else if (st == LSQ_OK) {
        st = waited.status;
        if (result != NULL) *result = waited.result;
        if (st != LSQ_OK && err != NULL) *err = waited.err;
    }
    pthread_cond_destroy(&waited.changed);
    pthread_mutex_destroy(&waited.lock);
    return st;
}
