/* Connections that break, and answers that are none: never a request sent twice, never half an answer told as a
 * whole one. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/http_call.h"
#include "../support/server.h"

static int shut_down(void **state) {
    (void)state;
    lsq_shutdown();
    return 0;
}

static void post(struct http_call *call, const char *url) {
    http_call_init(call, url);
    call->request.body = "{\"sql\":1}";
    call->request.body_len = 9;
    http_run(call);
}

/* ---- No connection ---- */

static void refused_port_is_unreachable(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    char url[64];
    struct http_call call;

    (void)state;
    snprintf(url, sizeof(url), "%s", server_url(server, "/?token=secret"));
    server_stop(server);
    post(&call, url);
    expect_end(&call, LSQI_HTTP_UNREACHABLE, false);
    assert_int_equal(call.end.status, 0);
    assert_int_equal(call.heads, 0);
    assert_null(strstr(call.message, "secret"));
    assert_non_null(strstr(call.message, "127.0.0.1"));
    http_call_free(&call);
}

static void unknown_name_is_unreachable(void **state) {
    struct http_call call;

    (void)state;
    post(&call, "http://user:secret@no-such-host.invalid/?token=secret");
    expect_end(&call, LSQI_HTTP_UNREACHABLE, false);
    assert_null(strstr(call.message, "secret"));
    assert_non_null(strstr(call.message, "no-such-host.invalid"));
    http_call_free(&call);
}

/* ---- Cut at every byte ---- */

struct cut {
    const char *answer;
    size_t len;
    atomic_size_t at;
    bool reset;
};

static void serve_cut(struct peer *peer, void *arg) {
    struct cut *cut = arg;
    bool reset = cut->reset;

    if (!peer_read(peer)) return;
    (void)peer_send(peer, cut->answer, cut->at);
    if (reset) peer_reset(peer);
}

/* `whole`: so many bytes are an answer, the rest does not matter. */
static void cut_everywhere(const char *answer, size_t whole, bool reset) {
    struct cut cut = {.answer = answer, .len = strlen(answer), .reset = reset};
    struct server *server = server_start(serve_cut, &cut);

    for (cut.at = 0; cut.at <= cut.len; cut.at++) {
        struct http_call call;

        post(&call, server_url(server, "/"));
        /* After a reset, what came before it may be lost. */
        if (!reset || call.end.kind != LSQI_HTTP_BROKEN || cut.at < whole)
            expect_end(&call, cut.at < whole ? LSQI_HTTP_BROKEN : LSQI_HTTP_DONE, true);
        if (call.end.kind == LSQI_HTTP_DONE) assert_string_equal(call.data, "hello, world");
        assert_int_equal(call.dones, 1);
        assert_true(call.heads <= 1);
        http_call_free(&call);
        /* Once for each: nothing was sent again. */
        assert_int_equal(server_requests(server), cut.at + 1);
    }
    server_stop(server);
}

