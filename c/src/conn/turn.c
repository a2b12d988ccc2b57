/* Turns to write: before the engine is asked for its one lock for writers, whose waiting is polling, a
 * connection stands in the line of the file, or of all the files that it is to write to (file/lane.h). Who has
 * the turn of one never waits for another's. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "conn/conn.h"

/* A place in line. */
struct lsq_turn {
    struct lsq_conn *conn;    /* whose memory it keeps */
    struct lsqi_files *files; /* of then, kept; NULL: none */
    struct lsqi_ticket ticket;
    struct lsqi_stand stands[];
};

/* The engine's state, at most, of the files' databases. */
static int most_state(const struct lsq_conn *conn, unsigned which) {
    int most = SQLITE_TXN_NONE;
    const char *name;

    for (int i = 0; (name = sqlite3_db_name(conn->db, i)) != NULL && i < LSQI_MOST_LANES; i++) {
        int state;

        if ((lsqi_files_of(conn->files, 1u << i) & which) == 0) continue;
        state = sqlite3_txn_state(conn->db, name);
        if (state > most) most = state;
    }
    return most;
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
static bool in_vain(const struct lsq_conn *conn, unsigned which) {
    return !conn->patient && most_state(conn, which) == SQLITE_TXN_READ;
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

/* Two that did, each with the other's file, would wait for ever. */
static enum lsq_status holds_another(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_BUSY,
                          "database is locked: this transaction writes to another attached "
                          "database already, and does "
                          "not wait for a second while others might wait for the first: begin it "
                          "as an immediate one, "
                          "which takes both, or run it again");
}

static enum lsq_status itself_twice(const struct lsq_conn *conn, unsigned databases,
                                    struct lsq_error *err) {
    const char *names[2] = {"", ""};
    const char *name;

    for (int i = 0, n = 0; n < 2 && (name = sqlite3_db_name(conn->db, i)) != NULL; i++)
        if ((databases & 1u << i) != 0) names[n++] = name;
    return lsqi_error_set(err, LSQ_BUSY,
                          "database is locked by this connection: \"%s\" and \"%s\" are the same "
                          "file, and a transaction can write to it by one of its names only",
                          names[0], names[1]);
}

/* Of one file the databases that are written to, and those that are to be: 0 where they are not more than
 * one. For the engine each is a connection of its own. */
static unsigned twice(const struct lsq_conn *conn, unsigned databases) {
    for (unsigned i = 0; i < conn->files->count; i++) {
        unsigned names = conn->files->of[i].databases;
        unsigned writes = names & databases;
        const char *name;

        if ((names & (names - 1)) == 0 || writes == 0) continue;
        for (int j = 0; (name = sqlite3_db_name(conn->db, j)) != NULL && j < LSQI_MOST_LANES; j++)
            if ((names & 1u << j) != 0 && sqlite3_txn_state(conn->db, name) >= SQLITE_TXN_WRITE)
                writes |= 1u << j;
        if ((writes & (writes - 1)) != 0) return writes;
    }
    return 0;
}

/* ---- Other processes ---- */

static bool one_only(unsigned which) { return which != 0 && (which & (which - 1)) == 0; }

/* The file of a turn for one; NULL: it is for several, or there is none. */
static struct lsqi_file *file_of(const struct lsq_conn *conn, unsigned which) {
    return one_only(which) ? conn->files->of[__builtin_ctz(which)].file : NULL;
}

bool lsqi_turn_waits(const struct lsq_conn *conn) {
    if (conn->run.at_once || (conn->run.flags & LSQ_CALL_SHORT) != 0) return false;
    if ((conn->run.flags & LSQ_CALL_NOWAIT) == 0) return true;
    return conn->run.turn != NULL && conn->held != 0;
}

bool lsqi_turn_stand(struct lsq_conn *conn, int64_t until) {
    struct lsqi_file *file = conn->held == 0 ? NULL : file_of(conn, conn->held);

    if (file == NULL || conn->inside != NULL || conn->run.stood) return false;
    conn->run.stood = true;
    if (!lsqi_file_shared(file, true)) return false;
    if (lsqi_turnstile_enter(lsqi_file_turnstile(file), until, to_stop, conn)) conn->inside = file;
    return conn->inside != NULL;
}

static enum lsq_status others_first(struct lsq_error *err) {
    lsqi_error_set(err, LSQ_BUSY,
                   "database is locked: other programs stand in line to write to it");
    if (err != NULL) err->transient = true;
    return LSQ_BUSY;
}

enum lsq_status lsqi_turn_unused(struct lsq_conn *conn, const char *why, struct lsq_error *err) {
    conn->run.refused = true;
    return lsqi_error_set(err, LSQ_WOULD_BLOCK, "%s", why);
}

/* With the turn among this process's connections: behind other processes, if any wait. */
static enum lsq_status behind_others(struct lsq_conn *conn, struct lsq_error *err) {
    int64_t patience = (int64_t)atomic_load(&conn->busy_timeout) * 1000000;
    struct lsqi_file *file = file_of(conn, conn->held);

    if (file == NULL || !lsqi_file_shared(file, false) || patience == 0) return LSQ_OK;
    if (!lsqi_turnstile_taken(lsqi_file_turnstile(file))) return LSQ_OK;
    if ((conn->run.flags & LSQ_CALL_SHORT) != 0)
        return lsqi_turn_unused(conn, "other programs stand in line", err);
    if (!lsqi_turn_waits(conn)) {
        lsqi_turn_want(conn);
        return others_first(err);
    }
    (void)lsqi_turn_stand(conn, lsqi_now_ns() + patience);
    return lsqi_call_check(conn, err);
}

static bool any_shared(const struct lsq_conn *conn, unsigned which, bool look) {
    for (unsigned i = 0; i < conn->files->count; i++)
        if ((which & 1u << i) != 0 && lsqi_file_shared(conn->files->of[i].file, look)) return true;
    return false;
}

/* ---- Taking and leaving ---- */

void lsqi_turn_want(struct lsq_conn *conn) { atomic_store(&conn->files->wanted, conn->held); }

static enum lsq_status wait_for(struct lsq_conn *conn, const struct lsqi_lanes *lanes,
                                const struct lsqi_claim *claim, unsigned need,
                                struct lsq_error *err) {
    if (conn->held != 0) lsqi_turn_look(conn); /* of an earlier statement of the call */
    if (conn->held != 0) return holds_another(err);
    if (in_vain(conn, need)) return too_late(err);
    if ((conn->run.flags & LSQ_CALL_NOWAIT) == 0) return wait_here(conn, lanes, claim, err);
    atomic_store(&conn->files->wanted, need);
    return not_yours(err);
}

static enum lsq_status take(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                            unsigned need, struct lsq_error *err) {
    const struct lsqi_claim claim = {
        .conn = conn,
        .ticket = conn->run.turn == NULL ? NULL : &conn->run.turn->ticket,
        .caller = conn->run.caller,
        .sql = prepared->sql,
        .len = prepared->len,
    };
    struct lsqi_lanes lanes;
    enum lsq_status st = LSQ_OK;

    if ((conn->run.flags & LSQ_CALL_SHORT) != 0 && any_shared(conn, need, false))
        return lsqi_error_set(err, LSQ_WOULD_BLOCK, "other programs write to the file, too");
    lsqi_files_lanes(conn->files, need, &lanes);
    if (!lsqi_lanes_take(&lanes, &claim)) st = wait_for(conn, &lanes, &claim, need, err);
    if (st != LSQ_OK) return st;
    /* Other programs may have one, and want the other. */
    if (conn->held != 0) conn->run.at_once = any_shared(conn, need, true);
    conn->run.apart = !one_only(need) && prepared->command == LSQ_COMMAND_BEGIN;
    conn->held |= need;
    conn->held_on = false;
    return behind_others(conn, err);
}

enum lsq_status lsqi_turn_take(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                               unsigned databases, struct lsq_error *err) {
    unsigned same = 0;
    unsigned need;

    if (conn->files == NULL) return LSQ_OK;
    if (prepared->record.writes != 0 || prepared->command == LSQ_COMMAND_BEGIN)
        same = twice(conn, databases);
    if (same != 0) return itself_twice(conn, same, err);
    need = lsqi_files_of(conn->files, databases) & ~conn->held;
    return need == 0 ? LSQ_OK : take(conn, prepared, need, err);
}

static void leave(struct lsq_conn *conn, unsigned which) {
    struct lsqi_lanes lanes;

    if ((conn->held & which) == conn->held && conn->inside != NULL) {
        lsqi_turnstile_leave(lsqi_file_turnstile(conn->inside));
        conn->inside = NULL;
    }
    conn->held &= ~which;
    lsqi_files_lanes(conn->files, which, &lanes);
    lsqi_lanes_leave(&lanes, conn);
}

/* What a call did not use, and had waited for, is for who comes with the same place. */
static void return_unused(struct lsq_conn *conn, unsigned which) {
    struct lsqi_lanes lanes;

    conn->held &= ~which;
    lsqi_files_lanes(conn->files, which, &lanes);
    lsqi_lanes_return(&lanes, &conn->run.turn->ticket);
}

static void hold_on(struct lsq_conn *conn) {
    struct lsqi_lanes lanes;

    lsqi_files_lanes(conn->files, conn->held, &lanes);
    lsqi_lanes_keep(&lanes, conn);
    conn->held_on = true;
}

void lsqi_turn_look(struct lsq_conn *conn) {
    unsigned over = 0;

    for (unsigned i = 0; i < conn->files->count; i++)
        if ((conn->held & 1u << i) != 0 && most_state(conn, 1u << i) < SQLITE_TXN_WRITE)
            over |= 1u << i;
    if (over != 0 && conn->run.refused && conn->run.turn != NULL)
        return_unused(conn, over);
    else if (over != 0)
        leave(conn, over);
    if (conn->held != 0 && !conn->held_on) hold_on(conn);
}

void lsqi_turn_end(struct lsq_conn *conn) {
    if (conn->files != NULL) leave(conn, ~0u);
}

enum lsq_status lsqi_turn_refused(struct lsq_conn *conn, struct lsq_error *err) {
    int code = err->engine_code;

    if (conn->run.at_once) {
        (void)holds_another(err);
        err->engine_code = code;
        return LSQ_BUSY;
    }
    if ((conn->run.flags & LSQ_CALL_SHORT) != 0)
        return lsqi_turn_unused(conn, "another program has the lock", err);
    err->transient = true;
    /* Whose turn it is waits for others in line, where only it tries. */
    if (conn->held == 0 || lsqi_turn_waits(conn) || atomic_load(&conn->busy_timeout) == 0)
        return LSQ_BUSY;
    err->engine_code = 0;
    lsqi_turn_want(conn);
    return LSQ_BUSY;
}

bool lsq_turn_holder(struct lsq_conn *conn, struct lsq_turn_holder *holder) {
    struct lsqi_files *files = lsqi_files_get(conn);
    struct lsqi_lanes lanes;
    bool found;

    if (files == NULL) return false;
    lsqi_files_lanes(files, atomic_load(&files->wanted), &lanes);
    found = lsqi_lanes_holder(&lanes, conn, holder);
    if (!found) {
        lsqi_files_lanes(files, ~0u, &lanes);
        found = lsqi_lanes_holder(&lanes, conn, holder);
    }
    lsqi_files_unref(files);
    return found;
}

/* ---- Waiting elsewhere ---- */

/* What the last call wanted that could not have it; whoever made another call since will come again. */
static unsigned wanted(const struct lsqi_files *files) {
    unsigned which = atomic_load(&files->wanted);

    return which == 0 && files->count > 0 ? 1 : which;
}

enum lsq_status lsq_turn_new(struct lsq_turn **out, struct lsq_conn *conn, void (*fn)(void *arg),
                             void *arg, struct lsq_error *err) {
    struct lsqi_files *files = lsqi_files_get(conn);
    struct lsqi_lanes lanes = {.count = 0};
    struct lsq_turn *turn;

    if (conn->remote != NULL) return lsqi_files_only(conn, "turns", err);
    if (files != NULL) lsqi_files_lanes(files, wanted(files), &lanes);
    turn = lsqi_malloc(sizeof(*turn) + lanes.count * sizeof(turn->stands[0]));
    if (turn == NULL) {
        lsqi_files_unref(files);
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a place in line");
    }
    turn->conn = conn;
    turn->files = files;
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
    lsqi_files_unref(turn->files);
    lsqi_free(turn);
    lsqi_gate_unref(&conn->gate);
    return waited;
}
