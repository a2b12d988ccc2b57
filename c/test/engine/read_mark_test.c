/* A reader may take a mark that is behind its snapshot (engine/patches/read-marks.patch): what a checkpoint may copy
 * beside it goes by the mark, and what it reads stays as it was. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "../support/raw.h"

/* Of the wal-index (https://sqlite.org/walformat.html, 2.2): how many, and where. */
enum { MARKS = 5, MARKS_AT = 100 };

enum {
    SLACK = 64, /* the patch's */
    READERS = 6,
    PAGES = 20,
    STEPS = 20000
};

static const char *path;

static sqlite3 *open_it(void) {
    sqlite3 *db = raw_open(path);

    raw_run(db, "PRAGMA cache_size = 1"); /* so that pages are read from the files */
    return db;
}

/* A row to a page. The engine is set up, too. */
static sqlite3 *new_file(void) {
    struct lsq_core_info info;
    sqlite3 *db;

    assert_int_equal(lsq_core_info(&info, &last_error), LSQ_OK);
    path = db_path();
    db = open_it();
    raw_run(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, fill BLOB)");
    for (int i = 0; i < PAGES; i++)
        raw_run(db, "INSERT INTO t (n, fill) VALUES (0, zeroblob(3000))");
    return db;
}

static void add(sqlite3 *db, int id) {
    char text[100];

    snprintf(text, sizeof(text), "UPDATE t SET n = n + 1 WHERE id = %d", id);
    raw_run(db, text);
}

static int64_t sum(sqlite3 *db) { return raw_ask(db, "SELECT sum(n) FROM t"); }

static int passive(sqlite3 *db, int *frames) {
    int done = -1;
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, frames, &done);

    assert_int_equal(rc, SQLITE_OK);
    return done;
}

static void read_marks(uint32_t marks[MARKS]) {
    char name[512];
    FILE *file;

    snprintf(name, sizeof(name), "%s-shm", path);
    file = fopen(name, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, MARKS_AT, SEEK_SET), 0);
    assert_int_equal(fread(marks, sizeof(marks[0]), MARKS, file), MARKS);
    (void)fclose(file);
}

static bool is_patched(void) {
    struct lsq_core_info info;

    return lsq_core_info(&info, &last_error) == LSQ_OK && strcmp(info.engine, "libsql") == 0;
}

/* ---- What it is for ---- */

static void a_mark_serves_for_some_commits(void **state) {
    sqlite3 *db = new_file();
    uint32_t before[MARKS];
    uint32_t after[MARKS];
    int changes = 0;

    (void)state;
    if (is_patched()) {
        for (int i = 0; i < 10 * SLACK; i++) {
            read_marks(before);
            add(db, 1);
            read_marks(after);
            changes += memcmp(before, after, sizeof(before)) != 0;
        }
        assert_in_range(changes, 10 - 1, 10 + 1);
    }
    sqlite3_close(db);
    if (!is_patched()) skip();
}

/* ---- What a reader sees ---- */

/* The last commits are seen, be the mark as it is; and kept from a checkpoint, until the reader is gone. */
static void a_checkpoint_stops_at_the_mark(void **state) {
    sqlite3 *db = new_file();
    sqlite3 *reader = open_it();
    int64_t added = 0;
    int frames;
    int done;

    (void)state;
    for (int i = 0; i < 3 * SLACK; i++) {
        add(db, i % PAGES + 1);
        added++;
        raw_run(reader, "BEGIN");
        assert_int_equal(sum(reader), added);
        done = passive(db, &frames);
        assert_in_range(frames - done, 0, SLACK);
        add(db, (i + 7) % PAGES + 1);
        (void)passive(db, &frames);
        assert_int_equal(sum(reader), added);
        added++;
        raw_run(reader, "COMMIT");
        if (i % 50 == 0) assert_int_equal(passive(db, &frames), frames);
    }
    sqlite3_close(reader);
    sqlite3_close(db);
}

struct reader {
    sqlite3 *db;
    int64_t sees;
    bool reads;
};

/* Of snapshots, commits, and checkpoints, in any order. */
static void random_step(sqlite3 *db, struct reader *readers, int64_t *added) {
    struct reader *one = &readers[rand() % READERS];
    const int modes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_FULL,
                         SQLITE_CHECKPOINT_RESTART, SQLITE_CHECKPOINT_TRUNCATE};

    switch (rand() % 8) {
    case 0: /* it may be refused: readers are not waited for */
        (void)sqlite3_wal_checkpoint_v2(db, NULL, modes[rand() % 4], NULL, NULL);
        return;
    case 1:
    case 2:
    case 3:
        add(db, rand() % PAGES + 1);
        ++*added;
        return;
    default: break;
    }
    if (one->reads) {
        assert_int_equal(sum(one->db), one->sees);
        if (rand() % 2 == 0) return;
        raw_run(one->db, "COMMIT");
    } else {
        raw_run(one->db, "BEGIN");
        one->sees = *added;
        assert_int_equal(sum(one->db), one->sees);
    }
    one->reads = !one->reads;
}

static void snapshots_stay(void **state) {
    sqlite3 *db = new_file();
    struct reader readers[READERS];
    int64_t added = 0;

    (void)state;
    srand((unsigned)test_seed());
    for (int i = 0; i < READERS; i++) readers[i] = (struct reader){.db = open_it()};
    for (int step = 0; step < STEPS; step++) random_step(db, readers, &added);
    for (int i = 0; i < READERS; i++) sqlite3_close(readers[i].db);
    assert_int_equal(sum(db), added);
    raw_is_whole(db);
    sqlite3_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_mark_serves_for_some_commits, db_forget),
        cmocka_unit_test_teardown(a_checkpoint_stops_at_the_mark, db_forget),
        cmocka_unit_test_teardown(snapshots_stay, db_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
