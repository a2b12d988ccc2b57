#include "remote/server.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "hrana/base64.h"
#include "remote/events.h"
#include "remote/remote.h"

enum {
    CONNECT_MS = 10000,
    TIMEOUT_MS = 30000,
    RETRY_MS = 3000,
    MAX_RESPONSE = 256 * 1024 * 1024,
    MOST_TOKEN = 64 * 1024,
    /* How long HTTP serves where a WebSocket ended before it began. */
    NO_SOCKET_MS = 30000
};

/* ---- The URL ---- */

struct scheme {
    const char *name;
    bool tls;
};

static const struct scheme schemes[] = {
    {"libsql://", true}, {"https://", true}, {"http://", false}, {"wss://", true}, {"ws://", false},
};

static const struct scheme *scheme_of(const char *url) {
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (strncasecmp(url, schemes[i].name, strlen(schemes[i].name)) == 0) return &schemes[i];
    return NULL;
}

bool lsqi_remote_is_url(const char *path) { return path != NULL && scheme_of(path) != NULL; }

static enum lsq_status refuse(struct lsq_error *err, const char *why) {
    return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the server's address is not valid: %s", why);
}

/* "?tls=0" of libsql://; what else there is was meant for something. */
static enum lsq_status read_query(const char *query, bool *tls, struct lsq_error *err) {
    if (*query == '\0' || strcmp(query, "?") == 0) return LSQ_OK;
    if (strcmp(query, "?tls=0") == 0) {
        *tls = false;
        return LSQ_OK;
    }
    if (strcmp(query, "?tls=1") == 0) return LSQ_OK;
    return refuse(err, "after the ?, only tls=0 is known (a token is given apart)");
}

/* The base address of a URL, allocated. */
static enum lsq_status read_url(char **base, const char *url, struct lsq_error *err) {
    const struct scheme *scheme = scheme_of(url);
    const char *rest = url + strlen(scheme->name);
    size_t len = strcspn(rest, "?#");
    bool tls = scheme->tls;
    enum lsq_status st;

