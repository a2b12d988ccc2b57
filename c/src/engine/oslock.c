/* struct flock has 64-bit offsets, as the engine's has, on 32-bit systems too. */
#define _FILE_OFFSET_BITS 64

#include "engine/oslock.h"

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/helper.h"
#include "engine/readlock.h"

/* Of linux/fcntl.h, for C libraries that hide them. */
#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif

/* The kernel's own bound (fs.nr_open) where nobody has raised it. FIRST_FD: never one of the standard
 * streams, where a stray print would go into the database. */
enum { MAX_FD = 1 << 20, FIRST_FD = 3, BUCKETS = 256, MAX_RANGES = 32 };

struct range {
    off_t start;
    off_t end; /* the first byte behind it; 0: without end */
};

/* A file that the engine has locked. It lives until the engine closes the last descriptor by which
 * it was locked; the engine does not close one while it holds a lock of the inode. */
struct inode {
    struct inode *next; /* in its bucket */
    dev_t dev;
    ino_t ino;
    unsigned users; /* entries of inode_of[] */
    /* Guards what follows, around system calls; taken after table_lock. */
    pthread_mutex_t lock;
    int fd; /* the description that holds all our locks of this file */
    bool writable;
    /* What is locked for reading, while fd is not writable: to be taken over by one that is. */
    struct range ranges[MAX_RANGES];
    unsigned range_count;
    struct lsqi_readlock readers;
    struct lsqi_task look; /* at readers; guarded by the helper */
};

/* Process-wide: as locks of files are. table_lock guards buckets, their members and fork(). */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct inode *buckets[BUCKETS];

/* Process-wide: by the engine's descriptor, filled at its first lock. Who locks a descriptor or
 * closes it is the one who has it, so no lock is needed to look. Untouched pages cost nothing. */
static _Atomic(struct inode *) inode_of[MAX_FD];
static int highest_fd; /* that has ever been in it; guarded by table_lock */

/* Process-wide: set by the handler in a child, whose descriptors share descriptions with us. */
static struct inode *abandoned;
static bool forked;

/* Process-wide: the system calls as they were, set once before any connection exists. */
static int (*real_fcntl)(int fd, int cmd, ...);
static int (*real_close)(int fd);

/* ---- The descriptor that holds the locks ---- */

static bool is_same_file(int fd, const struct stat *file) {
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
}

