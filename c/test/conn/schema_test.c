/* A change of the schema, wherever it comes from, is seen by the next run: SELECT * never shows old
 * columns. Other processes use the engine by itself: the library does not survive a fork. */
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "../support/db.h"

static const char *file;

static void alter_elsewhere(void *arg) {
    sqlite3 *db = NULL;

    if (sqlite3_open(file, &db) != SQLITE_OK || sqlite3_busy_timeout(db, 5000) != SQLITE_OK ||
        sqlite3_exec(db, arg, NULL, NULL, NULL) != SQLITE_OK)
        _exit(1);
    sqlite3_close(db);
}

static struct lsq_conn *open_table(void) {
    struct lsq_conn *conn = db_open(NULL);

    run(conn, "CREATE TABLE t (a, b)");
    run(conn, "INSERT INTO t VALUES (1, 2)");
    for (int i = 0; i < 5; i++) assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "a,b");
    return conn;
}

static const char *file_of(struct lsq_conn *conn) {
    static char path[256];

    strcpy(path, ask_text(conn, "SELECT file FROM pragma_database_list WHERE name = 'main'"));
    return path;
}

static void same_connection_shows_the_new_column(void **state) {
    struct lsq_conn *conn = open_table();

    (void)state;
    run(conn, "ALTER TABLE t ADD COLUMN c DEFAULT 3");
    assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "a,b,c");
    run(conn, "ALTER TABLE t DROP COLUMN a");
    assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "b,c");
    db_close(conn);
}

static void other_connection_shows_the_new_column(void **state) {
    struct lsq_conn *conn = open_table();
    struct lsq_conn *other = db_open(file_of(conn));

    (void)state;
    run(other, "ALTER TABLE t ADD COLUMN c DEFAULT 3");
    assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "a,b,c");
    run(other, "DROP TABLE t");
    expect(LSQ_SQL, conn, "SELECT * FROM t");
    run(other, "CREATE TABLE t (x, y, z, w)");
    assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "x,y,z,w");
    db_close(other);
    db_close(conn);
}

static void other_process_shows_the_new_column(void **state) {
    struct lsq_conn *conn = open_table();

    (void)state;
    file = file_of(conn);
    child_wait(child_start(alter_elsewhere, "ALTER TABLE t ADD COLUMN c DEFAULT 3"));
    assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "a,b,c");
    db_close(conn);
}

static void inside_a_transaction_and_after_its_rollback(void **state) {
    struct lsq_conn *conn = open_table();

    (void)state;
    run(conn, "BEGIN");
    run(conn, "ALTER TABLE t ADD COLUMN c");
    assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "a,b,c");
    run(conn, "ROLLBACK");
    assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "a,b");
    db_close(conn);
}

static void attached_database_changed_elsewhere(void **state) {
    struct lsq_conn *conn = open_table();
    struct lsq_conn *other;
    char path[256];
    char sql[400];

    (void)state;
    strcpy(path, db_path());
    other = db_open(path);
    run(other, "CREATE TABLE u (a)");
    snprintf(sql, sizeof(sql), "ATTACH '%s' AS far", path);
    run(conn, sql);
    assert_string_equal(ask_columns(conn, "SELECT * FROM far.u"), "a");
    run(other, "ALTER TABLE u ADD COLUMN b");
    assert_string_equal(ask_columns(conn, "SELECT * FROM far.u"), "a,b");
    db_close(other);
    db_close(conn);
}

static void fast_path_is_not_fooled(void **state) {
    struct lsq_conn *conn = open_table();
    struct lsq_conn *other = db_open(file_of(conn));
    struct lsq_call try = {.flags = LSQ_CALL_TRY};
    struct lsq_reply reply;

    (void)state;
    /* A loaded machine can make a run too long to count. */
    for (int i = 0; exec(conn, "SELECT * FROM t", NULL, &try, &reply) != LSQ_OK; i++) {
        assert_true(i < 1000);
        assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "a,b");
    }
    assert_int_equal(reply.columns, 2);
    run(other, "ALTER TABLE t ADD COLUMN c");
    /* It may only answer with all three columns, or not there. */
    assert_int_equal(exec(conn, "SELECT * FROM t", NULL, &try, &reply), LSQ_WOULD_BLOCK);
    assert_string_equal(ask_columns(conn, "SELECT * FROM t"), "a,b,c");
    db_close(other);
    db_close(conn);
}

static void statement_handles_tell_the_new_columns(void **state) {
    struct lsq_conn *conn = open_table();
    struct lsq_conn *other = db_open(file_of(conn));
    struct lsq_stmt *stmt = NULL;
    struct lsq_column column;
    size_t count = 0;

    (void)state;
    assert_int_equal(lsq_stmt_new(&stmt, conn, "SELECT * FROM t", 15, NULL, &last_error), LSQ_OK);
    run(other, "ALTER TABLE t ADD COLUMN c TEXT");
    assert_int_equal(lsq_stmt_column_count(stmt, &count, &last_error), LSQ_OK);
    assert_int_equal(count, 3);
    assert_int_equal(lsq_stmt_column(stmt, 2, &column, &last_error), LSQ_OK);
    assert_string_equal(column.name, "c");
    assert_string_equal(column.declared_type, "TEXT");
    assert_string_equal(column.table, "t");
    assert_int_equal(lsq_stmt_column(stmt, 3, &column, &last_error), LSQ_BAD_ARGUMENT);
    run(other, "DROP TABLE t");
    assert_int_equal(lsq_stmt_column_count(stmt, &count, &last_error), LSQ_SQL);
    lsq_stmt_free(stmt);
    db_close(other);
    db_close(conn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(same_connection_shows_the_new_column, db_forget),
        cmocka_unit_test_teardown(other_connection_shows_the_new_column, db_forget),
        cmocka_unit_test_teardown(other_process_shows_the_new_column, db_forget),
        cmocka_unit_test_teardown(inside_a_transaction_and_after_its_rollback, db_forget),
        cmocka_unit_test_teardown(attached_database_changed_elsewhere, db_forget),
        cmocka_unit_test_teardown(fast_path_is_not_fooled, db_forget),
        cmocka_unit_test_teardown(statement_handles_tell_the_new_columns, db_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
