/* Of a replica: reads that find the file behind what this program has written, and syncs. Both wait for the file, in
 * their call: on the caller's thread, or, with lsq_call.done, on none. */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "conn/conn.h"

/* Somebody who waits by lsq_call.done. Between its begin and its end the connection is in a call. */
struct lsqi_later {
    struct lsqi_replica_sync sync;
    struct lsqi_task task; /* tells of the end where nobody else does */
    struct lsq_conn *conn;
    struct lsq_call call;
    int64_t since;           /* ns */
    uint64_t doubts;         /* when it began */
    bool is_sync;            /* of lsq_sync(); else: */
    struct lsqi_again again; /* with copies of what it borrows */
    char *trace;
    struct lsq_sync_result *result; /* the caller's; may be NULL */
    enum lsq_status st;             /* of the waiting */
    struct lsq_error err;
};

/* ---- Life ---- */

static void later_free(struct lsqi_later *later) {
    struct lsq_conn *conn = later->conn;

    lsqi_again_release(&later->again);
    lsqi_free(later->trace);
    lsqi_free(later);
    lsqi_gate_unref(&conn->gate);
}

/* Its call is out of the gate for a moment before it is made again: the statement, as the connection's memory, is to
 * be there then, whatever others do to it. */
static void hold(struct lsqi_later *later, bool held) {
    if (later->again.stmt != NULL) lsqi_stmt_hold(later->again.stmt, held);
}

/* NULL again: a sync's. */
static enum lsq_status later_new(struct lsqi_later **out, struct lsq_conn *conn,
                                 const struct lsq_call *call, const struct lsqi_again *again,
                                 struct lsq_error *err) {
    struct lsqi_later *later = lsqi_calloc(1, sizeof(*later));
    enum lsq_status st = LSQ_OK;

    if (later == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a call that waits");
    later->conn = conn;
    lsqi_gate_ref(&conn->gate);
    later->call = *call;
    later->since = lsqi_now_ns();
    later->doubts = lsqi_replica_doubts(lsqi_followed(conn));
    later->is_sync = again == NULL;
    if (again != NULL) st = lsqi_again_copy(&later->again, again, err);
    if (st == LSQ_OK && call->traceparent != NULL) {
        later->trace = lsqi_strndup(call->traceparent, strlen(call->traceparent));
        if (later->trace == NULL)
            st = lsqi_error_set(err, LSQ_NOMEM, "out of memory for a call that waits");
    }
    if (st != LSQ_OK) {
        later_free(later);
        return st;
    }
    later->call.traceparent = later->trace;
    hold(later, true);
    *out = later;
    return LSQ_OK;
}

/* ---- What the waiting came to ---- */

static int64_t waited_ms(int64_t since) { return (lsqi_now_ns() - since) / 1000000; }

/* Up to half of the call's time: then there is some left to ask the primary. */
static int patience(const struct lsq_conn *conn, const struct lsq_call *call) {
    int half = call != NULL ? call->timeout / 2 : 0;

    if (call == NULL || call->timeout <= 0 || conn->stale_after < half) return conn->stale_after;
    return half > 0 ? half : 1;
}

/* After the waiting, in the call: the flag with which the call is made again, or what it answers. */
static enum lsq_status judge(struct lsq_conn *conn, enum lsq_status st, unsigned *flag,
                             const struct lsq_error *why, struct lsq_error *err) {
    uint64_t until;

    /* Be it that it came when the waiting was over. */
    if (atomic_load(&conn->gate.cancel)) st = LSQ_INTERRUPTED;
    if (st == LSQ_INTERRUPTED) return lsqi_error_set(err, st, "%s", lsq_status_text(st));
    *flag = LSQI_CALL_WAITED;
    if (st == LSQ_OK || !lsqi_replica_behind(lsqi_followed(conn), &until)) return LSQ_OK;
    *flag = LSQI_CALL_BEHIND;
    if (!conn->stale_is_error) {
        lsqi_replica_stale(conn, why);
        return LSQ_OK;
    }
    lsqi_error_set(err, LSQ_STALE, "%s: %.300s", lsq_status_text(LSQ_STALE), why->message);
    if (err != NULL) err->transient = true;
    return LSQ_STALE;
}

/* False: the call's time is over. */
static bool go_on(struct lsq_call *call, int64_t since, unsigned flag) {
    int64_t left = call->timeout - waited_ms(since);

    call->flags |= flag;
    if (call->timeout <= 0) return true;
    call->timeout = left > 0 ? (int)left : 1;
    return left > 0;
}

static enum lsq_status too_late(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_TIMEOUT, "%s", lsq_status_text(LSQ_TIMEOUT));
}

