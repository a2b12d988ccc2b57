#include "net/poller.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/watch.h"

enum {
    FIRST_ROOM = 64,
    NO_MEMORY_MS = 10 /* then it is tried again */
};

struct poller {
    int reads; /* the ends of a pipe */
    int writes;
    struct pollfd *fds; /* the pipe's, libcurl's, the watches' */
    unsigned room;
};

/* Process-wide: of the one I/O thread. */
static struct poller poller = {.reads = -1, .writes = -1};

bool lsqi_poller_open(void) {
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
    poller.reads = ends[0];
    poller.writes = ends[1];
    return true;
}

void lsqi_poller_close(void) {
    (void)close(poller.reads);
    (void)close(poller.writes);
    lsqi_free(poller.fds);
    poller.reads = -1;
    poller.writes = -1;
    poller.fds = NULL;
    poller.room = 0;
}

/* A pipe that is full wakes, too. */
void lsqi_poller_wake(void) {
    ssize_t written = write(poller.writes, "", 1);

    (void)written;
}

static void empty_pipe(void) {
    char bytes[64];

    while (read(poller.reads, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes)) continue;
}

static bool make_room(unsigned count) {
    unsigned room = poller.room == 0 ? FIRST_ROOM : poller.room;
    struct pollfd *more;

    if (count <= poller.room) return true;
    while (room < count) room *= 2;
    more = lsqi_realloc(poller.fds, room * sizeof(*more));
    if (more == NULL) return false;
    poller.fds = more;
    poller.room = room;
    return true;
}

static unsigned put(unsigned at, const struct pollfd *fds, unsigned count) {
    if (count > 0) memcpy(poller.fds + at, fds, count * sizeof(*fds));
    return at + count;
}

/* How many there are; 0: no memory for them. */
static unsigned collect(const struct lsqi_multi *multi) {
    unsigned count = 1 + multi->count;

    for (const struct lsqi_watch *watch = lsqi_watches(); watch != NULL; watch = watch->next)
        count += watch->fd_count;
    if (!make_room(count)) return 0;
    poller.fds[0] = (struct pollfd){.fd = poller.reads, .events = POLLIN};
    count = put(1, multi->fds, multi->count);
    for (const struct lsqi_watch *watch = lsqi_watches(); watch != NULL; watch = watch->next)
        count = put(count, watch->fds, watch->fd_count);
    return count;
}

static void distribute(struct lsqi_multi *multi) {
    const struct pollfd *from = poller.fds;

    if (from++->revents != 0) empty_pipe();
    for (unsigned i = 0; i < multi->count; i++) multi->fds[i].revents = from++->revents;
    for (struct lsqi_watch *watch = lsqi_watches(); watch != NULL; watch = watch->next)
        for (unsigned i = 0; i < watch->fd_count; i++) {
            watch->fds[i].revents = from++->revents;
            if (watch->fds[i].revents != 0) watch->ready = true;
        }
}

void lsqi_poller_rest(int us) {
    const struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L};

    (void)ppoll(NULL, 0, &time, NULL);
}

void lsqi_poller_wait(struct lsqi_multi *multi, int ms) {
    unsigned count = collect(multi);

    if (count == 0)
        (void)poll(NULL, 0, NO_MEMORY_MS);
    else if (poll(poller.fds, count, ms) > 0)
        distribute(multi);
}
