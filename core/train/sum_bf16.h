/* Sums over ranks that are sent as bf16: half the bytes, and its 8 bits of each term and of each sum. */
#ifndef DEMIST_CORE_SUM_BF16_H
#define DEMIST_CORE_SUM_BF16_H

#include "comm/comm.h"

typedef struct dm_sum_bf16 dm_sum_bf16;

/* Room for sums of `most` elements at once. */
dm_status dm_sum_bf16_new(dm_comm *c, size_t most, dm_sum_bf16 **out, dm_err *err);
void dm_sum_bf16_free(dm_sum_bf16 *s);
/* x[i] := the sum over the ranks of x[i] for i in [0, n), the same bits on every rank. Of all ranks. Terms and sums are
 * rounded to the nearest bf16; between the two, each rank adds up its part in f32, in the order of ranks. */
dm_status dm_sum_bf16_run(dm_sum_bf16 *s, float *x, size_t n, dm_err *err);

#endif
