/* What can be known of a frame before it is taken: that it is the one which follows the last, by the checksum that the
 * server carries on from each to the next, and that its numbers are possible. */
#include "base/error.h"
#include "repl/protocol.h"
#include "repl/sum.h"

void lsqi_chain_join(struct lsqi_replica *r, uint64_t sum) {
    r->chain.sum = r->next == 0 ? 0 : sum;
    r->chain.joint = r->next;
    r->chain.parted = false;
    r->chain.odd = UINT64_MAX;
}

void lsqi_chain_expect(struct lsqi_replica *r, const struct lsqi_meta *meta) {
    bool some = meta->applied > 0 && meta->target > meta->applied && meta->target_checksum != 0;

    r->chain.until = some ? meta->target : 0;
    r->chain.until_sum = some ? meta->target_checksum : 0;
}

static enum lsq_status damaged(const struct lsqi_frame *frame, const char *why,
                               struct lsq_error *err) {
    lsqi_error_set(err, LSQ_CONNECTION_LOST, "frame %llu was damaged on its way: %s",
                   (unsigned long long)frame->number, why);
    if (err != NULL) err->transient = true;
    return LSQ_CONNECTION_LOST;
}

static enum lsq_status part(struct lsqi_replica *r, uint64_t number, struct lsq_error *err) {
    r->chain.parted = true;
    r->greeted = false;
    lsqi_error_set(err, LSQ_CONNECTION_LOST,
                   "the server's log has another frame %llu than was taken before a break",
                   (unsigned long long)number);
    if (err != NULL) err->transient = true;
    return LSQ_CONNECTION_LOST;
}

enum lsq_status lsqi_chain_leap(struct lsqi_replica *r, uint64_t next, struct lsq_error *err) {
    bool over = r->chain.until > r->next && r->chain.until <= next;

    return over ? part(r, r->chain.until - 1, err) : LSQ_OK;
}

/* The last one that may be here is the one that it was then; none that is behind it comes in its stead. */
static enum lsq_status check_until(struct lsqi_replica *r, const struct lsqi_frame *frame,
                                   struct lsq_error *err) {
    const struct lsqi_chain *chain = &r->chain;

    if (chain->until == 0 || frame->number + 1 < chain->until) return LSQ_OK;
    if (frame->number + 1 == chain->until && frame->checksum == chain->until_sum) return LSQ_OK;
    return part(r, frame->number, err);
}

/* It came twice, and is what the server has. */
static enum lsq_status odd_again(struct lsqi_replica *r, const struct lsqi_frame *frame,
                                 struct lsq_error *err) {
    struct lsqi_chain *chain = &r->chain;

    if (r->next > 0 && r->next == chain->joint) {
        chain->parted = true;
        r->greeted = false;
        return damaged(frame, "the server's log does not go on from what is here", err);
    }
    if (!chain->holds) {
        chain->none = true;
        return LSQ_OK;
    }
    return lsqi_error_set(err, LSQ_CORRUPT, "the server's log is damaged at frame %llu",
                          (unsigned long long)frame->number);
}

static enum lsq_status check_sum(struct lsqi_replica *r, const struct lsqi_frame *frame,
                                 const void *page, size_t len, struct lsq_error *err) {
    struct lsqi_chain *chain = &r->chain;
    uint64_t sum;

    if (chain->none || frame->checksum == 0 || (r->next > 0 && chain->sum == 0)) return LSQ_OK;
    sum = lsqi_frame_sum(chain->sum, page, len);
    if (sum == frame->checksum) {
        chain->holds = true;
        return LSQ_OK;
    }
    if (chain->odd == frame->number && chain->odd_sum == frame->checksum && chain->odd_found == sum)
        return odd_again(r, frame, err);
    chain->odd = frame->number;
    chain->odd_sum = frame->checksum;
    chain->odd_found = sum;
    return damaged(frame, "its checksum does not fit", err);
}

/* The checksum is of the page alone. A commit's page is one that the database then has; and each page by which the
 * database grows is a frame of the transaction, but for one that the engine never uses. */
static enum lsq_status check_numbers(struct lsqi_replica *r, const struct lsqi_frame *frame,
                                     struct lsq_error *err) {
    uint64_t most = r->committed_pages + (frame->number + 1 - r->committed_next) + 1;

    if (r->next == r->committed_next) r->chain.top = 0;
    if (frame->page > r->chain.top) r->chain.top = frame->page;
    if (frame->size_after == 0) return LSQ_OK;
    if (frame->page > frame->size_after)
        return damaged(frame, "it is of a page that the database does not have", err);
    if (frame->size_after > most || r->chain.top > most)
        return damaged(frame, "the database cannot have so many pages", err);
    return LSQ_OK;
}

enum lsq_status lsqi_chain_check(struct lsqi_replica *r, const struct lsqi_frame *frame,
                                 const void *page, size_t len, struct lsq_error *err) {
    bool chained = r->protocol->chained;
    enum lsq_status st = chained ? check_sum(r, frame, page, len, err) : LSQ_OK;

    if (st == LSQ_OK) st = check_numbers(r, frame, err);
    return st == LSQ_OK ? check_until(r, frame, err) : st;
}

void lsqi_chain_took(struct lsqi_replica *r, const struct lsqi_frame *frame) {
    r->chain.sum = r->protocol->chained && r->chain.none ? 0 : frame->checksum;
    if (frame->number + 1 == r->chain.until) r->chain.until = 0;
}

bool lsqi_chain_doubts(const struct lsqi_replica *r) {
    return r->chain.parted || r->chain.odd == r->next;
}
