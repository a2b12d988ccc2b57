/* Rows as they are asked for. The server's answer is one long exchange, which stands still between two fetches: the
 * network then does, too. Where the answer cannot wait (a statement that writes, a server without cursors, a stream
 * that is wanted for something else), its rows are read to the end and kept.
 *
 * Once it has begun, a cursor belongs to the I/O thread; fetches come there as posts. Only `over` and `abandoned` are
 * for both sides: the second of the two that lets go of the cursor frees it. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "hrana/encode.h"
#include "remote/stmt.h"

/* A fetch that waits for its rows. */
struct fetch {
    struct lsqi_pending pending;
    struct lsqi_cursor *cursor;
    const struct lsq_sink *sink;
    void *ctx;
    bool *end;
    size_t max_rows;
    unsigned flags;
    int timeout_ms;
    bool columns_told;
};

struct lsqi_cursor {
    struct lsqi_exchange x;
    struct lsqi_remote *remote;
    const struct lsqi_remote_stmt *stmt;
    char *sql; /* with numbers for names */
    size_t len;
    struct lsq_params params; /* a copy */
    bool begun;
    bool settled; /* the stream's place after it is known */
    /* the I/O thread, once it has begun */
    struct fetch *fetch;     /* NULL: nobody waits for rows */
    struct lsq_result *kept; /* the rest, or all, read to the end; NULL: rows go to fetches */
    size_t kept_next;
    char **columns; /* of the answer */
    char **types;
    size_t column_count;
    bool ran;      /* the statement has */
    bool draining; /* somebody waits for the stream */
    bool failed;   /* the statement did: */
    enum lsq_status st;
    struct lsq_error err;
    /* who is to be told that the stream is free; set before the post that begins to drain */
    void (*drained)(void *arg, enum lsq_status st, const struct lsq_error *err);
    void *drained_arg;
    int drain_ms;
    /* guarded by the gate's lock */
    bool over;
    bool abandoned;
};

static struct lsqi_cursor *cursor_of(struct lsqi_exchange *x) {
    return (struct lsqi_cursor *)(void *)x; /* its first member */
}

static void fetch_free(struct lsqi_pending *pending) { lsqi_free(pending); /* its first member */ }

/* ---- Columns, which each fetch is told ---- */

static void free_columns(struct lsqi_cursor *cursor) {
    for (size_t i = 0; i < cursor->column_count; i++) {
        if (cursor->columns != NULL) lsqi_free(cursor->columns[i]);
        if (cursor->types != NULL) lsqi_free(cursor->types[i]);
    }
    lsqi_free(cursor->columns);
    lsqi_free(cursor->types);
    cursor->columns = NULL;
    cursor->types = NULL;
    cursor->column_count = 0;
}

static bool copy_texts(char **copies, size_t count, const char *const *texts) {
    for (size_t i = 0; i < count; i++) {
        if (texts[i] == NULL) continue;
        copies[i] = lsqi_strndup(texts[i], strlen(texts[i]));
        if (copies[i] == NULL) return false;
    }
    return true;
}

static bool keep_columns(void *ctx, size_t count, const char *const *names) {
    struct lsqi_cursor *cursor = ctx;

    free_columns(cursor);
    cursor->columns = lsqi_calloc(count + 1, sizeof(*cursor->columns));
    cursor->types = lsqi_calloc(count + 1, sizeof(*cursor->types));
    cursor->column_count = count;
    if (cursor->columns == NULL || cursor->types == NULL) return false;
    if (!copy_texts(cursor->columns, count, names)) return false;
    return cursor->kept == NULL || lsq_result_columns(cursor->kept) > 0 ||
           lsq_result_sink()->columns(cursor->kept, count, names);
}

static bool keep_types(void *ctx, size_t count, const char *const *types) {
    struct lsqi_cursor *cursor = ctx;

    return copy_texts(cursor->types, count, types);
}

static bool tell_columns(struct lsqi_cursor *cursor, struct fetch *fetch) {
    const char *const *types = (const char *const *)cursor->types;

    if (fetch->columns_told || fetch->sink == NULL) return true;
    fetch->columns_told = true;
    if (!fetch->sink->columns(fetch->ctx, cursor->column_count,
                              (const char *const *)cursor->columns))
        return false;
    if ((fetch->flags & LSQ_CALL_TYPES) == 0 || fetch->sink->types == NULL) return true;
    return fetch->sink->types(fetch->ctx, cursor->column_count, types);
}

