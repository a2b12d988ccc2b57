/* replica.h - a local file that follows a database on a server: one record for each such file of the process,
 * shared by its connections.
 *
 * Here is everything but the connections: the file's state on disk, the exchange with the server, the frames that
 * are put into the file. Reading it is an ordinary connection's work, writing the server's.
 *
 *   lsqi_replica_open()     finds out what is on the disk; no network. usable: there is a file that can be read
 *   lsqi_replica_sync()     fetches; the first one of a new replica makes the file
 *   lsqi_replica_unref()    the last one ends what runs and gives the file free, on a thread of the library
 *
 * The order for a connection: open; sync, as the settings say (necessarily where the file is not usable); then the
 * engine opens lsqi_replica_path() like any file (it is in WAL mode, and must not be written to); at the end it is
 * closed, then unref.
 *
 * Files beside NAME: NAME-replica (meta.h), NAME-replica-lock, NAME-incoming and NAME-incoming-state (a base that
 * is being fetched), NAME-aside-1 and -2 (what was found inconsistent, the younger one has the higher time),
 * NAME-aside-own-1, ... (what was no replica's).
 *
 * Threads: any, but where a function says that it may wait. Callbacks are called on threads of the library with no
 * lock held, and must be short. */
#ifndef LSQI_REPL_REPLICA_H
#define LSQI_REPL_REPLICA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lsq/lsq.h"

enum { LSQI_REPLICA_ASIDE = 4096 }; /* bytes of a name, at most */

struct lsqi_replica;
struct lsqi_key; /* engine/key.h */

/* How a replica begins: what is asked for at each read. */
struct lsqi_replica_face {
    _Atomic uint64_t applied;
    _Atomic uint64_t written;
    /* How often it was not known where in the server's log a write is, and how many of those syncs have answered */
    _Atomic uint64_t doubts;
    _Atomic uint64_t settled;
    _Atomic int
        protocol; /* enum lsq_sync_protocol: that which serves; LSQ_SYNC_AUTO: not known yet */
};

/* Everything is borrowed until lsqi_replica_open() returns. */
struct lsqi_replica_config {
    const char *path; /* of the local file: a plain name, no URI */
    /* The server: path is its URL, and remote (may be NULL) how it is reached. http and libsql schemes; ws is taken
     * for http. remote->replicas are not asked: frames come from the primary alone. */
    const struct lsq_config *server;
    int sync_interval; /* ms between syncs that nobody asks for; 0: none. Less a random tenth; backs off on refusals */
    /* A file that has data and no metadata of ours is refused (LSQ_NOT_A_REPLICA) unless this is set, as is one that has
     * another key: then it is set aside, and the replica made in its place. */
    bool adopt_replace;
    bool any_filesystem; /* as LSQ_OPEN_ANY_FILESYSTEM */
    /* What the file is encrypted with, and all that is kept beside it of what it has; NULL: nothing. */
    const void *key;
    size_t key_len;
    enum lsq_sync_protocol protocol;
    /* The file is written to here, and its changes are pushed: connections have the engine open it for writing, and ask
     * lsqi_replica_will_commit(). By LSQ_SYNC_V2 only. */
    bool offline;
};

/* Opens the record of the file, or shares the one that is open (its settings hold; another server is
 * LSQ_ALREADY_OPEN). Looks at the file and its metadata; what does not fit together is set aside, with an event, and
 * fetched anew by the first sync. May wait: for the disk, and for the end of a record of that file that is closing.
 * Caller owns *out, a reference.
 * Errors: LSQ_ALREADY_OPEN (as a plain file in this process; by another process as a replica), LSQ_NOT_A_REPLICA,
 * LSQ_NOT_A_DATABASE (the file has another key, or one where none is given, or none where one is: nothing is touched,
 * unless adopt_replace is set), LSQ_CONFLICT (it has changes that the server has not, and is opened without offline; or
 * would have to be set aside with them, and adopt_replace is not set), LSQ_PROTOCOL_UNSUPPORTED (offline, and the file is
 * of another protocol), LSQ_BAD_ARGUMENT, LSQ_UNSAFE_FILESYSTEM, LSQ_UNSUPPORTED (a build without libSQL's
 * engine), LSQ_IO, LSQ_PERMISSION, LSQ_NOMEM. */
