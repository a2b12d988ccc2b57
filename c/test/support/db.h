/* db.h - short words for tests of connections. A failing check ends the test. */
#ifndef LSQ_TEST_SUPPORT_DB_H
#define LSQ_TEST_SUPPORT_DB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chance.h"
#include "lsq/lsq.h"

/* What the last expect_* call was answered. */
extern struct lsq_error last_error;

/* A file name in a new folder of its own, removed by db_forget(). */
const char *db_path(void);
/* Removes the folders of all db_path() calls; for a test's teardown, with its signature. */
int db_forget(void **state);

/* Opens path (NULL: a new file) with the defaults. */
struct lsq_conn *db_open(const char *path);
/* The defaults for path. */
struct lsq_config db_config(const char *path);
/* Opens; must succeed. */
struct lsq_conn *db_open_as(const struct lsq_config *cfg);
/* Opens, and closes again where that succeeded; last_error has the failure. */
enum lsq_status db_try(const struct lsq_config *cfg);
/* The connection's file, in memory of the support code that the eighth next call overwrites. */
const char *db_file(struct lsq_conn *conn);
/* Closes and waits until the engine has. */
void db_close(struct lsq_conn *conn);

/* Runs sql; it must answer status. */
void expect(enum lsq_status status, struct lsq_conn *conn, const char *sql);
#define run(conn, sql) expect(LSQ_OK, conn, sql)
/* The first value of the first row. */
int64_t ask(struct lsq_conn *conn, const char *sql);
/* The same as text, in memory of the support code that the next call overwrites. */
const char *ask_text(struct lsq_conn *conn, const char *sql);
/* All rows: "1,a;2,b", a NULL as "null", a blob as its bytes, in the same memory. */
const char *ask_rows(struct lsq_conn *conn, const char *sql);
/* The column names of a result, "a,b,c". */
const char *ask_columns(struct lsq_conn *conn, const char *sql);

/* lsq_exec() with a NUL-terminated text. */
enum lsq_status exec(struct lsq_conn *conn, const char *sql, const struct lsq_params *params,
                     const struct lsq_call *call, struct lsq_reply *reply);

/* Runs sql until the fast path takes it, as often as a slow machine needs; false: it never does. */
bool becomes_fast(struct lsq_conn *conn, const char *sql);

/* ns, monotonic */
int64_t now_ns(void);
void sleep_ms(int ms);

/* Runs fn(arg) in a child process; waits for it where wait is true and expects that it ends well. */
int child_start(void (*fn)(void *arg), void *arg);
void child_wait(int pid);

/* A second process that is this program again, so that it can use the library: main() must begin
 * with child_main(), which runs the role's function there and does not return. */
struct child {
    int pid;
    int to;   /* what is written here it reads at standard input */
    int from; /* what it writes to standard output */
};
struct child_role {
    const char *name;
    int (*body)(const char *argument); /* answers the exit status */
};
void child_main(int argc, char **argv, const struct child_role *roles, size_t count);
struct child child_begin(const char *role, const char *argument);
/* Waits for one byte that it writes. */
void child_ready(const struct child *child);
/* Ends its standard input, waits for its end, answers its exit status (-1: a signal). */
int child_end(struct child *child);
/* Role: holds a lock from "PATH", after the statement, until its standard input ends. */
int child_hold(const char *path, const char *sql);

/* Calls fn(arg) on a new thread after ms; later_join() waits for it. */
struct later {
    void (*fn)(void *arg);
    void *arg;
    int ms;
    unsigned long thread;
};
void later_begin(struct later *later);
void later_join(struct later *later);
/* The connection's interrupt, as such a function. */
void interrupt_conn(void *conn);

#define LONG_QUERY                                                                                 \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

#endif
