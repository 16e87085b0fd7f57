/* The grids of sampling steps; see noise.h. */
#include "noise/noise_process.h"

#include <stdlib.h>

/* Half way goes to the even one, as NumPy rounds, whatever the rounding mode of the process. */
static double round_even(double x)
{
    const double low = floor(x), rest = x - low;

    return rest > 0.5 || (rest == 0.5 && fmod(low, 2) != 0) ? low + 1 : low;
}

static int64_t timestep(const dm_set_sampler *s, int32_t T, int32_t n, int32_t i)
{
    /* NumPy's arange(T, 0, -T / n) goes by the difference of its first two values, and that decides ties. */
    const double second = T - (double)T / n, down = i * (second - T);

    switch (s->spacing) {
    case DM_SPACING_TRAILING: return (int64_t)round_even(T + down) - 1;
    case DM_SPACING_LINSPACE: return n == 1 ? 0 : (int64_t)round_even((n - 1 - i) * ((double)(T - 1) / (n - 1)));
    default: return (int64_t)(n - 1 - i) * (T / n) + s->offset;
    }
}

static dm_status discrete_grid(const dm_noise *n, const dm_set_sampler *s, dm_grid *g, dm_err *err)
{
    int64_t before = n->T;

    for (int32_t i = 0; i < g->n; i++) {
        const int64_t t = s->at.n ? s->at.v[i] : timestep(s, n->T, g->n, i);

        if (t < 0 || t >= before)
            return dm_error(err, DM_EINVAL,
                            "sampler: timestep %lld cannot follow %lld; they must fall, from below timesteps: %d%s",
                            (long long)t, (long long)before, (int)n->T, s->offset ? " (offset moves them)" : "");
        g->timesteps[i] = (int32_t)t;
        dm_noise_at(n, (double)t + 1, &g->points[i]);
        before = t;
    }
    g->points[g->n] = dm_noise_data;
    if (s->last == DM_LAST_FIRST)
        dm_noise_at(n, 1, &g->points[g->n]);
    return DM_OK;
}

/* Even in t; where the least noise that is trained is above the data, that is the last point but one. */
static void continuous_grid(const dm_noise *n, dm_grid *g)
{
    dm_point least;
    int32_t parts;

    dm_noise_at(n, 0, &least);
    parts = least.sigma > 0 ? g->n - 1 : g->n;
    for (int32_t i = 0; i < g->n; i++)
        dm_noise_at(n, parts > 0 ? n->T * (1 - (double)i / parts) : n->T, &g->points[i]);
    g->points[g->n] = dm_noise_data;
}

dm_status dm_noise_grid(const dm_noise *n, const dm_set_sampler *s, dm_grid *g, dm_err *err)
{
    const int64_t steps = s->at.n ? s->at.n : s->steps ? s->steps : n->T;
    dm_status rc = DM_OK;

    *g = (dm_grid){.n = (int32_t)steps};
    if (n->discrete && steps > n->T)
        return dm_error(err, DM_EINVAL, "sampler.steps is %lld; the schedule has timesteps: %d", (long long)steps,
                        (int)n->T);
    if (!n->discrete && s->last == DM_LAST_FIRST)
        return dm_error(err, DM_EINVAL, "sampler.last is first; schedule '%s' is continuous and has no first step",
                        n->schedule.plugin->name);
    if (!n->discrete && s->at.n)
        return dm_error(err, DM_EINVAL, "sampler.at gives timesteps; schedule '%s' is continuous",
                        n->schedule.plugin->name);
    if (!(g->points = calloc((size_t)steps + 1, sizeof *g->points)) ||
        (n->discrete && !(g->timesteps = calloc((size_t)steps, sizeof *g->timesteps))))
        rc = dm_error(err, DM_ENOMEM, "out of memory for %lld steps", (long long)steps);
    else if (n->discrete)
        rc = discrete_grid(n, s, g, err);
    else
        continuous_grid(n, g);
    if (rc)
        dm_grid_fini(g);
    return rc;
}

void dm_grid_fini(dm_grid *g)
{
    free(g->points);
    free(g->timesteps);
    *g = (dm_grid){0};
}
