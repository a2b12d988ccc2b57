/* The server that the tests of remote databases stand on: that it is one, and ends when it should. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/db.h"
#include "../support/sqld.h"

static struct sqld server;

static int forget(void **state) {
    sqld_kill(&server);
    return db_forget(state);
}

/* One request; what it answers, in memory that the next call overwrites. "": nobody is there. */
static const char *post(int port, const char *path, const char *body) {
    static char answer[8192];
    char request[2048];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t len = 0;
    ssize_t n;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(request, sizeof(request),
             "POST %s HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n%s", path,
             strlen(body), body);
    if (connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0) {
        (void)send(fd, request, strlen(request), MSG_NOSIGNAL);
        while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0) len += (size_t)n;
    }
    close(fd);
    answer[len] = '\0';
    return answer;
}

static const char *execute(const char *sql) {
    char body[1024];

    snprintf(
        body, sizeof(body),
        "{\"requests\":[{\"type\":\"execute\",\"stmt\":{\"sql\":\"%s\"}},{\"type\":\"close\"}]}",
        sql);
    return post(server.port, "/v3/pipeline", body);
}

static void keeps_its_data_over_a_kill(void **state) {
    (void)state;
    sqld_start(&server, NULL);
    assert_non_null(strstr(execute("CREATE TABLE t (a)"), "\"type\":\"ok\""));
    assert_non_null(strstr(execute("INSERT INTO t VALUES (41)"), "\"affected_row_count\":1"));
    sqld_kill(&server);
    assert_string_equal(execute("SELECT 1"), "");
    sqld_restart(&server);
    assert_non_null(strstr(execute("SELECT a + 1 FROM t"), "\"42\""));
}

static void takes_more_of_a_command_line(void **state) {
    static const char *const args[] = {"--http-auth", "basic:dXNlcjpzZWNyZXQ=", NULL};

    (void)state;
    sqld_start(&server, args);
    assert_non_null(strstr(execute("SELECT 1"), " 401 "));
}

/* Starts one, says its process's id on a line, and waits for its own end. */
static int start_and_wait(const char *argument) {
    struct sqld mine;
    char line[32];
    int len;

    (void)argument;
    sqld_start(&mine, NULL);
    len = snprintf(line, sizeof(line), "%-15d", (int)mine.pid);
    if (write(1, line, (size_t)len) != len) return 1;
    pause();
    return 0;
}

static void does_not_outlive_its_program(void **state) {
    struct child child;
    char line[16] = "";
    int pid;

    (void)state;
    if (getenv("LSQ_SQLD") == NULL) skip();
    child = child_begin("start_and_wait", "");
    assert_int_equal(read(child.from, line, 15), 15);
    pid = atoi(line);
    assert_int_equal(kill(pid, 0), 0);
    kill(child.pid, SIGKILL);
    child_end(&child);
    for (int i = 0; kill(pid, 0) == 0 && i < 6000; i++) sleep_ms(10);
    assert_int_equal(kill(pid, 0), -1);
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"start_and_wait", start_and_wait}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(keeps_its_data_over_a_kill, forget),
        cmocka_unit_test_teardown(takes_more_of_a_command_line, forget),
        cmocka_unit_test_teardown(does_not_outlive_its_program, forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
