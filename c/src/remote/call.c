#include "remote/call.h"

#include "base/alloc.h"
#include "base/error.h"

static void call_free(struct lsqi_pending *pending) {
    struct lsqi_call *call = (struct lsqi_call *)(void *)pending; /* its first member */

    lsqi_exchange_release(&call->x);
    lsqi_remote_stmt_free(call->described);
    lsqi_free(call->commands);
    lsqi_free(call);
}

static struct lsqi_call *call_of(struct lsqi_exchange *x) {
    return (struct lsqi_call *)(void *)((char *)x - offsetof(struct lsqi_call, x));
}

/* ---- The answer ---- */

/* A batch's steps and what they are: BEGIN, the statements, COMMIT, ROLLBACK. SIZE_MAX: no statement of the
 * caller's. */
static size_t statement_of(const struct lsqi_call *call, size_t step) {
    size_t first = call->wrapped ? 1 : 0;

    return step >= first && step - first < call->count ? step - first : SIZE_MAX;
}

static bool is_rollback(const struct lsqi_call *call, size_t step) {
    return call->wrapped && step == call->count + 2;
}

/* Columns are told once, for all runs. */
static bool many_columns(void *ctx, size_t count, const char *const *names) {
    struct lsqi_call *call = ctx;

    if (call->columns_told) return true;
    call->columns_told = true;
    return call->sink->columns(call->ctx, count, names);
}
static bool many_row_begin(void *ctx) {
    struct lsqi_call *call = ctx;

    return call->sink->row_begin == NULL || call->sink->row_begin(call->ctx);
}
static bool many_null(void *ctx) {
    struct lsqi_call *call = ctx;

    return call->sink->null(call->ctx);
}
static bool many_integer(void *ctx, int64_t value) {
    struct lsqi_call *call = ctx;

    return call->sink->integer(call->ctx, value);
}
static bool many_real(void *ctx, double value) {
    struct lsqi_call *call = ctx;

    return call->sink->real(call->ctx, value);
}
static bool many_text(void *ctx, const char *text, size_t len) {
    struct lsqi_call *call = ctx;

    return call->sink->text(call->ctx, text, len);
}
static bool many_blob(void *ctx, const void *data, size_t len) {
    struct lsqi_call *call = ctx;

    return call->sink->blob(call->ctx, data, len);
}
static bool many_row_end(void *ctx) {
    struct lsqi_call *call = ctx;

    return call->sink->row_end(call->ctx);
}

static const struct lsq_sink many_sink = {
    .columns = many_columns,
    .row_begin = many_row_begin,
    .null = many_null,
    .integer = many_integer,
    .real = many_real,
    .text = many_text,
    .blob = many_blob,
    .row_end = many_row_end,
};

static const struct lsq_sink *on_sink(struct lsqi_exchange *x, size_t request, size_t step,
                                      void **ctx) {
    struct lsqi_call *call = call_of(x);

    if (call->sink == NULL || request != call->at) return NULL;
    if (call->shape != LSQI_SHAPE_ONE && statement_of(call, step) == SIZE_MAX) return NULL;
    *ctx = call->shape == LSQI_SHAPE_MANY ? call : call->ctx;
    return call->shape == LSQI_SHAPE_MANY ? &many_sink : call->sink;
}

/* What the steps before have done stays: it is not to be begun again. */
static void note_half_done(struct lsqi_call *call) {
    if (call->shape != LSQI_SHAPE_BATCH || call->wrapped || call->steps_done == 0) return;
    call->err.transient = false;
    if (call->x.stores && call->err.outcome == LSQ_OUTCOME_NONE)
        call->err.outcome = LSQ_OUTCOME_UNKNOWN;
}

