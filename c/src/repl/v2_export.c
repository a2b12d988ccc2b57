#include "repl/v2_export.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "repl/protocol.h"
#include "repl/v2.h"
#include "repl/v2_ask.h"
#include "repl/v2_read.h"

struct export {
    struct lsqi_decoder decoder; /* first */
    struct lsqi_v2_file file;
    uint64_t *version; /* by which the file is known again; 0: it is not */
    uint64_t from;     /* bytes of it that are here: the rest was asked for */
    bool over;         /* what is here of it is not to be gone on with */
};

/* ---- On the I/O thread ---- */

static bool on_head(struct lsqi_decoder *decoder, const struct lsqi_http_head *head) {
    struct export *export = (struct export *)(void *)decoder;
    uint64_t version = lsqi_v2_version(head);

    if (export->from == 0) {
        if (head->status == 200) *export->version = version;
        return head->status == 200;
    }
    /* 416: it is not that long. */
    if (head->status != 200 && head->status != 206 && head->status != 416) return false;
    export->over = head->status != 206 || version != *export->version ||
                   !lsqi_v2_begins_at(head, export->from);
    return true;
}

static enum lsq_status on_bytes(struct lsqi_decoder *decoder, const char *data, size_t len,
                                struct lsq_error *err) {
    struct export *export = (struct export *)(void *)decoder;

    if (!export->over) return lsqi_v2_file_feed(&export->file, data, len, err);
    return lsqi_error_set(err, LSQ_CONNECTION_LOST, "the rest of the export cannot be had");
}

static bool on_page(void *arg, const struct lsqi_frame *frame, const void *page, size_t len) {
    const struct export *export = arg;

    return export->decoder.frame(export->decoder.transfer, frame, page, len);
}

/* ---- On the exchange's ---- */

static enum lsq_status take_last_page(struct lsqi_replica *r, struct export *export,
                                      struct lsq_error *err) {
    struct lsqi_frame frame;
    const void *page;
    enum lsq_status st = lsqi_v2_file_last(&export->file, &frame, &page, err);

    return st == LSQ_OK ? lsqi_follow_frame(r, &frame, page, LSQI_V2_PAGE, err) : st;
}

/* Nothing that would be otherwise a moment later, or that the whole file would be answered with as well. */
static bool refuses_parts(const struct lsqi_transfer_end *end) {
    return end->refused && end->status >= 400 && end->status < 500 && end->status != 401 &&
           end->status != 402 && end->status != 403 && end->status != 407 && end->status != 408 &&
           end->status != 425 && end->status != 429;
}

/* So many of its pages are here. */
static enum lsq_status go_on(struct lsqi_replica *r, struct export *export, uint32_t pages,
                             struct lsq_error *err) {
    unsigned char first[LSQI_V2_PAGE];
    enum lsq_status st = lsqi_base_read(&r->base, r->path, 1, first, sizeof(first), err);

    if (st == LSQ_OK) st = lsqi_v2_file_go_on(&export->file, pages, first, err);
    if (st == LSQ_OK) lsqi_follow_snapshot_go_on(r, export->file.number, pages);
    export->from = (uint64_t)pages * LSQI_V2_PAGE;
    return st;
}

static enum lsq_status fetch(struct lsqi_replica *r, struct export *export,
                             struct lsqi_transfer_end *end, struct lsq_error *err) {
    char path[64];
    const struct lsqi_v2_request request = {.path = path, .from = export->from};
    enum lsq_status st;

    (void)snprintf(path, sizeof(path), "/export/%" PRIu64, lsqi_v2_generation(export->file.number));
    st = lsqi_v2_ask(r, &request, &export->decoder, end, err);
    if (export->from > 0 && refuses_parts(end)) export->over = true;
    if (export->over) return LSQ_OK;
    if (st != LSQ_OK) return st;
    if (end->refused) return lsqi_v2_refused(end, err);
    st = take_last_page(r, export, err);
    /* It is so on the server, too. */
    export->over = st != LSQ_OK;
    return st;
}

enum lsq_status lsqi_v2_fetch_file(struct lsqi_replica *r, struct lsq_error *err) {
    uint32_t pages = r->apply == NULL ? lsqi_base_part(&r->base) : 0;
    uint64_t place = pages > 0 ? r->base.meta.target - 1 : r->hello.index;
    struct export export = {.decoder = {.head = on_head, .feed = on_bytes},
                            .file = {.frame = on_page},
                            .version = &r->snapshot.version};
    struct lsqi_transfer_end end = {.whole = false};
    enum lsq_status ended;
    enum lsq_status st = LSQ_OK;
    bool whole;

    export.file.arg = &export;
    export.file.number = lsqi_v2_place(lsqi_v2_generation(place), 0);
    lsqi_follow_snapshot_begin(r);
    if (pages > 0) st = go_on(r, &export, pages, err);
    /* Somebody was at it, or the disk has lost it: it comes again. */
    export.over = st != LSQ_OK && st != LSQ_NOMEM;
    if (export.over) st = LSQ_OK;
    if (st == LSQ_OK && !export.over) st = fetch(r, &export, &end, err);
    whole = st == LSQ_OK && !export.over;
    ended = lsqi_follow_snapshot_end(r, whole, whole ? err : NULL);
    if (st == LSQ_OK) st = ended;
    if (export.over) lsqi_follow_from_nothing(r);
    lsqi_transfer_end_release(&end);
    lsqi_v2_file_release(&export.file);
    return st;
}
