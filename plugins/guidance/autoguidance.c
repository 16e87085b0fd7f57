/* autoguidance: away from what a weaker model says (Karras et al. 2024). */
#include <demist/plugin.h>

typedef struct { double scale; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, scale, "2", -1000, 1000, "", "how far from the weaker model to this one: 1 is this one alone"),
    DM_END,
};

static dm_status at(dm_ctx *c, const dm_point *p, bool *on)
{
    (void)p;
    *on = ((const cfg *)c->cfg)->scale != 1;
    return DM_OK;
}

static dm_status guide(dm_ctx *c, const dm_guided *g)
{
    const double k = ((const cfg *)c->cfg)->scale;

    return c->host->sum(c, g->x0, DM_SUM({k, g->of[DM_OF_CLASS].x0}, {1 - k, g->of[DM_OF_GUIDE].x0}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "autoguidance", .version = "1", .license = "Apache-2.0",
    .doc = "guidance by a weaker model, which guidance.guide names (Karras et al. 2024)",
    .params = params, .cfg_size = sizeof(cfg),
    .guidance = &(const dm_guidance){.size = sizeof(dm_guidance), .uses = DM_USES(DM_OF_CLASS) | DM_USES(DM_OF_GUIDE),
                                     .writes = DM_GUIDES_X0, .at = at, .guide = guide},
};
