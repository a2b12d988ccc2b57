/* state.h - the record of a replica, for the files of this folder: replica.c, which keeps it and its callers, and
 * follow.c, which exchanges frames with the server. */
#ifndef LSQI_REPL_STATE_H
#define LSQI_REPL_STATE_H

#include <pthread.h>

#include "base/helper.h"
#include "engine/key.h"
#include "remote/server.h"
#include "repl/apply.h"
#include "repl/base.h"
#include "repl/frame.h"
#include "repl/meta.h"
#include "repl/replica.h"
#include "repl/spool.h"

struct lsqi_protocol;

struct lsqi_snapshot {
    uint64_t next;   /* after its newest frame, the first one; 0: none has come */
    uint64_t lowest; /* the last that came */
    uint32_t pages;  /* of the database: its last frame has come */
    size_t spooled;  /* frames that were there before it */
    /* Of one whose pages come in their order, and that can be gone on with after a break: it is known again by this.
     * 0: it begins again. */
    uint64_t version;
};

/* Checksums along the log. They are the server's to make: one that makes others, or none, is followed without. */
struct lsqi_chain {
    uint64_t sum;   /* of the frame before replica->next; 0 behind a frame: not known */
    uint64_t joint; /* the first frame behind what was kept of earlier exchanges; 0: none */
    bool holds;     /* it has been seen to */
    bool none;      /* the server makes none that we know */
    bool parted;    /* the log does not go on from what we have */
    /* Frames up to here may be in the file already, behind what is there for certain: the server must have those, and
     * not others in their place, of which the file would keep pages. The checksum of the one before. 0: none. */
    uint64_t until;
    uint64_t until_sum;
    uint32_t top; /* the highest page of the transaction that has begun */
    /* the last frame that did not fit, to know it by when it comes again */
    uint64_t odd;
    uint64_t odd_sum;
    uint64_t odd_found;
};

/* Of a file that is written to offline: local.h. */
struct lsqi_local {
    pthread_mutex_t lock; /* also of the metadata, where others than who exchanges may write them */
    /* guarded by it */
    struct lsqi_apply
        *guard;    /* looks at the WAL, and holds checkpoints off; NULL: not opened yet */
    bool firm;     /* there is a local frame behind the place: the WAL is begun anew no more */
    bool lost;     /* the WAL is not that of the place */
    bool is_known; /* what the WAL had when it was clean last: ... */
    struct lsqi_wal_mark known;
    /* any thread */
    atomic_bool dirty;
    atomic_bool settled; /* dirty and firm: a commit has nothing to note */
    _Atomic uint32_t first;
    _Atomic uint32_t end; /* frames first + 1 to end of the WAL are local, as far as is known */
};

struct lsqi_replica {
    struct lsqi_replica_face face; /* first */
    char *path;
    char *meta_name;
    struct lsqi_key key; /* all that is written of the content is encrypted with it */
    int lock_fd;
    struct lsqi_server server;
    enum lsq_sync_protocol wanted;
    int interval; /* ms; 0: none */
    struct lsqi_task timer;
    bool offline; /* it is written to here, and pushed */
    struct lsqi_local local;

    /* guarded by the lock of the list of replicas */
    struct lsqi_replica *next_record;
    unsigned refs;
    bool opened;  /* what is below is set */
    bool closing; /* nobody has it, and it is on its way out */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    struct lsqi_replica_sync *waiters;
    bool running; /* a thread exchanges: it alone touches what stands below this part */
    bool due;     /* ... for the interval's sake */
    bool frozen;
    bool ending;
    bool stopped; /* the exchange was told to end */
    bool usable;
    bool distrusted;          /* what is in the file */
    int64_t next_due;         /* ns; of the interval */
    uint64_t exchanges;       /* begun */
    unsigned refusals_on_end; /* exchanges that the server refused */
    uint64_t serial;          /* of the last request for frames that was begun */
    uint64_t reached;         /* the last such that found nothing more */
    int64_t synced_at;        /* ns, when that was; 0: never */
    uint64_t highest;
    struct lsqi_replica_info
        counts;        /* syncs, failures, rebuilds, frames, bytes, pushed, last_error, log_id */
    int64_t pushed_at; /* ns; 0: never */
    bool wish;         /* local changes are to be set aside by the next exchange ... */
    unsigned wishers;  /* ... as long as somebody waits for it ... */
    char aside[LSQI_REPLICA_ASIDE]; /* ... which did it so; "" */