/* The result is FIRST_FD or more, and closed on exec. */
static int reopen_as(int fd, const struct stat *file, int mode) {
    char path[40];
    int got;
    int moved;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    got = open(path, mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (got >= 0 && !is_same_file(got, file)) {
        close(got);
        return -1;
    }
    if (got < 0 || got >= FIRST_FD) return got;
    moved = fcntl(got, F_DUPFD_CLOEXEC, FIRST_FD);
    close(got);
    return moved;
}

static bool is_writable(int fd) { return (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR; }

/* A description of our own, that may do what fd may. Without /proc that of fd itself, which then goes
 * on living; in the child of a fork that might be the parent's. */
static int open_lock_fd(int fd, const struct stat *file) {
    int got = reopen_as(fd, file, is_writable(fd) ? O_RDWR : O_RDONLY);

    if (got < 0 && !forked) got = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
    return got;
}

static int look_at_readers(struct lsqi_task *task);

/* ---- Inodes ---- */

static struct inode **bucket_of(const struct stat *file) {
    uint64_t h = ((uint64_t)file->st_ino + (uint64_t)file->st_dev * 31) * 0x9E3779B97F4A7C15u;

    return &buckets[h >> 56];
}

static struct inode *find_locked(const struct stat *file) {
    struct inode *node = *bucket_of(file);

    while (node != NULL && (node->dev != file->st_dev || node->ino != file->st_ino))
        node = node->next;
    return node;
}

static struct inode *add_locked(int fd, const struct stat *file) {
    struct inode *node = lsqi_calloc(1, sizeof(*node));
    struct inode **bucket = bucket_of(file);

    if (node == NULL) {
        errno = ENOMEM; /* an error of input and output to the engine, not a lock of somebody's */
        return NULL;
    }
    node->fd = open_lock_fd(fd, file);
    if (node->fd < 0) {
        lsqi_free(node);
        return NULL;
    }
    pthread_mutex_init(&node->lock, NULL); /* on Linux it cannot fail */
    node->writable = is_writable(node->fd);
    node->dev = file->st_dev;
    node->ino = file->st_ino;
    node->look = (struct lsqi_task){.run = look_at_readers, .upkeep = true};
    node->next = *bucket;
    *bucket = node;
    return node;
}

static void remove_locked(struct inode *node) {
    const struct stat file = {.st_dev = node->dev, .st_ino = node->ino};
    struct inode **at = bucket_of(&file);

    while (*at != node) at = &(*at)->next;
    *at = node->next;
    lsqi_helper_cancel(&node->look);
    close(node->fd);
    pthread_mutex_destroy(&node->lock);
    lsqi_free(node);
}

/* The inode of one of the engine's descriptors: *out, NULL where it is no regular file. */
static int inode_get(int fd, struct inode **out) {
    struct inode *node;
    struct stat file;

    *out = NULL;
    if (fd < 0 || fd >= MAX_FD) {
        errno = fd < 0 ? EBADF : EMFILE;
        return -1;
    }
    *out = atomic_load_explicit(&inode_of[fd], memory_order_acquire);
    if (*out != NULL) return 0;
    if (fstat(fd, &file) != 0) return -1;
    if (!S_ISREG(file.st_mode)) return 0;
    pthread_mutex_lock(&table_lock);
    node = find_locked(&file);
    if (node == NULL) node = add_locked(fd, &file);
    if (node != NULL && atomic_load(&inode_of[fd]) == NULL) {
        node->users++;
        if (fd > highest_fd) highest_fd = fd;
        atomic_store_explicit(&inode_of[fd], node, memory_order_release);
    }
    pthread_mutex_unlock(&table_lock);
    *out = node;
    return node == NULL ? -1 : 0;
}

static void inode_drop(struct inode *node) {
    pthread_mutex_lock(&table_lock);
    if (--node->users == 0) remove_locked(node);
    pthread_mutex_unlock(&table_lock);
}

/* ---- From reading to writing ----
 *
 * Where the first to lock a file had opened it for reading, its description cannot lock for writing.
 * It holds read locks only, and another description can hold the same beside it, before it goes. */

static struct range range_of(const struct flock *lock) {
    return (struct range){lock->l_start, lock->l_len == 0 ? 0 : lock->l_start + lock->l_len};
}

static bool covers(struct range whole, struct range part) {
    return whole.start <= part.start &&
           (whole.end == 0 || (part.end != 0 && part.end <= whole.end));
}

static void forget_ranges(struct inode *node, struct range unlocked) {
    unsigned kept = 0;

    for (unsigned i = 0; i < node->range_count; i++)
        if (!covers(unlocked, node->ranges[i])) node->ranges[kept++] = node->ranges[i];
    node->range_count = kept;
}

/* The system call, with the notes of it. */
static int lock_noted(struct inode *node, struct flock *lock) {
    const struct range range = range_of(lock);

    if (!node->writable && node->range_count == MAX_RANGES && lock->l_type == F_RDLCK) {
        errno = ENOLCK;
        return -1;
    }
    if (real_fcntl(node->fd, F_OFD_SETLK, lock) != 0) return -1;
    if (!node->writable) {
        forget_ranges(node, range);
        if (lock->l_type == F_RDLCK) node->ranges[node->range_count++] = range;
    }
    return 0;
}

static void unlock_all(int fd) {
    struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    (void)real_fcntl(fd, F_OFD_SETLK, &all);
}

/* All or, where one cannot be had, none. */
static bool take_ranges(const struct inode *node, int fd) {
    for (unsigned i = 0; i < node->range_count; i++) {
        const struct range range = node->ranges[i];
        struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = range.start};

        lock.l_len = range.end == 0 ? 0 : range.end - range.start;
        if (real_fcntl(fd, F_OFD_SETLK, &lock) == 0) continue;
        unlock_all(fd);
        return false;
    }
    return true;
}

static void make_writable(struct inode *node, int fd) {
    const struct stat file = {.st_dev = node->dev, .st_ino = node->ino};
    int got;

    if (!is_writable(fd)) return;
    pthread_mutex_lock(&table_lock);
    pthread_mutex_lock(&node->lock);
    got = node->writable ? -1 : open_lock_fd(fd, &file);
    if (got >= 0 && take_ranges(node, got)) {
        unlock_all(node->fd); /* the engine may have another descriptor of it */
        close(node->fd);
        node->fd = got;
        node->writable = true;
    } else if (got >= 0) {
        close(got);
    }
    pthread_mutex_unlock(&node->lock);
    pthread_mutex_unlock(&table_lock);
}

static bool needs_writable(struct inode *node) {
    bool yes;

    pthread_mutex_lock(&node->lock);
    yes = !node->writable;
    pthread_mutex_unlock(&node->lock);
    return yes;
}

/* ---- Readers of a WAL, whose locks are kept (readlock.h) ---- */

static bool is_alone(const struct inode *node) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LSQI_READLOCK_DMS};

    lock.l_len = 1;
    return real_fcntl(node->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

static void give_back(struct inode *node, unsigned bits) {
    for (int i = 0; i < LSQI_READLOCK_COUNT; i++) {
        struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = 1};

        lock.l_start = LSQI_READLOCK_FIRST + i;
        if ((bits & 1u << i) != 0) (void)lock_noted(node, &lock);
    }
}

