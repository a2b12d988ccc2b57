#include "sqld.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db.h"

enum { START_MS = 60000, MAX_ARGS = 32, FIRST_PORT = 12000, LAST_PORT = 32000 };

static struct sockaddr_in address_of(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static bool is_free(int port) {
    struct sockaddr_in address = address_of(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = bind(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0;

    close(fd);
    return ok;
}

int free_port(void) {
    uint64_t seed = (uint64_t)now_ns() ^ ((uint64_t)getpid() << 40);
    int port;

    do {
        port = FIRST_PORT + (int)(random_next(&seed) % (LAST_PORT - FIRST_PORT));
    } while (!is_free(port));
    return port;
}

/* ---- Whether it answers ---- */

static bool healthy(int port) {
    static const char ask[] = "GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
    struct sockaddr_in address = address_of(port);
    struct timeval patience = {.tv_sec = 2};
    char answer[32] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ok = connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0 &&
         send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(ask) - 1 &&
         recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 12 &&
         memcmp(answer + 8, " 200", 4) == 0;
    close(fd);
    return ok;
}

static const char *log_name(const struct sqld *server) {
    static char name[160];

    snprintf(name, sizeof(name), "%s.log", server->dir);
    return name;
}

/* Its log says that it listens: what answers on the port may be another's server. */
static bool listens(const struct sqld *server) {
    static char log[1 << 20];
    FILE *file = fopen(log_name(server), "r");
    size_t len;

    if (file == NULL) return false;
    len = fread(log, 1, sizeof(log) - 1, file);
    fclose(file);
    log[len] = '\0';
    return strstr(log, "listening for incoming") != NULL;
}

static bool has_ended(struct sqld *server) {
    int status;

    if (waitpid(server->pid, &status, WNOHANG) != server->pid) return false;
    server->pid = 0;
    return true;
}

/* False: it ended by itself, which it does where its port is taken. */
static bool wait_until_ready(struct sqld *server) {
    int64_t until = now_ns() + (int64_t)START_MS * 1000000;

    while (now_ns() < until) {
        if (has_ended(server)) return false;
        if (listens(server) && healthy(server->port)) return true;
        sleep_ms(10);
    }
    sqld_kill(server);
    return false;
}

/* ---- Its process ---- */

static void become(const struct sqld *server, const char *program, pid_t parent) {
    char listen[64];
    const char *argv[MAX_ARGS] = {program, "-d", server->dir, "--no-welcome", "--http-listen-addr",
                                  listen};
    size_t n = 6;
    int log = open(log_name(server), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int nothing = open("/dev/null", O_RDONLY);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    snprintf(listen, sizeof(listen), "127.0.0.1:%d", server->port);
    for (size_t i = 0; server->args != NULL && server->args[i] != NULL && n + 1 < MAX_ARGS; i++)
        argv[n++] = server->args[i];
    dup2(nothing, 0);
    dup2(log, 1);
    dup2(log, 2);
    /* What the test's own process has preloaded is not meant for it. */
    unsetenv("LD_PRELOAD");
    execv(program, (char *const *)(void *)argv);
    _exit(127);
}

static bool begin(struct sqld *server) {
    pid_t parent = getpid();

    unlink(log_name(server));
    server->pid = fork();
    if (server->pid == 0) become(server, getenv("LSQ_SQLD"), parent);
    assert_true(server->pid > 0);
    return wait_until_ready(server);
}

void sqld_start(struct sqld *server, const char *const *args) {
    if (getenv("LSQ_SQLD") == NULL) skip();
    *server = (struct sqld){.args = args};
    snprintf(server->dir, sizeof(server->dir), "%s", db_path());
    for (int tries = 0; tries < 5; tries++) {
        server->port = free_port();
        snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d", server->port);
        if (begin(server)) return;
    }
    fail_msg("sqld does not start: see %s", log_name(server));
}

void sqld_kill(struct sqld *server) {
    if (server->pid == 0) return;
    kill(server->pid, SIGKILL);
    while (waitpid(server->pid, NULL, 0) != server->pid) continue;
    server->pid = 0;
}

void sqld_pause(struct sqld *server) {
    int status;

    /* Sending the signal is not enough: its threads go on until each of them has met it. */
    assert_int_equal(kill(server->pid, SIGSTOP), 0);
    while (waitpid(server->pid, &status, WUNTRACED) != server->pid) continue;
    assert_true(WIFSTOPPED(status));
}

void sqld_resume(struct sqld *server) { assert_int_equal(kill(server->pid, SIGCONT), 0); }

void sqld_restart(struct sqld *server) {
    sqld_kill(server);
    if (!begin(server)) fail_msg("sqld does not start again: see %s", log_name(server));
}
