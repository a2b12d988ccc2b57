/* Replicas whose file is encrypted: nothing that is written beside them can be read without the key, a wrong key harms
 * nothing, and all else is as with others. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/primary.h"
#include "conn/conn.h"
#include "repl/meta.h"

/* In each row, and as a table's name. */
#define WORDS "WordsThatNobodyMayRead"

static const char key[] = "of the house";
static struct sqld server;

static int forget(void **state) {
    replica_use_key(NULL);
    sqld_kill(&server);
    return db_forget(state);
}

static struct lsq_conn *fill(int rows) {
    struct lsq_conn *primary;
    char sql[300];

    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE " WORDS " (a INTEGER PRIMARY KEY, b)");
    snprintf(sql, sizeof(sql),
             "INSERT INTO " WORDS " (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
             "FROM n WHERE i < %d) SELECT '" WORDS "' || hex(randomblob(900)) FROM n",
             rows);
    run(primary, sql);
    replica_use_key(key);
    return primary;
}

/* ---- The search ---- */

/* How often the words are in the file; -1: there is none. */
static int words_in(const char *name) {
    static char bytes[1 << 20];
    int fd = open(name, O_RDONLY);
    size_t kept = 0;
    int found = 0;
    ssize_t n;

    if (fd < 0) return -1;
    while ((n = read(fd, bytes + kept, sizeof(bytes) - kept)) > 0) {
        const char *at = bytes;
        const char *end = bytes + kept + n;

        while ((at = memmem(at, (size_t)(end - at), WORDS, sizeof(WORDS) - 1)) != NULL)
            at++, found++;
        kept =
            (size_t)(end - bytes) < sizeof(WORDS) - 2 ? (size_t)(end - bytes) : sizeof(WORDS) - 2;
        memmove(bytes, end - kept, kept);
    }
    close(fd);
    return found;
}

/* Looks through all files of a folder; returns how many there were, and their bytes. */
static int search(const char *folder, bool links, int64_t *bytes) {
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int files = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char name[600];
        struct stat st;

        snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
        if ((links ? stat(name, &st) : lstat(name, &st)) != 0 || !S_ISREG(st.st_mode)) continue;
        if (links && st.st_nlink > 0) continue; /* of those that are open, the nameless */
        if (words_in(name) > 0) fail_msg("%s can be read", name);
        files++;
        *bytes += st.st_size;
    }
    closedir(dir);
    return files;
}

/* Of path's folder, and what the process has open that has no name any more. */
static void expect_nothing_to_read(const char *path, int pid, int64_t *nameless) {
    char folder[300];
    int64_t bytes = 0;

    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    assert_true(search(folder, false, &bytes) > 0);
    if (pid == 0) return;
    snprintf(folder, sizeof(folder), "/proc/%d/fd", pid);
    (void)search(folder, true, nameless);
}

/* ---- As with others ---- */

static void follows_and_cannot_be_read(void **state) {
    struct lsq_conn *primary = fill(2000);
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsqi_meta meta;
    struct lsq_config cfg;

    (void)state;
    expect_same(replica, primary);
    expect_nothing_to_read(path, 0, NULL);
    for (int i = 0; i < 5; i++) {
        run(primary, "UPDATE " WORDS " SET b = b || 'x' WHERE a % 3 = 0");
        run(primary, "CREATE TABLE IF NOT EXISTS Also" WORDS " AS SELECT * FROM " WORDS);
        expect_same(replica, primary);
        expect_nothing_to_read(path, 0, NULL);
    }
    assert_int_equal(lsqi_meta_read(&meta, beside(path, "-replica"), NULL, &last_error), LSQ_OK);
    assert_true(meta.key_mark != 0);
    replica_close(replica);
    expect_nothing_to_read(path, 0, NULL);
    replica_events_begin();
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    replica_close(replica);
    /* It is what the engine makes with that key. */
    cfg = db_config(path);
    cfg.flags |= LSQ_OPEN_READONLY | LSQI_OPEN_ANY_ROLE;
    cfg.setting_count = 0;
    assert_int_equal(db_try(&cfg), LSQ_NOT_A_DATABASE);
    db_close(primary);
}

static void an_empty_one_is_encrypted(void **state) {
    struct lsqi_replica *replica;
    struct lsq_conn *primary;
    const char *path = replica_path();

    (void)state;
    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    replica_use_key(key);
    replica = replica_open(path, &server);
    assert_int_equal(lsqi_replica_make_empty(replica, &last_error), LSQ_OK);
    replica_sync(replica);
    run(primary, "CREATE TABLE " WORDS " (a)");
    run(primary, "INSERT INTO " WORDS " VALUES ('" WORDS "')");
    expect_same(replica, primary);
    expect_nothing_to_read(path, 0, NULL);
    replica_close(replica);
    expect_nothing_to_read(path, 0, NULL);
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

/* ---- Other keys ---- */

/* The file and its metadata are what they were, and nothing was set aside. */
static void expect_refused(const char *path, const char *with) {
    uint64_t inode = 0;
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    inode = st.st_ino;
    replica_use_key(with);
    if (replica_try(path, server.url, false) != LSQ_NOT_A_DATABASE)
        fail_msg("%s", last_error.message);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_ino == inode);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
    assert_int_equal(access(beside(path, "-aside-1"), F_OK), -1);
    assert_int_equal(access(beside(path, "-incoming"), F_OK), -1);
}

