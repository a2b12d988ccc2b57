/* The files that a connection may write to, and whose lines it stands in for that: its main database's, and
 * those that are attached. The same file by two names is there once. */
#include "base/alloc.h"
#include "conn/conn.h"

/* ---- The set: never changed, but replaced where databases are attached or detached ---- */

void lsqi_files_unref(struct lsqi_files *files) {
    if (files == NULL || atomic_fetch_sub(&files->refs, 1) != 1) return;
    for (unsigned i = 0; i < files->count; i++) lsqi_file_unref(files->of[i].file);
    lsqi_free(files);
}

struct lsqi_files *lsqi_files_get(struct lsq_conn *conn) {
    struct lsqi_files *files;

    pthread_mutex_lock(&conn->gate.lock);
    files = conn->files;
    if (files != NULL) atomic_fetch_add(&files->refs, 1);
    pthread_mutex_unlock(&conn->gate.lock);
    return files;
}

void lsqi_files_lanes(const struct lsqi_files *files, unsigned which, struct lsqi_lanes *lanes) {
    lanes->count = 0;
    for (unsigned i = 0; i < files->count; i++)
        if ((which & 1u << i) != 0) lanes->of[lanes->count++] = lsqi_file_lane(files->of[i].file);
}

unsigned lsqi_files_of(const struct lsqi_files *files, unsigned databases) {
    unsigned which = 0;

    for (unsigned i = 0; i < files->count; i++)
        if ((files->of[i].databases & databases) != 0) which |= 1u << i;
    return which;
}

/* ---- Looking ---- */

/* Takes file, which lsqi_file_get() gave. */
static void add(struct lsqi_files *files, struct lsqi_file *file, int database) {
    for (unsigned i = 0; i < files->count; i++) {
        if (files->of[i].file != file) continue;
        files->of[i].databases |= 1u << database;
        lsqi_file_leave(file);
        lsqi_file_unref(file);
        return;
    }
    files->of[files->count].file = file;
    files->of[files->count++].databases = 1u << database;
}

static struct lsqi_files *files_now(struct lsq_conn *conn) {
    struct lsqi_files *files = lsqi_calloc(1, sizeof(*files));
    const char *name;

    if (files == NULL) return NULL;
    atomic_init(&files->refs, 1);
    atomic_init(&files->wanted, 0);
    for (int i = 0; i < LSQI_MOST_LANES && (name = sqlite3_db_name(conn->db, i)) != NULL; i++) {
        struct lsqi_file *file = NULL;

        if (i == 0 || sqlite3_db_readonly(conn->db, name) == 0)
            file = lsqi_file_get(conn->db, name);
        if (file != NULL) add(files, file, i);
    }
    return files;
}

static void leave(const struct lsqi_files *files) {
    for (unsigned i = 0; files != NULL && i < files->count; i++) lsqi_file_leave(files->of[i].file);
}

/* Which of the new ones the connection has the turn of. */
static unsigned held_of(const struct lsqi_files *files, const struct lsqi_files *before,
                        unsigned held) {
    unsigned which = 0;

    for (unsigned i = 0; before != NULL && i < before->count; i++)
        for (unsigned j = 0; (held & 1u << i) != 0 && j < files->count; j++)
            if (files->of[j].file == before->of[i].file) which |= 1u << j;
    return which;
}

void lsqi_files_look(struct lsq_conn *conn) {
    struct lsqi_files *before = conn->files;
    struct lsqi_files *files;

    lsqi_cache_drop_begins(&conn->cache);
    /* What it still writes to cannot be detached. */
    if (conn->held != 0) lsqi_turn_look(conn);
    files = files_now(conn);
    if (files == NULL) return; /* no memory: what is new has no line */
    pthread_mutex_lock(&conn->gate.lock);
    conn->files = files;
    pthread_mutex_unlock(&conn->gate.lock);
    conn->held = held_of(files, before, conn->held);
    leave(before);
    lsqi_files_unref(before);
}

void lsqi_files_leave(struct lsq_conn *conn) { leave(conn->files); }
