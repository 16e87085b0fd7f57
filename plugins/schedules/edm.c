/* edm: noise is added to data that keep their size, with levels even in sigma^(1 / rho) (Karras et al. 2022, eq. 5).
 * Objective edm draws its own levels within them. */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double sigma_min, sigma_max, rho; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, sigma_min, "0.002", 1e-9, 1e3, "", "noise at t = 0"),
    DM_REAL(cfg, sigma_max, "80", 1e-3, 1e9, "", "noise at t = T"),
    DM_REAL(cfg, rho, "7", 0.1, 100, "", "1 is even in sigma; the larger, the more levels near the data"),
    DM_END,
};

static dm_status at(dm_ctx *c, int32_t T, double t, double *alpha, double *sigma)
{
    const cfg *p = c->cfg;
    const double low = pow(p->sigma_min, 1 / p->rho), high = pow(p->sigma_max, 1 / p->rho);

    if (!(p->sigma_max > p->sigma_min))
        return dm_fail(c, DM_EINVAL, "sigma_max is %g; it must be above sigma_min, %g", p->sigma_max, p->sigma_min);
    *alpha = 1;
    *sigma = pow(low + t / T * (high - low), p->rho);
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "edm", .version = "1", .license = "Apache-2.0",
    .doc = "variance exploding, even in sigma^(1 / rho), continuous (Karras et al. 2022, eq. 5)",
    .params = params, .cfg_size = sizeof(cfg),
    .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .at = at},
};
