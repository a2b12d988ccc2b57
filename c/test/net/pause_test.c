/* Pauses: body() takes what it likes, and no byte is lost or told twice. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/http_call.h"
#include "../support/server.h"

static int shut_down(void **state) {
    (void)state;
    lsq_shutdown();
    return 0;
}

struct text {
    char *data;
    size_t len;
    const char *head; /* with one %zu */
};

/* No byte is like that 2, 3, ... places off: what is lost or doubled shows. */
static void text_make(struct text *text, size_t len) {
    text->data = malloc(len);
    text->len = len;
    text->head = "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n";
    assert_non_null(text->data);
    for (size_t i = 0; i < len; i++) text->data[i] = (char)((i * i + 7 * i + (i >> 8)) * 31 >> 3);
}

static void serve_text(struct peer *peer, void *arg) {
    const struct text *text = arg;
    char head[256];

    while (peer_read(peer)) {
        snprintf(head, sizeof(head), text->head, text->len);
        if (!peer_send_text(peer, head) || !peer_send(peer, text->data, text->len)) return;
    }
}

/* Every byte, in pieces of `take`. */
static void expect_text_in_pieces(struct server *server, const char *data, size_t len,
                                  size_t take) {
    struct http_call call;

    http_call_init(&call, server_url(server, "/"));
    call.take = take;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(call.len, len);
    assert_memory_equal(call.data, data, len);
    assert_int_equal(call.dones, 1);
    http_call_free(&call);
}

static void pieces_of_every_size_make_the_whole(void **state) {
    struct text text;
    struct server *server;

    (void)state;
    text_make(&text, 3000);
    server = server_start(serve_text, &text);
    for (size_t take = 1; take < 260; take++) expect_text_in_pieces(server, text.data, 3000, take);
    server_stop(server);
    free(text.data);
}

static void pieces_of_a_large_answer_make_the_whole(void **state) {
    static const size_t takes[] = {997, 4096, 16383, 16384, 16385, 40000};
    struct text text;
    struct server *server;

    (void)state;
    text_make(&text, 1000003);
    server = server_start(serve_text, &text);
    for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++)
        expect_text_in_pieces(server, text.data, text.len, takes[i]);
    server_stop(server);
    free(text.data);
}

static void serve_in_chunks(struct peer *peer, void *arg) {
    const struct text *text = arg;

    while (peer_read(peer)) {
        size_t size = 1;

        if (!peer_send_text(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")) return;
        for (size_t at = 0; at < text->len; at += size, size = size * 3 % 7001 + 1) {
            char line[32];

            if (size > text->len - at) size = text->len - at;
            snprintf(line, sizeof(line), "%zx\r\n", size);
            if (!peer_send_text(peer, line) || !peer_send(peer, text->data + at, size) ||
                !peer_send_text(peer, "\r\n"))
                return;
        }
        if (!peer_send_text(peer, "0\r\n\r\n")) return;
    }
}

static void pieces_of_chunks_make_the_whole(void **state) {
    static const size_t takes[] = {0, 1, 3, 1000, 5000, 16384};
    struct text text;
    struct server *server;

    (void)state;
    text_make(&text, 30011);
    server = server_start(serve_in_chunks, &text);
    for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++)
        expect_text_in_pieces(server, text.data, text.len, takes[i]);
    server_stop(server);
    free(text.data);
}

/* A file that gzip made of `plain`, or NULL where there is no gzip. */
static bool compress(struct text *packed, const char *plain, size_t len) {
    char in[] = "/tmp/lsq-net-XXXXXX";
    int fd = mkstemp(in);
    char command[128];
    FILE *pipe;

    if (fd < 0) return false;
    close(fd);
    pipe = fopen(in, "w");
    if (pipe == NULL || fwrite(plain, 1, len, pipe) != len || fclose(pipe) != 0) return false;
    snprintf(command, sizeof(command), "gzip -c %s 2>/dev/null; rm -f %s", in, in);
    pipe = popen(command, "r");
    packed->data = malloc(len + 1000);
    packed->len = packed->data != NULL ? fread(packed->data, 1, len + 1000, pipe) : 0;
    pclose(pipe);
    packed->head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n";
    return packed->len > 0;
}

static void pieces_of_a_compressed_answer_make_the_whole(void **state) {
    static const size_t takes[] = {0, 7, 1000, 16384, 100000};
    size_t len = 300007;
    char *plain = malloc(len);
    struct text packed;
    struct server *server;

    (void)state;
    assert_non_null(plain);
    for (size_t i = 0; i < len; i++) plain[i] = (char)('a' + i / 97 % 13 + i % 5);
    if (!compress(&packed, plain, len)) {
        free(plain);
        skip();
    }
    assert_true(packed.len < len / 3);
    server = server_start(serve_text, &packed);
    for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++)
        expect_text_in_pieces(server, plain, len, takes[i]);
    server_stop(server);
    free(packed.data);
    free(plain);
}

static void size_is_that_of_the_decompressed_answer(void **state) {
    size_t len = 2000000;
    char *plain = calloc(1, len);
    struct text packed;
    struct server *server;
    struct http_call call;

    (void)state;
    assert_non_null(plain);
    if (!compress(&packed, plain, len)) {
        free(plain);
        skip();
    }
    assert_true(packed.len < 5000);
    server = server_start(serve_text, &packed);
    http_call_init(&call, server_url(server, "/"));
    call.request.max_response = 100000;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_TOO_BIG, true);
    assert_true(call.len <= 100000);
    http_call_free(&call);
    server_stop(server);
    free(packed.data);
    free(plain);
}

