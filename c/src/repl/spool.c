#include "repl/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "repl/disk.h"

enum { MEMORY = 8 * 1024 * 1024, FIRST_ROOM = 256 };

void lsqi_spool_release(struct lsqi_spool *spool) {
    lsqi_free(spool->frames);
    lsqi_free(spool->memory);
    if (spool->fd >= 0) close(spool->fd);
    *spool = (struct lsqi_spool){.fd = -1};
}

/* It goes with the process, whatever ends that. */
static int nameless(const char *folder_of) {
    char name[LSQI_DISK_NAME];
    int fd;

    lsqi_disk_beside(name, folder_of, "-frames");
    fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) (void)unlink(name);
    return fd;
}

static size_t in_memory(const struct lsqi_spool *spool) { return MEMORY / spool->page_size; }

static int64_t place_of(const struct lsqi_spool *spool, size_t i) {
    return (int64_t)(i - in_memory(spool)) * spool->page_size;
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
    if (spool->fd < 0) spool->fd = nameless(spool->folder_of);
    if (spool->fd < 0 || !lsqi_disk_write(spool->fd, page, spool->page_size, place_of(spool, i)))
        return lsqi_disk_failed(err, "keep frames beside", spool->folder_of);
    return LSQ_OK;
}

bool lsqi_spool_page(const struct lsqi_spool *spool, size_t i, void *page) {
    if (i >= in_memory(spool))
        return lsqi_disk_read(spool->fd, page, spool->page_size, place_of(spool, i));
    memcpy(page, spool->memory + i * spool->page_size, spool->page_size);
    return true;
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
    spool->frames[spool->count++] = *frame;
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
    if (spool->fd >= 0) {
        close(spool->fd);
        spool->fd = -1;
    }
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
        st = lsqi_spool_page(spool, i, page)
                 ? put_page(spool, i - n, page, err)
                 : lsqi_disk_failed(err, "read frames beside", spool->folder_of);
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
