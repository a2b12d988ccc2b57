/* alloc.h - the one counted allocator. Everything in the library, the engine too, allocates here.
 * Threads: any. Blocks are aligned as malloc() aligns them. NULL means out of memory. */
#ifndef LSQI_BASE_ALLOC_H
#define LSQI_BASE_ALLOC_H

#include <stddef.h>

void *lsqi_malloc(size_t size);
void *lsqi_calloc(size_t count, size_t size);
/* On failure the old block stays as it was. realloc(NULL, n) allocates. */
void *lsqi_realloc(void *block, size_t size);
void lsqi_free(void *block);
/* Usable size of a block; 0 for NULL. */
size_t lsqi_alloc_size(void *block);
/* A copy of text[0..len) with a NUL behind it. */
char *lsqi_strndup(const char *text, size_t len);

#endif