/* ---- Rows, to who waits for them or to be kept ---- */

struct target {
    const struct lsq_sink *sink;
    void *ctx;
};

static struct target target_of(struct lsqi_cursor *cursor) {
    if (cursor->kept != NULL) return (struct target){lsq_result_sink(), cursor->kept};
    return (struct target){cursor->fetch->sink, cursor->fetch->ctx};
}

static bool put_row_begin(void *ctx) {
    struct lsqi_cursor *cursor = ctx;
    struct target to = target_of(cursor);

    if (cursor->kept == NULL && !tell_columns(cursor, cursor->fetch)) return false;
    return to.sink == NULL || to.sink->row_begin == NULL || to.sink->row_begin(to.ctx);
}
static bool put_null(void *ctx) {
    struct target to = target_of(ctx);

    return to.sink == NULL || to.sink->null(to.ctx);
}
static bool put_integer(void *ctx, int64_t value) {
    struct target to = target_of(ctx);

    return to.sink == NULL || to.sink->integer(to.ctx, value);
}
static bool put_real(void *ctx, double value) {
    struct target to = target_of(ctx);

    return to.sink == NULL || to.sink->real(to.ctx, value);
}
static bool put_text(void *ctx, const char *text, size_t len) {
    struct target to = target_of(ctx);

    return to.sink == NULL || to.sink->text(to.ctx, text, len);
}
static bool put_blob(void *ctx, const void *data, size_t len) {
    struct target to = target_of(ctx);

    return to.sink == NULL || to.sink->blob(to.ctx, data, len);
}
static bool put_row_end(void *ctx) {
    struct target to = target_of(ctx);

    return to.sink == NULL || to.sink->row_end(to.ctx);
}

static const struct lsq_sink cursor_sink = {
    .columns = keep_columns,
    .row_begin = put_row_begin,
    .null = put_null,
    .integer = put_integer,
    .real = put_real,
    .text = put_text,
    .blob = put_blob,
    .row_end = put_row_end,
    .types = keep_types,
};

static const struct lsq_sink *on_sink(struct lsqi_exchange *x, size_t request, size_t step,
                                      void **ctx) {
    (void)request, (void)step;
    *ctx = x;
    return &cursor_sink;
}

static bool on_result(struct lsqi_exchange *x, const struct lsqi_hrana_result *r) {
    struct lsqi_cursor *cursor = cursor_of(x);

    if (r->kind == LSQI_HRANA_EXECUTE) cursor->ran = true;
    if (r->kind != LSQI_HRANA_ERROR || cursor->failed || r->request > 0) return true;
    cursor->failed = true;
    cursor->st = lsqi_remote_failure(&cursor->err, r->code, r->message);
    return true;
}

/* ---- The end of a fetch ---- */

static enum lsq_status no_memory(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_NOMEM, "%s", lsq_status_text(LSQ_NOMEM));
}

static void finish_fetch(struct lsqi_cursor *cursor, enum lsq_status st, struct lsq_error *err,
                         bool end) {
    struct fetch *fetch = cursor->fetch;
    struct lsq_error own;

    cursor->fetch = NULL;
    if (st == LSQ_OK && !tell_columns(cursor, fetch)) st = no_memory(err = &own);
    if (st == LSQ_OK) *fetch->end = end;
    if (cursor->x.held) cursor->remote->cursor = end || st != LSQ_OK ? NULL : cursor;
    lsqi_pending_end(&fetch->pending, st, err, fetch_free);
}

static bool push_value(const struct lsq_value *value, const struct fetch *fetch) {
    const struct lsq_sink *sink = fetch->sink;

    switch (value->type) {
    case LSQ_TYPE_INTEGER: return sink->integer(fetch->ctx, value->as.integer);
    case LSQ_TYPE_REAL: return sink->real(fetch->ctx, value->as.real);
    case LSQ_TYPE_TEXT: return sink->text(fetch->ctx, value->as.bytes.data, value->as.bytes.len);
    case LSQ_TYPE_BLOB: return sink->blob(fetch->ctx, value->as.bytes.data, value->as.bytes.len);
    default: return sink->null(fetch->ctx);
    }
}

