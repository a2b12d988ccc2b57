/* local.h - local changes of a replica's file that is written to offline: which they are, and when there may be some.
 *
 * The file has what the server has up to meta.applied, and beyond it what was committed here: the frames of its WAL
 * after a place in it. As long as there are such (dirty), no checkpoint is taken, so that no frame is overwritten before
 * the server has it; push.c sends them. Otherwise (clean) the file is as any replica's is: its WAL says nothing, and
 * frames of the server may go in.
 *
 *   clean -> dirty   in the commit of the first local change, which has the file's write lock: checkpoints are held off,
 *                    and the place is durable before a frame of it may be
 *   dirty -> dirty   the server has taken frames up to the end of a transaction: applied and the place move on, together
 *   dirty -> clean   with the write lock, where nothing is beyond the place; or by setting all aside (lsqi_local_yield())
 *
 * The same place stands before the server's frames go in, so that after a break it is known whether they did. Where it
 * is not known all the same, or content is to be replaced, a local commit is refused: LSQ_SYNC_FIRST.
 *
 * Threads: functions of commits, any, with the write lock; the others, who runs the exchange, opens or closes. What
 * both touch is guarded by local.lock, which is taken after the file's write lock, never before it. */
#ifndef LSQI_REPL_LOCAL_H
#define LSQI_REPL_LOCAL_H

#include "repl/state.h"

void lsqi_local_init(struct lsqi_replica *replica);
/* Once there is a file that is open, at the latest before who writes to it may come. It may say that something
 * of the server is in. Nothing where the replica is none to write to. */
enum lsq_status lsqi_local_open(struct lsqi_replica *replica, struct lsq_error *err);
/* After replica->apply is closed. */
void lsqi_local_close(struct lsqi_replica *replica);

/* There are changes that the server has not. Any thread; false may be over a moment later. */
static inline bool lsqi_local_dirty(const struct lsqi_replica *replica) {
    return atomic_load_explicit(&replica->local.dirty, memory_order_acquire);
}

/* The metadata as they are. Of the place in the WAL only this is sure where there may be commits. */
struct lsqi_meta lsqi_local_meta(struct lsqi_replica *replica);

/* Around frames of the server that go in, with replica->committed_*: as struct lsqi_apply_around. begins() answers
 * LSQ_BUSY_SNAPSHOT and sets replica->overtaken where local changes have come first. */
enum lsq_status lsqi_local_apply_begins(void *replica, struct lsq_error *err);
enum lsq_status lsqi_local_apply_ends(void *replica, enum lsq_status st, struct lsq_error *err);

/* What the metadata say of the server becomes this, unless there are local changes by now: then replica->overtaken is
 * set, and it is LSQ_BUSY_SNAPSHOT. */
enum lsq_status lsqi_local_take(struct lsqi_replica *replica, const struct lsqi_meta *meta,
                                struct lsq_error *err);

/* Looks what there is to push: local frames *first + 1 to *end. Where there are none the replica is clean: *clean.
 * Errors: LSQ_CONFLICT (the frames are not there any more: somebody else has checkpointed the file), those of
 * lsqi_apply_alone(). */
enum lsq_status lsqi_local_look(struct lsqi_replica *replica, uint32_t *first, uint32_t *end,
                                bool *clean, struct lsq_error *err);
/* The server has local frames up to `frames`, the last of which is the one before `next`, with that sum, after
 * which the database has so many pages. Durable. frames as it was: only the place has moved on. */
enum lsq_status lsqi_local_pushed(struct lsqi_replica *replica, uint32_t frames, uint64_t next,
                                  uint64_t sum, uint32_t pages, struct lsq_error *err);
/* The server may have local frames up to `frames` from here, and no others: they are sent next. Durable. */
enum lsq_status lsqi_local_tries(struct lsqi_replica *replica, uint32_t frames,
                                 struct lsq_error *err);
/* Keeps a copy of the file as it is in aside[0..LSQI_DISK_NAME), and gives its changes up: its content is
 * to be replaced by that of the server that was greeted. Nobody commits meanwhile. */
enum lsq_status lsqi_local_yield(struct lsqi_replica *replica, char *aside, struct lsq_error *err);

/* It is no replica any more: checkpoints are taken. Nobody commits, and no exchange runs. */
void lsqi_local_end(struct lsqi_replica *replica);

/* Local frames that the server has not, as far as is known. Any thread. */
uint64_t lsqi_local_count(const struct lsqi_replica *replica);

#endif
