/* server.h - a small HTTP server for tests: loopback, a thread for each connection, and what it answers is
 * the test's own code, byte by byte. A failing call ends the program. */
#ifndef LSQ_TEST_SUPPORT_SERVER_H
#define LSQ_TEST_SUPPORT_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct server;

/* One connection, in its own thread. */
struct peer {
    struct server *server;
    int fd;
    int number; /* from 1, in the order of accepting */
    char head[8192];
    char *body; /* of the last request */
    size_t body_len;
};

/* Serves one connection; it is closed when this returns. */
typedef void (*serve_fn)(struct peer *peer, void *arg);

struct server *server_start(serve_fn serve, void *arg);
/* Ends all connections, and waits for their threads. */
void server_stop(struct server *server);
/* Nobody can connect any more; the connections go on. */
void server_stop_listening(struct server *server);
int server_port(const struct server *server);
/* "http://127.0.0.1:port" and path, in memory of the support code that the eighth next call overwrites. */
const char *server_url(const struct server *server, const char *path);
int server_connections(const struct server *server);
/* The most that were open at once. */
int server_most_connections(struct server *server);
int server_requests(const struct server *server);

/* Reads a request with its body. False: the connection ended, or the server stops. */
bool peer_read(struct peer *peer);
/* False: the client has gone. */
bool peer_send(struct peer *peer, const void *bytes, size_t len);
bool peer_send_text(struct peer *peer, const char *text);
/* Status 200 with a length. */
bool peer_answer(struct peer *peer, const void *body, size_t len);
/* So that the client sees a reset instead of an end. */
void peer_reset(struct peer *peer);
/* Waits until the client ends the connection or the server stops. */
void peer_wait_end(struct peer *peer);

/* Answers every request with the request's own body, or "hello" where it has none. */
void serve_echo(struct peer *peer, void *arg);

#endif
