/* program.h - judging a statement by the program that the engine compiled it to.
 * Threads: that of the connection. */
#ifndef LSQI_ENGINE_PROGRAM_H
#define LSQI_ENGINE_PROGRAM_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether every instruction of the statement's program has a bounded cost, so that a run can be
 * stopped after any few of them. Compiles the statement once more. False on any doubt. */
bool lsqi_program_bounded(sqlite3 *db, const char *sql, size_t len);

#endif
