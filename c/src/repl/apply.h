/* apply.h - the connection by which frames go into a replica's file, in short write turns.
 * Threads: one at a time, which may wait. */
#ifndef LSQI_REPL_APPLY_H
#define LSQI_REPL_APPLY_H

#include "base/buf.h"
#include "engine/key.h"
#include "engine/walfile.h"
#include "lsq/lsq.h"
#include "repl/mark.h"
#include "repl/spool.h"

struct lsqi_apply;

/* Opens the file at path, which must be there, in WAL mode, with pages of 4096 bytes or whatever it has, and looks
 * whether it can be read. key, with all that it is given to: the file's, borrowed until the end. Errors: LSQ_CORRUPT, LSQ_NOT_A_DATABASE, LSQ_IO, ... */
enum lsq_status lsqi_apply_open(struct lsqi_apply **out, const char *path,
                                const struct lsqi_key *key, struct lsq_error *err);
void lsqi_apply_close(struct lsqi_apply *apply); /* NULL is fine */

/* What surrounds the frames, while nobody else can write to the file. Of a put both are called, or none. */
struct lsqi_apply_around {
    /* Before the first: anything but LSQ_OK ends it, and is its answer. */
    enum lsq_status (*begins)(void *arg, struct lsq_error *err);
    /* After the last, or where begins() refused: what it came to. Its answer is the put's. */
    enum lsq_status (*ends)(void *arg, enum lsq_status st, struct lsq_error *err);
    void *arg;
};

/* Puts the first n frames of the spool, of which the last ends a transaction, into the file as one transaction, synced:
 * of each page the last that came. stop: asked while it waits for its turn.
 * around: may be NULL.
 * histories: how often the content was replaced by another history's. Connections know a changed schema by a number in
 * page 1, which another history may have, too, for another schema; so that number is moved on with each history.
 * Errors: LSQ_BUSY (somebody else writes to the file), LSQ_INTERRUPTED, LSQ_IO, LSQ_FULL, LSQ_NOMEM; it is not known
 * then whether the transaction is in, but all of it or none. */
enum lsq_status lsqi_apply_put(struct lsqi_apply *apply, const struct lsqi_spool *spool, size_t n,
                               uint32_t histories, const struct lsqi_apply_around *around,
                               bool (*stop)(void *arg), void *arg, struct lsq_error *err);

/* ---- A file that is written to by others, too ---- */

/* Calls fn while nobody else of this process has the turn to write to the file, nor the engine's lock for it. Errors:
 * fn's; LSQ_BUSY, LSQ_INTERRUPTED, LSQ_IO, ...: fn was not called. */
enum lsq_status lsqi_apply_alone(struct lsqi_apply *apply,
                                 enum lsq_status (*fn)(void *arg, struct lsq_error *err),
                                 void *fn_arg, bool (*stop)(void *arg), void *arg,
                                 struct lsq_error *err);
/* See engine/walfile.h; who has the write lock. */
enum lsq_status lsqi_apply_look(struct lsqi_apply *apply, struct lsqi_wal_mark *now,
                                struct lsq_error *err);
/* Keeps all others' checkpoints off, or lets them be taken again; waits for one that is under way. Closing it then
 * leaves the WAL as it is. Errors: LSQ_BUSY, LSQ_IO. */
enum lsq_status lsqi_apply_hold(struct lsqi_apply *apply, struct lsq_error *err);
void lsqi_apply_release(struct lsqi_apply *apply);
/* Closing it leaves the WAL as it is. */
void lsqi_apply_keep_wal(struct lsqi_apply *apply);
/* Frames of the WAL, from 1, each with its header, to the end of *frames. */
enum lsq_status lsqi_apply_frames(struct lsqi_apply *apply, uint32_t first, uint32_t count,
                                  struct lsqi_buf *frames, struct lsq_error *err);
/* The WAL is on the disk. */
enum lsq_status lsqi_apply_sync(struct lsqi_apply *apply, struct lsq_error *err);
/* If the WAL is long, it may be checkpointed now. */
void lsqi_apply_checkpoint(struct lsqi_apply *apply);

/* Pages of the database and their size, as a reader sees them. */
enum lsq_status lsqi_apply_pages(struct lsqi_apply *apply, uint64_t *pages, uint32_t *page_size,
                                 struct lsq_error *err);

/* Reads the pages that the mark names, as a reader sees them. */
enum lsq_status lsqi_apply_mark(struct lsqi_apply *apply, struct lsqi_mark *mark,
                                struct lsq_error *err);

/* Chooses pages of the file as it is, and reads them. */
enum lsq_status lsqi_apply_new_mark(struct lsqi_apply *apply, struct lsqi_mark *mark,
                                    struct lsq_error *err);

/* Whether another program, or a connection that is not a replica's, has the file open: see lsqi_file_shared(). */
bool lsqi_apply_shared(struct lsqi_apply *apply);

/* Writes a copy of the database as it is now to a new file, encrypted as it is. */
enum lsq_status lsqi_apply_copy(struct lsqi_apply *apply, const char *to, struct lsq_error *err);

/* Reads the whole file at path, which nobody else has open, by PRAGMA quick_check, and takes its mark. LSQ_CORRUPT: it
 * found something. */
enum lsq_status lsqi_apply_check(const char *path, const struct lsqi_key *key,
                                 struct lsqi_mark *mark, struct lsq_error *err);

/* Makes a database without a table, in WAL mode, at path, where there is no file. */
enum lsq_status lsqi_apply_make(const char *path, const struct lsqi_key *key,
                                struct lsq_error *err);

#endif
