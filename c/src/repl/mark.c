#include "repl/mark.h"

#include <sqlite3.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "engine/failure.h"
#include "engine/keysum.h"
#include "repl/spool.h"

/* ---- A file as it is ---- */

void lsqi_mark_choose(struct lsqi_mark *mark, uint64_t pages) {
    *mark = (struct lsqi_mark){.of = {{.page = pages > 0 ? 1 : 0}}};
    for (uint64_t i = 1; i < LSQI_MARK_PAGES; i++) {
        uint32_t page = (uint32_t)(1 + i * (pages - 1) / (LSQI_MARK_PAGES - 1));

        if (pages > LSQI_MARK_PAGES) mark->of[i].page = page;
        if (pages <= LSQI_MARK_PAGES && i < pages) mark->of[i].page = (uint32_t)i + 1;
    }
}

static enum lsq_status read_one(sqlite3_stmt *stmt, const struct lsqi_key *key, uint32_t page,
                                uint64_t *sum, struct lsq_error *err) {
    int rc = sqlite3_bind_int64(stmt, 1, page);

    if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
    *sum = 0;
    if (rc == SQLITE_ROW) {
        const void *data = sqlite3_column_blob(stmt, 0);
        size_t len = (size_t)sqlite3_column_bytes(stmt, 0);

        if (data == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a page");
        *sum = lsqi_key_sum(key, page, data, len);
    }
    (void)sqlite3_reset(stmt);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) return LSQ_OK;
    return lsqi_failure_set(err, sqlite3_db_handle(stmt), rc);
}

enum lsq_status lsqi_mark_read(struct lsqi_mark *mark, sqlite3 *db, const struct lsqi_key *key,
                               struct lsq_error *err) {
    static const char sql[] = "SELECT data FROM sqlite_dbpage('main') WHERE pgno = ?1";
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, sizeof(sql), &stmt, NULL);
    enum lsq_status st = rc == SQLITE_OK ? LSQ_OK : lsqi_failure_set(err, db, rc);

    for (int i = 0; i < LSQI_MARK_PAGES && st == LSQ_OK; i++)
        if (mark->of[i].page != 0)
            st = read_one(stmt, key, mark->of[i].page, &mark->of[i].sum, err);
    (void)sqlite3_finalize(stmt);
    return st;
}

bool lsqi_mark_same(const struct lsqi_mark *a, const struct lsqi_mark *b) {
    for (int i = 0; i < LSQI_MARK_PAGES; i++)
        if (a->of[i].page != b->of[i].page || a->of[i].sum != b->of[i].sum) return false;
    return true;
}

bool lsqi_mark_lacks(const struct lsqi_mark *now, const struct lsqi_mark *kept) {
    for (int i = 0; i < LSQI_MARK_PAGES; i++)
        if (now->of[i].sum == 0 && kept->of[i].sum != 0) return true;
    return false;
}

/* ---- What goes in ---- */

/* By https://sqlite.org/fileformat2.html, 1.3. */
void lsqi_mark_mend_header(unsigned char *page, uint32_t histories) {
    enum { WRITE_VERSION = 18, READ_VERSION = 19, WAL = 2, SCHEMA = 40, EACH = 1 << 24 };
    uint32_t schema = 0;

    page[WRITE_VERSION] = page[READ_VERSION] = WAL;
    for (int i = 0; i < 4; i++) schema = schema << 8 | page[SCHEMA + i];
    schema += histories * (uint32_t)EACH;
    for (int i = 3; i >= 0; i--, schema >>= 8) page[SCHEMA + i] = (unsigned char)schema;
}

struct follower {
    struct lsqi_mark *mark;
    const struct lsqi_spool *spool;
    unsigned char *page; /* room for one */
    uint32_t histories;
    uint32_t pages; /* that the database then has */
    bool known[LSQI_MARK_PAGES];
};

static int place_of(const struct follower *f, uint32_t page) {
    for (int i = 0; i < LSQI_MARK_PAGES; i++)
        if (f->mark->of[i].page == page) return i;
    return -1;
}

/* The frame's page is to be at that place. */
static enum lsq_status take(struct follower *f, int place, size_t frame, struct lsq_error *err) {
    const struct lsqi_spool *spool = f->spool;
    uint32_t number = spool->frames[frame].page;
    enum lsq_status st = lsqi_spool_page(spool, frame, f->page, err);

    if (st != LSQ_OK) return st;
    if (number == 1) lsqi_mark_mend_header(f->page, f->histories);
    f->mark->of[place].page = number;
    f->mark->of[place].sum = lsqi_key_sum(spool->key, number, f->page, spool->page_size);
    f->known[place] = true;
    return LSQ_OK;
}

/* Those that the mark has already, and the first page; from the last frame on: of each page the last counts. */
static enum lsq_status renew(struct follower *f, size_t n, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    for (size_t i = n; i > 0 && st == LSQ_OK; i--) {
        uint32_t page = f->spool->frames[i - 1].page;
        int place = page == 1 ? 0 : place_of(f, page);

        if (place >= 0 && page <= f->pages && !f->known[place]) st = take(f, place, i - 1, err);
    }
    return st;
}

/* Pages that came last: in the place of such that were not changed now, and where one that is spread is missing. */
static enum lsq_status add_last(struct follower *f, size_t n, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;
    int place = 1;

    for (size_t i = n; i > 0 && place < LSQI_MARK_PAGES && st == LSQ_OK; i--) {
        uint32_t page = f->spool->frames[i - 1].page;

        if (page > f->pages || place_of(f, page) >= 0) continue;
        while (place < LSQI_MARK_PAGES &&
               (f->known[place] || (place < LSQI_MARK_SPREAD && f->mark->of[place].page != 0)))
            place++;
        if (place < LSQI_MARK_PAGES) st = take(f, place, i - 1, err);
    }
    return st;
}

enum lsq_status lsqi_mark_follow(struct lsqi_mark *mark, const struct lsqi_spool *spool, size_t n,
                                 uint32_t histories, struct lsq_error *err) {
    struct follower f = {.mark = mark,
                         .spool = spool,
                         .page = lsqi_malloc(spool->page_size),
                         .histories = histories,
                         .pages = spool->frames[n - 1].size_after};
    enum lsq_status st;

    if (f.page == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a page");
    for (int i = 0; i < LSQI_MARK_PAGES; i++)
        if (mark->of[i].page > f.pages) mark->of[i].page = 0, mark->of[i].sum = 0;
    st = renew(&f, n, err);
    if (st == LSQ_OK) st = add_last(&f, n, err);
    lsqi_free(f.page);
    return st;
}
