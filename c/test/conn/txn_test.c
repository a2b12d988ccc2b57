/* Transactions and savepoints, and what is left of them after something failed. */
#include <stdio.h>

#include "../support/db.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct lsq_conn *conn;
static struct lsq_conn *other;
static const struct lsq_call nowait = {.flags = LSQ_CALL_NOWAIT};

static int open_two(void **state) {
    (void)state;
    conn = db_open(NULL);
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)");
    other = db_open(db_file(conn));
    return 0;
}

static int close_two(void **state) {
    db_close(other);
    db_close(conn);
    return db_forget(state);
}

/* Both connections in the old journal mode, where readers and writers lock one another out. */
static void without_wal(void) {
    static const struct lsq_setting keep = {"journal_mode", "delete"};
    struct lsq_config cfg = db_config(db_file(conn));

    db_close(other);
    run(conn, "PRAGMA journal_mode = delete");
    cfg.settings = &keep;
    cfg.setting_count = 1;
    other = db_open_as(&cfg);
}

static bool autocommit(void) {
    struct lsq_conn_info info;

    assert_int_equal(lsq_conn_info(conn, false, &info, &last_error), LSQ_OK);
    return info.autocommit;
}

static void begin(enum lsq_txn kind) {
    if (lsq_begin(conn, kind, NULL, &last_error) != LSQ_OK) fail_msg("%s", last_error.message);
    assert_false(autocommit());
}

static bool wrote(void) {
    struct lsq_conn_info info;

    assert_int_equal(lsq_conn_info(conn, false, &info, &last_error), LSQ_OK);
    return info.wrote;
}

static enum lsq_status commit(void) { return lsq_commit(conn, NULL, &last_error); }
static enum lsq_status rollback(void) { return lsq_rollback(conn, NULL, &last_error); }
static int64_t rows(void) { return ask(conn, "SELECT count(*) FROM t"); }

static enum lsq_status other_writes(void) {
    return exec(other, "INSERT INTO t (a) VALUES (NULL)", NULL, &nowait, NULL);
}

static enum lsq_status other_reads(void) {
    return exec(other, "SELECT count(*) FROM t", NULL, &nowait, NULL);
}

/* ---- Kinds ---- */

static void kinds_lock_what_they_say(void **state) {
    static const struct {
        enum lsq_txn kind;
        enum lsq_status others_write;
    } cases[] = {
        {LSQ_TXN_DEFERRED, LSQ_OK},    {LSQ_TXN_READ, LSQ_OK},        {LSQ_TXN_PATIENT, LSQ_OK},
        {LSQ_TXN_IMMEDIATE, LSQ_BUSY}, {LSQ_TXN_EXCLUSIVE, LSQ_BUSY},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        begin(cases[i].kind);
        assert_int_equal(other_writes(), cases[i].others_write);
        assert_int_equal(other_reads(), LSQ_OK); /* in WAL mode always */
        assert_int_equal(commit(), LSQ_OK);
        assert_true(autocommit());
        assert_int_equal(other_writes(), LSQ_OK);
    }
}

static void exclusive_locks_readers_out_without_wal(void **state) {
    (void)state;
    without_wal();
    begin(LSQ_TXN_IMMEDIATE);
    assert_int_equal(other_reads(), LSQ_OK);
    assert_int_equal(rollback(), LSQ_OK);
    begin(LSQ_TXN_EXCLUSIVE);
    assert_int_equal(other_reads(), LSQ_BUSY);
    assert_int_equal(commit(), LSQ_OK);
}

