#include "generations.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db.h"

enum { START_MS = 30000, NO_PYTHON = 127 };

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0) return fd;
    close(fd);
    return -1;
}

static void become(const struct sqld *server, pid_t parent) {
    char port[16];
    const char *const argv[] = {
        "python3", "test/support/generations.py", "--dir", server->dir, "--port", port, NULL};
    int nothing = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    snprintf(port, sizeof(port), "%d", server->port);
    dup2(nothing, 0);
    dup2(nothing, 1);
    unsetenv("LD_PRELOAD");
    execvp(argv[0], (char *const *)(void *)argv);
    _exit(NO_PYTHON);
}

/* False: it ended by itself; its exit status. */
static bool begin(struct sqld *server, int *status) {
    int64_t until = now_ns() + (int64_t)START_MS * 1000000;
    pid_t parent = getpid();
    int fd = -1;

    server->pid = fork();
    if (server->pid == 0) become(server, parent);
    assert_true(server->pid > 0);
    while ((fd = connect_to(server->port)) < 0 && now_ns() < until) {
        if (waitpid(server->pid, status, WNOHANG) == server->pid) {
            server->pid = 0;
            *status = WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
            return false;
        }
        sleep_ms(20);
    }
    if (fd < 0) fail_msg("the server of generations does not start");
    close(fd);
    return true;
}

void generations_start(struct sqld *server) {
    int status = 0;

    *server = (struct sqld){.pid = 0};
    snprintf(server->dir, sizeof(server->dir), "%s", db_path());
    for (int tries = 0; tries < 5; tries++) {
        server->port = free_port();
        snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d", server->port);
        if (begin(server, &status)) return;
        if (status == NO_PYTHON) skip();
    }
    fail_msg("the server of generations ended with %d", status);
}

void generations_restart(struct sqld *server) {
    int status = 0;

    sqld_kill(server);
    if (!begin(server, &status)) fail_msg("the server of generations ended with %d", status);
}

/* ---- Asking it ---- */

const char *generations_do(const struct sqld *server, const char *json) {
    static char answer[8192];
    int fd = connect_to(server->port);
    size_t len = 0;
    char head[200];
    ssize_t n;

    assert_true(fd >= 0);
    snprintf(
        head, sizeof(head),
        "POST /control HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
        strlen(json));
    assert_true(send(fd, head, strlen(head), MSG_NOSIGNAL) == (ssize_t)strlen(head));
    assert_true(send(fd, json, strlen(json), MSG_NOSIGNAL) == (ssize_t)strlen(json));
    while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0) len += (size_t)n;
    close(fd);
    answer[len] = '\0';
    if (strstr(answer, " 200 ") == NULL) fail_msg("%s: %s", json, answer);
    return strstr(answer, "\r\n\r\n") + 4;
}

void generations_fail(const struct sqld *server, const char *faults) {
    char json[400];

    snprintf(json, sizeof(json), "{\"do\": \"faults\", \"faults\": %s}", faults);
    (void)generations_do(server, json);
}

/* sql without a quote of JSON's. */
void generations_run(const struct sqld *server, const char *sql) {
    char json[2000];

    snprintf(json, sizeof(json), "{\"do\": \"sql\", \"sql\": \"%s\"}", sql);
    (void)generations_do(server, json);
}

void generations_checkpoint(const struct sqld *server) {
    (void)generations_do(server, "{\"do\": \"checkpoint\"}");
}

int64_t generations_number(const char *answer, const char *name) {
    char quoted[64];
    const char *at;

    snprintf(quoted, sizeof(quoted), "\"%s\": ", name);
    at = strstr(answer, quoted);
    return at == NULL ? 0 : strtoll(at + strlen(quoted), NULL, 10);
}
