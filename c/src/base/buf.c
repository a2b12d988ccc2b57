#include "base/buf.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

enum { LEAST = 256 };

/* Bytes: more than any machine has, and no size overflows. */
static const size_t most = SIZE_MAX / 4 > UINT32_MAX ? (size_t)UINT32_MAX * 64 : SIZE_MAX / 4;

void lsqi_buf_release(struct lsqi_buf *buf) {
    lsqi_free(buf->data);
    *buf = (struct lsqi_buf){0};
}

void lsqi_buf_reset(struct lsqi_buf *buf) {
    buf->len = 0;
    buf->failed = false;
}

bool lsqi_buf_reserve(struct lsqi_buf *buf, size_t n) {
    size_t size = buf->size < LEAST ? LEAST : buf->size;
    char *data;

    if (buf->failed) return false;
    if (n <= buf->size - buf->len) return true;
    if (buf->len >= most || n > most - buf->len) {
        buf->failed = true;
        return false;
    }
    while (size - buf->len < n) size *= 2;
    data = lsqi_realloc(buf->data, size);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->size = size;
    return true;
}

void lsqi_buf_add(struct lsqi_buf *buf, const void *bytes, size_t n) {
    if (n == 0 || !lsqi_buf_reserve(buf, n)) return;
    memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
}

void lsqi_buf_add_text(struct lsqi_buf *buf, const char *text) {
    lsqi_buf_add(buf, text, strlen(text));
}
