/* http.h - HTTP requests, all of them driven by one thread of the process with libcurl's multi interface.
 * Nobody waits here: what a request comes to is told by callbacks on that thread. It knows nothing of
 * databases.
 *
 * libcurl is opened with dlopen() at the first request. The thread is started then, and stopped by
 * lsqi_http_shutdown(); it can be started again.
 *
 * Threads: any, but where a function says otherwise. Callbacks run on the I/O thread with no lock held; they
 * must be short, and may call every function of this file but lsqi_http_shutdown(). */
#ifndef LSQI_NET_HTTP_H
#define LSQI_NET_HTTP_H

#include "lsq/lsq.h"

/* How a server is reached; what many requests share. Counted, constant once made. */
struct lsqi_http_peer;

struct lsqi_http_peer_config {
    const char *ca_file;     /* PEM of the authorities to trust; NULL: the system's */
    const char *client_cert; /* PEM; NULL: none */
    const char *client_key;  /* PEM; NULL: it is in client_cert */
    bool no_verify;          /* take any certificate: an explicit wish only */
    const char *proxy;       /* URL; NULL: as the environment says (https_proxy, ...); "": none */
};

/* Copies the configuration. Errors: LSQ_NOMEM. */
enum lsq_status lsqi_http_peer_new(struct lsqi_http_peer **out,
                                   const struct lsqi_http_peer_config *cfg, struct lsq_error *err);
void lsqi_http_peer_ref(struct lsqi_http_peer *peer);
void lsqi_http_peer_unref(struct lsqi_http_peer *peer); /* NULL is fine */

/* Whether they say the same. */
bool lsqi_http_peer_equal(const struct lsqi_http_peer *a, const struct lsqi_http_peer *b);

/* How an exchange ended. */
enum lsqi_http_end_kind {
    LSQI_HTTP_DONE,        /* a whole answer came, whatever its status */
    LSQI_HTTP_UNREACHABLE, /* no connection could be made: name, refused, route, proxy */
    /* The server is not who it should be, or speaks no TLS; or it refuses our certificate: `sent` then, for TLS 1.3
     * says so only after the request. */
    LSQI_HTTP_TLS,
    LSQI_HTTP_TIMEOUT,   /* a deadline passed */
    LSQI_HTTP_BROKEN,    /* the connection broke before the answer was whole, or it is no HTTP */
    LSQI_HTTP_TOO_BIG,   /* the answer is longer than max_response */
    LSQI_HTTP_CANCELLED, /* by lsqi_http_cancel(), by body(), or by the shutdown */
    LSQI_HTTP_FAILED     /* out of memory and the like, or a URL that is none */
};

struct lsqi_http_end {
    enum lsqi_http_end_kind kind;
    int status; /* of HTTP; 0: none came */
    bool sent;  /* a byte of the request may have reached the server: it may have acted on it */
    /* With LSQI_HTTP_TIMEOUT, what was not done by then: "queue", "connect", "tls", "first byte", "answer". */
    const char *phase;
    /* What happened, in words without any header's or URL's secret; borrowed. */
    const char *message;
    int64_t took_ns;
};

/* What the answer's head says. Texts are borrowed; "" where the header is not there. */
struct lsqi_http_head {
    int status;
    const char *content_type;
    const char *retry_after;
    const char *grpc_status; /* where an answer of gRPC has no more than its end */
    const char *grpc_message;
    const char *location; /* of a redirect, which is not followed */
    const char *content_encoding;
    /* Of parts of a body, RFC 9110, 8.8.3 and 14. */
    const char *etag;
    const char *accept_ranges;
    const char *content_range;
};

struct lsqi_http;

struct lsqi_http_events {
    /* The head of the final answer (no 1xx, no redirect, no proxy's CONNECT). May be NULL. */
    void (*head)(void *arg, const struct lsqi_http_head *head);
    /* Bytes of the body, decompressed, as they come. Returns how many were taken: fewer than len pauses the
     * exchange, and the rest is given again after lsqi_http_resume(). LSQI_HTTP_STOP ends it (CANCELLED). */
    size_t (*body)(void *arg, const char *data, size_t len);
    /* The end; nothing is called after it, and the request's handle is void. */
    void (*done)(void *arg, const struct lsqi_http_end *end);
};

