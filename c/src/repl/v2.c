/* Replication protocol v2: generations of frames, over plain HTTP (Turso's "offline sync").
 *
 *     GET /info                 {"current_generation": G}, from 1 on
 *     GET /export/G             a database file: what generation G began with (v2_export.c)
 *     GET /sync/G/FROM/TO       frames FROM .. TO - 1 of generation G, from 1 on, or as many as there are: each 24 bytes,
 *                               a WAL's frame header, and a page of 4096 bytes
 *         400, 500              {"generation": N}: there are no more; where N > G, the next generation goes on
 *     POST /sync/G/FROM/TO[/BATON]   a client's frames FROM .. TO - 1, the first behind the last of generation G:
 *                               {"status": "ok" or "conflict", "generation": G, "max_frame_no": N, "baton": ...}
 *
 * (Read in libSQL's own client, libsql/src/sync.rs and database/builder.rs: it asks for 128 frames at a time, looks at
 * nothing of a header but page and size, follows one redirect, and takes a server for one of v2 where GET /info
 * succeeds. 500 is what an empty database is answered with. It pushes 128 frames at a time, the ends of transactions be
 * where they may, each with the baton of the answer before; takes "ok" with another frame than the last one that it
 * sent for an error; and pulls only where it has nothing to push.)
 *
 * The log has no id, and a request beyond its end is answered as one at its end. So each history gets an id of ours,
 * and a greeting asks for the last frame that we have once more: another page, or none, is another history. A greeting
 * holds for some seconds, and not after a failure. */
#include "repl/v2.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/error.h"
#include "repl/protocol.h"
#include "repl/seen.h"
#include "repl/v2_ask.h"
#include "repl/v2_export.h"
#include "repl/v2_read.h"

enum {
    AT_ONCE = 128, /* frames asked for */
    MOST_TEXT = 64 * 1024,
    GREETING_MS = 10000
};

#define LOG_ID "v2-"

bool lsqi_v2_is_log_id(const char *log_id) {
    return strncmp(log_id, LOG_ID, sizeof(LOG_ID) - 1) == 0;
}

static void make_log_id(char *log_id, size_t size) {
    uint64_t bits[2];

    if (getrandom(bits, sizeof(bits), GRND_NONBLOCK) != (ssize_t)sizeof(bits)) {
        bits[0] = (uint64_t)lsqi_now_ns();
        bits[1] = (uint64_t)(uintptr_t)log_id;
    }
    (void)snprintf(log_id, size, LOG_ID "%016" PRIx64 "%016" PRIx64, bits[0], bits[1]);
}

/* ---- Frames ---- */

enum answer {
    ANSWER_FRAMES, /* in the text */
    ANSWER_END,    /* there are no more; *generation is the server's */
    ANSWER_GONE    /* that generation is not there (any more) */
};

static enum lsq_status judge_frames(const struct lsqi_v2_text *text,
                                    const struct lsqi_transfer_end *end, enum answer *answer,
                                    uint64_t *generation, struct lsq_error *err) {
    *answer = ANSWER_FRAMES;
    if (end->status == 200) {
        if (text->text.len > 0 && text->text.len % LSQI_V2_FRAME == 0) return LSQ_OK;
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "the server's answer of %zu bytes is no frames of %d", text->text.len,
                              LSQI_V2_FRAME);
    }
    *answer = ANSWER_GONE;
    if (end->status == 404 || end->status == 410) return LSQ_OK;
    *answer = ANSWER_END;
    if ((end->status == 400 || end->status == 500) &&
        lsqi_v2_number(end->refusal.data, end->refusal.len, "generation", generation))
        return LSQ_OK;
    return lsqi_v2_refused(end, err);
}

