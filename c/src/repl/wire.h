/* wire.h - the bytes of replication protocol v1, in and out: gRPC-web frames that hold protobuf messages of the service
 * wal_log.ReplicationLog. It opens no socket and no file.
 *
 * An answer is fed in pieces of any size, and told as it comes: of an answer of any length no more is kept than one
 * frame of a page. Unknown fields are passed over, as protobuf asks.
 * (Framing: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md; messages: wal_log.proto of libSQL.)
 *
 * Threads: one at a time for each decoder. */
#ifndef LSQI_REPL_WIRE_H
#define LSQI_REPL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "lsq/lsq.h"
#include "repl/frame.h"

enum lsqi_wire_form {
    LSQI_WIRE_HELLO,  /* one message, HelloResponse */
    LSQI_WIRE_FRAMES, /* messages Frames { repeated Frame } */
    LSQI_WIRE_STREAM  /* messages Frame */
};

struct lsqi_wire_handler {
    /* A whole frame; data[0..len) is the page, borrowed. False ends the decoding (LSQ_NOMEM). */
    bool (*frame)(void *arg, const struct lsqi_frame *frame, const void *data, size_t len);
    /* The answer to Hello. */
    void (*hello)(void *arg, const struct lsqi_hello *hello);
    void *arg;
};

/* What the server says at an answer's end. */
struct lsqi_grpc_end {
    bool came;
    int status; /* of gRPC: 0 is fine */
    char message[200];
};

struct lsqi_wire {
    enum lsqi_wire_form form;
    struct lsqi_wire_handler handler;
    struct lsqi_grpc_end end;
    /* wire.c's */
    int state;
    unsigned char prefix[5];
    size_t prefix_len;
    bool trailer;
    uint64_t message_left; /* bytes of the gRPC message still to come */
    uint64_t field_left;   /* of the field that is gathered or passed over */
    uint64_t number;       /* a varint that is being read */
    unsigned shift;
    uint64_t tag;
    struct lsqi_buf gathered;
};

void lsqi_wire_init(struct lsqi_wire *wire, enum lsqi_wire_form form,
                    const struct lsqi_wire_handler *handler);
void lsqi_wire_release(struct lsqi_wire *wire);

/* Takes all of data. Errors: LSQ_PROTOCOL_UNSUPPORTED (it is no such answer), LSQ_NOMEM. */
enum lsq_status lsqi_wire_feed(struct lsqi_wire *wire, const char *data, size_t len,
                               struct lsq_error *err);
/* Whether the answer may end here: behind its trailer. */
bool lsqi_wire_whole(const struct lsqi_wire *wire);

/* grpc-status and grpc-message as headers or trailers have them (percent-encoded). */
void lsqi_grpc_end_set(struct lsqi_grpc_end *end, const char *status, const char *message);

/* A request's body: a message in its frame. */
void lsqi_wire_hello_request(struct lsqi_buf *buf);
void lsqi_wire_offset_request(struct lsqi_buf *buf, uint64_t next);

#endif
