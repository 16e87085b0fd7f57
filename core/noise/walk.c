/* The points of sampling steps, as a grid plugin gives them; see noise.h. */
#include "noise/noise_process.h"
#include "noise/noise_services.h"

#include <stdlib.h>

static dm_status ask(const dm_noise *n, const dm_section *grid, int32_t steps, bool *log_snr, double *at, dm_err *err)
{
    dm_span span;
    dm_services services;
    dm_instance i;
    dm_status rc;

    dm_noise_span(n, &span);
    for (int32_t k = 0; k <= steps; k++)
        at[k] = NAN;
    dm_services_init(&services, &n->services.log);
    dm_noise_serve(n, &services);
    if (!(rc = dm_instance_init(&i, grid->plugin, grid->cfg, &services, err)))
        rc = DM_CALL(&i, DM_CB_GRID_FILL, err, grid->plugin->grid->fill(&i.ctx, &span, steps, log_snr, at));
    dm_instance_fini(&i);
    return rc;
}

/* A little beyond an end, or short of it, is rounding. False where the schedule does not reach it. */
static bool find_point(const dm_noise *n, bool log_snr, double v, dm_point *p)
{
    static const double room = 1e-6;
    dm_point most, least, end;

    if (!log_snr) {
        dm_noise_at(n, v, p);
        return v <= n->T * (1 + 1e-9);
    }
    dm_noise_at(n, n->T, &most);
    dm_noise_at(n, n->discrete ? 1 : 0, &least);
    dm_noise_at(n, 0, &end);
    if (v == most.log_snr || fabs(v - most.log_snr) < room)
        *p = most;
    else if (fabs(v - least.log_snr) < room)
        *p = least;
    else
        dm_noise_at_log_snr(n, v, p);
    return v >= most.log_snr - room && v <= end.log_snr + room;
}

static dm_status put_point(const dm_noise *n, const char *name, bool log_snr, double v, int32_t i, dm_walk *g,
                           dm_err *err)
{
    const char *what = log_snr ? "log-SNR" : "t";
    dm_point *p = &g->points[i];

    if (log_snr ? v == INFINITY : v < 0 || (v == 0 && n->discrete))
        *p = dm_noise_data;
    else if (isnan(v))
        return dm_error(err, DM_EINVAL,
                        "grid '%s': point %d is NaN, or fill() did not write it; it must write %d points", name,
                        (int)i, (int)g->n + 1);
    else if (!find_point(n, log_snr, v, p))
        return dm_error(err, DM_EINVAL, "grid '%s': point %d has %s %g, which schedule '%s' does not reach", name,
                        (int)i, what, v, n->schedule.plugin->name);
    /* The last step may stay where it is: from the least noise to it, of a schedule's own steps in other programs. */
    if (i && !(p->log_snr > p[-1].log_snr || (i == g->n && g->n > 1 && p->log_snr == p[-1].log_snr)))
        return dm_error(err, DM_EINVAL,
                        "grid '%s': point %d of %d has %s %g after %g; the noise must fall from point to point", name,
                        (int)i, (int)g->n, what, v, log_snr ? p[-1].log_snr : p[-1].t);
    return DM_OK;
}

/* Whole levels of a discrete schedule have names of their own. */
static dm_status name_timesteps(const dm_noise *n, dm_walk *g, dm_err *err)
{
    for (int32_t i = 0; i < g->n; i++)
        if (!n->discrete || g->points[i].t != floor(g->points[i].t))
            return DM_OK;
    if (!(g->timesteps = calloc(g->n > 0 ? (size_t)g->n : 1, sizeof *g->timesteps)))
        return dm_error(err, DM_ENOMEM, "out of memory for %d steps", (int)g->n);
    for (int32_t i = 0; i < g->n; i++)
        g->timesteps[i] = (int32_t)g->points[i].t - 1;
    return DM_OK;
}

dm_status dm_noise_walk(const dm_noise *n, int64_t steps, const dm_section *grid, dm_walk *g, dm_err *err)
{
    double *at;
    bool log_snr = false;
    dm_status rc = DM_OK;

    *g = (dm_walk){0};
    if (!grid->plugin)
        return dm_error(err, DM_EINVAL, "the experiment has no grid; give one with grid.use (demist plugins lists "
                                          "them)");
    steps = steps ? steps : n->T;
    at = calloc((size_t)steps + 1, sizeof *at);
    *g = (dm_walk){.n = (int32_t)steps, .points = calloc((size_t)steps + 1, sizeof *g->points)};
    if (!at || !g->points)
        rc = dm_error(err, DM_ENOMEM, "out of memory for %lld steps", (long long)steps);
    if (!rc)
        rc = ask(n, grid, g->n, &log_snr, at, err);
    for (int32_t i = 0; i <= g->n && !rc; i++)
        rc = put_point(n, grid->plugin->name, log_snr, at[i], i, g, err);
    if (!rc)
        rc = name_timesteps(n, g, err);
    free(at);
    if (rc)
        dm_walk_fini(g);
    return rc;
}

dm_status dm_noise_walk_of(const dm_noise *n, const dm_experiment *e, dm_walk *g, dm_err *err)
{
    int64_t steps = e->sampler.steps;

    if (dm_experiment_chooses_steps(e))
        steps = e->listed ? e->listed : n->T && steps > n->T ? n->T : steps;
    return dm_noise_walk(n, steps, &e->section[DM_SEC_GRID], g, err);
}

void dm_walk_fini(dm_walk *g)
{
    free(g->points);
    free(g->timesteps);
    *g = (dm_walk){0};
}
