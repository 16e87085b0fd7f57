/* Which examples of a batch are whose: each rank has a part in a row, and makes micro-batches of it. */
#ifndef DEMIST_CORE_SHARE_H
#define DEMIST_CORE_SHARE_H

#include <stdint.h>

typedef struct dm_share { int64_t first, n; } dm_share;

/* Parts that differ by one at most, of whole micro-batches where micro > 0 and there is one for each rank; else of
 * examples; a rank has none where there are fewer than ranks. */
dm_share dm_share_of(int64_t batch, int64_t micro, int rank, int size);
/* The largest. */
int64_t dm_share_most(int64_t batch, int64_t micro, int size);

#endif