static bool push_kept_row(const struct lsqi_cursor *cursor, size_t row) {
    const struct fetch *fetch = cursor->fetch;

    if (fetch->sink == NULL) return true;
    if (fetch->sink->row_begin != NULL && !fetch->sink->row_begin(fetch->ctx)) return false;
    for (size_t i = 0; i < lsq_result_columns(cursor->kept); i++) {
        struct lsq_value value = lsq_result_value(cursor->kept, row, i);

        if (!push_value(&value, fetch)) return false;
    }
    return fetch->sink->row_end(fetch->ctx);
}

static void serve_kept(struct lsqi_cursor *cursor) {
    size_t rows = lsq_result_rows(cursor->kept);
    struct lsq_error err;
    bool room = tell_columns(cursor, cursor->fetch);

    for (size_t n = cursor->fetch->max_rows; room && n > 0 && cursor->kept_next < rows; n--)
        room = push_kept_row(cursor, cursor->kept_next++);
    if (room)
        finish_fetch(cursor, LSQ_OK, NULL, cursor->kept_next == rows);
    else
        finish_fetch(cursor, no_memory(&err), &err, true);
}

/* All has come: what is there for who waits? */
static void serve_end(struct lsqi_cursor *cursor) {
    if (cursor->st != LSQ_OK)
        finish_fetch(cursor, cursor->st, &cursor->err, true);
    else if (cursor->kept != NULL)
        serve_kept(cursor);
    else
        finish_fetch(cursor, LSQ_OK, NULL, true);
}

/* ---- What the exchange tells ---- */

/* The stream's place comes with the answer's first line. A stream of the cursor's own is closed in the end. */
static void settle(struct lsqi_cursor *cursor) {
    if (cursor->settled || !cursor->x.held) return;
    cursor->settled = true;
    lsqi_remote_settle(cursor->remote, &cursor->x, false);
}

static void on_paused(struct lsqi_exchange *x) {
    struct lsqi_cursor *cursor = cursor_of(x);

    settle(cursor);
    finish_fetch(cursor, LSQ_OK, NULL, false);
}

static void destroy(struct lsqi_cursor *cursor) {
    lsq_result_free(cursor->kept);
    free_columns(cursor);
    lsqi_exchange_release(&cursor->x);
    lsqi_free((void *)cursor->params.values);
    lsqi_free(cursor->sql);
    lsqi_free(cursor);
}

/* Of a cursor that was let go of while its answer came. */
static void destroy_abandoned(struct lsqi_cursor *cursor) {
    struct lsqi_gate *gate = cursor->remote->gate;

    destroy(cursor);
    lsqi_gate_unref(gate);
}

static void close_own_stream(struct lsqi_cursor *cursor) {
    const char *baton = lsqi_exchange_baton(&cursor->x);

    if (!cursor->x.held && baton != NULL)
        lsqi_exchange_close_stream(cursor->x.server, baton, lsqi_exchange_base_url(&cursor->x));
}

/* What there is of the stream is no transaction any more. */
static void lose(struct lsqi_cursor *cursor) {
    if (lsqi_exchange_baton(&cursor->x) != NULL) lsqi_exchange_leave_stream(&cursor->x, false);
    lsqi_remote_lose(cursor->remote);
}

/* The whole answer says nothing of the statement: its condition, an open transaction, did not hold. */
static bool was_passed_over(const struct lsqi_cursor *cursor, enum lsq_status st) {
    const struct lsqi_exchange *x = &cursor->x;

    return x->held && !cursor->ran && !cursor->failed &&
           (st == LSQ_OK ||
            (st == LSQ_PROTOCOL_UNSUPPORTED && x->status == 200 && lsqi_exchange_baton(x) != NULL));
}

static void tell_drained(struct lsqi_cursor *cursor, enum lsq_status st,
                         const struct lsq_error *err) {
    cursor->draining = false;
    cursor->remote->cursor = NULL;
    cursor->drained(cursor->drained_arg, st, err);
}

/* Nobody waits: from `over` on, whoever lets go of the cursor frees it. */
static void end_unseen(struct lsqi_cursor *cursor) {
    bool abandoned;

    pthread_mutex_lock(cursor->x.lock);
    abandoned = cursor->abandoned;
    if (!abandoned) close_own_stream(cursor);
    cursor->over = true;
    pthread_mutex_unlock(cursor->x.lock);
    if (abandoned) destroy_abandoned(cursor);
}