enum lsq_status lsqi_replica_open(struct lsqi_replica **out, const struct lsqi_replica_config *cfg,
                                  struct lsq_error *err);
void lsqi_replica_ref(struct lsqi_replica *replica);
void lsqi_replica_unref(struct lsqi_replica *replica); /* NULL is fine; never waits */

/* Whether the file at path may be opened as an ordinary one: LSQ_OK; LSQ_ALREADY_OPEN where it is a replica (open in
 * this process, or by its metadata), in words for people. Looks at the disk. */
enum lsq_status lsqi_replica_check_plain(const char *path, struct lsq_error *err);

/* The file's absolute name. Borrowed from the record. */
const char *lsqi_replica_path(const struct lsqi_replica *replica);
/* The file's key, or none. Borrowed from the record. */
const struct lsqi_key *lsqi_replica_key(const struct lsqi_replica *replica);
/* There is a file that can be read: some committed state of the primary's. It never becomes unusable again. */
bool lsqi_replica_usable(struct lsqi_replica *replica);
/* Makes an empty database where there is no file, so that it is usable before the first sync. Errors: LSQ_IO, ... */
enum lsq_status lsqi_replica_make_empty(struct lsqi_replica *replica, struct lsq_error *err);

/* The last frame that is in the file; 0: none. For read-your-writes, compared with the replication_index of the
 * server's answers. */
static inline uint64_t lsqi_replica_applied(const struct lsqi_replica *replica) {
    return atomic_load_explicit(&((const struct lsqi_replica_face *)(const void *)replica)->applied,
                                memory_order_acquire);
}

/* The highest index that a write was answered with, as lsqi_replica_wrote() was told. It is 0 again when the server
 * turns out to have another history, for what was written to the old one may be gone. */
static inline uint64_t lsqi_replica_written(const struct lsqi_replica *replica) {
    return atomic_load_explicit(&((const struct lsqi_replica_face *)(const void *)replica)->written,
                                memory_order_acquire);
}
/* What a read of this process is to see may not be in the file: until that index is (0: all that the server has), for
 * there is a doubt. */
static inline bool lsqi_replica_behind(const struct lsqi_replica *replica, uint64_t *until) {
    const struct lsqi_replica_face *face = (const void *)replica;
    bool doubt = atomic_load_explicit(&face->doubts, memory_order_acquire) !=
                 atomic_load_explicit(&face->settled, memory_order_relaxed);

    *until = doubt ? 0 : lsqi_replica_written(replica);
    return doubt || lsqi_replica_applied(replica) < *until;
}
/* A write may have been stored, and where is not known; or where it says is no place of this history. */
static inline void lsqi_replica_doubt(struct lsqi_replica *replica) {
    atomic_fetch_add(&((struct lsqi_replica_face *)(void *)replica)->doubts, 1);
}
static inline uint64_t lsqi_replica_doubts(const struct lsqi_replica *replica) {
    return atomic_load(&((const struct lsqi_replica_face *)(const void *)replica)->doubts);
}
/* A sync of everything, begun when there were so many, has ended well. */
static inline void lsqi_replica_settle(struct lsqi_replica *replica, uint64_t doubts) {
    struct lsqi_replica_face *face = (void *)replica;
    uint64_t before = atomic_load(&face->settled);

    while (before < doubts && !atomic_compare_exchange_weak(&face->settled, &before, doubts)) {
    }
}

/* Whether indexes by which the server answers statements are places in what the replica follows. */
static inline bool lsqi_replica_indexed(const struct lsqi_replica *replica) {
    return atomic_load_explicit(
               &((const struct lsqi_replica_face *)(const void *)replica)->protocol,
               memory_order_relaxed) == (int)LSQ_SYNC_V1;
}

