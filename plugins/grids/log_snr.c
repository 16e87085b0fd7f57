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

/* Pure noise and the data have no log-SNR: sigma / alpha 1e4 and 1e-4 stand for them, and for ends beyond these, but of
 * a schedule that has hardly more than that. */
static double end(double own, double other)
{
    const double stand_in = copysign(2 * log(1e4), own);

    if (fabs(own) <= fabs(stand_in))
        return own;
    if ((stand_in - other) * copysign(1, own) >= 1)
        return stand_in;
    return isfinite(own) ? own : other + copysign(1, own);
}

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;
    const int32_t parts = p->last == DATA ? n - 1 : n;
    const double from = end(s->most.log_snr, s->least.log_snr), to = end(s->least.log_snr, s->most.log_snr);

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
