#include "net/frame.h"

#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

enum { LAST = 0x80, RESERVED = 0x70, MASKED = 0x80, LEN_16 = 126, LEN_64 = 127 };

static int refuse(const char **problem, const char *why) {
    *problem = why;
    return -1;
}

static bool is_known(unsigned code) {
    return code <= LSQI_FRAME_BINARY || (code >= LSQI_FRAME_CLOSE && code <= LSQI_FRAME_PONG);
}

int lsqi_frame_read(const char *data, size_t len, struct lsqi_frame *frame, const char **problem) {
    const unsigned char *p = (const unsigned char *)data;
    unsigned more;

    if (len < 2) return 0;
    if ((p[0] & RESERVED) != 0) return refuse(problem, "a frame has bits that were not agreed on");
    if (!is_known(p[0] & 0xf)) return refuse(problem, "a frame is of no known kind");
    if ((p[1] & MASKED) != 0) return refuse(problem, "a frame of the server is masked");
    frame->code = (enum lsqi_frame_code)(p[0] & 0xf);
    frame->last = (p[0] & LAST) != 0;
    frame->len = p[1];
    more = frame->len == LEN_16 ? 2 : frame->len == LEN_64 ? 8 : 0;
    frame->head = 2 + more;
    if (frame->code >= LSQI_FRAME_CLOSE && (more > 0 || !frame->last))
        return refuse(problem, "a control frame is too long, or in parts");
    if (len < frame->head) return 0;
    if (more > 0) frame->len = 0;
    for (unsigned i = 0; i < more; i++) frame->len = frame->len << 8 | p[2 + i];
    if (frame->len >> 63 != 0) return refuse(problem, "a frame's length is none");
    return 1;
}

/* Masks keep what a client sends from looking like something else to a proxy: nobody who chooses the text may know
 * them. Where the system has no randomness yet they are but unlikely to be guessed. */
static void choose_mask(unsigned char mask[4]) {
    int64_t now;

    if (getrandom(mask, 4, GRND_NONBLOCK) == 4) return;
    now = lsqi_now_ns();
    memcpy(mask, &now, 4);
}

static void add_head(struct lsqi_buf *out, unsigned first, size_t len, unsigned char mask[4]) {
    unsigned char head[14] = {(unsigned char)first};
    unsigned more = len > 0xffff ? 8 : len >= LEN_16 ? 2 : 0;

    head[1] = (unsigned char)(MASKED | (more == 8 ? LEN_64 : more == 2 ? LEN_16 : len));
    for (unsigned i = 0; i < more; i++)
        head[2 + i] = (unsigned char)((uint64_t)len >> (8 * (more - 1 - i)));
    choose_mask(mask);
    memcpy(head + 2 + more, mask, 4);
    lsqi_buf_add(out, head, 6 + more);
}

/* at: of the bytes in the frame. */
static void add_masked(struct lsqi_buf *out, const char *data, size_t len,
                       const unsigned char mask[4], size_t at) {
    char *to;

    if (len == 0 || !lsqi_buf_reserve(out, len)) return;
    to = out->data + out->len;
    for (size_t i = 0; i < len; i++) to[i] = (char)(data[i] ^ mask[(at + i) & 3]);
    out->len += len;
}

/* Where reading is in the parts. */
struct place {
    const struct iovec *part;
    size_t at;
};

static void add_frame(struct lsqi_buf *out, unsigned first, struct place *place, size_t len) {
    unsigned char mask[4];
    size_t done = 0;

    add_head(out, first, len, mask);
    while (done < len) {
        size_t n = place->part->iov_len - place->at;

        if (n > len - done) n = len - done;
        add_masked(out, (const char *)place->part->iov_base + place->at, n, mask, done);
        done += n;
        place->at += n;
        if (place->at < place->part->iov_len) continue;
        place->part++;
        place->at = 0;
    }
}

void lsqi_frame_message(struct lsqi_buf *out, const struct iovec *parts, size_t count) {
    struct place place = {.part = parts};
    unsigned code = LSQI_FRAME_TEXT;
    size_t left = 0;

    for (size_t i = 0; i < count; i++) left += parts[i].iov_len;
    do {
        size_t len = left < LSQI_FRAME_SENT ? left : LSQI_FRAME_SENT;

        left -= len;
        add_frame(out, code | (left == 0 ? LAST : 0), &place, len);
        code = LSQI_FRAME_MORE;
    } while (left > 0);
}

void lsqi_frame_control(struct lsqi_buf *out, enum lsqi_frame_code code, const void *data,
                        size_t len) {
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct place place = {.part = &part};

    add_frame(out, (unsigned)code | LAST, &place, len);
}
