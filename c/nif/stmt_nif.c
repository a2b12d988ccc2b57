#include <stdio.h>
#include <string.h>

#include "nif.h"

static ERL_NIF_TERM bad_argument(struct call *call, const char *message) {
    return make_failure(call->env, call->state, LSQ_BAD_ARGUMENT, message);
}

static ERL_NIF_TERM wrong_parameters(struct call *call, const char *why) {
    return make_failure(call->env, call->state, LSQ_PARAMETERS, why);
}

/* ---- One statement ---- */

ERL_NIF_TERM finish_rows(struct call *call, enum lsq_status st) {
    struct outcome *out = call->out;
    ERL_NIF_TERM answer;

    if (st != LSQ_OK) {
        answer = call_failed(call, &out->err);
    } else {
        call_note(call, out->reply.autocommit);
        answer = make_ok(call->env, call->state, rows_result(&out->rows, &out->reply));
    }
    rows_release(&out->rows);
    if (out->stmt != NULL) call_leave_stmt(call, out->stmt);
    return answer;
}

ERL_NIF_TERM op_execute(struct call *call) {
    const ERL_NIF_TERM *argv = call->argv;
    struct outcome *out = call->out;
    struct lsq_call options;
    struct params params;
    ErlNifBinary sql;
    ERL_NIF_TERM answer;
    char why[256];

    if (!enif_inspect_binary(call->env, argv[2], &sql))
        return bad_argument(call, "the SQL is not a text");
    if (!call_in_trx(call, argv[1], &answer)) return answer;
    if (!call_options(call, argv[4], argv[5], &options, &answer)) return answer;
    if (!params_decode(call->env, call->state, argv[3], &params, why)) {
        answer = wrong_parameters(call, why);
    } else {
        rows_init_for(&out->rows, call, &options);
        answer = call_end(call, lsq_exec(call->res->conn, (const char *)sql.data, sql.size,
                                         &params.params, &options, &rows_sink, &out->rows,
                                         &out->reply, &out->err));
    }
    params_release(&params);
    return answer;
}

/* The statement is held, and let go of by finish_rows(); true: that was called, or will be. */
static bool run_stmt(struct call *call, struct stmt_res *stmt, ERL_NIF_TERM *answer) {
    struct outcome *out = call->out;
    struct lsq_call options;
    struct params params;
    char why[256];
    bool decoded;

    if (!call_options(call, call->argv[4], call->argv[5], &options, answer)) return false;
    decoded = params_decode(call->env, call->state, call->argv[3], &params, why);
    if (!decoded) {
        *answer = wrong_parameters(call, why);
    } else {
        rows_init_for(&out->rows, call, &options);
        out->stmt = stmt;
        *answer = call_end(call, lsq_stmt_exec(stmt->stmt, &params.params, &options, &rows_sink,
                                               &out->rows, &out->reply, &out->err));
    }
    params_release(&params);
    return decoded;
}

ERL_NIF_TERM op_stmt_execute(struct call *call) {
    struct stmt_res *stmt;
    ERL_NIF_TERM answer;

    if (!call_in_trx(call, call->argv[1], &answer)) return answer;
    if (!call_enter_stmt(call, call->argv[2], &stmt, &answer)) return answer;
    if (!run_stmt(call, stmt, &answer)) call_leave_stmt(call, stmt);
    return answer;
}

/* ---- Many rows of parameters ---- */

struct many {
    struct call *call;
    ERL_NIF_TERM rest;
    struct params params; /* of the row that runs */
    bool decoded;
    int number;
};

static int next_params(void *ctx, struct lsq_params *row, char *why) {
    struct many *many = ctx;
    ERL_NIF_TERM head;
    char reason[256];

    if (many->decoded) params_release(&many->params);
    many->decoded = false;
    if (!enif_get_list_cell(many->call->env, many->rest, &head, &many->rest)) return 0;
    many->number++;
    many->decoded = true;
    if (!params_decode(many->call->env, many->call->state, head, &many->params, reason)) {
        memcpy(why, reason, sizeof(reason));
        return -1;
    }
    *row = many->params.params;
    return 1;
}

