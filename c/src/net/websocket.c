#include "net/websocket.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/curl.h"
#include "net/exchange.h"
#include "net/frame.h"
#include "net/multi.h"
#include "net/peer.h"
#include "net/upgrade.h"
#include "net/watch.h"

enum {
    READ_BYTES = 64 * 1024,
    /* Others have their turn after so much. */
    TURN_BYTES = 1024 * 1024,
    /* A buffer that has grown beyond this is given back once it is empty. */
    KEPT_BYTES = 256 * 1024,
    /* Silence, after which the server is asked whether it is there; and how long it may take to say so. */
    SILENCE_MS = 30000,
    PONG_MS = 20000,
    /* For the server to confirm the end. */
    CLOSE_MS = 2000,
    CODE_NORMAL = 1000,
    CODE_PROTOCOL = 1002,
    CODE_KIND = 1003,
    CODE_TOO_BIG = 1009
};

enum state {
    CONNECTING, /* libcurl is at it */
    UPGRADING,  /* the request was sent */
    OPEN,
    CLOSING, /* nobody is told anything any more; what is left to be sent is */
    ENDED    /* to be freed in its turn */
};

struct lsqi_ws {
    struct lsqi_watch watch; /* the first */
    enum state state;
    struct lsqi_http_peer *peer;
    const struct lsqi_ws_events *events;
    void *arg;
    char *url;
    char *protocol;
    size_t max_message;
    int connect_ms;
    /* A multi handle of its own: in one with others libcurl may take the connection for an idle one, and end it. */
    struct lsqi_multi multi;
    void *easy;
    struct pollfd socket; /* once it is connected */
    int64_t connect_due;
    int64_t silent_at; /* when it is time to ask, or to give up */
    bool asked;
    bool told_end; /* the server's close has come */
    char key[LSQI_UPGRADE_KEY + 1];
    struct lsqi_buf request; /* the upgrade's; empty once it is sent */
    size_t requested;
    struct lsqi_buf out; /* frames */
    size_t sent;         /* of out */
    struct lsqi_buf in;
    size_t taken;            /* of in */
    struct lsqi_buf message; /* of a message in parts, what has come */
    bool in_message;
    char error[LSQI_HTTP_ERROR_BYTES]; /* libcurl writes here */
};

static int64_t in_ms(int64_t ms) { return lsqi_now_ns() + ms * 1000000; }

/* ---- The end ---- */

static void destroy(struct lsqi_ws *ws) {
    lsqi_watch_remove(&ws->watch);
    if (ws->easy != NULL) {
        (void)lsqi_curl()->multi_remove_handle(ws->multi.handle, ws->easy);
        lsqi_curl()->easy_cleanup(ws->easy);
    }
    lsqi_multi_release(&ws->multi);
    lsqi_http_peer_unref(ws->peer);
    lsqi_buf_release(&ws->request);
    lsqi_buf_release(&ws->out);
    lsqi_buf_release(&ws->in);
    lsqi_buf_release(&ws->message);
    lsqi_free(ws->url);
    lsqi_free(ws->protocol);
    lsqi_free(ws);
}

static void add_close(struct lsqi_ws *ws, int code) {
    const unsigned char bytes[2] = {(unsigned char)(code >> 8), (unsigned char)code};

    lsqi_frame_control(&ws->out, LSQI_FRAME_CLOSE, bytes, sizeof(bytes));
}

/* It is over, whatever is left to be sent; its turn frees it. */
static void end_now(struct lsqi_ws *ws) {
    ws->state = ENDED;
    ws->watch.fd_count = 0;
    ws->watch.ready = true;
}

/* Tells the end, and goes on alone: with a close frame where one can be sent. */
static void fail(struct lsqi_ws *ws, const struct lsqi_ws_end *end, int code) {
    bool open = ws->state == OPEN;

    if (ws->state >= CLOSING) {
        end_now(ws);
        return;
    }
    if (open && code != 0) {
        ws->state = CLOSING;
        add_close(ws, code);
        ws->connect_due = in_ms(CLOSE_MS);
        ws->watch.ready = true;
    } else {
        end_now(ws);
    }
    ws->events->closed(ws->arg, end);
}

static void broken(struct lsqi_ws *ws, const char *message, int code) {
    const struct lsqi_ws_end end = {.kind = LSQI_HTTP_BROKEN, .message = message};

    fail(ws, &end, code);
}

static void no_memory(struct lsqi_ws *ws) {
    const struct lsqi_ws_end end = {.kind = LSQI_HTTP_FAILED, .message = "out of memory"};

    fail(ws, &end, 0);
}

