/* Jobs: long calls. A job is a copy of a call in an environment of its own, run by a worker of the core,
 * answered by a message.
 *
 * Its life. submit links it to its connection. The worker marks it running while it is in the connection,
 * unlinks it under the lock, and sends the answer. cancel unlinks it first: then the answer is never sent,
 * and the worker frees the job as soon as it is done with it. So exactly one of the two takes it from the
 * list, and only the worker's side frees it. The end of the process that waits for the answer cancels,
 * too: nobody else could stop a call that has no end. */
#include <string.h>

#include "nif.h"

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

void jobs_tell_locked(struct conn_res *res, const struct stmt_res *stmt, ErlNifEnv *env) {
    for (struct job *job = res->jobs; job != NULL; job = job->next)
        if (stmt == NULL || job->stmt == stmt) tell_locked(job, env);
}

void job_use_locked(struct job *job, struct stmt_res *stmt) { job->stmt = stmt; }

bool job_called_off(void *arg) {
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
    bool begun = false;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    enif_mutex_lock(res->lock);
    job = res->jobs;
    while (job != NULL && !enif_is_identical(job->ref, argv[1])) job = job->next;
    if (job != NULL) {
        begun = job->running;
        job_cancel_locked(job);
    }
    enif_mutex_unlock(res->lock);
    if (job == NULL) return state->atoms.sent;
    return begun ? state->atoms.cancelled : state->atoms.not_begun;
}

ERL_NIF_TERM nif_interrupt(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    atomic_fetch_add(&res->interrupts, 1);
    enif_mutex_lock(res->lock);
    lsq_conn_interrupt(res->conn);
    jobs_tell_locked(res, NULL, env);
    enif_mutex_unlock(res->lock);
    return state->atoms.ok;
}

ERL_NIF_TERM nif_interrupts(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;
    void *stmt;

    (void)argc;
    if (conn_get(env, state, argv[0], &res))
        return enif_make_uint(env, atomic_load(&res->interrupts));
    if (enif_get_resource(env, argv[0], state->stmt_type, &stmt))
        return enif_make_uint(env, atomic_load(&((struct stmt_res *)stmt)->interrupts));
    return enif_make_badarg(env);
}