/* Asks for count frames from that one on. */
static enum lsq_status ask_frames(struct lsqi_replica *r, uint64_t place, unsigned count,
                                  struct lsqi_v2_text *text, enum answer *answer,
                                  uint64_t *generation, struct lsq_error *err) {
    uint64_t frame = lsqi_v2_frame_of(place);
    struct lsqi_transfer_end end;
    enum lsq_status st;
    char path[96];

    (void)snprintf(path, sizeof(path), "/sync/%" PRIu64 "/%" PRIu64 "/%" PRIu64,
                   lsqi_v2_generation(place), frame, frame + count);
    *text = lsqi_v2_text((size_t)count * LSQI_V2_FRAME);
    st = lsqi_v2_ask(r, &(struct lsqi_v2_request){.path = path}, &text->decoder, &end, err);
    if (st == LSQ_OK) st = judge_frames(text, &end, answer, generation, err);
    lsqi_transfer_end_release(&end);
    return st;
}

/* All of the answer's frames are looked at before the first is taken. */
static enum lsq_status take_frames(struct lsqi_replica *r, const struct lsqi_buf *text,
                                   struct lsq_error *err) {
    size_t count = text->len / LSQI_V2_FRAME;
    struct lsqi_frame frame = {.checksum = 0};
    enum lsq_status st = LSQ_OK;
    const void *page;

    for (size_t i = 0; i < count; i++)
        if (!lsqi_v2_frame(text->data, text->len, i, &frame, &page))
            return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                                  "the server sent a frame of no page");
    lsqi_follow_coming(r, r->next + count, frame.checksum);
    for (size_t i = 0; i < count && st == LSQ_OK; i++) {
        (void)lsqi_v2_frame(text->data, text->len, i, &frame, &page);
        frame.number = r->next;
        st = lsqi_follow_frame(r, &frame, page, LSQI_V2_PAGE, err);
    }
    return st == LSQ_OK ? lsqi_follow_pause(r, err) : st;
}

/* ---- Greeting ---- */

/* What is here of the server's log. */
struct have {
    const char *log_id; /* ""; */
    uint64_t next;      /* the frame after what is certain; 0: nothing */
    uint64_t sum;       /* of the one before */
    uint64_t target;    /* the frame after what may be */
};

static struct have what_we_have(const struct lsqi_replica *r) {
    const struct lsqi_meta *base = &r->base.meta;

    if (r->apply != NULL)
        return (struct have){.log_id = r->meta.log_id,
                             .next = r->meta.applied,
                             .sum = r->meta.checksum,
                             .target = r->meta.target};
    if (r->base.fd < 0) return (struct have){.log_id = ""};
    return (struct have){.log_id = base->log_id,
                         .next = r->committed_next,
                         .sum = r->committed_sum,
                         .target = r->next == 0 ? 0 : base->target};
}

static enum lsq_status ask_info(struct lsqi_replica *r, uint64_t *generation,
                                struct lsq_error *err) {
    struct lsqi_v2_text text = lsqi_v2_text(MOST_TEXT);
    struct lsqi_transfer_end end;
    enum lsq_status st =
        lsqi_v2_ask(r, &(struct lsqi_v2_request){.path = "/info"}, &text.decoder, &end, err);

    if (st == LSQ_OK && end.status != 200) {
        st = lsqi_v2_refused(&end, err);
        /* A server that does not know the path may say so in several ways. */
        if (st == LSQ_NAMESPACE_NOT_FOUND || (st == LSQ_ERROR && end.status < 500))
            st = lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED, "HTTP %d", end.status);
    } else if (st == LSQ_OK &&
               !lsqi_v2_number(text.text.data, text.text.len, "current_generation", generation)) {
        st = lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED, "its answer names no generation");
    }
    lsqi_transfer_end_release(&end);
    lsqi_v2_text_release(&text);
    return st;
}

/* Whether the server has the frame before `next`, and, with sum, that very one. */
static enum lsq_status has(struct lsqi_replica *r, uint64_t next, const uint64_t *sum, bool *yes,
                           struct lsq_error *err) {
    struct lsqi_v2_text text = lsqi_v2_text(0);
    uint64_t place = next - 1;
    bool beginning = lsqi_v2_frame_of(place) == 0;
    struct lsqi_frame frame;
    enum answer answer;
    uint64_t generation;
    const void *page;
    enum lsq_status st;

    /* Of what a generation began with there is nothing to ask for but whether the generation is there. */
    st = ask_frames(r, beginning ? next : place, 1, &text, &answer, &generation, err);
    *yes = st == LSQ_OK && answer == ANSWER_FRAMES;
    if (beginning)
        *yes = st == LSQ_OK && answer != ANSWER_GONE;
    else if (*yes && sum != NULL)
        *yes = lsqi_v2_frame(text.text.data, text.text.len, 0, &frame, &page) &&
               frame.checksum == *sum;
    lsqi_v2_text_release(&text);
    return st;
}

