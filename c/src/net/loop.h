/* loop.h - what the I/O thread does in a turn (loop.c), and its beginning and end (thread.c).
 * Threads: as each function says; what ends in _locked is called with the loop's lock held. */
#ifndef LSQI_NET_LOOP_H
#define LSQI_NET_LOOP_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/exchange.h"
#include "net/multi.h"
#include "net/pace.h"

struct lsqi_post {
    struct lsqi_post *next;
    void (*fn)(void *arg);
    void *arg;
};

struct lsqi_loop {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the thread ended, or was joined */
    atomic_int pid;         /* whose thread it is; 0: there has been none */
    /* guarded by lock */
    bool has_thread;
    bool ended;    /* it is about to return, and touches nothing of this any more */
    bool stopping; /* lsqi_http_shutdown() is under way */
    bool leaving;  /* the program ends */
    bool asleep;   /* it waits, or is about to: only a wake-up ends that at once */
    pthread_t thread;
    struct lsqi_http *first_command;
    struct lsqi_http *last_command;
    unsigned commands;
    struct lsqi_post *first_post;
    struct lsqi_post **last_post;
    /* the I/O thread's */
    struct lsqi_multi multi;
    struct lsqi_pace pace;
    struct lsqi_http *first; /* in the order of their beginning: who came first is served first */
    struct lsqi_http *last;
    int64_t look_at;    /* no exchange is due before */
    int64_t idle_since; /* when the last exchange ended; 0: no connection is open */
    int64_t
        close_idle_ns; /* constant, but for tests: how long connections stay open with nothing to do */
    /* figures */
    atomic_int_fast64_t longest_turn;
    atomic_int_fast64_t exchanges;
    atomic_int_fast64_t connects;
};

/* Process-wide: there is one I/O thread. */
extern struct lsqi_loop lsqi_loop;

/* False: no memory. */
bool lsqi_loop_make_multi(struct lsqi_multi *multi);

/* Ends the thread's waiting. */
void lsqi_loop_wake_locked(void);

/* Something is to be done for the exchange: LSQI_HTTP_WANT_... */
void lsqi_loop_command_locked(struct lsqi_http *http, unsigned want);

/* Whether nothing is under way and nothing was asked for. */
bool lsqi_loop_is_still_locked(void);

/* How long the thread may wait; 0: not at all. */
int lsqi_loop_wait_ms_locked(void);

/* One turn, on the I/O thread, without the lock. */
void lsqi_loop_turn(bool stopping);

#endif
