/* Databases that the configuration attaches: settings of the connection like others. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static char main_path[256];
static char other_path[256];
static char third_path[256];

static int two_paths(void **state) {
    (void)state;
    snprintf(main_path, sizeof(main_path), "%s", db_path());
    snprintf(other_path, sizeof(other_path), "%s", db_path());
    snprintf(third_path, sizeof(third_path), "%s", db_path());
    return 0;
}

static struct lsq_config config(const char *path, const struct lsq_attached *list, size_t count) {
    struct lsq_config cfg = db_config(path);

    cfg.attached = list;
    cfg.attached_count = count;
    return cfg;
}

static struct lsq_conn *open_with(const char *path, const char *name, const char *other) {
    struct lsq_attached one = {name, other};
    struct lsq_config cfg = config(path, &one, 1);

    return db_open_as(&cfg);
}

static struct lsq_conn *open_both(void) { return open_with(main_path, "far", other_path); }

static void answers(struct lsq_conn *conn, const char *sql, const char *expected) {
    const char *got = ask_rows(conn, sql);

    if (strcmp(got, expected) != 0) fail_msg("%s\n  is %s, not %s", sql, got, expected);
}

static void reset(struct lsq_conn *conn) {
    if (lsq_conn_reset(conn, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
}

/* ---- What it is for ---- */

static void tables_of_both_in_one_transaction(void **state) {
    struct lsq_conn *conn = open_both();
    struct lsq_conn *far;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    run(conn, "CREATE TABLE far.t (a)");
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, NULL), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (1)");
    run(conn, "INSERT INTO far.t VALUES (2)");
    assert_int_equal(lsq_commit(conn, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, NULL), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (3)");
    run(conn, "INSERT INTO far.t VALUES (4)");
    assert_int_equal(lsq_rollback(conn, NULL, NULL), LSQ_OK);
    answers(conn, "SELECT a FROM t UNION ALL SELECT a FROM far.t", "1;2");
    far = db_open(other_path);
    answers(far, "SELECT a FROM t", "2");
    db_close(far);
    db_close(conn);
    conn = open_both();
    answers(conn, "SELECT t.a, f.a FROM t, far.t AS f", "1,2");
    db_close(conn);
}

/* An immediate transaction is one of all files. */
/* A name without its database means the main one's table, also for a connection that saw the other one's first. */
static void a_name_means_the_main_database_first(void **state) {
    struct lsq_conn *conn = open_both();
    struct lsq_conn *other;

    (void)state;
    run(conn, "CREATE TABLE far.t (a)");
    other = open_both();
    answers(other, "SELECT count(*) FROM far.t",
            "0"); /* knows that schema, and a main one without it */
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES (1)");
    run(other, "UPDATE t SET a = 2");
    answers(conn, "SELECT a FROM t", "2");
    answers(other, "SELECT a FROM t", "2");
    db_close(other);
    db_close(conn);
}

static void immediate_locks_both(void **state) {
    const struct lsq_call nowait = {.flags = LSQ_CALL_NOWAIT};
    struct lsq_conn *conn = open_both();
    struct lsq_conn *far = db_open(other_path);

    (void)state;
    run(far, "CREATE TABLE t (a)");
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, NULL), LSQ_OK);
    assert_int_equal(exec(far, "INSERT INTO t VALUES (1)", NULL, &nowait, NULL), LSQ_BUSY);
    assert_int_equal(lsq_rollback(conn, NULL, NULL), LSQ_OK);
    run(far, "INSERT INTO t VALUES (1)");
    assert_int_equal(lsq_begin(far, LSQ_TXN_IMMEDIATE, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, &nowait, &last_error), LSQ_BUSY);
    assert_int_equal(lsq_rollback(far, NULL, NULL), LSQ_OK);
    db_close(far);
    db_close(conn);
}

