#include "file/readers.h"

#include <stddef.h>

void lsqi_readers_init(struct lsqi_readers *readers) {
    readers->first = NULL;
    pthread_mutex_init(&readers->lock, NULL);
}

void lsqi_readers_release(struct lsqi_readers *readers) { pthread_mutex_destroy(&readers->lock); }

void lsqi_readers_add(struct lsqi_readers *readers, struct lsqi_reader *reader) {
    pthread_mutex_lock(&readers->lock);
    reader->prev = NULL;
    reader->next = readers->first;
    if (reader->next != NULL) reader->next->prev = reader;
    readers->first = reader;
    pthread_mutex_unlock(&readers->lock);
}

void lsqi_readers_remove(struct lsqi_readers *readers, struct lsqi_reader *reader) {
    pthread_mutex_lock(&readers->lock);
    if (reader->prev != NULL)
        reader->prev->next = reader->next;
    else
        readers->first = reader->next;
    if (reader->next != NULL) reader->next->prev = reader->prev;
    pthread_mutex_unlock(&readers->lock);
}

void lsqi_readers_each(struct lsqi_readers *readers,
                       void (*fn)(const struct lsqi_reader *reader, void *arg), void *arg) {
    pthread_mutex_lock(&readers->lock);
    for (const struct lsqi_reader *reader = readers->first; reader != NULL; reader = reader->next)
        fn(reader, arg);
    pthread_mutex_unlock(&readers->lock);
}

struct oldest {
    int64_t since;
    uint64_t caller;
};

static void look(const struct lsqi_reader *reader, void *arg) {
    struct oldest *oldest = arg;
    int64_t since = atomic_load_explicit(&reader->since, memory_order_relaxed);

    if (since == 0 || (oldest->since != 0 && since >= oldest->since)) return;
    oldest->since = since;
    oldest->caller = atomic_load_explicit(&reader->caller, memory_order_relaxed);
}

int64_t lsqi_readers_oldest(struct lsqi_readers *readers, uint64_t *caller) {
    struct oldest oldest = {.since = 0};

    lsqi_readers_each(readers, look, &oldest);
    *caller = oldest.caller;
    return oldest.since;
}
