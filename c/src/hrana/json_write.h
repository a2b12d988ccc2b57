/* json_write.h - values as JSON text (RFC 8259), in ASCII where the value is, with no spaces. Whatever the value,
 * what is written is JSON. Threads: the buffer's owner. */
#ifndef LSQI_HRANA_JSON_WRITE_H
#define LSQI_HRANA_JSON_WRITE_H

#include <stdint.h>

#include "base/buf.h"

/* A string in quotes. A byte that belongs to no UTF-8 character becomes U+FFFD: who must not lose it asks
 * lsqi_utf8_valid() before. */
void lsqi_json_string(struct lsqi_buf *buf, const char *text, size_t len);
void lsqi_json_integer(struct lsqi_buf *buf, int64_t value);
/* The fewest digits that read back as this very value, with a point or an exponent, whatever the locale. Null
 * where it is not finite: JSON has no such number. */
void lsqi_json_real(struct lsqi_buf *buf, double value);

#endif
