/* Replication protocol v1: sqld's log of frames, over gRPC-web. */
#include "base/clock.h"
#include "base/error.h"
#include "repl/state.h"
#include "repl/transfer.h"

/* Also tells the breaker of the address. */
static enum lsq_status ask(struct lsqi_replica *r, const struct lsqi_transfer_call *call,
                           struct lsqi_transfer_end *end, struct lsq_error *err) {
    struct lsqi_place *place = r->server.targets[0].place;
    enum lsq_status st = lsqi_transfer_run(call, end, err);

    lsqi_follow_got_bytes(r, end->bytes);
    if (end->transport)
        lsqi_place_failed(place);
    else if (st != LSQ_INTERRUPTED)
        lsqi_place_answered(place);
    return st;
}

static struct lsqi_transfer_call call_of(struct lsqi_replica *r, const char *method,
                                         enum lsqi_wire_form form, const struct lsqi_buf *body) {
    return (struct lsqi_transfer_call){
        .server = &r->server,
        .method = method,
        .session = r->hello.session,
        .body = body,
        .form = form,
        .stall_ms = r->server.timeout_ms,
        .stop = lsqi_replica_stops,
        .frame = lsqi_follow_frame,
        .arg = r,
    };
}

static enum lsq_status no_memory(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a request");
}

static enum lsq_status greet(struct lsqi_replica *r, struct lsq_error *err) {
    struct lsqi_buf body = {0};
    struct lsqi_hello hello = {.index = 0};
    struct lsqi_transfer_call call = call_of(r, "Hello", LSQI_WIRE_HELLO, &body);
    struct lsqi_transfer_end end;
    enum lsq_status st;

    call.session = "";
    call.hello = &hello;
    lsqi_wire_hello_request(&body);
    st = body.failed ? no_memory(err) : ask(r, &call, &end, err);
    lsqi_buf_release(&body);
    if (st != LSQ_OK) return st;
    if (end.answer != LSQI_ANSWER_OK || hello.log_id[0] == '\0')
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "the server's answer to Hello says nothing of its log");
    r->hello = hello;
    return LSQ_OK;
}

/* The log begins later than what we have: the pages that changed since, as they were at its begin. */
static enum lsq_status fetch_snapshot(struct lsqi_replica *r, const struct lsqi_buf *body,
                                      struct lsq_error *err) {
    struct lsqi_transfer_call call = call_of(r, "Snapshot", LSQI_WIRE_STREAM, body);
    struct lsqi_transfer_end end;
    enum lsq_status st;
    enum lsq_status ended;

    lsqi_follow_snapshot_begin(r);
    st = ask(r, &call, &end, err);
    ended = lsqi_follow_snapshot_end(r, st == LSQ_OK && end.answer == LSQI_ANSWER_OK,
                                     st == LSQ_OK ? err : NULL);
    if (st == LSQ_OK && end.answer == LSQI_ANSWER_NO_HELLO) {
        r->greeted = false;
        return LSQ_OK;
    }
    if (st == LSQ_OK && end.answer != LSQI_ANSWER_OK)
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED, "the server has no snapshot to give");
    return st == LSQ_OK ? ended : st;
}

static enum lsq_status fetch(struct lsqi_replica *r, bool *end_of_log, struct lsq_error *err) {
    struct lsqi_buf body = {0};
    struct lsqi_transfer_call call = call_of(r, "BatchLogEntries", LSQI_WIRE_FRAMES, &body);
    struct lsqi_transfer_end end;
    uint64_t from = r->next;
    uint64_t serial = lsqi_follow_asks(r);
    enum lsq_status st;

    *end_of_log = false;
    call.pause = lsqi_follow_pause;
    lsqi_wire_offset_request(&body, r->next);
    st = body.failed ? no_memory(err) : ask(r, &call, &end, err);
    if (st == LSQ_OK && end.answer == LSQI_ANSWER_NEED_SNAPSHOT)
        st = fetch_snapshot(r, &body, err);
    else if (st == LSQ_OK && end.answer != LSQI_ANSWER_OK)
        r->greeted = false; /* NO_HELLO; AHEAD, which the greeting will tell the reason of */
    else if (st == LSQ_OK && r->next == from)
        *end_of_log = true;
    if (*end_of_log) lsqi_follow_reached(r, serial);
    lsqi_buf_release(&body);
    return st;
}

const struct lsqi_protocol lsqi_protocol_v1 = {.name = "v1", .greet = greet, .fetch = fetch};
