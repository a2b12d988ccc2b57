/* chance.h - random numbers that can be had again. */
#ifndef LSQ_TEST_SUPPORT_CHANCE_H
#define LSQ_TEST_SUPPORT_CHANCE_H

#include <stdint.h>

/* A number that random tests start from, printed; LSQ_TEST_SEED sets it. */
uint64_t test_seed(void);
uint64_t random_next(uint64_t *seed);

#endif
