/* Ops that only move elements. */
#include "graph/ops/families.h"
#include "graph/tape.h"

static void concat_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const int64_t wa = n->op.a.concat.wa, wb = n->op.a.concat.wb;

    for (int i = 0; i < 2; i++) {
        dm_gnode part = *n;

        part.op.a.slice.outer = n->op.a.concat.outer;
        part.op.a.slice.width = wa + wb;
        part.op.a.slice.first = i ? wa : 0;
        part.op.a.slice.count = i ? wb : wa;
        dm_tape_give_op(t, DM_OP_SLICE, &part, &dy, 1, n->in[i]);
    }
}

static void slice_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_PAD, n, &dy, 1, n->in[0]);
}

static void permute_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_gnode back = *n;

    for (int32_t i = 0; i < n->op.in[0].rank; i++)
        back.op.a.perm.axes[n->op.a.perm.axes[i]] = i;
    dm_tape_give_op(t, DM_OP_PERMUTE, &back, &dy, 1, n->in[0]);
}

static const dm_op_attr concat[] = {DM_ATTR(DM_ATTR_LONG, "outer", concat.outer),
                                    DM_ATTR(DM_ATTR_LONG, "wa", concat.wa),
                                    DM_ATTR(DM_ATTR_LONG, "wb", concat.wb),
                                    {0}};
static const dm_op_attr slice[] = {DM_ATTR(DM_ATTR_LONG, "outer", slice.outer),
                                   DM_ATTR(DM_ATTR_LONG, "width", slice.width),
                                   DM_ATTR(DM_ATTR_LONG, "first", slice.first),
                                   DM_ATTR(DM_ATTR_LONG, "count", slice.count),
                                   {0}};
static const dm_op_attr perm[] = {DM_ATTRS(DM_ATTR_INT, "axes", perm.axes, 8), {0}};

const dm_op_def dm_ops_shape[] = {
    {.kind = DM_OP_CONCAT,
     .name = "concat",
     .in = {{"a", DM_ARG_16BIT}, {"b", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = concat,
     .flags = DM_OP_CHEAP,
     .gradient = concat_gradient},
    {.kind = DM_OP_SLICE,
     .name = "slice",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = slice,
     .flags = DM_OP_CHEAP,
     .gradient = slice_gradient},
    {.kind = DM_OP_PAD,
     .name = "pad",
     .in = {{"y", DM_ARG_16BIT}},
     .out = {{"x", DM_ARG_16BIT}},
     .attrs = slice,
     .flags = DM_OP_CHEAP | DM_OP_BACKWARD},
    {.kind = DM_OP_PERMUTE,
     .name = "permute",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = perm,
     .flags = DM_OP_CHEAP,
     .gradient = permute_gradient},
    {0},
};
