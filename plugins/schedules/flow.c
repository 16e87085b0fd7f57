/* flow: rectified flow's straight line from data to noise, x = (1 - s) x0 + s eps (Liu et al. 2022), with the shift of
 * Esser et al. 2024, eq. 23, to more noise. */
#include <demist/plugin.h>

typedef struct { double shift; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, shift, "1", 0.01, 100, "", "s = shift u / (1 + (shift - 1) u), u = t / T"),
    DM_END,
};

static dm_status at(dm_ctx *c, int32_t T, double t, double *alpha, double *sigma)
{
    const double shift = ((const cfg *)c->cfg)->shift, u = t / T, all = 1 + (shift - 1) * u;

    *alpha = (1 - u) / all;
    *sigma = shift * u / all;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "flow", .version = "1", .license = "Apache-2.0",
    .doc = "straight line from data to noise, continuous (Liu et al. 2022)",
    .params = params, .cfg_size = sizeof(cfg),
    .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .at = at},
};
