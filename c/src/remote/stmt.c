#include "remote/stmt.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

/* ---- What the server says of it ---- */

static void free_list(char **list, size_t count) {
    for (size_t i = 0; list != NULL && i < count; i++) lsqi_free(list[i]);
    lsqi_free(list);
}

static char **copy_list(const char *const *list, size_t count) {
    char **copies = lsqi_calloc(count + 1, sizeof(*copies));

    for (size_t i = 0; copies != NULL && i < count; i++) {
        if (list[i] == NULL) continue;
        copies[i] = lsqi_strndup(list[i], strlen(list[i]));
        if (copies[i] == NULL) {
            free_list(copies, count);
            return NULL;
        }
    }
    return copies;
}

bool lsqi_stmt_described(struct lsqi_remote_stmt *stmt,
                         const struct lsqi_hrana_description *description) {
    stmt->params = copy_list(description->params, description->param_count);
    stmt->columns = copy_list(description->columns, description->column_count);
    stmt->types = copy_list(description->types, description->column_count);
    stmt->param_count = description->param_count;
    stmt->column_count = description->column_count;
    stmt->readonly = description->is_readonly && stmt->facts.reads;
    return stmt->params != NULL && stmt->columns != NULL && stmt->types != NULL;
}

/* ---- Life ---- */

void lsqi_remote_stmt_free(struct lsqi_remote_stmt *stmt) {
    if (stmt == NULL) return;
    lsqi_cursor_free(stmt->cursor);
    lsqi_sql_facts_release(&stmt->facts);
    free_list(stmt->params, stmt->param_count);
    free_list(stmt->columns, stmt->column_count);
    free_list(stmt->types, stmt->column_count);
    lsqi_free(stmt->sql);
    lsqi_free(stmt);
}

enum lsq_status lsqi_remote_stmt_bare(struct lsqi_remote_stmt **out, struct lsqi_remote *remote,
                                      const void *handle, const char *sql, size_t len,
                                      struct lsq_error *err) {
    struct lsqi_sql_facts facts;
    enum lsq_status st = lsqi_call_look(sql, len, &facts, err);
    struct lsqi_remote_stmt *stmt;

    if (st != LSQ_OK) return st;
    if (facts.command == LSQ_COMMAND_EMPTY) {
        lsqi_sql_facts_release(&facts);
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no statement in the text");
    }
    stmt = lsqi_calloc(1, sizeof(*stmt));
    if (stmt != NULL) stmt->sql = lsqi_strndup(sql, len);
    if (stmt == NULL || stmt->sql == NULL) {
        lsqi_sql_facts_release(&facts);
        lsqi_free(stmt);
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a statement");
    }
    stmt->remote = remote;
    stmt->handle = handle;
    stmt->len = len;
    stmt->facts = facts;
    *out = stmt;
    return LSQ_OK;
}

enum lsq_status lsqi_remote_stmt_new(struct lsqi_remote_stmt **out, struct lsqi_remote *remote,
                                     const void *handle, const char *sql, size_t len,
                                     const struct lsq_call *call, struct lsq_error *err) {
    struct lsqi_remote_stmt *stmt;
    enum lsq_status st = lsqi_remote_stmt_bare(&stmt, remote, handle, sql, len, err);

    return st == LSQ_OK ? lsqi_call_describe(stmt, out, call, err) : st;
}

/* ---- Use ---- */

enum lsq_status lsqi_remote_stmt_exec(struct lsqi_remote_stmt *stmt,
                                      const struct lsq_params *params, const struct lsq_call *call,
                                      const struct lsq_sink *sink, void *ctx,
                                      struct lsq_reply *reply, struct lsq_error *err) {
    return lsqi_call_exec(stmt->remote, stmt->handle, stmt->sql, stmt->len, &stmt->facts, params,
                          call, sink, ctx, reply, err);
}

enum lsq_status lsqi_remote_stmt_start(struct lsqi_remote_stmt *stmt,
                                       const struct lsq_params *params, struct lsq_error *err) {
    lsqi_remote_stmt_reset(stmt);
    return lsqi_cursor_new(&stmt->cursor, stmt, params, err);
}

enum lsq_status lsqi_remote_stmt_fetch(struct lsqi_remote_stmt *stmt, size_t max_rows,
                                       const struct lsq_call *call, const struct lsq_sink *sink,
                                       void *ctx, bool *end, struct lsq_error *err) {
    enum lsq_status st = lsqi_pending_enter(stmt->remote, stmt->handle, call, err);

    if (st != LSQ_OK) return st;
    if (stmt->cursor != NULL)
        return lsqi_cursor_fetch(stmt->cursor, max_rows, call, sink, ctx, end, err);
    lsqi_gate_end(stmt->remote->gate);
    return lsqi_error_set(err, LSQ_MISUSE, "the cursor was not started, or has ended");
}

void lsqi_remote_stmt_reset(struct lsqi_remote_stmt *stmt) {
    lsqi_cursor_free(stmt->cursor);
    stmt->cursor = NULL;
}

bool lsqi_remote_stmt_started(const struct lsqi_remote_stmt *stmt) { return stmt->cursor != NULL; }

size_t lsqi_remote_stmt_columns(const struct lsqi_remote_stmt *stmt) { return stmt->column_count; }

void lsqi_remote_stmt_column(const struct lsqi_remote_stmt *stmt, size_t i,
                             struct lsq_column *column) {
    *column = (struct lsq_column){.name = stmt->columns[i], .declared_type = stmt->types[i]};
}

size_t lsqi_remote_stmt_params(const struct lsqi_remote_stmt *stmt) { return stmt->param_count; }

const char *lsqi_remote_stmt_param(const struct lsqi_remote_stmt *stmt, size_t i) {
    return stmt->params[i];
}

bool lsqi_remote_stmt_readonly(const struct lsqi_remote_stmt *stmt) { return stmt->readonly; }
