/* conn.h - a connection and its parts, but what is a server's (remote/remote.h); shared by the files of this folder, nobody else.
 *
 * open.c      opening, closing, freeing          settings.c  PRAGMAs as data
 * attach.c    databases beside the main one
 * call.c      what surrounds every call          prepare.c   SQL text to statement
 * run.c       one run of a statement             cache.c     the statement cache
 * values.c    parameters in, rows out            speed.c     where a statement may run
 * stmt.c      statements and cursors             batch.c     many statements, many rows
 * txn.c       transactions and savepoints        info.c      counters, checkpoint, extensions
 * turn.c      turns to write                     files.c     the files that are written to
 * stats.c     what is known of the file
 * replica.c   a file that follows a server       route.c     which of the two a statement is for
 * later.c     reads that wait for the file
 *
 * Threads: "who is in" below is the one thread that gate.h let begin a call. */
#ifndef LSQI_CONN_CONN_H
#define LSQI_CONN_CONN_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "base/gate.h"
#include "base/sql.h"
#include "engine/record.h"
#include "file/file.h"
#include "lsq/lsq.h"
#include "remote/remote.h"
#include "repl/replica.h"

/* How quick a statement has been, to decide where it may run next. */
struct lsqi_speed {
    unsigned char judged;   /* 0 not yet, 1 its program is bounded, 2 it is not */
    unsigned char good;     /* short runs in a row */
    bool slow;              /* a run was long: not for threads that many share */
    unsigned char patience; /* short runs since then */
};

/* An SQL statement as the engine compiled it. Who is in. */
struct lsqi_prepared {
    sqlite3_stmt *stmt; /* NULL: closed, or only white space */
    char *sql;          /* with a NUL behind it */
    size_t len;
    enum lsq_command command;
    struct lsqi_record record;
    struct lsqi_speed speed;
    /* of the cache */
    unsigned users; /* between lsqi_statement_get() and _done(): it may not be evicted */
    uint64_t hash;
    struct lsqi_prepared *hash_next;
    struct lsqi_prepared *newer;
    struct lsqi_prepared *older;
};

/* It writes rows or schema, be it in the temp database only. */
static inline bool lsqi_writes(const struct lsqi_prepared *prepared) {
    return prepared->record.writes != 0 || (prepared->record.actions & LSQI_WRITES_TEMP) != 0;
}

struct lsqi_cache {
    struct lsqi_prepared **buckets; /* NULL: no cache */
    size_t bucket_mask;
    size_t capacity;
    size_t count;
    struct lsqi_prepared *newest;
    struct lsqi_prepared *oldest;
    _Atomic int64_t hits; /* as lsqi_count() counts */
    _Atomic int64_t misses;
};

/* The call that runs. */
struct lsqi_run {
    unsigned flags;           /* of enum lsq_call_flags */
    int64_t deadline;         /* ns; 0: none */
    int64_t budget_end;       /* ns; 0: none */
    int64_t busy_since;       /* ns; 0: no lock was waited for yet */
    bool busy_asked;          /* the engine asked whether to wait for a lock */
    bool stood;               /* it has been sent to the turnstile */
    bool late_for_lock;       /* its deadline came while it waited for a lock */
    bool at_once;             /* it waits for no lock: it has one, and wants another file's */
    bool apart;               /* BEGIN of several files: it lets go of all before it tries again */
    bool refused;             /* it has not run, though it had its turn: see lsqi_turn_unused() */
    bool reads_only;          /* the running statement can be broken off without a trace */
    bool (*asked)(void *arg); /* the caller's own stop; may be NULL */
    void *asked_arg;
    const struct lsq_turn *turn; /* that it waited with; NULL: none */
    uint64_t caller;
    bool writes;          /* the running statement writes, by the engine's own word */
    enum lsq_status stop; /* why the watch broke the statement off; LSQ_OK: it did not */
};

/* Statements that undo: compiled at opening, so that undoing needs no memory. */
enum lsqi_undo { LSQI_ROLLBACK, LSQI_ROLLBACK_ONE, LSQI_RELEASE_ONE, LSQI_UNDO_COUNT };

