/* The table of functions. To add one: lib/ecto_libsql/nif.ex, a function here or in conn_nif.c or
 * stmt_nif.c, its line below. */
#include <stdio.h>
#include <string.h>

#include "nif.h"

/* ---- Functions that enter the connection ---- */

#define OP(op_name, op_arity, begins, end)                                                         \
    {.name = #op_name,                                                                             \
     .arity = op_arity,                                                                            \
     .place = PLACE_##begins,                                                                      \
     .run = op_##op_name,                                                                          \
     .finish = finish_##end},
static const struct op ops[] = {OPS(OP)};
#undef OP

enum {
#define OP(name, arity, place, finish) OP_##name,
    OPS(OP)
#undef OP
        OP_COUNT
};

const struct op *op_find(const char *name) {
    for (size_t i = 0; i < OP_COUNT; i++)
        if (strcmp(ops[i].name, name) == 0) return &ops[i];
    return NULL;
}

/* A native function for each op, by where it begins. */
#define NATIVE(function, name, call)                                                               \
    static ERL_NIF_TERM function##_##name(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {   \
        return call;                                                                               \
    }
#define NATIVE_DIRTY(name) NATIVE(dirty, name, call_dirty(env, argc, argv, &ops[OP_##name]))
#define NATIVE_SHORT(name)                                                                         \
    NATIVE_DIRTY(name)                                                                             \
    NATIVE(short, name, call_short(env, argc, argv, &ops[OP_##name], dirty_##name))
#define NATIVE_FAST(name)                                                                          \
    NATIVE_DIRTY(name)                                                                             \
    NATIVE(fast, name, call_normal(env, argc, argv, &ops[OP_##name], dirty_##name))
#define NATIVE_LONG(name) NATIVE(long, name, call_long(env, argc, argv))
#define OP(name, arity, place, finish) NATIVE_##place(name)
OPS(OP)
#undef OP

#define DIRTY ERL_NIF_DIRTY_JOB_IO_BOUND
#define ENTRY_FAST(name, arity) {#name, arity, fast_##name, 0},
#define ENTRY_SHORT(name, arity) {#name, arity, short_##name, 0},
#define ENTRY_LONG(name, arity) {#name, arity, long_##name, 0},
#define OP(name, arity, place, finish) ENTRY_##place(name, arity)

/* Process-wide: a constant, but for the type that the VM asks for. */
static ErlNifFunc functions[] = {
    OPS(OP)
    /* quick, and never wait */
    {"open", 2, nif_open, 0},
    {"close", 3, nif_close, 0},
    {"interrupt", 1, nif_interrupt, 0},
    {"interrupts", 1, nif_interrupts, 0},
    {"busy_timeout", 1, nif_busy_timeout, 0},
    {"kept", 1, nif_kept, 0},
    {"status", 1, nif_status, 0},
    {"turn_holder", 1, nif_turn_holder, 0},
    {"stmt_finalize", 1, nif_stmt_finalize, 0},
    {"stmt_interrupt", 1, nif_stmt_interrupt, 0},
    {"submit", 4, nif_submit, 0},
    {"submit", 6, nif_submit, 0},
    {"submit_in_turn", 4, nif_submit_in_turn, 0},
    {"submit_in_turn", 5, nif_submit_in_turn, 0},
    {"cancel", 2, nif_cancel, 0},
    {"cancel_waiting", 2, nif_cancel_waiting, 0},
    {"notify_idle", 2, nif_notify_idle, 0},
    {"cancel_idle", 1, nif_cancel_idle, 0},
    {"memory", 0, nif_memory, 0},
    {"set_token", 2, nif_set_token, 0},
    {"replica_info", 1, nif_replica_info, DIRTY},
    {"watch_files", 1, nif_watch_files, 0},
    /* not so quick */
    {"core_info", 0, nif_core_info, DIRTY},
    {"file_info", 1, nif_file_info, DIRTY},
    {"json_encode", 1, nif_json_encode, ERL_NIF_DIRTY_JOB_CPU_BOUND},
};
#undef OP

/* ---- Loading ---- */

static void make_atoms(ErlNifEnv *env, struct atoms *atoms) {
#define ATOM(field, text) atoms->field = enif_make_atom(env, text);
#include "atoms.def"
#undef ATOM
}

/* Process-wide: handles outlive the instance of the module that made them (new code is loaded, the old
 * one purged), and point here; as long as one is there, this image of the library stays. */
static struct nif_state the_state;

/* Taken over by the module's next instance, so that handles go on working in it; but not by one that
 * comes with another image of the library, whose structs may differ: each image has types of its own
 * name. The VM keeps an image until its last handle is gone. */
static ErlNifResourceType *open_type(ErlNifEnv *env, const char *name,
                                     void (*destroy)(ErlNifEnv *, void *),
                                     ErlNifResourceDown *down) {
    const ErlNifResourceTypeInit init = {.dtor = destroy, .down = down};
    char unique[64];

    snprintf(unique, sizeof(unique), "%s %p", name, (void *)&the_state);
    return enif_open_resource_type_x(env, unique, &init, ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER,
                                     NULL);
}

static int load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info) {
    struct nif_state *state = &the_state;

    (void)info;
    state->conn_type = open_type(env, "conn", conn_destroy, conn_down);
    state->stmt_type = open_type(env, "stmt", stmt_destroy, NULL);
    state->waiter_type = open_type(env, "waiter", waiter_destroy, NULL);
    if (state->conn_type == NULL || state->stmt_type == NULL || state->waiter_type == NULL)
        return 1;
    if (atomic_fetch_add(&state->users, 1) == 0) {
        make_atoms(env, &state->atoms);
        if (!files_load(state)) return 1;
    }
    *priv = state;
    return 0;
}

static int upgrade(ErlNifEnv *env, void **priv, void **old, ERL_NIF_TERM info) {
    (void)old;
    return load(env, priv, info);
}

/* The last one: no handle of this image is left. */
static void unload(ErlNifEnv *env, void *priv) {
    struct nif_state *state = priv;

    (void)env;
    if (atomic_fetch_sub(&state->users, 1) != 1) return;
    lsq_shutdown();
    files_unload(state);
}

ERL_NIF_INIT(Elixir.EctoLibSql.NIF, functions, load, NULL, upgrade, unload)
