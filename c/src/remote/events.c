#include "remote/events.h"

#include <pthread.h>

typedef void handler(const struct lsq_server_event *event, void *arg);

struct told {
    pthread_mutex_t lock;
    handler *fn;
    void *arg;
};

/* Process-wide: a server belongs to no handle of the program's. */
static struct told the_handler = {.lock = PTHREAD_MUTEX_INITIALIZER};

void lsq_on_server_event(handler *fn, void *arg) {
    pthread_mutex_lock(&the_handler.lock);
    the_handler.fn = fn;
    the_handler.arg = arg;
    pthread_mutex_unlock(&the_handler.lock);
}

void lsqi_server_event(enum lsq_server_event_kind kind, const char *server, int64_t ms,
                       enum lsq_status why) {
    const struct lsq_server_event event = {.kind = kind, .server = server, .ms = ms, .why = why};
    handler *fn;
    void *arg;

    pthread_mutex_lock(&the_handler.lock);
    fn = the_handler.fn;
    arg = the_handler.arg;
    pthread_mutex_unlock(&the_handler.lock);
    if (fn != NULL) fn(&event, arg);
}
