/* toward: guidance whose strength fades as noise goes. */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double most; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, most, "4", 1, 100, "", "scale in pure noise; it is 1, the class alone, near the data"),
    DM_END,
};

/* The share of noise in x says how strong; x0 of the class and of none come in unclipped, and so does the result. */
static dm_status guide(dm_ctx *c, const dm_guided *g)
{
    const cfg *p = c->cfg;
    const double k = 1 + (p->most - 1) * g->p->sigma / hypot(g->p->alpha, g->p->sigma);

    return c->host->sum(c, g->x0, DM_SUM({k, g->of[DM_OF_CLASS].x0}, {1 - k, g->of[DM_OF_NONE].x0}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "toward", .version = "1", .license = "Apache-2.0",
    .doc = "guidance that fades with the noise",
    .params = params, .cfg_size = sizeof(cfg),
    .guidance = &(const dm_guidance){.size = sizeof(dm_guidance), .uses = DM_USES(DM_OF_CLASS) | DM_USES(DM_OF_NONE),
                                     .writes = DM_GUIDES_X0, .guide = guide},
};