static void note_failure(struct lsqi_call *call, const struct lsqi_hrana_result *r) {
    size_t statement = r->step == SIZE_MAX ? SIZE_MAX : statement_of(call, r->step);

    if (call->st != LSQ_OK || r->request > call->at || is_rollback(call, r->step)) return;
    call->st = lsqi_remote_failure(&call->err, r->code, r->message);
    if (statement != SIZE_MAX) call->err.statement = (int)statement + 1;
    /* Waiting does not help who has read before. */
    if (call->st == LSQ_BUSY && call->x.held) call->err.transient = false;
    /* It was run: only its rows do not come. */
    if (call->st == LSQ_RESPONSE_TOO_LARGE && call->x.stores)
        call->err.outcome =
            call->shape == LSQI_SHAPE_ONE ? LSQ_OUTCOME_COMMITTED : LSQ_OUTCOME_UNKNOWN;
    note_half_done(call);
    call->undone = call->st == LSQ_RESPONSE_TOO_LARGE && call->x.held && call->writes;
}

static void fill_reply(const struct lsqi_call *call, const struct lsqi_hrana_result *r,
                       enum lsq_command command, struct lsq_reply *reply) {
    bool changes = command == LSQ_COMMAND_INSERT || command == LSQ_COMMAND_UPDATE ||
                   command == LSQ_COMMAND_DELETE;

    *reply = (struct lsq_reply){
        .command = command,
        .columns = r->columns,
        .rows = r->rows,
        .changes = changes ? r->affected_rows : 0,
        .last_rowid = call->pending.remote->last_rowid,
        .autocommit = !call->wrapped && !call->x.held,
    };
}

static bool note_statement(struct lsqi_call *call, const struct lsqi_hrana_result *r) {
    struct lsqi_remote *remote = call->pending.remote;
    size_t i = call->shape == LSQI_SHAPE_ONE ? 0 : statement_of(call, r->step);
    struct lsq_reply reply;
    enum lsq_command command;

    if (i == SIZE_MAX) return true;
    command = call->commands[call->shape == LSQI_SHAPE_MANY ? 0 : i];
    if (command == LSQ_COMMAND_INSERT && r->last_rowid != 0) remote->last_rowid = r->last_rowid;
    fill_reply(call, r, command, &reply);
    if (reply.changes > 0 || command == LSQ_COMMAND_UPDATE || command == LSQ_COMMAND_DELETE)
        remote->changes = reply.changes;
    remote->total_changes += reply.changes;
    call->steps_done++;
    reply.rows += call->shape == LSQI_SHAPE_MANY ? call->own.rows : 0;
    reply.changes += call->shape == LSQI_SHAPE_MANY ? call->own.changes : 0;
    call->own = reply;
    if (call->shape == LSQI_SHAPE_ONE) call->answered = true;
    if (call->shape != LSQI_SHAPE_BATCH || call->sink == NULL || call->sink->statement_end == NULL)
        return true;
    return call->sink->statement_end(call->ctx, (int)i + 1, &reply);
}

static bool on_result(struct lsqi_exchange *x, const struct lsqi_hrana_result *r) {
    struct lsqi_call *call = call_of(x);

    switch (r->kind) {
    case LSQI_HRANA_ERROR:
        note_failure(call, r);
        if (r->request == call->at && r->step == SIZE_MAX) call->answered = true;
        return true;
    case LSQI_HRANA_EXECUTE: return r->request != call->at || note_statement(call, r);
    case LSQI_HRANA_BATCH: call->answered = call->answered || r->request == call->at; return true;
    case LSQI_HRANA_DESCRIBE:
        if (call->described == NULL || r->request != call->at) return true;
        call->answered = true;
        return lsqi_stmt_described(call->described, r->description);
    case LSQI_HRANA_AUTOCOMMIT:
        call->asked = true;
        call->autocommit = r->autocommit;
        return true;
    default: return true;
    }
}

/* ---- The end ---- */

static bool is_over(const struct lsqi_call *call) {
    if (call->asked) return call->autocommit;
    if (call->st != LSQ_OK) return call->effect == LSQI_EFFECT_BEGINS || !call->x.held;
    return call->effect == LSQI_EFFECT_ENDS ||
           (call->effect != LSQI_EFFECT_BEGINS && !call->x.held);
}

