/* A program that ends: what it has closed is closed, and nobody waits for what is not. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/db.h"

enum { ROUNDS = 10 };

static const char fill[] =
    "CREATE TABLE t (x);"
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    "INSERT INTO t SELECT randomblob(1000) FROM n";

static struct lsq_conn *filled(const char *path) {
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *conn = NULL;

    cfg.settings = &(struct lsq_setting){"journal_mode", "wal"};
    cfg.setting_count = 1;
    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) return NULL;
    if (lsq_batch_sql(conn, fill, sizeof(fill) - 1, NULL, NULL, NULL, NULL, &last_error) == LSQ_OK)
        return conn;
    lsq_conn_free(conn);
    return NULL;
}

/* Closes, waits for nothing, and ends. */
static int close_and_end(const char *path) {
    struct lsq_conn *conn = filled(path);

    if (conn == NULL) return 1;
    lsq_conn_free(conn);
    exit(0);
}

static bool left(const char *path, const char *suffix) {
    char name[512];

    snprintf(name, sizeof(name), "%s%s", path, suffix);
    return access(name, F_OK) == 0;
}

static void what_is_closed_leaves_no_wal(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const char *path = db_path();
        struct child child = child_begin("close_and_end", path);

        assert_int_equal(child_end(&child), 0);
        assert_true(left(path, ""));
        assert_false(left(path, "-wal"));
        assert_false(left(path, "-shm"));
    }
}

static void end(void *arg) {
    (void)arg;
    exit(0);
}

/* The child of a fork has none of our threads: to wait for them would be to wait in vain. */
static void a_forked_child_waits_for_nobody(void **state) {
    struct lsq_conn *conn;
    int64_t start;

    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* what a thread had in hand when the process was copied would count as a leak of the copy */
#endif
    conn = filled(db_path());
    assert_non_null(conn);
    lsq_conn_free(conn);
    start = now_ns();
    child_wait(child_start(end, NULL));
    assert_true(now_ns() - start < INT64_C(1500) * 1000000);
    lsq_shutdown();
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"close_and_end", close_and_end}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_closed_leaves_no_wal, db_forget),
        cmocka_unit_test_teardown(a_forked_child_waits_for_nobody, db_forget),
    };

    child_main(argc, argv, roles, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
