/* faulty.h - a VFS, "faulty", over the engine's default one, whose disk fails when a test says so.
 * Threads: one. */
#ifndef LSQ_TEST_SUPPORT_FAULTY_H
#define LSQ_TEST_SUPPORT_FAULTY_H

#include <stdbool.h>

enum faulty_call { FAULTY_WRITE = 1, FAULTY_READ = 2, FAULTY_SYNC = 4, FAULTY_TRUNCATE = 8 };

/* Registers it, once. */
void faulty_register(void);
/* Lets the next n of these calls succeed; every later one answers code. A failing write writes the
 * first half of what it should. */
void faulty_after(unsigned calls, int n, int code);
/* No more failures. Answers how many there were. */
int faulty_stop(void);

#endif
