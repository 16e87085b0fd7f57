/* quadratic: steps even in the root of t, so that more lie near the data (Song et al. 2021, appendix D.2; their code
 * has reach: 0.8). */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double reach; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, reach, "1", 0.01, 1, "", "share of the levels that the walk begins at"),
    DM_END,
};

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const double reach = ((const cfg *)c->cfg)->reach;

    (void)log_snr;
    /* whole levels of a discrete schedule, which may not meet */
    for (int32_t i = 0; i < n; i++) {
        const int32_t parts = s->least.sigma > 0 ? n - 1 : n; /* of the way to the least noise, or to the data */
        const double u = parts ? 1 - (double)i / parts : 1;
        const double t = s->least.t + reach * u * u * (s->most.t - s->least.t);

        at[i] = s->T ? fmax(floor(t + 1e-9), n - i) : t;
    }
    at[n] = -1;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "quadratic", .version = "1", .license = "Apache-2.0",
    .doc = "even in the root of t (Song et al. 2021, appendix D.2)", .params = params, .cfg_size = sizeof(cfg),
    .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill},
};
