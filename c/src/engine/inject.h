/* inject.h - pages put into a database's WAL as they are: how a replica follows its primary.
 *
 * Between begin and end the connection has the engine's write lock, and a transaction is made of the frames given:
 * the last one says how many pages the database then has. Readers go on, and see it from their next transaction on.
 * Threads: that of the connection, which must have no statement running and no transaction open. */
#ifndef LSQI_ENGINE_INJECT_H
#define LSQI_ENGINE_INJECT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether this build's engine can. */
bool lsqi_inject_known(void);

/* Answer a result code of the engine. BUSY: another connection has the write lock. lsqi_inject_end() is to be called
 * after a begin that failed, too. What was given without its last frame (size_after > 0) is nothing when end is
 * called. frame[0..24) is room that is written here, frame[24..24 + page_size) the page. */
int lsqi_inject_begin(sqlite3 *db);
int lsqi_inject_frame(sqlite3 *db, unsigned char *frame, uint32_t page_size, uint32_t page,
                      uint32_t size_after);
int lsqi_inject_end(sqlite3 *db);

/* Frames in the WAL; -1 where that cannot be known now. */
int lsqi_inject_wal_frames(sqlite3 *db);

#endif
