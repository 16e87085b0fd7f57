/* Functions of one element. */
#include "graph/ops/families.h"
#include "graph/tape.h"

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

static const dm_op_attr scale[] = {
    DM_ATTR(DM_ATTR_REAL, "k", scale.k), DM_ATTR(DM_ATTR_REAL, "b", scale.b), {0}};

const dm_op_def dm_ops_activation[] = {
    {.kind = DM_OP_SCALE,
     .name = "scale",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = scale,
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
