#include "repl/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "engine/keysum.h"
#include "repl/disk.h"

enum {
    SLOTS = 3,
    BLOCK = 4096,
    MARK = LSQI_MARK_PAGES * (4 + 8),
    USED = 8 + 8 + 4 + 4 + 4 + 8 + 8 + 8 + 8 + 8 + 8 + 40 + 2 * MARK,
    PLACE = 4 + 8 + 4 + 4 + 8
};

/* An older one, without a place in the WAL, and that which is written: what does not know it takes it for torn, and not
 * for what it is not. */
static const char magic_short[8] = {'l', 's', 'q', 'r', 'e', 'p', 'l', '1'};
static const char magic[8] = {'l', 's', 'q', 'r', 'e', 'p', 'l', '2'};

/* ---- A slot ---- */

/* FNV-1a: against torn writes, not against people. */
static uint64_t sum(const unsigned char *data, size_t len) {
    uint64_t sum = 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++) sum = (sum ^ data[i]) * 0x100000001b3u;
    return sum;
}

static unsigned char *put(unsigned char *at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) at[i] = (unsigned char)(value >> (8 * i));
    return at + bytes;
}

static uint64_t get(const unsigned char **at, unsigned bytes) {
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)(*at)[i] << (8 * i);
    *at += bytes;
    return value;
}

static unsigned char *put_mark(unsigned char *at, const struct lsqi_mark *mark) {
    for (int i = 0; i < LSQI_MARK_PAGES; i++) {
        at = put(at, mark->of[i].page, 4);
        at = put(at, mark->of[i].sum, 8);
    }
    return at;
}

static void get_mark(const unsigned char **at, struct lsqi_mark *mark) {
    for (int i = 0; i < LSQI_MARK_PAGES; i++) {
        mark->of[i].page = (uint32_t)get(at, 4);
        mark->of[i].sum = get(at, 8);
    }
}

static unsigned char *put_place(unsigned char *at, const struct lsqi_meta *meta) {
    at = put(at, meta->beyond, 4);
    memcpy(at, meta->wal.salts, sizeof(meta->wal.salts));
    at = put(at + sizeof(meta->wal.salts), meta->wal.frames, 4);
    at = put(at, meta->tried, 4);
    return put(at, meta->target_checksum, 8);
}

static void get_place(const unsigned char *at, struct lsqi_meta *meta) {
    meta->beyond = (uint32_t)get(&at, 4);
    memcpy(meta->wal.salts, at, sizeof(meta->wal.salts));
    at += sizeof(meta->wal.salts);
    meta->wal.frames = (uint32_t)get(&at, 4);
    meta->tried = (uint32_t)get(&at, 4);
    meta->target_checksum = get(&at, 8);
}

static void encode(unsigned char *block, const struct lsqi_meta *meta) {
    unsigned char *at = block + sizeof(magic);

    memset(block, 0, BLOCK);
    memcpy(block, magic, sizeof(magic));
    at = put(at, meta->sequence, 8);
    at = put(at, meta->state, 4);
    at = put(at, meta->page_size, 4);
    at = put(at, meta->histories, 4);
    at = put(at, meta->inode, 8);
    at = put(at, meta->applied, 8);
    at = put(at, meta->target, 8);
    at = put(at, meta->pages, 8);
    at = put(at, meta->checksum, 8);
    at = put(at, meta->key_mark, 8);
    memcpy(at, meta->log_id, sizeof(meta->log_id));
    at = put_mark(at + sizeof(meta->log_id), &meta->mark);
    at = put_mark(at, &meta->coming);
    at = put_place(at, meta);
    (void)put(at, sum(block, (size_t)(at - block)), 8);
}

