#include "remote/hub.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "hrana/message.h"

enum { MOST_MESSAGE = 1024 * 1024 * 1024 }; /* bytes */

enum {
    /* A hub's streams: each is one of the server's SQL connections, of which sqld has 128 for all. */
    STREAMS = 16,
    STREAMS_IN_ALL = 64, /* with those of transactions */
    STREAM_IDLE_MS = 10000,
    SOCKET_IDLE_MS = 30000,
    LOOK_MS = 5000,
    MOST_BODY = 60 * 1024 * 1024 /* servers end a WebSocket for a message that is too long */
};

struct lsqi_socket {
    struct lsqi_watch watch; /* the first */
    struct lsqi_socket *next;
    struct lsqi_hub *hub;
    struct lsqi_ws *ws; /* NULL: it is gone, and so will be this */
    struct lsqi_stream *streams;
    unsigned stream_count;
    int32_t last_request;
    bool greeted;
    bool left; /* gets no more to do */
    int64_t idle_since;
};

struct lsqi_hub {
    struct lsqi_hub *next;
    char *base;
    char *host;
    char *encryption_key;
    char *token;
    struct lsqi_http_peer *peer;
    struct lsqi_socket *sockets;
    struct lsqi_talk *waiting; /* for a stream, in their order */
};

struct hubs {
    struct lsqi_hub *first;
    int32_t last_stream;
    /* for any thread */
    atomic_int_fast64_t sockets;
    atomic_int_fast64_t streams;
    atomic_int_fast64_t talks;
};

/* Process-wide: the I/O thread's, but for the figures. */
static struct hubs hubs;

void lsqi_talk_figures(struct lsqi_talk_figures *figures) {
    *figures = (struct lsqi_talk_figures){.sockets = atomic_load(&hubs.sockets),
                                          .streams = atomic_load(&hubs.streams),
                                          .talks = atomic_load(&hubs.talks)};
}

/* ---- Hubs ---- */

static bool same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static char *copy(const char *text, bool *failed) {
    char *mine = text == NULL ? NULL : lsqi_strndup(text, strlen(text));

    *failed |= text != NULL && mine == NULL;
    return mine;
}

static void hub_free(struct lsqi_hub *hub) {
    lsqi_free(hub->base);
    lsqi_free(hub->host);
    lsqi_free(hub->encryption_key);
    lsqi_free(hub->token);
    lsqi_http_peer_unref(hub->peer);
    lsqi_free(hub);
}

static struct lsqi_hub *hub_new(struct lsqi_server *server, const struct lsqi_target *target) {
    struct lsqi_hub *hub = lsqi_calloc(1, sizeof(*hub));
    bool failed = false;

    if (hub == NULL) return NULL;
    hub->base = copy(lsqi_place_base(target->place), &failed);
    hub->host = copy(target->host, &failed);
    hub->encryption_key = copy(server->encryption_key, &failed);
    hub->token = copy(server->token, &failed);
    hub->peer = server->peer;
    lsqi_http_peer_ref(hub->peer);
    if (failed) {
        hub_free(hub);
        return NULL;
    }
    hub->next = hubs.first;
    hubs.first = hub;
    return hub;
}

/* The hub of the server's settings and its token as it is now. NULL: no memory. */
static struct lsqi_hub *hub_of(struct lsqi_server *server, size_t number) {
    const struct lsqi_target *target = &server->targets[number];
    struct lsqi_hub *hub = hubs.first;

    pthread_mutex_lock(&server->lock);
    while (hub != NULL &&
           !(same(hub->base, lsqi_place_base(target->place)) && same(hub->host, target->host) &&
             same(hub->encryption_key, server->encryption_key) && same(hub->token, server->token) &&
             lsqi_http_peer_equal(hub->peer, server->peer)))
        hub = hub->next;
    if (hub == NULL) hub = hub_new(server, target);
    pthread_mutex_unlock(&server->lock);
    return hub;
}

static void hub_drop_unused(struct lsqi_hub *hub) {
    struct lsqi_hub **link = &hubs.first;

    if (hub->sockets != NULL || hub->waiting != NULL) return;
    while (*link != hub) link = &(*link)->next;
    *link = hub->next;
    hub_free(hub);
}

