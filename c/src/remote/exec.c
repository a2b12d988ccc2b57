#include "remote/call.h"

#include "base/error.h"

static enum lsq_status add_statement(struct lsqi_call *call, const char *sql, size_t len,
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

enum lsq_status lsqi_call_nothing(struct lsqi_remote *remote, const struct lsq_call *options,
                                  struct lsq_reply *reply, struct lsq_error *err) {
    enum lsq_status st = lsqi_pending_enter(remote, NULL, options, err);

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

static bool ends_what_is_lost(const struct lsqi_remote *remote,
                              const struct lsqi_sql_facts *facts) {
    return remote->lost && facts->control && !facts->begins;
}

/* COMMIT cannot be had any more; ROLLBACK has been done. Leaves the gate. */
static enum lsq_status end_what_is_lost(struct lsqi_remote *remote,
                                        const struct lsqi_sql_facts *facts, struct lsq_reply *reply,
                                        struct lsq_error *err) {
    enum lsq_status st =
        facts->command == LSQ_COMMAND_ROLLBACK ? LSQ_OK : lsqi_remote_there(remote, err);

    remote->lost = false;
    if (st == LSQ_OK && reply != NULL)
        *reply = (struct lsq_reply){
            .command = LSQ_COMMAND_ROLLBACK, .last_rowid = remote->last_rowid, .autocommit = true};
    lsqi_gate_end(remote->gate);
    return st;
}

enum lsq_status lsqi_call_exec(struct lsqi_remote *remote, const void *whose, const char *sql,
                               size_t len, const struct lsqi_sql_facts *facts,
                               const struct lsq_params *params, const struct lsq_call *options,
                               const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                               struct lsq_error *err) {
    enum lsq_status st = lsqi_pending_enter(remote, whose, options, err);
    struct lsqi_call *call;

    if (st != LSQ_OK) return st;
    if (ends_what_is_lost(remote, facts)) return end_what_is_lost(remote, facts, reply, err);
    st = allowed(remote, facts, options, err);
    if (st != LSQ_OK) {
        lsqi_gate_end(remote->gate);
        return st;
    }
    call = lsqi_call_new(remote, LSQI_SHAPE_ONE, 1, options, err);
    if (call == NULL) return LSQ_NOMEM;
    call->sink = sink;
    call->ctx = ctx;
    call->reply = reply;
    call->commands[0] = facts->command;
    call->effect = lsqi_call_effect(facts);
    call->x.stores = lsqi_call_may_store(facts, call->x.held);
    call->x.reads = facts->reads;
    call->writes = !facts->reads;
    call->controls = facts->control;
    call->by_sql = facts->begins;
    lsqi_call_note_stream(call, sql, len, facts);
    call->x.tail = call->x.held || facts->begins ? LSQI_TAIL_ASK : LSQI_TAIL_CLOSE;
    st = add_statement(call, sql, len, facts, params, err);
    return st == LSQ_OK ? lsqi_call_run(call, err) : lsqi_call_drop(call, st);
}

enum lsq_status lsqi_remote_exec(struct lsqi_remote *remote, const char *sql, size_t len,
                                 const struct lsq_params *params, const struct lsq_call *call,
                                 const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                 struct lsq_error *err) {
    struct lsqi_sql_facts facts;
    enum lsq_status st = lsqi_call_look(sql, len, &facts, err);

    if (st != LSQ_OK) return st;
    if (facts.command == LSQ_COMMAND_EMPTY)
        st = lsqi_call_nothing(remote, call, reply, err);
    else
        st = lsqi_call_exec(remote, NULL, sql, len, &facts, params, call, sink, ctx, reply, err);
    lsqi_sql_facts_release(&facts);
    return st;
}

enum lsq_status lsqi_call_describe(struct lsqi_remote_stmt *stmt, struct lsqi_remote_stmt **out,
                                   const struct lsq_call *options, struct lsq_error *err) {
    struct lsqi_remote *remote = stmt->remote;
    enum lsq_status st = lsqi_hrana_check(stmt->sql, stmt->len, NULL, err);
    struct lsqi_call *call;

    if (st == LSQ_OK) st = lsqi_pending_enter(remote, stmt->handle, options, err);
    call = st == LSQ_OK ? lsqi_call_new(remote, LSQI_SHAPE_ONE, 1, options, err) : NULL;
    if (call == NULL) {
        lsqi_remote_stmt_free(stmt);
        return st == LSQ_OK ? LSQ_NOMEM : st;
    }
    call->described = stmt;
    call->x.reads = true;
    call->x.looks = lsqi_call_has_star(stmt->sql, stmt->len);
    call->stmt = out;
    call->x.tail = call->x.held ? LSQI_TAIL_ASK : LSQI_TAIL_CLOSE;
    lsqi_hrana_describe(&call->x.body, stmt->sql, stmt->len);
    return lsqi_call_run(call, err);
}
