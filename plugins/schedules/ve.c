/* ve: noise is added to data that keep their size, sigma = sigma_min (sigma_max / sigma_min)^(t / T) (Song et al. 2021,
 * eq. 30). */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double sigma_min, sigma_max; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, sigma_min, "0.01", 1e-9, 1e3, "", "noise at t = 0"),
    DM_REAL(cfg, sigma_max, "50", 1e-3, 1e9, "", "noise at t = T; about the largest distance between two of the data"),
    DM_END,
};

static dm_status at(dm_ctx *c, int32_t T, double t, double *alpha, double *sigma)
{
    const cfg *p = c->cfg;

    if (!(p->sigma_max > p->sigma_min))
        return dm_fail(c, DM_EINVAL, "sigma_max is %g; it must be above sigma_min, %g", p->sigma_max, p->sigma_min);
    *alpha = 1;
    *sigma = p->sigma_min * pow(p->sigma_max / p->sigma_min, t / T);
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "ve", .version = "1", .license = "Apache-2.0",
    .doc = "variance exploding, sigma geometric, continuous (Song et al. 2021, eq. 30)",
    .params = params, .cfg_size = sizeof(cfg),
    .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .at = at},
};
