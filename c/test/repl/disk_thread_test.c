/* A disk that is full, or fails, in a bootstrap, the spool, the metadata, an apply: the error has its name, what was
 * there stays and can be read, and the next sync goes on. The disk is the C library's, and each of its calls is made to
 * fail in turn. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/primary.h"
#include "repl/base.h"

static struct sqld server;

static int forget(void **state) {
    replica_use_key(NULL);
    sqld_kill(&server);
    return db_forget(state);
}

/* ---- Calls that fail, of this program ---- */

/* How many more succeed (negative: all do), and what the later ones answer. */
static atomic_int left = -1;
static atomic_int answer;
static atomic_int failures;

static bool fails(void) {
    int n = atomic_load(&left);

    while (n > 0)
        if (atomic_compare_exchange_weak(&left, &n, n - 1)) return false;
    if (n < 0) return false;
    atomic_fetch_add(&failures, 1);
    errno = atomic_load(&answer);
    return true;
}

#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *data, size_t len, off_t at) {
    return fails() ? -1 : REAL(pwrite)(fd, data, len, at);
}
ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) {
    return fails() ? -1 : REAL(pwrite64)(fd, data, len, at);
}
int fdatasync(int fd) { return fails() ? -1 : REAL(fdatasync)(fd); }
int fsync(int fd) { return fails() ? -1 : REAL(fsync)(fd); }
int ftruncate(int fd, off_t size) { return fails() ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off_t size) { return fails() ? -1 : REAL(ftruncate64)(fd, size); }
int rename(const char *from, const char *to) { return fails() ? -1 : REAL(rename)(from, to); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    return fails() ? -1 : REAL(renameat2)(a, from, b, to, flags);
}

/* ---- Walks ---- */

static struct lsq_conn *fill(void) {
    struct lsq_conn *primary;

    sqld_start(&server, NULL);
    primary = primary_conn(&server);
    run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    run(primary, "INSERT INTO t (b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                 "WHERE i < 2300) SELECT randomblob(3500) FROM n");
    return primary;
}

/* A sync with the n-th call failing, and all after it. Answers whether any failed. */
static bool sync_with(struct lsqi_replica *replica, int n, int number) {
    bool usable = lsqi_replica_usable(replica);
    uint64_t before = lsqi_replica_applied(replica);
    enum lsq_status st;
    bool failed;

    atomic_store(&failures, 0);
    atomic_store(&answer, number);
    atomic_store(&left, n);
    st = lsqi_replica_sync_wait(replica, 0, 120000, NULL, NULL, NULL, &last_error);
    atomic_store(&left, -1);
    failed = atomic_load(&failures) > 0;
    if (!failed && st != LSQ_OK) fail_msg("%d: %s", n, last_error.message);
    if (st != LSQ_OK && st != LSQ_IO && st != LSQ_FULL && st != LSQ_CANNOT_OPEN)
        fail_msg("%d (%s): %s, %s", n, strerror(number), lsq_status_name(st), last_error.message);
    if (st != LSQ_OK && number == ENOSPC && st != LSQ_FULL && st != LSQ_IO)
        fail_msg("%d: %s", n, last_error.message);
    /* What was there is there. */
    assert_true(lsqi_replica_usable(replica) || !usable);
    assert_true(lsqi_replica_applied(replica) >= before);
    return failed;
}

static void expect_readable(struct lsqi_replica *replica) {
    struct lsq_conn *reader = replica_reader(replica);

    assert_string_equal(ask_text(reader, "PRAGMA integrity_check"), "ok");
    db_close(reader);
}

static const int numbers[] = {ENOSPC, EIO};

static void in_a_bootstrap(void **state) {
    struct lsq_conn *primary = fill();

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        bool failed = true;

        replica_use_key(k % 2 == 0 ? NULL : "key");
        for (int n = 0; failed && n < 100000; n += n < 6 ? 1 : 3 + n) {
            const char *path = replica_path();
            struct lsqi_replica *replica = replica_open(path, &server);

            failed = sync_with(replica, n, numbers[k]);
            /* By the same record, or by the next one. */
            if (n % 2 == 0) {
                replica_close(replica);
                replica = replica_open(path, &server);
            }
            replica_sync(replica);
            if (n % 5 == 4) expect_same(replica, primary);
            replica_close(replica);
            (void)unlink(path);
        }
        assert_false(failed);
    }
    db_close(primary);
}

