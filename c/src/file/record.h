/* record.h - the record of a file, for file.c, which keeps it, and checkpoint.c, which takes its checkpoints. */
#ifndef LSQI_FILE_RECORD_H
#define LSQI_FILE_RECORD_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/helper.h"
#include "file/file.h"

/* A checkpoint. */
struct taken {
    enum lsq_checkpoint mode;
    int64_t began; /* ns */
    int64_t ended; /* 0: it has not */
    int pages;
    int done;
    int left; /* pages in the WAL after it */
};

struct lsqi_file {
    struct lsqi_file *next;
    dev_t dev;
    ino_t ino;
    unsigned users; /* guarded by files.lock */
    atomic_uint refs;
    char *path;
    const char *vfs; /* a name that the engine keeps */
    struct lsqi_lane lane;
    struct lsqi_turnstile *turnstile;
    atomic_bool shared; /* another process was seen */
    atomic_uint turns;
    struct lsqi_readers readers;
    atomic_int wal_pages; /* at the last commit */
    atomic_bool pinned;   /* its WAL is; written by the worker */
    pthread_mutex_t lock;
    pthread_cond_t done; /* a checkpoint has ended */
    /* guarded by lock */
    bool ordered;   /* a worker is to take a checkpoint, or takes it */
    bool running;   /* it has begun */
    bool stopping;  /* nobody needs it any more */
    int by_callers; /* so many are for those who commit, since a worker could not */
    sqlite3 *db;    /* the worker's, for an interrupt; NULL: not yet, or closed */
    int limit;
    int pages;   /* of the WAL, at the last commit */
    int due;     /* pages that are worth the next one; 0: the limit */
    int in_vain; /* pages when writers last waited for readers in vain; 0: not since it began */
    bool look;   /* another one is to be taken at once */
    bool waits;  /* one is to be taken when writers are calm: `calm` is scheduled */
    int seen;    /* pages of the WAL when it last looked */
    struct lsqi_task calm; /* keeps the record */
    int64_t checkpoints;
    struct taken last;
};

/* Bytes of the -wal file; -1: there is none. */
int64_t lsqi_file_wal_bytes(const struct lsqi_file *file);
/* Age of the oldest snapshot of this process, ns, and whose it is; -1: there is none. */
int64_t lsqi_file_oldest_reader(struct lsqi_file *file, uint64_t *caller);

#endif
