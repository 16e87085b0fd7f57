/* Losses. */
#include "graph/ops/families.h"
#include "graph/tape.h"

/* An elementwise loss of `from`.. inputs, those from `first` on having gradients, in one node. */
static void elementwise_loss(dm_tape *t, dm_op_kind kind, const dm_gnode *n, dm_val dy, int first)
{
    dm_val in[DM_MAX_IN] = {dy}, out[DM_MAX_OUT] = {DM_NONE};
    const int n_in = n->op.n_in, n_out = n_in - first;
    dm_gnode *made;

    for (int i = 0; i < n_in; i++)
        in[1 + i] = n->in[i];
    for (int i = 0; i < n_out; i++)
        out[i] = dm_tape_like_wanted(t, n->in[first + i]);
    if (!(made = dm_graph_node(t->g, kind, in, 1 + n_in, out, n_out)))
        return;
    made->op.a = n->op.a;
    for (int i = 0; i < n_out; i++)
        if (out[i] >= 0)
            dm_tape_give(t, n->in[first + i], out[i]);
}

static void cross_entropy_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_CROSS_ENTROPY_DX, n, (dm_val[]){dy, n->in[0], n->in[1]}, 3, n->in[0]);
}

static void kl_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    elementwise_loss(t, DM_OP_GAUSSIAN_KL_DX, n, dy, 0);
}

static void nll_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    elementwise_loss(t, DM_OP_DISCRETIZED_NLL_DX, n, dy, 1);
}

static const dm_op_attr levels[] = {DM_ATTR(DM_ATTR_INT, "levels", levels.levels), {0}};

const dm_op_def dm_ops_loss[] = {
    {.kind = DM_OP_CROSS_ENTROPY,
     .name = "cross_entropy",
     .in = {{"logits", 0}, {"labels", 0}},
     .out = {{"y", 0}},
     .each = 6,
     .of = 1,
     .gradient = cross_entropy_gradient},
    {.kind = DM_OP_CROSS_ENTROPY_DX,
     .name = "cross_entropy_dx",
     .in = {{"dy", 0}, {"logits", 0}, {"labels", 0}},
     .out = {{"dlogits", 0}},
     .each = 8,
     .of = 2,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_GAUSSIAN_KL,
     .name = "gaussian_kl",
     .in = {{"m1", 0}, {"lv1", 0}, {"m2", 0}, {"lv2", 0}},
     .out = {{"y", 0}},
     .each = 12,
     .gradient = kl_gradient},
    {.kind = DM_OP_GAUSSIAN_KL_DX,
     .name = "gaussian_kl_dx",
     .in = {{"dy", 0}, {"m1", 0}, {"lv1", 0}, {"m2", 0}, {"lv2", 0}},
     .out = {{"dm1", DM_ARG_OPTIONAL}, {"dlv1", DM_ARG_OPTIONAL}, {"dm2", DM_ARG_OPTIONAL}, {"dlv2", DM_ARG_OPTIONAL}},
     .each = 20,
     .of = 1,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_DISCRETIZED_NLL,
     .name = "discretized_nll",
     .in = {{"x", 0}, {"mean", 0}, {"log_var", 0}},
     .out = {{"y", 0}},
     .attrs = levels,
     .each = 60,
     .gradient = nll_gradient},
    {.kind = DM_OP_DISCRETIZED_NLL_DX,
     .name = "discretized_nll_dx",
     .in = {{"dy", 0}, {"x", 0}, {"mean", 0}, {"log_var", 0}},
     .out = {{"dmean", DM_ARG_OPTIONAL}, {"dlog_var", DM_ARG_OPTIONAL}},
     .attrs = levels,
     .each = 60,
     .of = 1,
     .flags = DM_OP_BACKWARD},
    {0},
};
