/* Offsets of 64 bits, as the engine has them, on 32-bit systems too. */
#define _FILE_OFFSET_BITS 64

#include "engine/nowait.h"

#include <errno.h>
#include <sqlite3.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Per thread: from begin to end. */
static _Thread_local struct {
    bool on;
    bool reads_fail;
    bool refused;
    bool cold;
} nowait;

/* process-wide: the VFS's own, set once by lsqi_nowait_install() before any connection exists. */
static int (*real_sleep)(sqlite3_vfs *vfs, int microseconds);
static ssize_t (*real_pread)(int fd, void *buf, size_t size, off_t offset);

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds) {
    if (!nowait.on) return real_sleep(vfs, microseconds);
    nowait.refused = true;
    return 0;
}

/* What is in the system's cache; -1 with EAGAIN for what is not, with EOPNOTSUPP where the file system
 * cannot tell. */
static ssize_t read_cached(int fd, void *buf, size_t size, off_t offset) {
#ifdef RWF_NOWAIT
    struct iovec part = {.iov_base = buf, .iov_len = size};

    return preadv2(fd, &part, 1, offset, RWF_NOWAIT);
#else
    (void)fd, (void)buf, (void)size, (void)offset;
    errno = EOPNOTSUPP;
    return -1;
#endif
}

static ssize_t vfs_pread(int fd, void *buf, size_t size, off_t offset) {
    ssize_t got;

    if (!nowait.on) return real_pread(fd, buf, size, offset);
    got = read_cached(fd, buf, size, offset);
    if (got > 0 || (got < 0 && errno == EINTR)) return got;
    /* Linux 5.9 and 5.10 answer 0 for what is not in the cache, as at the end of the file. */
    if (got < 0 && errno == EAGAIN && nowait.reads_fail) {
        nowait.refused = true;
        return -1;
    }
    nowait.cold = true;
    return real_pread(fd, buf, size, offset);
}

/* The engine knows its call by one of two names, and refuses the other. */
static void install_pread(sqlite3_vfs *vfs) {
    static const char *const names[] = {"pread", "pread64"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        sqlite3_syscall_ptr real = vfs->xGetSystemCall(vfs, names[i]);

        if (real == NULL || real == (sqlite3_syscall_ptr)vfs_pread) continue;
        real_pread = (ssize_t(*)(int, void *, size_t, off_t))real;
        (void)vfs->xSetSystemCall(vfs, names[i], (sqlite3_syscall_ptr)vfs_pread);
    }
}

void lsqi_nowait_install(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

    if (vfs == NULL || vfs->xSleep == vfs_sleep) return;
    real_sleep = vfs->xSleep;
    vfs->xSleep = vfs_sleep;
    if (vfs->iVersion >= 3) install_pread(vfs);
}

void lsqi_nowait_begin(bool reads_fail) {
    nowait.on = true;
    nowait.reads_fail = reads_fail;
    nowait.refused = false;
    nowait.cold = false;
}

bool lsqi_nowait_cold(void) { return nowait.cold; }

bool lsqi_nowait_end(void) {
    nowait.on = false;
    return nowait.refused;
}
