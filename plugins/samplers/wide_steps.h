/* Steps that are too wide for more than the first order; see docs/samplers.md. */
#ifndef DEMIST_SAMPLERS_WIDE_STEPS_H
#define DEMIST_SAMPLERS_WIDE_STEPS_H

#include <math.h>
#include <demist/plugin.h>

/* Over a wide step the straight line in s = sigma / alpha is so far from the flow that the slope at its end, weighed by
 * the step's length, adds up to (s / s' - 1) / 2 times a change of x0. Both ends have a signal and noise. */
static inline bool drops_too_far(double max_drop, const dm_point *at, const dm_point *to)
{
    return max_drop > 0 && fabs(to->log_snr - at->log_snr) > 2 * log(max_drop);
}

/* The polynomial through what lies behind is worth nothing a long way ahead of it. l: log-SNR / 2 of the `have`
 * predictions, the newest first; h: the step from there. */
static inline bool goes_too_far(double max_growth, const double *l, int have, double h)
{
    return max_growth > 0 && have > 1 && fabs(h) > max_growth * fabs(l[0] - l[1]);
}

/* The widest: to the data, or from or to where no signal is left. ddim's from this x0, or, where the step has noise z
 * (NULL: none), all of it anew. */
static inline dm_status endless_step(dm_ctx *c, const dm_step *s, const dm_tensor *x0, const dm_tensor *z)
{
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const double keep = z ? 0 : to->sigma / at->sigma;

    return c->host->sum(c, s->x, DM_SUM({keep, s->x}, {to->alpha - keep * at->alpha, x0}, {z ? to->sigma : 0, z}));
}

#endif
