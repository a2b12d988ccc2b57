/* The engine's file locks hold whatever else the process does with the file. Other processes are this
 * program again; the "plain" roles use the engine without the library, so with POSIX locks. */
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/db.h"

static char path[256];

/* ---- The engine by itself ---- */

static sqlite3 *open_as(int flags) {
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open_v2(path, &db, flags, NULL), SQLITE_OK);
    return db;
}

static sqlite3 *open_rw(void) { return open_as(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE); }

static int sql(sqlite3 *db, const char *text) {
    return sqlite3_exec(db, text, NULL, NULL, NULL) & 0xff;
}

static void ok(sqlite3 *db, const char *text) {
    if (sql(db, text) != SQLITE_OK) fail_msg("%s: %s", text, sqlite3_errmsg(db));
}

static int64_t number(sqlite3 *db, const char *text) {
    sqlite3_stmt *stmt = NULL;
    int64_t value = -1;

    if (sqlite3_prepare_v2(db, text, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

/* What File.read/1 and the like do in a virtual machine. */
static void read_file(const char *suffix) {
    char name[300];
    char buffer[100];
    int fd;

    snprintf(name, sizeof(name), "%s%s", path, suffix);
    fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    assert_true(read(fd, buffer, sizeof(buffer)) >= 0);
    close(fd);
}

static void read_all_files(void) {
    read_file("");
    read_file("-wal");
    read_file("-shm");
    read_file("-journal");
}

static bool has_file(const char *suffix) {
    char name[300];

    snprintf(name, sizeof(name), "%s%s", path, suffix);
    return access(name, F_OK) == 0;
}

/* ---- Roles: they answer a result code of the engine, or the number that was asked ---- */

static void init_library(void) {
    struct lsq_core_info info;

    if (lsq_core_info(&info, &last_error) != LSQ_OK) _exit(90);
}

static int do_sql(const char *file, const char *text) {
    sqlite3 *db = NULL;
    int rc = sqlite3_open(file, &db);

    if (rc == SQLITE_OK) rc = sql(db, text);
    sqlite3_close(db);
    return rc;
}

static int plain_write(const char *file) { return do_sql(file, "INSERT INTO t VALUES (100)"); }

static int plain_checkpoint(const char *file) {
    return do_sql(file, "PRAGMA wal_checkpoint(truncate)");
}

static int plain_read(const char *file) { return do_sql(file, "SELECT count(*) FROM t"); }

static int plain_count(const char *file) {
    sqlite3 *db = NULL;
    int64_t rows = -1;

    if (sqlite3_open(file, &db) == SQLITE_OK) rows = number(db, "SELECT count(*) FROM t");
    sqlite3_close(db);
    return (int)rows;
}

static int our_write(const char *file) {
    init_library();
    return plain_write(file);
}

static int our_read(const char *file) {
    init_library();
    return plain_read(file);
}

/* A standard stream is closed: its number must not become that of a file that is locked. */
static int no_input(const char *file) {
    sqlite3 *db = NULL;
    struct stat st;

    init_library();
    if (sqlite3_open(file, &db) != SQLITE_OK) return 1;
    close(0);
    if (sql(db, "BEGIN IMMEDIATE; INSERT INTO t VALUES (7)") != SQLITE_OK) return 2;
    if (fstat(0, &st) == 0 && S_ISREG(st.st_mode)) return 3;
    if (sql(db, "COMMIT") != SQLITE_OK) return 4;
    sqlite3_close(db);
    return 0;
}

static const struct child_role roles[] = {
    {"plain_write", plain_write}, {"plain_checkpoint", plain_checkpoint},
    {"plain_read", plain_read},   {"plain_count", plain_count},
    {"our_write", our_write},     {"our_read", our_read},
    {"no_input", no_input},
};

static int other_process(const char *role) {
    struct child child = child_begin(role, path);

    return child_end(&child);
}

static void others_write(int code) {
    assert_int_equal(other_process("plain_write"), code);
    assert_int_equal(other_process("our_write"), code);
}

static void others_read(int code) {
    assert_int_equal(other_process("plain_read"), code);
    assert_int_equal(other_process("our_read"), code);
}

static void needs_ofd_locks(void) {
    struct lsq_core_info info;

    assert_int_equal(lsq_core_info(&info, &last_error), LSQ_OK);
    if (!info.ofd_locks) skip();
}

static sqlite3 *new_file(const char *journal_mode) {
    char text[100];
    sqlite3 *db;

    needs_ofd_locks();
    snprintf(path, sizeof(path), "%s", db_path());
    db = open_rw();
    snprintf(text, sizeof(text), "PRAGMA journal_mode = %s; CREATE TABLE t (a)", journal_mode);
    ok(db, text);
    return db;
}

/* ---- Foreign closes ---- */

static void wal_is_not_taken_away(void **state) {
    sqlite3 *db = new_file("wal");

    (void)state;
    for (int i = 1; i <= 5; i++) {
        ok(db, "INSERT INTO t VALUES (1)");
        read_all_files();
        /* The last to close checkpoints and deletes the WAL: they must not think that they are. */
        assert_int_equal(other_process("plain_count"), i);
        assert_true(has_file("-wal"));
        read_all_files();
        assert_int_equal(other_process("our_read"), SQLITE_OK);
        assert_true(has_file("-wal"));
    }
    ok(db, "INSERT INTO t VALUES (2)");
    assert_int_equal(other_process("plain_count"), 6);
    sqlite3_close(db);
    assert_false(has_file("-wal"));
    assert_int_equal(other_process("plain_count"), 6);
}

static void wal_write_lock_stays(void **state) {
    sqlite3 *db = new_file("wal");

    (void)state;
    ok(db, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    read_all_files();
    others_write(SQLITE_BUSY);
    others_read(SQLITE_OK);
    ok(db, "COMMIT");
    others_write(SQLITE_OK);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 3);
    sqlite3_close(db);
}

static void wal_readers_keep_their_snapshot(void **state) {
    sqlite3 *db = new_file("wal");

    (void)state;
    ok(db, "INSERT INTO t VALUES (1)");
    ok(db, "BEGIN; SELECT * FROM t");
    read_all_files();
    for (int i = 0; i < 20; i++) others_write(SQLITE_OK);
    assert_int_equal(other_process("plain_checkpoint"), SQLITE_OK); /* as far as it may */
    others_write(SQLITE_OK);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 1);
    ok(db, "COMMIT");
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 43);
    sqlite3_close(db);
}

static void journal_write_lock_stays(void **state) {
    sqlite3 *db = new_file("delete");

    (void)state;
    ok(db, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    read_all_files();
    others_write(SQLITE_BUSY);
    others_read(SQLITE_OK); /* RESERVED lets others read */
    ok(db, "COMMIT");
    ok(db, "BEGIN EXCLUSIVE; INSERT INTO t VALUES (2)");
    read_all_files();
    others_read(SQLITE_BUSY);
    others_write(SQLITE_BUSY);
    ok(db, "COMMIT");
    others_write(SQLITE_OK);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 4);
    sqlite3_close(db);
}

static void journal_read_lock_stays(void **state) {
    sqlite3 *db = new_file("delete");

    (void)state;
    ok(db, "BEGIN; SELECT * FROM t");
    read_all_files();
    others_write(SQLITE_BUSY);
    ok(db, "COMMIT");
    others_write(SQLITE_OK);
    sqlite3_close(db);
}

/* The engine keeps a closed connection's descriptor while others hold locks. Ours go with them. */
static void other_connections_may_close(void **state) {
    sqlite3 *db = new_file("delete");
    sqlite3 *second = open_rw();

    (void)state;
    ok(second, "BEGIN; SELECT * FROM t");
    ok(db, "BEGIN; SELECT * FROM t");
    sqlite3_close(second); /* it was the first to lock */
    read_all_files();
    others_write(SQLITE_BUSY);
    ok(db, "INSERT INTO t VALUES (1)");
    sqlite3_close(open_rw());
    others_write(SQLITE_BUSY);
    ok(db, "COMMIT");
    others_write(SQLITE_OK);
    sqlite3_close(db);
}

/* ---- Connections of one process ---- */

/* Whether somebody holds the file format's SHARED lock: a POSIX lock of our own would not show. */
static bool is_locked_for_reading(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_start = 0x40000002, .l_len = 510};
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_int_equal(fcntl(fd, F_GETLK, &lock), 0);
    close(fd);
    return lock.l_type != F_UNLCK;
}

