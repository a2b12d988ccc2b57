/* db.h - short words for tests of connections. A failing check ends the test. */
#ifndef LSQ_TEST_SUPPORT_DB_H
#define LSQ_TEST_SUPPORT_DB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lsq/lsq.h"

/* What the last expect_* call was answered. */
extern struct lsq_error last_error;

/* A file name in a new folder of its own, removed by db_forget(). */
const char *db_path(void);
/* Removes the folders of all db_path() calls; for a test's teardown, with its signature. */
int db_forget(void **state);

/* Opens path (NULL: a new file) with the defaults. */
struct lsq_conn *db_open(const char *path);
/* Closes and waits until the engine has. */
void db_close(struct lsq_conn *conn);

/* Runs sql; it must answer status. */
void expect(enum lsq_status status, struct lsq_conn *conn, const char *sql);
#define run(conn, sql) expect(LSQ_OK, conn, sql)
/* The first value of the first row. */
int64_t ask(struct lsq_conn *conn, const char *sql);
/* The same as text, in memory of the support code that the next call overwrites. */
const char *ask_text(struct lsq_conn *conn, const char *sql);
/* The column names of a result, "a,b,c". */
const char *ask_columns(struct lsq_conn *conn, const char *sql);

/* lsq_exec() with a NUL-terminated text. */
enum lsq_status exec(struct lsq_conn *conn, const char *sql, const struct lsq_params *params,
                     const struct lsq_call *call, struct lsq_reply *reply);

/* ns, monotonic */
int64_t now_ns(void);
void sleep_ms(int ms);

/* Runs fn(arg) in a child process; waits for it where wait is true and expects that it ends well. */
int child_start(void (*fn)(void *arg), void *arg);
void child_wait(int pid);

#define LONG_QUERY                                                                                 \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

#endif
