/* gated: residual blocks for points, each gated by the noise level. */
#include <demist/plugin.h>

typedef struct { int64_t width, depth; } cfg;

static const dm_param params[] = {
    DM_INT(cfg, width, "64", 2, 65536, "channels", "width of each layer"),
    DM_INT(cfg, depth, "3", 1, 64, "blocks", "residual blocks"),
    DM_END,
};

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const cfg *p = c->cfg;
    dm_val x, t;

    if (g->shape(g, in->x).rank != 2)
        return dm_fail(c, DM_EINVAL, "is for points, f32[N,D]");
    if (in->noise == DM_NONE)
        return dm_fail(c, DM_EINVAL, "needs a noise level; this objective gives none");
    t = g->silu(g, g->linear(g, "time", g->time_embed(g, in->noise, p->width, 0, false), p->width, 0));
    x = g->linear(g, "in", in->x, p->width, 0);
    for (int64_t i = 0; i < p->depth; i++) {
        const dm_graph *b = g->scope(g, "blocks.%d", (int)i);
        const dm_val gate = b->scale(b, b->linear(b, "gate", t, p->width, DM_ZERO_INIT), 1, 1);
        const dm_val h = b->linear(b, "layer", b->silu(b, b->layer_norm(b, "norm", x, 1e-5)), p->width, 0);

        x = b->add(b, x, b->mul(b, h, gate));
    }
    return g->linear(g, "out", g->silu(g, x), in->out_channels, 0);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "gated", .version = "1", .license = "Apache-2.0",
    .doc = "residual blocks for points, gated by the noise level",
    .params = params, .cfg_size = sizeof(cfg),
    .network = &(const dm_network){.size = sizeof(dm_network), .build = build},
};
