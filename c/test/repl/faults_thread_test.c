/* Replicas over a network that fails, and with many callers. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/primary.h"
#include "../support/server.h"

static struct sqld sqld;
static struct server *proxy;

/* What the proxy does to each connection. */
static struct {
    atomic_int most;   /* bytes from the server, then it is reset; 0: no bound */
    atomic_bool hangs; /* nothing is passed on */
} faults;

static int forget(void **state) {
    if (proxy != NULL) server_stop(proxy);
    proxy = NULL;
    sqld_kill(&sqld);
    return db_forget(state);
}

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0) return fd;
    close(fd);
    return -1;
}

/* Passes on what there is. False: the end. */
static bool pass(int from, int to, size_t *left) {
    char data[16384];
    ssize_t n = recv(from, data, sizeof(data) < *left ? sizeof(data) : *left, 0);

    if (n <= 0) return false;
    for (ssize_t at = 0; at < n;) {
        ssize_t sent = send(to, data + at, (size_t)(n - at), MSG_NOSIGNAL);

        if (sent <= 0) return false;
        at += sent;
    }
    *left -= (size_t)n;
    return *left > 0;
}

static void relay(struct peer *peer, void *arg) {
    int most = atomic_load(&faults.most);
    size_t left = most == 0 ? SIZE_MAX : (size_t)most + (size_t)(now_ns() / 1000 % most);
    size_t any = SIZE_MAX;
    int fd = connect_to(sqld.port);
    struct pollfd fds[2] = {{.fd = peer->fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    bool ok = fd >= 0;

    (void)arg;
    while (ok && poll(fds, 2, 20) >= 0) {
        if (atomic_load(&faults.hangs)) {
            if ((fds[0].revents & (POLLHUP | POLLERR)) != 0) break;
            if (recv(peer->fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 0) break;
            sleep_ms(10);
            continue;
        }
        if (fds[0].revents != 0) ok = pass(peer->fd, fd, &any);
        if (ok && fds[1].revents != 0) ok = pass(fd, peer->fd, &left);
    }
    if (left == 0) peer_reset(peer);
    if (fd >= 0) close(fd);
}

static struct lsq_conn *begin(void) {
    struct lsq_conn *primary;

    sqld_start(&sqld, NULL);
    atomic_store(&faults.most, 0);
    atomic_store(&faults.hangs, false);
    proxy = server_start(relay, NULL);
    primary = primary_conn(&sqld);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                 "WHERE i < 3000) SELECT randomblob(500) FROM n");
    return primary;
}

/* A write's index is waited for with one request, on the connection that is there. */
static void asks_once_for_what_was_written(void **state) {
    struct lsq_conn *primary = begin();
    struct lsqi_replica *replica = replica_open_at(replica_path(), server_url(proxy, ""));
    struct lsqi_replica_info before;
    struct lsqi_replica_info after;

    (void)state;
    replica_sync(replica);
    lsqi_replica_info(replica, &before);
    for (int i = 0; i < 20; i++) {
        uint64_t until = lsqi_replica_applied(replica) + 1;

        run(primary, "UPDATE t SET b = randomblob(500) WHERE a = 1");
        assert_int_equal(
            lsqi_replica_sync_wait(replica, until, 60000, NULL, NULL, NULL, &last_error), LSQ_OK);
        assert_true(lsqi_replica_applied(replica) >= until);
    }
    lsqi_replica_info(replica, &after);
    /* Pages of 4096 bytes, and little else. */
    assert_true(after.bytes - before.bytes < (after.frames - before.frames) * 4096 * 12 / 10);
    if (after.failures > 0) fail_msg("%s", after.last_error.message);
    assert_true(server_connections(proxy) <= 2);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

static void gets_through_connections_that_break(void **state) {
    struct lsq_conn *primary = begin();
    struct lsqi_replica *replica = replica_open_at(replica_path(), server_url(proxy, ""));
    struct lsqi_replica_sync_result result;

    (void)state;
    atomic_store(&faults.most, 60000);
    result = replica_sync(replica);
    assert_true(server_connections(proxy) > 5);
    assert_true(result.bytes < 4 * result.applied * 4200);
    expect_same(replica, primary);
    for (int i = 0; i < 5; i++) {
        run(primary, "UPDATE t SET b = randomblob(500) WHERE a % 3 = 0");
        expect_same(replica, primary);
    }
    replica_close(replica);
    db_close(primary);
}

struct call {
    struct lsqi_replica_sync sync;
    atomic_int done;
    atomic_int status;
};

static void on_done(void *arg, enum lsq_status status,
                    const struct lsqi_replica_sync_result *result, const struct lsq_error *err) {
    struct call *call = arg;

    assert_true((err == NULL) == (status == LSQ_OK));
    (void)result;
    atomic_store(&call->status, (int)status);
    atomic_fetch_add(&call->done, 1);
}

static void start(struct lsqi_replica *replica, struct call *call, int timeout) {
    *call = (struct call){.sync = {.timeout = timeout, .done = on_done, .arg = call}};
    assert_int_equal(lsqi_replica_sync(replica, &call->sync, &last_error), LSQ_OK);
}

static void await(struct call *call) {
    while (atomic_load(&call->done) == 0) sleep_ms(1);
}

static void does_not_hang_with_a_server_that_does(void **state) {
    struct lsq_conn *primary = begin();
    struct lsqi_replica *replica = replica_open_at(replica_path(), server_url(proxy, ""));
    struct call called_off;
    struct call late;
    struct call left;
    int64_t began;

    (void)state;
    replica_sync(replica);
    atomic_store(&faults.hangs, true);
    run(primary, "INSERT INTO t (b) VALUES (1)");
    start(replica, &called_off, 0);
    start(replica, &late, 300);
    began = now_ns();
    assert_true(lsqi_replica_sync_cancel(replica, &called_off.sync));
    assert_true(now_ns() - began < 10000000000);
    assert_false(lsqi_replica_sync_cancel(replica, &called_off.sync));
    await(&late);
    assert_int_equal(atomic_load(&late.status), LSQ_TIMEOUT);
    assert_int_equal(atomic_load(&called_off.done), 0);
    /* Others go on from there. */
    start(replica, &late, 0);
    sleep_ms(50);
    atomic_store(&faults.hangs, false);
    await(&late);
    assert_int_equal(atomic_load(&late.status), LSQ_OK);
    atomic_store(&faults.hangs, true);
    start(replica, &left, 0);
    sleep_ms(50);
    began = now_ns();
    replica_close(replica);
    assert_int_equal(atomic_load(&left.status), LSQ_CLOSED);
    assert_int_equal(atomic_load(&left.done), 1);
    assert_true(now_ns() - began < 20000000000);
    db_close(primary);
}

/* ---- Many callers ---- */

enum { CALLERS = 6, WRITES = 25 };

static struct lsqi_replica *shared;

static void *write_and_read(void *arg) {
    struct lsq_conn *primary = primary_conn(&sqld);
    struct lsq_conn *reader = replica_reader(shared);
    char sql[100];

    for (int i = 0; i < WRITES; i++) {
        int64_t mine = (int64_t)(intptr_t)arg * 1000000 + i;

        snprintf(sql, sizeof(sql), "INSERT INTO u VALUES (%lld)", (long long)mine);
        assert_int_equal(exec(primary, sql, NULL, NULL, NULL), LSQ_OK);
        if (lsqi_replica_sync_wait(shared, 0, 60000, NULL, NULL, NULL, NULL) != LSQ_OK) abort();
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM u WHERE a = %lld", (long long)mine);
        if (ask(reader, sql) != 1) abort();
    }
    db_close(reader);
    db_close(primary);
    return NULL;
}

static void who_syncs_sees_what_was_written_before(void **state) {
    struct lsq_conn *primary = begin();
    pthread_t threads[CALLERS];

    (void)state;
    run(primary, "CREATE TABLE u (a INTEGER PRIMARY KEY)");
    shared = replica_open(replica_path(), &sqld);
    replica_sync(shared);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, write_and_read, (void *)(intptr_t)(i + 1)), 0);
    for (int i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
    expect_same(shared, primary);
    replica_close(shared);
    db_close(primary);
}

static void comes_and_goes_at_once(void **state) {
    struct lsq_conn *primary = begin();
    const char *path = replica_path();

    (void)state;
    for (int i = 0; i < 30; i++) {
        struct lsqi_replica *replica = replica_open(path, &sqld);
        struct call call;

        start(replica, &call, 0);
        if (i % 3 == 0) sleep_ms(i);
        /* The next open waits until this one has ended. */
        lsqi_replica_unref(replica);
        await(&call);
    }
    shared = replica_open(path, &sqld);
    expect_same(shared, primary);
    replica_close(shared);
    db_close(primary);
}

static void syncs_by_itself(void **state) {
    struct lsq_conn *primary = begin();
    struct lsq_config server;
    struct lsqi_replica_config cfg = {
        .path = replica_path(), .server = &server, .sync_interval = 50};
    struct lsqi_replica *replica;
    struct lsq_conn *reader;
    int64_t until = now_ns() + 20000000000;

    (void)state;
    lsq_config_init(&server);
    server.path = sqld.url;
    assert_int_equal(lsqi_replica_open(&replica, &cfg, &last_error), LSQ_OK);
    while (!lsqi_replica_usable(replica) && now_ns() < until) sleep_ms(5);
    reader = replica_reader(replica);
    for (int i = 0; i < 5; i++) {
        run(primary, "INSERT INTO t (b) VALUES (1)");
        while (ask(reader, "SELECT count(*) FROM t") != 3001 + i && now_ns() < until) sleep_ms(5);
        assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 3001 + i);
    }
    db_close(reader);
    replica_close(replica);
    db_close(primary);
}

/* ---- What is no server of frames ---- */

static void refuse_all(struct peer *peer, void *arg) {
    while (peer_read(peer))
        if (!peer_send_text(peer, arg)) return;
}

static void expect_refusal(const char *answer, enum lsq_status status) {
    struct server *server = server_start(refuse_all, (void *)(uintptr_t)answer);
    struct lsqi_replica *replica = replica_open_at(replica_path(), server_url(server, ""));

    assert_int_equal(lsqi_replica_sync_wait(replica, 0, 0, NULL, NULL, NULL, &last_error), status);
    assert_true(last_error.message[0] != '\0');
    replica_close(replica);
    server_stop(server);
}

#define GRPC "HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\n"

static void says_what_the_server_says(void **state) {
    (void)state;
    expect_refusal("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", LSQ_PROTOCOL_UNSUPPORTED);
    expect_refusal("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", LSQ_UNAUTHORIZED);
    expect_refusal("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
                   LSQ_PROTOCOL_UNSUPPORTED);
    expect_refusal(GRPC "grpc-status: 16\r\ngrpc-message: no%20token\r\nContent-Length: 0\r\n\r\n",
                   LSQ_UNAUTHORIZED);
    expect_refusal(
        GRPC "grpc-status: 9\r\ngrpc-message: NAMESPACE_DOESNT_EXIST\r\nContent-Length: 0\r\n\r\n",
        LSQ_NAMESPACE_NOT_FOUND);
    expect_refusal(GRPC "grpc-status: 12\r\nContent-Length: 0\r\n\r\n", LSQ_PROTOCOL_UNSUPPORTED);
    expect_refusal(GRPC "grpc-status: 9\r\ngrpc-message: NO_HELLO\r\nContent-Length: 0\r\n\r\n",
                   LSQ_PROTOCOL_UNSUPPORTED);
    expect_refusal(GRPC "Content-Length: 3\r\n\r\nabc", LSQ_CONNECTION_LOST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(asks_once_for_what_was_written, forget),
        cmocka_unit_test_teardown(gets_through_connections_that_break, forget),
        cmocka_unit_test_teardown(does_not_hang_with_a_server_that_does, forget),
        cmocka_unit_test_teardown(who_syncs_sees_what_was_written_before, forget),
        cmocka_unit_test_teardown(comes_and_goes_at_once, forget),
        cmocka_unit_test_teardown(syncs_by_itself, forget),
        cmocka_unit_test_teardown(says_what_the_server_says, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