/* ---- By lsq_call.done ---- */

static void fill(struct lsq_sync_result *result, const struct lsqi_replica_sync_result *own) {
    if (result == NULL) return;
    *result = (struct lsq_sync_result){.index = (int64_t)own->frame,
                                       .frames = (int64_t)own->applied,
                                       .bytes = (int64_t)own->bytes};
}

/* Leaves the call and tells of its end, or makes it again. */
static void finish(struct lsqi_later *later) {
    struct lsq_conn *conn = later->conn;
    struct lsq_call *call = &later->call;
    enum lsq_status st = later->st;
    unsigned flag = 0;
    struct lsq_error err;

    if (later->is_sync) {
        err = later->err;
        lsqi_call_end(conn);
    } else {
        st = judge(conn, later->st, &flag, &later->err, &err);
        if (st == LSQ_OK && !go_on(call, later->since, flag)) st = too_late(&err);
        lsqi_call_end(conn);
        if (st == LSQ_OK) st = lsqi_again_run(conn, &later->again, call, &err);
    }
    hold(later, false);
    if (st != LSQ_PENDING) call->done(call->done_arg, st, &err);
    later_free(later);
}

static void finish_on_worker(void *arg) { finish(arg); }

static int finish_on_helper(struct lsqi_task *task) {
    finish((struct lsqi_later *)(void *)((char *)task - offsetof(struct lsqi_later, task)));
    return -1;
}

/* The caller's memory goes with the connection's call, and nobody else holds it. */
static void end(struct lsqi_later *later) {
    struct lsq_error err;

    /* Reading may take long, and need a stack. */
    if (!later->is_sync && later->st != LSQ_INTERRUPTED &&
        lsq_defer(finish_on_worker, later, &err) == LSQ_OK)
        return;
    if (!later->is_sync && later->st != LSQ_INTERRUPTED) {
        later->st = LSQ_INTERRUPTED;
        later->err = err;
    }
    lsqi_helper_schedule(&later->task, 0);
}

static void on_synced(void *arg, enum lsq_status st, const struct lsqi_replica_sync_result *result,
                      const struct lsq_error *err) {
    struct lsqi_later *later = arg;

    pthread_mutex_lock(&later->conn->gate.lock);
    later->conn->waiting = NULL;
    pthread_mutex_unlock(&later->conn->gate.lock);
    later->st = st;
    if (st != LSQ_OK) later->err = *err;
    if (st == LSQ_OK && later->is_sync) fill(later->result, result);
    if (st == LSQ_OK && later->sync.until == 0)
        lsqi_replica_settle(lsqi_followed(later->conn), later->doubts);
    end(later);
}