/* Somebody does, so the cursor stays until he is told. */
static void end_seen(struct lsqi_cursor *cursor, enum lsq_status st, const struct lsq_error *err) {
    bool draining = cursor->draining;

    close_own_stream(cursor);
    /* The server says it once: who waits for the stream would run by himself. */
    if (st == LSQ_OK && cursor->st == LSQ_TRANSACTION_TIMEOUT) {
        st = cursor->st;
        err = &cursor->err;
    }
    if (st == LSQ_OK)
        settle(cursor);
    else if (cursor->x.held && !cursor->x.untouched)
        lose(cursor);
    pthread_mutex_lock(cursor->x.lock);
    cursor->over = true;
    pthread_mutex_unlock(cursor->x.lock);
    if (draining)
        tell_drained(cursor, st, err);
    else
        serve_end(cursor);
}

static void on_ended(struct lsqi_exchange *x, enum lsq_status st, struct lsq_error *err) {
    struct lsqi_cursor *cursor = cursor_of(x);

    lsqi_remote_note_stored(cursor->remote, x, st, st == LSQ_OK ? LSQ_OUTCOME_NONE : err->outcome);
    if (was_passed_over(cursor, st))
        st = lsqi_error_set(err, LSQ_TRANSACTION_TIMEOUT, "%s",
                            lsq_status_text(LSQ_TRANSACTION_TIMEOUT));
    if (st != LSQ_OK && cursor->st == LSQ_OK) {
        cursor->st = st;
        cursor->err = *err;
    }
    if (cursor->fetch != NULL || cursor->draining)
        end_seen(cursor, st, err);
    else
        end_unseen(cursor);
}

static const struct lsqi_exchange_hooks hooks = {
    .sink = on_sink,
    .result = on_result,
    .paused = on_paused,
    .ended = on_ended,
};

/* ---- Fetching ---- */

/* On the I/O thread. */
static void go_on(void *arg) {
    struct fetch *fetch = arg;
    struct lsqi_cursor *cursor = fetch->cursor;
    bool over;

    cursor->fetch = fetch;
    pthread_mutex_lock(cursor->x.lock);
    over = cursor->over;
    if (!over && cursor->kept == NULL)
        lsqi_exchange_go_on_locked(&cursor->x, fetch->max_rows, fetch->timeout_ms);
    pthread_mutex_unlock(cursor->x.lock);
    if (over) serve_end(cursor);
}

static enum lsq_status begin(struct lsqi_cursor *cursor, struct fetch *fetch,
                             struct lsq_error *err) {
    enum lsq_status st;

    cursor->fetch = fetch;
    cursor->x.timeout_ms = fetch->timeout_ms;
    cursor->x.allowed = cursor->kept == NULL ? fetch->max_rows : SIZE_MAX;
    cursor->x.held = cursor->remote->baton != NULL;
    cursor->begun = true;
    st = lsqi_exchange_begin(&cursor->x, err);
    if (st == LSQ_OK) return st;
    cursor->begun = false;
    cursor->fetch = NULL;
    return st;
}

static void stream_free(void *arg, enum lsq_status st, const struct lsq_error *why) {
    struct fetch *fetch = arg;
    struct lsqi_cursor *cursor = fetch->cursor;
    struct lsq_error err;

    if (st != LSQ_OK)
        err = *why;
    else if ((st = lsqi_remote_go_on(cursor->remote, &cursor->x, &err)) == LSQ_OK)
        st = begin(cursor, fetch, &err);
    if (st == LSQ_OK) return;
    cursor->fetch = fetch;
    finish_fetch(cursor, st, &err, true);
}

/* The fetch is in the call. */
static enum lsq_status run(struct lsqi_cursor *cursor, struct fetch *fetch, struct lsq_error *err) {
    struct lsqi_remote *remote = cursor->remote;
    enum lsq_status st;

    if (!cursor->begun && remote->cursor != NULL) {
        st = lsqi_exchange_keep(&cursor->x, err);
        if (st != LSQ_OK) return st;
        return lsqi_cursor_drain(remote->cursor, fetch->timeout_ms, stream_free, fetch, err);
    }
    lsqi_remote_running(remote, &cursor->x);
    return cursor->begun ? lsqi_http_post(go_on, fetch, err) : begin(cursor, fetch, err);
}

