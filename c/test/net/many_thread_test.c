/* Many exchanges at once, from many threads, cancelled at any moment; the end of it all and the next beginning. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/http_call.h"
#include "../support/server.h"

enum { MANY = 500, THREADS = 8, ROUNDS = 60 };

static int shut_down(void **state) {
    (void)state;
    lsq_shutdown();
    return 0;
}

static struct http_call calls[4 * MANY];
static struct lsqi_http_group group;

/* Nobody is left in it. */
static void expect_group_is_free(void) {
    assert_int_equal(group.running, 0);
    assert_null(group.first);
    assert_null(group.last);
}

static void expect_nothing_runs(void) {
    struct lsqi_http_figures figures;

    lsqi_http_figures(&figures);
    assert_int_equal(figures.running, 0);
}

/* ---- At once ---- */

static void serve_slow(struct peer *peer, void *arg) {
    (void)arg;
    while (peer_read(peer)) {
        sleep_ms(2);
        if (!peer_answer(peer, peer->body, peer->body_len)) return;
    }
}

static void many_share_32_connections(void **state) {
    struct server *server = server_start(serve_slow, NULL);
    static char bodies[MANY][16];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        http_call_init(&calls[i], server_url(server, "/"));
        calls[i].request.group = &group;
        calls[i].request.body = bodies[i];
        calls[i].request.body_len = (size_t)snprintf(bodies[i], 16, "request %d", i);
        http_begin(&calls[i]);
    }
    for (int i = 0; i < MANY; i++) {
        http_wait(&calls[i]);
        expect_end(&calls[i], LSQI_HTTP_DONE, true);
        assert_string_equal(calls[i].data, bodies[i]);
        assert_int_equal(calls[i].dones, 1);
        http_call_free(&calls[i]);
    }
    assert_true(server_most_connections(server) <= 32);
    assert_int_equal(server_requests(server), MANY);
    expect_nothing_runs();
    expect_group_is_free();
    server_stop(server);
}

/* Answers nobody until it is told to. */
struct gate {
    atomic_bool open;
};

static void serve_when_open(struct peer *peer, void *arg) {
    struct gate *gate = arg;

    while (peer_read(peer)) {
        while (!atomic_load(&gate->open)) sleep_ms(1);
        if (!peer_answer(peer, "ok", 2)) return;
    }
}

static void who_waits_in_a_group_can_be_ended(void **state) {
    struct gate gate = {.open = false};
    struct server *server = server_start(serve_when_open, &gate);
    enum { WAIT = 9, ALL = LSQI_HTTP_AT_ONCE + WAIT };

    (void)state;
    for (int i = 0; i < ALL; i++) {
        http_call_init(&calls[i], server_url(server, "/"));
        calls[i].request.group = &group;
        calls[i].request.total_ms = i >= LSQI_HTTP_AT_ONCE && i % 3 == 0 ? 50 : 0;
        http_begin(&calls[i]);
    }
    for (int i = LSQI_HTTP_AT_ONCE; i < ALL; i++) {
        if (i % 3 == 1) http_cancel(&calls[i]);
        if (i % 3 == 2) continue;
        http_wait(&calls[i]);
        expect_end(&calls[i], i % 3 == 0 ? LSQI_HTTP_TIMEOUT : LSQI_HTTP_CANCELLED, false);
        if (i % 3 == 0) assert_string_equal(calls[i].end.phase, "queue");
    }
    assert_true(server_most_connections(server) <= LSQI_HTTP_AT_ONCE);
    atomic_store(&gate.open, true);
    for (int i = 0; i < ALL; i++) {
        if (i < LSQI_HTTP_AT_ONCE || i % 3 == 2) {
            http_wait(&calls[i]);
            expect_end(&calls[i], LSQI_HTTP_DONE, true);
        }
        http_call_free(&calls[i]);
    }
    expect_nothing_runs();
    expect_group_is_free();
    server_stop(server);
}

/* ---- Cancelled at any moment ---- */

