/* apply.h - the connection by which frames go into a replica's file, in short write turns.
 * Threads: one at a time, which may wait. */
#ifndef LSQI_REPL_APPLY_H
#define LSQI_REPL_APPLY_H

#include "engine/key.h"
#include "lsq/lsq.h"
#include "repl/mark.h"
#include "repl/spool.h"

struct lsqi_apply;

/* Opens the file at path, which must be there, in WAL mode, with pages of 4096 bytes or whatever it has, and looks
 * whether it can be read. key, with all that it is given to: the file's, borrowed until the end. Errors: LSQ_CORRUPT, LSQ_NOT_A_DATABASE, LSQ_IO, ... */
enum lsq_status lsqi_apply_open(struct lsqi_apply **out, const char *path,
                                const struct lsqi_key *key, struct lsq_error *err);
void lsqi_apply_close(struct lsqi_apply *apply); /* NULL is fine */

/* Puts the first n frames of the spool, of which the last ends a transaction, into the file as one transaction, synced:
 * of each page the last that came. stop: asked while it waits for its turn.
 * histories: how often the content was replaced by another history's. Connections know a changed schema by a number in
 * page 1, which another history may have, too, for another schema; so that number is moved on with each history.
 * Errors: LSQ_BUSY (somebody else writes to the file), LSQ_INTERRUPTED, LSQ_IO, LSQ_FULL, LSQ_NOMEM; it is not known
 * then whether the transaction is in, but all of it or none. */
enum lsq_status lsqi_apply_put(struct lsqi_apply *apply, const struct lsqi_spool *spool, size_t n,
                               uint32_t histories, bool (*stop)(void *arg), void *arg,
                               struct lsq_error *err);

/* Pages of the database and their size, as a reader sees them. */
enum lsq_status lsqi_apply_pages(struct lsqi_apply *apply, uint64_t *pages, uint32_t *page_size,
                                 struct lsq_error *err);

/* Reads the pages that the mark names, as a reader sees them. */
enum lsq_status lsqi_apply_mark(struct lsqi_apply *apply, struct lsqi_mark *mark,
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
