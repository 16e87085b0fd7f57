/* Group and layer norms. */
#include "graph/ops/families.h"
#include "graph/tape.h"

static void group_norm_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0], scale = n->in[3], shift = n->in[4];
    const dm_val out[5] = {dm_tape_like_wanted(t, x), dm_tape_output_for(t, n->in[1]), dm_tape_output_for(t, n->in[2]),
                           dm_tape_like_wanted(t, scale), dm_tape_like_wanted(t, shift)};
    dm_gnode *made = dm_graph_node(t->g, DM_OP_GROUP_NORM_DX,
                                   (dm_val[]){dy, x, n->in[1], n->in[2], n->out[1], scale, shift}, 7, out, 5);

    if (!made)
        return;
    made->op.a = n->op.a;
    made->op.accum = (out[1] >= 0 && dm_tape_is_weight(t, n->in[1])) || (out[2] >= 0 && dm_tape_is_weight(t, n->in[2]));
    if (out[0] >= 0)
        dm_tape_give(t, x, out[0]);
    for (int i = 0; i < 2; i++) {
        dm_tape_give_output(t, n->in[1 + i], out[1 + i]);
        if (out[3 + i] >= 0)
            dm_tape_give(t, n->in[3 + i], out[3 + i]);
    }
}

static void layer_norm_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0];
    const dm_val out[3] = {dm_tape_like_wanted(t, x), dm_tape_output_for(t, n->in[1]), dm_tape_output_for(t, n->in[2])};
    dm_gnode *made = dm_graph_node(t->g, DM_OP_LAYER_NORM_DX, (dm_val[]){dy, x, n->in[1], n->out[1]}, 4, out, 3);

    if (!made)
        return;
    made->op.a = n->op.a;
    made->op.accum = (out[1] >= 0 && dm_tape_is_weight(t, n->in[1])) || (out[2] >= 0 && dm_tape_is_weight(t, n->in[2]));
    if (out[0] >= 0)
        dm_tape_give(t, x, out[0]);
    dm_tape_give_output(t, n->in[1], out[1]);
    dm_tape_give_output(t, n->in[2], out[2]);
}

static const dm_op_attr norm[] = {DM_ATTR(DM_ATTR_LONG, "N", norm.N),
                                  DM_ATTR(DM_ATTR_LONG, "C", norm.C),
                                  DM_ATTR(DM_ATTR_LONG, "L", norm.L),
                                  DM_ATTR(DM_ATTR_LONG, "groups", norm.groups),
                                  DM_ATTR(DM_ATTR_REAL, "eps", norm.eps),
                                  DM_ATTR(DM_ATTR_BOOL, "channels_last", norm.channels_last),
                                  DM_ATTR(DM_ATTR_BOOL, "silu", norm.silu),
                                  {0}};

const dm_op_def dm_ops_norm[] = {
    {.kind = DM_OP_GROUP_NORM,
     .name = "group_norm",
     .in = {{"x", DM_ARG_16BIT},
            {"gamma", DM_ARG_OPTIONAL},
            {"beta", DM_ARG_OPTIONAL},
            {"scale", DM_ARG_OPTIONAL},
            {"shift", DM_ARG_OPTIONAL}},
     .out = {{"y", DM_ARG_16BIT}, {"stats", 0}},
     .attrs = norm,
     .each = 12,
     .flags = DM_OP_CHEAP | DM_OP_HEAVY,
     .gradient = group_norm_gradient},
    {.kind = DM_OP_GROUP_NORM_DX,
     .name = "group_norm_dx",
     .in = {{"dy", DM_ARG_16BIT},
            {"x", DM_ARG_16BIT},
            {"gamma", DM_ARG_OPTIONAL},
            {"beta", DM_ARG_OPTIONAL},
            {"stats", 0},
            {"scale", DM_ARG_OPTIONAL},
            {"shift", DM_ARG_OPTIONAL}},
     .out = {{"dx", DM_ARG_OPTIONAL | DM_ARG_16BIT},
             {"dgamma", DM_ARG_OPTIONAL | DM_ARG_ACCUM},
             {"dbeta", DM_ARG_OPTIONAL | DM_ARG_ACCUM},
             {"dscale", DM_ARG_OPTIONAL},
             {"dshift", DM_ARG_OPTIONAL}},
     .attrs = norm,
     .each = 20,
     .of = 1,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_LAYER_NORM,
     .name = "layer_norm",
     .in = {{"x", DM_ARG_16BIT}, {"gamma", DM_ARG_OPTIONAL}, {"beta", DM_ARG_OPTIONAL}},
     .out = {{"y", DM_ARG_16BIT}, {"stats", 0}},
     .attrs = norm,
     .each = 12,
     .flags = DM_OP_CHEAP | DM_OP_HEAVY,
     .gradient = layer_norm_gradient},
    {.kind = DM_OP_LAYER_NORM_DX,
     .name = "layer_norm_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"x", DM_ARG_16BIT}, {"gamma", DM_ARG_OPTIONAL}, {"stats", 0}},
     .out = {{"dx", DM_ARG_OPTIONAL | DM_ARG_16BIT},
             {"dgamma", DM_ARG_OPTIONAL | DM_ARG_ACCUM},
             {"dbeta", DM_ARG_OPTIONAL | DM_ARG_ACCUM}},
     .attrs = norm,
     .each = 20,
     .of = 1,
     .flags = DM_OP_BACKWARD},
    {0},
};
