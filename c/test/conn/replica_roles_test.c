/* One file has one role, in this program and in others; what a replica cannot be opened with; and how it ends being
 * one. */
#include <stdio.h>
#include <unistd.h>

#include "../support/db.h"
#include "../support/sqld.h"

static struct sqld sqld;
static char path[256];

static const struct lsq_remote quick = {.retry_time = -1, .timeout = 10000};

static struct lsq_config config_of(const struct lsq_replica *replica) {
    struct lsq_config cfg = db_config(path);

    cfg.primary = sqld.url;
    cfg.remote = &quick;
    cfg.replica = replica;
    return cfg;
}

static struct lsq_conn *open_replica(void) {
    struct lsq_config cfg = config_of(NULL);

    return db_open_as(&cfg);
}

static int begin(void **state) {
    struct lsq_config cfg;
    struct lsq_conn *server;

    (void)state;
    snprintf(path, sizeof(path), "%s", db_path());
    sqld_start(&sqld, NULL);
    cfg = db_config(sqld.url);
    server = db_open_as(&cfg);
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    run(server, "INSERT INTO t VALUES (1, 'x')");
    db_close(server);
    return 0;
}

static int end(void **state) {
    sqld_kill(&sqld);
    lsq_shutdown();
    return db_forget(state);
}

static enum lsq_status try_plain(void) {
    struct lsq_config cfg = db_config(path);

    return db_try(&cfg);
}

static enum lsq_status try_replica(const struct lsq_replica *replica) {
    struct lsq_config cfg = config_of(replica);

    return db_try(&cfg);
}

/* ---- Roles ---- */

/* The same file by a second name, while nobody has it open. */
static void nor_is_it_by_another_name(void **state) {
    struct lsq_conn *replica = open_replica();
    struct lsq_config cfg;
    struct lsq_conn *conn;
    char second[300];
    char own[300];
    char sql[400];

    (void)state;
    db_close(replica);
    lsq_shutdown();
    snprintf(second, sizeof(second), "%s.second", path);
    assert_int_equal(link(path, second), 0);
    cfg = db_config(second);
    assert_int_equal(db_try(&cfg), LSQ_ALREADY_OPEN);
    conn = db_open(db_path());
    snprintf(sql, sizeof(sql), "ATTACH '%s' AS other", second);
    expect(LSQ_ALREADY_OPEN, conn, sql);
    db_close(conn);
    /* What is linked, and none, is nobody's business. */
    snprintf(second, sizeof(second), "%s.own", path);
    db_close(db_open(second));
    snprintf(own, sizeof(own), "%s.own-second", path);
    assert_int_equal(link(second, own), 0);
    cfg = db_config(own);
    assert_int_equal(db_try(&cfg), LSQ_OK);
}

static void a_replicas_file_is_no_plain_one(void **state) {
    struct lsq_conn *replica = open_replica();
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *other;

    (void)state;
    assert_int_equal(try_plain(), LSQ_ALREADY_OPEN);
    assert_int_equal(try_replica(NULL), LSQ_OK);
    cfg.primary = "http://127.0.0.1:9";
    cfg.remote = &quick;
    assert_int_equal(db_try(&cfg), LSQ_ALREADY_OPEN);
    db_close(replica);
    lsq_shutdown();
    /* Nor when nobody follows with it: the next one would find what it did not bring. */
    assert_int_equal(try_plain(), LSQ_ALREADY_OPEN);
    other = open_replica();
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 1);
    db_close(other);
}

static void a_plain_file_is_no_replica(void **state) {
    static const struct lsq_replica replace = {.replace = true};
    struct lsq_conn *plain = db_open(path);

    (void)state;
    run(plain, "CREATE TABLE own (a)");
    assert_int_equal(try_replica(NULL), LSQ_ALREADY_OPEN);
    assert_int_equal(try_replica(&replace), LSQ_ALREADY_OPEN);
    db_close(plain);
    assert_int_equal(try_replica(NULL), LSQ_NOT_A_REPLICA);
    plain = db_open(path);
    assert_int_equal(ask(plain, "SELECT count(*) FROM own"), 0);
    db_close(plain);
    assert_int_equal(try_replica(&replace), LSQ_OK);
    assert_int_equal(try_replica(NULL), LSQ_OK);
}

static enum lsq_status attach(struct lsq_conn *conn, const char *name) {
    char sql[700];

