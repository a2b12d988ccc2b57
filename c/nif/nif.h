/* nif.h - what the files of this folder share; lib/ecto_libsql/nif.ex is the contract.
 *
 * nif.c       the table of functions, loading    conn_nif.c  connections, transactions
 * call.c      which scheduler runs a call        stmt_nif.c  SQL, statements, cursors
 * job.c       long calls, on the core's threads  terms.c     BEAM terms <-> values
 * wait.c      messages to those who wait         json.c      JSON text of terms
 * handle.c    resources: taking, dropping       files.c     what is known of files
 * remote_nif.c    what only servers have    replica_nif.c  what only replicas have
 *
 * Threads: said at each function; where nothing is said, the one that runs the native function. */
#ifndef LSQ_NIF_NIF_H
#define LSQ_NIF_NIF_H

#include <erl_nif.h>
#include <stdatomic.h>

#include "lsq/lsq.h"

struct atoms {
#define ATOM(field, text) ERL_NIF_TERM field;
#include "atoms.def"
#undef ATOM
};

/* The module's private data. */
struct nif_state {
    atomic_uint users; /* instances of the module */
    struct atoms atoms;
    ErlNifResourceType *conn_type;
    ErlNifResourceType *stmt_type;
    ErlNifResourceType *waiter_type;
    atomic_uint_fast64_t conns; /* opened so far: each has a number */
    ErlNifMutex *watcher_lock;
    ErlNifPid watcher; /* who is told of files; guarded by watcher_lock */
    bool watched;      /* somebody is; likewise */
};

struct job;
struct stmt_res;

/* A connection. The resource owns the core's handle; its destructor does not wait. */
struct conn_res {
    struct nif_state *state;
    struct lsq_conn *conn;
    uint64_t number;
    bool fast_path;
    atomic_bool closed;
    atomic_uint interrupts; /* so far: who waits outside the connection looks here */
    /* The open transaction: the connection's number in the high half, so that those of two
     * connections are told apart; 0: none. Written by who is in the connection. */
    atomic_uint_fast64_t trx;
    uint32_t last_trx;  /* who is in */
    ErlNifPid begun_by; /* who is in: the process that begin was called by, if by_begin */
    bool by_begin;      /* who is in: the open transaction was begun by begin, and not by SQL */
    ErlNifMutex *lock;  /* guards jobs, and users and finalized of statements; no work under it */
    struct job *jobs;
    ErlNifEnv *kept_env; /* owns kept */
    ERL_NIF_TERM kept;   /* what the driver keeps with the connection; constant once it is open */
};

/* A statement or cursor. Keeps its connection's resource. */
struct stmt_res {
    struct conn_res *conn;
    struct lsq_stmt *stmt;  /* NULL: finalized, and nobody uses it any more */
    unsigned users;         /* calls that hold the handle; guarded by conn->lock */
    bool finalized;         /* guarded by conn->lock */
    atomic_uint interrupts; /* as the connection's */
};

enum { CELLS_INLINE = 32 };

/* The sink's context: collects the rows of one statement, or the results of a batch. */
struct rows {
    ErlNifEnv *env;
    struct nif_state *state;
    ERL_NIF_TERM columns; /* a list; nil where the statement returns no rows */
    ERL_NIF_TERM types;   /* the same, where they were asked for; 0 elsewhere */
    bool how;             /* as of the call */
    bool fast;            /* it is on the fast path */
    ERL_NIF_TERM list;    /* rows, the last one first */
    ERL_NIF_TERM results; /* of a batch, the last one first */
    ERL_NIF_TERM *cells;
    size_t cell_count;
    size_t at;
    size_t row_count; /* of all statements */
    ERL_NIF_TERM cells_inline[CELLS_INLINE];
};

/* What an op comes to, at once or, on a server's connection, later: what its answer is made of. */
struct outcome {
    struct rows rows;
    struct lsq_reply reply;
    struct lsq_error err;
    bool end;                    /* cursor_fetch */
    struct lsq_sync_result sync; /* sync */
    struct stmt_res *stmt;       /* that the op holds until it has ended; NULL: none */
};

/* ---- call.c: how a native function comes to run ---- */

/* STAGE_CARRIED: of a job, behind another's call on a dirty scheduler. */
enum stage { STAGE_NORMAL, STAGE_DIRTY, STAGE_CARRIED, STAGE_WORKER };

