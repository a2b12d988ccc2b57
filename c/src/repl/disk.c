#include "repl/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"

enum lsq_status lsqi_disk_failed(struct lsq_error *err, const char *what, const char *path) {
    int number = errno;
    enum lsq_status st = LSQ_IO;
    char words[128];

    if (number == ENOSPC || number == EDQUOT) st = LSQ_FULL;
    if (number == EACCES || number == EPERM || number == EROFS) st = LSQ_PERMISSION;
    if (number == ENOMEM) st = LSQ_NOMEM;
    return lsqi_error_set(err, st, "could not %s %s: %s", what, path,
                          strerror_r(number, words, sizeof(words)));
}

/* ---- Names ---- */

static enum lsq_status resolve(char *folder, const char *path, const char *slash,
                               struct lsq_error *err) {
    char given[PATH_MAX];
    size_t len = slash == NULL ? 1 : (size_t)(slash - path) + (slash == path);

    if (len >= sizeof(given)) return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the path is too long");
    memcpy(given, slash == NULL ? "." : path, len);
    given[len] = '\0';
    if (realpath(given, folder) != NULL) return LSQ_OK;
    return lsqi_error_set(err, LSQ_CANNOT_OPEN, "the folder of %s cannot be found", path);
}

enum lsq_status lsqi_disk_name(char **name, const char *path, struct lsq_error *err) {
    char folder[PATH_MAX];
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    const char *base = slash == NULL ? path : slash + 1;
    enum lsq_status st;
    struct stat what;
    size_t size;

    if (base == NULL || base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0 ||
        strncmp(path, "file:", 5) == 0 || path[0] == ':')
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                              "a replica is a file of its own, given by its name");
    st = resolve(folder, path, slash, err);
    if (st != LSQ_OK) return st;
    size = strlen(folder) + strlen(base) + 2;
    if (size + LSQI_DISK_SUFFIX > LSQI_DISK_NAME)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the path is too long");
    *name = lsqi_malloc(size);
    if (*name == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a path");
    snprintf(*name, size, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, base);
    if (lstat(*name, &what) != 0 || S_ISREG(what.st_mode)) return LSQ_OK;
    lsqi_free(*name);
    return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "%s is no file (nor may it be a link)", path);
}

void lsqi_disk_beside(char *name, const char *path, const char *suffix) {
    (void)snprintf(name, LSQI_DISK_NAME, "%.*s%s", LSQI_DISK_NAME - LSQI_DISK_SUFFIX, path, suffix);
}

/* ---- Bytes ---- */

bool lsqi_disk_write(int fd, const void *data, size_t len, int64_t at) {
    const char *bytes = data;

    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)at);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes += n, len -= (size_t)n, at += n;
    }
    return true;
}

bool lsqi_disk_read(int fd, void *data, size_t len, int64_t at) {
    char *bytes = data;

    while (len > 0) {
        ssize_t n = pread(fd, bytes, len, (off_t)at);

        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = EIO;
        if (n <= 0) return false;
        bytes += n, len -= (size_t)n, at += n;
    }
    return true;
}

int64_t lsqi_disk_size(const char *path, uint64_t *inode) {
    struct stat st;

    if (stat(path, &st) != 0) return -1;
    if (inode != NULL) *inode = (uint64_t)st.st_ino;
    return (int64_t)st.st_size;
}

/* ---- Second names ---- */

