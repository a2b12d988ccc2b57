/* A replica's files and those of others: who else opens them, or has put something there. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/primary.h"

static struct sqld server;

static int forget(void **state) {
    lsq_memory_set_budget(-1);
    sqld_kill(&server);
    return db_forget(state);
}

/* ---- Files that are closed twice: by then they may be another thread's ---- */

static atomic_int bad_closes;

int close(int fd) {
    int rc = (int)syscall(SYS_close, fd);

    if (rc != 0 && errno == EBADF) atomic_fetch_add(&bad_closes, 1);
    return rc;
}

static int hold(const char *path) {
    char byte;
    struct lsqi_replica *replica = replica_open_at(path, "http://127.0.0.1:1");

    (void)!write(1, "r", 1);
    (void)!read(0, &byte, 1);
    replica_close(replica);
    return 0;
}

static void who_is_refused_closes_nothing_of_others(void **state) {
    const char *path = replica_path();
    struct child child = child_begin("hold", path);

    (void)state;
    child_ready(&child);
    atomic_store(&bad_closes, 0);
    assert_int_equal(replica_try(path, "http://127.0.0.1:1", false), LSQ_ALREADY_OPEN);
    assert_int_equal(atomic_load(&bad_closes), 0);
    assert_int_equal(child_end(&child), 0);
}

/* ---- Other processes ---- */

static void a_file_that_another_process_is_making_is_no_plain_one(void **state) {
    const char *path = replica_path();
    struct child child = child_begin("hold", path);
    struct lsq_config cfg = db_config(path);

    (void)state;
    child_ready(&child);
    assert_int_equal(db_try(&cfg), LSQ_ALREADY_OPEN);
    assert_int_equal(child_end(&child), 0);
    assert_int_equal(db_try(&cfg), LSQ_OK);
}

static void a_child_does_not_keep_the_file(void **state) {
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open_at(path, "http://127.0.0.1:1");
    int pid = fork();

    (void)state;
    if (pid == 0) {
        alarm(30); /* by itself, whatever becomes of the test */
        for (;;) pause();
    }
    replica_close(replica);
    assert_int_equal(replica_try(path, "http://127.0.0.1:1", false), LSQ_OK);
    kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

/* ---- Files of somebody ---- */

static void copy_file(const char *from, const char *to) {
    char command[600];

    snprintf(command, sizeof(command), "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

static void make_plain(const char *path) {
    struct lsq_conn *conn = db_open(path);

    run(conn, "CREATE TABLE mine (a)");
    run(conn, "INSERT INTO mine VALUES (42)");
    db_close(conn);
}

static void expect_mine(const char *path) {
    struct lsq_conn *conn = db_open(path);

    assert_int_equal(ask(conn, "SELECT a FROM mine"), 42);
    db_close(conn);
}

static void what_came_into_its_place_meanwhile_is_left_alone(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);
    FILE *wal;

    (void)state;
    make_plain(beside(path, ".other"));
    copy_file(beside(path, ".other"), path);
    wal = fopen(beside(path, "-wal"), "w");
    assert_true(wal != NULL && fputs("somebody's", wal) > 0 && fclose(wal) == 0);
    assert_int_not_equal(lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error),
                         LSQ_OK);
    assert_true(exists(path, "-wal"));
    replica_close(replica);
    assert_int_equal(unlink(beside(path, "-wal")), 0);
    assert_int_equal(replica_try(path, server.url, false), LSQ_NOT_A_REPLICA);
    expect_mine(path);
    /* Once it is gone, the replica goes on where it was. */
    assert_int_equal(unlink(path), 0);
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

/* Two histories later, too. */
static void what_was_no_replicas_is_kept_for_good(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_path();
    struct lsqi_replica *replica;

    (void)state;
    make_plain(path);
    assert_int_equal(replica_try(path, server.url, true), LSQ_OK);
    for (int i = 0; i < 3; i++) {
        replica = replica_open(path, &server);
        expect_same(replica, primary);
        replica_close(replica);
        make_plain(beside(path, ".other"));
        assert_int_equal(rename(beside(path, ".other"), path), 0);
    }
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    replica_close(replica);
    for (int i = 1; i <= 4; i++) {
        char suffix[32];

        snprintf(suffix, sizeof(suffix), "-aside-own-%d", i);
        expect_mine(beside(path, suffix));
    }
    db_close(primary);
}

/* A file that comes where one was set aside is not the one that was. */
static void what_comes_to_a_free_place_is_kept_too(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    const char *path = replica_path();
    struct lsqi_replica *replica = replica_open(path, &server);

    (void)state;
    replica_sync(replica);
    replica_close(replica);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(replica_try(path, "http://127.0.0.1:1", false), LSQ_OK);
    make_plain(beside(path, ".other"));
    assert_int_equal(rename(beside(path, ".other"), path), 0);
    replica = replica_open(path, &server);
    expect_same(replica, primary);
    replica_close(replica);
    expect_mine(beside(path, "-aside-own-1"));
    db_close(primary);
}

/* ---- Memory that runs out when the file has just come to its place ---- */

static atomic_bool runs_out;

int renameat2(int old_folder, const char *from, int new_folder, const char *to, unsigned flags) {
    int rc = (int)syscall(SYS_renameat2, old_folder, from, new_folder, to, flags);

    if (rc == 0 && atomic_load(&runs_out)) lsq_memory_set_budget(0);
    return rc;
}

static void it_goes_on_when_there_is_memory_again(void **state) {
    struct lsq_conn *primary = primary_filled(&server);
    struct lsqi_replica *replica = replica_open(replica_path(), &server);

    (void)state;
    atomic_store(&runs_out, true);
    assert_int_equal(lsqi_replica_sync_wait(replica, 0, 60000, NULL, NULL, NULL, &last_error),
                     LSQ_NOMEM);
    lsq_memory_set_budget(-1);
    atomic_store(&runs_out, false);
    assert_false(lsqi_replica_usable(replica));
    expect_same(replica, primary);
    replica_close(replica);
    db_close(primary);
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"hold", hold}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(who_is_refused_closes_nothing_of_others, forget),
        cmocka_unit_test_teardown(a_file_that_another_process_is_making_is_no_plain_one, forget),
        cmocka_unit_test_teardown(a_child_does_not_keep_the_file, forget),
        cmocka_unit_test_teardown(what_came_into_its_place_meanwhile_is_left_alone, forget),
        cmocka_unit_test_teardown(what_was_no_replicas_is_kept_for_good, forget),
        cmocka_unit_test_teardown(what_comes_to_a_free_place_is_kept_too, forget),
        cmocka_unit_test_teardown(it_goes_on_when_there_is_memory_again, forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
