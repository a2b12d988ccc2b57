/* A replica whose disk or server is not what it was: it heals by itself, and nothing of anybody's is lost. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/primary.h"
#include "repl/meta.h"

static struct sqld server;

static int forget(void **state) {
    sqld_kill(&server);
    return db_forget(state);
}

/* It is opened, and whatever was wrong is mended by a sync. */
static void expect_healed(const char *path, struct lsq_conn *primary, int asides) {
    struct lsqi_replica *replica = replica_open(path, &server);

    run(primary, "INSERT INTO t (b) VALUES ('after')");
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), asides);
    replica_close(replica);
    replica_events_begin();
    replica = replica_open(path, &server);
    assert_true(lsqi_replica_usable(replica));
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    replica_close(replica);
}

static void write_at(const char *name, long at, const void *bytes, size_t len) {
    int fd = open(name, O_WRONLY);

    assert_true(fd >= 0 && pwrite(fd, bytes, len, at) == (ssize_t)len);
    close(fd);
}

/* ---- The disk ---- */

static void makes_a_missing_file_anew(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_made(&server);

    (void)state;
    assert_int_equal(unlink(path), 0);
    expect_healed(path, primary, 1);
    db_close(primary);
}

static void sets_another_file_aside(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_made(&server);
    struct lsq_conn *conn;

    (void)state;
    conn = db_open(beside(path, ".other"));
    run(conn, "CREATE TABLE mine (a)");
    run(conn, "INSERT INTO mine VALUES (42)");
    db_close(conn);
    assert_int_equal(rename(beside(path, ".other"), path), 0);
    expect_healed(path, primary, 1);
    conn = db_open(beside(path, "-aside-own-1"));
    assert_int_equal(ask(conn, "SELECT a FROM mine"), 42);
    db_close(conn);
    db_close(primary);
}

static void rebuilds_what_is_damaged(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_made(&server);
    static const char junk[200] = "no database";

    (void)state;
    write_at(path, 0, junk, sizeof(junk));
    expect_healed(path, primary, 1);
    /* A file that lost its end. */
    assert_int_equal(truncate(path, 8192), 0);
    expect_healed(path, primary, 1);
    assert_true(exists(path, "-aside-1") && exists(path, "-aside-2") && !exists(path, "-aside-3"));
    db_close(primary);
}

static void takes_a_torn_slot_of_metadata_for_none(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_made(&server);
    const char *meta = beside(path, "-replica");
    struct lsqi_replica *replica = replica_open(path, &server);

    (void)state;
    for (int i = 0; i < 3; i++) {
        run(primary, "INSERT INTO t (b) VALUES (5)");
        replica_sync(replica);
    }
    replica_close(replica);
    /* Any one of three: the position is at most one exchange older, and that is told by it. */
    for (int slot = 0; slot < 3; slot++) {
        write_at(meta, slot * 4096L + 30, "torn", 4);
        expect_healed(path, primary, 0);
    }
    for (int slot = 0; slot < 3; slot++) write_at(meta, slot * 4096L + 30, "torn", 4);
    expect_healed(path, primary, 1);
    db_close(primary);
}

static void does_not_touch_a_file_of_somebody(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_path();
    struct lsq_conn *conn = db_open(path);
    struct lsqi_replica *replica;

    (void)state;
    run(conn, "CREATE TABLE mine (a)");
    assert_int_equal(replica_try(path, server.url, false), LSQ_ALREADY_OPEN);
    db_close(conn);
    assert_int_equal(replica_try(path, server.url, false), LSQ_NOT_A_REPLICA);
    assert_int_equal(lsqi_replica_check_plain(path, NULL), LSQ_OK);
    conn = db_open(path);
    assert_int_equal(ask(conn, "SELECT count(*) FROM mine"), 0);
    db_close(conn);
    replica_events_begin();
    assert_int_equal(replica_try(path, server.url, true), LSQ_OK);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 1);
    assert_int_equal(lsqi_replica_check_plain(path, NULL), LSQ_ALREADY_OPEN);
    conn = db_open(beside(path, "-aside-own-1"));
    assert_int_equal(ask(conn, "SELECT count(*) FROM mine"), 0);
    db_close(conn);
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    replica_close(replica);
    /* By another name it is the same file. */
    assert_int_equal(symlink(path, beside(path, ".link")), 0);
    assert_int_equal(lsqi_replica_check_plain(beside(path, ".link"), NULL), LSQ_ALREADY_OPEN);
    assert_int_equal(replica_try(beside(path, ".link"), server.url, false), LSQ_BAD_ARGUMENT);
    db_close(primary);
}

