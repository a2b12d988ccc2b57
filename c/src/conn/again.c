/* Of a replica: calls that are made once more, when the file has what they are to see. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "conn/conn.h"

/* ---- Copies of what a call borrows ---- */

static enum lsq_status no_memory(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a call that waits");
}

static enum lsq_status copy_sql(struct lsqi_again *copy, const char *sql, struct lsq_error *err) {
    if (sql == NULL) return LSQ_OK;
    copy->sql = lsqi_strndup(sql, copy->len);
    return copy->sql == NULL ? no_memory(err) : LSQ_OK;
}

static enum lsq_status copy_params(struct lsqi_again *copy, const struct lsq_params *params,
                                   struct lsq_error *err) {
    struct lsq_params *own;

    if (params == NULL) return LSQ_OK;
    copy->params = own = lsqi_calloc(1, sizeof(*own));
    return own != NULL && lsqi_params_copy(own, params) ? LSQ_OK : no_memory(err);
}

static enum lsq_status copy_items(struct lsqi_again *copy, const struct lsq_batch_item *items,
                                  struct lsq_error *err) {
    struct lsq_batch_item *own;

    if (items == NULL) return LSQ_OK;
    copy->items = own = lsqi_calloc(copy->count, sizeof(*own));
    if (own == NULL) return no_memory(err);
    for (size_t i = 0; i < copy->count; i++) {
        own[i].len = items[i].len;
        if (items[i].sql != NULL) own[i].sql = lsqi_strndup(items[i].sql, items[i].len);
        if ((items[i].sql != NULL && own[i].sql == NULL) ||
            !lsqi_params_copy(&own[i].params, &items[i].params))
            return no_memory(err);
    }
    return LSQ_OK;
}

/* Rows of parameters, one after the other. */
struct lsqi_rows {
    struct lsq_params *of;
    size_t count;
    size_t next;
    size_t room;
};

static bool add_row(struct lsqi_rows *rows, const struct lsq_params *row) {
    if (rows->count == rows->room) {
        size_t room = rows->room == 0 ? 8 : rows->room * 2;
        struct lsq_params *more = lsqi_calloc(room, sizeof(*more));

        if (more == NULL) return false;
        if (rows->count > 0) memcpy(more, rows->of, rows->count * sizeof(*more));
        lsqi_free(rows->of);
        rows->of = more;
        rows->room = room;
    }
    return lsqi_params_copy(&rows->of[rows->count++], row);
}

static int next_of_copy(void *ctx, struct lsq_params *row, char *why) {
    struct lsqi_rows *rows = ctx;

    (void)why;
    if (rows->next == rows->count) return 0;
    *row = rows->of[rows->next++];
    return 1;
}

/* All that the caller gives, since it will not be there to give it. */
static enum lsq_status copy_rows(struct lsqi_again *copy, const struct lsqi_again *again,
                                 struct lsq_error *err) {
    struct lsq_params row;
    char why[256] = "the row of parameters is not valid";
    int more;

    if (again->next == NULL) return LSQ_OK;
    copy->rows = lsqi_calloc(1, sizeof(*copy->rows));
    if (copy->rows == NULL) return no_memory(err);
    copy->next = next_of_copy;
    copy->next_ctx = copy->rows;
    while ((more = again->next(again->next_ctx, &row, why)) > 0)
        if (!add_row(copy->rows, &row)) return no_memory(err);
    if (more == 0) return LSQ_OK;
    lsqi_error_set(err, LSQ_PARAMETERS, "%s", why);
    if (err != NULL) err->statement = (int)copy->rows->count + 1;
    return LSQ_PARAMETERS;
}

enum lsq_status lsqi_again_copy(struct lsqi_again *copy, const struct lsqi_again *again,
                                struct lsq_error *err) {
    enum lsq_status st;

    *copy = *again;
    copy->call = NULL;
    copy->sql = NULL;
    copy->params = NULL;
    copy->items = NULL;
    copy->next = NULL;
    copy->rows = NULL;
    st = copy_sql(copy, again->sql, err);
    if (st == LSQ_OK) st = copy_params(copy, again->params, err);
    if (st == LSQ_OK) st = copy_items(copy, again->items, err);
    return st == LSQ_OK ? copy_rows(copy, again, err) : st;
}

static void release_params(const struct lsq_params *params) {
    if (params != NULL) lsqi_params_release((struct lsq_params *)params);
    lsqi_free((void *)params);
}

static void release_items(const struct lsq_batch_item *items, size_t count) {
    for (size_t i = 0; items != NULL && i < count; i++) {
        struct lsq_params params = items[i].params;

        lsqi_params_release(&params);
        lsqi_free((void *)items[i].sql);
    }
    lsqi_free((void *)items);
}

static void release_rows(struct lsqi_rows *rows) {
    if (rows == NULL) return;
    for (size_t i = 0; i < rows->count; i++) lsqi_params_release(&rows->of[i]);
    lsqi_free(rows->of);
    lsqi_free(rows);
}

void lsqi_again_release(struct lsqi_again *copy) {
    lsqi_free((void *)copy->sql);
    release_params(copy->params);
    release_items(copy->items, copy->count);
    release_rows(copy->rows);
}

/* ---- The call ---- */

enum lsq_status lsqi_again_run(struct lsq_conn *conn, const struct lsqi_again *again,
                               const struct lsq_call *call, struct lsq_error *err) {
    switch (again->what) {
    case LSQI_AGAIN_EXEC:
        return lsq_exec(conn, again->sql, again->len, again->params, call, again->sink, again->ctx,
                        again->reply, err);
    case LSQI_AGAIN_MANY:
        return lsq_exec_many(conn, again->sql, again->len, again->next, again->next_ctx, call,
                             again->sink, again->ctx, again->reply, err);
    case LSQI_AGAIN_BATCH:
        return lsq_batch(conn, again->items, again->count, call, again->sink, again->ctx,
                         again->done, err);
    case LSQI_AGAIN_TEXT:
        return lsq_batch_sql(conn, again->sql, again->len, call, again->sink, again->ctx,
                             again->done, err);
    case LSQI_AGAIN_STMT:
        return lsq_stmt_exec(again->stmt, again->params, call, again->sink, again->ctx,
                             again->reply, err);
    case LSQI_AGAIN_FETCH:
        return lsq_stmt_fetch(again->stmt, again->max_rows, call, again->sink, again->ctx,
                              again->end, err);
    default: return lsq_begin(conn, again->txn, call, err);
    }
}
