/* Jobs: long calls, and those that wait for their connection's turn to write. A job is a copy of a call in an
 * environment of its own, run by a worker of the core, or behind a call that gave it its turn, and answered by a
 * message.
 *
 * Its life. submit links it to its connection. Who runs it marks it running while it is in the connection,
 * unlinks it under the lock, and sends the answer. cancel unlinks it first: then the answer is never sent,
 * and who runs it frees the job as soon as it is done with it. So exactly one of the two takes it from the
 * list, and only who runs it frees it; but for a job that is taken out of line, which nobody ever runs.
 * The end of the process that waits for the answer cancels, too: nobody else could stop a call that has no end.
 *
 * An interrupt, or close, stops it wherever it is, and leaves it in the list: its answer says so. One that came
 * before submit is known by its count. */
#include <string.h>

#include "base/clock.h"
#include "nif.h"

struct job {
    struct job *next;
    struct conn_res *res; /* kept */
    const struct op *op;
    ErlNifEnv *env; /* owns the terms, and becomes the message */
    ERL_NIF_TERM ref;
    ERL_NIF_TERM argv[MOST_ARGS];
    ERL_NIF_TERM message; /* once it is made */
    int64_t since;        /* ns, when it was submitted: its time-out counts from then */
    ErlNifPid pid;
    ErlNifMonitor monitor; /* of res on pid */
    bool monitored;
    bool small;          /* its arguments are few, and short */
    bool in_line;        /* it waits, or has waited, for its connection's turn to write */
    atomic_bool stopped; /* cancelled or interrupted; set under res->lock */
    /* guarded by res->lock */
    bool behind;           /* it waits until whoever is in the connection leaves it */
    bool running;          /* it is in the connection */
    bool ran;              /* it was, and its answer is about to be sent */
    bool told;             /* {ref, :interrupting} was sent */
    struct lsq_turn *turn; /* its place in line; NULL: it has none, or another has taken it out */
    struct stmt_res *stmt; /* that it uses; borrowed */
    char *trace;           /* the caller's trace context; NULL: none */
    struct outcome out;    /* who runs it: a worker, then a server's answer */
};

/* The job is to end, wherever it is; its process is told, and need not wait for the engine. */
static void tell_locked(struct job *job, ErlNifEnv *env) {
    ErlNifEnv *message;

    if (job->told) return;
    job->told = true;
    atomic_store(&job->stopped, true);
    message = enif_alloc_env();
    (void)enif_send(env, &job->pid, message,
                    enif_make_tuple2(message, enif_make_copy(message, job->ref),
                                     job->res->state->atoms.interrupting));
    enif_free_env(message);
}

/* While it waits, a statement is but one of its arguments. */
static bool uses(struct job *job, const struct stmt_res *stmt) {
    return job->stmt == stmt ||
           stmt_among(job->env, job->res->state, job->argv, job->op->arity) == stmt;
}

static bool any_runs_locked(const struct conn_res *res) {
    const struct job *job = res->jobs;

    while (job != NULL && !job->running) job = job->next;
    return job != NULL;
}

/* One that waits for another's call to leave the connection is not meant. */
void jobs_tell_locked(struct conn_res *res, const struct stmt_res *stmt, ErlNifEnv *env) {
    bool others = any_runs_locked(res);

    for (struct job *job = res->jobs; job != NULL; job = job->next) {
        bool waits = !job->running && !job->in_line && (job->behind || others);

        if (!waits && (stmt == NULL || uses(job, stmt))) tell_locked(job, env);
    }
}

void job_use_locked(struct job *job, struct stmt_res *stmt) { job->stmt = stmt; }

bool job_called_off(void *arg) {
    return atomic_load_explicit(&((struct job *)arg)->stopped, memory_order_relaxed);
}

const char *job_trace(const struct job *job) { return job->trace; }

ERL_NIF_TERM job_caller(struct job *job) { return enif_make_pid(job->env, &job->pid); }

int job_waited_ms(const struct job *job) { return (int)((lsqi_now_ns() - job->since) / 1000000); }

const struct lsq_turn *job_turn(const struct job *job) { return job->turn; }

static void job_free(struct job *job) {
    if (job->monitored) (void)enif_demonitor_process(calling_env, job->res, &job->monitor);
    if (job->env != NULL) enif_free_env(job->env);
    enif_free(job->trace);
    enif_release_resource(job->res);
    enif_free(job);
}

