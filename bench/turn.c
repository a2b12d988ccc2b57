/* turn.c - what the line of writers costs a connection that is alone in it.
 *
 *     turn DATABASE COUNT
 *
 * prints nanoseconds for a turn taken and left, and for an INSERT that is a transaction of its own, on a new
 * file: as a call takes the turn, with all that stands behind it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "conn/conn.h"
#include "lsq/lsq.h"

static struct lsq_error err;

static void check(enum lsq_status st) {
    if (st == LSQ_OK) return;
    fprintf(stderr, "turn: %s\n", err.message);
    exit(1);
}

static double turns(struct lsq_conn *conn, int count) {
    static char sql[] = "INSERT INTO sink (n) VALUES (?1)";
    const struct lsqi_prepared prepared = {.sql = sql, .len = sizeof(sql) - 1};
    int64_t start = lsqi_now_ns();

    for (int i = 0; i < count; i++) {
        check(lsqi_turn_take(conn, &prepared, 1, &err));
        lsqi_turn_look(conn);
    }
    return (double)(lsqi_now_ns() - start) / count;
}

static void create(struct lsq_conn *conn) {
    struct lsq_result *res;

    check(
        lsq_query(&res, conn, "CREATE TABLE sink (id INTEGER PRIMARY KEY, n INTEGER)", NULL, &err));
    lsq_result_free(res);
}

static void insert(struct lsq_conn *conn) {
    struct lsq_result *res;

    check(lsq_query(&res, conn, "INSERT INTO sink (n) VALUES (?1)", LSQ_PARAMS(lsq_int(1)), &err));
    lsq_result_free(res);
}

static double inserts(struct lsq_conn *conn, int count) {
    int64_t start = lsqi_now_ns();

    for (int i = 0; i < count; i++) insert(conn);
    return (double)(lsqi_now_ns() - start) / count;
}

int main(int argc, char **argv) {
    struct lsq_config cfg;
    struct lsq_conn *conn;
    int count = argc > 2 ? atoi(argv[2]) : 0;

    if (count <= 0) {
        fprintf(stderr, "usage: turn DATABASE COUNT\n");
        return 2;
    }
    lsq_config_init(&cfg);
    cfg.path = argv[1];
    check(lsq_conn_open(&conn, &cfg, &err));
    create(conn);
    (void)inserts(conn, 1000); /* caches, and the WAL */
    printf("%.1f", turns(conn, count));
    printf(" %.1f\n", inserts(conn, count / 10 + 1));
    lsq_conn_free(conn);
    return 0;
}
