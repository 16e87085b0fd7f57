/* laplace: the log-SNR of a uniform t has a Laplace distribution, most of it near mu (Hang & Gu 2024, table 1), cut at
 * both ends. */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double mu, b, cut; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, mu, "0", -20, 20, "", "centre of the log-SNR"),
    DM_REAL(cfg, b, "0.5", 0.01, 10, "", "scale of the log-SNR"),
    DM_REAL(cfg, cut, "9", 0.1, 40, "", "largest distance of the log-SNR from mu"),
    DM_END,
};

static dm_status at(dm_ctx *c, int32_t T, double t, double *alpha, double *sigma)
{
    const cfg *p = c->cfg;
    const double q = 0.5 * exp(-p->cut / p->b); /* quantile of the cut */
    const double side = fmin(t, T - t) / T, u = q + (1 - 2 * q) * side; /* from the nearer end, where ln u is exact */
    const double l = p->mu - (t < T - t ? 1 : -1) * p->b * log(2 * u);

    *alpha = sqrt(1 / (1 + exp(-l)));
    *sigma = sqrt(1 / (1 + exp(l)));
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "laplace", .version = "1", .license = "Apache-2.0",
    .doc = "log-SNR of a Laplace distribution, continuous (Hang & Gu 2024)",
    .params = params, .cfg_size = sizeof(cfg),
    .schedule = &(const dm_schedule){.size = sizeof(dm_schedule), .at = at},
};
