/* How a call comes to its connection.
 *
 * A native function begins on the caller's scheduler (if it may be short) or on a dirty one, tries
 * the gate, and answers :in_use rather than wait. What is long answers :async and comes again as a
 * job: a copy of the call in an environment of its own, run by a worker of the core, answered by a
 * message.
 *
 * A job's life. submit links it to its connection. The worker marks it running while it is in the
 * connection, unlinks it under the lock, and sends the answer. cancel unlinks it first: then the
 * answer is never sent, and the worker frees the job as soon as it is done with it. So exactly one
 * of the two takes it from the list, and only the worker's side frees it. The end of the process that
 * waits for the answer cancels, too: nobody else could stop a call that has no end. */
#include <string.h>

#include "base/clock.h"
#include "nif.h"

/* The environment of the native function that runs on this thread: enif_send() wants it on the VM's
 * own threads, and none on ours. Process-wide: no, one for each thread. */
static _Thread_local ErlNifEnv *calling_env;

/* ---- Calls ---- */

enum { FLAG_FAST = 1, FLAG_ONE = LSQ_CALL_ONE, FLAG_TRANSACTION = LSQ_CALL_TRANSACTION };

static ERL_NIF_TERM in_connection(struct call *call, const struct op *op) {
    enum lsq_status st = lsq_conn_enter(call->res->conn, false);
    ERL_NIF_TERM answer;

    call->again = false;
    if (st == LSQ_IN_USE) return call->state->atoms.in_use;
    if (st != LSQ_OK) return make_failure(call->env, call->state, st, NULL);
    answer = op->run(call);
    lsq_conn_leave(call->res->conn);
    return answer;
}

static bool call_init(struct call *call, ErlNifEnv *env, enum stage stage,
                      const ERL_NIF_TERM argv[]) {
    *call = (struct call){.env = env, .state = enif_priv_data(env), .stage = stage, .argv = argv};
    return conn_get(env, call->state, argv[0], &call->res);
}

ERL_NIF_TERM call_long(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;

    (void)argc;
    return conn_get(env, state, argv[0], &res) ? state->atoms.async : enif_make_badarg(env);
}

ERL_NIF_TERM call_dirty(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], const struct op *op) {
    struct call call;
    ERL_NIF_TERM answer;

    (void)argc;
    if (!call_init(&call, env, STAGE_DIRTY, argv)) return enif_make_badarg(env);
    calling_env = env;
    answer = in_connection(&call, op);
    calling_env = NULL;
    return call.again ? call.state->atoms.async : answer;
}

/* Tells the scheduler what part of a time slice, 1 ms, was used. */
static void report_time(ErlNifEnv *env, int64_t since) {
    int64_t percent = (lsqi_now_ns() - since) / 10000;

    if (percent > 0) enif_consume_timeslice(env, percent > 100 ? 100 : (int)percent);
}

ERL_NIF_TERM call_normal(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], const struct op *op,
                         ERL_NIF_TERM (*dirty)(ErlNifEnv *, int, const ERL_NIF_TERM[])) {
    struct call call;
    ERL_NIF_TERM answer;
    unsigned flags;
    int64_t start;

    if (!call_init(&call, env, STAGE_NORMAL, argv) ||
        !enif_get_uint(env, argv[op->arity - 1], &flags))
        return enif_make_badarg(env);
    if (call.res->fast_path && (flags & FLAG_FAST) != 0) {
        start = lsqi_now_ns();
        calling_env = env;
        answer = in_connection(&call, op);
        calling_env = NULL;
        report_time(env, start);
        if (!call.again) return answer;
    }
    return enif_schedule_nif(env, op->name, ERL_NIF_DIRTY_JOB_IO_BOUND, dirty, argc, argv);
}

static bool job_called_off(void *arg);

