/* How a call comes to its connection. A native function begins on the caller's scheduler (if it may be
 * short) or on a dirty one, tries the gate, and answers :in_use rather than wait. What is long answers
 * :async and comes again as a job (job.c). */
#include <string.h>

#include "base/clock.h"
#include "base/processor.h"
#include "nif.h"

_Thread_local ErlNifEnv *calling_env; /* Process-wide: no, one for each thread */

/* ---- Interrupts ----
 *
 * An interrupt finds what runs, and the jobs of the connection. A call that is between two of these, answered
 * and about to come again, is found by what it has seen: its answer says so, and it brings that along. */

static ERL_NIF_TERM later(ErlNifEnv *env, struct nif_state *state, unsigned seen,
                          ERL_NIF_TERM answer) {
    return enif_make_tuple3(env, state->atoms.later, enif_make_uint(env, seen), answer);
}

static ERL_NIF_TERM make_async(ErlNifEnv *env, struct nif_state *state, struct conn_res *res,
                               const ERL_NIF_TERM argv[], int arity) {
    unsigned seen = interrupts_of(res, stmt_among(env, state, argv, arity));

    return later(env, state, seen, state->atoms.async);
}

/* lsq_call.stop on a dirty scheduler. */
static bool interrupted_since(void *arg) {
    struct call *call = arg;

    return interrupts_of(call->res, call->about) != call->seen;
}

/* To a dirty scheduler, with what it has seen as one more argument. Both schedulers may be on one processor, as those
 * of many writers come to be, while the dirty ones have the other: so they let each other go first now and then. */
static ERL_NIF_TERM go_dirty(ErlNifEnv *env, const ERL_NIF_TERM argv[], const struct op *op,
                             unsigned seen,
                             ERL_NIF_TERM (*dirty)(ErlNifEnv *, int, const ERL_NIF_TERM[])) {
    ERL_NIF_TERM more[MOST_ARGS + 1];

    lsqi_processor_pass();
    memcpy(more, argv, (size_t)op->arity * sizeof(argv[0]));
    more[op->arity] = enif_make_uint(env, seen);
    return enif_schedule_nif(env, op->name, ERL_NIF_DIRTY_JOB_IO_BOUND, dirty, op->arity + 1, more);
}

/* ---- Calls ---- */

enum {
    FLAG_FAST = 1,
    FLAG_HOW = 64,
    PASSED_ON = LSQ_CALL_ONE | LSQ_CALL_TRANSACTION | LSQ_CALL_TYPES /* as they are */
};

/* A scheduler waits for nobody. A dirty one does for a moment: what else there is, a job, takes longer. */
static enum lsq_status enter(const struct call *call) {
    struct lsq_conn *conn = call->res->conn;

    return call->stage == STAGE_NORMAL ? lsq_conn_enter(conn, false) : lsq_conn_enter_soon(conn);
}

static ERL_NIF_TERM in_connection(struct call *call, const struct op *op) {
    enum lsq_status st = enter(call);
    ERL_NIF_TERM answer;

    call->op = op;
    call->out->stmt = NULL;
    call->again = false;
    if (st == LSQ_IN_USE) return call->state->atoms.in_use;
    if (st != LSQ_OK) return make_failure(call->env, call->state, st, NULL);
    answer = op->run(call);
    lsq_conn_leave(call->res->conn);
    return answer;
}

static bool call_init(struct call *call, ErlNifEnv *env, enum stage stage,
                      const ERL_NIF_TERM argv[], const struct op *op, struct outcome *out) {
    *call = (struct call){
        .env = env, .state = enif_priv_data(env), .stage = stage, .argv = argv, .out = out};
    if (!conn_get(env, call->state, argv[0], &call->res)) return false;
    call->about = stmt_among(env, call->state, argv, op->arity);
    call->seen = interrupts_of(call->res, call->about);
    return true;
}

ERL_NIF_TERM call_end(struct call *call, enum lsq_status st) {
    return st == LSQ_PENDING ? call->state->atoms.pending : call->op->finish(call, st);
}

