/* Several replicas of one primary, in one program and in two; and a server that is itself a replica of another. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "../support/primary.h"

enum { LOOPS = 60, EACH = 100000 };

static struct sqld sqld;
static struct sqld second;

static int forget(void **state) {
    sqld_kill(&second);
    sqld_kill(&sqld);
    lsq_shutdown();
    return db_forget(state);
}

static struct lsq_conn *open_replica(const char *path, const char *url) {
    static const struct lsq_remote remote = {.proxy = "", .retry_time = 2000, .timeout = 60000};
    struct lsq_config cfg = db_config(path);

    cfg.primary = url;
    cfg.remote = &remote;
    return db_open_as(&cfg);
}

static struct lsq_conn *begin(void) {
    struct lsq_conn *server;

    sqld_start(&sqld, NULL);
    server = primary_conn(&sqld);
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, who INTEGER, b)");
    run(server, "INSERT INTO t VALUES (1, 0, 'first')");
    return server;
}

/* Writes, and reads each of its writes; LOOPS / 6 of them are transactions, and as many are taken back. */
static int write_as(struct lsq_conn *conn, int who) {
    char sql[160];
    int unseen = 0;
    int rows = 0;

    for (int i = 0; i < LOOPS; i++) {
        int id = who * EACH + i;

        if (i % 6 == 0) {
            run(conn, "BEGIN IMMEDIATE");
            snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (%d, %d, randomblob(2000))", id, who);
            run(conn, sql);
            run(conn, "COMMIT");
            rows++;
        } else if (i % 6 == 1) {
            snprintf(sql, sizeof(sql), "DELETE FROM t WHERE id = %d", id - 1);
            run(conn, sql);
            rows--;
        } else {
            snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (%d, %d, 'x')", id, who);
            run(conn, sql);
            rows++;
        }
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM t WHERE who = %d", who);
        unseen += ask(conn, sql) != rows;
    }
    return unseen;
}

/* In step after a sync, with what the primary has. */
static void expect_content(struct lsq_conn *conn, uint64_t content) {
    assert_int_equal(lsq_sync(conn, NULL, NULL, &last_error), LSQ_OK);
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    assert_true(content_of(conn) == content);
}

/* ---- Two files of one program ---- */

struct writer {
    pthread_t thread;
    struct lsq_conn *conn;
    int who;
    int unseen;
};

static void *write_on_thread(void *arg) {
    struct writer *writer = arg;

    writer->unseen = write_as(writer->conn, writer->who);
    return NULL;
}

static void two_files_of_one_program(void **state) {
    struct lsq_conn *server = begin();
    const char *path[2] = {replica_path(), replica_path()};
    struct writer writers[4];
    uint64_t content;

    (void)state;
    for (int i = 0; i < 4; i++) {
        writers[i] = (struct writer){.conn = open_replica(path[i % 2], sqld.url), .who = i + 1};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on_thread, &writers[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(writers[i].thread, NULL);
    for (int i = 0; i < 4; i++) assert_int_equal(writers[i].unseen, 0);
    content = content_of(server);
    assert_int_equal(ask(server, "SELECT count(*) FROM t"), 1 + 4 * (LOOPS - LOOPS / 3));
    for (int i = 0; i < 4; i++) {
        expect_content(writers[i].conn, content);
        db_close(writers[i].conn);
    }
    db_close(server);
}

/* ---- Two programs ---- */

static int write_as_program(const char *argument) {
    char path[256];
    char url[128];
    int who;
    char byte;
    struct lsq_conn *conn;
    uint64_t content;

    if (sscanf(argument, "%255s %127s %d", path, url, &who) != 3) return 2;
    conn = open_replica(path, url);
    (void)!write(1, "r", 1);
    if (write_as(conn, who) != 0) return 3;
    (void)!write(1, "w", 1);
    (void)!read(0, &byte, 1); /* until the other has written, too */
    if (lsq_sync(conn, NULL, NULL, NULL) != LSQ_OK) return 4;
    content = content_of(conn);
    if (write(1, &content, sizeof(content)) != sizeof(content)) return 5;
    db_close(conn);
    return 0;
}

static const struct child_role roles[] = {{"write", write_as_program}};

static void two_programs(void **state) {
    struct lsq_conn *server = begin();
    struct lsq_conn *mine = open_replica(replica_path(), sqld.url);
    char argument[400];
    struct child child;
    uint64_t theirs;

    (void)state;
    snprintf(argument, sizeof(argument), "%s %s 2", replica_path(), sqld.url);
    child = child_begin("write", argument);
    child_ready(&child);
    assert_int_equal(write_as(mine, 1), 0);
    child_ready(&child);
    assert_int_equal(write(child.to, "g", 1), 1);
    assert_int_equal(read(child.from, &theirs, sizeof(theirs)), sizeof(theirs));
    assert_int_equal(child_end(&child), 0);
    assert_true(theirs == content_of(server));
    expect_content(mine, theirs);
    db_close(mine);
    db_close(server);
}

/* ---- A server that follows another one ---- */

static void begin_chain(char *grpc, const char **first, const char **other) {
    static char listen[64];

    snprintf(listen, sizeof(listen), "127.0.0.1:%d", free_port());
    snprintf(grpc, 80, "http://%s", listen);
    first[0] = "--grpc-listen-addr";
    first[1] = listen;
    first[2] = NULL;
    other[0] = "--primary-grpc-url";
    other[1] = grpc;
    other[2] = NULL;
}

static void a_replica_of_a_replica(void **state) {
    static char grpc[80];
    static const char *first[3];
    static const char *other[3];
    struct lsq_conn *server;
    struct lsq_conn *replica;
    uint64_t content;

    (void)state;
    begin_chain(grpc, first, other);
    sqld_start(&sqld, first);
    server = primary_conn(&sqld);
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, who INTEGER, b)");
    run(server, "INSERT INTO t VALUES (1, 0, 'first')");
    sqld_start(&second, other);
    replica = open_replica(replica_path(), second.url);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 1);
    assert_int_equal(write_as(replica, 1), 0);
    run(server, "INSERT INTO t VALUES (2, 0, 'of the first')");
    content = content_of(server);
    expect_content(replica, content);
    db_close(replica);
    db_close(server);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(two_files_of_one_program, forget),
        cmocka_unit_test_teardown(two_programs, forget),
        cmocka_unit_test_teardown(a_replica_of_a_replica, forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
