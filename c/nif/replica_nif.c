/* What only replicas have. */
#include "nif.h"

static void put(ErlNifEnv *env, ERL_NIF_TERM *map, const char *key, ERL_NIF_TERM value) {
    (void)enif_make_map_put(env, *map, enif_make_atom(env, key), value, map);
}

/* ---- Opening ---- */

static bool get_flags(ErlNifEnv *env, const struct atoms *a, ERL_NIF_TERM map,
                      struct lsq_replica *replica) {
    const struct {
        ERL_NIF_TERM key;
        bool *field;
    } flags[] = {
        {a->no_sync_on_open, &replica->no_sync_on_open},
        {a->stale_reads, &replica->stale_reads},
        {a->stale_is_error, &replica->stale_is_error},
        {a->replace, &replica->replace},
        {a->offline, &replica->offline},
    };
    ERL_NIF_TERM term;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (!enif_get_map_value(env, map, flags[i].key, &term)) continue;
        if (term != a->true_ && term != a->false_) return false;
        *flags[i].field = term == a->true_;
    }
    return true;
}

const char *replica_decode(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM map,
                           struct lsq_replica *replica) {
    const struct atoms *a = &state->atoms;
    int protocol = LSQ_SYNC_AUTO;
    const struct {
        ERL_NIF_TERM key;
        int *field;
        const char *name;
    } numbers[] = {
        {a->sync_interval, &replica->sync_interval, "sync_interval"},
        {a->open_timeout, &replica->open_timeout, "open_timeout"},
        {a->stale_after, &replica->stale_after, "stale_after"},
        {a->sync_protocol, &protocol, "sync_protocol"},
    };
    ERL_NIF_TERM term;

    if (!enif_is_map(env, map) || !get_flags(env, a, map, replica)) return "replica";
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (enif_get_map_value(env, map, numbers[i].key, &term) &&
            !enif_get_int(env, term, numbers[i].field))
            return numbers[i].name;
    replica->protocol = (enum lsq_sync_protocol)protocol;
    return NULL;
}

/* ---- Syncs ---- */

ERL_NIF_TERM op_sync(struct call *call) {
    struct outcome *out = call->out;
    struct lsq_conn *conn = call->res->conn;
    struct lsq_call options;
    ErlNifSInt64 until = 0;
    ERL_NIF_TERM answer;
    bool all = call->argv[1] == call->state->atoms.nil;

    if (!all && (!enif_get_int64(call->env, call->argv[1], &until) || until < 0))
        return make_failure(call->env, call->state, LSQ_BAD_ARGUMENT,
                            "a replication index is an integer from 0");
    if (!call_options(call, call->argv[2], call->argv[3], &options, &answer)) return answer;
    return call_end(call, all ? lsq_sync(conn, &options, &out->sync, &out->err)
                              : lsq_sync_until(conn, until, &options, &out->sync, &out->err));
}

ERL_NIF_TERM finish_sync(struct call *call, enum lsq_status st) {
    const struct lsq_sync_result *sync = &call->out->sync;
    ErlNifEnv *env = call->env;

    if (st != LSQ_OK) return call_failed(call, &call->out->err);
    return make_ok(env, call->state,
                   enif_make_tuple3(env, enif_make_int64(env, sync->index),
                                    enif_make_int64(env, sync->frames),
                                    enif_make_int64(env, sync->bytes)));
}

/* Waits here, on a thread that may: it is no matter of every day. */
ERL_NIF_TERM op_set_aside(struct call *call) {
    char aside[4096];
    struct lsq_call options;
    struct lsq_error err;
    ERL_NIF_TERM answer;

    if (!call_options(call, call->argv[1], call->argv[2], &options, &answer)) return answer;
    if (lsq_set_aside(call->res->conn, &options, aside, sizeof(aside), &err) != LSQ_OK)
        return call_failed(call, &err);
    return make_ok(call->env, call->state,
                   make_text_or_nil(call->env, call->state, aside[0] == '\0' ? NULL : aside));
}

ERL_NIF_TERM op_freeze(struct call *call) {
    struct lsq_error err;

    if (lsq_freeze(call->res->conn, NULL, &err) != LSQ_OK) return call_failed(call, &err);
    return call->state->atoms.ok;
}

/* ---- What is known ---- */

static ERL_NIF_TERM make_last_error(ErlNifEnv *env, struct nif_state *state,
                                    const struct lsq_error *err) {
    if (err->status == LSQ_OK) return state->atoms.nil;
    return enif_make_tuple2(env, enif_make_atom(env, lsq_status_name(err->status)),
                            make_text(env, err->message));
}

ERL_NIF_TERM nif_replica_info(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct lsq_replica_info info;
    struct conn_res *res;
    struct lsq_error err;
    ERL_NIF_TERM map = enif_make_new_map(env);

    (void)argc;
    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    if (lsq_replica_info(res->conn, &info, &err) != LSQ_OK) return make_error(env, state, &err);
#define PUT(field) put(env, &map, #field, enif_make_int64(env, info.field))
    PUT(index);
    PUT(written);
    PUT(primary);
    PUT(lag);
    PUT(waiting);
    PUT(syncs);
    PUT(failures);
    PUT(rebuilds);
    PUT(frames);
    PUT(bytes);
    PUT(protocol);
    PUT(unpushed);
    PUT(pushed);
#undef PUT
    put(env, &map, "offline", make_bool(state, info.offline));
    put(env, &map, "pushed_ago",
        info.pushed_ago < 0 ? state->atoms.nil : enif_make_int64(env, info.pushed_ago));
    put(env, &map, "synced_ago",
        info.synced_ago < 0 ? state->atoms.nil : enif_make_int64(env, info.synced_ago));
    put(env, &map, "running", make_bool(state, info.running));
    put(env, &map, "last_error", make_last_error(env, state, &info.last_error));
    return make_ok(env, state, map);
}

/* ---- Events ---- */

/* Any thread. */
void replica_on_event(const struct lsq_replica_event *event, void *arg) {
    struct nif_state *state = arg;
    const ERL_NIF_TERM kinds[] = {
        [LSQ_REPLICA_BOOTSTRAPPED] = state->atoms.replica_bootstrapped,
        [LSQ_REPLICA_SYNCED] = state->atoms.replica_synced,
        [LSQ_REPLICA_FAILED] = state->atoms.replica_failed,
        [LSQ_REPLICA_SET_ASIDE] = state->atoms.replica_set_aside,
        [LSQ_REPLICA_REPLACED] = state->atoms.replica_replaced,
        [LSQ_REPLICA_STALE] = state->atoms.replica_stale,
        [LSQ_REPLICA_PUSHED] = state->atoms.replica_pushed,
    };
    ErlNifEnv *env = enif_alloc_env();
    ERL_NIF_TERM map = enif_make_new_map(env);

    put(env, &map, "database", make_text(env, event->path));
    put(env, &map, "code", enif_make_atom(env, lsq_status_name(event->why)));
    put(env, &map, "message", make_text(env, event->message));
    put(env, &map, "aside", make_text_or_nil(env, state, event->aside));
    put(env, &map, "index", enif_make_int64(env, event->index));
    put(env, &map, "frames", enif_make_int64(env, event->frames));
    put(env, &map, "bytes", enif_make_int64(env, event->bytes));
    put(env, &map, "took_ns", enif_make_int64(env, event->took_ns));
    files_tell(state, env, kinds[event->kind], map);
}
