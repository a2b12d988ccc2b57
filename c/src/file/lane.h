/* lane.h - whose turn it is to write to a file: connections of this process in the order in which they
 * asked.
 *
 * The engine has one lock for writers, and says only that it is taken. Here a connection takes the turn
 * before it asks the engine, and gives it back when it writes no more; what cannot have it gets a ticket,
 * and is told when the turn is its own. It is then kept for it until it is used or the ticket is gone: no
 * overtaking. Other processes do not know of the lane; against them the engine's lock holds.
 *
 * Several may wait with one connection, each with a ticket: a turn is given to a ticket, and used by who comes
 * with it. Only when the connection has the turn beyond a call, in a transaction, is it for all of them.
 *
 * A turn may be for several files: it comes when all of them are free, and their lines have come to it.
 * Nobody who waits has anything, so no two wait for each other. Who has the turn of one file never waits
 * for another's: that is the caller's to keep.
 *
 * Threads: any. */
#ifndef LSQI_FILE_LANE_H
#define LSQI_FILE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsq/lsq.h"

struct lsqi_stand;

/* What has become of those who wanted to write to one file. */
struct lsqi_lane_counts {
    int64_t line;   /* who wait now */
    int64_t turns;  /* that were taken */
    int64_t waited; /* who got the turn after standing in line */
    int64_t wait_ns;
    int64_t waits[LSQ_WAITS]; /* as lsq_file_info's */
};

/* The line of one file. All zero is one that is free. Guarded by a lock of lane.c. */
struct lsqi_lane {
    const void *conn;             /* whose turn it is; NULL: nobody's */
    bool used;                    /* it has begun to use it */
    bool kept;                    /* beyond the call that took it */
    const struct lsqi_ticket *by; /* the ticket that it was given to; NULL: it was taken without */
    int64_t since;                /* ns, when it was given; then what it is used for: */
    struct lsq_turn_holder about; /* held is not set */
    struct lsqi_stand *first;
    struct lsqi_stand *last;
    struct lsqi_lane_counts counts;
};

/* So many files at most have lines for one connection. */
enum { LSQI_MOST_LANES = 32 };

/* Files of one turn, each once. */
struct lsqi_lanes {
    unsigned count;
    struct lsqi_lane *of[LSQI_MOST_LANES];
};

/* Who takes a turn, and what for. Connections are known by their address. */
struct lsqi_claim {
    const void *conn;
    const struct lsqi_ticket *ticket; /* that it waited with, only compared; NULL: none */
    uint64_t caller;                  /* as lsq_call's */
    const char *sql;                  /* borrowed; NULL: none */
    size_t len;
};

/* A place in one line. */
struct lsqi_stand {
    struct lsqi_lane *lane;
    /* guarded by the lock */
    struct lsqi_ticket *ticket;
    struct lsqi_stand *next;
    struct lsqi_stand *prev;
};

struct lsqi_ticket {
    const void *conn;
    void (*fn)(void *arg); /* called once, with no lock held, when the turn is the connection's */
    void *arg;
    struct lsqi_stand *stands; /* one for each file, their lanes filled in */
    unsigned count;
    bool waiting;  /* guarded by the lock */
    int64_t since; /* ns, when it got in line */
};

struct lsqi_lane_counts lsqi_lane_counts(const struct lsqi_lane *lane);

/* Takes the turn, all of it or nothing; it may be the connection's already. False: it is another's, or
 * another ticket's, or others wait for it. */
bool lsqi_lanes_take(const struct lsqi_lanes *lanes, const struct lsqi_claim *claim);

/* The same, waiting in line until then (ns, monotonic), or until stop(arg), which is asked every 10 ms. */
bool lsqi_lanes_await(const struct lsqi_lanes *lanes, const struct lsqi_claim *claim, int64_t until,
                      bool (*stop)(void *arg), void *arg);

/* conn has it beyond the call that took it: whoever waits for it with conn has it, too. */
void lsqi_lanes_keep(const struct lsqi_lanes *lanes, const void *conn);

/* Gives it to the next, as far as conn has it. */
void lsqi_lanes_leave(const struct lsqi_lanes *lanes, const void *conn);

/* The same, but what was given to the ticket is its own again, to be used with it or given up by cancelling it. */
void lsqi_lanes_return(const struct lsqi_lanes *lanes, const struct lsqi_ticket *ticket);

/* Who stands in the way of conn: the holder of the first of them that is another's. False: nobody. */
bool lsqi_lanes_holder(const struct lsqi_lanes *lanes, const void *conn,
                       struct lsq_turn_holder *holder);

/* Gets in line with a ticket whose conn, fn, arg and stands are filled in; the memory stays the caller's,
 * until lsqi_lanes_cancel(). fn may be called before this returns. */
void lsqi_lanes_wait(struct lsqi_ticket *ticket);

/* Gets out of line; a turn that came and was not used goes to the next. True: fn was not called, and
 * will not be. */
bool lsqi_lanes_cancel(struct lsqi_ticket *ticket);

#endif