ERL_NIF_TERM op_execute_many(struct call *call) {
    const ERL_NIF_TERM *argv = call->argv;
    struct many many = {.call = call, .rest = argv[3]};
    struct outcome *out = call->out;
    struct lsq_call options;
    ErlNifBinary sql;
    unsigned count;
    ERL_NIF_TERM answer;
    enum lsq_status st;

    if (!enif_inspect_binary(call->env, argv[2], &sql))
        return bad_argument(call, "the SQL is not a text");
    if (!enif_get_list_length(call->env, argv[3], &count))
        return wrong_parameters(call, "the rows of parameters are not a list");
    if (!call_in_trx(call, argv[1], &answer)) return answer;
    if (!call_options(call, argv[4], argv[5], &options, &answer)) return answer;
    rows_init(&out->rows, call->env, call->state);
    st = lsq_exec_many(call->res->conn, (const char *)sql.data, sql.size, next_params, &many,
                       &options, &rows_sink, &out->rows, &out->reply, &out->err);
    if (many.decoded) params_release(&many.params);
    return call_end(call, st);
}

/* ---- Batches ---- */

ERL_NIF_TERM finish_batch(struct call *call, enum lsq_status st) {
    struct rows *rows = &call->out->rows;
    ERL_NIF_TERM answer;

    if (st != LSQ_OK) {
        answer = call_failed(call, &call->out->err);
    } else {
        ERL_NIF_TERM list = rows->results;

        (void)enif_make_reverse_list(call->env, rows->results, &list);
        call_look(call);
        answer = make_ok(call->env, call->state, list);
    }
    rows_release(rows);
    return answer;
}

struct batch {
    struct lsq_batch_item *items;
    struct params *params;
    size_t count; /* decoded */
};

static void batch_release(struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++) params_release(&batch->params[i]);
    enif_free(batch->items);
    enif_free(batch->params);
}

/* {sql, params}; a failure is that of statement number count + 1. */
static bool batch_add(struct call *call, ERL_NIF_TERM term, struct batch *batch,
                      struct lsq_error *err) {
    struct params *params = &batch->params[batch->count];
    const ERL_NIF_TERM *pair;
    ErlNifBinary sql;
    int arity;

    *err = (struct lsq_error){.sql_offset = -1, .statement = (int)batch->count + 1};
    if (!enif_get_tuple(call->env, term, &arity, &pair) || arity != 2 ||
        !enif_inspect_binary(call->env, pair[0], &sql)) {
        err->status = LSQ_BAD_ARGUMENT;
        snprintf(err->message, sizeof(err->message),
                 "a statement of a batch is a text with its parameters");
        return false;
    }
    if (!params_decode(call->env, call->state, pair[1], params, err->message)) {
        err->status = LSQ_PARAMETERS;
        params_release(params);
        return false;
    }
    batch->items[batch->count++] = (struct lsq_batch_item){
        .sql = (const char *)sql.data, .len = sql.size, .params = params->params};
    return true;
}

static ERL_NIF_TERM run_batch(struct call *call, struct batch *batch, ERL_NIF_TERM list,
                              const struct lsq_call *options) {
    struct outcome *out = call->out;
    struct lsq_error err;
    ERL_NIF_TERM head;

    while (enif_get_list_cell(call->env, list, &head, &list))
        if (!batch_add(call, head, batch, &err)) return make_error(call->env, call->state, &err);
    rows_init(&out->rows, call->env, call->state);
    return call_end(call, lsq_batch(call->res->conn, batch->items, batch->count, options,
                                    &rows_sink, &out->rows, NULL, &out->err));
}

ERL_NIF_TERM op_batch(struct call *call) {
    const ERL_NIF_TERM *argv = call->argv;
    struct batch batch = {0};
    struct lsq_call options;
    unsigned count;
    ERL_NIF_TERM answer;

    if (!enif_get_list_length(call->env, argv[2], &count))
        return bad_argument(call, "the statements of a batch are not a list");
    if (!call_in_trx(call, argv[1], &answer)) return answer;
    if (!call_options(call, argv[3], argv[4], &options, &answer)) return answer;
    batch.items = enif_alloc((count + 1) * sizeof(*batch.items));
    batch.params = enif_alloc((count + 1) * sizeof(*batch.params));
    if (batch.items == NULL || batch.params == NULL)
        answer = make_failure(call->env, call->state, LSQ_NOMEM, NULL);
    else
        answer = run_batch(call, &batch, argv[2], &options);
    batch_release(&batch);
    return answer;
}

