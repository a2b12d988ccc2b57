/* lsq.h - libSQL databases from C.
 *
 *     struct lsq_config cfg;
 *     struct lsq_conn *conn;
 *     struct lsq_result *res;
 *     struct lsq_error err;
 *
 *     lsq_config_init(&cfg);
 *     cfg.path = "shop.db";
 *     if (lsq_conn_open(&conn, &cfg, &err) != LSQ_OK) die(err.message);
 *     if (lsq_query(&res, conn, "SELECT name FROM item WHERE price < ?1",
 *                   LSQ_PARAMS(lsq_int(10)), &err) != LSQ_OK) die(err.message);
 *     for (size_t i = 0; i < lsq_result_rows(res); i++)
 *         puts(lsq_result_text(res, i, 0));
 *     lsq_result_free(res);
 *     lsq_conn_free(conn);
 *
 * Errors. A function that can fail returns an enum lsq_status and fills *err, which belongs to the
 * caller and may be NULL. *err is written only on failure. Outputs are written only on success.
 * Running out of memory is LSQ_NOMEM, never an abort.
 *
 * Text is UTF-8, given as pointer and length; a result is never changed by where a NUL stands in
 * it. SQL itself may hold no NUL (LSQ_BAD_ARGUMENT).
 *
 * Ownership. "Borrows": the callee keeps no pointer after it returns, unless a longer time is
 * named. "Takes": the callee frees it. "Caller owns": the caller frees it.
 *
 * Threads. A connection, with its statements, is used by one thread at a time. Programs that share
 * one between threads bracket their calls with lsq_conn_enter() and lsq_conn_leave(). From any
 * thread and at any moment: lsq_conn_interrupt(), lsq_stmt_interrupt(), lsq_conn_close(),
 * lsq_conn_free() and lsq_stmt_discard(); none of them waits for a running call. A thread that
 * compiles SQL needs a stack of 1 MiB, for what is nested in one another is walked by recursion: more
 * where views or triggers stand upon one another by the thousands.
 */
#ifndef LSQ_H
#define LSQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define LSQ_API __attribute__((visibility("default")))
#else
#define LSQ_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ------------------------------------------------------------------------------- */

enum lsq_status {
#define LSQ_STATUS(name, atom, text) LSQ_##name,
#include "status.def"
#undef LSQ_STATUS
    LSQ_STATUS_COUNT
};

/* Which kind of constraint failed; NONE where no constraint did. */
enum lsq_constraint {
    LSQ_CONSTRAINT_NONE,
    LSQ_CONSTRAINT_UNIQUE,
    LSQ_CONSTRAINT_PRIMARY_KEY,
    LSQ_CONSTRAINT_FOREIGN_KEY,
    LSQ_CONSTRAINT_CHECK,
    LSQ_CONSTRAINT_NOT_NULL,
    LSQ_CONSTRAINT_OTHER /* raised by a trigger, a virtual table, a data type of STRICT, ... */
};

/* What the failed call left in the database. */
enum lsq_outcome {
    LSQ_OUTCOME_NONE,      /* nothing of it is stored */
    LSQ_OUTCOME_COMMITTED, /* it is stored, though the call failed afterwards */
    LSQ_OUTCOME_UNKNOWN    /* it may be stored: look before trying again */
};

/* An error as a value: it outlives the handles that made it, and owns nothing. */
struct lsq_error {
    enum lsq_status status;
    int engine_code; /* the engine's extended result code; 0: the error is the library's own */
    int sql_offset;  /* byte of the SQL text where the error begins; -1: not known */
    int statement;   /* number of the failing statement of a batch, from 1; 0: no batch */
    bool transient;  /* the same call may succeed later without any change */
    enum lsq_outcome outcome;
    enum lsq_constraint constraint;
    char message[512];         /* what happened, with the engine's own words where it has some */
    char table[128];           /* of the constraint; "" where unknown, as below */
    char columns[256];         /* of the constraint, separated by ", " */
    char constraint_name[128]; /* of the index, or of the named CHECK */
};

/* The status's name as in status.def, in small letters ("busy_snapshot"); "unknown" for a number
 * that is none. Static text. */
LSQ_API const char *lsq_status_name(enum lsq_status status);

/* One sentence on the status. Static text. */
LSQ_API const char *lsq_status_text(enum lsq_status status);

/* ---- Values and parameters ---------------------------------------------------------------- */

enum lsq_type { LSQ_TYPE_NULL, LSQ_TYPE_INTEGER, LSQ_TYPE_REAL, LSQ_TYPE_TEXT, LSQ_TYPE_BLOB };

/* One value. Text and blobs are borrowed; text needs no NUL at its end. */
struct lsq_value {
    enum lsq_type type;
    union {
        int64_t integer;
        double real;
        struct {
            const void *data;
            size_t len;
        } bytes;
    } as;
};

static inline struct lsq_value lsq_null(void) {
    return (struct lsq_value){.type = LSQ_TYPE_NULL, .as = {.integer = 0}};
}
static inline struct lsq_value lsq_int(int64_t value) {
    return (struct lsq_value){.type = LSQ_TYPE_INTEGER, .as = {.integer = value}};
}
static inline struct lsq_value lsq_real(double value) {
    return (struct lsq_value){.type = LSQ_TYPE_REAL, .as = {.real = value}};
}
static inline struct lsq_value lsq_text(const char *text, size_t len) {
    return (struct lsq_value){.type = LSQ_TYPE_TEXT, .as = {.bytes = {text, len}}};
}
static inline struct lsq_value lsq_blob(const void *data, size_t len) {
    return (struct lsq_value){.type = LSQ_TYPE_BLOB, .as = {.bytes = {data, len}}};
}

/* A name, borrowed. */
struct lsq_name {
    const char *text;
    size_t len;
};

/* The parameters of one run. Without names they are bound by position: as many as the statement
 * has, no more, no fewer (LSQ_PARAMETERS). With names, names[i] belongs to values[i], with or
 * without its ':', '@' or '$'; every parameter of the statement must have one, and names that the
 * statement does not have are passed over. */
struct lsq_params {
    const struct lsq_value *values;
    const struct lsq_name *names; /* NULL: by position */
    size_t count;
};

/* Parameters by position, written where they are used: LSQ_PARAMS(lsq_int(1), lsq_null()). */
#define LSQ_PARAMS(...)                                                                            \
    (&(struct lsq_params){.values = (const struct lsq_value[]){__VA_ARGS__},                       \
                          .names = NULL,                                                           \
                          .count = sizeof((const struct lsq_value[]){__VA_ARGS__}) /               \
                                   sizeof(struct lsq_value)})

/* ---- Connections -------------------------------------------------------------------------- */

struct lsq_conn;
struct lsq_turn;
struct lsq_stmt;

/* A setting of the connection: PRAGMA name = value. */
struct lsq_setting {
    const char *name;
    const char *value;
};

/* A database beside the main one, under a name of its own. */
struct lsq_attached {
    const char *name; /* 1 to 40 bytes of UTF-8; neither "main" nor "temp" */
    const char *path; /* as lsq_config's */
};

