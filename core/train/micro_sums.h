/* Sums of micro-batches in an order that their numbers in the batch alone decide: neighbours, then neighbours of these,
 * ... (a binary tree). */
#ifndef DEMIST_CORE_MICRO_SUMS_H
#define DEMIST_CORE_MICRO_SUMS_H

#include <stddef.h>
#include <stdint.h>

enum { DM_MICRO_DEPTH = 64 }; /* no tree is as deep */

/* The sum of the micro-batches from index << level on, 1 << level of them; x may be NULL. */
typedef struct dm_micro_sum { int64_t index; int level; float *x; } dm_micro_sum;
/* Neighbours that are not siblings, from left to right. */
typedef struct dm_micro_row { dm_micro_sum sum[DM_MICRO_DEPTH]; int n; } dm_micro_row;
/* Memory that is no longer used. */
typedef struct dm_micro_spare { float *x[DM_MICRO_DEPTH + 1]; int n; } dm_micro_spare;

/* Puts one at the end; siblings become their parent, and of their numbers [at, at + n) are summed. spare gets what is
 * no longer used; may be NULL. */
void dm_micro_push(dm_micro_row *r, dm_micro_sum next, size_t at, size_t n, dm_micro_spare *spare);
/* Of a row that is the rest of the tree: what has no sibling is added from the right. */
const float *dm_micro_total(dm_micro_row *r, size_t n);

#endif