static enum lsq_status unanswered(const struct lsqi_call *call, struct lsq_error *err) {
    lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED, "the server's answer says nothing of the call");
    if (call->x.stores) err->outcome = LSQ_OUTCOME_UNKNOWN;
    return LSQ_PROTOCOL_UNSUPPORTED;
}

static enum lsq_status count_rows(const struct lsqi_call *call, struct lsq_error *err) {
    if ((call->flags & LSQ_CALL_ONE) == 0 || call->own.rows == 1) return LSQ_OK;
    return call->own.rows == 0
               ? lsqi_error_set(err, LSQ_NO_ROW, "%s", lsq_status_text(LSQ_NO_ROW))
               : lsqi_error_set(err, LSQ_MANY_ROWS, "%s", lsq_status_text(LSQ_MANY_ROWS));
}

/* The stream after the answer. */
static void settle(struct lsqi_call *call) {
    struct lsqi_remote *remote = call->pending.remote;
    bool by_sql = remote->by_sql;

    if (call->undone) {
        /* A statement that failed has done nothing: this one has, so the transaction goes with it. */
        lsqi_exchange_leave_stream(&call->x, false);
        lsqi_remote_forget(remote);
    } else {
        lsqi_remote_settle(remote, &call->x, is_over(call));
    }
    if (call->x.held && remote->baton == NULL && by_sql && !call->controls) remote->lost = true;
}

/* The server's answer is whole: what does it say? */
static enum lsq_status read_answer(struct lsqi_call *call, struct lsq_error *err) {
    struct lsqi_remote *remote = call->pending.remote;

    settle(call);
    if (call->st == LSQ_OK && call->effect == LSQI_EFFECT_BEGINS && remote->baton != NULL) {
        remote->reads = call->read_only;
        remote->by_sql = call->by_sql;
    }
    if (call->st != LSQ_OK) *err = call->err;
    if (call->st != LSQ_OK) return call->st;
    if (!call->answered) return unanswered(call, err);
    if (call->shape != LSQI_SHAPE_ONE && call->steps_done == 0 && call->in_txn && call->count > 0)
        return lsqi_error_set(err, LSQ_TRANSACTION_TIMEOUT, "%s",
                              lsq_status_text(LSQ_TRANSACTION_TIMEOUT));
    return count_rows(call, err);
}

/* The stream's locks need not stay until the server misses us: a part of the answer may have come, and with it where
 * the stream is; or the request has not arrived, and it is where it was. (If neither is so, the server refuses it.) */
static void lose(struct lsqi_call *call) {
    struct lsqi_remote *remote = call->pending.remote;

    if (!call->x.on_socket && lsqi_exchange_baton(&call->x) != NULL)
        lsqi_exchange_leave_stream(&call->x, false);
    else if (!call->x.on_socket && remote->baton != NULL)
        lsqi_exchange_close_stream(&remote->server, remote->baton, remote->base_url);
    if (call->controls)
        lsqi_remote_forget(remote);
    else
        lsqi_remote_lose(remote);
}

static enum lsq_outcome outcome_of(const struct lsqi_call *call, enum lsq_status st,
                                   const struct lsq_error *err) {
    if (st != LSQ_OK) return err->outcome;
    return call->st == LSQ_OK ? LSQ_OUTCOME_NONE : call->err.outcome;
}