static void a_reading_transaction_has_a_snapshot_of_both(void **state) {
    struct lsq_conn *conn = open_both();
    struct lsq_conn *far = db_open(other_path);

    (void)state;
    run(far, "CREATE TABLE t (a)");
    assert_int_equal(lsq_begin(conn, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
    run(far, "INSERT INTO t VALUES (1)");
    answers(conn, "SELECT count(*) FROM far.t", "0");
    expect(LSQ_READONLY, conn, "INSERT INTO far.t VALUES (2)");
    assert_int_equal(lsq_commit(conn, NULL, NULL), LSQ_OK);
    answers(conn, "SELECT count(*) FROM far.t", "1");
    db_close(far);
    db_close(conn);
}

/* ---- Settings ---- */

static void settings_are_applied_to_each(void **state) {
    static const struct lsq_setting settings[] = {
        {"page_size", "8192"},     {"auto_vacuum", "incremental"}, {"journal_mode", "wal"},
        {"synchronous", "extra"},  {"cache_size", "-777"},         {"mmap_size", "65536"},
        {"secure_delete", "fast"}, {"foreign_keys", "on"},         {"user_version", "7"},
    };
    const struct lsq_attached list[] = {{"far", other_path}, {"third", third_path}};
    struct lsq_config cfg = config(main_path, list, 2);
    struct lsq_conn *conn;

    (void)state;
    cfg.settings = settings;
    cfg.setting_count = COUNT(settings);
    conn = db_open_as(&cfg);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 2; i++) {
            char sql[128];
            static const char *const wanted[][2] = {
                {"page_size", "8192"},  {"auto_vacuum", "2"},   {"journal_mode", "wal"},
                {"synchronous", "3"},   {"cache_size", "-777"}, {"mmap_size", "65536"},
                {"secure_delete", "2"}, {"user_version", "0"},
            };

            for (size_t j = 0; j < COUNT(wanted); j++) {
                snprintf(sql, sizeof(sql), "PRAGMA %s.%s", list[i].name, wanted[j][0]);
                answers(conn, sql, wanted[j][1]);
            }
        }
        answers(conn, "PRAGMA user_version", "7");
        assert_null(lsq_conn_notice(conn, 0));
        /* and put right by a reset */
        run(conn, "PRAGMA far.synchronous = off");
        run(conn, "PRAGMA third.cache_size = 1");
        reset(conn);
    }
    db_close(conn);
}

static void what_a_database_cannot_have_is_a_notice(void **state) {
    struct lsq_conn *conn = open_with(main_path, "mem", ":memory:");
    const struct lsq_notice *notice = lsq_conn_notice(conn, 0);

    (void)state;
    assert_non_null(notice);
    assert_string_equal(notice->name, "mem.journal_mode");
    assert_string_equal(notice->asked, "wal");
    assert_string_equal(notice->got, "memory");
    assert_null(lsq_conn_notice(conn, 1));
    db_close(conn);
}

static void a_setting_it_refuses_names_it(void **state) {
    static const struct lsq_setting setting = {"cache_size", "perhaps"};
    struct lsq_attached one = {"far", other_path};
    struct lsq_config cfg = config(main_path, &one, 1);

    (void)state;
    cfg.settings = &setting;
    cfg.setting_count = 1;
    assert_int_equal(db_try(&cfg), LSQ_SETTING);
    assert_non_null(strstr(last_error.message, "far.cache_size"));
}

/* ---- A reset puts right what SQL did ---- */

static void detached_by_hand(void **state) {
    struct lsq_conn *conn = open_both();

    (void)state;
    run(conn, "CREATE TABLE far.t (a)");
    run(conn, "DETACH far");
    expect(LSQ_SQL, conn, "SELECT a FROM far.t");
    reset(conn);
    answers(conn, "SELECT count(*) FROM far.t", "0");
    answers(conn, "PRAGMA far.journal_mode", "wal");
    db_close(conn);
}

