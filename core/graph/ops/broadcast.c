/* Element-wise ops whose operands repeat along axes. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/graph_shape.h"

/* d, of the extents of n's output, given to input i: summed over the axes that it repeats along. */
static void give_summed(dm_tape *t, const dm_gnode *n, int i, dm_val d)
{
    dm_tape_give(t, n->in[i], d < 0 ? d : dm_graph_reduce_like(t->g, d, n->in[i]));
}

static void add_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    for (int i = 0; i < 2; i++)
        if (dm_tape_wants(t, n->in[i]))
            give_summed(t, n, i, dy);
}

static void mul_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_shape s = t->g->values[n->out[0]].shape;

    for (int i = 0; i < 2; i++)
        if (dm_tape_wants(t, n->in[i]))
            give_summed(t, n, i, dm_graph_elementwise(t->g, DM_OP_MUL, dy, n->in[1 - i], &s));
}

static void broadcast_gradient(dm_tape *t, const dm_gnode *n, dm_val dy) { give_summed(t, n, 0, dy); }

const dm_op_attr dm_attrs_bcast[] = {DM_ATTRS(DM_ATTR_LONG, "dim", bcast.dim, 4),
                                     DM_ATTRS(DM_ATTR_LONG, "sa", bcast.sa, 4),
                                     DM_ATTRS(DM_ATTR_LONG, "sb", bcast.sb, 4),
                                     {0}};

const dm_op_def dm_ops_broadcast[] = {
    {.kind = DM_OP_ADD,
     .name = "add",
     .in = {{"a", DM_ARG_16BIT}, {"b", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = dm_attrs_bcast,
     .each = 1,
     .flags = DM_OP_CHEAP,
     .gradient = add_gradient},
    {.kind = DM_OP_MUL,
     .name = "mul",
     .in = {{"a", DM_ARG_16BIT}, {"b", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = dm_attrs_bcast,
     .each = 1,
     .flags = DM_OP_CHEAP,
     .gradient = mul_gradient},
    {.kind = DM_OP_BROADCAST,
     .name = "broadcast",
     .in = {{"a", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = dm_attrs_bcast,
     .flags = DM_OP_CHEAP,
     .gradient = broadcast_gradient},
    {0},
};
