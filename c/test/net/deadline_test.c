/* Deadlines: each ends its exchange when it should, says what was not done by then, and nothing stalls the loop
 * meanwhile. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/http_call.h"
#include "../support/server.h"

/* On a loaded machine a thread may not run for long; the silent name server, for one, would take 20 s. */
enum { LATE_MS = 10000, STALL_MS = 5000 };

static int shut_down(void **state) {
    (void)state;
    lsq_shutdown();
    return 0;
}

/* A name server that does not answer, for names that end in ".silent": libcurl's look-up is in a thread of its
 * own, which nothing can end. */
__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **found) {
    size_t len = name != NULL ? strlen(name) : 0;
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *function;

    if (len > 7 && strcmp(name + len - 7, ".silent") == 0) {
        poll(NULL, 0, 20000);
        return EAI_AGAIN;
    }
    function = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &function, sizeof(real));
    return real(name, service, hints, found);
}

/* Ended by a deadline of due_ms, in that phase, and no earlier. */
static void expect_timeout(const struct http_call *call, const char *phase, bool sent, int due_ms) {
    expect_end(call, LSQI_HTTP_TIMEOUT, sent);
    assert_string_equal(call->end.phase, phase);
    assert_true(call->end.took_ns >= due_ms * INT64_C(1000000));
    assert_true(call->end.took_ns < (due_ms + LATE_MS) * INT64_C(1000000));
}

static void expect_no_stall(void) {
    struct lsqi_http_figures figures;

    lsqi_http_figures(&figures);
    print_message("the longest turn took %.1f ms\n", (double)figures.longest_turn_ns / 1e6);
    if (figures.longest_turn_ns > STALL_MS * INT64_C(1000000))
        fail_msg("a turn took %lld ms", (long long)(figures.longest_turn_ns / 1000000));
}

/* ---- No connection ---- */

/* A port on which nobody answers: the queue of those that nobody accepts is full. */
struct hole {
    int fd;
    int client[4];
    char url[64];
};

static void hole_open(struct hole *hole, const char *scheme) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    hole->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(hole->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(hole->fd, 0), 0);
    assert_int_equal(getsockname(hole->fd, (struct sockaddr *)&address, &len), 0);
    for (int i = 0; i < 4; i++) {
        hole->client[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(hole->client[i], (struct sockaddr *)&address, sizeof(address));
    }
    snprintf(hole->url, sizeof(hole->url), "%s://127.0.0.1:%d/", scheme, ntohs(address.sin_port));
}

static void hole_close(struct hole *hole) {
    for (int i = 0; i < 4; i++) close(hole->client[i]);
    close(hole->fd);
}

static void connecting_ends_at_its_deadline(void **state) {
    struct hole hole;
    struct http_call call;

    (void)state;
    hole_open(&hole, "http");
    http_call_init(&call, hole.url);
    call.request.connect_ms = 200;
    http_run(&call);
    expect_timeout(&call, "connect", false, 200);
    assert_true(strlen(call.message) > 10);
    expect_no_stall();
    http_call_free(&call);
    hole_close(&hole);
}

static void total_ends_connecting_too(void **state) {
    struct hole hole;
    struct http_call call;

    (void)state;
    hole_open(&hole, "http");
    http_call_init(&call, hole.url);
    call.request.total_ms = 150;
    http_run(&call);
    expect_timeout(&call, "connect", false, 150);
    http_call_free(&call);
    hole_close(&hole);
}

static void silent_name_server_stalls_nobody(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    struct http_call call[8];

    (void)state;
    for (int i = 0; i < 8; i++) {
        http_call_init(&call[i], "http://db.silent/");
        call[i].request.connect_ms = 100 + 40 * i;
        http_begin(&call[i]);
    }
    for (int i = 0; i < 8; i++) {
        http_expect(server_url(server, "/"), "hello");
        http_wait(&call[i]);
        expect_timeout(&call[i], "connect", false, 100 + 40 * i);
        http_call_free(&call[i]);
    }
    expect_no_stall();
    server_stop(server);
}

static void shutdown_does_not_wait_for_a_name_server(void **state) {
    struct http_call call;
    int64_t begin = now_ns();

    (void)state;
    http_call_init(&call, "http://db.silent/");
    http_begin(&call);
    sleep_ms(50);
    lsq_shutdown();
    expect_end(&call, LSQI_HTTP_CANCELLED, false);
    assert_true(now_ns() - begin < LATE_MS * INT64_C(1000000));
    http_call_free(&call);
}

