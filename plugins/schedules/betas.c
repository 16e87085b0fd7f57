/* betas: the betas themselves, one for each step. */
#include <demist/plugin.h>

typedef struct { dm_reals betas; } cfg;

static const dm_param params[] = {
    DM_REALS(cfg, betas, NULL, 1e-12, 1, "", "beta of each step, the first step first"),
    DM_END,
};

static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{
    const cfg *p = c->cfg;

    if (p->betas.n != T)
        return dm_fail(c, DM_EINVAL, "betas has %d values; the schedule has timesteps: %d", p->betas.n, T);
    for (int32_t i = 0; i < T; i++)
        beta[i] = p->betas.v[i];
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "betas", .version = "1", .license = "Apache-2.0",
    .doc = "any discrete noise schedule, as its list of betas",
    .params = params, .cfg_size = sizeof(cfg),
    .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .fill = fill},
};
