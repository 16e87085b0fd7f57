/* Functions of one element. */
#include "graph/ops/families.h"
#include "graph/tape.h"

#include <math.h>

static dm_val unary(const dm_graph *api, dm_op_kind kind, const char *name, dm_val x)
{
    const dm_shape s = api->shape(api, x);
    dm_val y;

    if (!dm_graph_has(dm_graph_of(api), name, DM_DT_F32, &x, 1))
        return DM_FAILED;
    dm_graph_op1(dm_graph_of(api), kind, &x, 1, &s, s.rank == 4, &y);
    return y;
}

static dm_val silu(const dm_graph *g, dm_val x) { return unary(g, DM_OP_SILU, "silu", x); }

static dm_val gelu(const dm_graph *g, dm_val x) { return unary(g, DM_OP_GELU, "gelu", x); }

static dm_val scale(const dm_graph *api, dm_val x, double k, double b)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, x);
    dm_val y;
    dm_gnode *n;

    if (!dm_graph_has(g, "scale", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (!isfinite(k) || !isfinite(b))
        return dm_graph_fail(g, DM_EINVAL, "scale by %g plus %g; both must be finite", k, b);
    if ((n = dm_graph_op1(g, DM_OP_SCALE, &x, 1, &s, s.rank == 4, &y))) {
        n->op.a.scale.k = k;
        n->op.a.scale.b = b;
    }
    return y;
}

static void scale_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_gnode part = *n;

    part.op.a.scale.b = 0;
    dm_tape_give_op(t, DM_OP_SCALE, &part, &dy, 1, n->in[0]);
}

static void silu_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_SILU_DX, n, (dm_val[]){dy, n->in[0]}, 2, n->in[0]);
}

static void gelu_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_GELU_DX, n, (dm_val[]){dy, n->in[0]}, 2, n->in[0]);
}

static const dm_op_attr scale_attrs[] = {
    DM_ATTR(DM_ATTR_REAL, "k", scale.k), DM_ATTR(DM_ATTR_REAL, "b", scale.b), {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_SCALE,
     .name = "scale",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = scale_attrs,
     .each = 2,
     .flags = DM_OP_CHEAP,
     .gradient = scale_gradient},
    {.kind = DM_OP_SILU,
     .name = "silu",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .each = 4,
     .flags = DM_OP_CHEAP,
     .gradient = silu_gradient},
    {.kind = DM_OP_SILU_DX,
     .name = "silu_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"x", DM_ARG_16BIT}},
     .out = {{"dx", DM_ARG_16BIT}},
     .each = 8,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_GELU,
     .name = "gelu",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .each = 8,
     .flags = DM_OP_CHEAP,
     .gradient = gelu_gradient},
    {.kind = DM_OP_GELU_DX,
     .name = "gelu_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"x", DM_ARG_16BIT}},
     .out = {{"dx", DM_ARG_16BIT}},
     .each = 12,
     .flags = DM_OP_BACKWARD},
    {0},
};

static void fill(dm_graph *api)
{
    api->silu = silu;
    api->gelu = gelu;
    api->scale = scale;
}

const dm_op_family dm_family_activation = {rows, fill};
