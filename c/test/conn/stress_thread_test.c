/* Many threads at once on few connections: everything that any thread may do at any moment, at random
 * moments. What is looked for are races, leaks and standstills, so most answers are only checked to
 * be among those that can be. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"

enum { THREADS = 6, SHARED = 3, STATEMENTS = 8, SECONDS = 3 };

/* A connection that all threads share; a new one comes when it was closed. The lock guards the slot,
 * not the connection. */
struct slot {
    pthread_mutex_t lock;
    struct lsq_conn *conn;
    int users; /* threads that hold the pointer: it is freed by the last */
    bool doomed;
    struct lsq_stmt *stmt[STATEMENTS];
};

static struct slot slots[SHARED];
static char path[256];
static atomic_bool stop;
static atomic_llong calls;
static atomic_llong told;
static atomic_llong wanted_to_be_told;

static struct lsq_conn *open_shared(void) {
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *conn = NULL;

    cfg.busy_timeout = 20;
    cfg.statement_cache = 4;
    return lsq_conn_open(&conn, &cfg, NULL) == LSQ_OK ? conn : NULL;
}

/* ---- Taking and giving back ---- */

static struct lsq_conn *take(struct slot *slot) {
    struct lsq_conn *conn;

    pthread_mutex_lock(&slot->lock);
    if (slot->conn == NULL) slot->conn = open_shared();
    conn = slot->conn;
    if (conn != NULL) slot->users++;
    pthread_mutex_unlock(&slot->lock);
    return conn;
}

static void drop_locked(struct slot *slot) {
    for (int i = 0; i < STATEMENTS; i++) {
        lsq_stmt_discard(slot->stmt[i]);
        slot->stmt[i] = NULL;
    }
    lsq_conn_free(slot->conn);
    slot->conn = NULL;
    slot->doomed = false;
}

static void give_back(struct slot *slot) {
    pthread_mutex_lock(&slot->lock);
    if (--slot->users == 0 && slot->doomed) drop_locked(slot);
    pthread_mutex_unlock(&slot->lock);
}

/* ---- What a thread may do inside ---- */

static bool possible(enum lsq_status st) {
    static const enum lsq_status answers[] = {
        LSQ_OK,      LSQ_BUSY,           LSQ_BUSY_SNAPSHOT, LSQ_INTERRUPTED, LSQ_TIMEOUT,
        LSQ_CLOSED,  LSQ_IN_USE,         LSQ_WOULD_BLOCK,   LSQ_MISUSE,      LSQ_IN_TRANSACTION,
        LSQ_ABORTED, LSQ_NO_TRANSACTION, LSQ_READONLY,
    };

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        if (answers[i] == st) return true;
    }
    return false;
}

static void check(enum lsq_status st, const char *what, const struct lsq_error *err) {
    atomic_fetch_add(&calls, 1);
    if (possible(st)) return;
    fprintf(stderr, "%s: %s (%s)\n", what, lsq_status_name(st), err->message);
    abort();
}

static enum lsq_status run_text(struct lsq_conn *conn, const char *sql, unsigned flags) {
    struct lsq_call call = {.flags = flags, .timeout = 50};
    struct lsq_error err;
    enum lsq_status st = lsq_exec(conn, sql, strlen(sql), NULL, &call, NULL, NULL, NULL, &err);

    check(st, sql, &err);
    return st;
}

static void run_some_sql(struct lsq_conn *conn, uint64_t chance) {
    static const char *const texts[] = {
        "SELECT a FROM t WHERE id = 3",
        "SELECT count(*), max(a) FROM t",
        "UPDATE t SET a = a + 1 WHERE id = 5",
        "INSERT INTO t (a) VALUES (1)",
        "DELETE FROM t WHERE id > 50",
        LONG_QUERY,
        "BEGIN IMMEDIATE; INSERT INTO t (a) VALUES (2); COMMIT",
        "SELECT a FROM t ORDER BY a",
    };
    static const unsigned flags[] = {0, LSQ_CALL_TRY, LSQ_CALL_NOWAIT, LSQ_CALL_BUDGET,
                                     LSQ_CALL_SHORT};
    const char *sql = texts[chance % 8];
    struct lsq_error err;

    if (chance % 8 == 6) (void)lsq_rollback(conn, NULL, NULL); /* it begins one of its own */
    if (chance % 8 == 6)
        check(lsq_batch_sql(conn, sql, strlen(sql), NULL, NULL, NULL, NULL, &err), sql, &err);
    else
        (void)run_text(conn, sql, flags[chance / 8 % 5]);
}

static void transact(struct lsq_conn *conn, uint64_t chance) {
    struct lsq_error err;

    check(lsq_begin(conn, (enum lsq_txn)(chance % 4), NULL, &err), "begin", &err);
    (void)run_text(conn, "UPDATE t SET a = a + 1 WHERE id = 7", 0);
    if (chance & 16) check(lsq_commit(conn, NULL, &err), "commit", &err);
    if (chance & 32) check(lsq_rollback(conn, NULL, &err), "rollback", &err);
    if (chance & 64) check(lsq_conn_reset(conn, &err), "reset", &err);
}

