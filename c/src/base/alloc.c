#include "base/alloc.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lsq/lsq.h"

enum { SHARDS = 16, LINE = 64 };

/* Threads count in different lines of the cache, so that counting does not make them wait for one
 * another; a sum is exact when nobody allocates. */
struct shard {
    _Alignas(LINE) atomic_int_fast64_t bytes;
    atomic_int_fast64_t blocks;
};

/* process-wide: the counters of all memory. */
static struct shard shards[SHARDS];

/* process-wide: for tests; -1 is no budget. */
static atomic_int_fast64_t budget = -1;
static atomic_int_fast64_t failures;
static atomic_uint next_shard;

static struct shard *own_shard(void) {
    static _Thread_local unsigned number; /* of this thread, from 1 */

    if (number == 0)
        number = 1 + atomic_fetch_add_explicit(&next_shard, 1, memory_order_relaxed) % SHARDS;
    return &shards[number - 1];
}

static void count(int64_t bytes, int64_t blocks) {
    struct shard *shard = own_shard();

    atomic_fetch_add_explicit(&shard->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->blocks, blocks, memory_order_relaxed);
}

/* Whether the test that set a budget lets this allocation happen. */
static bool allowed(void) {
    if (atomic_load_explicit(&budget, memory_order_relaxed) < 0) return true;
    if (atomic_fetch_sub(&budget, 1) > 0) return true;
    atomic_store(&budget, 0);
    atomic_fetch_add(&failures, 1);
    return false;
}

static void *counted(void *block) {
    if (block == NULL) {
        atomic_fetch_add(&failures, 1);
        return NULL;
    }
    count((int64_t)malloc_usable_size(block), 1);
    return block;
}

void *lsqi_malloc(size_t size) { return allowed() ? counted(malloc(size)) : NULL; }

void *lsqi_calloc(size_t number, size_t size) {
    return allowed() ? counted(calloc(number, size)) : NULL;
}

void *lsqi_realloc(void *block, size_t size) {
    int64_t before;
    void *grown;

    if (block == NULL) return lsqi_malloc(size);
    if (!allowed()) return NULL;
    before = (int64_t)malloc_usable_size(block);
    grown = realloc(block, size);
    if (grown == NULL) {
        atomic_fetch_add(&failures, 1);
        return NULL;
    }
    count((int64_t)malloc_usable_size(grown) - before, 0);
    return grown;
}

void lsqi_free(void *block) {
    if (block == NULL) return;
    count(-(int64_t)malloc_usable_size(block), -1);
    free(block);
}

size_t lsqi_alloc_size(void *block) { return block == NULL ? 0 : malloc_usable_size(block); }

char *lsqi_strndup(const char *text, size_t len) {
    char *copy = len == SIZE_MAX ? NULL : lsqi_malloc(len + 1);

    if (copy == NULL) return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void lsq_memory(struct lsq_memory *memory) {
    *memory = (struct lsq_memory){.failed = atomic_load(&failures)};
    for (int i = 0; i < SHARDS; i++) {
        memory->bytes += atomic_load_explicit(&shards[i].bytes, memory_order_relaxed);
        memory->blocks += atomic_load_explicit(&shards[i].blocks, memory_order_relaxed);
    }
}

void lsq_memory_set_budget(int64_t n) { atomic_store(&budget, n < 0 ? -1 : n); }
