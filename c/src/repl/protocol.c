#include "repl/protocol.h"
#include "repl/seen.h"

#include <string.h>

#include "base/error.h"
#include "repl/v2.h"

/* ---- Requests ---- */

struct lsqi_transfer_call lsqi_protocol_call(struct lsqi_replica *r,
                                             const struct lsqi_server_address *address,
                                             struct lsqi_decoder *decoder) {
    return (struct lsqi_transfer_call){
        .server = &r->server,
        .address = address,
        .decoder = decoder,
        .stall_ms = r->server.timeout_ms,
        .stop = lsqi_replica_stops,
        .frame = lsqi_follow_frame,
        .arg = r,
    };
}

void lsqi_protocol_note(struct lsqi_replica *r, const struct lsqi_transfer_end *end,
                        enum lsq_status st) {
    struct lsqi_place *place = r->server.targets[0].place;

    lsqi_seen_bytes(r, end->bytes);
    if (end->transport)
        lsqi_place_failed(place);
    else if (st != LSQ_INTERRUPTED)
        lsqi_place_answered(place);
}

/* ---- Which one ---- */

static const struct lsqi_protocol *of_kind(enum lsq_sync_protocol kind) {
    return kind == LSQ_SYNC_V2 ? &lsqi_protocol_v2 : &lsqi_protocol_v1;
}

static void use(struct lsqi_replica *r, const struct lsqi_protocol *protocol) {
    r->protocol = protocol;
    atomic_store_explicit(&r->face.protocol, (int)protocol->kind, memory_order_relaxed);
}

void lsqi_protocol_recall(struct lsqi_replica *r) {
    if (r->wanted != LSQ_SYNC_AUTO)
        use(r, of_kind(r->wanted));
    else if (r->meta.log_id[0] != '\0')
        use(r, lsqi_v2_is_log_id(r->meta.log_id) ? &lsqi_protocol_v2 : &lsqi_protocol_v1);
}

static enum lsq_status greet_by(struct lsqi_replica *r, const struct lsqi_protocol *protocol,
                                struct lsq_error *err) {
    enum lsq_status st = protocol->greet(r, err);

    if (st == LSQ_OK) use(r, protocol);
    return st;
}

static enum lsq_status neither(struct lsq_error *err, const struct lsqi_protocol *one,
                               const char *why, const struct lsqi_protocol *other,
                               const char *why_other) {
    return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                          "the server offers no protocol of syncs: to %s: %.190s; to %s: %.190s",
                          one->question, why, other->question, why_other);
}

enum lsq_status lsqi_protocol_greet(struct lsqi_replica *r, struct lsq_error *err) {
    const struct lsqi_protocol *first = r->protocol == NULL ? &lsqi_protocol_v2 : r->protocol;
    const struct lsqi_protocol *second =
        first == &lsqi_protocol_v2 ? &lsqi_protocol_v1 : &lsqi_protocol_v2;
    struct lsq_error why;
    struct lsq_error why_other;
    enum lsq_status st = greet_by(r, first, &why);

    if (st == LSQ_PROTOCOL_UNSUPPORTED && r->wanted == LSQ_SYNC_AUTO) {
        st = greet_by(r, second, &why_other);
        if (st == LSQ_PROTOCOL_UNSUPPORTED)
            return neither(err, first, why.message, second, why_other.message);
        why = why_other;
    } else if (st == LSQ_PROTOCOL_UNSUPPORTED) {
        return lsqi_error_set(
            err, st, "the server does not offer the protocol of syncs %s: to %s: %s",
            first == &lsqi_protocol_v2 ? "v2" : "v1", first->question, why.message);
    }
    if (st != LSQ_OK && err != NULL) *err = why;
    return st;
}
