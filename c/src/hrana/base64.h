/* base64.h - RFC 4648, section 4: the standard alphabet. Threads: any. */
#ifndef LSQI_HRANA_BASE64_H
#define LSQI_HRANA_BASE64_H

#include "base/buf.h"

/* With padding. */
void lsqi_base64_encode(struct lsqi_buf *buf, const void *data, size_t len);
/* With padding or without. False: it is no base64, or memory ran out (buf->failed). */
bool lsqi_base64_decode(struct lsqi_buf *buf, const char *text, size_t len);

#endif