ERL_NIF_TERM op_batch_sql(struct call *call) {
    const ERL_NIF_TERM *argv = call->argv;
    struct outcome *out = call->out;
    struct lsq_call options;
    ErlNifBinary sql;
    ERL_NIF_TERM answer;

    if (!enif_inspect_binary(call->env, argv[2], &sql))
        return bad_argument(call, "the SQL is not a text");
    if (!call_in_trx(call, argv[1], &answer)) return answer;
    if (!call_options(call, argv[3], argv[4], &options, &answer)) return answer;
    rows_init(&out->rows, call->env, call->state);
    return call_end(call, lsq_batch_sql(call->res->conn, (const char *)sql.data, sql.size, &options,
                                        &rows_sink, &out->rows, NULL, &out->err));
}

/* ---- Prepared statements ---- */

ERL_NIF_TERM op_prepare(struct call *call) {
    struct outcome *out = call->out;
    struct lsq_call options;
    ErlNifBinary sql;

    if (!enif_inspect_binary(call->env, call->argv[1], &sql))
        return bad_argument(call, "the SQL is not a text");
    out->stmt = enif_alloc_resource(call->state->stmt_type, sizeof(*out->stmt));
    if (out->stmt == NULL) return make_failure(call->env, call->state, LSQ_NOMEM, NULL);
    memset(out->stmt, 0, sizeof(*out->stmt));
    call_plain(call, &options);
    return call_end(call, lsq_stmt_new(&out->stmt->stmt, call->res->conn, (const char *)sql.data,
                                       sql.size, &options, &out->err));
}

ERL_NIF_TERM finish_prepare(struct call *call, enum lsq_status st) {
    struct stmt_res *res = call->out->stmt;
    ERL_NIF_TERM answer;

    if (st != LSQ_OK) {
        answer = call_failed(call, &call->out->err);
    } else {
        res->conn = call->res;
        enif_keep_resource(res->conn);
        answer = make_ok(call->env, call->state, enif_make_resource(call->env, res));
    }
    enif_release_resource(res);
    return answer;
}

ERL_NIF_TERM op_stmt_reset(struct call *call) {
    struct stmt_res *stmt;
    struct lsq_error err;
    ERL_NIF_TERM answer;

    if (!call_enter_stmt(call, call->argv[1], &stmt, &answer)) return answer;
    if (lsq_stmt_reset(stmt->stmt, &err) != LSQ_OK) {
        answer = call_failed(call, &err);
    } else {
        call_look(call);
        answer = call->state->atoms.ok;
    }
    call_leave_stmt(call, stmt);
    return answer;
}

static enum lsq_status make_columns(struct call *call, struct lsq_stmt *stmt, ERL_NIF_TERM *list,
                                    struct lsq_error *err) {
    struct nif_state *state = call->state;
    ErlNifEnv *env = call->env;
    struct lsq_column column;
    size_t count;
    enum lsq_status st = lsq_stmt_column_count(stmt, &count, err);

    *list = enif_make_list(env, 0);
    for (size_t i = count; st == LSQ_OK && i-- > 0;) {
        st = lsq_stmt_column(stmt, i, &column, err);
        if (st != LSQ_OK) break;
        *list = enif_make_list_cell(
            env,
            enif_make_tuple5(env, make_text(env, column.name),
                             make_text_or_nil(env, state, column.database),
                             make_text_or_nil(env, state, column.table),
                             make_text_or_nil(env, state, column.origin),
                             make_text_or_nil(env, state, column.declared_type)),
            *list);
    }
    return st;
}

