/* exponential: steps even in ln s, s = sigma / alpha, between two of them (k-diffusion, diffusers). */
#include <math.h>
#include <demist/plugin.h>

enum { DATA, LEAST };
typedef struct { double rho, s_min, s_max; int32_t last; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, rho, "1", 0.1, 100, "", "power of the share; 1 is exponential, other values k-diffusion's "
                                         "polyexponential"),
    DM_REAL(cfg, s_min, "0", 0, 1e9, "", "least s; 0 = the least that is trained"),
    DM_REAL(cfg, s_max, "0", 0, 1e9, "", "largest s; 0 = the schedule's"),
    DM_ENUM(cfg, last, "data", "data|least", "where the last step goes: from the least noise to the data, or to it"),
    DM_END,
};

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;
    const int32_t parts = p->last == DATA ? n - 1 : n;
    const double from = p->s_max > 0 ? -2 * log(p->s_max) : s->most.log_snr;
    const double to = p->s_min > 0 ? -2 * log(p->s_min) : s->least.log_snr;

    if (!isfinite(from) || !isfinite(to))
        return dm_fail(c, DM_EINVAL, "%s: 0 means the schedule's end, where sigma / alpha is %g; give another value",
                       isfinite(from) ? "s_min" : "s_max", exp(-(isfinite(from) ? to : from) / 2));
    if (!(from < to))
        return dm_fail(c, DM_EINVAL, "s_max: %g is not above the least, %g", exp(-from / 2), exp(-to / 2));
    *log_snr = true;
    for (int32_t i = 0; i < n; i++)
        at[i] = to + (parts ? pow(1 - (double)i / parts, p->rho) : 1) * (from - to);
    at[n] = p->last == DATA ? INFINITY : to;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "exponential", .version = "1", .license = "Apache-2.0",
    .doc = "even in ln(sigma / alpha) between two of them", .params = params, .cfg_size = sizeof(cfg),
    .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill},
};