/* What of it the server has, as hello->index. What has come and is not applied yet counts, too: it is gone on from. */
static enum lsq_status compare(struct lsqi_replica *r, const struct have *have,
                               struct lsqi_hello *hello, struct lsq_error *err) {
    bool same = lsqi_v2_generation(have->next) <= lsqi_v2_generation(hello->index);
    bool all = true;
    enum lsq_status st = LSQ_OK;

    if (same && have->next > 0) st = has(r, have->next, &have->sum, &same, err);
    if (st == LSQ_OK && same && r->next > have->next)
        st = has(r, r->next, &r->chain.sum, &same, err);
    if (st == LSQ_OK && same && have->target > have->next)
        st = has(r, have->target, NULL, &all, err);
    if (st != LSQ_OK) return st;
    if (!same) return LSQ_OK;
    (void)snprintf(hello->log_id, sizeof(hello->log_id), "%s", have->log_id);
    if (hello->index + 1 < have->next) hello->index = have->next - 1;
    if (all && hello->index + 1 < have->target) hello->index = have->target - 1;
    return LSQ_OK;
}

static enum lsq_status greet(struct lsqi_replica *r, struct lsq_error *err) {
    struct have have = what_we_have(r);
    struct lsqi_hello hello = {.index = 0};
    uint64_t generation = 0;
    enum lsq_status st = ask_info(r, &generation, err);

    if (st != LSQ_OK) return st;
    hello.index = lsqi_v2_place(generation, 0);
    make_log_id(hello.log_id, sizeof(hello.log_id));
    if (lsqi_v2_is_log_id(have.log_id)) st = compare(r, &have, &hello, err);
    if (st == LSQ_OK) r->hello = hello;
    return st;
}

/* ---- Fetching ---- */

static enum lsq_status next_generation(struct lsqi_replica *r, struct lsq_error *err) {
    uint64_t next = lsqi_v2_place(lsqi_v2_generation(r->next) + 1, 1);
    enum lsq_status st = lsqi_chain_leap(r, next, err);

    if (st == LSQ_OK) lsqi_follow_part_ends(r, next);
    return st;
}

static enum lsq_status fetch(struct lsqi_replica *r, bool *end_of_log, struct lsq_error *err) {
    uint64_t serial = lsqi_seen_asks(r);
    struct lsqi_v2_text text = lsqi_v2_text(0);
    enum answer answer;
    uint64_t generation = 0;
    enum lsq_status st;

    *end_of_log = false;
    if (r->next == 0) return lsqi_v2_fetch_file(r, err);
    st = ask_frames(r, r->next, AT_ONCE, &text, &answer, &generation, err);
    if (st == LSQ_OK && answer == ANSWER_FRAMES) {
        st = take_frames(r, &text.text, err);
    } else if (st == LSQ_OK && answer == ANSWER_END) {
        *end_of_log = generation == lsqi_v2_generation(r->next);
        if (generation > lsqi_v2_generation(r->next)) st = next_generation(r, err);
    }
    /* Gone, or back in an earlier generation: the greeting tells what that means. */
    if (st == LSQ_OK && answer != ANSWER_FRAMES && !*end_of_log &&
        generation < lsqi_v2_generation(r->next))
        r->greeted = false;
    if (*end_of_log) {
        lsqi_seen_reached(r, serial);
        lsqi_seen_has_all(r);
    }
    lsqi_v2_text_release(&text);
    return st;
}

/* ---- Pushing ---- */