    snprintf(sql, sizeof(sql), "ATTACH '%s' AS other", name);
    return exec(conn, sql, NULL, NULL, NULL);
}

static int64_t attached(struct lsq_conn *conn) {
    return ask(conn,
               "SELECT count(*) FROM pragma_database_list WHERE name NOT IN ('main', 'temp')");
}

static void expect_not_attached(struct lsq_conn *conn, const char *name) {
    assert_int_equal(attach(conn, name), LSQ_ALREADY_OPEN);
    assert_int_equal(attached(conn), 0);
    assert_int_equal(ask(conn, "SELECT 1"), 1);
}

/* By all the names that it has. */
static void expect_no_way_to_attach(struct lsq_conn *conn) {
    const char *slash = strrchr(path, '/');
    char name[600];
    char back[300];

    expect_not_attached(conn, path);
    snprintf(name, sizeof(name), "file:%s", path);
    expect_not_attached(conn, name);
    snprintf(name, sizeof(name), "file://localhost%s?psow=1", path);
    expect_not_attached(conn, name);
    snprintf(name, sizeof(name), "%.*s/.%s", (int)(slash - path), path, slash);
    expect_not_attached(conn, name);
    snprintf(name, sizeof(name), "%s.link", path);
    (void)unlink(name);
    assert_int_equal(symlink(path, name), 0);
    expect_not_attached(conn, name);
    assert_non_null(getcwd(back, sizeof(back)));
    snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
    assert_int_equal(chdir(name), 0);
    expect_not_attached(conn, slash + 1);
    assert_int_equal(chdir(back), 0);
}

static void a_replicas_file_is_not_attached(void **state) {
    struct lsq_conn *replica = open_replica();
    struct lsq_conn *plain = db_open(NULL);
    struct lsq_value value = {.type = LSQ_TYPE_TEXT};
    const struct lsq_params params = {.count = 1, .values = &value};
    const struct lsq_attached one = {.name = "other", .path = path};
    struct lsq_config cfg = db_config(":memory:");
    char name[300];
    struct lsq_stmt *stmt;
    bool over;

    (void)state;
    expect_no_way_to_attach(plain);
    expect_no_way_to_attach(replica);
    /* What is open is known by another of its names, too. */
    snprintf(name, sizeof(name), "%s.hard", path);
    assert_int_equal(link(path, name), 0);
    expect_not_attached(plain, name);
    cfg.path = name;
    assert_int_equal(db_try(&cfg), LSQ_ALREADY_OPEN);
    assert_int_equal(unlink(name), 0);
    /* With a value, within a transaction, by a cursor, in a batch, by the configuration. */
    value.as.bytes.data = path;
    value.as.bytes.len = strlen(path);
    run(plain, "CREATE TABLE own (a)");
    run(plain, "BEGIN");
    run(plain, "INSERT INTO own VALUES (1)");
    assert_int_equal(exec(plain, "ATTACH ? AS other", &params, NULL, NULL), LSQ_ALREADY_OPEN);
    assert_int_equal(attached(plain), 0);
    run(plain, "COMMIT");
    assert_int_equal(ask(plain, "SELECT count(*) FROM own"), 1);
    snprintf(name, sizeof(name), "ATTACH '%s' AS other", path);
    assert_int_equal(lsq_stmt_new(&stmt, plain, name, strlen(name), NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_start(stmt, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(stmt, 1, NULL, NULL, NULL, &over, &last_error),
                     LSQ_ALREADY_OPEN);
    lsq_stmt_free(stmt);
    assert_int_equal(lsq_batch_sql(plain, name, strlen(name), NULL, NULL, NULL, NULL, &last_error),
                     LSQ_ALREADY_OPEN);
    assert_int_equal(attached(plain), 0);
    cfg = db_config(":memory:");
    cfg.attached = &one;
    cfg.attached_count = 1;
    assert_int_equal(db_try(&cfg), LSQ_ALREADY_OPEN);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 1);
    db_close(replica);
    lsq_shutdown();
    /* Nor when nobody follows with it. */
    expect_no_way_to_attach(plain);
    db_close(plain);
}

static void what_is_attached_is_no_replica(void **state) {
    static const struct lsq_replica replace = {.replace = true};
    struct lsq_conn *plain = db_open(path);
    struct lsq_conn *other = db_open(NULL);
    struct lsq_conn *replica;

    (void)state;
    run(plain, "CREATE TABLE own (a)");
    db_close(plain);
    assert_int_equal(attach(other, path), LSQ_OK);
    run(other, "INSERT INTO other.own VALUES (1)");
    assert_int_equal(try_replica(NULL), LSQ_ALREADY_OPEN);
    assert_int_equal(try_replica(&replace), LSQ_ALREADY_OPEN);
    run(other, "INSERT INTO other.own VALUES (2)");
    run(other, "DETACH other");
    assert_int_equal(try_replica(NULL), LSQ_NOT_A_REPLICA);
    assert_int_equal(try_replica(&replace), LSQ_OK);
    /* A replica attaches other files as it likes. */
    replica = open_replica();
    assert_int_equal(attach(replica, ":memory:"), LSQ_OK);
    run(replica, "DETACH other");
    assert_int_equal(attach(replica, db_file(other)), LSQ_OK);
    assert_int_equal(attached(replica), 1);
    db_close(replica);
    db_close(other);
}

/* Says what opening the file is answered: "pPATH" plain, "rPATH URL" as a replica. */
static int try_to_open(const char *argument) {
    struct lsq_config cfg = db_config(NULL);
    char file[256] = "";
    char url[64] = "";
    struct lsq_conn *conn;
    struct lsq_error err;
    enum lsq_status st;

    if (sscanf(argument + 1, "%255s %63s", file, url) < 1) return 1;
    cfg.path = file;
    if (argument[0] == 'r') cfg.primary = url;
    st = lsq_conn_open(&conn, &cfg, &err);
    if (st == LSQ_OK) lsq_conn_free(conn);
    return st == LSQ_OK ? 10 : st == LSQ_ALREADY_OPEN ? 11 : 12;
}

static int asked_of_another(char how) {
    char argument[512];
    struct child child;

    snprintf(argument, sizeof(argument), "%c%s %s", how, path, sqld.url);
    child = child_begin("try_to_open", argument);
    return child_end(&child);
}

static void other_programs_are_told_so(void **state) {
    struct lsq_conn *replica = open_replica();

    (void)state;
    assert_int_equal(asked_of_another('p'), 11);
    assert_int_equal(asked_of_another('r'), 11);
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 1);
    db_close(replica);
    lsq_shutdown();
    assert_int_equal(asked_of_another('r'), 10);
    assert_int_equal(asked_of_another('p'), 11);
}

