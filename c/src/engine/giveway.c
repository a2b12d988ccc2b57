/* Offsets of 64 bits, as the engine has them, on 32-bit systems too. */
#define _FILE_OFFSET_BITS 64

#include "engine/giveway.h"

#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum {
    PIECE = 64 * 1024, /* bytes: handing them out takes some ten µs */
    USED_NS = 50000    /* of the processor, then others have it */
};

/* Per thread: from begin to end. */
static _Thread_local struct {
    bool on;
    size_t written; /* since the last piece */
    int64_t since;  /* processor time when others last had it, ns */
} giveway;

/* process-wide: the VFS's own, set once by lsqi_giveway_install() before any connection exists. */
static ssize_t (*real_pwrite)(int fd, const void *buf, size_t size, off_t offset);

static int64_t used_ns(void) {
    struct timespec ts;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) != 0) return 0;
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void give_way(void) {
    if (used_ns() - giveway.since < USED_NS) return;
    (void)sched_yield();
    giveway.since = used_ns();
}

/* Of a file system that cannot, it is left to the sync. */
static void hand_out(int fd, off_t from, off_t len) {
#ifdef SYNC_FILE_RANGE_WRITE
    (void)sync_file_range(fd, from, len, SYNC_FILE_RANGE_WRITE);
#else
    (void)fd, (void)from, (void)len;
#endif
    give_way();
}

static ssize_t vfs_pwrite(int fd, const void *buf, size_t size, off_t offset) {
    ssize_t wrote = real_pwrite(fd, buf, size, offset);

    if (!giveway.on || wrote <= 0) return wrote;
    giveway.written += (size_t)wrote;
    if (giveway.written < PIECE) return wrote;
    giveway.written = 0;
    hand_out(fd, 0, 0); /* all there is: its pages are anywhere in the file */
    return wrote;
}

void lsqi_giveway_begin(void) {
    giveway.on = true;
    giveway.written = 0;
    giveway.since = used_ns();
}

void lsqi_giveway_end(void) { giveway.on = false; }

/* Bytes of a frame, by the file's header (https://sqlite.org/fileformat2.html, 4.1); 0: it has none. */
static off_t frame_size(int fd) {
    enum { AT = 8, FRAME_HEADER = 24, MOST = 65536 };
    unsigned char text[4];
    uint32_t page;

    if (pread(fd, text, sizeof(text), AT) != (ssize_t)sizeof(text)) return 0;
    page = (uint32_t)text[0] << 24 | (uint32_t)text[1] << 16 | (uint32_t)text[2] << 8 | text[3];
    return page > 0 && page <= MOST ? (off_t)page + FRAME_HEADER : 0;
}

void lsqi_giveway_wal(const char *path, uint32_t first, uint32_t end) {
    enum { HEADER = 32 };
    char name[4096];
    int len = snprintf(name, sizeof(name), "%s-wal", path);
    int fd = len < (int)sizeof(name) ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    struct stat st;
    off_t frame;
    off_t until;

    if (fd < 0) return;
    frame = frame_size(fd);
    until = HEADER + end * frame;
    if (fstat(fd, &st) == 0 && st.st_size < until) until = st.st_size;
    for (off_t at = HEADER + first * frame; frame > 0 && at < until; at += PIECE)
        hand_out(fd, at, PIECE);
    (void)close(fd);
}

/* The engine knows its call by one of two names, and refuses the other. */
void lsqi_giveway_install(void) {
    static const char *const names[] = {"pwrite", "pwrite64"};
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

    if (vfs == NULL || vfs->iVersion < 3 || real_pwrite != NULL) return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        sqlite3_syscall_ptr real = vfs->xGetSystemCall(vfs, names[i]);

        if (real == NULL) continue;
        real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))real;
        (void)vfs->xSetSystemCall(vfs, names[i], (sqlite3_syscall_ptr)vfs_pwrite);
    }
}