struct lsqi_later;

struct lsqi_setting {
    char *name;
    char *value;
};

struct lsqi_attached {
    char *name;
    char *path;
    char *file; /* what the engine made of it; "" in memory; NULL: not attached yet */
};

/* The files that have a line of writers: of the main database, and of those attached that may be written to. */
struct lsqi_files {
    atomic_uint refs;
    atomic_uint wanted; /* which of them the last call wanted that found one's turn taken */
    unsigned count;
    struct {
        struct lsqi_file *file;
        unsigned databases; /* that are this file: bit i for the engine's database i */
    } of[LSQI_MOST_LANES];
};

struct lsq_conn {
    struct lsqi_gate gate;
    struct lsqi_remote *remote; /* of a server; then there is no engine. NULL: of a file */
    /* Of a file that follows a server; both or none. The engine has the file open read-only. Changed by who is in,
     * under the gate's lock, when it is frozen */
    struct lsqi_replica *replica;
    struct lsqi_remote *primary;
    /* Of a file that follows a server and is written to offline: a file's connection in all but syncs. Changed as
     * replica is; never both */
    struct lsqi_replica *offline;
    sqlite3 *db; /* who is in, and interrupt under the gate's lock; NULL once closed */
    /* set at opening */
    unsigned flags;
    bool no_fast_path;
    int configured_busy_timeout;
    int max_sql;            /* bytes of SQL text that the engine takes */
    struct lsqi_file *file; /* of the main database; NULL: none. Stays after closing */
    /* Changed by who is in, under the gate's lock; others look under it. NULL: no memory. */
    struct lsqi_files *files;
    bool has_key;
    /* of a replica, as lsq_replica's */
    bool stale_reads;
    bool stale_is_error;
    int stale_after;
    int max_length; /* as lsq_config's: for opening it once more */
    size_t statement_cache;
    struct lsqi_setting *settings;
    size_t setting_count;
    struct lsqi_attached *attached;
    size_t attached_count;
    /* who is in */
    struct lsq_notice *notices;
    size_t notice_count;
    struct lsqi_cache cache;
    sqlite3_stmt *undo[LSQI_UNDO_COUNT];
    struct lsq_stmt *stmts; /* all handles whose statement the engine still holds */
    struct lsqi_run run;
    struct lsqi_record *recording; /* where the authorizer notes; NULL: nowhere */
    bool compiles;                 /* SQL may be compiled: see lsqi_call_compile() */
    bool wal;                      /* the main database */
    bool query_only; /* PRAGMA query_only: what writes is an error, and takes no turn */
    bool calm;  /* all databases are in WAL mode, or this connection's alone: nobody locks it out */
    bool wrote; /* the open transaction has run what writes; void where none is open */
    unsigned held;             /* bit i: it has the turn to write to files->of[i] */
    bool held_on;              /* beyond the call that took it, which is told */
    struct lsqi_file *inside;  /* where it has the turn among processes, too; NULL: nowhere */
    bool read_txn;             /* LSQ_TXN_READ is open */
    bool patient;              /* LSQ_TXN_PATIENT is open */
    bool keys_switched;        /* lsq_enforce_foreign_keys() was called in this transaction ... */
    bool keys_before;          /* ... and this holds again after it */
    int watch_steps;           /* how often the engine calls the watch; 0: unset */
    int autocheckpoint;        /* pages of a WAL that are too many; 0: any number will do */
    _Atomic int64_t fast_runs; /* as lsqi_count() counts */
    int64_t fast_refusals;
    struct lsqi_reader reader;
    struct lsqi_later *waiting; /* for the file; guarded by the gate's lock */
    atomic_bool is_replica;
    /* any thread */
    atomic_int busy_timeout;  /* ms */
    atomic_uint open_cursors; /* cursors that hold rows: sqlite3_interrupt() would end them too */
    _Atomic(const struct lsq_stmt *) running; /* the handle that runs; NULL: text, or nothing */
    _Atomic(struct lsq_stmt *) discarded;     /* changed under gate.lock */
};

