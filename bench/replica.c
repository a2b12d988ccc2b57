/* replica.c - what bench/replicas measures of a replica. URL is the primary's, FILE the replica's.
 *
 *     replica sync URL FILE              bootstrap where there is no FILE, else catching up: frames, bytes, ns
 *     replica write URL FILE COUNT       so many writes, each read back: ns of each pair, the median; bytes, frames
 *     replica read URL FILE PLAIN ROUNDS reads of the replica and of PLAIN, an ordinary file with the same content, by
 *                                        turns, 20,000 by key and 1,000 of 100 rows a round: ns, the medians of both
 *
 * Prints numbers, separated by spaces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lsq/lsq.h"

enum { READS = 20000, RANGES = 1000, HOT = 1000 };

static struct lsq_error err;

static void check(enum lsq_status st) {
    if (st == LSQ_OK) return;
    fprintf(stderr, "%s\n", err.message);
    exit(1);
}

static int64_t now(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t median(int64_t *times, int count) {
    qsort(times, (size_t)count, sizeof(*times), compare);
    return times[count / 2];
}

static struct lsq_conn *open_file(const char *path, const char *primary) {
    static const struct lsq_remote remote = {.proxy = "", .timeout = 600000};
    static const struct lsq_replica replica = {.open_timeout = -1};
    struct lsq_config cfg;
    struct lsq_conn *conn;

    lsq_config_init(&cfg);
    cfg.path = path;
    cfg.primary = primary;
    cfg.remote = &remote;
    cfg.replica = &replica;
    check(lsq_conn_open(&conn, &cfg, &err));
    return conn;
}

static int64_t ask(struct lsq_conn *conn, const char *sql, const struct lsq_params *params) {
    struct lsq_result *rows;
    int64_t value;

    check(lsq_query(&rows, conn, sql, params, &err));
    value = lsq_result_rows(rows) == 0 ? -1 : lsq_result_int(rows, 0, 0);
    lsq_result_free(rows);
    return value;
}

static int sync_once(const char *url, const char *file) {
    int64_t began = now();
    struct lsq_conn *conn = open_file(file, url);
    int64_t took = now() - began;
    struct lsq_replica_info info;

    check(lsq_replica_info(conn, &info, &err));
    printf("%lld %lld %lld\n", (long long)info.frames, (long long)info.bytes, (long long)took);
    lsq_conn_free(conn);
    return 0;
}

/* "w" is a table of the bench's own. */
static int write_and_read(const char *url, const char *file, int count) {
    struct lsq_conn *conn = open_file(file, url);
    int64_t *times = calloc((size_t)count, sizeof(*times));
    int64_t first = ask(conn, "SELECT coalesce(max(id), 0) FROM w", NULL) + 1;
    struct lsq_replica_info before;
    struct lsq_replica_info after;

    if (times == NULL) return 1;
    check(lsq_replica_info(conn, &before, &err));
    for (int i = 0; i < count; i++) {
        const struct lsq_params *id = LSQ_PARAMS(lsq_int(first + i));
        int64_t began = now();

        (void)ask(conn, "INSERT INTO w VALUES (?1, 'written')", id);
        if (ask(conn, "SELECT id FROM w WHERE id = ?1", id) != first + i) return 2;
        times[i] = now() - began;
    }
    check(lsq_replica_info(conn, &after, &err));
    printf("%lld %lld %lld\n", (long long)median(times, count),
           (long long)(after.bytes - before.bytes), (long long)(after.frames - before.frames));
    lsq_conn_free(conn);
    free(times);
    return 0;
}

static int64_t time_of(struct lsq_conn *conn, const char *sql, int64_t id) {
    int64_t began = now();

    (void)ask(conn, sql, LSQ_PARAMS(lsq_int(id)));
    return now() - began;
}

/* Each read of the one is followed by the same of the other, and the other way round, so that what else the machine
 * does meets both. */
static void read_both(struct lsq_conn *const *conns, const char *sql, int count) {
    int64_t *times[2] = {calloc((size_t)count, sizeof(**times)),
                         calloc((size_t)count, sizeof(**times))};

    if (times[0] == NULL || times[1] == NULL) exit(1);
    for (int i = -HOT; i < count; i++)
        for (int j = 0; j < 2; j++) {
            int who = (i + j) & 1;
            int64_t took = time_of(conns[who], sql, 1 + (int64_t)(i + HOT) * 7919 % HOT);

            if (i >= 0) times[who][i] = took;
        }
    printf("%lld %lld ", (long long)median(times[0], count), (long long)median(times[1], count));
    free(times[0]);
    free(times[1]);
}

static int read_by_turns(const char *url, const char *file, const char *plain, int rounds) {
    struct lsq_conn *conns[] = {open_file(file, url), open_file(plain, NULL)};

    read_both(conns, "SELECT k, b FROM t WHERE id = ?1", rounds * READS);
    read_both(conns, "SELECT k, b FROM t WHERE id >= ?1 LIMIT 100", rounds * RANGES);
    printf("\n");
    lsq_conn_free(conns[0]);
    lsq_conn_free(conns[1]);
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc < 4 ? "" : argv[1];
    int status = 2;

    if (strcmp(what, "sync") == 0 && argc == 4) status = sync_once(argv[2], argv[3]);
    if (strcmp(what, "write") == 0 && argc == 5)
        status = write_and_read(argv[2], argv[3], atoi(argv[4]));
    if (strcmp(what, "read") == 0 && argc == 6)
        status = read_by_turns(argv[2], argv[3], argv[4], atoi(argv[5]));
    if (status == 2) fprintf(stderr, "usage: see bench/replica.c\n");
    lsq_shutdown();
    return status;
}
