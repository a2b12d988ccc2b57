/* bootstrap.h - the first fetch of a replica, over a link that breaks: of a server that has some 30 MB.
 * Threads: the one that filled it. */
#ifndef LSQ_TEST_SUPPORT_BOOTSTRAP_H
#define LSQ_TEST_SUPPORT_BOOTSTRAP_H

#include "generations.h"
#include "link.h"
#include "primary.h"

/* What most of it comes as. */
enum source { V1, V2_FRAMES, V2_EXPORT };

struct bootstrap {
    struct sqld server;
    struct link *way;
    struct lsq_conn *primary;
    int64_t whole; /* bytes of all that comes */
};

/* Starts the server, and the link to it, and fills table t (a INTEGER PRIMARY KEY, b). */
void bootstrap_fill(struct bootstrap *b, enum source source);
/* Does a whole one. Again, where the server has more by now. */
void bootstrap_measure(struct bootstrap *b);
/* Ends all of that; for a test's teardown. */
int bootstrap_forget(struct bootstrap *b, void **state);

struct lsqi_replica *bootstrap_open(struct bootstrap *b, const char *path);
/* Begins one, or goes on, and cuts the link after so many hundredths of the whole: the sync fails. */
void bootstrap_break_off(struct bootstrap *b, struct lsqi_replica *replica, int hundredths);
/* Waits until so many have come since the link had carried `before` bytes. */
void bootstrap_await(struct bootstrap *b, int hundredths, int64_t before);
/* It is brought to its end, and for that so many hundredths come at most; it has what the server has. */
void bootstrap_expect_rest(struct bootstrap *b, struct lsqi_replica *replica, int most);

#endif
