/* http_call.h - a request as a test sees it: begun, waited for, looked at. */
#ifndef LSQ_TEST_SUPPORT_HTTP_CALL_H
#define LSQ_TEST_SUPPORT_HTTP_CALL_H

#include <pthread.h>

#include "db.h"
#include "net/http.h"

struct http_call {
    struct lsqi_http_request request; /* set what the test needs before http_begin() */
    size_t take;     /* body() takes so many bytes of what it is given, at most; 0: all */
    bool hold;       /* it is not resumed by itself: http_resume() does */
    bool count_only; /* of the body: its bytes are not kept */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct lsqi_http *http; /* guarded by lock; NULL: ended, or not begun */
    int heads;
    int status;
    char content_type[128];
    char retry_after[64];
    char *data;
    size_t len;
    int pauses;
    bool paused;
    int dones;
    struct lsqi_http_end end; /* its message is `message` */
    char message[512];
};

/* With a peer of its own that uses no proxy. */
void http_call_init(struct http_call *call, const char *url);
/* Without a peer: the test sets it. */
void http_call_prepare(struct http_call *call, const char *url);
void http_call_free(struct http_call *call);
void http_begin(struct http_call *call);
void http_wait(struct http_call *call);
/* Waits until so many pauses were made, or the end. */
void http_wait_pauses(struct http_call *call, int pauses);
void http_cancel(struct http_call *call);
void http_resume(struct http_call *call, int total_ms);
/* http_begin() and http_wait() */
void http_run(struct http_call *call);
/* A GET of url that must be DONE with status 200 and this text. */
void http_expect(const char *url, const char *text);
/* The kind's name. */
const char *http_kind(enum lsqi_http_end_kind kind);
/* The call ended so, with this `sent`. */
#define expect_end(call, kind_, sent_)                                                             \
    do {                                                                                           \
        if ((call)->end.kind != (kind_) || (call)->end.sent != (sent_))                            \
            fail_msg("%s, sent %d: %s", http_kind((call)->end.kind), (call)->end.sent,             \
                     (call)->message);                                                             \
    } while (0)

#endif
