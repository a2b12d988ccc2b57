#include "repl/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "repl/apply.h"
#include "repl/disk.h"

enum { MARK_BYTES = 16 * 1024 * 1024, MARK_MS = 1000 };

#define INCOMING "-incoming"
#define STATE "-incoming-state"

void lsqi_base_release(struct lsqi_base *base) {
    if (base->fd >= 0) close(base->fd);
    lsqi_sealed_close(base->sealed);
    *base = (struct lsqi_base){.key = base->key, .fd = -1};
}

void lsqi_base_discard(struct lsqi_base *base, const char *path) {
    lsqi_base_release(base);
    lsqi_disk_remove(path, STATE);
    lsqi_disk_remove(path, INCOMING);
    lsqi_disk_remove(path, INCOMING "-wal");
    lsqi_disk_remove(path, INCOMING "-shm");
    /* The engine's, where a disk failed as it made an empty one: it would be rolled back into the next. */
    lsqi_disk_remove(path, INCOMING "-journal");
}

void lsqi_base_discard_foreign(struct lsqi_base *base, const char *path) {
    char name[LSQI_DISK_NAME];
    struct lsqi_meta meta = {.key_mark = 0};
    enum lsq_status st;

    lsqi_disk_beside(name, path, STATE);
    st = lsqi_meta_read(&meta, name, base->key, NULL);
    if (st == LSQ_NO_ROW || st == LSQ_CORRUPT || (st == LSQ_OK && meta.key_mark != base->key->mark))
        lsqi_base_discard(base, path);
}

/* ---- Beginning ---- */

/* The file of that state, and not cut. */
static bool is_that(const struct lsqi_meta *meta, int fd) {
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_ino == meta->inode &&
           (uint64_t)st.st_size >= meta->pages * meta->page_size;
}

bool lsqi_base_recall(struct lsqi_base *base, const char *path) {
    char name[LSQI_DISK_NAME];

    lsqi_base_release(base);
    base->marked_at = lsqi_now_ns();
    lsqi_disk_beside(name, path, STATE);
    if (lsqi_meta_read(&base->meta, name, base->key, NULL) != LSQ_OK ||
        base->meta.key_mark != base->key->mark)
        return false;
    lsqi_disk_beside(name, path, INCOMING);
    base->fd = open(name, O_RDWR | O_CLOEXEC);
    if (is_that(&base->meta, base->fd)) return true;
    lsqi_base_release(base);
    return false;
}

static enum lsq_status create(struct lsqi_base *base, const char *path, const char *log_id,
                              uint64_t index, struct lsq_error *err) {
    char name[LSQI_DISK_NAME];
    struct stat st;

    lsqi_disk_beside(name, path, INCOMING);
    base->fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (base->fd < 0 || fstat(base->fd, &st) != 0) return lsqi_disk_failed(err, "create", name);
    base->meta = (struct lsqi_meta){.state = LSQI_META_READY,
                                    .inode = (uint64_t)st.st_ino,
                                    .target = index + 1,
                                    .key_mark = base->key->mark};
    (void)snprintf(base->meta.log_id, sizeof(base->meta.log_id), "%s", log_id);
    lsqi_disk_beside(name, path, STATE);
    return lsqi_meta_create(&base->meta, name, base->key, err);
}

enum lsq_status lsqi_base_begin(struct lsqi_base *base, const char *path, const char *log_id,
                                uint64_t index, struct lsq_error *err) {
    enum lsq_status st;

    lsqi_base_discard(base, path);
    st = create(base, path, log_id, index, err);
    base->marked_at = lsqi_now_ns();
    if (st != LSQ_OK) lsqi_base_discard(base, path);
    return st;
}

/* ---- Pages ---- */

static enum lsq_status open_sealed(struct lsqi_base *base, const char *path,
                                   struct lsq_error *err) {
    char name[LSQI_DISK_NAME];

    if (base->sealed != NULL) return LSQ_OK;
    lsqi_disk_beside(name, path, INCOMING);
    return lsqi_sealed_open(&base->sealed, name, base->key, base->meta.page_size, err);
}

static enum lsq_status write_page(struct lsqi_base *base, const char *path, uint32_t number,
                                  const void *page, struct lsq_error *err) {
    int64_t size = base->meta.page_size;
    enum lsq_status st = LSQ_OK;

    if (base->key->bytes != NULL) {
        st = open_sealed(base, path, err);
        return st == LSQ_OK ? lsqi_sealed_write(base->sealed, number, page, err) : st;
    }
    if (lsqi_disk_write(base->fd, page, (size_t)size, (int64_t)(number - 1) * size)) return LSQ_OK;
    return lsqi_disk_failed(err, "write what comes beside", path);
}

