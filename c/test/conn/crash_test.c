/* A process that is killed at any moment: what it was told is committed is there, nothing else is.
 * The child runs the library, in a program of its own. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/db.h"

enum { ROUNDS = 100, KILL_WITHIN_US = 30000, KILL_AT_LAST_US = 400000 };

static const struct lsq_setting modes[2] = {{"journal_mode", "wal"}, {"journal_mode", "delete"}};

static struct lsq_config config_of(const char *path, bool wal) {
    struct lsq_config cfg = db_config(path);

    cfg.settings = wal ? &modes[0] : &modes[1];
    cfg.setting_count = 1;
    return cfg;
}

/* ---- The child: writes transactions of three rows each, numbered, and says each that it committed.
 * Every third transaction is written far enough to spill to the file, and rolled back. ---- */

static bool insert(struct lsq_conn *conn, int64_t txn, const char *kind) {
    static const char sql[] = "INSERT INTO t (txn, kind, filler) VALUES (?1, ?2, randomblob(700))";

    for (int i = 0; i < 3; i++) {
        if (lsq_exec(conn, sql, sizeof(sql) - 1,
                     LSQ_PARAMS(lsq_int(txn), lsq_text(kind, strlen(kind))), NULL, NULL, NULL, NULL,
                     &last_error) != LSQ_OK)
            return false;
    }
    return true;
}

static bool write_one(struct lsq_conn *conn, int64_t txn) {
    if (lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &last_error) != LSQ_OK) return false;
    if (txn % 3 == 0) {
        if (!insert(conn, txn, "open") || lsq_conn_cacheflush(conn, &last_error) != LSQ_OK)
            return false;
        return lsq_rollback(conn, NULL, &last_error) == LSQ_OK;
    }
    if (!insert(conn, txn, "kept")) return false;
    if (txn % 5 == 0 && lsq_conn_cacheflush(conn, &last_error) != LSQ_OK) return false;
    if (lsq_commit(conn, NULL, &last_error) != LSQ_OK) return false;
    return write(1, &txn, sizeof(txn)) == sizeof(txn);
}

static int write_until_killed(const char *path, bool wal) {
    struct lsq_config cfg = config_of(path, wal);
    struct lsq_conn *conn = NULL;
    int64_t txn;

    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) return 10 + (int)last_error.status;
    txn = ask(conn, "SELECT coalesce(max(txn), 0) FROM t");
    if (write(1, "r", 1) != 1) return 2;
    while (write_one(conn, ++txn)) continue;
    return 3;
}

static int write_wal(const char *path) { return write_until_killed(path, true); }
static int write_journal(const char *path) { return write_until_killed(path, false); }

/* ---- The parent ---- */

static int kill_within;

/* Kills the child after a while and answers the last transaction that it said was committed. */
static int64_t run_and_kill(const char *role, const char *path, uint64_t *seed, int64_t last) {
    struct child child = child_begin(role, path);
    int64_t before = last;
    int64_t said;
    int status = -1;

    child_ready(&child);
    usleep((useconds_t)(random_next(seed) % (uint64_t)kill_within));
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    if (!WIFSIGNALED(status)) fail_msg("the child ended by itself, with %d", WEXITSTATUS(status));
    while (read(child.from, &said, sizeof(said)) == sizeof(said)) last = said;
    close(child.from);
    close(child.to);
    /* On a slow disk a transaction takes longer: then it gets more time. */
    if (last == before && kill_within < KILL_AT_LAST_US)
        kill_within += kill_within / 4;
    else if (last != before && kill_within > KILL_WITHIN_US)
        kill_within -= kill_within / 16;
    return last;
}

/* Answers the last transaction that is stored. */
static int64_t check_content(struct lsq_conn *conn, int round, int64_t said) {
    int64_t stored = ask(conn, "SELECT coalesce(max(txn), 0) FROM t WHERE kind = 'kept'");

    /* It may have been killed between the commit and saying so. */
    if (stored < said || stored > said + 2)
        fail_msg("round %d: %d is stored, %d was committed", round, (int)stored, (int)said);
    if (ask(conn, "SELECT count(*) FROM t WHERE kind = 'open'") != 0)
        fail_msg("round %d: rows of a transaction that was never committed", round);
    if (ask(conn, "SELECT count(*) FROM (SELECT txn FROM t GROUP BY txn HAVING count(*) <> 3)") !=
        0)
        fail_msg("round %d: part of a transaction", round);
    if (ask(conn, "SELECT count(DISTINCT txn) FROM t") != stored - stored / 3)
        fail_msg("round %d: a transaction is missing", round);
    assert_string_equal(ask_text(conn, "PRAGMA integrity_check"), "ok");
    return stored;
}

static int hot_journals;

static void note_hot_journal(const char *path) {
    char journal[300];

    snprintf(journal, sizeof(journal), "%s-journal", path);
    if (access(journal, F_OK) == 0) hot_journals++;
}

static void kill_again_and_again(const char *role, bool wal) {
    uint64_t seed = test_seed();
    struct lsq_config cfg;
    struct lsq_conn *conn;
    char path[256] = "";
    int64_t said = 0;

    kill_within = KILL_WITHIN_US;
    snprintf(path, sizeof(path), "%s", db_path());
    cfg = config_of(path, wal);
    conn = db_open_as(&cfg);
    run(conn, "CREATE TABLE t (id INTEGER PRIMARY KEY, txn, kind, filler)");
    run(conn, "CREATE INDEX t_txn ON t (txn)");
    db_close(conn);
    for (int round = 0; round < ROUNDS; round++) {
        said = run_and_kill(role, path, &seed, said);
        note_hot_journal(path);
        conn = db_open_as(&cfg);
        said = check_content(conn, round, said);
        assert_null(lsq_conn_notice(conn, 0));
        run(conn, "UPDATE t SET filler = x'00' WHERE id = 1"); /* it can be written, too */
        db_close(conn);
    }
    assert_true(said > ROUNDS / 5); /* else nothing was tested */
    print_message("%d transactions, %d hot journals\n", (int)said, hot_journals);
}

static void killed_in_wal_mode(void **state) {
    (void)state;
    kill_again_and_again("wal", true);
}

static void killed_with_a_journal(void **state) {
    (void)state;
    hot_journals = 0;
    kill_again_and_again("journal", false);
    assert_true(hot_journals > 0);
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"wal", write_wal}, {"journal", write_journal}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(killed_in_wal_mode, db_forget),
        cmocka_unit_test_teardown(killed_with_a_journal, db_forget),
    };

    child_main(argc, argv, roles, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
