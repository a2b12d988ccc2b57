/* generations.h - a server of replication protocol v2, test/support/generations.py, of a test's own: it needs python3;
 * without that the test is skipped. What sqld.h does with a server that runs is done with this one, but a restart.
 * Threads: the one that started it. */
#ifndef LSQ_TEST_SUPPORT_GENERATIONS_H
#define LSQ_TEST_SUPPORT_GENERATIONS_H

#include <stdint.h>

#include "sqld.h"

void generations_start(struct sqld *server);
/* Starts it again with the same port and data; kills it before. */
void generations_restart(struct sqld *server);

/* Has the server do something: a JSON object, see class Control. Answers what it says, in memory of the support code
 * that the next call overwrites. */
const char *generations_do(const struct sqld *server, const char *json);
/* {"do": "faults", "faults": {...}}: the object within; "{}": none. */
void generations_fail(const struct sqld *server, const char *faults);
void generations_run(const struct sqld *server, const char *sql);
void generations_checkpoint(const struct sqld *server);
/* A number in what generations_do() answered: "generation", "frames", or of a kind of request. 0: it is not there. */
int64_t generations_number(const char *answer, const char *name);

#endif