static enum lsq_status peek(struct lsqi_replica *r, uint64_t place, unsigned count,
                            struct lsqi_buf *frames, struct lsqi_peek *peek,
                            struct lsq_error *err) {
    struct lsqi_v2_text text = lsqi_v2_text(0);
    enum answer answer;
    uint64_t generation = 0;
    enum lsq_status st = ask_frames(r, place, count, &text, &answer, &generation, err);

    *peek = (struct lsqi_peek){.frames = answer == ANSWER_FRAMES, .gone = answer == ANSWER_GONE};
    if (st == LSQ_OK && peek->frames) {
        lsqi_buf_reset(frames);
        lsqi_buf_add(frames, text.text.data, text.text.len);
        if (frames->failed) st = lsqi_error_set(err, LSQ_NOMEM, "out of memory for frames");
    } else if (st == LSQ_OK && answer == ANSWER_END) {
        if (generation == lsqi_v2_generation(place)) peek->on = place;
        if (generation > lsqi_v2_generation(place))
            peek->on = lsqi_v2_place(lsqi_v2_generation(place) + 1, 1);
    }
    lsqi_v2_text_release(&text);
    return st;
}

/* A server's word in a path: what may not stand there as it is is escaped (RFC 3986, 2.1 and 2.3). False: no room. */
static bool add_escaped(char *path, size_t size, const char *word) {
    size_t at = strlen(path);

    for (; *word != '\0'; word++) {
        unsigned char c = (unsigned char)*word;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~", c) != NULL;
        int n = snprintf(path + at, size - at, plain ? "%c" : "%%%02X", c);

        if (n < 0 || (size_t)n >= size - at) return false;
        at += (size_t)n;
    }
    return true;
}

static enum lsq_status push_path(char *path, size_t size, uint64_t place, unsigned count,
                                 const char *baton, struct lsq_error *err) {
    uint64_t frame = lsqi_v2_frame_of(place);

    (void)snprintf(path, size, "/sync/%" PRIu64 "/%" PRIu64 "/%" PRIu64 "%s",
                   lsqi_v2_generation(place), frame, frame + count, baton[0] == '\0' ? "" : "/");
    if (add_escaped(path, size, baton)) return LSQ_OK;
    return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED, "the server's baton is too long");
}

static enum lsq_status read_push(const struct lsqi_v2_text *text,
                                 const struct lsqi_transfer_end *end, uint64_t place,
                                 unsigned count, struct lsqi_push_answer *answer,
                                 struct lsq_error *err) {
    struct lsqi_v2_pushed pushed;

    if (end->status != 200) return lsqi_v2_refused(end, err);
    if (!lsqi_v2_pushed(text->text.data, text->text.len, &pushed))
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "the server's answer to what was pushed is none");
    answer->conflict = strcmp(pushed.status, "conflict") == 0;
    answer->ok = strcmp(pushed.status, "ok") == 0 &&
                 pushed.generation == lsqi_v2_generation(place) &&
                 pushed.frame == lsqi_v2_frame_of(place) + count - 1;
    (void)snprintf(answer->baton, sizeof(answer->baton), "%s", pushed.baton);
    return LSQ_OK;
}

static enum lsq_status push(struct lsqi_replica *r, uint64_t place, const struct lsqi_buf *frames,
                            unsigned count, struct lsqi_push_answer *answer,
                            struct lsq_error *err) {
    struct lsqi_v2_text text = lsqi_v2_text(MOST_TEXT);
    struct lsqi_transfer_end end;
    char path[128 + 3 * sizeof(answer->baton)];
    enum lsq_status st = push_path(path, sizeof(path), place, count, answer->baton, err);

    if (st != LSQ_OK) return st;
    answer->ok = answer->conflict = false;
    answer->baton[0] = '\0';
    st = lsqi_v2_ask(r, &(struct lsqi_v2_request){.path = path, .body = frames}, &text.decoder,
                     &end, err);
    if (st == LSQ_OK) st = read_push(&text, &end, place, count, answer, err);
    lsqi_transfer_end_release(&end);
    lsqi_v2_text_release(&text);
    return st;
}

const struct lsqi_protocol lsqi_protocol_v2 = {.kind = LSQ_SYNC_V2,
                                               .question = "GET /info",
                                               .greet = greet,
                                               .fetch = fetch,
                                               .peek = peek,
                                               .push = push,
                                               .greeting_ms = GREETING_MS};