static const char with_length[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                  "Content-Length: 12\r\n\r\nhello, world";
static const char in_chunks[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n";

static void answer_with_a_length_cut_at_every_byte(void **state) {
    (void)state;
    cut_everywhere(with_length, sizeof(with_length) - 1, false);
    cut_everywhere(with_length, sizeof(with_length) - 1, true);
}

static void answer_in_chunks_cut_at_every_byte(void **state) {
    (void)state;
    /* The last line feed is not waited for. */
    cut_everywhere(in_chunks, sizeof(in_chunks) - 2, false);
    cut_everywhere(in_chunks, sizeof(in_chunks) - 2, true);
}

/* Takes that many bytes of the request, and ends. */
struct gulp {
    atomic_size_t bytes;
    atomic_bool reset;
};

static void serve_gulp(struct peer *peer, void *arg) {
    struct gulp *gulp = arg;
    bool reset = gulp->reset;

    for (size_t n = atomic_load(&gulp->bytes); n > 0; n--) {
        char byte;

        if (recv(peer->fd, &byte, 1, 0) != 1) return;
    }
    if (reset) peer_reset(peer);
}

static void measure(struct peer *peer, void *arg) {
    if (peer_read(peer)) *(size_t *)arg = strlen(peer->head) + peer->body_len;
}

static void request_cut_at_every_byte(void **state) {
    struct gulp gulp = {.reset = false};
    size_t length = 0;
    struct server *server = server_start(measure, &length);
    int connections = 0;
    struct http_call first;

    (void)state;
    post(&first, server_url(server, "/"));
    http_call_free(&first);
    server_stop(server);
    assert_true(length > 50);
    server = server_start(serve_gulp, &gulp);
    for (size_t i = 0; i < 2 * length; i++) {
        struct http_call call;

        gulp.reset = i % 2 != 0;
        atomic_store(&gulp.bytes, i / 2);
        post(&call, server_url(server, "/"));
        /* Who resets without having read may do so before anything was sent, or the connection was seen. */
        if (i == 1 && !call.end.sent)
            assert_true(call.end.kind == LSQI_HTTP_BROKEN ||
                        call.end.kind == LSQI_HTTP_UNREACHABLE);
        else
            expect_end(&call, LSQI_HTTP_BROKEN, true);
        http_call_free(&call);
        assert_int_equal(server_connections(server), ++connections);
    }
    server_stop(server);
}

/* ---- Kept connections ---- */

/* Answers once, then ends the connection: without a word, so that the next request may meet its end. */
static void serve_once(struct peer *peer, void *arg) {
    (void)arg;
    if (peer_read(peer)) (void)peer_answer(peer, "hello", 5);
}

static void idle_connection_that_ended_is_not_used(void **state) {
    struct server *server = server_start(serve_once, NULL);

    (void)state;
    for (int i = 0; i < 10; i++) {
        struct http_call call;

        post(&call, server_url(server, "/"));
        expect_end(&call, LSQI_HTTP_DONE, true);
        http_call_free(&call);
        sleep_ms(20);
    }
    assert_int_equal(server_requests(server), 10);
    assert_int_equal(server_connections(server), 10);
    server_stop(server);
}

/* Takes the second request of a connection, and ends it instead of an answer: it may have acted on it. */
static void serve_take_second(struct peer *peer, void *arg) {
    if (!peer_read(peer) || !peer_answer(peer, "hello", 5)) return;
    (void)peer_read(peer);
    if (arg != NULL) peer_reset(peer);
}

static void request_is_not_sent_twice(void *reset) {
    struct server *server = server_start(serve_take_second, reset);
    struct http_call call;

    post(&call, server_url(server, "/"));
    expect_end(&call, LSQI_HTTP_DONE, true);
    http_call_free(&call);
    post(&call, server_url(server, "/"));
    expect_end(&call, LSQI_HTTP_BROKEN, true);
    assert_int_equal(call.heads, 0);
    http_call_free(&call);
    assert_int_equal(server_requests(server), 2);
    /* And the next one works. */
    post(&call, server_url(server, "/"));
    expect_end(&call, LSQI_HTTP_DONE, true);
    http_call_free(&call);
    server_stop(server);
}

static void request_on_a_kept_connection_is_not_sent_twice(void **state) {
    (void)state;
    request_is_not_sent_twice(NULL);
    request_is_not_sent_twice("reset");
}

/* As above, but nobody listens then: that does not mean that nobody got the request. */
static void serve_and_vanish(struct peer *peer, void *arg) {
    (void)arg;
    if (!peer_read(peer) || !peer_answer(peer, "hello", 5) || !peer_read(peer)) return;
    server_stop_listening(peer->server);
}

static void request_to_a_server_that_vanished_was_sent(void **state) {
    struct server *server = server_start(serve_and_vanish, NULL);
    struct http_call call;

    (void)state;
    post(&call, server_url(server, "/"));
    expect_end(&call, LSQI_HTTP_DONE, true);
    http_call_free(&call);
    post(&call, server_url(server, "/"));
    expect_end(&call, LSQI_HTTP_BROKEN, true);
    http_call_free(&call);
    post(&call, server_url(server, "/"));
    expect_end(&call, LSQI_HTTP_UNREACHABLE, false);
    http_call_free(&call);
    server_stop(server);
}

/* The server ends idle connections at random moments while requests come: each is answered, or told as sent; and
 * none arrives twice. */
struct roulette {
    pthread_mutex_t lock;
    unsigned seed;
    int seen[2000];
};

static void serve_roulette(struct peer *peer, void *arg) {
    struct roulette *roulette = arg;
    unsigned roll;

    do {
        if (!peer_read(peer)) return;
        pthread_mutex_lock(&roulette->lock);
        roulette->seen[atoi(peer->body)]++;
        roll = (unsigned)rand_r(&roulette->seed);
        pthread_mutex_unlock(&roulette->lock);
        if (!peer_answer(peer, "hello", 5)) return;
        if (roll % 3 == 0) poll(NULL, 0, 1);
    } while (roll % 2 != 0);
}

static void nothing_arrives_twice_while_connections_end(void **state) {
    static struct roulette roulette = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct server *server;
    int broken = 0;

    (void)state;
    roulette.seed = (unsigned)test_seed();
    server = server_start(serve_roulette, &roulette);
    for (int i = 0; i < 2000; i++) {
        struct http_call call;
        char body[16];

        snprintf(body, sizeof(body), "%d", i);
        http_call_init(&call, server_url(server, "/"));
        call.request.body = body;
        call.request.body_len = strlen(body);
        http_run(&call);
        if (call.end.kind != LSQI_HTTP_BROKEN) expect_end(&call, LSQI_HTTP_DONE, true);
        broken += call.end.kind == LSQI_HTTP_BROKEN;
        http_call_free(&call);
    }
    server_stop(server);
    for (int i = 0; i < 2000; i++)
        if (roulette.seen[i] > 1) fail_msg("request %d arrived %d times", i, roulette.seen[i]);
    print_message("%d of 2000 met the end of their connection\n", broken);
}

/* ---- Answers that are none ---- */

static void serve_text_and_end(struct peer *peer, void *arg) {
    if (peer_read(peer)) (void)peer_send_text(peer, arg);
}

static void garbage_is_no_answer(void **state) {
    static char *const answers[] = {
        "",
        "\r\n\r\n",
        "hello, world\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\x15\x03\x01\x00\x02\x02\x46",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Encoding: unheard-of\r\nContent-Length: 5\r\n\r\nhello",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct server *server = server_start(serve_text_and_end, answers[i]);
        struct http_call call;

        post(&call, server_url(server, "/"));
        if (call.end.kind != LSQI_HTTP_BROKEN)
            fail_msg("answer %zu: %s %s", i, http_kind(call.end.kind), call.message);
        expect_end(&call, LSQI_HTTP_BROKEN, true);
        assert_true(strlen(call.message) > 0);
        http_call_free(&call);
        server_stop(server);
    }
}

static void endless_head_is_no_answer(void **state) {
    size_t len = 2 * 1024 * 1024;
    char *answer = malloc(len + 1);
    struct server *server;
    struct http_call call;

    (void)state;
    assert_non_null(answer);
    memset(answer, 'a', len);
    memcpy(answer, "HTTP/1.1 200 OK\r\nX: ", 20);
    answer[len] = '\0';
    server = server_start(serve_text_and_end, answer);
    post(&call, server_url(server, "/"));
    assert_int_not_equal(call.end.kind, LSQI_HTTP_DONE);
    assert_true(call.end.sent);
    http_call_free(&call);
    server_stop(server);
    free(answer);
}

/* ---- Too large ---- */

static void expect_size(const char *answer, size_t max, enum lsqi_http_end_kind kind) {
    struct server *server = server_start(serve_text_and_end, (void *)answer);
    struct http_call call;

    http_call_init(&call, server_url(server, "/"));
    call.request.max_response = max;
    http_run(&call);
    expect_end(&call, kind, true);
    assert_true(call.len <= max);
    http_call_free(&call);
    server_stop(server);
}

static void answer_longer_than_allowed_is_ended(void **state) {
    (void)state;
    expect_size(with_length, 12, LSQI_HTTP_DONE);
    expect_size(with_length, 11, LSQI_HTTP_TOO_BIG);
    expect_size(in_chunks, 12, LSQI_HTTP_DONE);
    expect_size(in_chunks, 11, LSQI_HTTP_TOO_BIG);
    expect_size(in_chunks, 1, LSQI_HTTP_TOO_BIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(refused_port_is_unreachable, shut_down),
        cmocka_unit_test_teardown(unknown_name_is_unreachable, shut_down),
        cmocka_unit_test_teardown(answer_with_a_length_cut_at_every_byte, shut_down),
        cmocka_unit_test_teardown(answer_in_chunks_cut_at_every_byte, shut_down),
        cmocka_unit_test_teardown(request_cut_at_every_byte, shut_down),
        cmocka_unit_test_teardown(idle_connection_that_ended_is_not_used, shut_down),
        cmocka_unit_test_teardown(request_on_a_kept_connection_is_not_sent_twice, shut_down),
        cmocka_unit_test_teardown(request_to_a_server_that_vanished_was_sent, shut_down),
        cmocka_unit_test_teardown(nothing_arrives_twice_while_connections_end, shut_down),
        cmocka_unit_test_teardown(garbage_is_no_answer, shut_down),
        cmocka_unit_test_teardown(endless_head_is_no_answer, shut_down),
        cmocka_unit_test_teardown(answer_longer_than_allowed_is_ended, shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
