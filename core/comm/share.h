/* Which items of a whole are whose: each rank has a part in a row, of a batch in micro-batches. */
#ifndef DEMIST_CORE_SHARE_H
#define DEMIST_CORE_SHARE_H

#include "comm/comm.h"

typedef struct dm_share { int64_t first, n; } dm_share;

/* Parts that differ by one at most, of whole micro-batches where micro > 0 and there is one for each rank; else of
 * examples; a rank has none where there are fewer than ranks. */
dm_share dm_share_of(int64_t batch, int64_t micro, int rank, int size);
/* Such parts in proportion to weight[size], above 0: the largest n[k] / weight[k] is as small as can be, and every rank
 * has one unit, where there is one for each. */
void dm_share_weighted(int64_t batch, int64_t micro, const double *weight, int size, int64_t *n);
/* The largest. */
int64_t dm_share_most(int64_t batch, int64_t micro, int size);

/* x: count items of `bytes` each, of which every rank has its part (micro = 0): all of them to all. All ranks call it;
 * nothing may have failed. DM_ENOMEM on all. */
dm_status dm_share_collect(dm_comm *c, void *x, size_t bytes, int64_t count, dm_err *err);
/* x[i] := the sum over the ranks of x[i], in the order of ranks: the same bits on each. In the same way. */
dm_status dm_share_add(dm_comm *c, double *x, size_t n, dm_err *err);

#endif
