/* Every allocation fails once, ours and libcurl's: the exchange ends with an error, or well, and nothing is left.
 * In a program, libcurl's memory is not ours to count, since others may use libcurl, too; here it is. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/http_call.h"
#include "../support/server.h"
#include "base/alloc.h"

enum { MAX_ALLOCATIONS = 5000 };

static char *copy_text(const char *text) { return lsqi_strndup(text, strlen(text)); }

/* Before our own initialization, which then finds it done. */
static void count_memory_of_libcurl(void) {
    void *library = dlopen("libcurl.so.4", RTLD_NOW);
    void *function = library != NULL ? dlsym(library, "curl_global_init_mem") : NULL;
    int (*init)(long, void *(*)(size_t), void (*)(void *), void *(*)(void *, size_t),
                char *(*)(const char *), void *(*)(size_t, size_t));

    if (function == NULL) return;
    memcpy(&init, &function, sizeof(init));
    assert_int_equal(init(3, lsqi_malloc, lsqi_free, lsqi_realloc, copy_text, lsqi_calloc), 0);
}

static int64_t blocks(void) {
    struct lsq_memory memory;

    lsq_shutdown();
    lsq_memory(&memory);
    return memory.blocks;
}

/* Whether it ended well; an end is needed in any case. */
static bool exchange(const char *url, const char *body, size_t take) {
    struct http_call call;
    struct lsq_error err;
    enum lsq_status st;
    struct lsqi_http_peer_config cfg = {.proxy = "", .ca_file = "/nowhere"};
    static const char *const headers[] = {"Authorization: Bearer x", NULL};
    bool well = false;

    http_call_prepare(&call, url);
    call.request.body = body;
    call.request.body_len = strlen(body);
    call.request.headers = headers;
    call.request.total_ms = 20000;
    call.take = take;
    st = lsqi_http_peer_new(&call.request.peer, &cfg, &err);
    if (st == LSQ_OK) {
        pthread_mutex_lock(&call.lock);
        st = lsqi_http_start(&call.http, &call.request, &err);
        pthread_mutex_unlock(&call.lock);
    }
    if (st == LSQ_OK) {
        http_wait(&call);
        lsq_memory_set_budget(-1);
        well = call.end.kind == LSQI_HTTP_DONE;
        if (well) {
            assert_int_equal(call.len, strlen(body));
            assert_memory_equal(call.data, body, call.len);
        } else if (call.end.kind == LSQI_HTTP_TIMEOUT) {
            fail_msg("timed out: %s", call.message);
        }
    } else {
        lsq_memory_set_budget(-1);
        assert_true(st == LSQ_NOMEM || st == LSQ_ERROR);
    }
    http_call_free(&call);
    return well;
}

static void every_allocation_of_an_exchange_fails_once(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    int64_t before;
    int budget = 0;
    struct lsq_memory memory;
    int64_t failed;

    (void)state;
    assert_true(exchange(server_url(server, "/"), "hello", 0));
    before = blocks();
    do {
        lsq_memory(&memory);
        failed = memory.failed;
        lsq_memory_set_budget(budget);
        (void)exchange(server_url(server, "/"), "hello", budget % 3);
        if (blocks() != before) fail_msg("left after %d allocations", budget);
        lsq_memory(&memory);
        assert_true(++budget < MAX_ALLOCATIONS);
    } while (memory.failed != failed);
    print_message("%d allocations\n", budget - 1);
    assert_true(budget > 50); /* else only ours were counted */
    server_stop(server);
}

/* On a loop that runs, with connections that are kept. */
static void memory_runs_out_beside_others(void **state) {
    struct server *server = server_start(serve_echo, NULL);
    int64_t before = blocks();

    (void)state;
    for (int budget = 0; budget < 150; budget++) {
        lsq_memory_set_budget(budget);
        (void)exchange(server_url(server, "/"), "hello, world", budget % 5);
        assert_true(exchange(server_url(server, "/"), "hello", 0));
    }
    assert_int_equal(blocks(), before);
    server_stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_of_an_exchange_fails_once),
        cmocka_unit_test(memory_runs_out_beside_others),
    };

    count_memory_of_libcurl();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
