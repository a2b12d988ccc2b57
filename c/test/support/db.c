#include "db.h"

#include <ftw.h>
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

struct lsq_conn *db_open(const char *path) {
    struct lsq_config cfg;
    struct lsq_conn *conn = NULL;

    lsq_config_init(&cfg);
    cfg.path = path == NULL ? db_path() : path;
    if (lsq_conn_open(&conn, &cfg, &last_error) != LSQ_OK) fail_msg("open: %s", last_error.message);
    return conn;
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
