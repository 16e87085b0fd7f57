/* log_snr: steps that are even in the log-SNR, or in a power of its share (Lu et al. 2022; with rho 1 also
 * k-diffusion's exponential and diffusers' Lu sigmas, with another its polyexponential). */
#include <math.h>
#include <demist/plugin.h>

enum { DATA, LEAST };
typedef struct { double rho; int32_t last; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, rho, "1", 0.1, 100, "", "1 is even; the larger, the more points near the data"),
    DM_ENUM(cfg, last, "data", "data|least", "where the last step goes: from the least noise to the data, or to it"),
    DM_END,
};

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;
    const int32_t parts = p->last == DATA ? n - 1 : n;
    /* Pure noise and the data have no log-SNR: sigma / alpha from 1e4 to 1e-4 stands for them. */
    const double from = fmax(s->most.log_snr, -2 * log(1e4)), to = fmin(s->least.log_snr, -2 * log(1e-4));

    *log_snr = true;
    for (int32_t i = 0; i < n; i++)
        at[i] = from + (parts ? 1 - pow(1 - (double)i / parts, p->rho) : 0) * (to - from);
    at[0] = s->most.log_snr;
    at[n] = p->last == DATA ? INFINITY : to;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "log_snr", .version = "1", .license = "Apache-2.0",
    .doc = "even in the log-SNR (Lu et al. 2022)", .params = params, .cfg_size = sizeof(cfg),
    .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill},
};