ERL_NIF_TERM call_short(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], const struct op *op,
                        ERL_NIF_TERM (*dirty)(ErlNifEnv *, int, const ERL_NIF_TERM[])) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;

    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    if (lsq_conn_is_remote(res->conn)) return make_async(env, state, res, argv, argc);
    return go_dirty(env, argv, op, interrupts_of(res, stmt_among(env, state, argv, argc)), dirty);
}

ERL_NIF_TERM call_long(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;

    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    return make_async(env, state, res, argv, argc);
}

ERL_NIF_TERM call_dirty(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], const struct op *op) {
    struct outcome out;
    struct call call;
    ERL_NIF_TERM answer;

    if (!call_init(&call, env, STAGE_DIRTY, argv, op, &out) || argc != op->arity + 1 ||
        !enif_get_uint(env, argv[op->arity], &call.seen))
        return enif_make_badarg(env);
    calling_env = env;
    jobs_carry_begin();
    answer = in_connection(&call, op);
    jobs_carry_end();
    calling_env = NULL;
    if (call.again) answer = call.state->atoms.async;
    return call.again || call.later ? later(env, call.state, call.seen, answer) : answer;
}

/* Tells the scheduler what part of a time slice, 1 ms, was used. */
static void report_time(ErlNifEnv *env, int64_t since) {
    int64_t percent = (lsqi_now_ns() - since) / 10000;

    if (percent > 0) enif_consume_timeslice(env, percent > 100 ? 100 : (int)percent);
}

ERL_NIF_TERM call_normal(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], const struct op *op,
                         ERL_NIF_TERM (*dirty)(ErlNifEnv *, int, const ERL_NIF_TERM[])) {
    struct outcome out;
    struct call call;
    ERL_NIF_TERM answer;
    unsigned flags;
    int64_t start;

    (void)argc;
    if (!call_init(&call, env, STAGE_NORMAL, argv, op, &out) ||
        !enif_get_uint(env, argv[op->arity - 1], &flags))
        return enif_make_badarg(env);
    if (lsq_conn_is_remote(call.res->conn))
        return later(env, call.state, call.seen, call.state->atoms.async);
    if (call.res->fast_path && (flags & FLAG_FAST) != 0) {
        start = lsqi_now_ns();
        calling_env = env;
        answer = in_connection(&call, op);
        calling_env = NULL;
        report_time(env, start);
        if (!call.again) return answer;
    }
    return go_dirty(env, argv, op, call.seen, dirty);
}

/* The process whose call it is; 0: none. For the core it is a number: the pid, a term of this VM's. */
static ERL_NIF_TERM caller_of(struct call *call) {
    ErlNifPid pid;

    if (call->job != NULL) return job_caller(call->job);
    return enif_self(call->env, &pid) == NULL ? 0 : enif_make_pid(call->env, &pid);
}

/* At least 1: 0 is no time-out. */
static int left(int ms, int waited) { return waited < ms ? ms - waited : 1; }

bool call_options(struct call *call, ERL_NIF_TERM timeout, ERL_NIF_TERM flags,
                  struct lsq_call *options, ERL_NIF_TERM *answer) {
    static const unsigned stage_flags[] = {
        [STAGE_NORMAL] = LSQ_CALL_TRY | LSQ_CALL_NOWAIT,
        [STAGE_DIRTY] = LSQ_CALL_BUDGET | LSQ_CALL_NOWAIT,
        [STAGE_CARRIED] = LSQ_CALL_BUDGET | LSQ_CALL_NOWAIT | LSQ_CALL_SHORT,
        [STAGE_WORKER] = LSQ_CALL_NOWAIT,
    };
    unsigned wanted;
    int ms;

    if (!enif_get_int(call->env, timeout, &ms) || ms < 0 ||
        !enif_get_uint(call->env, flags, &wanted)) {
        *answer = make_failure(call->env, call->state, LSQ_BAD_ARGUMENT,
                               "the time-out or the flags of a call are not valid");
        return false;
    }
    call->how = (wanted & FLAG_HOW) != 0;
    *options = (struct lsq_call){
        .flags = stage_flags[call->stage] | (wanted & PASSED_ON),
        .timeout = ms,
        .caller = caller_of(call),
    };
    if (call->job != NULL) {
        if (ms > 0) options->timeout = left(ms, job_waited_ms(call->job));
        options->turn = job_turn(call->job);
        options->stop = job_called_off;
        options->stop_arg = call->job;
        options->done = job_done;
        options->done_arg = call->job;
        options->traceparent = job_trace(call->job);
    } else if (call->stage == STAGE_DIRTY) {
        options->stop = interrupted_since;
        options->stop_arg = call;
    }
    return true;
}

