/* What only connections to servers have. */
#include <string.h>

#include "nif.h"

static bool get_texts(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM map,
                      struct lsq_remote *remote, const char **wrong) {
    const struct atoms *a = &state->atoms;
    const struct {
        ERL_NIF_TERM key;
        const char **field;
        const char *name;
    } texts[] = {
        {a->token, &remote->token, "token"},
        {a->namespace_, &remote->namespace_, "namespace"},
        {a->encryption_key, &remote->encryption_key, "encryption_key"},
        {a->ca_file, &remote->ca_file, "ca_file"},
        {a->client_cert, &remote->client_cert, "client_cert"},
        {a->client_key, &remote->client_key, "client_key"},
        {a->proxy, &remote->proxy, "proxy"},
    };
    ERL_NIF_TERM term;
    char *text;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *wrong = texts[i].name;
        if (!enif_get_map_value(env, map, texts[i].key, &term) || term == a->nil) continue;
        if (!get_text(env, term, &text)) return false;
        *texts[i].field = text;
    }
    return true;
}

static bool get_numbers(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM map,
                        struct lsq_remote *remote, const char **wrong) {
    const struct atoms *a = &state->atoms;
    const struct {
        ERL_NIF_TERM key;
        int *field;
        const char *name;
    } numbers[] = {
        {a->connect_timeout, &remote->connect_timeout, "connect_timeout"},
        {a->first_byte_timeout, &remote->first_byte_timeout, "first_byte_timeout"},
        {a->timeout, &remote->timeout, "timeout"},
        {a->retry_time, &remote->retry_time, "retry_time"},
    };
    ErlNifUInt64 size;
    ERL_NIF_TERM term;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        *wrong = numbers[i].name;
        if (!enif_get_map_value(env, map, numbers[i].key, &term) || term == a->nil) continue;
        if (!enif_get_int(env, term, numbers[i].field)) return false;
    }
    *wrong = "max_response";
    if (!enif_get_map_value(env, map, a->max_response, &term) || term == a->nil) return true;
    if (!enif_get_uint64(env, term, &size)) return false;
    remote->max_response = size;
    return true;
}

static bool get_replicas(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM map,
                         struct lsq_remote *remote) {
    const char **urls;
    ERL_NIF_TERM list;
    ERL_NIF_TERM head;
    unsigned count;
    char *url;

    if (!enif_get_map_value(env, map, state->atoms.replicas, &list)) return true;
    if (!enif_get_list_length(env, list, &count) || count > 100) return false;
    urls = enif_alloc((count + 1) * sizeof(*urls));
    if (urls == NULL) return false;
    remote->replicas = urls;
    while (enif_get_list_cell(env, list, &head, &list)) {
        if (!get_text(env, head, &url)) return false;
        urls[remote->replica_count++] = url;
    }
    return true;
}

const char *remote_decode(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM map,
                          struct lsq_remote *remote) {
    const char *wrong = "remote";
    ERL_NIF_TERM term;

    if (!enif_is_map(env, map)) return wrong;
    if (!get_texts(env, state, map, remote, &wrong)) return wrong;
    if (!get_numbers(env, state, map, remote, &wrong)) return wrong;
    if (!get_replicas(env, state, map, remote)) return "replicas";
    remote->read_replicas = enif_get_map_value(env, map, state->atoms.read_replicas, &term) &&
                            term == state->atoms.true_;
    remote->no_verify =
        enif_get_map_value(env, map, state->atoms.verify, &term) && term == state->atoms.false_;
    return NULL;
}

void remote_release(struct lsq_remote *remote) {
    if (remote->token != NULL) memset((void *)remote->token, 0, strlen(remote->token));
    for (size_t i = 0; i < remote->replica_count; i++) enif_free((void *)remote->replicas[i]);
    enif_free((void *)remote->replicas);
    enif_free((void *)remote->token);
    enif_free((void *)remote->namespace_);
    enif_free((void *)remote->encryption_key);
    enif_free((void *)remote->ca_file);
    enif_free((void *)remote->client_cert);
    enif_free((void *)remote->client_key);
    enif_free((void *)remote->proxy);
}

/* Any thread. */
void remote_on_event(const struct lsq_server_event *event, void *arg) {
    struct nif_state *state = arg;
    const ERL_NIF_TERM kinds[] = {
        [LSQ_SERVER_RETRY] = state->atoms.server_retry,
        [LSQ_SERVER_DOWN] = state->atoms.server_down,
        [LSQ_SERVER_UP] = state->atoms.server_up,
        [LSQ_SERVER_NO_SOCKET] = state->atoms.server_no_socket,
    };
    ErlNifEnv *env = enif_alloc_env();
    ERL_NIF_TERM map = enif_make_new_map(env);

    (void)enif_make_map_put(env, map, enif_make_atom(env, "server"), make_text(env, event->server),
                            &map);
    (void)enif_make_map_put(env, map, enif_make_atom(env, "ms"), enif_make_int64(env, event->ms),
                            &map);
    (void)enif_make_map_put(env, map, enif_make_atom(env, "code"),
                            enif_make_atom(env, lsq_status_name(event->why)), &map);
    files_tell(state, env, kinds[event->kind], map);
}

ERL_NIF_TERM nif_set_token(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;
    struct lsq_error err;
    char *token = NULL;
    enum lsq_status st;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    if (argv[1] != state->atoms.nil && !get_text(env, argv[1], &token))
        return make_failure(env, state, LSQ_BAD_ARGUMENT, "a token is a text");
    st = lsq_conn_set_token(res->conn, token, &err);
    enif_free(token);
    return st == LSQ_OK ? state->atoms.ok : make_error(env, state, &err);
}
