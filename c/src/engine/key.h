/* key.h - encryption at rest: the key of a file, and files whose pages are written as the engine would write them,
 * by who has pages and no connection.
 * Threads: one at a time for each. */
#ifndef LSQI_ENGINE_KEY_H
#define LSQI_ENGINE_KEY_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "lsq/lsq.h"

/* All zero is none. */
struct lsqi_key {
    void *bytes; /* owned */
    size_t len;
    uint64_t mark; /* see lsqi_key_copy(); 0: there is no key */
    uint64_t secret
        [2]; /* for checksums of what is encrypted, which may be kept beside it; 0, 0 where there is no key */
};

/* Fills *key, to be given to lsqi_key_release(): bytes NULL and len 0 is no key. The mark is what may be kept beside a
 * file to know its key by: the engine's own derivation applied twice, of which neither the key nor what pages are
 * encrypted with can be found.
 * Errors: LSQ_BAD_ARGUMENT (its length), LSQ_UNSUPPORTED (a build without encryption), LSQ_NOMEM. */
enum lsq_status lsqi_key_copy(struct lsqi_key *key, const void *bytes, size_t len,
                              struct lsq_error *err);
/* Overwrites it first. */
void lsqi_key_release(struct lsqi_key *key);

/* Gives a connection that was just opened its key, or none. Errors: as above, and the engine's. */
enum lsq_status lsqi_key_give(sqlite3 *db, const void *bytes, size_t len, struct lsq_error *err);

/* A file of pages, each encrypted as that of its number in a database: in the end it may be one. */
struct lsqi_sealed;

/* Opens the file, or makes it. Errors: LSQ_CANNOT_OPEN, LSQ_NOMEM, ... */
enum lsq_status lsqi_sealed_open(struct lsqi_sealed **out, const char *path,
                                 const struct lsqi_key *key, uint32_t page_size,
                                 struct lsq_error *err);
void lsqi_sealed_close(struct lsqi_sealed *sealed); /* NULL is fine */
/* Number: from 1; the first one must be a database's. Errors: LSQ_IO, LSQ_FULL. */
enum lsq_status lsqi_sealed_write(struct lsqi_sealed *sealed, uint32_t number, const void *page,
                                  struct lsq_error *err);
enum lsq_status lsqi_sealed_read(struct lsqi_sealed *sealed, uint32_t number, void *page,
                                 struct lsq_error *err);

#endif
