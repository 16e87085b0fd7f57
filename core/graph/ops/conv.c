/* Convolutions. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/graph_shape.h"
#include "graph/layer.h"

/* What a convolution of x's extents gives; false: the reason is recorded. */
static bool extents(dm_graph_core *c, const char *name, const dm_shape *s, int64_t cout, dm_conv k, dm_shape *out)
{
    const int64_t pads = (int64_t)k.pad[0] + k.pad[1];

    *out = *s;
    if (s->rank != 4)
        return dm_graph_fail(c, DM_EINVAL, "convolution '%s' needs f32[N,C,H,W], not rank %d", name, (int)s->rank),
               false;
    if (k.k < 1 || k.k > 31 || k.stride < 1 || k.stride > 31 || k.pad[0] < 0 || k.pad[1] < 0 || k.pad[0] >= k.k ||
        k.pad[1] >= k.k || cout < 1 || cout > 1 << 20)
        return dm_graph_fail(c, DM_EINVAL,
                             "convolution '%s': size %d, stride %d, padding {%d, %d}, %lld outputs are not "
                             "possible", name,
                             (int)k.k, (int)k.stride, (int)k.pad[0], (int)k.pad[1], (long long)cout), false;
    for (int i = 2; i < 4; i++)
        if ((out->dim[i] = s->dim[i] + pads - k.k < 0 ? 0 : (s->dim[i] + pads - k.k) / k.stride + 1) < 1)
            return dm_graph_fail(c, DM_EINVAL, "convolution '%s' of size %d has no output for %lld x %lld pixels", name,
                                 (int)k.k, (long long)s->dim[2], (long long)s->dim[3]), false;
    out->dim[1] = cout;
    return true;
}

static dm_val conv(const dm_graph *g, const char *name, dm_val x, int64_t cout, dm_conv k, uint32_t flags)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    dm_val in[5] = {x, DM_NONE, DM_NONE, DM_NONE, DM_NONE}, y;
    dm_shape out;
    dm_gnode *n;

    if (!dm_layer_takes(c, "convolution", name, true, DM_DT_F32, x))
        return DM_FAILED;
    if (!extents(c, name, &s, cout, k, &out))
        return DM_FAILED;
    const int64_t fan_in = s.dim[1] * k.k * k.k;
    in[1] = dm_layer_part(g, name, ".weight", &(dm_shape){4, {cout, s.dim[1], k.k, k.k}}, flags, fan_in);
    if (!(flags & DM_NO_BIAS))
        in[2] = dm_layer_part(g, name, ".bias", &(dm_shape){1, {cout}}, flags, fan_in);
    if ((n = dm_graph_op1(c, DM_OP_CONV2D, in, 5, &out, true, &y)))
        n->op.a.conv = k;
    return y;
}

static dm_val conv_grouped(const dm_graph *g, const char *name, dm_val x, int64_t cout, dm_conv k, int64_t groups,
                           uint32_t flags)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    dm_val in[3] = {x, DM_NONE, DM_NONE}, y;
    dm_shape out;
    dm_gnode *n;

    if (groups == 1)
        return conv(g, name, x, cout, k, flags);
    if (!dm_layer_takes(c, "convolution", name, true, DM_DT_F32, x) || !extents(c, name, &s, cout, k, &out))
        return DM_FAILED;
    if (groups < 1 || s.dim[1] % groups || cout % groups)
        return dm_graph_fail(c, DM_EINVAL, "convolution '%s': %lld groups do not divide %lld channels and %lld outputs",
                             name, (long long)groups, (long long)s.dim[1], (long long)cout);
    const int64_t cin = s.dim[1] / groups, fan_in = cin * k.k * k.k;
    in[1] = dm_layer_part(g, name, ".weight", &(dm_shape){4, {cout, cin, k.k, k.k}}, flags, fan_in);
    if (!(flags & DM_NO_BIAS))
        in[2] = dm_layer_part(g, name, ".bias", &(dm_shape){1, {cout}}, flags, fan_in);
    if ((n = dm_graph_op1(c, DM_OP_GROUPED_CONV2D, in, 3, &out, true, &y))) {
        n->op.a.grouped.conv = k;
        n->op.a.grouped.groups = (int32_t)groups;
    }
    return y;
}

