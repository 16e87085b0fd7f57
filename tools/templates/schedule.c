/* PLUGIN_NAME: a noise schedule. Say here what it is and where it comes from. */
#include <demist/plugin.h>

typedef struct { double beta_max; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, beta_max, "0.02", 1e-6, 1, "", "beta of the last step"),
    DM_END,
};

/* beta[i], in (0, 1], belongs to step i + 1 of T: here they rise with the square of the step. */
static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{
    const cfg *p = c->cfg;

    for (int32_t i = 0; i < T; i++)
        beta[i] = p->beta_max * (i + 1.0) / T * (i + 1.0) / T;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "PLUGIN_NAME", .version = "1", .license = "Apache-2.0",
    .doc = "betas that rise with the square of the step",
    .params = params, .cfg_size = sizeof(cfg),
    .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .fill = fill},
};
