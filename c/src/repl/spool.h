/* spool.h - frames that have come and are not in the file yet, in the order in which they came: the first few
 * megabytes in memory, the rest in a file that has no name, encrypted where the replica's is.
 * Threads: one at a time. */
#ifndef LSQI_REPL_SPOOL_H
#define LSQI_REPL_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/key.h"
#include "lsq/lsq.h"
#include "repl/frame.h"

/* All zero, with fd -1, folder_of and key filled in, is an empty one. */
struct lsqi_spool {
    const char *folder_of; /* a path in whose folder the file is made */
    const struct lsqi_key *key;
    uint32_t page_size; /* of the first frame; all have it */
    struct lsqi_frame *frames;
    size_t count;
    size_t room;
    size_t committed; /* frames up to the last that ends a transaction */
    char *memory;     /* pages 0 .. memory_pages - 1 */
    size_t memory_pages;
    int fd;                     /* of the file, where there is no key */
    struct lsqi_sealed *sealed; /* where there is one */
};

void lsqi_spool_release(struct lsqi_spool *spool);

/* Errors: LSQ_NOMEM, LSQ_IO, LSQ_FULL, LSQ_PROTOCOL_UNSUPPORTED (another size of page). */
enum lsq_status lsqi_spool_add(struct lsqi_spool *spool, const struct lsqi_frame *frame,
                               const void *page, size_t len, struct lsq_error *err);
/* Page of frame i, to page[0..page_size). Errors: LSQ_IO. */
enum lsq_status lsqi_spool_page(const struct lsqi_spool *spool, size_t i, void *page,
                                struct lsq_error *err);
/* Forgets the first n frames. */
enum lsq_status lsqi_spool_drop(struct lsqi_spool *spool, size_t n, struct lsq_error *err);
/* Forgets all but the first n frames. */
void lsqi_spool_cut(struct lsqi_spool *spool, size_t n);

#endif
