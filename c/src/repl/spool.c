#include "repl/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "repl/disk.h"
#include "repl/sum.h"

enum { MEMORY = 8 * 1024 * 1024, FIRST_ROOM = 256 };

static size_t in_memory(const struct lsqi_spool *spool) { return MEMORY / spool->page_size; }

/* ---- The file ---- */

static enum lsq_status failed(const struct lsqi_spool *spool, const char *what,
                              struct lsq_error *err) {
    return lsqi_disk_failed(err, what, spool->folder_of);
}

/* It goes with the process, whatever ends that. */
static enum lsq_status open_file(struct lsqi_spool *spool, struct lsq_error *err) {
    char name[LSQI_DISK_NAME];
    enum lsq_status st = LSQ_OK;

    if (spool->fd >= 0 || spool->sealed != NULL) return LSQ_OK;
    lsqi_disk_beside(name, spool->folder_of, "-frames");
    (void)unlink(name);
    if (spool->key->bytes != NULL) {
        st = lsqi_sealed_open(&spool->sealed, name, spool->key, spool->page_size, err);
    } else {
        spool->fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (spool->fd < 0) st = failed(spool, "keep frames beside", err);
    }
    (void)unlink(name);
    return st;
}

static void close_file(struct lsqi_spool *spool) {
    if (spool->fd >= 0) close(spool->fd);
    lsqi_sealed_close(spool->sealed);
    spool->fd = -1;
    spool->sealed = NULL;
}

static int64_t place_of(const struct lsqi_spool *spool, size_t i) {
    return (int64_t)(i - in_memory(spool)) * spool->page_size;
}

/* The first place stays empty: what is there must be a database's first page. */
static uint32_t sealed_place_of(const struct lsqi_spool *spool, size_t i) {
    return (uint32_t)(i - in_memory(spool)) + 2;
}

static enum lsq_status write_page(struct lsqi_spool *spool, size_t i, const void *page,
                                  struct lsq_error *err) {
    enum lsq_status st = open_file(spool, err);

    if (st != LSQ_OK) return st;
    if (spool->sealed != NULL)
        return lsqi_sealed_write(spool->sealed, sealed_place_of(spool, i), page, err);
    if (lsqi_disk_write(spool->fd, page, spool->page_size, place_of(spool, i))) return LSQ_OK;
    return failed(spool, "keep frames beside", err);
}

static enum lsq_status read_page(const struct lsqi_spool *spool, size_t i, void *page,
                                 struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    if (spool->sealed != NULL)
        st = lsqi_sealed_read(spool->sealed, sealed_place_of(spool, i), page, err);
    else if (!lsqi_disk_read(spool->fd, page, spool->page_size, place_of(spool, i)))
        st = failed(spool, "read frames beside", err);
    if (st != LSQ_OK || lsqi_frame_sum(0, page, spool->page_size) == spool->frames[i].kept)
        return st;
    return lsqi_error_set(err, LSQ_IO, "frames that were kept beside %s are not what was written",
                          spool->folder_of);
}

/* ---- All of it ---- */

void lsqi_spool_release(struct lsqi_spool *spool) {
    lsqi_free(spool->frames);
    lsqi_free(spool->memory);
    close_file(spool);
    *spool = (struct lsqi_spool){.folder_of = spool->folder_of, .key = spool->key, .fd = -1};
}

static enum lsq_status no_memory(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_NOMEM, "out of memory for frames");
}

static bool grow_memory(struct lsqi_spool *spool, size_t pages) {
    size_t want = spool->memory_pages == 0 ? 16 : spool->memory_pages * 2;
    char *memory;

    if (pages <= spool->memory_pages) return true;
    if (want < pages) want = pages;
    if (want > in_memory(spool)) want = in_memory(spool);
    memory = lsqi_realloc(spool->memory, want * spool->page_size);
    if (memory == NULL) return false;
    spool->memory = memory;
    spool->memory_pages = want;
    return true;
}

static enum lsq_status put_page(struct lsqi_spool *spool, size_t i, const void *page,
                                struct lsq_error *err) {
    if (i < in_memory(spool)) {
        if (!grow_memory(spool, i + 1)) return no_memory(err);
        memcpy(spool->memory + i * spool->page_size, page, spool->page_size);
        return LSQ_OK;
    }
    return write_page(spool, i, page, err);
}

enum lsq_status lsqi_spool_page(const struct lsqi_spool *spool, size_t i, void *page,
                                struct lsq_error *err) {
    if (i >= in_memory(spool)) return read_page(spool, i, page, err);
    memcpy(page, spool->memory + i * spool->page_size, spool->page_size);
    return LSQ_OK;
}

static bool grow_frames(struct lsqi_spool *spool) {
    size_t room = spool->room == 0 ? FIRST_ROOM : spool->room * 2;
    struct lsqi_frame *frames;

    if (spool->count < spool->room) return true;
    frames = lsqi_realloc(spool->frames, room * sizeof(*frames));
    if (frames == NULL) return false;
    spool->frames = frames;
    spool->room = room;
    return true;
}

enum lsq_status lsqi_spool_add(struct lsqi_spool *spool, const struct lsqi_frame *frame,
                               const void *page, size_t len, struct lsq_error *err) {
    enum lsq_status st;

    if (spool->count == 0 && spool->page_size == 0) spool->page_size = (uint32_t)len;
    if (len != spool->page_size)
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "the server sends pages of %zu bytes among those of %u", len,
                              (unsigned)spool->page_size);
    if (!grow_frames(spool)) return no_memory(err);
    st = put_page(spool, spool->count, page, err);
    if (st != LSQ_OK) return st;
    spool->frames[spool->count] = *frame;
    if (spool->count >= in_memory(spool))
        spool->frames[spool->count].kept = lsqi_frame_sum(0, page, len);
    spool->count++;
    if (frame->size_after > 0) spool->committed = spool->count;
    return LSQ_OK;
}

static void count_committed(struct lsqi_spool *spool) {
    spool->committed = spool->count;
    while (spool->committed > 0 && spool->frames[spool->committed - 1].size_after == 0)
        spool->committed--;
}

/* An empty one gives back what a long transaction took. */
static void settle(struct lsqi_spool *spool) {
    count_committed(spool);
    if (spool->count > 0) return;
    close_file(spool);
    lsqi_free(spool->frames);
    lsqi_free(spool->memory);
    spool->frames = NULL;
    spool->memory = NULL;
    spool->room = spool->memory_pages = 0;
}

/* What is left is the begin of a transaction: mostly nothing. */
enum lsq_status lsqi_spool_drop(struct lsqi_spool *spool, size_t n, struct lsq_error *err) {
    char *page = n < spool->count ? lsqi_malloc(spool->page_size) : NULL;
    enum lsq_status st = LSQ_OK;

    if (n < spool->count && page == NULL) return no_memory(err);
    for (size_t i = n; i < spool->count && st == LSQ_OK; i++) {
        st = lsqi_spool_page(spool, i, page, err);
        if (st == LSQ_OK) st = put_page(spool, i - n, page, err);
    }
    lsqi_free(page);
    if (st != LSQ_OK) return st;
    if (n < spool->count)
        memmove(spool->frames, spool->frames + n, (spool->count - n) * sizeof(*spool->frames));
    spool->count -= n;
    settle(spool);
    return LSQ_OK;
}

void lsqi_spool_cut(struct lsqi_spool *spool, size_t n) {
    if (n < spool->count) spool->count = n;
    settle(spool);
}