/* ---- Streams ---- */

static bool say(struct lsqi_socket *socket, const char *text) {
    const struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};

    return socket->ws == NULL || lsqi_ws_send(socket->ws, &part, 1);
}

static int32_t next_request(struct lsqi_socket *socket) {
    socket->last_request = socket->last_request >= 0x3fffffff ? 1 : socket->last_request + 1;
    return socket->last_request;
}

static int32_t say_of_stream(struct lsqi_socket *socket, const char *type, int32_t stream) {
    int32_t request = next_request(socket);
    char text[160];

    snprintf(
        text, sizeof(text),
        "{\"type\":\"request\",\"request_id\":%d,\"request\":{\"type\":\"%s\",\"stream_id\":%d}}",
        (int)request, type, (int)stream);
    (void)say(socket, text);
    return request;
}

static void unlink_stream(struct lsqi_stream *stream) {
    struct lsqi_socket *socket = stream->socket;
    struct lsqi_stream **link = &socket->streams;

    while (*link != stream) link = &(*link)->next;
    *link = stream->next;
    socket->stream_count--;
    if (socket->stream_count > 0) return;
    socket->idle_since = lsqi_now_ns();
    if (socket->left) socket->watch.ready = true;
}

static void close_stream(struct lsqi_stream *stream) {
    (void)say_of_stream(stream->socket, "close_stream", stream->id);
    unlink_stream(stream);
    lsqi_free(stream);
}

static struct lsqi_stream *stream_new(struct lsqi_socket *socket) {
    struct lsqi_stream *stream = lsqi_calloc(1, sizeof(*stream));

    if (stream == NULL) return NULL;
    hubs.last_stream = hubs.last_stream >= 0x3fffffff ? 1 : hubs.last_stream + 1;
    stream->id = hubs.last_stream;
    snprintf(stream->place, sizeof(stream->place), "%d", (int)stream->id);
    stream->socket = socket;
    stream->next = socket->streams;
    socket->streams = stream;
    socket->stream_count++;
    stream->open_request = say_of_stream(socket, "open_stream", stream->id);
    return stream;
}

static struct lsqi_stream *find_stream(int32_t id) {
    for (struct lsqi_hub *hub = hubs.first; hub != NULL; hub = hub->next)
        for (struct lsqi_socket *socket = hub->sockets; socket != NULL; socket = socket->next)
            for (struct lsqi_stream *stream = socket->streams; stream != NULL;
                 stream = stream->next)
                if (stream->id == id) return stream;
    return NULL;
}

/* Of those that anybody may have, the one that was used last. */
static struct lsqi_stream *find_idle(const struct lsqi_hub *hub) {
    struct lsqi_stream *best = NULL;

    for (struct lsqi_socket *socket = hub->sockets; socket != NULL; socket = socket->next) {
        if (socket->left)
            continue; /* it may be about to end: who is told so may let go of others */
        for (struct lsqi_stream *stream = socket->streams; stream != NULL; stream = stream->next)
            if (stream->idle && (best == NULL || stream->idle_since > best->idle_since))
                best = stream;
    }
    return best;
}

static unsigned count_streams(const struct lsqi_hub *hub) {
    unsigned count = 0;

    for (struct lsqi_socket *socket = hub->sockets; socket != NULL; socket = socket->next)
        count += socket->stream_count;
    return count;
}

/* ---- Sending ---- */

static void say_request(struct lsqi_stream *stream, const char *request, size_t len) {
    char head[96];
    struct iovec parts[3] = {{.iov_base = head},
                             {.iov_base = (void *)(uintptr_t)(request + 1), .iov_len = len - 1},
                             {.iov_base = (void *)(uintptr_t) "}", .iov_len = 1}};

    parts[0].iov_len =
        (size_t)snprintf(head, sizeof(head),
                         "{\"type\":\"request\",\"request_id\":%d,\"request\":{\"stream_id\":%d,",
                         (int)next_request(stream->socket), (int)stream->id);
    (void)lsqi_ws_send(stream->socket->ws, parts, 3);
}