static void note(void *arg) {
    (void)arg;
    atomic_fetch_add(&told, 1);
}

/* Inside, so that no other thread frees the statement. */
static void use_stmt(struct slot *slot, struct lsq_conn *conn, uint64_t chance) {
    static const char sql[] = "SELECT id, a FROM t WHERE id > ?1";
    struct lsq_stmt *stmt = NULL;
    struct lsq_error err;
    bool end;

    check(lsq_stmt_new(&stmt, conn, sql, sizeof(sql) - 1, NULL, &err), "new", &err);
    if (stmt == NULL) return;
    check(lsq_stmt_start(stmt, LSQ_PARAMS(lsq_int(1)), &err), "start", &err);
    check(lsq_stmt_fetch(stmt, chance % 5, NULL, NULL, NULL, &end, &err), "fetch", &err);
    pthread_mutex_lock(&slot->lock);
    if (slot->stmt[chance % STATEMENTS] == NULL) {
        slot->stmt[chance % STATEMENTS] = stmt; /* for another thread to interrupt and discard */
        stmt = NULL;
    }
    pthread_mutex_unlock(&slot->lock);
    if (chance & 256)
        lsq_stmt_free(stmt);
    else
        lsq_stmt_discard(stmt);
}

/* ---- What it may do from outside ---- */

static void meddle(struct slot *slot, struct lsq_conn *conn, uint64_t chance) {
    struct lsq_stmt **stmt = &slot->stmt[chance / 16 % STATEMENTS];

    switch (chance % 16) {
    case 0:
    case 1:
    case 2: lsq_conn_interrupt(conn); break;
    case 3:
        atomic_fetch_add(&wanted_to_be_told, 1);
        lsq_conn_close(conn, note, NULL);
        pthread_mutex_lock(&slot->lock);
        slot->doomed = true;
        pthread_mutex_unlock(&slot->lock);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        if (lsq_conn_notify(conn, note, NULL) == LSQ_OK) atomic_fetch_add(&wanted_to_be_told, 1);
        break;
    case 8:
    case 9:
        pthread_mutex_lock(&slot->lock);
        if (*stmt != NULL) lsq_stmt_interrupt(*stmt);
        pthread_mutex_unlock(&slot->lock);
        break;
    default:
        pthread_mutex_lock(&slot->lock);
        lsq_stmt_discard(*stmt);
        *stmt = NULL;
        pthread_mutex_unlock(&slot->lock);
        break;
    }
}

static void work_inside(struct slot *slot, struct lsq_conn *conn, uint64_t chance) {
    switch (chance % 4) {
    case 0: transact(conn, chance / 4); break;
    case 1: use_stmt(slot, conn, chance / 4); break;
    default: run_some_sql(conn, chance / 4); break;
    }
}

static void *wander(void *arg) {
    uint64_t seed = *(uint64_t *)arg;

    while (!atomic_load(&stop)) {
        uint64_t chance = random_next(&seed);
        struct slot *slot = &slots[chance % SHARED];
        struct lsq_conn *conn = take(slot);
        enum lsq_status st;

        if (conn == NULL) continue; /* another thread's write was in the way of opening */
        chance /= SHARED;
        if (chance % 8 < 3) {
            meddle(slot, conn, chance / 8);
        } else {
            st = lsq_conn_enter(conn, chance % 8 < 6);
            if (st == LSQ_OK) {
                work_inside(slot, conn, chance / 8);
                lsq_conn_leave(conn);
            }
        }
        give_back(slot);
    }
    return NULL;
}

static void forget_all(void) {
    for (int i = 0; i < SHARED; i++) {
        pthread_mutex_lock(&slots[i].lock);
        assert_int_equal(slots[i].users, 0);
        if (slots[i].conn != NULL) drop_locked(&slots[i]);
        pthread_mutex_unlock(&slots[i].lock);
    }
}

static void everything_at_once(void **state) {
    uint64_t seed = test_seed();
    uint64_t seeds[THREADS];
    pthread_t thread[THREADS];
    struct lsq_conn *conn = db_open(NULL);

    (void)state;
    snprintf(path, sizeof(path), "%s", db_file(conn));
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)");
    run(conn, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) "
              "INSERT INTO t SELECT i, i FROM n");
    for (int i = 0; i < SHARED; i++) pthread_mutex_init(&slots[i].lock, NULL);
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = random_next(&seed);
        assert_int_equal(pthread_create(&thread[i], NULL, wander, &seeds[i]), 0);
    }
    sleep_ms(SECONDS * 1000);
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    forget_all();
    lsq_shutdown();
    print_message("%lld calls, %lld told\n", atomic_load(&calls), atomic_load(&told));
    assert_true(atomic_load(&calls) > 50);
    assert_int_equal(atomic_load(&told), atomic_load(&wanted_to_be_told)); /* each once */
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    run(conn, "INSERT INTO t (a) VALUES (1)"); /* no lock was left behind */
    db_close(conn);
}

/* ---- Entering: one at a time, each in its turn ---- */

struct queue {
    struct lsq_conn *conn;
    int inside;  /* guarded by the connection itself */
    int entered; /* likewise */
};

