/* error.h - filling struct lsq_error. Threads: the struct is the caller's. */
#ifndef LSQI_BASE_ERROR_H
#define LSQI_BASE_ERROR_H

#include "lsq/lsq.h"

/* Sets every field of *err (sql_offset -1, outcome NONE, the rest zero) and the message, cut at a
 * character boundary where it is too long. err may be NULL. Returns status. */
enum lsq_status lsqi_error_set(struct lsq_error *err, enum lsq_status status, const char *format,
                               ...) __attribute__((format(printf, 3, 4)));

/* Copies text[0..len) into field[0..size) with a NUL, cut at a character boundary. */
void lsqi_error_copy(char *field, size_t size, const char *text, size_t len);

#endif
