/* gate.h - who is in a connection, and who wants to be told when nobody is.
 *
 * One small mutex guards these few fields and is never held while work is done, so every function
 * here may be called from a thread that must not wait. It knows nothing of databases.
 *
 *   entered   somebody bracketed calls with enter() and leave()
 *   calling   a call runs: begin() and end(), inside every call of the library
 *   cleaning  the helper thread is at work: enter() and begin() wait for it
 *   closing   close was asked for: enter() and begin() answer LSQ_CLOSED
 *   closed    the engine's handle is gone
 *
 * Threads: any. */
#ifndef LSQI_BASE_GATE_H
#define LSQI_BASE_GATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/helper.h"
#include "lsq/lsq.h"

/* A function to be called once. */
struct lsqi_callback {
    struct lsqi_callback *next;
    void (*fn)(void *arg);
    void *arg;
};

struct lsqi_gate {
    pthread_mutex_t lock;
    pthread_cond_t free; /* entered, calling or cleaning became false, or closing true */
    atomic_bool cancel;  /* the running call is to stop; set and cleared under lock */
    /* All guarded by lock. */
    bool entered;
    bool calling;
    bool cleaning;
    bool closing;
    bool closed;
    bool close_pending; /* close_task is scheduled, and holds a reference */
    bool clean_pending; /* clean_task likewise */
    bool dirty;         /* the helper has something to clean */
    /* The handle that the running call is of, of what may be stopped by itself; NULL: of none, or nobody said. end()
     * forgets it. */
    const void *whose;
    unsigned refs;
    struct lsqi_callback *waiters;
    struct lsqi_callback *closers;
    struct lsqi_callback first_closer; /* so that the first close needs no memory */
    struct lsqi_task close_task;
    struct lsqi_task clean_task;
    /* Cleans up, or closes where closing is true; then it may be called again for what was handed
     * over meanwhile. Called on the helper thread with cleaning set, or in a call with closing false; the lock is
     * not held. */
    void (*clean)(struct lsqi_gate *gate, bool closing);
    /* The last reference is gone: frees the gate's owner. */
    void (*destroy)(struct lsqi_gate *gate);
    /* Stops the running call, beyond setting cancel. Called with the lock held, calling true. */
    void (*interrupt)(struct lsqi_gate *gate);
};

/* Two references are made: the caller's, and that of the open handle, which goes when it is
 * closed. */
enum lsq_status lsqi_gate_init(struct lsqi_gate *gate,
                               void (*clean)(struct lsqi_gate *gate, bool closing),
                               void (*destroy)(struct lsqi_gate *gate),
                               void (*interrupt)(struct lsqi_gate *gate), struct lsq_error *err);
/* Of a gate that nobody else has seen. */
void lsqi_gate_release(struct lsqi_gate *gate);

void lsqi_gate_ref(struct lsqi_gate *gate);
void lsqi_gate_unref(struct lsqi_gate *gate);

enum lsq_status lsqi_gate_enter(struct lsqi_gate *gate, bool wait);
enum lsq_status lsqi_gate_enter_soon(struct lsqi_gate *gate);
void lsqi_gate_leave(struct lsqi_gate *gate);
enum lsq_status lsqi_gate_notify(struct lsqi_gate *gate, void (*fn)(void *arg), void *arg);

/* Around every call. begin: LSQ_CLOSED, or LSQ_IN_USE where another thread is in a call. */
enum lsq_status lsqi_gate_begin(struct lsqi_gate *gate);
void lsqi_gate_end(struct lsqi_gate *gate);

void lsqi_gate_close(struct lsqi_gate *gate, void (*done)(void *arg), void *arg);
/* Stops the running call, if wanted (NULL: always) says yes to it. */
void lsqi_gate_interrupt(struct lsqi_gate *gate, bool (*wanted)(void *arg), void *arg);

/* Calls fn(arg) under the lock, to hand something over to clean(), which will be called; the next
 * call may do that work first. False: the gate is closed, and fn was not called. */
bool lsqi_gate_hand_over(struct lsqi_gate *gate, void (*fn)(void *arg), void *arg);

#endif