struct lsq_stmt {
    struct lsqi_prepared prepared;   /* who is in */
    struct lsqi_remote_stmt *remote; /* of a server's connection; NULL until it is described */
    struct lsq_conn *conn;           /* holds a reference to its memory */
    struct lsq_stmt *next;           /* of conn->stmts */
    struct lsq_stmt *prev;
    struct lsq_stmt *next_discarded; /* guarded by the gate's lock, as: */
    bool held;                       /* its call waits, and will be made again */
    /* a cursor */
    bool started;
    bool stepped; /* it holds rows of the engine */
    struct lsq_params
        params; /* of a replica's until it is stepped: a copy, in case that the primary is to be asked */
    struct lsq_result *kept; /* a writing statement's rows, read at the first fetch */
    size_t kept_next;
};

/* ---- open.c ---- */

/* LSQ_UNSUPPORTED for a server's connection. */
enum lsq_status lsqi_files_only(const struct lsq_conn *conn, const char *what,
                                struct lsq_error *err);
/* The same for a replica's, too. */
enum lsq_status lsqi_plain_only(const struct lsq_conn *conn, const char *what,
                                struct lsq_error *err);
/* Opens the engine on a file, with what the configuration says of it. Where it fails, lsqi_engine_close() is to be called. */
enum lsq_status lsqi_engine_open(struct lsq_conn *conn, const struct lsq_config *cfg,
                                 struct lsq_error *err);
void lsqi_engine_close(struct lsq_conn *conn);

/* Among the flags of a configuration, beside LSQ_OPEN_READONLY: a replica's file is opened as it is. For tests, which
 * look at it without the routing of a replica's connections. */
#define LSQI_OPEN_ANY_ROLE (1u << 30)

/* ---- replica.c ---- */

/* Of a configuration with a primary: fills in replica and primary, after the first sync if there is to be one, and
 * *file with how the engine is to open the file. To be given to lsqi_replica_part(). */
enum lsq_status lsqi_replica_join(struct lsq_conn *conn, const struct lsq_config *cfg,
                                  struct lsq_config *file, struct lsq_error *err);
/* What the connection's file follows a server by, whichever way it is written to; NULL: it does not. */
static inline struct lsqi_replica *lsqi_followed(const struct lsq_conn *conn) {
    return conn->replica != NULL ? conn->replica : conn->offline;
}
/* Has the engine ask before it commits to the main database. Nothing for others than those that write offline. */
void lsqi_offline_install(struct lsq_conn *conn);
/* Of those: LSQ_UNSUPPORTED for statements that write round what is asked. */
enum lsq_status lsqi_offline_allows(const struct lsq_conn *conn,
                                    const struct lsqi_prepared *prepared, struct lsq_error *err);
/* NULL is fine: no replica. */
void lsqi_replica_part(struct lsq_conn *conn);
/* A connection found the file damaged: it is fetched anew, and reads wait for that. */
void lsqi_replica_mend(struct lsqi_replica *replica);
/* A read goes to the primary, for what it has to see is not here. In a call. */
void lsqi_replica_stale(const struct lsq_conn *conn, const struct lsq_error *why);
/* Whether the file follows a server. Any thread. */
bool lsqi_replica_known(struct lsq_conn *conn);
/* lsq_conn_set_token(). Any thread. */
enum lsq_status lsqi_replica_token(struct lsq_conn *conn, const char *token, struct lsq_error *err);

/* ---- route.c: of a replica, by who is in ---- */

/* Of a lsq_call's flags, for calls that are made again once they have waited. */
enum {
    LSQI_CALL_WAITED = 1 << 29, /* the file has what was written */
    LSQI_CALL_BEHIND = 1 << 30  /* it has not, and the primary is to be asked */
};

enum lsqi_way {
    LSQI_HERE,   /* the file */
    LSQI_THERE,  /* the primary */
    LSQI_BEHIND, /* the file, once it has what was written */
};

enum lsqi_way lsqi_way_of(struct lsq_conn *conn, const struct lsqi_prepared *prepared);