    /* Of who opens, who runs, and who closes: one after the other. */
    struct lsqi_meta meta;
    struct lsqi_apply *apply;             /* NULL: there is no file yet */
    struct lsqi_base base;                /* then frames go here, and else ... */
    struct lsqi_spool spool;              /* ... here, until they are applied */
    const struct lsqi_protocol *protocol; /* NULL: not known yet */
    struct lsqi_hello hello;
    bool greeted;
    int64_t greeted_at; /* ns */
    uint64_t came;      /* frames, to the base */
    uint64_t next;      /* the frame to ask for */
    struct lsqi_chain chain;
    uint64_t committed_next; /* after the last frame here that ends a transaction */
    uint64_t committed_pages;
    uint64_t committed_sum;
    int64_t began; /* ns, the exchange */
    uint64_t began_bytes;
    bool wished;             /* what `wish` was when the exchange began */
    struct lsqi_mark coming; /* of what is being put in */
    bool overtaken;          /* local changes have come before what was to go in */
    unsigned push_most;      /* frames that one request takes; 0: not known yet */
    bool replaced;           /* the history is another than that of what is in the file */
    bool in_snapshot;
    struct lsqi_snapshot snapshot; /* that comes */
};

/* Makes an empty database in the file's place, with metadata, and opens it. */
enum lsq_status lsqi_replica_create_empty(struct lsqi_replica *replica, struct lsq_error *err);

/* All that is kept and not applied is given up, and asked for again: from what is in the file. */
void lsqi_follow_again(struct lsqi_replica *replica);
/* Says hello, and keeps the answer in replica->hello. */
enum lsq_status lsqi_follow_greet(struct lsqi_replica *replica, struct lsq_error *err);
bool lsqi_follow_is_to_greet(struct lsqi_replica *replica);
/* The content of the file is to be replaced as a whole, after its changes were set aside. */
void lsqi_follow_yielded(struct lsqi_replica *replica, const char *aside);
/* What the metadata say has changed: others see it. */
void lsqi_follow_publish(struct lsqi_replica *replica);

/* push.c: local changes go to the server, as far as there are some when it begins. *end: there are new ones by now,
 * which are left to the next exchange; else all is pushed, and what others wrote is to be fetched. */
enum lsq_status lsqi_push(struct lsqi_replica *replica, bool *end, struct lsq_error *err);

/* One exchange: everything that the server has, or an error. Retries what is worth it. */
enum lsq_status lsqi_follow(struct lsqi_replica *replica, struct lsq_error *err);

/* Frames went in: whoever waited for them is told. */
void lsqi_replica_progress(struct lsqi_replica *replica);

/* Whether the exchange is to be given up. */
bool lsqi_replica_stops(void *replica);

/* What is kept ends before replica->next, with a frame of that sum: frames are checked from there on. check.c. */
void lsqi_chain_join(struct lsqi_replica *replica, uint64_t sum);
/* Whether the frame, which is replica->next, goes on from the one before it and can be what it says. Errors: LSQ_CONNECTION_LOST (transient: it was damaged on its way, or the log is another one, which the next
 * greeting finds: chain.parted), LSQ_CORRUPT (the server's log is damaged). */
enum lsq_status lsqi_chain_check(struct lsqi_replica *replica, const struct lsqi_frame *frame,
                                 const void *page, size_t len, struct lsq_error *err);

/* It was taken: it is the one before the next. */
void lsqi_chain_took(struct lsqi_replica *replica, const struct lsqi_frame *frame);
/* The next frame came, and did not fit: whether it was damaged, or the log is another, shows when it comes again. */
bool lsqi_chain_doubts(const struct lsqi_replica *replica);
/* What may be in the file, as its metadata say. */
void lsqi_chain_expect(struct lsqi_replica *replica, const struct lsqi_meta *meta);
/* The log goes on at `next`, by a snapshot or in another part: the last frame that may be in the file is not to come, if
 * it is before that. */
enum lsq_status lsqi_chain_leap(struct lsqi_replica *replica, uint64_t next, struct lsq_error *err);

/* ---- For protocols ---- */

/* Frames up to next - 1, which has that checksum, are about to be told: that is noted once for all of them. */
void lsqi_follow_coming(struct lsqi_replica *replica, uint64_t next, uint64_t sum);
/* A frame has come. */
enum lsq_status lsqi_follow_frame(void *replica, const struct lsqi_frame *frame, const void *page,
                                  size_t len, struct lsq_error *err);
/* Frames have come, and are worth being applied. */
enum lsq_status lsqi_follow_pause(void *replica, struct lsq_error *err);
/* What follows are frames of a snapshot: the newest first, each page once, as one transaction. go_on(): the first ones
 * are here, in the file in the making (lsqi_base_part()): the number of the first, and how many. end(): `whole` where
 * all of it has come. */
void lsqi_follow_snapshot_begin(struct lsqi_replica *replica);
void lsqi_follow_snapshot_go_on(struct lsqi_replica *replica, uint64_t number, uint32_t pages);
enum lsq_status lsqi_follow_snapshot_end(struct lsqi_replica *replica, bool whole,
                                         struct lsq_error *err);
/* What there is of the file in the making is given up, and the server greeted anew. */
void lsqi_follow_from_nothing(struct lsqi_replica *replica);
/* What r->next stands behind is all of a part of the log that is closed: it goes on at `next`. The begin of a
 * transaction that has come of it will have no end. */
void lsqi_follow_part_ends(struct lsqi_replica *replica, uint64_t next);

#endif