static void serve_nothing(struct peer *peer, void *arg) {
    (void)arg;
    peer_wait_end(peer);
}

static void handshake_ends_at_the_connect_deadline(void **state) {
    struct server *server = server_start(serve_nothing, NULL);
    char url[64];
    struct http_call call;

    (void)state;
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server_port(server));
    http_call_init(&call, url);
    call.request.connect_ms = 200;
    http_run(&call);
    expect_timeout(&call, "tls", false, 200);
    http_call_free(&call);
    server_stop(server);
}

/* ---- The answer ---- */

static void first_byte_has_a_deadline(void **state) {
    struct server *server = server_start(serve_nothing, NULL);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    call.request.first_byte_ms = 150;
    http_run(&call);
    expect_timeout(&call, "first byte", true, 150);
    assert_int_equal(call.end.status, 0);
    http_call_free(&call);

    http_call_init(&call, server_url(server, "/"));
    call.request.first_byte_ms = 150;
    call.request.body = "{}";
    call.request.body_len = 2;
    http_run(&call);
    expect_timeout(&call, "first byte", true, 150);
    http_call_free(&call);
    server_stop(server);
}

/* Waits for the milliseconds at arg before it reads the body, and before it answers. */
static void serve_slow_reader(struct peer *peer, void *arg) {
    sleep_ms(*(int *)arg);
    while (peer_read(peer))
        if (!peer_answer(peer, "ok", 2)) return;
}

static void first_byte_counts_from_the_requests_last(void **state) {
    int slow_ms = 600;
    struct server *server = server_start(serve_slow_reader, &slow_ms);
    size_t len = 32 * 1024 * 1024; /* more than the sockets hold */
    char *body = calloc(1, len);
    struct http_call call;

    (void)state;
    assert_non_null(body);
    http_call_init(&call, server_url(server, "/"));
    call.request.body = body;
    call.request.body_len = len;
    call.request.first_byte_ms = 500;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    http_call_free(&call);
    free(body);
    server_stop(server);
}

