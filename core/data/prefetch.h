/* Threads that make the batches of a stream ahead of the one who takes them, in order. What is taken
 * does not depend on the number of threads. */
#ifndef DEMIST_CORE_PREFETCH_H
#define DEMIST_CORE_PREFETCH_H

#include "base/error.h"

typedef struct dm_prefetch dm_prefetch;

typedef struct dm_prefetch_setup {
    /* Makes one example: `size` floats, `more` others and its label. Called by several threads at once; worker is
     * 0..workers-1. */
    dm_status (*make)(void *user, int worker, uint64_t position, float *x, float *others, int32_t *label,
                      dm_err *err);
    void *user;
    int workers;                   /* 1..64 */
    uint64_t position;             /* of the first example of the first batch */
    int64_t n, size, more;         /* examples of a batch, floats of an example; more may be 0 */
    int64_t stride;                /* positions from batch to batch, n at least */
} dm_prefetch_setup;

dm_status dm_prefetch_new(const dm_prefetch_setup *s, dm_prefetch **out, dm_err *err);
void dm_prefetch_free(dm_prefetch *p); /* waits for what is being made */

/* true where this is the next batch: it is copied, once it is made, and *status says how that went. A batch
 * that failed is failed each time it is asked for. labels may be NULL. One thread may take. */
bool dm_prefetch_take(dm_prefetch *p, uint64_t position, int64_t n, float *x, float *others, int32_t *labels,
                      dm_status *status, dm_err *err);

#endif