void lsqi_ws_close(struct lsqi_ws *ws) {
    if (ws->state >= CLOSING) return;
    if (ws->state != OPEN) {
        end_now(ws);
        return;
    }
    ws->state = CLOSING;
    add_close(ws, CODE_NORMAL);
    ws->connect_due = in_ms(CLOSE_MS);
    ws->watch.ready = true;
}

/* ---- Connecting ---- */

static int before_connect(void *arg, int fd, int purpose) {
    const struct lsqi_ws *ws = arg;

    (void)purpose;
    lsqi_exchange_set_socket(fd, ws->connect_ms);
    return 0;
}

static bool set_up_easy(struct lsqi_ws *ws) {
    const struct lsqi_curl *curl = lsqi_curl();
    void *easy = ws->easy;

    lsqi_exchange_set_transport(easy);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_ERRORBUFFER, ws->error);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_SOCKOPTFUNCTION, before_connect);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_SOCKOPTDATA, ws);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_HTTP_VERSION, (long)LSQI_CURL_HTTP_VERSION_1_1);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_CONNECT_ONLY, 1L);
    /* A proxy of HTTP passes nothing on that it understands. */
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_HTTPPROXYTUNNEL, 1L);
    return curl->easy_setopt(easy, LSQI_CURLOPT_URL, ws->url) == 0 &&
           lsqi_http_peer_apply(ws->peer, easy);
}

static void set_due(struct lsqi_ws *ws) {
    int64_t due = ws->state == OPEN ? ws->silent_at : ws->connect_due;

    if (ws->state == CONNECTING && ws->multi.due < due) due = ws->multi.due;
    ws->watch.due = due;
}

static void connect_failed(struct lsqi_ws *ws, int code) {
    const struct lsqi_ws_end end = {.kind = lsqi_exchange_connect_kind(ws->error, code),
                                    .message = lsqi_exchange_words(ws->error, code)};

    fail(ws, &end, 0);
}

static void connected(struct lsqi_ws *ws) {
    int fd = -1;

    if (lsqi_curl()->easy_getinfo(ws->easy, LSQI_CURLINFO_ACTIVESOCKET, &fd) != 0 || fd < 0) {
        connect_failed(ws, LSQI_CURLE_COULDNT_CONNECT);
        return;
    }
    ws->state = UPGRADING;
    ws->socket = (struct pollfd){.fd = fd, .events = POLLIN};
    ws->watch.fds = &ws->socket;
    ws->watch.fd_count = 1;
    ws->watch.ready = true;
}

static void drive_connecting(struct lsqi_ws *ws) {
    bool ok = lsqi_multi_drive(&ws->multi);
    int result;

    ws->watch.fds = ws->multi.fds;
    ws->watch.fd_count = ws->multi.count;
    if (!ok)
        no_memory(ws);
    else if (lsqi_multi_ended(&ws->multi, &result) == NULL)
        return;
    else if (result == 0)
        connected(ws);
    else
        connect_failed(ws, result);
}

/* ---- Writing ---- */

/* False: the connection is gone, and that is told. */
static bool write_buf(struct lsqi_ws *ws, struct lsqi_buf *buf, size_t *at) {
    while (*at < buf->len) {
        size_t n = 0;
        int rc = lsqi_curl()->easy_send(ws->easy, buf->data + *at, buf->len - *at, &n);

        if (rc == LSQI_CURLE_AGAIN) return true;
        if (rc != 0) {
            broken(ws, "the connection broke", 0);
            return false;
        }
        *at += n;
    }
    if (buf->size > KEPT_BYTES)
        lsqi_buf_release(buf);
    else
        lsqi_buf_reset(buf);
    *at = 0;
    return true;
}

static void write_out(struct lsqi_ws *ws) {
    if (ws->request.failed || ws->out.failed) {
        no_memory(ws);
        return;
    }
    if (ws->request.len > 0 && !write_buf(ws, &ws->request, &ws->requested)) return;
    if (ws->state != UPGRADING && !write_buf(ws, &ws->out, &ws->sent)) return;
    if (ws->watch.fd_count == 0) return;
    ws->watch.fds[0].events = POLLIN;
    if (ws->request.len > 0 || (ws->state != UPGRADING && ws->out.len > 0))
        ws->watch.fds[0].events |= POLLOUT;
}

bool lsqi_ws_send(struct lsqi_ws *ws, const struct iovec *parts, size_t count) {
    if (ws->state >= CLOSING) return true;
    lsqi_frame_message(&ws->out, parts, count);
    ws->watch.ready = true;
    return !ws->out.failed;
}