#define LSQI_HTTP_STOP SIZE_MAX

/* Everything is borrowed until lsqi_http_start() returns, but the body: that stays the caller's and unchanged
 * until done(). */
struct lsqi_http_request {
    struct lsqi_http_peer *peer;
    struct lsqi_http_group *group; /* NULL: none */
    const char *url;               /* http:// or https:// */
    const char *const *headers;    /* "Name: value", NULL behind the last; may be NULL */
    const void *body;              /* POST; NULL: GET */
    size_t body_len;
    int delay_ms; /* begins so much later */
    /* ms from lsqi_http_start() on, for the whole; 0: none. While the exchange is paused by body() it does not
     * run, and lsqi_http_resume() sets it anew. */
    int total_ms;
    int connect_ms;    /* for name, connection and TLS, once it begins; 0: 10,000 */
    int first_byte_ms; /* from the request's last byte to the answer's first; 0: only total_ms */
    /* Bytes, decompressed; 0: no bound, the body is a stream. That takes a connection of HTTP/1.1 for itself, whose
     * flow stops with a pause; what has a bound may be read ahead when it is paused. */
    size_t max_response;
    bool
        compressed; /* a compressed answer is asked for; whatever comes is told as if it were not */
    const struct lsqi_http_events *events;
    void *arg;
};

/* Requests of which LSQI_HTTP_AT_ONCE are under way at a time, and the others wait in the order they came in: those to
 * one server, which more of them make slower, not faster. Zeroed at first; lives longer than its exchanges. The I/O thread's. */
struct lsqi_http_group {
    unsigned running;
    struct lsqi_http *first; /* that wait */
    struct lsqi_http *last;
};

enum { LSQI_HTTP_AT_ONCE = 32 };

/* Begins an exchange. done() is called exactly once if this succeeds (maybe before it returns, by the I/O thread),
 * and never if it does not. *out is valid until done() is called. Redirects are not followed: a token would go elsewhere.
 * No callback is called from within lsqi_http_start() itself: a lock may be held around it that they take.
 * Errors: LSQ_UNSUPPORTED where libcurl is not there (the message names the package to install), LSQ_NOMEM,
 * LSQ_BAD_ARGUMENT (another kind of URL; a line break in it or in a header), LSQ_ERROR where no thread can be
 * started: also in the child of a fork whose parent has one, and while the program ends. */
enum lsq_status lsqi_http_start(struct lsqi_http **out, const struct lsqi_http_request *request,
                                struct lsq_error *err);

/* Ends the exchange early; done() comes soon after, from the I/O thread, with CANCELLED, unless it is under way
 * already. Only between start() and done(): the caller sees to that with a lock of its own. */
void lsqi_http_cancel(struct lsqi_http *http);

/* After body() took less than all: goes on; total_ms is for what follows, to the next pause or the end (0: no
 * bound). As lsqi_http_cancel(). */
void lsqi_http_resume(struct lsqi_http *http, int total_ms);

/* Runs fn(arg) on the I/O thread soon. Errors: as lsqi_http_start(). */
enum lsq_status lsqi_http_post(void (*fn)(void *arg), void *arg, struct lsq_error *err);

/* Whether the calling thread is the I/O thread. */
bool lsqi_http_on_thread(void);

/* Cancels what is under way, and stops the thread; what callbacks begin meanwhile is cancelled, too. Answers
 * whether there was a thread. Not from a callback. */
bool lsqi_http_shutdown(void);

/* Figures of the loop since its start, for tests and for who looks after it. */
struct lsqi_http_figures {
    int64_t longest_turn_ns; /* the longest time that one turn of the loop took without waiting */
    int64_t running;         /* exchanges begun and not ended */
    int64_t connects;        /* connections made so far */
};
void lsqi_http_figures(struct lsqi_http_figures *figures);

#endif
