/* What the process knows of a file, and what it is told of it: figures of the line, of readers and of
 * checkpoints; and a WAL that somebody keeps from beginning again. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "../support/db.h"

enum { LIMIT = 50, PINNED = 8 * LIMIT };

static const struct lsq_setting settings[] = {
    {"journal_mode", "wal"},
    {"synchronous", "normal"},
    {"wal_autocheckpoint", "50"},
};

static struct lsq_conn *open_with_limit(const char *path) {
    struct lsq_config cfg = db_config(path);

    cfg.settings = settings;
    cfg.setting_count = sizeof(settings) / sizeof(settings[0]);
    cfg.busy_timeout = 60000;
    return db_open_as(&cfg);
}

static struct lsq_file_info info_of(struct lsq_conn *conn) {
    struct lsq_file_info info;

    assert_true(lsq_conn_file_info(conn, &info));
    return info;
}

/* ---- Which file ---- */

static void a_file_is_known_by_its_name_while_it_is_open(void **state) {
    const char *path = db_path();
    struct lsq_conn *conn;
    struct lsq_conn *other;
    struct lsq_file_info info;

    (void)state;
    assert_false(lsq_file_info(path, &info));
    assert_false(lsq_file_info(NULL, &info));
    conn = open_with_limit(path);
    other = open_with_limit(path);
    assert_true(lsq_file_info(path, &info));
    assert_int_equal(info.connections, 2);
    assert_int_equal(info.last_checkpoint.ago_ns, -1);
    db_close(other);
    assert_int_equal(info_of(conn).connections, 1);
    db_close(conn);
    assert_false(lsq_file_info(path, &info));
    conn = db_open(":memory:");
    assert_false(lsq_conn_file_info(conn, &info));
    db_close(conn);
}

/* ---- Counters ---- */

static void statements_and_pages_are_counted(void **state) {
    struct lsq_conn *conn = open_with_limit(db_path());
    struct lsq_file_info before = info_of(conn);
    struct lsq_file_info after;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    for (int i = 0; i < 3; i++) run(conn, "INSERT INTO t VALUES (1)");
    after = info_of(conn);
    assert_int_equal(after.cache_misses, before.cache_misses + 1);
    assert_int_equal(after.cache_hits, before.cache_hits + 2);
    assert_int_equal(after.turns, before.turns + 4);
    assert_int_equal(after.waited, 0);
    assert_true(after.page_cache_bytes > 4096);
    assert_true(after.wal_pages > 0 && after.wal_bytes > after.wal_pages * 4096);
    db_close(conn);
}

static void *insert_one(void *conn) {
    run(conn, "INSERT INTO t VALUES (2)");
    return NULL;
}

static void who_stands_in_line_is_counted(void **state) {
    const char *path = db_path();
    struct lsq_conn *conn = open_with_limit(path);
    struct lsq_conn *other = open_with_limit(path);
    struct lsq_file_info info;
    pthread_t thread;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    run(conn, "BEGIN IMMEDIATE");
    assert_int_equal(pthread_create(&thread, NULL, insert_one, other), 0);
    for (int i = 0; i < 1000 && info_of(conn).line == 0; i++) sleep_ms(5);
    assert_int_equal(info_of(conn).line, 1);
    assert_true(info_of(conn).held);
    assert_string_equal(info_of(conn).holder.statement, "BEGIN IMMEDIATE");
    sleep_ms(20);
    run(conn, "COMMIT");
    assert_int_equal(pthread_join(thread, NULL), 0);
    info = info_of(conn);
    assert_int_equal(info.line, 0);
    assert_int_equal(info.waited, 1);
    assert_true(info.wait_ns >= 20 * 1000000);
    /* Nothing shorter; how long beyond, is the machine's to say. */
    assert_int_equal(info.waits[0] + info.waits[1] + info.waits[2], 0);
    assert_int_equal(info.waits[3] + info.waits[4] + info.waits[5] + info.waits[6], 1);
    db_close(other);
    db_close(conn);
}

/* ---- Snapshots ---- */

static void a_snapshot_has_an_age_from_its_first_read_to_its_end(void **state) {
    const char *path = db_path();
    struct lsq_conn *conn = open_with_limit(path);
    struct lsq_conn *other = open_with_limit(path);
    int64_t age;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    assert_int_equal(info_of(conn).oldest_reader_ns, -1);
    assert_int_equal(exec(other, "BEGIN", NULL, &(struct lsq_call){.caller = 77}, NULL), LSQ_OK);
    assert_int_equal(info_of(conn).oldest_reader_ns, -1);
    run(other, "SELECT * FROM t");
    sleep_ms(20);
    run(other, "SELECT * FROM t");
    run(conn, "SELECT * FROM t");
    age = info_of(conn).oldest_reader_ns;
    assert_true(age >= 20 * 1000000);
    assert_int_equal(info_of(conn).oldest_reader_caller, 77);
    run(other, "ROLLBACK");
    assert_int_equal(info_of(conn).oldest_reader_ns, -1);
    db_close(other);
    db_close(conn);
}

