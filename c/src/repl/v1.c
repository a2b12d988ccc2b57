/* Replication protocol v1: sqld's log of frames, over gRPC-web. */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/error.h"
#include "remote/failure.h"
#include "repl/protocol.h"
#include "repl/seen.h"
#include "repl/transfer.h"
#include "repl/wire.h"

enum {
    /* codes of gRPC */
    GRPC_OK = 0,
    GRPC_INVALID = 3,
    GRPC_NOT_FOUND = 5,
    GRPC_DENIED = 7,
    GRPC_EXHAUSTED = 8,
    GRPC_PRECONDITION = 9,
    GRPC_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16
};

enum answer {
    ANSWER_OK,
    ANSWER_NO_HELLO,      /* the session is not known (any more): shake hands */
    ANSWER_NEED_SNAPSHOT, /* the log does not go back so far */
    ANSWER_AHEAD,         /* the log does not go so far */
    ANSWER_FAILED         /* err says why */
};

struct call {
    const char *method;  /* "Hello", "BatchLogEntries", "Snapshot" */
    const char *session; /* ""; or as the last hello said */
    const struct lsqi_buf *body;
    enum lsqi_wire_form form;
    enum lsq_status (*pause)(void *arg, struct lsq_error *err);
    struct lsqi_hello *hello; /* filled in by Hello */
};

/* ---- Answers ---- */

struct reader {
    struct lsqi_decoder decoder; /* first */
    struct lsqi_wire wire;
    bool foreign;
    struct lsqi_hello *hello;
};

static bool on_head(struct lsqi_decoder *decoder, const struct lsqi_http_head *head) {
    struct reader *reader = (struct reader *)(void *)decoder;

    reader->foreign = strncasecmp(head->content_type, "application/grpc-web", 20) != 0;
    if (head->grpc_status[0] != '\0')
        lsqi_grpc_end_set(&reader->wire.end, head->grpc_status, head->grpc_message);
    return head->status == 200 && !reader->foreign;
}

static enum lsq_status on_bytes(struct lsqi_decoder *decoder, const char *data, size_t len,
                                struct lsq_error *err) {
    return lsqi_wire_feed(&((struct reader *)(void *)decoder)->wire, data, len, err);
}

static bool on_frame(void *arg, const struct lsqi_frame *frame, const void *page, size_t len) {
    const struct reader *reader = arg;

    return reader->decoder.frame(reader->decoder.transfer, frame, page, len);
}

static void on_hello(void *arg, const struct lsqi_hello *hello) {
    const struct reader *reader = arg;

    if (reader->hello != NULL) *reader->hello = *hello;
}

static bool says(const struct lsqi_grpc_end *end, const char *word) {
    return strstr(end->message, word) != NULL;
}

static enum lsq_status of_grpc(const struct lsqi_grpc_end *end, struct lsq_error *err) {
    enum lsq_status st = LSQ_ERROR;

    switch (end->status) {
    case GRPC_UNAUTHENTICATED:
    case GRPC_DENIED: st = LSQ_UNAUTHORIZED; break;
    case GRPC_INVALID:
    case GRPC_UNIMPLEMENTED: st = LSQ_PROTOCOL_UNSUPPORTED; break;
    case GRPC_NOT_FOUND: st = LSQ_NAMESPACE_NOT_FOUND; break;
    case GRPC_EXHAUSTED:
    case GRPC_UNAVAILABLE: st = LSQ_OVERLOADED; break;
    default: break;
    }
    if (says(end, "NAMESPACE_DOESNT_EXIST")) st = LSQ_NAMESPACE_NOT_FOUND;
    /* sqld calls it an internal error. */
    if (says(end, "auth header") || says(end, "JWT")) st = LSQ_UNAUTHORIZED;
    lsqi_error_set(err, st, "%s: %s (gRPC %d)", lsq_status_text(st), end->message, end->status);
    if (err != NULL) err->transient = st == LSQ_OVERLOADED;
    return st;
}

static enum answer answer_of(const struct lsqi_grpc_end *said) {
    if (said->status == GRPC_OK) return ANSWER_OK;
    if (said->status == GRPC_PRECONDITION && says(said, "NO_HELLO")) return ANSWER_NO_HELLO;
    if (said->status == GRPC_PRECONDITION && says(said, "NEED_SNAPSHOT"))
        return ANSWER_NEED_SNAPSHOT;
    return said->status == GRPC_RANGE ? ANSWER_AHEAD : ANSWER_FAILED;
}

/* Of an answer that came whole. */
static enum lsq_status judge(const struct reader *reader, struct lsqi_transfer_end *end,
                             enum answer *answer, struct lsq_error *err) {
    const struct lsqi_grpc_end *said = &reader->wire.end;

    if (end->status != 200)
        return lsqi_remote_refusal(err, end->status, end->refusal.data, end->refusal.len, false);
    if (reader->foreign)
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "the server does not speak the replication protocol (no gRPC-web)");
    if (!said->came || reader->wire.prefix_len != 0 || reader->wire.message_left > 0) {
        end->transport = true;
        return lsqi_error_set(err, LSQ_CONNECTION_LOST, "the server's answer has no end");
    }
    *answer = answer_of(said);
    return *answer == ANSWER_FAILED ? of_grpc(said, err) : LSQ_OK;
}

