/* frame.h - frames of WebSockets (RFC 6455), seen by a client: those it sends are masked, those it gets are not.
 * No extensions. Threads: any. */
#ifndef LSQI_NET_FRAME_H
#define LSQI_NET_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"

enum lsqi_frame_code {
    LSQI_FRAME_MORE = 0, /* goes on with a message */
    LSQI_FRAME_TEXT = 1,
    LSQI_FRAME_BINARY = 2,
    LSQI_FRAME_CLOSE = 8,
    LSQI_FRAME_PING = 9,
    LSQI_FRAME_PONG = 10
};

enum {
    LSQI_FRAME_CONTROL = 125, /* bytes of payload that a control frame may have */
    /* A message is sent in frames of this size: servers bound that of a frame, often to 16 MiB. */
    LSQI_FRAME_SENT = 1024 * 1024
};

struct lsqi_frame {
    enum lsqi_frame_code code;
    bool last; /* of its message */
    size_t head;
    uint64_t len; /* of the payload, behind the head */
};

/* Reads a frame's head from the beginning of what has come. 0: it is not whole yet; -1: it is not allowed, and
 * *problem says why; 1: it is in *frame. */
int lsqi_frame_read(const char *data, size_t len, struct lsqi_frame *frame, const char **problem);

/* Adds a message, whose text is in parts, with masks of the system's randomness. */
void lsqi_frame_message(struct lsqi_buf *out, const struct iovec *parts, size_t count);
/* Adds a control frame; len is at most LSQI_FRAME_CONTROL. */
void lsqi_frame_control(struct lsqi_buf *out, enum lsqi_frame_code code, const void *data,
                        size_t len);

#endif
