/* geometric: betas that grow by the same factor from step to step. */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double beta_start, beta_end; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, beta_start, "1e-4", 1e-9, 1, "", "beta of the first step"),
    DM_REAL(cfg, beta_end, "0.05", 1e-9, 1, "", "beta of the last step"),
    DM_END,
};

static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{
    const cfg *p = c->cfg;

    if (p->beta_end < p->beta_start)
        return dm_fail(c, DM_EINVAL, "beta_end is %g; it must not be below beta_start, %g", p->beta_end, p->beta_start);
    for (int32_t i = 0; i < T; i++)
        beta[i] = p->beta_start * pow(p->beta_end / p->beta_start, T > 1 ? (double)i / (T - 1) : 0);
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "geometric", .version = "1", .license = "Apache-2.0",
    .doc = "betas in geometric progression",
    .params = params, .cfg_size = sizeof(cfg),
    .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .fill = fill},
};
