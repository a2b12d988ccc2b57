/* base.h - a replica's file in the making: NAME-incoming, and NAME-incoming-state, which says how far it is.
 *
 * Pages are written to their places as frames come, so on the way the file is no database; it is one when the frames
 * up to the end of a transaction are in, of which no later one was. A break, of the connection, the process or the
 * power, costs what came since the last mark: frames are put in again from there on, in their order, and each page's
 * last write counts.
 * Threads: one at a time. */
#ifndef LSQI_REPL_BASE_H
#define LSQI_REPL_BASE_H

#include "engine/key.h"
#include "repl/frame.h"
#include "repl/meta.h"

/* All zero with fd -1, and key filled in, is one that is not begun. */
struct lsqi_base {
    const struct lsqi_key *key; /* pages are encrypted with it */
    int fd;
    struct lsqi_sealed *sealed; /* the same file, where there is a key and something was written */
    struct lsqi_meta meta;      /* as NAME-incoming-state has it */
    uint64_t expected;          /* see lsqi_base_expect() */
    uint64_t expected_sum;
    uint64_t unmarked; /* bytes since the last mark */
    int64_t marked_at; /* ns */
};

/* Takes up what is there, of whatever history, if it is of that key. base->meta.applied: where to go on. */
bool lsqi_base_recall(struct lsqi_base *base, const char *path);
/* Begins anew; what is there is thrown away. index: the server's last frame. */
enum lsq_status lsqi_base_begin(struct lsqi_base *base, const char *path, const char *log_id,
                                uint64_t index, struct lsq_error *err);
/* Keeps what is there, for the next time. */
void lsqi_base_release(struct lsqi_base *base);

/* Frames up to next - 1, which has that checksum, are about to be written: the state says so once for all of them, as
 * soon as the first is one that it does not know of. */
void lsqi_base_expect(struct lsqi_base *base, uint64_t next, uint64_t sum);
enum lsq_status lsqi_base_write(struct lsqi_base *base, const char *path,
                                const struct lsqi_frame *frame, const void *page, size_t len,
                                struct lsq_error *err);
/* All frames before `next` are in, the last of which has that checksum; the database then had so many pages (0: it is
 * amid a transaction). Durable once in a while, or if it must. */
enum lsq_status lsqi_base_mark(struct lsqi_base *base, const char *path, uint64_t next,
                               uint64_t sum, uint64_t pages, bool must, struct lsq_error *err);

/* Before the first mark: pages 1 to `pages` of a file of that version (not 0) are in their places; or, with 0 and 0,
 * nothing that counts. Durable as with lsqi_base_mark(). */
enum lsq_status lsqi_base_mark_part(struct lsqi_base *base, const char *path, uint32_t pages,
                                    uint64_t version, bool must, struct lsq_error *err);
/* So many pages of such a file are there, of base->meta.checksum's version; 0: none. */
uint32_t lsqi_base_part(const struct lsqi_base *base);
/* A page that is there, of that size. */
enum lsq_status lsqi_base_read(struct lsqi_base *base, const char *path, uint32_t number,
                               void *page, size_t size, struct lsq_error *err);

/* It is whole, as the last mark says: checks it, and puts it in its place, where no file may be. *meta is that of the
 * replica from then on, and written. */
enum lsq_status lsqi_base_install(struct lsqi_base *base, const char *path, struct lsqi_meta *meta,
                                  struct lsq_error *err);
/* What follows the rename, after a break too. */
enum lsq_status lsqi_base_installed(const char *path, const struct lsqi_key *key,
                                    struct lsqi_meta *meta, struct lsq_error *err);
/* Throws it away, or only if it has another key. */
void lsqi_base_discard(struct lsqi_base *base, const char *path);
void lsqi_base_discard_foreign(struct lsqi_base *base, const char *path);

#endif
