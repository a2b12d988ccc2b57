#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "conn/conn.h"
#include "engine/engine.h"
#include "engine/failure.h"

/* Settings that a database decides itself: another value than asked for is a notice, no error. */
static const char *const decided_by_database[] = {
    "auto_vacuum", "encoding", "journal_mode", "locking_mode", "mmap_size", "page_size",
};

/* Settings that each database has for itself. */
static const char *const of_each_database[] = {
    "auto_vacuum",        "cache_size",    "cache_spill",    "journal_mode",
    "journal_size_limit", "locking_mode",  "max_page_count", "mmap_size",
    "page_size",          "secure_delete", "synchronous",
};

/* Words that PRAGMAs take for numbers. */
static const struct {
    const char *word;
    const char *number;
    const char *only_for; /* NULL: any setting */
} words[] = {
    {"on", "1", NULL},
    {"yes", "1", NULL},
    {"true", "1", NULL},
    {"off", "0", NULL},
    {"no", "0", NULL},
    {"false", "0", NULL},
    {"normal", "1", "synchronous"},
    {"full", "2", "synchronous"},
    {"extra", "3", "synchronous"},
    {"default", "0", "temp_store"},
    {"file", "1", "temp_store"},
    {"memory", "2", "temp_store"},
    {"none", "0", "auto_vacuum"},
    {"full", "1", "auto_vacuum"},
    {"incremental", "2", "auto_vacuum"},
    {"fast", "2", "secure_delete"},
};

static const char *as_number(const char *name, const char *value) {
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (words[i].only_for != NULL && sqlite3_stricmp(words[i].only_for, name) != 0) continue;
        if (sqlite3_stricmp(words[i].word, value) == 0) return words[i].number;
    }
    return value;
}

static bool same_value(const char *name, const char *asked, const char *got) {
    char *asked_end;
    char *got_end;
    long long a;
    long long b;

    asked = as_number(name, asked);
    got = as_number(name, got);
    if (sqlite3_stricmp(asked, got) == 0) return true;
    a = strtoll(asked, &asked_end, 0);
    b = strtoll(got, &got_end, 0);
    return asked_end != asked && got_end != got && *asked_end == '\0' && *got_end == '\0' && a == b;
}

static bool listed(const char *const *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (sqlite3_stricmp(list[i], name) == 0) return true;
    }
    return false;
}

#define LISTED(list, name) listed(list, sizeof(list) / sizeof((list)[0]), name)

static bool valid_name(const char *name) {
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    return len > 0 && name[len] == '\0';
}

/* ---- One PRAGMA ---- */

/* Runs a PRAGMA and copies the first value of its first row to got, "" where there is none. */
static int run_pragma(struct lsq_conn *conn, char *text, char *got, size_t size) {
    sqlite3_stmt *stmt = NULL;
    int rc;

    got[0] = '\0';
    if (text == NULL) return SQLITE_NOMEM;
    rc = sqlite3_prepare_v2(conn->db, text, -1, &stmt, NULL);
    sqlite3_free(text);
    if (rc != SQLITE_OK) return rc;
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *value = (const char *)sqlite3_column_text(stmt, 0);

        if (value != NULL) lsqi_error_copy(got, size, value, strlen(value));
    }
    return sqlite3_finalize(stmt);
}

/* schema: of an attached database; NULL: of the connection, or of the main one. */
static int read_pragma(struct lsq_conn *conn, const char *schema, const char *name, char *got,
                       size_t size) {
    if (schema == NULL) return run_pragma(conn, sqlite3_mprintf("PRAGMA %s", name), got, size);
    return run_pragma(conn, sqlite3_mprintf("PRAGMA \"%w\".%s", schema, name), got, size);
}

static char *pragma_text(const char *schema, const struct lsqi_setting *setting) {
    if (schema == NULL) return sqlite3_mprintf("PRAGMA %s = %Q", setting->name, setting->value);
    return sqlite3_mprintf("PRAGMA \"%w\".%s = %Q", schema, setting->name, setting->value);
}

/* Setting the journal mode answers BUSY without asking the busy handler. */
static int write_pragma(struct lsq_conn *conn, const char *schema,
                        const struct lsqi_setting *setting, char *got, size_t size) {
    int64_t end = lsqi_now_ns() + (int64_t)conn->configured_busy_timeout * 1000000;
    int rc;

    for (;;) {
        rc = run_pragma(conn, pragma_text(schema, setting), got, size);
        if ((rc & 0xff) != SQLITE_BUSY || (conn->flags & LSQ_OPEN_NOWAIT) != 0) return rc;
        if (lsqi_now_ns() >= end) return rc;
        sqlite3_sleep(1);
    }
}

