/* A term's WHERE holds in a compound whose other terms have a RIGHT or FULL JOIN, wherever the compound stands.
 * Without engine/patches/right-join.patch it is lost, and so it is with the system's SQLite. */
#include <stdio.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct lsq_conn *conn;

static int open_file(void **state) {
    struct lsq_core_info info;

    (void)state;
    assert_int_equal(lsq_core_info(&info, NULL), LSQ_OK);
    if (strcmp(info.engine, "libsql") != 0) return 0;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE a (id INTEGER PRIMARY KEY, s)");
    run(conn, "CREATE TABLE b (id INTEGER PRIMARY KEY, s)");
    run(conn, "CREATE TABLE none (id, s)");
    run(conn, "INSERT INTO a VALUES (1, 'x'), (2, 'y'), (3, NULL)");
    run(conn, "INSERT INTO b VALUES (11, 'y'), (12, 'z')");
    return 0;
}

static int close_file(void **state) {
    if (conn != NULL) db_close(conn);
    conn = NULL;
    return db_forget(state);
}

/* Not all were lost: those that NULL might satisfy, as far as the engine could see. */
static const char *const conditions[] = {
    "s LIKE 'y'", "s IS 'y'", "instr(s, 'y')", "s = 'y'", "id = 2", "s GLOB 'y' OR id = 3",
};

/* The terms in both orders, and the compound in other places: all have the rows that the compound itself has. */
static void same_rows(const char *filtered, const char *other) {
    static const char *const places[] = {
        "SELECT * FROM (%s UNION ALL %s) ORDER BY 1",
        "SELECT * FROM none UNION ALL SELECT *, 1 FROM (%s UNION ALL %s) ORDER BY 1",
        "SELECT c.id FROM (%s UNION ALL %s) c WHERE c.id > 0 OR c.id IS NULL ORDER BY 1",
        "SELECT c.id FROM (%s UNION ALL %s) c JOIN (SELECT 1) ORDER BY 1",
        "SELECT c.id FROM (SELECT 1) JOIN (%s UNION ALL %s) c ORDER BY 1",
        "WITH c AS (%s UNION ALL %s) SELECT id FROM c ORDER BY 1",
    };
    char sql[600];
    char wanted[600];

    for (size_t i = 0; i < COUNT(places); i++) {
        for (int swapped = 0; swapped < 2; swapped++) {
            const char *first = swapped ? other : filtered;
            const char *second = swapped ? filtered : other;

            snprintf(sql, sizeof(sql), "CREATE TEMP TABLE c AS %s UNION ALL %s", first, second);
            run(conn, sql);
            snprintf(wanted, sizeof(wanted), "%s",
                     ask_rows(conn, i == 1 ? "SELECT id, 1 FROM c ORDER BY 1"
                                           : "SELECT id FROM c ORDER BY 1"));
            run(conn, "DROP TABLE c");
            snprintf(sql, sizeof(sql), places[i], first, second);
            assert_string_equal(ask_rows(conn, sql), wanted);
        }
    }
}

static void same_rows_everywhere(const char *other) {
    char filtered[100];

    for (size_t i = 0; i < COUNT(conditions); i++) {
        snprintf(filtered, sizeof(filtered), "SELECT id FROM a WHERE %s", conditions[i]);
        same_rows(filtered, other);
    }
}

static void where_beside_a_right_join(void **state) {
    (void)state;
    if (conn == NULL) skip();
    assert_string_equal(ask_rows(conn, "SELECT * FROM (SELECT id FROM a WHERE s LIKE 'y' UNION ALL "
                                       "SELECT b.id FROM a RIGHT JOIN b ON a.s = b.s) ORDER BY 1"),
                        "2;11;12");
    same_rows_everywhere("SELECT b.id FROM a RIGHT JOIN b ON a.s = b.s");
}

static void where_beside_a_full_join(void **state) {
    (void)state;
    if (conn == NULL) skip();
    same_rows_everywhere("SELECT b.id FROM a FULL JOIN b ON a.s = b.s");
}

static void where_of_the_join_itself(void **state) {
    (void)state;
    if (conn == NULL) skip();
    same_rows_everywhere("SELECT b.id FROM a RIGHT JOIN b ON a.s = b.s WHERE b.id = 12");
    same_rows_everywhere(
        "SELECT b.id FROM a JOIN b x ON true RIGHT JOIN b ON a.s = b.s WHERE a.id > 0");
    same_rows_everywhere("SELECT b.id FROM a LEFT JOIN b ON a.s = b.s");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_file, close_file)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(where_beside_a_right_join),
        TEST(where_beside_a_full_join),
        TEST(where_of_the_join_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