/* Part of the status line, then nothing; then, where arg is set, the rest. */
static void serve_hesitant(struct peer *peer, void *arg) {
    if (!peer_read(peer) || !peer_send_text(peer, "HTTP/1")) return;
    if (arg == NULL) {
        peer_wait_end(peer);
        return;
    }
    sleep_ms(400);
    (void)peer_send_text(peer, ".1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    peer_wait_end(peer);
}

static void first_byte_is_a_byte_not_a_line(void **state) {
    struct server *server = server_start(serve_hesitant, "go on");
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    call.request.first_byte_ms = 200;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_string_equal(call.data, "ok");
    http_call_free(&call);
    server_stop(server);
}

static void total_ends_half_an_answer(void **state) {
    struct server *server = server_start(serve_hesitant, NULL);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    call.request.total_ms = 200;
    http_run(&call);
    expect_timeout(&call, "answer", true, 200);
    http_call_free(&call);
    server_stop(server);
}

/* A byte of the answer every few ms, for ever. */
static void serve_trickle(struct peer *peer, void *arg) {
    (void)arg;
    if (!peer_read(peer)) return;
    if (!peer_send_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")) return;
    while (peer_send_text(peer, "x")) sleep_ms(5);
}

static void total_ends_a_trickle(void **state) {
    struct server *server = server_start(serve_trickle, NULL);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    call.request.total_ms = 300;
    call.request.first_byte_ms = 250;
    http_run(&call);
    expect_timeout(&call, "answer", true, 300);
    assert_int_equal(call.end.status, 200);
    assert_true(call.len > 0);
    expect_no_stall();
    http_call_free(&call);
    server_stop(server);
}

static void answers_of_10_mb_do_not_stall(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    size_t len = 10 * 1024 * 1024;
    char *body = calloc(1, len);
    struct http_call call;

    (void)state;
    assert_non_null(body);
    http_call_init(&call, server_url(server, "/"));
    call.request.body = body;
    call.request.body_len = len;
    call.count_only = true;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(call.len, len);
    expect_no_stall();
    http_call_free(&call);
    free(body);
    server_stop(server);
}

/* ---- Beginning later, waiting for others ---- */

static void delay_begins_later(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    call.request.delay_ms = 200;
    http_begin(&call);
    sleep_ms(60);
    assert_int_equal(server_connections(server), 0);
    http_wait(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_true(call.end.took_ns >= 200000000);
    http_call_free(&call);
    server_stop(server);
}

static void total_counts_the_delay(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    call.request.delay_ms = 20000;
    call.request.total_ms = 100;
    http_run(&call);
    expect_timeout(&call, "connect", false, 100);
    assert_int_equal(server_connections(server), 0);
    http_call_free(&call);
    server_stop(server);
}

static void delayed_exchange_can_be_cancelled(void **state) {
    struct http_call call;

    (void)state;
    http_call_init(&call, "http://127.0.0.1:1/");
    call.request.delay_ms = 20000;
    http_begin(&call);
    http_cancel(&call);
    http_wait(&call);
    expect_end(&call, LSQI_HTTP_CANCELLED, false);
    http_call_free(&call);
}

static void serve_slow(struct peer *peer, void *arg) {
    while (peer_read(peer)) {
        sleep_ms(*(int *)arg);
        if (!peer_answer(peer, "ok", 2)) return;
    }
}

/* Three rounds of 32: the last ones wait longer for a connection than connecting may take. */
static void waiting_for_a_connection_is_no_connecting(void **state) {
    int slow_ms = 200;
    struct server *server = server_start(serve_slow, &slow_ms);
    static struct http_call call[96];
    struct lsqi_http_group group = {.running = 0};

    (void)state;
    for (int i = 0; i < 96; i++) {
        http_call_init(&call[i], server_url(server, "/"));
        call[i].request.group = &group;
        call[i].request.connect_ms = 300;
        call[i].request.first_byte_ms = 10000;
        http_begin(&call[i]);
    }
    for (int i = 0; i < 96; i++) {
        http_wait(&call[i]);
        expect_end(&call[i], LSQI_HTTP_DONE, true);
        http_call_free(&call[i]);
    }
    assert_true(server_most_connections(server) <= 32);
    server_stop(server);
}

static void waiting_for_a_connection_ends_at_the_total(void **state) {
    int slow_ms = 1500;
    struct server *server = server_start(serve_slow, &slow_ms);
    static struct http_call call[33];
    struct lsqi_http_group group = {.running = 0};

    (void)state;
    for (int i = 0; i < 33; i++) {
        http_call_init(&call[i], server_url(server, "/"));
        call[i].request.group = &group;
        if (i == 32) call[i].request.total_ms = 200;
        http_begin(&call[i]);
    }
    http_wait(&call[32]);
    expect_timeout(&call[32], "queue", false, 200);
    for (int i = 0; i < 33; i++) {
        http_wait(&call[i]);
        if (i < 32) expect_end(&call[i], LSQI_HTTP_DONE, true);
        http_call_free(&call[i]);
    }
    server_stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(connecting_ends_at_its_deadline, shut_down),
        cmocka_unit_test_teardown(total_ends_connecting_too, shut_down),
        cmocka_unit_test_teardown(silent_name_server_stalls_nobody, shut_down),
        cmocka_unit_test_teardown(shutdown_does_not_wait_for_a_name_server, shut_down),
        cmocka_unit_test_teardown(handshake_ends_at_the_connect_deadline, shut_down),
        cmocka_unit_test_teardown(first_byte_has_a_deadline, shut_down),
        cmocka_unit_test_teardown(first_byte_counts_from_the_requests_last, shut_down),
        cmocka_unit_test_teardown(first_byte_is_a_byte_not_a_line, shut_down),
        cmocka_unit_test_teardown(total_ends_half_an_answer, shut_down),
        cmocka_unit_test_teardown(total_ends_a_trickle, shut_down),
        cmocka_unit_test_teardown(answers_of_10_mb_do_not_stall, shut_down),
        cmocka_unit_test_teardown(delay_begins_later, shut_down),
        cmocka_unit_test_teardown(total_counts_the_delay, shut_down),
        cmocka_unit_test_teardown(delayed_exchange_can_be_cancelled, shut_down),
        cmocka_unit_test_teardown(waiting_for_a_connection_is_no_connecting, shut_down),
        cmocka_unit_test_teardown(waiting_for_a_connection_ends_at_the_total, shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
