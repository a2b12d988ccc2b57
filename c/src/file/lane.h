/* lane.h - whose turn it is to write to a file: connections of this process in the order in which they
 * asked.
 *
 * The engine has one lock for writers, and says only that it is taken. Here a connection takes the turn
 * before it asks the engine, and gives it back when it writes no more; what cannot have it gets a ticket,
 * and is told when the turn is its own. It is then kept for it until it is used or the ticket is gone: no
 * overtaking. Other processes do not know of the lane; against them the engine's lock holds.
 *
 * Threads: any. */
#ifndef LSQI_FILE_LANE_H
#define LSQI_FILE_LANE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Connections are known by their address. */
struct lsqi_ticket {
    const void *conn;
    void (*fn)(void *arg); /* called once, with no lock held, when the turn is the connection's */
    void *arg;
    /* guarded by the lane's lock */
    struct lsqi_ticket *next;
    struct lsqi_ticket *prev;
    bool waiting;
};

struct lsqi_lane {
    pthread_mutex_t lock;
    /* guarded by lock */
    const void *holder; /* whose turn it is; NULL: nobody's, and nobody waits */
    bool used;          /* the holder has begun to use it */
    struct lsqi_ticket *first;
    struct lsqi_ticket *last;
};

void lsqi_lane_init(struct lsqi_lane *lane);
void lsqi_lane_release(struct lsqi_lane *lane);

/* Takes the turn, which may be the connection's already. False: it is another's. */
bool lsqi_lane_take(struct lsqi_lane *lane, const void *conn);

/* The same, waiting in line until then (ns, monotonic), or until stop(arg), which is asked every 10 ms. */
bool lsqi_lane_await(struct lsqi_lane *lane, const void *conn, int64_t until,
                     bool (*stop)(void *arg), void *arg);

/* Gives it to the next, if conn has it. */
void lsqi_lane_leave(struct lsqi_lane *lane, const void *conn);

/* Gets in line with a ticket whose conn, fn and arg are filled in; the memory stays the caller's, until
 * lsqi_lane_cancel(). fn may be called before this returns. */
void lsqi_lane_wait(struct lsqi_lane *lane, struct lsqi_ticket *ticket);

/* Gets out of line; a turn that came and was not used goes to the next. True: fn was not called, and
 * will not be. */
bool lsqi_lane_cancel(struct lsqi_lane *lane, struct lsqi_ticket *ticket);

#endif