enum lsq_open_flags {
    LSQ_OPEN_READONLY = 1 << 0,       /* writes are refused; the file must exist */
    LSQ_OPEN_NOCREATE = 1 << 1,       /* the file must exist */
    LSQ_OPEN_NOFOLLOW = 1 << 2,       /* the path may not be a symbolic link */
    LSQ_OPEN_ANY_FILESYSTEM = 1 << 3, /* do not refuse WAL on network file systems */
    LSQ_OPEN_DQS = 1 << 4,            /* "text" may be a string where no column has that name */
    LSQ_OPEN_NOWAIT = 1 << 5          /* do not sleep for locks while opening: LSQ_BUSY at once */
};

/* How a server is reached, for a path that is a URL. All zero is the default. */
struct lsq_remote {
    const char *
        token; /* sent as "Authorization: Bearer TOKEN", or as it is where it begins with "Basic "; NULL: none. lsq_conn_set_token() gives another */
    const char *namespace_; /* of a server with several databases; NULL: the URL's own */
    const char
        *encryption_key;     /* base64, of a database that the server keeps encrypted; NULL: none */
    const char *ca_file;     /* PEM of the authorities to trust; NULL: the system's */
    const char *client_cert; /* PEM, and its key if client_key is NULL; NULL: none */
    const char *client_key;  /* PEM; NULL: none, or in client_cert */
    const char *proxy;       /* URL; NULL: as the environment says (https_proxy, ...); "": none */
    bool no_verify;          /* take any certificate */
    int connect_timeout;     /* ms for name, connection and TLS; 0: 10,000 */
    int first_byte_timeout;  /* ms until the server begins to answer; 0: no bound of its own */
    int timeout;             /* ms for a call that names none; 0: 30,000; -1: no bound */
    int retry_time;      /* ms in which a call that failed may be sent again; 0: 3,000; -1: never */
    size_t max_response; /* bytes of an answer, but a cursor's; 0: 256 MiB */
    /* Addresses, as the path's, of servers that follow this one and may be read from: outside of transactions,
     * what only reads is sent there while this one does not answer, and, with read_replicas, always. What they
     * have may be older than what was written last. */
    const char *const *replicas;
    size_t replica_count; /* at most 8 */
    bool read_replicas;
};

/* How frames of a primary come to a replica. */
enum lsq_sync_protocol {
    /* What the primary has: of a file that there is, first what it was made by; else v2 is asked for (GET /info), then
     * v1. One that offers neither is LSQ_PROTOCOL_UNSUPPORTED, with what was asked and answered. */
    LSQ_SYNC_AUTO,
    LSQ_SYNC_V1, /* frames by gRPC-web (sqld) */
    LSQ_SYNC_V2  /* generations of frames by HTTP (Turso) */
};

/* How a replica follows its primary: see "Replicas" below. All zero is the default. */
struct lsq_replica {
    int sync_interval;    /* ms between two syncs; 0: only as they are asked for */
    bool no_sync_on_open; /* opening asks the primary for nothing, unless there is no file yet */
    int open_timeout;     /* ms that opening may wait for the primary; 0: 30,000; -1: no bound */
    bool stale_reads;     /* reads do not wait until the file has what this program wrote */
    int stale_after; /* ms that they wait, but never more than half of their call's time; 0: 5,000 */
    bool stale_is_error; /* what they wait for in vain is LSQ_STALE; else the primary is asked */
    bool replace; /* a file that is no replica of this primary is set aside, and not refused */
    enum lsq_sync_protocol protocol;
    bool
        offline; /* writes are the file's, and pushed: see "Offline writes" below. Experimental. LSQ_SYNC_V2 only */
};

/* How to open a connection. Everything is borrowed until lsq_conn_open() returns. */
struct lsq_config {
    /* A file; ":memory:" (private to this connection); "file:/NAME?vfs=memdb" or
     * "file:NAME?mode=memory&cache=shared" (in memory, shared by the connections of the process that
     * give that name, gone with the last of them); any other "file:" URI of SQLite; "" (a private
     * temporary file). Or a server's address, which begins with libsql://, https://, http://, wss:// or ws://:
     * see "Servers" below. */
    const char *path;
    unsigned flags;   /* of enum lsq_open_flags */
    const char *vfs;  /* NULL: the default */
    int busy_timeout; /* ms that a call waits for other connections' locks; 0: not at all */
    const struct lsq_setting *settings; /* applied in this order, and read back */
    size_t setting_count;
    /* Attached at opening, and again by a reset. They have the main database's key and flags; settings
     * that a database has for itself (journal_mode, synchronous, page_size, ...) are applied to each,
     * their notices called "<name>.<setting>". A transaction over several files in WAL mode is atomic in
     * each of them; a crash in the midst of its commit may come between two. An immediate transaction waits
     * for its turn in all of them. One that writes to a file already, and then to another that somebody else
     * writes to, is LSQ_BUSY at once, not transient: it does not wait with a lock in hand. */
    const struct lsq_attached *attached;
    size_t attached_count;
    size_t statement_cache; /* statements kept prepared for lsq_exec() and its kin; 0: none */
    bool no_fast_path;      /* LSQ_CALL_TRY always answers LSQ_WOULD_BLOCK */
    const void *key;        /* encryption key of the local file; NULL: none */
    size_t key_len;
    int max_length;                  /* bytes that a text, blob or row may have; 0: 100,000,000 */
    const struct lsq_remote *remote; /* of a server, or of the primary; NULL: the defaults */
    /* A server's address: then path is a file that follows it, and the connection a replica's. NULL: none */
    const char *primary;
    const struct lsq_replica *replica; /* of a replica; NULL: the defaults */
};

/* Fills *cfg with the defaults: busy_timeout 5000, statement_cache 256, and the settings
 * journal_mode = wal, synchronous = normal, foreign_keys = on. path stays NULL. */
LSQ_API void lsq_config_init(struct lsq_config *cfg);

/* Opens a connection. Caller owns *out, to be given back with lsq_conn_free().
 * A setting that the engine does not know is LSQ_SETTING. One that the database cannot have (WAL
 * in memory or on a read-only file, another page size than it has) is no error: see
 * lsq_conn_notice().
 * Errors: LSQ_BAD_ARGUMENT, LSQ_CANNOT_OPEN, LSQ_NOT_A_DATABASE, LSQ_BUSY, LSQ_SETTING,
 * LSQ_UNSAFE_FILESYSTEM, LSQ_NOMEM, and what the settings meet. */
LSQ_API enum lsq_status lsq_conn_open(struct lsq_conn **out, const struct lsq_config *cfg,
                                      struct lsq_error *err);

/* Of a connection to a server, or of a replica's: sends this token from the next call on. NULL: none. Any thread.
 * Errors: LSQ_BAD_ARGUMENT, LSQ_NOMEM, LSQ_UNSUPPORTED for other connections. */
LSQ_API enum lsq_status lsq_conn_set_token(struct lsq_conn *conn, const char *token,
                                           struct lsq_error *err);

enum lsq_conn_kind {
    LSQ_CONN_LOCAL,  /* of a file, or in memory; a replica's that is written to offline, too */
    LSQ_CONN_REMOTE, /* of a server */
    LSQ_CONN_REPLICA /* of a file that follows a server */
};

