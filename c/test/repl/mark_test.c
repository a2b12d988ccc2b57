/* What is in a replica's file is not what was put into it, though it is the same file, of as many pages: another
 * database, an older or newer state of the replica. And what only looks so, after a break, is gone on with. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/primary.h"
#include "repl/mark.h"
#include "repl/meta.h"

static struct sqld server;

static int forget(void **state) {
    replica_use_key(NULL);
    sqld_kill(&server);
    return db_forget(state);
}

/* As cp does: the file that there is is written over. */
static void copy(const char *from, const char *to) {
    static char block[65536];
    int in = open(from, O_RDONLY);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ssize_t n;

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, block, sizeof(block))) > 0) assert_true(write(out, block, (size_t)n) == n);
    close(in);
    close(out);
}

static int64_t size_of(const char *path) {
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

/* It is opened, set aside so often, and has what the primary has; then it is opened as if nothing had been. */
static void expect_set_aside(const char *path, struct lsq_conn *primary, int asides) {
    struct lsqi_replica *replica;

    replica_events_begin();
    replica = replica_open(path, &server);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), asides);
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 0);
    replica_close(replica);
    replica_events_begin();
    replica = replica_open(path, &server);
    assert_true(lsqi_replica_usable(replica));
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    replica_close(replica);
}

static void sync_and_close(const char *path, struct lsq_conn *primary) {
    struct lsqi_replica *replica = replica_open(path, &server);

    expect_same(replica, primary);
    replica_close(replica);
}

/* ---- Other content ---- */

static const char *const fill[] = {
    "CREATE TABLE t (a INTEGER PRIMARY KEY, b)",
    "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
    "WHERE i < 200) SELECT zeroblob(1000) FROM n",
};

static struct lsq_conn *primary_of_zeros(void) {
    struct lsq_conn *primary;

    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    for (size_t i = 0; i < 2; i++) run(primary, fill[i]);
    return primary;
}

/* Made by the same statements, and then changed in one row. */
static void knows_another_database_in_its_file(void **state) {
    struct lsq_conn *primary = primary_of_zeros();
    const char *path = replica_made(&server);
    struct lsq_conn *conn = db_open(beside(path, ".other"));

    (void)state;
    for (size_t i = 0; i < 2; i++) run(conn, fill[i]);
    run(conn, "UPDATE t SET b = 'mine' || zeroblob(996) WHERE a = 100");
    run(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
    db_close(conn);
    assert_int_equal(size_of(path), size_of(beside(path, ".other")));
    copy(beside(path, ".other"), path);
    expect_set_aside(path, primary, 1);
    /* It may be somebody's only one. */
    conn = db_open(beside(path, "-aside-own-1"));
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE b LIKE 'mine%'"), 1);
    db_close(conn);
    db_close(primary);
}

static void another_database_takes_an_empty_ones_place(void) {
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsq_conn *conn;

    assert_int_equal(lsqi_replica_make_empty(replica, &last_error), LSQ_OK);
    replica_close(replica);
    conn = db_open(beside(path, ".other"));
    run(conn, "CREATE TABLE mine AS SELECT 42 AS a");
    db_close(conn);
    copy(beside(path, ".other"), path);
    replica_events_begin();
    replica = replica_open(path, &server);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 1);
    replica_sync(replica);
    replica_close(replica);
    conn = db_open(beside(path, "-aside-own-1"));
    assert_int_equal(ask(conn, "SELECT a FROM mine"), 42);
    db_close(conn);
}

static void knows_another_database_before_its_first_sync(void **state) {
    struct lsq_conn *primary = primary_of_zeros();

    (void)state;
    another_database_takes_an_empty_ones_place();
    db_close(primary);
}

/* An older state, and a newer one, by the small changes that leave the number of pages as it is. */
static void older_and_newer(const char *key) {
    struct lsq_conn *primary = primary_of_zeros();
    const char *path;
    const char *old;
    const char *metadata;

    replica_use_key(key);
    path = replica_made(&server);
    old = beside(path, ".old");
    metadata = beside(path, ".metadata");
    for (int row = 1; row < 200; row += 66) {
        char sql[80];

        copy(path, old);
        snprintf(sql, sizeof(sql), "UPDATE t SET b = zeroblob(999) || 'x' WHERE a = %d", row);
        run(primary, sql);
        sync_and_close(path, primary);
        assert_int_equal(size_of(path), size_of(old));
        copy(old, path);
        expect_set_aside(path, primary, 1);
    }
    /* The same page is changed once more. */
    run(primary, "UPDATE t SET b = zeroblob(999) || 'w' WHERE a = 1");
    sync_and_close(path, primary);
    copy(beside(path, "-replica"), metadata);
    run(primary, "UPDATE t SET b = zeroblob(999) || 'y' WHERE a = 1");
    sync_and_close(path, primary);
    copy(metadata, beside(path, "-replica"));
    expect_set_aside(path, primary, 1);
    db_close(primary);
}