static void expect_followed(const char *path, const char *with, struct lsq_conn *primary,
                            int asides) {
    struct lsqi_replica *replica;

    replica_use_key(with);
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), asides);
    replica_close(replica);
    replica_events_begin();
}

static void another_key_harms_nothing(void **state) {
    struct lsq_conn *primary = fill(50);
    const char *path = replica_made(&server);

    (void)state;
    expect_refused(path, "of another house");
    expect_refused(path, NULL);
    run(primary, "UPDATE " WORDS " SET b = b || 'y'");
    expect_refused(path, "x");
    expect_followed(path, key, primary, 0);
    db_close(primary);
}

static void a_key_for_what_has_none_is_refused(void **state) {
    struct lsq_conn *primary = fill(50);
    const char *path;

    (void)state;
    replica_use_key(NULL);
    path = replica_made(&server);
    assert_true(words_in(path) > 50); /* else the search would prove nothing */
    expect_refused(path, key);
    expect_followed(path, NULL, primary, 0);
    db_close(primary);
}

static void is_replaced_where_that_is_asked_for(void **state) {
    struct lsq_conn *primary = fill(50);
    const char *path = replica_made(&server);

    (void)state;
    replica_use_key("new");
    assert_int_equal(replica_try(path, server.url, true), LSQ_OK);
    assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 1);
    replica_events_begin();
    /* What was there before is still there, with its key. */
    assert_int_equal(access(beside(path, "-aside-1"), F_OK), 0);
    expect_nothing_to_read(path, 0, NULL);
    expect_followed(path, "new", primary, 0);
    expect_nothing_to_read(path, 0, NULL);
    assert_int_equal(rename(beside(path, "-aside-1"), beside(path, ".old")), 0);
    expect_refused(path, key);
    db_close(primary);
}

static void two_keys_at_once_are_refused(void **state) {
    struct lsq_conn *primary = fill(50);
    const char *path = replica_made(&server);
    struct lsqi_replica *replica = replica_open(path, &server);

    (void)state;
    replica_use_key("x");
    assert_int_equal(replica_try(path, server.url, false), LSQ_NOT_A_DATABASE);
    replica_use_key(NULL);
    assert_int_equal(replica_try(path, server.url, true), LSQ_NOT_A_DATABASE);
    replica_use_key(key);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

/* What is not known of the file any more does not make a plain one of it. */
static void torn_metadata_are_no_way_around_the_key(void **state) {
    struct lsq_conn *primary = fill(50);
    const char *path = replica_made(&server);
    int fd = open(beside(path, "-replica"), O_WRONLY);

    (void)state;
    for (int slot = 0; slot < 3; slot++)
        assert_int_equal(pwrite(fd, "torn", 4, slot * 4096L + 30), 4);
    close(fd);
    expect_refused(path, NULL);
    expect_refused(path, "x");
    expect_followed(path, key, primary, 1);
    expect_nothing_to_read(path, 0, NULL);
    /* Nor does a file that is gone. */
    assert_int_equal(unlink(path), 0);
    replica_use_key(NULL);
    assert_int_equal(replica_try(path, server.url, false), LSQ_NOT_A_DATABASE);
    expect_followed(path, key, primary, 1);
    db_close(primary);
}

/* ---- Healing ---- */

static void what_is_damaged_is_rebuilt_encrypted(void **state) {
    static const char junk[3000] = "junk";
    struct lsq_conn *primary = fill(200);
    const char *path = replica_made(&server);
    static const long places[] = {0, 8, 100, 5000};
    struct lsqi_replica *replica;
    struct lsq_conn *reader;

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int fd = open(path, O_WRONLY);

        assert_true(pwrite(fd, junk, sizeof(junk), places[i]) == (ssize_t)sizeof(junk));
        close(fd);
        replica = replica_open(path, &server);
        if (places[i] == 5000) lsqi_replica_distrust(replica);
        expect_same(replica, primary);
        assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 1);
        replica_close(replica);
        expect_nothing_to_read(path, 0, NULL);
        replica_events_begin();
    }
    /* Under its readers, in whatever part. */
    replica = replica_open(path, &server);
    reader = replica_reader(replica);
    assert_int_equal(ask(reader, "SELECT count(*) FROM " WORDS), 200);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int fd = open(path, O_WRONLY);

        assert_true(pwrite(fd, junk, sizeof(junk), places[i]) == (ssize_t)sizeof(junk));
        close(fd);
        lsqi_replica_distrust(replica);
        expect_same(replica, primary);
        assert_int_equal(ask(reader, "SELECT count(*) FROM " WORDS), 200);
    }
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 4);
    expect_nothing_to_read(path, 0, NULL);
    db_close(reader);
    replica_close(replica);
    db_close(primary);
}

