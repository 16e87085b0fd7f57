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
            return dm_graph_fail(g, DM_EINVAL, "%s: sizes %lld and %lld of axis %d do not broadcast", name,
                                 (long long)sa.dim[i], (long long)sb.dim[i], i);
        s.dim[i] = sa.dim[i] > sb.dim[i] ? sa.dim[i] : sb.dim[i];
    }
    return dm_graph_elementwise(g, kind, a, b, &s);
}

static dm_val add(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_ADD, "add", a, b); }

static dm_val mul(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_MUL, "mul", a, b); }
static dm_val sub(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_SUB, "sub", a, b); }
static dm_val quotient(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_DIV, "div", a, b); }
static dm_val maximum(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_MAXIMUM, "maximum", a, b); }
static dm_val minimum(const dm_graph *g, dm_val a, dm_val b) { return binary(g, DM_OP_MINIMUM, "minimum", a, b); }

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

/* k dy, of n's output's extents. */
static dm_val scaled(dm_tape *t, dm_val dy, double k)
{
    const dm_shape s = t->g->values[dy].shape;
    dm_gnode *n;
    dm_val d;

    if ((n = dm_graph_op1(t->g, DM_OP_SCALE, &dy, 1, &s, t->g->values[dy].image, &d)))
        n->op.a.scale.k = k;
    return d;
}

static void sub_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    if (dm_tape_wants(t, n->in[0]))
        give_summed(t, n, 0, dy);
    if (dm_tape_wants(t, n->in[1]))
        give_summed(t, n, 1, scaled(t, dy, -1));
}

/* y = a / b: da = dy / b, db = -da y. */
static void div_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_shape s = t->g->values[n->out[0]].shape;
    const dm_val da = dm_graph_elementwise(t->g, DM_OP_DIV, dy, n->in[1], &s);
    dm_val part;

    if (dm_tape_wants(t, n->in[0]))
        give_summed(t, n, 0, da);
    if (dm_tape_wants(t, n->in[1]) && da >= 0 &&
        (part = dm_graph_elementwise(t->g, DM_OP_MUL, da, n->out[0], &s)) >= 0)
        give_summed(t, n, 1, scaled(t, part, -1));
}

/* To the larger, or the smaller, half to each of equals. */
static void extreme_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_shape s = t->g->values[n->out[0]].shape;
    const bool larger = n->op.kind == DM_OP_MAXIMUM;

    for (int i = 0; i < 2; i++)
        if (dm_tape_wants(t, n->in[i])) {
            const int above = larger ? i : 1 - i;
            const dm_val share = dm_graph_elementwise(t->g, DM_OP_STEP, n->in[above], n->in[1 - above], &s);

            give_summed(t, n, i, share < 0 ? share : dm_graph_elementwise(t->g, DM_OP_MUL, dy, share, &s));
        }
}

static void broadcast_gradient(dm_tape *t, const dm_gnode *n, dm_val dy) { give_summed(t, n, 0, dy); }

const dm_op_attr dm_attrs_bcast[] = {DM_ATTRS(DM_ATTR_LONG, "dim", bcast.dim, 4),
                                     DM_ATTRS(DM_ATTR_LONG, "sa", bcast.sa, 4),
                                     DM_ATTRS(DM_ATTR_LONG, "sb", bcast.sb, 4),
                                     {0}};

/* Of two operands that repeat. */
#define ROW(text, op, use, rule)                                                                          \
    {.kind = op, .name = text, .in = {{"a", DM_ARG_16BIT}, {"b", DM_ARG_16BIT}}, .out = {{"y", DM_ARG_16BIT}}, \
     .attrs = dm_attrs_bcast, .each = 1, .flags = use, .gradient = rule}

static const dm_op_def rows[] = {
    ROW("add", DM_OP_ADD, DM_OP_CHEAP, add_gradient),
    ROW("mul", DM_OP_MUL, DM_OP_CHEAP, mul_gradient),
    {.kind = DM_OP_BROADCAST,
     .name = "broadcast",
     .in = {{"a", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = dm_attrs_bcast,
     .flags = DM_OP_CHEAP,
     .gradient = broadcast_gradient},
    ROW("sub", DM_OP_SUB, DM_OP_CHEAP, sub_gradient),
    ROW("div", DM_OP_DIV, DM_OP_CHEAP, div_gradient),
    ROW("maximum", DM_OP_MAXIMUM, DM_OP_CHEAP, extreme_gradient),
    ROW("minimum", DM_OP_MINIMUM, DM_OP_CHEAP, extreme_gradient),
    ROW("step", DM_OP_STEP, DM_OP_CHEAP | DM_OP_BACKWARD, NULL),
    {0},
};

static void fill(dm_graph *api)
{
    api->add = add;
    api->mul = mul;
    api->sub = sub;
    api->div = quotient;
    api->maximum = maximum;
    api->minimum = minimum;
}

const dm_op_family dm_family_broadcast = {rows, fill};