static void connections_exclude_each_other(void **state) {
    static const char *const modes[] = {"wal", "delete"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        sqlite3 *db = new_file(modes[i]);
        sqlite3 *second = open_rw();

        ok(db, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
        assert_int_equal(sql(second, "BEGIN IMMEDIATE"), SQLITE_BUSY);
        assert_int_equal(number(second, "SELECT count(*) FROM t"), 0);
        ok(db, "COMMIT");
        assert_int_equal(number(second, "SELECT count(*) FROM t"), 1);
        ok(second, "BEGIN IMMEDIATE");
        assert_int_equal(sql(db, "INSERT INTO t VALUES (2)"), SQLITE_BUSY);
        others_write(SQLITE_BUSY);
        sqlite3_close(second);
        ok(db, "INSERT INTO t VALUES (2)");
        others_write(SQLITE_OK);
        sqlite3_close(db);
    }
}

/* The description of the first lock cannot write; the writer's takes its place with its locks. */
static void reader_first_then_writer(void **state) {
    sqlite3 *reader;
    sqlite3 *writer;

    (void)state;
    sqlite3_close(new_file("delete"));
    reader = open_as(SQLITE_OPEN_READONLY);
    ok(reader, "BEGIN; SELECT * FROM t");
    writer = open_rw();
    assert_true(is_locked_for_reading());
    ok(writer, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    assert_true(is_locked_for_reading());
    others_write(SQLITE_BUSY);
    assert_int_equal(sql(writer, "COMMIT"), SQLITE_BUSY); /* the reader reads */
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 0);
    ok(reader, "COMMIT");
    ok(writer, "COMMIT");
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 1);

    ok(reader, "BEGIN; SELECT * FROM t");
    sqlite3_close(writer);
    others_write(SQLITE_BUSY);
    ok(reader, "COMMIT");
    assert_false(is_locked_for_reading());
    others_write(SQLITE_OK);
    sqlite3_close(reader);
    others_write(SQLITE_OK);
}

