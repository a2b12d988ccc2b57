/* walfile.h - a database's WAL, looked at from below: how far it is, its frames, and the lock that keeps every
 * checkpoint out. By SQLite's formats: https://sqlite.org/walformat.html, https://sqlite.org/fileformat2.html, 4.
 *
 * Threads: that of the connection, which must have read from the file once. */
#ifndef LSQI_ENGINE_WALFILE_H
#define LSQI_ENGINE_WALFILE_H

#include <stdbool.h>
#include <stdint.h>

struct sqlite3;

/* A place in a WAL: so many frames of the one with those salts. All zero: one that has not begun. */
struct lsqi_wal_mark {
    unsigned char salts[8];
    uint32_t frames;
};

/* Functions answer a result code of the engine, where no other is named. */

/* The committed frames that there are. Who has the file's write lock, in whatever connection of this process, or a
 * file that nobody writes to. */
int lsqi_wal_look(struct sqlite3 *db, struct lsqi_wal_mark *now);

/* What `now` has beyond the mark `from`: frames first + 1 to now->frames. A writer that finds all of a WAL in the file
 * begins it anew, with the next salt; one that finds none gives it any. False: it is another WAL, or a shorter one. */
bool lsqi_wal_beyond(const struct lsqi_wal_mark *from, const struct lsqi_wal_mark *now,
                     uint32_t *first);

/* Frame number i, from 1, that was committed, to frame[0..24 + page_size); its page is decrypted. */
int lsqi_wal_read(struct sqlite3 *db, uint32_t i, unsigned char *frame, uint32_t page_size);
/* What was written of it is on the disk. */
int lsqi_wal_sync(struct sqlite3 *db);

/* Takes the lock of whoever takes a checkpoint, for the connection, until lsqi_wal_release(): checkpoints of all others
 * find the file busy, so that no frame of the WAL is overwritten. BUSY: one is under way. Of two calls, each by
 * a thread of its own, none may overlap. */
int lsqi_wal_hold(struct sqlite3 *db);
void lsqi_wal_release(struct sqlite3 *db);

#endif