static enum lsq_status make_params(struct call *call, struct lsq_stmt *stmt, ERL_NIF_TERM *list,
                                   struct lsq_error *err) {
    const char *name;
    size_t count;
    enum lsq_status st = lsq_stmt_param_count(stmt, &count, err);

    *list = enif_make_list(call->env, 0);
    for (size_t i = count; st == LSQ_OK && i > 0; i--) {
        st = lsq_stmt_param_name(stmt, i, &name, err);
        if (st == LSQ_OK)
            *list = enif_make_list_cell(call->env, make_text_or_nil(call->env, call->state, name),
                                        *list);
    }
    return st;
}

ERL_NIF_TERM op_stmt_info(struct call *call) {
    struct stmt_res *stmt;
    struct lsq_error err;
    ERL_NIF_TERM columns;
    ERL_NIF_TERM params;
    ERL_NIF_TERM answer;
    enum lsq_status st;
    bool readonly = false;

    if (!call_enter_stmt(call, call->argv[1], &stmt, &answer)) return answer;
    st = make_columns(call, stmt->stmt, &columns, &err);
    if (st == LSQ_OK) st = make_params(call, stmt->stmt, &params, &err);
    if (st == LSQ_OK) st = lsq_stmt_readonly(stmt->stmt, &readonly, &err);
    if (st != LSQ_OK)
        answer = call_failed(call, &err);
    else
        answer =
            make_ok(call->env, call->state,
                    enif_make_tuple3(call->env, columns, params, make_bool(call->state, readonly)));
    call_leave_stmt(call, stmt);
    return answer;
}

/* ---- Cursors ---- */

static ERL_NIF_TERM start_cursor(struct call *call, struct stmt_res *stmt) {
    struct params params;
    struct lsq_error err;
    ERL_NIF_TERM answer;
    char why[256];

    if (!params_decode(call->env, call->state, call->argv[3], &params, why))
        answer = wrong_parameters(call, why);
    else if (lsq_stmt_start(stmt->stmt, &params.params, &err) != LSQ_OK)
        answer = call_failed(call, &err);
    else
        answer = call->state->atoms.ok;
    params_release(&params);
    return answer;
}

ERL_NIF_TERM op_cursor_start(struct call *call) {
    struct stmt_res *stmt;
    ERL_NIF_TERM answer;

    if (!call_in_trx(call, call->argv[1], &answer)) return answer;
    if (!call_enter_stmt(call, call->argv[2], &stmt, &answer)) return answer;
    answer = start_cursor(call, stmt);
    call_leave_stmt(call, stmt);
    return answer;
}

ERL_NIF_TERM finish_fetch(struct call *call, enum lsq_status st) {
    struct outcome *out = call->out;
    ERL_NIF_TERM answer;

    if (st != LSQ_OK) {
        answer = call_failed(call, &out->err);
    } else {
        const ERL_NIF_TERM parts[] = {
            out->rows.columns,
            rows_list(&out->rows),
            enif_make_uint64(call->env, out->rows.row_count),
            make_bool(call->state, out->end),
            out->rows.types,
        };

        call_look(call);
        answer =
            make_ok(call->env, call->state,
                    enif_make_tuple_from_array(call->env, parts, out->rows.types == 0 ? 4 : 5));
    }
    rows_release(&out->rows);
    call_leave_stmt(call, out->stmt);
    return answer;
}

ERL_NIF_TERM op_cursor_fetch(struct call *call) {
    struct outcome *out = call->out;
    struct lsq_call options;
    struct stmt_res *stmt;
    unsigned max_rows;
    ERL_NIF_TERM answer;

    if (!enif_get_uint(call->env, call->argv[2], &max_rows) || max_rows == 0)
        return bad_argument(call, "the number of rows to fetch is a positive integer");
    if (!call_options(call, call->argv[3], call->argv[4], &options, &answer)) return answer;
    if (!call_enter_stmt(call, call->argv[1], &stmt, &answer)) return answer;
    out->stmt = stmt;
    rows_init_for(&out->rows, call, &options);
    return call_end(call, lsq_stmt_fetch(stmt->stmt, max_rows, &options, &rows_sink, &out->rows,
                                         &out->end, &out->err));
}
