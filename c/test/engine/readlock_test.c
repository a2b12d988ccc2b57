/* The locks of a WAL's readers, kept for a moment: by themselves against a model, and in real files, seen by
 * somebody else's descriptor and by other processes. */
#define _FILE_OFFSET_BITS 64
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../support/db.h"
#include "engine/readlock.h"

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#endif

enum { STEPS = 200000, LONG_MS = 10000, ROWS = 20 };

/* ---- By themselves: what the system has, what the engine was told ---- */

struct model {
    short system[LSQI_READLOCK_COUNT]; /* F_UNLCK, F_RDLCK or F_WRLCK */
    short engine[LSQI_READLOCK_COUNT];
    struct lsqi_readlock locks;
};

static void demand(struct model *model, short type, int first, int count, bool alone) {
    const struct flock lock = {.l_type = type,
                               .l_whence = SEEK_SET,
                               .l_start = LSQI_READLOCK_FIRST + first,
                               .l_len = count};

    if (!lsqi_readlock_answers(&model->locks, &lock)) {
        for (int i = first; i < first + count; i++) model->system[i] = type;
        if (lsqi_readlock_done(&model->locks, &lock) && alone) model->locks.keeping = true;
    }
    for (int i = first; i < first + count; i++) model->engine[i] = type;
}

static void look(struct model *model, bool alone) {
    const unsigned back = lsqi_readlock_look(&model->locks, alone);

    for (int i = 0; i < LSQI_READLOCK_COUNT; i++)
        if ((back & 1u << i) != 0) model->system[i] = F_UNLCK;
}

/* The system holds what the engine wants; more only for reading, and only while locks are kept. */
static void check(const struct model *model) {
    for (int i = 0; i < LSQI_READLOCK_COUNT; i++) {
        if (model->system[i] == model->engine[i]) continue;
        assert_int_equal(model->engine[i], F_UNLCK);
        assert_int_equal(model->system[i], F_RDLCK);
        assert_true(model->locks.keeping);
    }
}

/* As the engine asks: one lock for reading; some for writing, which nobody of ours holds. */
static void random_step(struct model *model) {
    const int i = rand() % LSQI_READLOCK_COUNT;
    const int more = rand() % (LSQI_READLOCK_COUNT - i) + 1;
    const bool alone = rand() % 20 != 0;
    int count = 0;

    switch (rand() % 8) {
    case 0: look(model, alone); return;
    case 1:
        while (count < more && model->engine[i + count] == F_UNLCK) count++;
        if (count > 0) demand(model, F_WRLCK, i, count, alone);
        return;
    case 2:
    case 3:
    case 4: demand(model, F_UNLCK, i, 1, alone); return;
    default:
        if (model->engine[i] == F_UNLCK) demand(model, F_RDLCK, i, 1, alone);
    }
}

static void agrees_with_the_model(void **state) {
    struct model model = {.locks = {.keeping = false}};
    unsigned kept = 0;

    (void)state;
    srand((unsigned)test_seed());
    for (int i = 0; i < LSQI_READLOCK_COUNT; i++) model.system[i] = model.engine[i] = F_UNLCK;
    for (int step = 0; step < STEPS; step++) {
        random_step(&model);
        check(&model);
        if (model.locks.idle != 0) kept++;
    }
    assert_true(kept > STEPS / 10);
    for (int i = 0; i < LSQI_READLOCK_COUNT; i++) demand(&model, F_UNLCK, i, 1, false);
    look(&model, true);
    look(&model, true);
    for (int i = 0; i < LSQI_READLOCK_COUNT; i++) assert_int_equal(model.system[i], F_UNLCK);
    assert_false(model.locks.keeping);
}

/* Locks of the main file, and ranges without end, are none of its business, or all of it. */
static void other_ranges(void **state) {
    struct lsqi_readlock locks = {.keeping = true, .held = 31, .idle = 3};
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0x40000000, .l_len = 1};

    (void)state;
    assert_false(lsqi_readlock_answers(&locks, &lock));
    assert_false(lsqi_readlock_done(&locks, &lock));
    lock.l_type = F_UNLCK;
    assert_false(lsqi_readlock_answers(&locks, &lock));
    assert_int_equal(locks.held, 31);
    lock.l_start = LSQI_READLOCK_FIRST - 1;
    assert_false(lsqi_readlock_answers(&locks, &lock));
    lock.l_start = LSQI_READLOCK_FIRST + LSQI_READLOCK_COUNT;
    assert_false(lsqi_readlock_answers(&locks, &lock));
    lock.l_start = 0;
    lock.l_len = 0;
    assert_false(lsqi_readlock_answers(&locks, &lock));
    assert_false(lsqi_readlock_done(&locks, &lock));
    assert_int_equal(locks.held, 0);
    assert_int_equal(locks.idle, 0);
}

/* ---- In files ---- */

static const char *path;
static int probe_fd;

static const struct lsq_setting wal[] = {{"journal_mode", "wal"}};

static struct lsq_conn *open_wal(void) {
    struct lsq_config cfg = db_config(path);

