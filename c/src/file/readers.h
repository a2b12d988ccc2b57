/* readers.h - the connections of this process to a file: which of them has kept a snapshot since when, and
 * what else is counted of each.
 *
 * A connection writes its own figures, who is in it, without a lock; whoever wants to know reads them at any
 * time. The lock is taken where a connection comes and goes.
 *
 * Threads: any, where nothing else is said. */
#ifndef LSQI_FILE_READERS_H
#define LSQI_FILE_READERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* Part of a connection. */
struct lsqi_reader {
    _Atomic int64_t since; /* ns: it has a snapshot from then on; 0: it has none. Who is in */
    _Atomic int64_t page_cache_bytes;
    _Atomic uint64_t caller; /* of its last call that said one; 0: none did */
    /* guarded by the lock */
    struct lsqi_reader *next;
    struct lsqi_reader *prev;
};

struct lsqi_readers {
    pthread_mutex_t lock;
    struct lsqi_reader *first; /* guarded by lock */
};

void lsqi_readers_init(struct lsqi_readers *readers);
void lsqi_readers_release(struct lsqi_readers *readers);

void lsqi_readers_add(struct lsqi_readers *readers, struct lsqi_reader *reader);
void lsqi_readers_remove(struct lsqi_readers *readers, struct lsqi_reader *reader);

/* Calls fn for each, under the lock. */
void lsqi_readers_each(struct lsqi_readers *readers,
                       void (*fn)(const struct lsqi_reader *reader, void *arg), void *arg);

/* Since when the oldest snapshot is kept, ns; 0: there is none. *caller, its connection's. */
int64_t lsqi_readers_oldest(struct lsqi_readers *readers, uint64_t *caller);

/* A counter that one thread at a time adds to, and any reads. */
static inline void lsqi_count(_Atomic int64_t *counter) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

#endif
