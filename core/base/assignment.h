/* The linear assignment problem. */
#ifndef DEMIST_CORE_ASSIGNMENT_H
#define DEMIST_CORE_ASSIGNMENT_H

#include "base/error.h"

/* Asked every few million steps; true ends it with DM_ECANCELLED. */
typedef struct dm_assignment_stop { bool (*wanted)(void *user); void *user; } dm_assignment_stop;

/* column[i], a permutation of [0,n), with the least sum of cost[i][column[i]]; cost f64[n,n], finite. By shortest
 * augmenting paths (Jonker & Volgenant 1987; Crouse 2016): O(n^3) at worst, exact, and the same for the same costs.
 * stop may be NULL. */
dm_status dm_assignment(int64_t n, const double *cost, const dm_assignment_stop *stop, int32_t *column, dm_err *err);

#endif
