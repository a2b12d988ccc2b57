/* Processes that write to one file: in line, none overtaken, none lost, and no trace of it where there is
 * only one. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/db.h"

enum { PROCESSES = 4, WRITES = 150, PATIENCE = 60000, STALL_MS = 10000, QUICK_MS = 5000 };

static struct lsq_conn *conn;
static char path[256];

static int open_one(void **state) {
    (void)state;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE t (n INTEGER)");
    run(conn, "INSERT INTO t VALUES (0)");
    snprintf(path, sizeof(path), "%s", db_file(conn));
    return 0;
}

static int close_one(void **state) {
    db_close(conn);
    return db_forget(state);
}

static void set_patience(int ms) {
    assert_int_equal(lsq_conn_set_busy_timeout(conn, ms, &last_error), LSQ_OK);
}

static const char *lane_file(void) {
    static char name[300];

    snprintf(name, sizeof(name), "%s-lane", path);
    return name;
}

static bool has_lane_file(void) {
    struct stat st;

    return lstat(lane_file(), &st) == 0;
}

static int64_t ms_since(int64_t start) { return (now_ns() - start) / 1000000; }

/* ---- Other processes: this program again ---- */

static struct lsq_conn *open_as_child(const char *file) {
    struct lsq_config cfg = db_config(file);
    struct lsq_conn *mine = NULL;

    cfg.busy_timeout = PATIENCE;
    return lsq_conn_open(&mine, &cfg, &last_error) == LSQ_OK ? mine : NULL;
}

static bool says(const char *text) { return write(1, text, strlen(text)) == (ssize_t)strlen(text); }

static void until_told(void) {
    char byte;

    while (read(0, &byte, 1) > 0) continue;
}

/* Writes all the time, every fourth time in a transaction of a millisecond; tells its longest wait, in µs. */
static int writer(const char *file) {
    struct lsq_conn *mine = open_as_child(file);
    char line[40];
    int64_t longest = 0;

    if (mine == NULL || !says("r")) return 1;
    until_told();
    for (int i = 0; i < WRITES; i++) {
        int64_t start = now_ns();
        bool txn = i % 4 == 0;

        if (txn && exec(mine, "BEGIN IMMEDIATE", NULL, NULL, NULL) != LSQ_OK) return 2;
        if (exec(mine, "UPDATE t SET n = n + 1", NULL, NULL, NULL) != LSQ_OK) return 3;
        if (now_ns() - start > longest) longest = now_ns() - start;
        if (txn) sleep_ms(1);
        if (txn && exec(mine, "COMMIT", NULL, NULL, NULL) != LSQ_OK) return 4;
    }
    db_close(mine);
    snprintf(line, sizeof(line), "%lld\n", (long long)longest / 1000);
    return says(line) ? 0 : 5;
}

static int holder(const char *file) {
    return child_hold(file, "BEGIN IMMEDIATE; UPDATE t SET n = n + 100");
}

/* Asks for the lock, says when it has it, and holds it until it is told. */
static int waiter(const char *file) {
    struct lsq_conn *mine = open_as_child(file);

    if (mine == NULL || !says("r")) return 1;
    if (exec(mine, "BEGIN IMMEDIATE", NULL, NULL, NULL) != LSQ_OK) return 2;
    if (exec(mine, "UPDATE t SET n = n + 1000", NULL, NULL, NULL) != LSQ_OK || !says("w")) return 3;
    until_told();
    if (exec(mine, "COMMIT", NULL, NULL, NULL) != LSQ_OK) return 4;
    db_close(mine);
    return 0;
}

static void killed(struct child *child) {
    assert_int_equal(kill(child->pid, SIGKILL), 0);
    assert_int_equal(child_end(child), -1);
}

/* The one before it waits, as can be seen from its lock on the lane file's byte. */
static bool somebody_is(int byte) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int fd = open(lane_file(), O_RDWR | O_CLOEXEC);
    bool yes;

    if (fd < 0) return false;
    yes = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return yes;
}

static void until_somebody_is(int byte) {
    for (int i = 0; i < 2000 && !somebody_is(byte); i++) sleep_ms(5);
    assert_true(somebody_is(byte));
}

