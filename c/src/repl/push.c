/* Local changes go to the server: the frames of the file's WAL behind a place (local.h), as the server's frames behind
 * the last that the file has of it.
 *
 * What the server says to a push is not believed further than that it took all of it, and nothing else. After anything
 * else (a break, a conflict, another generation, a process that was killed before it could note an answer) it is asked
 * what it has at our place, and that is compared with what we have to push:
 *
 *   nothing             it is pushed, from the last transaction's end on that is known to be there
 *   the same frames     where we have sent them (the metadata say so before we do): they are ours, and we did not hear
 *                       of it. They are passed over
 *   other frames, or    somebody else has pushed first: LSQ_CONFLICT. Nothing is changed, here or there. (Two who write
 *   the same, not sent  the same on top of the same state have the same frames, and mean two changes)
 *   a later generation  its begin is the state from which our changes start: the place moves there
 *
 * So a frame that is there is not sent again, and what was not taken is not held for taken. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "repl/disk.h"
#include "repl/local.h"
#include "repl/protocol.h"
#include "repl/seen.h"
#include "repl/v2.h"
#include "repl/v2_read.h"

enum {
    MOST_AT_ONCE = 128, /* frames in a request */
    MOST_DOUBTS = 3     /* answers on end from which nothing follows */
};

struct push {
    struct lsqi_replica *r;
    uint64_t place;       /* the server's frame to be next ... */
    uint32_t at;          /* ... and of the WAL, those before it */
    uint64_t whole_place; /* the same, at the end of a transaction: the metadata have it */
    uint32_t whole_at;
    uint32_t end;   /* frames that were committed when it began */
    uint32_t tried; /* frames up to which the server may have ours: meta.tried */
    bool nothing;   /* there is nothing at the place, so that it can be pushed to */
    unsigned doubts;
    struct lsqi_push_answer answer;
    struct lsqi_buf frames; /* ours, from the place on */
    struct lsqi_buf theirs;
    uint64_t pushed;
    uint64_t bytes;
};

static size_t count_of(const struct lsqi_buf *frames) { return frames->len / LSQI_V2_FRAME; }

static const char *frame_of(const struct lsqi_buf *frames, size_t i) {
    return frames->data + i * LSQI_V2_FRAME;
}

/* ---- What is ours ---- */

/* Frames to come, at most that many. */
static enum lsq_status read_ours(struct push *p, uint32_t most, struct lsq_error *err) {
    uint32_t left = p->end - p->at;

    lsqi_buf_reset(&p->frames);
    return lsqi_apply_frames(p->r->apply, p->at + 1, left < most ? left : most, &p->frames, err);
}

/* Of those, up to the last that ends a transaction; all, where none does. */
static uint32_t cut_at_end(const struct push *p) {
    size_t count = count_of(&p->frames);
    struct lsqi_frame frame;
    const void *page;

    for (size_t i = count; i > 0; i--)
        if (lsqi_v2_frame(p->frames.data, p->frames.len, i - 1, &frame, &page) &&
            frame.size_after > 0)
            return (uint32_t)i;
    return (uint32_t)count;
}

/* The server has the first `count` of ours. */
static enum lsq_status took(struct push *p, uint32_t count, struct lsq_error *err) {
    uint64_t sum = 0;
    uint32_t pages = 0;
    enum lsq_status st = LSQ_OK;
    struct lsqi_frame frame;
    const void *page;

    for (uint32_t i = 0; i < count; i++) {
        if (!lsqi_v2_frame(p->frames.data, p->frames.len, i, &frame, &page) ||
            frame.size_after == 0)
            continue;
        p->whole_place = p->place + i + 1;
        p->whole_at = p->at + i + 1;
        sum = frame.checksum;
        pages = frame.size_after;
    }
    p->place += count;
    p->at += count;
    if (pages > 0) {
        p->doubts = 0;
        st = lsqi_local_pushed(p->r, p->whole_at, p->whole_place, sum, pages, err);
        if (st == LSQ_OK) lsqi_follow_publish(p->r);
    }
    return st;
}

/* From the last end of a transaction on, by asking first. */
static void go_back(struct push *p) {
    p->place = p->whole_place;
    p->at = p->whole_at;
    p->nothing = false;
    p->answer.baton[0] = '\0';
}

/* ---- What is theirs ---- */

