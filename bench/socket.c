/* socket.c - the same work through the library, by HTTP and by a WebSocket.
 *
 *     socket HOST:PORT SECONDS
 *
 * of a server that needs no token. Prints operations in a second, by turns, the median of the rounds:
 *
 *     one client, single reads; one client, transactions of 10 writes; 32 threads, single reads */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lsq/lsq.h"

enum { THREADS = 32, ROUNDS = 5, WORKS = 3, WAYS = 2 };

static const char *const ways[WAYS] = {"http", "ws"};
static const char *const works[WORKS] = {"one client, single reads",
                                         "one client, transactions of 10 writes",
                                         "32 threads, single reads"};

static void check(enum lsq_status st, const struct lsq_error *err) {
    if (st == LSQ_OK) return;
    fprintf(stderr, "socket: %s\n", err->message);
    exit(1);
}

static struct lsq_conn *connect_by(const char *way, const char *host) {
    struct lsq_error err;
    struct lsq_config cfg;
    struct lsq_conn *conn;
    char url[256];

    snprintf(url, sizeof(url), "%s://%s", way, host);
    lsq_config_init(&cfg);
    cfg.path = url;
    check(lsq_conn_open(&conn, &cfg, &err), &err);
    return conn;
}

static void query(struct lsq_conn *conn, const char *sql, int64_t n) {
    struct lsq_error err;
    struct lsq_result *res;

    check(lsq_query(&res, conn, sql, LSQ_PARAMS(lsq_int(n)), &err), &err);
    lsq_result_free(res);
}

static void read_one(struct lsq_conn *conn, int64_t n) {
    query(conn, "SELECT id, a FROM bench WHERE id = ?", n % 1000);
}

static void write_ten(struct lsq_conn *conn, int64_t n) {
    struct lsq_error err;

    check(lsq_begin(conn, LSQ_TXN_IMMEDIATE, NULL, &err), &err);
    for (int64_t i = 0; i < 10; i++) query(conn, "UPDATE bench SET a = a + 1 WHERE id = ?", n + i);
    check(lsq_commit(conn, NULL, &err), &err);
}

/* ---- A round ---- */

struct worker {
    pthread_t thread;
    struct lsq_conn *conn;
    void (*operation)(struct lsq_conn *conn, int64_t n);
    int64_t until;
    int64_t done;
};

static void *work(void *arg) {
    struct worker *worker = arg;

    while (lsqi_now_ns() < worker->until) worker->operation(worker->conn, worker->done++ % 900);
    return NULL;
}

/* Operations in a second. */
static double round_of(struct lsq_conn *const *conns, int threads,
                       void (*operation)(struct lsq_conn *conn, int64_t n), double seconds) {
    struct worker workers[THREADS];
    int64_t start = lsqi_now_ns();
    int64_t done = 0;

    for (int i = 0; i < threads; i++) {
        workers[i] = (struct worker){
            .conn = conns[i], .operation = operation, .until = start + (int64_t)(seconds * 1e9)};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) exit(1);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
    }
    return (double)done * 1e9 / (double)(lsqi_now_ns() - start);
}

/* ---- All of them ---- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(const double *figures) {
    double sorted[ROUNDS];

    memcpy(sorted, figures, sizeof(sorted));
    qsort(sorted, ROUNDS, sizeof(*sorted), compare);
    return sorted[ROUNDS / 2];
}

static void prepare(struct lsq_conn *conn) {
    struct lsq_error err;
    struct lsq_result *res;
    static const char *const sql[] = {
        "DROP TABLE IF EXISTS bench", "CREATE TABLE bench (id INTEGER PRIMARY KEY, a INTEGER)",
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) INSERT INTO "
        "bench SELECT i, i FROM n"};

    for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
        check(lsq_query(&res, conn, sql[i], NULL, &err), &err);
        lsq_result_free(res);
    }
}

int main(int argc, char **argv) {
    static double figures[WORKS][WAYS][ROUNDS];
    struct lsq_conn *conns[WAYS][THREADS];
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 0;

    if (seconds <= 0) {
        fprintf(stderr, "usage: socket HOST:PORT SECONDS\n");
        return 2;
    }
    for (int way = 0; way < WAYS; way++)
        for (int i = 0; i < THREADS; i++) conns[way][i] = connect_by(ways[way], argv[1]);
    prepare(conns[0][0]);
    for (int round = 0; round < ROUNDS; round++)
        for (int n = 0; n < WAYS; n++) {
            int way = (n + round) % WAYS;

            figures[0][way][round] = round_of(conns[way], 1, read_one, seconds);
            figures[1][way][round] = round_of(conns[way], 1, write_ten, seconds);
            figures[2][way][round] = round_of(conns[way], THREADS, read_one, seconds);
        }
    for (int i = 0; i < WORKS; i++) {
        double http = median(figures[i][0]);
        double socket = median(figures[i][1]);

        printf("%-40s http %7.0f/s   ws %7.0f/s   %.2f\n", works[i], http, socket, socket / http);
    }
    return 0;
}
