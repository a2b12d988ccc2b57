/* mark.h - what a replica's file is known by: checksums of a few of its pages.
 *
 * The metadata say how far the file is. Somebody may put another one in its place, even under its inode (cp), or an
 * older copy of itself, or give it older metadata; to read all of a large file at each opening, so as to know, would
 * take too long. So a few pages are kept in mind: the first, some that are spread over the file, and those that were put
 * in last. Another database differs in the first ones, an older state of this one in the last, a newer state wherever
 * it was changed since. What that leaves (a change by somebody else to pages that are none of these; a newer state that
 * left all of them as they were; an older file under the WAL of this one, where it differs only in pages that the WAL
 * has) shows when such a page next comes from the server, or not at all.
 *
 * The checksums are keyed where the file is: else the metadata would tell who guesses a page that he guessed right.
 * Threads: any; one at a time for each mark. */
#ifndef LSQI_REPL_MARK_H
#define LSQI_REPL_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsq/lsq.h"

struct lsqi_key;
struct lsqi_spool;
struct sqlite3;

enum {
    LSQI_MARK_SPREAD = 4, /* of these, the first is page 1 */
    LSQI_MARK_PAGES = 8
};

/* All zero: nothing is known, and any file fits. */
struct lsqi_mark {
    struct {
        uint32_t page; /* 0: none */
        uint64_t sum;  /* 0: there is no such page */
    } of[LSQI_MARK_PAGES];
};

/* Names pages of a database of so many. */
void lsqi_mark_choose(struct lsqi_mark *mark, uint64_t pages);
/* Fills in the sums of the pages that it names, as the connection sees them. Errors: the engine's, LSQ_NOMEM. */
enum lsq_status lsqi_mark_read(struct lsqi_mark *mark, struct sqlite3 *db,
                               const struct lsqi_key *key, struct lsq_error *err);
/* What becomes of the mark by the first n frames of the spool, of which the last ends a transaction; histories: see
 * lsqi_apply_put(). Errors: LSQ_NOMEM, LSQ_IO. */
enum lsq_status lsqi_mark_follow(struct lsqi_mark *mark, const struct lsqi_spool *spool, size_t n,
                                 uint32_t histories, struct lsq_error *err);
bool lsqi_mark_same(const struct lsqi_mark *a, const struct lsqi_mark *b);
/* Pages that `kept` has are missing. */
bool lsqi_mark_lacks(const struct lsqi_mark *now, const struct lsqi_mark *kept);

/* Page 1 as it goes into a replica's file. What says of itself that it keeps a rollback journal would have its WAL passed
 * over by who opens it; and the schema's number is moved on with each history. */
void lsqi_mark_mend_header(unsigned char *page, uint32_t histories);

#endif
