/* primary.h - a replica and its primary, an sqld, as tests of replicas see them.
 * Threads: the one that started the server. */
#ifndef LSQ_TEST_SUPPORT_PRIMARY_H
#define LSQ_TEST_SUPPORT_PRIMARY_H

#include "db.h"
#include "repl/replica.h"
#include "sqld.h"

/* db_path(), in memory that the eighth next call overwrites. */
const char *replica_path(void);
/* The path with a suffix, in memory that the eighth next call overwrites; and whether there is such a file. */
const char *beside(const char *path, const char *suffix);
bool exists(const char *path, const char *suffix);
/* A connection to the server, to write by. */
struct lsq_conn *primary_conn(const struct sqld *server);
/* Starts the server, with a table t of three rows. */
struct lsq_conn *primary_filled(struct sqld *server);
/* What replicas and readers are opened with from now on; NULL: none. */
void replica_use_key(const char *key);
/* As it says for url, which may be a proxy's. */
struct lsqi_replica *replica_open_at(const char *path, const char *url);
struct lsqi_replica *replica_open(const char *path, const struct sqld *server);
enum lsq_status replica_try(const char *path, const char *url, bool adopt);
/* Gives it back, and waits until the file is free. */
void replica_close(struct lsqi_replica *replica);
/* A replica that is in step, and closed: its path. Events are counted anew. */
const char *replica_made(const struct sqld *server);
/* Must succeed. */
struct lsqi_replica_sync_result replica_sync(struct lsqi_replica *replica);
/* A read-only connection to the replica's file, without the library's care for roles. */
struct lsq_conn *replica_reader(struct lsqi_replica *replica);

/* All rows of all tables, and the schema, as one number: of a connection of any kind. */
uint64_t content_of(struct lsq_conn *conn);
/* After a sync, the replica's file has what the primary has, and is sound. */
void expect_same(struct lsqi_replica *replica, struct lsq_conn *primary);

/* Events told since replica_events_begin(). */
void replica_events_begin(void);
int replica_events(enum lsqi_replica_event_kind kind);

#endif
