/* Losses. */
#include "graph/ops/families.h"
#include "graph/tape.h"

static dm_val cross_entropy(const dm_graph *api, dm_val logits, dm_val labels)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, logits), l = api->shape(api, labels);
    const dm_val in[2] = {logits, labels};
    dm_val y;

    if (labels == DM_NONE)
        return dm_graph_fail(g, DM_EINVAL, "cross entropy needs labels; this data has none");
    if (!dm_graph_has(g, "cross entropy: logits", DM_DT_F32, &logits, 1) ||
        !dm_graph_has(g, "cross entropy: labels", DM_DT_I32, &labels, 1))
        return DM_FAILED;
    if (s.rank != 2 || l.rank != 1 || l.dim[0] != s.dim[0])
        return dm_graph_fail(g, DM_EINVAL, "cross entropy needs logits f32[N,K] and labels i32[N]");
    dm_graph_op1(g, DM_OP_CROSS_ENTROPY, in, 2, &(dm_shape){1, {s.dim[0]}}, false, &y);
    return y;
}

/* The shape that n values repeat to; false where they do not fit. */
static bool common_shape(const dm_graph *api, const dm_val *in, int n, dm_shape *s)
{
    *s = api->shape(api, in[0]);
    for (int i = 1; i < n; i++) {
        const dm_shape t = api->shape(api, in[i]);

        if (t.rank > s->rank)
            s->rank = t.rank;
        for (int a = 0; a < s->rank; a++) {
            if (t.dim[a] != s->dim[a] && t.dim[a] != 1 && s->dim[a] != 1)
                return false;
            if (t.dim[a] > s->dim[a])
                s->dim[a] = t.dim[a];
        }
    }
    return true;
}

static dm_val loss_of(const dm_graph *api, dm_op_kind kind, const char *name, dm_val *in, int n_in, int32_t levels)
{
    dm_graph_core *g = dm_graph_of(api);
    dm_gnode *n;
    dm_shape s;
    dm_val y;

    if (!dm_graph_has(g, name, DM_DT_F32, in, n_in))
        return DM_FAILED;
    if (!common_shape(api, in, n_in, &s))
        return dm_graph_fail(g, DM_EINVAL, "%s: shapes do not fit", name);
    for (int i = 0; i < n_in; i++)
        in[i] = dm_graph_broadcast(g, in[i], &s);
    if ((n = dm_graph_op1(g, kind, in, n_in, &s, s.rank == 4, &y)))
        n->op.a.levels.levels = levels;
    return y;
}

static dm_val gaussian_kl(const dm_graph *g, dm_val m1, dm_val lv1, dm_val m2, dm_val lv2)
{
    return loss_of(g, DM_OP_GAUSSIAN_KL, "gaussian_kl", (dm_val[]){m1, lv1, m2, lv2}, 4, 0);
}

static dm_val discretized_nll(const dm_graph *g, dm_val x, dm_val m, dm_val lv, int32_t levels)
{
    if (levels < 2)
        return dm_graph_fail(dm_graph_of(g), DM_EINVAL, "discretized likelihood of %d levels; at least 2", (int)levels);
    return loss_of(g, DM_OP_DISCRETIZED_NLL, "discretized_nll", (dm_val[]){x, m, lv}, 3, levels);
}

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

static const dm_op_attr levels_attrs[] = {DM_ATTR(DM_ATTR_INT, "levels", levels.levels), {0}};

static const dm_op_def rows[] = {
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
     .attrs = levels_attrs,
     .each = 60,
     .gradient = nll_gradient},
    {.kind = DM_OP_DISCRETIZED_NLL_DX,
     .name = "discretized_nll_dx",
     .in = {{"dy", 0}, {"x", 0}, {"mean", 0}, {"log_var", 0}},
     .out = {{"dmean", DM_ARG_OPTIONAL}, {"dlog_var", DM_ARG_OPTIONAL}},
     .attrs = levels_attrs,
     .each = 60,
     .of = 1,
     .flags = DM_OP_BACKWARD},
    {0},
};

static void fill(dm_graph *api)
{
    api->cross_entropy = cross_entropy;
    api->gaussian_kl = gaussian_kl;
    api->discretized_nll = discretized_nll;
}

const dm_op_family dm_family_loss = {rows, fill};
