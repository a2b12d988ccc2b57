/* Requests and answers: what is sent, what is told, in which order. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/http_call.h"
#include "../support/server.h"
#include "net/loop.h"

static int shut_down(void **state) {
    (void)state;
    lsq_shutdown();
    return 0;
}

static void answer_comes_whole(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(call.heads, 1);
    assert_int_equal(call.status, 200);
    assert_int_equal(call.end.status, 200);
    assert_string_equal(call.content_type, "application/json");
    assert_string_equal(call.retry_after, "");
    assert_string_equal(call.data, "hello");
    assert_true(call.end.took_ns > 0);
    http_call_free(&call);
    server_stop(server);
}

static void keep_head(struct peer *peer, void *arg) {
    while (peer_read(peer)) {
        strcpy(arg, peer->head);
        if (!peer_answer(peer, "ok", 2)) return;
    }
}

static void request_is_what_was_asked(void **state) {
    static char head[8192];
    static const char *const headers[] = {"Authorization: Bearer secret",
                                          "Content-Type: application/json", NULL};
    struct server *server = server_start(keep_head, head);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/v3/pipeline?x=1"));
    call.request.headers = headers;
    call.request.body = "{}";
    call.request.body_len = 2;
    call.request.compressed = true;
    http_run(&call);
    server_stop(server);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(strncmp(head, "POST /v3/pipeline?x=1 HTTP/1.1\r\n", 32), 0);
    assert_non_null(strstr(head, "\r\nAuthorization: Bearer secret\r\n"));
    assert_non_null(strstr(head, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(head, "\r\nContent-Length: 2\r\n"));
    assert_non_null(strstr(head, "\r\nAccept-Encoding: gzip, deflate\r\n"));
    assert_null(strcasestr(head, "\r\nExpect:"));
    assert_null(strcasestr(head, "\r\nUpgrade:"));
    http_call_free(&call);
}

/* Requests to one peer share what libcurl needs for them, and nothing else. */
static void requests_have_nothing_of_those_before(void **state) {
    static char head[8192];
    static const char *const headers[] = {"Authorization: Bearer secret", NULL};
    struct server *server = server_start(keep_head, head);
    struct http_call first;

    (void)state;
    http_call_init(&first, server_url(server, "/first"));
    first.request.headers = headers;
    first.request.body = "first of all";
    first.request.body_len = 12;
    first.request.compressed = true;
    first.request.first_byte_ms = 5000;
    http_run(&first);
    expect_end(&first, LSQI_HTTP_DONE, true);
    for (int i = 0; i < 4; i++) {
        struct http_call call;

        http_call_prepare(&call, server_url(server, "/other"));
        call.request.peer = first.request.peer;
        if (i % 2 == 0) call.request.body = "";
        http_run(&call);
        expect_end(&call, LSQI_HTTP_DONE, true);
        assert_int_equal(strncmp(head, i % 2 == 0 ? "POST /other" : "GET /other ", 11), 0);
        assert_null(strstr(head, "secret"));
        assert_non_null(strstr(head, "\r\nAccept-Encoding: identity\r\n"));
        if (i % 2 == 0) assert_non_null(strstr(head, "\r\nContent-Length: 0\r\n"));
        if (i % 2 != 0) assert_null(strstr(head, "Content-Length"));
        call.request.peer = NULL;
        http_call_free(&call);
    }
    http_call_free(&first);
    server_stop(server);
}

static void empty_body_is_a_post(void **state) {
    static char head[8192];
    struct server *server = server_start(keep_head, head);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    call.request.body = "";
    http_run(&call);
    server_stop(server);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(strncmp(head, "POST ", 5), 0);
    assert_non_null(strstr(head, "\r\nContent-Length: 0\r\n"));
    http_call_free(&call);
}

static void large_bodies_go_both_ways(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    size_t len = 10 * 1024 * 1024 + 7;
    char *body = malloc(len);
    struct http_call call;

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < len; i++) body[i] = (char)(i * 2654435761U >> 13);
    http_call_init(&call, server_url(server, "/"));
    call.request.body = body;
    call.request.body_len = len;
    call.request.first_byte_ms = 30000;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(call.len, len);
    assert_memory_equal(call.data, body, len);
    http_call_free(&call);
    free(body);
    server_stop(server);
}

static void connection_is_kept(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    struct lsqi_http_figures figures;

    (void)state;
    lsq_shutdown(); /* the figures are the next loop's */
    for (int i = 0; i < 20; i++) http_expect(server_url(server, "/"), "hello");
    assert_int_equal(server_connections(server), 1);
    assert_int_equal(server_requests(server), 20);
    lsqi_http_figures(&figures);
    assert_int_equal(figures.connects, 1);
    assert_int_equal(figures.running, 0);
    server_stop(server);
}

/* Our end of the kept connection to that port. */
static int find_socket(int port) {
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in address;
        socklen_t len = sizeof(address);

        if (getpeername(fd, (struct sockaddr *)&address, &len) == 0 &&
            address.sin_family == AF_INET && ntohs(address.sin_port) == port)
            return fd;
    }
    return -1;
}

static int option(int fd, int level, int name) {
    int value = 0;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void socket_notices_a_dead_server_and_is_not_inherited(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    int fd;

    (void)state;
    http_expect(server_url(server, "/"), "hello");
    fd = find_socket(server_port(server));
    assert_true(fd >= 0);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 10);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 10000);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    server_stop(server);
}

static void serve_and_tell_end(struct peer *peer, void *arg) {
    serve_echo(peer, NULL);
    sem_post(arg);
}