/* It stands behind another, in the system's own list. */
static void a_moment(void) { sleep_ms(150); }

/* ---- Tests ---- */

static void four_processes_write_at_once(void **state) {
    struct child children[PROCESSES];
    int64_t longest = 0;

    (void)state;
    for (int i = 0; i < PROCESSES; i++) children[i] = child_begin("writer", path);
    for (int i = 0; i < PROCESSES; i++) child_ready(&children[i]);
    for (int i = 0; i < PROCESSES; i++) close(children[i].to);
    for (int i = 0; i < PROCESSES; i++) {
        char line[40] = "";
        size_t at = 0;

        while (at < sizeof(line) - 1 && read(children[i].from, line + at, 1) == 1 &&
               line[at] != '\n')
            at++;
        if (atoll(line) > longest) longest = atoll(line);
        children[i].to = open("/dev/null", O_RDONLY);
        assert_int_equal(child_end(&children[i]), 0);
    }
    print_message("longest wait of %d writes by %d processes: %.1f ms\n", WRITES * PROCESSES,
                  PROCESSES, (double)longest / 1000);
    assert_int_equal(ask(conn, "SELECT n FROM t"), PROCESSES * WRITES);
    assert_in_range(longest, 1, (int64_t)STALL_MS * 1000);
}

/* All of its threads have stopped: else the one that stands could still be given the gate, and stop with it. */
static void stop_where_it_stands(const struct child *child) {
    int status;

    assert_int_equal(kill(child->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(child->pid, &status, WUNTRACED), child->pid);
    assert_true(WIFSTOPPED(status));
}

/* A process that is stopped where it stands holds up those behind it in the system's list, but not for long;
 * and nobody who comes later. */
static void a_stopped_process_is_passed(void **state) {
    struct child first = child_begin("holder", path);
    struct child inside;
    struct child stopped;
    struct child behind;
    int64_t start;

    (void)state;
    child_ready(&first);
    inside = child_begin("waiter", path);
    child_ready(&inside);
    until_somebody_is(0);
    stopped = child_begin("waiter", path);
    child_ready(&stopped);
    a_moment();
    behind = child_begin("waiter", path);
    child_ready(&behind);
    a_moment();
    stop_where_it_stands(&stopped);
    assert_int_equal(child_end(&first), 0);
    child_ready(&inside);
    start = now_ns();
    assert_int_equal(child_end(&inside), 0);
    child_ready(&behind);
    assert_int_equal(child_end(&behind), 0);
    assert_in_range(ms_since(start), 0, STALL_MS);
    start = now_ns();
    set_patience(PATIENCE);
    for (int i = 0; i < 100; i++) run(conn, "UPDATE t SET n = n + 1");
    assert_in_range(ms_since(start), 0, STALL_MS);
    assert_int_equal(kill(stopped.pid, SIGCONT), 0);
    child_ready(&stopped);
    assert_int_equal(child_end(&stopped), 0);
    assert_int_equal(ask(conn, "SELECT n FROM t"), 3100);
    run(conn, "UPDATE t SET n = 1");
}

/* Whoever dies, the next one comes: inside the turnstile, in line before it, and with the lock. */
static void processes_that_are_killed_hold_nobody_up(void **state) {
    struct child first = child_begin("holder", path);
    struct child inside;
    struct child in_line;
    struct child last;

    (void)state;
    child_ready(&first);
    inside = child_begin("waiter", path);
    child_ready(&inside);
    until_somebody_is(0);
    in_line = child_begin("waiter", path);
    child_ready(&in_line);
    a_moment();
    last = child_begin("waiter", path);
    child_ready(&last);
    a_moment();
    killed(&in_line);
    killed(&inside);
    a_moment();
    until_somebody_is(0); /* the last one has gone in */
    killed(&first);
    child_ready(&last);
    assert_int_equal(child_end(&last), 0);
    assert_int_equal(ask(conn, "SELECT n FROM t"), 1000);
    run(conn, "UPDATE t SET n = 1");
}

/* Who comes while another waits goes behind it, though the lock be free at that moment. */
static void nobody_barges_in(void **state) {
    const struct lsq_call nowait = {.flags = LSQ_CALL_NOWAIT};
    struct child there = child_begin("reader", path);
    struct child waiting;

    (void)state;
    child_ready(&there);
    for (int i = 0; i < 64; i++) run(conn, "UPDATE t SET n = 0"); /* it sees that it is not alone */
    assert_int_equal(child_end(&there), 0);
    run(conn, "BEGIN IMMEDIATE");
    waiting = child_begin("waiter", path);
    child_ready(&waiting);
    until_somebody_is(0);
    run(conn, "COMMIT");
    /* Now it is theirs; whether they know yet or not. */
    assert_int_equal(exec(conn, "UPDATE t SET n = n + 1", NULL, &nowait, NULL), LSQ_BUSY);
    assert_int_equal(last_error.engine_code, 0);
    assert_true(last_error.transient);
    child_ready(&waiting); /* it has the lock */
    assert_int_equal(ask(conn, "SELECT n FROM t"), 0);
    assert_int_equal(child_end(&waiting), 0);
    set_patience(PATIENCE);
    run(conn, "UPDATE t SET n = n + 1");
    assert_int_equal(ask(conn, "SELECT n FROM t"), 1001);
    assert_false(somebody_is(0));
    assert_false(somebody_is(1));
}

/* Out of line by its deadline, an interrupt, its busy time-out: and its place is nobody's. */
static void who_gives_up_is_out_of_line(void **state) {
    const struct lsq_call deadline = {.timeout = 100};
    struct child first = child_begin("holder", path);
    struct child inside;
    struct later later = {.fn = interrupt_conn, .arg = conn, .ms = 100};
    int64_t start = now_ns();

    (void)state;
    child_ready(&first);
    inside = child_begin("waiter", path);
    child_ready(&inside);
    until_somebody_is(0);
    set_patience(PATIENCE);
    assert_int_equal(exec(conn, "UPDATE t SET n = 7", NULL, &deadline, NULL), LSQ_TIMEOUT);
    later_begin(&later);
    expect(LSQ_INTERRUPTED, conn, "UPDATE t SET n = 7");
    later_join(&later);
    set_patience(100);
    expect(LSQ_BUSY, conn, "UPDATE t SET n = 7");
    assert_in_range(ms_since(start), 250, 250 + QUICK_MS * 3);
    assert_int_equal(child_end(&first), 0);
    child_ready(&inside);
    assert_int_equal(child_end(&inside), 0);
    for (int i = 0; i < 1000 && somebody_is(1); i++) sleep_ms(5);
    assert_false(somebody_is(1));
    run(conn, "UPDATE t SET n = n + 1");
    assert_int_equal(ask(conn, "SELECT n FROM t"), 1001);
}

/* The first of them waits in line, the others of this process behind it, and are next. */
static void the_place_is_the_process_s(void **state) {
    const struct lsq_call deadline = {.timeout = 50};
    struct child first = child_begin("holder", path);
    struct child inside;

    (void)state;
    child_ready(&first);
    inside = child_begin("waiter", path);
    child_ready(&inside);
    until_somebody_is(0);
    set_patience(PATIENCE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(exec(conn, "UPDATE t SET n = 7", NULL, &deadline, NULL), LSQ_TIMEOUT);
    assert_int_equal(child_end(&first), 0);
    child_ready(&inside);
    assert_int_equal(child_end(&inside), 0);
    run(conn, "UPDATE t SET n = n + 1");
    assert_int_equal(ask(conn, "SELECT n FROM t"), 1001);
}

/* ---- One process ---- */

static void *add(void *arg) {
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *mine;

    cfg.busy_timeout = PATIENCE;
    mine = db_open_as(&cfg);
    for (int i = 0; i < 200; i++) {
        run(mine, "UPDATE t SET n = n + 1");
        (void)ask(mine, "SELECT n FROM t");
    }
    db_close(mine);
    return arg;
}

static void one_process_makes_no_file(void **state) {
    pthread_t threads[PROCESSES];

    (void)state;
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add, NULL), 0);
    for (int i = 0; i < PROCESSES; i++) pthread_join(threads[i], NULL);
    assert_int_equal(ask(conn, "SELECT n FROM t"), PROCESSES * 200);
    assert_false(has_lane_file());
}