/* ---- Held ---- */

static void held_exchange_waits_and_reads_no_further(void **state) {
    struct text text;
    struct server *server;
    struct http_call call;
    size_t len = 8 * 1024 * 1024;
    struct lsq_memory before;
    struct lsq_memory after;

    (void)state;
    text_make(&text, len);
    server = server_start(serve_text, &text);
    http_call_init(&call, server_url(server, "/"));
    call.hold = true;
    call.take = 100;
    call.request.total_ms = 200;
    lsq_memory(&before);
    http_begin(&call);
    http_wait_pauses(&call, 1);
    /* Longer than its total: that does not run meanwhile. */
    sleep_ms(500);
    assert_int_equal(call.dones, 0);
    assert_int_equal(call.pauses, 1);
    assert_int_equal(call.len, 100);
    lsq_memory(&after);
    assert_true(after.bytes - before.bytes < 1024 * 1024);
    pthread_mutex_lock(&call.lock);
    call.take = 0;
    call.paused = false;
    call.hold = false;
    pthread_mutex_unlock(&call.lock);
    http_resume(&call, 60000);
    http_wait(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(call.len, len);
    assert_memory_equal(call.data, text.data, len);
    http_call_free(&call);
    server_stop(server);
    free(text.data);
}

static void total_after_a_pause_is_that_of_resume(void **state) {
    static const struct text endless = {"0123456789", 10,
                                        "HTTP/1.1 200 OK\r\nContent-Length: 99%zu\r\n\r\n"};
    struct server *server = server_start(serve_text, (void *)&endless);
    struct http_call call;
    int64_t begin;

    (void)state;
    http_call_init(&call, server_url(server, "/"));
    call.hold = true;
    call.take = 4;
    http_begin(&call);
    http_wait_pauses(&call, 1);
    pthread_mutex_lock(&call.lock);
    call.take = 0;
    call.paused = true;
    pthread_mutex_unlock(&call.lock);
    begin = now_ns();
    http_resume(&call, 200);
    http_wait(&call);
    expect_end(&call, LSQI_HTTP_TIMEOUT, true);
    assert_string_equal(call.end.phase, "answer");
    assert_true(now_ns() - begin >= 200000000);
    assert_true(now_ns() - begin < 20000000000);
    assert_int_equal(call.len, 10);
    assert_memory_equal(call.data, "0123456789", 10);
    http_call_free(&call);
    server_stop(server);
}

static void held_exchange_can_be_cancelled(void **state) {
    struct text text;
    struct server *server;
    struct http_call call;

    (void)state;
    text_make(&text, 100000);
    server = server_start(serve_text, &text);
    http_call_init(&call, server_url(server, "/"));
    call.hold = true;
    http_begin(&call);
    http_wait_pauses(&call, 1);
    assert_int_equal(call.len, 0);
    http_cancel(&call);
    http_wait(&call);
    expect_end(&call, LSQI_HTTP_CANCELLED, true);
    assert_int_equal(call.end.status, 200);
    http_call_free(&call);
    server_stop(server);
    free(text.data);
}

static void resume_of_what_is_not_paused_does_nothing(void **state) {
    struct text text;
    struct server *server;
    struct http_call call;

    (void)state;
    text_make(&text, 1000000);
    server = server_start(serve_text, &text);
    http_call_init(&call, server_url(server, "/"));
    http_begin(&call);
    for (int i = 0; i < 100; i++) http_resume(&call, 1);
    http_wait(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_memory_equal(call.data, text.data, text.len);
    http_call_free(&call);
    server_stop(server);
    free(text.data);
}

static size_t stop(void *arg, const char *data, size_t len) {
    (void)arg, (void)data, (void)len;
    return LSQI_HTTP_STOP;
}

static void body_can_end_the_exchange(void **state) {
    struct text text;
    struct server *server;
    struct http_call call;
    struct lsqi_http_events events;

    (void)state;
    text_make(&text, 100000);
    server = server_start(serve_text, &text);
    http_call_init(&call, server_url(server, "/"));
    events = *call.request.events;
    events.body = stop;
    call.request.events = &events;
    http_run(&call);
    expect_end(&call, LSQI_HTTP_CANCELLED, true);
    http_call_free(&call);
    server_stop(server);
    free(text.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(pieces_of_every_size_make_the_whole, shut_down),
        cmocka_unit_test_teardown(pieces_of_a_large_answer_make_the_whole, shut_down),
        cmocka_unit_test_teardown(pieces_of_chunks_make_the_whole, shut_down),
        cmocka_unit_test_teardown(pieces_of_a_compressed_answer_make_the_whole, shut_down),
        cmocka_unit_test_teardown(size_is_that_of_the_decompressed_answer, shut_down),
        cmocka_unit_test_teardown(held_exchange_waits_and_reads_no_further, shut_down),
        cmocka_unit_test_teardown(total_after_a_pause_is_that_of_resume, shut_down),
        cmocka_unit_test_teardown(held_exchange_can_be_cancelled, shut_down),
        cmocka_unit_test_teardown(resume_of_what_is_not_paused_does_nothing, shut_down),
        cmocka_unit_test_teardown(body_can_end_the_exchange, shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
