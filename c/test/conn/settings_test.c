/* Settings: applied in order, read back, applied again by a reset; what a reset takes away. */
#include <stdio.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct lsq_conn *open_with(const char *path, const struct lsq_setting *settings,
                                  size_t count) {
    struct lsq_config cfg = db_config(path);

    cfg.settings = settings;
    cfg.setting_count = count;
    return db_open_as(&cfg);
}

static enum lsq_status try_with(const char *path, const char *name, const char *value) {
    struct lsq_setting setting = {name, value};
    struct lsq_config cfg = db_config(path);

    cfg.settings = &setting;
    cfg.setting_count = 1;
    return db_try(&cfg);
}

/* ---- At opening ---- */

static void values_are_taken_in_every_spelling(void **state) {
    static const struct {
        const char *name;
        const char *value;
        const char *want;
    } cases[] = {
        {"cache_size", "-4000", "-4000"},
        {"CACHE_SIZE", "0x10", "16"},
        {"foreign_keys", "ON", "1"},
        {"foreign_keys", "no", "0"},
        {"foreign_keys", "false", "0"},
        {"recursive_triggers", "yes", "1"},
        {"synchronous", "OFF", "0"},
        {"synchronous", "normal", "1"},
        {"synchronous", "2", "2"},
        {"synchronous", "extra", "3"},
        {"temp_store", "MEMORY", "2"},
        {"temp_store", "file", "1"},
        {"auto_vacuum", "incremental", "2"},
        {"secure_delete", "fast", "2"},
        {"user_version", "77", "77"},
        {"application_id", "-5", "-5"},
        {"wal_autocheckpoint", "123", "123"},
        {"journal_mode", "delete", "delete"},
        {"journal_mode", "WAL", "wal"},
        {"page_size", "8192", "8192"},
        {"encoding", "UTF-16le", "UTF-16le"},
        {"query_only", "true", "1"},
        {"max_page_count", "5000", "5000"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lsq_setting setting = {cases[i].name, cases[i].value};
        struct lsq_conn *conn = open_with(db_path(), &setting, 1);
        char sql[100];

        snprintf(sql, sizeof(sql), "PRAGMA %s", cases[i].name);
        if (strcmp(ask_rows(conn, sql), cases[i].want) != 0)
            fail_msg("%s = %s: %s", cases[i].name, cases[i].value, ask_rows(conn, sql));
        if (lsq_conn_notice(conn, 0) != NULL) fail_msg("%s has a notice", cases[i].name);
        db_close(conn);
    }
}

static void later_settings_win(void **state) {
    static const struct lsq_setting settings[] = {
        {"cache_size", "100"}, {"user_version", "1"}, {"cache_size", "200"}};
    struct lsq_conn *conn = open_with(":memory:", settings, COUNT(settings));

    (void)state;
    assert_int_equal(ask(conn, "PRAGMA cache_size"), 200);
    assert_int_equal(ask(conn, "PRAGMA user_version"), 1);
    db_close(conn);
}

static void unknown_and_hostile_settings(void **state) {
    static const char *const cases[][2] = {
        {"no_such_setting", "1"},
        {"", "1"},
        {"cache_size; DROP TABLE t", "1"},
        {"cache size", "1"},
        {"main.cache_size", "1"},
        {"caf\xc3\xa9", "1"},
        {"cache_size=1", "1"},
        {"foreign_keys", "perhaps; DROP TABLE t"},
        {"cache_size", "9'"},
    };
    char path[256] = "";
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    snprintf(path, sizeof(path), "%s", db_file(conn));
    run(conn, "CREATE TABLE t (a)");
    db_close(conn);
    for (size_t i = 0; i + 2 < COUNT(cases); i++) {
        if (try_with(path, cases[i][0], cases[i][1]) != LSQ_SETTING)
            fail_msg("%s: %s", cases[i][0], lsq_status_name(last_error.status));
    }
    /* A value is a value, whatever it holds: "perhaps..." is not true, and so no error here. */
    assert_int_equal(try_with(path, "cache_size", "9'"), LSQ_SETTING);
    assert_int_equal(try_with(path, "foreign_keys", "'); DROP TABLE t; --"), LSQ_SETTING);
    conn = db_open(path);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    db_close(conn);
}

/* A setting that the file or the kind of database decides is a notice. */
static void what_the_database_decides_is_a_notice(void **state) {
    static const struct {
        const char *path;
        const char *name;
        const char *asked;
        const char *got;
    } cases[] = {
        {":memory:", "journal_mode", "wal", "memory"},
        {"", "journal_mode", "wal", NULL} /* as the engine keeps temporary files */,
        {"file:/s?vfs=memdb", "journal_mode", "wal", "memory"},
        {NULL, "page_size", "8192", "4096"},
        {NULL, "encoding", "UTF-16be", "UTF-8"},
        {NULL, "auto_vacuum", "full", "0"},
    };
    struct lsq_conn *first = db_open(NULL);
    char path[256] = "";

    (void)state;
    run(first, "CREATE TABLE t (a)");
    snprintf(path, sizeof(path), "%s", db_file(first));
    db_close(first);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lsq_setting setting = {cases[i].name, cases[i].asked};
        struct lsq_conn *conn = open_with(cases[i].path ? cases[i].path : path, &setting, 1);
        const struct lsq_notice *notice = lsq_conn_notice(conn, 0);

        if (notice == NULL) fail_msg("%s: no notice", cases[i].name);
        assert_string_equal(notice->name, cases[i].name);
        assert_string_equal(notice->asked, cases[i].asked);
        if (cases[i].got != NULL) assert_string_equal(notice->got, cases[i].got);
        assert_null(lsq_conn_notice(conn, 1));
        db_close(conn);
    }
}

