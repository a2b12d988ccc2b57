/* A WAL looked at from below: how far it is, its frames, the lock of checkpoints, and which of its frames are new. */
#include <stdlib.h>

#include <sqlite3.h>

#include "../support/db.h"
#include "engine/engine.h"
#include "engine/walfile.h"

enum { PAGE = 4096, HEADER = 24 };

static sqlite3 *open_db(const char *path) {
    sqlite3 *db = NULL;

    assert_int_equal(lsqi_engine_init(NULL), LSQ_OK);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(
            db, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; SELECT * FROM sqlite_schema",
            NULL, NULL, NULL),
        SQLITE_OK);
    return db;
}

static void do_sql(sqlite3 *db, const char *sql) {
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void counts_and_reads_frames(void **state) {
    sqlite3 *db = open_db(db_path());
    static unsigned char frame[HEADER + PAGE];
    struct lsqi_wal_mark before;
    struct lsqi_wal_mark now;
    uint32_t first;

    (void)state;
    do_sql(db, "CREATE TABLE t (a, b)");
    assert_int_equal(lsqi_wal_look(db, &before), SQLITE_OK);
    assert_true(before.frames > 0);
    do_sql(db, "INSERT INTO t VALUES (1, 'a word that is looked for')");
    assert_int_equal(lsqi_wal_look(db, &now), SQLITE_OK);
    assert_true(lsqi_wal_beyond(&before, &now, &first));
    assert_int_equal(first, before.frames);
    assert_int_equal(now.frames, before.frames + 1);
    assert_int_equal(lsqi_wal_sync(db), SQLITE_OK);
    assert_int_equal(lsqi_wal_read(db, now.frames, frame, PAGE), SQLITE_OK);
    assert_memory_equal(frame + 8, now.salts, 8);
    assert_int_equal(frame[3], 2); /* the page */
    assert_int_equal(frame[7], 2); /* and how many there are: it ends a transaction */
    assert_non_null(memmem(frame, sizeof(frame), "looked for", 10));
    assert_int_not_equal(lsqi_wal_read(db, now.frames + 1, frame, PAGE), SQLITE_OK);
    sqlite3_close(db);
}

static void keeps_checkpoints_off(void **state) {
    const char *path = db_path();
    sqlite3 *guard = open_db(path);
    sqlite3 *db = open_db(path);
    int log = 0;
    int done = 0;

    (void)state;
    do_sql(db, "CREATE TABLE t (a, b)");
    assert_int_equal(lsqi_wal_hold(guard), SQLITE_OK);
    for (int mode = SQLITE_CHECKPOINT_PASSIVE; mode <= SQLITE_CHECKPOINT_TRUNCATE; mode++)
        assert_int_equal(sqlite3_wal_checkpoint_v2(db, NULL, mode, &log, &done), SQLITE_BUSY);
    do_sql(db, "INSERT INTO t VALUES (1, 2)");
    lsqi_wal_release(guard);
    assert_int_equal(sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &log, &done),
                     SQLITE_OK);
    sqlite3_close(db);
    sqlite3_close(guard);
}

/* By the engine itself: a WAL that is begun anew, once by who finds all of it in the file, once emptied. */
static void knows_a_wal_that_is_begun_anew(void **state) {
    sqlite3 *db = open_db(db_path());
    struct lsqi_wal_mark mark;
    struct lsqi_wal_mark now;
    uint32_t first = 77;

    (void)state;
    do_sql(db, "CREATE TABLE t (a, b)");
    for (int i = 0; i < 3; i++) {
        do_sql(db, i < 2 ? "PRAGMA wal_checkpoint(PASSIVE)" : "PRAGMA wal_checkpoint(TRUNCATE)");
        assert_int_equal(lsqi_wal_look(db, &mark), SQLITE_OK);
        do_sql(db, "INSERT INTO t VALUES (1, 2)");
        assert_int_equal(lsqi_wal_look(db, &now), SQLITE_OK);
        assert_true(lsqi_wal_beyond(&mark, &now, &first));
        assert_true(first == 0 && now.frames > 0);
    }
    sqlite3_close(db);
}

static struct lsqi_wal_mark mark(unsigned char salt, unsigned char other, uint32_t frames) {
    return (struct lsqi_wal_mark){.salts = {0, 0, 0, salt, other}, .frames = frames};
}

static void tells_another_wal(void **state) {
    const struct {
        struct lsqi_wal_mark from;
        struct lsqi_wal_mark now;
        int first; /* -1: it is another */
    } cases[] = {
        {mark(5, 1, 3), mark(5, 1, 3), 3},  {mark(5, 1, 3), mark(5, 1, 9), 3},
        {mark(5, 1, 3), mark(5, 1, 2), -1}, {mark(5, 1, 3), mark(6, 9, 2), 0},
        {mark(5, 1, 3), mark(7, 9, 2), -1}, {mark(5, 1, 3), mark(5, 2, 9), -1},
        {mark(5, 1, 3), mark(0, 0, 0), -1}, {mark(0, 0, 0), mark(0, 0, 0), 0},
        {mark(0, 0, 0), mark(99, 7, 4), 0}, {mark(6, 1, 0), mark(99, 7, 4), 0},
        {mark(6, 1, 0), mark(5, 7, 4), 4},  {mark(6, 1, 0), mark(6, 1, 4), 0},
    };
    uint32_t first;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool same = lsqi_wal_beyond(&cases[i].from, &cases[i].now, &first);

        if (same != (cases[i].first >= 0) || (same && first != (uint32_t)cases[i].first))
            fail_msg("case %zu: %d, %u", i, same, (unsigned)first);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(counts_and_reads_frames, db_forget),
        cmocka_unit_test_teardown(keeps_checkpoints_off, db_forget),
        cmocka_unit_test_teardown(knows_a_wal_that_is_begun_anew, db_forget),
        cmocka_unit_test(tells_another_wal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