void lsqi_later_call_off_locked(struct lsqi_later *later) {
    if (!lsqi_replica_sync_cancel(lsqi_followed(later->conn), &later->sync)) return;
    later->conn->waiting = NULL;
    later->st =
        lsqi_error_set(&later->err, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
    lsqi_helper_schedule(&later->task, 0);
}

/* It could not even begin to wait. */
static enum lsq_status not_begun(struct lsqi_later *later, enum lsq_status st,
                                 const struct lsq_error *why, struct lsq_error *err) {
    struct lsq_conn *conn = later->conn;
    unsigned flag = 0;

    if (later->is_sync) {
        if (err != NULL) *err = *why;
        lsqi_call_end(conn);
    } else {
        st = judge(conn, st, &flag, why, err);
        later->call.flags |= flag;
        lsqi_call_end(conn);
        if (st == LSQ_OK) st = lsqi_again_run(conn, &later->again, &later->call, err);
    }
    hold(later, false);
    later_free(later);
    return st;
}

static bool called_off(void *arg) {
    struct lsq_conn *conn = arg;
    const struct lsqi_run *run = &conn->run;

    return atomic_load(&conn->gate.cancel) || (run->asked != NULL && run->asked(run->asked_arg));
}

/* In a call, which it ends where it does not answer LSQ_PENDING. */
static enum lsq_status begin(struct lsqi_later *later, uint64_t until, int timeout,
                             struct lsq_error *err) {
    struct lsq_conn *conn = later->conn;
    struct lsq_error why;
    enum lsq_status st = lsqi_helper_start(&why);

    later->task.run = finish_on_helper;
    later->sync.until = until;
    later->sync.timeout = timeout;
    later->sync.done = on_synced;
    later->sync.arg = later;
    if (st == LSQ_OK) {
        /* An interrupt finds it, or has come before and is found here; and on_synced() comes after this. */
        pthread_mutex_lock(&conn->gate.lock);
        if (called_off(conn))
            st = lsqi_error_set(&why, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
        else
            st = lsqi_replica_sync(lsqi_followed(conn), &later->sync, &why);
        if (st == LSQ_OK) conn->waiting = later;
        pthread_mutex_unlock(&conn->gate.lock);
    }
    return st == LSQ_OK ? LSQ_PENDING : not_begun(later, st, &why, err);
}

/* ---- On the caller's thread ---- */

static enum lsq_status wait_here(struct lsq_conn *conn, const struct lsqi_again *again,
                                 struct lsq_error *err) {
    struct lsq_call call = {0};
    struct lsqi_replica_sync_result result;
    struct lsq_error why;
    int64_t since = lsqi_now_ns();
    uint64_t doubts = lsqi_replica_doubts(lsqi_followed(conn));
    uint64_t until;
    unsigned flag = 0;
    enum lsq_status st;

    if (again->call != NULL) call = *again->call;
    (void)lsqi_replica_behind(lsqi_followed(conn), &until);
    st = lsqi_replica_sync_wait(lsqi_followed(conn), until, patience(conn, again->call), called_off,
                                conn, &result, &why);
    if (st == LSQ_OK && until == 0) lsqi_replica_settle(lsqi_followed(conn), doubts);
    st = judge(conn, st, &flag, &why, err);
    if (st == LSQ_OK && !go_on(&call, since, flag)) st = too_late(err);
    lsqi_call_end(conn);
    return st == LSQ_OK ? lsqi_again_run(conn, again, &call, err) : st;
}

/* ---- What others call ---- */

static bool may_not_wait(const struct lsq_call *call) {
    if (call == NULL) return false;
    if ((call->flags & LSQ_CALL_SHORT) != 0) return true;
    return call->done == NULL && (call->flags & (LSQ_CALL_TRY | LSQ_CALL_BUDGET)) != 0;
}

static enum lsq_status would_block(struct lsq_conn *conn, struct lsq_error *err) {
    lsqi_call_end(conn);
    return lsqi_error_set(err, LSQ_WOULD_BLOCK, "the replica is behind what was written");
}

enum lsq_status lsqi_later(struct lsq_conn *conn, const struct lsqi_again *again,
                           struct lsq_error *err) {
    struct lsqi_later *later;
    enum lsq_status st;
    uint64_t until;

    if (may_not_wait(again->call)) return would_block(conn, err);
    if (again->call == NULL || again->call->done == NULL) return wait_here(conn, again, err);
    st = later_new(&later, conn, again->call, again, err);
    if (st != LSQ_OK) {
        lsqi_call_end(conn);
        return st;
    }
    (void)lsqi_replica_behind(lsqi_followed(conn), &until);
    return begin(later, until, patience(conn, again->call), err);
}

static enum lsq_status sync_here(struct lsq_conn *conn, uint64_t until, const struct lsq_call *call,
                                 struct lsq_sync_result *result, struct lsq_error *err) {
    struct lsqi_replica_sync_result own;
    enum lsq_status st = lsqi_replica_sync_wait(
        lsqi_followed(conn), until, call == NULL ? 0 : call->timeout, called_off, conn, &own, err);

    lsqi_call_end(conn);
    if (st == LSQ_OK) fill(result, &own);
    return st;
}

/* Nobody needs to be asked. */
static bool has_it(struct lsq_conn *conn, uint64_t until, struct lsq_sync_result *result) {
    const struct lsqi_replica_sync_result own = {.frame =
                                                     lsqi_replica_applied(lsqi_followed(conn))};

    if (until == 0 || own.frame < until) return false;
    fill(result, &own);
    return true;
}

enum lsq_status lsqi_later_sync(struct lsq_conn *conn, uint64_t until, const struct lsq_call *call,
                                struct lsq_sync_result *result, struct lsq_error *err) {
    struct lsqi_later *later;
    enum lsq_status st = lsqi_call_begin(conn, call, err);

    if (st != LSQ_OK) return st;
    if (lsqi_followed(conn) == NULL) {
        lsqi_call_end(conn);
        return lsqi_error_set(err, LSQ_UNSUPPORTED, "the connection is not a replica's");
    }
    if (has_it(conn, until, result)) {
        lsqi_call_end(conn);
        return LSQ_OK;
    }
    if (may_not_wait(call)) return would_block(conn, err);
    if (call == NULL || call->done == NULL) return sync_here(conn, until, call, result, err);
    st = later_new(&later, conn, call, NULL, err);
    if (st != LSQ_OK) {
        lsqi_call_end(conn);
        return st;
    }
    later->result = result;
    return begin(later, until, call->timeout, err);
}
