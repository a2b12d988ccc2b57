/* failure.h - what went wrong in the engine, as struct lsq_error.
 * Threads: that of the connection. */
#ifndef LSQI_ENGINE_FAILURE_H
#define LSQI_ENGINE_FAILURE_H

#include <sqlite3.h>

#include "lsq/lsq.h"

/* Fills *err from the engine's last error on db, whose result code was code. Must come before any
 * other call on db. Does not look anything up. Returns the status. */
enum lsq_status lsqi_failure_set(struct lsq_error *err, sqlite3 *db, int code);

/* The engine's result code of that name ("SQLITE_CONSTRAINT_UNIQUE"), for who gets it from elsewhere; 0: unknown. */
int lsqi_failure_code(const char *name);

/* Fills *err from a code and the engine's words that were said elsewhere: as lsqi_failure_set(). */
enum lsq_status lsqi_failure_told(struct lsq_error *err, int code, const char *message);

/* Completes the constraint of *err by what the schema knows: the name of the index behind a UNIQUE.
 * Runs SQL on db; the failed statement must have been reset. */
void lsqi_failure_explain(struct lsq_error *err, sqlite3 *db);

#endif