/* Where a statement is to run, in a call. */
static inline enum lsqi_way lsqi_way(struct lsq_conn *conn, const struct lsqi_prepared *prepared) {
    return conn->replica == NULL ? LSQI_HERE : lsqi_way_of(conn, prepared);
}
/* Where what belongs to no transaction that is open at the primary is to read. */
enum lsqi_way lsqi_way_to_read(struct lsq_conn *conn);
/* A transaction is open at the primary, or was lost there. False: no replica. */
bool lsqi_is_there(const struct lsq_conn *conn);
/* Of SQL that could not be compiled: the primary's schema may be another. */
bool lsqi_is_theirs(const struct lsq_conn *conn, enum lsq_status st, const struct lsq_error *err);

/* ---- Of a replica: calls that may have to wait ---- */

/* A call that may have to be made again. Everything is borrowed. */
struct lsqi_again {
    enum {
        LSQI_AGAIN_EXEC,
        LSQI_AGAIN_MANY,
        LSQI_AGAIN_BATCH, /* of statements */
        LSQI_AGAIN_TEXT,  /* a batch of text */
        LSQI_AGAIN_STMT,
        LSQI_AGAIN_FETCH,
        LSQI_AGAIN_BEGIN
    } what;
    const char *sql; /* EXEC, MANY, TEXT */
    size_t len;
    lsq_next_params *next; /* MANY */
    void *next_ctx;
    struct lsqi_rows *rows;             /* MANY: of a copy, what next gives */
    const struct lsq_batch_item *items; /* BATCH */
    size_t count;
    size_t *done;                    /* BATCH, TEXT */
    struct lsq_stmt *stmt;           /* STMT, FETCH */
    const struct lsq_params *params; /* EXEC, STMT */
    size_t max_rows;                 /* FETCH */
    bool *end;
    enum lsq_txn txn; /* BEGIN */
    const struct lsq_call *call;
    const struct lsq_sink *sink;
    void *ctx;
    struct lsq_reply *reply;
};

/* ---- again.c ---- */

/* A call whose caller has gone: to be given to lsqi_again_release(), where it fails, too.
 * Errors: LSQ_NOMEM; LSQ_PARAMETERS of a row that next refuses. */
enum lsq_status lsqi_again_copy(struct lsqi_again *copy, const struct lsqi_again *again,
                                struct lsq_error *err);
void lsqi_again_release(struct lsqi_again *copy);
/* Makes the call, with what is left of its time. */
enum lsq_status lsqi_again_run(struct lsq_conn *conn, const struct lsqi_again *again,
                               const struct lsq_call *call, struct lsq_error *err);

/* ---- later.c: of a replica ---- */

/* In a call, which it ends: waits for the file, then makes the call again, and answers as it does. */
enum lsq_status lsqi_later(struct lsq_conn *conn, const struct lsqi_again *again,
                           struct lsq_error *err);
/* Ends the waiting. Under the gate's lock. */
void lsqi_later_call_off_locked(struct lsqi_later *later);
/* lsq_sync() and lsq_sync_until(); 0: all. */
enum lsq_status lsqi_later_sync(struct lsq_conn *conn, uint64_t until, const struct lsq_call *call,
                                struct lsq_sync_result *result, struct lsq_error *err);

/* ---- call.c ---- */

/* Begins a call: the connection is the caller's until lsqi_call_end(). call may be NULL.
 * Errors: LSQ_CLOSED, LSQ_IN_USE. */
enum lsq_status lsqi_call_begin(struct lsq_conn *conn, const struct lsq_call *call,
                                struct lsq_error *err);
void lsqi_call_end(struct lsq_conn *conn);
/* LSQ_WOULD_BLOCK for LSQ_CALL_TRY, of calls that are never known to be short. call may be NULL. */
enum lsq_status lsqi_call_not_short(const struct lsq_call *call, struct lsq_error *err);

/* Between two statements of one call, which may be too short for the watch: LSQ_INTERRUPTED or
 * LSQ_TIMEOUT where the call is to stop. */
enum lsq_status lsqi_call_check(struct lsq_conn *conn, struct lsq_error *err);