/* The name is that of a file with the suffix, beside which lies the one that is looked for. */
static bool is_beside(int folder, const char *name, const char *suffix, const struct stat *wanted) {
    size_t len = strlen(name);
    size_t end = strlen(suffix);
    char base[NAME_MAX + 1];
    struct stat st;

    if (len <= end || len > NAME_MAX || strcmp(name + len - end, suffix) != 0) return false;
    (void)snprintf(base, sizeof(base), "%.*s", (int)(len - end), name);
    return fstatat(folder, base, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == wanted->st_dev &&
           st.st_ino == wanted->st_ino;
}

bool lsqi_disk_is_link(const char *path, const char *suffix) {
    char folder[LSQI_DISK_NAME];
    const char *slash = strrchr(path, '/');
    const struct dirent *entry;
    bool found = false;
    struct stat st;
    DIR *dir;

    if (stat(path, &st) != 0 || st.st_nlink < 2) return false;
    (void)snprintf(folder, sizeof(folder), "%.*s/", slash == NULL ? 0 : (int)(slash - path), path);
    dir = opendir(slash == NULL ? "." : folder);
    if (dir == NULL) return false;
    while (!found && (entry = readdir(dir)) != NULL)
        found = is_beside(dirfd(dir), entry->d_name, suffix, &st);
    (void)closedir(dir);
    return found;
}

/* ---- What lasts ---- */

enum lsq_status lsqi_disk_sync_folder(const char *path, struct lsq_error *err) {
    char folder[LSQI_DISK_NAME];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    int fd;
    bool ok;

    (void)snprintf(folder, sizeof(folder), "%.*s/", (int)len, path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A file system that cannot sync a folder says EINVAL: there is nothing to be done then. */
    ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);
    if (!ok) (void)lsqi_disk_failed(err, "sync", folder);
    if (fd >= 0) close(fd);
    return ok ? LSQ_OK : LSQ_IO;
}

/* A lock of the open description: a close of the file elsewhere in the process does not drop it. The file is never
 * removed, for then two could have "it". */
enum lsq_status lsqi_disk_lock(int *fd, const char *path, struct lsq_error *err) {
    char name[LSQI_DISK_NAME];
    enum lsq_status st;

    lsqi_disk_beside(name, path, "-replica-lock");
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0) return lsqi_disk_failed(err, "open", name);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0) return LSQ_OK;
    st = errno == EWOULDBLOCK
             ? lsqi_error_set(err, LSQ_ALREADY_OPEN,
                              "another process has %s open as a replica (it has the lock of %s)",
                              path, name)
             : lsqi_disk_failed(err, "lock", name);
    close(*fd);
    *fd = -1;
    return st;
}

/* Not by closing alone: the child of a fork has it open, too. */
void lsqi_disk_unlock(int *fd) {
    if (*fd < 0) return;
    (void)flock(*fd, LOCK_UN);
    close(*fd);
    *fd = -1;
}

bool lsqi_disk_is_locked(const char *path) {
    char name[LSQI_DISK_NAME];
    bool locked;
    int fd;

    lsqi_disk_beside(name, path, "-replica-lock");
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return locked;
}

void lsqi_disk_remove(const char *path, const char *suffix) {
    char name[LSQI_DISK_NAME];

    lsqi_disk_beside(name, path, suffix);
    (void)unlink(name);
}

/* ---- What is kept of what did not fit ---- */

static void move(const char *path, const char *from, const char *to) {
    char old[LSQI_DISK_NAME];
    char new[LSQI_DISK_NAME];

    lsqi_disk_beside(old, path, from);
    lsqi_disk_beside(new, path, to);
    if (rename(old, new) != 0) (void)unlink(new);
}

void lsqi_disk_aside_name(char *aside, const char *path) {
    move(path, "-aside-1", "-aside-2");
    move(path, "-aside-1-wal", "-aside-2-wal");
    lsqi_disk_beside(aside, path, "-aside-1");
}

void lsqi_disk_own_name(char *aside, const char *path) {
    char suffix[32];
    int i = 0;

    do {
        (void)snprintf(suffix, sizeof(suffix), "-aside-own-%d", ++i);
        lsqi_disk_beside(aside, path, suffix);
    } while (access(aside, F_OK) == 0);
}

static void move_wal(const char *path, const char *aside) {
    char from[LSQI_DISK_NAME];
    char to[LSQI_DISK_NAME + 4];

    lsqi_disk_beside(from, path, "-wal");
    (void)snprintf(to, sizeof(to), "%s-wal", aside);
    if (rename(from, to) != 0) (void)unlink(to);
}

enum lsq_status lsqi_disk_set_aside(const char *path, bool own, char *aside,
                                    struct lsq_error *err) {
    if (own)
        lsqi_disk_own_name(aside, path);
    else
        lsqi_disk_aside_name(aside, path);
    /* First the WAL: beside another file it would be taken for that one's. */
    move_wal(path, aside);
    lsqi_disk_remove(path, "-shm");
    lsqi_disk_remove(path, "-journal");
    if (rename(path, aside) != 0 && errno != ENOENT) return lsqi_disk_failed(err, "rename", path);
    return lsqi_disk_sync_folder(path, err);
}
