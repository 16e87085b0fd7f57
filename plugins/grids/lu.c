/* lu: steps even in lambda = ln(alpha / sigma), from the noisiest level or the least lambda that is allowed to the
 * largest (Lu et al. 2022, section 3.2; diffusers calls the former lambda_min_clipped). */
#include <math.h>
#include <demist/plugin.h>

enum { DATA, LEAST };
typedef struct { double lambda_min, lambda_max; int32_t last; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, lambda_min, "-9.21", -100, 100, "", "least lambda; -5.1 for `cosine`, whose end is too noisy for it"),
    DM_REAL(cfg, lambda_max, "9.21", -100, 100, "", "largest lambda, held by the least noise that is trained"),
    DM_ENUM(cfg, last, "data", "data|least", "where the last step goes: from the least noise to the data, or to it"),
    DM_END,
};

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;
    const int32_t parts = p->last == DATA ? n - 1 : n;
    const double from = fmax(s->most.log_snr, 2 * p->lambda_min), to = fmin(s->least.log_snr, 2 * p->lambda_max);

    if (!(from < to))
        return dm_fail(c, DM_EINVAL, "lambda_min: %g is not below the largest, %g", from / 2, to / 2);
    *log_snr = true;
    for (int32_t i = 0; i < n; i++)
        at[i] = from + (parts ? (double)i / parts : 0) * (to - from);
    at[n] = p->last == DATA ? INFINITY : to;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "lu", .version = "1", .license = "Apache-2.0",
    .doc = "even in ln(alpha / sigma), held between two of them (Lu et al. 2022)", .params = params,
    .cfg_size = sizeof(cfg), .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill},
};
