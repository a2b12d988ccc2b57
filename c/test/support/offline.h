/* offline.h - a replica that is written to offline, by its connections, as tests see it.
 * Threads: the one that started the server. */
#ifndef LSQ_TEST_SUPPORT_OFFLINE_H
#define LSQ_TEST_SUPPORT_OFFLINE_H

#include "generations.h"
#include "primary.h"

/* Starts a server of generations with a table t of five rows, and counts what replicas tell. */
void offline_begin(struct sqld *server);
/* Somebody else's write. */
void offline_elsewhere(const struct sqld *server, const char *sql);

/* How such a connection is opened: to a server that answers at once or not at all. Borrowed until the next call. */
const struct lsq_config *offline_config(const char *path, const char *url);
/* Must succeed. With the key of replica_use_key(). */
struct lsq_conn *offline_open(const char *path, const char *url);
/* Closes it, the last of its file, and waits until the file is free. */
void offline_close(struct lsq_conn *conn);
/* Syncs; it must answer that. */
void offline_sync(enum lsq_status want, struct lsq_conn *conn);
/* Syncs into a conflict, and has something of its own still. */
void offline_conflicts(struct lsq_conn *conn);
/* lsq_replica_info(), which must succeed. */
struct lsq_replica_info offline_info(struct lsq_conn *conn);
/* After syncs, the server has what the file has, and another replica of it, at that path, gets the same. */
void offline_same_as(struct lsq_conn *conn, const struct sqld *server, const char *other);
/* The same with a new one. */
void offline_same(struct lsq_conn *conn, const struct sqld *server);
/* Frames that the server has in its generation. */
int64_t offline_frames(const struct sqld *server);

#endif
