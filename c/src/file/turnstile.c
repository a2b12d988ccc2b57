/* struct flock has 64-bit offsets, on 32-bit systems too. */
#define _FILE_OFFSET_BITS 64

#include "file/turnstile.h"

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/helper.h"

/* Of linux/fcntl.h, for C libraries that hide them. */
#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
#endif

/* GATE: who has it is inside. LINE: locked for reading by who is inside or waits. FIRST_FD: never one of the
 * standard streams. */
enum { GATE = 0, LINE = 1, BYTES = 2, LOOK_MS = 10, FIRST_FD = 3 };

/* Those behind a process that is stopped, or whose machine is too busy to wake it, wait for it in the
 * system's list, be the gate open: so long at most, then they look for themselves. */
enum { TRUST_MS = 1000 };

enum place { OUTSIDE, STANDING, INSIDE };

struct lsqi_turnstile {
    atomic_uint refs;
    char *database;
    char *name;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    /* guarded by lock */
    int fd; /* its description has all our locks; -1: not opened yet */
    enum place place;
    bool wanted;   /* somebody waits for the place; else it is given up when it has come */
    bool waits;    /* a worker waits for the gate */
    int64_t since; /* ns, when it began to */
};

/* ---- Records ---- */

static void turnstile_free(struct lsqi_turnstile *ts) {
    lsqi_free(ts->name);
    lsqi_free(ts->database);
    lsqi_free(ts);
}

static bool set_names(struct lsqi_turnstile *ts, const char *path) {
    static const char suffix[] = "-lane";
    size_t len = strlen(path);

    ts->database = lsqi_strndup(path, len);
    ts->name = lsqi_malloc(len + sizeof(suffix));
    if (ts->database == NULL || ts->name == NULL) return false;
    memcpy(ts->name, path, len);
    memcpy(ts->name + len, suffix, sizeof(suffix));
    return true;
}

struct lsqi_turnstile *lsqi_turnstile_new(const char *path) {
    struct lsqi_turnstile *ts = lsqi_calloc(1, sizeof(*ts));

    if (ts == NULL) return NULL;
    if (!set_names(ts, path)) {
        turnstile_free(ts);
        return NULL;
    }
    atomic_init(&ts->refs, 1);
    ts->fd = -1;
    pthread_mutex_init(&ts->lock, NULL);
    pthread_cond_init(&ts->moved, NULL);
    return ts;
}

void lsqi_turnstile_unref(struct lsqi_turnstile *ts) {
    if (ts == NULL || atomic_fetch_sub(&ts->refs, 1) != 1) return;
    if (ts->fd >= 0) close(ts->fd);
    pthread_cond_destroy(&ts->moved);
    pthread_mutex_destroy(&ts->lock);
    turnstile_free(ts);
}

/* ---- The file ---- */

/* Who may write to the database may stand in line, as with the engine's own files beside it. */
static int create(const struct lsqi_turnstile *ts) {
    struct stat database;
    int fd;

    if (stat(ts->database, &database) != 0) return -1;
    fd =
        open(ts->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, database.st_mode & 0666);
    if (fd < 0) return -1;
    (void)fchmod(fd, database.st_mode & 0666);
    if (geteuid() == 0 && fchown(fd, database.st_uid, database.st_gid) != 0) errno = 0;
    return fd;
}

static int open_there_is(const struct lsqi_turnstile *ts) {
    return open(ts->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

static int away_from_streams(int fd) {
    int moved;

    if (fd < 0 || fd >= FIRST_FD) return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
    close(fd);
    return moved;
}

/* make: where there is none, one is made. False: there is none to be had. */
static bool open_locked(struct lsqi_turnstile *ts, bool make) {
    struct stat st;
    int fd;

    if (ts->fd >= 0) return true;
    fd = open_there_is(ts);
    if (fd < 0 && errno == ENOENT && make) {
        fd = create(ts);
        if (fd < 0 && errno == EEXIST) fd = open_there_is(ts);
    }
    fd = away_from_streams(fd);
    if (fd < 0) return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        ts->fd = fd;
        return true;
    }
    close(fd);
    return false;
}

static int lock_bytes(int fd, int command, short type, off_t first, off_t count) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = first, .l_len = count};
    int rc;

    do rc = fcntl(fd, command, &lock);
    while (rc != 0 && errno == EINTR);
    return rc;
}

static void unlock_all_locked(struct lsqi_turnstile *ts) {
    (void)lock_bytes(ts->fd, F_OFD_SETLK, F_UNLCK, 0, BYTES);
    ts->place = OUTSIDE;
}

/* ---- Going in ---- */

