/* Memory that runs out anywhere in what a replica's connection does: opening, reading after a write, writing, syncing,
 * freezing. The answer is an error, nothing leaks, and the next try works. */
#include <stdio.h>
#include <unistd.h>

#include "../support/db.h"
#include "../support/sqld.h"

static struct sqld sqld;
static struct lsq_conn *server;
static struct lsq_conn *conn;
static char path[256];

static const struct lsq_remote remote = {.retry_time = -1, .timeout = 60000};

static int64_t blocks(void) {
    struct lsq_memory memory;

    lsq_shutdown();
    lsq_memory(&memory);
    return memory.blocks;
}

static struct lsq_config config_of(void) {
    struct lsq_config cfg = db_config(path);

    cfg.primary = sqld.url;
    cfg.remote = &remote;
    cfg.key = "key";
    cfg.key_len = 3;
    return cfg;
}

static int begin(void **state) {
    struct lsq_config cfg;

    (void)state;
    snprintf(path, sizeof(path), "%s", db_path());
    sqld_start(&sqld, NULL);
    cfg = db_config(sqld.url);
    server = db_open_as(&cfg);
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    run(server, "INSERT INTO t VALUES (1, 'x')");
    cfg = config_of();
    conn = db_open_as(&cfg);
    return 0;
}

static int end(void **state) {
    lsq_memory_set_budget(-1);
    if (conn != NULL) db_close(conn);
    conn = NULL;
    db_close(server);
    sqld_kill(&sqld);
    lsq_shutdown();
    return db_forget(state);
}

/* Raises the budget until the call succeeds. What fails may be told as what the memory was for. */
static void walk(const char *name, enum lsq_status (*call)(void)) {
    enum lsq_status st;
    int budget = 0;
    int failures = 0;

    do {
        lsq_memory_set_budget(budget);
        memset(&last_error, 0, sizeof(last_error));
        st = call();
        lsq_memory_set_budget(-1);
        failures += st != LSQ_OK;
        if (st != LSQ_OK && (last_error.status != st || last_error.message[0] == '\0'))
            fail_msg("%s with %d allocations: %s, and no words", name, budget, lsq_status_name(st));
        if (conn != NULL) assert_true(ask(conn, "SELECT count(*) FROM t") >= 1);
        budget += budget < 300 ? 1 : budget / 30;
        if (budget > 1000000) fail_msg("%s never succeeds: %s", name, last_error.message);
    } while (st != LSQ_OK);
    print_message("%s: %d failures\n", name, failures);
    assert_true(failures > 0);
}

static enum lsq_status open_call(void) {
    struct lsq_config cfg = config_of();
    struct lsq_conn *other = NULL;
    enum lsq_status st = lsq_conn_open(&other, &cfg, &last_error);

    lsq_memory_set_budget(-1);
    if (other != NULL) db_close(other);
    return st;
}

static enum lsq_status read_call(void) {
    return exec(conn, "SELECT max(id), a FROM t WHERE a > ?1", LSQ_PARAMS(lsq_text("a", 1)), NULL,
                NULL);
}

static enum lsq_status write_call(void) {
    return exec(conn, "INSERT INTO t (a) VALUES (?1)", LSQ_PARAMS(lsq_text("row", 3)), NULL, NULL);
}

/* Waits for what was written. */
static enum lsq_status read_after_write_call(void) {
    enum lsq_status st = write_call();

    return st == LSQ_OK ? read_call() : st;
}

static enum lsq_status sync_call(void) {
    struct lsq_sync_result result;

    return lsq_sync(conn, NULL, &result, &last_error);
}

static enum lsq_status transaction_call(void) {
    enum lsq_status st = lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error);
    struct lsq_error first;

    if (st != LSQ_OK) return st;
    st = write_call();
    if (st == LSQ_OK) st = lsq_commit(conn, NULL, &last_error);
    if (st == LSQ_OK) return st;
    first = last_error;
    lsq_memory_set_budget(-1);
    (void)lsq_rollback(conn, NULL, NULL);
    last_error = first;
    return st;
}

static enum lsq_status read_transaction_call(void) {
    enum lsq_status st = lsq_begin(conn, LSQ_TXN_READ, NULL, &last_error);
    struct lsq_error first;

