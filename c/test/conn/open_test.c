/* Opening in each way that there is, hostile configurations, encryption, closing. */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- Paths ---- */

static void put(char *to, size_t size, const char *a, const char *b) {
    assert_true((size_t)snprintf(to, size, "%s%s", a, b) < size);
}

static void file_is_made_and_kept(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    char path[512] = "";

    (void)state;
    put(path, sizeof(path), db_file(conn), "");
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES (7)");
    db_close(conn);
    assert_int_equal(access(path, F_OK), 0);
    conn = db_open(path);
    assert_int_equal(ask(conn, "SELECT a FROM t"), 7);
    assert_string_equal(ask_text(conn, "PRAGMA journal_mode"), "wal");
    assert_int_equal(ask(conn, "PRAGMA synchronous"), 1);
    assert_int_equal(ask(conn, "PRAGMA foreign_keys"), 1);
    assert_null(lsq_conn_notice(conn, 0));
    db_close(conn);
}

static void memory_is_private(void **state) {
    struct lsq_conn *a = db_open(":memory:");
    struct lsq_conn *b = db_open(":memory:");

    (void)state;
    run(a, "CREATE TABLE t (a)");
    expect(LSQ_SQL, b, "SELECT * FROM t");
    assert_string_equal(db_file(a), "");
    db_close(a);
    db_close(b);
    assert_int_not_equal(access(":memory:", F_OK), 0);
}

static void named_memory_is_shared_by_both_spellings(void **state) {
    static const char *const spellings[] = {
        "file:/shop?vfs=memdb",
        "file:shop?mode=memory&cache=shared",
        "file:shop?cache=shared&mode=memory",
        "file:///shop?mode=memory&cache=shared",
    };
    struct lsq_conn *first = db_open(spellings[0]);
    struct lsq_conn *other;

    (void)state;
    run(first, "CREATE TABLE t (a)");
    for (size_t i = 0; i < COUNT(spellings); i++) {
        other = db_open(spellings[i]);
        run(other, "INSERT INTO t VALUES (1)");
        assert_int_equal(ask(first, "SELECT count(*) FROM t"), i + 1);
        db_close(other);
    }
    other = db_open("file:another?mode=memory&cache=shared");
    expect(LSQ_SQL, other, "SELECT * FROM t");
    db_close(other);
    db_close(first);
    other = db_open(spellings[1]); /* gone with the last connection */
    expect(LSQ_SQL, other, "SELECT * FROM t");
    db_close(other);
}

static void memory_uri_without_sharing_is_private(void **state) {
    struct lsq_conn *a = db_open("file:shop?mode=memory");
    struct lsq_conn *b = db_open("file:shop?mode=memory");

    (void)state;
    run(a, "CREATE TABLE t (a)");
    expect(LSQ_SQL, b, "SELECT * FROM t");
    db_close(a);
    db_close(b);
    assert_int_not_equal(access("shop", F_OK), 0);
}

static void empty_path_is_a_private_temporary_file(void **state) {
    struct lsq_conn *a = db_open("");
    struct lsq_conn *b = db_open("");

    (void)state;
    run(a, "CREATE TABLE t (a)");
    run(a, "INSERT INTO t VALUES (1)");
    expect(LSQ_SQL, b, "SELECT * FROM t");
    assert_int_equal(ask(a, "SELECT count(*) FROM t"), 1);
    db_close(a);
    db_close(b);
}

static void path_may_have_odd_bytes(void **state) {
    static const char *const names[] = {
        "a b",      "100%25",    "what?x=1", "a#b",  "caf\xc3\xa9",
        "\xff\xfe", "'quoted\"", "-",        "a\nb", "sp ",
    };
    char folder[256];
    char path[512] = "";

    (void)state;
    put(folder, sizeof(folder), db_path(), "-");
    for (size_t i = 0; i < COUNT(names); i++) {
        struct lsq_conn *conn;

        put(path, sizeof(path), folder, names[i]);
        conn = db_open(path);
        run(conn, "CREATE TABLE t (a)");
        db_close(conn);
        if (access(path, F_OK) != 0) fail_msg("name %zu: the file has another name", i);
        conn = db_open(path);
        assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
        db_close(conn);
    }
}

