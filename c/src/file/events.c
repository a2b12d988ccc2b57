#include "file/events.h"

#include <pthread.h>

typedef void handler(const struct lsq_file_event *event, void *arg);

struct told {
    pthread_mutex_t lock;
    handler *fn;
    void *arg;
};

/* process-wide: checkpoints belong to a file, and to no handle of the program's. */
static struct told the_handler = {.lock = PTHREAD_MUTEX_INITIALIZER};

void lsq_on_file_event(handler *fn, void *arg) {
    pthread_mutex_lock(&the_handler.lock);
    the_handler.fn = fn;
    the_handler.arg = arg;
    pthread_mutex_unlock(&the_handler.lock);
}

void lsqi_event_tell(const struct lsq_file_event *event) {
    handler *fn;
    void *arg;

    pthread_mutex_lock(&the_handler.lock);
    fn = the_handler.fn;
    arg = the_handler.arg;
    pthread_mutex_unlock(&the_handler.lock);
    if (fn != NULL) fn(event, arg);
}
