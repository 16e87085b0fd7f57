/* See mean.h. */
#include "eval/mean.h"

#include <math.h>

dm_mean dm_mean_of(const dm_sums *s, int64_t n)
{
    const double mean = s->x / (double)n,
                 var = n > 1 ? fmax(0, s->xx / (double)n - mean * mean) * (double)n / (double)(n - 1) : NAN;

    return (dm_mean){mean, sqrt(var / (double)n)};
}