/* Any thread; a replica that is frozen becomes local. */
LSQ_API enum lsq_conn_kind lsq_conn_kind(const struct lsq_conn *conn);

/* Whether it is a server's connection, with no file. Any thread. */
LSQ_API bool lsq_conn_is_remote(const struct lsq_conn *conn);

/* Closes the connection: new calls answer LSQ_CLOSED, a running one is interrupted, an open
 * transaction is rolled back. Never waits: the engine's own closing, which may checkpoint, runs on
 * a helper thread, which then calls done(arg) if done is not NULL. Twice is fine (done is called
 * for each). The handle stays valid until lsq_conn_free(). Any thread. */
LSQ_API void lsq_conn_close(struct lsq_conn *conn, void (*done)(void *arg), void *arg);

/* Closes the connection if that was not done, and gives the handle back. Statements of the
 * connection stay valid handles (their calls answer LSQ_CLOSED) until they are freed themselves.
 * NULL is fine. Any thread; never waits. */
LSQ_API void lsq_conn_free(struct lsq_conn *conn);

/* Asks for the connection, so that one thread at a time uses it. With wait, sleeps until it is
 * free; without, answers LSQ_IN_USE at once. Not recursive. The thread that leaves may be another.
 * Errors: LSQ_IN_USE, LSQ_CLOSED. */
LSQ_API enum lsq_status lsq_conn_enter(struct lsq_conn *conn, bool wait);

/* The same without sleeping, by looking again for at most 0.1 ms of real time: for threads that would have to hand their
 * call to another one, which takes longer than most calls. Errors: as lsq_conn_enter(). */
LSQ_API enum lsq_status lsq_conn_enter_soon(struct lsq_conn *conn);

/* Gives the connection back. Statements discarded meanwhile are finalized by the helper thread. */
LSQ_API void lsq_conn_leave(struct lsq_conn *conn);

/* Calls fn(arg) once, when the connection is next left or closed, or at once if nobody is in it.
 * fn is called with no lock held, on the thread that leaves; it must be short.
 * Errors: LSQ_NOMEM. */
LSQ_API enum lsq_status lsq_conn_notify(struct lsq_conn *conn, void (*fn)(void *arg), void *arg);

/* A place in the line of those who want to write to the same file. A call with LSQ_CALL_NOWAIT that would
 * write out of turn, or whose connection has the turn and meets the lock of another program, answers LSQ_BUSY
 * with no engine_code: then get in line, and call again, with lsq_call.turn, when it is the connection's
 * turn. Several may wait with one connection, each in a place of its own: a turn is that place's, and a call
 * without it does not take it. Calls without LSQ_CALL_NOWAIT wait by themselves.
 *
 * Programs that use this library stand in line for one another, too: at a file beside the database, called
 * NAME-lane, that is made when one first waits for another and may be removed when nobody has the database
 * open. For those that do not use it, who is the first in line tries again every 0.1 ms, later every
 * millisecond. Without locks of open file descriptions (lsq_core_info.ofd_locks), or where the file cannot be
 * made, everyone does the latter.
 *
 * fn(arg) will be called once, when it is the connection's turn: on the thread whose turn has ended, with
 * no lock held; it must be short. Errors: LSQ_NOMEM. Any thread. */
LSQ_API enum lsq_status lsq_turn_new(struct lsq_turn **out, struct lsq_conn *conn,
                                     void (*fn)(void *arg), void *arg, struct lsq_error *err);

/* Gets in line, once. fn may be called before this returns. The turn is then kept until a call that brings it
 * has written, or lsq_turn_free(): other calls of the connection wait behind it. Any thread. */
LSQ_API void lsq_turn_wait(struct lsq_turn *turn);

/* Gets out of line, at any time; a turn that came and was not used is the next one's. Returns true if fn
 * was not called: it will not be. turn may be NULL. Any thread. */
LSQ_API bool lsq_turn_free(struct lsq_turn *turn);

/* Who has a turn to write. */
struct lsq_turn_holder {
    int64_t held;    /* ms since it was given */
    uint64_t caller; /* as the lsq_call that took it says; 0: none, or it is not used yet */
    char statement
        [124]; /* the SQL that took it, without its parameters' values: the first 123 bytes at
                          * most, cut between two characters; "" for a checkpoint */
};

/* Fills *holder with who has the turn to write to the connection's file, or to one of those that it has
 * attached: the first that its last call wanted in vain, if there is one. False: nobody, or the connection
 * itself. Any thread, also while a call runs. */
LSQ_API bool lsq_turn_holder(struct lsq_conn *conn, struct lsq_turn_holder *holder);

/* Stops the call that runs on the connection, which answers LSQ_INTERRUPTED; with none running it
 * does nothing. An interrupted write inside a transaction rolls the whole transaction back. A sort,
 * a CREATE INDEX or one long SQL function is only stopped at its end. Any thread. */
LSQ_API void lsq_conn_interrupt(struct lsq_conn *conn);

/* Makes the connection as new: statements reset, transaction rolled back, temporary tables, views
 * and triggers dropped, databases attached since opening detached, those of the configuration attached
 * again where they are not, settings applied again and read back. Errors: LSQ_CLOSED, LSQ_SETTING, those of the engine; the connection should then be
 * closed. */
LSQ_API enum lsq_status lsq_conn_reset(struct lsq_conn *conn, struct lsq_error *err);

/* Sets how long calls wait for other connections' locks, in ms; 0: not at all. */
LSQ_API enum lsq_status lsq_conn_set_busy_timeout(struct lsq_conn *conn, int ms,
                                                  struct lsq_error *err);

/* ms; see lsq_conn_set_busy_timeout(). */
LSQ_API int lsq_conn_busy_timeout(const struct lsq_conn *conn);

/* A setting that could not be had: what was asked, what the engine has instead. */
struct lsq_notice {
    char name[64];
    char asked[64];
    char got[64];
};

/* The connection's i-th notice, from 0; NULL where there are no more. Valid until the next
 * lsq_conn_reset() or lsq_conn_free(). */
LSQ_API const struct lsq_notice *lsq_conn_notice(const struct lsq_conn *conn, size_t i);

/* What a connection is doing and has done. */
struct lsq_conn_info {
    bool autocommit;       /* no transaction is open, by the engine's own word */
    bool readonly;         /* opened read-only */
    bool wal;              /* the main database is in WAL mode */
    bool wrote;            /* a statement that writes was run in the open transaction */
    int64_t last_rowid;    /* of the last INSERT */
    int64_t changes;       /* rows changed by the last statement that changes rows */
    int64_t total_changes; /* since the connection was opened */
    int64_t cache_hits;    /* statement cache: found prepared */
    int64_t cache_misses;  /* statement cache: had to be prepared */
    int64_t cache_size;    /* statement cache: statements held now */
    int64_t fast_runs;     /* calls that LSQ_CALL_TRY ran to their end */
    int64_t fast_refusals; /* calls that LSQ_CALL_TRY refused or broke off */
    int64_t page_cache_bytes;
    int64_t schema_bytes;
    int64_t statement_bytes;
};

/* Fills *info. Cheap fields only (up to total_changes) unless all is true. */
LSQ_API enum lsq_status lsq_conn_info(struct lsq_conn *conn, bool all, struct lsq_conn_info *info,
                                      struct lsq_error *err);