/* ---- Roles ---- */

static int hold(const char *path) {
    char byte;
    struct lsqi_replica *replica = replica_open_at(path, "http://127.0.0.1:1");

    (void)!write(1, "r", 1);
    (void)!read(0, &byte, 1);
    replica_close(replica);
    return 0;
}

static const struct child_role roles[] = {{"hold", hold}};

static void has_one_process(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_made(&server);
    struct child child = child_begin("hold", path);

    (void)state;
    child_ready(&child);
    assert_int_equal(replica_try(path, server.url, false), LSQ_ALREADY_OPEN);
    assert_int_equal(child_end(&child), 0);
    assert_int_equal(replica_try(path, server.url, false), LSQ_OK);
    child = child_begin("hold", path);
    child_ready(&child);
    kill(child.pid, SIGKILL);
    (void)child_end(&child);
    expect_healed(path, primary, 0);
    db_close(primary);
}

static void is_shared_by_who_opens_it(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_path();
    struct lsqi_replica *one = replica_open(path, &server);
    struct lsqi_replica *two = replica_open(path, &server);

    (void)state;
    assert_ptr_equal(one, two);
    assert_int_equal(replica_try(path, "http://127.0.0.1:1", false), LSQ_ALREADY_OPEN);
    assert_int_equal(lsqi_replica_check_plain(path, NULL), LSQ_ALREADY_OPEN);
    lsqi_replica_unref(two);
    expect_same(one, primary);
    replica_close(one);
    db_close(primary);
}

static void becomes_an_ordinary_database(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_made(&server);
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsqi_replica_sync sync = {.done = NULL};
    struct lsq_conn *conn;

    (void)state;
    assert_int_equal(lsqi_replica_freeze(replica, &last_error), LSQ_OK);
    assert_int_equal(lsqi_replica_sync(replica, &sync, &last_error), LSQ_CLOSED);
    replica_close(replica);
    assert_int_equal(lsqi_replica_check_plain(path, NULL), LSQ_OK);
    conn = db_open(path);
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 4);
    db_close(conn);
    assert_int_equal(replica_try(path, server.url, false), LSQ_NOT_A_REPLICA);
    db_close(primary);
}

/* ---- The server ---- */

static void reads_on_without_a_server(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_made(&server);
    struct lsqi_replica *replica;
    struct lsqi_replica *new_one;
    struct lsqi_replica_info info;
    struct lsq_conn *reader;
    int64_t began;

    (void)state;
    db_close(primary);
    sqld_kill(&server);
    replica = replica_open(path, &server);
    new_one = replica_open(replica_path(), &server);
    assert_true(lsqi_replica_usable(replica));
    began = now_ns();
    assert_int_equal(lsqi_replica_sync_wait(replica, 0, 0, NULL, NULL, NULL, &last_error),
                     LSQ_UNREACHABLE);
    assert_true(now_ns() - began < 60000000000);
    lsqi_replica_info(replica, &info);
    assert_int_equal(info.failures, 1);
    assert_int_equal(info.last_error.status, LSQ_UNREACHABLE);
    reader = replica_reader(replica);
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 3);
    db_close(reader);
    assert_int_equal(lsqi_replica_sync_wait(new_one, 0, 0, NULL, NULL, NULL, &last_error),
                     LSQ_UNREACHABLE);
    assert_false(lsqi_replica_usable(new_one));
    sqld_restart(&server);
    primary = primary_conn(&server);
    /* The breaker of the address looks every half second. */
    for (int i = 0; i < 100; i++) {
        if (lsqi_replica_sync_wait(new_one, 0, 0, NULL, NULL, NULL, &last_error) == LSQ_OK) break;
        sleep_ms(100);
    }
    expect_same(new_one, primary);
    expect_same(replica, primary);
    db_close(primary);
    lsqi_replica_unref(new_one);
    replica_close(replica);
}

static void stop_gently(void) {
    kill(server.pid, SIGTERM);
    while (waitpid(server.pid, NULL, 0) != server.pid) continue;
    server.pid = 0;
    sqld_restart(&server);
}

/* Between a gentle end and the next start, a command of the shell with the server's folder in it. */
static void stop_and(const char *what) {
    char command[600];

    kill(server.pid, SIGTERM);
    while (waitpid(server.pid, NULL, 0) != server.pid) continue;
    server.pid = 0;
    snprintf(command, sizeof(command), what, server.dir, server.dir, server.dir);
    assert_int_equal(system(command), 0);
    sqld_restart(&server);
}

