/* A replica that is written to offline, and others who have written in its place: nothing of its own is given up
 * unasked, and nothing of theirs is held for its own. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#include "../support/offline.h"
#include "conn/conn.h"

static struct sqld server;

static int forget(void **state) {
    sqld_kill(&server);
    replica_use_key(NULL);
    return db_forget(state);
}

static void keeps_both_in_a_conflict(void **state) {
    const char *path = replica_path();
    struct lsq_conn *conn;
    struct lsq_conn *kept;
    char aside[300];
    int64_t frames;

    (void)state;
    offline_begin(&server);
    conn = offline_open(path, server.url);
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('theirs')");
    frames = offline_frames(&server);
    offline_conflicts(conn);
    run(conn, "INSERT INTO t (b) VALUES ('mine, too')");
    offline_conflicts(conn);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b LIKE 'mine%'"), 2);
    assert_int_equal(offline_frames(&server), frames);
    /* Nor does opening it decide. */
    offline_close(conn);
    conn = offline_open(path, server.url);
    offline_conflicts(conn);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b LIKE 'mine%'"), 2);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    /* Nor a server that cannot be asked. */
    generations_fail(&server, "{\"status\": 500}");
    assert_true(lsq_set_aside(conn, NULL, aside, sizeof(aside), &last_error) != LSQ_OK);
    assert_string_equal(aside, "");
    generations_fail(&server, "{}");
    offline_conflicts(conn);
    assert_int_equal(lsq_set_aside(conn, NULL, aside, sizeof(aside), &last_error), LSQ_OK);
    assert_string_equal(aside, beside(path, "-aside-own-1"));
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 1);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b LIKE 'mine%'"), 0);
    offline_same(conn, &server);
    kept = db_open(aside);
    assert_int_equal(ask(kept, "SELECT count(*) FROM t WHERE b LIKE 'mine%'"), 2);
    assert_int_equal(ask(kept, "SELECT count(*) FROM t WHERE b = 'theirs'"), 0);
    db_close(kept);
    run(conn, "INSERT INTO t (b) VALUES ('again')");
    offline_same(conn, &server);
    /* There is nothing to set aside. */
    assert_int_equal(lsq_set_aside(conn, NULL, aside, sizeof(aside), &last_error), LSQ_OK);
    assert_string_equal(aside, "");
    assert_false(exists(path, "-aside-own-2"));
    offline_close(conn);
}

