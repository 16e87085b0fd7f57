/* Attention. */
#include "graph/ops/families.h"
#include "graph/tape.h"

static void attention_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val out[3] = {dm_tape_like(t, n->in[0]), dm_tape_like(t, n->in[1]), dm_tape_like(t, n->in[2])};
    dm_gnode *made = dm_graph_node(t->g, DM_OP_ATTENTION_DX,
                                   (dm_val[]){dy, n->in[0], n->in[1], n->in[2], n->out[0], n->out[1]}, 6, out, 3);

    if (!made)
        return;
    made->op.a = n->op.a;
    for (int i = 0; i < 3; i++)
        dm_tape_give(t, n->in[i], out[i]);
}

static double flops(const dm_opnode *n)
{
    return 4.0 * (double)dm_desc_count(&n->in[0]) * (double)n->in[1].dim[1];
}

static double dx_flops(const dm_opnode *n)
{
    return 10.0 * (double)dm_desc_count(&n->in[1]) * (double)n->in[2].dim[1];
}

static const dm_op_attr heads[] = {DM_ATTR(DM_ATTR_LONG, "heads", attn.heads), {0}};

const dm_op_def dm_ops_attention[] = {
    {.kind = DM_OP_ATTENTION,
     .name = "attention",
     .in = {{"q", DM_ARG_16BIT}, {"k", DM_ARG_16BIT}, {"v", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}, {"lse", 0}},
     .attrs = heads,
     .flops = flops,
     .flags = DM_OP_HEAVY,
     .gradient = attention_gradient},
    {.kind = DM_OP_ATTENTION_DX,
     .name = "attention_dx",
     .in = {{"dy", DM_ARG_16BIT},
            {"q", DM_ARG_16BIT},
            {"k", DM_ARG_16BIT},
            {"v", DM_ARG_16BIT},
            {"y", DM_ARG_16BIT},
            {"lse", 0}},
     .out = {{"dq", DM_ARG_16BIT}, {"dk", DM_ARG_16BIT}, {"dv", DM_ARG_16BIT}},
     .attrs = heads,
     .flops = dx_flops,
     .flags = DM_OP_BACKWARD},
    {0},
};