static void a_cursor_has_one_too(void **state) {
    struct lsq_conn *conn = open_with_limit(db_path());
    struct lsq_stmt *stmt;
    bool end;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES (1), (2), (3)");
    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELECT a FROM t", 15, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(stmt, 1, NULL, NULL, NULL, &end, NULL), LSQ_OK);
    assert_true(info_of(conn).oldest_reader_ns >= 0);
    lsq_stmt_free(stmt);
    run(conn, "SELECT 1");
    assert_int_equal(info_of(conn).oldest_reader_ns, -1);
    db_close(conn);
}

static void the_fast_path_sees_to_it_too(void **state) {
    static const struct lsq_call fast = {.flags = LSQ_CALL_TRY};
    struct lsq_conn *conn = open_with_limit(db_path());

    (void)state;
    run(conn, "CREATE TABLE t (a INTEGER PRIMARY KEY)");
    assert_true(becomes_fast(conn, "SELECT a FROM t WHERE a = 1"));
    assert_int_equal(info_of(conn).oldest_reader_ns, -1);
    run(conn, "BEGIN");
    assert_int_equal(exec(conn, "SELECT a FROM t WHERE a = 1", NULL, &fast, NULL), LSQ_OK);
    assert_true(info_of(conn).oldest_reader_ns >= 0);
    run(conn, "COMMIT");
    assert_int_equal(info_of(conn).oldest_reader_ns, -1);
    db_close(conn);
}

/* ---- Events ---- */

static struct {
    atomic_int checkpoints;
    atomic_int pinned;
    atomic_int truncated;
    atomic_int wrong;
    _Atomic int64_t reader_ns;
    _Atomic int64_t wal_bytes;
} seen;

static void note(const struct lsq_file_event *event, void *arg) {
    if (arg != &seen || event->path == NULL || event->took_ns < 0 || event->done > event->pages)
        atomic_fetch_add(&seen.wrong, 1);
    if (event->kind == LSQ_FILE_CHECKPOINT) atomic_fetch_add(&seen.checkpoints, 1);
    if (event->mode == LSQ_CHECKPOINT_TRUNCATE) atomic_fetch_add(&seen.truncated, 1);
    if (event->kind != LSQ_FILE_WAL_PINNED) return;
    atomic_store(&seen.reader_ns, event->oldest_reader_ns);
    atomic_store(&seen.wal_bytes, event->wal_bytes);
    atomic_fetch_add(&seen.pinned, 1);
}

static void write_pages(struct lsq_conn *conn, int pages) {
    for (int i = 0; i < pages; i++) run(conn, "INSERT INTO t VALUES (printf('%3000d', 1))");
}

static void a_pinned_wal_is_told_once_and_shrinks_when_it_is_let_go(void **state) {
    const char *path = db_path();
    struct lsq_conn *conn = open_with_limit(path);
    struct lsq_conn *reader = open_with_limit(path);

    (void)state;
    memset(&seen, 0, sizeof(seen));
    lsq_on_file_event(note, &seen);
    run(conn, "CREATE TABLE t (a)");
    run(reader, "BEGIN");
    run(reader, "SELECT count(*) FROM t");
    sleep_ms(150); /* so old, that its end is worth a look */
    for (int i = 0; i < 100 && atomic_load(&seen.pinned) == 0; i++) {
        write_pages(conn, LIMIT);
        sleep_ms(5);
    }
    assert_int_equal(atomic_load(&seen.pinned), 1);
    assert_true(info_of(conn).wal_pinned);
    assert_true(atomic_load(&seen.reader_ns) >= 150 * 1000000);
    assert_true(atomic_load(&seen.wal_bytes) > PINNED * 4096);
    for (int i = 0; i < 4; i++) {
        write_pages(conn, LIMIT);
        sleep_ms(5);
    }
    assert_int_equal(atomic_load(&seen.pinned), 1);

    /* Nobody writes any more: the reader's end is enough. */
    run(reader, "COMMIT");
    for (int i = 0; i < 500 && (info_of(conn).wal_bytes > 0 || info_of(conn).wal_pinned); i++)
        sleep_ms(10);
    assert_int_equal(info_of(conn).wal_bytes, 0);
    assert_false(info_of(conn).wal_pinned);
    assert_true(info_of(conn).last_checkpoint.done > PINNED);
    assert_true(atomic_load(&seen.truncated) > 0);
    assert_int_equal(info_of(conn).checkpoints, atomic_load(&seen.checkpoints));
    assert_int_equal(atomic_load(&seen.wrong), 0);
    lsq_on_file_event(NULL, NULL);
    db_close(reader);
    db_close(conn);
}

#define TEST(name) cmocka_unit_test_teardown(name, db_forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_known_by_its_name_while_it_is_open),
        TEST(statements_and_pages_are_counted),
        TEST(who_stands_in_line_is_counted),
        TEST(a_snapshot_has_an_age_from_its_first_read_to_its_end),
        TEST(a_cursor_has_one_too),
        TEST(the_fast_path_sees_to_it_too),
        TEST(a_pinned_wal_is_told_once_and_shrinks_when_it_is_let_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
