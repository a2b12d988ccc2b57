#include "remote/call.h"

#include <string.h>

#include "base/error.h"

static enum lsq_status run_text(struct lsqi_remote *remote, const char *sql, const char *then,
                                enum lsqi_effect effect, enum lsqi_exchange_tail tail,
                                const struct lsq_call *options, struct lsqi_call **out,
                                struct lsq_error *err) {
    const struct lsqi_hrana_stmt stmt = {.sql = sql, .len = strlen(sql)};
    struct lsqi_call *call = lsqi_call_new(remote, LSQI_SHAPE_ONE, 1, options, err);

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
    struct lsqi_call *call;

    if ((unsigned)kind > LSQ_TXN_PATIENT)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "there is no transaction kind %d", (int)kind);
    st = lsqi_pending_enter(remote, NULL, options, err);
    if (st != LSQ_OK) return st;
    if (remote->baton != NULL) {
        lsqi_gate_end(remote->gate);
        return lsqi_error_set(err, LSQ_IN_TRANSACTION, "a transaction is open already");
    }
    remote->lost = false;
    st = run_text(remote, begin_sql[kind], then, LSQI_EFFECT_BEGINS, LSQI_TAIL_ASK, options, &call,
                  err);
    if (st != LSQ_OK) return st;
    call->read_only = kind == LSQ_TXN_READ;
    return lsqi_call_run(call, err);
}

/* Enters the gate with a transaction open. */
static enum lsq_status enter_open(struct lsqi_remote *remote, const struct lsq_call *options,
                                  struct lsq_error *err) {
    enum lsq_status st = lsqi_pending_enter(remote, NULL, options, err);

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
    struct lsqi_call *call;

    if (st != LSQ_OK) return st;
    st = run_text(remote, "COMMIT", NULL, LSQI_EFFECT_ENDS, LSQI_TAIL_CLOSE, options, &call, err);
    if (st != LSQ_OK) return st;
    call->x.stores = !remote->reads;
    return lsqi_call_run(call, err);
}

enum lsq_status lsqi_remote_rollback(struct lsqi_remote *remote, const struct lsq_call *options,
                                     struct lsq_error *err) {
    enum lsq_status st = enter_open(remote, options, err);
    struct lsqi_call *call;

    if (st != LSQ_OK) return st;
    st = run_text(remote, "ROLLBACK", NULL, LSQI_EFFECT_ENDS, LSQI_TAIL_CLOSE, options, &call, err);
    if (st != LSQ_OK) return st;
    call->gives_up = true;
    return lsqi_call_run(call, err);
}

enum lsq_status lsqi_remote_savepoint(struct lsqi_remote *remote, const char *sql,
                                      const struct lsq_call *options, struct lsq_error *err) {
    bool begins = strncmp(sql, "SAVEPOINT", 9) == 0;
    enum lsq_status st = lsqi_pending_enter(remote, NULL, options, err);
    struct lsqi_call *call;

    if (st != LSQ_OK) return st;
    if (remote->baton == NULL && !begins) {
        lsqi_gate_end(remote->gate);
        return lsqi_error_set(err, LSQ_ERROR, "no such savepoint is open");
    }
    st = run_text(remote, sql, NULL,
                  begins && remote->baton == NULL ? LSQI_EFFECT_BEGINS : LSQI_EFFECT_NONE,
                  LSQI_TAIL_ASK, options, &call, err);
    if (st != LSQ_OK) return st;
    call->x.stores = strncmp(sql, "RELEASE", 7) == 0;
    return lsqi_call_run(call, err);
}
