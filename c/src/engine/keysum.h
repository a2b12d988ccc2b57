/* keysum.h - checksums of what is encrypted, that may be kept beside it: keyed, where there is a key, so that who guesses
 * what was encrypted is not told by them that he guessed right. Threads: any. */
#ifndef LSQI_ENGINE_KEYSUM_H
#define LSQI_ENGINE_KEYSUM_H

#include "engine/key.h"

/* Of data[0..len), whole words of 8 bytes, and of its number. Never 0. */
uint64_t lsqi_key_sum(const struct lsqi_key *key, uint64_t number, const void *data, size_t len);

/* A server's checksum of a page at that place of its log, as it may be kept; and back. Without a key, and for 0, it is
 * the same. */
uint64_t lsqi_key_veil(const struct lsqi_key *key, uint64_t place, uint64_t sum);

#endif