/* Allows or forbids compiling SQL, and what else recurses as deep as its input; answers what was
 * before. Compiling walks statements, views and triggers by recursion, so a call that may run on a
 * small stack runs only what is compiled already, and the engine may not compile it anew either. */
bool lsqi_call_compile(struct lsq_conn *conn, bool allowed);

/* Puts the busy handler, the authorizer and what looks at the WAL after a commit in place. */
enum lsq_status lsqi_call_install(struct lsq_conn *conn, struct lsq_error *err);

/* Before and after the steps of one statement: steps is how many instructions pass between two
 * looks at clock and flags. */
void lsqi_watch_begin(struct lsq_conn *conn, struct lsqi_prepared *prepared, int steps);

/* Stops what the watch cannot; any thread, under the gate's lock. */
void lsqi_call_interrupt(struct lsqi_gate *gate);

/* ---- prepare.c ---- */

/* Compiles the first statement of sql[0..len); *used gets the bytes it took. prepared must be zero;
 * on success it owns its memory, until lsqi_prepared_release(). */
enum lsq_status lsqi_prepare(struct lsq_conn *conn, struct lsqi_prepared *prepared, const char *sql,
                             size_t len, bool keep, size_t *used, struct lsq_error *err);
void lsqi_prepared_release(struct lsqi_prepared *prepared);

/* ---- cache.c ---- */

enum lsq_status lsqi_cache_init(struct lsqi_cache *cache, size_t capacity);
void lsqi_cache_release(struct lsqi_cache *cache);
/* A database was attached: BEGIN IMMEDIATE locks those that there were when it was compiled, and the engine
 * does not compile it anew. */
void lsqi_cache_drop_begins(struct lsqi_cache *cache);
struct lsqi_prepared *lsqi_cache_find(struct lsqi_cache *cache, const char *sql, size_t len);
/* Takes prepared, which was allocated. False: all that it could evict are in use, and prepared is
 * still the caller's. */
bool lsqi_cache_put(struct lsqi_cache *cache, struct lsqi_prepared *prepared);

/* ---- run.c ---- */

/* The statement for one run of text: from the cache, or compiled. *owned is true where the caller
 * must give it to lsqi_statement_done(). */
enum lsq_status lsqi_statement_get(struct lsq_conn *conn, const char *sql, size_t len,
                                   struct lsqi_prepared **out, struct lsq_error *err);
/* Keeps it in the cache where that is useful, and frees it elsewhere. */
void lsqi_statement_done(struct lsq_conn *conn, struct lsqi_prepared *prepared);

/* The same of a replica, in a call: and where it is to run. What cannot be compiled, and may be the primary's, is no
 * error: *out is NULL. */
enum lsq_status lsqi_statement_way(struct lsq_conn *conn, const char *sql, size_t len,
                                   struct lsqi_prepared **out, enum lsqi_way *way,
                                   struct lsq_error *err);

/* Runs a statement from start to end, inside a call. reply may not be NULL. */
enum lsq_status lsqi_run(struct lsq_conn *conn, struct lsqi_prepared *prepared,
                         const struct lsq_params *params, const struct lsq_sink *sink, void *ctx,
                         struct lsq_reply *reply, struct lsq_error *err);

/* Runs text without parameters or rows, inside a call: for the library's own statements, which are
 * compiled anywhere, for they need neither the schema nor much stack. */
enum lsq_status lsqi_run_text(struct lsq_conn *conn, const char *sql, struct lsq_error *err);

/* Parts of lsqi_run() that cursors use too. */
enum lsq_status lsqi_run_allowed(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                                 struct lsq_error *err);
/* After its last step: looks what it has changed of the connection. */
enum lsq_status lsqi_run_ended(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                               enum lsq_status st, struct lsq_error *err);
/* VACUUM INTO, which reads. */
bool lsqi_is_vacuum_into(const struct lsqi_prepared *prepared);
/* Turns the engine's last error into *err, after the watch's own reason. Resets the statement. */
enum lsq_status lsqi_run_failed(struct lsq_conn *conn, struct lsqi_prepared *prepared, int code,
                                struct lsq_error *err);

