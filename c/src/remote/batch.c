#include "remote/call.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

/* The number of a stored text, which is one of its stream, or of its WebSocket. */
static int32_t next_stored_sql(void) {
    /* Process-wide: the last one given. */
    static atomic_uint last;

    return (int32_t)(atomic_fetch_add(&last, 1) & 0x3fffffff) + 1;
}

static void add_text_step(struct lsqi_call *call, const char *sql, struct lsqi_hrana_cond cond) {
    const struct lsqi_hrana_stmt stmt = {.sql = sql, .len = strlen(sql)};

    lsqi_hrana_batch_step(&call->x.body, &stmt, cond);
}

static struct lsqi_hrana_cond if_ok(size_t step) {
    return (struct lsqi_hrana_cond){.kind = LSQI_HRANA_IF_OK, .step = step};
}

/* Each step goes on where the one before it succeeded. */
static struct lsqi_hrana_cond next_cond(const struct lsqi_call *call, size_t statement) {
    if (call->wrapped) return if_ok(statement);
    if (statement > 0) return if_ok(statement - 1);
    /* A transaction that the server has ended is told once only, and what follows would be stored. */
    return (struct lsqi_hrana_cond){.kind =
                                        call->in_txn ? LSQI_HRANA_IF_IN_TXN : LSQI_HRANA_ALWAYS};
}

static void begin_steps(struct lsqi_call *call, const char *begin) {
    lsqi_hrana_batch_begin(&call->x.body);
    if (call->wrapped)
        add_text_step(call, begin, (struct lsqi_hrana_cond){.kind = LSQI_HRANA_ALWAYS});
}

static void end_steps(struct lsqi_call *call) {
    size_t commit = call->count + 1;

    if (call->wrapped) {
        add_text_step(call, "COMMIT", if_ok(commit - 1));
        add_text_step(call, "ROLLBACK",
                      (struct lsqi_hrana_cond){.kind = LSQI_HRANA_IF_NOT_OK, .step = commit});
    }
    lsqi_hrana_batch_end(&call->x.body);
}

/* The rows of parameters, as they come; *count of them. */
static enum lsq_status add_rows(struct lsqi_call *call, const char *sql, size_t len,
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

        if (st == LSQ_OK) {
            lsqi_hrana_batch_step(&call->x.body, &stmt, next_cond(call, call->count));
            lsqi_bound_release(&bound);
        }
        call->count++;
        if (st != LSQ_OK && err != NULL) err->statement = (int)call->count;
        if (st != LSQ_OK) return st;
    }
    if (got == 0) return LSQ_OK;
    lsqi_error_set(err, LSQ_PARAMETERS, "%s", why);
    if (err != NULL) err->statement = (int)call->count + 1;
    return LSQ_PARAMETERS;
}

static enum lsq_status store_sql(struct lsqi_call *call, const char *sql, size_t len,
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
    enum lsq_status st = lsqi_pending_enter(remote, NULL, options, err);
    struct lsqi_call *call;

    if (st != LSQ_OK) return st;
    st = remote->reads && !facts->reads ? lsqi_call_refuse_write(err)
                                        : lsqi_remote_there(remote, err);
    if (st != LSQ_OK) {
        lsqi_gate_end(remote->gate);
        return st;
    }
    call = lsqi_call_new(remote, LSQI_SHAPE_MANY, 0, options, err);
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
    lsqi_call_note_stream(call, sql, len, facts);
    st = store_sql(call, sql, len, facts, err);
    if (st != LSQ_OK) return lsqi_call_drop(call, st);
    begin_steps(call, "BEGIN IMMEDIATE");
    st = add_rows(call, sql, len, facts, next, next_ctx, err);
    if (st != LSQ_OK) return lsqi_call_drop(call, st);
    end_steps(call);
    lsqi_hrana_close_sql(&call->x.body, call->stored_sql);
    return lsqi_call_run(call, err);
}

enum lsq_status lsqi_remote_exec_many(struct lsqi_remote *remote, const char *sql, size_t len,
                                      lsq_next_params *next, void *next_ctx,
                                      const struct lsq_call *call, const struct lsq_sink *sink,
                                      void *ctx, struct lsq_reply *reply, struct lsq_error *err) {
    struct lsqi_sql_facts facts;
    enum lsq_status st = lsqi_call_look(sql, len, &facts, err);

    if (st != LSQ_OK) return st;
    if (facts.command == LSQ_COMMAND_EMPTY)
        st = lsqi_call_nothing(remote, call, reply, err);
    else if (facts.control)
        st = lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                            "BEGIN, COMMIT and their kin are not run many times");
    else
        st = exec_many(remote, sql, len, &facts, next, next_ctx, call, sink, ctx, reply, err);
    lsqi_sql_facts_release(&facts);
    return st;
}

/* One statement of a batch; notes what it does to the whole. */
static enum lsq_status add_item(struct lsqi_call *call, size_t i, const struct lsq_batch_item *item,
                                const struct lsqi_sql_facts *facts, struct lsq_error *err) {
    struct lsqi_hrana_stmt stmt;
    struct lsqi_bound bound;
    enum lsq_status st;

    if (facts->command == LSQ_COMMAND_EMPTY)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no statement in the text");
    if (call->wrapped &&
        (facts->command == LSQ_COMMAND_BEGIN || lsqi_call_effect(facts) == LSQI_EFFECT_ENDS))
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
    lsqi_call_note_stream(call, item->sql, item->len, facts);
    if (facts->begins && call->x.tail == LSQI_TAIL_CLOSE) call->x.tail = LSQI_TAIL_ASK;
    if (lsqi_call_effect(facts) != LSQI_EFFECT_NONE) call->effect = lsqi_call_effect(facts);
    call->writes = call->writes || !facts->reads;
    call->controls = call->controls || facts->control;
    call->by_sql = call->by_sql || facts->begins;
    if (call->wrapped || lsqi_call_may_store(facts, call->x.held)) call->x.stores = true;
    return LSQ_OK;
}

static enum lsq_status add_items(struct lsqi_call *call, const struct lsq_batch_item *items,
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
    enum lsq_status st = lsqi_pending_enter(remote, NULL, options, err);
    struct lsqi_call *call;

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
    call = lsqi_call_new(remote, LSQI_SHAPE_BATCH, count, options, err);
    if (call == NULL) return LSQ_NOMEM;
    call->sink = sink;
    call->ctx = ctx;
    call->succeeded = done;
    call->wrapped = wrapped;
    call->x.tail = call->x.held ? LSQI_TAIL_ASK : LSQI_TAIL_CLOSE;
    begin_steps(call, "BEGIN");
    st = add_items(call, items, count, err);
    if (st != LSQ_OK) return lsqi_call_drop(call, st);
    end_steps(call);
    return lsqi_call_run(call, err);
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
