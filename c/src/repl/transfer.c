#include "repl/transfer.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

enum {
    MOST_KEPT = 4 * 1024 * 1024, /* bytes of frames that wait to be taken */
    ENOUGH = 1024 * 1024,        /* bytes of frames for which who takes them is woken */
    LOOK_MS = 20,
    MOST_REFUSAL = 16 * 1024
};

/* A frame as it is kept: this, and the page behind it. */
struct kept {
    struct lsqi_frame frame;
    size_t len;
};

struct transfer {
    const struct lsqi_transfer_call *call;
    /* the I/O thread's, until done is true; of it: status, refused, refusal, location */
    struct lsqi_transfer_end *said;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    struct lsqi_http *http; /* NULL: it has ended */
    struct lsqi_buf kept;
    bool paused;
    bool done;
    uint64_t bytes;
    enum lsq_status broken; /* the answer is none, or memory ran out */
    struct lsq_error why;
    struct lsqi_http_end end;
    char message[256];
    char phase[16];
};

/* ---- On the I/O thread ---- */

static bool on_frame(void *arg, const struct lsqi_frame *frame, const void *data, size_t len) {
    struct transfer *t = arg;
    struct kept head = {.frame = *frame, .len = len};

    /* Both or none: what was kept is told even where memory ran out then. */
    if (!lsqi_buf_reserve(&t->kept, sizeof(head) + len)) return false;
    lsqi_buf_add(&t->kept, &head, sizeof(head));
    lsqi_buf_add(&t->kept, data, len);
    return true;
}

static void on_head(void *arg, const struct lsqi_http_head *head) {
    struct transfer *t = arg;
    struct lsqi_decoder *decoder = t->call->decoder;

    t->said->status = head->status;
    (void)snprintf(t->said->location, sizeof(t->said->location), "%s", head->location);
    t->said->refused = !decoder->head(decoder, head);
}

/* Takes all or nothing. */
static size_t take_locked(struct transfer *t, const char *data, size_t len) {
    if (t->kept.len >= MOST_KEPT) {
        t->paused = true;
        return 0;
    }
    t->bytes += len;
    if (t->said->refused) {
        size_t room = MOST_REFUSAL - t->said->refusal.len;

        lsqi_buf_add(&t->said->refusal, data, len < room ? len : room);
        return len;
    }
    t->broken = t->call->decoder->feed(t->call->decoder, data, len, &t->why);
    return t->broken == LSQ_OK ? len : LSQI_HTTP_STOP;
}

static size_t on_body(void *arg, const char *data, size_t len) {
    struct transfer *t = arg;
    size_t took;

    pthread_mutex_lock(&t->lock);
    took = take_locked(t, data, len);
    if (t->kept.len >= ENOUGH) pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return took;
}

