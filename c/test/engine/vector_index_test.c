/* A vector index holds what its table holds, however often its CREATE INDEX was compiled before it ran.
 * Without engine/patches/vector-index.patch it is empty then. */
#include "../support/db.h"

static const char create[] = "CREATE INDEX near ON t (libsql_vector_idx(e))";
static struct lsq_conn *conn;

static int open_file(void **state) {
    struct lsq_core_info info;

    (void)state;
    assert_int_equal(lsq_core_info(&info, NULL), LSQ_OK);
    if (strcmp(info.engine, "libsql") != 0) return 0;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, e F32_BLOB(3))");
    run(conn, "INSERT INTO t VALUES (1, vector32('[1,0,0]')), (2, vector32('[0,1,0]'))");
    return 0;
}

static int close_file(void **state) {
    if (conn != NULL) db_close(conn);
    conn = NULL;
    return db_forget(state);
}

static void finds_all(void) {
    assert_string_equal(ask_rows(conn, "SELECT id FROM vector_top_k('near', '[0,1,0]', 1)"), "2");
    assert_int_equal(ask(conn, "SELECT count(*) FROM vector_top_k('near', '[0,1,0]', 9)"), 2);
    run(conn, "INSERT INTO t VALUES (3, vector32('[0,0,1]'))");
    assert_string_equal(ask_rows(conn, "SELECT id FROM vector_top_k('near', '[0,0,1]', 1)"), "3");
}

static void compiled_once(void **state) {
    (void)state;
    if (conn == NULL) skip();
    run(conn, create);
    finds_all();
}

static void compiled_and_not_run(void **state) {
    struct lsq_stmt *stmt;

    (void)state;
    if (conn == NULL) skip();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lsq_stmt_new(&stmt, conn, create, sizeof(create) - 1, NULL, NULL), LSQ_OK);
        lsq_stmt_free(stmt);
    }
    run(conn, create);
    finds_all();
}

static void after_a_lock(void **state) {
    const struct lsq_call nowait = {.flags = LSQ_CALL_NOWAIT};
    struct lsq_conn *other;
    struct lsq_stmt *stmt;

    (void)state;
    if (conn == NULL) skip();
    other = db_open(db_file(conn));
    assert_int_equal(lsq_stmt_new(&stmt, conn, create, sizeof(create) - 1, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_begin(other, LSQ_TXN_IMMEDIATE, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_stmt_exec(stmt, NULL, &nowait, NULL, NULL, NULL, NULL), LSQ_BUSY);
    lsq_stmt_free(stmt);
    assert_int_equal(lsq_rollback(other, NULL, NULL), LSQ_OK);
    db_close(other);
    run(conn, create);
    finds_all();
}

/* What a dump of another program does: the shadow table is there, and full, before its index. */
static void loaded_from_a_dump(void **state) {
    (void)state;
    if (conn == NULL) skip();
    run(conn, create);
    run(conn, "CREATE TABLE kept AS SELECT * FROM near_shadow");
    run(conn, "CREATE TABLE meta AS SELECT * FROM libsql_vector_meta_shadow");
    run(conn, "DROP INDEX near");
    run(conn, "INSERT INTO libsql_vector_meta_shadow SELECT * FROM meta");
    run(conn, "CREATE TABLE near_shadow (index_key INTEGER, data BLOB, PRIMARY KEY (index_key))");
    run(conn, "INSERT INTO near_shadow SELECT * FROM kept");
    run(conn, create);
    assert_int_equal(ask(conn, "SELECT count(*) FROM near_shadow"), 2);
    finds_all();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_file, close_file)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(compiled_once),
        TEST(compiled_and_not_run),
        TEST(after_a_lock),
        TEST(loaded_from_a_dump),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
