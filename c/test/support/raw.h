/* raw.h - short words for tests of the engine alone, without the library. A failing check ends the test. */
#ifndef LSQ_TEST_SUPPORT_RAW_H
#define LSQ_TEST_SUPPORT_RAW_H

#include <sqlite3.h>
#include <stdint.h>

/* Opens path with a WAL that nobody checkpoints unasked. */
sqlite3 *raw_open(const char *path);
/* Runs statements; must succeed. */
void raw_run(sqlite3 *db, const char *sql);
/* The first value of the first row. */
int64_t raw_ask(sqlite3 *db, const char *sql);
/* The engine's own look at the file finds nothing. */
void raw_is_whole(sqlite3 *db);

#endif
