/* message.h - what a message of Hrana over a WebSocket is about; its rest is the decoder's, in the form
 * LSQI_HRANA_MESSAGE. Threads: any. */
#ifndef LSQI_HRANA_MESSAGE_H
#define LSQI_HRANA_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum lsqi_message_kind {
    LSQI_MESSAGE_BAD, /* it is no JSON, or no message */
    LSQI_MESSAGE_HELLO_OK,
    LSQI_MESSAGE_HELLO_ERROR,
    LSQI_MESSAGE_RESPONSE_OK,
    LSQI_MESSAGE_RESPONSE_ERROR,
    LSQI_MESSAGE_OTHER /* of a kind that is not known: to be passed over */
};

/* Reads as far as it must. *request_id is that of a response. */
enum lsqi_message_kind lsqi_hrana_message(const char *data, size_t len, int64_t *request_id);

/* Adds {"type":"hello","jwt":...}; token may be NULL. */
void lsqi_hrana_hello(struct lsqi_buf *buf, const char *token);

/* The next request of a pipeline that was begun by lsqi_hrana_begin(): from *at on, which goes behind it. Borrowed,
 * without the comma. False: there is none. */
bool lsqi_hrana_next_request(const struct lsqi_buf *pipeline, size_t *at, const char **request,
                             size_t *len);

#endif
