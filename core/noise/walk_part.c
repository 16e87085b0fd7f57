/* Parts of walks, for editing images: from somewhere between noise and data, or backwards; see noise.h. */
#include "noise/noise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void dm_walk_begin_at(dm_walk *g, double t)
{
    int32_t first = 0;

    for (int32_t i = 1; i < g->n; i++)
        if (fabs(g->points[i].t - t) < fabs(g->points[first].t - t))
            first = i;
    g->n -= first;
    memmove(g->points, g->points + first, ((size_t)g->n + 1) * sizeof *g->points);
    if (g->timesteps)
        memmove(g->timesteps, g->timesteps + first, (size_t)g->n * sizeof *g->timesteps);
}

dm_status dm_walk_reverse(dm_walk *g, dm_err *err)
{
    const int32_t last = g->points[g->n].sigma > 0 ? g->n : g->n - 1;

    if (last < 1)
        return dm_error(err, DM_EINVAL, "a walk of one step cannot be gone backwards; use more steps");
    for (int32_t i = 0; i < last - i; i++) {
        const dm_point p = g->points[i];

        g->points[i] = g->points[last - i];
        g->points[last - i] = p;
    }
    g->n = last;
    free(g->timesteps);
    g->timesteps = NULL;
    return DM_OK;
}
