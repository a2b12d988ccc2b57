/* lane.pml - turns to write (c/src/file/lane.c): three processes that want them for ever, and may at any moment have
 * waited long enough. FILES=1: of one file. FILES=2: of one, of the other, and of both. Each has a connection of its
 * own; SHARED: two of them one together, as all processes of a Repo have its writer.
 *
 * A process has one ticket at a time, so two in one connection are two tickets of it. More of them would add nothing
 * new: to each ticket another one is of its own connection or not, before it or behind it, and the line and the gate
 * ask no more.
 *
 *   one at a time      inside[]
 *   order              before[] in lane.inc, the lines of what is taken at once, and what is given to a ticket
 *   none is lost       nobody_forgotten() in lane.inc; the property `served`
 *   no deadlock        spin's own check for states without a way on
 *   a call of fn       once, not after its ticket was cancelled while it waited: told[] in lane.inc */
#define LANES FILES
#define N 3
#include "lane.inc"

byte inside[LANES];
bool gate[N]; /* of a connection: somebody is in a call */
bool txn[N];  /* it is in a transaction, ... */
byte owner[N]; /* ... of that process */

inline enter(p, l) {
    inside[l] = inside[l] + IN(p, l);
    assert(inside[l] <= 1)
}

inline leave(p, l) { inside[l] = inside[l] - IN(p, l) }

/* A call's writing and its end, in the gate. */
inline write_in(p, ok, news, t) {
    enter(p, 0);
#if FILES > 1
    enter(p, 1);
    leave(p, 1);
#endif
    leave(p, 0);
    if
    :: txn[via[p]] -> lanes_keep(p, ok, news, t)
    :: !txn[via[p]] -> lanes_leave(p, ok, news, t)
#ifdef SHARED
    :: !txn[via[p]] ->
        txn[via[p]] = 1;
        owner[via[p]] = p;
        lanes_keep(p, ok, news, t)
#endif
    fi
}

/* The last call of its transaction. */
inline end_own(p, ok, news, t) {
    if
    :: txn[via[p]] && owner[via[p]] == p ->
        atomic { !gate[via[p]]; gate[via[p]] = 1 };
        d_step { txn[via[p]] = 0; owner[via[p]] = 0 };
        lanes_leave(p, ok, news, t);
        gate[via[p]] = 0
    :: else
    fi
}

proctype writer(byte me) {
    byte news = 0;
    byte t;
    bool ok;
    bool mine;
    bool waited;

    do
    ::
        atomic { !gate[via[me]] && !txn[via[me]]; gate[via[me]] = 1 };
        lanes_take(me, 0, mine);
        if
        :: mine -> write_in(me, ok, news, t)
        :: else
        fi;
        gate[via[me]] = 0;
        if
        :: mine -> skip
        :: else ->
            lanes_wait(me, ok, news, t);
            if
            :: told[me] -> /* a job, which waits for nobody in the connection */
                if
                :: atomic { !gate[via[me]] -> gate[via[me]] = 1 };
                    lanes_take(me, 1, mine);
                    assert(mine || !GIVEN(me)); /* it was kept for it */
                    if
                    :: mine -> write_in(me, ok, news, t)
                    :: else
                    fi;
                    gate[via[me]] = 0
                :: gate[via[me]]
                fi
            :: skip /* late, or called off */
            fi;
            lanes_cancel(me, ok, waited, news, t);
            if
            :: waited -> assert(!told[me])
            :: else -> told[me]; told[me] = 0 /* or about to be: it is waited for */
            fi
        fi;
        end_own(me, ok, news, t);
        d_step {
            assert(!GIVEN(me)); /* it may never come back: nothing is kept for it */
            ok = 0;
            mine = 0;
            waited = 0
        }
    od
}

init {
    atomic {
        lanes_init();
        lanes[0] = 1;
#if FILES == 1
        lanes[1] = 1;
        lanes[2] = 1;
#else
        lanes[1] = 3;
        lanes[2] = 2;
#endif
#ifdef SHARED
        via[2] = 0;
#endif
        run writer(0);
        run writer(1);
        run writer(2)
    }
}

/* Who waits does not do so for ever; with two files, the one that wants both. */
ltl served { [] (waiting[1] -> <> !waiting[1]) }