/* One transaction that does not fit into the spool's memory, then small ones. */
static void in_a_sync(void **state) {
    static const char *const changes[] = {"UPDATE t SET b = randomblob(3500)",
                                          "UPDATE t SET b = randomblob(3500) WHERE a < 30"};
    struct lsq_conn *primary = fill();

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        const char *path = replica_path();
        struct lsqi_replica *replica;
        bool failed = true;

        replica_use_key(k % 2 == 0 ? NULL : "key");
        replica = replica_open(path, &server);
        replica_sync(replica);
        for (int n = 0; failed && n < 100000; n += n < 4 ? 1 : 4 + n * 5) {
            run(primary, changes[n % 3 == 2]);
            failed = sync_with(replica, n, numbers[k % 2]);
            expect_readable(replica);
            if (n % 3 == 0) {
                replica_close(replica);
                replica_events_begin();
                replica = replica_open(path, &server);
                assert_int_equal(replica_events(LSQI_REPLICA_SET_ASIDE), 0);
            }
            if (n % 5 == 4) expect_same(replica, primary);
        }
        assert_false(failed);
        expect_same(replica, primary);
        replica_close(replica);
    }
    db_close(primary);
}

/* Of a server that has nothing yet, an empty database; what it has later comes all the same, by the same record. */
static void of_an_empty_server(void **state) {
    bool failed = true;

    for (int n = 0; failed && n < 1000; n++) {
        struct lsqi_replica *replica;
        struct lsq_conn *primary;

        sqld_start(&server, NULL);
        primary = primary_conn(&server);
        replica = replica_open(replica_path(), &server);
        failed = sync_with(replica, n, ENOSPC);
        run(primary, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
        expect_same(replica, primary);
        replica_close(replica);
        db_close(primary);
        (void)forget(state);
    }
    assert_false(failed);
}

/* A call that fails once, and not again: what the state says is what is durable, no more. */
static void the_state_says_no_more_than_is_so(void **state) {
    static const char page[4096];
    const struct lsqi_frame frame = {.number = 5, .page = 1};
    const struct lsqi_key key = {.bytes = NULL};
    const char *path = replica_path();
    struct lsqi_base base = {.key = &key, .fd = -1};
    struct lsqi_meta meta;

    (void)state;
    assert_int_equal(lsqi_base_begin(&base, path, "a-log", 0, &last_error), LSQ_OK);
    atomic_store(&answer, EIO);
    atomic_store(&left, 0);
    assert_int_equal(lsqi_base_write(&base, path, &frame, page, sizeof(page), &last_error), LSQ_IO);
    atomic_store(&left, -1);
    assert_true(base.fd >= 0 || lsqi_base_recall(&base, path));
    assert_int_equal(lsqi_base_write(&base, path, &frame, page, sizeof(page), &last_error), LSQ_OK);
    assert_int_equal(lsqi_meta_read(&meta, beside(path, "-incoming-state"), NULL, &last_error),
                     LSQ_OK);
    assert_true(meta.target == 6);
    /* The kernel has forgotten that the pages are lost; we have not. */
    atomic_store(&left, 0);
    assert_int_equal(lsqi_base_mark(&base, path, 6, 1, 1, true, &last_error), LSQ_IO);
    atomic_store(&left, -1);
    assert_int_not_equal(lsqi_base_mark(&base, path, 6, 1, 1, true, NULL), LSQ_OK);
    assert_true(lsqi_base_recall(&base, path));
    assert_true(base.meta.applied == 0);
    lsqi_base_discard(&base, path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(of_an_empty_server, forget),
        cmocka_unit_test_teardown(the_state_says_no_more_than_is_so, forget),
        cmocka_unit_test_teardown(in_a_bootstrap, forget),
        cmocka_unit_test_teardown(in_a_sync, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
