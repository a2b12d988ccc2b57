/* Turns to write: before the engine is asked for its one lock for writers, whose waiting is polling, a
 * connection stands in the file's line (file/lane.h). */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "conn/conn.h"

/* False: the file has no line, for it is in memory. */
static bool lanes_of(const struct lsq_conn *conn, struct lsqi_lanes *lanes) {
    if (conn->file == NULL) return false;
    lanes->count = 1;
    lanes->of[0] = lsqi_file_lane(conn->file);
    return true;
}

/* ---- Among the connections of this process ---- */

static enum lsq_status not_yours(struct lsq_error *err) {
    lsqi_error_set(err, LSQ_BUSY,
                   "database is locked: the turn to write is another connection's of this program, "
                   "whose transaction has not ended");
    if (err != NULL) err->transient = true;
    return LSQ_BUSY;
}

/* What has read already would find, when its turn comes, that what it read has changed; unless those who had
 * the turn before roll back. */
static bool in_vain(const struct lsq_conn *conn) {
    return !conn->patient && sqlite3_txn_state(conn->db, "main") == SQLITE_TXN_READ;
}

/* The same after waiting: it says for whom. */
static enum lsq_status not_in_time(const struct lsq_conn *conn, const struct lsqi_lanes *lanes,
                                   struct lsq_error *err) {
    struct lsq_turn_holder holder;

    not_yours(err);
    if (err == NULL || !lsqi_lanes_holder(lanes, conn, &holder)) return LSQ_BUSY;
    lsqi_error_set(
        err, LSQ_BUSY,
        "database is locked: another connection of this program has had the turn to write "
        "for %lld ms, since %s",
        (long long)holder.held, holder.statement[0] == '\0' ? "a checkpoint" : holder.statement);
    err->transient = true;
    return LSQ_BUSY;
}

static enum lsq_status too_late(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_BUSY_SNAPSHOT,
                          "another connection is writing, and this transaction has read already: "
                          "begin it as an immediate one, or run it again");
}

static bool to_stop(void *arg) { return lsqi_call_check(arg, NULL) != LSQ_OK; }

/* Ends with the call or the busy time-out, as waiting for the engine's lock does. */
static enum lsq_status wait_here(struct lsq_conn *conn, const struct lsqi_lanes *lanes,
                                 const struct lsqi_claim *claim, struct lsq_error *err) {
    int64_t until = lsqi_now_ns() + (int64_t)atomic_load(&conn->busy_timeout) * 1000000;
    enum lsq_status st;

    if (lsqi_lanes_await(lanes, claim, until, to_stop, conn)) return LSQ_OK;
    st = lsqi_call_check(conn, err);
    return st == LSQ_OK ? not_in_time(conn, lanes, err) : st;
}

/* ---- Other processes ---- */

bool lsqi_turn_waits(const struct lsq_conn *conn) {
    unsigned flags = conn->run.flags;

    if ((flags & LSQ_CALL_NOWAIT) == 0) return true;
    return (flags & LSQ_CALL_IN_TURN) != 0 && conn->turn;
}

bool lsqi_turn_stand(struct lsq_conn *conn, int64_t until) {
    if (!conn->turn || conn->inside || conn->run.stood) return false;
    conn->run.stood = true;
    if (!lsqi_file_shared(conn->file, true)) return false;
    conn->inside = lsqi_turnstile_enter(lsqi_file_turnstile(conn->file), until, to_stop, conn);
    return conn->inside;
}

static enum lsq_status others_first(struct lsq_error *err) {
    lsqi_error_set(err, LSQ_BUSY,
                   "database is locked: other programs stand in line to write to it");
    if (err != NULL) err->transient = true;
    return LSQ_BUSY;
}

/* With the turn among this process's connections: behind other processes, if any wait. */
static enum lsq_status behind_others(struct lsq_conn *conn, struct lsq_error *err) {
    int64_t patience = (int64_t)atomic_load(&conn->busy_timeout) * 1000000;

    if (!lsqi_file_shared(conn->file, false) || patience == 0) return LSQ_OK;
    if (!lsqi_turnstile_taken(lsqi_file_turnstile(conn->file))) return LSQ_OK;
    if (!lsqi_turn_waits(conn)) return others_first(err);
    (void)lsqi_turn_stand(conn, lsqi_now_ns() + patience);
    return lsqi_call_check(conn, err);
}

/* ---- Taking and leaving ---- */

enum lsq_status lsqi_turn_take(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                               struct lsq_error *err) {
    const struct lsqi_claim claim = {
        .conn = conn,
        .caller = conn->run.caller,
        .sql = prepared->sql,
        .len = prepared->len,
    };
    struct lsqi_lanes lanes;
    enum lsq_status st = LSQ_OK;

    if (conn->turn || !lanes_of(conn, &lanes)) return LSQ_OK;
    if (!lsqi_lanes_take(&lanes, &claim)) {
        if (in_vain(conn)) return too_late(err);
        st = (conn->run.flags & LSQ_CALL_NOWAIT) != 0 ? not_yours(err)
                                                      : wait_here(conn, &lanes, &claim, err);
    }
    conn->turn = st == LSQ_OK;
    return st == LSQ_OK ? behind_others(conn, err) : st;
}

void lsqi_turn_look(struct lsq_conn *conn) {
    if (!conn->turn || sqlite3_txn_state(conn->db, "main") >= SQLITE_TXN_WRITE) return;
    lsqi_turn_end(conn);
}

void lsqi_turn_end(struct lsq_conn *conn) {
    struct lsqi_lanes lanes;

    conn->turn = false;
    if (conn->inside) lsqi_turnstile_leave(lsqi_file_turnstile(conn->file));
    conn->inside = false;
    if (lanes_of(conn, &lanes)) lsqi_lanes_leave(&lanes, conn);
}

bool lsq_turn_holder(const struct lsq_conn *conn, struct lsq_turn_holder *holder) {
    struct lsqi_lanes lanes;

    return lanes_of(conn, &lanes) && lsqi_lanes_holder(&lanes, conn, holder);
}

/* ---- Waiting elsewhere ---- */

struct lsq_turn {
    struct lsq_conn *conn; /* whose memory it keeps */
    struct lsqi_ticket ticket;
    struct lsqi_stand stands[];
};

enum lsq_status lsq_turn_new(struct lsq_turn **out, struct lsq_conn *conn, void (*fn)(void *arg),
                             void *arg, struct lsq_error *err) {
    struct lsqi_lanes lanes = {.count = 0};
    struct lsq_turn *turn;

    (void)lanes_of(conn, &lanes);
    turn = lsqi_malloc(sizeof(*turn) + lanes.count * sizeof(turn->stands[0]));
    if (turn == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a place in line");
    turn->conn = conn;
    turn->ticket = (struct lsqi_ticket){.conn = conn, .fn = fn, .arg = arg, .count = lanes.count};
    turn->ticket.stands = turn->stands;
    for (unsigned i = 0; i < lanes.count; i++)
        turn->stands[i] = (struct lsqi_stand){.lane = lanes.of[i]};
    lsqi_gate_ref(&conn->gate);
    *out = turn;
    return LSQ_OK;
}

void lsq_turn_wait(struct lsq_turn *turn) { lsqi_lanes_wait(&turn->ticket); }

bool lsq_turn_free(struct lsq_turn *turn) {
    struct lsq_conn *conn;
    bool waited;

    if (turn == NULL) return false;
    conn = turn->conn;
    waited = lsqi_lanes_cancel(&turn->ticket);
    lsqi_free(turn);
    lsqi_gate_unref(&conn->gate);
    return waited;
}
