/* replica.c - a replica's bootstrap and catch-up from the server at URL, in MB of pages a second.
 *
 *     replica URL FILE
 *
 * FILE must not be there; it is left. If it is a replica already, what is measured is catching up. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lsq/lsq.h"
#include "repl/replica.h"

static double now(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    struct lsqi_replica_sync_result result;
    struct lsqi_replica *replica;
    struct lsq_config server;
    struct lsqi_replica_config cfg = {.server = &server};
    struct lsq_error err;
    double began;
    double took;

    if (argc != 3) return 2;
    lsq_config_init(&server);
    server.path = argv[1];
    cfg.path = argv[2];
    began = now();
    if (lsqi_replica_open(&replica, &cfg, &err) != LSQ_OK ||
        lsqi_replica_sync_wait(replica, 0, 0, NULL, NULL, &result, &err) != LSQ_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    took = now() - began;
    printf("%llu frames, %.1f MB in %.3f s: %.1f MB/s\n", (unsigned long long)result.applied,
           (double)result.bytes / 1e6, took, (double)result.bytes / 1e6 / took);
    lsqi_replica_unref(replica);
    lsq_shutdown();
    return 0;
}