/* The server answered a write with that index. */
void lsqi_replica_wrote(struct lsqi_replica *replica, uint64_t index);
enum lsq_status lsqi_replica_set_token(struct lsqi_replica *replica, const char *token,
                                       struct lsq_error *err);

/* ---- Syncs ---- */

struct lsqi_replica_sync_result {
    uint64_t frame;   /* the last one that is in the file */
    uint64_t applied; /* how many frames went in since the caller asked */
    uint64_t bytes;   /* of answers, since then */
};

/* One caller's wish; all zero, then filled in down to arg. The memory is the caller's, and stays until done() was
 * called or lsqi_replica_sync_cancel() answered true. Many of them share one exchange with the server. */
struct lsqi_replica_sync {
    /* 0: everything that the server has when this is asked; else, until that frame is in the file. */
    uint64_t until;
    int timeout; /* ms; 0: none. Then LSQ_TIMEOUT; what was applied by then stays */
    /* Called once. err is borrowed, NULL where status is LSQ_OK. result is set in any case. Not called from within
     * lsqi_replica_sync() itself. */
    void (*done)(void *arg, enum lsq_status status, const struct lsqi_replica_sync_result *result,
                 const struct lsq_error *err);
    void *arg;
    /* replica.c's, guarded by its lock */
    struct lsqi_replica_sync *next;
    uint64_t after;
    uint64_t exchange; /* that was under way, or over: its failure is not this one's */
    uint64_t applied_before;
    uint64_t bytes_before;
    int64_t deadline;
    bool waiting;
};

/* Begins. Errors (done() is then not called): LSQ_CLOSED (frozen), LSQ_NOMEM, LSQ_ERROR where no thread can be
 * started, LSQ_UNSUPPORTED where libcurl is not there (this one may come by done(), too). Those that done() is given:
 * LSQ_UNREACHABLE, LSQ_TLS, LSQ_UNAUTHORIZED, LSQ_NAMESPACE_NOT_FOUND, LSQ_PROTOCOL_UNSUPPORTED (no server of frames),
 * LSQ_CONNECTION_LOST, LSQ_TIMEOUT, LSQ_OVERLOADED, LSQ_CORRUPT (what came is no database), LSQ_IO, LSQ_FULL, LSQ_NOMEM,
 * LSQ_CLOSED (frozen meanwhile). Transport failures are retried within remote->retry_time before they are told. */
enum lsq_status lsqi_replica_sync(struct lsqi_replica *replica, struct lsqi_replica_sync *sync,
                                  struct lsq_error *err);

/* Something has shown that the file is behind: a sync begins, unless one runs, and nobody waits for it. */
void lsqi_replica_hurry(struct lsqi_replica *replica);

/* Leaves at once. True: done() was not called and will not be. False: it was, or is running. What is transferred is
 * ended when nobody is left who wants it; what has come is kept. */
bool lsqi_replica_sync_cancel(struct lsqi_replica *replica, struct lsqi_replica_sync *sync);

/* The same for a thread that may wait. stop: asked every 10 ms, true ends it with LSQ_INTERRUPTED; may be NULL. */
enum lsq_status lsqi_replica_sync_wait(struct lsqi_replica *replica, uint64_t until, int timeout,
                                       bool (*stop)(void *arg), void *stop_arg,
                                       struct lsqi_replica_sync_result *result,
                                       struct lsq_error *err);

/* Whatever was asked for so far and all who wait are answered with LSQ_CLOSED; the metadata is removed, and the file is
 * an ordinary one from then on (when the record is closed: until then it is still lsqi_replica_path() of this record,
 * usable, and lsqi_replica_check_plain() answers LSQ_OK). May wait for the end of an apply.
 * Errors: LSQ_MISUSE where there is no usable file, LSQ_IO. */
