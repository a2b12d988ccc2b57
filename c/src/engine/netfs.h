/* netfs.h - file systems that others share: WAL's shared memory works on one machine only.
 * Threads: any; a network that does not answer holds the caller up. */
#ifndef LSQI_ENGINE_NETFS_H
#define LSQI_ENGINE_NETFS_H

/* The name of the network or shared-folder file system that path is on, or its folder where there
 * is no such file. NULL: a local one, or one that cannot be told (NULL and "" are no paths). */
const char *lsqi_netfs_name(const char *path);

/* The same for the type of a mount as the kernel writes it: "ext4", "fuse.sshfs". */
const char *lsqi_netfs_of_type(const char *type);

#endif
