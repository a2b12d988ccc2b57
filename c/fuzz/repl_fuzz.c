/* repl_fuzz.c - the decoder of replication answers, for libFuzzer (`make fuzz`); a test feeds it the corpus, too.
 *
 * Each input is taken for an answer of each form. However it is cut into pieces, the same must be told of it, and no
 * more be kept of it than a frame. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repl/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_KEPT = 256 * 1024 };

/* What was told, as a number. */
struct told {
    uint64_t sum;
    size_t frames;
    size_t hellos;
};

static void mix(struct told *told, const void *data, size_t len) {
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) told->sum = (told->sum ^ bytes[i]) * 0x100000001b3u;
}

static bool on_frame(void *arg, const struct lsqi_frame *frame, const void *data, size_t len) {
    struct told *told = arg;

    told->frames++;
    mix(told, &frame->number, sizeof(frame->number));
    mix(told, &frame->checksum, sizeof(frame->checksum));
    mix(told, &frame->page, sizeof(frame->page));
    mix(told, &frame->size_after, sizeof(frame->size_after));
    mix(told, data, len);
    return true;
}

static void on_hello(void *arg, const struct lsqi_hello *hello) {
    struct told *told = arg;

    told->hellos++;
    mix(told, hello->log_id, strlen(hello->log_id));
    mix(told, hello->session, strlen(hello->session));
    mix(told, &hello->index, sizeof(hello->index));
}

/* A piece lies in a block of exactly its size, so that reading beyond it is found. */
static enum lsq_status feed(struct lsqi_wire *wire, const uint8_t *data, size_t len) {
    char *piece = malloc(len);
    enum lsq_status st;

    if (piece == NULL) abort();
    memcpy(piece, data, len);
    st = lsqi_wire_feed(wire, piece, len, NULL);
    free(piece);
    if (wire->gathered.size > MOST_KEPT) abort();
    return st;
}

static struct told decode(enum lsqi_wire_form form, const uint8_t *data, size_t size,
                          size_t piece) {
    struct told told = {.sum = 0xcbf29ce484222325u};
    const struct lsqi_wire_handler handler = {.frame = on_frame, .hello = on_hello, .arg = &told};
    enum lsq_status st = LSQ_OK;
    struct lsqi_wire wire;
    uint64_t next = size;
    bool whole;

    lsqi_wire_init(&wire, form, &handler);
    for (size_t at = 0; at < size && st == LSQ_OK;) {
        size_t len = piece;

        if (len == 0) {
            next = next * 6364136223846793005u + 1442695040888963407u;
            len = (size_t)(next >> 33) % 3000 + 1;
        }
        if (len > size - at) len = size - at;
        st = feed(&wire, data + at, len);
        at += len;
    }
    whole = st == LSQ_OK && lsqi_wire_whole(&wire);
    mix(&told, &st, sizeof(st));
    mix(&told, &whole, sizeof(whole));
    if (whole) mix(&told, wire.end.message, strlen(wire.end.message));
    if (whole) mix(&told, &wire.end.status, sizeof(wire.end.status));
    lsqi_wire_release(&wire);
    return told;
}

static void compare(enum lsqi_wire_form form, const struct told *whole, const uint8_t *data,
                    size_t size, size_t piece) {
    struct told other = decode(form, data, size, piece);

    if (whole->sum == other.sum && whole->frames == other.frames && whole->hellos == other.hellos)
        return;
    fprintf(stderr, "form %d: at once %zu frames, in pieces of %zu: %zu\n", (int)form,
            whole->frames, piece, other.frames);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum lsqi_wire_form forms[] = {LSQI_WIRE_HELLO, LSQI_WIRE_FRAMES,
                                                LSQI_WIRE_STREAM};

    for (size_t i = 0; size > 0 && i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct told whole = decode(forms[i], data, size, size);

        compare(forms[i], &whole, data, size, 0);
        if (size <= 5000) compare(forms[i], &whole, data, size, 1);
    }
    return 0;
}