static void serve_at_random(struct peer *peer, void *arg) {
    unsigned seed = (unsigned)peer->number;
    static char body[200000];

    (void)arg;
    while (peer_read(peer)) {
        unsigned roll = (unsigned)rand_r(&seed) % 20;

        if (roll == 0) return;
        if (roll < 4) sleep_ms((int)roll);
        if (!peer_answer(peer, body, roll < 10 ? roll : 20000 * (roll - 9))) return;
    }
}

struct canceller {
    pthread_t thread;
    struct server *server;
    unsigned seed;
    const char *wrong;
};

static bool ended_as_it_may(const struct http_call *call) {
    return call->end.kind == LSQI_HTTP_DONE || call->end.kind == LSQI_HTTP_CANCELLED ||
           (call->end.kind == LSQI_HTTP_BROKEN && call->end.sent);
}

static void *cancel_main(void *arg) {
    struct canceller *canceller = arg;

    for (int i = 0; i < ROUNDS && canceller->wrong == NULL; i++) {
        struct http_call call[4];

        for (int k = 0; k < 4; k++) {
            http_call_init(&call[k], server_url(canceller->server, "/"));
            call[k].take = rand_r(&canceller->seed) % 3 == 0 ? 5000 : 0;
            call[k].count_only = true;
            call[k].request.delay_ms = rand_r(&canceller->seed) % 3;
            if (k > 0) call[k].request.group = &group;
            http_begin(&call[k]);
        }
        for (int k = 0; k < 4; k++) {
            if (rand_r(&canceller->seed) % 3 == 0) sleep_ms(rand_r(&canceller->seed) % 4);
            if (rand_r(&canceller->seed) % 4 != 0) http_cancel(&call[k]);
            if (rand_r(&canceller->seed) % 4 == 0) http_cancel(&call[k]);
        }
        for (int k = 0; k < 4; k++) {
            http_wait(&call[k]);
            if (!ended_as_it_may(&call[k])) canceller->wrong = http_kind(call[k].end.kind);
            http_call_free(&call[k]);
        }
    }
    return NULL;
}

