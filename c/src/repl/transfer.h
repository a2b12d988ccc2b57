/* transfer.h - one request to the replication service of a server, and its answer as it comes.
 *
 * The I/O thread decodes what comes and keeps frames up to a bound; then the connection's flow stops until they were
 * taken. Who takes them is a thread that may wait, for the network as for the disk.
 * Threads: lsqi_transfer_*() by one thread. */
#ifndef LSQI_REPL_TRANSFER_H
#define LSQI_REPL_TRANSFER_H

#include <pthread.h>

#include "net/http.h"
#include "remote/server.h"
#include "repl/wire.h"

enum lsqi_answer {
    LSQI_ANSWER_OK,
    LSQI_ANSWER_NO_HELLO,      /* the session is not known (any more): shake hands */
    LSQI_ANSWER_NEED_SNAPSHOT, /* the log does not go back so far */
    LSQI_ANSWER_AHEAD,         /* the log does not go so far */
    LSQI_ANSWER_FAILED         /* err says why */
};

/* What it came to. */
struct lsqi_transfer_end {
    enum lsqi_answer answer;
    bool
        transport; /* FAILED: the server or the way to it is not there; the same may succeed a moment later */
    uint64_t bytes; /* of the answer */
};

struct lsqi_transfer_call {
    struct lsqi_server *server;
    const char *method;  /* "Hello", "BatchLogEntries", "Snapshot" */
    const char *session; /* ""; or as the last hello said */
    const struct lsqi_buf *body;
    enum lsqi_wire_form form;
    int stall_ms; /* LSQ_TIMEOUT where nothing comes for so long; 0: none */
    /* Asked every 20 ms while it waits; true ends it with LSQ_INTERRUPTED. */
    bool (*stop)(void *arg);
    /* A frame, on the calling thread. Fails the transfer where it does not answer LSQ_OK. NULL: with Hello. */
    enum lsq_status (*frame)(void *arg, const struct lsqi_frame *frame, const void *page,
                             size_t len, struct lsq_error *err);
    /* Several frames were told, and it may take a while until there are more. May be NULL. As frame(). */
    enum lsq_status (*pause)(void *arg, struct lsq_error *err);
    void *arg;
    struct lsqi_hello *hello; /* filled in by Hello */
};

/* Runs it to its end. LSQ_OK: *end says what the answer was, FAILED is none of it; all frames of the answer were told
 * where it is OK, and where it is not, those that came. */
enum lsq_status lsqi_transfer_run(const struct lsqi_transfer_call *call,
                                  struct lsqi_transfer_end *end, struct lsq_error *err);

#endif
