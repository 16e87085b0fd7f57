/* A discrete schedule that goes wrong. */
#define BEHAVIOURS(X) \
    X(silent) X(no_status) X(unwritten) X(half) X(nan_beta) X(zero) X(above_1) X(point) X(went_on) X(logs) \
    X(crashes) X(loops)
#include "wrong.h"

static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{
    dm_point p;

    for (int32_t i = 0; i < (wrong(c) == half ? T / 2 : wrong(c) == unwritten ? 0 : T); i++)
        beta[i] = wrong(c) == nan_beta ? NAN : wrong(c) == zero ? 0 : wrong(c) == above_1 ? 1.5 : 0.02;
    switch (wrong(c)) {
    case silent: return DM_EINVAL;
    case no_status: return (dm_status)42;
    case point: return c->host->point_at_t(c, 1, &p);
    case went_on: dm_fail(c, DM_EINVAL, "said, but went on"); return DM_OK;
    case crashes: *(volatile int *)NULL = 1; return DM_OK;
    case loops:
        for (volatile int i = 1; i;)
            continue;
        return DM_OK;
    case logs: c->host->log(c, "hello from %s", "fill"); return DM_OK;
    default: return DM_OK;
    }
}

static const dm_schedule schedule = {.size = sizeof(dm_schedule), .fill = fill};
PLUGIN("wrong_betas", .schedule = &schedule);