/* The gradient of a convolution from y to x: that of x is a convolution. */
static dm_val conv_transposed(const dm_graph *g, const char *name, dm_val x, int64_t cout, dm_conv k, uint32_t flags)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    dm_val in[2] = {x, DM_NONE}, y;
    dm_shape out = s, back;
    dm_gnode *n;

    if (!dm_layer_takes(c, "transposed convolution", name, true, DM_DT_F32, x))
        return DM_FAILED;
    if (!extents(c, name, &(dm_shape){4, {1, 1, 31, 31}}, cout, k, &back)) /* of its kernel alone */
        return DM_FAILED;
    for (int i = 2; i < 4 && s.rank == 4; i++)
        out.dim[i] = (s.dim[i] - 1) * k.stride + k.k - k.pad[0] - k.pad[1];
    out.dim[1] = cout;
    if (s.rank == 4 && (out.dim[2] < 1 || out.dim[3] < 1))
        return dm_graph_fail(c, DM_EINVAL,
                             "transposed convolution '%s' of size %d has no output for %lld x %lld pixels", name,
                             (int)k.k, (long long)s.dim[2], (long long)s.dim[3]);
    if (!extents(c, name, &out, s.dim[1], k, &back))
        return DM_FAILED;
    const int64_t fan_in = cout * k.k * k.k;
    in[1] = dm_layer_part(g, name, ".weight", &(dm_shape){4, {s.dim[1], cout, k.k, k.k}}, flags, fan_in);
    if ((n = dm_graph_op1(c, DM_OP_CONV2D_DX, in, 2, &out, true, &y)))
        n->op.a.conv = k;
    if (flags & DM_NO_BIAS || y < 0)
        return y;
    return g->add(g, y,
                  g->reshape(g, dm_layer_part(g, name, ".bias", &(dm_shape){1, {cout}}, flags, fan_in),
                             &(dm_shape){2, {1, cout}}));
}

/* A weight's gradient by kind, from x and dy. */
static void weight_gradient(dm_tape *t, dm_op_kind kind, const dm_gnode *n, dm_val x, dm_val dy, dm_val w)
{
    const dm_val dw = dm_tape_output_for(t, w);
    dm_gnode *made;

    if (dw >= 0 && (made = dm_graph_node(t->g, kind, (dm_val[]){x, dy}, 2, &dw, 1))) {
        made->op.a = n->op.a;
        made->op.accum = dm_tape_is_weight(t, w);
    }
    dm_tape_give_output(t, w, dw);
}

static void transposed_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0], w = n->in[1];

    dm_tape_give_op(t, DM_OP_CONV2D, n, (dm_val[]){dy, w, DM_NONE, DM_NONE, DM_NONE}, 5, x);
    weight_gradient(t, DM_OP_CONV2D_DW, n, dy, x, w);
}

static void grouped_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_GROUPED_CONV2D_DX, n, (dm_val[]){dy, n->in[1]}, 2, n->in[0]);
    weight_gradient(t, DM_OP_GROUPED_CONV2D_DW, n, n->in[0], dy, n->in[1]);
    if (n->in[2] >= 0)
        dm_tape_bias(t, dy, n->in[2]);
}

static void conv_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_graph_core *g = t->g;
    const dm_val x = n->in[0], w = n->in[1];
    const dm_shape s = g->values[n->out[0]].shape;

    dm_tape_give_op(t, DM_OP_CONV2D_DX, n, (dm_val[]){dy, w}, 2, x);
    weight_gradient(t, DM_OP_CONV2D_DW, n, x, dy, w);
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

static double grouped_flops(const dm_opnode *n)
{
    return taps2(n) * (double)n->in[1].dim[1] * (double)dm_desc_count(&n->out[0]);
}

static double grouped_dx_flops(const dm_opnode *n)
{
    return taps2(n) * (double)n->in[1].dim[1] * (double)dm_desc_count(&n->in[0]);
}

static double grouped_dw_flops(const dm_opnode *n)
{
    return taps2(n) * (double)n->out[0].dim[1] * (double)dm_desc_count(&n->in[1]);
}

static const dm_op_attr grouped_attrs[] = {DM_ATTR(DM_ATTR_INT, "k", grouped.conv.k),
                                           DM_ATTR(DM_ATTR_INT, "stride", grouped.conv.stride),
                                           DM_ATTRS(DM_ATTR_INT, "pad", grouped.conv.pad, 2),
                                           DM_ATTR(DM_ATTR_INT, "groups", grouped.groups),
                                           {0}};

/* ---- small problems of the same kind --------------------------------------------------- */

