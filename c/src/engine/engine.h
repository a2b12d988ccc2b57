/* engine.h - the engine as a whole: process-wide set-up, result codes, failures.
 * The only folders that include sqlite3.h are c/src/engine, c/src/file, c/src/repl (apply.c) and c/src/conn.
 * Threads: any, unless a function says otherwise. */
#ifndef LSQI_ENGINE_ENGINE_H
#define LSQI_ENGINE_ENGINE_H

#include <sqlite3.h>

#include "lsq/lsq.h"

/* Sets the engine up, once for the process: our allocator, locks that survive foreign closes,
 * sleeps and reads that can be refused (nowait.h). Errors: LSQ_NOMEM, LSQ_INTERNAL. */
enum lsq_status lsqi_engine_init(struct lsq_error *err);

/* The status of an extended result code of the engine. */
enum lsq_status lsqi_engine_status(int code);

#endif
