#include "repl/wire.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"

/* A decoder of its own rather than protobuf-c: Debian's static library is not position-independent, so that the NIF,
 * which links nothing but libc, cannot hold it; and it wants a message whole. sqld answers a catch-up with one message
 * that goes on to its transaction's end, however long that is. */

enum {
    FLAG_TRAILER = 0x80,
    FLAG_COMPRESSED = 0x01,
    MOST_HELLO = 64 * 1024,
    MOST_TRAILER = 16 * 1024,
    MOST_FRAME = LSQI_FRAME_HEADER + LSQI_MOST_PAGE + 64,
    /* wire types of protobuf */
    VARINT = 0,
    FIXED64 = 1,
    BYTES = 2,
    FIXED32 = 5
};

enum state {
    PREFIX,  /* of a gRPC frame */
    GATHER,  /* field_left bytes into gathered */
    TAG,     /* of a field of Frames */
    LENGTH,  /* of such a field */
    SKIP,    /* field_left bytes */
    SKIP_INT /* a varint */
};

static enum lsq_status refuse(struct lsq_error *err, const char *why) {
    return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                          "the answer is none of the replication protocol's: %s", why);
}

void lsqi_wire_init(struct lsqi_wire *wire, enum lsqi_wire_form form,
                    const struct lsqi_wire_handler *handler) {
    *wire = (struct lsqi_wire){.form = form, .handler = *handler, .state = PREFIX};
}

void lsqi_wire_release(struct lsqi_wire *wire) { lsqi_buf_release(&wire->gathered); }

bool lsqi_wire_whole(const struct lsqi_wire *wire) {
    return wire->end.came && wire->state == PREFIX && wire->prefix_len == 0;
}

/* ---- Messages that are whole ---- */

struct reader {
    const unsigned char *at;
    const unsigned char *end;
};

/* False: it is cut off, or longer than 64 bits. */
static bool read_varint(struct reader *r, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; r->at < r->end && shift < 64; shift += 7) {
        unsigned char byte = *r->at++;

        *value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) return shift < 63 || byte <= 1;
    }
    return false;
}

struct field {
    uint64_t number;
    unsigned type;
    uint64_t value;            /* of a varint */
    const unsigned char *data; /* of bytes */
    size_t len;
};

static bool read_field(struct reader *r, struct field *field) {
    uint64_t tag;
    uint64_t len = 0;

    if (!read_varint(r, &tag)) return false;
    *field = (struct field){.number = tag >> 3, .type = (unsigned)(tag & 7)};
    if (field->number == 0) return false;
    switch (field->type) {
    case VARINT: return read_varint(r, &field->value);
    case FIXED64: len = 8; break;
    case FIXED32: len = 4; break;
    case BYTES:
        if (!read_varint(r, &len)) return false;
        break;
    default: return false;
    }
    if (len > (uint64_t)(r->end - r->at)) return false;
    field->data = r->at;
    field->len = (size_t)len;
    r->at += len;
    return true;
}

static uint64_t little(const unsigned char *at, unsigned bytes) {
    uint64_t value = 0;

    while (bytes > 0) value = value << 8 | at[--bytes];
    return value;
}

static bool is_page_size(size_t size) {
    return size >= 512 && size <= LSQI_MOST_PAGE && (size & (size - 1)) == 0;
}

static enum lsq_status take_frame(struct lsqi_wire *wire, const void *bytes, size_t len,
                                  struct lsq_error *err) {
    struct reader r = {.at = bytes, .end = (const unsigned char *)bytes + len};
    struct field data = {0};
    struct field field;
    struct lsqi_frame frame;

    while (r.at < r.end) {
        if (!read_field(&r, &field)) return refuse(err, "a frame is malformed");
        if (field.number == 1 && field.type == BYTES) data = field;
    }
    if (data.len <= LSQI_FRAME_HEADER || !is_page_size(data.len - LSQI_FRAME_HEADER))
        return refuse(err, "a frame has no page");
    frame.number = little(data.data, 8);
    frame.checksum = little(data.data + 8, 8);
    frame.page = (uint32_t)little(data.data + 16, 4);
    frame.size_after = (uint32_t)little(data.data + 20, 4);
    if (frame.page == 0 || frame.number >= INT64_MAX)
        return refuse(err, "a frame's number is none");
    if (wire->handler.frame(wire->handler.arg, &frame, data.data + LSQI_FRAME_HEADER,
                            data.len - LSQI_FRAME_HEADER))
        return LSQ_OK;
    return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a frame");
}

/* For logs and headers: what is no plain text is no id. */
static bool copy_text(char *to, size_t size, const struct field *field) {
    if (field->type != BYTES || field->len >= size) return false;
    for (size_t i = 0; i < field->len; i++)
        if (field->data[i] <= ' ' || field->data[i] >= 0x7f) return false;
    if (field->len > 0) memcpy(to, field->data, field->len);
    to[field->len] = '\0';
    return true;
}

