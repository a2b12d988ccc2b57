/* Checkpoints by a worker: the WAL stays short, whoever writes, and nothing is lost or left behind. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/db.h"
#include "conn/conn.h"
#include "engine/walfile.h"
#include "file/record.h"

enum { LIMIT = 50, WRITERS = 4 };

static const struct lsq_setting settings[] = {
    {"journal_mode", "wal"},
    {"synchronous", "normal"},
    {"wal_autocheckpoint", "50"},
};

static struct lsq_config config(const char *path) {
    struct lsq_config cfg = db_config(path);

    cfg.settings = settings;
    cfg.setting_count = sizeof(settings) / sizeof(settings[0]);
    return cfg;
}

/* bytes; -1: there is none */
static long long size_of(const char *path, const char *suffix) {
    char name[512];
    struct stat st;

    snprintf(name, sizeof(name), "%s%s", path, suffix);
    return stat(name, &st) == 0 ? (long long)st.st_size : -1;
}

static struct lsq_conn *open_filled(const char *path) {
    struct lsq_config cfg = config(path);
    struct lsq_conn *conn = db_open_as(&cfg);

    run(conn, "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, who INTEGER, a TEXT)");
    return conn;
}

/* Bytes of a row: one page of WAL at least. */
static atomic_int row = 3000;

static void insert(struct lsq_conn *conn, int who) {
    enum lsq_status st = exec(conn, "INSERT INTO t (who, a) VALUES (?1, printf('%*d', ?2, 1))",
                              LSQ_PARAMS(lsq_int(who), lsq_int(atomic_load(&row))), NULL, NULL);

    if (st != LSQ_OK) fail_msg("%s", last_error.message);
}

static int64_t pages_in_file(struct lsq_conn *conn) { return size_of(db_file(conn), "") / 4096; }

/* The file itself grows while the connection stays open and asks for no checkpoint. */
static void the_file_gets_what_was_committed(void **state) {
    struct lsq_conn *conn = open_filled(db_path());

    (void)state;
    for (int i = 0; i < 4 * LIMIT; i++) insert(conn, 0);
    for (int i = 0; i < 6000 && pages_in_file(conn) < LIMIT; i++) sleep_ms(10);
    assert_true(pages_in_file(conn) >= LIMIT);
    db_close(conn);
}

static atomic_bool enough;

static void *write_rows(void *arg) {
    struct lsq_config cfg = config(arg);
    struct lsq_conn *conn;
    intptr_t rows = 0;

    cfg.busy_timeout = 60000;
    conn = db_open_as(&cfg);
    for (; !atomic_load(&enough); rows++) insert(conn, 0);
    db_close(conn);
    return (void *)rows;
}

/* A WAL that begins again has a new salt, and the number of its beginnings before it. */
static unsigned beginnings(const char *path) {
    unsigned char header[16] = {0};
    char name[512];
    FILE *wal;

    snprintf(name, sizeof(name), "%s-wal", path);
    wal = fopen(name, "rb");
    if (wal == NULL) return 0;
    (void)!fread(header, 1, sizeof(header), wal);
    fclose(wal);
    return (unsigned)header[14] << 8 | header[15];
}

static void beside_restless_writers_it_begins_again(void **state) {
    pthread_t threads[WRITERS];
    const char *path = db_path();
    struct lsq_conn *conn = open_filled(path);
    void *rows;
    int64_t all = 0;
    bool again = false;

    (void)state;
    insert(conn, 0);
    run(conn, "DELETE FROM t");
    atomic_store(&enough, false);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_rows, (void *)path), 0);
    for (int i = 0; i < 20000 && !again; i++) { /* slow disks */
        sleep_ms(10);
        again = beginnings(path) >= 3; /* it may be emptied right after that */
    }
    atomic_store(&enough, true);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], &rows), 0);
        all += (intptr_t)rows;
    }
    assert_true(again);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), all);
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    db_close(conn);
}

/* Each transaction is more than a checkpoint may leave behind. */
static void beside_writers_of_much_it_begins_again(void **state) {
    atomic_store(&row, 2 * LIMIT * 4096);
    beside_restless_writers_it_begins_again(state);
    atomic_store(&row, 3000);
}