/* True: it was in the list, and is the caller's. */
static bool job_unlink_locked(struct job *job) {
    for (struct job **at = &job->res->jobs; *at != NULL; at = &(*at)->next) {
        if (*at != job) continue;
        *at = job->next;
        return true;
    }
    return false;
}

/* Taken out of line by the caller, who has to free it with no lock held. */
static struct lsq_turn *job_take_turn_locked(struct job *job) {
    struct lsq_turn *turn = job->turn;

    job->turn = NULL;
    return turn;
}

static bool job_send(struct job *job) {
    return enif_send(calling_env, &job->pid, job->env, job->message) != 0;
}

/* A worker. */
static void job_send_again(void *arg) {
    (void)job_send(arg);
    job_free(arg);
}

static void job_finish(struct job *job, ERL_NIF_TERM answer) {
    struct lsq_turn *turn;
    struct lsq_error err;
    bool unsent;

    enif_mutex_lock(job->res->lock);
    unsent = job_unlink_locked(job); /* else nobody wants it */
    turn = job_take_turn_locked(job);
    enif_mutex_unlock(job->res->lock);
    job->message = enif_make_tuple2(job->env, job->ref, answer);
    unsent = unsent && !job_send(job);
    (void)lsq_turn_free(turn);
    /* A process that was killed during its call, which carried this job, can send nothing any more. */
    if (unsent && calling_env != NULL && !enif_is_current_process_alive(calling_env) &&
        lsq_defer(job_send_again, job, &err) == LSQ_OK)
        return;
    job_free(job);
}

/* False: it was cancelled, and its caller was told that it has not begun; or interrupted. */
static bool job_begin(struct job *job) {
    enif_mutex_lock(job->res->lock);
    job->running = !job_called_off(job);
    enif_mutex_unlock(job->res->lock);
    return job->running;
}

static void job_end(struct job *job, bool ran) {
    enif_mutex_lock(job->res->lock);
    job->running = false;
    job->ran = ran;
    enif_mutex_unlock(job->res->lock);
}

static void job_behind(struct job *job, bool behind) {
    enif_mutex_lock(job->res->lock);
    job->behind = behind;
    enif_mutex_unlock(job->res->lock);
}

static void job_run(void *arg);

/* What a call to a server does before it is sent is little, where there is little to send: it needs no thread. */
static bool job_is_quick(const struct job *job) {
    return lsq_conn_is_remote(job->res->conn) && job->small;
}

static void job_run_one(struct job *job, enum stage stage);

/* To a worker: when the connection is free or closed, or when it is its turn. Any thread. */
static void job_defer(void *arg) {
    struct job *job = arg;
    struct lsq_error err;

    job_behind(job, false);
    if (job_is_quick(job))
        job_run_one(job, STAGE_WORKER);
    else if (lsq_defer(job_run, job, &err) != LSQ_OK)
        job_finish(job, make_error(job->env, job->res->state, &err));
}

/* In the connection, or with an answer that says why not. False: it will be run again. */
static bool job_enter(struct job *job, ERL_NIF_TERM *answer) {
    struct conn_res *res = job->res;
    /* Writers are not to wait for whoever is in there, unless he has only looked whose turn it is. */
    enum lsq_status st =
        job->in_line ? lsq_conn_enter_soon(res->conn) : lsq_conn_enter(res->conn, false);

    *answer = res->state->atoms.nil;
    if (st == LSQ_OK) return true;
    if (st == LSQ_IN_USE && job->in_line) {
        *answer = res->state->atoms.in_use;
        return true;
    }
    if (st == LSQ_IN_USE) {
        job_behind(job, true);
        st = lsq_conn_notify(res->conn, job_defer, job);
    }
    if (st == LSQ_OK) return false;
    *answer = make_failure(job->env, res->state, st, NULL);
    return true;
}

static ERL_NIF_TERM job_stopped(struct job *job) {
    bool closed = atomic_load(&job->res->closed);

    return make_failure(job->env, job->res->state, closed ? LSQ_CLOSED : LSQ_INTERRUPTED, NULL);
}