static void wal_on_a_read_only_file_is_a_notice(void **state) {
    static const struct lsq_setting delete = {"journal_mode", "delete"};
    static const struct lsq_setting wal = {"journal_mode", "wal"};
    char path[256] = "";
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *conn;

    (void)state;
    snprintf(path, sizeof(path), "%s", db_path());
    conn = open_with(path, &delete, 1);
    run(conn, "CREATE TABLE t (a)");
    db_close(conn);
    cfg.flags = LSQ_OPEN_READONLY;
    cfg.settings = &wal;
    cfg.setting_count = 1;
    conn = db_open_as(&cfg);
    assert_non_null(lsq_conn_notice(conn, 0));
    assert_string_equal(lsq_conn_notice(conn, 0)->got, "delete");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    db_close(conn);
}

static void long_values_are_cut_in_notices(void **state) {
    char value[300];
    struct lsq_setting setting = {"journal_mode", value};
    struct lsq_conn *conn;

    (void)state;
    memset(value, 'x', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    conn = open_with(":memory:", &setting, 1);
    assert_non_null(lsq_conn_notice(conn, 0));
    assert_int_equal(strlen(lsq_conn_notice(conn, 0)->asked), 63);
    db_close(conn);
}

static void settings_are_copied(void **state) {
    char name[] = "cache_size";
    char value[] = "321";
    struct lsq_setting setting = {name, value};
    struct lsq_conn *conn = open_with(":memory:", &setting, 1);

    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    memset(value, 'x', sizeof(value) - 1);
    run(conn, "PRAGMA cache_size = 5");
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "PRAGMA cache_size"), 321);
    db_close(conn);
}

/* ---- The busy time-out, which is ours ---- */

static void busy_timeout_as_a_setting(void **state) {
    static const struct lsq_setting setting = {"busy_timeout", "123"};
    struct lsq_conn *conn = open_with(":memory:", &setting, 1);

    (void)state;
    assert_int_equal(lsq_conn_busy_timeout(conn), 123);
    run(conn, "PRAGMA busy_timeout = 7");
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    assert_int_equal(lsq_conn_busy_timeout(conn), 123);
    db_close(conn);
}

static void busy_timeout_by_sql(void **state) {
    static const struct {
        const char *sql;
        int want;
    } cases[] = {
        {"PRAGMA busy_timeout = 300", 300},      {"pragma BUSY_TIMEOUT(17)", 17},
        {"PRAGMA main.busy_timeout = 18", 18},   {"PRAGMA busy_timeout", 18},
        {"PRAGMA busy_timeout = -5", 0},         {"PRAGMA busy_timeout = '44'", 44},
        {"EXPLAIN PRAGMA busy_timeout = 9", 44},
    };
    struct lsq_conn *conn = db_open(":memory:");
    struct lsq_reply reply;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (exec(conn, cases[i].sql, NULL, NULL, &reply) != LSQ_OK)
            fail_msg("%s: %s", cases[i].sql, last_error.message);
        if (lsq_conn_busy_timeout(conn) != cases[i].want)
            fail_msg("%s: %d", cases[i].sql, lsq_conn_busy_timeout(conn));
    }
    assert_int_equal(ask(conn, "PRAGMA busy_timeout = 70"), 70);
    assert_string_equal(ask_columns(conn, "PRAGMA busy_timeout"), "timeout");
    assert_int_equal(exec(conn, "PRAGMA busy_timeout", NULL, NULL, &reply), LSQ_OK);
    assert_int_equal(reply.command, LSQ_COMMAND_PRAGMA);
    assert_int_equal(reply.columns, 1);
    assert_int_equal(reply.rows, 1);
    assert_true(reply.autocommit);
    assert_int_equal(lsq_conn_set_busy_timeout(conn, 5, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "PRAGMA busy_timeout"), 5);
    assert_int_equal(lsq_conn_set_busy_timeout(conn, -1, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_conn_busy_timeout(conn), 5);
    db_close(conn);
}

