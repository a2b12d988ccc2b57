/* names.h - a list of texts that are kept: names of columns and parameters, declared types.
 * Threads: the owner. */
#ifndef LSQI_HRANA_NAMES_H
#define LSQI_HRANA_NAMES_H

#include "base/buf.h"

/* What all the lists of a decoder may hold is bounded by this, each for itself. */
enum { LSQI_NAMES_MOST = 64 << 20 };

/* All zero is an empty list. */
struct lsqi_names {
    size_t count;
    struct lsqi_buf text;
    struct lsqi_buf offsets;  /* of size_t; SIZE_MAX: NULL */
    struct lsqi_buf pointers; /* of const char * */
};

void lsqi_names_release(struct lsqi_names *names);
/* Empty again; keeps its memory. */
void lsqi_names_reset(struct lsqi_names *names);
/* text NULL: a NULL in the list. False: no memory, or more than the bound (names->text.failed says which). */
bool lsqi_names_add(struct lsqi_names *names, const char *text, size_t len);
/* The list, borrowed until the next change; NULL: no memory. */
const char *const *lsqi_names_list(struct lsqi_names *names);

#endif