static struct fetch *fetch_new(struct lsqi_cursor *cursor, size_t max_rows,
                               const struct lsq_call *call, const struct lsq_sink *sink, void *ctx,
                               bool *end) {
    struct fetch *fetch = lsqi_calloc(1, sizeof(*fetch));

    if (fetch == NULL) return NULL;
    lsqi_pending_init(&fetch->pending, cursor->remote, call);
    fetch->cursor = cursor;
    fetch->max_rows = max_rows;
    fetch->flags = call == NULL ? 0 : call->flags;
    fetch->timeout_ms = lsqi_call_timeout(cursor->remote, call);
    fetch->sink = sink;
    fetch->ctx = ctx;
    fetch->end = end;
    return fetch;
}

/* Builds the request, by what the connection is in when the first row is asked for. */
static enum lsq_status prepare(struct lsqi_cursor *cursor, const struct lsq_call *call,
                               struct lsq_error *err) {
    const struct lsqi_remote_stmt *stmt = cursor->stmt;
    struct lsqi_remote *remote = cursor->remote;
    bool held = remote->baton != NULL;
    /* A stream of a WebSocket has no answer that can wait: it is shared. */
    bool streams =
        lsqi_server_version(&remote->server) >= 3 && !lsqi_exchange_is_on_socket(remote->base_url);
    const struct lsqi_hrana_stmt run = {
        .sql = cursor->sql, .len = cursor->len, .params = &cursor->params, .want_rows = true};
    /* A transaction that the server has ended is not always told, and the statement would run by itself. */
    const struct lsqi_hrana_cond cond = {.kind = held && lsqi_server_version(&remote->server) >= 3
                                                     ? LSQI_HRANA_IF_IN_TXN
                                                     : LSQI_HRANA_ALWAYS};
    struct lsqi_buf *body = &cursor->x.body;
    enum lsq_status st = lsqi_remote_there(remote, err);

    if (st != LSQ_OK) return st;
    if (remote->reads && !stmt->facts.reads) return lsqi_call_refuse_write(err);
    lsqi_buf_reset(body);
    if (streams) {
        (void)lsqi_hrana_cursor(body, remote->baton, &run, cond);
    } else {
        lsqi_hrana_begin(body, remote->baton);
        lsqi_hrana_batch_begin(body);
        lsqi_hrana_batch_step(body, &run, cond);
        lsqi_hrana_batch_end(body);
    }
    cursor->x.server = &remote->server;
    cursor->x.hooks = &hooks;
    cursor->x.base_url = remote->base_url;
    cursor->x.traceparent = call == NULL ? NULL : call->traceparent;
    cursor->x.form = streams ? LSQI_HRANA_CURSOR : LSQI_HRANA_PIPELINE;
    cursor->x.tail = streams ? LSQI_TAIL_NONE : held ? LSQI_TAIL_ASK : LSQI_TAIL_CLOSE;
    cursor->x.stores = !held && !stmt->facts.reads;
    cursor->x.known = lsqi_remote_known(cursor->remote);
    cursor->x.reads = stmt->facts.reads;
    cursor->x.types = true;
    cursor->x.looks = true;
    if (streams && stmt->facts.reads) return LSQ_OK;
    return cursor->kept == NULL ? lsq_result_new(&cursor->kept, err) : LSQ_OK;
}

enum lsq_status lsqi_cursor_fetch(struct lsqi_cursor *cursor, size_t max_rows,
                                  const struct lsq_call *call, const struct lsq_sink *sink,
                                  void *ctx, bool *end, struct lsq_error *err) {
    struct lsqi_remote *remote = cursor->remote;
    enum lsq_status st = cursor->begun ? LSQ_OK : prepare(cursor, call, err);
    struct fetch *fetch;
    bool waits;

    fetch = st == LSQ_OK ? fetch_new(cursor, max_rows, call, sink, ctx, end) : NULL;
    if (fetch == NULL) {
        lsqi_gate_end(remote->gate);
        return st == LSQ_OK ? no_memory(err) : st;
    }
    waits = fetch->pending.done == NULL;
    st = run(cursor, fetch, err);
    if (st != LSQ_OK) {
        lsqi_remote_running(remote, NULL);
        lsqi_gate_end(remote->gate);
        lsqi_free(fetch);
        return st;
    }
    if (!waits) return LSQ_PENDING;
    st = lsqi_pending_wait(&fetch->pending, err);
    lsqi_free(fetch);
    return st;
}

/* ---- Letting go of the stream ---- */

