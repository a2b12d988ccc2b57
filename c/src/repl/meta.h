/* meta.h - what is known of a replica's file, in a small file beside it: from which history it is, and how far it is.
 *
 * It has three slots, each a block of its own with a number and a checksum; what is written goes to the slot after the
 * last one's, and the valid slot of the highest number counts. So a write that the end of the process or of the power
 * tears leaves the one before it. Of two writes on end one at least must be durable (LSQI_META_DURABLE), else all that
 * is known could be torn at once.
 *
 * How far: frames up to `applied` are in the file; frames up to `target` may be. `target` is written, durably, before
 * frames beyond `applied` go in, and `applied` after they are in and on the disk. Where target > applied at opening,
 * the file is in some committed state between the two. It may be read; but what goes in next must be the frames
 * applied + 1 up to target at least, as one transaction, for part of them on top of all of them would mix old pages
 * and new.
 *
 * What the file looks like is in `mark`, as it is in `coming` of what is being put in: see mark.h. Where target >
 * applied, it looks as one of the two says; else as `mark` says.
 *
 * Positions here are `next`: the number of the frame after, 0 where there is none, for numbers begin at 0.
 *
 * Of a file that is written to offline (local.h), `wal` is a place in its WAL: up to there the file has what the server
 * has up to `applied`. What is beyond it are local changes (LSQI_META_LOCAL), of which `mark` knows nothing; or,
 * where target > applied, the server's transaction up to `target`, if anything: so that it is known at opening which.
 * Threads: one at a time. */
#ifndef LSQI_REPL_META_H
#define LSQI_REPL_META_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/key.h"
#include "engine/walfile.h"
#include "lsq/lsq.h"
#include "repl/mark.h"

enum lsqi_meta_state {
    LSQI_META_READY = 1,
    LSQI_META_INSTALLING = 2, /* the file with `inode` is to be renamed to its place, or was */
    LSQI_META_DISCARD = 3     /* what is in its place is to be set aside */
};

struct lsqi_meta {
    uint64_t sequence; /* of the write; the caller leaves it alone */
    uint32_t state;
    uint32_t page_size;
    uint32_t
        histories; /* that the file's content was replaced by, under open connections: see lsqi_apply_put() */
    uint64_t inode; /* of the file that this is about: another one is not ours */
    uint64_t
        applied; /* the frame after the last that is in it for certain; 0: its content is to be replaced */
    uint64_t target;   /* the frame after the last that may be in it */
    uint64_t pages;    /* of the database, where applied is target */
    uint64_t checksum; /* of the frame before `applied` */
    uint64_t
        key_mark; /* of the key that the file is encrypted with: lsqi_key_copy(); 0: it is not */
    char log_id[40];
    struct lsqi_mark mark;
    struct lsqi_mark coming;
    uint32_t beyond; /* enum lsqi_meta_beyond */
    struct lsqi_wal_mark wal;
    uint32_t tried; /* frames of that WAL up to which the server may have ours: they were sent */
    uint64_t target_checksum; /* of the frame before `target`; 0: not known */
};

enum lsqi_meta_beyond {
    LSQI_META_UNPLACED,  /* wal says nothing */
    LSQI_META_APPLIES,   /* beyond it is the server's */
    LSQI_META_LOCAL,     /* beyond it are changes that the server has not, as far as is known ... */
    LSQI_META_LOCAL_FIRM /* ... and the WAL has those salts, and no others */
};

static inline bool lsqi_meta_is_local(const struct lsqi_meta *meta) {
    return meta->beyond == LSQI_META_LOCAL || meta->beyond == LSQI_META_LOCAL_FIRM;
}

enum lsqi_meta_write { LSQI_META_LAZY, LSQI_META_DURABLE };

/* key: of the file that the metadata are about, NULL for none: checksums of pages are veiled with it (lsqi_key_veil()).
 *
 * Reads the file at path. LSQ_OK; LSQ_NO_ROW: there is none; LSQ_CORRUPT: no slot is valid; LSQ_IO, LSQ_PERMISSION. */
enum lsq_status lsqi_meta_read(struct lsqi_meta *meta, const char *path, const struct lsqi_key *key,
                               struct lsq_error *err);

/* Makes the file with this content: a new one, renamed into place, durable. */
enum lsq_status lsqi_meta_create(struct lsqi_meta *meta, const char *path,
                                 const struct lsqi_key *key, struct lsq_error *err);

/* Writes to the file that is there. On an error nothing has changed, as far as can be known. */
enum lsq_status lsqi_meta_write(struct lsqi_meta *meta, const char *path,
                                const struct lsqi_key *key, enum lsqi_meta_write how,
                                struct lsq_error *err);

#endif
