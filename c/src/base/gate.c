#include "base/gate.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/processor.h"

/* How long the helper leaves clean-up to the next call, which does it without a switch; and how long a thread looks for
 * whoever is in there to leave: most writes take a fifth of it, and any other waiting longer than those. */
enum { CLEAN_DELAY_MS = 50, SOON_NS = 100000 };

/* A task holds a reference from here until it has run. */
static void schedule_locked(struct lsqi_gate *gate) {
    if (gate->closed) return;
    if (gate->closing && !gate->close_pending) {
        gate->close_pending = true;
        gate->refs++;
        lsqi_helper_schedule(&gate->close_task, 0);
    }
    if (!gate->closing && gate->dirty && !gate->clean_pending) {
        gate->clean_pending = true;
        gate->refs++;
        lsqi_helper_schedule(&gate->clean_task, CLEAN_DELAY_MS);
    }
}

static bool taken_locked(const struct lsqi_gate *gate) {
    return gate->entered || gate->calling || gate->cleaning;
}

static struct lsqi_callback *take_waiters_locked(struct lsqi_gate *gate) {
    struct lsqi_callback *waiters = gate->waiters;

    gate->waiters = NULL;
    return waiters;
}

static void call_all(struct lsqi_callback *list, const struct lsqi_callback *embedded) {
    while (list != NULL) {
        struct lsqi_callback *next = list->next;

        list->fn(list->arg);
        if (list != embedded) lsqi_free(list);
        list = next;
    }
}

/* ---- On the helper thread ---- */

/* Takes the gate for the helper, if there is work and nobody is in it; whoever is in it schedules
 * the task again when he leaves. */
static bool take_locked(struct lsqi_gate *gate) {
    if (gate->closed || taken_locked(gate) || !(gate->closing || gate->dirty)) return false;
    gate->cleaning = true;
    gate->dirty = false;
    return true;
}

/* Works until nothing is left to do, and gives the gate back. */
static void work(struct lsqi_gate *gate, bool closing) {
    struct lsqi_callback *waiters;
    struct lsqi_callback *closers = NULL;
    bool again;

    do {
        gate->clean(gate, closing);
        pthread_mutex_lock(&gate->lock);
        again = closing && gate->dirty;
        gate->dirty = gate->dirty && !again;
        if (again) pthread_mutex_unlock(&gate->lock);
    } while (again);

    gate->cleaning = false;
    if (closing) {
        gate->closed = true;
        closers = gate->closers;
        gate->closers = NULL;
    }
    schedule_locked(gate);
    waiters = take_waiters_locked(gate);
    pthread_cond_broadcast(&gate->free);
    pthread_mutex_unlock(&gate->lock);

    call_all(waiters, NULL);
    call_all(closers, &gate->first_closer);
    if (closing) lsqi_gate_unref(gate); /* that of the open handle */
}

static void run(struct lsqi_gate *gate, bool *pending) {
    bool taken;
    bool closing;

    pthread_mutex_lock(&gate->lock);
    *pending = false;
    closing = gate->closing;
    taken = take_locked(gate);
    pthread_mutex_unlock(&gate->lock);
    if (taken) work(gate, closing);
    lsqi_gate_unref(gate); /* that of the task */
}

static int run_close(struct lsqi_task *task) {
    struct lsqi_gate *gate =
        (struct lsqi_gate *)(void *)((char *)task - offsetof(struct lsqi_gate, close_task));

    run(gate, &gate->close_pending);
    return -1;
}

static int run_clean(struct lsqi_task *task) {
    struct lsqi_gate *gate =
        (struct lsqi_gate *)(void *)((char *)task - offsetof(struct lsqi_gate, clean_task));

    run(gate, &gate->clean_pending);
    return -1;
}

/* ---- From any thread ---- */

enum lsq_status lsqi_gate_init(struct lsqi_gate *gate,
                               void (*clean)(struct lsqi_gate *gate, bool closing),
                               void (*destroy)(struct lsqi_gate *gate),
                               void (*interrupt)(struct lsqi_gate *gate), struct lsq_error *err) {
    enum lsq_status st = lsqi_helper_start(err);

    if (st != LSQ_OK) return st;
    *gate = (struct lsqi_gate){.refs = 2, .clean = clean, .destroy = destroy};
    gate->interrupt = interrupt;
    gate->close_task.run = run_close;
    gate->clean_task.run = run_clean;
    if (pthread_mutex_init(&gate->lock, NULL) != 0)
        return lsqi_error_set(err, LSQ_NOMEM, "no mutex for the connection");
    if (pthread_cond_init(&gate->free, NULL) != 0) {
        pthread_mutex_destroy(&gate->lock);
        return lsqi_error_set(err, LSQ_NOMEM, "no condition variable for the connection");
    }
    return LSQ_OK;
}

void lsqi_gate_release(struct lsqi_gate *gate) {
    pthread_cond_destroy(&gate->free);
    pthread_mutex_destroy(&gate->lock);
}

void lsqi_gate_ref(struct lsqi_gate *gate) {
    pthread_mutex_lock(&gate->lock);
    gate->refs++;
    pthread_mutex_unlock(&gate->lock);
}

