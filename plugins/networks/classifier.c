/* classifier: a small residual convolutional network that gives one number a class, whatever the size of the image.
 * What its last layer, `out`, reads are the features that demist eval compares images by. */
#include <demist/plugin.h>

typedef struct { dm_ints channels; int64_t blocks, groups, features; double dropout; } cfg;

static const dm_param params[] = {
    DM_INTS(cfg, channels, "[32, 64, 128]", 1, 65536, "channels",
            "of each level; each halves the extents of the one before"),
    DM_INT(cfg, blocks, "1", 0, 64, "blocks", "residual blocks of each level but the first"),
    DM_INT(cfg, groups, "8", 1, 1024, "groups", "of each group norm; must divide each number of channels"),
    DM_INT(cfg, features, "128", 1, 16384, "features", "width of the layer before the last"),
    DM_REAL(cfg, dropout, "0", 0, 0.95, "", "dropout of the features in training"),
    DM_END,
};

static const dm_conv same = {3, 1, {1, 1}}, half = {3, 2, {1, 1}};

static dm_val norm(const dm_graph *g, const char *name, dm_val x, int64_t groups)
{
    return g->silu(g, g->group_norm(g, name, x, groups, 1e-5));
}

static dm_val residual(const dm_graph *g, dm_val x, int64_t width, int64_t groups)
{
    dm_val h = g->conv(g, "conv1", norm(g, "norm1", x, groups), width, same, 0);

    h = g->conv(g, "conv2", norm(g, "norm2", h, groups), width, same, DM_ZERO_INIT);
    return g->add(g, x, h);
}

/* The mean over pixels: f32[N,C]. */
static dm_val pool(const dm_graph *g, dm_val x)
{
    const dm_shape s = g->shape(g, x);
    const dm_val rows = g->reshape(g, x, &(dm_shape){2, {s.dim[0] * s.dim[1], s.dim[2] * s.dim[3]}});

    return g->reshape(g, g->mean(g, rows), &(dm_shape){2, {s.dim[0], s.dim[1]}});
}

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const cfg *p = c->cfg;
    dm_val x = in->x;

    if (g->shape(g, x).rank != 4)
        return dm_fail(c, DM_EINVAL, "is for images, f32[N,C,H,W]");
    if (!p->channels.n)
        return dm_fail(c, DM_EINVAL, "channels is []; at least one level is needed");
    for (int32_t i = 0; i < p->channels.n; i++) {
        const int64_t width = p->channels.v[i];
        const dm_graph *level = g->scope(g, "levels.%d", (int)i);

        if (width % p->groups)
            return dm_fail(c, DM_EINVAL, "groups = %d does not divide the %d channels of level %d", (int)p->groups,
                           (int)width, (int)i);
        x = g->conv(level, "conv", x, width, i ? half : same, 0);
        for (int32_t b = 0; i && b < p->blocks; b++)
            x = residual(g->scope(level, "blocks.%d", (int)b), x, width, p->groups);
        x = norm(level, "norm", x, p->groups);
    }
    x = g->silu(g, g->linear(g, "features", pool(g, x), p->features, 0));
    return g->linear(g, "out", g->dropout(g, x, p->dropout), in->out_channels, 0);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "classifier", .version = "1", .license = "Apache-2.0",
    .doc = "small residual convolutional network for classes of images (after He et al. 2016)",
    .params = params, .cfg_size = sizeof(cfg),
    .network = &(const dm_network){.size = sizeof(dm_network), .build = build},
};
