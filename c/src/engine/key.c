#include "engine/key.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "engine/failure.h"

enum { LONGEST_KEY = 4096 };

struct lsqi_sealed {
    sqlite3 *db;
    sqlite3_file *file; /* the connection's */
    uint32_t page_size;
};

/* ---- What the engine gives ---- */

#ifdef LSQ_ENGINE_SYSTEM

static int give(sqlite3 *db, const void *key, int len) {
    (void)db, (void)key, (void)len;
    return SQLITE_NOTFOUND;
}

static void derive(struct lsqi_key *key) { key->mark = 1; }

#else

/* Of SQLite3MultipleCiphers, and of libSQL's part of it. */
int sqlite3_key(sqlite3 *db, const void *key, int len);
void libsql_generate_aes256_key(char *password, int len, char *digest);

static int give(sqlite3 *db, const void *key, int len) { return sqlite3_key(db, key, len); }

/* The mark is what anybody may see of the second digest, the secret another part of it. */
static void derive(struct lsqi_key *key) {
    enum { DIGEST = 32 };
    char digest[DIGEST];
    char of_digest[DIGEST];

    libsql_generate_aes256_key(key->bytes, (int)key->len, digest);
    libsql_generate_aes256_key(digest, DIGEST, of_digest);
    memcpy(&key->mark, of_digest, sizeof(key->mark));
    memcpy(key->secret, of_digest + sizeof(key->mark), sizeof(key->secret));
    explicit_bzero(digest, sizeof(digest));
    explicit_bzero(of_digest, sizeof(of_digest));
    if (key->mark == 0) key->mark = 1;
}

#endif

/* ---- Keys ---- */

static enum lsq_status check(const void *bytes, size_t len, struct lsq_error *err) {
    if (bytes == NULL)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                              "the encryption key is NULL, and has a length");
    if (len > 0 && len <= LONGEST_KEY) return LSQ_OK;
    return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "an encryption key has from 1 to %d bytes",
                          (int)LONGEST_KEY);
}

enum lsq_status lsqi_key_copy(struct lsqi_key *key, const void *bytes, size_t len,
                              struct lsq_error *err) {
    enum lsq_status st;

    *key = (struct lsqi_key){.bytes = NULL};
    if (bytes == NULL && len == 0) return LSQ_OK;
    st = check(bytes, len, err);
    if (st != LSQ_OK) return st;
    key->bytes = lsqi_malloc(len);
    if (key->bytes == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a key");
    memcpy(key->bytes, bytes, len);
    key->len = len;
    derive(key);
    return LSQ_OK;
}

void lsqi_key_release(struct lsqi_key *key) {
    if (key->bytes != NULL) explicit_bzero(key->bytes, key->len);
    explicit_bzero(key->secret, sizeof(key->secret));
    lsqi_free(key->bytes);
    *key = (struct lsqi_key){.bytes = NULL};
}

enum lsq_status lsqi_key_give(sqlite3 *db, const void *bytes, size_t len, struct lsq_error *err) {
    enum lsq_status st;
    int rc;

    if (bytes == NULL && len == 0) return LSQ_OK;
    st = check(bytes, len, err);
    if (st != LSQ_OK) return st;
    rc = give(db, bytes, (int)len);
    if (rc == SQLITE_NOTFOUND)
        return lsqi_error_set(err, LSQ_UNSUPPORTED, "this build's engine has no encryption");
    return rc == SQLITE_OK ? LSQ_OK : lsqi_failure_set(err, db, rc);
}

/* ---- Sealed files ---- */

/* The codec takes its page size from the connection, which has not read the file. */
static int set_page_size(sqlite3 *db, uint32_t page_size) {
    char *sql = sqlite3_mprintf("PRAGMA page_size=%u", (unsigned)page_size);
    int rc = sql == NULL ? SQLITE_NOMEM : sqlite3_exec(db, sql, NULL, NULL, NULL);

    sqlite3_free(sql);
    return rc;
}

static enum lsq_status set_up(struct lsqi_sealed *sealed, const struct lsqi_key *key,
                              struct lsq_error *err) {
    enum lsq_status st = lsqi_key_give(sealed->db, key->bytes, key->len, err);
    int rc = SQLITE_OK;

    if (st != LSQ_OK) return st;
    rc = set_page_size(sealed->db, sealed->page_size);
    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(sealed->db, "main", SQLITE_FCNTL_FILE_POINTER, &sealed->file);
    return rc == SQLITE_OK ? LSQ_OK : lsqi_failure_set(err, sealed->db, rc);
}

enum lsq_status lsqi_sealed_open(struct lsqi_sealed **out, const char *path,
                                 const struct lsqi_key *key, uint32_t page_size,
                                 struct lsq_error *err) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    struct lsqi_sealed *sealed = lsqi_calloc(1, sizeof(*sealed));
    enum lsq_status st;
    int rc;

    if (sealed == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a file");
    sealed->page_size = page_size;
    rc = sqlite3_open_v2(path, &sealed->db, flags, NULL);
    st = rc == SQLITE_OK ? set_up(sealed, key, err) : lsqi_failure_set(err, sealed->db, rc);
    if (st == LSQ_OK)
        *out = sealed;
    else
        lsqi_sealed_close(sealed);
    return st;
}

void lsqi_sealed_close(struct lsqi_sealed *sealed) {
    if (sealed == NULL) return;
    (void)sqlite3_close(sealed->db);
    lsqi_free(sealed);
}

static sqlite3_int64 place_of(const struct lsqi_sealed *sealed, uint32_t number) {
    return (sqlite3_int64)(number - 1) * sealed->page_size;
}

enum lsq_status lsqi_sealed_write(struct lsqi_sealed *sealed, uint32_t number, const void *page,
                                  struct lsq_error *err) {
    int rc = sealed->file->pMethods->xWrite(sealed->file, page, (int)sealed->page_size,
                                            place_of(sealed, number));

    return rc == SQLITE_OK ? LSQ_OK
                           : lsqi_failure_told(err, rc, "a page could not be written encrypted");
}

enum lsq_status lsqi_sealed_read(struct lsqi_sealed *sealed, uint32_t number, void *page,
                                 struct lsq_error *err) {
    int rc = sealed->file->pMethods->xRead(sealed->file, page, (int)sealed->page_size,
                                           place_of(sealed, number));

    return rc == SQLITE_OK
               ? LSQ_OK
               : lsqi_failure_told(err, rc, "a page could not be read where it is encrypted");
}
