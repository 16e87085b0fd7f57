/* A mean over examples, with its standard error. */
#ifndef DEMIST_CORE_MEAN_H
#define DEMIST_CORE_MEAN_H

#include <demist/demist.h>

/* What was added and its square, summed. */
typedef struct dm_sums { double x, xx; } dm_sums;

static inline void dm_sums_add(dm_sums *s, double x)
{
    s->x += x;
    s->xx += x * x;
}

/* Of n examples; the error is NAN for one. */
dm_mean dm_mean_of(const dm_sums *s, int64_t n);

#endif
