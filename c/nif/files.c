/* What the library knows of files, and what it does to them by itself. */
#include "nif.h"

/* lsq_call's caller, of a local pid: no term on a heap. */
static ERL_NIF_TERM make_caller(struct nif_state *state, uint64_t caller) {
    return caller == 0 ? state->atoms.nil : (ERL_NIF_TERM)caller;
}

static ERL_NIF_TERM make_mode(struct nif_state *state, enum lsq_checkpoint mode) {
    switch (mode) {
    case LSQ_CHECKPOINT_PASSIVE: return state->atoms.passive;
    case LSQ_CHECKPOINT_FULL: return state->atoms.full;
    case LSQ_CHECKPOINT_RESTART: return state->atoms.restart;
    default: return state->atoms.truncate;
    }
}

/* ns; nil where there is none. */
static ERL_NIF_TERM make_age(ErlNifEnv *env, struct nif_state *state, int64_t ns) {
    return ns < 0 ? state->atoms.nil : enif_make_int64(env, ns);
}

static void put(ErlNifEnv *env, ERL_NIF_TERM *map, const char *key, ERL_NIF_TERM value) {
    (void)enif_make_map_put(env, *map, enif_make_atom(env, key), value, map);
}

/* ---- Asked ---- */

static ERL_NIF_TERM make_waits(ErlNifEnv *env, const struct lsq_file_info *info) {
    ERL_NIF_TERM waits[LSQ_WAITS];

    for (int i = 0; i < LSQ_WAITS; i++) waits[i] = enif_make_int64(env, info->waits[i]);
    return enif_make_list_from_array(env, waits, LSQ_WAITS);
}

/* As turn_holder/1 answers. */
static ERL_NIF_TERM make_holder(ErlNifEnv *env, struct nif_state *state,
                                const struct lsq_file_info *info) {
    if (!info->held) return state->atoms.nil;
    return enif_make_tuple3(env, make_caller(state, info->holder.caller),
                            enif_make_int64(env, info->holder.held),
                            make_text_or_nil(env, state, info->holder.statement));
}

static ERL_NIF_TERM make_info(ErlNifEnv *env, struct nif_state *state,
                              const struct lsq_file_info *info) {
    ERL_NIF_TERM map = enif_make_new_map(env);

#define PUT(field) put(env, &map, #field, enif_make_int64(env, info->field))
    PUT(connections);
    PUT(line);
    PUT(turns);
    PUT(waited);
    PUT(wait_ns);
    PUT(cache_hits);
    PUT(cache_misses);
    PUT(fast_runs);
    PUT(page_cache_bytes);
    PUT(wal_bytes);
    PUT(wal_pages);
    PUT(checkpoints);
#undef PUT
    put(env, &map, "waits", make_waits(env, info));
    put(env, &map, "holder", make_holder(env, state, info));
    put(env, &map, "wal_pinned", make_bool(state, info->wal_pinned));
    put(env, &map, "oldest_reader_ns", make_age(env, state, info->oldest_reader_ns));
    put(env, &map, "oldest_reader_pid", make_caller(state, info->oldest_reader_caller));
    put(env, &map, "checkpoint_ago_ns", make_age(env, state, info->last_checkpoint.ago_ns));
    put(env, &map, "checkpoint_ns", enif_make_int64(env, info->last_checkpoint.took_ns));
    put(env, &map, "checkpoint_mode", make_mode(state, info->last_checkpoint.mode));
    put(env, &map, "checkpoint_pages", enif_make_int64(env, info->last_checkpoint.pages));
    put(env, &map, "checkpoint_done", enif_make_int64(env, info->last_checkpoint.done));
    return map;
}

ERL_NIF_TERM nif_file_info(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct lsq_file_info info;
    struct conn_res *res;
    char *path;
    bool known;

    (void)argc;
    if (conn_get(env, state, argv[0], &res)) {
        known = lsq_conn_file_info(res->conn, &info);
    } else {
        if (!get_text(env, argv[0], &path)) return enif_make_badarg(env);
        known = lsq_file_info(path, &info);
        enif_free(path);
    }
    return known ? make_ok(env, state, make_info(env, state, &info)) : state->atoms.none;
}

/* ---- Told ---- */

void files_tell(struct nif_state *state, ErlNifEnv *env, ERL_NIF_TERM kind, ERL_NIF_TERM map) {
    ErlNifPid pid;
    bool watched;

    enif_mutex_lock(state->watcher_lock);
    watched = state->watched;
    pid = state->watcher;
    enif_mutex_unlock(state->watcher_lock);
    if (watched)
        (void)enif_send(calling_env, &pid, env,
                        enif_make_tuple3(env, state->atoms.ecto_libsql, kind, map));
    enif_free_env(env);
}

/* A thread of the core. */
static void on_event(const struct lsq_file_event *event, void *arg) {
    struct nif_state *state = arg;
    ErlNifEnv *env = enif_alloc_env();
    ERL_NIF_TERM map = enif_make_new_map(env);

    put(env, &map, "database", make_text(env, event->path));
    put(env, &map, "mode", make_mode(state, event->mode));
    put(env, &map, "took_ns", enif_make_int64(env, event->took_ns));
    put(env, &map, "pages", enif_make_int64(env, event->pages));
    put(env, &map, "done", enif_make_int64(env, event->done));
    put(env, &map, "wal_bytes", enif_make_int64(env, event->wal_bytes));
    put(env, &map, "oldest_reader_ns", make_age(env, state, event->oldest_reader_ns));
    put(env, &map, "oldest_reader_pid", make_caller(state, event->oldest_reader_caller));
    files_tell(state, env,
               event->kind == LSQ_FILE_CHECKPOINT ? state->atoms.checkpoint
                                                  : state->atoms.wal_pinned,
               map);
}

ERL_NIF_TERM nif_watch_files(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    bool watched = argv[0] != state->atoms.nil;
    ErlNifPid pid = {0};

    (void)argc;
    if (watched && !enif_get_local_pid(env, argv[0], &pid)) return enif_make_badarg(env);
    enif_mutex_lock(state->watcher_lock);
    state->watcher = pid;
    state->watched = watched;
    enif_mutex_unlock(state->watcher_lock);
    return state->atoms.ok;
}

bool files_load(struct nif_state *state) {
    state->watcher_lock = enif_mutex_create("ecto_libsql files");
    if (state->watcher_lock == NULL) return false;
    lsq_on_file_event(on_event, state);
    lsq_on_server_event(remote_on_event, state);
    lsq_on_replica_event(replica_on_event, state);
    return true;
}

void files_unload(struct nif_state *state) {
    lsq_on_file_event(NULL, NULL);
    lsq_on_server_event(NULL, NULL);
    lsq_on_replica_event(NULL, NULL);
    enif_mutex_destroy(state->watcher_lock);
}
