/* checkpoint.pml - who writes orders checkpoints, a worker takes them, and the last connection to close breaks
 * one off and waits for it (c/src/file/file.c, close_engine() of c/src/conn/open.c).
 *
 *   one at a time       a checkpoint that makes the WAL begin again runs in a turn: inside
 *   one worker          ordered
 *   alone at the end    the last connection closes the engine when the worker's is closed: db
 *   no deadlock         spin's own check: also where the last one holds the turn while it waits, as after
 *                       an open transaction */
#define LANES 1
#define N 3
#define WORKER 2 /* as the holder of a turn */
#include "lane.inc"

byte users = 2;
bool ordered;  /* a worker is to take one, or takes it */
bool handed;   /* the job waits for a worker */
bool running;  /* it has begun */
bool stopping; /* nobody needs it any more */
bool db;       /* the worker has the file open */
byte inside;

inline enter() {
    inside++;
    assert(inside == 1)
}

inline leave() { inside-- }

/* lsqi_lanes_await(); stop: asked while it waits. */
inline lanes_await(p, stop, mine, ok, waited, news, t) {
    lanes_take(p, 0, mine);
    if
    :: mine -> skip
    :: else ->
        lanes_wait(p, ok, news, t);
        if
        :: told[p] -> lanes_take(p, 1, mine)
        :: stop -> mine = 0
        fi;
        lanes_cancel(p, ok, waited, news, t);
        if
        :: waited -> skip
        :: else -> told[p]; told[p] = 0
        fi
    fi
}

/* lsqi_file_checkpoint(), after a commit */
inline order() {
    atomic {
        if
        :: !ordered -> assert(!handed); ordered = 1; handed = 1
        :: else
        fi
    }
}

proctype connection(byte me) {
    byte news = 0;
    byte t;
    bool ok;
    bool mine = 0;
    bool waited;
    bool last;

    do
    :: !mine -> /* writes */
        lanes_await(me, 0, mine, ok, waited, news, t);
        enter();
        if
        :: 1 -> order()
        :: 1 -> skip
        fi
    :: mine -> leave(); mine = 0; lanes_leave(me, ok, news, t)
    :: break /* closes, be it in the midst of a transaction */
    od;

    atomic {
        users--;
        last = (users == 0)
    };
    if
    :: last ->
        stopping = 1;
#ifndef MUTANT_ALONE
        !running
#endif
    :: else
    fi;
    assert(!last || !db);
    if
    :: mine -> leave()
    :: else
    fi;
    lanes_leave(me, ok, news, t)
}

proctype worker() {
    byte news = 0;
    byte t;
    bool ok;
    bool mine;
    bool waited;
    bool more;

    do
    :: handed ->
        d_step { handed = 0; running = !stopping };
        if
        :: running ->
            db = 1;
            do
            ::
                if
                :: skip /* passive: it takes no turn */
                ::
#ifdef MUTANT_STOP
                    lanes_await(WORKER, 0, mine, ok, waited, news, t);
#else
                    lanes_await(WORKER, stopping, mine, ok, waited, news, t);
#endif
                    if
                    :: mine -> enter(); leave(); lanes_leave(WORKER, ok, news, t)
                    :: else
                    fi
                fi;
                if
                :: more = !stopping
                :: more = 0
                fi;
                if
                :: more
                :: else -> break
                fi
            od;
            db = 0;
            d_step { ordered = 0; running = 0 }
        :: else /* it stays ordered: there will be no other */
        fi
    :: users == 0 && !handed -> break
    od
}

init {
    atomic {
        lanes_init();
        lanes[0] = 1;
        lanes[1] = 1;
        lanes[WORKER] = 1;
        run connection(0);
        run connection(1);
        run worker()
    }
}

/* What ends does end: all are through. */
ltl closes { [] (stopping -> <> (users == 0 && !running && !db)) }
