#include "remote/talk.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "remote/hub.h"

static int64_t later(int64_t from, int ms) { return ms > 0 ? from + (int64_t)ms * 1000000 : from; }

static void unref(struct lsqi_talk *talk) {
    if (atomic_fetch_sub(&talk->refs, 1) == 1) lsqi_free(talk);
}

/* ---- The end ---- */

void lsqi_talk_end(struct lsqi_talk *talk, const struct lsqi_talk_end *end) {
    struct lsqi_talk_end told = *end;

    if (talk->ended) return;
    talk->ended = true;
    lsqi_watch_remove(&talk->watch);
    told.http.took_ns = lsqi_now_ns() - talk->started;
    talk->events->done(talk->arg, &told);
    unref(talk);
}

static void give_up(struct lsqi_talk *talk, enum lsqi_http_end_kind kind, const char *phase,
                    const char *message) {
    const struct lsqi_talk_end end = {
        .http = {.kind = kind, .sent = talk->sent, .phase = phase, .message = message}};

    lsqi_hub_abandon(talk);
    lsqi_talk_end(talk, &end);
}

static void cancel(struct lsqi_talk *talk) {
    give_up(talk, LSQI_HTTP_CANCELLED, NULL, "the request was cancelled");
}

/* ---- Its turn ---- */

static void set_due(struct lsqi_talk *talk) {
    int64_t due = talk->total_due;

    if (talk->hub == NULL && talk->begin_at < due) due = talk->begin_at;
    if (talk->first_byte_due < due) due = talk->first_byte_due;
    talk->watch.due = due;
}

static const char *phase_of(const struct lsqi_talk *talk) {
    if (talk->sent) return talk->answered == 0 ? "first byte" : "answer";
    return talk->hub != NULL && talk->stream == NULL ? "queue" : "connect";
}

static void on_turn(struct lsqi_watch *watch, bool stopping) {
    struct lsqi_talk *talk = (struct lsqi_talk *)(void *)watch;
    int64_t now = lsqi_now_ns();

    if (stopping || atomic_load(&talk->cancelled)) {
        cancel(talk);
        return;
    }
    if (talk->total_due <= now || talk->first_byte_due <= now) {
        give_up(talk, LSQI_HTTP_TIMEOUT, phase_of(talk), "the server did not answer in time");
        return;
    }
    if (talk->hub == NULL && talk->begin_at <= now) {
        atomic_fetch_add(&talk->refs, 1);
        lsqi_hub_begin(talk);
        if (!talk->ended) set_due(talk);
        unref(talk);
        return;
    }
    set_due(talk);
}

/* ---- From outside ---- */

static void begin(void *arg) {
    struct lsqi_talk *talk = arg;

    lsqi_watch_add(&talk->watch);
    talk->watch.ready = true;
}

enum lsq_status lsqi_talk_start(struct lsqi_talk **out, const struct lsqi_talk_request *request,
                                struct lsq_error *err) {
    struct lsqi_talk *talk = lsqi_calloc(1, sizeof(*talk));
    enum lsq_status st;

    if (talk == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a request");
    talk->watch.turn = on_turn;
    talk->server = request->server;
    talk->target = request->target;
    talk->body = request->body;
    talk->events = request->events;
    talk->arg = request->arg;
    talk->place = request->place == NULL ? 0 : (int32_t)strtol(request->place, NULL, 10);
    talk->begins = request->begins;
    talk->fresh = request->fresh;
    talk->looks = request->looks;
    talk->first_byte_ms = request->first_byte_ms;
    talk->started = lsqi_now_ns();
    talk->begin_at = later(talk->started, request->delay_ms);
    talk->total_due = request->total_ms > 0 ? later(talk->started, request->total_ms) : INT64_MAX;
    talk->first_byte_due = INT64_MAX;
    atomic_init(&talk->refs, 1);
    *out = talk;
    st = lsqi_http_post(begin, talk, err);
    if (st != LSQ_OK) lsqi_free(talk);
    return st;
}

static void cancel_soon(void *arg) {
    struct lsqi_talk *talk = arg;

    if (!talk->ended) cancel(talk);
    unref(talk);
}

/* Without memory for the word, the talk ends when it is due. */
void lsqi_talk_cancel(struct lsqi_talk *talk) {
    atomic_store(&talk->cancelled, true);
    atomic_fetch_add(&talk->refs, 1);
    if (lsqi_http_post(cancel_soon, talk, NULL) != LSQ_OK) unref(talk);
}

/* ---- Streams ---- */

static int32_t stream_of(const char *place) { return (int32_t)strtol(place, NULL, 10); }

static void leave_closed(void *arg) { lsqi_hub_leave((int32_t)(intptr_t)arg, false); }
static void leave_kept(void *arg) { lsqi_hub_leave((int32_t)(intptr_t)arg, true); }

void lsqi_talk_leave(const char *place, bool keep) {
    int32_t stream = stream_of(place);

    if (lsqi_http_on_thread())
        lsqi_hub_leave(stream, keep);
    else
        (void)lsqi_http_post(keep ? leave_kept : leave_closed, (void *)(intptr_t)stream, NULL);
}
