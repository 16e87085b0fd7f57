/* Dropout and noise. */
#include "graph/ops/families.h"
#include "graph/tape.h"

static void dropout_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_DROPOUT, n, (dm_val[]){dy, n->in[1]}, 2, n->in[0]);
}

static const dm_op_attr random[] = {DM_ATTR(DM_ATTR_REAL, "p", random.p),
                                    DM_ATTR(DM_ATTR_WORD, "purpose", random.purpose),
                                    DM_ATTR(DM_ATTR_WORD, "node", random.node),
                                    DM_ATTR(DM_ATTR_WORD, "draw", random.draw),
                                    DM_ATTR(DM_ATTR_BOOL, "image", random.image),
                                    {0}};

const dm_op_def dm_ops_random[] = {
    {.kind = DM_OP_DROPOUT,
     .name = "dropout",
     .in = {{"x", DM_ARG_16BIT}, {"state", 0}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = random,
     .each = 2,
     .flags = DM_OP_CHEAP,
     .gradient = dropout_gradient},
    {.kind = DM_OP_RANDN,
     .name = "randn",
     .in = {{"state", 0}},
     .out = {{"y", 0}},
     .attrs = random,
     .each = 60,
     .flags = DM_OP_CONSTANT},
    {0},
};