    for (const char *c = url; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f) return refuse(err, "it holds a space");
    if (rest[len] == '#') return refuse(err, "it has a part after #");
    if (strcspn(rest, "/") == 0 || len == 0) return refuse(err, "it names no host");
    if (memchr(rest, '@', strcspn(rest, "/?")) != NULL)
        return refuse(err, "it holds a user; a token is given apart");
    st = read_query(rest + len, &tls, err);
    if (st != LSQ_OK) return st;
    while (len > 0 && rest[len - 1] == '/') len--;
    *base = lsqi_malloc(len + 9);
    if (*base == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for an address");
    snprintf(*base, len + 9, "%s%.*s", tls ? "https://" : "http://", (int)len, rest);
    return LSQ_OK;
}

/* sqld tells its databases by the first label of the host. */
static char *namespace_host(const char *base, const char *name) {
    const char *host = strstr(base, "://") + 3;
    size_t len = strcspn(host, "/");
    size_t size = strlen(name) + len + 2;
    char *text = lsqi_malloc(size);

    if (text != NULL) snprintf(text, size, "%s.%.*s", name, (int)len, host);
    return text;
}

/* Whether a base address, "http://host...", says that it is this machine's own. */
static bool is_here(const char *base) {
    const char *host = strstr(base, "://") + 3;
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");

    return strncmp(host, "127.", 4) == 0 || (len == 9 && strncmp(host, "localhost", len) == 0) ||
           (len == 5 && strncmp(host, "[::1]", len) == 0);
}

static enum lsq_status check_namespace(const char *name, struct lsq_error *err) {
    if (name == NULL) return LSQ_OK;
    if (name[0] != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_") == strlen(name))
        return LSQ_OK;
    return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "a namespace is made of letters, digits, - and _");
}

static enum lsq_status add_target(struct lsqi_server *server, const char *url,
                                  const struct lsq_remote *remote, struct lsq_error *err) {
    const char *namespace_ = remote->namespace_;
    struct lsqi_target *target = &server->targets[server->target_count];
    enum lsq_status st;
    char way[256];
    char *base;

    /* What is not reached by a proxy that is not there may be reached without. */
    snprintf(way, sizeof(way), "%s|%s|%s|%s|%d", remote->proxy == NULL ? "-" : remote->proxy,
             remote->ca_file == NULL ? "" : remote->ca_file,
             remote->client_cert == NULL ? "" : remote->client_cert,
             remote->client_key == NULL ? "" : remote->client_key, remote->no_verify);
    if (!lsqi_remote_is_url(url))
        return refuse(err, "it begins with none of libsql://, https://, http://, wss://, ws://");
    st = read_url(&base, url, err);
    if (st != LSQ_OK) return st;
    target->place = lsqi_place_get(base, way, server->peer);
    if (namespace_ != NULL) target->host = namespace_host(base, namespace_);
    target->socket = strncasecmp(url, "ws", 2) == 0;
    target->here = is_here(base);
    lsqi_free(base);
    server->target_count++; /* to be released */
    return target->place == NULL || (namespace_ != NULL && target->host == NULL) ? LSQ_NOMEM
                                                                                 : LSQ_OK;
}

static enum lsq_status add_targets(struct lsqi_server *server, const char *url,
                                   const struct lsq_remote *remote, struct lsq_error *err) {
    enum lsq_status st = check_namespace(remote->namespace_, err);

    if (st == LSQ_OK && (remote->replica_count >= LSQI_SERVER_TARGETS ||
                         (remote->replica_count > 0 && remote->replicas == NULL)))
        st = lsqi_error_set(err, LSQ_BAD_ARGUMENT, "a server has at most %d replicas",
                            LSQI_SERVER_TARGETS - 1);
    if (st == LSQ_OK) st = add_target(server, url, remote, err);
    for (size_t i = 0; st == LSQ_OK && i < remote->replica_count; i++)
        st = add_target(server, remote->replicas[i], remote, err);
    return st;
}

/* ---- Whom to ask ---- */

static size_t pick_replica(struct lsqi_server *server, size_t failed) {
    size_t count = server->target_count - 1;
    size_t first = count == 0 ? 0 : atomic_fetch_add(&server->reads, 1) % count;

    for (size_t i = 0; i < count; i++) {
        size_t target = 1 + (first + i) % count;

        if (target != failed && lsqi_place_usable(server->targets[target].place)) return target;
    }
    return SIZE_MAX;
}

size_t lsqi_server_pick(struct lsqi_server *server, bool reads, size_t failed) {
    bool primary = lsqi_place_usable(server->targets[0].place);
    size_t replica = reads ? pick_replica(server, failed) : SIZE_MAX;

    if (replica != SIZE_MAX && (server->read_replicas || !primary || failed == 0)) return replica;
    if (primary) return 0;
    return reads && failed != SIZE_MAX && lsqi_place_usable(server->targets[failed].place)
               ? failed
               : SIZE_MAX;
}

/* ---- What goes into headers ---- */

static bool is_header_text(const char *text) {
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return false;
    return true;
}

static enum lsq_status check_token(const char *token, struct lsq_error *err) {
    if (token == NULL) return LSQ_OK;
    if (token[0] == '\0' || !is_header_text(token) || strlen(token) > MOST_TOKEN)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                              "the token is empty, too long, or holds a control character");
    return LSQ_OK;
}

static char *copy(const char *text) { return lsqi_strndup(text, strlen(text)); }

enum lsq_status lsqi_server_set_token(struct lsqi_server *server, const char *token,
                                      struct lsq_error *err) {
    enum lsq_status st = check_token(token, err);
    char *mine = NULL;

    if (st != LSQ_OK) return st;
    if (token != NULL && (mine = copy(token)) == NULL)
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a token");
    pthread_mutex_lock(&server->lock);
    lsqi_free(server->token);
    server->token = mine;
    pthread_mutex_unlock(&server->lock);
    return LSQ_OK;
}

int lsqi_server_version(struct lsqi_server *server) {
    int version;

    pthread_mutex_lock(&server->lock);
    version = server->version;
    pthread_mutex_unlock(&server->lock);
    return version;
}

bool lsqi_server_use_version(struct lsqi_server *server, int version) {
    bool may;

    pthread_mutex_lock(&server->lock);
    may = !server->confirmed;
    if (may) server->version = version;
    pthread_mutex_unlock(&server->lock);
    return may;
}

void lsqi_server_confirm_version(struct lsqi_server *server) {
    pthread_mutex_lock(&server->lock);
    server->confirmed = true;
    pthread_mutex_unlock(&server->lock);
}

/* A user and a password, as HTTP has them; a WebSocket's first message has no place for them. */
static bool is_basic(const char *token) {
    return token != NULL && strncasecmp(token, "Basic ", 6) == 0;
}

bool lsqi_server_has_socket(struct lsqi_server *server, size_t target) {
    bool has;

    if (!server->targets[target].socket) return false;
    pthread_mutex_lock(&server->lock);
    has = server->version == 3 && !is_basic(server->token) &&
          server->targets[target].http_until <= lsqi_now_ns();
    pthread_mutex_unlock(&server->lock);
    return has;
}

