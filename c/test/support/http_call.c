#include "http_call.h"

#include <stdlib.h>

static void on_head(void *arg, const struct lsqi_http_head *head) {
    struct http_call *call = arg;

    pthread_mutex_lock(&call->lock);
    call->heads++;
    call->status = head->status;
    strncpy(call->content_type, head->content_type, sizeof(call->content_type) - 1);
    strncpy(call->retry_after, head->retry_after, sizeof(call->retry_after) - 1);
    pthread_mutex_unlock(&call->lock);
}

static void keep_bytes(struct http_call *call, const char *data, size_t len) {
    if (!call->count_only) {
        char *grown = realloc(call->data, call->len + len + 1);

        if (grown == NULL) abort();
        call->data = grown;
        memcpy(grown + call->len, data, len);
        grown[call->len + len] = '\0';
    }
    call->len += len;
}

static size_t on_body(void *arg, const char *data, size_t len) {
    struct http_call *call = arg;
    size_t took = call->take != 0 && call->take < len ? call->take : len;

    pthread_mutex_lock(&call->lock);
    if (call->hold && !call->paused && call->take == 0) took = 0;
    keep_bytes(call, data, took);
    if (took < len) {
        call->pauses++;
        call->paused = true;
        if (!call->hold) lsqi_http_resume(call->http, 0);
    }
    pthread_cond_broadcast(&call->changed);
    pthread_mutex_unlock(&call->lock);
    return took;
}

static void on_done(void *arg, const struct lsqi_http_end *end) {
    struct http_call *call = arg;

    pthread_mutex_lock(&call->lock);
    call->dones++;
    call->end = *end;
    strncpy(call->message, end->message, sizeof(call->message) - 1);
    call->end.message = call->message;
    call->http = NULL;
    pthread_cond_broadcast(&call->changed);
    pthread_mutex_unlock(&call->lock);
}

static const struct lsqi_http_events events = {.head = on_head, .body = on_body, .done = on_done};

void http_call_prepare(struct http_call *call, const char *url) {
    memset(call, 0, sizeof(*call));
    pthread_mutex_init(&call->lock, NULL);
    pthread_cond_init(&call->changed, NULL);
    call->request.url = url;
    call->request.total_ms = 60000;
    call->request.events = &events;
    call->request.arg = call;
}

void http_call_init(struct http_call *call, const char *url) {
    struct lsqi_http_peer_config cfg = {.proxy = ""};

    http_call_prepare(call, url);
    assert_int_equal(lsqi_http_peer_new(&call->request.peer, &cfg, NULL), LSQ_OK);
}

void http_call_free(struct http_call *call) {
    lsqi_http_peer_unref(call->request.peer);
    pthread_mutex_destroy(&call->lock);
    pthread_cond_destroy(&call->changed);
    free(call->data);
}

/* The lock is held around it: no callback may come from within. */
void http_begin(struct http_call *call) {
    struct lsq_error err;
    enum lsq_status st;

    pthread_mutex_lock(&call->lock);
    st = lsqi_http_start(&call->http, &call->request, &err);
    pthread_mutex_unlock(&call->lock);
    if (st != LSQ_OK) fail_msg("start: %s", err.message);
}

void http_wait(struct http_call *call) {
    pthread_mutex_lock(&call->lock);
    while (call->dones == 0) pthread_cond_wait(&call->changed, &call->lock);
    pthread_mutex_unlock(&call->lock);
}

void http_wait_pauses(struct http_call *call, int pauses) {
    pthread_mutex_lock(&call->lock);
    while (call->dones == 0 && call->pauses < pauses)
        pthread_cond_wait(&call->changed, &call->lock);
    pthread_mutex_unlock(&call->lock);
}

void http_cancel(struct http_call *call) {
    pthread_mutex_lock(&call->lock);
    if (call->http != NULL) lsqi_http_cancel(call->http);
    pthread_mutex_unlock(&call->lock);
}

void http_resume(struct http_call *call, int total_ms) {
    pthread_mutex_lock(&call->lock);
    if (call->http != NULL) lsqi_http_resume(call->http, total_ms);
    pthread_mutex_unlock(&call->lock);
}

void http_run(struct http_call *call) {
    http_begin(call);
    http_wait(call);
}

void http_expect(const char *url, const char *text) {
    struct http_call call;

    http_call_init(&call, url);
    http_run(&call);
    expect_end(&call, LSQI_HTTP_DONE, true);
    assert_int_equal(call.end.status, 200);
    assert_int_equal(call.len, strlen(text));
    assert_memory_equal(call.data, text, call.len);
    http_call_free(&call);
}

const char *http_kind(enum lsqi_http_end_kind kind) {
    static const char *const names[] = {"DONE",   "UNREACHABLE", "TLS",       "TIMEOUT",
                                        "BROKEN", "TOO_BIG",     "CANCELLED", "FAILED"};

    return names[kind];
}
