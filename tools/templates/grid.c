/* PLUGIN_NAME: where sampling steps lie. Say here what it is and where it comes from. */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double power; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, power, "2", 0.1, 10, "", "1 is even in t; the larger, the more steps near the data"),
    DM_END,
};

/* n + 1 points, noisiest first; the last, a t below 0, is the data. */
static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;

    *log_snr = false; /* what is written is t */
    for (int32_t i = 0; i < n; i++)
        at[i] = s->least.t + pow(1 - (double)i / n, p->power) * (s->most.t - s->least.t);
    at[n] = -1;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "PLUGIN_NAME", .version = "1", .license = "Apache-2.0",
    .doc = "even in a root of t",
    .params = params, .cfg_size = sizeof(cfg),
    .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill},
};
