/* A grid that goes wrong: even in t, but for what its parameter names. */
#define BEHAVIOURS(X) \
    X(steps_silent) X(steps_no_status) X(steps_unwritten) X(no_steps) X(negative_steps) X(many_steps) \
    X(silent) X(no_status) X(unwritten) X(half) X(nan_point) X(infinite) X(rising) X(standing) X(beyond) X(as_log_snr) \
    X(nan_t) X(sums) X(predicts) X(logs) X(crashes)
#include "wrong.h"

static dm_status steps(dm_ctx *c, int32_t *n)
{
    if (wrong(c) == logs)
        c->host->log(c, "hello from %s", "steps");
    switch (wrong(c)) {
    case steps_silent: return DM_EINVAL;
    case steps_no_status: return (dm_status)42;
    case steps_unwritten: return DM_OK;
    default: *n = wrong(c) == no_steps ? 0 : wrong(c) == negative_steps ? -3 : wrong(c) == many_steps ? INT32_MAX : 4;
    }
    return DM_OK;
}

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const int w = wrong(c);
    dm_point p;

    switch (w) {
    case silent: return DM_EIO;
    case no_status: return (dm_status)17;
    case unwritten: return DM_OK;
    case nan_t: return c->host->point_at_t(c, NAN, &p);
    case sums: return c->host->sum(c, NULL, NULL, 0);
    case predicts: return c->host->predict(c, NULL, &s->most, NULL);
    case crashes: *(volatile double *)NULL = 0; return DM_OK;
    case logs: c->host->log(c, "hello from %s", "fill"); break;
    default: break;
    }
    for (int32_t i = 0; i <= (w == half ? n / 2 : n); i++)
        at[i] = s->most.t * (w == rising ? i : n - i) / n;
    if (w == nan_point || w == infinite || w == beyond || w == standing)
        at[w == beyond ? 0 : 2] = w == nan_point ? NAN : w == infinite ? INFINITY : w == beyond ? 1e6 : at[1];
    *log_snr = w == as_log_snr;
    return DM_OK;
}

static const dm_grid grid = {.size = sizeof(dm_grid), .steps = steps, .fill = fill};
PLUGIN("wrong_grid", .grid = &grid);