static void another_history_is_kept_encrypted(void **state) {
    struct lsq_conn *primary = fill(200);
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    struct lsq_config cfg;
    struct lsq_conn *aside;
    char command[300];

    (void)state;
    expect_same(replica, primary);
    db_close(primary);
    sqld_kill(&server);
    snprintf(command, sizeof(command), "rm -rf '%s'", server.dir);
    assert_int_equal(system(command), 0);
    sqld_restart(&server);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE other (a)");
    replica_events_begin();
    expect_same(replica, primary);
    assert_int_equal(replica_events(LSQI_REPLICA_REPLACED), 1);
    replica_close(replica);
    expect_nothing_to_read(path, 0, NULL);
    cfg = db_config(beside(path, "-aside-1"));
    cfg.key = key;
    cfg.key_len = sizeof(key) - 1;
    aside = db_open_as(&cfg);
    assert_int_equal(ask(aside, "SELECT count(*) FROM " WORDS), 200);
    db_close(aside);
    db_close(primary);
}

/* ---- Killed ---- */

/* "PATH URL": syncs without end. */
static int follow(const char *argument) {
    char path[256];
    char url[128];
    struct lsqi_replica *replica;

    if (sscanf(argument, "%255s %127s", path, url) != 2) return 2;
    replica_use_key(key);
    replica = replica_open_at(path, url);
    (void)!write(1, "r", 1);
    for (;;) {
        if (lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error) != LSQ_OK)
            return 3;
        sleep_ms(1);
    }
}

static const struct child_role roles[] = {{"follow", follow}};

/* Waits until so much of a file in the making is there; false: it was made meanwhile. */
static bool await_incoming(const char *path, int64_t bytes) {
    struct stat st;

    for (int i = 0; i < 20000; i++) {
        if (stat(beside(path, "-incoming"), &st) == 0 && st.st_size >= bytes) return true;
        if (access(path, F_OK) == 0) return false;
        sleep_ms(1);
    }
    return false;
}

/* Stops it somewhere (ms < 0: in a bootstrap), looks through all that it has written, kills it, and looks again. */
static bool stop_look_and_kill(const char *path, int ms, int64_t *nameless) {
    char argument[400];
    struct child child;
    bool incoming = false;
    int status;

    snprintf(argument, sizeof(argument), "%s %s", path, server.url);
    child = child_begin("follow", argument);
    child_ready(&child);
    if (ms < 0)
        incoming = await_incoming(path, -ms * 40000LL);
    else
        sleep_ms(ms);
    kill(child.pid, SIGSTOP);
    expect_nothing_to_read(path, child.pid, nameless);
    kill(child.pid, SIGKILL);
    close(child.to);
    close(child.from);
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    if (!WIFSIGNALED(status)) fail_msg("the child ended with %d", WEXITSTATUS(status));
    expect_nothing_to_read(path, 0, NULL);
    return incoming;
}

/* The files that a process has open and that have no name: their bytes. */
static int64_t nameless_of(int pid) {
    char folder[64];
    int64_t bytes = 0;

    snprintf(folder, sizeof(folder), "/proc/%d/fd", pid);
    (void)search(folder, true, &bytes);
    return bytes;
}

/* A transaction that does not fit into memory waits in a file for its end. */
static void what_waits_cannot_be_read(void **state) {
    struct lsq_conn *primary = fill(20000);
    const char *path = replica_made(&server);
    int64_t bytes = 0;

    (void)state;
    for (int round = 0; round < 20 && bytes < 1000000; round++) {
        char argument[400];
        struct child child;

        run(primary, "UPDATE " WORDS " SET b = '" WORDS "' || hex(randomblob(900))");
        snprintf(argument, sizeof(argument), "%s %s", path, server.url);
        child = child_begin("follow", argument);
        child_ready(&child);
        for (int i = 0; i < 3000 && bytes < 1000000; i++) {
            bytes = nameless_of(child.pid);
            sleep_ms(1);
        }
        kill(child.pid, SIGSTOP);
        (void)nameless_of(child.pid);
        expect_nothing_to_read(path, 0, NULL);
        kill(child.pid, SIGKILL);
        (void)child_end(&child);
    }
    assert_true(bytes >= 1000000);
    db_close(primary);
}