static void *enter_often(void *arg) {
    struct queue *queue = arg;

    for (int i = 0; i < 300; i++) {
        if (lsq_conn_enter(queue->conn, true) != LSQ_OK) return arg;
        if (queue->inside++ != 0) return arg;
        queue->entered++;
        if (lsq_exec(queue->conn, "SELECT 1", 8, NULL, NULL, NULL, NULL, NULL, NULL) != LSQ_OK)
            return arg;
        queue->inside--;
        lsq_conn_leave(queue->conn);
    }
    return NULL;
}

static void one_thread_is_inside_at_a_time(void **state) {
    struct queue queue = {.conn = db_open(":memory:")};
    pthread_t thread[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, enter_often, &queue), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;

        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(queue.entered, THREADS * 300);
    db_close(queue.conn);
}

static void *enter_and_wait(void *arg) {
    enum lsq_status st = lsq_conn_enter(arg, true);

    if (st == LSQ_OK) lsq_conn_leave(arg);
    return (void *)(intptr_t)st;
}

static void closing_wakes_those_who_wait(void **state) {
    struct lsq_conn *conn = db_open(":memory:");
    pthread_t thread[3];

    (void)state;
    assert_int_equal(lsq_conn_enter(conn, true), LSQ_OK);
    assert_int_equal(lsq_conn_enter(conn, false), LSQ_IN_USE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, enter_and_wait, conn), 0);
    sleep_ms(30);
    lsq_conn_close(conn, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        void *st;

        pthread_join(thread[i], &st);
        assert_int_equal((intptr_t)st, LSQ_CLOSED);
    }
    lsq_conn_leave(conn);
    lsq_conn_free(conn);
}

static void *leave_for_another(void *conn) {
    lsq_conn_leave(conn);
    return NULL;
}

static void count(void *arg) { ++*(int *)arg; }

static void notified_when_it_is_left(void **state) {
    struct lsq_conn *conn = db_open(":memory:");
    pthread_t thread;
    int here = 0;

    (void)state;
    assert_int_equal(lsq_conn_notify(conn, count, &here), LSQ_OK);
    assert_int_equal(here, 1); /* nobody is in it: at once */
    assert_int_equal(lsq_conn_enter(conn, true), LSQ_OK);
    assert_int_equal(lsq_conn_notify(conn, count, &here), LSQ_OK);
    assert_int_equal(lsq_conn_notify(conn, count, &here), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT 5"), 5); /* a call inside is no leaving */
    assert_int_equal(here, 1);
    assert_int_equal(pthread_create(&thread, NULL, leave_for_another, conn), 0);
    pthread_join(thread, NULL);
    assert_int_equal(here, 3);
    assert_int_equal(lsq_conn_enter(conn, true), LSQ_OK);
    lsq_conn_leave(conn);
    assert_int_equal(here, 3); /* once each */
    lsq_memory_set_budget(0);
    assert_int_equal(lsq_conn_notify(conn, count, &here), LSQ_NOMEM);
    lsq_memory_set_budget(-1);
    assert_int_equal(here, 3);
    db_close(conn);
}

/* ---- Many connections, each of its own thread, to one file ---- */

static void *count_up(void *arg) {
    struct lsq_config cfg = db_config(arg);
    struct lsq_conn *conn = NULL;
    void *failed = NULL;

    cfg.busy_timeout = 60000;
    if (lsq_conn_open(&conn, &cfg, NULL) != LSQ_OK) return arg;
    for (int i = 0; i < 50 && failed == NULL; i++) {
        if (lsq_exec(conn, "UPDATE t SET a = a + 1", 22, NULL, NULL, NULL, NULL, NULL, NULL) !=
            LSQ_OK)
            failed = arg;
    }
    lsq_conn_free(conn);
    return failed;
}

static void no_update_is_lost(void **state) {
    struct lsq_conn *conn = db_open(NULL);
    pthread_t thread[THREADS];
    char file[256];

    (void)state;
    snprintf(file, sizeof(file), "%s", db_file(conn));
    run(conn, "CREATE TABLE t (a INTEGER)");
    run(conn, "INSERT INTO t VALUES (0)");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count_up, file), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;

        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(ask(conn, "SELECT a FROM t"), THREADS * 50);
    db_close(conn);
}

/* ---- Nothing is left ---- */

static void no_memory_is_left(void **state) {
    struct lsq_memory memory;
    struct lsq_memory again;

    (void)state;
    db_close(db_open(":memory:"));
    lsq_shutdown();
    lsq_memory(&memory);
    for (int i = 0; i < 5; i++) db_close(db_open(":memory:"));
    lsq_shutdown();
    lsq_memory(&again);
    assert_int_equal(again.blocks, memory.blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_is_inside_at_a_time),
        cmocka_unit_test(closing_wakes_those_who_wait),
        cmocka_unit_test(notified_when_it_is_left),
        cmocka_unit_test_teardown(no_update_is_lost, db_forget),
        cmocka_unit_test_teardown(everything_at_once, db_forget),
        cmocka_unit_test(no_memory_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