/* The last close finds nobody else there, whatever a worker was about: the engine takes its files away. */
static void nothing_is_left_behind(void **state) {
    const char *path = db_path();

    (void)state;
    for (int round = 0; round < 100; round++) {
        struct lsq_conn *conn = open_filled(path);

        for (int i = 0; i < LIMIT / 2; i++) insert(conn, round);
        db_close(conn);
        assert_int_equal(size_of(path, "-wal"), -1);
        assert_int_equal(size_of(path, "-shm"), -1);
    }
}

/* Where a connection of the worker's own cannot read the file, the committing one does it. */
static void with_an_exclusive_lock(void **state) {
    const char *path = db_path();
    struct lsq_conn *conn = open_filled(path);

    (void)state;
    run(conn, "PRAGMA locking_mode = exclusive");
    /* A worker that has not found it so yet lets the WAL grow. */
    for (int i = 0; i < 1000 * LIMIT && beginnings(path) < 3; i++) insert(conn, 0);
    assert_true(beginnings(path) >= 3);
    for (int i = 0; i < 20 * LIMIT; i++) insert(conn, 0);
    assert_true(pages_in_file(conn) > 10 * LIMIT);
    db_close(conn);
}

static void with_a_key(void **state) {
    struct lsq_config cfg = config(db_path());
    struct lsq_core_info info;
    struct lsq_conn *conn;
    int rows = 0;

    (void)state;
    assert_int_equal(lsq_core_info(&info, NULL), LSQ_OK);
    if (!info.encryption) skip();
    cfg.key = "a key of many characters";
    cfg.key_len = strlen(cfg.key);
    conn = db_open_as(&cfg);
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, who INTEGER, a TEXT)");
    for (; rows < 1000 * LIMIT && beginnings(db_file(conn)) < 3; rows++) insert(conn, 0);
    assert_true(beginnings(db_file(conn)) >= 3);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), rows);
    db_close(conn);
    conn = db_open_as(&cfg);
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    db_close(conn);
}

/* A reader's snapshot holds the WAL; once it is gone, the WAL begins again. */
static void a_reader_pins_it_only_as_long_as_it_reads(void **state) {
    const char *path = db_path();
    struct lsq_conn *conn = open_filled(path);
    struct lsq_conn *reader = open_filled(path);

    (void)state;
    insert(conn, 0);
    run(reader, "BEGIN");
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 1);
    for (int i = 0; i < 10 * LIMIT; i++) insert(conn, 0);
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 1);
    assert_true(size_of(path, "-wal") / 4096 >= 10 * LIMIT);
    run(reader, "COMMIT");
    for (int i = 0; i < 12000 && pages_in_file(conn) < 10 * LIMIT; i++) {
        insert(conn, 0);
        sleep_ms(5);
    }
    assert_true(pages_in_file(conn) >= 10 * LIMIT);
    db_close(reader);
    db_close(conn);
}

enum { READERS = 4, READ_MS = 25 };

static void *read_on(void *arg) {
    struct lsq_config cfg = config(arg);
    struct lsq_conn *conn = db_open_as(&cfg);

    while (!atomic_load(&enough)) {
        run(conn, "BEGIN");
        (void)ask(conn, "SELECT max(id) FROM t");
        sleep_ms(READ_MS);
        run(conn, "COMMIT");
    }
    db_close(conn);
    return NULL;
}

/* One of them always reads, none for long: writers wait for them in the end. */
static void readers_without_an_end_do_not_keep_it(void **state) {
    pthread_t threads[READERS];
    const char *path = db_path();
    struct lsq_conn *conn = open_filled(path);
    int64_t until = now_ns() + INT64_C(100000000000);
    unsigned before;

    (void)state;
    insert(conn, 0);
    atomic_store(&enough, false);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, (void *)path), 0);
    sleep_ms(2 * READ_MS);
    before = beginnings(path);
    for (int i = 1; beginnings(path) == before && now_ns() < until; i++) {
        insert(conn, 0);
        if (i % 20 == 0) sleep_ms(1);
    }
    atomic_store(&enough, true);
    for (int i = 0; i < READERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(beginnings(path) != before);
    db_close(conn);
}

static bool is_ordered(struct lsqi_file *file) {
    bool ordered;

    pthread_mutex_lock(&file->lock);
    ordered = file->ordered;
    pthread_mutex_unlock(&file->lock);
    return ordered;
}