/* ---- What cannot be ---- */

static void expect_refused(const struct lsq_config *cfg, enum lsq_status status) {
    enum lsq_status st = db_try(cfg);

    if (st != status) fail_msg("%s: %s", lsq_status_name(st), last_error.message);
    assert_int_equal(access(path, F_OK), -1);
}

static void contradictions_are_refused_before_anything_is_made(void **state) {
    const struct lsq_attached attached = {.name = "x", .path = "x.db"};
    const struct lsq_replica wrong[] = {{.sync_interval = -1},
                                        {.stale_after = -1},
                                        {.open_timeout = -2},
                                        {.protocol = (enum lsq_sync_protocol)9}};
    struct lsq_config cfg;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cfg = config_of(&wrong[i]);
        expect_refused(&cfg, LSQ_BAD_ARGUMENT);
    }
    cfg = config_of(NULL);
    cfg.path = ":memory:";
    expect_refused(&cfg, LSQ_BAD_ARGUMENT);
    cfg.path = "file:x?mode=memory";
    expect_refused(&cfg, LSQ_BAD_ARGUMENT);
    cfg.path = "";
    expect_refused(&cfg, LSQ_BAD_ARGUMENT);
    cfg.path = NULL;
    expect_refused(&cfg, LSQ_BAD_ARGUMENT);
    cfg = config_of(NULL);
    cfg.primary = "ftp://x";
    expect_refused(&cfg, LSQ_BAD_ARGUMENT);
    cfg = config_of(NULL);
    cfg.attached = &attached;
    cfg.attached_count = 1;
    expect_refused(&cfg, LSQ_UNSUPPORTED);
    cfg = config_of(NULL);
    cfg.flags = LSQ_OPEN_READONLY;
    expect_refused(&cfg, LSQ_UNSUPPORTED);
    cfg = config_of(NULL);
    cfg.primary = "http://127.0.0.1:9";
    expect_refused(&cfg, LSQ_UNREACHABLE);
}

