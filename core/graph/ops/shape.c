/* Ops that only move elements. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/graph_shape.h"

static dm_val reshape(const dm_graph *api, dm_val x, const dm_shape *s)
{
    dm_graph_core *g = dm_graph_of(api);

    if (!s)
        return dm_graph_fail(g, DM_EINVAL, "reshape was given NULL for its shape");
    return dm_graph_has(g, "reshape", DM_DT_F32, &x, 1) ? dm_graph_reshape(g, x, s) : DM_FAILED;
}

static dm_val permute(const dm_graph *api, dm_val x, const int32_t *axes)
{
    dm_graph_core *g = dm_graph_of(api);

    if (!axes)
        return dm_graph_fail(g, DM_EINVAL, "permute was given NULL for its axes");
    return dm_graph_has(g, "permute", DM_DT_F32, &x, 1) ? dm_graph_permute(g, x, axes) : DM_FAILED;
}

static dm_val concat(const dm_graph *api, dm_val a, dm_val b, int32_t axis)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape sa = api->shape(api, a), sb = api->shape(api, b);
    const dm_val in[2] = {a, b};
    dm_shape s = sa;
    bool fits = sa.rank == sb.rank && axis >= 0 && axis < sa.rank;
    dm_gnode *n;
    dm_val y;

    if (!dm_graph_has(g, "concat", DM_DT_F32, in, 2))
        return DM_FAILED;
    for (int i = 0; fits && i < sa.rank; i++)
        fits = i == axis || sa.dim[i] == sb.dim[i];
    if (!fits)
        return dm_graph_fail(g, DM_EINVAL, "concat along axis %d: the sizes of all other axes must be equal",
                                           (int)axis);
    s.dim[axis] += sb.dim[axis];
    if ((n = dm_graph_op1(g, DM_OP_CONCAT, in, 2, &s, s.rank == 4, &y))) {
        const int at = dm_stored_axis(s.rank == 4, axis);

        n->op.a.concat.outer = dm_product(n->op.out[0].dim, 0, at);
        n->op.a.concat.wa = dm_product(n->op.in[0].dim, at, s.rank);
        n->op.a.concat.wb = dm_product(n->op.in[1].dim, at, s.rank);
    }
    return y;
}

static dm_val slice(const dm_graph *api, dm_val x, int32_t axis, int64_t first, int64_t count)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape from = api->shape(api, x);
    dm_shape s = from;
    dm_gnode *n;
    dm_val y;

    if (!dm_graph_has(g, "slice", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (axis < 0 || axis >= from.rank || first < 0 || count < 1 || first > from.dim[axis] - count)
        return dm_graph_fail(g, DM_EINVAL, "slice of %lld from %lld along axis %d is out of range", (long long)count,
                             (long long)first, (int)axis);
    s.dim[axis] = count;
    if ((n = dm_graph_op1(g, DM_OP_SLICE, &x, 1, &s, s.rank == 4, &y))) {
        const int at = dm_stored_axis(s.rank == 4, axis);
        const int64_t inner = dm_product(n->op.in[0].dim, at + 1, s.rank);

        n->op.a.slice.outer = dm_product(n->op.in[0].dim, 0, at);
        n->op.a.slice.width = from.dim[axis] * inner;
        n->op.a.slice.first = first * inner;
        n->op.a.slice.count = count * inner;
    }
    return y;
}

static void concat_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const int64_t wa = n->op.a.concat.wa, wb = n->op.a.concat.wb;

    for (int i = 0; i < 2; i++) {
        dm_gnode part = *n;

        part.op.a.slice.outer = n->op.a.concat.outer;
        part.op.a.slice.width = wa + wb;
        part.op.a.slice.first = i ? wa : 0;
        part.op.a.slice.count = i ? wb : wa;
        dm_tape_give_op(t, DM_OP_SLICE, &part, &dy, 1, n->in[i]);
    }
}

static void slice_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_PAD, n, &dy, 1, n->in[0]);
}

static void permute_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_gnode back = *n;

    for (int32_t i = 0; i < n->op.in[0].rank; i++)
        back.op.a.perm.axes[n->op.a.perm.axes[i]] = i;
    dm_tape_give_op(t, DM_OP_PERMUTE, &back, &dy, 1, n->in[0]);
}

static const dm_op_attr concat_attrs[] = {DM_ATTR(DM_ATTR_LONG, "outer", concat.outer),
                                    DM_ATTR(DM_ATTR_LONG, "wa", concat.wa),
                                    DM_ATTR(DM_ATTR_LONG, "wb", concat.wb),
                                    {0}};
static const dm_op_attr slice_attrs[] = {DM_ATTR(DM_ATTR_LONG, "outer", slice.outer),
                                   DM_ATTR(DM_ATTR_LONG, "width", slice.width),
                                   DM_ATTR(DM_ATTR_LONG, "first", slice.first),
                                   DM_ATTR(DM_ATTR_LONG, "count", slice.count),
                                   {0}};
static const dm_op_attr perm_attrs[] = {DM_ATTRS(DM_ATTR_INT, "axes", perm.axes, 8), {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_CONCAT,
     .name = "concat",
     .in = {{"a", DM_ARG_16BIT}, {"b", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = concat_attrs,
     .flags = DM_OP_CHEAP,
     .gradient = concat_gradient},
    {.kind = DM_OP_SLICE,
     .name = "slice",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = slice_attrs,
     .flags = DM_OP_CHEAP,
     .gradient = slice_gradient},
    {.kind = DM_OP_PAD,
     .name = "pad",
     .in = {{"y", DM_ARG_16BIT}},
     .out = {{"x", DM_ARG_16BIT}},
     .attrs = slice_attrs,
     .flags = DM_OP_CHEAP | DM_OP_BACKWARD},
    {.kind = DM_OP_PERMUTE,
     .name = "permute",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = perm_attrs,
     .flags = DM_OP_CHEAP,
     .gradient = permute_gradient},
    {0},
};

static void fill(dm_graph *api)
{
    api->reshape = reshape;
    api->permute = permute;
    api->concat = concat;
    api->slice = slice;
}

const dm_op_family dm_family_shape = {rows, fill};
