/* buf.h - bytes that grow. That memory ran out is remembered, and what is written then is dropped, so that only
 * who takes the bytes has to ask. Threads: the buffer's owner. */
#ifndef LSQI_BASE_BUF_H
#define LSQI_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is an empty buffer. */
struct lsqi_buf {
    char *data; /* NULL while nothing was written */
    size_t len;
    size_t size;
    bool failed; /* memory ran out */
};

void lsqi_buf_release(struct lsqi_buf *buf);
/* Empty again; keeps its memory. */
void lsqi_buf_reset(struct lsqi_buf *buf);
/* Room for n more bytes at data + len. False: no memory. */
bool lsqi_buf_reserve(struct lsqi_buf *buf, size_t n);
void lsqi_buf_add(struct lsqi_buf *buf, const void *bytes, size_t n);
void lsqi_buf_add_text(struct lsqi_buf *buf, const char *text);

#endif
