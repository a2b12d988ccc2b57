#include "net/multi.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "net/curl.h"

/* ---- What libcurl tells ---- */

static struct pollfd *find(const struct lsqi_multi *multi, int fd) {
    for (unsigned i = 0; i < multi->count; i++)
        if (multi->fds[i].fd == fd) return &multi->fds[i];
    return NULL;
}

static struct pollfd *add(struct lsqi_multi *multi, int fd) {
    enum { FIRST_ROOM = 8 };

    if (multi->count == multi->room) {
        unsigned room = multi->room == 0 ? FIRST_ROOM : 2 * multi->room;
        struct pollfd *more = lsqi_realloc(multi->fds, room * sizeof(*more));

        if (more == NULL) return NULL;
        multi->fds = more;
        multi->room = room;
    }
    multi->fds[multi->count] = (struct pollfd){.fd = fd};
    return &multi->fds[multi->count++];
}

/* What came for a descriptor that is there already is kept: it is not forgotten in the midst of a turn. */
static int on_socket(void *easy, int fd, int what, void *arg, void *of_socket) {
    struct lsqi_multi *multi = arg;
    struct pollfd *at = find(multi, fd);

    (void)easy, (void)of_socket;
    if (what == LSQI_CURL_POLL_REMOVE) {
        if (at != NULL) *at = multi->fds[--multi->count];
        return 0;
    }
    if (at == NULL) at = add(multi, fd);
    /* Not told to libcurl, which forgets then that the socket has this transfer, and meets it when it is freed. Our
     * own word ends all of them. */
    if (at == NULL) {
        multi->failed = true;
        return 0;
    }
    at->events = 0;
    if ((what & LSQI_CURL_POLL_IN) != 0) at->events |= POLLIN;
    if ((what & LSQI_CURL_POLL_OUT) != 0) at->events |= POLLOUT;
    return 0;
}

static int on_timer(void *handle, long ms, void *arg) {
    struct lsqi_multi *multi = arg;

    (void)handle;
    multi->due = ms < 0 ? INT64_MAX : lsqi_now_ns() + (int64_t)ms * 1000000;
    return 0;
}

/* ---- Life ---- */

bool lsqi_multi_init(struct lsqi_multi *multi) {
    const struct lsqi_curl *curl = lsqi_curl();

    *multi = (struct lsqi_multi){.handle = curl->multi_init(), .due = INT64_MAX};
    if (multi->handle == NULL) return false;
    (void)curl->multi_setopt(multi->handle, LSQI_CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl->multi_setopt(multi->handle, LSQI_CURLMOPT_SOCKETDATA, multi);
    (void)curl->multi_setopt(multi->handle, LSQI_CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl->multi_setopt(multi->handle, LSQI_CURLMOPT_TIMERDATA, multi);
    return true;
}

void lsqi_multi_release(struct lsqi_multi *multi) {
    if (multi->handle != NULL) (void)lsqi_curl()->multi_cleanup(multi->handle);
    lsqi_free(multi->fds);
    *multi = (struct lsqi_multi){.due = INT64_MAX};
}

/* ---- A turn ---- */

static int select_bits(short revents) {
    int bits = 0;

    if ((revents & POLLIN) != 0) bits |= LSQI_CURL_CSELECT_IN;
    if ((revents & POLLOUT) != 0) bits |= LSQI_CURL_CSELECT_OUT;
    return bits != 0 ? bits : LSQI_CURL_CSELECT_ERR;
}

static bool act(struct lsqi_multi *multi, int fd, int bits) {
    int running;

    return lsqi_curl()->multi_socket_action(multi->handle, fd, bits, &running) == 0;
}

/* The next descriptor of which something came, behind `at`, where the one before was: acting on one changes the
 * list. */
static struct pollfd *next_ready(const struct lsqi_multi *multi, unsigned at) {
    for (; at < multi->count; at++)
        if (multi->fds[at].revents != 0) return &multi->fds[at];
    return NULL;
}

bool lsqi_multi_drive(struct lsqi_multi *multi) {
    struct pollfd *ready = next_ready(multi, 0);
    bool ok = true;

    while (ok && ready != NULL) {
        unsigned at = (unsigned)(ready - multi->fds);
        int bits = select_bits(ready->revents);

        ready->revents = 0;
        ok = act(multi, ready->fd, bits);
        ready = next_ready(multi, at);
    }
    if (ok && multi->due <= lsqi_now_ns()) {
        multi->due = INT64_MAX;
        ok = act(multi, LSQI_CURL_SOCKET_TIMEOUT, 0);
    }
    ok = ok && !multi->failed;
    multi->failed = false;
    return ok;
}

void *lsqi_multi_ended(const struct lsqi_multi *multi, int *result) {
    struct lsqi_curl_msg *msg;
    int left;

    while ((msg = lsqi_curl()->multi_info_read(multi->handle, &left)) != NULL) {
        if (msg->msg != LSQI_CURLMSG_DONE) continue;
        *result = msg->data.result;
        return msg->easy;
    }
    return NULL;
}