/* Writes the dirty pages of the open transaction to the file (or the WAL), as far as no statement
 * is using them (LSQ_BUSY if some are left). Without an open transaction it does nothing. */
LSQ_API enum lsq_status lsq_conn_cacheflush(struct lsq_conn *conn, struct lsq_error *err);

enum lsq_checkpoint {
    LSQ_CHECKPOINT_PASSIVE,
    LSQ_CHECKPOINT_FULL,
    LSQ_CHECKPOINT_RESTART,
    LSQ_CHECKPOINT_TRUNCATE
};

/* Checkpoints the WAL of database schema (NULL: all). *log and *done, each may be NULL, get the
 * frames in the WAL and those of them now in the database file; -1 where it is not in WAL mode.
 * Errors: LSQ_BUSY (PASSIVE never), LSQ_LOCKED inside a write transaction. */
LSQ_API enum lsq_status lsq_conn_checkpoint(struct lsq_conn *conn, const char *schema,
                                            enum lsq_checkpoint mode, int *log, int *done,
                                            struct lsq_error *err);

/* Allows or forbids lsq_conn_load_extension(). Loading by SQL, load_extension(), is always
 * refused. */
LSQ_API enum lsq_status lsq_conn_enable_extensions(struct lsq_conn *conn, bool on,
                                                   struct lsq_error *err);

/* Loads the extension file at path; entry NULL: the entry point that the file's name implies.
 * Errors: LSQ_AUTH where it was not enabled, LSQ_ERROR with the loader's words. */
LSQ_API enum lsq_status lsq_conn_load_extension(struct lsq_conn *conn, const char *path,
                                                const char *entry, struct lsq_error *err);

/* ---- What the process knows of a file -------------------------------------------------------- */

enum { LSQ_WAITS = 7 };

/* Of all connections of this process to one file. Taken without stopping anybody: the figures may be of
 * slightly different moments. */
struct lsq_file_info {
    int64_t connections;
    /* those who want to write stand in line */
    int64_t line;    /* who wait now */
    int64_t turns;   /* taken so far */
    int64_t waited;  /* turns that were waited for */
    int64_t wait_ns; /* how long, in all */
    int64_t
        waits[LSQ_WAITS]; /* how many for less than 0.1 ms, 1 ms, 10 ms, 0.1 s, 1 s, 10 s; longer */
    /* statements of the connections that are open now */
    int64_t cache_hits;
    int64_t cache_misses;
    int64_t fast_runs;
    int64_t page_cache_bytes; /* after each one's last call that was not a fast one */
    /* WAL and checkpoints */
    int64_t wal_bytes;   /* of the file; -1: there is none */
    int64_t wal_pages;   /* in it after the last commit of this process */
    bool wal_pinned;     /* as LSQ_FILE_WAL_PINNED says */
    int64_t checkpoints; /* taken by a thread of the library */
    struct {
        int64_t ago_ns; /* when it ended; -1: there was none */
        int64_t took_ns;
        enum lsq_checkpoint mode;
        int64_t pages; /* that the WAL had */
        int64_t done;  /* of them in the file now */
    } last_checkpoint;
    int64_t oldest_reader_ns;      /* how long a connection has kept its snapshot; -1: none does */
    uint64_t oldest_reader_caller; /* lsq_call's of its last call that had one; 0: none had */
    bool held;                     /* somebody has the turn to write: */
    struct lsq_turn_holder holder;
};

/* Fills *info for the file of that name. False: no connection of this process has it open. Any thread;
 * looks at the file's size. */
LSQ_API bool lsq_file_info(const char *path, struct lsq_file_info *info);

/* The same for the file that the connection has, or had, open as its main database. False: it is in memory. */
LSQ_API bool lsq_conn_file_info(struct lsq_conn *conn, struct lsq_file_info *info);

enum lsq_file_event_kind {
    /* A thread of the library has taken a checkpoint. */
    LSQ_FILE_CHECKPOINT,
    /* The WAL is eight times as long as calls for a checkpoint, and could not be made to begin again since
     * somebody reads its old pages. Told once, until that has come to an end. */
    LSQ_FILE_WAL_PINNED
};

/* Everything is borrowed for the length of the call. */
struct lsq_file_event {
    enum lsq_file_event_kind kind;
    const char *path;
    enum lsq_checkpoint mode;
    int64_t took_ns;
    int64_t pages; /* of the WAL */
    int64_t done;  /* of them in the file now */
    int64_t wal_bytes;
    int64_t oldest_reader_ns;      /* of this process; -1: it has none, another process reads */
    uint64_t oldest_reader_caller; /* as lsq_file_info's */
};

/* Has fn called for what the library does by itself, on its own threads, with no lock held; it must be short.
 * One for the process: the last one counts. NULL: none; the one before may still be running then. */
LSQ_API void lsq_on_file_event(void (*fn)(const struct lsq_file_event *event, void *arg),
                               void *arg);

/* ---- Running SQL -------------------------------------------------------------------------- */

enum lsq_call_flags {
    /* Run only if the statement is known to be short, on this very thread, without waiting for
     * anything; else LSQ_WOULD_BLOCK: nothing has happened, and what the sink got is void. */
    LSQ_CALL_TRY = 1 << 0,
    /* Do not sleep while another connection holds a lock: LSQ_BUSY at once. */
    LSQ_CALL_NOWAIT = 1 << 1,
    /* A statement that only reads is broken off after about 20 ms (LSQ_WOULD_BLOCK: nothing has
     * happened, what the sink got is void); one that cannot be stopped early is refused likewise,
     * until it was seen to be short; so is, on a thread with less than 2 MiB of stack, one that has to
     * be compiled. For threads that many share. */
    LSQ_CALL_BUDGET = 1 << 2,
    /* Exactly one row: LSQ_NO_ROW and LSQ_MANY_ROWS are errors; stops at the second row. A
     * statement that writes has then changed nothing. */
    LSQ_CALL_ONE = 1 << 3,
    /* Of a batch: run it as one transaction, rolled back on the first error. */
    LSQ_CALL_TRANSACTION = 1 << 4,
    /* Of one statement, and of a fetch: the sink's types() is told the declared types. */
    LSQ_CALL_TYPES = 1 << 5,
    /* Of one statement: run only if it took less than 0.1 ms each of the last three times, and if no lock of
     * another program has to be waited for, whatever lsq_call.turn says; else LSQ_WOULD_BLOCK, as above, and a
     * turn that was waited for is still to be used. For threads whose own callers wait meanwhile. */
    LSQ_CALL_SHORT = 1 << 6
};