bool lsqi_turnstile_taken(struct lsqi_turnstile *ts) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = BYTES};
    bool taken;

    pthread_mutex_lock(&ts->lock);
    taken = ts->place == STANDING;
    if (ts->place == OUTSIDE && open_locked(ts, false))
        taken = fcntl(ts->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    pthread_mutex_unlock(&ts->lock);
    return taken;
}

static bool try_gate_locked(struct lsqi_turnstile *ts) {
    if (lock_bytes(ts->fd, F_OFD_SETLK, F_WRLCK, GATE, 1) != 0) return false;
    ts->place = INSIDE;
    return true;
}

/* On a worker, which stands in the system's list. */
static bool await_gate(const struct lsqi_turnstile *ts) {
    return lock_bytes(ts->fd, F_OFD_SETLKW, F_WRLCK, GATE, 1) == 0;
}

/* What the system has given to the description may be gone when we look: who has looked for himself was inside
 * meanwhile, and unlocked it as he left. So it is asked for once more, which costs nothing if it is still ours;
 * and if another process has it, we stand in the list again. */
static void stand(void *arg) {
    struct lsqi_turnstile *ts = arg;
    bool ours = await_gate(ts);

    pthread_mutex_lock(&ts->lock);
    while (ours && ts->place == STANDING && ts->wanted && !try_gate_locked(ts)) {
        ts->since = lsqi_now_ns();
        pthread_mutex_unlock(&ts->lock);
        ours = await_gate(ts);
        pthread_mutex_lock(&ts->lock);
    }
    ts->waits = false;
    if (ts->place != INSIDE) unlock_all_locked(ts);
    pthread_cond_broadcast(&ts->moved);
    pthread_mutex_unlock(&ts->lock);
    lsqi_turnstile_unref(ts);
}

static bool wait_on_worker_locked(struct lsqi_turnstile *ts) {
    if (ts->waits) return true;
    atomic_fetch_add(&ts->refs, 1);
    ts->since = lsqi_now_ns();
    ts->waits = lsqi_worker_submit_pressing(stand, ts, NULL) == LSQ_OK;
    if (!ts->waits) atomic_fetch_sub(&ts->refs, 1);
    return ts->waits;
}

static void begin_locked(struct lsqi_turnstile *ts) {
    if (!open_locked(ts, true)) return;
    if (lock_bytes(ts->fd, F_OFD_SETLK, F_RDLCK, LINE, 1) != 0) return;
    if (try_gate_locked(ts)) return;
    if ((errno == EAGAIN || errno == EACCES) && wait_on_worker_locked(ts))
        ts->place = STANDING;
    else
        unlock_all_locked(ts);
}

static bool too_long_locked(const struct lsqi_turnstile *ts) {
    return lsqi_now_ns() - ts->since > (int64_t)TRUST_MS * 1000000;
}

bool lsqi_turnstile_enter(struct lsqi_turnstile *ts, int64_t until, bool (*stop)(void *arg),
                          void *arg) {
    bool inside;

    pthread_mutex_lock(&ts->lock);
    if (ts->place == OUTSIDE) begin_locked(ts);
    ts->wanted = true;
    while (ts->place == STANDING && lsqi_now_ns() < until && !stop(arg)) {
        if (too_long_locked(ts) && try_gate_locked(ts)) break;
        lsqi_wait_ms_locked(&ts->moved, &ts->lock, LOOK_MS);
    }
    ts->wanted = false;
    inside = ts->place == INSIDE;
    pthread_mutex_unlock(&ts->lock);
    return inside;
}

void lsqi_turnstile_leave(struct lsqi_turnstile *ts) {
    pthread_mutex_lock(&ts->lock);
    if (ts->place == INSIDE) unlock_all_locked(ts);
    pthread_mutex_unlock(&ts->lock);
}

#else

#include <stddef.h>

/* Process-wide: a constant, for there is nothing to keep. */
static char none;

struct lsqi_turnstile *lsqi_turnstile_new(const char *path) {
    (void)path;
    return (struct lsqi_turnstile *)(void *)&none;
}

void lsqi_turnstile_unref(struct lsqi_turnstile *ts) { (void)ts; }

bool lsqi_turnstile_taken(struct lsqi_turnstile *ts) {
    (void)ts;
    return false;
}

bool lsqi_turnstile_enter(struct lsqi_turnstile *ts, int64_t until, bool (*stop)(void *arg),
                          void *arg) {
    (void)ts, (void)until, (void)stop, (void)arg;
    return false;
}

void lsqi_turnstile_leave(struct lsqi_turnstile *ts) { (void)ts; }

#endif