/* The stream is open: all requests, one after the other. */
static void send_requests(struct lsqi_talk *talk) {
    static const char look[] =
        "{\"type\":\"execute\",\"stmt\":{\"sql\":\"SELECT 1 FROM sqlite_schema LIMIT 0\"}}";
    struct lsqi_stream *stream = talk->stream;
    const char *request;
    size_t at = 0;
    size_t len;

    if (stream->socket->last_request > 0x3fffff00) stream->socket->last_request = 0;
    talk->first_request = stream->socket->last_request + 1;
    talk->sent = true;
    if (talk->first_byte_ms > 0) {
        talk->first_byte_due = lsqi_now_ns() + (int64_t)talk->first_byte_ms * 1000000;
        talk->watch.ready = true;
    }
    if (talk->looks) say_request(stream, look, sizeof(look) - 1);
    if (talk->looks) talk->requests++;
    for (; lsqi_hrana_next_request(talk->body, &at, &request, &len); talk->requests++)
        say_request(stream, request, len);
}

static void give(struct lsqi_stream *stream, struct lsqi_talk *talk) {
    stream->idle = false;
    stream->talk = talk;
    talk->stream = stream;
    if (stream->opened) send_requests(talk);
}

/* ---- Who waits ---- */

static struct lsqi_socket *socket_of(struct lsqi_hub *hub, struct lsqi_talk *talk);

static void unlink_waiting(struct lsqi_talk *talk) {
    struct lsqi_talk **link = &talk->hub->waiting;

    while (*link != NULL && *link != talk) link = &(*link)->next_waiting;
    if (*link == talk) *link = talk->next_waiting;
}

static void end_talk(struct lsqi_talk *talk, const struct lsqi_talk_end *end) {
    struct lsqi_talk_end told = *end;

    told.http.sent = talk->sent;
    lsqi_talk_end(talk, &told);
}

static void end_without_memory(struct lsqi_talk *talk) {
    const struct lsqi_talk_end end = {
        .http = {.kind = LSQI_HTTP_FAILED, .message = "out of memory for a request"}};

    end_talk(talk, &end);
}

/* Whether there may be one more stream, if need be for one that nobody uses. */
static bool make_room(struct lsqi_hub *hub, unsigned most) {
    struct lsqi_stream *idle;

    if (count_streams(hub) < most) return true;
    idle = find_idle(hub);
    if (idle != NULL) close_stream(idle);
    return idle != NULL && count_streams(hub) < most;
}

/* False: it has to wait. */
static bool find_stream_for(struct lsqi_talk *talk) {
    struct lsqi_hub *hub = talk->hub;
    struct lsqi_stream *stream = talk->fresh ? NULL : find_idle(hub);
    struct lsqi_socket *socket;

    if (stream == NULL) {
        if (!make_room(hub, talk->begins ? STREAMS_IN_ALL : STREAMS)) return false;
        socket = socket_of(hub, talk);
        if (socket != NULL) stream = stream_new(socket);
        if (stream == NULL) {
            end_without_memory(talk);
            return true;
        }
        talk->looks = false;
    }
    give(stream, talk);
    return true;
}

static void serve_waiting(struct lsqi_hub *hub) {
    struct lsqi_talk **link = &hub->waiting;

    while (*link != NULL) {
        struct lsqi_talk *talk = *link;

        *link = talk->next_waiting;
        if (find_stream_for(talk)) continue;
        talk->next_waiting = *link;
        *link = talk;
        link = &talk->next_waiting;
    }
}

void lsqi_hub_leave(int32_t id, bool keep) {
    struct lsqi_stream *stream = find_stream(id);
    struct lsqi_hub *hub;

    if (stream == NULL || stream->talk != NULL) return;
    hub = stream->socket->hub;
    if (keep && !stream->socket->left) {
        stream->idle = true;
        stream->idle_since = lsqi_now_ns();
    } else {
        close_stream(stream);
    }
    serve_waiting(hub);
}

/* ---- The WebSocket ---- */

static void leave_socket(struct lsqi_socket *socket) {
    struct lsqi_stream *next;

    if (socket->left) return;
    socket->left = true;
    socket->watch.ready = true;
    for (struct lsqi_stream *stream = socket->streams; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->idle) close_stream(stream);
    }
}

