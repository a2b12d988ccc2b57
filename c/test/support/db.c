#include "db.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FOLDERS = 64 };

struct lsq_error last_error;
static char folders[MAX_FOLDERS][64];
static int folder_count;
static char text[4096];

const char *db_path(void) {
    static char path[128];
    char *folder;

    assert_in_range(folder_count, 0, MAX_FOLDERS - 1);
    folder = folders[folder_count++];
    strcpy(folder, "/tmp/lsq-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/test.db", folder);
    return path;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int db_forget(void **state) {
    (void)state;
    while (folder_count > 0) nftw(folders[--folder_count], remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

struct lsq_config db_config(const char *path) {
    struct lsq_config cfg;

    lsq_config_init(&cfg);
    cfg.path = path;
    return cfg;
}

struct lsq_conn *db_open_as(const struct lsq_config *cfg) {
    struct lsq_conn *conn = NULL;

    if (lsq_conn_open(&conn, cfg, &last_error) != LSQ_OK) fail_msg("open: %s", last_error.message);
    return conn;
}

struct lsq_conn *db_open(const char *path) {
    struct lsq_config cfg = db_config(path == NULL ? db_path() : path);

    return db_open_as(&cfg);
}

enum lsq_status db_try(const struct lsq_config *cfg) {
    struct lsq_conn *conn = NULL;
    enum lsq_status st = lsq_conn_open(&conn, cfg, &last_error);

    if (st == LSQ_OK) db_close(conn);
    return st;
}

const char *db_file(struct lsq_conn *conn) {
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%.511s",
             ask_text(conn, "SELECT file FROM pragma_database_list WHERE name = 'main'"));
    return path;
}

static void post(void *arg) { sem_post(arg); }

void db_close(struct lsq_conn *conn) {
    sem_t closed;

    sem_init(&closed, 0, 0);
    lsq_conn_close(conn, post, &closed);
    while (sem_wait(&closed) != 0) continue;
    sem_destroy(&closed);
    lsq_conn_free(conn);
}

enum lsq_status exec(struct lsq_conn *conn, const char *sql, const struct lsq_params *params,
                     const struct lsq_call *call, struct lsq_reply *reply) {
    return lsq_exec(conn, sql, strlen(sql), params, call, NULL, NULL, reply, &last_error);
}

void expect(enum lsq_status status, struct lsq_conn *conn, const char *sql) {
    enum lsq_status st = exec(conn, sql, NULL, NULL, NULL);

    if (st == status) return;
    fail_msg("%s\n  answered %s (%s), not %s", sql, lsq_status_name(st),
             st == LSQ_OK ? "" : last_error.message, lsq_status_name(status));
}

static struct lsq_result *query(struct lsq_conn *conn, const char *sql) {
    struct lsq_result *res = NULL;

    if (lsq_query(&res, conn, sql, NULL, &last_error) != LSQ_OK)
        fail_msg("%s\n  answered %s", sql, last_error.message);
    return res;
}

int64_t ask(struct lsq_conn *conn, const char *sql) {
    struct lsq_result *res = query(conn, sql);
    int64_t value = lsq_result_int(res, 0, 0);

    lsq_result_free(res);
    return value;
}

const char *ask_text(struct lsq_conn *conn, const char *sql) {
    struct lsq_result *res = query(conn, sql);

    snprintf(text, sizeof(text), "%s", lsq_result_text(res, 0, 0));
    lsq_result_free(res);
    return text;
}

static size_t put_value(size_t at, struct lsq_value value) {
    char *to = text + at;
    size_t room = sizeof(text) - at;

    switch (value.type) {
    case LSQ_TYPE_NULL: return (size_t)snprintf(to, room, "null");
    case LSQ_TYPE_INTEGER: return (size_t)snprintf(to, room, "%lld", (long long)value.as.integer);
    case LSQ_TYPE_REAL: return (size_t)snprintf(to, room, "%g", value.as.real);
    default:
        return (size_t)snprintf(to, room, "%.*s", (int)value.as.bytes.len,
                                (const char *)value.as.bytes.data);
    }
}

const char *ask_rows(struct lsq_conn *conn, const char *sql) {
    struct lsq_result *res = query(conn, sql);
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < lsq_result_rows(res); i++) {
        for (size_t j = 0; j < lsq_result_columns(res) && at + 2 < sizeof(text); j++) {
            if (i + j > 0) text[at++] = j > 0 ? ',' : ';';
            at += put_value(at, lsq_result_value(res, i, j));
        }
    }
    lsq_result_free(res);
    assert_true(at < sizeof(text));
    return text;
}

const char *ask_columns(struct lsq_conn *conn, const char *sql) {
    struct lsq_result *res = query(conn, sql);

    text[0] = '\0';
    for (size_t i = 0; i < lsq_result_columns(res); i++) {
        if (i > 0) strcat(text, ",");
        strcat(text, lsq_result_name(res, i));
    }
    lsq_result_free(res);
    return text;
}

bool becomes_fast(struct lsq_conn *conn, const char *sql) {
    const struct lsq_call try = {.flags = LSQ_CALL_TRY};

    for (int i = 0; i < 3000; i++) {
        run(conn, sql);
        if (exec(conn, sql, NULL, &try, NULL) == LSQ_OK) return true;
    }
    return false;
}

int64_t now_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void sleep_ms(int ms) {
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&ts, NULL);
}

int child_start(void (*fn)(void *arg), void *arg) {
    int pid = fork();

    if (pid != 0) return pid;
    fn(arg);
    _exit(0);
}

void child_wait(int pid) {
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- This program again ---- */

void child_main(int argc, char **argv, const struct child_role *roles, size_t count) {
    if (argc != 4 || strcmp(argv[1], "--role") != 0) return;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(roles[i].name, argv[2]) == 0) _exit(roles[i].body(argv[3]));
    }
    _exit(99);
}

struct child child_begin(const char *role, const char *argument) {
    struct child child;
    int to[2];
    int from[2];

    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    child = (struct child){.pid = fork(), .to = to[1], .from = from[0]};
    if (child.pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl("/proc/self/exe", "/proc/self/exe", "--role", role, argument, (char *)NULL);
        _exit(98);
    }
    assert_true(child.pid > 0);
    close(to[0]);
    close(from[1]);
    return child;
}

void child_ready(const struct child *child) {
    char byte;

    assert_int_equal(read(child->from, &byte, 1), 1);
}

int child_end(struct child *child) {
    int status = -1;

    close(child->to);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->from);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int child_hold(const char *path, const char *sql) {
    struct lsq_config cfg = db_config(path);
    struct lsq_conn *conn = NULL;
    char byte;

    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) return 1;
    if (lsq_batch_sql(conn, sql, strlen(sql), NULL, NULL, NULL, NULL, &last_error) != LSQ_OK)
        return 2;
    if (write(1, "r", 1) != 1) return 3;
    while (read(0, &byte, 1) > 0) continue;
    db_close(conn);
    return 0;
}

/* ---- Later, on another thread ---- */

static void *later_run(void *arg) {
    struct later *later = arg;

    sleep_ms(later->ms);
    later->fn(later->arg);
    return NULL;
}

void later_begin(struct later *later) {
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, later_run, later), 0);
    later->thread = thread;
}

void later_join(struct later *later) { pthread_join(later->thread, NULL); }

void interrupt_conn(void *conn) { lsq_conn_interrupt(conn); }
