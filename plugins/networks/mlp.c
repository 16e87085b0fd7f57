/* mlp: a residual perceptron for points, f32[N,D]: each block adds to x a layer that sees x and the
 * time embedding. */
#include <demist/plugin.h>

typedef struct { int64_t width, depth; } cfg;

static const dm_param params[] = {
    DM_INT(cfg, width, "128", 2, 65536, "channels", "width of each layer"),
    DM_INT(cfg, depth, "4", 1, 256, "blocks", "residual blocks"),
    DM_END,
};

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const cfg *p = c->cfg;
    dm_val x, t = DM_NONE;

    if (g->shape(g, in->x).rank != 2)
        return dm_fail(c, DM_EINVAL, "is for points, f32[N,D]; for images use unet");
    x = g->linear(g, "in", in->x, p->width, 0);
    if (in->noise != DM_NONE) {
        t = g->linear(g, "time.linear_1", g->time_embed(g, in->noise, p->width, 0, false), p->width, 0);
        t = g->silu(g, g->linear(g, "time.linear_2", g->silu(g, t), p->width, 0));
    }
    for (int64_t i = 0; i < p->depth; i++) {
        const dm_graph *b = g->scope(g, "blocks.%d", (int)i);
        dm_val h = g->linear(b, "linear_1", g->silu(g, g->layer_norm(b, "norm", x, 1e-5)), p->width, 0);

        if (t != DM_NONE)
            h = g->add(g, h, g->linear(b, "time", t, p->width, 0));
        x = g->add(g, x, g->linear(b, "linear_2", g->silu(g, h), p->width, 0));
    }
    return g->linear(g, "out", g->silu(g, g->layer_norm(g, "norm", x, 1e-5)), in->out_channels, 0);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "mlp", .version = "1", .license = "Apache-2.0",
    .doc = "residual perceptron for points in a few dimensions",
    .params = params, .cfg_size = sizeof(cfg),
    .network = &(const dm_network){.size = sizeof(dm_network), .build = build},
};
