/* The order of a data set in an epoch: a keyed permutation that is computed, never stored, so that
 * it depends on seed and epoch alone and any place of it can be asked for. */
#ifndef DEMIST_CORE_SHUFFLE_H
#define DEMIST_CORE_SHUFFLE_H

#include <stdint.h>

/* Where `index` of [0,count) goes, one-to-one; count is 1 to 2^62. */
int64_t dm_shuffle(uint64_t seed, uint64_t epoch, int64_t index, int64_t count);

#endif