/* Part of it is there already when the conflict comes: it is not pushed again. */
static void conflicts_behind_what_is_pushed(void **state) {
    struct lsq_conn *conn;
    int64_t first;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    run(conn, "INSERT INTO t (b) VALUES ('mine 1')");
    first = offline_info(conn).unpushed;
    generations_fail(&server, "{\"push_last\": true}");
    assert_true(lsq_sync(conn, NULL, NULL, &last_error) != LSQ_OK);
    generations_fail(&server, "{}");
    run(conn, "INSERT INTO t (b) VALUES ('mine 2')");
    offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('theirs')");
    offline_conflicts(conn);
    assert_true(offline_info(conn).unpushed <= first);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b IN ('mine 1', 'mine 2')"), 2);
    assert_int_equal(lsq_set_aside(conn, NULL, NULL, 0, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b IN ('mine 1', 'theirs')"), 2);
    offline_same(conn, &server);
    offline_close(conn);
}

/* Two tills sell the same thing: their frames are the same byte for byte, and are two sales all the same. */
static void holds_nothing_of_others_for_its_own(void **state) {
    const char *path = replica_path();
    struct lsq_conn *conn;
    int64_t unpushed;

    (void)state;
    offline_begin(&server);
    conn = offline_open(path, server.url);
    run(conn, "INSERT INTO t (b) VALUES ('sold')");
    unpushed = offline_info(conn).unpushed;
    offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('sold')");
    offline_conflicts(conn);
    assert_int_equal(offline_info(conn).unpushed, unpushed);
    offline_close(conn);
    conn = offline_open(path, server.url);
    offline_conflicts(conn);
    run(conn, "INSERT INTO t (b) VALUES ('sold')");
    offline_conflicts(conn);
    assert_true(offline_info(conn).unpushed > unpushed);
    assert_int_equal(lsq_set_aside(conn, NULL, NULL, 0, &last_error), LSQ_OK);
    offline_same(conn, &server);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b = 'sold'"), 1);
    /* What it pushed before says nothing of what comes later. */
    run(conn, "INSERT INTO t (b) VALUES ('sold')");
    offline_same(conn, &server);
    run(conn, "INSERT INTO t (b) VALUES ('sold')");
    offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('sold')");
    offline_conflicts(conn);
    offline_close(conn);
}

/* The same frames came there just before: the server, who says so, is right. */
static void is_told_that_somebody_was_first(void **state) {
    static const char first[] =
        "{\"push_says\": \"{\\\"status\\\": \\\"conflict\\\", \\\"generation\\\": 1, "
        "\\\"max_frame_no\\\": 0}\"}";
    struct lsq_conn *conn;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    run(conn, "INSERT INTO t (b) VALUES ('sold')");
    generations_fail(&server, first); /* it puts them there itself */
    offline_conflicts(conn);
    generations_fail(&server, "{}");
    offline_conflicts(conn);
    assert_true(offline_info(conn).unpushed > 0);
    assert_int_equal(lsq_set_aside(conn, NULL, NULL, 0, &last_error), LSQ_OK);
    offline_same(conn, &server);
    offline_close(conn);
}

/* A server that went back, or forgot, has not what the changes were made on. */
static void conflicts_with_a_server_that_was_restored(void **state) {
    struct lsq_conn *conn;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    (void)generations_do(&server, "{\"do\": \"save\"}");
    offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('lost')");
    offline_same(conn, &server);
    (void)generations_do(&server, "{\"do\": \"go_back\"}");
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    generations_fail(&server, "{\"status\": 500}"); /* after which it is greeted */
    assert_true(lsq_sync(conn, NULL, NULL, &last_error) != LSQ_OK);
    generations_fail(&server, "{}");
    offline_conflicts(conn);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b IN ('lost', 'mine')"), 2);
    assert_int_equal(lsq_set_aside(conn, NULL, NULL, 0, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b IN ('lost', 'mine')"), 0);
    offline_same(conn, &server);
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    generations_checkpoint(&server);
    generations_checkpoint(&server);
    (void)generations_do(&server, "{\"do\": \"forget\"}");
    offline_conflicts(conn);
    assert_int_equal(lsq_set_aside(conn, NULL, NULL, 0, &last_error), LSQ_OK);
    offline_same(conn, &server);
    offline_close(conn);
}

/* A server that answers anything: it is an error, and nothing is held for pushed. */
static void believes_no_lies(void **state) {
    static const struct {
        const char *faults;
        enum lsq_status want;
    } lies[] = {
        {"{\"push_says\": \"nothing\"}", LSQ_OK},
        {"{\"push_conflict\": true}", LSQ_CONFLICT},
        {"{\"push_refused\": true, \"push_status\": 404}", LSQ_PROTOCOL_UNSUPPORTED},
        {"{\"push_refused\": true, \"push_status\": 401}", LSQ_UNAUTHORIZED},
    };
    struct lsq_conn *conn;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        run(conn, "INSERT INTO t (b) VALUES (randomblob(3000))");
        generations_fail(&server, lies[i].faults);
        /* What says nothing has taken it all the same: that is found. */
        if (i == 0) {
            offline_sync(LSQ_PROTOCOL_UNSUPPORTED, conn);
            offline_sync(LSQ_OK, conn);
        } else {
            offline_sync(lies[i].want, conn);
        }
        generations_fail(&server, "{}");
        offline_same(conn, &server);
    }
    offline_close(conn);
}

/* A sync that replaces all is broken off: reads go on, and what is written would be lost. */
static void writes_nothing_that_would_be_replaced(void **state) {
    const char *path = replica_path();
    struct lsq_conn *conn;
    char aside[300];

    (void)state;
    offline_begin(&server);
    conn = offline_open(path, server.url);
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('theirs')");
    offline_conflicts(conn);
    generations_fail(&server, "{\"export\": \"html\"}");
    assert_int_equal(lsq_set_aside(conn, NULL, aside, sizeof(aside), &last_error),
                     LSQ_PROTOCOL_UNSUPPORTED);
    assert_string_equal(aside, beside(path, "-aside-own-1"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b = 'mine'"), 1);
        expect(LSQ_SYNC_FIRST, conn, "INSERT INTO t (b) VALUES ('lost')");
        run(conn, "BEGIN");
        run(conn, "INSERT INTO t (b) VALUES ('lost')");
        expect(LSQ_SYNC_FIRST, conn, "COMMIT");
        run(conn, "BEGIN");
        run(conn, "ROLLBACK");
        assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b = 'lost'"), 0);
        offline_close(conn);
        conn = offline_open(path, server.url);
    }
    generations_fail(&server, "{}");
    offline_same(conn, &server);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b IN ('mine', 'lost')"), 0);
    run(conn, "INSERT INTO t (b) VALUES ('now')");
    offline_same(conn, &server);
    offline_close(conn);
}

/* Without changes of its own it follows a server that was restored, as any replica. */
static void follows_a_server_that_was_restored(void **state) {
    struct lsq_conn *conn;

    (void)state;
    offline_begin(&server);
    conn = offline_open(replica_path(), server.url);
    (void)generations_do(&server, "{\"do\": \"save\"}");
    run(conn, "INSERT INTO t (b) VALUES ('lost')");
    offline_same(conn, &server);
    (void)generations_do(&server, "{\"do\": \"go_back\"}");
    generations_fail(&server, "{\"status\": 500}");
    assert_true(lsq_sync(conn, NULL, NULL, &last_error) != LSQ_OK);
    generations_fail(&server, "{}");
    offline_same(conn, &server);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b = 'lost'"), 0);
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    offline_same(conn, &server);
    offline_close(conn);
}

/* Who was told that nothing was set aside goes on with what there is: no later sync does it. */
static void sets_nothing_aside_that_was_called_off(void **state) {
    const struct lsq_call call = {.timeout = 300};
    const char *path = replica_path();
    struct lsq_conn *conn;
    struct lsq_conn *other;
    char aside[300];

    (void)state;
    offline_begin(&server);
    conn = offline_open(path, server.url);
    other = offline_open(path, server.url);
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('theirs')");
    offline_conflicts(conn);
    run(other, "BEGIN IMMEDIATE");
    assert_int_equal(lsq_set_aside(conn, &call, aside, sizeof(aside), &last_error), LSQ_TIMEOUT);
    assert_string_equal(aside, "");
    run(other, "INSERT INTO t (b) VALUES ('mine, after')");
    run(other, "COMMIT");
    offline_conflicts(conn);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b LIKE 'mine%'"), 2);
    /* Nor where it had not begun. */
    run(other, "BEGIN IMMEDIATE");
    {
        struct lsqi_replica *replica = conn->offline;

        assert_int_equal(lsqi_replica_sync_wait(replica, 0, 1, NULL, NULL, NULL, &last_error),
                         LSQ_TIMEOUT);
    }
    assert_int_equal(lsq_set_aside(conn, &call, aside, sizeof(aside), &last_error), LSQ_TIMEOUT);
    run(other, "COMMIT");
    offline_conflicts(conn);
    assert_false(exists(path, "-aside-own-1"));
    assert_int_equal(lsq_set_aside(conn, NULL, aside, sizeof(aside), &last_error), LSQ_OK);
    assert_string_equal(aside, beside(path, "-aside-own-1"));
    offline_same(conn, &server);
    db_close(other);
    offline_close(conn);
}

/* Somebody opens the file with another program, which takes a checkpoint as it closes. */
static void tells_of_a_foreign_checkpoint(void **state) {
    const char *path = replica_path();
    struct lsq_conn *conn;
    sqlite3 *db;

    (void)state;
    offline_begin(&server);
    conn = offline_open(path, server.url);
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    run(conn, "INSERT INTO t (b) VALUES ('mine, too')");
    sqld_kill(&server);
    offline_close(conn);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT * FROM t", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_false(exists(path, "-wal"));
    generations_restart(&server);
    conn = offline_open(path, server.url);
    offline_sync(LSQ_CONFLICT, conn);
    run(conn, "INSERT INTO t (b) VALUES ('mine, after')");
    offline_sync(LSQ_CONFLICT, conn);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b LIKE 'mine%'"), 3);
    assert_int_equal(lsq_set_aside(conn, NULL, NULL, 0, &last_error), LSQ_OK);
    assert_true(exists(path, "-aside-own-1"));
    offline_same(conn, &server);
    offline_close(conn);
}

/* What another program writes is on no way to the server: nothing is committed on top of it. */
static void writes_on_top_of_nothing_foreign(void **state) {
    const char *path = replica_path();
    struct lsq_conn *conn;
    sqlite3 *db;

    (void)state;
    offline_begin(&server);
    conn = offline_open(path, server.url);
    for (int i = 0; i < 2; i++) {
        run(conn, "INSERT INTO t (b) VALUES ('mine')");
        offline_same(conn, &server);
        if (i == 1) offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('theirs')");
        if (i == 1) offline_same(conn, &server);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "INSERT INTO t (b) VALUES ('foreign')", NULL, NULL, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        /* Nor does the server's go on top of it. */
        if (i == 1) offline_elsewhere(&server, "INSERT INTO t (b) VALUES ('theirs')");
        if (i == 0) expect(LSQ_SYNC_FIRST, conn, "INSERT INTO t (b) VALUES ('lost')");
        if (i == 0) expect(LSQ_SYNC_FIRST, conn, "INSERT INTO t (b) VALUES ('lost')");
        offline_same(conn, &server);
        assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b IN ('foreign', 'lost')"), 0);
        assert_true(exists(path, i == 0 ? "-aside-1" : "-aside-2"));
    }
    run(conn, "INSERT INTO t (b) VALUES ('mine')");
    offline_same(conn, &server);
    offline_close(conn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(keeps_both_in_a_conflict, forget),
        cmocka_unit_test_teardown(conflicts_behind_what_is_pushed, forget),
        cmocka_unit_test_teardown(holds_nothing_of_others_for_its_own, forget),
        cmocka_unit_test_teardown(is_told_that_somebody_was_first, forget),
        cmocka_unit_test_teardown(conflicts_with_a_server_that_was_restored, forget),
        cmocka_unit_test_teardown(believes_no_lies, forget),
        cmocka_unit_test_teardown(writes_nothing_that_would_be_replaced, forget),
        cmocka_unit_test_teardown(follows_a_server_that_was_restored, forget),
        cmocka_unit_test_teardown(sets_nothing_aside_that_was_called_off, forget),
        cmocka_unit_test_teardown(tells_of_a_foreign_checkpoint, forget),
        cmocka_unit_test_teardown(writes_on_top_of_nothing_foreign, forget),
    };

    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