static enum lsq_status read_page(struct lsqi_base *base, const char *path, uint32_t number,
                                 void *page, struct lsq_error *err) {
    int64_t size = base->meta.page_size;
    enum lsq_status st = LSQ_OK;

    if (base->key->bytes != NULL) {
        st = open_sealed(base, path, err);
        return st == LSQ_OK ? lsqi_sealed_read(base->sealed, number, page, err) : st;
    }
    if (lsqi_disk_read(base->fd, page, (size_t)size, (int64_t)(number - 1) * size)) return LSQ_OK;
    return lsqi_disk_failed(err, "read what came beside", path);
}

/* ---- Filling ---- */

static enum lsq_status write_state(struct lsqi_base *base, const char *path,
                                   struct lsq_error *err) {
    char name[LSQI_DISK_NAME];
    enum lsq_status st;

    lsqi_disk_beside(name, path, STATE);
    st = lsqi_meta_write(&base->meta, name, base->key, LSQI_META_DURABLE, err);
    /* What is durable is less than what is in memory by now: it is taken up from there. */
    if (st != LSQ_OK) lsqi_base_release(base);
    return st;
}

void lsqi_base_expect(struct lsqi_base *base, uint64_t next, uint64_t sum) {
    base->expected = next;
    base->expected_sum = sum;
}

/* The state says so before the frame is written. */
static enum lsq_status raise_target(struct lsqi_base *base, const char *path,
                                    const struct lsqi_frame *frame, struct lsq_error *err) {
    bool expected = base->expected > frame->number;

    if (frame->number < base->meta.target) return LSQ_OK;
    base->meta.target = expected ? base->expected : frame->number + 1;
    base->meta.target_checksum = expected ? base->expected_sum : frame->checksum;
    return write_state(base, path, err);
}

enum lsq_status lsqi_base_write(struct lsqi_base *base, const char *path,
                                const struct lsqi_frame *frame, const void *page, size_t len,
                                struct lsq_error *err) {
    enum lsq_status st;

    if (base->meta.page_size == 0) base->meta.page_size = (uint32_t)len;
    if (base->meta.page_size != len)
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "the server sends pages of %zu bytes among those of %u", len,
                              (unsigned)base->meta.page_size);
    st = raise_target(base, path, frame, err);
    if (st != LSQ_OK) return st;
    base->unmarked += len;
    return write_page(base, path, frame->page, page, err);
}

enum lsq_status lsqi_base_mark(struct lsqi_base *base, const char *path, uint64_t next,
                               uint64_t sum, uint64_t pages, bool must, struct lsq_error *err) {
    int64_t now = lsqi_now_ns();

    if (!must && base->unmarked < MARK_BYTES && now - base->marked_at < (int64_t)MARK_MS * 1000000)
        return LSQ_OK;
    if (fdatasync(base->fd) != 0) {
        enum lsq_status st = lsqi_disk_failed(err, "sync what comes beside", path);

        /* The next one would succeed, though the pages are lost: they come again. */
        lsqi_base_release(base);
        return st;
    }
    base->meta.applied = next;
    base->meta.checksum = sum;
    base->meta.pages = pages;
    if (base->meta.target <= next) {
        base->meta.target = next;
        base->meta.target_checksum = sum;
    }
    base->unmarked = 0;
    base->marked_at = now;
    return write_state(base, path, err);
}

enum lsq_status lsqi_base_mark_part(struct lsqi_base *base, const char *path, uint32_t pages,
                                    uint64_t version, bool must, struct lsq_error *err) {
    return lsqi_base_mark(base, path, 0, version, pages, must, err);
}

uint32_t lsqi_base_part(const struct lsqi_base *base) {
    bool part = base->fd >= 0 && base->meta.applied == 0 && base->meta.checksum != 0;

    return part ? (uint32_t)base->meta.pages : 0;
}

enum lsq_status lsqi_base_read(struct lsqi_base *base, const char *path, uint32_t number,
                               void *page, size_t size, struct lsq_error *err) {
    if (size == base->meta.page_size) return read_page(base, path, number, page, err);
    return lsqi_error_set(err, LSQ_CORRUPT, "what came beside %s is of other pages", path);
}

/* ---- Installing ---- */

static enum lsq_status damaged(struct lsq_error *err, const char *why) {
    return lsqi_error_set(err, LSQ_CORRUPT, "what the server sent is no database: %s", why);
}

/* The header by https://sqlite.org/fileformat2.html, 1.3: that it is one, of pages of that size. It is made one in WAL
 * mode, which the replica is. */
