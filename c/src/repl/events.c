#include "repl/events.h"

#include <pthread.h>

/* Process-wide: one listener for all replicas. */
static struct {
    pthread_mutex_t lock;
    void (*fn)(const struct lsqi_replica_event *event, void *arg);
    void *arg;
} listener = {.lock = PTHREAD_MUTEX_INITIALIZER};

void lsqi_on_replica_event(void (*fn)(const struct lsqi_replica_event *event, void *arg),
                           void *arg) {
    pthread_mutex_lock(&listener.lock);
    listener.fn = fn;
    listener.arg = arg;
    pthread_mutex_unlock(&listener.lock);
}

void lsqi_replica_tell(const struct lsqi_replica_event *event) {
    void (*fn)(const struct lsqi_replica_event *event, void *arg);
    void *arg;

    pthread_mutex_lock(&listener.lock);
    fn = listener.fn;
    arg = listener.arg;
    pthread_mutex_unlock(&listener.lock);
    if (fn != NULL) fn(event, arg);
}