    if (st != LSQ_OK) return st;
    st = read_call();
    first = last_error;
    lsq_memory_set_budget(-1);
    (void)lsq_rollback(conn, NULL, NULL);
    last_error = first;
    return st;
}

static enum lsq_status batch_call(void) {
    static const char sql[] = "SELECT 1; INSERT INTO t (a) VALUES ('b'); SELECT count(*) FROM t";
    struct lsq_call call = {.flags = LSQ_CALL_TRANSACTION};

    return lsq_batch_sql(conn, sql, sizeof(sql) - 1, &call, NULL, NULL, NULL, &last_error);
}

static enum lsq_status cursor(const char *sql) {
    struct lsq_stmt *stmt = NULL;
    bool over = false;
    enum lsq_status st = lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error);

    if (st == LSQ_OK) st = lsq_stmt_start(stmt, NULL, &last_error);
    while (st == LSQ_OK && !over)
        st = lsq_stmt_fetch(stmt, 1, NULL, NULL, NULL, &over, &last_error);
    lsq_memory_set_budget(-1);
    lsq_stmt_free(stmt);
    return st;
}

static enum lsq_status cursor_call(void) { return cursor("SELECT id, a FROM t ORDER BY id"); }

static enum lsq_status cursor_there_call(void) {
    return cursor("UPDATE t SET a = 'y' WHERE id = 1 RETURNING id");
}

static enum lsq_status token_call(void) { return lsq_conn_set_token(conn, "a.b.c", &last_error); }

static void each_call(void **state) {
    static const struct {
        const char *name;
        enum lsq_status (*call)(void);
    } calls[] = {
        {"open", open_call},
        {"read", read_call},
        {"write", write_call},
        {"read after write", read_after_write_call},
        {"sync", sync_call},
        {"transaction", transaction_call},
        {"read transaction", read_transaction_call},
        {"batch", batch_call},
        {"cursor", cursor_call},
        {"cursor there", cursor_there_call},
        {"token", token_call},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        run(server, "INSERT INTO t (a) VALUES (zeroblob(5000))"); /* a sync has something to do */
        walk(calls[i].name, calls[i].call);
    }
    assert_int_equal(lsq_sync(conn, NULL, NULL, &last_error), LSQ_OK);
    assert_true(ask(conn, "SELECT count(*) FROM t") == ask(server, "SELECT count(*) FROM t"));
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
}

/* With nobody else who has the file. */
static void opening_alone(void **state) {
    int64_t before;

    (void)state;
    db_close(conn);
    conn = NULL;
    assert_int_equal(open_call(), LSQ_OK);
    before = blocks();
    walk("open alone", open_call);
    assert_int_equal(blocks(), before);
    snprintf(path, sizeof(path), "%s", db_path());
    walk("open and bootstrap", open_call);
}

/* It fails before it has begun, or closes the connection: the file is whole, as what it then is. */
static void freezing(void **state) {
    enum lsq_status st;
    int budget = 0;

    (void)state;
    do {
        struct lsq_config cfg = config_of();

        if (conn == NULL) conn = db_open_as(&cfg);
        lsq_memory_set_budget(budget++);
        st = lsq_freeze(conn, NULL, &last_error);
        lsq_memory_set_budget(-1);
        assert_true(budget < 5000);
        if (st == LSQ_OK) break;
        db_close(conn);
        lsq_shutdown();
        conn = NULL;
        /* Frozen, though the connection could not be made anew: it begins again as another replica. */
        cfg.primary = NULL;
        cfg.remote = NULL;
        if (lsq_conn_open(&conn, &cfg, NULL) == LSQ_OK) {
            assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 1);
            db_close(conn);
            conn = NULL;
            assert_int_equal(unlink(path), 0);
        }
    } while (true);
    assert_true(budget > 5);
    run(conn, "INSERT INTO t VALUES (2, 'own')");
    assert_int_equal(ask(conn, "SELECT count(*) FROM t"), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_call, begin, end),
        cmocka_unit_test_setup_teardown(opening_alone, begin, end),
        cmocka_unit_test_setup_teardown(freezing, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