/* Whatever text sets it, the engine's own waiting never comes back: without waiting is without. */
static void engine_never_waits_by_itself(void **state) {
    static const char *const texts[] = {
        "PRAGMA busy_timeout = 4000",
        "PRAGMA busy_timeout = 4000 and garbage",
        "PRAGMA busy_timeout = 4000; garbage",
        "EXPLAIN PRAGMA busy_timeout = 4000",
        "SELECT timeout FROM pragma_busy_timeout",
        "SELECT * FROM pragma_busy_timeout(4000)",
        "SELECT * FROM pragma_busy_timeout WHERE arg = 4000",
    };
    static const struct lsq_call nowait = {.flags = LSQ_CALL_NOWAIT};
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_conn *other = db_open(db_file(conn));
    struct lsq_stmt *stmt = NULL;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    run(other, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < COUNT(texts); i++) {
        int64_t start;

        (void)exec(conn, texts[i], NULL, NULL, NULL);
        if (lsq_stmt_new(&stmt, conn, texts[i], strlen(texts[i]), NULL, NULL) == LSQ_OK)
            lsq_stmt_free(stmt);
        start = now_ns();
        assert_int_equal(exec(conn, "INSERT INTO t VALUES (1)", NULL, &nowait, NULL), LSQ_BUSY);
        if (now_ns() - start > 2000000000) fail_msg("%s: it waits", texts[i]);
    }
    run(other, "COMMIT");
    db_close(other);
    db_close(conn);
}

/* ---- Reset ---- */

static void reset_applies_settings_again(void **state) {
    static const struct lsq_setting settings[] = {
        {"journal_mode", "wal"}, {"cache_size", "150"}, {"recursive_triggers", "on"}};
    struct lsq_config cfg = db_config(db_path());
    struct lsq_conn *conn;

    (void)state;
    cfg.settings = settings;
    cfg.setting_count = COUNT(settings);
    cfg.busy_timeout = 777;
    conn = db_open_as(&cfg);
    run(conn, "PRAGMA journal_mode = delete");
    run(conn, "PRAGMA cache_size = 5");
    run(conn, "PRAGMA recursive_triggers = off");
    run(conn, "PRAGMA busy_timeout = 1");
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    assert_string_equal(ask_text(conn, "PRAGMA journal_mode"), "wal");
    assert_int_equal(ask(conn, "PRAGMA cache_size"), 150);
    assert_int_equal(ask(conn, "PRAGMA recursive_triggers"), 1);
    assert_int_equal(lsq_conn_busy_timeout(conn), 777);
    db_close(conn);
}

