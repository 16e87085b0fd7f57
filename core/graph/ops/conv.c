/* Convolutions. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/graph_shape.h"
#include "graph/layer.h"

static dm_val conv(const dm_graph *g, const char *name, dm_val x, int64_t cout, dm_conv k, uint32_t flags)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    const int64_t fan_in = s.dim[1] * k.k * k.k, pads = (int64_t)k.pad[0] + k.pad[1];
    dm_val in[5] = {x, DM_NONE, DM_NONE, DM_NONE, DM_NONE}, y;
    dm_shape out = s;
    dm_gnode *n;

    if (!dm_layer_takes(c, "convolution", name, true, DM_DT_F32, x))
        return DM_FAILED;
    if (s.rank != 4)
        return dm_graph_fail(c, DM_EINVAL, "convolution '%s' needs f32[N,C,H,W], not rank %d", name, (int)s.rank);
    if (k.k < 1 || k.k > 31 || k.stride < 1 || k.stride > 31 || k.pad[0] < 0 || k.pad[1] < 0 || k.pad[0] >= k.k ||
        k.pad[1] >= k.k || cout < 1 || cout > 1 << 20)
        return dm_graph_fail(c, DM_EINVAL,
                             "convolution '%s': size %d, stride %d, padding {%d, %d}, %lld outputs cannot be", name,
                             (int)k.k, (int)k.stride, (int)k.pad[0], (int)k.pad[1], (long long)cout);
    for (int i = 2; i < 4; i++)
        if ((out.dim[i] = s.dim[i] + pads - k.k < 0 ? 0 : (s.dim[i] + pads - k.k) / k.stride + 1) < 1)
            return dm_graph_fail(c, DM_EINVAL, "convolution '%s' of size %d leaves nothing of %lld x %lld pixels", name,
                                 (int)k.k, (long long)s.dim[2], (long long)s.dim[3]);
    out.dim[1] = cout;
    in[1] = dm_layer_part(g, name, ".weight", &(dm_shape){4, {cout, s.dim[1], k.k, k.k}}, flags, fan_in);
    if (!(flags & DM_NO_BIAS))
        in[2] = dm_layer_part(g, name, ".bias", &(dm_shape){1, {cout}}, flags, fan_in);
    if ((n = dm_graph_op1(c, DM_OP_CONV2D, in, 5, &out, true, &y)))
        n->op.a.conv = k;
    return y;
}

static void conv_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_graph_core *g = t->g;
    const dm_val x = n->in[0], w = n->in[1], dw = dm_tape_output_for(t, w);
    const dm_shape s = g->values[n->out[0]].shape;
    dm_gnode *made;

    dm_tape_give_op(t, DM_OP_CONV2D_DX, n, (dm_val[]){dy, w}, 2, x);
    if (dw >= 0 && (made = dm_graph_node(g, DM_OP_CONV2D_DW, (dm_val[]){x, dy}, 2, &dw, 1))) {
        made->op.a = n->op.a;
        made->op.accum = dm_tape_is_weight(t, w);
    }
    dm_tape_give_output(t, w, dw);
    if (n->in[2] >= 0)
        dm_tape_bias(t, dy, n->in[2]);
    if (dm_tape_wants(t, n->in[3]))
        dm_tape_give(t, n->in[3],
             dm_graph_reduce(g, dy, s.dim[0], s.dim[2] * s.dim[3], s.dim[1], 1, &(dm_shape){2, {s.dim[0], s.dim[1]}},
                             false));
    if (n->in[4] >= 0)
        dm_tape_give(t, n->in[4], dy);
}

static double taps2(const dm_opnode *n) { return 2.0 * n->a.conv.k * n->a.conv.k; }

static double forward_flops(const dm_opnode *n)
{
    return taps2(n) * (double)dm_desc_count(&n->out[0]) * (double)n->in[0].dim[3];
}

static double dx_flops(const dm_opnode *n)
{
    return taps2(n) * (double)dm_desc_count(&n->in[0]) * (double)n->out[0].dim[3];
}

static double dw_flops(const dm_opnode *n)
{
    return taps2(n) * (double)dm_desc_count(&n->in[1]) * (double)n->in[0].dim[3];
}

const dm_op_attr dm_attrs_conv[] = {DM_ATTR(DM_ATTR_INT, "k", conv.k), DM_ATTR(DM_ATTR_INT, "stride", conv.stride),
                                    DM_ATTRS(DM_ATTR_INT, "pad", conv.pad, 2), {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_CONV2D,
     .name = "conv2d",
     .in = {{"x", DM_ARG_16BIT},
            {"w", 0},
            {"b", DM_ARG_OPTIONAL},
            {"temb", DM_ARG_OPTIONAL},
            {"res", DM_ARG_OPTIONAL | DM_ARG_16BIT | DM_ARG_AS_OUTPUT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = dm_attrs_conv,
     .flops = forward_flops,
     .flags = DM_OP_HEAVY | DM_OP_MIXED,
     .gradient = conv_gradient},
    {.kind = DM_OP_CONV2D_DX,
     .name = "conv2d_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"w", 0}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = dm_attrs_conv,
     .flops = dx_flops,
     .flags = DM_OP_MIXED | DM_OP_BACKWARD},
    {.kind = DM_OP_CONV2D_DW,
     .name = "conv2d_dw",
     .in = {{"x", DM_ARG_16BIT}, {"dy", DM_ARG_16BIT}},
     .out = {{"dw", DM_ARG_ACCUM}},
     .attrs = dm_attrs_conv,
     .flops = dw_flops,
     .flags = DM_OP_BACKWARD},
    {0},
};

static void fill(dm_graph *api)
{
    api->conv = conv;
}

const dm_op_family dm_family_conv = {rows, fill};
