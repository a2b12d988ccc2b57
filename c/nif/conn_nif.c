#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "nif.h"

/* ---- Opening ---- */

/* lsq_config with the memory that it borrows. */
struct config {
    struct lsq_config cfg;
    char *path;
    char *vfs;
    char *primary;
    struct lsq_replica replica;
    struct lsq_setting *settings;
    struct lsq_attached *attached;
    struct lsq_remote remote;
};

static bool get_bool(struct nif_state *state, ERL_NIF_TERM term, bool *value) {
    *value = term == state->atoms.true_;
    return *value || term == state->atoms.false_;
}

static bool get_pair(ErlNifEnv *env, ERL_NIF_TERM term, char **first, char **second) {
    const ERL_NIF_TERM *pair;
    int arity;

    if (!enif_get_tuple(env, term, &arity, &pair) || arity != 2) return false;
    if (!get_text(env, pair[0], first)) return false;
    if (get_text(env, pair[1], second)) return true;
    enif_free(*first);
    return false;
}

static bool get_settings(ErlNifEnv *env, ERL_NIF_TERM list, struct config *config) {
    ERL_NIF_TERM head;
    unsigned count;

    if (!enif_get_list_length(env, list, &count) || count > 1000) return false;
    config->settings = enif_alloc((count + 1) * sizeof(*config->settings));
    if (config->settings == NULL) return false;
    config->cfg.settings = config->settings;
    config->cfg.setting_count = 0;
    while (enif_get_list_cell(env, list, &head, &list)) {
        char *name;
        char *value;

        if (!get_pair(env, head, &name, &value)) return false;
        config->settings[config->cfg.setting_count++] =
            (struct lsq_setting){.name = name, .value = value};
    }
    return true;
}

static bool get_attached(ErlNifEnv *env, ERL_NIF_TERM list, struct config *config) {
    ERL_NIF_TERM head;
    unsigned count;

    if (!enif_get_list_length(env, list, &count) || count > 1000) return false;
    config->attached = enif_alloc((count + 1) * sizeof(*config->attached));
    if (config->attached == NULL) return false;
    config->cfg.attached = config->attached;
    while (enif_get_list_cell(env, list, &head, &list)) {
        char *name;
        char *path;

        if (!get_pair(env, head, &name, &path)) return false;
        config->attached[config->cfg.attached_count++] =
            (struct lsq_attached){.name = name, .path = path};
    }
    return true;
}

static void config_release(struct config *config) {
    for (size_t i = 0; config->settings != NULL && i < config->cfg.setting_count; i++) {
        enif_free((void *)config->settings[i].name);
        enif_free((void *)config->settings[i].value);
    }
    for (size_t i = 0; i < config->cfg.attached_count; i++) {
        enif_free((void *)config->attached[i].name);
        enif_free((void *)config->attached[i].path);
    }
    enif_free(config->settings);
    enif_free(config->attached);
    enif_free(config->path);
    enif_free(config->vfs);
    enif_free(config->primary);
    remote_release(&config->remote);
}

/* nil, or a text. */
static bool get_optional(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM term, char **text) {
    return term == state->atoms.nil || get_text(env, term, text);
}

static bool get_key(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM term,
                    struct lsq_config *cfg) {
    ErlNifBinary bin;

    if (term == state->atoms.nil) return true;
    if (!enif_inspect_binary(env, term, &bin)) return false;
    cfg->key = bin.size > 0 ? (const void *)bin.data : "";
    cfg->key_len = bin.size;
    return true;
}

