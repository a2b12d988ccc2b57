/* v2_read.h - the bytes of replication protocol v2, in: numbers in short JSON texts, frames of a generation, and a
 * database file, page by page as it comes. It opens no socket and no file.
 * Threads: one at a time for each. */
#ifndef LSQI_REPL_V2_READ_H
#define LSQI_REPL_V2_READ_H

#include "base/buf.h"
#include "lsq/lsq.h"
#include "net/http.h"
#include "repl/frame.h"

/* Pages have this size: a frame says nothing of its own, and clients of the protocol know no other. */
enum { LSQI_V2_PAGE = 4096, LSQI_V2_FRAME = LSQI_FRAME_HEADER + LSQI_V2_PAGE };

/* The number that a JSON object has under that name, from 1 on. Servers have been seen to change a field's type: 3, 3.0
 * and "3" are the same. False: there is no such object, name or number. */
bool lsqi_v2_number(const char *text, size_t len, const char *name, uint64_t *number);

/* What a push is answered with: {"status": ..., "generation": ..., "max_frame_no": ..., "baton": ...}. */
struct lsqi_v2_pushed {
    char status[16]; /* "ok", "conflict", "push_needed" */
    uint64_t generation;
    uint64_t frame; /* the last that the server has; 0: none */
    char baton[256];
};

/* False: it is not that. */
bool lsqi_v2_pushed(const char *text, size_t len, struct lsqi_v2_pushed *pushed);

/* A file of which the rest can be asked for later, as a number that no other file has: of a strong ETag (RFC 9110,
 * 8.8.1), where the server takes ranges of bytes. 0: it cannot. */
uint64_t lsqi_v2_version(const struct lsqi_http_head *head);
/* Whether the answer is a part that begins with that byte. */
bool lsqi_v2_begins_at(const struct lsqi_http_head *head, uint64_t byte);

/* Frame i of those in text[0..len); its number is left to the caller. False: it has none, or one without a page. */
bool lsqi_v2_frame(const char *text, size_t len, size_t i, struct lsqi_frame *frame,
                   const void **page);

/* A database file as it comes: each page is told once the next one has begun, so that the last one can be told as
 * such. Its pages are numbered downwards, as those of a snapshot are. */
struct lsqi_v2_file {
    bool (*frame)(void *arg, const struct lsqi_frame *frame, const void *page, size_t len);
    void *arg;
    uint64_t number; /* of the first page */
    uint32_t pages;  /* that have been told */
    uint32_t claims; /* what the header says; 0: nothing */
    struct lsqi_buf page;
};

/* Errors: LSQ_PROTOCOL_UNSUPPORTED (it is no database, or of other pages), LSQ_NOMEM. */
enum lsq_status lsqi_v2_file_feed(struct lsqi_v2_file *file, const char *data, size_t len,
                                  struct lsq_error *err);
/* At its end: the last page, which ends the transaction. An empty file is an empty database. Where the header
 * says that there are fewer, the rest does not count. Borrowed. Errors:
 * LSQ_CORRUPT: it is cut. */
enum lsq_status lsqi_v2_file_last(struct lsqi_v2_file *file, struct lsqi_frame *frame,
                                  const void **page, struct lsq_error *err);
/* Before the first byte: pages 1 to `pages` are here, of which first[0..LSQI_V2_PAGE) is the first. Errors:
 * LSQ_PROTOCOL_UNSUPPORTED (it is none). */
enum lsq_status lsqi_v2_file_go_on(struct lsqi_v2_file *file, uint32_t pages, const void *first,
                                   struct lsq_error *err);
void lsqi_v2_file_release(struct lsqi_v2_file *file);

#endif