/* On the helper thread. It stops by itself where nobody reads any more. */
static int look_at_readers(struct lsqi_task *task) {
    struct inode *node = (struct inode *)(void *)((char *)task - offsetof(struct inode, look));
    bool alone = !lsqi_helper_shutting();
    bool again;

    pthread_mutex_lock(&node->lock);
    alone = alone && is_alone(node);
    give_back(node, lsqi_readlock_look(&node->readers, alone));
    again = node->readers.keeping;
    pthread_mutex_unlock(&node->lock);
    return again ? LSQI_READLOCK_LOOK_MS : -1;
}

/* The child of a fork has no helper thread. */
static void note_lock(struct inode *node, const struct flock *lock) {
    if (!lsqi_readlock_done(&node->readers, lock) || forked || !is_alone(node)) return;
    node->readers.keeping = true;
    lsqi_helper_schedule(&node->look, LSQI_READLOCK_LOOK_MS);
}

/* ---- What the engine calls ---- */

static int set_lock(struct inode *node, struct flock *lock) {
    if (lsqi_readlock_answers(&node->readers, lock)) return 0;
    if (lock_noted(node, lock) != 0) return -1;
    note_lock(node, lock);
    return 0;
}

/* The engine never asks to wait for a lock; if it did, it would be told that somebody has it. */
static int lock_call(int fd, int cmd, struct flock *asked) {
    struct flock lock = *asked;
    struct inode *node;
    int rc;

    if (inode_get(fd, &node) != 0) return -1;
    if (node == NULL) return real_fcntl(fd, cmd, asked);
    lock.l_pid = 0;
    if (cmd != F_GETLK && lock.l_type == F_WRLCK && needs_writable(node)) make_writable(node, fd);

    pthread_mutex_lock(&node->lock);
    rc = cmd == F_GETLK ? real_fcntl(node->fd, F_OFD_GETLK, &lock) : set_lock(node, &lock);
    pthread_mutex_unlock(&node->lock);
    if (rc == 0 && cmd == F_GETLK) *asked = lock;
    return rc;
}

static int our_fcntl(int fd, int cmd, ...) {
    va_list args;
    void *pointer = NULL;
    int number = 0;

    va_start(args, cmd);
    switch (cmd) {
    case F_GETFD:
    case F_GETFL: break;
    case F_SETFD:
    case F_SETFL:
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: number = va_arg(args, int); break;
    default: pointer = va_arg(args, void *); break;
    }
    va_end(args);

    switch (cmd) {
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW: return lock_call(fd, cmd, pointer);
    case F_GETFD:
    case F_GETFL: return real_fcntl(fd, cmd);
    default: return pointer == NULL ? real_fcntl(fd, cmd, number) : real_fcntl(fd, cmd, pointer);
    }
}