void call_plain(struct call *call, struct lsq_call *options) {
    *options = (struct lsq_call){.flags = LSQ_CALL_NOWAIT, .caller = caller_of(call)};
    /* A replica's may be for the primary: no scheduler waits for that. */
    if (call->job == NULL) options->flags |= LSQ_CALL_BUDGET;
    if (call->job == NULL) return;
    options->stop = job_called_off;
    options->stop_arg = call->job;
    options->done = job_done;
    options->done_arg = call->job;
    options->traceparent = job_trace(call->job);
}

/* ---- Transactions: numbers for what the engine does ---- */

void call_note(struct call *call, bool autocommit) {
    struct conn_res *res = call->res;

    if (autocommit) {
        if (atomic_load_explicit(&res->trx, memory_order_relaxed) != 0) atomic_store(&res->trx, 0);
    } else if (atomic_load_explicit(&res->trx, memory_order_relaxed) == 0) {
        res->by_begin = false;
        atomic_store(&res->trx, res->number << 32 | ++res->last_trx);
    }
}

void call_begun(struct call *call) {
    struct conn_res *res = call->res;

    call_note(call, false);
    res->by_begin = enif_get_local_pid(call->env, caller_of(call), &res->begun_by) != 0;
}

void call_look(struct call *call) {
    struct lsq_conn_info info;

    if (lsq_conn_info(call->res->conn, false, &info, NULL) == LSQ_OK)
        call_note(call, info.autocommit);
}

ERL_NIF_TERM call_failed(struct call *call, const struct lsq_error *err) {
    if (err->status == LSQ_WOULD_BLOCK && call->stage != STAGE_WORKER) {
        call->again = true;
        return call->state->atoms.async;
    }
    call->later = call->stage != STAGE_WORKER && err->status == LSQ_BUSY && err->transient;
    /* What runs on the fast path only reads: its failure ends no transaction. */
    if (call->stage != STAGE_NORMAL) call_look(call);
    return make_error(call->env, call->state, err);
}

/* Without its number, the open transaction is for the process that began it: the statements of others would come
 * in between, and be stored or undone with it. SQL begins it for everybody. */
static bool not_anothers(struct call *call, ERL_NIF_TERM *answer) {
    struct conn_res *res = call->res;
    ERL_NIF_TERM owner;
    char text[200];

    if (!res->by_begin) return true;
    owner = enif_make_pid(call->env, &res->begun_by);
    if (owner == caller_of(call) || !enif_is_process_alive(calling_env, &res->begun_by))
        return true;
    (void)enif_snprintf(
        text, sizeof(text),
        "the open transaction was begun by the process %T: wait for its end, or use "
        "the state that its begin gave",
        owner);
    *answer = make_failure(call->env, call->state, LSQ_NOT_OWNER, text);
    return false;
}

bool call_in_trx(struct call *call, ERL_NIF_TERM trx, ERL_NIF_TERM *answer) {
    uint64_t open = atomic_load_explicit(&call->res->trx, memory_order_relaxed);
    ErlNifUInt64 wanted;

    if (trx == call->state->atoms.nil) return open == 0 || not_anothers(call, answer);
    if (!enif_get_uint64(call->env, trx, &wanted)) {
        *answer = make_failure(call->env, call->state, LSQ_BAD_ARGUMENT,
                               "a transaction is known by the number that begin answered");
        return false;
    }
    if (wanted == open && wanted != 0) return true;
    if (wanted >> 32 == call->res->number)
        *answer =
            make_failure(call->env, call->state, LSQ_NO_TRANSACTION, "the transaction is over");
    else
        *answer = make_failure(call->env, call->state, LSQ_WRONG_CONNECTION,
                               "the transaction belongs to another connection");
    return false;
}