static bool known(struct lsq_conn *conn, const char *name) {
    char got[8];
    int rc = run_pragma(
        conn, sqlite3_mprintf("SELECT 1 FROM pragma_pragma_list WHERE name = lower(%Q)", name), got,
        sizeof(got));

    return rc != SQLITE_OK || got[0] != '\0';
}

/* How messages call a setting. */
static void full_name(const char *schema, const struct lsqi_setting *setting, char name[64]) {
    sqlite3_snprintf(64, name, "%s%s%s", schema == NULL ? "" : schema, schema == NULL ? "" : ".",
                     setting->name);
}

static enum lsq_status notice(struct lsq_conn *conn, const char *schema,
                              const struct lsqi_setting *setting, const char *got,
                              struct lsq_error *err) {
    struct lsq_notice *notices =
        lsqi_realloc(conn->notices, (conn->notice_count + 1) * sizeof(*notices));
    struct lsq_notice *one;

    if (notices == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a notice");
    conn->notices = notices;
    one = &notices[conn->notice_count++];
    full_name(schema, setting, one->name);
    lsqi_error_copy(one->asked, sizeof(one->asked), setting->value, strlen(setting->value));
    lsqi_error_copy(one->got, sizeof(one->got), got, strlen(got));
    return LSQ_OK;
}

static enum lsq_status refused(const char *schema, const struct lsqi_setting *setting,
                               const char *got, struct lsq_error *err) {
    char name[64];

    full_name(schema, setting, name);
    return lsqi_error_set(err, LSQ_SETTING, "the setting %s is %s and could not be made %s", name,
                          got, setting->value);
}

static enum lsq_status check_name(struct lsq_conn *conn, const struct lsqi_setting *setting,
                                  struct lsq_error *err) {
    if (!valid_name(setting->name))
        return lsqi_error_set(err, LSQ_SETTING, "a setting cannot be called \"%s\"", setting->name);
    if (!known(conn, setting->name))
        return lsqi_error_set(err, LSQ_SETTING, "the engine knows no setting \"%s\"",
                              setting->name);
    return LSQ_OK;
}

static enum lsq_status apply(struct lsq_conn *conn, const char *schema,
                             const struct lsqi_setting *setting, struct lsq_error *err) {
    bool decides = LISTED(decided_by_database, setting->name);
    enum lsq_status st = check_name(conn, setting, err);
    char got[64];
    int rc;

    if (st != LSQ_OK) return st;
    if (decides) { /* what a file has already is left alone: setting it would take locks */
        rc = read_pragma(conn, schema, setting->name, got, sizeof(got));
        if (rc != SQLITE_OK) return lsqi_failure_set(err, conn->db, rc);
        if (same_value(setting->name, setting->value, got)) return LSQ_OK;
    }
    rc = write_pragma(conn, schema, setting, got, sizeof(got));
    if (rc != SQLITE_OK && !(decides && (rc & 0xff) == SQLITE_READONLY))
        return lsqi_failure_set(err, conn->db, rc);
    rc = read_pragma(conn, schema, setting->name, got, sizeof(got));
    if (rc != SQLITE_OK) return lsqi_failure_set(err, conn->db, rc);
    if (got[0] == '\0' || same_value(setting->name, setting->value, got)) return LSQ_OK;
    if (decides) return notice(conn, schema, setting, got, err);
    return refused(schema, setting, got, err);
}

/* ---- All of them ---- */

enum lsq_status lsqi_settings_copy(struct lsq_conn *conn, const struct lsq_config *cfg) {
    conn->settings = lsqi_calloc(cfg->setting_count + 1, sizeof(*conn->settings));
    if (conn->settings == NULL) return LSQ_NOMEM;
    for (size_t i = 0; i < cfg->setting_count; i++) {
        const struct lsq_setting *from = &cfg->settings[i];
        struct lsqi_setting *to = &conn->settings[i];

        if (from->name == NULL || from->value == NULL) return LSQ_BAD_ARGUMENT;
        conn->setting_count = i + 1;
        to->name = lsqi_strndup(from->name, strlen(from->name));
        to->value = lsqi_strndup(from->value, strlen(from->value));
        if (to->name == NULL || to->value == NULL) return LSQ_NOMEM;
    }
    return LSQ_OK;
}

void lsqi_settings_release(struct lsq_conn *conn) {
    for (size_t i = 0; i < conn->setting_count; i++) {
        lsqi_free(conn->settings[i].name);
        lsqi_free(conn->settings[i].value);
    }
    lsqi_free(conn->settings);
    lsqi_free(conn->notices);
    conn->settings = NULL;
    conn->setting_count = 0;
    conn->notices = NULL;
    conn->notice_count = 0;
}

static bool in_wal_mode(struct lsq_conn *conn, const char *schema) {
    char got[16];

    return read_pragma(conn, schema, "journal_mode", got, sizeof(got)) == SQLITE_OK &&
           strcmp(got, "wal") == 0;
}

static bool is_private(struct lsq_conn *conn, const char *schema) {
    const char *file = sqlite3_db_filename(conn->db, schema);
    sqlite3_vfs *vfs = NULL;

    /* memdb names its files; a private database has none. A temporary file has none either, and
     * only its connection uses it: it takes no locks. */
    if (file != NULL && file[0] != '\0') return false;
    return sqlite3_file_control(conn->db, schema, SQLITE_FCNTL_VFS_POINTER, &vfs) != SQLITE_OK ||
           vfs == NULL || strcmp(vfs->zName, "memdb") != 0;
}

void lsqi_settings_look(struct lsq_conn *conn) {
    const char *name;

    char got[16];

    conn->query_only = read_pragma(conn, NULL, "query_only", got, sizeof(got)) == SQLITE_OK &&
                       strcmp(got, "1") == 0;
    conn->wal = in_wal_mode(conn, "main");
    conn->calm = conn->wal || is_private(conn, "main");
    for (int i = 2; conn->calm && (name = sqlite3_db_name(conn->db, i)) != NULL; i++)
        conn->calm = is_private(conn, name) || in_wal_mode(conn, name);
}

/* ---- PRAGMAs of our own ---- */

enum { AUTOCHECKPOINT = 1000 }; /* pages; the engine's default */

static bool is(const char *pragma, const char *name) {
    return pragma != NULL && sqlite3_stricmp(pragma, name) == 0;
}

bool lsqi_settings_own(const char *pragma) {
    return is(pragma, "busy_timeout") || is(pragma, "wal_autocheckpoint") ||
           is(pragma, "open_cursors");
}

const char *lsqi_settings_own_column(const char *pragma) {
    if (is(pragma, "busy_timeout")) return "timeout";
    return is(pragma, "open_cursors") ? "open_cursors" : "wal_autocheckpoint";
}

int lsqi_settings_own_value(struct lsq_conn *conn, const char *pragma) {
    if (is(pragma, "busy_timeout")) return atomic_load(&conn->busy_timeout);
    return is(pragma, "open_cursors") ? (int)atomic_load(&conn->open_cursors)
                                      : conn->autocheckpoint;
}

bool lsqi_settings_own_set(struct lsq_conn *conn, const char *pragma, const char *value) {
    long asked = strtol(value, NULL, 10);
    int number = asked < 0 ? 0 : asked > INT_MAX ? INT_MAX : (int)asked;

    if (!lsqi_settings_own(pragma)) return false;
    if (is(pragma, "busy_timeout"))
        atomic_store(&conn->busy_timeout, number);
    else if (is(pragma, "wal_autocheckpoint"))
        conn->autocheckpoint = number;
    return true;
}

/* ---- All of them, in their order ---- */

/* Before those of the main database, for there some act on all that is attached: when a page size is
 * set, no page may be written yet. */
static enum lsq_status apply_attached(struct lsq_conn *conn, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    for (size_t i = 0; i < conn->attached_count; i++)
        for (size_t j = 0; st == LSQ_OK && j < conn->setting_count; j++)
            if (LISTED(of_each_database, conn->settings[j].name))
                st = apply(conn, conn->attached[i].name, &conn->settings[j], err);
    return st;
}

static enum lsq_status apply_one(struct lsq_conn *conn, const struct lsqi_setting *setting,
                                 struct lsq_error *err) {
    if (lsqi_settings_own_set(conn, setting->name, setting->value)) return LSQ_OK;
    return apply(conn, NULL, setting, err);
}

enum lsq_status lsqi_settings_apply(struct lsq_conn *conn, struct lsq_error *err) {
    enum lsq_status st;

    conn->notice_count = 0;
    atomic_store(&conn->busy_timeout, conn->configured_busy_timeout);
    conn->autocheckpoint = AUTOCHECKPOINT;
    st = lsqi_call_install(conn, err);
    if (st == LSQ_OK) st = apply_attached(conn, err);
    for (size_t i = 0; st == LSQ_OK && i < conn->setting_count; i++)
        st = apply_one(conn, &conn->settings[i], err);
    if (st == LSQ_OK) lsqi_settings_look(conn);
    return st;
}