bool call_options(struct call *call, ERL_NIF_TERM timeout, ERL_NIF_TERM flags,
                  struct lsq_call *options, ERL_NIF_TERM *answer) {
    static const unsigned stage_flags[] = {
        [STAGE_NORMAL] = LSQ_CALL_TRY | LSQ_CALL_NOWAIT,
        [STAGE_DIRTY] = LSQ_CALL_BUDGET | LSQ_CALL_NOWAIT,
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
    *options = (struct lsq_call){
        .flags = stage_flags[call->stage] | (wanted & (FLAG_ONE | FLAG_TRANSACTION)),
        .timeout = ms,
    };
    if (call->job != NULL) {
        options->stop = job_called_off;
        options->stop_arg = call->job;
    }
    return true;
}

/* ---- Transactions: numbers for what the engine does ---- */

void call_note(struct call *call, bool autocommit) {
    struct conn_res *res = call->res;

    if (autocommit) {
        if (atomic_load_explicit(&res->trx, memory_order_relaxed) != 0) atomic_store(&res->trx, 0);
    } else if (atomic_load_explicit(&res->trx, memory_order_relaxed) == 0) {
        atomic_store(&res->trx, res->number << 32 | ++res->last_trx);
    }
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
    /* What runs on the fast path only reads: its failure ends no transaction. */
    if (call->stage != STAGE_NORMAL) call_look(call);
    return make_error(call->env, call->state, err);
}

bool call_in_trx(struct call *call, ERL_NIF_TERM trx, ERL_NIF_TERM *answer) {
    uint64_t open = atomic_load_explicit(&call->res->trx, memory_order_relaxed);
    ErlNifUInt64 wanted;

    if (trx == call->state->atoms.nil) return true;
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

/* ---- Statements: held while they are used ---- */

struct job {
    struct job *next;
    struct conn_res *res; /* kept */
    const struct op *op;
    ErlNifEnv *env; /* owns the terms, and becomes the message */
    ERL_NIF_TERM ref;
    ERL_NIF_TERM argv[6];
    ErlNifPid pid;
    ErlNifMonitor monitor; /* of res on pid */
    bool monitored;
    atomic_bool cancelled; /* set under res->lock */
    /* guarded by res->lock */
    bool running;          /* it is in the connection */
    bool told;             /* {ref, :interrupting} was sent */
    struct stmt_res *stmt; /* that it uses; borrowed */
};

bool call_enter_stmt(struct call *call, ERL_NIF_TERM term, struct stmt_res **stmt,
                     ERL_NIF_TERM *answer) {
    struct stmt_res *res;
    void *obj;
    bool live;

    if (!enif_get_resource(call->env, term, call->state->stmt_type, &obj)) {
        *answer = make_failure(call->env, call->state, LSQ_BAD_ARGUMENT, "that is no statement");
        return false;
    }
    res = obj;
    if (res->conn != call->res) {
        *answer = make_failure(call->env, call->state, LSQ_WRONG_CONNECTION,
                               "the statement belongs to another connection");
        return false;
    }
    enif_mutex_lock(call->res->lock);
    live = !res->finalized;
    if (live) res->users++;
    if (live && call->job != NULL) call->job->stmt = res;
    enif_mutex_unlock(call->res->lock);
    if (!live)
        *answer = make_failure(call->env, call->state, LSQ_CLOSED, "the statement is finalized");
    else
        *stmt = res;
    return live;
}

/* The handle, if nobody needs it any more. */
static struct lsq_stmt *take_dead_locked(struct stmt_res *res) {
    struct lsq_stmt *stmt = NULL;

    if (res->finalized && res->users == 0) {
        stmt = res->stmt;
        res->stmt = NULL;
    }
    return stmt;
}

void call_leave_stmt(struct call *call, struct stmt_res *stmt) {
    struct lsq_stmt *dead;

    enif_mutex_lock(call->res->lock);
    stmt->users--;
    if (call->job != NULL) call->job->stmt = NULL;
    dead = take_dead_locked(stmt);
    enif_mutex_unlock(call->res->lock);
    lsq_stmt_discard(dead);
}

ERL_NIF_TERM nif_stmt_finalize(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct stmt_res *res;
    struct lsq_stmt *dead;
    void *obj;

    (void)argc;
    if (!enif_get_resource(env, argv[0], state->stmt_type, &obj)) return enif_make_badarg(env);
    res = obj;
    enif_mutex_lock(res->conn->lock);
    res->finalized = true;
    dead = take_dead_locked(res);
    enif_mutex_unlock(res->conn->lock);
    calling_env = env;
    lsq_stmt_discard(dead);
    calling_env = NULL;
    return state->atoms.ok;
}

/* Tells the job's process that its call was interrupted: it need not wait for the engine. */
static void tell_locked(struct job *job, ErlNifEnv *env) {
    ErlNifEnv *message;

    if (!job->running || job->told) return;
    job->told = true;
    message = enif_alloc_env();
    (void)enif_send(env, &job->pid, message,
                    enif_make_tuple2(message, enif_make_copy(message, job->ref),
                                     job->res->state->atoms.interrupting));
    enif_free_env(message);
}

ERL_NIF_TERM nif_stmt_interrupt(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct stmt_res *res;
    void *obj;

    (void)argc;
    if (!enif_get_resource(env, argv[0], state->stmt_type, &obj)) return enif_make_badarg(env);
    res = obj;
    enif_mutex_lock(res->conn->lock);
    if (res->users > 0) {
        lsq_stmt_interrupt(res->stmt);
        for (struct job *job = res->conn->jobs; job != NULL; job = job->next)
            if (job->stmt == res) tell_locked(job, env);
    }
    enif_mutex_unlock(res->conn->lock);
    return state->atoms.ok;
}

void stmt_destroy(ErlNifEnv *env, void *obj) {
    struct stmt_res *res = obj;

    (void)env;
    lsq_stmt_discard(res->stmt);
    if (res->conn != NULL) enif_release_resource(res->conn);
}

/* ---- Jobs ---- */

static bool job_called_off(void *arg) {
    return atomic_load_explicit(&((struct job *)arg)->cancelled, memory_order_relaxed);
}

static void job_free(struct job *job) {
    if (job->monitored) (void)enif_demonitor_process(calling_env, job->res, &job->monitor);
    if (job->env != NULL) enif_free_env(job->env);
    enif_release_resource(job->res);
    enif_free(job);
}

/* True: it was in the list, and is the caller's. */
static bool job_unlink_locked(struct job *job) {
    for (struct job **at = &job->res->jobs; *at != NULL; at = &(*at)->next) {
        if (*at != job) continue;
        *at = job->next;
        return true;
    }
    return false;
}

static void job_finish(struct job *job, ERL_NIF_TERM answer) {
    bool wanted;

    enif_mutex_lock(job->res->lock);
    wanted = job_unlink_locked(job);
    enif_mutex_unlock(job->res->lock);
    if (wanted)
        (void)enif_send(calling_env, &job->pid, job->env,
                        enif_make_tuple2(job->env, job->ref, answer));
    job_free(job);
}

static void job_running(struct job *job, bool running) {
    enif_mutex_lock(job->res->lock);
    job->running = running;
    enif_mutex_unlock(job->res->lock);
}

static void job_run(void *arg);

/* The connection is free, or closed: to a worker again. Any thread. */
static void job_again(void *arg) {
    struct job *job = arg;
    struct lsq_error err;

    if (lsq_defer(job_run, job, &err) != LSQ_OK)
        job_finish(job, make_error(job->env, job->res->state, &err));
}

static void job_run(void *arg) {
    struct job *job = arg;
    struct conn_res *res = job->res;
    struct call call = {
        .env = job->env,
        .state = res->state,
        .res = res,
        .stage = STAGE_WORKER,
        .argv = job->argv,
        .job = job,
    };
    ERL_NIF_TERM answer = res->state->atoms.nil;
    enum lsq_status st;

    if (!job_called_off(job)) {
        st = lsq_conn_enter(res->conn, false);
        if (st == LSQ_IN_USE) {
            st = lsq_conn_notify(res->conn, job_again, job);
            if (st == LSQ_OK) return;
        }
        if (st != LSQ_OK) {
            answer = make_failure(job->env, res->state, st, NULL);
        } else {
            job_running(job, true);
            answer = job->op->run(&call);
            job_running(job, false);
            lsq_conn_leave(res->conn);
        }
    }
    job_finish(job, answer);
}

static bool job_args(ErlNifEnv *env, struct job *job, ERL_NIF_TERM list) {
    ERL_NIF_TERM head;
    ERL_NIF_TERM rest = list;
    struct conn_res *first;
    unsigned count;

    if (!enif_get_list_length(env, list, &count) || (int)count != job->op->arity) return false;
    for (unsigned i = 0; i < count; i++) {
        enif_get_list_cell(env, rest, &head, &rest);
        if (i == 0 && (!conn_get(env, job->res->state, head, &first) || first != job->res))
            return false;
        job->argv[i] = enif_make_copy(job->env, head);
    }
    return true;
}

ERL_NIF_TERM nif_submit(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;
    const struct op *op = NULL;
    struct job *job;
    struct lsq_error err;
    char name[32];

    (void)argc;
    if (enif_get_atom(env, argv[2], name, sizeof(name), ERL_NIF_LATIN1) > 0) op = op_find(name);
    if (op == NULL || !conn_get(env, state, argv[0], &res) || !enif_is_ref(env, argv[1]))
        return enif_make_badarg(env);
    job = enif_alloc(sizeof(*job));
    if (job == NULL) return make_failure(env, state, LSQ_NOMEM, NULL);
    memset(job, 0, sizeof(*job));
    job->res = res;
    job->op = op;
    enif_keep_resource(res);
    job->env = enif_alloc_env();
    if (!job_args(env, job, argv[3])) {
        job_free(job);
        return enif_make_badarg(env);
    }
    job->ref = enif_make_copy(job->env, argv[1]);
    enif_self(env, &job->pid);
    job->monitored = enif_monitor_process(env, res, &job->pid, &job->monitor) == 0;
    enif_mutex_lock(res->lock);
    job->next = res->jobs;
    res->jobs = job;
    enif_mutex_unlock(res->lock);
    if (lsq_defer(job_run, job, &err) == LSQ_OK) return state->atoms.ok;
    enif_mutex_lock(res->lock);
    (void)job_unlink_locked(job);
    enif_mutex_unlock(res->lock);
    calling_env = env;
    job_free(job);
    calling_env = NULL;
    return make_error(env, state, &err);
}

static void job_cancel_locked(struct job *job) {
    (void)job_unlink_locked(job);
    atomic_store(&job->cancelled, true);
    /* The lock keeps the job in the connection, so that this stops no other call. */
    if (job->running) lsq_conn_interrupt(job->res->conn);
}

void conn_down(ErlNifEnv *env, void *obj, ErlNifPid *pid, ErlNifMonitor *monitor) {
    struct conn_res *res = obj;
    struct job *job;

    (void)env, (void)pid;
    enif_mutex_lock(res->lock);
    job = res->jobs;
    while (job != NULL && !(job->monitored && enif_compare_monitors(&job->monitor, monitor) == 0))
        job = job->next;
    if (job != NULL) job_cancel_locked(job);
    enif_mutex_unlock(res->lock);
}

ERL_NIF_TERM nif_cancel(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;
    struct job *job;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    enif_mutex_lock(res->lock);
    job = res->jobs;
    while (job != NULL && !enif_is_identical(job->ref, argv[1])) job = job->next;
    if (job != NULL) job_cancel_locked(job);
    enif_mutex_unlock(res->lock);
    return job == NULL ? state->atoms.sent : state->atoms.cancelled;
}

ERL_NIF_TERM nif_interrupt(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    atomic_fetch_add(&res->interrupts, 1);
    enif_mutex_lock(res->lock);
    lsq_conn_interrupt(res->conn);
    for (struct job *job = res->jobs; job != NULL; job = job->next) tell_locked(job, env);
    enif_mutex_unlock(res->lock);
    return state->atoms.ok;
}

ERL_NIF_TERM nif_interrupts(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct conn_res *res;

    (void)argc;
    if (!conn_get(env, enif_priv_data(env), argv[0], &res)) return enif_make_badarg(env);
    return enif_make_uint(env, atomic_load(&res->interrupts));
}

/* ---- Waiting for a connection that another process is in ---- */

enum waiter_state { WAITER_WAITING, WAITER_SENT, WAITER_CANCELLED };

struct waiter {
    struct conn_res *res; /* kept until it fired */
    ErlNifPid pid;
    ErlNifEnv *env;
    ERL_NIF_TERM ref;
    atomic_int state; /* of enum waiter_state */
};

static bool waiter_move(struct waiter *waiter, int to) {
    int from = WAITER_WAITING;

    return atomic_compare_exchange_strong(&waiter->state, &from, to);
}

static bool waiter_send(struct waiter *waiter) {
    return enif_send(calling_env, &waiter->pid, waiter->env,
                     enif_make_tuple2(waiter->env, waiter->ref, waiter->res->state->atoms.idle));
}

static void waiter_release(struct waiter *waiter) {
    struct conn_res *res = waiter->res;

    enif_release_resource(waiter);
    enif_release_resource(res);
}

/* A worker. */
static void waiter_send_again(void *arg) {
    (void)waiter_send(arg);
    waiter_release(arg);
}

/* Any thread. */
static void waiter_fire(void *arg) {
    struct waiter *waiter = arg;
    struct lsq_error err;

    if (waiter_move(waiter, WAITER_SENT) && !waiter_send(waiter) && calling_env != NULL &&
        !enif_is_current_process_alive(calling_env)) {
        /* The process that leaves was killed during its call, and can send nothing any more. */
        if (lsq_defer(waiter_send_again, waiter, &err) == LSQ_OK) return;
    }
    waiter_release(waiter);
}

void waiter_destroy(ErlNifEnv *env, void *obj) {
    struct waiter *waiter = obj;

    (void)env;
    if (waiter->env != NULL) enif_free_env(waiter->env);
}

ERL_NIF_TERM nif_notify_idle(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;
    struct waiter *waiter;
    ERL_NIF_TERM term;
    enum lsq_status st;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res) || !enif_is_ref(env, argv[1]))
        return enif_make_badarg(env);
    waiter = enif_alloc_resource(state->waiter_type, sizeof(*waiter));
    if (waiter == NULL) return make_failure(env, state, LSQ_NOMEM, NULL);
    waiter->res = res;
    waiter->env = enif_alloc_env();
    waiter->ref = enif_make_copy(waiter->env, argv[1]);
    atomic_init(&waiter->state, WAITER_WAITING);
    enif_self(env, &waiter->pid);
    term = enif_make_resource(env, waiter); /* the reference of alloc is waiter_fire()'s */
    enif_keep_resource(res);
    calling_env = env;
    st = lsq_conn_notify(res->conn, waiter_fire, waiter);
    calling_env = NULL;
    if (st == LSQ_OK) return make_ok(env, state, term);
    enif_release_resource(res);
    enif_release_resource(waiter);
    return make_failure(env, state, st, NULL);
}

