/* lane.pml - turns to write (c/src/file/lane.c): three who want them for ever, and may at any moment have
 * waited long enough. FILES=1: of one file. FILES=2: of one, of the other, and of both.
 *
 *   one at a time      inside[]
 *   order              before[] in lane.inc, and the lines of what is taken at once
 *   none is lost       nobody_forgotten() in lane.inc; the property `served`
 *   no deadlock        spin's own check for states without a way on
 *   a call of fn       once, not after its ticket was cancelled while it waited: told[] in lane.inc */
#define LANES FILES
#define N 3
#include "lane.inc"

byte inside[LANES];

inline enter(p, l) {
    inside[l] = inside[l] + IN(p, l);
    assert(inside[l] <= 1)
}

inline leave(p, l) { inside[l] = inside[l] - IN(p, l) }

proctype writer(byte me) {
    byte news = 0;
    byte t;
    bool ok;
    bool mine;
    bool waited;

    do
    ::
        lanes_take(me, mine);
        if
        :: mine -> skip
        :: else ->
            lanes_wait(me, ok, news, t);
            if
            :: told[me] ->
                lanes_take(me, mine);
                assert(mine) /* it was kept */
            :: mine = 0 /* late, or called off */
            fi;
            lanes_cancel(me, ok, waited, news, t);
            if
            :: waited -> assert(!told[me])
            :: else -> told[me]; told[me] = 0 /* or about to be: it is waited for */
            fi
        fi;
        if
        :: mine ->
            enter(me, 0);
#if FILES > 1
            enter(me, 1);
            leave(me, 1);
#endif
            leave(me, 0);
            lanes_leave(me, ok, news, t)
        :: else
        fi;
        /* it may never come back: nothing is kept for it */
        assert(conn[0] != me && conn[LANES - 1] != me)
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
        run writer(0);
        run writer(1);
        run writer(2)
    }
}

/* Who waits does not do so for ever; with two files, the one that wants both. */
ltl served { [] (waiting[1] -> <> !waiting[1]) }