static void cancelled_by_other_threads_at_any_moment(void **state) {
    struct server *server = server_start(serve_at_random, NULL);
    struct canceller canceller[THREADS] = {0};
    unsigned seed = (unsigned)test_seed();

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        canceller[i].server = server;
        canceller[i].seed = seed + (unsigned)i;
        assert_int_equal(pthread_create(&canceller[i].thread, NULL, cancel_main, &canceller[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(canceller[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        if (canceller[i].wrong != NULL) fail_msg("ended %s", canceller[i].wrong);
    expect_nothing_runs();
    server_stop(server);
}

/* ---- The end ---- */

static void serve_nothing(struct peer *peer, void *arg) {
    (void)arg;
    peer_wait_end(peer);
}

static void shutdown_ends_what_is_under_way(void **state) {
    struct server *server = server_start(serve_nothing, NULL);

    (void)state;
    for (int i = 0; i < MANY; i++) {
        http_call_init(&calls[i], server_url(server, "/"));
        if (i % 3 == 0) calls[i].request.delay_ms = 60000;
        http_begin(&calls[i]);
    }
    sleep_ms(20);
    lsq_shutdown();
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(calls[i].dones, 1);
        assert_int_equal(calls[i].end.kind, LSQI_HTTP_CANCELLED);
        if (i % 3 == 0) assert_false(calls[i].end.sent);
        http_call_free(&calls[i]);
    }
    expect_nothing_runs();
    server_stop(server);
}

static void begins_again_after_a_shutdown(void **state) {
    struct server *server = server_start(serve_echo, NULL);

    (void)state;
    for (int i = 0; i < 20; i++) {
        http_expect(server_url(server, "/"), "hello");
        lsq_shutdown();
    }
    assert_int_equal(server_connections(server), 20);
    server_stop(server);
}

/* done() that begins the next request: shutdown ends that, too. */
struct chain {
    struct lsqi_http_request request;
    struct lsqi_http *http;
    atomic_int left;
    atomic_int ended;
};

static size_t take_all(void *arg, const char *data, size_t len) {
    (void)arg, (void)data;
    return len;
}

static void begin_next(void *arg, const struct lsqi_http_end *end) {
    struct chain *chain = arg;

    (void)end;
    if (atomic_fetch_sub(&chain->left, 1) > 0 &&
        lsqi_http_start(&chain->http, &chain->request, NULL) == LSQ_OK)
        return;
    atomic_store(&chain->ended, 1);
}

static void shutdown_ends_what_callbacks_begin(void **state) {
    static const struct lsqi_http_events events = {.body = take_all, .done = begin_next};
    struct server *server = server_start(serve_nothing, NULL);
    struct lsqi_http_peer_config cfg = {.proxy = ""};
    struct chain chain = {.request = {.url = server_url(server, "/"), .events = &events}};

    (void)state;
    assert_int_equal(lsqi_http_peer_new(&chain.request.peer, &cfg, NULL), LSQ_OK);
    chain.request.arg = &chain;
    atomic_store(&chain.left, 20);
    assert_int_equal(lsqi_http_start(&chain.http, &chain.request, NULL), LSQ_OK);
    lsq_shutdown();
    assert_int_equal(atomic_load(&chain.ended), 1);
    assert_true(atomic_load(&chain.left) < 0);
    lsqi_http_peer_unref(chain.request.peer);
    server_stop(server);
}

static void *start_main(void *arg) {
    struct server *server = arg;

    for (int i = 0; i < 40; i++) {
        struct http_call call;

        http_call_init(&call, server_url(server, "/"));
        http_run(&call);
        http_call_free(&call);
    }
    return NULL;
}

static void *shutdown_main(void *arg) {
    atomic_bool *stop = arg;

    while (!atomic_load(stop)) {
        lsq_shutdown();
        sleep_ms(3);
    }
    return NULL;
}

static void shutdowns_beside_starts_hang_nobody(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    pthread_t starter[4];
    pthread_t stopper[2];
    atomic_bool stop = false;

    (void)state;
    for (int i = 0; i < 4; i++) pthread_create(&starter[i], NULL, start_main, server);
    for (int i = 0; i < 2; i++) pthread_create(&stopper[i], NULL, shutdown_main, &stop);
    for (int i = 0; i < 4; i++) pthread_join(starter[i], NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) pthread_join(stopper[i], NULL);
    lsq_shutdown();
    expect_nothing_runs();
    server_stop(server);
}

static void memory_comes_back(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    struct lsq_memory before;
    struct lsq_memory after;

    (void)state;
    lsq_shutdown();
    lsq_memory(&before);
    for (int i = 0; i < 4 * MANY; i++) {
        http_call_init(&calls[i], server_url(server, "/"));
        calls[i].request.group = &group;
        http_begin(&calls[i]);
        if (i % 2 == 0) http_cancel(&calls[i]);
    }
    for (int i = 0; i < 4 * MANY; i++) {
        http_wait(&calls[i]);
        assert_true(ended_as_it_may(&calls[i]));
        http_call_free(&calls[i]);
    }
    lsq_shutdown();
    lsq_memory(&after);
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.bytes, before.bytes);
    expect_group_is_free();
    server_stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(many_share_32_connections, shut_down),
        cmocka_unit_test_teardown(who_waits_in_a_group_can_be_ended, shut_down),
        cmocka_unit_test_teardown(cancelled_by_other_threads_at_any_moment, shut_down),
        cmocka_unit_test_teardown(shutdown_ends_what_is_under_way, shut_down),
        cmocka_unit_test_teardown(begins_again_after_a_shutdown, shut_down),
        cmocka_unit_test_teardown(shutdown_ends_what_callbacks_begin, shut_down),
        cmocka_unit_test_teardown(shutdowns_beside_starts_hang_nobody, shut_down),
        cmocka_unit_test_teardown(memory_comes_back, shut_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