static bool decode(const unsigned char *block, struct lsqi_meta *meta) {
    bool placed = memcmp(block, magic, sizeof(magic)) == 0;
    size_t used = placed ? USED + PLACE : USED;
    const unsigned char *at = block + used;

    if (!placed && memcmp(block, magic_short, sizeof(magic)) != 0) return false;
    if (get(&at, 8) != sum(block, used)) return false;
    *meta = (struct lsqi_meta){.beyond = LSQI_META_UNPLACED};
    at = block + sizeof(magic);
    meta->sequence = get(&at, 8);
    meta->state = (uint32_t)get(&at, 4);
    meta->page_size = (uint32_t)get(&at, 4);
    meta->histories = (uint32_t)get(&at, 4);
    meta->inode = get(&at, 8);
    meta->applied = get(&at, 8);
    meta->target = get(&at, 8);
    meta->pages = get(&at, 8);
    meta->checksum = get(&at, 8);
    meta->key_mark = get(&at, 8);
    memcpy(meta->log_id, at, sizeof(meta->log_id));
    at += sizeof(meta->log_id);
    get_mark(&at, &meta->mark);
    get_mark(&at, &meta->coming);
    if (placed) get_place(at, meta);
    return meta->beyond <= LSQI_META_LOCAL_FIRM && meta->log_id[sizeof(meta->log_id) - 1] == '\0' &&
           meta->applied <= meta->target && meta->state >= LSQI_META_READY &&
           meta->state <= LSQI_META_DISCARD;
}

/* And back. */
static void veil(struct lsqi_meta *meta, const struct lsqi_key *key) {
    meta->checksum = lsqi_key_veil(key, meta->applied, meta->checksum);
    meta->target_checksum = lsqi_key_veil(key, meta->target, meta->target_checksum);
}

/* ---- The file ---- */

enum lsq_status lsqi_meta_read(struct lsqi_meta *meta, const char *path, const struct lsqi_key *key,
                               struct lsq_error *err) {
    unsigned char block[BLOCK];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct lsqi_meta found;
    bool any = false;
    ssize_t n = 0;

    if (fd < 0 && errno == ENOENT) return LSQ_NO_ROW;
    if (fd < 0) return lsqi_disk_failed(err, "open", path);
    for (int i = 0; i < SLOTS && n >= 0; i++) {
        n = pread(fd, block, BLOCK, (off_t)i * BLOCK);
        if (n != BLOCK || !decode(block, &found)) continue;
        if (!any || found.sequence > meta->sequence) *meta = found;
        any = true;
    }
    close(fd);
    if (n < 0) return lsqi_disk_failed(err, "read", path);
    if (any) veil(meta, key);
    if (any) return LSQ_OK;
    return lsqi_error_set(err, LSQ_CORRUPT, "the replica's metadata %s is torn", path);
}

static bool write_slot(int fd, const struct lsqi_meta *meta, const struct lsqi_key *key) {
    struct lsqi_meta veiled = *meta;
    unsigned char block[BLOCK];

    veil(&veiled, key);
    encode(block, &veiled);
    return lsqi_disk_write(fd, block, BLOCK, (int64_t)(meta->sequence % SLOTS) * BLOCK);
}

enum lsq_status lsqi_meta_create(struct lsqi_meta *meta, const char *path,
                                 const struct lsqi_key *key, struct lsq_error *err) {
    char temporary[LSQI_DISK_NAME];
    bool ok;
    int fd;

    (void)snprintf(temporary, sizeof(temporary), "%s.new", path);
    fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return lsqi_disk_failed(err, "create", temporary);
    meta->sequence = 1;
    ok = write_slot(fd, meta, key) && ftruncate(fd, (off_t)SLOTS * BLOCK) == 0 && fsync(fd) == 0;
    close(fd);
    if (!ok || rename(temporary, path) != 0) return lsqi_disk_failed(err, "write", path);
    return lsqi_disk_sync_folder(path, err);
}

enum lsq_status lsqi_meta_write(struct lsqi_meta *meta, const char *path,
                                const struct lsqi_key *key, enum lsqi_meta_write how,
                                struct lsq_error *err) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0) return lsqi_disk_failed(err, "open", path);
    meta->sequence++;
    ok = write_slot(fd, meta, key) && (how == LSQI_META_LAZY || fdatasync(fd) == 0);
    if (!ok) (void)lsqi_disk_failed(err, "write", path);
    close(fd);
    return ok ? LSQ_OK : LSQ_IO;
}
