/* state.h - a server's connection and its calls; shared by the files of this folder. */
#ifndef LSQI_REMOTE_STATE_H
#define LSQI_REMOTE_STATE_H

#include "remote/exchange.h"
#include "remote/failure.h"
#include "remote/remote.h"

struct lsqi_cursor;

struct lsqi_remote {
    struct lsqi_gate *gate;
    struct lsqi_server server;
    /* Who is in; the I/O thread while a call runs. */
    char *baton;    /* of the open transaction's stream; NULL: there is none */
    char *base_url; /* where that is; NULL: at the server's own address */
    bool reads;     /* LSQ_TXN_READ */
    bool by_sql;    /* the open transaction was begun by a statement's text */
    /* Such a one is over, and not by a COMMIT or ROLLBACK: nothing is run until one comes, for it would be stored by
     * itself. */
    bool lost;
    struct lsqi_cursor
        *cursor; /* that reads from the stream now, and has to end before it goes on */
    const struct lsqi_remote_watcher *watcher; /* NULL: there is none. Set at opening */
    void *watcher_arg;
    int64_t last_rowid;
    int64_t changes;
    int64_t total_changes;
    /* guarded by the gate's lock */
    struct lsqi_exchange *running;
};

/* How the end of a call is told: by a callback, or by waking who waits. */
struct lsqi_pending {
    struct lsqi_remote *remote;
    void (*done)(void *arg, enum lsq_status st, const struct lsq_error *err);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool ended; /* guarded by lock, as what follows */
    enum lsq_status st;
    struct lsq_error err;
};

/* Before a call is built: enters the gate, as the call of a statement's handle, or (NULL) of none.
 * LSQ_WOULD_BLOCK where the call would have to wait, and may not. */
enum lsq_status lsqi_pending_enter(struct lsqi_remote *remote, const void *whose,
                                   const struct lsq_call *call, struct lsq_error *err);
void lsqi_pending_init(struct lsqi_pending *pending, struct lsqi_remote *remote,
                       const struct lsq_call *call);
/* What the caller is answered once the call has begun: LSQ_PENDING, or, after waiting, its end. The pending's owner
 * frees it after the latter, and in end() of the former. */
enum lsq_status lsqi_pending_wait(struct lsqi_pending *pending, struct lsq_error *err);
/* The call has ended; leaves the gate. free() is called for the pending of a call that nobody waits for; else it is
 * gone once this was called. */
void lsqi_pending_end(struct lsqi_pending *pending, enum lsq_status st, const struct lsq_error *err,
                      void (*free_owner)(struct lsqi_pending *pending));

int lsqi_call_timeout(const struct lsqi_remote *remote, const struct lsq_call *call);

/* After a whole answer: keeps the stream's place. autocommit: no transaction is open in it, so it is left. */
void lsqi_remote_settle(struct lsqi_remote *remote, const struct lsqi_exchange *x, bool autocommit);
/* Before an exchange: how far the log is known, for x.known. */
uint64_t lsqi_remote_known(const struct lsqi_remote *remote);
/* At its end: tells what it has stored, or may have. outcome: of the error that the caller will be answered. */
void lsqi_remote_note_stored(const struct lsqi_remote *remote, const struct lsqi_exchange *x,
                             enum lsq_status st, enum lsq_outcome outcome);
/* LSQ_SQL, as the server said it. */
void lsqi_remote_note_refused(const struct lsqi_remote *remote, const struct lsq_error *err);
/* The stream is lost, or closed. */
void lsqi_remote_forget(struct lsqi_remote *remote);
/* The same, and the caller did not mean it to be. */
void lsqi_remote_lose(struct lsqi_remote *remote);
/* LSQ_NO_TRANSACTION after that. */
enum lsq_status lsqi_remote_there(const struct lsqi_remote *remote, struct lsq_error *err);

/* Whether the call that runs is this exchange's: it can be interrupted. */
void lsqi_remote_running(struct lsqi_remote *remote, struct lsqi_exchange *x);
/* The same once the call has been under way for a while. LSQ_INTERRUPTED: it was, meanwhile. */
enum lsq_status lsqi_remote_go_on(struct lsqi_remote *remote, struct lsqi_exchange *x,
                                  struct lsq_error *err);

/* ---- cursor.c ---- */

/* Reads the rest of the stream's cursor within so many ms (0: no bound), so that the stream is free; then fn(arg, st).
 * In a call, which is the cursor's exchange's meanwhile. Errors: of beginning; fn is then not called. */
enum lsq_status lsqi_cursor_drain(struct lsqi_cursor *cursor, int timeout_ms,
                                  void (*fn)(void *arg, enum lsq_status st,
                                             const struct lsq_error *err),
                                  void *arg, struct lsq_error *err);

#endif