static void another_in_its_place(void **state) {
    char sql[400];
    struct lsq_conn *conn = open_both();

    (void)state;
    run(conn, "CREATE TABLE far.t (a)");
    snprintf(sql, sizeof(sql), "ATTACH '%s' AS FAR", third_path);
    run(conn, "DETACH far");
    run(conn, sql);
    run(conn, "ATTACH ':memory:' AS more");
    expect(LSQ_SQL, conn, "SELECT a FROM far.t");
    reset(conn);
    answers(conn, "SELECT count(*) FROM far.t", "0");
    answers(conn, "SELECT name FROM pragma_database_list WHERE seq <> 1 ORDER BY seq", "main;far");
    db_close(conn);
}

static void those_in_place_stay(void **state) {
    const struct lsq_attached list[] = {{"mem", ":memory:"}, {"far", other_path}};
    struct lsq_config cfg = config(main_path, list, 2);
    struct lsq_conn *conn = db_open_as(&cfg);

    (void)state;
    run(conn, "CREATE TABLE mem.t (a)");
    run(conn, "INSERT INTO mem.t VALUES (5)");
    run(conn, "ATTACH ':memory:' AS more");
    run(conn, "DETACH far");
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, NULL), LSQ_OK);
    run(conn, "DELETE FROM mem.t");
    reset(conn);
    answers(conn, "SELECT a FROM mem.t", "5");
    answers(conn, "SELECT name FROM pragma_database_list WHERE seq <> 1 ORDER BY name",
            "far;main;mem");
    db_close(conn);
}

static void one_that_is_gone_fails_the_reset(void **state) {
    struct lsq_attached one = {"far", other_path};
    struct lsq_config cfg = config(main_path, &one, 1);
    struct lsq_conn *conn;

    (void)state;
    db_close(db_open(other_path));
    db_close(db_open(main_path));
    cfg.flags = LSQ_OPEN_NOCREATE;
    conn = db_open_as(&cfg);
    run(conn, "DETACH far");
    assert_int_equal(unlink(other_path), 0);
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_CANNOT_OPEN);
    assert_non_null(strstr(last_error.message, "far"));
    db_close(conn);
}

/* ---- Kinds of paths ---- */

static void names_are_only_names(void **state) {
    static const char *const names[] = {"a",
                                        "a-b",
                                        "a \"b\" 'c'",
                                        "sel;ect",
                                        "SELECT",
                                        "caf\xc3\xa9",
                                        "0123456789012345678901234567890123456789"};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct lsq_conn *conn = open_with(main_path, names[i], ":memory:");

        answers(conn, "SELECT name FROM pragma_database_list WHERE seq = 2", names[i]);
        reset(conn);
        db_close(conn);
    }
}

static void uris_and_odd_paths(void **state) {
    char folder[256];
    char path[400];
    char odd[400];
    struct lsq_conn *conn;

    (void)state;
    snprintf(folder, sizeof(folder), "%s", other_path);
    *strrchr(folder, '/') = '\0';
    snprintf(path, sizeof(path), "file:%s?cache=private", other_path);
    conn = open_with(main_path, "far", path);
    run(conn, "CREATE TABLE far.t (a)");
    db_close(conn);
    conn = db_open(other_path);
    answers(conn, "SELECT count(*) FROM t", "0");
    db_close(conn);
    /* beside a file, and beside a database in memory whose file layer knows no files */
    snprintf(odd, sizeof(odd), "%s/it's 100%%25 #1?x=y;\"z\"", folder);
    for (int i = 0; i < 2; i++) {
        conn = open_with(i == 0 ? main_path : "file:/attach-test?vfs=memdb", "odd", odd);
        run(conn, "CREATE TABLE IF NOT EXISTS odd.t (a)");
        run(conn, "INSERT INTO odd.t VALUES (1)");
        assert_int_equal(access(odd, F_OK), 0);
        answers(conn, "PRAGMA odd.journal_mode", "wal");
        db_close(conn);
    }
    conn = db_open(odd);
    answers(conn, "SELECT count(*) FROM t", "2");
    db_close(conn);
    conn = open_with("file:/attach-test?vfs=memdb", "far", path);
    answers(conn, "SELECT count(*) FROM far.t", "0");
    reset(conn);
    db_close(conn);
}