/* How to run a call. NULL, or all zero: until it is done. */
struct lsq_call {
    unsigned flags; /* of enum lsq_call_flags */
    /* ms for the whole call, waiting included; 0: none. LSQ_TIMEOUT, at the engine's next look at
     * the clock: a sort, a CREATE INDEX or one long SQL function runs to its end. A program that must
     * have its answer on time makes the call through lsq_defer(). */
    int timeout;
    /* Asked at the call's begin and now and then while it runs; true stops it as
     * lsq_conn_interrupt() does. For calls that may be called off before they have begun. NULL: none.
     * Called on the calling thread; must be quick. */
    bool (*stop)(void *arg);
    void *stop_arg;
    /* With LSQ_CALL_NOWAIT, of who stood in line and is told that it is his turn: his place, borrowed. The call
     * sleeps all the same for the locks of other programs, up to the connection's busy time-out. NULL: none. */
    const struct lsq_turn *turn;
    /* Whatever the program knows the caller by, for lsq_turn_holder(). */
    uint64_t caller;
    /* For a server's connections: the call only begins, and answers LSQ_PENDING; what it comes to is told by
     * done(done_arg, ...), called once on a thread of the library, which must not wait there. Until then the
     * connection is in the call, and what sink, ctx, reply and the other outputs point to must stay (sinks are
     * called on that thread, too); SQL and parameters need not. A call that does not answer LSQ_PENDING has ended,
     * and calls nothing. err is the caller's until done() returns. Other connections pass it over. */
    void (*done)(void *arg, enum lsq_status status, const struct lsq_error *err);
    void *done_arg;
    const char *traceparent; /* of the W3C's trace context, sent to a server by HTTP; NULL: none */
};

/* The first word of a statement, as far as it matters; WITH is told by what it does. */
enum lsq_command {
    LSQ_COMMAND_OTHER,
    LSQ_COMMAND_SELECT,
    LSQ_COMMAND_INSERT,
    LSQ_COMMAND_UPDATE,
    LSQ_COMMAND_DELETE,
    LSQ_COMMAND_CREATE, /* CREATE, DROP, ALTER */
    LSQ_COMMAND_BEGIN,
    LSQ_COMMAND_COMMIT,
    LSQ_COMMAND_ROLLBACK,
    LSQ_COMMAND_PRAGMA,
    LSQ_COMMAND_EMPTY /* only white space or comments */
};

/* What a run did. */
struct lsq_reply {
    enum lsq_command command;
    size_t columns;     /* 0: the statement returns no rows */
    size_t rows;        /* pushed to the sink */
    int64_t changes;    /* rows inserted, updated or deleted by this run; 0 for others */
    int64_t last_rowid; /* of the connection's last INSERT */
    bool autocommit;    /* no transaction is open after the run */
    bool prepared;      /* the statement was found prepared, and not compiled for this run */
};

/* A column of a statement. Texts are borrowed until the statement runs again or is freed; NULL
 * where there is none (an expression has no table; a system engine may know no origin). */
struct lsq_column {
    const char *name;
    const char *database;
    const char *table;
    const char *origin;
    const char *declared_type;
};

/* Where rows go as the engine produces them: no copy is made on the way. Text and blobs are
 * borrowed for the length of the call. Every slot but the three marked may not be NULL. A slot that
 * returns false ends the run with LSQ_NOMEM. Called on the calling thread. */
struct lsq_sink {
    /* A new statement's rows begin; also when it has none. names[i] is NUL-terminated. */
    bool (*columns)(void *ctx, size_t count, const char *const *names);
    bool (*row_begin)(void *ctx); /* may be NULL */
    bool (*null)(void *ctx);
    bool (*integer)(void *ctx, int64_t value);
    bool (*real)(void *ctx, double value);
    bool (*text)(void *ctx, const char *text, size_t len);
    bool (*blob)(void *ctx, const void *data, size_t len);
    bool (*row_end)(void *ctx);
    /* Of a batch: statement number (from 1) is done. may be NULL outside batches */
    bool (*statement_end)(void *ctx, int number, const struct lsq_reply *reply);
    /* With LSQ_CALL_TYPES, after columns(): types[i] is what the table declares for the column, by the
     * schema as it is now; NULL where it declares nothing, or where the column is an expression. May
     * be NULL */
    bool (*types)(void *ctx, size_t count, const char *const *types);
};

/* Runs one statement. Text after the first statement that is more than white space, comments and
 * semicolons is LSQ_SQL: lsq_batch_sql() runs several. Prepared statements are kept in the
 * connection's cache. After an error the statement is reset.
 * sink may be NULL: rows are then stepped through and dropped. params, call, reply may be NULL. */
LSQ_API enum lsq_status lsq_exec(struct lsq_conn *conn, const char *sql, size_t len,
                                 const struct lsq_params *params, const struct lsq_call *call,
                                 const struct lsq_sink *sink, void *ctx, struct lsq_reply *reply,
                                 struct lsq_error *err);

/* Gives the next row of parameters: 1 and *row filled (borrowed until the next call), 0 at the end,
 * -1 to stop with LSQ_PARAMETERS, whose message is then text that the callee wrote to
 * why[0..256). */
typedef int lsq_next_params(void *ctx, struct lsq_params *row, char *why);

/* Runs one statement once for each row of parameters. Outside a transaction it opens one of its
 * own, so that all rows are stored or none; inside one, rows before the failing one stay. Rows
 * that the statement returns go to the sink as one result. reply->changes is the sum.
 * err->statement is the number of the failing row of parameters, from 1. */
LSQ_API enum lsq_status lsq_exec_many(struct lsq_conn *conn, const char *sql, size_t len,
                                      lsq_next_params *next, void *next_ctx,
                                      const struct lsq_call *call, const struct lsq_sink *sink,
                                      void *ctx, struct lsq_reply *reply, struct lsq_error *err);

/* One statement of a batch. */
struct lsq_batch_item {
    const char *sql;
    size_t len;
    struct lsq_params params;
};

/* Runs statements in order, to the first error (err->statement says which; what ran before it
 * stays, unless LSQ_CALL_TRANSACTION is given). The sink sees columns, rows and statement_end for
 * each. *done, may be NULL, gets the number that succeeded, on failure too. With
 * LSQ_CALL_TRANSACTION inside an open transaction: LSQ_IN_TRANSACTION. */
LSQ_API enum lsq_status lsq_batch(struct lsq_conn *conn, const struct lsq_batch_item *items,
                                  size_t count, const struct lsq_call *call,
                                  const struct lsq_sink *sink, void *ctx, size_t *done,
                                  struct lsq_error *err);

/* The same for SQL text with many statements and no parameters. Empty statements do not count. */
LSQ_API enum lsq_status lsq_batch_sql(struct lsq_conn *conn, const char *sql, size_t len,
                                      const struct lsq_call *call, const struct lsq_sink *sink,
                                      void *ctx, size_t *done, struct lsq_error *err);

