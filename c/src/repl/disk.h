/* disk.h - the files beside a replica: their names, and what is done to them durably.
 * Threads: any; what touches the disk waits for it. */
#ifndef LSQI_REPL_DISK_H
#define LSQI_REPL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsq/lsq.h"

/* Bytes that the longest of the names may have, its NUL included. */
enum { LSQI_DISK_NAME = 4096, LSQI_DISK_SUFFIX = 32 };

/* The absolute name of path, its folder's links resolved, allocated. Errors: LSQ_BAD_ARGUMENT (none, too long, a
 * folder), LSQ_CANNOT_OPEN where its folder is not there, LSQ_NOMEM. */
enum lsq_status lsqi_disk_name(char **name, const char *path, struct lsq_error *err);

/* path and suffix, in name[0..LSQI_DISK_NAME). */
void lsqi_disk_beside(char *name, const char *path, const char *suffix);

/* Fills *err from errno: LSQ_IO, LSQ_FULL, LSQ_PERMISSION or LSQ_NOMEM. */
enum lsq_status lsqi_disk_failed(struct lsq_error *err, const char *what, const char *path);

/* All of it, at that place. False: errno. */
bool lsqi_disk_write(int fd, const void *data, size_t len, int64_t at);
bool lsqi_disk_read(int fd, void *data, size_t len, int64_t at);

/* Syncs the folder in which path is, so that renames last. */
enum lsq_status lsqi_disk_sync_folder(const char *path, struct lsq_error *err);

/* Takes the lock of path, for the process: NAME-replica-lock. *fd is -1 where it fails. LSQ_ALREADY_OPEN: another has
 * it. */
enum lsq_status lsqi_disk_lock(int *fd, const char *path, struct lsq_error *err);
void lsqi_disk_unlock(int *fd); /* -1 is fine */
/* Whether somebody has it. */
bool lsqi_disk_is_locked(const char *path);

/* Bytes of the file; -1: it is not there. *inode, may be NULL. */
int64_t lsqi_disk_size(const char *path, uint64_t *inode);

/* Whether path is a second name (a hard link) of a file of its folder beside which there is one with that suffix. It
 * reads the folder where path has more names than one, and else nothing. */
bool lsqi_disk_is_link(const char *path, const char *suffix);

/* A name that nobody has, NAME-aside-1 or -2, in aside[0..LSQI_DISK_NAME): what had it is removed. */
void lsqi_disk_aside_name(char *aside, const char *path);

/* One that nobody has and that is kept for good, NAME-aside-own-1, -2, ... */
void lsqi_disk_own_name(char *aside, const char *path);

/* Renames the file, with its WAL, to such a name, durably. Nothing that is at path is left. own: it may be somebody's
 * own, and not of a server, which has it all the same: it is kept for good, as NAME-aside-own-1, -2, ... */
enum lsq_status lsqi_disk_set_aside(const char *path, bool own, char *aside, struct lsq_error *err);

/* Removes path and suffix, if it is there. */
void lsqi_disk_remove(const char *path, const char *suffix);

#endif
