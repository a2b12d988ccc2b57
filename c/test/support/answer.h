/* answer.h - answers of servers and what was told of them, as text: one line for a result, a row, ... */
#ifndef LSQ_TEST_SUPPORT_ANSWER_H
#define LSQ_TEST_SUPPORT_ANSWER_H

#include "base/buf.h"
#include "hrana/decode.h"

/* Keeps what a decoder tells. */
struct transcript {
    struct lsqi_buf text; /* add "" to end it with a NUL */
    struct lsqi_hrana_handler handler;
    size_t rows;
    size_t results;
};

/* To be released with lsqi_buf_release(&transcript->text). */
void transcript_init(struct transcript *transcript);

/* Decodes data in pieces of that size, each in a block of its own of exactly that length; room: how many rows are let
 * through at a time (SIZE_MAX: all). Ends the transcript with the status, and with baton, base_url and
 * replication index; answers the status. */
enum lsq_status transcribe(struct transcript *transcript, enum lsqi_hrana_form form,
                           const char *data, size_t len, size_t piece, size_t room,
                           struct lsq_error *err);

/* The same, the sizes of the pieces (at most `most`) and the rows let through being random. */
enum lsq_status transcribe_at_random(struct transcript *transcript, enum lsqi_hrana_form form,
                                     const char *data, size_t len, size_t most, uint64_t *seed,
                                     struct lsq_error *err);

/* A file with a NUL behind it, in memory that the caller gives back with free(). */
char *read_whole(const char *path, size_t *len);

#endif
