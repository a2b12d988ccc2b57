#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "db.h"
#include "server.h"

enum { PIECE = 16384, MOST = 1024 * 1024, LOOK_MS = 20 };

struct link {
    struct server *server;
    int port;
    int delay_ms;
    char url[64];
    atomic_int rate;
    atomic_bool is_cut;
    _Atomic int64_t sent;
    _Atomic int64_t came;
    _Atomic int64_t damaged; /* as came counts; -1: none */
    atomic_int damaged_byte;
    pthread_mutex_t lock;
    int64_t
        free_at; /* guarded by lock; ns: what was let in until now is across, but for the delay */
};

/* What is under way in one direction. */
struct piece {
    struct piece *next;
    int64_t due; /* ns */
    size_t len;
    char data[];
};

struct way {
    int from;
    int to;
    bool down; /* from the server */
    bool ended;
    size_t bytes;
    struct piece *first;
    struct piece **last;
};

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0) return fd;
    close(fd);
    return -1;
}

/* ---- One way ---- */

static int64_t due_of(struct link *link, const struct way *way, size_t len) {
    int64_t rate = way->down ? atomic_load(&link->rate) : 0;
    int64_t now = now_ns();

    if (rate > 0) {
        pthread_mutex_lock(&link->lock);
        if (link->free_at < now) link->free_at = now;
        link->free_at += (int64_t)len * 1000000000 / rate;
        now = link->free_at;
        pthread_mutex_unlock(&link->lock);
    }
    return now + (int64_t)link->delay_ms * 1000000;
}

/* How much more may be let in; what is not stays with the server. */
static size_t room(struct link *link, const struct way *way) {
    int rate = way->down ? atomic_load(&link->rate) : 0;

    if (rate == 0) return way->bytes < MOST ? PIECE : 0;
    if (way->bytes > 0) return 0;
    return rate / 50 < 1 ? 1 : rate / 50 > PIECE ? PIECE : (size_t)rate / 50;
}

static void damage(struct link *link, char *data, ssize_t n) {
    int64_t at = atomic_load(&link->damaged);
    char run[4];
    char *found;

    if (at < 0 || at > atomic_load(&link->came)) return;
    memset(run, atomic_load(&link->damaged_byte), sizeof(run));
    found = memmem(data, (size_t)n, run, sizeof(run));
    if (found != NULL && atomic_compare_exchange_strong(&link->damaged, &at, -1)) *found ^= 0x10;
}

/* False: there is nothing more to come. */
static bool take(struct link *link, struct way *way, size_t most) {
    struct piece *piece = malloc(sizeof(*piece) + most);
    ssize_t n;

    if (piece == NULL) abort();
    n = recv(way->from, piece->data, most, MSG_DONTWAIT);
    if (n <= 0) {
        free(piece);
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    if (way->down) damage(link, piece->data, n);
    atomic_fetch_add(way->down ? &link->came : &link->sent, n);
    *piece = (struct piece){.due = due_of(link, way, (size_t)n), .len = (size_t)n};
    *way->last = piece;
    way->last = &piece->next;
    way->bytes += piece->len;
    return true;
}

static bool send_all(int to, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = send(to, data, len, MSG_NOSIGNAL);

        if (n <= 0) return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* False: who was to get it has gone. */
static bool give_what_is_due(struct way *way) {
    bool ok = true;

    while (ok && way->first != NULL && way->first->due <= now_ns()) {
        struct piece *piece = way->first;

        ok = send_all(way->to, piece->data, piece->len);
        way->bytes -= piece->len;
        way->first = piece->next;
        if (way->first == NULL) way->last = &way->first;
        free(piece);
    }
    return ok;
}

static void drop(struct way *way) {
    for (struct piece *piece = way->first, *next; piece != NULL; piece = next) {
        next = piece->next;
        free(piece);
    }
}

static int patience(const struct way *way, int ms) {
    int64_t left;

    if (way->first == NULL) return ms;
    left = (way->first->due - now_ns()) / 1000000 + 1;
    return left < 0 ? 0 : left < ms ? (int)left : ms;
}

/* ---- A connection ---- */

static bool step(struct link *link, struct way *ways) {
    struct pollfd fds[2];
    int ms = LOOK_MS;

    for (int i = 0; i < 2; i++) {
        bool open = !ways[i].ended && room(link, &ways[i]) > 0;

        fds[i] = (struct pollfd){.fd = open ? ways[i].from : -1, .events = POLLIN};
        ms = patience(&ways[i], ms);
    }
    (void)poll(fds, 2, ms);
    for (int i = 0; i < 2; i++) {
        if (fds[i].fd >= 0 && fds[i].revents != 0)
            ways[i].ended = !take(link, &ways[i], room(link, &ways[i]));
        if (!give_what_is_due(&ways[i])) return false;
    }
    /* A client that ends its side is not there any more; what a server said before it ended, arrives. */
    return !ways[0].ended && !(ways[1].ended && ways[1].first == NULL);
}

static void relay(struct peer *peer, void *arg) {
    struct link *link = arg;
    int fd = atomic_load(&link->is_cut) ? -1 : connect_to(link->port);
    struct way ways[2] = {{.from = peer->fd, .to = fd}, {.from = fd, .to = peer->fd, .down = true}};

    ways[0].last = &ways[0].first;
    ways[1].last = &ways[1].first;
    while (fd >= 0 && !atomic_load(&link->is_cut) && step(link, ways)) continue;
    drop(&ways[0]);
    drop(&ways[1]);
    if (fd >= 0) close(fd);
}

/* ---- The link ---- */

struct link *link_start(int port, int delay_ms) {
    struct link *link = calloc(1, sizeof(*link));

    if (link == NULL) abort();
    link->port = port;
    link->delay_ms = delay_ms;
    atomic_init(&link->damaged, -1);
    pthread_mutex_init(&link->lock, NULL);
    link->server = server_start(relay, link);
    snprintf(link->url, sizeof(link->url), "http://127.0.0.1:%d", server_port(link->server));
    return link;
}

void link_stop(struct link *link) {
    if (link == NULL) return;
    server_stop(link->server);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

void link_set_rate(struct link *link, int rate) { atomic_store(&link->rate, rate); }
void link_cut(struct link *link) { atomic_store(&link->is_cut, true); }
void link_mend(struct link *link) { atomic_store(&link->is_cut, false); }

bool link_damage(struct link *link, int64_t n, char byte) {
    atomic_store(&link->damaged_byte, byte);
    return atomic_exchange(&link->damaged, n < 0 ? -1 : atomic_load(&link->came) + n) < 0;
}

const char *link_url(const struct link *link) { return link->url; }
int64_t link_sent(const struct link *link) { return atomic_load(&((struct link *)link)->sent); }
int64_t link_came(const struct link *link) { return atomic_load(&((struct link *)link)->came); }
