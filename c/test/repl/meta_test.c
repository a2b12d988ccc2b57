/* A replica's metadata: what is durable is never lost, whatever a power cut leaves of what was not. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../fuzz/meta_fuzz.c"
#include "../support/answer.h"
#include "../support/db.h"

enum { SIZE = SLOTS * BLOCK };

static const char *path;

static void load(char *image) {
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0 && pread(fd, image, SIZE, 0) == SIZE);
    close(fd);
}

static void store(const char *image) {
    int fd = open(path, O_WRONLY);

    assert_true(fd >= 0 && pwrite(fd, image, SIZE, 0) == SIZE);
    close(fd);
}

/* Of what changed since it was last durable, each block is the old one, the new one, or a part of both. */
static void cut(char *image, const char *durable, uint64_t *seed) {
    for (int slot = 0; slot < SLOTS; slot++) {
        char *block = image + (size_t)slot * BLOCK;
        const char *old = durable + (size_t)slot * BLOCK;

        switch (random_next(seed) % 3) {
        case 0: memcpy(block, old, BLOCK); break;
        case 1: memcpy(block, old, (size_t)(random_next(seed) % 120)); break;
        default: break;
        }
    }
}

static void survives_power_cuts(void **state) {
    struct lsqi_meta meta = {.state = LSQI_META_READY, .log_id = "a-log"};
    struct lsqi_meta found;
    uint64_t seed = test_seed();
    uint64_t durable_sequence;
    static char durable[SIZE];
    static char now[SIZE];
    static char image[SIZE];

    (void)state;
    path = db_path();
    assert_int_equal(lsqi_meta_create(&meta, path, NULL, &last_error), LSQ_OK);
    durable_sequence = meta.sequence;
    load(durable);
    for (int i = 0; i < 3000; i++) {
        /* As an exchange writes: the target, durably, then what was applied, not so. */
        bool lazy = i % 2 == 1;

        if (lazy)
            meta.applied = meta.target;
        else
            meta.target += random_next(&seed) % 100 + 1;
        /* The cut comes while this is written. */
        assert_int_equal(lsqi_meta_write(&meta, path, NULL,
                                         lazy ? LSQI_META_LAZY : LSQI_META_DURABLE, &last_error),
                         LSQ_OK);
        load(now);
        memcpy(image, now, SIZE);
        cut(image, durable, &seed);
        store(image);
        assert_int_equal(lsqi_meta_read(&found, path, NULL, &last_error), LSQ_OK);
        assert_true(found.sequence >= durable_sequence && found.sequence <= meta.sequence);
        assert_true(found.applied <= meta.applied && found.target <= meta.target);
        if (found.sequence == meta.sequence)
            assert_true(found.applied == meta.applied && found.target == meta.target);
        store(now);
        if (lazy) continue;
        memcpy(durable, now, SIZE);
        durable_sequence = meta.sequence;
    }
}

static void tells_a_torn_file_from_none(void **state) {
    struct lsqi_meta meta = {.state = LSQI_META_READY, .log_id = "a-log", .inode = 77};
    struct lsqi_meta found;
    static char image[SIZE];

    (void)state;
    path = db_path();
    assert_int_equal(lsqi_meta_read(&found, path, NULL, &last_error), LSQ_NO_ROW);
    assert_int_equal(lsqi_meta_create(&meta, path, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsqi_meta_read(&found, path, NULL, &last_error), LSQ_OK);
    assert_true(found.inode == 77 && strcmp(found.log_id, "a-log") == 0);
    load(image);
    /* Any byte that counts. */
    for (size_t at = BLOCK; at < BLOCK + 110; at++) {
        image[at] ^= 1;
        store(image);
        assert_int_equal(lsqi_meta_read(&found, path, NULL, &last_error), LSQ_CORRUPT);
        image[at] ^= 1;
    }
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(lsqi_meta_read(&found, path, NULL, &last_error), LSQ_CORRUPT);
}

/* What the fuzzer knows, and a mutilated copy of each. */
static void reads_or_refuses_what_lies_there(void **state) {
    static const char *const names[] = {"ready", "torn", "one"};
    uint64_t seed = test_seed();

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char corpus[100];
        size_t len;
        char *data;

        snprintf(corpus, sizeof(corpus), "c/fuzz/corpus/meta/%s", names[i]);
        data = read_whole(corpus, &len);
        for (int round = 0; round < 300; round++) {
            (void)LLVMFuzzerTestOneInput((const uint8_t *)data, len);
            data[random_next(&seed) % len] = (char)random_next(&seed);
        }
        free(data);
    }
}