static void end_socket(struct lsqi_socket *socket, const struct lsqi_talk_end *end) {
    struct lsqi_hub *hub = socket->hub;
    struct lsqi_talk *waiting;

    socket->left = true;
    socket->watch.ready = true;
    while (socket->streams != NULL) {
        struct lsqi_stream *stream = socket->streams;
        struct lsqi_talk *talk = stream->talk;

        unlink_stream(stream);
        lsqi_free(stream);
        if (talk != NULL) talk->stream = NULL;
        if (talk != NULL) end_talk(talk, end);
    }
    /* Who waits would fare no better where the server was not there. */
    if (!end->no_socket && socket->greeted) {
        serve_waiting(hub);
        return;
    }
    waiting = hub->waiting;
    hub->waiting = NULL;
    while (waiting != NULL) {
        struct lsqi_talk *next = waiting->next_waiting;

        end_talk(waiting, end);
        waiting = next;
    }
}

static bool is_for_a_while(int status) { return status == 429 || status >= 500; }

static void on_closed(void *arg, const struct lsqi_ws_end *why) {
    struct lsqi_socket *socket = arg;
    struct lsqi_talk_end end = {
        .http = {.kind = why->kind, .status = why->status, .message = why->message}};

    if (why->kind == LSQI_HTTP_DONE && !is_for_a_while(why->status))
        end.no_socket = end.for_good = true;
    if (why->kind == LSQI_HTTP_TIMEOUT) end.http.phase = "connect";
    if (why->kind == LSQI_HTTP_BROKEN && !socket->greeted) end.no_socket = true;
    /* It was there: one end of a WebSocket is not as many failures of the server as it had talks. */
    if (why->kind == LSQI_HTTP_BROKEN && socket->greeted) end.http.status = 101;
    socket->ws = NULL;
    end_socket(socket, &end);
}

static void refuse_all(struct lsqi_socket *socket, const char *data, size_t len) {
    const struct lsqi_talk_end end = {
        .http = {.kind = LSQI_HTTP_DONE, .status = 401}, .refusal = data, .refusal_len = len};

    lsqi_ws_close(socket->ws);
    socket->ws = NULL;
    end_socket(socket, &end);
}

static void stream_opened(struct lsqi_stream *stream, bool ok, const char *data, size_t len) {
    struct lsqi_talk *talk = stream->talk;
    struct lsqi_hub *hub = stream->socket->hub;
    /* As of HTTP: there are too many, and nothing has run. */
    const struct lsqi_talk_end end = {
        .http = {.kind = LSQI_HTTP_DONE, .status = 429}, .refusal = data, .refusal_len = len};

    stream->opened = ok;
    if (ok) atomic_fetch_add(&hubs.streams, 1);
    if (ok && talk != NULL) {
        send_requests(talk);
    } else if (ok) {
        stream->talk = NULL;
        lsqi_hub_leave(stream->id, true);
    } else {
        close_stream(stream);
        if (talk != NULL) talk->stream = NULL;
        if (talk != NULL) end_talk(talk, &end);
        serve_waiting(hub);
    }
}

static void stop_talk(struct lsqi_talk *talk) {
    const struct lsqi_talk_end end = {.http = {.kind = LSQI_HTTP_CANCELLED,
                                               .sent = true,
                                               .message = "the request was cancelled"}};

    lsqi_hub_abandon(talk);
    lsqi_talk_end(talk, &end);
}

static void take_answer(struct lsqi_stream *stream, unsigned place, const char *data, size_t len) {
    struct lsqi_talk *talk = stream->talk;
    const struct lsqi_talk_end end = {
        .http = {.kind = LSQI_HTTP_DONE, .status = 200, .sent = true, .message = ""},
        .place = stream->place};

    talk->answered++;
    talk->first_byte_due = INT64_MAX;
    if (!(talk->looks && place == 0) &&
        !talk->events->message(talk->arg, talk->looks ? place - 1 : place, data, len)) {
        stop_talk(talk);
        return;
    }
    if (talk->answered < talk->requests) return;
    stream->talk = NULL;
    talk->stream = NULL;
    atomic_fetch_add(&hubs.talks, 1);
    lsqi_talk_end(talk, &end);
}

