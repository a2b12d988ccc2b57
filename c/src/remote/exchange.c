#include "remote/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "hrana/encode.h"
#include "remote/events.h"
#include "remote/failure.h"

enum {
    FIRST_DELAY_MS = 20, /* before it is sent again; doubled each time, to MOST_DELAY_MS */
    MOST_DELAY_MS = 500,
    MOST_REFUSAL = 64 * 1024 /* bytes of an error's text that are looked at */
};

static const char *path_of(const struct lsqi_exchange *x) {
    return x->form == LSQI_HRANA_CURSOR ? "/cursor" : "/pipeline";
}

/* ---- The answer ---- */

static const struct lsq_sink *on_sink(void *arg, size_t request, size_t step, void **ctx) {
    struct lsqi_exchange *x = arg;

    return x->hooks->sink == NULL ? NULL : x->hooks->sink(x, request, step, ctx);
}

static bool on_result(void *arg, const struct lsqi_hrana_result *result) {
    struct lsqi_exchange *x = arg;

    if (result->kind == LSQI_HRANA_ERROR) x->failed = true;
    return x->hooks->result(x, result);
}

static void on_head(void *arg, const struct lsqi_http_head *head) {
    struct lsqi_exchange *x = arg;
    char *end;
    long seconds = strtol(head->retry_after, &end, 10);

    x->status = head->status;
    x->retry_after = end != head->retry_after && seconds >= 0 && seconds < 3600 ? (int)seconds : -1;
    x->foreign = head->status == 200 && head->content_type[0] != '\0' &&
                 strncasecmp(head->content_type, "application/json", 16) != 0 &&
                 strncasecmp(head->content_type, "text/plain", 10) != 0;
}

static size_t decode(struct lsqi_exchange *x, const char *data, size_t len) {
    size_t used = 0;

    x->broken = lsqi_hrana_decode(x->decoder, data, len, &used, &x->why);
    if (x->broken != LSQ_OK) return LSQI_HTTP_STOP;
    if (used < len && x->hooks->paused != NULL) x->hooks->paused(x);
    return used;
}

static size_t on_body(void *arg, const char *data, size_t len) {
    struct lsqi_exchange *x = arg;

    if (x->status == 200 && !x->foreign) return decode(x, data, len);
    if (x->refusal.len + len <= MOST_REFUSAL) lsqi_buf_add(&x->refusal, data, len);
    return len;
}

/* ---- Sending ---- */

/* The rest of the body; what follows depends on what the server speaks. */
static void add_tail(struct lsqi_exchange *x, int version) {
    x->body.len = x->requests_len;
    if (x->tail == LSQI_TAIL_CLOSE && !x->on_socket) lsqi_hrana_request(&x->body, "close");
    if (x->tail == LSQI_TAIL_ASK && version >= 3) lsqi_hrana_request(&x->body, "get_autocommit");
    if (x->tail != LSQI_TAIL_NONE && !x->on_socket) (void)lsqi_hrana_end(&x->body);
}

static void on_done(void *arg, const struct lsqi_http_end *end);

static const struct lsqi_http_events events = {.head = on_head, .body = on_body, .done = on_done};

/* ms, for the request that begins now; at least 1, for 0 is none. */
static int left(const struct lsqi_exchange *x) {
    int64_t ms;

    if (x->deadline == 0) return 0;
    ms = (x->deadline - lsqi_now_ns()) / 1000000;
    return ms < 1 ? 1 : (int)ms;
}

/* Who goes on with a transaction waits for nobody: others, each with a place, may wait for its end. And a cursor takes no
 * place: whoever reads it may want something else before he goes on. */
static struct lsqi_http_group *group_of(const struct lsqi_exchange *x) {
    if (x->held || x->form == LSQI_HRANA_CURSOR) return NULL;
    return lsqi_place_group(x->server->targets[x->target].place);
}