static enum lsq_status conflict(const struct push *p, uint64_t place, struct lsq_error *err) {
    return lsqi_error_set(
        err, LSQ_CONFLICT,
        "the server has other changes from frame %llu of generation %llu on than this replica, of "
        "which it has "
        "not %llu frames: both are kept. Nothing is synced until the replica's own are set aside",
        (unsigned long long)lsqi_v2_frame_of(place), (unsigned long long)lsqi_v2_generation(place),
        (unsigned long long)lsqi_local_count(p->r));
}

static enum lsq_status no_history(const struct push *p, const char *why, struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_CONFLICT,
                          "%s, and this replica has %llu frames of its own on top of what was "
                          "there: they are kept. Nothing is "
                          "synced until they are set aside",
                          why, (unsigned long long)lsqi_local_count(p->r));
}

/* The same page and size, whatever WAL it is from. */
static bool is_same(const char *a, const char *b) {
    enum { COUNTS = 8 };

    return memcmp(a, b, COUNTS) == 0 &&
           memcmp(a + LSQI_FRAME_HEADER, b + LSQI_FRAME_HEADER, LSQI_V2_PAGE) == 0;
}

static enum lsq_status compare(struct push *p, struct lsq_error *err) {
    uint32_t count = (uint32_t)count_of(&p->theirs);
    uint32_t sent = p->tried > p->at ? p->tried - p->at : 0;
    enum lsq_status st = read_ours(p, count, err);
    uint32_t i = 0;

    if (st != LSQ_OK) return st;
    if (count > count_of(&p->frames)) count = (uint32_t)count_of(&p->frames);
    while (i < count && i < sent && is_same(frame_of(&p->frames, i), frame_of(&p->theirs, i))) i++;
    if (i == count) return took(p, count, err);
    /* A transaction that is the same is there; of one that is not, nothing is. */
    p->frames.len = (size_t)i * LSQI_V2_FRAME;
    i = i == 0 ? 0 : cut_at_end(p);
    st = took(p, i, err);
    return st == LSQ_OK ? conflict(p, p->whole_place, err) : st;
}

/* The log goes on in another part, which began with the state from which ours starts. */
static enum lsq_status move_on(struct push *p, uint64_t on, struct lsq_error *err) {
    const struct lsqi_meta *meta = &p->r->meta;
    enum lsq_status st;

    go_back(p);
    st = lsqi_local_pushed(p->r, p->whole_at, on, 0, (uint32_t)meta->pages, err);
    if (st == LSQ_OK) lsqi_follow_publish(p->r);
    p->place = p->whole_place = on;
    return st;
}

/* A slow link, or one that breaks off, may have no time for more. */
static unsigned most_at_once(struct lsqi_replica *r) {
    if (r->push_most == 0) r->push_most = MOST_AT_ONCE;
    return r->push_most;
}

static void note_transfer(struct lsqi_replica *r, enum lsq_status st) {
    if (st == LSQ_OK && r->push_most < MOST_AT_ONCE) r->push_most *= 2;
    if (st != LSQ_OK && r->push_most > 1) r->push_most /= 2;
}

static enum lsq_status look(struct push *p, struct lsq_error *err) {
    struct lsqi_peek peek;
    enum lsq_status st =
        p->r->protocol->peek(p->r, p->place, most_at_once(p->r), &p->theirs, &peek, err);

    note_transfer(p->r, st);
    if (st != LSQ_OK) return st;
    if (peek.frames) return compare(p, err);
    if (peek.gone || peek.on == 0) {
        p->r->greeted = false;
        return no_history(p, "the server's log has no such place any more", err);
    }
    if (peek.on > p->place) return move_on(p, peek.on, err);
    p->nothing = true;
    return LSQ_OK;
}

/* ---- Pushing ---- */

static enum lsq_status nothing_follows(const struct push *p, struct lsq_error *err) {
    if (p->answer.conflict)
        return no_history(
            p, "the server refuses what is pushed, though it has nothing in its place", err);
    return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                          "the server's answers to what is pushed do not fit to what it has then");
}

static enum lsq_status note_tried(struct push *p, uint32_t frames, struct lsq_error *err) {
    enum lsq_status st = lsqi_local_tries(p->r, frames, err);

    if (st == LSQ_OK) p->tried = frames;
    return st;
}

/* Those at p->frames. */
static enum lsq_status send(struct push *p, uint32_t count, struct lsq_error *err) {
    struct lsqi_replica *r = p->r;
    uint32_t before = p->tried;
    enum lsq_status st = LSQ_OK;

