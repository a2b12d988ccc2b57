#include <string.h>

#include "base/alloc.h"
#include "conn/conn.h"

/* Eight bytes at a time: SQL is long, and this stands in the way of every read. */
static uint64_t hash_text(const char *text, size_t len) {
    uint64_t hash = 0x9e3779b97f4a7c15u ^ len;
    uint64_t word;

    for (; len >= sizeof(word); text += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, text, sizeof(word));
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, text, len);
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    return hash ^ (hash >> 32);
}

enum lsq_status lsqi_cache_init(struct lsqi_cache *cache, size_t capacity) {
    size_t buckets = 16;

    *cache = (struct lsqi_cache){.capacity = capacity};
    if (capacity == 0) return LSQ_OK;
    while (buckets < capacity && buckets < 65536) buckets *= 2;
    cache->buckets = lsqi_calloc(buckets, sizeof(struct lsqi_prepared *));
    if (cache->buckets == NULL) return LSQ_NOMEM;
    cache->bucket_mask = buckets - 1;
    return LSQ_OK;
}

static void list_remove(struct lsqi_cache *cache, struct lsqi_prepared *prepared) {
    if (prepared->newer != NULL)
        prepared->newer->older = prepared->older;
    else
        cache->newest = prepared->older;
    if (prepared->older != NULL)
        prepared->older->newer = prepared->newer;
    else
        cache->oldest = prepared->newer;
}

static void list_put_first(struct lsqi_cache *cache, struct lsqi_prepared *prepared) {
    prepared->newer = NULL;
    prepared->older = cache->newest;
    if (cache->newest != NULL)
        cache->newest->newer = prepared;
    else
        cache->oldest = prepared;
    cache->newest = prepared;
}

static void evict(struct lsqi_cache *cache, struct lsqi_prepared *prepared) {
    struct lsqi_prepared **link = &cache->buckets[prepared->hash & cache->bucket_mask];

    while (*link != prepared) link = &(*link)->hash_next;
    *link = prepared->hash_next;
    list_remove(cache, prepared);
    cache->count--;
    lsqi_prepared_release(prepared);
    lsqi_free(prepared);
}

void lsqi_cache_release(struct lsqi_cache *cache) {
    while (cache->oldest != NULL) evict(cache, cache->oldest);
    lsqi_free(cache->buckets);
    cache->buckets = NULL;
}

void lsqi_cache_drop_begins(struct lsqi_cache *cache) {
    struct lsqi_prepared *prepared = cache->oldest;

    while (prepared != NULL) {
        struct lsqi_prepared *newer = prepared->newer;

        if (prepared->command == LSQ_COMMAND_BEGIN && prepared->users == 0) evict(cache, prepared);
        prepared = newer;
    }
}

struct lsqi_prepared *lsqi_cache_find(struct lsqi_cache *cache, const char *sql, size_t len) {
    struct lsqi_prepared *prepared;
    uint64_t hash;

    if (cache->buckets == NULL) return NULL;
    hash = hash_text(sql, len);
    prepared = cache->buckets[hash & cache->bucket_mask];
    while (prepared != NULL &&
           (prepared->hash != hash || prepared->len != len || memcmp(prepared->sql, sql, len) != 0))
        prepared = prepared->hash_next;
    if (prepared != NULL && prepared != cache->newest) {
        list_remove(cache, prepared);
        list_put_first(cache, prepared);
    }
    return prepared;
}

static bool make_room(struct lsqi_cache *cache) {
    struct lsqi_prepared *victim = cache->oldest;

    if (cache->count < cache->capacity) return true;
    while (victim != NULL && victim->users > 0) victim = victim->newer;
    if (victim == NULL) return false;
    evict(cache, victim);
    return true;
}

bool lsqi_cache_put(struct lsqi_cache *cache, struct lsqi_prepared *prepared) {
    struct lsqi_prepared **bucket;

    if (!make_room(cache)) return false;
    prepared->hash = hash_text(prepared->sql, prepared->len);
    bucket = &cache->buckets[prepared->hash & cache->bucket_mask];
    prepared->hash_next = *bucket;
    *bucket = prepared;
    list_put_first(cache, prepared);
    cache->count++;
    return true;
}
