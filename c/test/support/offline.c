#include "offline.h"

#include <stdio.h>

const struct lsq_config *offline_config(const char *path, const char *url) {
    static const struct lsq_replica own = {.offline = true, .open_timeout = 60000};
    static const struct lsq_remote remote = {
        .proxy = "", .retry_time = 1000, .timeout = 60000, .connect_timeout = 5000};
    static struct lsq_config cfg;

    cfg = db_config(path);
    cfg.primary = url;
    cfg.replica = &own;
    cfg.remote = &remote;
    return &cfg;
}

struct lsq_conn *offline_open(const char *path, const char *url) {
    return db_open_as(offline_config(path, url));
}

void offline_close(struct lsq_conn *conn) {
    db_close(conn);
    lsq_shutdown();
}

void offline_sync(enum lsq_status want, struct lsq_conn *conn) {
    const struct lsq_call call = {.timeout = 120000};
    int64_t until = now_ns() + INT64_C(60000000000);
    enum lsq_status st = lsq_sync(conn, &call, NULL, &last_error);

    /* One that was away is not asked before its breaker has seen it. */
    while (st != want && st == LSQ_UNREACHABLE && now_ns() < until) {
        sleep_ms(100);
        st = lsq_sync(conn, &call, NULL, &last_error);
    }
    if (st != want) fail_msg("a sync: %s: %s", lsq_status_name(st), last_error.message);
}

struct lsq_replica_info offline_info(struct lsq_conn *conn) {
    struct lsq_replica_info info;

    assert_int_equal(lsq_replica_info(conn, &info, &last_error), LSQ_OK);
    return info;
}

void offline_same(struct lsq_conn *conn, const struct sqld *server) {
    offline_same_as(conn, server, replica_path());
}

void offline_same_as(struct lsq_conn *conn, const struct sqld *server, const char *path) {
    struct lsq_conn *primary = primary_conn(server);
    struct lsqi_replica *other;

    offline_sync(LSQ_OK, conn);
    assert_int_equal(offline_info(conn).unpushed, 0);
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    assert_true(content_of(conn) == content_of(primary));
    other = replica_open(path, server);
    expect_same(other, primary);
    replica_close(other);
    db_close(primary);
}

int64_t offline_frames(const struct sqld *server) {
    return generations_number(generations_do(server, "{\"do\": \"counts\"}"), "frames");
}

void offline_begin(struct sqld *server) {
    struct lsq_conn *primary;

    generations_start(server);
    primary = primary_conn(server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "INSERT INTO t (b) VALUES (1), ('two'), (3.0), (NULL), (x'05')");
    db_close(primary);
    replica_events_begin();
}

void offline_elsewhere(const struct sqld *server, const char *sql) {
    struct lsq_conn *primary = primary_conn(server);

    run(primary, sql);
    db_close(primary);
}

void offline_conflicts(struct lsq_conn *conn) {
    offline_sync(LSQ_CONFLICT, conn);
    assert_true(offline_info(conn).unpushed > 0);
}
