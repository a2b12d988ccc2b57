/* A transaction that begins by writing may take a read mark that is behind its snapshot (engine/patches/
 * read-marks.patch): what a checkpoint copies beside it goes by the mark, and what it reads stays as it was. */
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

/* How many frames a checkpoint leaves. */
static int left_by(sqlite3 *db, int mode) {
    int frames = -1;
    int done = -1;

    assert_int_equal(sqlite3_wal_checkpoint_v2(db, NULL, mode, &frames, &done), SQLITE_OK);
    return frames - done;
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

/* ---- What it is for ---- */

static void a_mark_serves_for_some_commits(void **state) {
    struct lsq_core_info info;
    uint32_t before[MARKS];
    uint32_t after[MARKS];
    int changes = 0;
    sqlite3 *db;

    (void)state;
    assert_int_equal(lsq_core_info(&info, &last_error), LSQ_OK);
    if (strcmp(info.engine, "libsql") != 0) skip();
    db = new_file();
    for (int i = 0; i < 10 * SLACK; i++) {
        read_marks(before);
        add(db, 1);
        read_marks(after);
        changes += memcmp(before, after, sizeof(before)) != 0;
    }
    assert_in_range(changes, 10 - 1, 10 + 1);
    sqlite3_close(db);
}

/* ---- What is seen ---- */

/* A writer sees the last commits, be its mark as it is; and keeps some from a checkpoint, until it is gone. */
static void a_checkpoint_stops_at_a_writers_mark(void **state) {
    sqlite3 *db = new_file();
    sqlite3 *other = open_it();
    int64_t added = 0;

    (void)state;
    for (int i = 0; i < 3 * SLACK; i++) {
        add(db, i % PAGES + 1);
        added++;
        raw_run(db, "BEGIN IMMEDIATE");
        assert_int_equal(sum(db), added);
        assert_in_range(left_by(other, SQLITE_CHECKPOINT_PASSIVE), 0, SLACK);
        assert_int_equal(sum(db), added);
        add(db, (i + 7) % PAGES + 1);
        assert_int_equal(sum(other), added);
        raw_run(db, i % 2 == 0 ? "COMMIT" : "ROLLBACK");
        added += i % 2 == 0;
        if (i % 50 == 0) assert_int_equal(left_by(other, SQLITE_CHECKPOINT_PASSIVE), 0);
    }
    sqlite3_close(other);
    sqlite3_close(db);
}

/* Of readers one always begins before the other ends; each of them sees the last commit, and keeps nothing from a
 * checkpoint. */
static void readers_without_an_end_are_not_in_the_way(void **state) {
    sqlite3 *db = new_file();
    sqlite3 *readers[2] = {open_it(), open_it()};

    (void)state;
    for (int i = 0; i < 3 * SLACK; i++) {
        sqlite3 *one = readers[i % 2];

        add(db, 1);
        raw_run(one, "BEGIN");
        assert_int_equal(sum(one), i + 1);
        if (i > 0) raw_run(readers[1 - i % 2], "COMMIT");
        assert_int_equal(left_by(db, SQLITE_CHECKPOINT_PASSIVE), 0);
        assert_int_equal(left_by(db, SQLITE_CHECKPOINT_FULL), 0);
    }
    for (int i = 0; i < 2; i++) sqlite3_close(readers[i]);
    sqlite3_close(db);
}

struct reader {
    sqlite3 *db;
    int64_t sees;
    bool reads;
};

struct story {
    sqlite3 *db;
    sqlite3 *checkpointer;
    struct reader readers[READERS];
    int64_t added;
    int64_t committed; /* of them */
    bool writes;       /* a transaction of db is open */
};

static void write_on(struct story *story) {
    if (!story->writes && rand() % 3 == 0) {
        raw_run(story->db, "BEGIN IMMEDIATE");
        story->writes = true;
    }
    assert_int_equal(sum(story->db), story->added);
    add(story->db, rand() % PAGES + 1);
    story->added++;
    if (story->writes && rand() % 3 == 0) {
        raw_run(story->db, "COMMIT");
        story->writes = false;
    }
    if (!story->writes) story->committed = story->added;
}

static void read_on(struct story *story, struct reader *reader) {
    if (reader->reads) {
        assert_int_equal(sum(reader->db), reader->sees);
        if (rand() % 2 == 0) return;
        raw_run(reader->db, "COMMIT");
    } else {
        raw_run(reader->db, "BEGIN");
        reader->sees = story->committed;
        assert_int_equal(sum(reader->db), reader->sees);
    }
    reader->reads = !reader->reads;
}

/* It may be refused: nobody is waited for. */
static void checkpoint(struct story *story) {
    static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_FULL,
                                SQLITE_CHECKPOINT_RESTART, SQLITE_CHECKPOINT_TRUNCATE};

    (void)sqlite3_wal_checkpoint_v2(story->checkpointer, NULL, modes[rand() % 4], NULL, NULL);
}

static void random_step(struct story *story) {
    switch (rand() % 8) {
    case 0: checkpoint(story); return;
    case 1:
    case 2:
    case 3: write_on(story); return;
    default: read_on(story, &story->readers[rand() % READERS]);
    }
}

static void snapshots_stay(void **state) {
    struct story story = {.db = new_file(), .checkpointer = open_it()};

    (void)state;
    srand((unsigned)test_seed());
    for (int i = 0; i < READERS; i++) story.readers[i].db = open_it();
    for (int step = 0; step < STEPS; step++) random_step(&story);
    for (int i = 0; i < READERS; i++) sqlite3_close(story.readers[i].db);
    sqlite3_close(story.checkpointer);
    assert_int_equal(sum(story.db), story.added);
    raw_is_whole(story.db);
    sqlite3_close(story.db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_mark_serves_for_some_commits, db_forget),
        cmocka_unit_test_teardown(a_checkpoint_stops_at_a_writers_mark, db_forget),
        cmocka_unit_test_teardown(readers_without_an_end_are_not_in_the_way, db_forget),
        cmocka_unit_test_teardown(snapshots_stay, db_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