/* One call that is in a connection. */
struct call {
    ErlNifEnv *env;
    struct nif_state *state;
    struct conn_res *res;
    enum stage stage;
    const ERL_NIF_TERM *argv;
    struct job *job; /* STAGE_CARRIED and STAGE_WORKER */
    const struct op *op;
    struct outcome *out;    /* the job's, where it has one */
    struct stmt_res *about; /* the statement among its arguments; NULL: none */
    unsigned seen;          /* interrupts_of() when it came */
    bool again;             /* run() found that the call belongs to the next stage */
    bool later;             /* it met a lock: its caller will come again */
    bool how;               /* the answer is to say how the statement was run */
};

enum { MOST_ARGS = 6 };

enum place { PLACE_FAST, PLACE_SHORT, PLACE_LONG };

/* A function that enters the connection, its first argument. */
struct op {
    const char *name;
    int arity;
    enum place place; /* where it begins: see OPS */
    /* The answer; atoms.pending: it will be made by finish(), on a thread of the core. */
    ERL_NIF_TERM (*run)(struct call *call);
    /* The answer of a call that has ended so; NULL: an op that never has to wait for a server. */
    ERL_NIF_TERM (*finish)(struct call *call, enum lsq_status st);
};

/* What run() answers of a call that has ended so, or is under way. */
ERL_NIF_TERM call_end(struct call *call, enum lsq_status st);

/* Runs op on this scheduler; where it belongs on the next, goes on there. */
ERL_NIF_TERM call_normal(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], const struct op *op,
                         ERL_NIF_TERM (*dirty)(ErlNifEnv *, int, const ERL_NIF_TERM[]));
/* Runs op on a dirty scheduler, unless it is for a server, which needs none. */
ERL_NIF_TERM call_short(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], const struct op *op,
                        ERL_NIF_TERM (*dirty)(ErlNifEnv *, int, const ERL_NIF_TERM[]));
/* Answers :async: the op belongs on a thread of the core. */
ERL_NIF_TERM call_long(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
/* Runs op on a dirty scheduler. */
ERL_NIF_TERM call_dirty(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], const struct op *op);

/* Fills *options from the terms of a time-out and of nif.ex's flags. False: *answer is the error. */
bool call_options(struct call *call, ERL_NIF_TERM timeout, ERL_NIF_TERM flags,
                  struct lsq_call *options, ERL_NIF_TERM *answer);

/* The same for an op without either. */
void call_plain(struct call *call, struct lsq_call *options);

/* After a call that may have begun or ended a transaction. */
void call_note(struct call *call, bool autocommit);
/* After a begin: the transaction is the calling process's, as long as that lives. */
void call_begun(struct call *call);
/* The same where the reply does not say: asks the connection. */
void call_look(struct call *call);
/* What a failed call answers; sets again where the call belongs to the next stage. */
ERL_NIF_TERM call_failed(struct call *call, const struct lsq_error *err);

/* Checks the transaction that the caller thinks to be in: nil or an integer. False: *answer is the
 * error. */
bool call_in_trx(struct call *call, ERL_NIF_TERM trx, ERL_NIF_TERM *answer);

/* The environment of the native function that runs on this thread: enif_send() wants it on the VM's own
 * threads. NULL on ours. */
extern _Thread_local ErlNifEnv *calling_env;

/* ---- remote_nif.c: servers ---- */

/* Reads a map of struct lsq_remote; NULL, or the name of what is wrong. Texts are to be freed by
 * remote_release(), also then. */
const char *remote_decode(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM map,
                          struct lsq_remote *remote);
