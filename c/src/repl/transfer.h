/* transfer.h - one request to a server for what replicas follow by, and its answer as it comes.
 *
 * The I/O thread has a protocol's decoder read what comes, and keeps frames up to a bound; then the connection's flow
 * stops until they were taken. Who takes them is a thread that may wait, for the network as for the disk.
 * Threads: lsqi_transfer_*() by one thread. */
#ifndef LSQI_REPL_TRANSFER_H
#define LSQI_REPL_TRANSFER_H

#include <pthread.h>

#include "base/buf.h"
#include "net/http.h"
#include "remote/server.h"
#include "repl/frame.h"

/* What reads an answer. Both functions are called on the I/O thread. */
struct lsqi_decoder {
    /* The head. False: the body is not for it, but a refusal. */
    bool (*head)(struct lsqi_decoder *decoder, const struct lsqi_http_head *head);
    /* Takes all of data. */
    enum lsq_status (*feed)(struct lsqi_decoder *decoder, const char *data, size_t len,
                            struct lsq_error *err);
    /* The transfer's: what the decoder calls with a frame; page[0..len) is borrowed. False: out of memory. */
    bool (*frame)(void *transfer, const struct lsqi_frame *frame, const void *page, size_t len);
    void *transfer;
};

/* What it came to. */
struct lsqi_transfer_end {
    bool whole; /* an answer came to its end */
    int status; /* of HTTP */
    bool refused;
    struct lsqi_buf refusal; /* the body then, the begin of it */
    char location[1024];     /* where a redirect points; "" */
    bool
        transport; /* the server or the way to it is not there; the same may succeed a moment later */
    uint64_t bytes; /* of the answer */
};

struct lsqi_transfer_call {
    struct lsqi_server *server;
    const struct lsqi_server_address *address;
    const struct lsqi_buf *body; /* POST; NULL: GET */
    struct lsqi_decoder *decoder;
    int stall_ms; /* LSQ_TIMEOUT where nothing comes for so long; 0: none */
    /* Asked every 20 ms while it waits; true ends it with LSQ_INTERRUPTED. */
    bool (*stop)(void *arg);
    /* A frame, on the calling thread. Fails the transfer where it does not answer LSQ_OK. */
    enum lsq_status (*frame)(void *arg, const struct lsqi_frame *frame, const void *page,
                             size_t len, struct lsq_error *err);
    /* Several frames were told, and it may take a while until there are more. May be NULL. As frame(). */
    enum lsq_status (*pause)(void *arg, struct lsq_error *err);
    void *arg;
};

/* Runs it to its end. LSQ_OK: an answer came, whatever it says; all frames of it were told. Else those that came were.
 * *end is to be released in any case. */
enum lsq_status lsqi_transfer_run(const struct lsqi_transfer_call *call,
                                  struct lsqi_transfer_end *end, struct lsq_error *err);
void lsqi_transfer_end_release(struct lsqi_transfer_end *end);

#endif