void lsqi_gate_unref(struct lsqi_gate *gate) {
    bool last;

    pthread_mutex_lock(&gate->lock);
    last = --gate->refs == 0;
    pthread_mutex_unlock(&gate->lock);
    if (!last) return;
    lsqi_gate_release(gate);
    gate->destroy(gate);
}

enum lsq_status lsqi_gate_enter(struct lsqi_gate *gate, bool wait) {
    enum lsq_status st = LSQ_OK;

    pthread_mutex_lock(&gate->lock);
    while (wait && !gate->closing && taken_locked(gate))
        pthread_cond_wait(&gate->free, &gate->lock);
    if (gate->closing)
        st = LSQ_CLOSED;
    else if (taken_locked(gate))
        st = LSQ_IN_USE;
    else
        gate->entered = true;
    pthread_mutex_unlock(&gate->lock);
    return st;
}

enum lsq_status lsqi_gate_enter_soon(struct lsqi_gate *gate) {
    int64_t until = lsqi_now_ns() + SOON_NS;
    enum lsq_status st;

    while ((st = lsqi_gate_enter(gate, false)) == LSQ_IN_USE && lsqi_now_ns() < until)
        lsqi_processor_pause();
    return st;
}

void lsqi_gate_leave(struct lsqi_gate *gate) {
    struct lsqi_callback *waiters;

    pthread_mutex_lock(&gate->lock);
    gate->entered = false;
    waiters = take_waiters_locked(gate);
    schedule_locked(gate);
    pthread_cond_signal(&gate->free);
    pthread_mutex_unlock(&gate->lock);
    call_all(waiters, NULL);
}

enum lsq_status lsqi_gate_notify(struct lsqi_gate *gate, void (*fn)(void *arg), void *arg) {
    struct lsqi_callback *node = lsqi_malloc(sizeof(*node));
    bool now;

    if (node == NULL) return LSQ_NOMEM;
    node->fn = fn;
    node->arg = arg;
    pthread_mutex_lock(&gate->lock);
    now = gate->closing || !taken_locked(gate);
    if (!now) {
        node->next = gate->waiters;
        gate->waiters = node;
    }
    pthread_mutex_unlock(&gate->lock);
    if (!now) return LSQ_OK;
    fn(arg);
    lsqi_free(node);
    return LSQ_OK;
}

enum lsq_status lsqi_gate_begin(struct lsqi_gate *gate) {
    enum lsq_status st = LSQ_OK;

    pthread_mutex_lock(&gate->lock);
    while (gate->cleaning && !gate->closing) pthread_cond_wait(&gate->free, &gate->lock);
    if (gate->closing)
        st = LSQ_CLOSED;
    else if (gate->calling)
        st = LSQ_IN_USE;
    if (st == LSQ_OK) {
        gate->calling = true;
        atomic_store_explicit(&gate->cancel, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&gate->lock);
    return st;
}

void lsqi_gate_end(struct lsqi_gate *gate) {
    struct lsqi_callback *waiters = NULL;

    pthread_mutex_lock(&gate->lock);
    gate->calling = false;
    gate->whose = NULL;
    if (!gate->entered) {
        waiters = take_waiters_locked(gate);
        schedule_locked(gate);
        pthread_cond_signal(&gate->free);
    }
    pthread_mutex_unlock(&gate->lock);
    call_all(waiters, NULL);
}

static void stop_locked(struct lsqi_gate *gate) {
    if (!gate->calling || gate->closed) return;
    atomic_store(&gate->cancel, true);
    gate->interrupt(gate);
}

void lsqi_gate_close(struct lsqi_gate *gate, void (*done)(void *arg), void *arg) {
    struct lsqi_callback *waiters = NULL;
    struct lsqi_callback *node = NULL;
    bool now;

    if (done != NULL) node = lsqi_malloc(sizeof(*node));
    pthread_mutex_lock(&gate->lock);
    now = gate->closed;
    if (!now && done != NULL) {
        if (node == NULL && gate->first_closer.fn == NULL) node = &gate->first_closer;
        if (node != NULL) {
            *node = (struct lsqi_callback){.next = gate->closers, .fn = done, .arg = arg};
            gate->closers = node;
            node = NULL;
        } else {
            now = true; /* no memory to remember it: told too early rather than never */
        }
    }
    if (!gate->closing) {
        gate->closing = true;
        stop_locked(gate);
        waiters = take_waiters_locked(gate);
        pthread_cond_broadcast(&gate->free);
        if (!taken_locked(gate)) schedule_locked(gate);
    }
    pthread_mutex_unlock(&gate->lock);
    if (now && done != NULL) done(arg);
    lsqi_free(node);
    call_all(waiters, NULL);
}

void lsqi_gate_interrupt(struct lsqi_gate *gate, bool (*wanted)(void *arg), void *arg) {
    pthread_mutex_lock(&gate->lock);
    if (wanted == NULL || wanted(arg)) stop_locked(gate);
    pthread_mutex_unlock(&gate->lock);
}

bool lsqi_gate_hand_over(struct lsqi_gate *gate, void (*fn)(void *arg), void *arg) {
    bool open;

    pthread_mutex_lock(&gate->lock);
    open = !gate->closed;
    if (open) {
        fn(arg);
        gate->dirty = true;
        if (!taken_locked(gate)) schedule_locked(gate);
    }
    pthread_mutex_unlock(&gate->lock);
    return open;
}
