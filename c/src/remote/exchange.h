/* exchange.h - one request to a server and its answer: sent, sent again where that is safe, decoded on the way.
 * Embedded in what wants the answer. Threads: begun anywhere, in the connection's gate; then the I/O thread. */
#ifndef LSQI_REMOTE_EXCHANGE_H
#define LSQI_REMOTE_EXCHANGE_H

#include "base/buf.h"
#include "hrana/decode.h"
#include "net/http.h"
#include "remote/server.h"
#include "remote/talk.h"

struct lsqi_exchange;

struct lsqi_exchange_hooks {
    /* Of the answer, as lsqi_hrana_handler has them; sink may be NULL. */
    const struct lsq_sink *(*sink)(struct lsqi_exchange *x, size_t request, size_t step,
                                   void **ctx);
    bool (*result)(struct lsqi_exchange *x, const struct lsqi_hrana_result *result);
    /* The rows that were allowed have come, and there is more. May be NULL. */
    void (*paused)(struct lsqi_exchange *x);
    /* The end: LSQ_OK where a whole answer came (be it one that says what went wrong). Owns the exchange from
     * here on. err is filled unless it is LSQ_OK. */
    void (*ended)(struct lsqi_exchange *x, enum lsq_status st, struct lsq_error *err);
};

/* What follows the requests of a pipeline. */
enum lsqi_exchange_tail {
    LSQI_TAIL_NONE,  /* a cursor's body is whole */
    LSQI_TAIL_CLOSE, /* the stream is closed */
    LSQI_TAIL_ASK    /* whether a transaction is open, as far as the server can say */
};

/* The caller fills the first part, all else is zero. */
struct lsqi_exchange {
    struct lsqi_server *server;
    const struct lsqi_exchange_hooks *hooks;
    struct lsqi_buf body;    /* the requests, without an end */
    const char *base_url;    /* of the stream; NULL: none. Borrowed */
    const char *traceparent; /* borrowed until it is kept, or begun: copied */
    enum lsqi_hrana_form form;
    enum lsqi_exchange_tail tail;
    int timeout_ms; /* for all tries; 0: none */
    bool held;      /* it goes on with a stream: the server has its place in it */
    bool reads;     /* it only reads, and one that follows the primary may answer */
    bool stores;    /* if it ran, something may be stored */
    bool types;     /* declared types go to the sink */
    uint64_t known; /* as lsqi_remote_known() was before it */
    /* Of streams that others used before, or will use: */
    bool fresh;            /* it needs one that nothing was run in */
    bool spoils;           /* nobody is to have the stream afterwards */
    bool looks;            /* the schema counts as it is now, not as the stream knows it */
    pthread_mutex_t *lock; /* guards http */
    /* of exchange.c */
    struct lsqi_http *http; /* NULL: none under way */
    struct lsqi_talk *talk; /* likewise, by a WebSocket */
    bool on_socket;         /* the last try went there */
    char place[24];         /* of its stream, LSQI_ON_SOCKET before it; "": it is gone */
    bool failed;            /* a request did */
    bool called_off;        /* guarded by lock */
    bool untouched;         /* at the end: nothing of it has run, and a stream is where it was */
    struct lsqi_hrana_handler handler;
    struct lsqi_hrana_decoder *decoder; /* stays until the release: the stream's baton is in it */
    struct lsqi_buf refusal;            /* the body of an answer that is not 200 */
    char *trace;
    size_t requests_len; /* of body, without the tail */
    size_t allowed;      /* rows before the next pause */
    int64_t deadline;    /* ns; 0: none */
    int64_t retry_until;
    unsigned tries;
    size_t target;          /* of the server, that is asked now */
    int status;             /* of HTTP */
    int retry_after;        /* s; -1: the server named none */
    bool foreign;           /* the answer is no JSON */
    enum lsq_status broken; /* why the decoder stopped */
    struct lsq_error why;
    struct lsq_error err; /* for hooks->ended */
};

/* Copies what is borrowed of the caller, where something else comes first. Errors: LSQ_NOMEM. */
enum lsq_status lsqi_exchange_keep(struct lsqi_exchange *x, struct lsq_error *err);
/* Begins. If it succeeds, ended() will be called, on the I/O thread; else never. Errors: LSQ_NOMEM, LSQ_UNSUPPORTED,
 * LSQ_ERROR; the exchange is then to be released. */
enum lsq_status lsqi_exchange_begin(struct lsqi_exchange *x, struct lsq_error *err);
/* With the lock held: ended() comes soon. */
void lsqi_exchange_call_off_locked(struct lsqi_exchange *x);
/* After paused(), with the lock held: n more rows may come, within so many ms (0: no bound). */
void lsqi_exchange_go_on_locked(struct lsqi_exchange *x, size_t rows, int timeout_ms);
void lsqi_exchange_release(struct lsqi_exchange *x);

/* Before the place of a stream that belongs to a WebSocket, where else a URL stands. */
#define LSQI_ON_SOCKET "ws:"
bool lsqi_exchange_is_on_socket(const char *base_url);

/* The stream's place after the answer; NULL: it is closed. Borrowed. */
const char *lsqi_exchange_baton(const struct lsqi_exchange *x);
/* Where it is; NULL: at the server's own address. Borrowed. */
const char *lsqi_exchange_base_url(const struct lsqi_exchange *x);

/* The stream after the answer is not needed. over: no transaction is open in it. */
void lsqi_exchange_leave_stream(const struct lsqi_exchange *x, bool over);

/* Tells the server that a stream is not used any more, and waits for nothing. */
void lsqi_exchange_close_stream(struct lsqi_server *server, const char *baton,
                                const char *base_url);

#endif