static void shared_in_memory(void **state) {
    struct lsq_conn *one =
        open_with(main_path, "mem", "file:attach-shared?mode=memory&cache=shared");
    struct lsq_conn *two =
        open_with(":memory:", "mem", "file:attach-shared?mode=memory&cache=shared");

    (void)state;
    run(one, "CREATE TABLE mem.t (a)");
    run(one, "INSERT INTO mem.t VALUES (1)");
    answers(two, "SELECT a FROM mem.t", "1");
    run(two, "DETACH mem");
    reset(two);
    answers(two, "SELECT a FROM mem.t", "1");
    db_close(two);
    db_close(one);
}

static void read_only_is_for_all(void **state) {
    struct lsq_attached one = {"far", other_path};
    struct lsq_config cfg = config(main_path, &one, 1);
    struct lsq_conn *conn = open_both();

    (void)state;
    run(conn, "CREATE TABLE far.t (a)");
    db_close(conn);
    cfg.flags = LSQ_OPEN_READONLY;
    conn = db_open_as(&cfg);
    answers(conn, "SELECT count(*) FROM far.t", "0");
    expect(LSQ_READONLY, conn, "INSERT INTO far.t VALUES (1)");
    db_close(conn);
}

static void with_the_main_key(void **state) {
    static const char key[] = "a secret";
    struct lsq_attached one = {"far", other_path};
    struct lsq_config cfg = config(main_path, &one, 1);
    struct lsq_core_info info;
    struct lsq_conn *conn;

    (void)state;
    assert_int_equal(lsq_core_info(&info, NULL), LSQ_OK);
    if (!info.encryption) skip();
    cfg.key = key;
    cfg.key_len = sizeof(key) - 1;
    conn = db_open_as(&cfg);
    run(conn, "CREATE TABLE far.t (a)");
    run(conn, "DETACH far");
    reset(conn);
    run(conn, "INSERT INTO far.t VALUES (1)");
    db_close(conn);
    cfg = db_config(other_path);
    assert_int_equal(db_try(&cfg), LSQ_NOT_A_DATABASE);
    cfg.key = key;
    cfg.key_len = sizeof(key) - 1;
    conn = db_open_as(&cfg);
    answers(conn, "SELECT a FROM t", "1");
    db_close(conn);
    /* a plain file beside an encrypted one */
    db_close(db_open(third_path));
    one.path = third_path;
    cfg = config(main_path, &one, 1);
    cfg.key = key;
    cfg.key_len = sizeof(key) - 1;
    assert_int_equal(db_try(&cfg), LSQ_NOT_A_DATABASE);
    assert_non_null(strstr(last_error.message, "cannot attach"));
}

/* ---- Errors ---- */

static void wrong_names_and_paths(void **state) {
    static const struct lsq_attached cases[] = {
        {NULL, "x"},
        {"x", NULL},
        {"", ":memory:"},
        {"main", ":memory:"},
        {"Temp", ":memory:"},
        {"\xff", ":memory:"},
        {"01234567890123456789012345678901234567890", ":memory:"},
    };
    const struct lsq_attached twice[] = {{"a", ":memory:"}, {"A", ":memory:"}};
    struct lsq_config cfg = config(main_path, NULL, 1);

    (void)state;
    assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
    for (size_t i = 0; i < COUNT(cases); i++) {
        cfg = config(main_path, &cases[i], 1);
        assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
    }
    cfg = config(main_path, twice, 2);
    assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
    assert_int_not_equal(access(main_path, F_OK), 0);
}