static struct call job_call(struct job *job, enum stage stage) {
    return (struct call){
        .env = job->env,
        .state = job->res->state,
        .res = job->res,
        .stage = stage,
        .argv = job->argv,
        .job = job,
        .op = job->op,
        .out = &job->out,
    };
}

static void job_run_one(struct job *job, enum stage stage) {
    struct conn_res *res = job->res;
    ERL_NIF_TERM pending = res->state->atoms.pending;
    struct call call = job_call(job, stage);
    ERL_NIF_TERM answer = res->state->atoms.nil;

    if (!job_called_off(job)) {
        if (!job_enter(job, &answer)) return;
        if (answer == res->state->atoms.nil) {
            if (job_begin(job)) {
                answer = job->op->run(&call);
                if (answer == pending) return; /* job_done() has it */
                job_end(job, !call.again);
            }
            lsq_conn_leave(res->conn);
            if (call.again) {
                job_defer(job);
                return;
            }
        }
    }
    if (answer == res->state->atoms.nil) answer = job_stopped(job); /* it has not run */
    job_finish(job, answer);
}

void job_done(void *arg, enum lsq_status st, const struct lsq_error *err) {
    struct job *job = arg;
    struct call call = job_call(job, STAGE_WORKER);
    ERL_NIF_TERM answer;

    if (st != LSQ_OK) job->out.err = *err;
    answer = job->op->finish(&call, st);
    job_end(job, true);
    lsq_conn_leave(job->res->conn);
    job_finish(job, answer);
}

/* A job whose turn comes by the end of a call, or of another job, is run behind that, on the same thread: to wake
 * another takes longer than most writes. */
static _Thread_local struct {
    bool on;
    enum stage stage; /* of what follows */
    struct job *next;
} following; /* per thread: one that runs jobs, or a call in its connection */

enum {
    FOLLOW_NS = 5000000, /* then others have the thread, whose time is not taken for one job's */
    CARRY_NS = 100000    /* the caller of the call waits meanwhile */
};

static void follow_begin(enum stage stage) {
    following.on = true;
    following.stage = stage;
    following.next = NULL;
}

/* Behind a call only what may be short: how long a batch will be is known of none. */
static bool may_follow(const struct job *job) {
    return following.on && following.next == NULL &&
           (following.stage == STAGE_WORKER || job->op->place == PLACE_FAST);
}

static void job_granted(void *arg) {
    struct job *job = arg;

    if (may_follow(job))
        following.next = job;
    else
        job_defer(job);
}

/* From that job on, which may be none. */
static void follow(struct job *job, int64_t most) {
    int64_t until = job == NULL ? 0 : lsqi_now_ns() + most;

    while (job != NULL && lsqi_now_ns() < until) {
        following.next = NULL;
        job_run_one(job, following.stage);
        job = following.next;
    }
    following.on = false;
    if (job != NULL) job_defer(job);
}

static void job_run(void *arg) {
    follow_begin(STAGE_WORKER);
    follow(arg, FOLLOW_NS);
}

void jobs_carry_begin(void) { follow_begin(STAGE_CARRIED); }

void jobs_carry_end(void) { follow(following.next, CARRY_NS); }

enum { SMALL_BYTES = 32 * 1024, SMALL_LIST = 200 };

/* Takes what the term has off the room; false: it is more. Texts are what costs. */
static bool fits(ErlNifEnv *env, ERL_NIF_TERM term, int depth, size_t *room) {
    ErlNifBinary bin;
    ERL_NIF_TERM head;
    unsigned count;

    if (enif_inspect_binary(env, term, &bin)) {
        if (bin.size > *room) return false;
        *room -= bin.size;
        return true;
    }
    if (!enif_get_list_length(env, term, &count)) return true;
    if (depth > 1 || count > SMALL_LIST) return false;
    while (enif_get_list_cell(env, term, &head, &term))
        if (!fits(env, head, depth + 1, room)) return false;
    return true;
}

static bool job_args(ErlNifEnv *env, struct job *job, ERL_NIF_TERM list) {
    size_t room = SMALL_BYTES;

    ERL_NIF_TERM head;
    ERL_NIF_TERM rest = list;
    struct conn_res *first;
    unsigned count;

    if (!enif_get_list_length(env, list, &count) || (int)count != job->op->arity) return false;
    for (unsigned i = 0; i < count; i++) {
        enif_get_list_cell(env, rest, &head, &rest);
        if (i == 0 && (!conn_get(env, job->res->state, head, &first) || first != job->res))
            return false;
        job->argv[i] = enif_make_copy(job->env, head);
        job->small = job->small && fits(env, head, 0, &room);
    }
    return true;
}