static void wrong_order(void **state) {
    (void)state;
    assert_int_equal(commit(), LSQ_NO_TRANSACTION);
    assert_int_equal(rollback(), LSQ_NO_TRANSACTION);
    begin(LSQ_TXN_DEFERRED);
    for (int kind = LSQ_TXN_DEFERRED; kind <= LSQ_TXN_PATIENT; kind++)
        assert_int_equal(lsq_begin(conn, (enum lsq_txn)kind, NULL, &last_error),
                         LSQ_IN_TRANSACTION);
    assert_int_equal(lsq_begin(conn, (enum lsq_txn)5, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_begin(conn, (enum lsq_txn) - 1, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_false(autocommit());
    assert_int_equal(rollback(), LSQ_OK);
    assert_int_equal(rollback(), LSQ_NO_TRANSACTION);
    assert_int_equal(lsq_begin(conn, (enum lsq_txn)5, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_true(autocommit());
}

static void commit_keeps_and_rollback_does_not(void **state) {
    (void)state;
    begin(LSQ_TXN_IMMEDIATE);
    run(conn, "INSERT INTO t VALUES (1, 'x')");
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 0);
    assert_int_equal(commit(), LSQ_OK);
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 1);
    begin(LSQ_TXN_DEFERRED);
    run(conn, "DELETE FROM t");
    run(conn, "DROP TABLE t");
    assert_int_equal(rollback(), LSQ_OK);
    assert_int_equal(rows(), 1);
}

static void begin_that_meets_a_lock(void **state) {
    (void)state;
    run(other, "BEGIN IMMEDIATE");
    assert_int_equal(lsq_begin(conn, LSQ_TXN_IMMEDIATE, &nowait, &last_error), LSQ_BUSY);
    assert_true(last_error.transient);
    assert_true(autocommit());
    run(other, "COMMIT");
    begin(LSQ_TXN_IMMEDIATE);
    assert_int_equal(commit(), LSQ_OK);
}

/* ---- Reading ones ---- */

static void read_only_until_it_ends(void **state) {
    static const char *const ends[] = {"COMMIT", "ROLLBACK", "END"};

    (void)state;
    for (size_t i = 0; i < COUNT(ends); i++) {
        begin(LSQ_TXN_READ);
        expect(LSQ_READONLY, conn, "INSERT INTO t (a) VALUES (NULL)");
        expect(LSQ_READONLY, conn, "DROP TABLE IF EXISTS t");
        expect(LSQ_READONLY, conn, "INSERT INTO t (a) VALUES (NULL)"); /* from the cache, too */
        assert_false(autocommit());
        run(conn, ends[i]);
        run(conn, "INSERT INTO t (a) VALUES (NULL)");
    }
    assert_int_equal(rows(), 3);
}

/* A failure that ends it: the next transaction may write. */
static void read_only_ended_by_a_failure(void **state) {
    (void)state;
    run(conn, "CREATE TEMP TABLE mine (a UNIQUE)");
    run(conn, "INSERT INTO mine VALUES (1)");
    begin(LSQ_TXN_READ);
    expect(LSQ_CONSTRAINT, conn, "INSERT OR ROLLBACK INTO mine VALUES (1)");
    assert_true(autocommit());
    run(conn, "INSERT INTO t (a) VALUES (NULL)");
    begin(LSQ_TXN_IMMEDIATE);
    run(conn, "INSERT INTO t (a) VALUES (NULL)");
    assert_int_equal(commit(), LSQ_OK);
    assert_int_equal(rows(), 2);
}

static void read_only_ended_by_a_cursor(void **state) {
    struct lsq_stmt *stmt = NULL;
    bool end = false;

    (void)state;
    begin(LSQ_TXN_READ);
    assert_int_equal(lsq_stmt_new(&stmt, conn, "COMMIT", 6, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_start(stmt, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_stmt_fetch(stmt, 1, NULL, NULL, NULL, &end, &last_error), LSQ_OK);
    lsq_stmt_free(stmt);
    assert_true(autocommit());
    run(conn, "INSERT INTO t (a) VALUES (NULL)");
}

static void read_only_in_batches_and_savepoints(void **state) {
    size_t done = 99;

    (void)state;
    begin(LSQ_TXN_READ);
    assert_int_equal(
        lsq_batch_sql(conn, "SELECT 1; DELETE FROM t", 23, NULL, NULL, NULL, &done, &last_error),
        LSQ_READONLY);
    assert_int_equal(done, 1);
    assert_int_equal(lsq_savepoint(conn, "s", 1, NULL, &last_error), LSQ_OK);
    expect(LSQ_READONLY, conn, "DELETE FROM t");
    assert_int_equal(lsq_release(conn, "s", 1, NULL, &last_error), LSQ_OK);
    assert_int_equal(commit(), LSQ_OK);
}

/* Virtual tables compile statements that write, when they are first used and at the commit of others. */
static void read_only_with_virtual_tables(void **state) {
    (void)state;
    run(conn, "CREATE VIRTUAL TABLE box USING rtree (id, low, high)");
    run(conn, "CREATE VIRTUAL TABLE text USING fts5 (body)");
    begin(LSQ_TXN_IMMEDIATE);
    run(conn, "INSERT INTO box VALUES (1, 2, 3)");
    run(conn, "INSERT INTO text VALUES ('some words')");
    assert_int_equal(commit(), LSQ_OK);
    for (int i = 0; i < 2; i++) {
        struct lsq_conn *reader = i == 0 ? conn : other;

        assert_int_equal(lsq_begin(reader, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
        assert_int_equal(ask(reader, "SELECT count(*) FROM box WHERE low < 3"), 1);
        assert_int_equal(ask(reader, "SELECT count(*) FROM text WHERE text MATCH 'words'"), 1);
        expect(LSQ_READONLY, reader, "DELETE FROM box");
        expect(LSQ_READONLY, reader, "INSERT INTO text VALUES ('more')");
        assert_int_equal(lsq_commit(reader, NULL, &last_error), LSQ_OK);
    }
}

/* ---- Committing ---- */

/* A reader in the way: the transaction stays, and may be committed when the reader is gone. */
static void busy_commit_keeps_the_transaction(void **state) {
    (void)state;
    without_wal();
    assert_int_equal(lsq_begin(other, LSQ_TXN_READ, NULL, &last_error), LSQ_OK);
    begin(LSQ_TXN_IMMEDIATE);
    run(conn, "INSERT INTO t VALUES (1, 'x')");
    assert_int_equal(lsq_commit(conn, &nowait, &last_error), LSQ_BUSY);
    assert_true(last_error.transient);
    assert_false(autocommit());
    run(conn, "INSERT INTO t VALUES (2, 'y')");
    assert_int_equal(lsq_commit(conn, &nowait, &last_error), LSQ_BUSY);
    assert_int_equal(lsq_rollback(other, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_commit(conn, &nowait, &last_error), LSQ_OK);
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 2);
}

static void commit_that_breaks_a_foreign_key(void **state) {
    (void)state;
    run(conn, "CREATE TABLE c (a REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)");
    begin(LSQ_TXN_DEFERRED);
    run(conn, "INSERT INTO c VALUES (5)");
    assert_int_equal(commit(), LSQ_CONSTRAINT);
    assert_int_equal(last_error.constraint, LSQ_CONSTRAINT_FOREIGN_KEY);
    assert_false(autocommit());
    run(conn, "INSERT INTO t VALUES (5, NULL)"); /* made good */
    assert_int_equal(commit(), LSQ_OK);
    assert_int_equal(ask(conn, "SELECT count(*) FROM c"), 1);
}

/* ---- Savepoints ---- */

static const struct lsq_name names[] = {
    {"s", 1},
    {"two words", 9},
    {"\"", 1},
    {"\"\"", 2},
    {"a\"b", 3},
    {"'; DROP TABLE t; --", 19},
    {"\"; DROP TABLE t; --", 19},
    {"select", 6},
    {"transaction", 11},
    {"caf\xc3\xa9 \xf0\x9f\x98\x80", 10},
    {"%s%n%w", 6},
    {"[x]", 3},
    {"`", 1},
    {" ", 1},
    {"a\nb", 3},
    {"0", 1},
};

static void names_are_only_names(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        const char *text = names[i].text;
        size_t len = names[i].len;

        if (lsq_savepoint(conn, text, len, NULL, &last_error) != LSQ_OK)
            fail_msg("%s: %s", text, last_error.message);
        assert_false(autocommit());
        run(conn, "INSERT INTO t VALUES (1, 'gone')");
        assert_int_equal(lsq_rollback_to(conn, text, len, NULL, &last_error), LSQ_OK);
        assert_int_equal(rows(), 0);
        assert_false(autocommit()); /* it stays open */
        assert_int_equal(lsq_release(conn, text, len, NULL, &last_error), LSQ_OK);
        assert_true(autocommit());
    }
    assert_int_equal(rows(), 0);
}

static void names_that_are_none(void **state) {
    char longest[1001];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(lsq_savepoint(conn, "", 0, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_savepoint(conn, NULL, 0, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_savepoint(conn, NULL, 3, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_savepoint(conn, "a\0b", 3, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_savepoint(conn, "\xff", 1, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_savepoint(conn, longest, 1001, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_int_equal(lsq_savepoint(conn, longest, SIZE_MAX, NULL, &last_error), LSQ_BAD_ARGUMENT);
    assert_true(autocommit());
    assert_int_equal(lsq_savepoint(conn, longest, 1000, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsq_release(conn, longest, 1000, NULL, &last_error), LSQ_OK);
}

static void names_hold_a_length(void **state) {
    (void)state;
    assert_int_equal(lsq_savepoint(conn, "abcdef", 3, NULL, &last_error), LSQ_OK);
    run(conn, "RELEASE abc");
    assert_true(autocommit());
}

static void absent_savepoints(void **state) {
    (void)state;
    assert_int_equal(lsq_release(conn, "s", 1, NULL, &last_error), LSQ_ERROR);
    assert_int_equal(lsq_rollback_to(conn, "s", 1, NULL, &last_error), LSQ_ERROR);
    begin(LSQ_TXN_DEFERRED);
    assert_int_equal(lsq_release(conn, "s", 1, NULL, &last_error), LSQ_ERROR);
    assert_non_null(strstr(last_error.message, "no such savepoint"));
    assert_false(autocommit());
    assert_int_equal(rollback(), LSQ_OK);
}

static void nested_savepoints(void **state) {
    (void)state;
    assert_int_equal(lsq_savepoint(conn, "a", 1, NULL, NULL), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (1, NULL)");
    assert_int_equal(lsq_savepoint(conn, "b", 1, NULL, NULL), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (2, NULL)");
    assert_int_equal(lsq_savepoint(conn, "c", 1, NULL, NULL), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (3, NULL)");
    assert_int_equal(lsq_rollback_to(conn, "b", 1, NULL, NULL), LSQ_OK); /* c goes with it */
    assert_int_equal(lsq_release(conn, "c", 1, NULL, NULL), LSQ_ERROR);
    assert_string_equal(ask_rows(conn, "SELECT id FROM t"), "1");
    run(conn, "INSERT INTO t VALUES (4, NULL)");
    assert_int_equal(lsq_release(conn, "b", 1, NULL, NULL), LSQ_OK);
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 0);
    assert_int_equal(lsq_release(conn, "a", 1, NULL, NULL), LSQ_OK); /* the outermost commits */
    assert_true(autocommit());
    assert_string_equal(ask_rows(other, "SELECT id FROM t"), "1;4");
}

static void equal_names_nest(void **state) {
    (void)state;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(lsq_savepoint(conn, "s", 1, NULL, NULL), LSQ_OK);
        exec(conn, "INSERT INTO t (id) VALUES (?)", LSQ_PARAMS(lsq_int(i)), NULL, NULL);
    }
    assert_int_equal(lsq_rollback_to(conn, "s", 1, NULL, NULL), LSQ_OK);
    assert_int_equal(lsq_release(conn, "s", 1, NULL, NULL), LSQ_OK);
    assert_string_equal(ask_rows(conn, "SELECT id FROM t"), "1;2");
    assert_int_equal(lsq_rollback_to(conn, "s", 1, NULL, NULL), LSQ_OK);
    assert_string_equal(ask_rows(conn, "SELECT id FROM t"), "1");
    assert_int_equal(rollback(), LSQ_OK);
    assert_int_equal(rows(), 0);
}

static void savepoints_inside_a_transaction_do_not_commit(void **state) {
    (void)state;
    begin(LSQ_TXN_IMMEDIATE);
    assert_int_equal(lsq_savepoint(conn, "s", 1, NULL, NULL), LSQ_OK);
    run(conn, "INSERT INTO t VALUES (1, NULL)");
    assert_int_equal(lsq_release(conn, "s", 1, NULL, NULL), LSQ_OK);
    assert_false(autocommit());
    assert_int_equal(rollback(), LSQ_OK);
    assert_int_equal(rows(), 0);
}

/* ---- After a failure ---- */

static void failed_statement_leaves_the_transaction(void **state) {
    (void)state;
    begin(LSQ_TXN_DEFERRED);
    run(conn, "INSERT INTO t VALUES (1, 'x')");
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO t VALUES (2, 'y'), (3, 'x')");
    assert_false(autocommit());
    assert_string_equal(ask_rows(conn, "SELECT id FROM t"), "1"); /* nothing of the failed one */
    expect(LSQ_CONSTRAINT, conn, "INSERT OR FAIL INTO t VALUES (2, 'y'), (3, 'x')");
    assert_string_equal(ask_rows(conn, "SELECT id FROM t ORDER BY id"), "1;2"); /* as was asked */
    expect(LSQ_SQL, conn, "garbage");
    assert_int_equal(commit(), LSQ_OK);
    assert_int_equal(rows(), 2);
}

static void statement_that_rolls_back(void **state) {
    (void)state;
    run(conn, "INSERT INTO t VALUES (1, 'x')");
    begin(LSQ_TXN_DEFERRED);
    run(conn, "INSERT INTO t VALUES (2, 'y')");
    expect(LSQ_CONSTRAINT, conn, "INSERT OR ROLLBACK INTO t VALUES (3, 'x')");
    assert_true(autocommit());
    assert_int_equal(commit(), LSQ_NO_TRANSACTION);
    assert_int_equal(rows(), 1);
}

static void interrupted_write_rolls_all_back(void **state) {
    struct later later = {.fn = interrupt_conn, .arg = conn, .ms = 100};

    (void)state;
    begin(LSQ_TXN_IMMEDIATE);
    run(conn, "INSERT INTO t VALUES (1, 'x')");
    later_begin(&later);
    expect(LSQ_INTERRUPTED, conn,
           "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n) "
           "INSERT INTO t (id) SELECT i FROM n");
    later_join(&later);
    assert_true(autocommit());
    assert_int_equal(commit(), LSQ_NO_TRANSACTION);
    assert_int_equal(rows(), 0);
    assert_int_equal(other_writes(), LSQ_OK); /* no lock was left */
}

static void interrupted_read_leaves_the_transaction(void **state) {
    struct later later = {.fn = interrupt_conn, .arg = conn, .ms = 100};

    (void)state;
    begin(LSQ_TXN_IMMEDIATE);
    run(conn, "INSERT INTO t VALUES (1, 'x')");
    later_begin(&later);
    expect(LSQ_INTERRUPTED, conn, LONG_QUERY);
    later_join(&later);
    assert_false(autocommit());
    assert_int_equal(commit(), LSQ_OK);
    assert_int_equal(rows(), 1);
}

static void knows_whether_it_wrote(void **state) {
    static const char *const writes[] = {
        "INSERT INTO t (a) VALUES (1)", "UPDATE t SET a = 2 WHERE a = 99", "CREATE TABLE u (a)",
        "PRAGMA user_version = 3",      "DROP TABLE IF EXISTS u",
    };

    (void)state;
    assert_false(wrote());
    for (size_t i = 0; i < COUNT(writes); i++) {
        begin(LSQ_TXN_IMMEDIATE);
        run(conn, "SELECT count(*) FROM t");
        run(conn, "PRAGMA user_version");
        assert_false(wrote());
        run(conn, writes[i]);
        run(conn, "SELECT count(*) FROM t");
        assert_true(wrote());
        assert_int_equal(commit(), LSQ_OK);
        assert_false(wrote());
        run(conn, "INSERT INTO t (a) VALUES (NULL)"); /* not in a transaction */
    }
    run(conn, "BEGIN");
    assert_false(wrote());
    expect(LSQ_CONSTRAINT, conn, "INSERT INTO t VALUES (1, 1), (1, 2)");
    assert_true(wrote());
    run(conn, "ROLLBACK");
}

static void what_reads_only_names_the_other_kind(void **state) {
    static const char *const writes[] = {"INSERT INTO t (a) VALUES (1)", "CREATE TABLE u (a)",
                                         "PRAGMA user_version = 3", "PRAGMA optimize"};

    (void)state;
    begin(LSQ_TXN_READ);
    for (size_t i = 0; i < COUNT(writes); i++) {
        expect(LSQ_READONLY, conn, writes[i]);
        assert_non_null(strstr(last_error.message, "begin an immediate one"));
    }
    assert_int_equal(rollback(), LSQ_OK);
}

/* ---- Patient ones: they have read, and wait for their turn all the same ---- */

static enum lsq_status write_now(void) {
    return exec(conn, "INSERT INTO t (a) VALUES (NULL)", NULL, &nowait, NULL);
}

static void begin_and_read(enum lsq_txn kind) {
    begin(kind);
    assert_int_equal(rows(), 0);
}

static void patient_one_goes_on_after_a_rollback(void **state) {
    (void)state;
    run(other, "BEGIN IMMEDIATE");
    begin_and_read(LSQ_TXN_DEFERRED);
    assert_int_equal(write_now(), LSQ_BUSY_SNAPSHOT);
    assert_int_equal(rollback(), LSQ_OK);

    begin_and_read(LSQ_TXN_PATIENT);
    assert_int_equal(write_now(), LSQ_BUSY); /* not its turn: to be waited for */
    assert_true(last_error.transient);
    assert_int_equal(last_error.engine_code, 0);
    run(other, "ROLLBACK");
    assert_int_equal(write_now(), LSQ_OK);
    assert_int_equal(commit(), LSQ_OK);
    assert_int_equal(rows(), 1);
}

static void roll_back_other(void *arg) { (void)lsq_rollback(arg, NULL, NULL); }

static void patient_one_waits_on_its_thread(void **state) {
    struct later later = {.fn = roll_back_other, .arg = other, .ms = 100};

    (void)state;
    run(other, "BEGIN IMMEDIATE");
    begin_and_read(LSQ_TXN_PATIENT);
    later_begin(&later);
    run(conn, "INSERT INTO t (a) VALUES (NULL)");
    later_join(&later);
    assert_int_equal(commit(), LSQ_OK);
}

static void patient_one_fails_after_a_commit(void **state) {
    (void)state;
    run(other, "BEGIN IMMEDIATE");
    run(other, "INSERT INTO t (a) VALUES (1)");
    begin_and_read(LSQ_TXN_PATIENT);
    assert_int_equal(write_now(), LSQ_BUSY);
    run(other, "COMMIT");
    assert_int_equal(write_now(), LSQ_BUSY_SNAPSHOT);
    assert_false(last_error.transient);
    /* It has not kept the turn, and reads what it had. */
    assert_int_equal(other_writes(), LSQ_OK);
    assert_int_equal(rows(), 0);
    assert_int_equal(rollback(), LSQ_OK);
    assert_int_equal(write_now(), LSQ_OK);
}

static void no_patience_after_the_end(void **state) {
    static const char *const ends[] = {"COMMIT", "ROLLBACK",
                                       "INSERT OR ROLLBACK INTO u VALUES (1), (1)"};

    (void)state;
    run(conn, "CREATE TABLE u (a UNIQUE)");
    for (size_t i = 0; i < COUNT(ends); i++) {
        begin_and_read(LSQ_TXN_PATIENT);
        (void)exec(conn, ends[i], NULL, NULL, NULL);
        assert_true(autocommit());
        run(conn, "BEGIN");
        assert_int_equal(rows(), 0);
        run(other, "BEGIN IMMEDIATE");
        assert_int_equal(write_now(), LSQ_BUSY_SNAPSHOT);
        run(other, "ROLLBACK");
        assert_int_equal(rollback(), LSQ_OK);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_two, close_two)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(kinds_lock_what_they_say),
        TEST(exclusive_locks_readers_out_without_wal),
        TEST(wrong_order),
        TEST(commit_keeps_and_rollback_does_not),
        TEST(begin_that_meets_a_lock),
        TEST(read_only_until_it_ends),
        TEST(read_only_ended_by_a_failure),
        TEST(read_only_ended_by_a_cursor),
        TEST(read_only_in_batches_and_savepoints),
        TEST(read_only_with_virtual_tables),
        TEST(busy_commit_keeps_the_transaction),
        TEST(commit_that_breaks_a_foreign_key),
        TEST(names_are_only_names),
        TEST(names_that_are_none),
        TEST(names_hold_a_length),
        TEST(absent_savepoints),
        TEST(nested_savepoints),
        TEST(equal_names_nest),
        TEST(savepoints_inside_a_transaction_do_not_commit),
        TEST(failed_statement_leaves_the_transaction),
        TEST(statement_that_rolls_back),
        TEST(interrupted_write_rolls_all_back),
        TEST(interrupted_read_leaves_the_transaction),
        TEST(knows_whether_it_wrote),
        TEST(what_reads_only_names_the_other_kind),
        TEST(patient_one_goes_on_after_a_rollback),
        TEST(patient_one_waits_on_its_thread),
        TEST(patient_one_fails_after_a_commit),
        TEST(no_patience_after_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
