/* pace.h - how often the I/O thread looks for answers. Each one that comes alone wakes the thread, and a scheduler of the
 * VM then; where more is asked than a server gets at a time, they are looked for when a few have come.
 * Threads: the I/O thread's. */
#ifndef LSQI_NET_PACE_H
#define LSQI_NET_PACE_H

enum {
    LSQI_PACE_SHORTEST_US = 32,
    LSQI_PACE_LONGEST_US =
        2000 /* for which all else on the thread waits, too: commands, deadlines, WebSockets */
};

/* All zero: it looks at once. */
struct lsqi_pace {
    unsigned waiting; /* exchanges that wait for others of their group to end */
    unsigned ended;   /* exchanges that ended since it was last asked */
    int us;
};

/* Before the thread looks for more, with so many connections under way: for how long it is to leave that, us. As long as
 * some wait in line: until from a 16th to an 8th of those under way have ended, so that the servers have enough to do. */
int lsqi_pace(struct lsqi_pace *pace, unsigned running);

#endif
