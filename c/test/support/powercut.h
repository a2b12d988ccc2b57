/* powercut.h - a VFS, "powercut", over the engine's default one, that knows what would be on the disk if the
 * power went: what was synced, and of what was not, any part in any order.
 * Threads: any. */
#ifndef LSQ_TEST_SUPPORT_POWERCUT_H
#define LSQ_TEST_SUPPORT_POWERCUT_H

#include <stdint.h>

/* Registers it, once. It syncs nothing, for the files themselves are not what is looked at. */
void powercut_register(void);

/* Copies the database from, with its WAL and its journal, as a power cut at this moment could leave it, to the
 * path to; chance decides by *seed. */
void powercut_copy(const char *from, const char *to, uint64_t *seed);

/* Forgets all files. None may be open. */
void powercut_forget(void);

#endif