/* NULL: *answer says why, or is 0 where the arguments are none. */
static struct job *job_new(ErlNifEnv *env, const ERL_NIF_TERM argv[], ERL_NIF_TERM *answer) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;
    const struct op *op = NULL;
    struct job *job;
    char name[32];

    *answer = 0;
    if (enif_get_atom(env, argv[2], name, sizeof(name), ERL_NIF_LATIN1) > 0) op = op_find(name);
    if (op == NULL || !conn_get(env, state, argv[0], &res) || !enif_is_ref(env, argv[1]))
        return NULL;
    job = enif_alloc(sizeof(*job));
    if (job == NULL) {
        *answer = make_failure(env, state, LSQ_NOMEM, NULL);
        return NULL;
    }
    memset(job, 0, sizeof(*job));
    job->res = res;
    job->op = op;
    job->small = true;
    job->since = lsqi_now_ns();
    enif_keep_resource(res);
    job->env = enif_alloc_env();
    if (!job_args(env, job, argv[3])) {
        job_free(job);
        return NULL;
    }
    job->ref = enif_make_copy(job->env, argv[1]);
    enif_self(env, &job->pid);
    return job;
}

/* seen: interrupts_of() when its call began, or no number. False: it was interrupted since, and is not to run.
 * Who interrupts counts first, and then looks under the lock for jobs. The job may be gone as soon as it is
 * started. */
static bool job_link(ErlNifEnv *env, struct job *job, ERL_NIF_TERM seen) {
    struct conn_res *res = job->res;
    struct stmt_res *stmt = stmt_among(job->env, res->state, job->argv, job->op->arity);
    unsigned before;
    bool known = enif_get_uint(env, seen, &before) != 0;
    bool linked;

    job->monitored = enif_monitor_process(env, res, &job->pid, &job->monitor) == 0;
    enif_mutex_lock(res->lock);
    linked = !known || interrupts_of(res, stmt) == before;
    if (linked) {
        job->next = res->jobs;
        res->jobs = job;
    }
    enif_mutex_unlock(res->lock);
    return linked;
}

/* What has not begun, and never will; calling_env is set. */
static void job_drop(ErlNifEnv *env, struct job *job) {
    enif_mutex_lock(job->res->lock);
    (void)job_unlink_locked(job);
    enif_mutex_unlock(job->res->lock);
    calling_env = env;
    job_free(job);
    calling_env = NULL;
}

static ERL_NIF_TERM job_not_linked(ErlNifEnv *env, struct job *job) {
    struct nif_state *state = job->res->state;
    bool closed = atomic_load(&job->res->closed);

    job_drop(env, job);
    return make_failure(env, state, closed ? LSQ_CLOSED : LSQ_INTERRUPTED, NULL);
}

ERL_NIF_TERM nif_submit(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct lsq_error err;
    ERL_NIF_TERM answer;
    struct job *job = job_new(env, argv, &answer);

    if (job == NULL) return answer == 0 ? enif_make_badarg(env) : answer;
    if (argc == 6 && argv[5] != state->atoms.nil && !get_text(env, argv[5], &job->trace)) {
        job_free(job);
        return enif_make_badarg(env);
    }
    if (!job_link(env, job, argc == 6 ? argv[4] : state->atoms.nil))
        return job_not_linked(env, job);
    if (job_is_quick(job)) {
        calling_env = env;
        job_run_one(job, STAGE_WORKER);
        calling_env = NULL;
        return state->atoms.ok;
    }
    if (lsq_defer(job_run, job, &err) == LSQ_OK) return state->atoms.ok;
    job_drop(env, job);
    return make_error(env, state, &err);
}