static void take_response(struct lsqi_socket *socket, int64_t request, bool ok, const char *data,
                          size_t len) {
    for (struct lsqi_stream *stream = socket->streams; stream != NULL; stream = stream->next) {
        struct lsqi_talk *talk = stream->talk;

        if (!stream->opened && stream->open_request == request) {
            stream_opened(stream, ok, data, len);
            return;
        }
        if (talk == NULL || !talk->sent || request < talk->first_request ||
            request >= (int64_t)talk->first_request + talk->requests)
            continue;
        take_answer(stream, (unsigned)(request - talk->first_request), data, len);
        return;
    }
}

static void on_message(void *arg, const char *data, size_t len) {
    struct lsqi_socket *socket = arg;
    const struct lsqi_talk_end bad = {
        .http = {.kind = LSQI_HTTP_BROKEN, .message = "the server's message is not understood"},
        .no_socket = !socket->greeted};
    int64_t request = 0;
    enum lsqi_message_kind kind;

    if (socket->ws == NULL) return;
    kind = lsqi_hrana_message(data, len, &request);
    switch (kind) {
    case LSQI_MESSAGE_HELLO_OK:
        socket->greeted = true;
        atomic_fetch_add(&hubs.sockets, 1);
        break;
    case LSQI_MESSAGE_HELLO_ERROR: refuse_all(socket, data, len); break;
    case LSQI_MESSAGE_RESPONSE_OK:
    case LSQI_MESSAGE_RESPONSE_ERROR:
        take_response(socket, request, kind == LSQI_MESSAGE_RESPONSE_OK, data, len);
        break;
    case LSQI_MESSAGE_OTHER: break;
    default:
        lsqi_ws_close(socket->ws);
        socket->ws = NULL;
        end_socket(socket, &bad);
    }
}

/* ---- A WebSocket's life ---- */

static void socket_free(struct lsqi_socket *socket) {
    struct lsqi_hub *hub = socket->hub;
    struct lsqi_socket **link = &hub->sockets;

    lsqi_watch_remove(&socket->watch);
    while (*link != NULL && *link != socket) link = &(*link)->next;
    if (*link == socket) *link = socket->next;
    lsqi_free(socket);
    hub_drop_unused(hub);
}

static void close_idle(struct lsqi_socket *socket, int64_t now) {
    struct lsqi_stream *next;

    for (struct lsqi_stream *stream = socket->streams; stream != NULL; stream = next) {
        next = stream->next;
        if (stream->idle && now - stream->idle_since >= (int64_t)STREAM_IDLE_MS * 1000000)
            close_stream(stream);
    }
}

static void on_turn(struct lsqi_watch *watch, bool stopping) {
    struct lsqi_socket *socket = (struct lsqi_socket *)(void *)watch;
    int64_t now = lsqi_now_ns();

    if (!socket->left) close_idle(socket, now);
    if (socket->stream_count == 0 &&
        (socket->left || now - socket->idle_since >= (int64_t)SOCKET_IDLE_MS * 1000000)) {
        if (socket->ws != NULL) lsqi_ws_close(socket->ws);
        socket->ws = NULL;
    }
    /* While the thread stops, the WebSocket has its own turn first, or next. */
    (void)stopping;
    if (socket->ws == NULL && socket->stream_count == 0)
        socket_free(socket);
    else
        watch->due = now + (int64_t)LOOK_MS * 1000000;
}

static bool greet(struct lsqi_socket *socket, const char *token) {
    struct lsqi_buf hello = {0};
    struct iovec part;
    bool said;

    lsqi_hrana_hello(&hello, token);
    part = (struct iovec){.iov_base = hello.data, .iov_len = hello.len};
    said = !hello.failed && lsqi_ws_send(socket->ws, &part, 1);
    lsqi_buf_release(&hello);
    return said;
}

