/* Databases that the configuration attaches: settings as others, found in their place again after a
 * reset, whatever SQL has done to them. */
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/utf8.h"
#include "conn/conn.h"
#include "engine/failure.h"

enum { MOST_ATTACHED = 1000, LONGEST_NAME = 40 }; /* the engine has a limit of its own */

/* ---- The configuration ---- */

static bool valid_name(const char *name) {
    size_t len = strlen(name);

    return len > 0 && len <= LONGEST_NAME && lsqi_utf8_valid(name, len) &&
           sqlite3_stricmp(name, "main") != 0 && sqlite3_stricmp(name, "temp") != 0;
}

enum lsq_status lsqi_attached_check(const struct lsq_config *cfg, struct lsq_error *err) {
    const struct lsq_attached *list = cfg->attached;

    if (cfg->attached_count > 0 && list == NULL)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the databases to attach are NULL");
    if (cfg->attached_count > MOST_ATTACHED)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "too many databases to attach");
    for (size_t i = 0; i < cfg->attached_count; i++) {
        if (list[i].name == NULL || list[i].path == NULL)
            return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                                  "a database to attach has no name or no path");
        if (!valid_name(list[i].name))
            return lsqi_error_set(
                err, LSQ_BAD_ARGUMENT,
                "a database cannot be attached as \"%s\": a name has from 1 to %d "
                "bytes of UTF-8, and is neither main nor temp",
                list[i].name, (int)LONGEST_NAME);
        for (size_t j = 0; j < i; j++)
            if (sqlite3_stricmp(list[i].name, list[j].name) == 0)
                return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                                      "two databases are to be attached as \"%s\"", list[i].name);
    }
    return LSQ_OK;
}

enum lsq_status lsqi_attached_copy(struct lsq_conn *conn, const struct lsq_config *cfg) {
    conn->attached = lsqi_calloc(cfg->attached_count + 1, sizeof(*conn->attached));
    if (conn->attached == NULL) return LSQ_NOMEM;
    for (size_t i = 0; i < cfg->attached_count; i++) {
        const struct lsq_attached *from = &cfg->attached[i];
        struct lsqi_attached *to = &conn->attached[i];

        conn->attached_count = i + 1;
        to->name = lsqi_strndup(from->name, strlen(from->name));
        to->path = lsqi_strndup(from->path, strlen(from->path));
        if (to->name == NULL || to->path == NULL) return LSQ_NOMEM;
    }
    return LSQ_OK;
}

void lsqi_attached_release(struct lsq_conn *conn) {
    for (size_t i = 0; i < conn->attached_count; i++) {
        lsqi_free(conn->attached[i].name);
        lsqi_free(conn->attached[i].path);
        lsqi_free(conn->attached[i].file);
    }
    lsqi_free(conn->attached);
    conn->attached = NULL;
    conn->attached_count = 0;
}

/* ---- Where a path leads ---- */

static bool in_memdb(struct lsq_conn *conn) {
    sqlite3_vfs *vfs = NULL;

    return sqlite3_file_control(conn->db, "main", SQLITE_FCNTL_VFS_POINTER, &vfs) == SQLITE_OK &&
           vfs != NULL && strcmp(vfs->zName, "memdb") == 0;
}

/* The path as a URI's: what would end it, or begin an escape, is escaped. */
static char *escape(const char *path) {
    sqlite3_str *text = sqlite3_str_new(NULL);

    for (; *path != '\0'; path++) {
        if (strchr("?#%", *path) != NULL)
            sqlite3_str_appendf(text, "%%%02X", (unsigned)(unsigned char)*path);
        else
            sqlite3_str_appendchar(text, 1, *path);
    }
    return sqlite3_str_finish(text); /* NULL: no memory, or nothing */
}

/* To be given to sqlite3_free(). The engine looks for a file where the main database lies; where that is
 * a shared one in memory, files would be in memory too. */
static char *path_for(struct lsq_conn *conn, const char *path) {
    char *memdb = lsqi_memdb_path(path);
    const char *files = sqlite3_vfs_find(NULL)->zName;
    char *escaped;
    char *uri;

    if (memdb != NULL) return memdb;
    if (path[0] == '\0' || strcmp(path, ":memory:") == 0 || !in_memdb(conn))
        return sqlite3_mprintf("%s", path);
    if (strncmp(path, "file:", 5) == 0) {
        if (strstr(path, "vfs=") != NULL) return sqlite3_mprintf("%s", path);
        return sqlite3_mprintf("%s%svfs=%s", path, strchr(path, '?') == NULL ? "?" : "&", files);
    }
    escaped = escape(path);
    if (escaped == NULL) return NULL;
    uri = sqlite3_mprintf("file:%s?vfs=%s", escaped, files);
    sqlite3_free(escaped);
    return uri;
}

