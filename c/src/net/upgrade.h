/* upgrade.h - the beginning of a WebSocket: a request of HTTP and its answer. Threads: any. */
#ifndef LSQI_NET_UPGRADE_H
#define LSQI_NET_UPGRADE_H

#include <stdbool.h>

#include "base/buf.h"

enum { LSQI_UPGRADE_KEY = 24, LSQI_UPGRADE_MOST = 16 * 1024 };

/* Adds the request; key gets what the answer has to know, with a NUL. headers are lines, NULL behind the last; a Host
 * among them stands for the URL's. */
void lsqi_upgrade_request(struct lsqi_buf *out, const char *url, const char *const *headers,
                          const char *protocol, char key[LSQI_UPGRADE_KEY + 1]);

/* Reads the answer's head. 0: it is not whole yet; -1: it is none; else its status, and *used gets its length.
 * *agreed: whether it is the answer to our key, and speaks the protocol. */
int lsqi_upgrade_read(const char *data, size_t len, const char *key, const char *protocol,
                      size_t *used, bool *agreed);

#endif
