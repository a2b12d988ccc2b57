/* helper.h - the library's own threads: one helper for short clean-up work, and workers for long
 * calls. Process-wide, started when first needed, stopped by lsq_shutdown().
 * Threads: any. Tasks and jobs run with no lock of this file held. */
#ifndef LSQI_BASE_HELPER_H
#define LSQI_BASE_HELPER_H

#include "lsq/lsq.h"

/* A piece of clean-up, embedded in what it cleans, so that scheduling cannot fail. All zero but run
 * is a task that is not scheduled. */
struct lsqi_task {
    /* Returns ms until it wants to run again, or -1 when it is done; the task's memory may be gone
     * by then. */
    int (*run)(struct lsqi_task *task);
    /* guarded by the helper's lock */
    struct lsqi_task *next;
    long long due; /* ns */
    bool scheduled;
    /* constant: it comes again as long as there is use for it, and nobody waits for it at the program's end */
    bool upkeep;
};

/* Starts the helper thread if it does not run. Errors: LSQ_NOMEM, LSQ_ERROR. Once this has
 * succeeded, lsqi_helper_schedule() cannot fail. */
enum lsq_status lsqi_helper_start(struct lsq_error *err);

/* Runs the task on the helper thread delay_ms from now, or earlier if it is scheduled for earlier.
 * A task that runs right now is run once more. */
void lsqi_helper_schedule(struct lsqi_task *task, int delay_ms);

/* Takes the task back, and waits if it runs right now (not on the helper thread itself); its memory may go. */
void lsqi_helper_cancel(struct lsqi_task *task);

/* Whether lsq_shutdown() waits for what is scheduled: a task of upkeep comes to its end. */
bool lsqi_helper_shutting(void);

/* As lsq_defer(), for what must keep up with others: it has its priority to its end, however long it is. */
enum lsq_status lsqi_worker_submit_pressing(void (*fn)(void *arg), void *arg,
                                            struct lsq_error *err);

/* What lsq_shutdown() does about them: see lsq.h. */
void lsqi_helper_shutdown(void);

#endif