static enum lsq_status check_first(struct lsqi_base *base, const char *path, unsigned char *page,
                                   struct lsq_error *err) {
    enum { PAGE_SIZE = 16, VERSIONS = 18 };
    static const unsigned char wal[2] = {2, 2};
    enum lsq_status st = read_page(base, path, 1, page, err);
    uint32_t page_size;

    if (st != LSQ_OK) return st;
    if (memcmp(page, "SQLite format 3", 16) != 0) return damaged(err, "its header is none");
    page_size = (uint32_t)page[PAGE_SIZE] << 8 | page[PAGE_SIZE + 1];
    if (page_size == 1) page_size = LSQI_MOST_PAGE;
    if (page_size != base->meta.page_size) return damaged(err, "its pages have another size");
    if (memcmp(page + VERSIONS, wal, sizeof(wal)) == 0) return LSQ_OK;
    memcpy(page + VERSIONS, wal, sizeof(wal));
    return write_page(base, path, 1, page, err);
}

static enum lsq_status check_header(struct lsqi_base *base, const char *path,
                                    struct lsq_error *err) {
    unsigned char *page;
    struct stat file;
    enum lsq_status st;

    if (base->meta.page_size == 0 || fstat(base->fd, &file) != 0 ||
        file.st_size < (off_t)base->meta.page_size)
        return damaged(err, "it has no page");
    page = lsqi_malloc(base->meta.page_size);
    if (page == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a page");
    st = check_first(base, path, page, err);
    lsqi_free(page);
    return st;
}

static enum lsq_status check(struct lsqi_base *base, const char *path, struct lsq_error *err) {
    int64_t size = (int64_t)base->meta.pages * base->meta.page_size;
    char name[LSQI_DISK_NAME];
    uint64_t inode = 0;
    struct stat st;
    enum lsq_status result = check_header(base, path, err);

    if (result != LSQ_OK) return result;
    if (fstat(base->fd, &st) != 0 || (int64_t)st.st_size < size)
        return damaged(err, "pages are missing");
    lsqi_disk_beside(name, path, INCOMING);
    if (lsqi_disk_size(name, &inode) < 0 || inode != base->meta.inode)
        return damaged(err, "somebody has taken it away");
    if (ftruncate(base->fd, size) != 0 || fsync(base->fd) != 0)
        return lsqi_disk_failed(err, "sync what came beside", path);
    result = lsqi_apply_check(name, base->key, &base->meta.mark, err);
    lsqi_disk_remove(path, INCOMING "-wal");
    lsqi_disk_remove(path, INCOMING "-shm");
    return result;
}

enum lsq_status lsqi_base_installed(const char *path, const struct lsqi_key *key,
                                    struct lsqi_meta *meta, struct lsq_error *err) {
    char name[LSQI_DISK_NAME];
    enum lsq_status st;

    meta->state = LSQI_META_READY;
    lsqi_disk_beside(name, path, "-replica");
    st = lsqi_meta_write(meta, name, key, LSQI_META_DURABLE, err);
    if (st == LSQ_OK) lsqi_disk_remove(path, STATE);
    return st;
}

/* Where a file has come into its place meanwhile, that one is somebody's. */
static bool put_in_place(const char *from, const char *to) {
#ifdef RENAME_NOREPLACE
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS) return false;
#endif
    if (access(to, F_OK) == 0) errno = EEXIST;
    return access(to, F_OK) != 0 && rename(from, to) == 0;
}

/* The metadata say first what is going to be: so that a break leaves no file of which nothing is known. */
enum lsq_status lsqi_base_install(struct lsqi_base *base, const char *path, struct lsqi_meta *meta,
                                  struct lsq_error *err) {
    struct lsqi_meta mine;
    char from[LSQI_DISK_NAME];
    char name[LSQI_DISK_NAME];
    enum lsq_status st = check(base, path, err);

    if (st != LSQ_OK) {
        if (st == LSQ_CORRUPT || st == LSQ_NOT_A_DATABASE) lsqi_base_discard(base, path);
        return st;
    }
    /* Before anything is written or removed that would be about it. */
    if (lsqi_disk_size(path, NULL) >= 0)
        return lsqi_error_set(err, LSQ_NOT_A_REPLICA, "%s has come into being meanwhile", path);
    mine = base->meta;
    mine.state = LSQI_META_INSTALLING;
    lsqi_disk_beside(name, path, "-replica");
    st = lsqi_meta_create(&mine, name, base->key, err);
    if (st != LSQ_OK) return st;
    /* What an older file left: its WAL would be taken for the new one's. */
    lsqi_disk_remove(path, "-wal");
    lsqi_disk_remove(path, "-shm");
    lsqi_disk_remove(path, "-journal");
    lsqi_disk_beside(from, path, INCOMING);
    if (!put_in_place(from, path))
        return lsqi_disk_failed(err, "put the replica in its place,", path);
    *meta = mine;
    st = lsqi_disk_sync_folder(path, err);
    lsqi_base_release(base);
    return st == LSQ_OK ? lsqi_base_installed(path, base->key, meta, err) : st;
}