static void writer_first_then_reader(void **state) {
    sqlite3 *writer = new_file("wal");
    sqlite3 *reader = open_as(SQLITE_OPEN_READONLY);

    (void)state;
    ok(writer, "INSERT INTO t VALUES (1)");
    ok(reader, "BEGIN; SELECT * FROM t");
    ok(writer, "INSERT INTO t VALUES (2)");
    sqlite3_close(writer);
    read_all_files();
    others_write(SQLITE_OK);
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 1);
    ok(reader, "COMMIT");
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 4);
    assert_int_equal(sql(reader, "INSERT INTO t VALUES (3)"), SQLITE_READONLY);
    sqlite3_close(reader);
    assert_int_equal(other_process("plain_count"), 4);
}

static void reader_of_a_wal_then_writer(void **state) {
    sqlite3 *reader;
    sqlite3 *writer;

    (void)state;
    sqlite3_close(new_file("wal"));
    reader = open_as(SQLITE_OPEN_READONLY);
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 0);
    writer = open_rw();
    ok(writer, "INSERT INTO t VALUES (1)");
    read_all_files();
    assert_int_equal(other_process("plain_count"), 1);
    ok(writer, "PRAGMA wal_checkpoint(truncate)");
    sqlite3_close(reader);
    ok(writer, "PRAGMA journal_mode = delete"); /* needs an exclusive lock of the file */
    ok(writer, "INSERT INTO t VALUES (2)");
    sqlite3_close(writer);
    assert_int_equal(other_process("plain_count"), 2);
}