ERL_NIF_TERM nif_submit_in_turn(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct lsq_error err;
    ERL_NIF_TERM answer;
    struct job *job = job_new(env, argv, &answer);
    struct lsq_turn *turn;

    if (job == NULL) return answer == 0 ? enif_make_badarg(env) : answer;
    job->in_line = true;
    if (!job_link(env, job, argc == 5 ? argv[4] : state->atoms.nil))
        return job_not_linked(env, job);
    if (lsq_turn_new(&turn, job->res->conn, job_granted, job, &err) != LSQ_OK) {
        job_drop(env, job);
        return make_error(env, state, &err);
    }
    enif_mutex_lock(job->res->lock);
    job->turn = turn;
    enif_mutex_unlock(job->res->lock);
    calling_env = env;
    lsq_turn_wait(turn);
    calling_env = NULL;
    return state->atoms.ok;
}

/* Takes a job out of line that its caller has cancelled; turn is its own, or NULL. No lock held. */
static void job_out_of_line(struct job *job, struct lsq_turn *turn) {
    if (turn != NULL && lsq_turn_free(turn)) job_free(job); /* no worker will see it */
}

static void job_cancel_locked(struct job *job) {
    (void)job_unlink_locked(job);
    atomic_store(&job->stopped, true);
    /* The lock keeps the job in the connection, so that this stops no other call. */
    if (job->running) lsq_conn_interrupt(job->res->conn);
}

void conn_down(ErlNifEnv *env, void *obj, ErlNifPid *pid, ErlNifMonitor *monitor) {
    struct conn_res *res = obj;
    struct lsq_turn *turn = NULL;
    struct job *job;

    (void)pid;
    enif_mutex_lock(res->lock);
    job = res->jobs;
    while (job != NULL && !(job->monitored && enif_compare_monitors(&job->monitor, monitor) == 0))
        job = job->next;
    if (job != NULL) {
        if (!job->running) turn = job_take_turn_locked(job);
        job_cancel_locked(job);
    }
    enif_mutex_unlock(res->lock);
    calling_env = env;
    job_out_of_line(job, turn);
    calling_env = NULL;
}

/* The caller's own: that of another process may still be on its way into line. */
static struct job *job_find_locked(ErlNifEnv *env, struct conn_res *res, ERL_NIF_TERM ref) {
    struct job *job = res->jobs;
    ErlNifPid self;

    enif_self(env, &self);
    while (job != NULL &&
           !(enif_is_identical(job->ref, ref) && enif_compare_pids(&job->pid, &self) == 0))
        job = job->next;
    return job;
}

static ERL_NIF_TERM cancel(ErlNifEnv *env, const ERL_NIF_TERM argv[], bool only_waiting) {
    struct nif_state *state = enif_priv_data(env);
    struct lsq_turn *turn = NULL;
    struct conn_res *res;
    struct job *job;
    bool begun;
    bool stays;

    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    enif_mutex_lock(res->lock);
    job = job_find_locked(env, res, argv[1]);
    begun = job != NULL && job->running;
    stays = job == NULL || job->ran || (only_waiting && begun);
    if (!stays) {
        if (!begun) turn = job_take_turn_locked(job);
        job_cancel_locked(job);
    }
    enif_mutex_unlock(res->lock);
    calling_env = env;
    job_out_of_line(job, turn);
    calling_env = NULL;
    if (stays) return state->atoms.sent;
    return begun ? state->atoms.cancelled : state->atoms.not_begun;
}

ERL_NIF_TERM nif_cancel(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    (void)argc;
    return cancel(env, argv, false);
}

ERL_NIF_TERM nif_cancel_waiting(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    (void)argc;
    return cancel(env, argv, true);
}

ERL_NIF_TERM nif_interrupt(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;

    (void)argc;
    if (!conn_get(env, state, argv[0], &res)) return enif_make_badarg(env);
    atomic_fetch_add(&res->interrupts, 1);
    enif_mutex_lock(res->lock);
    lsq_conn_interrupt(res->conn);
    jobs_tell_locked(res, NULL, env);
    enif_mutex_unlock(res->lock);
    return state->atoms.ok;
}

ERL_NIF_TERM nif_interrupts(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
    struct nif_state *state = enif_priv_data(env);
    struct conn_res *res;
    void *stmt;

    (void)argc;
    if (conn_get(env, state, argv[0], &res))
        return enif_make_uint(env, atomic_load(&res->interrupts));
    if (enif_get_resource(env, argv[0], state->stmt_type, &stmt))
        return enif_make_uint(env, atomic_load(&((struct stmt_res *)stmt)->interrupts));
    return enif_make_badarg(env);
}