static void missing_and_wrong_paths(void **state) {
    char folder[256];
    char longest[6000];
    char path[512] = "";
    struct lsq_config cfg;

    (void)state;
    put(folder, sizeof(folder), db_path(), "");
    *strrchr(folder, '/') = '\0';
    cfg = db_config(path);
    put(path, sizeof(path), folder, "/missing/x.db");
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    assert_non_null(strstr(last_error.message, path));
    assert_int_equal(last_error.engine_code & 0xff, 14);
    cfg.path = folder;
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    cfg.path = longest;
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    assert_int_equal(lsq_conn_open(&(struct lsq_conn *){NULL}, &cfg, NULL), LSQ_CANNOT_OPEN);
}

static void uri_modes(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    char path[256] = "";
    char uri[512] = "";
    struct lsq_config cfg = db_config(uri);

    (void)state;
    put(path, sizeof(path), db_file(conn), "");
    run(conn, "CREATE TABLE t (a)");
    snprintf(uri, sizeof(uri), "file:%s?mode=ro", path);
    db_close(conn);
    conn = db_open(uri);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    expect(LSQ_READONLY, conn, "INSERT INTO t VALUES (1)");
    db_close(conn);
    snprintf(uri, sizeof(uri), "file:%s-new?mode=rw", path);
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    snprintf(uri, sizeof(uri), "file:%s-new?mode=ro", path);
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    snprintf(uri, sizeof(uri), "file:%s?mode=odd", path);
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    snprintf(uri, sizeof(uri), "file:%s?vfs=absent", path);
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    snprintf(uri, sizeof(uri), "file://elsewhere%s", path);
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    snprintf(uri, sizeof(uri), "file:%s-new?mode=rwc", path);
    assert_int_equal(db_try(&cfg), LSQ_OK);
}

static void flags_say_what_may_happen(void **state) {
    char path[256] = "";
    char link[300];
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *conn;
    struct lsq_conn_info info;

    (void)state;
    put(path, sizeof(path), db_path(), "");
    put(link, sizeof(link), path, ".link");
    cfg.flags = LSQ_OPEN_NOCREATE;
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    cfg.flags = LSQ_OPEN_READONLY;
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    assert_int_not_equal(access(path, F_OK), 0);
    conn = db_open(path);
    run(conn, "CREATE TABLE t (a)");
    db_close(conn);
    cfg.flags = LSQ_OPEN_NOCREATE;
    conn = db_open_as(&cfg);
    run(conn, "INSERT INTO t VALUES (1)");
    assert_int_equal(lsq_conn_info(conn, false, &info, &last_error), LSQ_OK);
    assert_false(info.readonly);
    db_close(conn);
    cfg.flags = LSQ_OPEN_READONLY;
    conn = db_open_as(&cfg);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    expect(LSQ_READONLY, conn, "INSERT INTO t VALUES (1)");
    expect(LSQ_READONLY, conn, "CREATE TABLE u (a)");
    assert_int_equal(lsq_conn_info(conn, false, &info, &last_error), LSQ_OK);
    assert_true(info.readonly);
    db_close(conn);
    assert_int_equal(symlink(path, link), 0);
    cfg.path = link;
    cfg.flags = 0;
    assert_int_equal(db_try(&cfg), LSQ_OK);
    cfg.flags = LSQ_OPEN_NOFOLLOW;
    assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
}

static void double_quotes_are_strings_only_when_asked(void **state) {
    struct lsq_config cfg = db_config(":memory:");
    struct lsq_conn *conn = db_open_as(&cfg);

    (void)state;
    expect(LSQ_SQL, conn, "SELECT \"no column\"");
    db_close(conn);
    cfg.flags = LSQ_OPEN_DQS;
    conn = db_open_as(&cfg);
    assert_string_equal(ask_text(conn, "SELECT \"no column\""), "no column");
    db_close(conn);
}

/* ---- Files that are none ---- */

static void write_file(const char *path, const void *data, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static void not_a_database(void **state) {
    static const size_t sizes[] = {2, 20, 99, 100, 512, 4096, 10000};
    char garbage[10000];
    char path[256] = "";
    struct lsq_config cfg = db_config(path);
    struct stat st;

    (void)state;
    put(path, sizeof(path), db_path(), "");
    memset(garbage, 'x', sizeof(garbage));
    for (size_t i = 0; i < COUNT(sizes); i++) {
        write_file(path, garbage, sizes[i]);
        if (db_try(&cfg) != LSQ_NOT_A_DATABASE)
            fail_msg("%zu bytes: %s", sizes[i], lsq_status_name(last_error.status));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, sizes[i]);
    }
    write_file(path, garbage, 0); /* an empty file is an empty database */
    assert_int_equal(db_try(&cfg), LSQ_OK);
}

