/* server.h - where a server is, and what every request tells it. Threads: any; the token and the version have a
 * lock of their own. */
#ifndef LSQI_REMOTE_SERVER_H
#define LSQI_REMOTE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "lsq/lsq.h"
#include "net/http.h"
#include "remote/place.h"

enum { LSQI_SERVER_TARGETS = 9 };

/* An address of it: the primary's, which is the first, or that of one that follows it. */
struct lsqi_target {
    struct lsqi_place *place;
    char *host;  /* with the port, of the namespace; NULL: the URL's own */
    bool socket; /* by a WebSocket, where it has one: ws://, wss:// */
    bool here;   /* on this machine: nothing is gained by compressing what it answers */
    /* Guarded by the server's lock. ns: no WebSocket was to be had; INT64_MAX: nor will one be */
    int64_t http_until;
};

struct lsqi_server {
    struct lsqi_http_peer *peer;
    struct lsqi_target targets[LSQI_SERVER_TARGETS];
    size_t target_count;
    bool read_replicas;
    atomic_uint reads; /* so far: they take turns */
    char *encryption_key;
    char *namespace_; /* NULL: the URL's own */
    /* of struct lsq_remote, its defaults filled in; -1: none */
    int connect_ms;
    int first_byte_ms;
    int timeout_ms;
    int retry_ms;
    size_t max_response;
    pthread_mutex_t lock;
    /* guarded by lock */
    char *token;
    int version;    /* of Hrana: 3, and 2 once the server has said that it knows no 3 */
    bool confirmed; /* it has answered in that version: a 404 then is somebody else's */
};

enum lsq_status lsqi_server_init(struct lsqi_server *server, const struct lsq_config *cfg,
                                 struct lsq_error *err);
void lsqi_server_release(struct lsqi_server *server);
enum lsq_status lsqi_server_set_token(struct lsqi_server *server, const char *token,
                                      struct lsq_error *err);
int lsqi_server_version(struct lsqi_server *server);
/* False: it has answered in another version before. */
bool lsqi_server_use_version(struct lsqi_server *server, int version);
void lsqi_server_confirm_version(struct lsqi_server *server);

/* Whether a target is asked by a WebSocket now; and that it has none, for good or for a while. */
bool lsqi_server_has_socket(struct lsqi_server *server, size_t target);
void lsqi_server_use_http(struct lsqi_server *server, size_t target, bool for_good);

enum { LSQI_SERVER_HEADERS = 8 };

/* A request's URL and headers, in one piece of memory. */
struct lsqi_server_address {
    struct lsqi_buf text;
    const char *url;
    const char *headers[LSQI_SERVER_HEADERS];
    bool compressed; /* answers may be */
};

/* Whom to ask now: the number of a target. reads: one that follows the primary will do, and another than failed, if
 * there is one. SIZE_MAX: none answers. */
size_t lsqi_server_pick(struct lsqi_server *server, bool reads, size_t failed);

/* For "/v3" and path, to a target; base: where the server's last answer said that the stream is; NULL: the target's
 * own. traceparent may be NULL. Errors: LSQ_NOMEM. */
enum lsq_status lsqi_server_address(struct lsqi_server *server, size_t target, const char *base,
                                    int version, const char *path, const char *traceparent,
                                    struct lsqi_server_address *address, struct lsq_error *err);

/* For a method of the primary's replication service. session: "" for none. Errors: LSQ_NOMEM. */
enum lsq_status lsqi_server_log_address(struct lsqi_server *server, const char *method,
                                        const char *session, struct lsqi_server_address *address,
                                        struct lsq_error *err);
/* For a path of the primary, "/info"; or, with elsewhere, for that whole URL, to which a redirect led. range: of the
 * answer's body (RFC 9110, 14.2), "" for all. Errors: LSQ_NOMEM. */
enum lsq_status lsqi_server_path_address(struct lsqi_server *server, const char *path,
                                         const char *elsewhere, const char *range,
                                         struct lsqi_server_address *address,
                                         struct lsq_error *err);
void lsqi_server_address_release(struct lsqi_server_address *address);

#endif
