/* cfgpp: CFG++ (Chung et al. 2024): x0 is guided, the noise that is put back is that of no class. */
#include <demist/plugin.h>

typedef struct { double scale; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, scale, "0.6", -1000, 1000, "", "how far x0 goes from no class to the class, 0 to 1 usually"),
    DM_END,
};

static dm_status guide(dm_ctx *c, const dm_guided *g)
{
    const double k = ((const cfg *)c->cfg)->scale;
    const dm_guess *with = &g->of[DM_OF_CLASS], *without = &g->of[DM_OF_NONE];
    const dm_status rc = c->host->sum(c, g->x0, DM_SUM({k, with->x0}, {1 - k, without->x0}));

    return rc ? rc : c->host->sum(c, g->eps, DM_SUM({1, without->eps}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "cfgpp", .version = "1", .license = "Apache-2.0",
    .doc = "CFG++, for samplers that read eps: x0 guided, eps of no class (Chung et al. 2024)",
    .params = params, .cfg_size = sizeof(cfg),
    .guidance = &(const dm_guidance){.size = sizeof(dm_guidance), .uses = DM_USES(DM_OF_CLASS) | DM_USES(DM_OF_NONE),
                                     .writes = DM_GUIDES_X0_AND_EPS, .guide = guide},
};