/* ---- Servers --------------------------------------------------------------------------------
 *
 * A connection to a server (sqld, Turso) speaks Hrana over HTTP. It takes no socket for itself: one thread of the
 * library drives the requests of all. What runs outside a transaction leaves nothing behind on the server; a
 * transaction is a stream there, which the server ends when it is not used for some time.
 *
 * Calls wait for their answer, or take lsq_call.done. They are sent again, within lsq_remote.retry_time, where
 * nothing of them can have run, or where they only read. Elsewhere a broken connection is LSQ_CONNECTION_LOST, and
 * a deadline LSQ_TIMEOUT, with LSQ_OUTCOME_UNKNOWN. After either, and after LSQ_STREAM_EXPIRED and
 * LSQ_TRANSACTION_TIMEOUT, an open transaction is over: the server undoes it. A failed COMMIT ends it, too. One that
 * was begun by SQL text (BEGIN, SAVEPOINT) is then LSQ_NO_TRANSACTION for all that follows, up to a ROLLBACK, a COMMIT
 * or lsq_begin(), for it would be stored by itself.
 *
 * LSQ_UNSUPPORTED: what is the file's or the engine's (checkpoints, extensions, attached databases at opening, turns,
 * keys, settings other than foreign_keys), LSQ_CALL_ONE with a statement that writes, lsq_enforce_foreign_keys().
 * A cursor in a transaction has the transaction's stream: another call reads the cursor's rows to their end first, and
 * keeps them, within its own time-out. With LSQ_CALL_TRY or LSQ_CALL_BUDGET and without done: LSQ_WOULD_BLOCK. What PRAGMA, ATTACH and temporary tables
 * change lasts for the open transaction only. */

enum lsq_server_event_kind {
    LSQ_SERVER_RETRY,    /* a call failed, and is sent again */
    LSQ_SERVER_DOWN,     /* several calls on end found no server: it is not used until it answers */
    LSQ_SERVER_UP,       /* it answers again */
    LSQ_SERVER_NO_SOCKET /* a ws:// address that has no WebSocket for us: a connection uses HTTP */
};

/* Everything is borrowed for the length of the call. */
struct lsq_server_event {
    enum lsq_server_event_kind kind;
    const char *server; /* its address, without anything secret */
    int64_t
        ms; /* RETRY: until it is sent again; UP: how long it was not used; NO_SOCKET: for how long; -1:
                            for good */
    enum lsq_status
        why; /* RETRY, DOWN: what the call met; NO_SOCKET: LSQ_PROTOCOL_UNSUPPORTED, it was refused;
                            LSQ_CONNECTION_LOST, it ended before it was greeted */
};

/* Has fn called for such, on any thread, with no lock held; it must be short. One for the process: the last one
 * counts. NULL: none; the one before may still be running then. */
LSQ_API void lsq_on_server_event(void (*fn)(const struct lsq_server_event *event, void *arg),
                                 void *arg);

/* ---- Replicas -------------------------------------------------------------------------------
 *
 * A replica is a file that follows a server, its primary: lsq_config.path and lsq_config.primary. Its connections
 * read from the file, and write to the primary. What a statement does is the engine's word, and not its text's:
 *
 * - what only reads, outside of a transaction, reads the file; cursors do, too; EXPLAIN, and what writes to temporary
 *   tables, stays here. A statement that the file's schema does not know (no such table) is the primary's to judge; so
 *   is one that writes to what the primary has no more. Where that shows that the file is behind, a sync begins;
 * - what writes goes to the primary, and so does every transaction but LSQ_TXN_READ, with all that it reads;
 * - LSQ_TXN_READ is a snapshot of the file;
 * - a batch is the file's if all of it is; else the primary's as a whole;
 * - PRAGMAs that write are the primary's, as far as it allows them. LSQ_UNSUPPORTED: checkpoints,
 *   lsq_conn_cacheflush(), lsq_enforce_foreign_keys(), databases attached at opening.
 *
 * Temporary tables are not seen by what runs at the primary, nor are databases that ATTACH has added; those are
 * read-only.
 *
 * One's own writes are seen. The primary says up to which point of its log a caller must have read to see what it
 * has written; a read that finds the file behind what any connection of this program has written to it waits for it to
 * come so far (lsq_call.done: LSQ_PENDING; with LSQ_CALL_TRY or LSQ_CALL_BUDGET and without done: LSQ_WOULD_BLOCK), for
 * lsq_replica.stale_after. Then, or where the primary cannot be asked for its log, the primary answers in its place,
 * or it is LSQ_STALE. By LSQ_SYNC_V2 the primary does not say that: then the read waits for a sync of everything.
 *
 * Places in the log (index) grow. By LSQ_SYNC_V1 they are the numbers of its frames, by LSQ_SYNC_V2 the generation times
 * 2^32 plus the frame in it.
 *
 * One file has one role: what a program has open as a replica is LSQ_ALREADY_OPEN for one who opens it plain, and the
 * other way round; and for other programs, whatever they want of it. */

/* What a sync came to. */
struct lsq_sync_result {
    int64_t index;  /* the file has the primary's log up to there */
    int64_t frames; /* pages that went into it meanwhile */
    int64_t bytes;  /* that came over the network meanwhile */
};

/* Brings the file up to what the primary has when it is asked. result may be NULL. Waits, or takes call->done, as
 * calls to a server do; other syncs of that file are shared. A time-out, or lsq_conn_interrupt(), ends the waiting;
 * what has come is kept.
 * Errors: LSQ_UNSUPPORTED for other connections, those of servers, of the disk. */
LSQ_API enum lsq_status lsq_sync(struct lsq_conn *conn, const struct lsq_call *call,
                                 struct lsq_sync_result *result, struct lsq_error *err);
/* The same, up to an index at least: done at once where the file is that far. */
LSQ_API enum lsq_status lsq_sync_until(struct lsq_conn *conn, int64_t index,
                                       const struct lsq_call *call, struct lsq_sync_result *result,
                                       struct lsq_error *err);

/* What is known of a replica's file. Of all connections of the program to it, since the first was opened. */
struct lsq_replica_info {
    int64_t index;      /* of the file; 0: it has nothing yet */
    int64_t written;    /* the highest that a write of this program was answered with; 0: none */
    int64_t primary;    /* the highest that the primary has named; 0: none */
    int64_t lag;        /* how far the file is behind that */
    int64_t synced_ago; /* ms since the file was known to have all; -1: never in this program */
    int64_t waiting;    /* callers */
    int64_t syncs;      /* that came to a good end */
    int64_t failures;   /* that did not */
    int64_t rebuilds;   /* the content was replaced as a whole */
    int64_t frames;     /* pages that came, in all */
    int64_t bytes;      /* that came over the network, in all */
    bool running;       /* a sync is under way */
    enum lsq_sync_protocol protocol; /* that serves; LSQ_SYNC_AUTO: it is not known yet */
    bool offline;       /* it is written to offline. Of others, these are 0, 0 and -1: */
    int64_t unpushed;   /* pages that were written here and that the primary has not */
    int64_t pushed;     /* that it took, in all */
    int64_t pushed_ago; /* ms since it took some; -1: never in this program */
    struct lsq_error
        last_error; /* of the last sync that failed; LSQ_OK: none since the last good one */
};
/* Any thread; waits for nobody. Errors: LSQ_UNSUPPORTED for other connections. */
LSQ_API enum lsq_status lsq_replica_info(struct lsq_conn *conn, struct lsq_replica_info *info,
                                         struct lsq_error *err);

/* Makes the replica an ordinary database, with what it has: it is not synced any more, and writes go to the file. The
 * connection must be the only one that the program has to the file, and have no transaction open; its statements are
 * then closed. It asks no server, and may wait for the disk; call's flags only are looked at.
 * Errors: LSQ_UNSUPPORTED for other connections; LSQ_IN_TRANSACTION; LSQ_ALREADY_OPEN: there are others. */
LSQ_API enum lsq_status lsq_freeze(struct lsq_conn *conn, const struct lsq_call *call,
                                   struct lsq_error *err);

