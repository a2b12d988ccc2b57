/* utf8.h - UTF-8. Threads: any. */
#ifndef LSQI_BASE_UTF8_H
#define LSQI_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Whether text[0..len) is UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing over
 * U+10FFFF. NUL is a character like another. */
bool lsqi_utf8_valid(const void *text, size_t len);

/* How many bytes of text[0..len), from its start, are UTF-8: len, or where the first other byte stands. */
size_t lsqi_utf8_prefix(const void *text, size_t len);

/* The largest n <= max that does not cut a character of text[0..len) in two. */
size_t lsqi_utf8_cut(const char *text, size_t len, size_t max);

#endif
