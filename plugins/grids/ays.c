/* ays: "align your steps", levels that were optimized for a model (Sabour et al. 2024, table 3 and code), for other
 * counts of steps between them log-linearly, held within the schedule's range. */
#include <math.h>
#include <demist/plugin.h>

enum { SD15, SDXL, SVD, LEVELS = 11 };
typedef struct { int32_t table; } cfg;

static const dm_param params[] = {
    DM_ENUM(cfg, table, "sd15", "sd15|sdxl|svd",
            "the model they were optimized for: Stable Diffusion 1.5, XL, or Stable Video Diffusion"),
    DM_END,
};

/* sigma / alpha; the last is where the step to the data would go. */
static const double tables[][LEVELS] = {
    [SD15] = {14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029},
    [SDXL] = {14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029},
    [SVD] = {700, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002},
};

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const double *table = tables[((const cfg *)c->cfg)->table];

    *log_snr = true;
    for (int32_t i = 0; i < n; i++) {
        const double x = (double)i / n * (LEVELS - 1);
        const int k = (int)x;
        const double l = -2 * (log(table[k]) + (x - k) * (log(table[k + 1]) - log(table[k])));

        at[i] = fmin(fmax(l, s->most.log_snr), s->least.log_snr);
    }
    at[n] = INFINITY;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "ays", .version = "1", .license = "Apache-2.0",
    .doc = "levels optimized for a model (Sabour et al. 2024)", .params = params, .cfg_size = sizeof(cfg),
    .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill},
};