size_t lsqi_ws_waiting(const struct lsqi_ws *ws) { return ws->out.len - ws->sent; }

/* ---- What comes ---- */

static void upgrade(struct lsqi_ws *ws) {
    bool agreed = false;
    size_t used = 0;
    int status = lsqi_upgrade_read(ws->in.data, ws->in.len, ws->key, ws->protocol, &used, &agreed);
    const struct lsqi_ws_end refused = {.kind = LSQI_HTTP_DONE,
                                        .status = status < 0 ? 200 : status,
                                        .message = "the server does not speak WebSocket"};

    if (status == 0) return;
    if (!agreed) {
        fail(ws, &refused, 0);
        return;
    }
    ws->taken = used;
    ws->state = OPEN;
    ws->silent_at = in_ms(SILENCE_MS);
}

static void take_close(struct lsqi_ws *ws, const char *data, size_t len) {
    struct lsqi_ws_end end = {.kind = LSQI_HTTP_BROKEN,
                              .message = "the server closed the WebSocket"};

    ws->told_end = true;
    if (len >= 2) end.code = (unsigned char)data[0] << 8 | (unsigned char)data[1];
    fail(ws, &end, end.code == 0 ? CODE_NORMAL : end.code);
}

static void take_control(struct lsqi_ws *ws, enum lsqi_frame_code code, const char *data,
                         size_t len) {
    /* Who asks and reads no answers gets none. */
    if (code == LSQI_FRAME_PING && lsqi_ws_waiting(ws) < TURN_BYTES)
        lsqi_frame_control(&ws->out, LSQI_FRAME_PONG, data, len);
    else if (code == LSQI_FRAME_CLOSE)
        take_close(ws, data, len);
}

static void too_big(struct lsqi_ws *ws) {
    const struct lsqi_ws_end end = {.kind = LSQI_HTTP_TOO_BIG,
                                    .message = "the server's answer is longer than allowed"};

    fail(ws, &end, CODE_TOO_BIG);
}

static void take_data(struct lsqi_ws *ws, const struct lsqi_frame *frame, const char *data) {
    bool begins = frame->code != LSQI_FRAME_MORE;

    if (frame->code == LSQI_FRAME_BINARY) {
        broken(ws, "the server sent a message that is no text", CODE_KIND);
    } else if (begins == ws->in_message) {
        broken(ws, "the parts of the server's messages do not fit", CODE_PROTOCOL);
    } else if (begins && frame->last) {
        ws->events->message(ws->arg, data, frame->len);
    } else {
        ws->in_message = !frame->last;
        lsqi_buf_add(&ws->message, data, frame->len);
        if (ws->message.failed) {
            no_memory(ws);
        } else if (frame->last) {
            ws->events->message(ws->arg, ws->message.data == NULL ? "" : ws->message.data,
                                ws->message.len);
            if (ws->message.size > KEPT_BYTES)
                lsqi_buf_release(&ws->message);
            else
                lsqi_buf_reset(&ws->message);
        }
    }
}

/* One frame. False: there is no whole one. */
static bool take_frame(struct lsqi_ws *ws) {
    const char *data = ws->in.data + ws->taken;
    size_t len = ws->in.len - ws->taken;
    const char *problem;
    struct lsqi_frame frame;
    int rc = lsqi_frame_read(data, len, &frame, &problem);

    if (rc < 0) broken(ws, problem, CODE_PROTOCOL);
    if (rc <= 0) return false;
    if (frame.code < LSQI_FRAME_CLOSE && frame.len > ws->max_message - ws->message.len) {
        too_big(ws);
        return false;
    }
    if (frame.len > len - frame.head) {
        if (!lsqi_buf_reserve(&ws->in, frame.head + frame.len - len)) no_memory(ws);
        return false;
    }
    ws->taken += frame.head + frame.len;
    if (frame.code >= LSQI_FRAME_CLOSE)
        take_control(ws, frame.code, data + frame.head, frame.len);
    else
        take_data(ws, &frame, data + frame.head);
    return true;
}

/* Of one that is being closed, only the server's close counts. */
static void take_in(struct lsqi_ws *ws) {
    if (ws->state == UPGRADING && ws->in.len > 0) upgrade(ws);
    while (ws->state == OPEN && take_frame(ws)) continue;
    if (ws->state == CLOSING) ws->taken = ws->in.len;
    if (ws->taken == 0) return;
    if (ws->taken == ws->in.len && ws->in.size > KEPT_BYTES) {
        lsqi_buf_release(&ws->in);
    } else {
        memmove(ws->in.data, ws->in.data + ws->taken, ws->in.len - ws->taken);
        ws->in.len -= ws->taken;
    }
    ws->taken = 0;
}

