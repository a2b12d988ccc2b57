/* Turns to write: before the engine is asked for its one lock for writers, whose waiting is polling, a
 * connection stands in the file's line (file/lane.h). */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "conn/conn.h"

static struct lsqi_lane *lane_of(const struct lsq_conn *conn) {
    return conn->file == NULL ? NULL : lsqi_file_lane(conn->file);
}

/* ---- Taking and leaving ---- */

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

static enum lsq_status too_late(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_BUSY_SNAPSHOT,
                          "another connection is writing, and this transaction has read already: "
                          "begin it as an immediate one, or run it again");
}

static bool to_stop(void *arg) { return lsqi_call_check(arg, NULL) != LSQ_OK; }

/* Ends with the call or the busy time-out, as waiting for the engine's lock does. */
static enum lsq_status wait_here(struct lsq_conn *conn, struct lsq_error *err) {
    int64_t until = lsqi_now_ns() + (int64_t)atomic_load(&conn->busy_timeout) * 1000000;
    enum lsq_status st;

    if (lsqi_lane_await(lane_of(conn), conn, until, to_stop, conn)) return LSQ_OK;
    st = lsqi_call_check(conn, err);
    return st == LSQ_OK ? not_yours(err) : st;
}

enum lsq_status lsqi_turn_take(struct lsq_conn *conn, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    if (lane_of(conn) == NULL || conn->turn) return LSQ_OK;
    if (!lsqi_lane_take(lane_of(conn), conn)) {
        if (in_vain(conn)) return too_late(err);
        st = (conn->run.flags & LSQ_CALL_NOWAIT) != 0 ? not_yours(err) : wait_here(conn, err);
    }
    conn->turn = st == LSQ_OK;
    return st;
}

void lsqi_turn_look(struct lsq_conn *conn) {
    if (!conn->turn || sqlite3_txn_state(conn->db, "main") >= SQLITE_TXN_WRITE) return;
    conn->turn = false;
    lsqi_lane_leave(lane_of(conn), conn);
}

void lsqi_turn_end(struct lsq_conn *conn) {
    conn->turn = false;
    if (conn->file != NULL) lsqi_lane_leave(lane_of(conn), conn);
}

/* ---- Waiting elsewhere ---- */

struct lsq_turn {
    struct lsq_conn *conn; /* whose memory it keeps */
    struct lsqi_ticket ticket;
};

enum lsq_status lsq_turn_new(struct lsq_turn **out, struct lsq_conn *conn, void (*fn)(void *arg),
                             void *arg, struct lsq_error *err) {
    struct lsq_turn *turn = lsqi_malloc(sizeof(*turn));

    if (turn == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a place in line");
    *turn = (struct lsq_turn){.conn = conn, .ticket = {.conn = conn, .fn = fn, .arg = arg}};
    lsqi_gate_ref(&conn->gate);
    *out = turn;
    return LSQ_OK;
}

void lsq_turn_wait(struct lsq_turn *turn) {
    struct lsqi_lane *lane = lane_of(turn->conn);

    if (lane == NULL)
        turn->ticket.fn(turn->ticket.arg);
    else
        lsqi_lane_wait(lane, &turn->ticket);
}

bool lsq_turn_free(struct lsq_turn *turn) {
    struct lsq_conn *conn;
    bool waited = false;

    if (turn == NULL) return false;
    conn = turn->conn;
    if (lane_of(conn) != NULL) waited = lsqi_lane_cancel(lane_of(conn), &turn->ticket);
    lsqi_free(turn);
    lsqi_gate_unref(&conn->gate);
    return waited;
}
