/* gates: an image network of residual blocks with gated linear units, whose gate is an op of its own. */
#include <demist/plugin.h>

typedef struct { int64_t channels, depth; } cfg;

static const dm_param params[] = {
    DM_INT(cfg, channels, "16", 4, 1024, "channels", "of each block, a multiple of 4"),
    DM_INT(cfg, depth, "2", 1, 64, "blocks", "residual blocks"),
    DM_END,
};

/* y = a sigmoid(b); with s = sigmoid(b): da += dy s, db += dy a s (1 - s). */
static const char source[] =
    "kernel void gate(global const float *a, global const float *b, global float *y, int n)\n"
    "{\n"
    "  const int i = get_global_id(0);\n"
    "  if (i < n)\n"
    "    y[i] = a[i] / (1 + exp(-b[i]));\n"
    "}\n"
    "kernel void slope(global const float *a, global const float *b, global const float *dy, global float *da,\n"
    "                  global float *db, int n)\n"
    "{\n"
    "  const int i = get_global_id(0);\n"
    "  if (i < n) {\n"
    "    const float s = 1 / (1 + exp(-b[i]));\n"
    "    da[i] += dy[i] * s;\n"
    "    db[i] += dy[i] * a[i] * s * (1 - s);\n"
    "  }\n"
    "}\n";

static double count(dm_ctx *c, const dm_tensor *t)
{
    const dm_shape s = c->host->shape(t);
    double n = 1;

    for (int32_t i = 0; i < s.rank; i++)
        n *= (double)s.dim[i];
    return n;
}

static dm_status shape(dm_ctx *c, const dm_shape *in, dm_shape *out)
{
    (void)c;
    out[0] = in[0];
    return DM_OK;
}

/* What is launched here is recorded, and runs in each step. */
static dm_status forward(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out)
{
    const double n = count(c, out[0]);
    dm_kernel *k = c->host->kernel(c, source, "gate", NULL);

    return !k ? c->err->code : c->host->launch(c, k, &(dm_range){1, {(size_t)n}, {0}},
        DM_ARGS({DM_BUF, in[0], 0}, {DM_BUF, in[1], 0}, {DM_BUF, out[0], 0}, {DM_I32, NULL, n}));
}

static dm_status backward(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out, dm_tensor *const *dout,
                          dm_tensor *const *din)
{
    const double n = count(c, out[0]);
    dm_kernel *k = c->host->kernel(c, source, "slope", NULL);

    return !k ? c->err->code : c->host->launch(c, k, &(dm_range){1, {(size_t)n}, {0}},
        DM_ARGS({DM_BUF, in[0], 0}, {DM_BUF, in[1], 0}, {DM_BUF, dout[0], 0}, {DM_BUF, din[0], 0},
                {DM_BUF, din[1], 0}, {DM_I32, NULL, n}));
}

static const dm_op gate = {.size = sizeof(dm_op), .name = "gate", .n_in = 2, .n_out = 1, .shape = shape,
                           .forward = forward, .backward = backward};

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const cfg *p = c->cfg;
    const dm_conv three = {3, 1, {1, 1}};
    dm_val x, y;

    if (g->shape(g, in->x).rank != 4 || p->channels % 4)
        return dm_fail(c, DM_EINVAL, p->channels % 4 ? "channels is no multiple of 4" : "is for images, f32[N,C,H,W]");
    x = g->conv(g, "in", in->x, p->channels, three, 0);
    for (int64_t i = 0; i < p->depth; i++) {
        const dm_graph *b = g->scope(g, "blocks.%d", (int)i);
        dm_val h = b->group_norm(b, "norm", x, 4, 1e-5);

        if (in->noise != DM_NONE) /* [N,C] is repeated over [N,C,H,W] */
            h = b->add(b, h, b->linear(b, "time", b->time_embed(b, in->noise, 32, 0, false), p->channels, 0));
        h = b->conv(b, "wide", h, 2 * p->channels, three, 0);
        b->custom(b, &gate, (dm_val[]){b->slice(b, h, 1, 0, p->channels),
                                       b->slice(b, h, 1, p->channels, p->channels)}, &y);
        x = b->add(b, x, b->conv(b, "narrow", y, p->channels, three, 0));
    }
    return g->conv(g, "out", g->silu(g, x), in->out_channels, three, DM_ZERO_INIT);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "gates", .version = "1", .license = "Apache-2.0",
    .doc = "residual blocks with gated linear units, for images",
    .params = params, .cfg_size = sizeof(cfg),
    .network = &(const dm_network){.size = sizeof(dm_network), .build = build},
};
