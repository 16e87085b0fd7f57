/* Along axes: sums, the largest, softmax. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/graph_shape.h"

static dm_val mean(const dm_graph *api, dm_val x)
{
    const dm_shape s = api->shape(api, x);
    const int64_t rest = dm_product(s.dim, 1, s.rank);

    if (!dm_graph_has(dm_graph_of(api), "mean", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (s.rank < 1)
        return dm_graph_fail(dm_graph_of(api), DM_EINVAL, "mean needs a value of rank 1 or above");
    return dm_graph_reduce(dm_graph_of(api), x, s.dim[0], rest, 1, 1 / (double)rest, &(dm_shape){1, {s.dim[0]}}, false);
}

/* What is left of x by reducing these axes, and how many elements each of its is of; false: the reason is recorded. */
static bool reduced_shape(const dm_graph *api, const char *name, dm_val x, const int32_t *axes, int32_t n, dm_shape *s,
                          int64_t *count)
{
    dm_graph_core *g = dm_graph_of(api);
    uint32_t seen = 0;

    *s = api->shape(api, x);
    *count = 1;
    if (!dm_graph_has(g, name, DM_DT_F32, &x, 1))
        return false;
    for (int32_t i = 0; i < n && axes; i++) {
        if (axes[i] < 0 || axes[i] >= s->rank || seen >> axes[i] & 1) {
            dm_graph_fail(g, DM_EINVAL, "%s: axis %d is out of range or repeated; the value has %d axes", name,
                          (int)axes[i], (int)s->rank);
            return false;
        }
        seen |= 1u << axes[i];
        *count *= s->dim[axes[i]];
        s->dim[axes[i]] = 1;
    }
    if (n < 1 || !axes)
        dm_graph_fail(g, DM_EINVAL, "%s was given no axes", name);
    return !g->err.code;
}

static dm_val sum_over(const dm_graph *api, dm_val x, const int32_t *axes, int32_t n)
{
    dm_shape s;
    int64_t count;

    return reduced_shape(api, "sum_over", x, axes, n, &s, &count)
               ? dm_graph_reduce_to(dm_graph_of(api), DM_OP_REDUCE, x, &s, s.rank == 4)
               : DM_FAILED;
}

static dm_val mean_over(const dm_graph *api, dm_val x, const int32_t *axes, int32_t n)
{
    dm_shape s;
    int64_t count;

    if (!reduced_shape(api, "mean_over", x, axes, n, &s, &count))
        return DM_FAILED;
    return api->scale(api, dm_graph_reduce_to(dm_graph_of(api), DM_OP_REDUCE, x, &s, s.rank == 4), 1 / (double)count,
                      0);
}

static dm_val max_over(const dm_graph *api, dm_val x, const int32_t *axes, int32_t n)
{
    dm_shape s;
    int64_t count;

    return reduced_shape(api, "max_over", x, axes, n, &s, &count)
               ? dm_graph_reduce_to(dm_graph_of(api), DM_OP_REDUCE_MAX, x, &s, s.rank == 4)
               : DM_FAILED;
}

static dm_val softmax(const dm_graph *api, dm_val x, int32_t axis)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, x);
    const bool image = s.rank == 4;
    dm_gnode *n;
    dm_val y;

    if (!dm_graph_has(g, "softmax", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (axis < 0 || axis >= s.rank)
        return dm_graph_fail(g, DM_EINVAL, "softmax: axis %d is out of range; the value has %d axes", (int)axis,
                             (int)s.rank);
    if ((n = dm_graph_op1(g, DM_OP_SOFTMAX, &x, 1, &s, image, &y))) {
        const int at = dm_stored_axis(image, axis);

        n->op.a.reduce.outer = dm_product(n->op.in[0].dim, 0, at);
        n->op.a.reduce.red = s.dim[axis];
        n->op.a.reduce.inner = dm_product(n->op.in[0].dim, at + 1, s.rank);
    }
    return y;
}

static void max_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_REDUCE_MAX_DX, n, (dm_val[]){dy, n->in[0], n->out[0]}, 3, n->in[0]);
}

static void softmax_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_SOFTMAX_DX, n, (dm_val[]){dy, n->out[0]}, 2, n->in[0]);
}

static void reduce_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0];
    const dm_shape s = t->g->values[x].shape;
    const int64_t outer = n->op.a.reduce.outer, red = n->op.a.reduce.red, inner = n->op.a.reduce.inner;
    const bool image = t->g->values[x].image;
    const double k = n->op.a.reduce.k;
    dm_gnode *made;
    dm_val d;

    if (!dm_tape_wants(t, x))
        return;
    if (k != 1) {
        const dm_shape sy = t->g->values[dy].shape;
        const dm_val from = dy;

        if ((made = dm_graph_op1(t->g, DM_OP_SCALE, &from, 1, &sy, t->g->values[from].image, &dy)))
            made->op.a.scale.k = k;
    }
    if (dy >= 0 && (made = dm_graph_op1(t->g, DM_OP_BROADCAST, &dy, 1, &s, image, &d)))
        made->op.a.bcast = (dm_attr_bcast){{1, outer, red, inner}, {0, inner, 0, 1}, {0, 0, 0, 0}};
    dm_tape_give(t, x, dy < 0 ? DM_FAILED : d);
}

const dm_op_attr dm_attrs_reduce[] = {DM_ATTR(DM_ATTR_LONG, "outer", reduce.outer),
                                      DM_ATTR(DM_ATTR_LONG, "red", reduce.red),
                                      DM_ATTR(DM_ATTR_LONG, "inner", reduce.inner),
                                      DM_ATTR(DM_ATTR_REAL, "k", reduce.k),
                                      {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_REDUCE,
     .name = "reduce",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_ACCUM}},
     .attrs = dm_attrs_reduce,
     .each = 1,
     .of = 1,
     .gradient = reduce_gradient},
    {.kind = DM_OP_REDUCE_MAX,
     .name = "reduce_max",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = dm_attrs_reduce,
     .each = 1,
     .of = 1,
     .gradient = max_gradient},
    {.kind = DM_OP_REDUCE_MAX_DX,
     .name = "reduce_max_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"x", DM_ARG_16BIT}, {"y", DM_ARG_16BIT}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = dm_attrs_reduce,
     .each = 3,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_SOFTMAX,
     .name = "softmax",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = dm_attrs_reduce,
     .each = 10,
     .gradient = softmax_gradient},
    {.kind = DM_OP_SOFTMAX_DX,
     .name = "softmax_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"y", DM_ARG_16BIT}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = dm_attrs_reduce,
     .each = 4,
     .flags = DM_OP_BACKWARD},
    {0},
};

static void fill(dm_graph *api)
{
    api->mean = mean;
    api->sum_over = sum_over;
    api->mean_over = mean_over;
    api->max_over = max_over;
    api->softmax = softmax;
}

const dm_op_family dm_family_reduce = {rows, fill};