/* ---- Offline writes (experimental) ----
 *
 * With lsq_replica.offline the connection is a local file's in all that it runs (LSQ_CONN_LOCAL): what it writes is
 * committed to the file, whether the primary can be reached or not, and seen at once. A sync pushes what was
 * committed, as frames of the file's WAL, in their order; where nothing is left to push, it fetches what others wrote.
 * lsq_sync(), the interval and the sync at opening do so. A file has to be made from the primary once, which
 * takes LSQ_SYNC_V2: a primary without it is LSQ_PROTOCOL_UNSUPPORTED.
 *
 * What was committed is in the file until the primary has it, and no checkpoint is taken before: its WAL grows
 * meanwhile (LSQ_BUSY for lsq_conn_checkpoint()). How much that is says lsq_replica_info.unpushed.
 *
 * Where somebody else pushed first, a sync is LSQ_CONFLICT, for histories do not merge: then nothing is pushed or
 * fetched any more, and nothing is lost; the file is read and written as before, until one of both is chosen, by
 * lsq_set_aside() or lsq_freeze(). LSQ_CONFLICT is also: the primary was restored to an older state, or has forgotten
 * the generation from which the file goes on; another program has checkpointed the file; and, at opening, a file
 * with such changes that is opened without offline, or that something else has come into the place of.
 *
 * LSQ_SYNC_FIRST: a commit was undone, for the file does not have the whole of a state of the primary's: a sync
 * that replaces its content was broken off. LSQ_UNSUPPORTED: VACUUM. */

/* Gives up what was written here and not pushed: keeps a copy of the file as it is, as NAME-aside-own-1, -2, ..., whose
 * name goes to aside[0..size) (size may be 0; "": there was nothing to give up), and has the file follow the primary
 * again, with a sync of everything, that this waits for. Transactions that are open are waited for. What it fails
 * with is as lsq_sync()'s; where aside has a name then, it was done so far, and the next sync goes on.
 * Any thread, beside calls of the connection. Errors: LSQ_UNSUPPORTED for other connections, and as lsq_sync(). */
LSQ_API enum lsq_status lsq_set_aside(struct lsq_conn *conn, const struct lsq_call *call,
                                      char *aside, size_t size, struct lsq_error *err);

enum lsq_replica_event_kind {
    LSQ_REPLICA_BOOTSTRAPPED, /* the file was made, or made anew */
    LSQ_REPLICA_SYNCED,       /* a sync brought something */
    LSQ_REPLICA_FAILED,       /* a sync failed */
    LSQ_REPLICA_SET_ASIDE,    /* something on the disk did not fit, and was renamed */
    LSQ_REPLICA_REPLACED,     /* the primary has another history: all content was replaced */
    LSQ_REPLICA_STALE, /* a read waited in vain for what was written, and the primary was asked */
    LSQ_REPLICA_PUSHED /* the primary took what was written here */
};

/* Everything is borrowed for the length of the call. */
struct lsq_replica_event {
    enum lsq_replica_event_kind kind;
    const char *path;
    enum lsq_status why; /* what was wrong */
    const char *message; /* the same in words; "" */
    const char *aside;   /* the name under which something was kept; NULL: nothing was */
    int64_t index;       /* of the file */
    int64_t frames;      /* that this was about */
    int64_t bytes;
    int64_t took_ns;
};

/* Has fn called for such, on any thread, with no lock held; it must be short. One for the process: the last one
 * counts. NULL: none; the one before may still be running then. */
LSQ_API void lsq_on_replica_event(void (*fn)(const struct lsq_replica_event *event, void *arg),
                                  void *arg);

/* ---- Transactions ------------------------------------------------------------------------- */

enum lsq_txn {
    LSQ_TXN_DEFERRED,
    LSQ_TXN_IMMEDIATE,
    LSQ_TXN_EXCLUSIVE,
    LSQ_TXN_READ,   /* a snapshot, taken at begin; statements that write answer LSQ_READONLY */
    LSQ_TXN_PATIENT /* deferred; one that has read waits for its turn to write, too: see below */
};

/* A deferred transaction that has read, and whose first write finds that another connection of this program
 * has the turn to write, fails at once with LSQ_BUSY_SNAPSHOT: once that one commits, waiting was in vain. A
 * patient one waits all the same, for writers that are likely to roll back (tests); if one of them did commit,
 * it fails when its turn comes. */

/* Begins a transaction. Errors: LSQ_IN_TRANSACTION, LSQ_BUSY. */
LSQ_API enum lsq_status lsq_begin(struct lsq_conn *conn, enum lsq_txn kind,
                                  const struct lsq_call *call, struct lsq_error *err);

/* Commits. After LSQ_BUSY the transaction is still open, and may be committed again.
 * Errors: LSQ_NO_TRANSACTION, LSQ_BUSY, LSQ_CONSTRAINT (deferred foreign keys), LSQ_FULL, ... */
LSQ_API enum lsq_status lsq_commit(struct lsq_conn *conn, const struct lsq_call *call,
                                   struct lsq_error *err);

/* Rolls back. Errors: LSQ_NO_TRANSACTION. */
LSQ_API enum lsq_status lsq_rollback(struct lsq_conn *conn, const struct lsq_call *call,
                                     struct lsq_error *err);

/* Savepoints. Any name that is not empty and holds no NUL; it is quoted here. Outside a transaction
 * lsq_savepoint() opens one, and releasing that savepoint commits it.
 * Errors: LSQ_BAD_ARGUMENT, LSQ_ERROR where no such savepoint is open. */
LSQ_API enum lsq_status lsq_savepoint(struct lsq_conn *conn, const char *name, size_t len,
                                      const struct lsq_call *call, struct lsq_error *err);
LSQ_API enum lsq_status lsq_release(struct lsq_conn *conn, const char *name, size_t len,
                                    const struct lsq_call *call, struct lsq_error *err);
/* The savepoint itself stays open. */
LSQ_API enum lsq_status lsq_rollback_to(struct lsq_conn *conn, const char *name, size_t len,
                                        const struct lsq_call *call, struct lsq_error *err);

/* Switches the enforcement of foreign keys for the rest of the open transaction, where PRAGMA
 * foreign_keys does nothing: so that a table can be built anew without its ON DELETE actions. Once the
 * transaction has ended, however it ended, what held before holds again. What is written meanwhile is
 * not checked, not at the commit either: PRAGMA foreign_key_check does that.
 * *before, may be NULL, gets what held. Errors: LSQ_NO_TRANSACTION. */
LSQ_API enum lsq_status lsq_enforce_foreign_keys(struct lsq_conn *conn, bool on, bool *before,
                                                 const struct lsq_call *call,
                                                 struct lsq_error *err);

/* ---- Statements and cursors --------------------------------------------------------------- */

/* Prepares one statement. Caller owns *out; it keeps the connection's memory, not the connection,
 * alive. Where it answers LSQ_PENDING, *out is set already, is the caller's however the call ends, and of use once
 * that has succeeded. Errors: LSQ_SQL, LSQ_BAD_ARGUMENT (empty, or more than one statement), LSQ_CLOSED, ... */
