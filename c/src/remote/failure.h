/* failure.h - what a server says went wrong, as struct lsq_error. Threads: any. */
#ifndef LSQI_REMOTE_FAILURE_H
#define LSQI_REMOTE_FAILURE_H

#include "lsq/lsq.h"

/* Of a statement's or a request's error. Returns the status; fills *err, its outcome NONE. */
enum lsq_status lsqi_remote_failure(struct lsq_error *err, const char *code, const char *message);

/* Of an answer whose HTTP status is not 200, with its body (JSON or not). held: it was about a stream. */
enum lsq_status lsqi_remote_refusal(struct lsq_error *err, int http_status, const char *body,
                                    size_t len, bool held);

#endif
