/* Proxies: which one is used, what it is told, and what it is not. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/http_call.h"
#include "../support/server.h"

static int shut_down(void **state) {
    (void)state;
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    lsq_shutdown();
    return 0;
}

struct proxy {
    char head[8192];
    const char *answer;
};

static void serve_proxy(struct peer *peer, void *arg) {
    struct proxy *proxy = arg;

    while (peer_read(peer)) {
        strcpy(proxy->head, peer->head);
        if (!peer_send_text(peer, proxy->answer)) return;
        if (strncmp(peer->head, "CONNECT", 7) == 0) return;
    }
}

static void run_through(struct http_call *call, const char *proxy, const char *url) {
    static const char *const headers[] = {"Authorization: Bearer secret", NULL};
    struct lsqi_http_peer_config cfg = {.proxy = proxy};

    http_call_prepare(call, url);
    assert_int_equal(lsqi_http_peer_new(&call->request.peer, &cfg, NULL), LSQ_OK);
    call->request.headers = headers;
    http_run(call);
    assert_null(strstr(call->message, "secret"));
}

static const char through[] = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nthrough";

static void proxy_gets_the_whole_url(void **state) {
    static struct proxy proxy = {.answer = through};
    struct server *server = server_start(serve_proxy, &proxy);
    struct http_call call;

    (void)state;
    run_through(&call, server_url(server, ""), "http://db.invalid:8080/v3/pipeline");
    server_stop(server);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_string_equal(call.data, "through");
    assert_int_equal(strncmp(proxy.head, "GET http://db.invalid:8080/v3/pipeline HTTP/1.1\r\n", 49),
                     0);
    http_call_free(&call);
}

static void environment_names_the_proxy_where_nothing_is_said(void **state) {
    static struct proxy proxy = {.answer = through};
    struct server *server = server_start(serve_proxy, &proxy);
    struct server *direct = server_start(serve_echo, NULL);
    struct http_call call;

    (void)state;
    setenv("http_proxy", server_url(server, ""), 1);
    run_through(&call, NULL, server_url(direct, "/"));
    assert_string_equal(call.data, "through");
    http_call_free(&call);
    run_through(&call, "", server_url(direct, "/"));
    assert_string_equal(call.data, "hello");
    http_call_free(&call);
    setenv("no_proxy", "127.0.0.1", 1);
    run_through(&call, NULL, server_url(direct, "/"));
    assert_string_equal(call.data, "hello");
    http_call_free(&call);
    server_stop(direct);
    server_stop(server);
}

/* To a tunnel it gets neither our token nor our request; so nothing of that was sent. */
static void tunnel_that_is_refused_sent_nothing(void **state) {
    static const char *const answers[] = {
        "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 502 Bad\r\n\r\n",
        "",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n", /* and then an end within the handshake */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        static struct proxy proxy;
        struct server *server;
        struct http_call call;

        proxy.answer = answers[i];
        server = server_start(serve_proxy, &proxy);
        run_through(&call, server_url(server, ""), "https://db.invalid/v3/pipeline");
        server_stop(server);
        if (call.end.kind != LSQI_HTTP_UNREACHABLE)
            fail_msg("answer %zu: %s", i, http_kind(call.end.kind));
        expect_end(&call, LSQI_HTTP_UNREACHABLE, false);
        assert_int_equal(call.heads, 0);
        assert_int_equal(call.end.status, 0);
        assert_int_equal(strncmp(proxy.head, "CONNECT db.invalid:443 HTTP/1.1\r\n", 33), 0);
        assert_null(strstr(proxy.head, "secret"));
        http_call_free(&call);
    }
}

static void proxy_that_is_none_is_unreachable(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    char url[64];
    struct http_call call;

    (void)state;
    snprintf(url, sizeof(url), "http://user:secret@127.0.0.1:%d", server_port(server));
    server_stop(server);
    run_through(&call, url, "http://db.invalid/");
    expect_end(&call, LSQI_HTTP_UNREACHABLE, false);
    http_call_free(&call);
    run_through(&call, "http://user:secret@no-such-host.invalid:1", "http://db.invalid/");
    expect_end(&call, LSQI_HTTP_UNREACHABLE, false);
    http_call_free(&call);
    run_through(&call, "nonsense://user:secret@127.0.0.1:1", "http://db.invalid/");
    assert_false(call.end.sent);
    assert_int_not_equal(call.end.kind, LSQI_HTTP_DONE);
    http_call_free(&call);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(proxy_gets_the_whole_url, shut_down),
        cmocka_unit_test_teardown(environment_names_the_proxy_where_nothing_is_said, shut_down),
        cmocka_unit_test_teardown(tunnel_that_is_refused_sent_nothing, shut_down),
        cmocka_unit_test_teardown(proxy_that_is_none_is_unreachable, shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
