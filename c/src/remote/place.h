/* place.h - an address where a database is served, and whether it answers: one record for the process, however many
 * connections there are to it.
 *
 *   closed      it is used
 *   open        after FAILURES of them on end: nobody asks it, but a probe that looks every PROBE_MS whether it is
 *               there again (any answer of HTTP to GET /health counts)
 *   half-open   it answered a probe: it is used, and the next failure opens it again
 *
 * (The names are those of a circuit breaker.) Threads: any. */
#ifndef LSQI_REMOTE_PLACE_H
#define LSQI_REMOTE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/http.h"

struct lsqi_place;

/* The record of that base address ("https://host:port/path") as it is reached in that way, a text that tells them
 * apart; made where there is none, a reference is the caller's. It is probed by the first one's peer. NULL: no memory. */
struct lsqi_place *lsqi_place_get(const char *base, const char *way, struct lsqi_http_peer *peer);
void lsqi_place_unref(struct lsqi_place *place); /* NULL is fine */

/* Of the requests to it. */
struct lsqi_http_group *lsqi_place_group(struct lsqi_place *place);
const char *lsqi_place_base(const struct lsqi_place *place);
/* Whether it may be asked. */
bool lsqi_place_usable(struct lsqi_place *place);
/* ms since it is not used any more; 0: it is. */
int64_t lsqi_place_down_ms(struct lsqi_place *place);

/* An exchange with it ended: with an answer of its own, or because it, or the way to it, is not there. */
void lsqi_place_answered(struct lsqi_place *place);
void lsqi_place_failed(struct lsqi_place *place);

#endif