/* ---- Rights: as another user, in a program of its own, for root may do anything ---- */

enum { NOBODY = 65534 };

static int open_as_nobody(const char *path) {
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *conn = NULL;
    enum lsq_status st;

    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0) return 90;
    st = lsq_conn_open(&conn, &cfg, &last_error);
    if (st != LSQ_OK) return (int)st;
    return (int)lsq_exec(conn, "INSERT INTO t VALUES (1)", 24, NULL, NULL, NULL, NULL, NULL, NULL);
}

static int nobody_gets(const char *path) {
    struct child child = child_begin("nobody", path);

    return child_end(&child);
}

static void rights_of_file_and_folder(void **state) {
    static const struct lsq_setting settings[] = {{"journal_mode", "delete"}};
    struct lsq_config cfg;
    struct lsq_conn *conn;
    char path[256] = "";
    char folder[256];
    char fresh[300];

    (void)state;
    if (geteuid() != 0) skip();
    put(path, sizeof(path), db_path(), "");
    put(folder, sizeof(folder), path, "");
    *strrchr(folder, '/') = '\0';
    put(fresh, sizeof(fresh), path, ".new");
    cfg = db_config(path);
    cfg.settings = settings;
    cfg.setting_count = 1;
    conn = db_open_as(&cfg);
    run(conn, "CREATE TABLE t (a)");
    db_close(conn);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(nobody_gets(path), LSQ_READONLY); /* it opens, and cannot be written */
    assert_int_equal(nobody_gets(fresh), LSQ_CANNOT_OPEN);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(nobody_gets(path), LSQ_CANNOT_OPEN);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(nobody_gets(path), LSQ_READONLY); /* no journal can be made beside it */
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(nobody_gets(path), LSQ_OK);
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(nobody_gets(path), LSQ_CANNOT_OPEN);
    conn = db_open(path);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
    db_close(conn);
}

/* ---- Configurations ---- */

static void hostile_configurations(void **state) {
    static const struct lsq_setting no_name[] = {{NULL, "1"}};
    static const struct lsq_setting no_value[] = {{"cache_size", NULL}};
    static const struct {
        struct lsq_config cfg;
        enum lsq_status want;
    } cases[] = {
        {{.path = NULL}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .busy_timeout = -1}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .busy_timeout = INT32_MIN}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .max_length = -1}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .max_length = 1000000001}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .setting_count = 1}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .settings = no_name, .setting_count = 1}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .settings = no_value, .setting_count = 1}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .statement_cache = SIZE_MAX}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .vfs = "absent"}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:", .vfs = ""}, LSQ_BAD_ARGUMENT},
        {{.path = ":memory:"}, LSQ_OK},                       /* all zero otherwise is fine */
        {{.path = ":memory:", .max_length = 1}, LSQ_TOO_BIG}, /* less than a schema's row */
        {{.path = ":memory:", .flags = 1u << 30}, LSQ_OK},
        {{.path = ":memory:", .statement_cache = 1}, LSQ_OK},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum lsq_status st = db_try(&cases[i].cfg);

        if (st != cases[i].want)
            fail_msg("case %zu: %s (%s)", i, lsq_status_name(st), last_error.message);
    }
}

static void nothing_is_kept_of_a_failed_opening(void **state) {
    struct lsq_config cfg = db_config("/missing/folder/x.db");
    struct lsq_conn *conn = (struct lsq_conn *)(void *)&cfg;
    struct lsq_memory before;
    struct lsq_memory after;

    (void)state;
    db_try(&cfg);
    lsq_memory(&before);
    for (int i = 0; i < 20; i++) assert_int_equal(db_try(&cfg), LSQ_CANNOT_OPEN);
    lsq_memory(&after);
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(lsq_conn_open(&conn, &cfg, NULL), LSQ_CANNOT_OPEN);
    assert_ptr_equal(conn, &cfg); /* written only on success */
}

/* ---- Encryption ---- */

static struct lsq_config keyed(const char *path, const void *key, size_t len) {
    struct lsq_config cfg = db_config(path);

    cfg.key = key;
    cfg.key_len = len;
    return cfg;
}

static bool file_holds(const char *path, const char *word, size_t len) {
    static char bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t size;

    assert_non_null(file);
    size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    return memmem(bytes, size, word, len) != NULL;
}

