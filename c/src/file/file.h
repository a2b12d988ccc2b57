/* file.h - what the process knows of a database file: one record for each file, by whatever names it
 * is opened, as long as a connection has it; the line of its writers, and the checkpoints that are taken of it.
 *
 * A checkpoint writes what stands in the WAL to the file and syncs both, 10 to 100 ms of work. The
 * engine has the connection do it whose commit makes the WAL too long; here a worker does, with a
 * connection of its own, while readers and writers go on.
 *
 * Threads: any. */
#ifndef LSQI_FILE_FILE_H
#define LSQI_FILE_FILE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "file/lane.h"
#include "file/readers.h"
#include "file/turnstile.h"
#include "lsq/lsq.h"

struct lsqi_file;

/* The record of the file that db has open under that name, which another lsqi_file_get() gives too; NULL
 * where there is none, in memory, or no memory for it. It stays until lsqi_file_unref(). */
struct lsqi_file *lsqi_file_get(sqlite3 *db, const char *database);
void lsqi_file_unref(struct lsqi_file *file);

/* Before a connection closes the file. Where it was the last one, a running checkpoint is broken off
 * and waited for, so that the engine finds itself alone and can clean up. */
void lsqi_file_leave(struct lsqi_file *file);

/* The line of those who want to write to it. */
struct lsqi_lane *lsqi_file_lane(struct lsqi_file *file);

/* The line of the processes that want to write to it. */
struct lsqi_turnstile *lsqi_file_turnstile(struct lsqi_file *file);

/* Whether another process was seen that has it open. look: looks now; else, once in a while. */
bool lsqi_file_shared(struct lsqi_file *file, bool look);
/* The connections that have it open, from lsqi_file_get() to lsqi_file_leave(). */
struct lsqi_readers *lsqi_file_readers(struct lsqi_file *file);

/* The record of the file of that name, to be given to lsqi_file_unref(); NULL: no connection of this process
 * has it open. */
struct lsqi_file *lsqi_file_find(const char *path);

/* Fills in what is known of the file and its line. */
void lsqi_file_info(struct lsqi_file *file, struct lsq_file_info *info);

/* A connection's snapshot is gone that was kept since then, ns. If it may have been what kept the WAL from
 * beginning again, a checkpoint is ordered. */
void lsqi_file_read(struct lsqi_file *file, int64_t since);

/* After a commit that left `pages` pages in the WAL. */
void lsqi_file_wrote(struct lsqi_file *file, int pages);

/* Checkpoints were kept off, and may be taken again: the next one that is asked for is. */
void lsqi_file_look_again(struct lsqi_file *file);

/* After a commit that left `pages` pages in the WAL, of which `limit` are enough for a checkpoint.
 * Hands one to a worker, if none is under way and there is something to gain. False: the last one could
 * not be taken (no memory, a key, an exclusive lock): the caller takes this one. */
bool lsqi_file_checkpoint(struct lsqi_file *file, int pages, int limit);

#endif