/* ---- values.c ---- */

/* Binds all parameters of the statement; borrows them until it is reset, or copies. */
enum lsq_status lsqi_bind(struct lsqi_prepared *prepared, const struct lsq_params *params,
                          bool copy, struct lsq_error *err);
/* False: no memory; what there is of the copy is to be released all the same. params may be NULL; *copy is zero. */
bool lsqi_params_copy(struct lsq_params *copy, const struct lsq_params *params);
void lsqi_params_release(struct lsq_params *params);
/* The names, and with LSQ_CALL_TYPES among the call's flags the declared types. */
bool lsqi_push_columns(sqlite3_stmt *stmt, unsigned flags, const struct lsq_sink *sink, void *ctx);
bool lsqi_push_row(sqlite3_stmt *stmt, int columns, const struct lsq_sink *sink, void *ctx);

/* ---- speed.c: who is in ---- */

bool lsqi_speed_vacuum(const struct lsqi_prepared *prepared);
/* Whether threads that many share should not run it. */
bool lsqi_speed_too_long(const struct lsqi_prepared *prepared);
/* Whether it was quick each of the last times. */
bool lsqi_speed_short(const struct lsqi_prepared *prepared);
/* Whether it may run on the fast path. */
bool lsqi_speed_fast(const struct lsq_conn *conn, const struct lsqi_prepared *prepared);
/* Whether it has been quick often enough for its program to be worth a look. */
bool lsqi_speed_to_be_judged(const struct lsq_conn *conn, const struct lsqi_prepared *prepared);
/* Looks at its program, if it is to be judged and may be compiled once more for that. */
void lsqi_speed_judge(struct lsq_conn *conn, struct lsqi_prepared *prepared);
/* After a run of that many ns. */
void lsqi_speed_learn(struct lsqi_prepared *prepared, int64_t took);

/* ---- txn.c ---- */

enum lsq_status lsqi_undo_prepare(struct lsq_conn *conn, struct lsq_error *err);
void lsqi_undo_release(struct lsq_conn *conn);
/* Runs one of them, inside a call. err may be NULL. */
enum lsq_status lsqi_undo_run(struct lsq_conn *conn, enum lsqi_undo undo, struct lsq_error *err);

/* What a writing statement answers in a transaction that reads. */
enum lsq_status lsqi_txn_refused(struct lsq_error *err);
/* After what may have ended a transaction: what held for its length holds no more. */
void lsqi_txn_look(struct lsq_conn *conn);

/* ---- turn.c ---- */

/* Before what writes to these databases (bit i for database i; ~0u: to all). Errors: LSQ_BUSY without an
 * engine's code: transient where it is not this connection's turn and the call is not to wait, final where it
 * has the turn of another file, or where two of them are the same file; LSQ_BUSY_SNAPSHOT. */
enum lsq_status lsqi_turn_take(struct lsq_conn *conn, const struct lsqi_prepared *prepared,
                               unsigned databases, struct lsq_error *err);
/* The call ends with its turn unused, which is for its next try where it stood in line for it: LSQ_WOULD_BLOCK. */
enum lsq_status lsqi_turn_unused(struct lsq_conn *conn, const char *why, struct lsq_error *err);
/* The engine has refused its lock: *err, which says so, is made to say what is to be done. */
enum lsq_status lsqi_turn_refused(struct lsq_conn *conn, struct lsq_error *err);
/* What lsq_turn_new() is to wait for: what the connection has now, and will have given back. */
void lsqi_turn_want(struct lsq_conn *conn);
/* Whether the call is to wait on its thread for other programs' locks. */
bool lsqi_turn_waits(const struct lsq_conn *conn);
/* The engine's lock is another's: gets in line where another process may have it, until then (ns), once in a
 * call. True: it is this one's turn to try again. */
bool lsqi_turn_stand(struct lsq_conn *conn, int64_t until);
/* At the end of a call: gives the turn back where nothing is being written any more. */
void lsqi_turn_look(struct lsq_conn *conn);
/* The engine has closed its files. */
void lsqi_turn_end(struct lsq_conn *conn);

