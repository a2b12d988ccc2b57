/* answer.h - answers of servers and what was told of them, as text: one line for a result, a row, ... */
#ifndef LSQ_TEST_SUPPORT_ANSWER_H
#define LSQ_TEST_SUPPORT_ANSWER_H

#include "base/buf.h"
#include "hrana/decode.h"

/* Keeps what a decoder tells. */
struct transcript {
    struct lsqi_buf text;
    struct lsqi_hrana_handler handler;
    size_t rows;
    size_t results;
};

/* Its text is to be given back with lsqi_buf_release(). */
void transcript_init(struct transcript *transcript);

struct answer {
    const char *name;
    enum lsqi_hrana_form form;
    const char *data;
    size_t len;
};

/* Where a piece lies. */
enum piece_memory {
    PIECE_BLOCK,        /* a block of exactly its size */
    PIECE_BEFORE_GUARD, /* its end is that of a page, and the next one cannot be read */
    PIECE_BEHIND_GUARD
};

/* How an answer is given. */
struct pieces {
    size_t size;    /* of each; with a seed, at most */
    size_t rows;    /* how many are let through at a time; with a seed, at first */
    uint64_t *seed; /* for sizes and rows; NULL: they are what stands above */
    enum piece_memory memory;
};

/* Decodes the answer. Ends the transcript with the status, and with baton, base_url and replication index, and a
 * NUL; answers the status. */
enum lsq_status transcribe(struct transcript *transcript, const struct answer *answer,
                           struct pieces pieces, struct lsq_error *err);

/* A file with a NUL behind it, in memory that the caller gives back with free(). */
char *read_whole(const char *path, size_t *len);

/* Answers that were recorded: those that sqld 0.24.32 wrote, and turned.pipeline, by hand. */
#define ANSWERS "c/fuzz/corpus/hrana"

/* Calls fn for each of them. The name's ending says the form. */
void each_answer(void (*fn)(const struct answer *answer));

#endif