/* Its sessions are gone, its log is not. */
static void greets_a_server_that_was_restarted(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    struct lsqi_replica *replica = replica_open(replica_path(), &server);
    struct lsqi_replica_info info;

    (void)state;
    expect_same(replica, primary);
    db_close(primary);
    stop_gently();
    primary = primary_conn(&server);
    run(primary, "INSERT INTO t (b) VALUES (7)");
    replica_events_begin();
    expect_same(replica, primary);
    lsqi_replica_info(replica, &info);
    assert_int_equal(info.failures, 0);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 0);
    db_close(primary);
    replica_close(replica);
}

static void takes_on_another_history_under_open_readers(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsq_conn *reader;
    struct lsq_conn *snapshot;
    struct lsq_conn *idle;
    char command[300];

    (void)state;
    expect_same(replica, primary);
    db_close(primary);
    lsqi_replica_wrote(replica, 100000);
    reader = replica_reader(replica);
    snapshot = replica_reader(replica);
    idle = replica_reader(replica);
    assert_int_equal(ask(idle, "SELECT count(*) FROM t"), 3);
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 3);
    run(snapshot, "BEGIN");
    assert_int_equal(ask(snapshot, "SELECT count(*) FROM t"), 3);
    sqld_kill(&server);
    snprintf(command, sizeof(command), "rm -rf '%s'", server.dir);
    assert_int_equal(system(command), 0);
    sqld_restart(&server);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE other (a)");
    run(primary, "INSERT INTO other VALUES ('new')");
    replica_events_begin();
    replica_sync(replica);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 1);
    assert_int_equal(lsqi_replica_written(replica), 0);
    assert_string_equal(ask_text(reader, "SELECT a FROM other"), "new");
    expect(LSQ_SQL, reader, "SELECT * FROM t");
    run(primary, "INSERT INTO other VALUES (zeroblob(5000))");
    run(primary, "DELETE FROM other WHERE a <> 'new'");
    replica_sync(replica);
    assert_int_equal(ask(snapshot, "SELECT count(*) FROM t"), 3);
    run(snapshot, "COMMIT");
    /* Its schema is the first history's; the number of it would be what it is again. */
    assert_int_equal(ask(idle, "SELECT count(*) FROM other"), 1);
    db_close(idle);
    db_close(snapshot);
    db_close(reader);
    expect_same(replica, primary);
    replica_close(replica);
    reader = db_open(beside(path, "-aside-1"));
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 3);
    db_close(reader);
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

/* The server's folder becomes what it was when it was copied: the same log, other frames of the same numbers. */
static void sees_that_the_server_was_restored(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    struct lsqi_replica *replica = replica_open(replica_path(), &server);

    (void)state;
    run(primary, "CREATE TABLE u AS SELECT * FROM t");
    expect_same(replica, primary);
    db_close(primary);
    stop_and("cp -r '%s/.' '%s.copy'");
    primary = primary_conn(&server);
    for (int i = 0; i < 5; i++) run(primary, "INSERT INTO u VALUES (7, 'lost')");
    expect_same(replica, primary);
    db_close(primary);
    stop_and("rm -rf '%s' && mv '%s.copy' '%s'");
    primary = primary_conn(&server);
    for (int i = 0; i < 9; i++) run(primary, "INSERT INTO t (b) VALUES ('other')");
    run(primary, "CREATE TABLE also (a)");
    replica_events_begin();
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 1);
    run(primary, "INSERT INTO also VALUES (1)");
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    replica_close(replica);
    db_close(primary);
}

/* At each time that something was put in, all that the file had before must be there, too. */
static struct lsq_conn *gap_reader;
static int gap_events;

static void on_gap_event(const struct lsqi_replica_event *event, void *arg) {
    (void)arg;
    if (event->kind != LSQI_REPLICA_SYNCED) return;
    if (gap_events++ > 0) return;
    if (event->frames < 4500) gap_events = 100;
}

static void replaces_what_a_reader_found_damaged(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsq_conn *reader;

    (void)state;
    expect_same(replica, primary);
    reader = replica_reader(replica);
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 3);
    write_at(path, 4096, "damage", 6);
    lsqi_replica_distrust(replica);
    replica_events_begin();
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 3);
    db_close(reader);
    replica_close(replica);
    db_close(primary);
}