/* Of a file that is written to offline: what does not know such places must not take it for one without. */
static void keeps_a_place_in_the_wal(void **state) {
    const struct lsqi_wal_mark mark = {.salts = {1, 2, 3, 4, 5, 6, 7, 8}, .frames = 0x01020304};
    struct lsqi_meta meta = {
        .state = LSQI_META_READY, .log_id = "a-log", .applied = 3, .target = 3};
    struct lsqi_meta found;
    static char without[SIZE];
    static char image[SIZE];

    (void)state;
    path = db_path();
    assert_int_equal(lsqi_meta_create(&meta, path, NULL, &last_error), LSQ_OK);
    load(without);
    meta.beyond = LSQI_META_LOCAL_FIRM;
    meta.wal = mark;
    meta.tried = mark.frames + 3;
    meta.target_checksum = UINT64_C(0x1122334455667788);
    assert_int_equal(lsqi_meta_create(&meta, path, NULL, &last_error), LSQ_OK);
    assert_int_equal(lsqi_meta_read(&found, path, NULL, &last_error), LSQ_OK);
    assert_true(lsqi_meta_is_local(&found) && found.beyond == meta.beyond);
    assert_memory_equal(found.wal.salts, mark.salts, sizeof(mark.salts));
    assert_true(found.wal.frames == mark.frames && found.target_checksum == meta.target_checksum);
    assert_int_equal(found.tried, meta.tried);
    load(image);
    for (size_t at = BLOCK; at < BLOCK + 334; at++) {
        image[at] ^= 1;
        store(image);
        assert_int_equal(lsqi_meta_read(&found, path, NULL, &last_error), LSQ_CORRUPT);
        image[at] ^= 1;
    }
    meta.beyond = LSQI_META_UNPLACED;
    meta.wal = (struct lsqi_wal_mark){.frames = 0};
    meta.tried = 0;
    meta.target_checksum = 0;
    assert_int_equal(lsqi_meta_create(&meta, path, NULL, &last_error), LSQ_OK);
    load(image);
    assert_memory_equal(image, without, SIZE);
}

/* As it was before there were places in the WAL: shorter, with another word at its begin. */
static void reads_the_older_layout(void **state) {
    enum { USED = 308 };
    struct lsqi_meta meta = {
        .state = LSQI_META_READY, .log_id = "a-log", .applied = 3, .target = 3, .checksum = 77};
    uint64_t sum = 0xcbf29ce484222325u;
    struct lsqi_meta found;
    static char image[SIZE];
    char *block = image + BLOCK; /* of the first write */

    (void)state;
    path = db_path();
    assert_int_equal(lsqi_meta_create(&meta, path, NULL, &last_error), LSQ_OK);
    load(image);
    block[7] = '1';
    for (size_t i = 0; i < USED; i++) sum = (sum ^ (unsigned char)block[i]) * 0x100000001b3u;
    memset(block + USED, 0, BLOCK - USED);
    memcpy(block + USED, &sum, sizeof(sum));
    store(image);
    assert_int_equal(lsqi_meta_read(&found, path, NULL, &last_error), LSQ_OK);
    assert_true(found.applied == 3 && found.checksum == 77);
    assert_true(found.beyond == LSQI_META_UNPLACED && found.target_checksum == 0);
}

static bool has_bytes(const char *image, uint64_t value) {
    for (size_t at = 0; at + sizeof(value) <= SIZE; at++)
        if (memcmp(image + at, &value, sizeof(value)) == 0) return true;
    return false;
}

/* Who guesses what was encrypted is not told by a checksum that he is right. */
static void veils_checksums_of_what_is_encrypted(void **state) {
    static char image[SIZE];
    struct lsqi_key keys[2];
    struct lsq_core_info info;

    (void)state;
    assert_int_equal(lsq_core_info(&info, NULL), LSQ_OK);
    if (!info.encryption) skip();
    path = db_path();
    assert_int_equal(lsqi_key_copy(&keys[0], "one", 3, &last_error), LSQ_OK);
    assert_int_equal(lsqi_key_copy(&keys[1], "two", 3, &last_error), LSQ_OK);
    for (uint64_t i = 0; i < 4; i++) {
        const uint64_t sum = UINT64_C(0x0123456789abcdef) + i;
        struct lsqi_meta meta = {.state = LSQI_META_READY,
                                 .log_id = "a-log",
                                 .applied = 7 + i,
                                 .target = 9 + i,
                                 .beyond = LSQI_META_APPLIES,
                                 .checksum = sum,
                                 .target_checksum = i == 3 ? 0 : sum + 10};
        struct lsqi_meta found;

        assert_int_equal(lsqi_meta_create(&meta, path, &keys[0], &last_error), LSQ_OK);
        assert_true(meta.checksum == sum);
        load(image);
        assert_false(has_bytes(image, sum) || has_bytes(image, sum + 10));
        assert_int_equal(lsqi_meta_read(&found, path, &keys[0], &last_error), LSQ_OK);
        assert_true(found.checksum == sum && found.target_checksum == meta.target_checksum);
        assert_int_equal(lsqi_meta_read(&found, path, &keys[1], &last_error), LSQ_OK);
        assert_true(found.checksum != sum);
        assert_int_equal(lsqi_meta_create(&meta, path, NULL, &last_error), LSQ_OK);
        load(image);
        assert_true(has_bytes(image, sum));
    }
    lsqi_key_release(&keys[0]);
    lsqi_key_release(&keys[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(survives_power_cuts, db_forget),
        cmocka_unit_test_teardown(tells_a_torn_file_from_none, db_forget),
        cmocka_unit_test(reads_or_refuses_what_lies_there),
        cmocka_unit_test_teardown(keeps_a_place_in_the_wal, db_forget),
        cmocka_unit_test_teardown(reads_the_older_layout, db_forget),
        cmocka_unit_test_teardown(veils_checksums_of_what_is_encrypted, db_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
