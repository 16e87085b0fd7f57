/* A continuous schedule that goes wrong. */
#define BEHAVIOURS(X) X(silent) X(nan_alpha) X(negative) X(rising) X(unwritten)
#include "wrong.h"

static dm_status at(dm_ctx *c, int32_t T, double t, double *alpha, double *sigma)
{
    const double u = 0.001 + 0.998 * t / T;

    if (wrong(c) == unwritten)
        return DM_OK;
    *sigma = wrong(c) == rising ? 1 - u : u;
    *alpha = wrong(c) == nan_alpha ? sqrt(0.5 - u) : wrong(c) == negative ? 0.5 - u : 1 - *sigma;
    return wrong(c) == silent && t > T / 2.0 ? DM_EIO : DM_OK;
}

static const dm_schedule schedule = {.size = sizeof(dm_schedule), .at = at};
PLUGIN("wrong_curve", .schedule = &schedule);
