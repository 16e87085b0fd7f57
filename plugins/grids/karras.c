/* karras: steps even in s^(1 / rho), s = sigma / alpha (Karras et al. 2022, eq. 5). */
#include <math.h>
#include <demist/plugin.h>

enum { DATA, LEAST };
typedef struct { double rho, s_min, s_max; int32_t last; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, rho, "7", 0.1, 100, "", "1 is even in s; the larger, the more points near the data"),
    DM_REAL(cfg, s_min, "0", 0, 1e9, "", "least s; 0 = the least that is trained"),
    DM_REAL(cfg, s_max, "0", 0, 1e9, "", "largest s; 0 = the schedule's"),
    DM_ENUM(cfg, last, "data", "data|least", "where the last step goes: from the least noise to the data, or to it"),
    DM_END,
};

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;
    const int32_t parts = p->last == DATA ? n - 1 : n;
    const double high = p->s_max > 0 ? p->s_max : exp(-s->most.log_snr / 2);
    const double low = p->s_min > 0 ? p->s_min : exp(-s->least.log_snr / 2);
    const double a = pow(high, 1 / p->rho), b = pow(low, 1 / p->rho);

    if (!isfinite(high) || !(low > 0))
        return dm_fail(c, DM_EINVAL, "%s: 0 means the schedule's end, where sigma / alpha is %g; give another value",
                       isfinite(high) ? "s_min" : "s_max", isfinite(high) ? low : high);
    if (!(high > low))
        return dm_fail(c, DM_EINVAL, "s_max: %g is not above the least, %g", high, low);
    *log_snr = true;
    for (int32_t i = 0; i < n; i++)
        at[i] = -2 * p->rho * log(a + (parts ? (double)i / parts : 0) * (b - a));
    at[n] = p->last == DATA ? INFINITY : -2 * log(low);
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "karras", .version = "1", .license = "Apache-2.0",
    .doc = "even in (sigma / alpha)^(1 / rho) (Karras et al. 2022, eq. 5)", .params = params, .cfg_size = sizeof(cfg),
    .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill},
};
