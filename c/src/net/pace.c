#include "net/pace.h"

static int longer(int us) {
    if (us == 0) return LSQI_PACE_SHORTEST_US;
    return us * 2 < LSQI_PACE_LONGEST_US ? us * 2 : LSQI_PACE_LONGEST_US;
}

static int shorter(int us) { return us / 2 < LSQI_PACE_SHORTEST_US ? 0 : us / 2; }

int lsqi_pace(struct lsqi_pace *pace, unsigned running) {
    unsigned ended = pace->ended;

    pace->ended = 0;
    if (pace->waiting == 0)
        pace->us = 0;
    else if (ended * 16 < running)
        pace->us = longer(pace->us);
    else if (ended * 8 > running)
        pace->us = shorter(pace->us);
    return pace->us;
}
