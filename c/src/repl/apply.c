#include "repl/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/engine.h"
#include "engine/failure.h"
#include "engine/inject.h"
#include "file/file.h"

enum {
    TURN_MS = 60000, /* how long it waits for its turn: only checkpoints have it otherwise */
    BUSY_MS = 10000,
    CHECKPOINT_PAGES = 1000,
    COPY_PAGES = 1024 /* at a time */
};

struct lsqi_apply {
    sqlite3 *db;
    const struct lsqi_key *key;
    struct lsqi_file *file;
    uint32_t page_size;
    bool holds;    /* checkpoints */
    bool keep_wal; /* at its end */
};

/* ---- The connection ---- */

static enum lsq_status run(sqlite3 *db, const char *sql, struct lsq_error *err) {
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? LSQ_OK : lsqi_failure_set(err, db, rc);
}

/* The first value of a statement: as a text, and as a number. */
static enum lsq_status ask(sqlite3 *db, const char *sql, char *text, size_t size, int64_t *number,
                           struct lsq_error *err) {
    sqlite3_stmt *stmt = NULL;
    enum lsq_status st = LSQ_OK;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        const char *value = (const char *)sqlite3_column_text(stmt, 0);

        if (text != NULL) (void)snprintf(text, size, "%s", value == NULL ? "" : value);
        if (number != NULL) *number = sqlite3_column_int64(stmt, 0);
    } else {
        st = lsqi_failure_set(err, db, rc);
    }
    (void)sqlite3_finalize(stmt);
    return st;
}

static enum lsq_status open_db(sqlite3 **db, const char *path, int flags,
                               const struct lsqi_key *key, struct lsq_error *err) {
    enum lsq_status st = lsqi_engine_init(err);
    int rc;

    if (st != LSQ_OK) return st;
    rc = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        st = *db == NULL ? lsqi_error_set(err, LSQ_NOMEM, "out of memory for a connection")
                         : lsqi_failure_set(err, *db, rc);
        (void)sqlite3_close(*db);
        return st;
    }
    (void)sqlite3_extended_result_codes(*db, 1);
    (void)sqlite3_busy_timeout(*db, BUSY_MS);
    st = lsqi_key_give(*db, key->bytes, key->len, err);
    if (st != LSQ_OK) (void)sqlite3_close(*db);
    return st;
}

static enum lsq_status set_up(struct lsqi_apply *apply, struct lsq_error *err) {
    char mode[16];
    int64_t page_size = 0;
    enum lsq_status st = ask(apply->db, "PRAGMA journal_mode", mode, sizeof(mode), NULL, err);

    if (st == LSQ_OK && strcmp(mode, "wal") != 0)
        st = lsqi_error_set(err, LSQ_CORRUPT, "the file is not in WAL mode, but in %s", mode);
    /* Each insertion is on the disk before it counts as done. */
    if (st == LSQ_OK) st = run(apply->db, "PRAGMA synchronous=FULL", err);
    if (st == LSQ_OK) st = run(apply->db, "PRAGMA wal_autocheckpoint=0", err);
    if (st == LSQ_OK) st = run(apply->db, "PRAGMA cache_size=-64", err);
    if (st == LSQ_OK) st = ask(apply->db, "SELECT count(*) FROM sqlite_schema", NULL, 0, NULL, err);
    if (st == LSQ_OK) st = ask(apply->db, "PRAGMA page_size", NULL, 0, &page_size, err);
    if (st != LSQ_OK) return st;
    apply->page_size = (uint32_t)page_size;
    apply->file = lsqi_file_get(apply->db, "main");
    return apply->file != NULL ? LSQ_OK
                               : lsqi_error_set(err, LSQ_NOMEM, "out of memory for a file");
}