static void reset_rolls_back_and_ends_runs(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_stmt *cursor = NULL;
    struct lsq_conn_info info;
    bool end;

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES (1), (2)");
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (3)");
    run(conn, "SAVEPOINT s");
    assert_int_equal(lsq_stmt_new(&cursor, conn, "SELECT a FROM t", 15, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_start(cursor, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(cursor, 1, NULL, NULL, NULL, &end, &last_error), LSQ_OK);
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    assert_int_equal(lsq_conn_info(conn, false, &info, &last_error), LSQ_OK);
    assert_true(info.autocommit);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 2);
    assert_int_equal(lsq_stmt_fetch(cursor, 1, NULL, NULL, NULL, &end, &last_error), LSQ_MISUSE);
    assert_int_equal(lsq_stmt_exec(cursor, NULL, NULL, NULL, NULL, NULL, &last_error), LSQ_OK);
    lsq_stmt_free(cursor);
    db_close(conn);
}

static void reset_ends_a_read_transaction(void **state) {
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    assert_int_equal(lsq_begin(conn, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (1)");
    db_close(conn);
}

static void reset_drops_what_is_temporary(void **state) {
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    run(conn, "CREATE TABLE kept (id INTEGER PRIMARY KEY)");
    run(conn, "INSERT INTO kept VALUES (1)");
    run(conn, "CREATE TEMP TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT)");
    run(conn, "CREATE TEMP TABLE child (p REFERENCES parent (id))");
    run(conn, "INSERT INTO parent VALUES (1)");
    run(conn, "INSERT INTO child VALUES (1)");
    run(conn, "CREATE INDEX temp.child_p ON child (p)");
    run(conn, "CREATE TEMP TABLE \"odd \"\"name\"\" %s'\" (a)");
    run(conn, "CREATE TEMP VIEW v AS SELECT * FROM parent");
    run(conn,
        "CREATE TEMP TRIGGER tr AFTER INSERT ON main.kept BEGIN SELECT RAISE(FAIL, 'no'); END");
    run(conn, "CREATE VIRTUAL TABLE temp.words USING fts5 (a)");
    run(conn, "INSERT INTO words VALUES ('a few words')");
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    assert_string_equal(ask_rows(conn, "SELECT name FROM sqlite_temp_schema "
                                       "WHERE name NOT LIKE 'sqlite%'"),
                        "");
    run(conn, "INSERT INTO kept VALUES (2)"); /* the trigger is gone */
    assert_int_equal(ask(conn, "SELECT count(*) FROM kept"), 2);
    assert_int_equal(ask(conn, "PRAGMA foreign_keys"), 1);
    run(conn, "CREATE TEMP TABLE parent (other)");
    db_close(conn);
}

static void reset_keeps_a_temporary_name_apart(void **state) {
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES ('main')");
    run(conn, "CREATE TEMP TABLE t (a)");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    assert_string_equal(ask_text(conn, "SELECT a FROM t"), "main");
    db_close(conn);
}

static void reset_detaches(void **state) {
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    run(conn, "ATTACH ':memory:' AS a");
    run(conn, "ATTACH ':memory:' AS \"b \"\"x\"\"\"");
    run(conn, "CREATE TABLE a.t (x)");
    run(conn, "CREATE TEMP VIEW v AS SELECT * FROM a.t");
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    assert_string_equal(
        ask_rows(conn, "SELECT name FROM pragma_database_list WHERE name <> 'temp'"), "main");
    expect(LSQ_SQL, conn, "SELECT * FROM a.t");
    run(conn, "ATTACH ':memory:' AS a");
    db_close(conn);
}

static void reset_forbids_extensions(void **state) {
    struct lsq_conn *conn = db_open(":memory:");

    (void)state;
    assert_int_equal(lsq_conn_enable_extensions(conn, true, &last_error), LSQ_OK);
    assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    assert_int_equal(lsq_conn_load_extension(conn, "/nowhere", NULL, &last_error), LSQ_AUTH);
    assert_int_equal(lsq_conn_load_extension(conn, NULL, NULL, &last_error), LSQ_BAD_ARGUMENT);
    db_close(conn);
}

static void reset_many_times_keeps_notices_and_memory(void **state) {
    struct lsq_conn *conn;
    struct lsq_memory before;
    struct lsq_memory after;

    (void)state;
    lsq_shutdown(); /* what earlier tests left to the helper */
    conn = db_open(":memory:");
    for (int i = 0; i < 3; i++) assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    lsq_memory(&before);
    for (int i = 0; i < 30; i++) assert_int_equal(lsq_conn_reset(conn, &last_error), LSQ_OK);
    lsq_memory(&after);
    assert_int_equal(after.blocks, before.blocks);
    assert_non_null(lsq_conn_notice(conn, 0));
    assert_null(lsq_conn_notice(conn, 1));
    db_close(conn);
}

#define FILE_TEST(name) cmocka_unit_test_teardown(name, db_forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        FILE_TEST(values_are_taken_in_every_spelling),
        FILE_TEST(later_settings_win),
        FILE_TEST(unknown_and_hostile_settings),
        FILE_TEST(what_the_database_decides_is_a_notice),
        FILE_TEST(wal_on_a_read_only_file_is_a_notice),
        FILE_TEST(long_values_are_cut_in_notices),
        FILE_TEST(settings_are_copied),
        FILE_TEST(busy_timeout_as_a_setting),
        FILE_TEST(busy_timeout_by_sql),
        FILE_TEST(engine_never_waits_by_itself),
        FILE_TEST(reset_applies_settings_again),
        FILE_TEST(reset_rolls_back_and_ends_runs),
        FILE_TEST(reset_ends_a_read_transaction),
        FILE_TEST(reset_drops_what_is_temporary),
        FILE_TEST(reset_keeps_a_temporary_name_apart),
        FILE_TEST(reset_detaches),
        FILE_TEST(reset_forbids_extensions),
        FILE_TEST(reset_many_times_keeps_notices_and_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
