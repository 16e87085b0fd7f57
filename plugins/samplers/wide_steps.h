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

#endif