static void what_cannot_be_attached(void **state) {
    char missing[400];
    struct lsq_attached one = {"far", missing};
    struct lsq_config cfg = config(main_path, &one, 1);
    FILE *file;

    (void)state;
    snprintf(missing, sizeof(missing), "%s.missing/x.db", other_path);
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    assert_non_null(strstr(last_error.message, missing));
    assert_non_null(strstr(last_error.message, "\"far\""));
    file = fopen(other_path, "w");
    assert_non_null(file);
    for (int i = 0; i < 200; i++) fputs("this is no database ", file);
    fclose(file);
    one.path = other_path;
    assert_int_equal(db_try(&cfg), LSQ_NOT_A_DATABASE);
}

static void one_file_twice(void **state) {
    char link_path[400];
    const struct lsq_attached list[] = {{"far", other_path}, {"again", link_path}};
    struct lsq_attached one = {"far", main_path};
    struct lsq_config cfg = config(main_path, &one, 1);

    (void)state;
    assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
    assert_non_null(strstr(last_error.message, "\"main\""));
    db_close(db_open(other_path));
    snprintf(link_path, sizeof(link_path), "%s-link", other_path);
    assert_int_equal(link(other_path, link_path), 0);
    cfg = config(main_path, list, 2);
    assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
    assert_non_null(strstr(last_error.message, "\"far\""));
}

static void too_many(void **state) {
    enum { MANY = 200 };
    struct lsq_attached list[MANY];
    char names[MANY][8];
    struct lsq_config cfg = config(main_path, list, MANY);

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "d%d", i);
        list[i] = (struct lsq_attached){names[i], ":memory:"};
    }
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    assert_non_null(strstr(last_error.message, "too many attached databases"));
}

static void a_locked_one_is_busy(void **state) {
    struct lsq_attached one = {"far", other_path};
    struct lsq_config cfg = config(main_path, &one, 1);
    static const struct lsq_setting exclusive[] = {{"locking_mode", "exclusive"}};
    struct lsq_config holds = db_config(other_path);
    struct lsq_conn *holder;

    (void)state;
    holds.settings = exclusive;
    holds.setting_count = 1;
    holder = db_open_as(&holds);
    run(holder, "CREATE TABLE t (a)");
    cfg.busy_timeout = 20;
    assert_int_equal(db_try(&cfg), LSQ_BUSY);
    assert_true(last_error.transient);
    cfg.flags = LSQ_OPEN_NOWAIT;
    assert_int_equal(db_try(&cfg), LSQ_BUSY);
    db_close(holder);
    cfg.flags = 0;
    assert_int_equal(db_try(&cfg), LSQ_OK);
}

/* ---- The fast path ---- */

static void the_fast_path_looks_at_all(void **state) {
    static const char sql[] = "SELECT f.a, m.a FROM far.t AS f, m WHERE f.rowid = 1";
    struct lsq_conn *conn = open_both();
    char by_hand[400];

    (void)state;
    run(conn, "CREATE TABLE far.t (a)");
    run(conn, "CREATE TABLE m (a)");
    assert_true(becomes_fast(conn, sql));
    /* One that others may lock out: nothing is known to be short any more. */
    snprintf(by_hand, sizeof(by_hand), "ATTACH '%s' AS third", third_path);
    run(conn, by_hand);
    run(conn, "PRAGMA third.journal_mode = delete");
    run(conn, "CREATE TABLE third.t (a)");
    assert_false(becomes_fast(conn, "SELECT a FROM third.t WHERE rowid = 1"));
    assert_false(becomes_fast(conn, sql));
    run(conn, "DETACH third");
    assert_true(becomes_fast(conn, sql));
    run(conn, "ATTACH ':memory:' AS own");
    assert_true(becomes_fast(conn, sql));
    run(conn, "PRAGMA far.journal_mode = delete");
    assert_false(becomes_fast(conn, sql));
    reset(conn);
    assert_true(becomes_fast(conn, sql));
    db_close(conn);
}