static void idle_connections_are_closed(void **state) {
    int64_t usual = lsqi_loop.close_idle_ns;
    sem_t ended;
    struct server *server;

    (void)state;
    sem_init(&ended, 0, 0);
    server = server_start(serve_and_tell_end, &ended);
    lsqi_loop.close_idle_ns = 100000000; /* no thread is there yet */
    for (int i = 1; i < 4; i++) {
        http_expect(server_url(server, "/"), "hello");
        while (sem_wait(&ended) != 0) continue;
        assert_int_equal(server_connections(server), i);
    }
    lsq_shutdown();
    lsqi_loop.close_idle_ns = usual;
    server_stop(server);
}

static void serve_text(struct peer *peer, void *arg) {
    while (peer_read(peer))
        if (!peer_send_text(peer, arg)) return;
}

static void every_status_is_an_answer(void **state) {
    static char answer[] = "HTTP/1.1 503 No\r\nRetry-After:  17 \r\nContent-Length: 4\r\n\r\nbusy";
    struct server *server = server_start(serve_text, answer);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(call.status, 503);
    assert_string_equal(call.retry_after, "17");
    assert_string_equal(call.content_type, "");
    assert_string_equal(call.data, "busy");
    http_call_free(&call);
    server_stop(server);
}

static void redirect_is_not_followed(void **state) {
    static char answer[] = "HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\n"
                           "Content-Length: 0\r\n\r\n";
    struct server *server = server_start(serve_text, answer);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(call.end.status, 307);
    assert_int_equal(call.heads, 1);
    assert_int_equal(call.len, 0);
    http_call_free(&call);
    server_stop(server);
}

static void interim_answers_are_not_told(void **state) {
    static char answer[] = "HTTP/1.1 100 Continue\r\nContent-Type: no\r\n\r\n"
                           "HTTP/1.1 103 Hints\r\nRetry-After: 5\r\n\r\n"
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "3\r\nabc\r\n2\r\nde\r\n0\r\nRetry-After: 9\r\n\r\n";
    struct server *server = server_start(serve_text, answer);
    struct http_call call;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(call.heads, 1);
    assert_int_equal(call.status, 200);
    assert_string_equal(call.content_type, "");
    assert_string_equal(call.retry_after, "");
    assert_string_equal(call.data, "abcde");
    http_call_free(&call);
    server_stop(server);
}

static void expect_refused(const char *url, const char *header) {
    const char *headers[] = {header, NULL};
    struct http_call call;
    struct lsq_error err;

    http_call_init(&call, url);
    if (header != NULL) call.request.headers = headers;
    assert_int_equal(lsqi_http_start(&call.http, &call.request, &err), LSQ_BAD_ARGUMENT);
    assert_null(strstr(err.message, "secret"));
    http_call_free(&call);
}

static void other_urls_and_line_breaks_are_refused(void **state) {
    (void)state;
    expect_refused("file:///etc/passwd", NULL);
    expect_refused("ftp://127.0.0.1/", NULL);
    expect_refused("", NULL);
    expect_refused("http://127.0.0.1/\r\nX: secret", NULL);
    expect_refused("http://127.0.0.1:1/", "Authorization: Bearer secret\r\nX: y");
    expect_refused("http://127.0.0.1:1/", "Authorization: Bearer secret\n");
}

static void bad_url_fails_and_keeps_its_secret(void **state) {
    static const char *const urls[] = {"http://", "http://user:secret@/", "http://[::1/",
                                       "http://host:99999/?token=secret", "http://a b/secret"};
    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct http_call call;

        http_call_init(&call, urls[i]);
        http_run(&call);
        expect_end(&call, LSQI_HTTP_FAILED, false);
        assert_null(strstr(call.message, "secret"));
        http_call_free(&call);
    }
}

static void posted(void *arg) {
    struct http_call *call = arg;

    pthread_mutex_lock(&call->lock);
    call->dones = lsqi_http_on_thread() ? 1 : 2;
    pthread_cond_broadcast(&call->changed);
    pthread_mutex_unlock(&call->lock);
}

static void post_runs_on_the_thread(void **state) {
    struct http_call call;

    (void)state;
    http_call_init(&call, "");
    assert_false(lsqi_http_on_thread());
    assert_int_equal(lsqi_http_post(posted, &call, NULL), LSQ_OK);
    http_wait(&call);
    assert_int_equal(call.dones, 1);
    http_call_free(&call);
}

static void shutdown_without_a_thread_does_nothing(void **state) {
    (void)state;
    lsq_shutdown();
    assert_false(lsqi_http_shutdown());
    assert_false(lsqi_http_shutdown());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shutdown_without_a_thread_does_nothing),
        cmocka_unit_test_teardown(answer_comes_whole, shut_down),
        cmocka_unit_test_teardown(request_is_what_was_asked, shut_down),
        cmocka_unit_test_teardown(requests_have_nothing_of_those_before, shut_down),
        cmocka_unit_test_teardown(empty_body_is_a_post, shut_down),
        cmocka_unit_test_teardown(large_bodies_go_both_ways, shut_down),
        cmocka_unit_test_teardown(connection_is_kept, shut_down),
        cmocka_unit_test_teardown(socket_notices_a_dead_server_and_is_not_inherited, shut_down),
        cmocka_unit_test_teardown(idle_connections_are_closed, shut_down),
        cmocka_unit_test_teardown(every_status_is_an_answer, shut_down),
        cmocka_unit_test_teardown(redirect_is_not_followed, shut_down),
        cmocka_unit_test_teardown(interim_answers_are_not_told, shut_down),
        cmocka_unit_test_teardown(other_urls_and_line_breaks_are_refused, shut_down),
        cmocka_unit_test_teardown(bad_url_fails_and_keeps_its_secret, shut_down),
        cmocka_unit_test_teardown(post_runs_on_the_thread, shut_down),
        cmocka_unit_test_teardown(shutdown_without_a_thread_does_nothing, shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
