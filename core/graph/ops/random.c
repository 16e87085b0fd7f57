/* Dropout and noise. */
#include "graph/ops/families.h"
#include "graph/tape.h"

static dm_val dropout(const dm_graph *api, dm_val x, double p)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, x);
    dm_val in[2] = {x, DM_NONE}, y;
    dm_gnode *n;

    if (!dm_graph_has(g, "dropout", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (!(p >= 0 && p < 1))
        return dm_graph_fail(g, DM_EINVAL, "dropout of %g; it must be at least 0 and below 1", p);
    if (s.rank < 1)
        return dm_graph_fail(g, DM_EINVAL, "dropout of a value of rank 0; it needs an axis of examples");
    if (p <= 0 || !g->training)
        return x;
    in[1] = dm_graph_state(g);
    if ((n = dm_graph_op1(g, DM_OP_DROPOUT, in, 2, &s, s.rank == 4, &y))) {
        n->op.a.random.p = p;
        n->op.a.random.purpose = DM_PURPOSE_DROPOUT;
        n->op.a.random.image = s.rank == 4;
    }
    return y;
}

dm_val dm_graph_randn(dm_graph_core *g, dm_val like, uint32_t purpose, uint32_t node, uint32_t draw)
{
    const dm_val state = dm_graph_state(g);
    dm_shape s;
    dm_val y;
    dm_gnode *n;

    if (state < 0 || like < 0)
        return DM_FAILED;
    s = g->values[like].shape;
    if ((n = dm_graph_op1(g, DM_OP_RANDN, &state, 1, &s, s.rank == 4, &y))) {
        n->op.a.random.purpose = purpose;
        n->op.a.random.node = node;
        n->op.a.random.draw = draw;
        n->op.a.random.image = s.rank == 4;
    }
    return y;
}

static void dropout_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_DROPOUT, n, (dm_val[]){dy, n->in[1]}, 2, n->in[0]);
}

static const dm_op_attr random_attrs[] = {DM_ATTR(DM_ATTR_REAL, "p", random.p),
                                    DM_ATTR(DM_ATTR_WORD, "purpose", random.purpose),
                                    DM_ATTR(DM_ATTR_WORD, "node", random.node),
                                    DM_ATTR(DM_ATTR_WORD, "draw", random.draw),
                                    DM_ATTR(DM_ATTR_BOOL, "image", random.image),
                                    {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_DROPOUT,
     .name = "dropout",
     .in = {{"x", DM_ARG_16BIT}, {"state", 0}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = random_attrs,
     .each = 2,
     .flags = DM_OP_CHEAP,
     .gradient = dropout_gradient},
    {.kind = DM_OP_RANDN,
     .name = "randn",
     .in = {{"state", 0}},
     .out = {{"y", 0}},
     .attrs = random_attrs,
     .each = 60,
     .flags = DM_OP_CONSTANT},
    {0},
};

static void fill(dm_graph *api)
{
    api->dropout = dropout;
}

const dm_op_family dm_family_random = {rows, fill};