static bool open_ws(struct lsqi_socket *socket, const struct lsqi_server *server) {
    static const struct lsqi_ws_events events = {.message = on_message, .closed = on_closed};
    const struct lsqi_hub *hub = socket->hub;
    const char *headers[3] = {NULL};
    struct lsqi_buf host = {0};
    struct lsqi_buf key = {0};
    size_t count = 0;
    enum lsq_status st = LSQ_NOMEM;

    if (hub->host != NULL) {
        lsqi_buf_add_text(&host, "Host: ");
        lsqi_buf_add(&host, hub->host, strlen(hub->host) + 1);
        headers[count++] = host.data;
    }
    if (hub->encryption_key != NULL) {
        lsqi_buf_add_text(&key, "x-turso-encryption-key: ");
        lsqi_buf_add(&key, hub->encryption_key, strlen(hub->encryption_key) + 1);
        headers[count] = key.data;
    }
    if (!host.failed && !key.failed) {
        const struct lsqi_ws_config cfg = {
            .peer = hub->peer,
            .url = hub->base,
            .headers = headers,
            .protocol = "hrana3",
            .connect_ms = server->connect_ms,
            .max_message = MOST_MESSAGE, /* each call has its own bound below it */
            .events = &events,
            .arg = socket,
        };

        st = lsqi_ws_open(&socket->ws, &cfg, NULL);
    }
    lsqi_buf_release(&host);
    lsqi_buf_release(&key);
    return st == LSQ_OK;
}

/* One that gets new streams. NULL: no memory. */
static struct lsqi_socket *socket_of(struct lsqi_hub *hub, struct lsqi_talk *talk) {
    struct lsqi_socket *socket = hub->sockets;

    while (socket != NULL && socket->left) socket = socket->next;
    if (socket != NULL) return socket;
    socket = lsqi_calloc(1, sizeof(*socket));
    if (socket == NULL) return NULL;
    socket->hub = hub;
    socket->watch.turn = on_turn;
    socket->idle_since = lsqi_now_ns();
    socket->watch.due = socket->idle_since + (int64_t)LOOK_MS * 1000000;
    if (!open_ws(socket, talk->server)) {
        lsqi_free(socket);
        return NULL;
    }
    lsqi_watch_add(&socket->watch);
    socket->next = hub->sockets;
    hub->sockets = socket;
    if (greet(socket, hub->token)) return socket;
    lsqi_ws_close(socket->ws);
    socket->ws = NULL;
    socket->left = socket->watch.ready = true;
    return NULL;
}

/* ---- Talks ---- */

static void begin_held(struct lsqi_talk *talk) {
    static const char lost[] =
        "{\"message\":\"the connection to the server was lost, and with it the "
        "transaction\",\"code\":\"STREAM_EXPIRED\"}";
    const struct lsqi_talk_end end = {
        .http = {.kind = LSQI_HTTP_DONE, .status = 400, .sent = true, .message = ""},
        .refusal = lost,
        .refusal_len = sizeof(lost) - 1};
    struct lsqi_stream *stream = find_stream(talk->place);

    if (stream == NULL || stream->talk != NULL || stream->idle)
        lsqi_talk_end(talk, &end);
    else
        give(stream, talk);
}

void lsqi_hub_begin(struct lsqi_talk *talk) {
    const struct lsqi_talk_end too_big = {.http = {.kind = LSQI_HTTP_DONE, .status = 413}};
    struct lsqi_talk **link;

    if (talk->body->len > MOST_BODY) {
        lsqi_talk_end(talk, &too_big);
        return;
    }
    if (talk->place != 0) {
        struct lsqi_stream *stream = find_stream(talk->place);

        talk->hub = stream == NULL ? NULL : stream->socket->hub;
        begin_held(talk);
        return;
    }
    talk->hub = hub_of(talk->server, talk->target);
    if (talk->hub == NULL) {
        end_without_memory(talk);
        return;
    }
    if (find_stream_for(talk)) return;
    for (link = &talk->hub->waiting; *link != NULL;) link = &(*link)->next_waiting;
    talk->next_waiting = NULL;
    *link = talk;
}

/* A stream in which something may still run is closed; the statement ends with the WebSocket. */
void lsqi_hub_abandon(struct lsqi_talk *talk) {
    struct lsqi_stream *stream = talk->stream;
    struct lsqi_hub *hub = talk->hub;

    if (hub == NULL) return;
    if (stream == NULL) {
        unlink_waiting(talk);
        return;
    }
    talk->stream = NULL;
    stream->talk = NULL;
    if (!talk->sent && !stream->opened) return; /* it is for somebody else, once it is open */
    leave_socket(stream->socket);
    close_stream(stream);
    serve_waiting(hub);
}
