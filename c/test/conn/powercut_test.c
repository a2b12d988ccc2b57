/* What a power cut leaves, by how often the disk is waited for: the promises of the option :durability. */

#include <stdio.h>

#include "../support/db.h"
#include "../support/powercut.h"

enum { CUTS = 60, MOST_COMMITS = 12 };

static int setup(void **state) {
    (void)state;
    powercut_register();
    return 0;
}

static int teardown(void **state) {
    powercut_forget();
    return db_forget(state);
}

/* What is left of the database at path: rows 1 to n, all of them or none of a transaction; answers n. */
static int64_t rows_left(const char *path) {
    struct lsq_conn *conn = db_open(path);
    int64_t rows = 0;

    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    if (ask(conn, "SELECT count(*) FROM sqlite_master") > 0) {
        rows = ask(conn, "SELECT count(*) FROM t");
        assert_int_equal(ask(conn, "SELECT coalesce(max(id), 0) FROM t"), rows);
        assert_int_equal(rows % 2, 0);
    }
    db_close(conn);
    return rows;
}

/* Two rows a transaction, of a page and of more. */
static void commit_two(struct lsq_conn *conn, int64_t first) {
    static const char sql[] = "INSERT INTO t VALUES (?1, randomblob(?2)), (?1 + 1, randomblob(50))";
    struct lsq_value values[2] = {lsq_int(first), lsq_int(100 + first % 7 * 1500)};
    struct lsq_params params = {.count = 2, .values = values};

    assert_int_equal(exec(conn, sql, &params, NULL, NULL), LSQ_OK);
}

/* Commits and cuts, again and again. Answers how often something that was committed was lost. */
static int lose(const struct lsq_setting *settings, size_t count, uint64_t *seed) {
    const char *path = db_path();
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *conn;
    int64_t rows = 0;
    int lost = 0;

    cfg.vfs = "powercut";
    cfg.settings = settings;
    cfg.setting_count = count;
    conn = db_open_as(&cfg);
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, filler)");
    for (int cut = 0; cut < CUTS; cut++) {
        char copy[256];
        int64_t left;

        for (uint64_t n = random_next(seed) % MOST_COMMITS; n > 0; n--, rows += 2)
            commit_two(conn, rows + 1);
        snprintf(copy, sizeof(copy), "%s-%d", path, cut);
        powercut_copy(path, copy, seed);
        left = rows_left(copy);
        assert_true(left <= rows);
        if (left < rows) lost++;
    }
    db_close(conn);
    return lost;
}

#define LOSE(list, seed) lose(list, sizeof(list) / sizeof((list)[0]), seed)

static void durable_loses_nothing(void **state) {
    static const struct lsq_setting wal[] = {
        {"journal_mode", "wal"}, {"synchronous", "extra"}, {"wal_autocheckpoint", "20"}};
    static const struct lsq_setting journal[] = {{"journal_mode", "delete"},
                                                 {"synchronous", "extra"}};
    uint64_t seed = test_seed();

    (void)state;
    assert_int_equal(LOSE(wal, &seed), 0);
    assert_int_equal(LOSE(journal, &seed), 0);
}

static void balanced_loses_commits_and_never_the_file(void **state) {
    static const struct lsq_setting often[] = {
        {"journal_mode", "wal"}, {"synchronous", "normal"}, {"wal_autocheckpoint", "20"}};
    static const struct lsq_setting seldom[] = {
        {"journal_mode", "wal"}, {"synchronous", "normal"}, {"wal_autocheckpoint", "100"}};
    uint64_t seed = test_seed();

    (void)state;
    /* It does, or the test would show nothing. */
    assert_true(LOSE(often, &seed) > 0);
    assert_true(LOSE(seldom, &seed) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(durable_loses_nothing),
        TEST(balanced_loses_commits_and_never_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
