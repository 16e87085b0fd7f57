/* Implementations of conv2d, conv2d_dx and conv2d_dw. */
#include "ops/conv/conv_args.h"
#include "ops/launch/portable.h"

dm_conv_args dm_conv_args_of(const dm_opnode *n)
{
    const dm_desc *x = n->kind == DM_OP_CONV2D_DX ? &n->out[0] : &n->in[0];
    const dm_desc *y = n->kind == DM_OP_CONV2D ? &n->out[0] : n->kind == DM_OP_CONV2D_DX ? &n->in[0] : &n->in[1];

    return (dm_conv_args){.N = x->dim[0],
                          .H = x->dim[1],
                          .W = x->dim[2],
                          .C = x->dim[3],
                          .OH = y->dim[1],
                          .OW = y->dim[2],
                          .O = y->dim[3],
                          .k = n->a.conv.k,
                          .stride = n->a.conv.stride,
                          .pad = n->a.conv.pad[0]};
}

dm_conv_args dm_conv_turned_of(const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    if (n->kind != DM_OP_CONV2D_DX)
        return g;
    return (dm_conv_args){.N = g.N,
                          .H = g.OH,
                          .W = g.OW,
                          .C = g.O,
                          .OH = g.H,
                          .OW = g.W,
                          .O = g.C,
                          .k = g.k,
                          .stride = g.stride,
                          .pad = g.k - 1 - g.pad};
}

static bool vec16_serves(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return n->kind == DM_OP_CONV2D_DW ? dm_vec16_dw_serves(dev, &g) : dm_vec16_serves(dev, &g);
}

static size_t vec16_scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return dm_vec16_dw_scratch(dev, &g);
}

static dm_status vec16(dm_emit *e)
{
    const dm_conv_args g = dm_conv_args_of(e->node);

    switch (e->node->kind) {
    case DM_OP_CONV2D: return dm_vec16_forward(e, &g, 1, e->in[2], e->in[3], e->in[4]);
    case DM_OP_CONV2D_DX: return dm_vec16_dx(e, &g, e->in[0], 1);
    default: return dm_vec16_dw(e, &g, e->in[0], e->in[1]);
    }
}

static dm_status portable(dm_emit *e)
{
    static const char file[] = "conv/conv2d_portable.cl";
    const dm_conv_args g = dm_conv_args_of(e->node);
    const dm_range r = {.dim = 1, .global = {(size_t)dm_desc_count(&e->node->out[0])}};

    switch (e->node->kind) {
    case DM_OP_CONV2D:
        return dm_emit_launch(e, e->cmds, file, "conv2d", NULL, &r,
                              DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->in[3]),
                                       DM_KB(e->in[4]), DM_KB(e->out[0]), DM_CONV_ARGS(g)));
    case DM_OP_CONV2D_DX:
        return dm_emit_launch(e, e->cmds, file, "conv2d_dx", NULL, &r,
                              DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_CONV_ARGS(g)));
    default:
        return dm_emit_launch(
            e, e->cmds, file, "conv2d_dw", NULL, &r,
            DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_CONV_ARGS(g), DM_KI(e->node->accum)));
    }
}

const dm_impl dm_impls_conv2d[] = {
    {.name = "vec16", .kind = DM_OP_CONV2D, .supports = vec16_serves, .emit = vec16},
    {.name = "vec16", .kind = DM_OP_CONV2D_DX, .supports = vec16_serves, .emit = vec16},
    {.name = "vec16", .kind = DM_OP_CONV2D_DW, .supports = vec16_serves, .scratch = vec16_scratch, .emit = vec16},
    {0},
};

const dm_impl dm_impls_conv2d_portable[] = {
    {DM_PORTABLE(CONV2D, portable)},
    {DM_PORTABLE(CONV2D_DX, portable)},
    {DM_PORTABLE(CONV2D_DW, portable)},
    {0},
};