/* Frames that the file may have already come again: they go in together, or not at all. */
static void closes_a_gap_in_one_transaction(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_path();
    const char *meta = beside(path, "-replica");
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsqi_meta before;
    struct lsqi_meta after;
    struct lsq_conn *reader;
    uint64_t content;

    (void)state;
    expect_same(replica, primary);
    replica_close(replica);
    assert_int_equal(lsqi_meta_read(&before, meta, NULL, NULL), LSQ_OK);
    /* Three transactions that all change the same pages, each longer than what is applied at a time. */
    run(primary, "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                 "WHERE i < 1500) SELECT zeroblob(3500) FROM n");
    run(primary, "UPDATE t SET b = randomblob(3500)");
    run(primary, "UPDATE t SET b = randomblob(3501)");
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    replica_close(replica);
    content = content_of(primary);
    /* As after a power cut before the position was on the disk. */
    assert_int_equal(lsqi_meta_read(&after, meta, NULL, NULL), LSQ_OK);
    before.target = after.applied;
    before.target_checksum = after.checksum;
    before.coming = after.mark;
    before.sequence = after.sequence;
    assert_int_equal(lsqi_meta_write(&before, meta, NULL, LSQI_META_DURABLE, NULL), LSQ_OK);
    replica = replica_open(path, &server);
    assert_true(lsqi_replica_applied(replica) == before.applied - 1);
    run(primary, "INSERT INTO t (b) VALUES ('last')");
    gap_reader = replica_reader(replica);
    assert_true(content_of(gap_reader) == content);
    gap_events = 0;
    lsqi_on_replica_event(on_gap_event, NULL);
    replica_sync(replica);
    lsqi_on_replica_event(NULL, NULL);
    assert_in_range(gap_events, 1, 2);
    db_close(gap_reader);
    reader = replica_reader(replica);
    assert_string_equal(ask_text(reader, "SELECT b FROM t ORDER BY a DESC LIMIT 1"), "last");
    db_close(reader);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

/* Small logs, compacted after each megabyte: what is older comes by snapshots. */
static void takes_snapshots_of_a_compacted_log(void **state) {
    static const char *const args[] = {"--max-log-size", "1", NULL};
    struct lsqi_replica *old;
    struct lsqi_replica *new_one;
    struct lsq_conn *primary;

    (void)state;
    sqld_start(&server, args);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    old = replica_open(replica_path(), &server);
    expect_same(old, primary);
    for (int i = 0; i < 12; i++) {
        run(primary, "INSERT INTO t (b) VALUES (randomblob(300000)), (1)");
        run(primary, "UPDATE t SET b = randomblob(1000) WHERE a % 3 = 0");
        sleep_ms(100);
    }
    run(primary, "DELETE FROM t WHERE a < 10");
    sleep_ms(1500);
    run(primary, "INSERT INTO t (b) VALUES ('last')");
    replica_events_begin();
    expect_same(old, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 0);
    new_one = replica_open(replica_path(), &server);
    expect_same(new_one, primary);
    /* What came by a snapshot is known again by a server that was restarted. */
    db_close(primary);
    stop_gently();
    primary = primary_conn(&server);
    expect_same(new_one, primary);
    expect_same(old, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 0);
    lsqi_replica_unref(new_one);
    replica_close(old);
    db_close(primary);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(makes_a_missing_file_anew, forget),
        cmocka_unit_test_teardown(sets_another_file_aside, forget),
        cmocka_unit_test_teardown(rebuilds_what_is_damaged, forget),
        cmocka_unit_test_teardown(takes_a_torn_slot_of_metadata_for_none, forget),
        cmocka_unit_test_teardown(does_not_touch_a_file_of_somebody, forget),
        cmocka_unit_test_teardown(has_one_process, forget),
        cmocka_unit_test_teardown(is_shared_by_who_opens_it, forget),
        cmocka_unit_test_teardown(becomes_an_ordinary_database, forget),
        cmocka_unit_test_teardown(reads_on_without_a_server, forget),
        cmocka_unit_test_teardown(greets_a_server_that_was_restarted, forget),
        cmocka_unit_test_teardown(takes_on_another_history_under_open_readers, forget),
        cmocka_unit_test_teardown(sees_that_the_server_was_restored, forget),
        cmocka_unit_test_teardown(replaces_what_a_reader_found_damaged, forget),
        cmocka_unit_test_teardown(closes_a_gap_in_one_transaction, forget),
        cmocka_unit_test_teardown(takes_snapshots_of_a_compacted_log, forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