/* On the I/O thread. */
static void drain(void *arg) {
    struct lsqi_cursor *cursor = arg;
    bool over;

    cursor->draining = true;
    pthread_mutex_lock(cursor->x.lock);
    over = cursor->over;
    if (!over) lsqi_exchange_go_on_locked(&cursor->x, SIZE_MAX, cursor->drain_ms);
    pthread_mutex_unlock(cursor->x.lock);
    if (!over) return;
    if (cursor->st != LSQ_OK && !cursor->failed) lsqi_remote_lose(cursor->remote);
    tell_drained(cursor, cursor->failed ? LSQ_OK : cursor->st, &cursor->err);
}

enum lsq_status lsqi_cursor_drain(struct lsqi_cursor *cursor, int timeout_ms,
                                  void (*fn)(void *arg, enum lsq_status st,
                                             const struct lsq_error *err),
                                  void *arg, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    if (cursor->kept == NULL) st = lsq_result_new(&cursor->kept, err);
    if (st != LSQ_OK) return st;
    if (lsq_result_columns(cursor->kept) == 0 &&
        !lsq_result_sink()->columns(cursor->kept, cursor->column_count,
                                    (const char *const *)cursor->columns))
        return no_memory(err);
    cursor->drained = fn;
    cursor->drained_arg = arg;
    cursor->drain_ms = timeout_ms;
    lsqi_remote_running(cursor->remote, &cursor->x);
    return lsqi_http_post(drain, cursor, err);
}

/* ---- Life ---- */

static bool has_bytes(const struct lsq_value *value) {
    return value->type == LSQ_TYPE_TEXT || value->type == LSQ_TYPE_BLOB;
}

/* In one block: the values, then their bytes. NULL: no memory. */
static struct lsq_value *copy_values(const struct lsq_params *params) {
    size_t size = (params->count + 1) * sizeof(struct lsq_value);
    struct lsq_value *values;
    char *bytes;

    for (size_t i = 0; i < params->count; i++)
        if (has_bytes(&params->values[i])) size += params->values[i].as.bytes.len;
    values = lsqi_malloc(size);
    if (values == NULL) return NULL;
    bytes = (char *)(values + params->count + 1);
    for (size_t i = 0; i < params->count; i++) {
        values[i] = params->values[i];
        if (!has_bytes(&values[i])) continue;
        if (values[i].as.bytes.len > 0)
            memcpy(bytes, values[i].as.bytes.data, values[i].as.bytes.len);
        values[i].as.bytes.data = bytes;
        bytes += values[i].as.bytes.len;
    }
    return values;
}

enum lsq_status lsqi_cursor_new(struct lsqi_cursor **out, struct lsqi_remote_stmt *stmt,
                                const struct lsq_params *params, struct lsq_error *err) {
    struct lsqi_cursor *cursor;
    struct lsqi_bound bound;
    enum lsq_status st = lsqi_call_bind(stmt->sql, stmt->len, &stmt->facts, params, &bound, err);

    if (st != LSQ_OK) return st;
    cursor = lsqi_calloc(1, sizeof(*cursor));
    if (cursor != NULL) cursor->params.values = copy_values(&bound.params);
    if (cursor != NULL) cursor->params.count = bound.params.count;
    if (cursor != NULL) cursor->sql = lsqi_strndup(bound.sql, bound.len);
    if (cursor != NULL) cursor->len = bound.len;
    lsqi_bound_release(&bound);
    if (cursor == NULL || cursor->params.values == NULL || cursor->sql == NULL) {
        if (cursor != NULL) destroy(cursor);
        return no_memory(err);
    }
    cursor->remote = stmt->remote;
    cursor->stmt = stmt;
    cursor->x.lock = &stmt->remote->gate->lock;
    *out = cursor;
    return LSQ_OK;
}

void lsqi_cursor_free(struct lsqi_cursor *cursor) {
    struct lsqi_gate *gate;
    bool over;

    if (cursor == NULL) return;
    gate = cursor->remote->gate;
    if (cursor->remote->cursor == cursor) cursor->remote->cursor = NULL;
    pthread_mutex_lock(&gate->lock);
    over = cursor->over || !cursor->begun;
    if (!over) {
        close_own_stream(cursor);
        cursor->abandoned = true;
        gate->refs++; /* its exchange uses the server until it has ended */
        lsqi_exchange_call_off_locked(&cursor->x);
    }
    pthread_mutex_unlock(&gate->lock);
    if (over) destroy(cursor);
}