void remote_release(struct lsq_remote *remote);
/* The handler of lsq_on_server_event(); arg is the nif_state. */
void remote_on_event(const struct lsq_server_event *event, void *arg);
ERL_NIF_TERM nif_set_token(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* ---- replica_nif.c: replicas ---- */

/* Reads a map of struct lsq_replica; NULL, or the name of what is wrong. */
const char *replica_decode(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM map,
                           struct lsq_replica *replica);
/* The handler of lsq_on_replica_event(); arg is the nif_state. */
void replica_on_event(const struct lsq_replica_event *event, void *arg);
ERL_NIF_TERM nif_replica_info(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* ---- handle.c: resources ---- */

bool conn_get(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM term, struct conn_res **res);
/* The statement among the arguments of a call, borrowed from the term; NULL: none. */
struct stmt_res *stmt_among(ErlNifEnv *env, struct nif_state *state, const ERL_NIF_TERM argv[],
                            int arity);
/* How often the connection, and the statement (NULL: none), were interrupted so far. Where it has changed
 * since a call began, the call is to end, wherever it waits. */
unsigned interrupts_of(struct conn_res *res, struct stmt_res *stmt);
void conn_destroy(ErlNifEnv *env, void *obj);
void stmt_destroy(ErlNifEnv *env, void *obj);

/* Takes the statement for this call: it stays until call_leave_stmt(). False: *answer is the error. */
bool call_enter_stmt(struct call *call, ERL_NIF_TERM term, struct stmt_res **stmt,
                     ERL_NIF_TERM *answer);
void call_leave_stmt(struct call *call, struct stmt_res *stmt);

ERL_NIF_TERM nif_stmt_finalize(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_stmt_interrupt(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* ---- job.c: long calls ---- */

/* lsq_call.stop: whether the job, its argument, was cancelled or interrupted. */
bool job_called_off(void *arg);
/* The process whose call it is. */
ERL_NIF_TERM job_caller(struct job *job);
/* lsq_call.traceparent of a job; NULL: none. */
const char *job_trace(const struct job *job);
/* lsq_call.done of a job on a server's connection; arg is the job. */
void job_done(void *arg, enum lsq_status st, const struct lsq_error *err);
/* Around a call in its connection on a dirty scheduler, which may end somebody's turn: the jobs whose turn comes then
 * are run behind it, if they are short, for a moment. */
void jobs_carry_begin(void);
void jobs_carry_end(void);
/* ms since it was submitted. */
int job_waited_ms(const struct job *job);
/* lsq_call.turn of a job that is in its connection; NULL: it stood in no line. */
const struct lsq_turn *job_turn(const struct job *job);
/* Notes the statement that the job's call uses; NULL: none. */
void job_use_locked(struct job *job, struct stmt_res *stmt);
/* Tells the processes that wait for a job of the connection (of that statement, if it is not NULL), which
 * runs or stands in line, that it was interrupted: they need not wait any longer. env: the caller's. */
void jobs_tell_locked(struct conn_res *res, const struct stmt_res *stmt, ErlNifEnv *env);
/* A process with a submitted call has ended. */
void conn_down(ErlNifEnv *env, void *obj, ErlNifPid *pid, ErlNifMonitor *monitor);

ERL_NIF_TERM nif_submit(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_submit_in_turn(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_cancel(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_cancel_waiting(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_interrupt(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_interrupts(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* ---- wait.c: messages to those who wait ---- */

void waiter_destroy(ErlNifEnv *env, void *obj);
ERL_NIF_TERM nif_notify_idle(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_cancel_idle(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_close(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* ---- files.c: what is known of files ---- */

/* Sends {:ecto_libsql, kind, map} to who watches, if anybody does; takes env. */
void files_tell(struct nif_state *state, ErlNifEnv *env, ERL_NIF_TERM kind, ERL_NIF_TERM map);
/* False: no memory. */
bool files_load(struct nif_state *state);
/* The library has stopped. */
void files_unload(struct nif_state *state);
ERL_NIF_TERM nif_file_info(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_watch_files(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* ---- nif.c ---- */

/* The op of that name; NULL: there is none. */
const struct op *op_find(const char *name);

/* ---- terms.c ---- */

enum { PARAMS_INLINE = 8 };

/* Decoded parameters. Borrows from the terms. */
struct params {
    struct lsq_params params;
    struct lsq_value *values; /* values_inline, or allocated */
    struct lsq_name *names;   /* NULL by position */
    struct lsq_value values_inline[PARAMS_INLINE];
};

/* Decodes a list. False: why[0..256) says what is wrong with it. */
bool params_decode(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM list,
                   struct params *params, char *why);
void params_release(struct params *params);

extern const struct lsq_sink rows_sink;
void rows_init(struct rows *rows, ErlNifEnv *env, struct nif_state *state);
/* The same for a call with options. */
void rows_init_for(struct rows *rows, struct call *call, const struct lsq_call *options);
void rows_release(struct rows *rows);
/* {command, columns, rows, num_rows, last_rowid, autocommit?}, and types where they were asked for; with how,
 * types or nil, and a number */
ERL_NIF_TERM rows_result(struct rows *rows, const struct lsq_reply *reply);
/* The rows in their order. */
ERL_NIF_TERM rows_list(struct rows *rows);

ERL_NIF_TERM make_ok(ErlNifEnv *env, struct nif_state *state, ERL_NIF_TERM value);
ERL_NIF_TERM make_bool(struct nif_state *state, bool value);
ERL_NIF_TERM make_text(ErlNifEnv *env, const char *text);
/* The text, or nil for NULL and "". */
ERL_NIF_TERM make_text_or_nil(ErlNifEnv *env, struct nif_state *state, const char *text);
ERL_NIF_TERM make_error(ErlNifEnv *env, struct nif_state *state, const struct lsq_error *err);
/* An error of the NIF's own. */
ERL_NIF_TERM make_failure(ErlNifEnv *env, struct nif_state *state, enum lsq_status status,
                          const char *message);
/* A copy of the binary with a NUL behind it, to be given to enif_free(). False: no binary, with a NUL
 * inside, or no memory. */
bool get_text(ErlNifEnv *env, ERL_NIF_TERM term, char **text);

enum { ATOM_BYTES = 255 * 4 };
/* Writes an atom's name to text[0..ATOM_BYTES), UTF-8 without a NUL behind it. Its length, or SIZE_MAX
 * for what is no atom. */
size_t get_atom_text(ErlNifEnv *env, ERL_NIF_TERM term, char *text);

/* ---- conn_nif.c, stmt_nif.c ---- */

ERL_NIF_TERM nif_open(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_busy_timeout(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_kept(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_status(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_turn_holder(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_core_info(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_memory(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
ERL_NIF_TERM nif_json_encode(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* The ops, one for each function of nif.ex that enters the connection, and where it begins:
 *   FAST   on the caller's scheduler, where it is known to be short; else as SHORT
 *   SHORT  on a dirty scheduler; answers :async where it turns out to be long
 *   LONG   on a thread of the core at once (:async): it compiles SQL, for which a scheduler's stack is
 *          too small, or has much to do
 * and what makes its answer once the call has ended. */
#define OPS(X)                                                                                     \
    X(execute, 6, FAST, rows)                                                                      \
    X(stmt_execute, 6, FAST, rows)                                                                 \
    X(execute_many, 6, LONG, rows)                                                                 \
    X(batch, 5, LONG, batch)                                                                       \
    X(batch_sql, 5, LONG, batch)                                                                   \
    X(begin, 4, SHORT, begin)                                                                      \
    X(commit, 4, SHORT, done)                                                                      \
    X(rollback, 2, SHORT, done)                                                                    \
    X(savepoint, 3, SHORT, done)                                                                   \
    X(release, 3, SHORT, done)                                                                     \
    X(rollback_to, 3, SHORT, done)                                                                 \
    X(enforce_foreign_keys, 3, SHORT, none)                                                        \
    X(prepare, 2, LONG, prepare)                                                                   \
    X(stmt_reset, 2, SHORT, none)                                                                  \
    X(stmt_info, 2, LONG, none)                                                                    \
    X(cursor_start, 4, SHORT, none)                                                                \
    X(cursor_fetch, 5, SHORT, fetch)                                                               \
    X(reset, 1, LONG, none)                                                                        \
    X(set_busy_timeout, 2, SHORT, none)                                                            \
    X(info, 2, SHORT, none)                                                                        \
    X(notices, 1, SHORT, none)                                                                     \
    X(cacheflush, 1, SHORT, none)                                                                  \
    X(checkpoint, 3, LONG, none)                                                                   \
    X(enable_extensions, 2, SHORT, none)                                                           \
    X(load_extension, 3, LONG, none)                                                               \
    X(sync, 4, LONG, sync)                                                                         \
    X(set_aside, 3, LONG, none)                                                                    \
    X(freeze, 1, LONG, none)

#define finish_none NULL
ERL_NIF_TERM finish_rows(struct call *call, enum lsq_status st);
ERL_NIF_TERM finish_batch(struct call *call, enum lsq_status st);
ERL_NIF_TERM finish_begin(struct call *call, enum lsq_status st);
ERL_NIF_TERM finish_done(struct call *call, enum lsq_status st);
ERL_NIF_TERM finish_prepare(struct call *call, enum lsq_status st);
ERL_NIF_TERM finish_fetch(struct call *call, enum lsq_status st);
ERL_NIF_TERM finish_sync(struct call *call, enum lsq_status st);

#define DECLARE_OP(name, arity, place, finish) ERL_NIF_TERM op_##name(struct call *call);
OPS(DECLARE_OP)
#undef DECLARE_OP

#endif