LSQ_API enum lsq_status lsq_stmt_new(struct lsq_stmt **out, struct lsq_conn *conn, const char *sql,
                                     size_t len, const struct lsq_call *call,
                                     struct lsq_error *err);

/* Finalizes the statement and frees the handle, on the thread that is using the connection. NULL
 * is fine. */
LSQ_API void lsq_stmt_free(struct lsq_stmt *stmt);

/* The same from any thread, even while a call runs on the connection: never waits. The engine's
 * part is done by the next call or, within 100 ms, by the helper thread. */
LSQ_API void lsq_stmt_discard(struct lsq_stmt *stmt);

/* The connection that the statement was prepared on. Borrowed; compare, don't call. */
LSQ_API const struct lsq_conn *lsq_stmt_conn(const struct lsq_stmt *stmt);

/* Runs the statement from its start with these parameters, and resets it. As lsq_exec(). */
LSQ_API enum lsq_status lsq_stmt_exec(struct lsq_stmt *stmt, const struct lsq_params *params,
                                      const struct lsq_call *call, const struct lsq_sink *sink,
                                      void *ctx, struct lsq_reply *reply, struct lsq_error *err);

/* Starts the statement as a cursor: binds a copy of the parameters, reads nothing yet. A cursor over
 * a statement that writes runs it to its end at the first fetch and keeps the rows that it returns:
 * what it wrote does not depend on how many of them are read. */
LSQ_API enum lsq_status lsq_stmt_start(struct lsq_stmt *stmt, const struct lsq_params *params,
                                       struct lsq_error *err);

/* Pushes up to max_rows further rows. *end becomes true when there are no more; the cursor is then
 * reset. columns() of the sink is called at each fetch. After any error the cursor is reset.
 * Errors: LSQ_MISUSE where it was not started. */
LSQ_API enum lsq_status lsq_stmt_fetch(struct lsq_stmt *stmt, size_t max_rows,
                                       const struct lsq_call *call, const struct lsq_sink *sink,
                                       void *ctx, bool *end, struct lsq_error *err);

/* Ends a run or cursor and clears the parameters. */
LSQ_API enum lsq_status lsq_stmt_reset(struct lsq_stmt *stmt, struct lsq_error *err);

/* Stops this statement if it is the one running on its connection. Any thread. */
LSQ_API void lsq_stmt_interrupt(struct lsq_stmt *stmt);

/* Number of result columns, by the schema as it is now; 0: returns no rows. Texts that
 * lsq_stmt_column() gave before are void. */
LSQ_API enum lsq_status lsq_stmt_column_count(struct lsq_stmt *stmt, size_t *count,
                                              struct lsq_error *err);
/* Column i, from 0, as lsq_stmt_column_count() or the last run found it. Errors: LSQ_BAD_ARGUMENT
 * beyond the last. */
LSQ_API enum lsq_status lsq_stmt_column(struct lsq_stmt *stmt, size_t i, struct lsq_column *column,
                                        struct lsq_error *err);

/* Number of parameters: the largest index. */
LSQ_API enum lsq_status lsq_stmt_param_count(struct lsq_stmt *stmt, size_t *count,
                                             struct lsq_error *err);
/* The name of parameter i, from 1, with its prefix; *name is NULL for a bare '?'. */
LSQ_API enum lsq_status lsq_stmt_param_name(struct lsq_stmt *stmt, size_t i, const char **name,
                                            struct lsq_error *err);

/* The statement writes to no database: by what the engine compiled, triggers included, not by its
 * text. Transaction control, PRAGMA and ATTACH are not read-only. */
LSQ_API enum lsq_status lsq_stmt_readonly(struct lsq_stmt *stmt, bool *readonly,
                                          struct lsq_error *err);

/* ---- Results for C ------------------------------------------------------------------------ */

struct lsq_result;

/* Runs one statement and keeps its rows. Caller owns *out. len is strlen(sql). */
LSQ_API enum lsq_status lsq_query(struct lsq_result **out, struct lsq_conn *conn, const char *sql,
                                  const struct lsq_params *params, struct lsq_error *err);

/* Creates an empty result, to be filled through lsq_result_sink() with itself as ctx. */
LSQ_API enum lsq_status lsq_result_new(struct lsq_result **out, struct lsq_error *err);
LSQ_API void lsq_result_free(struct lsq_result *res);
/* The sink that fills a result. A new statement's columns() empties it first. */
LSQ_API const struct lsq_sink *lsq_result_sink(void);

/* How many rows. */
LSQ_API size_t lsq_result_rows(const struct lsq_result *res);
/* How many columns. */
LSQ_API size_t lsq_result_columns(const struct lsq_result *res);
/* The column's name; NULL beyond the last. Borrowed from res. */
LSQ_API const char *lsq_result_name(const struct lsq_result *res, size_t column);
/* The value at row and column, from 0; beyond the last it is NULL. Borrowed from res; text and
 * blobs have a NUL behind their last byte. */
LSQ_API struct lsq_value lsq_result_value(const struct lsq_result *res, size_t row, size_t column);
/* Short cuts: 0, 0.0 or "" where the value has another type. */
LSQ_API int64_t lsq_result_int(const struct lsq_result *res, size_t row, size_t column);
LSQ_API double lsq_result_real(const struct lsq_result *res, size_t row, size_t column);
LSQ_API const char *lsq_result_text(const struct lsq_result *res, size_t row, size_t column);

/* ---- The library -------------------------------------------------------------------------- */

/* Facts about this build. Static text. */
struct lsq_core_info {
    const char *engine;         /* "libsql" or "sqlite" */
    const char *engine_version; /* "3.47.0" */
    const char *engine_source;  /* the engine's source id */
    bool encryption;
    bool wal_reset_fixed; /* the engine carries the cure of the WAL-reset defect */
    bool ofd_locks;       /* locks survive another open and close of the file in this process */
};
LSQ_API enum lsq_status lsq_core_info(struct lsq_core_info *info, struct lsq_error *err);

/* Native memory of the library and its engine, whole process. */
struct lsq_memory {
    int64_t bytes;  /* allocated now */
    int64_t blocks; /* allocations now */
    int64_t failed; /* allocations refused so far */
};
LSQ_API void lsq_memory(struct lsq_memory *memory);

/* For tests: lets the next n allocations succeed and every later one fail; -1: none fails. */
LSQ_API void lsq_memory_set_budget(int64_t n);

/* Runs fn(arg) on one of the library's own threads (started when needed, at most 256, at
 * a lower priority), so that long work stands in nobody's way. Errors: LSQ_NOMEM, LSQ_ERROR where
 * no thread can be started; fn is then not called. */
LSQ_API enum lsq_status lsq_defer(void (*fn)(void *arg), void *arg, struct lsq_error *err);

/* Waits until every connection that was freed is closed and every deferred call has run, then stops
 * the library's threads. For programs that end, and before the library is unloaded; the library can
 * be used again afterwards. Call it from no callback of the library. It also waits until who stands in line for
 * other programs has come to its turn, for the system's waiting cannot be broken off. A program that calls exit() without it
 * waits up to 2 s for connections that are being closed. */
LSQ_API void lsq_shutdown(void);

#ifdef __cplusplus
}
#endif

#endif