enum lsq_status lsqi_apply_open(struct lsqi_apply **out, const char *path,
                                const struct lsqi_key *key, struct lsq_error *err) {
    struct lsqi_apply *apply = lsqi_calloc(1, sizeof(*apply));
    enum lsq_status st;

    if (apply == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a replica");
    apply->key = key;
    st = open_db(&apply->db, path, SQLITE_OPEN_READWRITE, key, err);
    if (st != LSQ_OK) {
        lsqi_free(apply);
        return st;
    }
    st = set_up(apply, err);
    if (st == LSQ_OK)
        *out = apply;
    else
        lsqi_apply_close(apply);
    return st;
}

void lsqi_apply_close(struct lsqi_apply *apply) {
    if (apply == NULL) return;
    (void)sqlite3_busy_timeout(apply->db, 0);
    if (apply->file != NULL) lsqi_file_leave(apply->file);
    if (apply->keep_wal)
        (void)sqlite3_db_config(apply->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* The engine forgets a lock that was taken from below. */
    lsqi_apply_release(apply);
    (void)sqlite3_close(apply->db);
    lsqi_file_unref(apply->file);
    lsqi_free(apply);
}

bool lsqi_apply_shared(struct lsqi_apply *apply) { return lsqi_file_shared(apply->file, true); }

enum lsq_status lsqi_apply_pages(struct lsqi_apply *apply, uint64_t *pages, uint32_t *page_size,
                                 struct lsq_error *err) {
    int64_t number = 0;
    enum lsq_status st = ask(apply->db, "PRAGMA page_count", NULL, 0, &number, err);

    if (st != LSQ_OK) return st;
    *pages = (uint64_t)number;
    *page_size = apply->page_size;
    return LSQ_OK;
}

enum lsq_status lsqi_apply_mark(struct lsqi_apply *apply, struct lsqi_mark *mark,
                                struct lsq_error *err) {
    return lsqi_mark_read(mark, apply->db, apply->key, err);
}

static enum lsq_status take_mark(sqlite3 *db, const struct lsqi_key *key, struct lsqi_mark *mark,
                                 struct lsq_error *err) {
    int64_t pages = 0;
    enum lsq_status st = ask(db, "PRAGMA page_count", NULL, 0, &pages, err);

    if (st != LSQ_OK) return st;
    lsqi_mark_choose(mark, (uint64_t)pages);
    return lsqi_mark_read(mark, db, key, err);
}

enum lsq_status lsqi_apply_new_mark(struct lsqi_apply *apply, struct lsqi_mark *mark,
                                    struct lsq_error *err) {
    return take_mark(apply->db, apply->key, mark, err);
}

/* ---- What goes in ---- */

struct choice {
    uint32_t *of; /* numbers of frames */
    size_t count;
    uint32_t size_after;
    uint32_t histories;
};

static int by_page(const void *a, const void *b, void *arg) {
    const struct lsqi_frame *frames = arg;
    uint32_t i = *(const uint32_t *)a;
    uint32_t j = *(const uint32_t *)b;

    if (frames[i].page != frames[j].page) return frames[i].page < frames[j].page ? -1 : 1;
    return i < j ? -1 : i > j;
}

static int by_number(const void *a, const void *b) {
    uint32_t i = *(const uint32_t *)a;
    uint32_t j = *(const uint32_t *)b;

    return i < j ? -1 : i > j;
}

/* The last frame of each page that the database has in the end. The engine would take the others, too, and then
 * reckon the checksums of the whole transaction anew. */
static enum lsq_status choose(struct choice *choice, const struct lsqi_spool *spool, size_t n,
                              struct lsq_error *err) {
    uint32_t pages = spool->frames[n - 1].size_after;
    size_t kept = 0;

    if (n >= UINT32_MAX)
        return lsqi_error_set(err, LSQ_TOO_BIG, "a transaction has too many frames");
    choice->size_after = pages;
    choice->of = lsqi_malloc(n * sizeof(*choice->of));
    if (choice->of == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for frames");
    for (size_t i = 0; i < n; i++) choice->of[i] = (uint32_t)i;
    qsort_r(choice->of, n, sizeof(*choice->of), by_page, spool->frames);
    for (size_t i = 0; i < n; i++) {
        uint32_t page = spool->frames[choice->of[i]].page;

        if (page > pages) break;
        if (i + 1 < n && spool->frames[choice->of[i + 1]].page == page) continue;
        choice->of[kept++] = choice->of[i];
    }
    qsort(choice->of, kept, sizeof(*choice->of), by_number);
    choice->count = kept;
    if (kept > 0) return LSQ_OK;
    return lsqi_error_set(err, LSQ_CORRUPT,
                          "what the server sent ends a transaction without a page");
}

static enum lsq_status not_put(int rc, struct lsq_error *err) {
    if (rc == SQLITE_OK) return LSQ_OK;
    return lsqi_failure_told(err, rc, "frames could not be put into the replica's WAL");
}

static enum lsq_status insert_all(sqlite3 *db, const struct lsqi_spool *spool,
                                  const struct choice *choice, unsigned char *frame,
                                  struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    for (size_t i = 0; i < choice->count && st == LSQ_OK; i++) {
        uint32_t at = choice->of[i];
        uint32_t page = spool->frames[at].page;
        bool last = i + 1 == choice->count;

        st = lsqi_spool_page(spool, at, frame + LSQI_FRAME_HEADER, err);
        if (st != LSQ_OK) break;
        if (page == 1) lsqi_mark_mend_header(frame + LSQI_FRAME_HEADER, choice->histories);
        st = not_put(
            lsqi_inject_frame(db, frame, spool->page_size, page, last ? choice->size_after : 0),
            err);
    }
    return st;
}

/* BUSY: a checkpoint of another process, or somebody who writes to what is not his. */
static int begin(sqlite3 *db, bool (*stop)(void *arg), void *arg) {
    int64_t until = lsqi_now_ns() + (int64_t)BUSY_MS * 1000000;
    int rc;

    for (;;) {
        rc = lsqi_inject_begin(db);
        if (rc == SQLITE_OK || (rc & 0xff) != SQLITE_BUSY) return rc;
        (void)lsqi_inject_end(db);
        if (lsqi_now_ns() > until || (stop != NULL && stop(arg))) return rc;
        (void)sqlite3_sleep(1);
    }
}

/* With the engine's lock, which it gives back. */
static enum lsq_status insert_within(struct lsqi_apply *apply, const struct lsqi_spool *spool,
                                     const struct choice *choice, unsigned char *frame,
                                     const struct lsqi_apply_around *around,
                                     struct lsq_error *err) {
    enum lsq_status st = around == NULL ? LSQ_OK : around->begins(around->arg, err);
    int rc;

    if (st == LSQ_OK) st = insert_all(apply->db, spool, choice, frame, err);
    rc = lsqi_inject_end(apply->db);
    if (st == LSQ_OK) st = not_put(rc, err);
    return around == NULL ? st : around->ends(around->arg, st, err);
}

static enum lsq_status insert(struct lsqi_apply *apply, const struct lsqi_spool *spool,
                              const struct choice *choice, const struct lsqi_apply_around *around,
                              bool (*stop)(void *arg), void *arg, struct lsq_error *err) {
    unsigned char *frame = lsqi_malloc(LSQI_FRAME_HEADER + spool->page_size);
    enum lsq_status st;
    int rc;

    if (frame == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for frames");
    rc = begin(apply->db, stop, arg);
    st = not_put(rc, err);
    if (st == LSQ_OK) {
        st = insert_within(apply, spool, choice, frame, around, err);
    } else if ((rc & 0xff) != SQLITE_BUSY) {
        (void)lsqi_inject_end(apply->db);
    }
    lsqi_free(frame);
    return st;
}

/* As after a commit. */
void lsqi_apply_checkpoint(struct lsqi_apply *apply) {
    int frames = lsqi_inject_wal_frames(apply->db);

    if (frames < 0) return;
    lsqi_file_wrote(apply->file, frames);
    if (frames >= CHECKPOINT_PAGES && !lsqi_file_checkpoint(apply->file, frames, CHECKPOINT_PAGES))
        (void)sqlite3_wal_checkpoint_v2(apply->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static enum lsq_status no_turn(bool (*stop)(void *arg), void *arg, struct lsq_error *err) {
    if (stop != NULL && stop(arg))
        return lsqi_error_set(err, LSQ_INTERRUPTED, "the turn to write did not come");
    return lsqi_error_set(
        err, LSQ_BUSY,
        "a transaction of this program has had the turn to write to the replica's file for %d s",
        TURN_MS / 1000);
}

enum lsq_status lsqi_apply_put(struct lsqi_apply *apply, const struct lsqi_spool *spool, size_t n,
                               uint32_t histories, const struct lsqi_apply_around *around,
                               bool (*stop)(void *arg), void *arg, struct lsq_error *err) {
    const struct lsqi_lanes lanes = {.count = 1, .of = {lsqi_file_lane(apply->file)}};
    const struct lsqi_claim claim = {.conn = apply};
    int64_t until = lsqi_now_ns() + (int64_t)TURN_MS * 1000000;
    struct choice choice = {.histories = histories};
    enum lsq_status st;

    if (spool->page_size != apply->page_size)
        return lsqi_error_set(err, LSQ_UNSUPPORTED,
                              "the server has pages of %u bytes, the replica's file of %u",
                              (unsigned)spool->page_size, (unsigned)apply->page_size);
    st = choose(&choice, spool, n, err);
    if (st != LSQ_OK) {
        lsqi_free(choice.of);
        return st;
    }
    if (!lsqi_lanes_await(&lanes, &claim, until, stop, arg)) st = no_turn(stop, arg, err);
    if (st == LSQ_OK) {
        st = insert(apply, spool, &choice, around, stop, arg, err);
        lsqi_lanes_leave(&lanes, apply);
    }
    lsqi_free(choice.of);
    if (st == LSQ_OK) lsqi_apply_checkpoint(apply);
    return st;
}

/* ---- A file that is written to by others, too ---- */

enum lsq_status lsqi_apply_alone(struct lsqi_apply *apply,
                                 enum lsq_status (*fn)(void *arg, struct lsq_error *err),
                                 void *fn_arg, bool (*stop)(void *arg), void *arg,
                                 struct lsq_error *err) {
    const struct lsqi_lanes lanes = {.count = 1, .of = {lsqi_file_lane(apply->file)}};
    const struct lsqi_claim claim = {.conn = apply};
    int64_t until = lsqi_now_ns() + (int64_t)TURN_MS * 1000000;
    enum lsq_status st;

    if (!lsqi_lanes_await(&lanes, &claim, until, stop, arg)) return no_turn(stop, arg, err);
    st = run(apply->db, "BEGIN IMMEDIATE", err);
    if (st == LSQ_OK) {
        st = fn(fn_arg, err);
        (void)run(apply->db, "ROLLBACK", NULL);
    }
    lsqi_lanes_leave(&lanes, apply);
    return st;
}

static enum lsq_status failed(int rc, struct lsq_error *err) {
    if (rc == SQLITE_OK) return LSQ_OK;
    return lsqi_failure_told(err, rc, "the replica's WAL could not be read or locked");
}

enum lsq_status lsqi_apply_look(struct lsqi_apply *apply, struct lsqi_wal_mark *now,
                                struct lsq_error *err) {
    return failed(lsqi_wal_look(apply->db, now), err);
}

enum lsq_status lsqi_apply_hold(struct lsqi_apply *apply, struct lsq_error *err) {
    int64_t until = lsqi_now_ns() + (int64_t)BUSY_MS * 1000000;
    int rc = SQLITE_OK;

    while (!apply->holds && (rc = lsqi_wal_hold(apply->db)) == SQLITE_BUSY && lsqi_now_ns() < until)
        (void)sqlite3_sleep(1);
    if (rc == SQLITE_OK) apply->holds = apply->keep_wal = true;
    return failed(rc, err);
}

void lsqi_apply_release(struct lsqi_apply *apply) {
    if (!apply->holds) return;
    lsqi_wal_release(apply->db);
    lsqi_file_look_again(apply->file);
    apply->holds = apply->keep_wal = false;
}

void lsqi_apply_keep_wal(struct lsqi_apply *apply) { apply->keep_wal = true; }

enum lsq_status lsqi_apply_frames(struct lsqi_apply *apply, uint32_t first, uint32_t count,
                                  struct lsqi_buf *frames, struct lsq_error *err) {
    size_t size = LSQI_FRAME_HEADER + apply->page_size;
    int rc = SQLITE_OK;

    if (!lsqi_buf_reserve(frames, count * size))
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for frames");
    for (uint32_t i = 0; i < count && rc == SQLITE_OK; i++) {
        rc = lsqi_wal_read(apply->db, first + i, (unsigned char *)frames->data + frames->len,
                           apply->page_size);
        if (rc == SQLITE_OK) frames->len += size;
    }
    return failed(rc, err);
}

enum lsq_status lsqi_apply_sync(struct lsqi_apply *apply, struct lsq_error *err) {
    return failed(lsqi_wal_sync(apply->db), err);
}

/* ---- Files as a whole ---- */

enum lsq_status lsqi_apply_copy(struct lsqi_apply *apply, const char *to, struct lsq_error *err) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    sqlite3_backup *backup;
    sqlite3 *db = NULL;
    enum lsq_status st = open_db(&db, to, flags, apply->key, err);
    int rc = SQLITE_OK;

    if (st != LSQ_OK) return st;
    backup = sqlite3_backup_init(db, "main", apply->db, "main");
    if (backup == NULL) rc = sqlite3_extended_errcode(db);
    while (rc == SQLITE_OK) rc = sqlite3_backup_step(backup, COPY_PAGES);
    if (backup != NULL) (void)sqlite3_backup_finish(backup);
    if (rc != SQLITE_DONE) st = lsqi_failure_set(err, db, rc);
    (void)sqlite3_close(db);
    return st;
}

enum lsq_status lsqi_apply_check(const char *path, const struct lsqi_key *key,
                                 struct lsqi_mark *mark, struct lsq_error *err) {
    sqlite3 *db = NULL;
    char words[200];
    enum lsq_status st = open_db(&db, path, SQLITE_OPEN_READWRITE, key, err);

    if (st != LSQ_OK) return st;
    st = ask(db, "PRAGMA quick_check(1)", words, sizeof(words), NULL, err);
    if (st == LSQ_OK && strcmp(words, "ok") != 0)
        st = lsqi_error_set(err, LSQ_CORRUPT, "what the server sent is damaged: %s", words);
    if (st == LSQ_OK) st = take_mark(db, key, mark, err);
    (void)sqlite3_close(db);
    return st;
}

enum lsq_status lsqi_apply_make(const char *path, const struct lsqi_key *key,
                                struct lsq_error *err) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    sqlite3 *db = NULL;
    enum lsq_status st = open_db(&db, path, flags, key, err);

    if (st != LSQ_OK) return st;
    st = run(db, "PRAGMA synchronous=FULL; PRAGMA page_size=4096; PRAGMA journal_mode=WAL", err);
    (void)sqlite3_close(db);
    return st;
}