/* NULL, or the name of what is wrong. */
static const char *config_decode(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM map,
                                 struct config *config) {
    const struct atoms *a = &state->atoms;
    struct lsq_config *cfg = &config->cfg;
    ERL_NIF_TERM term;
    unsigned number;
    bool fast = true;

#define GET(name) enif_get_map_value(env, map, a->name, &term)
    if (!GET(path) || !get_text(env, term, &config->path)) return "path";
    if (GET(flags) && !enif_get_uint(env, term, &cfg->flags)) return "flags";
    if (GET(vfs) && !get_optional(env, state, term, &config->vfs)) return "vfs";
    if (GET(busy_timeout) && !enif_get_int(env, term, &cfg->busy_timeout)) return "busy_timeout";
    if (GET(settings) && !get_settings(env, term, config)) return "settings";
    if (GET(attached) && !get_attached(env, term, config)) return "attached";
    if (GET(statement_cache)) {
        if (!enif_get_uint(env, term, &number)) return "statement_cache";
        cfg->statement_cache = number;
    }
    if (GET(fast_path) && !get_bool(state, term, &fast)) return "fast_path";
    if (GET(key) && !get_key(env, state, term, cfg)) return "key";
    if (GET(max_length) && term != a->nil && !enif_get_int(env, term, &cfg->max_length))
        return "max_length";
    if (GET(remote) && term != a->nil) {
        const char *wrong = remote_decode(env, state, term, &config->remote);

        if (wrong != NULL) return wrong;
        cfg->remote = &config->remote;
    }
    if (GET(primary) && !get_optional(env, state, term, &config->primary)) return "primary";
    if (GET(replica) && term != a->nil) {
        const char *wrong = replica_decode(env, state, term, &config->replica);

        if (wrong != NULL) return wrong;
        cfg->replica = &config->replica;
    }
#undef GET
    cfg->path = config->path;
    cfg->vfs = config->vfs;
    cfg->primary = config->primary;
    cfg->no_fast_path = !fast;
    cfg->flags |= LSQ_OPEN_NOWAIT;
    return NULL;
}

/* The resource without a connection, so that nothing can fail once that is open. */
static struct conn_res *conn_alloc(struct nif_state *state, ErlNifEnv *env, ERL_NIF_TERM map) {
    struct conn_res *res = enif_alloc_resource(state->conn_type, sizeof(*res));
    ERL_NIF_TERM kept;

    if (res == NULL) return NULL;
    memset(res, 0, sizeof(*res));
    res->state = state;
    res->number = atomic_fetch_add(&state->conns, 1) % INT32_MAX + 1;
    res->kept_env = enif_alloc_env();
    if (res->kept_env != NULL) {
        if (!enif_get_map_value(env, map, state->atoms.kept, &kept)) kept = state->atoms.nil;
        res->kept = enif_make_copy(res->kept_env, kept);
    }
    res->lock = enif_mutex_create("ecto_libsql connection");
    if (res->lock != NULL && res->kept_env != NULL) return res;
    enif_release_resource(res);
    return NULL;
}

static ERL_NIF_TERM open_now(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM map) {
    struct config config = {0};
    struct conn_res *res;
    struct lsq_error err;
    const char *wrong;
    char message[64];
    ERL_NIF_TERM answer;

    lsq_config_init(&config.cfg);
    wrong = config_decode(env, state, map, &config);
    res = wrong == NULL ? conn_alloc(state, env, map) : NULL;
    if (wrong != NULL) {
        snprintf(message, sizeof(message), "the configuration is not valid: %s", wrong);
        answer = make_failure(env, state, LSQ_BAD_ARGUMENT, message);
    } else if (res == NULL) {
        answer = make_failure(env, state, LSQ_NOMEM, NULL);
    } else {
        if (lsq_conn_open(&res->conn, &config.cfg, &err) != LSQ_OK)
            answer = make_error(env, state, &err);
        else
            answer = make_ok(env, state, enif_make_resource(env, res));
        res->fast_path = !config.cfg.no_fast_path;
        enif_release_resource(res);
    }
    config_release(&config);
    return answer;
}

/* Opening reads and compiles the schema: a thread of the core does it. */
struct opening {
    struct nif_state *state;
    ErlNifEnv *env; /* owns the terms, and becomes the message */
    ERL_NIF_TERM config;
    ERL_NIF_TERM ref;
    ErlNifPid pid;
};

static void opening_free(struct opening *opening) {
    enif_free_env(opening->env);
    enif_free(opening);
}

static void opening_run(void *arg) {
    struct opening *opening = arg;
    ERL_NIF_TERM answer = open_now(opening->env, opening->state, opening->config);

    (void)enif_send(NULL, &opening->pid, opening->env,
                    enif_make_tuple2(opening->env, opening->ref, answer));
    opening_free(opening);
}

