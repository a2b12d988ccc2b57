#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct thread {
    struct thread *next;
    pthread_t thread;
    struct peer peer;
    bool open; /* guarded by the server's lock: peer.fd may be shut down */
};

struct server {
    serve_fn serve;
    void *arg;
    int fd;
    int port;
    pthread_t thread;
    pthread_mutex_t lock;
    struct thread *threads; /* guarded by lock */
    bool stopping;
    int open;
    int most;
    atomic_int connections;
    atomic_int requests;
};

static void check(bool ok, const char *what) {
    if (ok) return;
    perror(what);
    abort();
}

static void *serve_main(void *arg) {
    struct thread *thread = arg;
    struct server *server = thread->peer.server;

    server->serve(&thread->peer, server->arg);
    pthread_mutex_lock(&server->lock);
    thread->open = false;
    server->open--;
    close(thread->peer.fd);
    pthread_mutex_unlock(&server->lock);
    free(thread->peer.body);
    return NULL;
}

static void accept_one(struct server *server, int fd) {
    struct thread *thread = calloc(1, sizeof(*thread));
    int on = 1;

    check(thread != NULL, "memory");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    pthread_mutex_lock(&server->lock);
    if (server->stopping) {
        close(fd);
        free(thread);
    } else {
        thread->peer.server = server;
        thread->peer.fd = fd;
        thread->peer.number = atomic_fetch_add(&server->connections, 1) + 1;
        thread->open = true;
        thread->next = server->threads;
        server->threads = thread;
        server->open++;
        if (server->open > server->most) server->most = server->open;
        check(pthread_create(&thread->thread, NULL, serve_main, thread) == 0, "thread");
    }
    pthread_mutex_unlock(&server->lock);
}

static void *accept_main(void *arg) {
    struct server *server = arg;

    for (;;) {
        /* What another program has, too (a server that a test starts meanwhile), would not end with us. */
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            accept_one(server, fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            return NULL;
    }
}

struct server *server_start(serve_fn serve, void *arg) {
    struct server *server = calloc(1, sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    check(server != NULL, "memory");
    server->serve = serve;
    server->arg = arg;
    pthread_mutex_init(&server->lock, NULL);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(server->fd >= 0, "socket");
    check(bind(server->fd, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
    check(listen(server->fd, 1024) == 0, "listen");
    check(getsockname(server->fd, (struct sockaddr *)&address, &len) == 0, "getsockname");
    server->port = ntohs(address.sin_port);
    check(pthread_create(&server->thread, NULL, accept_main, server) == 0, "thread");
    return server;
}

/* A shut-down listener refuses. */
void server_stop_listening(struct server *server) { shutdown(server->fd, SHUT_RDWR); }

void server_stop(struct server *server) {
    struct thread *thread;

    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (thread = server->threads; thread != NULL; thread = thread->next)
        if (thread->open) shutdown(thread->peer.fd, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    server_stop_listening(server);
    pthread_join(server->thread, NULL);
    close(server->fd);
    while ((thread = server->threads) != NULL) {
        pthread_join(thread->thread, NULL);
        server->threads = thread->next;
        free(thread);
    }
    pthread_mutex_destroy(&server->lock);
    free(server);
}

int server_port(const struct server *server) { return server->port; }

const char *server_url(const struct server *server, const char *path) {
    static _Thread_local char urls[8][256];
    static _Thread_local int next;
    char *url = urls[next++ % 8];

    snprintf(url, sizeof(urls[0]), "http://127.0.0.1:%d%s", server->port, path);
    return url;
}

int server_connections(const struct server *server) { return atomic_load(&server->connections); }

int server_most_connections(struct server *server) {
    int most;

    pthread_mutex_lock(&server->lock);
    most = server->most;
    pthread_mutex_unlock(&server->lock);
    return most;
}

int server_requests(const struct server *server) { return atomic_load(&server->requests); }

static size_t body_length(const char *head) {
    const char *line = strcasestr(head, "\ncontent-length:");

    return line == NULL ? 0 : strtoul(line + 16, NULL, 10);
}

bool peer_read(struct peer *peer) {
    size_t len = 0;
    size_t got = 0;

    /* Byte by byte: what follows the head is the body, and there is no buffer to keep it in. */
    while (len < 4 || memcmp(peer->head + len - 4, "\r\n\r\n", 4) != 0) {
        check(len + 1 < sizeof(peer->head), "a head that long");
        if (recv(peer->fd, peer->head + len, 1, 0) != 1) return false;
        len++;
    }
    peer->head[len] = '\0';
    peer->body_len = body_length(peer->head);
    free(peer->body);
    peer->body = malloc(peer->body_len + 1);
    check(peer->body != NULL, "memory");
    while (got < peer->body_len) {
        ssize_t n = recv(peer->fd, peer->body + got, peer->body_len - got, 0);

        if (n <= 0) return false;
        got += (size_t)n;
    }
    peer->body[got] = '\0';
    atomic_fetch_add(&peer->server->requests, 1);
    return true;
}

bool peer_send(struct peer *peer, const void *bytes, size_t len) {
    const char *from = bytes;

    while (len > 0) {
        ssize_t n = send(peer->fd, from, len, MSG_NOSIGNAL);

        if (n <= 0) return false;
        from += n;
        len -= (size_t)n;
    }
    return true;
}

bool peer_send_text(struct peer *peer, const char *text) {
    return peer_send(peer, text, strlen(text));
}

bool peer_answer(struct peer *peer, const void *body, size_t len) {
    char head[128];

    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             len);
    return peer_send_text(peer, head) && peer_send(peer, body, len);
}

void peer_reset(struct peer *peer) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void peer_wait_end(struct peer *peer) {
    char byte;

    while (recv(peer->fd, &byte, 1, 0) > 0) continue;
}

void serve_echo(struct peer *peer, void *arg) {
    (void)arg;
    while (peer_read(peer)) {
        bool empty = peer->body_len == 0;

        if (!peer_answer(peer, empty ? "hello" : peer->body, empty ? 5 : peer->body_len)) return;
    }
}