/* ---- Requests ---- */

static enum lsq_status run(struct lsqi_replica *r, const struct call *call, struct reader *reader,
                           enum answer *answer, struct lsq_error *err) {
    struct lsqi_transfer_end end;
    struct lsqi_server_address address = {.url = NULL};
    struct lsqi_transfer_call transfer = lsqi_protocol_call(r, &address, &reader->decoder);
    enum lsq_status st =
        lsqi_server_log_address(&r->server, call->method, call->session, &address, err);

    if (st != LSQ_OK) return st;
    transfer.body = call->body;
    transfer.pause = call->pause;
    st = lsqi_transfer_run(&transfer, &end, err);
    if (st == LSQ_OK) st = judge(reader, &end, answer, err);
    lsqi_protocol_note(r, &end, st);
    lsqi_transfer_end_release(&end);
    lsqi_server_address_release(&address);
    return st;
}

/* LSQ_OK: *answer says what the answer was, ANSWER_FAILED is none of it. */
static enum lsq_status ask(struct lsqi_replica *r, const struct call *call, enum answer *answer,
                           struct lsq_error *err) {
    struct reader reader = {.decoder = {.head = on_head, .feed = on_bytes}, .hello = call->hello};
    const struct lsqi_wire_handler handler = {.frame = on_frame, .hello = on_hello, .arg = &reader};
    enum lsq_status st;

    *answer = ANSWER_FAILED;
    lsqi_wire_init(&reader.wire, call->form, &handler);
    st = run(r, call, &reader, answer, err);
    lsqi_wire_release(&reader.wire);
    return st;
}

static enum lsq_status no_memory(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a request");
}

static enum lsq_status greet(struct lsqi_replica *r, struct lsq_error *err) {
    struct lsqi_buf body = {0};
    struct lsqi_hello hello = {.index = 0};
    const struct call call = {
        .method = "Hello", .session = "", .body = &body, .form = LSQI_WIRE_HELLO, .hello = &hello};
    enum answer answer;
    enum lsq_status st;

    lsqi_wire_hello_request(&body);
    st = body.failed ? no_memory(err) : ask(r, &call, &answer, err);
    lsqi_buf_release(&body);
    if (st != LSQ_OK) return st;
    if (answer != ANSWER_OK || hello.log_id[0] == '\0')
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "the server's answer to Hello says nothing of its log");
    r->hello = hello;
    return LSQ_OK;
}

/* The log begins later than what we have: the pages that changed since, as they were at its begin. */
static enum lsq_status fetch_snapshot(struct lsqi_replica *r, const struct lsqi_buf *body,
                                      struct lsq_error *err) {
    const struct call call = {
        .method = "Snapshot", .session = r->hello.session, .body = body, .form = LSQI_WIRE_STREAM};
    enum answer answer;
    enum lsq_status st;
    enum lsq_status ended;

    lsqi_follow_snapshot_begin(r);
    st = ask(r, &call, &answer, err);
    ended =
        lsqi_follow_snapshot_end(r, st == LSQ_OK && answer == ANSWER_OK, st == LSQ_OK ? err : NULL);
    if (st == LSQ_OK && answer == ANSWER_NO_HELLO) {
        r->greeted = false;
        return LSQ_OK;
    }
    if (st == LSQ_OK && answer != ANSWER_OK)
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED, "the server has no snapshot to give");
    return st == LSQ_OK ? ended : st;
}

static enum lsq_status fetch(struct lsqi_replica *r, bool *end_of_log, struct lsq_error *err) {
    struct lsqi_buf body = {0};
    const struct call call = {.method = "BatchLogEntries",
                              .session = r->hello.session,
                              .body = &body,
                              .form = LSQI_WIRE_FRAMES,
                              .pause = lsqi_follow_pause};
    uint64_t from = r->next;
    uint64_t serial = lsqi_seen_asks(r);
    enum answer answer;
    enum lsq_status st;

    *end_of_log = false;
    lsqi_wire_offset_request(&body, r->next);
    st = body.failed ? no_memory(err) : ask(r, &call, &answer, err);
    if (st == LSQ_OK && answer == ANSWER_NEED_SNAPSHOT)
        st = fetch_snapshot(r, &body, err);
    else if (st == LSQ_OK && answer != ANSWER_OK)
        r->greeted = false; /* NO_HELLO; AHEAD, which the greeting will tell the reason of */
    else if (st == LSQ_OK && r->next == from)
        *end_of_log = true;
    if (*end_of_log) lsqi_seen_reached(r, serial);
    lsqi_buf_release(&body);
    return st;
}

const struct lsqi_protocol lsqi_protocol_v1 = {.kind = LSQ_SYNC_V1,
                                               .question = "POST /wal_log.ReplicationLog/Hello",
                                               .greet = greet,
                                               .fetch = fetch,
                                               .chained = true};