/* ---- Damage ---- */

/* Writes over what the file has, but for its first pages. */
static void damage(void) {
    static char garbage[4096];
    FILE *file = fopen(path, "r+b");

    memset(garbage, 0x5a, sizeof(garbage));
    assert_non_null(file);
    for (int page = 3; page < 20; page++) {
        assert_int_equal(fseek(file, page * 4096L, SEEK_SET), 0);
        assert_int_equal(fwrite(garbage, sizeof(garbage), 1, file), 1);
    }
    fclose(file);
}

static void a_damaged_file_is_mended_under_its_readers(void **state) {
    static const char insert[] =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
        "i < 5000) INSERT INTO t (a) SELECT 'value ' || i FROM n";
    static const char sum[] = "SELECT count(a) FROM t";
    struct lsq_config cfg = db_config(sqld.url);
    struct lsq_conn *server = db_open_as(&cfg);
    struct lsq_conn *first;
    struct lsq_conn *second;

    (void)state;
    run(server, insert);
    first = open_replica();
    damage();
    second = open_replica();
    expect(LSQ_CORRUPT, second, sum);
    assert_int_equal(ask(second, sum), 5001);
    assert_int_equal(ask(first, sum), 5001);
    assert_string_equal(ask_text(second, "PRAGMA integrity_check"), "ok");
    db_close(server);
    db_close(first);
    db_close(second);
}

/* ---- Freezing ---- */

static void a_frozen_replica_is_a_database_of_its_own(void **state) {
    struct lsq_conn *replica = open_replica();
    struct lsq_conn *other = open_replica();
    struct lsq_stmt *stmt;
    size_t count;

    (void)state;
    assert_int_equal(lsq_freeze(replica, NULL, &last_error), LSQ_ALREADY_OPEN);
    db_close(other);
    assert_int_equal(lsq_begin(replica, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_freeze(replica, NULL, NULL), LSQ_IN_TRANSACTION);
    assert_int_equal(lsq_rollback(replica, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_begin(replica, LSQ_TXN_IMMEDIATE, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_freeze(replica, NULL, NULL), LSQ_IN_TRANSACTION);
    assert_int_equal(lsq_rollback(replica, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_new(&stmt, replica, "SELECT 1", 8, NULL, &last_error), LSQ_OK);
    if (lsq_freeze(replica, NULL, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
    assert_int_equal(lsq_conn_kind(replica), LSQ_CONN_LOCAL);
    assert_int_equal(lsq_stmt_column_count(stmt, &count, NULL), LSQ_CLOSED);
    lsq_stmt_free(stmt);
    sqld_kill(&sqld);
    run(replica, "INSERT INTO t VALUES (2, 'own')");
    assert_int_equal(ask(replica, "SELECT count(*) FROM t"), 2);
    run(replica, "BEGIN IMMEDIATE");
    run(replica, "DELETE FROM t");
    run(replica, "ROLLBACK");
    assert_int_equal(
        lsq_conn_checkpoint(replica, NULL, LSQ_CHECKPOINT_TRUNCATE, NULL, NULL, &last_error),
        LSQ_OK);
    assert_int_equal(lsq_sync(replica, NULL, NULL, NULL), LSQ_UNSUPPORTED);
    assert_int_equal(lsq_freeze(replica, NULL, NULL), LSQ_UNSUPPORTED);
    assert_int_equal(try_plain(), LSQ_OK);
    assert_string_equal(ask_text(replica, "PRAGMA integrity_check"), "ok");
    db_close(replica);
    assert_int_equal(try_plain(), LSQ_OK);
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"try_to_open", try_to_open}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nor_is_it_by_another_name, begin, end),
        cmocka_unit_test_setup_teardown(a_replicas_file_is_no_plain_one, begin, end),
        cmocka_unit_test_setup_teardown(a_plain_file_is_no_replica, begin, end),
        cmocka_unit_test_setup_teardown(a_replicas_file_is_not_attached, begin, end),
        cmocka_unit_test_setup_teardown(what_is_attached_is_no_replica, begin, end),
        cmocka_unit_test_setup_teardown(other_programs_are_told_so, begin, end),
        cmocka_unit_test_setup_teardown(contradictions_are_refused_before_anything_is_made, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_mended_under_its_readers, begin, end),
        cmocka_unit_test_setup_teardown(a_frozen_replica_is_a_database_of_its_own, begin, end),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
