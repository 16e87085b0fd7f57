/* PLUGIN_NAME: a network for points. Say here what it is and where it comes from. */
#include <demist/plugin.h>

typedef struct { int64_t width; } cfg;

static const dm_param params[] = {
    DM_INT(cfg, width, "64", 2, 65536, "channels", "width of the hidden layers"),
    DM_END,
};

/* Describes the layers; demist infers shapes, initialises, differentiates and runs them. */
static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const cfg *p = c->cfg;
    dm_val h;

    if (g->shape(g, in->x).rank != 2)
        return dm_fail(c, DM_EINVAL, "PLUGIN_NAME is for points, f32[N,D]");
    h = g->linear(g, "in", in->x, p->width, 0);
    if (in->noise != DM_NONE)
        h = g->add(g, h, g->linear(g, "time", g->time_embed(g, in->noise, p->width, 0, false), p->width, 0));
    h = g->silu(g, g->linear(g, "hidden", g->silu(g, h), p->width, 0));
    return g->linear(g, "out", h, in->out_channels, 0);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "PLUGIN_NAME", .version = "1", .license = "Apache-2.0",
    .doc = "two layers for points",
    .params = params, .cfg_size = sizeof(cfg),
    .network = &(const dm_network){.size = sizeof(dm_network), .build = build},
};