ERL_NIF_TERM nif_cancel_idle(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    void *obj;

    (void)argc;
    if (!enif_get_resource(env, argv[0], state->waiter_type, &obj)) return enif_make_badarg(env);
    return waiter_move(obj, WAITER_CANCELLED) ? state->atoms.cancelled : state->atoms.sent;
}

/* ---- Closing ---- */

struct closer {
    struct nif_state *state;
    ErlNifPid pid;
    ErlNifEnv *env;
    ERL_NIF_TERM ref;
};

/* The helper thread, or the caller's where it is closed already. */
static void closer_done(void *arg) {
    struct closer *closer = arg;

    (void)enif_send(calling_env, &closer->pid, closer->env,
                    enif_make_tuple2(closer->env, closer->ref, closer->state->atoms.closed));
    enif_free_env(closer->env);
    enif_free(closer);
}

ERL_NIF_TERM nif_close(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;
    struct closer *closer;
    ErlNifPid pid;
    bool tell = argv[1] != state->atoms.nil;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res) || !enif_is_ref(env, argv[2]) ||
        (tell && !enif_get_local_pid(env, argv[1], &pid)))
        return enif_make_badarg(env);
    closer = tell ? enif_alloc(sizeof(*closer)) : NULL;
    if (closer != NULL) {
        *closer = (struct closer){.state = state, .pid = pid, .env = enif_alloc_env()};
        closer->ref = enif_make_copy(closer->env, argv[2]);
    }
    atomic_store(&res->closed, true);
    enif_mutex_lock(res->lock);
    for (struct job *job = res->jobs; job != NULL; job = job->next) tell_locked(job, env);
    enif_mutex_unlock(res->lock);
    calling_env = env;
    lsq_conn_close(res->conn, closer == NULL ? NULL : closer_done, closer);
    calling_env = NULL;
    return tell && closer == NULL ? make_failure(env, state, LSQ_NOMEM, NULL) : state->atoms.ok;
}