/* The entry goes first: another thread may be given the number before close() returns here. */
static int our_close(int fd) {
    struct inode *node = NULL;
    int rc;
    int code;

    if (fd >= 0 && fd < MAX_FD)
        node = atomic_exchange_explicit(&inode_of[fd], NULL, memory_order_acq_rel);
    rc = real_close(fd);
    code = errno;
    if (node != NULL) inode_drop(node);
    errno = code;
    return rc;
}

/* The bytes that the engine locks of a database: PENDING, RESERVED, and those of SHARED. */
enum { LOCK_BYTES_FIRST = 0x40000000, LOCK_BYTES = 512 };

bool lsqi_oslock_shared(dev_t dev, ino_t ino) {
    const struct stat file = {.st_dev = dev, .st_ino = ino};
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTES_FIRST};
    struct inode *node;
    bool shared;

    lock.l_len = LOCK_BYTES;
    if (real_fcntl == NULL) return false;
    pthread_mutex_lock(&table_lock);
    node = find_locked(&file);
    /* Our own locks are of the same description: it is not told of them. */
    shared =
        node != NULL && real_fcntl(node->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    pthread_mutex_unlock(&table_lock);
    return shared;
}

/* ---- fork() ----
 *
 * A child inherits descriptors, and with them the parent's locks: what it locked by them would be
 * locked for both. It lets go of them, and new ones are made when it locks for itself. Its memory is
 * a copy that other threads may have left in any state, so nothing is freed. */

static void before_fork(void) { pthread_mutex_lock(&table_lock); }

static void after_fork(void) { pthread_mutex_unlock(&table_lock); }

static void abandon_locked(struct inode *list) {
    while (list != NULL) {
        struct inode *node = list;

        list = node->next;
        close(node->fd);
        node->fd = -1;
        node->next = abandoned;
        abandoned = node;
    }
}

static void after_fork_in_child(void) {
    forked = true;
    for (int i = 0; i < BUCKETS; i++) {
        abandon_locked(buckets[i]);
        buckets[i] = NULL;
    }
    for (int fd = 0; fd <= highest_fd; fd++)
        atomic_store_explicit(&inode_of[fd], NULL, memory_order_relaxed);
    highest_fd = 0;
    pthread_mutex_unlock(&table_lock);
}

/* ---- Set-up ---- */

/* Kernels have such locks since 3.15; sandboxes that stand for a kernel may not. */
static bool system_has_them(void) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    int fd = memfd_create("lsq-probe", MFD_CLOEXEC);
    bool yes;

    if (fd < 0) fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    yes = fcntl(fd, F_OFD_SETLK, &lock) == 0;
    close(fd);
    return yes;
}

static bool replace(sqlite3_vfs *vfs, const char *name, sqlite3_syscall_ptr by) {
    return vfs->xSetSystemCall(vfs, name, by) == SQLITE_OK;
}

int lsqi_oslock_install(void) {
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

    if (real_fcntl != NULL) return 1;
    if (vfs == NULL || vfs->iVersion < 3 || vfs->xSetSystemCall == NULL) return 0;
    if (!system_has_them()) return 0;
    real_close = (int (*)(int))vfs->xGetSystemCall(vfs, "close");
    real_fcntl = (int (*)(int, int, ...))vfs->xGetSystemCall(vfs, "fcntl");
    if (real_close != NULL && real_fcntl != NULL &&
        pthread_atfork(before_fork, after_fork, after_fork_in_child) == 0 &&
        replace(vfs, "close", (sqlite3_syscall_ptr)our_close)) {
        if (replace(vfs, "fcntl", (sqlite3_syscall_ptr)our_fcntl)) return 1;
        (void)replace(vfs, "close", (sqlite3_syscall_ptr)real_close);
    }
    real_fcntl = NULL;
    return 0;
}

#else

int lsqi_oslock_install(void) { return 0; }

bool lsqi_oslock_shared(dev_t dev, ino_t ino) {
    (void)dev, (void)ino;
    return false;
}

#endif