static enum lsq_status take_hello(struct lsqi_wire *wire, struct lsq_error *err) {
    const char *bytes = wire->gathered.data == NULL ? "" : wire->gathered.data;
    struct reader r = {.at = (const unsigned char *)bytes};
    struct lsqi_hello hello = {.index = 0};
    struct field field;
    bool ok = true;

    r.end = r.at + wire->gathered.len;
    while (ok && r.at < r.end) {
        ok = read_field(&r, &field);
        if (!ok) break;
        if (field.number == 3) ok = copy_text(hello.log_id, sizeof(hello.log_id), &field);
        if (field.number == 4) ok = copy_text(hello.session, sizeof(hello.session), &field);
        if (field.number == 5 && field.type == VARINT) hello.index = field.value;
    }
    if (!ok || hello.log_id[0] == '\0' || hello.index >= INT64_MAX)
        return refuse(err, "the answer to Hello is malformed");
    wire->handler.hello(wire->handler.arg, &hello);
    return LSQ_OK;
}

/* ---- The end ---- */

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void lsqi_grpc_end_set(struct lsqi_grpc_end *end, const char *status, const char *message) {
    char text[sizeof(end->message)];
    size_t n = 0;

    end->came = true;
    end->status = (int)strtol(status, NULL, 10);
    for (; *message != '\0' && n + 1 < sizeof(text); message++) {
        if (*message == '%' && hex(message[1]) >= 0 && hex(message[2]) >= 0) {
            text[n++] = (char)(hex(message[1]) * 16 + hex(message[2]));
            message += 2;
        } else {
            text[n++] = *message;
        }
    }
    /* It is shown to people, and may be cut anywhere. */
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] >= 0x7f) text[i] = '?';
    lsqi_error_copy(end->message, sizeof(end->message), text, n);
}

/* The value of a line of the trailer. */
static void line_value(char *value, size_t size, const char *text, size_t len, const char *name) {
    size_t n = strlen(name);

    for (size_t at = 0; at < len;) {
        const char *line = text + at;
        const char *newline = memchr(line, '\n', len - at);
        size_t line_len = newline == NULL ? len - at : (size_t)(newline - line);

        at += line_len + 1;
        if (line_len <= n || strncasecmp(line, name, n) != 0) continue;
        line += n, line_len -= n;
        while (line_len > 0 && *line == ' ') line++, line_len--;
        while (line_len > 0 && (unsigned char)line[line_len - 1] <= ' ') line_len--;
        lsqi_error_copy(value, size, line, line_len);
    }
}

static void take_trailer(struct lsqi_wire *wire) {
    const char *text = wire->gathered.data == NULL ? "" : wire->gathered.data;
    char status[16] = "2"; /* unknown: a trailer without a status says that nothing is known */
    char message[256] = "";

    line_value(status, sizeof(status), text, wire->gathered.len, "grpc-status:");
    line_value(message, sizeof(message), text, wire->gathered.len, "grpc-message:");
    lsqi_grpc_end_set(&wire->end, status, message);
}

/* ---- The stream ---- */

static void expect_prefix(struct lsqi_wire *wire) {
    wire->state = PREFIX;
    wire->prefix_len = 0;
}

static void expect_tag(struct lsqi_wire *wire) {
    wire->shift = 0;
    wire->number = 0;
    if (wire->message_left == 0)
        expect_prefix(wire);
    else
        wire->state = TAG;
}

static void gather(struct lsqi_wire *wire, uint64_t len) {
    lsqi_buf_reset(&wire->gathered);
    wire->field_left = len;
    wire->state = GATHER;
}

static enum lsq_status gathered(struct lsqi_wire *wire, const void *bytes, size_t len,
                                struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    if (wire->trailer)
        take_trailer(wire);
    else if (wire->form == LSQI_WIRE_HELLO)
        st = take_hello(wire, err);
    else
        st = take_frame(wire, bytes, len, err);
    expect_tag(wire); /* of a message that is over: the next prefix */
    return st;
}

static enum lsq_status prefix_read(struct lsqi_wire *wire, struct lsq_error *err) {
    const unsigned char *p = wire->prefix;
    uint64_t most = wire->form == LSQI_WIRE_HELLO ? MOST_HELLO : MOST_FRAME;

    wire->message_left = (uint64_t)p[1] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 8 | p[4];
    wire->trailer = (p[0] & FLAG_TRAILER) != 0;
    if ((p[0] & FLAG_COMPRESSED) != 0) return refuse(err, "it is compressed");
    if (wire->end.came) return refuse(err, "it goes on behind its end");
    if (wire->trailer) most = MOST_TRAILER;
    if (!wire->trailer && wire->form == LSQI_WIRE_FRAMES) {
        expect_tag(wire);
        return LSQ_OK;
    }
    if (wire->message_left > most) return refuse(err, "a message is too long");
    gather(wire, wire->message_left);
    wire->message_left = 0;
    return wire->field_left == 0 ? gathered(wire, "", 0, err) : LSQ_OK;
}