static void at_end(struct lsqi_ws *ws) {
    if (ws->state >= CLOSING)
        end_now(ws);
    else
        broken(ws, "the server closed the connection", 0);
}

static void read_in(struct lsqi_ws *ws) {
    size_t total = 0;

    while (ws->state != ENDED) {
        size_t n = 0;
        int rc;

        if (!lsqi_buf_reserve(&ws->in, READ_BYTES)) {
            no_memory(ws);
            return;
        }
        rc = lsqi_curl()->easy_recv(ws->easy, ws->in.data + ws->in.len, ws->in.size - ws->in.len,
                                    &n);
        if (rc == LSQI_CURLE_AGAIN) return;
        if (rc != 0 || n == 0) {
            at_end(ws);
            return;
        }
        ws->in.len += n;
        ws->asked = false;
        ws->silent_at = in_ms(SILENCE_MS);
        take_in(ws);
        total += n;
        if (total < TURN_BYTES) continue;
        ws->watch.ready = true;
        return;
    }
}

/* ---- Its turn ---- */

static void overdue(struct lsqi_ws *ws) {
    const struct lsqi_ws_end late = {.kind = LSQI_HTTP_TIMEOUT,
                                     .message = "no WebSocket to the server was there in time"};

    if (ws->state == CLOSING) {
        end_now(ws);
    } else if (ws->state != OPEN) {
        fail(ws, &late, 0);
    } else if (ws->asked) {
        broken(ws, "the server did not answer", 0);
    } else {
        ws->asked = true;
        ws->silent_at = in_ms(PONG_MS);
        lsqi_frame_control(&ws->out, LSQI_FRAME_PING, NULL, 0);
    }
}

static void on_turn(struct lsqi_watch *watch, bool stopping) {
    static const struct lsqi_ws_end stopped = {.kind = LSQI_HTTP_CANCELLED,
                                               .message = "the request was cancelled"};
    struct lsqi_ws *ws = (struct lsqi_ws *)(void *)watch;

    if (stopping) {
        if (ws->state < CLOSING) fail(ws, &stopped, 0);
        ws->state = ENDED;
    }
    if (ws->state == CONNECTING) drive_connecting(ws);
    if (ws->state != CONNECTING && ws->state != ENDED) read_in(ws);
    if (ws->state != ENDED &&
        (ws->state == OPEN ? ws->silent_at : ws->connect_due) <= lsqi_now_ns())
        overdue(ws);
    if (ws->state != CONNECTING && ws->state != ENDED) write_out(ws);
    if (ws->state == CLOSING && ws->told_end && ws->out.len == 0) ws->state = ENDED;
    if (ws->state == ENDED)
        destroy(ws);
    else
        set_due(ws);
}

/* ---- The beginning ---- */

enum lsq_status lsqi_ws_open(struct lsqi_ws **out, const struct lsqi_ws_config *cfg,
                             struct lsq_error *err) {
    struct lsqi_ws *ws = lsqi_calloc(1, sizeof(*ws));

    if (ws == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a connection");
    ws->watch.turn = on_turn;
    lsqi_watch_add(&ws->watch);
    ws->peer = cfg->peer;
    lsqi_http_peer_ref(ws->peer);
    ws->events = cfg->events;
    ws->arg = cfg->arg;
    ws->max_message = cfg->max_message;
    ws->connect_ms = cfg->connect_ms;
    ws->connect_due = in_ms(cfg->connect_ms);
    ws->watch.due = lsqi_now_ns();
    ws->url = lsqi_strndup(cfg->url, strlen(cfg->url));
    ws->protocol = lsqi_strndup(cfg->protocol, strlen(cfg->protocol));
    if (lsqi_multi_init(&ws->multi)) ws->easy = lsqi_curl()->easy_init();
    lsqi_upgrade_request(&ws->request, cfg->url, cfg->headers, cfg->protocol, ws->key);
    if (ws->url == NULL || ws->protocol == NULL || ws->request.failed || ws->easy == NULL ||
        !set_up_easy(ws) || lsqi_curl()->multi_add_handle(ws->multi.handle, ws->easy) != 0) {
        destroy(ws);
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a connection");
    }
    *out = ws;
    return LSQ_OK;
}
