/* Calls of one request: statements, batches, transactions. */
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/error.h"
#include "hrana/encode.h"
#include "remote/stmt.h"

/* The number of a stored text, which is one of its stream, or of its WebSocket. */
static int32_t next_stored_sql(void) {
    /* Process-wide: the last one given. */
    static atomic_uint last;

    return (int32_t)(atomic_fetch_add(&last, 1) & 0x3fffffff) + 1;
}

/* What the request is, at its place in the pipeline. */
enum shape {
    SHAPE_ONE,  /* one statement */
    SHAPE_MANY, /* a batch whose steps are one statement's runs: one result */
    SHAPE_BATCH /* a batch of statements: a result for each */
};

/* What a success does to the transaction, for servers that cannot be asked. */
enum effect { EFFECT_NONE, EFFECT_BEGINS, EFFECT_ENDS };

struct call {
    struct lsqi_pending pending;
    struct lsqi_exchange x;
    enum shape shape;
    enum effect effect;
    unsigned flags;
    size_t at;          /* the request's place in the pipeline */
    bool wrapped;       /* the batch's steps stand between BEGIN and COMMIT */
    bool in_txn;        /* the first step of a batch is run in a transaction only */
    bool writes;        /* what it runs may change something in the open transaction */
    bool undone;        /* so the server is to undo that */
    bool controls;      /* it is to begin or end a transaction: that it is over then is no loss */
    bool by_sql;        /* and it is the caller's text that does */
    bool gives_up;      /* a failure is none: the server undoes the transaction anyway */
    bool read_only;     /* LSQ_TXN_READ is what begins */
    int32_t stored_sql; /* of SHAPE_MANY */
    size_t count;       /* of statements */
    enum lsq_command *commands; /* of each, or of SHAPE_MANY's one */
    /* of the caller */
    const struct lsq_sink *sink;
    void *ctx;
    struct lsq_reply *reply;
    size_t *succeeded;
    struct lsqi_remote_stmt *described; /* owned until the call succeeds */
    struct lsqi_remote_stmt **stmt;
    /* of the answer */
    struct lsq_reply own;
    size_t steps_done;
    bool columns_told;
    bool answered;
    bool asked; /* autocommit is the server's word */
    bool autocommit;
    enum lsq_status st; /* of the statement, or the first of them that failed */
    struct lsq_error err;
};

static void call_free(struct lsqi_pending *pending) {
    struct call *call = (struct call *)(void *)pending; /* its first member */

    lsqi_exchange_release(&call->x);
    lsqi_remote_stmt_free(call->described);
    lsqi_free(call->commands);
    lsqi_free(call);
}

static struct call *call_of(struct lsqi_exchange *x) {
    return (struct call *)(void *)((char *)x - offsetof(struct call, x));
}

/* ---- The answer ---- */

/* A batch's steps and what they are: BEGIN, the statements, COMMIT, ROLLBACK. SIZE_MAX: no statement of the
 * caller's. */
static size_t statement_of(const struct call *call, size_t step) {
    size_t first = call->wrapped ? 1 : 0;

    return step >= first && step - first < call->count ? step - first : SIZE_MAX;
}

static bool is_rollback(const struct call *call, size_t step) {
    return call->wrapped && step == call->count + 2;
}

/* Columns are told once, for all runs. */
static bool many_columns(void *ctx, size_t count, const char *const *names) {
    struct call *call = ctx;

    if (call->columns_told) return true;
    call->columns_told = true;
    return call->sink->columns(call->ctx, count, names);
}
static bool many_row_begin(void *ctx) {
    struct call *call = ctx;

    return call->sink->row_begin == NULL || call->sink->row_begin(call->ctx);
}
static bool many_null(void *ctx) {
    struct call *call = ctx;

    return call->sink->null(call->ctx);
}
static bool many_integer(void *ctx, int64_t value) {
    struct call *call = ctx;

    return call->sink->integer(call->ctx, value);
}
static bool many_real(void *ctx, double value) {
    struct call *call = ctx;

    return call->sink->real(call->ctx, value);
}
static bool many_text(void *ctx, const char *text, size_t len) {
    struct call *call = ctx;

    return call->sink->text(call->ctx, text, len);
}
static bool many_blob(void *ctx, const void *data, size_t len) {
    struct call *call = ctx;

    return call->sink->blob(call->ctx, data, len);
}
static bool many_row_end(void *ctx) {
    struct call *call = ctx;

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
    struct call *call = call_of(x);

    if (call->sink == NULL || request != call->at) return NULL;
    if (call->shape != SHAPE_ONE && statement_of(call, step) == SIZE_MAX) return NULL;
    *ctx = call->shape == SHAPE_MANY ? call : call->ctx;
    return call->shape == SHAPE_MANY ? &many_sink : call->sink;
}