/* A byte of a varint within Frames. *done: it was the last. */
static enum lsq_status varint_byte(struct lsqi_wire *wire, unsigned char byte, bool *done,
                                   struct lsq_error *err) {
    if (wire->shift >= 64 || (wire->shift == 63 && (byte & 0x7f) > 1))
        return refuse(err, "a number is too long");
    wire->number |= (uint64_t)(byte & 0x7f) << wire->shift;
    wire->shift += 7;
    *done = (byte & 0x80) == 0;
    if (!*done && wire->message_left == 0) return refuse(err, "a message is cut off");
    return LSQ_OK;
}

static enum lsq_status field_begins(struct lsqi_wire *wire, uint64_t len, struct lsq_error *err) {
    if (len > wire->message_left) return refuse(err, "a field is longer than its message");
    if (wire->tag == (1u << 3 | BYTES)) {
        if (len > MOST_FRAME) return refuse(err, "a frame is too long");
        gather(wire, len);
        wire->message_left -= len;
        return len == 0 ? gathered(wire, "", 0, err) : LSQ_OK;
    }
    wire->message_left -= len;
    wire->field_left = len;
    wire->state = SKIP;
    if (len == 0) expect_tag(wire);
    return LSQ_OK;
}

static enum lsq_status tag_read(struct lsqi_wire *wire, struct lsq_error *err) {
    wire->tag = wire->number;
    wire->number = 0;
    wire->shift = 0;
    if (wire->tag >> 3 == 0) return refuse(err, "a field has no number");
    switch (wire->tag & 7) {
    case VARINT: wire->state = SKIP_INT; break;
    case FIXED64: return field_begins(wire, 8, err);
    case FIXED32: return field_begins(wire, 4, err);
    case BYTES: wire->state = LENGTH; break;
    default: return refuse(err, "a field's type is unknown");
    }
    return wire->message_left == 0 ? refuse(err, "a message is cut off") : LSQ_OK;
}

static enum lsq_status number_byte(struct lsqi_wire *wire, unsigned char byte,
                                   struct lsq_error *err) {
    bool done = false;
    enum lsq_status st;

    wire->message_left--;
    st = varint_byte(wire, byte, &done, err);
    if (st != LSQ_OK || !done) return st;
    if (wire->state == TAG) return tag_read(wire, err);
    if (wire->state == LENGTH) return field_begins(wire, wire->number, err);
    expect_tag(wire);
    return LSQ_OK;
}

static enum lsq_status take_bytes(struct lsqi_wire *wire, const char *data, size_t *len,
                                  struct lsq_error *err) {
    if (*len > wire->field_left) *len = (size_t)wire->field_left;
    wire->field_left -= *len;
    if (wire->state == SKIP) {
        if (wire->field_left == 0) expect_tag(wire);
        return LSQ_OK;
    }
    /* A frame that lies here whole is not copied. */
    if (wire->field_left == 0 && wire->gathered.len == 0 && !wire->trailer &&
        wire->form != LSQI_WIRE_HELLO)
        return gathered(wire, data, *len, err);
    lsqi_buf_add(&wire->gathered, data, *len);
    if (wire->gathered.failed) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for an answer");
    if (wire->field_left > 0) return LSQ_OK;
    return gathered(wire, wire->gathered.data, wire->gathered.len, err);
}

enum lsq_status lsqi_wire_feed(struct lsqi_wire *wire, const char *data, size_t len,
                               struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    while (len > 0 && st == LSQ_OK) {
        size_t used = 1;

        switch ((enum state)wire->state) {
        case PREFIX:
            wire->prefix[wire->prefix_len++] = (unsigned char)*data;
            if (wire->prefix_len == sizeof(wire->prefix)) st = prefix_read(wire, err);
            break;
        case TAG:
        case LENGTH:
        case SKIP_INT: st = number_byte(wire, (unsigned char)*data, err); break;
        case GATHER:
        case SKIP:
            used = len;
            st = take_bytes(wire, data, &used, err);
            break;
        }
        data += used;
        len -= used;
    }
    return st;
}

/* ---- Requests ---- */

static void add_message(struct lsqi_buf *buf, unsigned char tag, uint64_t value) {
    unsigned char bytes[5 + 1 + 10] = {0};
    size_t n = 5;

    bytes[n++] = tag;
    do {
        bytes[n++] = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value > 0);
    bytes[4] = (unsigned char)(n - 5);
    lsqi_buf_add(buf, bytes, n);
}

void lsqi_wire_hello_request(struct lsqi_buf *buf) { add_message(buf, 1 << 3 | VARINT, 1); }

void lsqi_wire_offset_request(struct lsqi_buf *buf, uint64_t next) {
    add_message(buf, 1 << 3 | VARINT, next);
}
