/* stmt.h - a prepared statement of a server's connection: its text, and what the server says of it. */
#ifndef LSQI_REMOTE_STMT_H
#define LSQI_REMOTE_STMT_H

#include "base/sql.h"
#include "remote/state.h"

struct lsqi_remote_stmt {
    struct lsqi_remote *remote;
    const void *handle; /* of lsqi_remote_stmt_new() */
    char *sql;
    size_t len;
    struct lsqi_sql_facts facts;
    /* the server's description; texts are allocated, NULL where there is none */
    char **params;
    size_t param_count;
    char **columns;
    char **types;
    size_t column_count;
    bool readonly;
    struct lsqi_cursor *cursor; /* started; NULL: none */
};

/* Keeps a copy. False: no memory. */
bool lsqi_stmt_described(struct lsqi_remote_stmt *stmt,
                         const struct lsqi_hrana_description *description);

/* ---- exec.c, text.c ---- */

/* Asks the server what the statement is, and puts it to *out; frees it where that fails. */
enum lsq_status lsqi_call_describe(struct lsqi_remote_stmt *stmt, struct lsqi_remote_stmt **out,
                                   const struct lsq_call *call, struct lsq_error *err);
/* Runs it: lsqi_remote_exec() without another look at the text; as the call of a handle, or (NULL) of none. */
enum lsq_status lsqi_call_exec(struct lsqi_remote *remote, const void *whose, const char *sql,
                               size_t len, const struct lsqi_sql_facts *facts,
                               const struct lsq_params *params, const struct lsq_call *call,
                               const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                               struct lsq_error *err);

/* One statement, and nothing but white space behind it. Facts are to be released where it is LSQ_OK. */
enum lsq_status lsqi_call_look(const char *sql, size_t len, struct lsqi_sql_facts *facts,
                               struct lsq_error *err);

/* Values in the order of the statement's parameters: names are ours to match, as the engine's own are. */
struct lsqi_bound {
    const char *
        sql; /* with numbers for names: servers take values by position, or by name, but not both */
    size_t len;
    struct lsq_params params;
    struct lsqi_buf text;     /* of sql, where that is not the caller's */
    struct lsq_value *values; /* of params; NULL: the caller's */
};
enum lsq_status lsqi_call_bind(const char *sql, size_t len, const struct lsqi_sql_facts *facts,
                               const struct lsq_params *params, struct lsqi_bound *bound,
                               struct lsq_error *err);
void lsqi_bound_release(struct lsqi_bound *bound);
enum lsq_status lsqi_call_refuse_write(struct lsq_error *err);

/* ---- cursor.c ---- */

enum lsq_status lsqi_cursor_new(struct lsqi_cursor **out, struct lsqi_remote_stmt *stmt,
                                const struct lsq_params *params, struct lsq_error *err);
/* In the gate, which is left at the call's end. */
enum lsq_status lsqi_cursor_fetch(struct lsqi_cursor *cursor, size_t max_rows,
                                  const struct lsq_call *call, const struct lsq_sink *sink,
                                  void *ctx, bool *end, struct lsq_error *err);
/* Ends it, wherever it is. In the gate. NULL is fine. */
void lsqi_cursor_free(struct lsqi_cursor *cursor);

#endif