/* Another file under the same name is another file. */
static void replaced_file(void **state) {
    sqlite3 *old = new_file("delete");
    sqlite3 *new;

    (void)state;
    ok(old, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    unlink(path);
    new = open_rw();
    ok(new, "CREATE TABLE t (a)");
    others_write(SQLITE_OK);
    sqlite3_close(old);
    ok(new, "BEGIN IMMEDIATE");
    read_all_files();
    others_write(SQLITE_BUSY);
    sqlite3_close(new);
    others_write(SQLITE_OK);
    assert_int_equal(other_process("plain_count"), 4);
}

static void standard_streams_are_not_used(void **state) {
    (void)state;
    sqlite3_close(new_file("delete"));
    assert_int_equal(other_process("no_input"), 0);
    sqlite3_close(new_file("wal"));
    assert_int_equal(other_process("no_input"), 0);
}

/* ---- fork() without exec() ---- */

/* A child has its parent's descriptors, and must not have its locks. */
static void child_of_a_fork_locks_for_itself(void **state) {
    static const char *const modes[] = {"wal", "delete"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        sqlite3 *db = new_file(modes[i]);
        int go[2];
        int status = -1;
        char byte = 'g';
        int pid;

        ok(db, "INSERT INTO t VALUES (1)");
        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
            sqlite3 *own = NULL;

            if (read(go[0], &byte, 1) != 1 || sqlite3_open(path, &own) != SQLITE_OK) _exit(90);
            _exit(sql(own, "INSERT INTO t VALUES (2)"));
        }
        ok(db, "BEGIN IMMEDIATE; INSERT INTO t VALUES (3)");
        assert_int_equal(write(go[1], &byte, 1), 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, SQLITE_BUSY << 8);
        others_write(SQLITE_BUSY); /* nor does it take ours along when it ends */
        ok(db, "COMMIT");
        others_write(SQLITE_OK);
        close(go[0]);
        close(go[1]);
        sqlite3_close(db);
    }
}

/* ---- What is left ---- */

static int count_fds(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}

static void no_descriptor_is_left_open(void **state) {
    static const char *const modes[] = {"wal", "delete"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        int before;

        sqlite3_close(new_file(modes[i]));
        before = count_fds();
        for (int round = 0; round < 50; round++) {
            sqlite3 *reader = open_as(SQLITE_OPEN_READONLY);
            sqlite3 *db = open_rw();
            sqlite3 *second = open_rw();

            ok(reader, "BEGIN; SELECT * FROM t; COMMIT");
            ok(db, "INSERT INTO t VALUES (1)");
            ok(second, "BEGIN; SELECT * FROM t");
            sqlite3_close(db);
            ok(second, "COMMIT");
            sqlite3_close(second);
            sqlite3_close(reader);
        }
        assert_int_equal(count_fds(), before);
    }
}

static void no_memory_is_no_lock(void **state) {
    int before;
    int rc = SQLITE_NOMEM;
    int rounds = 0;

    (void)state;
    sqlite3_close(new_file("wal"));
    before = count_fds();
    for (; rc != SQLITE_OK && rounds < 10000; rounds++) {
        lsq_memory_set_budget(rounds);
        rc = do_sql(path, "INSERT INTO t VALUES (1)");
        lsq_memory_set_budget(-1);
        assert_int_equal(count_fds(), before);
    }
    assert_int_equal(rc, SQLITE_OK);
    assert_true(rounds > 10);
    others_write(SQLITE_OK);
    assert_in_range(other_process("plain_count"), 3, 3 + rounds); /* some commit before they fail */
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(wal_is_not_taken_away, db_forget),
        cmocka_unit_test_teardown(wal_write_lock_stays, db_forget),
        cmocka_unit_test_teardown(wal_readers_keep_their_snapshot, db_forget),
        cmocka_unit_test_teardown(journal_write_lock_stays, db_forget),
        cmocka_unit_test_teardown(journal_read_lock_stays, db_forget),
        cmocka_unit_test_teardown(other_connections_may_close, db_forget),
        cmocka_unit_test_teardown(connections_exclude_each_other, db_forget),
        cmocka_unit_test_teardown(reader_first_then_writer, db_forget),
        cmocka_unit_test_teardown(writer_first_then_reader, db_forget),
        cmocka_unit_test_teardown(reader_of_a_wal_then_writer, db_forget),
        cmocka_unit_test_teardown(replaced_file, db_forget),
        cmocka_unit_test_teardown(standard_streams_are_not_used, db_forget),
        cmocka_unit_test_teardown(child_of_a_fork_locks_for_itself, db_forget),
        cmocka_unit_test_teardown(no_descriptor_is_left_open, db_forget),
        cmocka_unit_test_teardown(no_memory_is_no_lock, db_forget),
    };

    child_main(argc, argv, roles, sizeof(roles) / sizeof(roles[0]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
