#include "primary.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conn/conn.h"

const char *replica_path(void) {
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s", db_path());
    return path;
}

const char *beside(const char *path, const char *suffix) {
    static char names[8][256];
    static unsigned next;
    char *name = names[next++ % 8];

    snprintf(name, sizeof(names[0]), "%s%s", path, suffix);
    return name;
}

bool exists(const char *path, const char *suffix) {
    return access(beside(path, suffix), F_OK) == 0;
}

struct lsq_conn *primary_conn(const struct sqld *server) {
    struct lsq_config cfg = db_config(server->url);
    struct lsq_remote remote = {.proxy = "", .timeout = 120000};

    cfg.remote = &remote;
    return db_open_as(&cfg);
}

struct lsq_conn *primary_filled(struct sqld *server) {
    struct lsq_conn *primary;

    sqld_start(server, NULL);
    primary = primary_conn(server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "INSERT INTO t (b) VALUES (1), (2), (randomblob(20000))");
    return primary;
}

static const char *used_key;

void replica_use_key(const char *key) { used_key = key; }

static enum lsq_status begin(struct lsqi_replica **out, const char *path, const char *url,
                             bool adopt) {
    struct lsq_config server;
    /* sqld, when connections to it are reset on a loaded machine, accepts no other for 10 s and more. */
    struct lsq_remote remote = {.proxy = "", .retry_time = 1000, .timeout = 60000};
    struct lsqi_replica_config cfg = {.path = path, .server = &server, .adopt_replace = adopt};

    lsq_config_init(&server);
    server.path = url;
    server.remote = &remote;
    cfg.key = used_key;
    cfg.key_len = used_key == NULL ? 0 : strlen(used_key);
    return lsqi_replica_open(out, &cfg, &last_error);
}

struct lsqi_replica *replica_open_at(const char *path, const char *url) {
    struct lsqi_replica *replica = NULL;

    if (begin(&replica, path, url, false) != LSQ_OK) fail_msg("no replica: %s", last_error.message);
    return replica;
}

struct lsqi_replica *replica_open(const char *path, const struct sqld *server) {
    return replica_open_at(path, server->url);
}

enum lsq_status replica_try(const char *path, const char *url, bool adopt) {
    struct lsqi_replica *replica = NULL;
    enum lsq_status st = begin(&replica, path, url, adopt);

    if (st == LSQ_OK) replica_close(replica);
    return st;
}

void replica_close(struct lsqi_replica *replica) {
    char path[512];

    snprintf(path, sizeof(path), "%s", lsqi_replica_path(replica));
    lsqi_replica_unref(replica);
    /* Closing goes on on another thread, and ends with the lock. */
    lsq_shutdown();
}

struct lsqi_replica_sync_result replica_sync(struct lsqi_replica *replica) {
    struct lsqi_replica_sync_result result = {0};

    if (lsqi_replica_sync_wait(replica, 0, 180000, NULL, NULL, &result, &last_error) != LSQ_OK)
        fail_msg("no sync: %s", last_error.message);
    return result;
}

const char *replica_made(const struct sqld *server) {
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, server);

    replica_sync(replica);
    replica_close(replica);
    replica_events_begin();
    return path;
}

struct lsq_conn *replica_reader(struct lsqi_replica *replica) {
    struct lsq_config cfg = db_config(lsqi_replica_path(replica));

    cfg.flags |= LSQ_OPEN_READONLY | LSQI_OPEN_ANY_ROLE;
    cfg.key = used_key;
    cfg.key_len = used_key == NULL ? 0 : strlen(used_key);
    cfg.settings = NULL;
    cfg.setting_count = 0;
    return db_open_as(&cfg);
}

/* ---- Content ---- */

static uint64_t mix(uint64_t sum, const void *data, size_t len) {
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return (sum ^ len) * 0x100000001b3u;
}

/* *last, may be NULL: the first value of the last row; -1: there was none. */
static uint64_t mix_rows(uint64_t sum, struct lsq_conn *conn, const char *sql, int64_t *last) {
    struct lsq_result *res;

    if (lsq_query(&res, conn, sql, NULL, &last_error) != LSQ_OK)
        fail_msg("%s: %s", sql, last_error.message);
    for (size_t row = 0; row < lsq_result_rows(res); row++)
        for (size_t column = 0; column < lsq_result_columns(res); column++) {
            struct lsq_value value = lsq_result_value(res, row, column);

            sum = mix(sum, &value.type, sizeof(value.type));
            if (value.type == LSQ_TYPE_INTEGER || value.type == LSQ_TYPE_REAL)
                sum = mix(sum, &value.as.integer, sizeof(value.as.integer));
            else if (value.type != LSQ_TYPE_NULL)
                sum = mix(sum, value.as.bytes.data, value.as.bytes.len);
        }
    if (last != NULL)
        *last = lsq_result_rows(res) == 0 ? -1 : lsq_result_int(res, lsq_result_rows(res) - 1, 0);
    lsq_result_free(res);
    return sum;
}

/* In pieces that a server's answer may have. */
static uint64_t mix_table(uint64_t sum, struct lsq_conn *conn, const char *table) {
    int64_t last = INT64_MIN;
    char sql[512];

    do {
        snprintf(sql, sizeof(sql),
                 "SELECT rowid, * FROM \"%s\" WHERE rowid > %lld ORDER BY rowid LIMIT 2000", table,
                 (long long)(last == INT64_MIN ? -1000000 : last));
        sum = mix_rows(sum, conn, sql, &last);
    } while (last != -1);
    return sum;
}

#define TABLES "FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%libsql%' ORDER BY name"

uint64_t content_of(struct lsq_conn *conn) {
    uint64_t sum =
        mix_rows(0xcbf29ce484222325u, conn,
                 "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2", NULL);
    struct lsq_result *tables;

    if (lsq_query(&tables, conn, "SELECT name " TABLES, NULL, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    for (size_t i = 0; i < lsq_result_rows(tables); i++)
        sum = mix_table(sum, conn, lsq_result_text(tables, i, 0));
    lsq_result_free(tables);
    return sum;
}

void expect_same(struct lsqi_replica *replica, struct lsq_conn *primary) {
    struct lsq_conn *reader;
    uint64_t want;

    replica_sync(replica);
    want = content_of(primary);
    reader = replica_reader(replica);
    assert_string_equal(ask_text(reader, "PRAGMA integrity_check"), "ok");
    assert_true(content_of(reader) == want);
    db_close(reader);
}

/* ---- Events ---- */

static atomic_int events[8];

static void on_event(const struct lsqi_replica_event *event, void *arg) {
    (void)arg;
    atomic_fetch_add(&events[event->kind], 1);
    if (event->kind == LSQI_REPLICA_SET_ASIDE)
        print_message("set aside: %s, at frame %llu\n", event->message,
                      (unsigned long long)event->frame);
}

void replica_events_begin(void) {
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) atomic_store(&events[i], 0);
    lsqi_on_replica_event(on_event, NULL);
}

int replica_events(enum lsqi_replica_event_kind kind) { return atomic_load(&events[kind]); }