static int rounds(void) {
    const char *text = getenv("LSQ_TEST_KILLS");

    return text == NULL ? 12 : atoi(text);
}

static void killed_anywhere_nothing_can_be_read(void **state) {
    uint64_t seed = test_seed();
    struct lsq_conn *primary = fill(15000);
    const char *path = replica_path();
    int64_t nameless = 0;
    int killed = rounds();
    int bootstraps = 0;

    (void)state;
    replica_events_begin();
    for (int i = 0; i < killed; i++) {
        struct lsqi_replica *replica;
        int ms;

        /* One transaction that does not fit into memory; now and then a bootstrap. */
        if (i % 2 == 0)
            run(primary, "UPDATE " WORDS " SET b = '" WORDS "' || hex(randomblob(900))");
        if (i % 4 == 3) unlink(path);
        ms = (int)(random_next(&seed) % 400);
        bootstraps += stop_look_and_kill(path, i % 4 == 3 ? -ms - 1 : ms, &nameless);
        if (i % 3 != 0) continue;
        replica = replica_open(path, &server);
        expect_same(replica, primary);
        replica_close(replica);
        expect_nothing_to_read(path, 0, NULL);
    }
    print_message("%d kills, %d in a bootstrap; nameless files had %lld bytes\n", killed,
                  bootstraps, (long long)nameless);
    db_close(primary);
}

/* ---- Frozen ---- */

static void a_frozen_one_stays_encrypted(void **state) {
    struct lsq_conn *primary = fill(50);
    const char *path = replica_path();
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *conn;

    (void)state;
    cfg.primary = server.url;
    cfg.key = key;
    cfg.key_len = sizeof(key) - 1;
    conn = db_open_as(&cfg);
    run(conn, "INSERT INTO " WORDS " (b) VALUES ('" WORDS "')");
    assert_int_equal(ask(conn, "SELECT count(*) FROM " WORDS), 51);
    if (lsq_freeze(conn, NULL, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
    run(conn, "INSERT INTO " WORDS " (b) VALUES ('" WORDS "')");
    assert_int_equal(ask(conn, "SELECT count(*) FROM " WORDS), 52);
    expect_nothing_to_read(path, 0, NULL);
    db_close(conn);
    cfg.primary = NULL;
    conn = db_open_as(&cfg);
    assert_int_equal(ask(conn, "SELECT count(*) FROM " WORDS), 52);
    db_close(conn);
    cfg.key = NULL;
    cfg.key_len = 0;
    assert_int_equal(db_try(&cfg), LSQ_NOT_A_DATABASE);
    db_close(primary);
}

static void connections_are_told_of_wrong_keys(void **state) {
    struct lsq_conn *primary = fill(50);
    struct lsq_config cfg = db_config(replica_path());
    struct lsq_conn *conn;

    (void)state;
    cfg.primary = server.url;
    cfg.key = key;
    cfg.key_len = sizeof(key) - 1;
    conn = db_open_as(&cfg);
    db_close(conn);
    lsq_shutdown();
    cfg.key_len = 3;
    assert_int_equal(db_try(&cfg), LSQ_NOT_A_DATABASE);
    cfg.key_len = 0;
    assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
    cfg.key = NULL;
    assert_int_equal(db_try(&cfg), LSQ_NOT_A_DATABASE);
    cfg.key_len = 3;
    assert_int_equal(db_try(&cfg), LSQ_BAD_ARGUMENT);
    cfg.key = key;
    cfg.key_len = sizeof(key) - 1;
    conn = db_open_as(&cfg);
    assert_int_equal(ask(conn, "SELECT count(*) FROM " WORDS), 50);
    db_close(conn);
    db_close(primary);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(follows_and_cannot_be_read, forget),
        cmocka_unit_test_teardown(an_empty_one_is_encrypted, forget),
        cmocka_unit_test_teardown(another_key_harms_nothing, forget),
        cmocka_unit_test_teardown(a_key_for_what_has_none_is_refused, forget),
        cmocka_unit_test_teardown(is_replaced_where_that_is_asked_for, forget),
        cmocka_unit_test_teardown(two_keys_at_once_are_refused, forget),
        cmocka_unit_test_teardown(torn_metadata_are_no_way_around_the_key, forget),
        cmocka_unit_test_teardown(what_is_damaged_is_rebuilt_encrypted, forget),
        cmocka_unit_test_teardown(another_history_is_kept_encrypted, forget),
        cmocka_unit_test_teardown(what_waits_cannot_be_read, forget),
        cmocka_unit_test_teardown(killed_anywhere_nothing_can_be_read, forget),
        cmocka_unit_test_teardown(a_frozen_one_stays_encrypted, forget),
        cmocka_unit_test_teardown(connections_are_told_of_wrong_keys, forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
