/* What is known of a replica. */
#include "base/clock.h"
#include "repl/local.h"
#include "repl/v2.h"

bool lsqi_replica_usable(struct lsqi_replica *r) {
    bool usable;

    pthread_mutex_lock(&r->lock);
    usable = r->usable;
    pthread_mutex_unlock(&r->lock);
    return usable;
}

static int64_t count_locked(const struct lsqi_replica *r) {
    int64_t count = 0;

    for (const struct lsqi_replica_sync *sync = r->waiters; sync != NULL; sync = sync->next)
        count++;
    return count;
}

void lsqi_replica_info(struct lsqi_replica *r, struct lsqi_replica_info *info) {
    pthread_mutex_lock(&r->lock);
    *info = r->counts;
    info->usable = r->usable;
    info->frozen = r->frozen;
    info->running = r->running;
    info->applied = lsqi_replica_applied(r);
    info->highest = r->highest;
    info->protocol = (enum lsq_sync_protocol)atomic_load(&r->face.protocol);
    if (info->protocol == LSQ_SYNC_V2)
        info->lag = lsqi_v2_lag(info->applied, info->highest);
    else
        info->lag = r->highest > info->applied ? r->highest - info->applied : 0;
    info->synced_ago = r->synced_at == 0 ? -1 : (lsqi_now_ns() - r->synced_at) / 1000000;
    info->waiting = count_locked(r);
    info->offline = r->offline;
    info->unpushed = lsqi_local_count(r);
    info->pushed_ago = r->pushed_at == 0 ? -1 : (lsqi_now_ns() - r->pushed_at) / 1000000;
    pthread_mutex_unlock(&r->lock);
}