static void knows_an_older_copy_of_itself(void **state) {
    (void)state;
    older_and_newer(NULL);
}

static void knows_an_older_copy_of_itself_with_a_key(void **state) {
    (void)state;
    older_and_newer("a key of some length");
}

/* ---- Breaks ---- */

struct two_states {
    const char *path;
    const char *before; /* files */
    const char *after;
    struct lsqi_meta meta; /* as it is while the second state is put in */
};

static void make_two_states(struct two_states *s, struct lsq_conn *primary, const char *change) {
    struct lsqi_meta after;
    const char *name;

    s->path = replica_made(&server);
    s->before = beside(s->path, ".before");
    s->after = beside(s->path, ".after");
    name = beside(s->path, "-replica");
    copy(s->path, s->before);
    assert_int_equal(lsqi_meta_read(&s->meta, name, NULL, &last_error), LSQ_OK);
    run(primary, change);
    sync_and_close(s->path, primary);
    copy(s->path, s->after);
    assert_int_equal(lsqi_meta_read(&after, name, NULL, &last_error), LSQ_OK);
    s->meta.target = after.applied;
    s->meta.target_checksum = after.checksum;
    s->meta.coming = after.mark;
    s->meta.sequence = after.sequence;
}

static void broken_off(struct two_states *s, const char *file) {
    copy(file, s->path);
    assert_int_equal(lsqi_meta_write(&s->meta, beside(s->path, "-replica"), NULL, LSQI_META_DURABLE,
                                     &last_error),
                     LSQ_OK);
}

/* The process was killed before, or after, what came was put in: whichever it is, the file is the replica's. */
static void goes_on_after_a_break(const char *change) {
    struct lsq_conn *primary = primary_of_zeros();
    struct two_states s;
    struct lsqi_meta found;

    make_two_states(&s, primary, change);
    broken_off(&s, s.before);
    expect_set_aside(s.path, primary, 0);
    broken_off(&s, s.after);
    expect_set_aside(s.path, primary, 0);
    /* And again, in the next attempt: with a target that is further. */
    broken_off(&s, s.after);
    run(primary, "UPDATE t SET b = zeroblob(998) || 'yz' WHERE a = 77");
    sync_and_close(s.path, primary);
    copy(s.path, beside(s.path, ".last"));
    assert_int_equal(lsqi_meta_read(&found, beside(s.path, "-replica"), NULL, &last_error), LSQ_OK);
    s.meta.sequence = found.sequence;
    s.meta.target = found.applied;
    s.meta.target_checksum = found.checksum;
    s.meta.mark = s.meta.coming;
    s.meta.coming = found.mark;
    broken_off(&s, s.after);
    expect_set_aside(s.path, primary, 0);
    broken_off(&s, beside(s.path, ".last"));
    expect_set_aside(s.path, primary, 0);
    /* What is neither is not. */
    broken_off(&s, s.before);
    expect_set_aside(s.path, primary, 1);
    db_close(primary);
}

static void goes_on_after_a_break_in_a_small_change(void **state) {
    (void)state;
    goes_on_after_a_break("UPDATE t SET b = zeroblob(999) || 'x' WHERE a = 1");
}

static void goes_on_after_a_break_in_growth(void **state) {
    (void)state;
    goes_on_after_a_break("INSERT INTO t (b) SELECT b FROM t");
}

/* The last mark is the first one, of the file as it was found. */
static void metadata_have_the_second_state_then(void **state) {
    struct lsq_conn *primary = primary_of_zeros();
    struct two_states s;
    struct lsqi_replica *replica;
    struct lsqi_meta found;

    (void)state;
    make_two_states(&s, primary, "UPDATE t SET b = zeroblob(999) || 'x' WHERE a = 1");
    broken_off(&s, s.after);
    replica = replica_open(s.path, &server);
    run(primary, "UPDATE t SET b = zeroblob(998) || 'yz' WHERE a = 77");
    replica_sync(replica);
    replica_close(replica);
    assert_int_equal(lsqi_meta_read(&found, beside(s.path, "-replica"), NULL, &last_error), LSQ_OK);
    assert_true(found.applied == found.target && lsqi_mark_same(&found.mark, &found.coming));
    db_close(primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(knows_another_database_in_its_file, forget),
        cmocka_unit_test_teardown(knows_another_database_before_its_first_sync, forget),
        cmocka_unit_test_teardown(knows_an_older_copy_of_itself, forget),
        cmocka_unit_test_teardown(knows_an_older_copy_of_itself_with_a_key, forget),
        cmocka_unit_test_teardown(goes_on_after_a_break_in_a_small_change, forget),
        cmocka_unit_test_teardown(goes_on_after_a_break_in_growth, forget),
        cmocka_unit_test_teardown(metadata_have_the_second_state_then, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
