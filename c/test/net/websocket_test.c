/* WebSockets against a server that says what the test wants, byte by byte. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/db.h"
#include "../support/server.h"
#include "../support/ws_server.h"
#include "base/buf.h"
#include "net/sha1.h"
#include "net/websocket.h"

/* ---- The server ---- */

struct script {
    const char *head; /* instead of the agreement; NULL: it agrees */
    const char *protocol;
    const void *bytes; /* frames */
    size_t len;
    size_t cut;  /* what is sent at once, head and all; the rest follows. 0: all */
    size_t step; /* the size of pieces; 0: none but by cut */
    int then;    /* what comes last */
    /* what came */
    pthread_mutex_t lock;
    struct lsqi_buf text; /* of all text messages */
    struct lsqi_buf pongs;
    size_t longest; /* frame */
    int unmasked;
    atomic_int close_code; /* 0: no close frame */
    atomic_size_t pong_bytes;
};

enum { THEN_WAIT, THEN_END, THEN_RESET };

static struct script script;

static bool read_all(int fd, void *to, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = recv(fd, (char *)to + done, len - done, 0);

        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

/* One frame of the client's. False: the end. */
static bool take_frame(int fd) {
    unsigned char head[14];
    size_t more;
    size_t len;
    char *data;

    if (!read_all(fd, head, 2)) return false;
    len = head[1] & 127;
    more = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (!read_all(fd, head + 2, more + 4)) return false;
    if (more > 0) len = 0;
    for (size_t i = 0; i < more; i++) len = len << 8 | head[2 + i];
    data = malloc(len + 1);
    if (data == NULL || !read_all(fd, data, len)) {
        free(data);
        return false;
    }
    for (size_t i = 0; i < len; i++) data[i] = (char)(data[i] ^ head[2 + more + i % 4]);
    pthread_mutex_lock(&script.lock);
    if ((head[1] & 128) == 0) script.unmasked++;
    if (len > script.longest) script.longest = len;
    if ((head[0] & 15) < 8) lsqi_buf_add(&script.text, data, len);
    if ((head[0] & 15) == 10) lsqi_buf_add(&script.pongs, data, len);
    if ((head[0] & 15) == 10) atomic_fetch_add(&script.pong_bytes, len);
    if ((head[0] & 15) == 8 && len >= 2)
        script.close_code = (unsigned char)data[0] << 8 | (unsigned char)data[1];
    pthread_mutex_unlock(&script.lock);
    free(data);
    return (head[0] & 15) != 8;
}

static void say(struct peer *peer, const char *bytes, size_t len) {
    size_t first = script.cut > 0 && script.cut < len ? script.cut : len;
    size_t at = 0;

    while (at < len) {
        size_t n = at == 0 ? first : len - at;

        if (script.step > 0 && n > script.step) n = script.step;
        if (!peer_send(peer, bytes + at, n)) return;
        at += n;
        if (at < len) sleep_ms(1);
    }
}

static void serve(struct peer *peer, void *arg) {
    struct lsqi_buf out = {0};
    char text[512];
    char key[WS_ACCEPT];

    (void)arg;
    if (!peer_read(peer)) return;
    ws_accept_key(peer->head, key);
    snprintf(text, sizeof(text),
             "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: upgrade\r\n"
             "sec-websocket-accept:  %s \r\nSec-WebSocket-Protocol: %s\r\n\r\n",
             key, script.protocol == NULL ? "p1" : script.protocol);
    lsqi_buf_add_text(&out, script.head == NULL ? text : script.head);
    lsqi_buf_add(&out, script.bytes, script.len);
    say(peer, out.data, out.len);
    lsqi_buf_release(&out);
    if (script.then == THEN_RESET) peer_reset(peer);
    if (script.then != THEN_WAIT) return;
    while (take_frame(peer->fd)) continue;
}

/* ---- The client ---- */

struct client {
    struct lsqi_ws_config cfg;
    struct lsqi_http_peer *peer;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct lsqi_ws *ws;
    const char *send; /* once it is begun */
    size_t send_len;
    bool close_after;    /* the first message */
    struct lsqi_buf got; /* the messages, each in brackets */
    int messages;
    bool over;
    struct lsqi_ws_end end;
    char why[200];
};

static struct client client;

static void on_message(void *arg, const char *data, size_t len) {
    struct client *c = arg;

    pthread_mutex_lock(&c->lock);
    lsqi_buf_add(&c->got, "[", 1);
    lsqi_buf_add(&c->got, data, len);
    lsqi_buf_add(&c->got, "]", 1);
    c->messages++;
    if (c->close_after) {
        lsqi_ws_close(c->ws);
        c->ws = NULL;
        c->over = true;
    }
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void on_closed(void *arg, const struct lsqi_ws_end *end) {
    struct client *c = arg;

    pthread_mutex_lock(&c->lock);
    if (c->over) abort(); /* told twice */
    c->end = *end;
    snprintf(c->why, sizeof(c->why), "%s", end->message);
    c->over = true;
    c->ws = NULL;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void begin(void *arg) {
    struct client *c = arg;
    struct iovec parts[2];

    if (lsqi_ws_open(&c->ws, &c->cfg, NULL) != LSQ_OK) abort();
    if (c->send == NULL) return;
    parts[0] = (struct iovec){.iov_base = (void *)(uintptr_t)c->send, .iov_len = c->send_len / 3};
    parts[1] = (struct iovec){.iov_base = (void *)(uintptr_t)(c->send + c->send_len / 3),
                              .iov_len = c->send_len - c->send_len / 3};
    if (!lsqi_ws_send(c->ws, parts, 2)) abort();
}

static void finish(void *arg) {
    struct client *c = arg;

    if (c->ws != NULL) lsqi_ws_close(c->ws);
    pthread_mutex_lock(&c->lock);
    c->ws = NULL;
    c->over = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void connect_to(const char *url) {
    static const struct lsqi_ws_events events = {.message = on_message, .closed = on_closed};
    const struct lsqi_http_peer_config peer = {.proxy = ""};

    client.cfg.url = url;
    client.cfg.protocol = "p1";
    client.cfg.events = &events;
    client.cfg.arg = &client;
    if (client.cfg.connect_ms == 0) client.cfg.connect_ms = 10000;
    if (client.cfg.max_message == 0) client.cfg.max_message = 1000;
    assert_int_equal(lsqi_http_peer_new(&client.peer, &peer, NULL), LSQ_OK);
    client.cfg.peer = client.peer;
    assert_int_equal(lsqi_http_post(begin, &client, &last_error), LSQ_OK);
}

static void wait_for(int messages) {
    pthread_mutex_lock(&client.lock);
    while (!client.over && client.messages < messages)
        pthread_cond_wait(&client.changed, &client.lock);
    pthread_mutex_unlock(&client.lock);
}

static void wait_end(void) { wait_for(1 << 30); }

static void close_it(void) {
    assert_int_equal(lsqi_http_post(finish, &client, NULL), LSQ_OK);
    wait_end();
}

static int set_up(void **state) {
    (void)state;
    client = (struct client){.close_after = false};
    script = (struct script){.then = THEN_WAIT};
    pthread_mutex_init(&client.lock, NULL);
    pthread_cond_init(&client.changed, NULL);
    pthread_mutex_init(&script.lock, NULL);
    return 0;
}

/* The thread has let go of everything. */
static void release(struct server *server) {
    lsqi_http_shutdown();
    if (server != NULL) server_stop(server);
    lsqi_buf_release(&client.got);
    lsqi_buf_release(&script.text);
    lsqi_buf_release(&script.pongs);
    lsqi_http_peer_unref(client.peer);
    client.peer = NULL;
}

static void got(const char *want) {
    lsqi_buf_add(&client.got, "", 1);
    assert_string_equal(client.got.data, want);
}

/* ---- Tests ---- */

static void sha1_is_sha1(void **state) {
    static const unsigned char want[] = {0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81,
                                         0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78, 0x50,
                                         0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d};
    /* Of 64 times 'a', whose padding takes a block of its own. */
    static const unsigned char long_one[] = {0x00, 0x98, 0xba, 0x82, 0x4b, 0x5c, 0x16,
                                             0x42, 0x7b, 0xd7, 0xa1, 0x12, 0x2a, 0x5a,
                                             0x44, 0x2a, 0x25, 0xec, 0x64, 0x4d};
    unsigned char digest[LSQI_SHA1_BYTES];
    char text[64];

    (void)state;
    lsqi_sha1("abc", 3, digest);
    assert_memory_equal(digest, want, sizeof(want));
    memset(text, 'a', sizeof(text));
    lsqi_sha1(text, sizeof(text), digest);
    assert_memory_equal(digest, long_one, sizeof(long_one));
}

/* A text, a text in two parts with a ping between them, an empty one. */
#define FRAMES                                                                                     \
    "\x81\x03"                                                                                     \
    "abc"                                                                                          \
    "\x01\x02"                                                                                     \
    "de"                                                                                           \
    "\x89\x02"                                                                                     \
    "hi"                                                                                           \
    "\x80\x01"                                                                                     \
    "f"                                                                                            \
    "\x81\x00"

static void messages_cut_at_every_byte(void **state) {
    (void)state;
    for (size_t cut = 0; cut < 220; cut += cut < 160 ? 20 : 1) {
        struct server *server;

        set_up(NULL);
        script.bytes = FRAMES;
        script.len = sizeof(FRAMES) - 1;
        script.cut = cut;
        script.step = cut == 0 ? 1 : 0;
        client.send = "hello";
        client.send_len = 5;
        server = server_start(serve, NULL);
        connect_to(server_url(server, "/"));
        wait_for(3);
        close_it();
        for (int i = 0; i < 1000 && script.close_code == 0; i++) sleep_ms(2);
        release(server);
        assert_int_equal(script.unmasked, 0);
        assert_int_equal(script.close_code, 1000);
    }
}

static void what_goes_and_comes(void **state) {
    struct server *server = server_start(serve, NULL);

    (void)state;
    script.bytes = FRAMES;
    script.len = sizeof(FRAMES) - 1;
    client.send = "hello";
    client.send_len = 5;
    connect_to(server_url(server, "/"));
    wait_for(3);
    got("[abc][def][]");
    for (int i = 0; i < 1000 && script.pong_bytes == 0; i++) sleep_ms(2);
    close_it();
    server_stop(server);
    assert_int_equal(script.text.len, 5);
    assert_memory_equal(script.text.data, "hello", 5);
    assert_int_equal(script.pongs.len, 2);
    assert_memory_equal(script.pongs.data, "hi", 2);
    release(NULL);
}

static void refusals_are_told_by_their_status(void **state) {
    static const struct {
        const char *head;
        const char *protocol;
        int status;
    } cases[] = {
        {"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", NULL, 404},
        {"HTTP/1.0 503 Busy\r\n\r\n", NULL, 503},
        {"HTTP/1.1 200 OK\r\nupgrade: websocket\r\n\r\n", NULL, 200},
        /* not the answer to this key */
        {"HTTP/1.1 101 X\r\nupgrade: websocket\r\nsec-websocket-protocol: p1\r\n"
         "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         NULL, 101},
        {"HTTP/1.1 101 X\r\n\r\n", NULL, 101},
        {NULL, "p2", 101},
        {NULL, "", 101},
        {"SSH-2.0-OpenSSH_9.2\r\n", NULL, 200},
        {"\r\n\r\n\r\n\r\n", NULL, 200},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct server *server;

        set_up(NULL);
        script.head = cases[i].head;
        script.protocol = cases[i].protocol;
        server = server_start(serve, NULL);
        connect_to(server_url(server, "/"));
        wait_end();
        if (client.end.kind != LSQI_HTTP_DONE || client.end.status != cases[i].status)
            fail_msg("case %zu: kind %d, status %d", i, (int)client.end.kind, client.end.status);
        release(server);
    }
}

static void frames_that_are_not_allowed(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
        enum lsqi_http_end_kind kind;
        int close_code; /* what the server is told */
    } cases[] = {
#define CASE(text, kind, code) {text, sizeof(text) - 1, kind, code}
        CASE("\x81\x81mask"
             "a",
             LSQI_HTTP_BROKEN, 1002),
        CASE("\xc1\x01"
             "a",
             LSQI_HTTP_BROKEN, 1002),
        CASE("\x83\x01"
             "a",
             LSQI_HTTP_BROKEN, 1002),
        CASE("\x8b\x00", LSQI_HTTP_BROKEN, 1002),
        CASE("\x89\x7e\x00\x7e", LSQI_HTTP_BROKEN, 1002),
        CASE("\x09\x00", LSQI_HTTP_BROKEN, 1002),
        CASE("\x80\x01"
             "a",
             LSQI_HTTP_BROKEN, 1002),
        CASE("\x01\x01"
             "a"
             "\x81\x01"
             "b",
             LSQI_HTTP_BROKEN, 1002),
        CASE("\x82\x01"
             "a",
             LSQI_HTTP_BROKEN, 1003),
        CASE("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", LSQI_HTTP_BROKEN, 1002),
        CASE("\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", LSQI_HTTP_TOO_BIG, 1009),
        CASE("\x81\x7e\x03\xe9", LSQI_HTTP_TOO_BIG, 1009),
        CASE("\x01\x01"
             "a"
             "\x80\x7e\x03\xe8",
             LSQI_HTTP_TOO_BIG, 1009),
        CASE("\x88\x02\x03\xf3", LSQI_HTTP_BROKEN, 1011),
        CASE("\x88\x00", LSQI_HTTP_BROKEN, 1000),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct server *server;

        set_up(NULL);
        script.bytes = cases[i].bytes;
        script.len = cases[i].len;
        server = server_start(serve, NULL);
        connect_to(server_url(server, "/"));
        wait_end();
        for (int n = 0; n < 1000 && script.close_code == 0; n++) sleep_ms(2);
        lsqi_http_shutdown();
        server_stop(server);
        if (client.end.kind != cases[i].kind || script.close_code != cases[i].close_code)
            fail_msg("case %zu: kind %d, closed with %d: %s", i, (int)client.end.kind,
                     script.close_code, client.why);
        release(NULL);
    }
}

static void the_end_may_come_anywhere(void **state) {
    (void)state;
    for (size_t len = 0; len < sizeof(FRAMES); len++) {
        struct server *server;

        set_up(NULL);
        script.bytes = FRAMES;
        script.len = len;
        script.then = len % 2 == 0 ? THEN_END : THEN_RESET;
        server = server_start(serve, NULL);
        connect_to(server_url(server, "/"));
        wait_end();
        assert_int_equal(client.end.kind, LSQI_HTTP_BROKEN);
        release(server);
    }
}

static void a_long_message_goes_in_frames(void **state) {
    enum { LEN = 5 * 1024 * 1024 + 7 };
    struct server *server = server_start(serve, NULL);
    char *text = malloc(LEN);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < LEN; i++) text[i] = (char)(i * 7 + i / 1000);
    client.send = text;
    client.send_len = LEN;
    connect_to(server_url(server, "/"));
    for (int i = 0; i < 10000; i++) {
        bool all;

        pthread_mutex_lock(&script.lock);
        all = script.text.len == LEN;
        pthread_mutex_unlock(&script.lock);
        if (all) break;
        sleep_ms(2);
    }
    close_it();
    lsqi_http_shutdown();
    server_stop(server);
    assert_int_equal(script.text.len, LEN);
    assert_memory_equal(script.text.data, text, LEN);
    assert_int_equal(script.longest, 1024 * 1024);
    release(NULL);
    free(text);
}

static void close_within_a_message(void **state) {
    struct server *server = server_start(serve, NULL);

    (void)state;
    script.bytes = FRAMES;
    script.len = sizeof(FRAMES) - 1;
    client.close_after = true;
    connect_to(server_url(server, "/"));
    wait_end();
    assert_int_equal(client.messages, 1);
    for (int i = 0; i < 1000 && script.close_code == 0; i++) sleep_ms(2);
    release(server);
    assert_int_equal(script.close_code, 1000);
    assert_int_equal(client.messages, 1);
}

static void garbage_ends_it(void **state) {
    static char bytes[4096];

    uint64_t seed = test_seed();

    (void)state;
    for (int round = 0; round < 60; round++) {
        struct server *server;

        set_up(NULL);
        for (size_t i = 0; i < sizeof(bytes); i++) bytes[i] = (char)random_next(&seed);
        script.bytes = bytes;
        script.len = sizeof(bytes);
        script.then = THEN_END;
        server = server_start(serve, NULL);
        connect_to(server_url(server, "/"));
        wait_end();
        assert_true(client.end.kind == LSQI_HTTP_BROKEN || client.end.kind == LSQI_HTTP_TOO_BIG);
        release(server);
    }
}

static void nobody_there(void **state) {
    struct server *server = server_start(serve, NULL);
    char url[64];

    (void)state;
    snprintf(url, sizeof(url), "%s", server_url(server, "/"));
    server_stop(server);
    connect_to(url);
    wait_end();
    assert_int_equal(client.end.kind, LSQI_HTTP_UNREACHABLE);
    release(NULL);
}

static void be_silent(struct peer *peer, void *arg) {
    (void)arg;
    peer_wait_end(peer);
}

static void a_silent_server_has_its_time(void **state) {
    struct server *server = server_start(be_silent, NULL);

    (void)state;
    client.cfg.connect_ms = 200;
    connect_to(server_url(server, "/"));
    wait_end();
    assert_int_equal(client.end.kind, LSQI_HTTP_TIMEOUT);
    release(server);
}

static void the_shutdown_ends_it(void **state) {
    struct server *server = server_start(serve, NULL);

    (void)state;
    script.bytes = FRAMES;
    script.len = sizeof(FRAMES) - 1;
    connect_to(server_url(server, "/"));
    wait_for(3);
    lsqi_http_shutdown();
    assert_true(client.over);
    assert_int_equal(client.end.kind, LSQI_HTTP_CANCELLED);
    release(server);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(sha1_is_sha1),
        TEST(messages_cut_at_every_byte),
        TEST(what_goes_and_comes),
        TEST(refusals_are_told_by_their_status),
        TEST(frames_that_are_not_allowed),
        TEST(the_end_may_come_anywhere),
        TEST(a_long_message_goes_in_frames),
        TEST(close_within_a_message),
        TEST(garbage_ends_it),
        TEST(nobody_there),
        TEST(a_silent_server_has_its_time),
        TEST(the_shutdown_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