enum lsq_status lsqi_replica_freeze(struct lsqi_replica *replica, struct lsq_error *err);

/* A reader found the file damaged: the next sync fetches everything anew, and replaces the content under open
 * connections (LSQI_REPLICA_REPLACED). */
void lsqi_replica_distrust(struct lsqi_replica *replica);

/* ---- Local changes ---- */

/* A connection commits what it has written to the file, and has its write lock: LSQ_OK, or the commit is to be undone.
 * Errors: LSQ_SYNC_FIRST, LSQ_BUSY, LSQ_IO, LSQ_FULL, ... */
enum lsq_status lsqi_replica_will_commit(struct lsqi_replica *replica, struct lsq_error *err);
/* It has, and the WAL has so many frames. */
void lsqi_replica_committed(struct lsqi_replica *replica, int frames);
/* The exchange that begins next sets local changes aside, and takes the server's content; where there are none it
 * does nothing. Whatever becomes of it, the one after does not. Followed by lsqi_replica_aside(), in any case. */
void lsqi_replica_wish_aside(struct lsqi_replica *replica);
/* The name under which an exchange since then has kept them, "" where none has: it is not to be done any more then. */
void lsqi_replica_aside(struct lsqi_replica *replica, char aside[LSQI_REPLICA_ASIDE]);

/* ---- What is known ---- */

struct lsqi_replica_info {
    bool usable;
    bool frozen;
    bool running;     /* an exchange is under way */
    uint64_t applied; /* the last frame that is in the file; 0: none */
    uint64_t highest; /* the highest that the server has named; 0: none */
    uint64_t lag;     /* highest - applied, 0 where that is negative */
    int64_t
        synced_ago; /* ms since the file was known to have all that the server had; -1: never in this process */
    int64_t waiting;   /* callers */
    uint64_t syncs;    /* exchanges that came to a good end, since it was opened */
    uint64_t failures; /* that did not */
    uint64_t rebuilds; /* the content was replaced as a whole */
    uint64_t frames;   /* applied, since it was opened */
    uint64_t bytes;    /* of answers, since it was opened */
    bool offline;
    uint64_t unpushed;  /* local frames that the server has not */
    uint64_t pushed;    /* that it took, since it was opened */
    int64_t pushed_ago; /* ms since it took some; -1: none in this process */
    struct lsq_error
        last_error; /* of the last exchange that failed; LSQ_OK: none since the last good one */
    enum lsq_sync_protocol protocol; /* that serves; LSQ_SYNC_AUTO: not known yet */
    char log_id[40];                 /* of the history that the file belongs to; "": none */
};

void lsqi_replica_info(struct lsqi_replica *replica, struct lsqi_replica_info *info);

/* ---- Events ---- */

enum lsqi_replica_event_kind {
    LSQI_REPLICA_BOOTSTRAPPED, /* the file was made, or made anew */
    LSQI_REPLICA_SYNCED,       /* frames were applied */
    LSQI_REPLICA_FAILED,       /* an exchange failed: why, message */
    LSQI_REPLICA_SET_ASIDE, /* something did not fit, message says what; aside is what it was renamed to */
    LSQI_REPLICA_REPLACED, /* the server has another history: the content was replaced under open connections */
    LSQI_REPLICA_PUSHED /* the server took local frames */
};

/* Everything is borrowed for the length of the call. */
struct lsqi_replica_event {
    enum lsqi_replica_event_kind kind;
    const char *path;
    enum lsq_status why;
    const char *message; /* "" where there is nothing to say */
    const char *aside;   /* NULL: nothing was kept */
    uint64_t frame;      /* the last one in the file */
    uint64_t frames;     /* that this was about */
    uint64_t bytes;
    int64_t took_ns;
};

/* One for the process: the last one counts; NULL: none. Called on threads of the library and of who opens. */
void lsqi_on_replica_event(void (*fn)(const struct lsqi_replica_event *event, void *arg),
                           void *arg);

#endif
