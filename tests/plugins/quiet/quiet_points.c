/* A grid that works, but for what the host cannot see. */
#define BEHAVIOURS(X) X(beyond) X(short_of_one)
#include "wrong.h"

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const int32_t last = wrong(c) == short_of_one ? n - 1 : n;

    *log_snr = true;
    for (int32_t i = 0; i <= last; i++)
        at[i] = s->most.log_snr + (s->least.log_snr - s->most.log_snr) * i / n;
    if (isinf(s->most.log_snr) || isinf(s->least.log_snr))
        return dm_fail(c, DM_EINVAL, "the schedule's ends must have signal and noise");
    if (wrong(c) == beyond)
        at[n + 1] = 0;
    return DM_OK;
}

PLUGIN("quiet_points", .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill});