static void key_opens_what_it_closed(void **state) {
    char path[256] = "";
    struct lsq_config cfg;
    struct lsq_conn *conn;

    (void)state;
#ifdef LSQ_ENGINE_SYSTEM
    skip();
#endif
    put(path, sizeof(path), db_path(), "");
    cfg = keyed(path, "a\0key", 5);
    conn = db_open_as(&cfg);
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES ('the secret word')");
    db_close(conn);
    assert_false(file_holds(path, "the secret word", 15));
    assert_false(file_holds(path, "SQLite format 3", 15));
    conn = db_open_as(&cfg);
    assert_string_equal(ask_text(conn, "SELECT a FROM t"), "the secret word");
    assert_string_equal(ask_text(conn, "PRAGMA journal_mode"), "wal");
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    db_close(conn);
}

static void other_keys_do_not_open_it(void **state) {
    char path[256] = "";
    struct lsq_config right;
    struct lsq_config wrong[4];
    struct lsq_conn *conn;

    (void)state;
#ifdef LSQ_ENGINE_SYSTEM
    skip();
#endif
    put(path, sizeof(path), db_path(), "");
    right = keyed(path, "a\0key", 5);
    conn = db_open_as(&right);
    run(conn, "CREATE TABLE t (a)");
    db_close(conn);
    wrong[0] = keyed(path, "a\0kez", 5);
    wrong[1] = keyed(path, "a", 1);
    wrong[2] = keyed(path, "a\0key ", 6);
    wrong[3] = db_config(path); /* no key */
    for (size_t i = 0; i < COUNT(wrong); i++) {
        enum lsq_status st = db_try(&wrong[i]);

        if (st != LSQ_NOT_A_DATABASE) fail_msg("key %zu: %s", i, lsq_status_name(st));
    }
    assert_int_equal(db_try(&right), LSQ_OK);
    conn = db_open(NULL); /* and a key does not open what has none */
    run(conn, "CREATE TABLE t (a)");
    put(path, sizeof(path), db_file(conn), "");
    db_close(conn);
    assert_int_equal(db_try(&right), LSQ_NOT_A_DATABASE);
}

static void keys_have_a_length(void **state) {
    static const char key[5000] = "k";
    struct lsq_config cfg = keyed(db_path(), key, 0);

    (void)state;
    assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
    cfg.key_len = 4097;
    assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
#ifdef LSQ_ENGINE_SYSTEM
    cfg.key_len = 5;
    assert_int_equal(db_try(&cfg), LSQ_UNSUPPORTED);
#endif
}

/* ---- Replicas: of libSQL's engine, c/test/conn/replica_*_test.c ---- */

static void another_engine_has_no_replicas(void **state) {
    struct lsq_config cfg = db_config(db_path());

    (void)state;
#ifndef LSQ_ENGINE_SYSTEM
    skip();
#endif
    cfg.primary = "http://127.0.0.1:1";
    assert_int_equal(db_try(&cfg), LSQ_UNSUPPORTED);
    assert_true(access(cfg.path, F_OK) != 0);
}

/* ---- Closing ---- */

static void post(void *arg) { sem_post(arg); }

static void wait_for(sem_t *sem) {
    while (sem_wait(sem) != 0) continue;
}

static void closing_twice_tells_each_time(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    sem_t closed;

    (void)state;
    sem_init(&closed, 0, 0);
    assert_int_equal(lsq_conn_enter(conn, false), LSQ_OK);
    lsq_conn_close(conn, post, &closed);
    lsq_conn_close(conn, post, &closed);
    lsq_conn_close(conn, NULL, NULL);
    sleep_ms(20);
    assert_int_equal(sem_trywait(&closed), -1); /* somebody is in it */
    lsq_conn_leave(conn);
    wait_for(&closed);
    wait_for(&closed);
    lsq_conn_close(conn, post, &closed); /* closed long ago: at once */
    assert_int_equal(sem_trywait(&closed), 0);
    lsq_conn_free(conn);
    lsq_conn_free(NULL);
}

static void closing_rolls_back(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    char path[256] = "";

    (void)state;
    put(path, sizeof(path), db_file(conn), "");
    run(conn, "CREATE TABLE t (a)");
    run(conn, "BEGIN");
    run(conn, "INSERT INTO t VALUES (1)");
    db_close(conn);
    conn = db_open(path);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 0);
    run(conn, "INSERT INTO t VALUES (1)");
    db_close(conn);
}

struct closing {
    struct lsq_conn *conn;
    sem_t closed;
};

static void close_it(void *arg) {
    struct closing *closing = arg;

    lsq_conn_close(closing->conn, post, &closing->closed);
}