/* Also by another name. Two connections of the engine's to one file would wait for each other. */
static bool same_file(const char *a, const char *b) {
    struct stat x;
    struct stat y;

    if (a[0] == '\0' || b[0] == '\0') return false;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static const char *file_of(struct lsq_conn *conn, const char *name) {
    const char *file = sqlite3_db_filename(conn->db, name);

    return file == NULL ? "" : file;
}

/* The database that has the file beside the one of that name; NULL: none. */
static const char *other_with(struct lsq_conn *conn, const char *name) {
    const char *other;

    for (int i = 0; (other = sqlite3_db_name(conn->db, i)) != NULL; i++)
        if (sqlite3_stricmp(other, name) != 0 &&
            same_file(file_of(conn, other), file_of(conn, name)))
            return other;
    return NULL;
}

/* ---- Attaching and detaching ---- */

/* What follows a server has that role alone. */
static enum lsq_status check_role(struct lsq_conn *conn, const char *name, struct lsq_error *err) {
    const char *file = file_of(conn, name);

    return file[0] == '\0' ? LSQ_OK : lsqi_replica_check_plain(file, err);
}

static int run_with(struct lsq_conn *conn, char *sql) {
    int rc = sql == NULL ? SQLITE_NOMEM : sqlite3_exec(conn->db, sql, NULL, NULL, NULL);

    sqlite3_free(sql);
    return rc;
}

static int detach(struct lsq_conn *conn, const char *name) {
    return run_with(conn, sqlite3_mprintf("DETACH \"%w\"", name));
}

static enum lsq_status not_attached(struct lsq_conn *conn, const struct lsqi_attached *one, int rc,
                                    struct lsq_error *err) {
    struct lsq_error cause;
    enum lsq_status st = lsqi_failure_set(&cause, conn->db, rc);

    if (st == LSQ_ERROR) st = LSQ_CANNOT_OPEN;
    lsqi_error_set(err, st, "cannot attach \"%s\" as \"%s\": %s", one->path, one->name,
                   cause.message);
    if (err != NULL) {
        err->engine_code = rc;
        err->transient = st == LSQ_BUSY;
    }
    return st;
}

static enum lsq_status attach(struct lsq_conn *conn, struct lsqi_attached *one,
                              struct lsq_error *err) {
    char *path = path_for(conn, one->path);
    const char *other;
    int rc = SQLITE_NOMEM;

    if (path != NULL) rc = run_with(conn, sqlite3_mprintf("ATTACH %Q AS \"%w\"", path, one->name));
    sqlite3_free(path);
    if (rc != SQLITE_OK) return not_attached(conn, one, rc, err);
    other = other_with(conn, one->name);
    if (other != NULL) {
        lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                       "cannot attach \"%s\" as \"%s\": it is the file of \"%s\" already",
                       one->path, one->name, other);
        (void)detach(conn, one->name);
        return LSQ_BAD_ARGUMENT;
    }
    if (check_role(conn, one->name, err) != LSQ_OK) {
        (void)detach(conn, one->name);
        return LSQ_ALREADY_OPEN;
    }
    lsqi_free(one->file);
    one->file = lsqi_strndup(file_of(conn, one->name), strlen(file_of(conn, one->name)));
    if (one->file == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a name");
    return LSQ_OK;
}

static bool in_place(struct lsq_conn *conn, const struct lsqi_attached *one) {
    const char *file = sqlite3_db_filename(conn->db, one->name);

    return file != NULL && one->file != NULL && strcmp(file, one->file) == 0;
}

static bool configured(struct lsq_conn *conn, const char *name) {
    for (size_t i = 0; i < conn->attached_count; i++)
        if (sqlite3_stricmp(conn->attached[i].name, name) == 0)
            return in_place(conn, &conn->attached[i]);
    return false;
}

static enum lsq_status detach_others(struct lsq_conn *conn, struct lsq_error *err) {
    const char *name;
    int i = 2; /* behind main and temp */

    while ((name = sqlite3_db_name(conn->db, i)) != NULL) {
        int rc;

        if (configured(conn, name)) {
            i++;
            continue;
        }
        rc = detach(conn, name); /* the next one comes in its place */
        if (rc != SQLITE_OK) return lsqi_failure_set(err, conn->db, rc);
    }
    return LSQ_OK;
}

/* The engine does not detach what the open transaction has touched. */
static void put_off(struct lsq_conn *conn, const char *name) {
    if (detach(conn, name) == SQLITE_OK) return;
    (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    (void)detach(conn, name);
}

enum lsq_status lsqi_attached_roles(struct lsq_conn *conn, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;
    const char *name;
    int i = 2; /* behind main and temp */

    while ((name = sqlite3_db_name(conn->db, i)) != NULL) {
        struct lsq_error why;

        if (check_role(conn, name, &why) == LSQ_OK) {
            i++;
            continue;
        }
        st = why.status;
        if (err != NULL) *err = why;
        put_off(conn, name);
        name = sqlite3_db_name(conn->db, i);
        if (name != NULL && check_role(conn, name, NULL) != LSQ_OK) i++; /* it would not go */
    }
    return st;
}

enum lsq_status lsqi_attached_restore(struct lsq_conn *conn, struct lsq_error *err) {
    enum lsq_status st = detach_others(conn, err);

    for (size_t i = 0; st == LSQ_OK && i < conn->attached_count; i++)
        if (!in_place(conn, &conn->attached[i])) st = attach(conn, &conn->attached[i], err);
    return st;
}