ERL_NIF_TERM nif_open(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct opening *opening;
    struct lsq_error err;

    (void)argc;
    if (!enif_is_ref(env, argv[0]) || !enif_is_map(env, argv[1])) return enif_make_badarg(env);
    opening = enif_alloc(sizeof(*opening));
    if (opening == NULL) return make_failure(env, state, LSQ_NOMEM, NULL);
    *opening = (struct opening){.state = state, .env = enif_alloc_env()};
    opening->ref = enif_make_copy(opening->env, argv[0]);
    opening->config = enif_make_copy(opening->env, argv[1]);
    enif_self(env, &opening->pid);
    if (lsq_defer(opening_run, opening, &err) == LSQ_OK) return state->atoms.ok;
    opening_free(opening);
    return make_error(env, state, &err);
}

/* ---- Without entering the connection ---- */

ERL_NIF_TERM nif_busy_timeout(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct conn_res *res;

    (void)argc;
    if (!conn_get(env, enif_priv_data(env), argv[0], &res)) return enif_make_badarg(env);
    return enif_make_int(env, lsq_conn_busy_timeout(res->conn));
}

/* Nobody writes it: any number of threads may read. */
ERL_NIF_TERM nif_kept(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct conn_res *res;

    (void)argc;
    if (!conn_get(env, enif_priv_data(env), argv[0], &res)) return enif_make_badarg(env);
    return enif_make_copy(env, res->kept);
}

ERL_NIF_TERM nif_status(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;
    uint64_t trx;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    if (atomic_load(&res->closed)) return make_failure(env, state, LSQ_CLOSED, NULL);
    trx = atomic_load(&res->trx);
    if (trx == 0) return state->atoms.idle;
    return enif_make_tuple2(env, state->atoms.transaction, enif_make_uint64(env, trx));
}

ERL_NIF_TERM nif_turn_holder(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct lsq_turn_holder holder;
    struct conn_res *res;
    ERL_NIF_TERM pid = state->atoms.nil;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    if (!lsq_turn_holder(res->conn, &holder)) return state->atoms.nil;
    if (holder.caller != 0)
        pid = (ERL_NIF_TERM)holder.caller; /* of a local pid: no term on a heap */
    return enif_make_tuple3(env, pid, enif_make_int64(env, holder.held),
                            make_text_or_nil(env, state, holder.statement));
}

static void put(ErlNifEnv *env, ERL_NIF_TERM *map, const char *key, ERL_NIF_TERM value) {
    (void)enif_make_map_put(env, *map, enif_make_atom(env, key), value, map);
}

ERL_NIF_TERM nif_core_info(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct lsq_core_info info;
    struct lsq_error err;
    ERL_NIF_TERM map = enif_make_new_map(env);

    (void)argc, (void)argv;
    if (lsq_core_info(&info, &err) != LSQ_OK) return make_error(env, state, &err);
    put(env, &map, "engine", make_text(env, info.engine));
    put(env, &map, "engine_version", make_text(env, info.engine_version));
    put(env, &map, "engine_source", make_text(env, info.engine_source));
    put(env, &map, "encryption", make_bool(state, info.encryption));
    put(env, &map, "wal_reset_fixed", make_bool(state, info.wal_reset_fixed));
    put(env, &map, "ofd_locks", make_bool(state, info.ofd_locks));
    return map;
}

ERL_NIF_TERM nif_memory(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct lsq_memory memory;
    ERL_NIF_TERM map = enif_make_new_map(env);

    (void)argc, (void)argv;
    lsq_memory(&memory);
    put(env, &map, "bytes", enif_make_int64(env, memory.bytes));
    put(env, &map, "blocks", enif_make_int64(env, memory.blocks));
    put(env, &map, "failed", enif_make_int64(env, memory.failed));
    return map;
}

/* ---- In the connection ---- */

static ERL_NIF_TERM bad_argument(struct call *call, const char *message) {
    return make_failure(call->env, call->state, LSQ_BAD_ARGUMENT, message);
}

/* :ok or the error, after what may have changed the transaction. */
ERL_NIF_TERM finish_done(struct call *call, enum lsq_status st) {
    if (st != LSQ_OK) return call_failed(call, &call->out->err);
    call_look(call);
    return call->state->atoms.ok;
}