static void closing_interrupts_the_running_call(void **state) {
    struct closing closing = {.conn = db_open(NULL)};
    struct later later = {.fn = close_it, .arg = &closing, .ms = 50};
    int64_t start = now_ns();

    (void)state;
    sem_init(&closing.closed, 0, 0);
    later_begin(&later);
    expect(LSQ_INTERRUPTED, closing.conn, LONG_QUERY);
    later_join(&later);
    wait_for(&closing.closed);
    assert_true(now_ns() - start < 10000000000);
    expect(LSQ_CLOSED, closing.conn, "SELECT 1");
    lsq_conn_free(closing.conn);
}

static int one_row(void *ctx, struct lsq_params *row, char *why) {
    (void)why;
    *row = (struct lsq_params){.values = NULL};
    return (*(int *)ctx)++ == 0;
}

static const char sql[] = "SELECT 1";
enum { SQL_LEN = sizeof(sql) - 1 };

/* Every call that may be made on a connection that was closed. */
static void expect_conn_closed(struct lsq_conn *conn) {
    struct lsq_batch_item item = {.sql = sql, .len = SQL_LEN};
    struct lsq_conn_info info;
    struct lsq_result *res = NULL;
    struct lsq_stmt *stmt = NULL;
    size_t done = 99;
    int i = 0;
    const enum lsq_status got[] = {
        lsq_exec(conn, sql, SQL_LEN, NULL, NULL, NULL, NULL, NULL, NULL),
        lsq_exec_many(conn, sql, SQL_LEN, one_row, &i, NULL, NULL, NULL, NULL, NULL),
        lsq_batch(conn, &item, 1, NULL, NULL, NULL, &done, NULL),
        lsq_batch_sql(conn, sql, SQL_LEN, NULL, NULL, NULL, &done, NULL),
        lsq_query(&res, conn, sql, NULL, NULL),
        lsq_begin(conn, LSQ_TXN_DEFERRED, NULL, NULL),
        lsq_commit(conn, NULL, NULL),
        lsq_rollback(conn, NULL, NULL),
        lsq_savepoint(conn, "s", 1, NULL, NULL),
        lsq_release(conn, "s", 1, NULL, NULL),
        lsq_rollback_to(conn, "s", 1, NULL, NULL),
        lsq_enforce_foreign_keys(conn, true, NULL, NULL, NULL),
        lsq_stmt_new(&stmt, conn, sql, SQL_LEN, NULL, NULL),
        lsq_conn_reset(conn, NULL),
        lsq_conn_set_busy_timeout(conn, 1, NULL),
        lsq_conn_info(conn, true, &info, NULL),
        lsq_conn_cacheflush(conn, NULL),
        lsq_conn_checkpoint(conn, NULL, LSQ_CHECKPOINT_PASSIVE, NULL, NULL, NULL),
        lsq_conn_enable_extensions(conn, true, NULL),
        lsq_conn_load_extension(conn, "/nowhere", NULL, NULL),
        lsq_conn_enter(conn, false),
        lsq_conn_enter(conn, true),
        lsq_exec(conn, sql, SQL_LEN, NULL, NULL, NULL, NULL, NULL, &last_error),
    };

    for (size_t n = 0; n < COUNT(got); n++) {
        if (got[n] != LSQ_CLOSED) fail_msg("call %zu: %s", n, lsq_status_name(got[n]));
    }
    assert_int_equal(last_error.status, LSQ_CLOSED);
    assert_string_equal(last_error.message, lsq_status_text(LSQ_CLOSED));
    assert_int_equal(done, 0);
    assert_null(res);
    assert_null(stmt);
    assert_int_equal(lsq_conn_busy_timeout(conn), 5000);
    lsq_conn_interrupt(conn);
}

static void expect_stmt_closed(struct lsq_stmt *stmt) {
    struct lsq_column column;
    const char *name;
    size_t count;
    bool flag;
    const enum lsq_status got[] = {
        lsq_stmt_exec(stmt, NULL, NULL, NULL, NULL, NULL, NULL),
        lsq_stmt_start(stmt, NULL, NULL),
        lsq_stmt_fetch(stmt, 1, NULL, NULL, NULL, &flag, NULL),
        lsq_stmt_reset(stmt, NULL),
        lsq_stmt_column_count(stmt, &count, NULL),
        lsq_stmt_column(stmt, 0, &column, NULL),
        lsq_stmt_param_count(stmt, &count, NULL),
        lsq_stmt_param_name(stmt, 1, &name, NULL),
        lsq_stmt_readonly(stmt, &flag, NULL),
    };

    for (size_t n = 0; n < COUNT(got); n++) {
        if (got[n] != LSQ_CLOSED) fail_msg("call %zu: %s", n, lsq_status_name(got[n]));
    }
    lsq_stmt_interrupt(stmt);
}