/* Nor do two that never wait for one another. */
static void nor_do_processes_that_do_not_meet(void **state) {
    struct child child;

    (void)state;
    set_patience(PATIENCE);
    run(conn, "UPDATE t SET n = 1");
    child = child_begin("holder", path);
    child_ready(&child);
    assert_int_equal(child_end(&child), 0);
    for (int i = 0; i < 200; i++) run(conn, "UPDATE t SET n = 2");
    assert_false(has_lane_file());
}

static void the_file_is_made_with_the_database_s_permissions(void **state) {
    struct child child = child_begin("holder", path);
    struct stat st;

    (void)state;
    child_ready(&child);
    assert_int_equal(chmod(path, 0640), 0);
    set_patience(50);
    expect(LSQ_BUSY, conn, "UPDATE t SET n = 1");
    assert_int_equal(lstat(lane_file(), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(child_end(&child), 0);
}

/* Where the file cannot be made, as in a folder that is read only, each tries for itself. */
static void without_the_file_it_waits_all_the_same(void **state) {
    struct child child;

    (void)state;
    assert_int_equal(mkdir(lane_file(), 0700), 0);
    child = child_begin("holder", path);
    child_ready(&child);
    set_patience(50);
    expect(LSQ_BUSY, conn, "UPDATE t SET n = 1");
    assert_int_equal(last_error.engine_code & 0xff, 5);
    assert_int_equal(child_end(&child), 0);
    set_patience(PATIENCE);
    run(conn, "UPDATE t SET n = 1");
    assert_int_equal(rmdir(lane_file()), 0);
}

/* A link that somebody has put there leads nowhere. */
static void a_link_is_not_followed(void **state) {
    struct child child;
    char target[300];
    struct stat st;

    (void)state;
    snprintf(target, sizeof(target), "%s-elsewhere", path);
    assert_int_equal(symlink(target, lane_file()), 0);
    child = child_begin("holder", path);
    child_ready(&child);
    set_patience(50);
    expect(LSQ_BUSY, conn, "UPDATE t SET n = 1");
    assert_int_equal(child_end(&child), 0);
    assert_int_not_equal(stat(target, &st), 0);
}

/* A rollback journal has readers in the way of its commits, and they stand in no line. */
static void with_a_rollback_journal_too(void **state) {
    struct child child;

    (void)state;
    run(conn, "PRAGMA journal_mode = delete");
    child = child_begin("reader", path);
    child_ready(&child);
    set_patience(100);
    run(conn, "BEGIN IMMEDIATE");
    run(conn, "UPDATE t SET n = 5");
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_BUSY);
    assert_true(last_error.transient);
    assert_int_equal(child_end(&child), 0);
    set_patience(PATIENCE);
    assert_int_equal(lsq_commit(conn, NULL, &last_error), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT n FROM t"), 5);
}

static int reader(const char *file) {
    struct lsq_config cfg = db_config(file);
    struct lsq_conn *mine = NULL;

    cfg.setting_count = 0;
    if (lsq_conn_open(&mine, &cfg, &last_error) != LSQ_OK) return 1;
    run(mine, "BEGIN");
    if (ask(mine, "SELECT n FROM t") != 0 || !says("r")) return 2;
    until_told();
    db_close(mine);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(int argc, char **argv) {
    static const struct child_role roles[] = {
        {"writer", writer},
        {"holder", holder},
        {"waiter", waiter},
        {"reader", reader},
    };
    const struct CMUnitTest tests[] = {
        TEST(four_processes_write_at_once),
        TEST(processes_that_are_killed_hold_nobody_up),
        TEST(a_stopped_process_is_passed),
        TEST(nobody_barges_in),
        TEST(who_gives_up_is_out_of_line),
        TEST(the_place_is_the_process_s),
        TEST(one_process_makes_no_file),
        TEST(nor_do_processes_that_do_not_meet),
        TEST(the_file_is_made_with_the_database_s_permissions),
        TEST(without_the_file_it_waits_all_the_same),
        TEST(a_link_is_not_followed),
        TEST(with_a_rollback_journal_too),
    };
    struct lsq_core_info info;

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    if (lsq_core_info(&info, NULL) != LSQ_OK || !info.ofd_locks) {
        puts("no locks of open file descriptions here: nothing to test");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
