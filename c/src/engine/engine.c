#include "engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/error.h"
#include "engine/giveway.h"
#include "engine/nowait.h"
#include "engine/oslock.h"

/* ---- The engine's memory comes from the counted allocator ---- */

static void *mem_malloc(int size) { return lsqi_malloc((size_t)size); }
static void mem_free(void *block) { lsqi_free(block); }
static void *mem_realloc(void *block, int size) { return lsqi_realloc(block, (size_t)size); }
static int mem_size(void *block) { return (int)lsqi_alloc_size(block); }
static int mem_roundup(int size) { return (size + 7) & ~7; }
static int mem_init(void *arg) {
    (void)arg;
    return SQLITE_OK;
}
static void mem_shutdown(void *arg) { (void)arg; }

static const sqlite3_mem_methods mem_methods = {
    .xMalloc = mem_malloc,
    .xFree = mem_free,
    .xRealloc = mem_realloc,
    .xSize = mem_size,
    .xRoundup = mem_roundup,
    .xInit = mem_init,
    .xShutdown = mem_shutdown,
    .pAppData = NULL,
};

/* ---- Set-up ---- */

/* process-wide: the engine itself is, so its set-up is. */
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static int engine_code;
static bool engine_ofd_locks;

static void init_once(void) {
    /* Fails where somebody else in the process has started the same shared SQLite already
     * (ENGINE=system): memory is then not counted, and nothing else changes. */
    (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &mem_methods);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    engine_code = sqlite3_initialize();
    if (engine_code != SQLITE_OK) return;
    engine_ofd_locks = lsqi_oslock_install() != 0;
    lsqi_nowait_install();
    lsqi_giveway_install();
}

enum lsq_status lsqi_engine_init(struct lsq_error *err) {
    pthread_once(&engine_once, init_once);
    if (engine_code == SQLITE_OK) return LSQ_OK;
    return lsqi_error_set(err, engine_code == SQLITE_NOMEM ? LSQ_NOMEM : LSQ_INTERNAL,
                          "the engine did not start: %s", sqlite3_errstr(engine_code));
}

enum lsq_status lsq_core_info(struct lsq_core_info *info, struct lsq_error *err) {
    enum lsq_status st = lsqi_engine_init(err);

    if (st != LSQ_OK) return st;
    *info = (struct lsq_core_info){
#ifdef LSQ_ENGINE_SYSTEM
        .engine = "sqlite",
        .encryption = false,
        .wal_reset_fixed = sqlite3_libversion_number() >= 3051003,
#else
        .engine = "libsql",
        .encryption = true,
        .wal_reset_fixed = true, /* engine/patches */
#endif
        .engine_version = sqlite3_libversion(),
        .engine_source = sqlite3_sourceid(),
        .ofd_locks = engine_ofd_locks,
    };
    return LSQ_OK;
}

enum lsq_status lsqi_engine_status(int code) {
    if (code == SQLITE_BUSY_SNAPSHOT) return LSQ_BUSY_SNAPSHOT;
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return LSQ_OK;
    case SQLITE_INTERNAL: return LSQ_INTERNAL;
    case SQLITE_PERM: return LSQ_PERMISSION;
    case SQLITE_ABORT: return LSQ_ABORTED;
    case SQLITE_BUSY: return LSQ_BUSY;
    case SQLITE_LOCKED: return LSQ_LOCKED;
    case SQLITE_NOMEM: return LSQ_NOMEM;
    case SQLITE_READONLY: return LSQ_READONLY;
    case SQLITE_INTERRUPT: return LSQ_INTERRUPTED;
    case SQLITE_IOERR: return LSQ_IO;
    case SQLITE_CORRUPT: return LSQ_CORRUPT;
    case SQLITE_FULL: return LSQ_FULL;
    case SQLITE_CANTOPEN: return LSQ_CANNOT_OPEN;
    case SQLITE_PROTOCOL: return LSQ_PROTOCOL;
    case SQLITE_SCHEMA: return LSQ_SCHEMA;
    case SQLITE_TOOBIG: return LSQ_TOO_BIG;
    case SQLITE_CONSTRAINT: return LSQ_CONSTRAINT;
    case SQLITE_MISMATCH: return LSQ_MISMATCH;
    case SQLITE_MISUSE: return LSQ_MISUSE;
    case SQLITE_AUTH: return LSQ_AUTH;
    case SQLITE_RANGE: return LSQ_PARAMETERS;
    case SQLITE_NOTADB: return LSQ_NOT_A_DATABASE;
    default: return LSQ_ERROR;
    }
}