    if (p->tried < p->at + count) st = note_tried(p, p->at + count, err);
    if (st != LSQ_OK) return st;
    st = r->protocol->push(r, p->place, &p->frames, count, &p->answer, err);
    note_transfer(r, st);
    /* Who may not push has not; nor has who is told that somebody else was first, though that be with the same frames.
     * What cannot be noted is only less sure. */
    if ((st == LSQ_UNAUTHORIZED || (st == LSQ_OK && p->answer.conflict)) && p->tried != before)
        (void)note_tried(p, before, NULL);
    return st;
}

static enum lsq_status send_some(struct push *p, struct lsq_error *err) {
    enum lsq_status st = read_ours(p, most_at_once(p->r), err);
    uint32_t count;

    if (st != LSQ_OK) return st;
    count = cut_at_end(p);
    p->frames.len = (size_t)count * LSQI_V2_FRAME;
    st = send(p, count, err);
    if (st != LSQ_OK) return st;
    if (p->answer.ok) {
        p->pushed += count;
        p->bytes += p->frames.len;
        return took(p, count, err);
    }
    if (++p->doubts > MOST_DOUBTS) return nothing_follows(p, err);
    go_back(p);
    return LSQ_OK;
}

static enum lsq_status push_all(struct push *p, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    while (st == LSQ_OK && p->at < p->end) {
        if (lsqi_replica_stops(p->r))
            return lsqi_error_set(err, LSQ_INTERRUPTED, "%s", lsq_status_text(LSQ_INTERRUPTED));
        st = p->nothing ? send_some(p, err) : look(p, err);
    }
    return st;
}

/* ---- Who the server is ---- */

static enum lsq_status greet(struct push *p, struct lsq_error *err) {
    struct lsqi_replica *r = p->r;
    enum lsq_status st;

    if (!lsqi_follow_is_to_greet(r) && !r->wished) return LSQ_OK;
    st = lsqi_follow_greet(r, err);
    if (st != LSQ_OK || r->wished) return st;
    r->greeted =
        strcmp(r->hello.log_id, r->meta.log_id) == 0 && r->hello.index + 1 >= r->meta.applied;
    if (r->greeted) return LSQ_OK;
    return no_history(p, "the server has another history, or has lost the end of it", err);
}

static enum lsq_status yield(struct lsqi_replica *r, struct lsq_error *err) {
    char aside[LSQI_DISK_NAME];
    enum lsq_status st = lsqi_local_yield(r, aside, err);

    if (st == LSQ_OK) lsqi_follow_yielded(r, aside);
    return st;
}

/* ---- Everything ---- */

static enum lsq_status run(struct push *p, bool *end, struct lsq_error *err) {
    struct lsqi_replica *r = p->r;
    uint64_t serial = lsqi_seen_asks(r);
    bool clean = false;
    enum lsq_status st = greet(p, err);

    if (st == LSQ_OK && r->wished) return yield(r, err);
    if (st == LSQ_OK) st = lsqi_local_look(r, &p->at, &p->end, &clean, err);
    if (st != LSQ_OK || clean) return st;
    p->place = p->whole_place = r->meta.applied;
    p->whole_at = p->at;
    p->tried = lsqi_local_meta(r).tried;
    /* What the server has is to be here, too, whatever becomes of the power. */
    st = lsqi_apply_sync(r->apply, err);
    if (st == LSQ_OK) st = push_all(p, err);
    if (st == LSQ_OK) st = lsqi_local_look(r, &p->at, &p->end, &clean, err);
    if (st != LSQ_OK || clean) return st;
    *end = true; /* others go on writing */
    lsqi_seen_reached(r, serial);
    lsqi_seen_has_all(r);
    return LSQ_OK;
}

enum lsq_status lsqi_push(struct lsqi_replica *r, bool *end, struct lsq_error *err) {
    struct push p = {.r = r};
    int64_t since = lsqi_now_ns();
    uint64_t before = r->meta.applied;
    enum lsq_status st;

    *end = false;
    lsqi_follow_again(r);
    st = run(&p, end, err);
    /* None was taken for as long as there was something to push. */
    if (st == LSQ_OK && !lsqi_local_dirty(r)) lsqi_apply_checkpoint(r->apply);
    if (st != LSQ_OK && st != LSQ_CONFLICT) r->greeted = false;
    if (p.pushed > 0 || r->meta.applied > before) lsqi_seen_pushed(r, p.pushed, p.bytes, since);
    lsqi_buf_release(&p.frames);
    lsqi_buf_release(&p.theirs);
    return st;
}
