/* sha1.h - SHA-1 (RFC 3174), which the handshake of WebSockets asks for; it keeps no secret. Threads: any. */
#ifndef LSQI_NET_SHA1_H
#define LSQI_NET_SHA1_H

#include <stddef.h>

enum { LSQI_SHA1_BYTES = 20, LSQI_SHA1_MOST = 1024 };

/* Of at most LSQI_SHA1_MOST bytes. */
void lsqi_sha1(const void *data, size_t len, unsigned char digest[LSQI_SHA1_BYTES]);

#endif