    cfg.settings = wal;
    cfg.setting_count = 1;
    return db_open_as(&cfg);
}

/* The file is a new one where the last connection was closed. */
static bool open_probe(void) {
    char name[512];

    snprintf(name, sizeof(name), "%s-shm", path);
    probe_fd = open(name, O_RDWR | O_CLOEXEC);
    return probe_fd >= 0;
}

static struct lsq_conn *new_file(void) {
    struct lsq_core_info info;
    struct lsq_conn *conn;

    assert_int_equal(lsq_core_info(&info, &last_error), LSQ_OK);
    if (!info.ofd_locks) skip();
    path = db_path();
    conn = open_wal();
    run(conn, "CREATE TABLE t (a)");
    run(conn, "INSERT INTO t VALUES (1)");
    assert_true(open_probe());
    return conn;
}

/* Who asks by a descriptor of its own sees the locks as another process does, and is not seen. */
static bool others_see_a_reader(void) {
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = LSQI_READLOCK_FIRST,
                         .l_len = LSQI_READLOCK_COUNT};

    assert_int_equal(fcntl(probe_fd, F_OFD_GETLK, &lock), 0);
    return lock.l_type != F_UNLCK;
}

static bool becomes(bool wanted) {
    const int64_t start = now_ns();

    while (others_see_a_reader() != wanted) {
        if (now_ns() - start > INT64_C(1000000) * LONG_MS) return false;
        sleep_ms(1);
    }
    return true;
}

/* Reads until the lock is kept. */
static void read_on(struct lsq_conn *conn) {
    for (int i = 0; i < 10 * LSQI_READLOCK_TAKES && !others_see_a_reader(); i++)
        assert_int_equal((int)ask(conn, "SELECT count(*) FROM t"), 1);
}

/* ---- Other processes: this program again, with the engine alone ---- */

static int number(sqlite3 *db, const char *sql) {
    sqlite3_stmt *stmt = NULL;
    int value = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

/* Has the file open and says so; at the end of its input, the number of rows. */
static int stay(const char *file) {
    sqlite3 *db = NULL;
    int rows = 99;
    char byte;

    if (sqlite3_open(file, &db) != SQLITE_OK || number(db, "SELECT count(*) FROM t") < 0) return 98;
    if (write(1, "r", 1) == 1) {
        while (read(0, &byte, 1) > 0) continue;
        rows = number(db, "SELECT count(*) FROM t");
    }
    sqlite3_close(db);
    return rows;
}

/* Empties the WAL, as who wants to copy the file does; tries for a while. 0: it is empty. */
static int empty_wal(const char *file) {
    const int64_t start = now_ns();
    sqlite3 *db = NULL;
    int busy = 1;

    if (sqlite3_open(file, &db) != SQLITE_OK) return 98;
    while (busy != 0 && now_ns() - start < INT64_C(1000000) * LONG_MS)
        busy = number(db, "PRAGMA wal_checkpoint(truncate)");
    sqlite3_close(db);
    return busy;
}

/* Writes a few rows, beside whoever writes; 0: all are there. */
static int insert(const char *file) {
    sqlite3 *db = NULL;
    int failed = 0;

    if (sqlite3_open(file, &db) != SQLITE_OK) return 98;
    sqlite3_busy_timeout(db, LONG_MS);
    for (int i = 0; i < ROWS; i++)
        failed += sqlite3_exec(db, "INSERT INTO t VALUES (3)", NULL, NULL, NULL) != SQLITE_OK;
    if (number(db, "SELECT count(*) FROM t WHERE a = 3") < ROWS) failed++;
    sqlite3_close(db);
    return failed;
}

static const struct child_role roles[] = {
    {"stay", stay}, {"empty_wal", empty_wal}, {"insert", insert}};

/* ---- What they see ---- */

static void close_file(struct lsq_conn *conn) {
    db_close(conn);
    close(probe_fd);
}

static void a_lock_is_kept_and_given_back(void **state) {
    struct lsq_conn *conn = new_file();

    (void)state;
    for (int i = 0; i < 3; i++) {
        read_on(conn);
        assert_true(others_see_a_reader());
        assert_true(becomes(false));
    }
    close_file(conn);
}

static void with_others_there_nothing_is_kept(void **state) {
    struct lsq_conn *conn = new_file();
    struct child child = child_begin("stay", path);

    (void)state;
    child_ready(&child);
    for (int i = 0; i < 10 * LSQI_READLOCK_TAKES; i++) {
        assert_int_equal((int)ask(conn, "SELECT count(*) FROM t"), 1);
        assert_false(others_see_a_reader());
    }
    assert_int_equal(child_end(&child), 1);
    read_on(conn);
    assert_true(others_see_a_reader());
    close_file(conn);
}

static atomic_bool stop;

static void *keep_reading(void *arg) {
    static const char sql[] = "SELECT count(*) FROM t";
    enum lsq_status st = LSQ_OK;

    while (st == LSQ_OK && !atomic_load(&stop))
        st = lsq_exec(arg, sql, sizeof(sql) - 1, NULL, NULL, NULL, NULL, NULL, NULL);
    return st == LSQ_OK ? NULL : arg;
}

/* A process that comes while we read and read finds moments without a reader. */
static void who_comes_is_let_in(void **state) {
    struct lsq_conn *conn = new_file();
    struct lsq_conn *writer = open_wal();
    pthread_t thread;
    void *failed;

    (void)state;
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, keep_reading, conn), 0);
    for (int i = 0; i < 3; i++) {
        struct child child;

        assert_true(becomes(true));
        run(writer, "INSERT INTO t VALUES (2)");
        child = child_begin("empty_wal", path);
        assert_int_equal(child_end(&child), 0);
    }
    atomic_store(&stop, true);
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_int_equal((int)ask(conn, "SELECT count(*) FROM t"), 4);
    db_close(writer);
    close_file(conn);
}

