/* Images of other sizes. */
#include "graph/ops/families.h"
#include "graph/tape.h"

static void upsample_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_UPSAMPLE_DX, n, &dy, 1, n->in[0]);
}

static void avg_pool_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_AVG_POOL_DX, n, &dy, 1, n->in[0]);
}

static const dm_op_attr factor[] = {DM_ATTR(DM_ATTR_LONG, "factor", factor.factor), {0}};

const dm_op_def dm_ops_resize[] = {
    {.kind = DM_OP_UPSAMPLE,
     .name = "upsample",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = factor,
     .flags = DM_OP_CHEAP,
     .gradient = upsample_gradient},
    {.kind = DM_OP_UPSAMPLE_DX,
     .name = "upsample_dx",
     .in = {{"dy", DM_ARG_16BIT}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = factor,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_AVG_POOL,
     .name = "avg_pool",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = factor,
     .each = 1,
     .flags = DM_OP_CHEAP,
     .gradient = avg_pool_gradient},
    {.kind = DM_OP_AVG_POOL_DX,
     .name = "avg_pool_dx",
     .in = {{"dy", DM_ARG_16BIT}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = factor,
     .each = 1,
     .flags = DM_OP_BACKWARD},
    {0},
};