static enum lsq_status start_http(struct lsqi_exchange *x,
                                  const struct lsqi_server_address *address, int delay_ms,
                                  struct lsq_error *err) {
    const struct lsqi_http_request request = {
        .peer = x->server->peer,
        .group = group_of(x),
        .url = address->url,
        .headers = address->headers,
        .body = x->body.data,
        .body_len = x->body.len,
        .delay_ms = delay_ms,
        .total_ms = left(x),
        .connect_ms = x->server->connect_ms,
        .first_byte_ms = x->server->first_byte_ms,
        .max_response = x->form == LSQI_HRANA_CURSOR ? 0 : x->server->max_response,
        .compressed = address->compressed,
        .events = &events,
        .arg = x,
    };
    enum lsq_status st;

    pthread_mutex_lock(x->lock);
    if (x->called_off)
        st = lsqi_error_set(err, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
    else
        st = lsqi_http_start(&x->http, &request, err);
    pthread_mutex_unlock(x->lock);
    return st;
}

static bool on_message(void *arg, size_t request, const char *data, size_t len) {
    struct lsqi_exchange *x = arg;

    if (len > x->server->max_response) {
        x->broken = lsqi_error_set(&x->why, LSQ_RESPONSE_TOO_LARGE,
                                   "the answer has %zu bytes, and may have %zu", len,
                                   x->server->max_response);
        return false;
    }
    lsqi_hrana_decoder_request(x->decoder, request);
    if (decode(x, data, len) == LSQI_HTTP_STOP) return false;
    x->broken = lsqi_hrana_decode_end(x->decoder, &x->why);
    return x->broken == LSQ_OK;
}

static void on_talked(void *arg, const struct lsqi_talk_end *end);

static enum lsq_status start_talk(struct lsqi_exchange *x, int delay_ms, struct lsq_error *err) {
    static const struct lsqi_talk_events talk_events = {.message = on_message, .done = on_talked};
    const struct lsqi_talk_request request = {
        .server = x->server,
        .target = x->target,
        .body = &x->body,
        .place = x->held ? x->base_url + sizeof(LSQI_ON_SOCKET) - 1 : NULL,
        .begins = x->tail == LSQI_TAIL_ASK,
        .fresh = x->fresh,
        .looks = !x->held && (x->looks || x->tail == LSQI_TAIL_ASK),
        .delay_ms = delay_ms,
        .total_ms = left(x),
        .first_byte_ms = x->server->first_byte_ms,
        .events = &talk_events,
        .arg = x,
    };
    enum lsq_status st;

    pthread_mutex_lock(x->lock);
    if (x->called_off)
        st = lsqi_error_set(err, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
    else
        st = lsqi_talk_start(&x->talk, &request, err);
    if (st != LSQ_OK) x->talk = NULL;
    pthread_mutex_unlock(x->lock);
    return st;
}

static enum lsq_status nobody_answers(const struct lsqi_exchange *x, struct lsq_error *err) {
    struct lsqi_place *primary = x->server->targets[0].place;

    lsqi_error_set(
        err, LSQ_UNREACHABLE,
        "%s could not be reached several times on end, and is not asked until it answers "
        "(it was so for %lld ms)%s",
        lsqi_place_base(primary), (long long)lsqi_place_down_ms(primary),
        x->server->target_count > 1 && !x->reads
            ? "; what only reads is answered by its replicas meanwhile"
            : "");
    if (err != NULL) err->transient = true;
    return LSQ_UNREACHABLE;
}

/* A server that is away for no longer than a call may take is waited for; one that is away for long is not asked. */
static bool is_patient(const struct lsqi_exchange *x) {
    return lsqi_now_ns() < x->retry_until &&
           lsqi_place_down_ms(x->server->targets[0].place) < x->server->retry_ms;
}

/* A transaction stays where it began. */
static bool goes_to_socket(const struct lsqi_exchange *x) {
    if (x->held) return lsqi_exchange_is_on_socket(x->base_url);
    return x->form == LSQI_HRANA_PIPELINE && lsqi_server_has_socket(x->server, x->target);
}

static enum lsq_status send(struct lsqi_exchange *x, int delay_ms, struct lsq_error *err) {
    int version = lsqi_server_version(x->server);
    struct lsqi_server_address address;
    enum lsq_status st;

    lsqi_hrana_decoder_free(x->decoder);
    x->decoder = NULL;
    lsqi_buf_reset(&x->refusal);
    x->status = 0;
    x->foreign = false;
    x->broken = LSQ_OK;
    x->failed = false;
    x->tries++;
    x->target =
        x->held ? 0 : lsqi_server_pick(x->server, x->reads, x->tries > 1 ? x->target : SIZE_MAX);
    if (x->target == SIZE_MAX && is_patient(x)) x->target = 0;
    if (x->target == SIZE_MAX) return nobody_answers(x, err);
    x->on_socket = goes_to_socket(x);
    add_tail(x, version);
    if (x->body.failed) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a request");
    st = lsqi_hrana_decoder_new(&x->decoder, x->on_socket ? LSQI_HRANA_MESSAGE : x->form,
                                &x->handler, err);
    if (st != LSQ_OK) return st;
    lsqi_hrana_decoder_allow(x->decoder, x->allowed);
    if (x->on_socket) return start_talk(x, delay_ms, err);
    st = lsqi_server_address(x->server, x->target, x->base_url, version, path_of(x), x->trace,
                             &address, err);
    if (st != LSQ_OK) return st;
    st = start_http(x, &address, delay_ms, err);
    lsqi_server_address_release(&address);
    return st;
}

/* ---- The end of a try ---- */

static int delay_of(const struct lsqi_exchange *x) {
    int delay = FIRST_DELAY_MS;

    if (x->retry_after > 0) return x->retry_after * 1000;
    for (unsigned i = 1; i < x->tries && delay < MOST_DELAY_MS; i++) delay *= 2;
    if (delay > MOST_DELAY_MS) delay = MOST_DELAY_MS;
    return delay / 2 +
           (int)(lsqi_now_ns() / 1000 % (delay / 2 + 1)); /* those who failed together part */
}

/* Whether the server has not begun to do what was asked. */
static bool untouched(const struct lsqi_exchange *x, const struct lsqi_http_end *end) {
    return !end->sent || (end->kind == LSQI_HTTP_DONE && x->status == 429);
}

static bool is_gateways(int status) { return status == 502 || status == 503 || status == 504; }

static bool fails_for_a_while(const struct lsqi_exchange *x, const struct lsqi_http_end *end) {
    switch (end->kind) {
    case LSQI_HTTP_UNREACHABLE:
    case LSQI_HTTP_BROKEN: return true;
    case LSQI_HTTP_DONE: return x->status == 429 || is_gateways(x->status);
    default: return false;
    }
}

/* Whether the server is there: what it makes of the call does not count. */
static void note_health(struct lsqi_exchange *x, const struct lsqi_http_end *end) {
    struct lsqi_place *place = x->server->targets[x->target].place;

    if (end->kind == LSQI_HTTP_DONE && !is_gateways(x->status))
        lsqi_place_answered(place);
    else if (end->kind == LSQI_HTTP_BROKEN && x->status != 0)
        lsqi_place_answered(
            place); /* it was there; an answer that always breaks is the call's own matter */
    else if (fails_for_a_while(x, end) || end->kind == LSQI_HTTP_TLS ||
             (end->kind == LSQI_HTTP_TIMEOUT && !end->sent && strcmp(end->phase, "queue") != 0))
        lsqi_place_failed(place);
}

/* How long to wait before it is sent again, in ms; -1: it is not. A stream's place is known to the server alone: what
 * may have moved it is not sent again. */
static int again(struct lsqi_exchange *x, const struct lsqi_http_end *end) {
    int delay = delay_of(x);
    int64_t next = lsqi_now_ns() + (int64_t)delay * 1000000;

    if (!fails_for_a_while(x, end) || lsqi_hrana_decoder_told(x->decoder)) return -1;
    if (!untouched(x, end) && (x->stores || x->held)) return -1;
    return next < x->retry_until && (x->deadline == 0 || next < x->deadline) ? delay : -1;
}

/* A server without version 3 answers 404 to its path. Nothing has run. */
static bool with_version_2(struct lsqi_exchange *x, const struct lsqi_http_end *end) {
    if (end->kind != LSQI_HTTP_DONE || x->status != 404 || x->form != LSQI_HRANA_PIPELINE)
        return false;
    if (lsqi_server_version(x->server) != 3 || x->held) return false;
    if (x->refusal.len > 0 && memmem(x->refusal.data, x->refusal.len, "amespace", 8) != NULL)
        return false;
    return lsqi_server_use_version(x->server, 2);
}

static enum lsq_status status_of(const struct lsqi_http_end *end) {
    static const enum lsq_status statuses[] = {
        [LSQI_HTTP_DONE] = LSQ_OVERLOADED,
        [LSQI_HTTP_UNREACHABLE] = LSQ_UNREACHABLE,
        [LSQI_HTTP_TLS] = LSQ_TLS,
        [LSQI_HTTP_TIMEOUT] = LSQ_TIMEOUT,
        [LSQI_HTTP_BROKEN] = LSQ_CONNECTION_LOST,
        [LSQI_HTTP_TOO_BIG] = LSQ_RESPONSE_TOO_LARGE,
        [LSQI_HTTP_CANCELLED] = LSQ_INTERRUPTED,
        [LSQI_HTTP_FAILED] = LSQ_UNREACHABLE,
    };

    return statuses[end->kind];
}

static enum lsq_status transport_failed(const struct lsqi_exchange *x,
                                        const struct lsqi_http_end *end, struct lsq_error *err) {
    enum lsq_status st = status_of(end);

    if (end->kind == LSQI_HTTP_TIMEOUT)
        lsqi_error_set(err, st, "the call to the server took longer than its time-out (%s)",
                       end->phase);
    else if (st == LSQ_INTERRUPTED)
        lsqi_error_set(err, st, "%s", lsq_status_text(st));
    else
        lsqi_error_set(err, st, "%s: %s", lsq_status_text(st), end->message);
    err->transient = st == LSQ_UNREACHABLE || st == LSQ_CONNECTION_LOST;
    if (end->sent && x->stores) err->outcome = LSQ_OUTCOME_UNKNOWN;
    return st;
}

static enum lsq_status answer_failed(struct lsqi_exchange *x, bool sent, struct lsq_error *err) {
    enum lsq_status st;

    if (x->foreign)
        st = lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                            "the server's answer is not JSON: is the address that of a database?");
    else
        st = lsqi_remote_refusal(err, x->status, x->refusal.data, x->refusal.len, x->held);
    /* What a gateway answers for the server tells nothing of what that has done. */
    if (sent && x->stores && (x->foreign || x->status >= 500)) err->outcome = LSQ_OUTCOME_UNKNOWN;
    return st;
}

/* LSQ_OK: the answer is whole. */
static enum lsq_status judge(struct lsqi_exchange *x, const struct lsqi_http_end *end,
                             struct lsq_error *err) {
    enum lsq_status st;

    if (x->broken != LSQ_OK) {
        *err = x->why;
        if (x->stores) err->outcome = LSQ_OUTCOME_UNKNOWN;
        return x->broken;
    }
    if (end->kind != LSQI_HTTP_DONE) return transport_failed(x, end, err);
    if (x->status != 200 || x->foreign) return answer_failed(x, end->sent, err);
    if (x->on_socket) return LSQ_OK; /* each message was whole */
    st = lsqi_hrana_decode_end(x->decoder, err);
    if (st != LSQ_OK && x->stores) err->outcome = LSQ_OUTCOME_UNKNOWN;
    return st;
}

/* The stream of a WebSocket that nobody asks about is for the next; after a failure nobody knows what is open in it. */
static void settle_stream(struct lsqi_exchange *x, enum lsq_status st) {
    if (!x->on_socket || x->place[0] == '\0') return;
    if (st == LSQ_OK && x->tail == LSQI_TAIL_ASK) return;
    lsqi_exchange_leave_stream(x, st == LSQ_OK && !x->failed);
    x->place[0] = '\0';
}

static void try_ended(struct lsqi_exchange *x, const struct lsqi_http_end *end) {
    struct lsq_error *err = &x->err;
    enum lsq_status st;
    int delay = -1;

    note_health(x, end);
    if (end->kind == LSQI_HTTP_DONE && x->status == 200 && !x->on_socket && !x->foreign)
        lsqi_server_confirm_version(x->server);
    if (x->broken == LSQ_OK && with_version_2(x, end)) {
        delay = 0;
    } else if (x->broken == LSQ_OK && (delay = again(x, end)) >= 0) {
        lsqi_server_event(LSQ_SERVER_RETRY, lsqi_place_base(x->server->targets[x->target].place),
                          delay, status_of(end));
    }
    if (delay >= 0) {
        st = send(x, delay, err);
        if (st == LSQ_OK) return;
    } else {
        st = judge(x, end, err);
    }
    settle_stream(x, st);
    x->untouched = untouched(x, end) || (end->kind == LSQI_HTTP_DONE && x->status == 401);
    x->hooks->ended(x, st, err);
}

static void on_done(void *arg, const struct lsqi_http_end *end) {
    struct lsqi_exchange *x = arg;

    pthread_mutex_lock(x->lock);
    x->http = NULL;
    pthread_mutex_unlock(x->lock);
    try_ended(x, end);
}

static void on_talked(void *arg, const struct lsqi_talk_end *end) {
    struct lsqi_exchange *x = arg;
    enum lsq_status st;

    pthread_mutex_lock(x->lock);
    x->talk = NULL;
    pthread_mutex_unlock(x->lock);
    x->status = end->http.status;
    x->retry_after = -1;
    if (end->place != NULL)
        snprintf(x->place, sizeof(x->place), LSQI_ON_SOCKET "%s", end->place);
    else
        x->place[0] = '\0';
    lsqi_buf_add(&x->refusal, end->refusal, end->refusal_len);
    if (!end->no_socket || x->held) {
        try_ended(x, &end->http);
        return;
    }
    lsqi_server_use_http(x->server, x->target, end->for_good);
    st = send(x, 0, &x->err);
    if (st == LSQ_OK) return;
    x->untouched = true;
    x->hooks->ended(x, st, &x->err);
}

/* ---- From outside ---- */

enum lsq_status lsqi_exchange_keep(struct lsqi_exchange *x, struct lsq_error *err) {
    if (x->traceparent == NULL) return LSQ_OK;
    lsqi_free(x->trace);
    x->trace = lsqi_strndup(x->traceparent, strlen(x->traceparent));
    x->traceparent = NULL;
    return x->trace != NULL ? LSQ_OK
                            : lsqi_error_set(err, LSQ_NOMEM, "out of memory for a request");
}

enum lsq_status lsqi_exchange_begin(struct lsqi_exchange *x, struct lsq_error *err) {
    int64_t now = lsqi_now_ns();
    enum lsq_status st;

    if (x->allowed == 0) x->allowed = SIZE_MAX;
    x->handler = (struct lsqi_hrana_handler){
        .sink = on_sink, .result = on_result, .types = x->types, .arg = x};
    x->requests_len = x->body.len;
    if (x->timeout_ms > 0) x->deadline = now + (int64_t)x->timeout_ms * 1000000;
    x->retry_until = x->server->retry_ms > 0 ? now + (int64_t)x->server->retry_ms * 1000000 : now;
    st = lsqi_exchange_keep(x, err);
    return st == LSQ_OK ? send(x, 0, err) : st;
}

void lsqi_exchange_call_off_locked(struct lsqi_exchange *x) {
    x->called_off = true;
    if (x->http != NULL) lsqi_http_cancel(x->http);
    if (x->talk != NULL) lsqi_talk_cancel(x->talk);
}

void lsqi_exchange_go_on_locked(struct lsqi_exchange *x, size_t rows, int timeout_ms) {
    lsqi_hrana_decoder_allow(x->decoder, rows);
    if (x->http != NULL) lsqi_http_resume(x->http, timeout_ms);
}

void lsqi_exchange_release(struct lsqi_exchange *x) {
    lsqi_hrana_decoder_free(x->decoder);
    lsqi_buf_release(&x->body);
    lsqi_buf_release(&x->refusal);
    lsqi_free(x->trace);
    x->decoder = NULL;
    x->trace = NULL;
}

bool lsqi_exchange_is_on_socket(const char *base_url) {
    return base_url != NULL && strncmp(base_url, LSQI_ON_SOCKET, sizeof(LSQI_ON_SOCKET) - 1) == 0;
}

const char *lsqi_exchange_baton(const struct lsqi_exchange *x) {
    if (x->on_socket) return x->place[0] == '\0' ? NULL : x->place + sizeof(LSQI_ON_SOCKET) - 1;
    return x->decoder == NULL ? NULL : lsqi_hrana_decoder_baton(x->decoder);
}

/* A stream that began under TLS does not go on without it. */
const char *lsqi_exchange_base_url(const struct lsqi_exchange *x) {
    const char *url = x->decoder == NULL ? NULL : lsqi_hrana_decoder_base_url(x->decoder);

    if (x->on_socket) return x->place;
    if (url == NULL || strncmp(url, "https://", 8) == 0) return url;
    return strncmp(url, "http://", 7) == 0 &&
                   strncmp(lsqi_place_base(x->server->targets[0].place), "http://", 7) == 0
               ? url
               : NULL;
}

/* ---- Closing a stream ---- */

void lsqi_exchange_leave_stream(const struct lsqi_exchange *x, bool over) {
    const char *baton = lsqi_exchange_baton(x);

    if (x->on_socket)
        lsqi_talk_leave(baton, over && !x->spoils);
    else
        lsqi_exchange_close_stream(x->server, baton, lsqi_exchange_base_url(x));
}

struct closing {
    struct lsqi_buf body;
};

static size_t drop_body(void *arg, const char *data, size_t len) {
    (void)arg, (void)data;
    return len;
}

static void closed(void *arg, const struct lsqi_http_end *end) {
    struct closing *closing = arg;

    (void)end;
    lsqi_buf_release(&closing->body);
    lsqi_free(closing);
}

void lsqi_exchange_close_stream(struct lsqi_server *server, const char *baton,
                                const char *base_url) {
    static const struct lsqi_http_events close_events = {.body = drop_body, .done = closed};
    struct closing *closing;
    struct lsqi_server_address address;
    struct lsqi_http *http;

    if (lsqi_exchange_is_on_socket(base_url)) {
        lsqi_talk_leave(baton, false);
        return;
    }
    closing = lsqi_calloc(1, sizeof(*closing));
    if (closing == NULL) return; /* the server closes it, too, in its own time */
    lsqi_hrana_begin(&closing->body, baton);
    lsqi_hrana_request(&closing->body, "close");
    if (lsqi_hrana_end(&closing->body) &&
        lsqi_server_address(server, 0, base_url, lsqi_server_version(server), "/pipeline", NULL,
                            &address, NULL) == LSQ_OK) {
        const struct lsqi_http_request request = {
            .peer = server->peer,
            .url = address.url,
            .headers = address.headers,
            .body = closing->body.data,
            .body_len = closing->body.len,
            .total_ms = 5000,
            .connect_ms = 2000,
            .max_response = MOST_REFUSAL,
            .events = &close_events,
            .arg = closing,
        };

        if (lsqi_http_start(&http, &request, NULL) == LSQ_OK) closing = NULL;
        lsqi_server_address_release(&address);
    }
    if (closing == NULL) return;
    lsqi_buf_release(&closing->body);
    lsqi_free(closing);
}
