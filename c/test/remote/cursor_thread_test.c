/* Cursors that are let go of while their answer comes: the I/O thread is then the last to know. */
#include <stdio.h>

#include "../support/chance.h"
#include "../support/db.h"
#include "../support/sqld.h"

static const char sql[] = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i "
                          "< 100000) SELECT i, 'abc' || i FROM c";

static struct lsq_conn *connect_to(const struct sqld *sqld) {
    struct lsq_config cfg;
    struct lsq_conn *conn;

    lsq_config_init(&cfg);
    cfg.path = sqld->url;
    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
    return conn;
}

static struct lsq_stmt *half_read(struct lsq_conn *conn, size_t rows) {
    struct lsq_stmt *stmt;
    struct lsq_result *res;
    bool end = true;

    assert_int_equal(lsq_stmt_new(&stmt, conn, sql, strlen(sql), NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_start(stmt, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_result_new(&res, NULL), LSQ_OK);
    if (lsq_stmt_fetch(stmt, rows, NULL, lsq_result_sink(), res, &end, &last_error) != LSQ_OK)
        fail_msg("%s", last_error.message);
    assert_false(end);
    assert_int_equal(lsq_result_rows(res), rows);
    lsq_result_free(res);
    return stmt;
}

static void a_connection_may_go_before_its_cursor_has_ended(void **state) {
    struct sqld sqld;
    uint64_t seed = test_seed();

    (void)state;
    sqld_start(&sqld, NULL);
    for (int round = 0; round < 100; round++) {
        struct lsq_conn *conn = connect_to(&sqld);
        struct lsq_stmt *stmt;
        uint64_t chance = random_next(&seed);

        if (chance % 2 == 0) run(conn, "BEGIN");
        stmt = half_read(conn, 1 + chance / 2 % 3000);
        switch (chance / 8192 % 4) {
        case 0: /* the close is the first to know */ db_close(conn); break;
        case 1:
            lsq_stmt_free(stmt);
            stmt = NULL;
            db_close(conn);
            break;
        case 2:
            assert_int_equal(lsq_stmt_reset(stmt, &last_error), LSQ_OK);
            db_close(conn);
            break;
        default: /* and nobody waits for the close */
            lsq_conn_close(conn, NULL, NULL);
            lsq_conn_free(conn);
        }
        lsq_stmt_free(stmt);
    }
    sqld_kill(&sqld);
}

/* More of them than requests that may be under way at a time. */
static void open_cursors_are_in_nobodys_way(void **state) {
    enum { CURSORS = 40 };
    struct lsq_conn *conns[CURSORS];
    struct lsq_stmt *stmts[CURSORS];
    struct lsq_conn *conn;
    struct sqld sqld;

    (void)state;
    sqld_start(&sqld, NULL);
    for (int i = 0; i < CURSORS; i++) {
        conns[i] = connect_to(&sqld);
        stmts[i] = half_read(conns[i], 10);
    }
    conn = connect_to(&sqld);
    assert_int_equal(ask(conn, "SELECT 7"), 7);
    assert_int_equal(ask(conns[3], "SELECT 8"), 8);
    db_close(conn);
    for (int i = 0; i < CURSORS; i++) {
        lsq_stmt_free(stmts[i]);
        db_close(conns[i]);
    }
    sqld_kill(&sqld);
}

#define TEST(name) cmocka_unit_test_teardown(name, db_forget)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_connection_may_go_before_its_cursor_has_ended),
        TEST(open_cursors_are_in_nobodys_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
