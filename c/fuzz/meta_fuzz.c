/* meta_fuzz.c - what reads a replica's metadata, for libFuzzer (`make fuzz`); a test feeds it the corpus, too.
 *
 * Each input is taken for the file as it lies on the disk, which must be read or refused; and for what is to be written,
 * which is read as it was written, and refused where a bit of it is another. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "repl/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOCK = 4096, SLOTS = 3 };

/* Process-wide: a file in memory, and its name. */
static int file = -1;
static char file_name[64];

static void put(const void *data, size_t size) {
    if (file < 0) file = memfd_create("meta", MFD_CLOEXEC);
    (void)snprintf(file_name, sizeof(file_name), "/proc/self/fd/%d", file);
    if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
}

static void expect_sound(const struct lsqi_meta *meta) {
    if (meta->applied > meta->target || memchr(meta->log_id, 0, sizeof(meta->log_id)) == NULL)
        abort();
    if (meta->state < LSQI_META_READY || meta->state > LSQI_META_DISCARD) abort();
}

static void read_whatever(const uint8_t *data, size_t size) {
    struct lsqi_meta meta;
    enum lsq_status st;

    put(data, size);
    st = lsqi_meta_read(&meta, file_name, NULL, NULL);
    if (st == LSQ_OK)
        expect_sound(&meta);
    else if (st != LSQ_CORRUPT)
        abort();
}

static struct lsqi_meta meta_of(const uint8_t *data, size_t size) {
    struct lsqi_meta meta;
    uint64_t last;

    memset(&meta, 0, sizeof(meta));
    memcpy(&meta, data, size < sizeof(meta) ? size : sizeof(meta));
    meta.state = LSQI_META_READY + meta.state % 3;
    meta.beyond %= LSQI_META_LOCAL_FIRM + 1;
    if (meta.beyond == LSQI_META_UNPLACED) {
        memset(&meta.wal, 0, sizeof(meta.wal));
        meta.tried = 0;
        meta.target_checksum = 0;
    }
    if (meta.applied > meta.target) {
        last = meta.applied;
        meta.applied = meta.target;
        meta.target = last;
    }
    meta.log_id[sizeof(meta.log_id) - 1] = '\0';
    return meta;
}

/* Field by field: there are gaps between them. */
static bool same(const struct lsqi_meta *a, const struct lsqi_meta *b) {
    for (int i = 0; i < LSQI_MARK_PAGES; i++)
        if (a->mark.of[i].page != b->mark.of[i].page || a->mark.of[i].sum != b->mark.of[i].sum ||
            a->coming.of[i].page != b->coming.of[i].page ||
            a->coming.of[i].sum != b->coming.of[i].sum)
            return false;
    return a->sequence == b->sequence && a->state == b->state && a->page_size == b->page_size &&
           a->histories == b->histories && a->inode == b->inode && a->applied == b->applied &&
           a->target == b->target && a->pages == b->pages && a->checksum == b->checksum &&
           a->key_mark == b->key_mark && a->beyond == b->beyond && a->wal.frames == b->wal.frames &&
           a->tried == b->tried && a->target_checksum == b->target_checksum &&
           memcmp(a->wal.salts, b->wal.salts, sizeof(a->wal.salts)) == 0 &&
           memcmp(a->log_id, b->log_id, sizeof(a->log_id)) == 0;
}

static void write_and_read(const uint8_t *data, size_t size) {
    struct lsqi_meta meta = meta_of(data, size);
    struct lsqi_meta found;
    unsigned char byte;
    off_t at;

    put("", 0);
    if (ftruncate(file, SLOTS * BLOCK) != 0) abort();
    if (lsqi_meta_write(&meta, file_name, NULL, LSQI_META_LAZY, NULL) != LSQ_OK) abort();
    if (lsqi_meta_read(&found, file_name, NULL, NULL) != LSQ_OK || !same(&meta, &found)) abort();
    /* One bit of the slot, wherever it counts. */
    at = (off_t)(meta.sequence % SLOTS) * BLOCK + (size > 0 ? data[size - 1] % 100 : 0);
    if (pread(file, &byte, 1, at) != 1) abort();
    byte ^= (unsigned char)(1 << (size % 8));
    if (pwrite(file, &byte, 1, at) != 1) abort();
    if (lsqi_meta_read(&found, file_name, NULL, NULL) != LSQ_CORRUPT) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_whatever(data, size);
    write_and_read(data, size);
    return 0;
}