void lsqi_server_use_http(struct lsqi_server *server, size_t target, bool for_good) {
    pthread_mutex_lock(&server->lock);
    server->targets[target].http_until =
        for_good ? INT64_MAX : lsqi_now_ns() + (int64_t)NO_SOCKET_MS * 1000000;
    pthread_mutex_unlock(&server->lock);
    lsqi_server_event(LSQ_SERVER_NO_SOCKET, lsqi_place_base(server->targets[target].place),
                      for_good ? -1 : NO_SOCKET_MS,
                      for_good ? LSQ_PROTOCOL_UNSUPPORTED : LSQ_CONNECTION_LOST);
}

/* ---- Set-up ---- */

static int or_default(int ms, int usual) { return ms == 0 ? usual : ms; }

static enum lsq_status read_settings(struct lsqi_server *server, const struct lsq_remote *remote,
                                     struct lsq_error *err) {
    server->connect_ms = or_default(remote->connect_timeout, CONNECT_MS);
    server->first_byte_ms = remote->first_byte_timeout;
    server->timeout_ms = or_default(remote->timeout, TIMEOUT_MS);
    server->retry_ms = or_default(remote->retry_time, RETRY_MS);
    server->max_response = remote->max_response == 0 ? MAX_RESPONSE : remote->max_response;
    server->read_replicas = remote->read_replicas;
    if (server->connect_ms < 0 || server->first_byte_ms < 0 || server->timeout_ms < -1 ||
        server->retry_ms < -1)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "a time-out of the server is negative");
    if (remote->encryption_key == NULL) return LSQ_OK;
    if (!is_header_text(remote->encryption_key))
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                              "the server's encryption key is a text in base64");
    server->encryption_key = copy(remote->encryption_key);
    return server->encryption_key == NULL ? LSQ_NOMEM : LSQ_OK;
}

static enum lsq_status make_peer(struct lsqi_server *server, const struct lsq_remote *remote,
                                 struct lsq_error *err) {
    const struct lsqi_http_peer_config cfg = {
        .ca_file = remote->ca_file,
        .client_cert = remote->client_cert,
        .client_key = remote->client_key,
        .no_verify = remote->no_verify,
        .proxy = remote->proxy,
    };

    return lsqi_http_peer_new(&server->peer, &cfg, err);
}

enum lsq_status lsqi_server_init(struct lsqi_server *server, const struct lsq_config *cfg,
                                 struct lsq_error *err) {
    static const struct lsq_remote usual = {0};
    const struct lsq_remote *remote = cfg->remote == NULL ? &usual : cfg->remote;
    enum lsq_status st;

    *server = (struct lsqi_server){.version = 3};
    if (pthread_mutex_init(&server->lock, NULL) != 0)
        return lsqi_error_set(err, LSQ_NOMEM, "no mutex for a server");
    st = read_settings(server, remote, err);
    if (st == LSQ_OK && remote->namespace_ != NULL &&
        (server->namespace_ = copy(remote->namespace_)) == NULL)
        st = LSQ_NOMEM;
    if (st == LSQ_OK) st = lsqi_server_set_token(server, remote->token, err);
    if (st == LSQ_OK) st = make_peer(server, remote, err);
    if (st == LSQ_OK) st = add_targets(server, cfg->path, remote, err);
    if (st == LSQ_NOMEM) lsqi_error_set(err, st, "out of memory for a connection");
    if (st != LSQ_OK) lsqi_server_release(server);
    return st;
}

void lsqi_server_release(struct lsqi_server *server) {
    for (size_t i = 0; i < server->target_count; i++) {
        lsqi_place_unref(server->targets[i].place);
        lsqi_free(server->targets[i].host);
    }
    lsqi_http_peer_unref(server->peer);
    lsqi_free(server->encryption_key);
    lsqi_free(server->namespace_);
    lsqi_free(server->token);
    pthread_mutex_destroy(&server->lock);
}

/* ---- A request's head ---- */

struct parts {
    struct lsqi_buf *text;
    size_t at[LSQI_SERVER_HEADERS]; /* where each begins */
    size_t count;
};

static void add_header(struct parts *parts, const char *name, const char *value) {
    parts->at[parts->count++] = parts->text->len;
    lsqi_buf_add_text(parts->text, name);
    lsqi_buf_add_text(parts->text, value);
    lsqi_buf_add(parts->text, "", 1);
}

/* What every request says. host: of the namespace, or NULL. */
static void add_common(struct parts *parts, struct lsqi_server *server, const char *host) {
    if (host != NULL) add_header(parts, "Host: ", host);
    if (server->encryption_key != NULL)
        add_header(parts, "x-turso-encryption-key: ", server->encryption_key);
    pthread_mutex_lock(&server->lock);
    if (server->token != NULL)
        add_header(parts, is_basic(server->token) ? "Authorization: " : "Authorization: Bearer ",
                   server->token);
    pthread_mutex_unlock(&server->lock);
}

