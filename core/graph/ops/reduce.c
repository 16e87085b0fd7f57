/* Sums along axes. */
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
    {0},
};

static void fill(dm_graph *api)
{
    api->mean = mean;
}

const dm_op_family dm_family_reduce = {rows, fill};