/* ---- files.c ---- */

/* Looks anew which files there are: at opening, and when one may have been attached or detached. */
void lsqi_files_look(struct lsq_conn *conn);
/* Before the engine closes them; the set itself stays, for those who stand in line. */
void lsqi_files_leave(struct lsq_conn *conn);
/* The set as it is, to be given to lsqi_files_unref(); NULL: none. Any thread. */
struct lsqi_files *lsqi_files_get(struct lsq_conn *conn);
void lsqi_files_unref(struct lsqi_files *files);
/* Which files those databases are. */
unsigned lsqi_files_of(const struct lsqi_files *files, unsigned databases);
/* The lines of those files. */
void lsqi_files_lanes(const struct lsqi_files *files, unsigned which, struct lsqi_lanes *lanes);

/* ---- stats.c: who is in ---- */

/* At a call's begin, unless it is on the fast path: it may read from now on. */
void lsqi_reading_begin(struct lsq_conn *conn, int64_t now, uint64_t caller);
/* At its end: whether a snapshot is kept. */
void lsqi_reading_end(struct lsq_conn *conn);
/* The engine has the file open, and does no more. */
void lsqi_stats_join(struct lsq_conn *conn);
void lsqi_stats_leave(struct lsq_conn *conn);

/* ---- settings.c ---- */

enum lsq_status lsqi_settings_copy(struct lsq_conn *conn, const struct lsq_config *cfg);
void lsqi_settings_release(struct lsq_conn *conn);
/* Applies all settings and reads them back; fills the notices. */
enum lsq_status lsqi_settings_apply(struct lsq_conn *conn, struct lsq_error *err);
/* PRAGMAs that are ours: what the engine would do, sleep or checkpoint, is not for all threads, and of
 * open_cursors, how many are being read, it knows nothing. Whether it is one, its value, and the name of the
 * column that shows it. */
bool lsqi_settings_own(const char *pragma);
int lsqi_settings_own_value(struct lsq_conn *conn, const char *pragma);
const char *lsqi_settings_own_column(const char *pragma);
/* False: pragma is none of them. */
bool lsqi_settings_own_set(struct lsq_conn *conn, const char *pragma, const char *value);
/* Looks which databases are in WAL mode: after what may have changed it, or attached one. */
void lsqi_settings_look(struct lsq_conn *conn);

/* ---- attach.c ---- */

enum lsq_status lsqi_attached_check(const struct lsq_config *cfg, struct lsq_error *err);
enum lsq_status lsqi_attached_copy(struct lsq_conn *conn, const struct lsq_config *cfg);
void lsqi_attached_release(struct lsq_conn *conn);
/* Detaches what is not configured, and attaches what is and is missing. */
enum lsq_status lsqi_attached_restore(struct lsq_conn *conn, struct lsq_error *err);
/* After an ATTACH: what is attached and is a replica's file is detached again, with an error. A transaction that has
 * touched it already is rolled back for it. Errors: LSQ_ALREADY_OPEN. */
enum lsq_status lsqi_attached_roles(struct lsq_conn *conn, struct lsq_error *err);

/* ---- open.c ---- */

/* The path of a shared in-memory database as the engine wants it, to be given to sqlite3_free(); NULL
 * where it is another kind of path. */
char *lsqi_memdb_path(const char *path);

/* ---- stmt.c ---- */

/* Begins to read each database: takes snapshots, and sees changes of the schemas by others. */
enum lsq_status lsqi_schemas_read(struct lsq_conn *conn, struct lsq_error *err);

/* Keeps the handle, though it be discarded, or does not any more. */
void lsqi_stmt_hold(struct lsq_stmt *stmt, bool hold);
/* Finalizes the handles that were discarded. Who is in, or the helper. */
void lsqi_stmt_reap(struct lsq_conn *conn);
/* Ends every statement's run. */
void lsqi_stmt_reset_all(struct lsq_conn *conn);
/* Takes the engine's part away from every handle: the connection is being closed. */
void lsqi_stmt_orphan_all(struct lsq_conn *conn);

#endif
