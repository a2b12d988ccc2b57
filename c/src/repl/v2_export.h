/* v2_export.h - what a generation began with, as a whole file: GET /export/G. Threads: of who runs the exchange. */
#ifndef LSQI_REPL_V2_EXPORT_H
#define LSQI_REPL_V2_EXPORT_H

#include "repl/state.h"

/* Fetches it, as a snapshot. To a file in the making it goes on where it was broken off, if the server gives such a
 * file in parts and says by its ETag that it is the same one (RFC 9110, 8.8.3 and 14); else it begins again. LSQ_OK:
 * it is there; or it is to be greeted and asked for anew (replica->greeted is false). */
enum lsq_status lsqi_v2_fetch_file(struct lsqi_replica *replica, struct lsq_error *err);

#endif