static void on_ended(struct lsqi_exchange *x, enum lsq_status st, struct lsq_error *err) {
    struct lsqi_call *call = call_of(x);
    struct lsqi_remote *remote = call->pending.remote;

    lsqi_remote_note_stored(remote, x, st, outcome_of(call, st, err));
    if (st == LSQ_OK && call->st == LSQ_SQL) lsqi_remote_note_refused(remote, &call->err);
    if (st == LSQ_OK)
        st = read_answer(call, err);
    else if (x->held && !x->untouched)
        lose(call);
    if (st != LSQ_OK && call->gives_up) {
        lsqi_remote_leave(remote);
        st = LSQ_OK;
    }
    if (call->succeeded != NULL) *call->succeeded = call->steps_done;
    if (st == LSQ_OK && call->reply != NULL) {
        call->own.autocommit = remote->baton == NULL;
        *call->reply = call->own;
    }
    if (st == LSQ_OK && call->described != NULL) {
        *call->stmt = call->described;
        call->described = NULL;
    }
    lsqi_pending_end(&call->pending, st, err, call_free);
}

static const struct lsqi_exchange_hooks hooks = {
    .sink = on_sink,
    .result = on_result,
    .ended = on_ended,
};

/* ---- Beginning ---- */

struct lsqi_call *lsqi_call_new(struct lsqi_remote *remote, enum lsqi_shape shape, size_t count,
                                const struct lsq_call *options, struct lsq_error *err) {
    struct lsqi_call *call = lsqi_calloc(1, sizeof(*call));

    if (call != NULL) call->commands = lsqi_calloc(count + 1, sizeof(*call->commands));
    if (call == NULL || call->commands == NULL) {
        lsqi_free(call);
        lsqi_gate_end(remote->gate);
        lsqi_error_set(err, LSQ_NOMEM, "out of memory for a call");
        return NULL;
    }
    lsqi_pending_init(&call->pending, remote, options);
    call->shape = shape;
    call->count = count;
    call->flags = options == NULL ? 0 : options->flags;
    call->x = (struct lsqi_exchange){
        .server = &remote->server,
        .hooks = &hooks,
        .base_url = remote->base_url,
        .traceparent = options == NULL ? NULL : options->traceparent,
        .form = LSQI_HRANA_PIPELINE,
        .timeout_ms = lsqi_call_timeout(remote, options),
        .held = remote->baton != NULL,
        .types = (call->flags & LSQ_CALL_TYPES) != 0,
        .lock = &remote->gate->lock,
        .known = lsqi_remote_known(remote),
    };
    call->in_txn = call->x.held && lsqi_server_version(&remote->server) >= 3;
    lsqi_hrana_begin(&call->x.body, remote->baton);
    return call;
}

enum lsq_status lsqi_call_drop(struct lsqi_call *call, enum lsq_status st) {
    struct lsqi_remote *remote = call->pending.remote;

    lsqi_remote_running(remote, NULL);
    lsqi_gate_end(remote->gate);
    call_free(&call->pending);
    return st;
}

static void drained(void *arg, enum lsq_status st, const struct lsq_error *why) {
    struct lsqi_call *call = arg;
    struct lsq_error err;

    if (st != LSQ_OK)
        err = *why;
    else if ((st = lsqi_remote_go_on(call->pending.remote, &call->x, &err)) == LSQ_OK)
        st = lsqi_exchange_begin(&call->x, &err);
    if (st != LSQ_OK) on_ended(&call->x, st, &err);
}

enum lsq_status lsqi_call_run(struct lsqi_call *call, struct lsq_error *err) {
    struct lsqi_remote *remote = call->pending.remote;
    bool waits = call->pending.done == NULL;
    enum lsq_status st;

    if (remote->cursor != NULL) {
        st = lsqi_exchange_keep(&call->x, err);
        if (st == LSQ_OK)
            st = lsqi_cursor_drain(remote->cursor, call->x.timeout_ms, drained, call, err);
    } else {
        st = lsqi_remote_go_on(remote, &call->x, err);
        if (st == LSQ_OK) st = lsqi_exchange_begin(&call->x, err);
    }
    if (st != LSQ_OK) return lsqi_call_drop(call, st);
    if (!waits) return LSQ_PENDING;
    st = lsqi_pending_wait(&call->pending, err);
    call_free(&call->pending);
    return st;
}