static int64_t out_extent(const dm_conv *k, int64_t in) { return (in + k->pad[0] + k->pad[1] - k->k) / k->stride + 1; }

/* A convolution from x to y of so much work. */
static void shrink_pair(dm_opnode *n, dm_desc *x, dm_desc *y, double (*work)(const dm_opnode *n), double most)
{
    const int64_t batch = work(n) > most * (double)x->dim[0] ? 1 : 2;

    x->dim[0] = y->dim[0] = x->dim[0] < batch ? x->dim[0] : batch;
    for (int i = 1; i <= 2 && work(n) > most; i++) {
        x->dim[i] = x->dim[i] > 16 ? 8 + x->dim[i] % 8 : x->dim[i];
        y->dim[i] = out_extent(&n->a.conv, x->dim[i]);
    }
}

static void shrink(dm_opnode *n, double most)
{
    shrink_pair(n, &n->in[0], &n->out[0], forward_flops, most);
    if (n->in[3].rank >= 0)
        n->in[3].dim[0] = n->in[0].dim[0];
    if (n->in[4].rank >= 0)
        n->in[4] = n->out[0];
}

static void shrink_dx(dm_opnode *n, double most) { shrink_pair(n, &n->out[0], &n->in[0], dx_flops, most); }
static void shrink_dw(dm_opnode *n, double most) { shrink_pair(n, &n->in[0], &n->in[1], dw_flops, most); }

/* Ten steps beside PyTorch are off by three times as much where a forward pass's convolutions are split in two bf16
 * (docs/kernels.md). A conv2d_dx of the forward pass is a transposed convolution. */
static bool full_precision(const dm_opnode *n, bool forward) { return n->kind == DM_OP_CONV2D || forward; }

static const dm_op_def rows[] = {
    {.kind = DM_OP_CONV2D,
     .name = "conv2d",
     .in = {{"x", DM_ARG_16BIT},
            {"w", DM_ARG_LAYER},
            {"b", DM_ARG_OPTIONAL},
            {"temb", DM_ARG_OPTIONAL},
            {"res", DM_ARG_OPTIONAL | DM_ARG_16BIT | DM_ARG_AS_OUTPUT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = dm_attrs_conv,
     .flops = forward_flops,
     .flags = DM_OP_HEAVY | DM_OP_MIXED,
     .shrink = shrink,
     .full_precision = full_precision,
     .gradient = conv_gradient},
    {.kind = DM_OP_CONV2D_DX,
     .name = "conv2d_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"w", DM_ARG_LAYER}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = dm_attrs_conv,
     .flops = dx_flops,
     .flags = DM_OP_HEAVY | DM_OP_MIXED,
     .shrink = shrink_dx,
     .full_precision = full_precision,
     .gradient = transposed_gradient},
    {.kind = DM_OP_CONV2D_DW,
     .name = "conv2d_dw",
     .in = {{"x", DM_ARG_16BIT}, {"dy", DM_ARG_16BIT}},
     .out = {{"dw", DM_ARG_ACCUM}},
     .attrs = dm_attrs_conv,
     .flops = dw_flops,
     .flags = DM_OP_BACKWARD,
     .shrink = shrink_dw},
    {.kind = DM_OP_GROUPED_CONV2D,
     .name = "grouped_conv2d",
     .in = {{"x", DM_ARG_16BIT}, {"w", DM_ARG_LAYER}, {"b", DM_ARG_OPTIONAL}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = grouped_attrs,
     .flops = grouped_flops,
     .flags = DM_OP_HEAVY,
     .gradient = grouped_gradient},
    {.kind = DM_OP_GROUPED_CONV2D_DX,
     .name = "grouped_conv2d_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"w", DM_ARG_LAYER}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = grouped_attrs,
     .flops = grouped_dx_flops,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_GROUPED_CONV2D_DW,
     .name = "grouped_conv2d_dw",
     .in = {{"x", DM_ARG_16BIT}, {"dy", DM_ARG_16BIT}},
     .out = {{"dw", DM_ARG_ACCUM}},
     .attrs = grouped_attrs,
     .flops = grouped_dw_flops,
     .flags = DM_OP_BACKWARD},
    {0},
};

static void fill(dm_graph *api)
{
    api->conv = conv;
    api->conv_grouped = conv_grouped;
    api->conv_transposed = conv_transposed;
}

const dm_op_family dm_family_conv = {rows, fill};
