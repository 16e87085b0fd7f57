/* sigmoid_beta: betas rise along a logistic curve from -6 to 6 (Xu et al. 2022, GeoDiff, their code); diffusers
 * calls this sigmoid. */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double beta_start, beta_end; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, beta_start, "1e-4", 1e-9, 1, "", "beta that the curve comes from"),
    DM_REAL(cfg, beta_end, "0.02", 1e-9, 1, "", "beta that the curve goes to"),
    DM_END,
};

static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{
    const cfg *p = c->cfg;

    for (int32_t i = 0; i < T; i++) {
        const double x = T > 1 ? -6 + 12.0 * i / (T - 1) : -6;

        beta[i] = p->beta_start + (p->beta_end - p->beta_start) / (1 + exp(-x));
    }
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "sigmoid_beta", .version = "1", .license = "Apache-2.0",
    .doc = "noise schedule with betas on a logistic curve (Xu et al. 2022)",
    .params = params, .cfg_size = sizeof(cfg),
    .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .fill = fill},
};
