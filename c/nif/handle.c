/* Handles: resources of the VM, which any process may use at any time. Destructors never wait. */
#include "nif.h"

/* ---- Connections ---- */

bool conn_get(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM term, struct conn_res **res) {
    void *obj;

    if (!enif_get_resource(env, term, state->conn_type, &obj)) return false;
    *res = obj;
    return true;
}

void conn_destroy(ErlNifEnv *env, void *obj) {
    struct conn_res *res = obj;

    (void)env;
    /* Nobody waits for it and nothing of it runs: each waiter and job keeps the resource. */
    lsq_conn_free(res->conn);
    if (res->kept_env != NULL) enif_free_env(res->kept_env);
    if (res->lock != NULL) enif_mutex_destroy(res->lock);
}

/* ---- Interrupts ---- */

struct stmt_res *stmt_among(ErlNifEnv *env, struct nif_state *state, const ERL_NIF_TERM argv[],
                            int arity) {
    void *obj;

    for (int i = 1; i < arity && i <= 2; i++)
        if (enif_get_resource(env, argv[i], state->stmt_type, &obj)) return obj;
    return NULL;
}

unsigned interrupts_of(struct conn_res *res, struct stmt_res *stmt) {
    unsigned count = atomic_load(&res->interrupts);

    return stmt == NULL ? count : count + atomic_load(&stmt->interrupts);
}

/* ---- Statements: held while they are used ---- */

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
    if (live && call->job != NULL) job_use_locked(call->job, res);
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
    if (call->job != NULL) job_use_locked(call->job, NULL);
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
    lsq_stmt_discard(dead);
    return state->atoms.ok;
}

ERL_NIF_TERM nif_stmt_interrupt(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct stmt_res *res;
    void *obj;

    (void)argc;
    if (!enif_get_resource(env, argv[0], state->stmt_type, &obj)) return enif_make_badarg(env);
    res = obj;
    atomic_fetch_add(&res->interrupts, 1);
    enif_mutex_lock(res->conn->lock);
    if (res->users > 0) lsq_stmt_interrupt(res->stmt);
    jobs_tell_locked(res->conn, res, env);
    enif_mutex_unlock(res->conn->lock);
    return state->atoms.ok;
}

void stmt_destroy(ErlNifEnv *env, void *obj) {
    struct stmt_res *res = obj;

    (void)env;
    lsq_stmt_discard(res->stmt);
    if (res->conn != NULL) enif_release_resource(res->conn);
}