/* Somebody keeps checkpoints off: a worker that finds it so goes, and does not try without end. */
static void one_that_is_kept_off_ends(void **state) {
    struct lsq_conn *conn = open_filled(db_path());
    int64_t until = now_ns() + INT64_C(20000000000);
    sqlite3 *guard;

    (void)state;
    assert_int_equal(sqlite3_open(db_file(conn), &guard), SQLITE_OK);
    assert_int_equal(sqlite3_exec(guard, "SELECT * FROM t", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(lsqi_wal_hold(guard), SQLITE_OK);
    for (int i = 0; i < 4 * LIMIT; i++) insert(conn, 0);
    while (is_ordered(conn->file) && now_ns() < until) sleep_ms(10);
    assert_false(is_ordered(conn->file));
    assert_true(pages_in_file(conn) < LIMIT);
    lsqi_wal_release(guard);
    sqlite3_close(guard);
    /* Whoever did says so, and the next commit has one taken. */
    lsqi_file_look_again(conn->file);
    while (pages_in_file(conn) < 3 * LIMIT && now_ns() < until) {
        insert(conn, 0);
        sleep_ms(10);
    }
    assert_true(pages_in_file(conn) >= 3 * LIMIT);
    db_close(conn);
}

static int64_t checkpoints(struct lsq_conn *conn) {
    struct lsq_file_info info;

    assert_true(lsq_conn_file_info(conn, &info));
    return info.checkpoints;
}

/* Beside writers who are busy none is taken that can wait, and they are looked at after 10 ms; when they rest, one is. */
static void it_waits_for_calm(void **state) {
    struct lsq_conn *conn = open_filled(db_path());
    int64_t began = now_ns();
    int waited = 0;

    (void)state;
    for (int round = 0; round < 200 && waited < 3; round++) {
        int64_t before = checkpoints(conn);
        bool busy;

        began = now_ns();
        for (int i = 0; i < 2 * LIMIT; i++) insert(conn, 0);
        busy = is_ordered(conn->file) || checkpoints(conn) > before;
        /* On a slow machine they may have been found calm. */
        if (now_ns() - began < 9000000) {
            assert_false(busy);
            waited++;
        }
        for (int i = 0; i < 2000 && checkpoints(conn) == before; i++) sleep_ms(5);
        assert_true(checkpoints(conn) > before);
        while (is_ordered(conn->file)) sleep_ms(1);
        insert(conn, 0); /* the WAL begins again */
    }
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    db_close(conn);
}

/* What is scheduled when the file is closed, and the library is shut down, keeps neither. */
static void nobody_waits_for_calm_at_the_end(void **state) {
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct lsq_conn *conn = open_filled(db_path());

        for (int i = 0; i < LIMIT + round; i++) insert(conn, 0);
        db_close(conn);
        if (round % 2 == 0) lsq_shutdown();
    }
}

static void the_setting_is_ours(void **state) {
    struct lsq_conn *conn = open_filled(db_path());

    (void)state;
    assert_int_equal(ask(conn, "PRAGMA wal_autocheckpoint"), LIMIT);
    assert_int_equal(ask(conn, "PRAGMA wal_autocheckpoint = 0"), 0);
    for (int i = 0; i < 4 * LIMIT; i++) insert(conn, 0);
    sleep_ms(50);
    assert_true(pages_in_file(conn) < LIMIT);
    assert_int_equal(lsq_conn_reset(conn, NULL), LSQ_OK);
    assert_int_equal(ask(conn, "PRAGMA wal_autocheckpoint"), LIMIT);
    assert_int_equal(ask(conn, "PRAGMA wal_autocheckpoint = -5"), 0);
    assert_string_equal(ask_columns(conn, "PRAGMA wal_autocheckpoint"), "wal_autocheckpoint");
    db_close(conn);
    conn = db_open(NULL);
    assert_int_equal(ask(conn, "PRAGMA wal_autocheckpoint"), 1000);
    db_close(conn);
}

#define TEST(name) cmocka_unit_test_teardown(name, db_forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_file_gets_what_was_committed),
        TEST(beside_restless_writers_it_begins_again),
        TEST(beside_writers_of_much_it_begins_again),
        TEST(nothing_is_left_behind),
        TEST(with_an_exclusive_lock),
        TEST(with_a_key),
        TEST(readers_without_an_end_do_not_keep_it),
        TEST(a_reader_pins_it_only_as_long_as_it_reads),
        TEST(one_that_is_kept_off_ends),
        TEST(it_waits_for_calm),
        TEST(nobody_waits_for_calm_at_the_end),
        TEST(the_setting_is_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