static void notified(void *arg) { ++*(int *)arg; }

static void every_call_after_closing_answers_closed(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    struct lsq_stmt *stmt = NULL;
    struct lsq_stmt *cursor = NULL;
    bool end;
    int told = 0;
    sem_t closed;

    (void)state;
    sem_init(&closed, 0, 0);
    assert_int_equal(lsq_stmt_new(&stmt, conn, sql, SQL_LEN, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_new(&cursor, conn, "VALUES (1), (2)", 15, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_start(cursor, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(cursor, 1, NULL, NULL, NULL, &end, NULL), LSQ_OK);
    assert_int_equal(lsq_conn_enter(conn, true), LSQ_OK);
    lsq_conn_close(conn, post, &closed);
    expect_conn_closed(conn); /* asked for */
    expect_stmt_closed(stmt);
    lsq_conn_leave(conn);
    wait_for(&closed);
    expect_conn_closed(conn); /* done */
    expect_stmt_closed(stmt);
    expect_stmt_closed(cursor);
    assert_int_equal(lsq_conn_notify(conn, notified, &told), LSQ_OK);
    assert_int_equal(told, 1);
    assert_null(lsq_conn_notice(conn, 0));
    lsq_conn_free(conn); /* before its statements: their calls answer still */
    expect_stmt_closed(stmt);
    assert_ptr_equal(lsq_stmt_conn(stmt), lsq_stmt_conn(cursor));
    lsq_stmt_free(stmt);
    lsq_stmt_discard(cursor);
}

static void freed_connections_are_closed_by_the_end(void **state) {
    struct lsq_memory before;
    struct lsq_memory after;

    (void)state;
    lsq_shutdown();
    lsq_memory(&before);
    for (int i = 0; i < 10; i++) {
        struct lsq_conn *conn = db_open(":memory:");
        struct lsq_stmt *stmt = NULL;

        assert_int_equal(lsq_stmt_new(&stmt, conn, sql, SQL_LEN, NULL, NULL), LSQ_OK);
        if (i % 2 == 0) lsq_stmt_discard(stmt);
        lsq_conn_free(conn);
        if (i % 2 == 1) lsq_stmt_free(stmt);
    }
    lsq_shutdown();
    lsq_memory(&after);
    assert_int_equal(after.blocks, before.blocks);
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"nobody", open_as_nobody}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(file_is_made_and_kept, db_forget),
        cmocka_unit_test(memory_is_private),
        cmocka_unit_test(named_memory_is_shared_by_both_spellings),
        cmocka_unit_test(memory_uri_without_sharing_is_private),
        cmocka_unit_test(empty_path_is_a_private_temporary_file),
        cmocka_unit_test_teardown(path_may_have_odd_bytes, db_forget),
        cmocka_unit_test_teardown(missing_and_wrong_paths, db_forget),
        cmocka_unit_test_teardown(uri_modes, db_forget),
        cmocka_unit_test_teardown(flags_say_what_may_happen, db_forget),
        cmocka_unit_test(double_quotes_are_strings_only_when_asked),
        cmocka_unit_test_teardown(not_a_database, db_forget),
        cmocka_unit_test_teardown(rights_of_file_and_folder, db_forget),
        cmocka_unit_test(hostile_configurations),
        cmocka_unit_test(nothing_is_kept_of_a_failed_opening),
        cmocka_unit_test_teardown(key_opens_what_it_closed, db_forget),
        cmocka_unit_test_teardown(other_keys_do_not_open_it, db_forget),
        cmocka_unit_test_teardown(keys_have_a_length, db_forget),
        cmocka_unit_test_teardown(another_engine_has_no_replicas, db_forget),
        cmocka_unit_test_teardown(closing_twice_tells_each_time, db_forget),
        cmocka_unit_test_teardown(closing_rolls_back, db_forget),
        cmocka_unit_test_teardown(closing_interrupts_the_running_call, db_forget),
        cmocka_unit_test_teardown(every_call_after_closing_answers_closed, db_forget),
        cmocka_unit_test(freed_connections_are_closed_by_the_end),
    };

    child_main(argc, argv, roles, COUNT(roles));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