/* The same of an op that never waits for a server. */
static ERL_NIF_TERM done(struct call *call, enum lsq_status st, const struct lsq_error *err) {
    if (st != LSQ_OK) return call_failed(call, err);
    call_look(call);
    return call->state->atoms.ok;
}

ERL_NIF_TERM op_begin(struct call *call) {
    const struct atoms *a = &call->state->atoms;
    ERL_NIF_TERM kind = call->argv[1];
    struct lsq_call options;
    enum lsq_txn txn;
    ERL_NIF_TERM answer;

    if (kind == a->deferred)
        txn = LSQ_TXN_DEFERRED;
    else if (kind == a->immediate)
        txn = LSQ_TXN_IMMEDIATE;
    else if (kind == a->exclusive)
        txn = LSQ_TXN_EXCLUSIVE;
    else if (kind == a->read)
        txn = LSQ_TXN_READ;
    else if (kind == a->patient)
        txn = LSQ_TXN_PATIENT;
    else
        return bad_argument(call, "there is no such kind of transaction");
    if (!call_options(call, call->argv[2], call->argv[3], &options, &answer)) return answer;
    return call_end(call, lsq_begin(call->res->conn, txn, &options, &call->out->err));
}

ERL_NIF_TERM finish_begin(struct call *call, enum lsq_status st) {
    if (st != LSQ_OK) return call_failed(call, &call->out->err);
    call_begun(call);
    return make_ok(call->env, call->state, enif_make_uint64(call->env, call->res->trx));
}

ERL_NIF_TERM op_commit(struct call *call) {
    struct lsq_call options;
    ERL_NIF_TERM answer;

    if (!call_in_trx(call, call->argv[1], &answer)) return answer;
    if (!call_options(call, call->argv[2], call->argv[3], &options, &answer)) return answer;
    return call_end(call, lsq_commit(call->res->conn, &options, &call->out->err));
}

ERL_NIF_TERM op_rollback(struct call *call) {
    struct lsq_call options;
    ERL_NIF_TERM answer;

    if (!call_in_trx(call, call->argv[1], &answer)) return answer;
    call_plain(call, &options);
    return call_end(call, lsq_rollback(call->res->conn, &options, &call->out->err));
}

typedef enum lsq_status savepoint_fn(struct lsq_conn *conn, const char *name, size_t len,
                                     const struct lsq_call *call, struct lsq_error *err);

static ERL_NIF_TERM with_name(struct call *call, savepoint_fn *fn) {
    struct lsq_call options;
    ErlNifBinary name;
    ERL_NIF_TERM answer;

    if (!enif_inspect_binary(call->env, call->argv[2], &name))
        return bad_argument(call, "a savepoint's name is a text");
    if (!call_in_trx(call, call->argv[1], &answer)) return answer;
    call_plain(call, &options);
    return call_end(
        call, fn(call->res->conn, (const char *)name.data, name.size, &options, &call->out->err));
}

ERL_NIF_TERM op_savepoint(struct call *call) { return with_name(call, lsq_savepoint); }
ERL_NIF_TERM op_release(struct call *call) { return with_name(call, lsq_release); }
ERL_NIF_TERM op_rollback_to(struct call *call) { return with_name(call, lsq_rollback_to); }

ERL_NIF_TERM op_enforce_foreign_keys(struct call *call) {
    struct lsq_error err;
    ERL_NIF_TERM answer;
    bool on;
    bool before;

    if (!get_bool(call->state, call->argv[2], &on))
        return bad_argument(call, "foreign keys are enforced by true and not by false");
    if (!call_in_trx(call, call->argv[1], &answer)) return answer;
    if (lsq_enforce_foreign_keys(call->res->conn, on, &before, NULL, &err) != LSQ_OK)
        return call_failed(call, &err);
    return make_ok(call->env, call->state, make_bool(call->state, before));
}

ERL_NIF_TERM op_reset(struct call *call) {
    struct lsq_error err;

    return done(call, lsq_conn_reset(call->res->conn, &err), &err);
}

ERL_NIF_TERM op_set_busy_timeout(struct call *call) {
    struct lsq_error err;
    int ms;

    if (!enif_get_int(call->env, call->argv[1], &ms))
        return bad_argument(call, "the busy time-out is an integer of ms");
    return done(call, lsq_conn_set_busy_timeout(call->res->conn, ms, &err), &err);
}