static void attached_by_a_statement_or_a_cursor(void **state) {
    char by_hand[400];
    struct lsq_conn *conn = db_open(main_path);
    struct lsq_conn *other = db_open(third_path);
    struct lsq_stmt *stmt;
    bool end;

    (void)state;
    run(other, "PRAGMA journal_mode = delete");
    run(other, "CREATE TABLE t (a)");
    db_close(other);
    run(conn, "CREATE TABLE m (a)");
    snprintf(by_hand, sizeof(by_hand), "ATTACH '%s' AS third", third_path);
    for (int i = 0; i < 2; i++) {
        assert_true(becomes_fast(conn, "SELECT a FROM m WHERE rowid = 1"));
        assert_int_equal(lsq_stmt_new(&stmt, conn, by_hand, strlen(by_hand), NULL, NULL), LSQ_OK);
        if (i == 0) {
            assert_int_equal(lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, NULL), LSQ_OK);
        } else {
            assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
            assert_int_equal(lsq_stmt_fetch(stmt, 1, NULL, NULL, NULL, &end, NULL), LSQ_OK);
        }
        lsq_stmt_free(stmt);
        assert_false(becomes_fast(conn, "SELECT a FROM m WHERE rowid = 1"));
        run(conn, "DETACH third");
    }
    db_close(conn);
}

/* ---- Without memory ---- */

static void without_memory(void **state) {
    struct lsq_attached list[] = {{"far", other_path}, {"mem", ":memory:"}};
    struct lsq_config cfg = config(main_path, list, 2);
    enum lsq_status st = LSQ_NOMEM;
    struct lsq_conn *conn;

    (void)state;
    db_close(db_open(main_path));
    db_close(db_open(other_path));
    for (int budget = 0; st != LSQ_OK; budget++) {
        assert_in_range(budget, 0, 20000);
        lsq_memory_set_budget(budget);
        st = lsq_conn_open(&conn, &cfg, &last_error);
        lsq_memory_set_budget(-1);
        if (st == LSQ_OK) break;
        assert_true(st == LSQ_NOMEM || st == LSQ_CANNOT_OPEN || st == LSQ_IO || st == LSQ_SQL ||
                    st == LSQ_ERROR);
    }
    run(conn, "CREATE TABLE far.t (a)");
    st = LSQ_NOMEM;
    for (int budget = 0; st != LSQ_OK; budget++) {
        assert_in_range(budget, 0, 20000);
        (void)exec(conn, "DETACH far", NULL, NULL, NULL);
        lsq_memory_set_budget(budget);
        st = lsq_conn_reset(conn, &last_error);
        lsq_memory_set_budget(-1);
    }
    answers(conn, "SELECT count(*) FROM far.t", "0");
    db_close(conn);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, two_paths, db_forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(tables_of_both_in_one_transaction),
        TEST(a_name_means_the_main_database_first),
        TEST(immediate_locks_both),
        TEST(a_reading_transaction_has_a_snapshot_of_both),
        TEST(settings_are_applied_to_each),
        TEST(what_a_database_cannot_have_is_a_notice),
        TEST(a_setting_it_refuses_names_it),
        TEST(detached_by_hand),
        TEST(another_in_its_place),
        TEST(those_in_place_stay),
        TEST(one_that_is_gone_fails_the_reset),
        TEST(names_are_only_names),
        TEST(uris_and_odd_paths),
        TEST(shared_in_memory),
        TEST(read_only_is_for_all),
        TEST(with_the_main_key),
        TEST(wrong_names_and_paths),
        TEST(what_cannot_be_attached),
        TEST(one_file_twice),
        TEST(too_many),
        TEST(a_locked_one_is_busy),
        TEST(the_fast_path_looks_at_all),
        TEST(attached_by_a_statement_or_a_cursor),
        TEST(without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