static void note_failure(struct call *call, const struct lsqi_hrana_result *r) {
    size_t statement = r->step == SIZE_MAX ? SIZE_MAX : statement_of(call, r->step);

    if (call->st != LSQ_OK || r->request > call->at || is_rollback(call, r->step)) return;
    call->st = lsqi_remote_failure(&call->err, r->code, r->message);
    if (statement != SIZE_MAX) call->err.statement = (int)statement + 1;
    /* Waiting does not help who has read before. */
    if (call->st == LSQ_BUSY && call->x.held) call->err.transient = false;
    /* It was run: only its rows do not come. */
    if (call->st == LSQ_RESPONSE_TOO_LARGE && call->x.stores)
        call->err.outcome = call->shape == SHAPE_ONE ? LSQ_OUTCOME_COMMITTED : LSQ_OUTCOME_UNKNOWN;
    call->undone = call->st == LSQ_RESPONSE_TOO_LARGE && call->x.held && call->writes;
}

static void fill_reply(const struct call *call, const struct lsqi_hrana_result *r,
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

static bool note_statement(struct call *call, const struct lsqi_hrana_result *r) {
    struct lsqi_remote *remote = call->pending.remote;
    size_t i = call->shape == SHAPE_ONE ? 0 : statement_of(call, r->step);
    struct lsq_reply reply;
    enum lsq_command command;

    if (i == SIZE_MAX) return true;
    command = call->commands[call->shape == SHAPE_MANY ? 0 : i];
    if (command == LSQ_COMMAND_INSERT && r->last_rowid != 0) remote->last_rowid = r->last_rowid;
    fill_reply(call, r, command, &reply);
    if (reply.changes > 0 || command == LSQ_COMMAND_UPDATE || command == LSQ_COMMAND_DELETE)
        remote->changes = reply.changes;
    remote->total_changes += reply.changes;
    call->steps_done++;
    reply.rows += call->shape == SHAPE_MANY ? call->own.rows : 0;
    reply.changes += call->shape == SHAPE_MANY ? call->own.changes : 0;
    call->own = reply;
    if (call->shape == SHAPE_ONE) call->answered = true;
    if (call->shape != SHAPE_BATCH || call->sink == NULL || call->sink->statement_end == NULL)
        return true;
    return call->sink->statement_end(call->ctx, (int)i + 1, &reply);
}

static bool on_result(struct lsqi_exchange *x, const struct lsqi_hrana_result *r) {
    struct call *call = call_of(x);

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

static bool is_over(const struct call *call) {
    if (call->asked) return call->autocommit;
    if (call->st != LSQ_OK) return call->effect == EFFECT_BEGINS || !call->x.held;
    return call->effect == EFFECT_ENDS || (call->effect != EFFECT_BEGINS && !call->x.held);
}

static enum lsq_status unanswered(const struct call *call, struct lsq_error *err) {
    lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED, "the server's answer says nothing of the call");
    if (call->x.stores) err->outcome = LSQ_OUTCOME_UNKNOWN;
    return LSQ_PROTOCOL_UNSUPPORTED;
}

static enum lsq_status count_rows(const struct call *call, struct lsq_error *err) {
    if ((call->flags & LSQ_CALL_ONE) == 0 || call->own.rows == 1) return LSQ_OK;
    return call->own.rows == 0
               ? lsqi_error_set(err, LSQ_NO_ROW, "%s", lsq_status_text(LSQ_NO_ROW))
               : lsqi_error_set(err, LSQ_MANY_ROWS, "%s", lsq_status_text(LSQ_MANY_ROWS));
}

/* The stream after the answer. */
static void settle(struct call *call) {
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
static enum lsq_status read_answer(struct call *call, struct lsq_error *err) {
    struct lsqi_remote *remote = call->pending.remote;

    settle(call);
    if (call->st == LSQ_OK && call->effect == EFFECT_BEGINS && remote->baton != NULL) {
        remote->reads = call->read_only;
        remote->by_sql = call->by_sql;
    }
    if (call->st != LSQ_OK) *err = call->err;
    if (call->st != LSQ_OK) return call->st;
    if (!call->answered) return unanswered(call, err);
    if (call->shape != SHAPE_ONE && call->steps_done == 0 && call->in_txn && call->count > 0)
        return lsqi_error_set(err, LSQ_TRANSACTION_TIMEOUT, "%s",
                              lsq_status_text(LSQ_TRANSACTION_TIMEOUT));
    return count_rows(call, err);
}

/* The stream's locks need not stay until the server misses us: a part of the answer may have come, and with it where
 * the stream is; or the request has not arrived, and it is where it was. (If neither is so, the server refuses it.) */
static void lose(struct call *call) {
    struct lsqi_remote *remote = call->pending.remote;

    if (!call->x.on_socket && lsqi_exchange_baton(&call->x) != NULL)
        lsqi_exchange_leave_stream(&call->x, false);
    else if (!call->x.on_socket)
        lsqi_exchange_close_stream(&remote->server, remote->baton, remote->base_url);
    if (call->controls)
        lsqi_remote_forget(remote);
    else
        lsqi_remote_lose(remote);
}

static void on_ended(struct lsqi_exchange *x, enum lsq_status st, struct lsq_error *err) {
    struct call *call = call_of(x);
    struct lsqi_remote *remote = call->pending.remote;

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

/* In the gate, which is left where this fails. */
static struct call *call_new(struct lsqi_remote *remote, enum shape shape, size_t count,
                             const struct lsq_call *options, struct lsq_error *err) {
    struct call *call = lsqi_calloc(1, sizeof(*call));

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
    };
    call->in_txn = call->x.held && lsqi_server_version(&remote->server) >= 3;
    lsqi_hrana_begin(&call->x.body, remote->baton);
    return call;
}

static enum lsq_status call_drop(struct call *call, enum lsq_status st) {
    struct lsqi_remote *remote = call->pending.remote;

    lsqi_remote_running(remote, NULL);
    lsqi_gate_end(remote->gate);
    call_free(&call->pending);
    return st;
}

static void drained(void *arg, enum lsq_status st, const struct lsq_error *why) {
    struct call *call = arg;
    struct lsq_error err;

    if (st == LSQ_OK)
        st = lsqi_exchange_begin(&call->x, &err);
    else
        err = *why;
    if (st != LSQ_OK) on_ended(&call->x, st, &err);
}

/* Takes the call. */
static enum lsq_status call_run(struct call *call, struct lsq_error *err) {
    struct lsqi_remote *remote = call->pending.remote;
    bool waits = call->pending.done == NULL;
    enum lsq_status st;

    lsqi_remote_running(remote, &call->x);
    if (remote->cursor != NULL)
        st = lsqi_cursor_drain(remote->cursor, call->x.timeout_ms, drained, call, err);
    else
        st = lsqi_exchange_begin(&call->x, err);
    if (st != LSQ_OK) return call_drop(call, st);
    if (!waits) return LSQ_PENDING;
    st = lsqi_pending_wait(&call->pending, err);
    call_free(&call->pending);
    return st;
}

/* ---- Statements ---- */

enum lsq_status lsqi_call_refuse_write(struct lsq_error *err) {
    return lsqi_error_set(
        err, LSQ_READONLY,
        "the transaction was begun as one that only reads (mode: :read); to write, "
        "begin an immediate one (mode: :immediate)");
}

enum lsq_status lsqi_call_look(const char *sql, size_t len, struct lsqi_sql_facts *facts,
                               struct lsq_error *err) {
    enum lsq_status st = lsqi_sql_check(sql, len, err);
    size_t at;

    if (st != LSQ_OK) return st;
    at = lsqi_sql_skip(sql, len, true);
    at += lsqi_sql_statement(sql + at, len - at);
    if (at + lsqi_sql_skip(sql + at, len - at, true) < len)
        return lsqi_error_set(err, LSQ_SQL,
                              "the text holds more than one statement: run it as a batch");
    return lsqi_sql_look(sql, len, facts, err);
}

static bool may_store(const struct lsqi_sql_facts *facts, bool held) {
    if (!held) return !facts->reads && !facts->begins;
    return facts->control && !facts->begins && facts->command != LSQ_COMMAND_ROLLBACK;
}

static enum effect effect_of(const struct lsqi_sql_facts *facts) {
    if (facts->begins) return EFFECT_BEGINS;
    if (facts->partly) return EFFECT_NONE;
    return facts->command == LSQ_COMMAND_COMMIT || facts->command == LSQ_COMMAND_ROLLBACK
               ? EFFECT_ENDS
               : EFFECT_NONE;
}

static bool same_name(const char *sql, const struct lsqi_sql_name *name,
                      const struct lsq_name *given) {
    const char *text = sql + name->at;

    if (given->len == name->len && memcmp(given->text, text, name->len) == 0) return true;
    return given->len == name->len - 1 && memcmp(given->text, text + 1, given->len) == 0;
}

static const struct lsq_value *find_value(const char *sql, const struct lsqi_sql_name *name,
                                          const struct lsq_params *params) {
    for (size_t i = 0; i < params->count; i++)
        if (same_name(sql, name, &params->names[i])) return &params->values[i];
    return NULL;
}

static enum lsq_status bind_names(const char *sql, const struct lsqi_sql_facts *facts,
                                  const struct lsq_params *params, struct lsqi_bound *bound,
                                  struct lsq_error *err) {
    if (facts->name_count < facts->params)
        return lsqi_error_set(err, LSQ_PARAMETERS,
                              "a parameter of the statement has no name, but the values have");
    bound->values = lsqi_calloc(facts->params + 1, sizeof(*bound->values));
    if (bound->values == NULL)
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for parameters");
    for (size_t i = 0; i < facts->name_count; i++) {
        const struct lsqi_sql_name *name = &facts->names[i];
        const struct lsq_value *value = find_value(sql, name, params);

        if (value == NULL)
            return lsqi_error_set(err, LSQ_PARAMETERS, "the parameter %.*s has no value",
                                  (int)(name->len < 100 ? name->len : 100), sql + name->at);
        bound->values[name->number - 1] = *value;
    }
    bound->params = (struct lsq_params){.values = bound->values, .count = facts->params};
    return LSQ_OK;
}

enum lsq_status lsqi_call_bind(const char *sql, size_t len, const struct lsqi_sql_facts *facts,
                               const struct lsq_params *params, struct lsqi_bound *bound,
                               struct lsq_error *err) {
    size_t count = params == NULL ? 0 : params->count;
    enum lsq_status st = LSQ_OK;

    *bound = (struct lsqi_bound){.sql = sql, .len = len};
    if (params != NULL && params->names != NULL && count > 0)
        st = bind_names(sql, facts, params, bound, err);
    else if (count != facts->params)
        st = lsqi_error_set(err, LSQ_PARAMETERS,
                            "the statement has %zu parameter%s, and %zu %s given", facts->params,
                            facts->params == 1 ? "" : "s", count, count == 1 ? "was" : "were");
    else if (params != NULL)
        bound->params = *params;
    if (st == LSQ_OK) st = lsqi_hrana_check(sql, len, &bound->params, err);
    if (st == LSQ_OK && facts->name_count > 0) {
        lsqi_sql_number(sql, len, facts, &bound->text);
        if (bound->text.failed)
            st = lsqi_error_set(err, LSQ_NOMEM, "out of memory for a statement");
        bound->sql = bound->text.data;
        bound->len = bound->text.len;
    }
    if (st != LSQ_OK) lsqi_bound_release(bound);
    return st;
}

void lsqi_bound_release(struct lsqi_bound *bound) {
    lsqi_free(bound->values);
    bound->values = NULL;
    lsqi_buf_release(&bound->text);
}

static enum lsq_status add_statement(struct call *call, const char *sql, size_t len,
                                     const struct lsqi_sql_facts *facts,
                                     const struct lsq_params *params, struct lsq_error *err) {
    struct lsqi_bound bound;
    enum lsq_status st = lsqi_call_bind(sql, len, facts, params, &bound, err);
    const struct lsqi_hrana_stmt stmt = {
        .sql = bound.sql, .len = bound.len, .params = &bound.params, .want_rows = true};

    if (st != LSQ_OK) return st;
    lsqi_hrana_execute(&call->x.body, &stmt);
    lsqi_bound_release(&bound);
    return LSQ_OK;
}

/* Whether the text names the columns by a star: a multiplication's stands behind a value. */
static bool has_star(const char *sql, size_t len) {
    static const char *const words[] = {"SELECT", "DISTINCT", "ALL", "RETURNING"};
    struct lsqi_sql_token before = {.kind = LSQI_SQL_END};
    struct lsqi_sql_token token;
    size_t at = 0;

    while ((token = lsqi_sql_next(sql, len, &at)).kind != LSQI_SQL_END) {
        bool star = token.kind == LSQI_SQL_OTHER && sql[token.at] == '*';

        if (star && before.kind == LSQI_SQL_OTHER && strchr(",.", sql[before.at]) != NULL)
            return true;
        for (size_t i = 0; star && i < sizeof(words) / sizeof(words[0]); i++)
            if (before.kind == LSQI_SQL_WORD && before.len == strlen(words[i]) &&
                strncasecmp(sql + before.at, words[i], before.len) == 0)
                return true;
        before = token;
    }
    return false;
}

/* What the statement needs of a stream that others used, and leaves in it. */
static void note_stream(struct call *call, const char *sql, size_t len,
                        const struct lsqi_sql_facts *facts) {
    static const char *const functions[] = {"last_insert_rowid", "changes"};
    struct lsqi_sql_token token;
    size_t at = 0;

    if (facts->sets_session) call->x.spoils = true;
    if (!call->x.looks && memchr(sql, '*', len) != NULL) call->x.looks = has_star(sql, len);
    if (memchr(sql, '(', len) == NULL) return;
    while ((token = lsqi_sql_next(sql, len, &at)).kind != LSQI_SQL_END)
        for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
            if (token.kind == LSQI_SQL_WORD && token.len >= strlen(functions[i]) &&
                strncasecmp(sql + token.at + token.len - strlen(functions[i]), functions[i],
                            strlen(functions[i])) == 0)
                call->x.fresh = true;
}

/* An empty text: but the connection has to be there. */
static enum lsq_status nothing_to_do(struct lsqi_remote *remote, const struct lsq_call *options,
                                     struct lsq_reply *reply, struct lsq_error *err) {
    enum lsq_status st = lsqi_pending_enter(remote, options, err);

    if (st != LSQ_OK) return st;
    if (reply != NULL)
        *reply = (struct lsq_reply){.command = LSQ_COMMAND_EMPTY,
                                    .last_rowid = remote->last_rowid,
                                    .autocommit = remote->baton == NULL};
    lsqi_gate_end(remote->gate);
    return LSQ_OK;
}

static enum lsq_status allowed(const struct lsqi_remote *remote, const struct lsqi_sql_facts *facts,
                               const struct lsq_call *options, struct lsq_error *err) {
    enum lsq_status st = lsqi_remote_there(remote, err);

    if (st != LSQ_OK) return st;
    if (remote->reads && !facts->reads && !facts->control) return lsqi_call_refuse_write(err);
    if (options != NULL && (options->flags & LSQ_CALL_ONE) != 0 && !facts->reads)
        return lsqi_error_set(err, LSQ_UNSUPPORTED,
                              "exactly one row of a statement that writes: a server cannot undo it "
                              "where there are more");
    return LSQ_OK;
}

enum lsq_status lsqi_call_exec(struct lsqi_remote *remote, const char *sql, size_t len,
                               const struct lsqi_sql_facts *facts, const struct lsq_params *params,
                               const struct lsq_call *options, const struct lsq_sink *sink,
                               void *ctx, struct lsq_reply *reply, struct lsq_error *err) {
    enum lsq_status st = lsqi_pending_enter(remote, options, err);
    struct call *call;

    if (st != LSQ_OK) return st;
    st = allowed(remote, facts, options, err);
    if (st != LSQ_OK) {
        lsqi_gate_end(remote->gate);
        return st;
    }
    call = call_new(remote, SHAPE_ONE, 1, options, err);
    if (call == NULL) return LSQ_NOMEM;
    call->sink = sink;
    call->ctx = ctx;
    call->reply = reply;
    call->commands[0] = facts->command;
    call->effect = effect_of(facts);
    call->x.stores = may_store(facts, call->x.held);
    call->x.reads = facts->reads;
    call->writes = !facts->reads;
    call->controls = facts->control;
    call->by_sql = facts->begins;
    note_stream(call, sql, len, facts);
    call->x.tail = call->x.held || facts->begins ? LSQI_TAIL_ASK : LSQI_TAIL_CLOSE;
    st = add_statement(call, sql, len, facts, params, err);
    return st == LSQ_OK ? call_run(call, err) : call_drop(call, st);
}

static bool ends_what_is_lost(const struct lsqi_remote *remote,
                              const struct lsqi_sql_facts *facts) {
    return remote->lost && facts->control && !facts->begins;
}

/* COMMIT cannot be had any more; ROLLBACK has been done. */
static enum lsq_status end_what_is_lost(struct lsqi_remote *remote,
                                        const struct lsqi_sql_facts *facts,
                                        const struct lsq_call *options, struct lsq_reply *reply,
                                        struct lsq_error *err) {
    enum lsq_status st = lsqi_pending_enter(remote, options, err);

    if (st != LSQ_OK) return st;
    if (facts->command != LSQ_COMMAND_ROLLBACK) st = lsqi_remote_there(remote, err);
    remote->lost = false;
    if (st == LSQ_OK && reply != NULL)
        *reply = (struct lsq_reply){
            .command = LSQ_COMMAND_ROLLBACK, .last_rowid = remote->last_rowid, .autocommit = true};
    lsqi_gate_end(remote->gate);
    return st;
}

enum lsq_status lsqi_remote_exec(struct lsqi_remote *remote, const char *sql, size_t len,
                                 const struct lsq_params *params, const struct lsq_call *call,
                                 const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                 struct lsq_error *err) {
    struct lsqi_sql_facts facts;
    enum lsq_status st = lsqi_call_look(sql, len, &facts, err);

    if (st != LSQ_OK) return st;
    if (facts.command == LSQ_COMMAND_EMPTY)
        st = nothing_to_do(remote, call, reply, err);
    else if (ends_what_is_lost(remote, &facts))
        st = end_what_is_lost(remote, &facts, call, reply, err);
    else
        st = lsqi_call_exec(remote, sql, len, &facts, params, call, sink, ctx, reply, err);
    lsqi_sql_facts_release(&facts);
    return st;
}

enum lsq_status lsqi_call_describe(struct lsqi_remote_stmt *stmt, struct lsqi_remote_stmt **out,
                                   const struct lsq_call *options, struct lsq_error *err) {
    struct lsqi_remote *remote = stmt->remote;
    enum lsq_status st = lsqi_hrana_check(stmt->sql, stmt->len, NULL, err);
    struct call *call;

    if (st == LSQ_OK) st = lsqi_pending_enter(remote, options, err);
    call = st == LSQ_OK ? call_new(remote, SHAPE_ONE, 1, options, err) : NULL;
    if (call == NULL) {
        lsqi_remote_stmt_free(stmt);
        return st == LSQ_OK ? LSQ_NOMEM : st;
    }
    call->described = stmt;
    call->x.reads = true;
    call->x.looks = has_star(stmt->sql, stmt->len);
    call->stmt = out;
    call->x.tail = call->x.held ? LSQI_TAIL_ASK : LSQI_TAIL_CLOSE;
    lsqi_hrana_describe(&call->x.body, stmt->sql, stmt->len);
    return call_run(call, err);
}

/* ---- Batches ---- */

static void add_text_step(struct call *call, const char *sql, struct lsqi_hrana_cond cond) {
    const struct lsqi_hrana_stmt stmt = {.sql = sql, .len = strlen(sql)};

    lsqi_hrana_batch_step(&call->x.body, &stmt, cond);
}

static struct lsqi_hrana_cond if_ok(size_t step) {
    return (struct lsqi_hrana_cond){.kind = LSQI_HRANA_IF_OK, .step = step};
}

/* Each step goes on where the one before it succeeded. */
static struct lsqi_hrana_cond next_cond(const struct call *call, size_t statement) {
    if (call->wrapped) return if_ok(statement);
    if (statement > 0) return if_ok(statement - 1);
    /* A transaction that the server has ended is told once only, and what follows would be stored. */
    return (struct lsqi_hrana_cond){.kind =
                                        call->in_txn ? LSQI_HRANA_IF_IN_TXN : LSQI_HRANA_ALWAYS};
}

static void begin_steps(struct call *call, const char *begin) {
    lsqi_hrana_batch_begin(&call->x.body);
    if (call->wrapped)
        add_text_step(call, begin, (struct lsqi_hrana_cond){.kind = LSQI_HRANA_ALWAYS});
}

static void end_steps(struct call *call) {
    size_t commit = call->count + 1;

    if (call->wrapped) {
        add_text_step(call, "COMMIT", if_ok(commit - 1));
        add_text_step(call, "ROLLBACK",
                      (struct lsqi_hrana_cond){.kind = LSQI_HRANA_IF_NOT_OK, .step = commit});
    }
    lsqi_hrana_batch_end(&call->x.body);
}

/* The rows of parameters, as they come; *count of them. */
static enum lsq_status add_rows(struct call *call, const char *sql, size_t len,
                                const struct lsqi_sql_facts *facts, lsq_next_params *next,
                                void *next_ctx, struct lsq_error *err) {
    struct lsq_params row;
    char why[256] = "";
    int got;

    while ((got = next(next_ctx, &row, why)) > 0) {
        struct lsqi_bound bound;
        enum lsq_status st = lsqi_call_bind(sql, len, facts, &row, &bound, err);
        const struct lsqi_hrana_stmt stmt = {
            .sql_id = call->stored_sql, .params = &bound.params, .want_rows = true};

        if (st == LSQ_OK) lsqi_hrana_batch_step(&call->x.body, &stmt, next_cond(call, call->count));
        lsqi_free(bound.values);
        call->count++;
        if (st != LSQ_OK && err != NULL) err->statement = (int)call->count;
        if (st != LSQ_OK) return st;
    }
    if (got == 0) return LSQ_OK;
    lsqi_error_set(err, LSQ_PARAMETERS, "%s", why);
    if (err != NULL) err->statement = (int)call->count + 1;
    return LSQ_PARAMETERS;
}

static enum lsq_status store_sql(struct call *call, const char *sql, size_t len,
                                 const struct lsqi_sql_facts *facts, struct lsq_error *err) {
    struct lsqi_buf text = {0};
    enum lsq_status st = LSQ_OK;

    lsqi_sql_number(sql, len, facts, &text);
    if (text.failed)
        st = lsqi_error_set(err, LSQ_NOMEM, "out of memory for a statement");
    else
        lsqi_hrana_store_sql(&call->x.body, call->stored_sql, text.data, text.len);
    lsqi_buf_release(&text);
    return st;
}

static enum lsq_status exec_many(struct lsqi_remote *remote, const char *sql, size_t len,
                                 const struct lsqi_sql_facts *facts, lsq_next_params *next,
                                 void *next_ctx, const struct lsq_call *options,
                                 const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                 struct lsq_error *err) {
    enum lsq_status st = lsqi_pending_enter(remote, options, err);
    struct call *call;

    if (st != LSQ_OK) return st;
    st = remote->reads && !facts->reads ? lsqi_call_refuse_write(err)
                                        : lsqi_remote_there(remote, err);
    if (st != LSQ_OK) {
        lsqi_gate_end(remote->gate);
        return st;
    }
    call = call_new(remote, SHAPE_MANY, 0, options, err);
    if (call == NULL) return LSQ_NOMEM;
    call->sink = sink;
    call->ctx = ctx;
    call->reply = reply;
    call->commands[0] = facts->command;
    call->own = (struct lsq_reply){.command = facts->command};
    call->wrapped = !call->x.held;
    call->writes = !facts->reads;
    call->at = 1;
    call->stored_sql = next_stored_sql();
    call->x.stores = !call->x.held;
    call->x.tail = call->x.held ? LSQI_TAIL_ASK : LSQI_TAIL_CLOSE;
    note_stream(call, sql, len, facts);
    st = store_sql(call, sql, len, facts, err);
    if (st != LSQ_OK) return call_drop(call, st);
    begin_steps(call, "BEGIN IMMEDIATE");
    st = add_rows(call, sql, len, facts, next, next_ctx, err);
    if (st != LSQ_OK) return call_drop(call, st);
    end_steps(call);
    lsqi_hrana_close_sql(&call->x.body, call->stored_sql);
    return call_run(call, err);
}

enum lsq_status lsqi_remote_exec_many(struct lsqi_remote *remote, const char *sql, size_t len,
                                      lsq_next_params *next, void *next_ctx,
                                      const struct lsq_call *call, const struct lsq_sink *sink,
                                      void *ctx, struct lsq_reply *reply, struct lsq_error *err) {
    struct lsqi_sql_facts facts;
    enum lsq_status st = lsqi_call_look(sql, len, &facts, err);

    if (st != LSQ_OK) return st;
    if (facts.command == LSQ_COMMAND_EMPTY)
        st = nothing_to_do(remote, call, reply, err);
    else if (facts.control)
        st = lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                            "BEGIN, COMMIT and their kin are not run many times");
    else
        st = exec_many(remote, sql, len, &facts, next, next_ctx, call, sink, ctx, reply, err);
    lsqi_sql_facts_release(&facts);
    return st;
}

/* One statement of a batch; notes what it does to the whole. */
static enum lsq_status add_item(struct call *call, size_t i, const struct lsq_batch_item *item,
                                const struct lsqi_sql_facts *facts, struct lsq_error *err) {
    struct lsqi_hrana_stmt stmt;
    struct lsqi_bound bound;
    enum lsq_status st;

    if (facts->command == LSQ_COMMAND_EMPTY)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no statement in the text");
    if (call->wrapped && (facts->command == LSQ_COMMAND_BEGIN || effect_of(facts) == EFFECT_ENDS))
        return lsqi_error_set(
            err, LSQ_IN_TRANSACTION,
            "the batch is a transaction already: it can hold neither BEGIN nor COMMIT "
            "nor ROLLBACK");
    if (call->pending.remote->reads && !facts->reads && !facts->control)
        return lsqi_call_refuse_write(err);
    st = lsqi_call_bind(item->sql, item->len, facts, &item->params, &bound, err);
    if (st != LSQ_OK) return st;
    stmt = (struct lsqi_hrana_stmt){
        .sql = bound.sql, .len = bound.len, .params = &bound.params, .want_rows = true};
    lsqi_hrana_batch_step(&call->x.body, &stmt, next_cond(call, i));
    lsqi_bound_release(&bound);
    call->commands[i] = facts->command;
    note_stream(call, item->sql, item->len, facts);
    if (facts->begins && call->x.tail == LSQI_TAIL_CLOSE) call->x.tail = LSQI_TAIL_ASK;
    if (effect_of(facts) != EFFECT_NONE) call->effect = effect_of(facts);
    call->writes = call->writes || !facts->reads;
    call->controls = call->controls || facts->control;
    call->by_sql = call->by_sql || facts->begins;
    if (call->wrapped || may_store(facts, call->x.held)) call->x.stores = true;
    return LSQ_OK;
}

static enum lsq_status add_items(struct call *call, const struct lsq_batch_item *items,
                                 size_t count, struct lsq_error *err) {
    for (size_t i = 0; i < count; i++) {
        struct lsqi_sql_facts facts;
        enum lsq_status st = lsqi_call_look(items[i].sql, items[i].len, &facts, err);

        if (st == LSQ_OK) {
            st = add_item(call, i, &items[i], &facts, err);
            lsqi_sql_facts_release(&facts);
        }
        if (st != LSQ_OK && err != NULL) err->statement = (int)i + 1;
        if (st != LSQ_OK) return st;
    }
    return LSQ_OK;
}

enum lsq_status lsqi_remote_batch(struct lsqi_remote *remote, const struct lsq_batch_item *items,
                                  size_t count, const struct lsq_call *options,
                                  const struct lsq_sink *sink, void *ctx, size_t *done,
                                  struct lsq_error *err) {
    bool wrapped = options != NULL && (options->flags & LSQ_CALL_TRANSACTION) != 0;
    enum lsq_status st = lsqi_pending_enter(remote, options, err);
    struct call *call;

    if (done != NULL) *done = 0;
    if (st != LSQ_OK) return st;
    if (wrapped && remote->baton != NULL) {
        lsqi_gate_end(remote->gate);
        return lsqi_error_set(err, LSQ_IN_TRANSACTION, "a transaction is open already");
    }
    if (count > 0) st = lsqi_remote_there(remote, err);
    if (count == 0 || st != LSQ_OK) {
        lsqi_gate_end(remote->gate);
        return st;
    }
    call = call_new(remote, SHAPE_BATCH, count, options, err);
    if (call == NULL) return LSQ_NOMEM;
    call->sink = sink;
    call->ctx = ctx;
    call->succeeded = done;
    call->wrapped = wrapped;
    call->x.tail = call->x.held ? LSQI_TAIL_ASK : LSQI_TAIL_CLOSE;
    begin_steps(call, "BEGIN");
    st = add_items(call, items, count, err);
    if (st != LSQ_OK) return call_drop(call, st);
    end_steps(call);
    return call_run(call, err);
}

/* The statements of a text; *items is allocated. */
static enum lsq_status split(const char *sql, size_t len, struct lsq_batch_item **items,
                             size_t *count, struct lsq_error *err) {
    size_t at = 0;
    size_t room = 0;

    *items = NULL;
    *count = 0;
    while (at += lsqi_sql_skip(sql + at, len - at, true), at < len) {
        size_t n = lsqi_sql_statement(sql + at, len - at);

        if (*count == room) {
            struct lsq_batch_item *more;

            room = room == 0 ? 16 : room * 2;
            more = lsqi_realloc(*items, room * sizeof(*more));
            if (more == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a batch");
            *items = more;
        }
        (*items)[(*count)++] = (struct lsq_batch_item){.sql = sql + at, .len = n};
        at += n;
    }
    return LSQ_OK;
}

enum lsq_status lsqi_remote_batch_sql(struct lsqi_remote *remote, const char *sql, size_t len,
                                      const struct lsq_call *call, const struct lsq_sink *sink,
                                      void *ctx, size_t *done, struct lsq_error *err) {
    enum lsq_status st = lsqi_sql_check(sql, len, err);
    struct lsq_batch_item *items;
    size_t count;

    if (st != LSQ_OK) return st;
    st = split(sql, len, &items, &count, err);
    if (st == LSQ_OK) st = lsqi_remote_batch(remote, items, count, call, sink, ctx, done, err);
    lsqi_free(items);
    return st;
}

/* ---- Transactions ---- */

static enum lsq_status run_text(struct lsqi_remote *remote, const char *sql, const char *then,
                                enum effect effect, enum lsqi_exchange_tail tail,
                                const struct lsq_call *options, struct call **out,
                                struct lsq_error *err) {
    const struct lsqi_hrana_stmt stmt = {.sql = sql, .len = strlen(sql)};
    struct call *call = call_new(remote, SHAPE_ONE, 1, options, err);

    (void)remote;
    if (call == NULL) return LSQ_NOMEM;
    call->effect = effect;
    call->controls = true;
    call->x.tail = tail;
    lsqi_hrana_execute(&call->x.body, &stmt);
    if (then != NULL) {
        const struct lsqi_hrana_stmt second = {.sql = then, .len = strlen(then)};

        lsqi_hrana_execute(&call->x.body, &second);
    }
    *out = call;
    return LSQ_OK;
}

enum lsq_status lsqi_remote_begin(struct lsqi_remote *remote, enum lsq_txn kind,
                                  const struct lsq_call *options, struct lsq_error *err) {
    static const char *const begin_sql[] = {
        [LSQ_TXN_DEFERRED] = "BEGIN DEFERRED",   [LSQ_TXN_IMMEDIATE] = "BEGIN IMMEDIATE",
        [LSQ_TXN_EXCLUSIVE] = "BEGIN EXCLUSIVE", [LSQ_TXN_READ] = "BEGIN DEFERRED",
        [LSQ_TXN_PATIENT] = "BEGIN DEFERRED",
    };
    /* BEGIN takes no snapshot: the first read does. */
    const char *then = kind == LSQ_TXN_READ ? "SELECT 1 FROM sqlite_schema LIMIT 1" : NULL;
    enum lsq_status st;
    struct call *call;

    if ((unsigned)kind > LSQ_TXN_PATIENT)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no transaction kind %d", (int)kind);
    st = lsqi_pending_enter(remote, options, err);
    if (st != LSQ_OK) return st;
    if (remote->baton != NULL) {
        lsqi_gate_end(remote->gate);
        return lsqi_error_set(err, LSQ_IN_TRANSACTION, "a transaction is open already");
    }
    remote->lost = false;
    st = run_text(remote, begin_sql[kind], then, EFFECT_BEGINS, LSQI_TAIL_ASK, options, &call, err);
    if (st != LSQ_OK) return st;
    call->read_only = kind == LSQ_TXN_READ;
    return call_run(call, err);
}

/* Enters the gate with a transaction open. */
static enum lsq_status enter_open(struct lsqi_remote *remote, const struct lsq_call *options,
                                  struct lsq_error *err) {
    enum lsq_status st = lsqi_pending_enter(remote, options, err);

    if (st != LSQ_OK || remote->baton != NULL) return st;
    st = lsqi_remote_there(remote, err);
    if (st == LSQ_OK) st = lsqi_error_set(err, LSQ_NO_TRANSACTION, "no transaction is open");
    remote->lost = false;
    lsqi_gate_end(remote->gate);
    return st;
}

enum lsq_status lsqi_remote_commit(struct lsqi_remote *remote, const struct lsq_call *options,
                                   struct lsq_error *err) {
    enum lsq_status st = enter_open(remote, options, err);
    struct call *call;

    if (st != LSQ_OK) return st;
    st = run_text(remote, "COMMIT", NULL, EFFECT_ENDS, LSQI_TAIL_CLOSE, options, &call, err);
    if (st != LSQ_OK) return st;
    call->x.stores = !remote->reads;
    return call_run(call, err);
}

enum lsq_status lsqi_remote_rollback(struct lsqi_remote *remote, const struct lsq_call *options,
                                     struct lsq_error *err) {
    enum lsq_status st = enter_open(remote, options, err);
    struct call *call;

    if (st != LSQ_OK) return st;
    st = run_text(remote, "ROLLBACK", NULL, EFFECT_ENDS, LSQI_TAIL_CLOSE, options, &call, err);
    if (st != LSQ_OK) return st;
    call->gives_up = true;
    return call_run(call, err);
}

enum lsq_status lsqi_remote_savepoint(struct lsqi_remote *remote, const char *sql,
                                      const struct lsq_call *options, struct lsq_error *err) {
    bool begins = strncmp(sql, "SAVEPOINT", 9) == 0;
    enum lsq_status st = lsqi_pending_enter(remote, options, err);
    struct call *call;

    if (st != LSQ_OK) return st;
    if (remote->baton == NULL && !begins) {
        lsqi_gate_end(remote->gate);
        return lsqi_error_set(err, LSQ_ERROR, "no such savepoint is open");
    }
    st = run_text(remote, sql, NULL, begins && remote->baton == NULL ? EFFECT_BEGINS : EFFECT_NONE,
                  LSQI_TAIL_ASK, options, &call, err);
    if (st != LSQ_OK) return st;
    call->x.stores = strncmp(sql, "RELEASE", 7) == 0;
    return call_run(call, err);
}
