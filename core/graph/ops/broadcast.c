/* Element-wise ops whose operands repeat along axes. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/graph_shape.h"

static dm_val binary(const dm_graph *api, dm_op_kind kind, const char *name, dm_val a, dm_val b)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape sa = api->shape(api, a), sb = api->shape(api, b);
    dm_shape s = sa.rank > sb.rank ? sa : sb;

    if (!dm_graph_has(g, name, DM_DT_F32, (dm_val[]){a, b}, 2))
        return DM_FAILED;
    for (int i = 0; i < s.rank; i++) {
        if (sa.dim[i] != sb.dim[i] && sa.dim[i] != 1 && sb.dim[i] != 1)
            return dm_graph_fail(g, DM_EINVAL, "%s: extents %lld and %lld of axis %d do not fit", name,
                                 (long long)sa.dim[i], (long long)sb.dim[i], i);
        s.dim[i] = sa.dim[i] > sb.dim[i] ? sa.dim[i] : sb.dim[i];
    }
    return dm_graph_elementwise(g, kind, a, b, &s);
}

static dm_val add(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_ADD, "add", a, b); }

static dm_val mul(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_MUL, "mul", a, b); }

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

static const dm_op_def rows[] = {
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

static void fill(dm_graph *api)
{
    api->add = add;
    api->mul = mul;
}

const dm_op_family dm_family_broadcast = {rows, fill};