static void add_headers(struct parts *parts, struct lsqi_server *server, size_t target) {
    add_common(parts, server, server->targets[target].host);
}

/* The pieces do not move any more. */
static enum lsq_status set_parts(struct lsqi_server_address *address, const struct parts *parts,
                                 struct lsq_error *err) {
    if (address->text.failed) {
        lsqi_server_address_release(address);
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a request");
    }
    address->url = address->text.data;
    for (size_t i = 0; i < parts->count; i++)
        address->headers[i] = address->text.data + parts->at[i];
    return LSQ_OK;
}

enum lsq_status lsqi_server_address(struct lsqi_server *server, size_t target, const char *base,
                                    int version, const char *path, const char *traceparent,
                                    struct lsqi_server_address *address, struct lsq_error *err) {
    struct parts parts = {.text = &address->text};

    *address = (struct lsqi_server_address){.url = NULL};
    lsqi_buf_add_text(&address->text,
                      base == NULL ? lsqi_place_base(server->targets[target].place) : base);
    lsqi_buf_add_text(&address->text, version == 3 ? "/v3" : "/v2");
    lsqi_buf_add_text(&address->text, path);
    lsqi_buf_add(&address->text, "", 1);
    add_header(&parts, "Content-Type: ", "application/json");
    if (traceparent != NULL && is_header_text(traceparent))
        add_header(&parts, "traceparent: ", traceparent);
    add_headers(&parts, server, target);
    /* A stream may be sent elsewhere by its server, from here or to here: so seldom that it does not count. */
    address->compressed = !server->targets[target].here;
    return set_parts(address, &parts, err);
}

/* The replication service takes the namespace from a header; libSQL's own clients fill it with the first label of the
 * host, or "default" where that is none. */
static void add_namespace(struct parts *parts, const struct lsqi_server *server) {
    const char *host = strstr(lsqi_place_base(server->targets[0].place), "://") + 3;
    size_t len = strcspn(host, ".:/[");
    bool label = host[len] == '.' && strspn(host, "0123456789.") < strcspn(host, ":/");
    const char *name = server->namespace_ != NULL ? server->namespace_ : label ? host : "default";

    if (server->namespace_ != NULL || !label) len = strlen(name);
    add_header(parts, "x-namespace-bin: ", "");
    if (parts->text->failed) return;
    parts->text->len--; /* its NUL */
    lsqi_base64_encode(parts->text, name, len);
    while (parts->text->len > 0 && parts->text->data[parts->text->len - 1] == '=')
        parts->text->len--; /* sqld takes it without padding only */
    lsqi_buf_add(parts->text, "", 1);
}

enum lsq_status lsqi_server_log_address(struct lsqi_server *server, const char *method,
                                        const char *session, struct lsqi_server_address *address,
                                        struct lsq_error *err) {
    struct parts parts = {.text = &address->text};

    *address = (struct lsqi_server_address){.url = NULL};
    lsqi_buf_add_text(&address->text, lsqi_place_base(server->targets[0].place));
    lsqi_buf_add_text(&address->text, "/wal_log.ReplicationLog/");
    lsqi_buf_add_text(&address->text, method);
    lsqi_buf_add(&address->text, "", 1);
    add_header(&parts, "Content-Type: ", "application/grpc-web+proto");
    add_namespace(&parts, server);
    if (session[0] != '\0') add_header(&parts, "x-session-token: ", session);
    add_headers(&parts, server, 0);
    return set_parts(address, &parts, err);
}

enum lsq_status lsqi_server_path_address(struct lsqi_server *server, const char *path,
                                         const char *elsewhere, const char *range,
                                         struct lsqi_server_address *address,
                                         struct lsq_error *err) {
    struct parts parts = {.text = &address->text};

    *address = (struct lsqi_server_address){.url = NULL};
    if (elsewhere != NULL) {
        lsqi_buf_add_text(&address->text, elsewhere);
    } else {
        lsqi_buf_add_text(&address->text, lsqi_place_base(server->targets[0].place));
        lsqi_buf_add_text(&address->text, path);
    }
    lsqi_buf_add(&address->text, "", 1);
    add_common(&parts, server, elsewhere == NULL ? server->targets[0].host : NULL);
    if (range[0] != '\0') add_header(&parts, "Range: ", range);
    return set_parts(address, &parts, err);
}

void lsqi_server_address_release(struct lsqi_server_address *address) {
    lsqi_buf_release(&address->text);
}