ERL_NIF_TERM op_info(struct call *call) {
    struct nif_state *state = call->state;
    ErlNifEnv *env = call->env;
    struct lsq_conn_info info;
    struct lsq_error err;
    bool all = call->argv[1] == state->atoms.true_;
    ERL_NIF_TERM map = enif_make_new_map(env);

    if (lsq_conn_info(call->res->conn, all, &info, &err) != LSQ_OK) return call_failed(call, &err);
    call_note(call, info.autocommit);
    put(env, &map, "autocommit", make_bool(state, info.autocommit));
    put(env, &map, "readonly", make_bool(state, info.readonly));
    put(env, &map, "wal", make_bool(state, info.wal));
    put(env, &map, "wrote", make_bool(state, info.wrote));
#define PUT(field) put(env, &map, #field, enif_make_int64(env, info.field))
    PUT(last_rowid);
    PUT(changes);
    PUT(total_changes);
    if (all) {
        PUT(cache_hits);
        PUT(cache_misses);
        PUT(cache_size);
        PUT(fast_runs);
        PUT(fast_refusals);
        PUT(page_cache_bytes);
        PUT(schema_bytes);
        PUT(statement_bytes);
    }
#undef PUT
    return make_ok(env, state, map);
}

ERL_NIF_TERM op_notices(struct call *call) {
    ErlNifEnv *env = call->env;
    ERL_NIF_TERM list = enif_make_list(env, 0);
    const struct lsq_notice *notice;

    for (size_t i = 0; (notice = lsq_conn_notice(call->res->conn, i)) != NULL; i++)
        list = enif_make_list_cell(env,
                                   enif_make_tuple3(env, make_text(env, notice->name),
                                                    make_text(env, notice->asked),
                                                    make_text(env, notice->got)),
                                   list);
    return list;
}

ERL_NIF_TERM op_cacheflush(struct call *call) {
    struct lsq_error err;

    return done(call, lsq_conn_cacheflush(call->res->conn, &err), &err);
}

ERL_NIF_TERM op_checkpoint(struct call *call) {
    const struct atoms *a = &call->state->atoms;
    ERL_NIF_TERM term = call->argv[2];
    enum lsq_checkpoint mode;
    struct lsq_error err;
    char *schema = NULL;
    enum lsq_status st;
    int frames;
    int moved;

    if (term == a->passive)
        mode = LSQ_CHECKPOINT_PASSIVE;
    else if (term == a->full)
        mode = LSQ_CHECKPOINT_FULL;
    else if (term == a->restart)
        mode = LSQ_CHECKPOINT_RESTART;
    else if (term == a->truncate)
        mode = LSQ_CHECKPOINT_TRUNCATE;
    else
        return bad_argument(call, "there is no such checkpoint mode");
    if (!get_optional(call->env, call->state, call->argv[1], &schema))
        return bad_argument(call, "a schema's name is a text");
    st = lsq_conn_checkpoint(call->res->conn, schema, mode, &frames, &moved, &err);
    enif_free(schema);
    if (st != LSQ_OK) return call_failed(call, &err);
    return make_ok(call->env, call->state,
                   enif_make_tuple2(call->env, enif_make_int(call->env, frames),
                                    enif_make_int(call->env, moved)));
}

ERL_NIF_TERM op_enable_extensions(struct call *call) {
    struct lsq_error err;
    bool on;

    if (!get_bool(call->state, call->argv[1], &on))
        return bad_argument(call, "extensions are enabled by true and disabled by false");
    return done(call, lsq_conn_enable_extensions(call->res->conn, on, &err), &err);
}

ERL_NIF_TERM op_load_extension(struct call *call) {
    struct lsq_error err;
    char *path = NULL;
    char *entry = NULL;
    ERL_NIF_TERM answer;

    if (!get_text(call->env, call->argv[1], &path) ||
        !get_optional(call->env, call->state, call->argv[2], &entry))
        answer = bad_argument(call, "an extension's path and entry point are texts");
    else
        answer = done(call, lsq_conn_load_extension(call->res->conn, path, entry, &err), &err);
    enif_free(path);
    enif_free(entry);
    return answer;
}