static void on_done(void *arg, const struct lsqi_http_end *end) {
    struct transfer *t = arg;

    pthread_mutex_lock(&t->lock);
    t->http = NULL;
    t->end = *end;
    lsqi_error_copy(t->message, sizeof(t->message), end->message == NULL ? "" : end->message,
                    end->message == NULL ? 0 : strlen(end->message));
    (void)snprintf(t->phase, sizeof(t->phase), "%s", end->phase == NULL ? "answer" : end->phase);
    t->done = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

/* ---- Sending ---- */

static enum lsq_status start(struct transfer *t, struct lsq_error *err) {
    static const struct lsqi_http_events events = {
        .head = on_head, .body = on_body, .done = on_done};
    const struct lsqi_transfer_call *call = t->call;
    const struct lsqi_http_request request = {
        .peer = call->server->peer,
        .url = call->address->url,
        .headers = call->address->headers,
        .body = call->body == NULL ? NULL : call->body->data,
        .body_len = call->body == NULL ? 0 : call->body->len,
        .connect_ms = call->server->connect_ms,
        .first_byte_ms = call->server->first_byte_ms,
        .events = &events,
        .arg = t,
    };
    enum lsq_status st;

    pthread_mutex_lock(&t->lock); /* done() may come before http is set */
    st = lsqi_http_start(&t->http, &request, err);
    pthread_mutex_unlock(&t->lock);
    return st;
}

/* ---- Taking ---- */

static enum lsq_status tell(const struct transfer *t, const struct lsqi_buf *kept,
                            struct lsq_error *err) {
    const struct lsqi_transfer_call *call = t->call;
    enum lsq_status st = LSQ_OK;
    struct kept head;

    for (size_t at = 0; at < kept->len && st == LSQ_OK; at += sizeof(head) + head.len) {
        memcpy(&head, kept->data + at, sizeof(head));
        st = call->frame(call->arg, &head.frame, kept->data + at + sizeof(head), head.len, err);
    }
    if (st == LSQ_OK && kept->len > 0 && call->pause != NULL) st = call->pause(call->arg, err);
    return st;
}

static bool stalls(const struct transfer *t, uint64_t *seen, int64_t *since) {
    int64_t now = lsqi_now_ns();

    if (t->bytes != *seen || t->paused) *since = now;
    *seen = t->bytes;
    return t->call->stall_ms > 0 && now - *since > (int64_t)t->call->stall_ms * 1000000;
}

static void cancel(struct transfer *t) {
    pthread_mutex_lock(&t->lock);
    if (t->http != NULL) lsqi_http_cancel(t->http);
    while (!t->done) pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

/* Waits for frames or the end, and takes what there is. False: *st says why it is given up. */
static bool await(struct transfer *t, struct lsqi_buf *taken, bool *done, enum lsq_status *st,
                  struct lsq_error *err) {
    struct lsqi_buf empty = *taken;
    int64_t since = lsqi_now_ns();
    uint64_t seen;
    bool ok = true;

    empty.len = 0;
    pthread_mutex_lock(&t->lock);
    seen = t->bytes;
    while (ok && !t->done && t->kept.len < ENOUGH) {
        lsqi_wait_ms_locked(&t->changed, &t->lock, LOOK_MS);
        if (t->call->stop != NULL && t->call->stop(t->call->arg)) {
            *st = lsqi_error_set(err, LSQ_INTERRUPTED, "the sync was ended: nobody wants it");
            ok = false;
        } else if (stalls(t, &seen, &since)) {
            *st = lsqi_error_set(err, LSQ_TIMEOUT, "the server has sent nothing for %d ms",
                                 t->call->stall_ms);
            if (err != NULL) err->transient = true;
            ok = false;
        }
    }
    *taken = t->kept;
    t->kept = empty;
    *done = t->done;
    if (t->paused && t->http != NULL) lsqi_http_resume(t->http, 0);
    t->paused = false;
    pthread_mutex_unlock(&t->lock);
    return ok;
}

/* ---- What it came to ---- */

static enum lsq_status of_transport(const struct transfer *t, struct lsq_error *err) {
    static const struct {
        enum lsq_status status;
        bool transient;
    } of[] = {
        [LSQI_HTTP_UNREACHABLE] = {LSQ_UNREACHABLE, true},
        [LSQI_HTTP_TLS] = {LSQ_TLS, false},
        [LSQI_HTTP_TIMEOUT] = {LSQ_TIMEOUT, true},
        [LSQI_HTTP_BROKEN] = {LSQ_CONNECTION_LOST, true},
        [LSQI_HTTP_TOO_BIG] = {LSQ_RESPONSE_TOO_LARGE, false},
        [LSQI_HTTP_CANCELLED] = {LSQ_INTERRUPTED, false},
        [LSQI_HTTP_FAILED] = {LSQ_ERROR, false},
    };
    enum lsq_status st = of[t->end.kind].status;

    lsqi_error_set(err, st, "%s: %s%s", lsq_status_text(st), t->message,
                   t->end.kind == LSQI_HTTP_TIMEOUT ? " (a time-out)" : "");
    if (err != NULL) err->transient = of[t->end.kind].transient;
    return st;
}

static enum lsq_status judge(const struct transfer *t, struct lsqi_transfer_end *end,
                             struct lsq_error *err) {
    if (t->broken != LSQ_OK) {
        if (err != NULL) *err = t->why;
        return t->broken;
    }
    if (t->end.kind != LSQI_HTTP_DONE) {
        end->transport = t->end.kind == LSQI_HTTP_UNREACHABLE || t->end.kind == LSQI_HTTP_TIMEOUT ||
                         t->end.kind == LSQI_HTTP_BROKEN;
        return of_transport(t, err);
    }
    end->whole = true;
    end->transport = end->status == 502 || end->status == 503 || end->status == 504;
    return LSQ_OK;
}

static enum lsq_status take_all(struct transfer *t, struct lsq_error *err) {
    struct lsqi_buf taken = {0};
    enum lsq_status st = LSQ_OK;
    bool done = false;

    while (st == LSQ_OK && !done) {
        enum lsq_status told;
        bool ok = await(t, &taken, &done, &st, err);

        told = tell(t, &taken, ok ? err : NULL);
        if (st == LSQ_OK) st = told;
    }
    lsqi_buf_release(&taken);
    return st;
}

enum lsq_status lsqi_transfer_run(const struct lsqi_transfer_call *call,
                                  struct lsqi_transfer_end *end, struct lsq_error *err) {
    struct transfer t = {.call = call, .said = end};
    enum lsq_status st;

    *end = (struct lsqi_transfer_end){.whole = false};
    if (pthread_mutex_init(&t.lock, NULL) != 0 || pthread_cond_init(&t.changed, NULL) != 0)
        return lsqi_error_set(err, LSQ_NOMEM, "no lock for a request");
    call->decoder->frame = on_frame;
    call->decoder->transfer = &t;
    st = start(&t, err);
    if (st == LSQ_OK) {
        st = take_all(&t, err);
        cancel(&t); /* if it has not ended by itself */
        end->bytes = t.bytes;
        end->transport = st == LSQ_TIMEOUT;
        if (st == LSQ_OK) st = judge(&t, end, err);
    }
    lsqi_buf_release(&t.kept);
    pthread_cond_destroy(&t.changed);
    pthread_mutex_destroy(&t.lock);
    return st;
}

void lsqi_transfer_end_release(struct lsqi_transfer_end *end) { lsqi_buf_release(&end->refusal); }