/* With rests: who comes has the engine alone, which tries now and then, and would find no moment free of us. */
static void *keep_writing(void *arg) {
    static const char sql[] = "INSERT INTO t VALUES (2)";
    enum lsq_status st = LSQ_OK;
    size_t rows = 0;

    for (; st == LSQ_OK && !atomic_load(&stop); rows++) {
        st = lsq_exec(arg, sql, sizeof(sql) - 1, NULL, NULL, NULL, NULL, NULL, NULL);
        sleep_ms(1);
    }
    return st == LSQ_OK ? (void *)rows : NULL;
}

/* A writer's own lock, too, is kept between its writes, and is nothing to those who come. */
static void who_comes_writes_beside_a_writer(void **state) {
    struct lsq_conn *conn = new_file();
    pthread_t thread;
    void *rows;

    (void)state;
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, keep_writing, conn), 0);
    for (int i = 0; i < 3; i++) {
        struct child child;

        assert_true(becomes(true));
        child = child_begin("insert", path);
        assert_int_equal(child_end(&child), 0);
    }
    atomic_store(&stop, true);
    pthread_join(thread, &rows);
    assert_true((size_t)rows > 0);
    assert_int_equal((size_t)ask(conn, "SELECT count(*) FROM t WHERE a = 2"), (size_t)rows);
    assert_int_equal(ask(conn, "SELECT count(*) FROM t WHERE a = 3"), 3 * ROWS);
    assert_true(becomes(false));
    close_file(conn);
}

static void our_own_checkpoints_are_not_in_the_way(void **state) {
    struct lsq_conn *conn = new_file();
    struct lsq_conn *writer = open_wal();
    int log = -1;
    int done = -1;

    (void)state;
    for (int i = 0; i < 20; i++) {
        read_on(conn);
        run(writer, "UPDATE t SET a = a + 1");
        assert_int_equal(
            lsq_conn_checkpoint(writer, NULL, LSQ_CHECKPOINT_TRUNCATE, &log, &done, &last_error),
            LSQ_OK);
        assert_int_equal(log, 0);
    }
    db_close(writer);
    close_file(conn);
}

static void who_closes_last_cleans_up(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct lsq_conn *conn = new_file();
        char name[512];

        read_on(conn);
        snprintf(name, sizeof(name), "%s-wal", path);
        close_file(conn);
        assert_int_equal(access(name, F_OK), -1);
    }
}

static void the_end_gives_back(void **state) {
    struct lsq_conn *conn = new_file();

    (void)state;
    read_on(conn);
    assert_true(others_see_a_reader());
    lsq_shutdown();
    assert_false(others_see_a_reader());
    read_on(conn); /* and threads begin again */
    assert_true(others_see_a_reader());
    assert_true(becomes(false));
    close_file(conn);
}

/* It has no thread that would give back. */
static void read_in_child(void *arg) {
    struct lsq_conn *conn = NULL;
    struct lsq_config cfg = db_config(path);

    (void)arg;
    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) _exit(1);
    for (int i = 0; i < 10 * LSQI_READLOCK_TAKES; i++) {
        if (exec(conn, "SELECT count(*) FROM t", NULL, NULL, NULL) != LSQ_OK) _exit(2);
        if (i == 0 && !open_probe()) _exit(4);
        if (others_see_a_reader()) _exit(3);
    }
}

static void the_child_of_a_fork_keeps_none(void **state) {
    struct lsq_conn *conn = new_file();

    (void)state;
    close_file(conn);
    child_wait(child_start(read_in_child, NULL));
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(other_ranges),
        cmocka_unit_test_teardown(a_lock_is_kept_and_given_back, db_forget),
        cmocka_unit_test_teardown(with_others_there_nothing_is_kept, db_forget),
        cmocka_unit_test_teardown(who_comes_is_let_in, db_forget),
        cmocka_unit_test_teardown(who_comes_writes_beside_a_writer, db_forget),
        cmocka_unit_test_teardown(our_own_checkpoints_are_not_in_the_way, db_forget),
        cmocka_unit_test_teardown(who_closes_last_cleans_up, db_forget),
        cmocka_unit_test_teardown(the_end_gives_back, db_forget),
        cmocka_unit_test_teardown(the_child_of_a_fork_keeps_none, db_forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
