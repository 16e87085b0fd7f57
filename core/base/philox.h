/* Philox 4x32-10 (Salmon et al. 2011): counter-based random numbers, so that each depends on seed,
 * purpose, step and index alone. The device draws the same integers (kernels/random/philox.clh). */
#ifndef DEMIST_CORE_PHILOX_H
#define DEMIST_CORE_PHILOX_H

#include <stdint.h>

/* out = the 4 words of counter ctr under key. */
void dm_philox(const uint32_t key[2], const uint32_t ctr[4], uint32_t out[4]);

/* Uniform in (0,1): ((x >> 9) + 0.5) 2^-23. */
static inline double dm_uniform(uint32_t x) { return ((double)(x >> 9) + 0.5) * (1.0 / 8388608.0); }

/* One uniform: seed, purpose (ops.h), step, index. */
double dm_draw_uniform(uint64_t seed, uint32_t purpose, uint32_t step, uint32_t index);

#endif
