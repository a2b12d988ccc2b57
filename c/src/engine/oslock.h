/* oslock.h - file locks that survive foreign closes.
 *
 * A POSIX lock belongs to the process, and any close of any descriptor of the file in the process
 * drops it: one File.read/1 of a database file, and other processes write into our transaction. The
 * engine knows and keeps its own descriptors open, but it is not alone in a virtual machine. Here its
 * locks become those of open file descriptions, which only an unlock or the close of their own
 * descriptor drops.
 *
 * The engine counts, by inode, who in the process holds what, and asks the system once for all. So
 * there is one description for each inode, of a descriptor that is nobody's but ours. */
#ifndef LSQI_ENGINE_OSLOCK_H
#define LSQI_ENGINE_OSLOCK_H

#include <stdbool.h>
#include <sys/types.h>

/* Puts itself between the engine's "unix" VFS and the system. Once, after sqlite3_initialize() and
 * before the first connection. Zero: not here (no Linux, an old kernel), and locks are as ever. */
int lsqi_oslock_install(void);

/* Whether another process has a lock of a database that the engine has open here. In WAL mode each process
 * has one that has it open, else each that reads or writes. False where that cannot be known. Any thread. */
bool lsqi_oslock_shared(dev_t dev, ino_t ino);

#endif
