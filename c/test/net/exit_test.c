/* A program that ends while requests are under way: at once, and well. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/http_call.h"
#include "../support/server.h"

enum { ROUNDS = 20, CALLS = 50, SLOW = 9 };

/* ---- exit() ---- */

/* Set right before exit(). Its handlers wait up to 2 s for a thread: that is not to be met. On a loaded machine one
 * or the other may be slow all the same, but not most of them. */
static int64_t end_began;

/* Registered before the library's, so it runs after them. */
static void check_time_of_end(void) {
    if (end_began != 0 && now_ns() - end_began > INT64_C(1500) * 1000000) _exit(SLOW);
}

static void end(int status) {
    end_began = now_ns();
    exit(status);
}

/* Half of the exchanges are answered again and again, half never; then the program ends without a word. */
static size_t take_all(void *arg, const char *data, size_t len) {
    (void)arg, (void)data;
    return len;
}

static void begin_again(void *arg, const struct lsqi_http_end *end) {
    const struct lsqi_http_request *request = arg;
    struct lsqi_http *http;

    (void)end;
    (void)lsqi_http_start(&http, request, NULL);
}

static void serve_some(struct peer *peer, void *arg) {
    (void)arg;
    while (peer_read(peer)) {
        if (peer->number % 2 == 0) peer_wait_end(peer);
        if (!peer_answer(peer, "hello", 5)) return;
    }
}

static int end_under_way(const char *argument) {
    static const struct lsqi_http_events events = {.body = take_all, .done = begin_again};
    static struct lsqi_http_request request = {.events = &events, .arg = &request};
    struct server *server = server_start(serve_some, NULL);
    struct lsqi_http_peer_config cfg = {.proxy = ""};
    struct lsqi_http *http;

    request.url = server_url(server, "/");
    if (lsqi_http_peer_new(&request.peer, &cfg, NULL) != LSQ_OK) return 1;
    for (int i = 0; i < CALLS; i++)
        if (lsqi_http_start(&http, &request, NULL) != LSQ_OK) return 2;
    sleep_ms(atoi(argument));
    end(0);
    return 0;
}

static void expect_few_slow(const int *statuses) {
    int slow = 0;

    for (int i = 0; i < ROUNDS; i++) {
        if (statuses[i] == SLOW)
            slow++;
        else
            assert_int_equal(statuses[i], 0);
    }
    assert_true(slow <= ROUNDS / 4);
}

static void program_ends_while_requests_are_under_way(void **state) {
    int statuses[ROUNDS];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        char ms[16];
        struct child child;

        snprintf(ms, sizeof(ms), "%d", i * 3);
        child = child_begin("end_under_way", ms);
        statuses[i] = child_end(&child);
    }
    expect_few_slow(statuses);
}

/* ---- fork() ---- */

static const char *url;

static int use_in_child(void) {
    struct lsqi_http_peer_config cfg = {.proxy = ""};
    struct lsqi_http_request request = {.url = url};
    struct lsqi_http *http;
    struct lsq_error err;

    if (lsqi_http_peer_new(&request.peer, &cfg, NULL) != LSQ_OK) return 1;
    if (lsqi_http_start(&http, &request, &err) != LSQ_ERROR) return 2;
    if (strstr(err.message, "fork") == NULL) return 3;
    if (lsqi_http_post(free, NULL, NULL) != LSQ_ERROR) return 4;
    if (lsqi_http_shutdown()) return 5;
    return 0;
}

static void forked_child_is_refused_and_ends(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    int statuses[ROUNDS];

    (void)state;
#ifdef __SANITIZE_ADDRESS__
    server_stop(server);
    skip(); /* what a thread had in hand when the process was copied would count as a leak of the copy */
#endif
    url = server_url(server, "/");
    http_expect(url, "hello");
    for (int i = 0; i < ROUNDS; i++) {
        int status;
        int pid = fork();

        if (pid == 0) end(use_in_child());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        statuses[i] = WEXITSTATUS(status);
    }
    expect_few_slow(statuses);
    http_expect(url, "hello");
    lsq_shutdown();
    server_stop(server);
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"end_under_way", end_under_way}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_ends_while_requests_are_under_way),
        cmocka_unit_test(forked_child_is_refused_and_ends),
    };

    atexit(check_time_of_end);
    child_main(argc, argv, roles, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
