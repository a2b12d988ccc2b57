/* exchange.h - one request and its answer: what libcurl is told, what it says, and what that means.
 * The loop (loop.c) decides when. Threads: made by any; from then on the I/O thread's, but for the command. */
#ifndef LSQI_NET_EXCHANGE_H
#define LSQI_NET_EXCHANGE_H

#include "net/http.h"

enum {
    LSQI_HTTP_ERROR_BYTES = 256,
    /* An idle connection is not used again after this long: what lies between forgets it in about a minute. */
    LSQI_HTTP_IDLE_S = 30
};

/* What other threads ask for. */
enum {
    LSQI_HTTP_WANT_START = 1,
    LSQI_HTTP_WANT_CANCEL = 2,
    LSQI_HTTP_WANT_RESUME = 4,
    LSQI_HTTP_WANT_BEGIN = 8 /* its group has room for it */
};

struct lsqi_http {
    /* constant */
    const struct lsqi_http_events *events;
    void *arg;
    bool is_post;
    size_t body_len;
    size_t max_response;
    int64_t started;
    int64_t connect_ns;
    int64_t first_byte_ns; /* 0: no deadline */
    bool tls;
    struct lsqi_http_peer *peer; /* a reference */
    struct lsqi_http_group *group;
    void *easy;
    struct lsqi_curl_list *headers;

    /* The command; guarded by the loop's lock. */
    struct lsqi_http *next_command;
    struct lsqi_http *prev_command;
    unsigned wants; /* 0: it is in no queue */
    int resume_ms;

    /* The I/O thread's. */
    struct lsqi_http *next;
    struct lsqi_http *prev;
    int fd; /* of its last attempt to connect, maybe closed since; -1: none */
    /* of its group: */
    struct lsqi_http *next_waiting;
    struct lsqi_http *prev_waiting;
    bool waiting;   /* it is in the line */
    bool counted;   /* it is one of those that are under way */
    bool running;   /* libcurl has it; else it waits for begin_at, or in line */
    bool paused;    /* body() took less than all */
    bool requested; /* libcurl was about to send the request on a connection */
    bool answered;  /* a line of the answer came */
    bool headed;    /* its head was told */
    bool stopped;   /* by body() */
    bool over;      /* what comes now interests nobody */
    bool too_big;
    bool whole;         /* it ended as it should: its handle can serve another */
    bool refused_twice; /* libcurl wanted to send the request again, and was kept from it */
    long sent_before;   /* what CURLINFO_REQUEST_SIZE was before the request: a proxy's CONNECT */
    size_t skip;        /* bytes of what libcurl gives next that body() has taken already */
    size_t taken;
    /* Deadlines, ns; INT64_MAX: none. */
    int64_t begin_at;
    int64_t total_due;
    int64_t connect_due;
    int64_t first_byte_due;
    char content_type[128];
    char retry_after[64];
    char grpc_status[8];
    char grpc_message[256];
    char location[1024];
    char content_encoding[32];
    char etag[256];
    char accept_ranges[32];
    char content_range[96];
    char error[LSQI_HTTP_ERROR_BYTES]; /* libcurl writes here */
};

/* Copies the request. Errors: LSQ_BAD_ARGUMENT, LSQ_NOMEM. libcurl is loaded. */
enum lsq_status lsqi_exchange_new(struct lsqi_http **out, const struct lsqi_http_request *request,
                                  struct lsq_error *err);
void lsqi_exchange_free(struct lsqi_http *http);

/* When the loop is to look at it at the latest; INT64_MAX: never. */
int64_t lsqi_exchange_due(const struct lsqi_http *http);

/* What was not done when a deadline passed, or NULL: none has. May move the deadline of the first byte. */
const char *lsqi_exchange_overdue(struct lsqi_http *http, int64_t now);

/* Goes on after a pause. Not 0: libcurl's result, with which the exchange ends now. */
int lsqi_exchange_resume(struct lsqi_http *http, int total_ms);

/* Before it is taken from libcurl, which forgets to free what it holds of a paused one. */
void lsqi_exchange_let_go(struct lsqi_http *http);

/* What its end means, given libcurl's result. */
void lsqi_exchange_result(struct lsqi_http *http, int code, struct lsqi_http_end *end);
void lsqi_exchange_timed_out(struct lsqi_http *http, const char *phase, struct lsqi_http_end *end);
void lsqi_exchange_cancelled(struct lsqi_http *http, struct lsqi_http_end *end);

/* The same for a connection that could not be made, given libcurl's own words. */
enum lsqi_http_end_kind lsqi_exchange_connect_kind(const char *error, int code);
/* What may be said of it; borrowed. */
const char *lsqi_exchange_words(const char *error, int code);
/* Before a socket connects. */
void lsqi_exchange_set_socket(int fd, int64_t connect_ms);
/* What is told libcurl of every connection, but the version of HTTP. */
void lsqi_exchange_set_transport(void *easy);

/* The loop's: it looks at the exchanges by due at the latest. On the I/O thread. */
void lsqi_http_look_at(int64_t due);

#endif
