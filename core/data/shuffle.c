/* A Feistel network over the smallest even number of bits that holds count, with Philox as its round
 * function; what lands beyond count walks on along its cycle (Black & Rogaway 2002). */
#include "data/shuffle.h"

#include "device/ops.h"
#include "base/philox.h"

enum { ROUNDS = 8 };

int64_t dm_shuffle(uint64_t seed, uint64_t epoch, int64_t index, int64_t count)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint64_t x = (uint64_t)index;
    int half = 1;

    while (half < 31 && (uint64_t)count > (uint64_t)1 << 2 * half)
        half++;
    const uint32_t mask = ((uint32_t)1 << half) - 1;
    do {
        uint32_t left = (uint32_t)(x >> half), right = (uint32_t)x & mask;

        for (uint32_t r = 0; r < ROUNDS; r++) {
            const uint32_t ctr[4] = {(uint32_t)DM_PURPOSE_SHUFFLE << 24 | r, (uint32_t)epoch, (uint32_t)(epoch >> 32),
                                     right};
            uint32_t f[4];

            dm_philox(key, ctr, f);
            f[0] = left ^ (f[0] & mask);
            left = right;
            right = f[0];
        }
        x = (uint64_t)left << half | right;
    } while (x >= (uint64_t)count);
    return (int64_t)x;
}
