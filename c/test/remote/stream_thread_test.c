/* Streams of a WebSocket that are refused, or waited for: nothing of that says that the server is away. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "../support/server.h"
#include "../support/sqld.h"
#include "../support/ws_server.h"

static struct sqld sqld;

static struct lsq_conn *connect_to(const char *http_url, const struct lsq_remote *remote) {
    char url[256];
    struct lsq_config cfg;

    snprintf(url, sizeof(url), "ws%s", http_url + 4);
    cfg = db_config(url);
    cfg.remote = remote;
    return db_open_as(&cfg);
}

/* ---- Events ---- */

static atomic_int retries;
static atomic_int downs;

static void on_event(const struct lsq_server_event *event, void *arg) {
    (void)arg;
    if (event->kind == LSQ_SERVER_RETRY) atomic_fetch_add(&retries, 1);
    if (event->kind == LSQ_SERVER_DOWN) atomic_fetch_add(&downs, 1);
}

/* ---- Refused ---- */

static atomic_int refusals; /* of streams, still to come */

static bool answer(struct peer *peer, const char *request) {
    static const char five[] =
        "{\"type\":\"execute\",\"result\":{\"cols\":[{\"name\":\"a\"}],\"rows\":"
        "[[{\"type\":\"integer\",\"value\":\"5\"}]],\"affected_row_count\":0,"
        "\"last_insert_rowid\":null}}";
    const char *id = strstr(request, "\"request_id\":");
    bool opens = strstr(request, "\"open_stream\"") != NULL;
    int number = id == NULL ? 0 : atoi(id + strlen("\"request_id\":"));
    char text[512];

    if (id == NULL) return ws_send(peer, "{\"type\":\"hello_ok\"}");
    if (opens && atomic_fetch_sub(&refusals, 1) > 0)
        snprintf(text, sizeof(text),
                 "{\"type\":\"response_error\",\"request_id\":%d,"
                 "\"error\":{\"message\":\"too many streams\"}}",
                 number);
    else
        snprintf(text, sizeof(text), "{\"type\":\"response_ok\",\"request_id\":%d,\"response\":%s}",
                 number,
                 opens                                    ? "{\"type\":\"open_stream\"}"
                 : strstr(request, "\"execute\"") != NULL ? five
                                                          : "{\"type\":\"close_stream\"}");
    return ws_send(peer, text);
}

static void serve(struct peer *peer, void *arg) {
    bool there = peer_read(peer) && ws_agree(peer, "hrana3");

    (void)arg;
    while (there) {
        char *request = ws_read(peer);

        there = request != NULL && answer(peer, request);
        free(request);
    }
}

/* Nothing has run, and who refuses is there: it is asked again, and not taken for one that is away. */
static void a_refused_stream_is_asked_for_again(void **state) {
    struct server *server = server_start(serve, NULL);
    struct lsq_conn *conn = connect_to(server_url(server, ""), NULL);

    (void)state;
    atomic_store(&retries, 0);
    atomic_store(&downs, 0);
    atomic_store(&refusals, 6);
    lsq_on_server_event(on_event, NULL);
    assert_int_equal(ask(conn, "SELECT 5"), 5);
    assert_int_equal(atomic_load(&retries), 6);
    assert_int_equal(atomic_load(&downs), 0);
    assert_int_equal(server_connections(server), 1);
    lsq_on_server_event(NULL, NULL);
    db_close(conn);
    server_stop(server);
}

static void a_stream_that_is_never_given_is_an_error(void **state) {
    const struct lsq_remote once = {.retry_time = -1};
    struct server *server = server_start(serve, NULL);
    struct lsq_conn *conn = connect_to(server_url(server, ""), &once);

    (void)state;
    atomic_store(&refusals, 1000);
    for (int i = 0; i < 8; i++) {
        expect(LSQ_OVERLOADED, conn, "INSERT INTO t VALUES (1)");
        assert_int_equal(last_error.outcome, LSQ_OUTCOME_NONE);
        assert_true(last_error.transient);
        assert_non_null(strstr(last_error.message, "too many streams"));
    }
    atomic_store(&refusals, 0);
    assert_int_equal(ask(conn, "SELECT 5"), 5);
    db_close(conn);
    server_stop(server);
}

/* ---- Waited for ---- */

enum { STREAMS = 16, WAITERS = 8 };

struct call {
    struct lsq_conn *conn;
    struct lsq_call options;
    enum lsq_status st;
    char message[512];
};

static atomic_int under_way;

static void on_done(void *arg, enum lsq_status st, const struct lsq_error *err) {
    struct call *call = arg;

    call->st = st;
    snprintf(call->message, sizeof(call->message), "%s", st == LSQ_OK ? "" : err->message);
    atomic_fetch_sub(&under_way, 1);
}

static void begin(struct call *call, const char *sql, int timeout) {
    call->conn = connect_to(sqld.url, NULL);
    call->options = (struct lsq_call){.timeout = timeout, .done = on_done, .done_arg = call};
    atomic_fetch_add(&under_way, 1);
    assert_int_equal(exec(call->conn, sql, NULL, &call->options, NULL), LSQ_PENDING);
}

static void await(int left) {
    for (int i = 0; i < 6000 && atomic_load(&under_way) > left; i++) sleep_ms(10);
    assert_int_equal(atomic_load(&under_way), left);
}

static void who_waits_for_a_stream_waits_in_line(void **state) {
    static struct call calls[STREAMS + WAITERS];
    const struct lsq_remote once = {.retry_time = -1};
    struct lsq_conn *conn;

    (void)state;
    sqld_start(&sqld, NULL);
    atomic_store(&downs, 0);
    lsq_on_server_event(on_event, NULL);
    conn = connect_to(sqld.url, NULL);
    run(conn, "SELECT 1"); /* the WebSocket is there */
    for (int i = 0; i < STREAMS; i++) begin(&calls[i], LONG_QUERY, 3000);
    for (int i = STREAMS; i < STREAMS + WAITERS; i++) begin(&calls[i], "SELECT 1", 300);
    await(STREAMS);
    for (int i = STREAMS; i < STREAMS + WAITERS; i++) {
        assert_int_equal(calls[i].st, LSQ_TIMEOUT);
        if (strstr(calls[i].message, "(queue)") == NULL) fail_msg("%s", calls[i].message);
    }
    db_close(conn);
    conn = connect_to(sqld.url, &once);
    await(0);
    assert_int_equal(ask(conn, "SELECT 7"), 7);
    assert_int_equal(atomic_load(&downs), 0);
    lsq_on_server_event(NULL, NULL);
    db_close(conn);
    for (int i = 0; i < STREAMS + WAITERS; i++) db_close(calls[i].conn);
    sqld_kill(&sqld);
}

static int forget(void **state) {
    sqld_kill(&sqld);
    return db_forget(state);
}

#define TEST(name) cmocka_unit_test_teardown(name, forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_refused_stream_is_asked_for_again),
        TEST(a_stream_that_is_never_given_is_an_error),
        TEST(who_waits_for_a_stream_waits_in_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
