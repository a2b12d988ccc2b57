/* Messages to those who wait: that a connection is free, that it is closed. */
#include "nif.h"

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
    atomic_fetch_add(&res->interrupts, 1);
    enif_mutex_lock(res->lock);
    jobs_tell_locked(res, NULL, env);
    enif_mutex_unlock(res->lock);
    calling_env = env;
    lsq_conn_close(res->conn, closer == NULL ? NULL : closer_done, closer);
    calling_env = NULL;
    return tell && closer == NULL ? make_failure(env, state, LSQ_NOMEM, NULL) : state->atoms.ok;
}
