/* PLUGIN_NAME: guidance. Say here what it is and where it comes from. */
#include <demist/plugin.h>

typedef struct { double scale; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, scale, "2", 0, 100, "", "how far from no class to the class: 1 is the class alone"),
    DM_END,
};

/* x0 of the class and of none come in unclipped, and so does what is written. */
static dm_status guide(dm_ctx *c, const dm_guided *g)
{
    const double k = ((const cfg *)c->cfg)->scale;

    return c->host->sum(c, g->x0, DM_SUM({k, g->of[DM_OF_CLASS].x0}, {1 - k, g->of[DM_OF_NONE].x0}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "PLUGIN_NAME", .version = "1", .license = "Apache-2.0",
    .doc = "x0 away from what is predicted without a class",
    .params = params, .cfg_size = sizeof(cfg),
    .guidance = &(const dm_guidance){.size = sizeof(dm_guidance), .uses = DM_USES(DM_OF_CLASS) | DM_USES(DM_OF_NONE),
                                     .writes = DM_GUIDES_X0, .guide = guide},
};
