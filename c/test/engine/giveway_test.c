/* A checkpoint that gives way: what it is to sync is handed to the disk in pieces before that, with the processor left to
 * others in between; and what is in the file is the same. */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/db.h"
#include "conn/conn.h"
#include "engine/giveway.h"

enum { FRAME = 4096 + 24, HEADER = 32, PIECE = 64 * 1024 };

/* ---- What is asked of the system, of this program ---- */

static struct {
    int pieces; /* of the WAL */
    int whole;  /* times that all of a file is handed out */
    off_t from; /* what the pieces cover, if they are in order */
    off_t until;
    bool in_order;
    int yields;
} seen;

int sync_file_range(int fd, off_t from, off_t len, unsigned flags) {
    (void)fd;
    if ((flags & (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER)) != 0)
        seen.in_order = false;
    if (len == 0) {
        seen.whole++;
        return 0;
    }
    if (seen.pieces++ == 0) seen.from = seen.until = from;
    seen.in_order = seen.in_order && from == seen.until;
    seen.until = from + len;
    return 0;
}

int sched_yield(void) {
    seen.yields++;
    return 0;
}

static void begin_to_look(void) {
    memset(&seen, 0, sizeof(seen));
    seen.in_order = true;
}

/* ---- Checkpoints ---- */

/* With a WAL of many pages, and no checkpoint taken. */
static struct lsq_conn *open_filled(uint32_t *frames) {
    static const struct lsq_setting settings[] = {{"journal_mode", "wal"},
                                                  {"wal_autocheckpoint", "0"}};
    struct lsq_config cfg = db_config(db_path());
    struct lsq_file_info info;
    struct lsq_conn *conn;

    cfg.settings = settings;
    cfg.setting_count = sizeof(settings) / sizeof(settings[0]);
    conn = db_open_as(&cfg);
    run(conn, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(conn,
        "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
        "i < 3000) SELECT printf('%.3000c', 'a') FROM n");
    assert_true(lsq_conn_file_info(conn, &info));
    *frames = (uint32_t)info.wal_pages;
    assert_true(*frames > 3000);
    return conn;
}

/* By a connection of its own, as a worker's is. */
static void checkpoint(struct lsq_conn *conn, bool gives_way, uint32_t first, uint32_t frames) {
    const char *path = db_file(conn);
    int pages = 0;
    int done = 0;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL), SQLITE_OK);
    begin_to_look();
    if (gives_way) lsqi_giveway_begin();
    if (gives_way) lsqi_giveway_wal(path, first, frames);
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &done), SQLITE_OK);
    lsqi_giveway_end();
    assert_true(pages == (int)frames && done == pages);
    sqlite3_close(db);
}

static void expect_content(struct lsq_conn *conn) {
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    assert_int_equal(
        ask(conn, "SELECT count(*) FROM t WHERE length(b) = 3000 AND trim(b, 'a') = ''"), 3000);
}

static void hands_out_what_it_is_to_sync(void **state) {
    uint32_t frames;
    struct lsq_conn *conn = open_filled(&frames);

    (void)state;
    checkpoint(conn, true, 0, frames);
    assert_true(seen.in_order);
    assert_true(seen.from == HEADER && seen.until >= (off_t)HEADER + (off_t)frames * FRAME);
    /* The pages, each a row's, are in the file once. */
    assert_in_range(seen.whole, 3000 * 4096 / PIECE, frames * 4096 / PIECE + 1);
    assert_in_range(seen.yields, 1, seen.pieces + seen.whole);
    expect_content(conn);
    db_close(conn);
}

static void a_part_of_the_wal_may_be_enough(void **state) {
    uint32_t frames;
    struct lsq_conn *conn = open_filled(&frames);

    (void)state;
    checkpoint(conn, true, frames - 100, frames);
    assert_true(seen.in_order);
    assert_true(seen.from == (off_t)HEADER + (off_t)(frames - 100) * FRAME);
    assert_in_range(seen.pieces, 100 * FRAME / PIECE, 100 * FRAME / PIECE + 1);
    expect_content(conn);
    db_close(conn);
}

static void others_do_not(void **state) {
    uint32_t frames;
    struct lsq_conn *conn = open_filled(&frames);

    (void)state;
    checkpoint(conn, false, 0, frames);
    assert_int_equal(seen.pieces + seen.whole + seen.yields, 0);
    expect_content(conn);
    db_close(conn);
}

/* No WAL, one of nothing, of no sense, and one that is shorter than was said. */
static void what_is_no_wal_is_left_alone(void **state) {
    static const char headers[][HEADER + 1] = {
        "", "short", "\x37\x7f\x06\x82\0\x2d\xe2\x18\xff\xff\xff\xff                    ",
        "\x37\x7f\x06\x82\0\x2d\xe2\x18\0\0\0\0                    ",
        "\x37\x7f\x06\x82\0\x2d\xe2\x18\0\0\x10\0                    "};
    static const size_t lengths[] = {0, 5, HEADER, HEADER, HEADER};
    const char *path = db_path();
    char name[600];

    (void)state;
    lsqi_giveway_begin();
    begin_to_look();
    lsqi_giveway_wal(path, 0, UINT32_MAX);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        FILE *wal;

        snprintf(name, sizeof(name), "%s-wal", path);
        wal = fopen(name, "wb");
        assert_non_null(wal);
        assert_int_equal(fwrite(headers[i], 1, lengths[i], wal), lengths[i]);
        assert_int_equal(fclose(wal), 0);
        lsqi_giveway_wal(path, 0, UINT32_MAX);
        lsqi_giveway_wal(path, UINT32_MAX, 0);
    }
    assert_int_equal(seen.pieces + seen.whole, 0);
    /* A name that leaves no room. */
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    lsqi_giveway_wal(name, 0, 1);
    lsqi_giveway_end();
}

#define TEST(name) cmocka_unit_test_teardown(name, db_forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(hands_out_what_it_is_to_sync),
        TEST(a_part_of_the_wal_may_be_enough),
        TEST(others_do_not),
        TEST(what_is_no_wal_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
