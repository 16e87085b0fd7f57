/* Attention. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/graph_shape.h"

static dm_val attention(const dm_graph *api, dm_val q, dm_val k, dm_val v, int64_t heads)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape sq = api->shape(api, q), sk = api->shape(api, k), sv = api->shape(api, v);
    const dm_val in[3] = {q, k, v};
    dm_val out[2];
    dm_gnode *n;

    if (!dm_graph_has(g, "attention", DM_DT_F32, in, 3))
        return DM_FAILED;
    if (sq.rank != 3 || !dm_same_shape(&sk, &sv) || sk.rank != 3 || sq.dim[0] != sk.dim[0] || sq.dim[2] != sk.dim[2] ||
        heads < 1 || sq.dim[2] % heads)
        return dm_graph_fail(g, DM_EINVAL, "attention needs q [N,L,D], k and v [N,M,D], and heads that divide D = %lld",
                             (long long)sq.dim[2]);
    out[0] = dm_graph_value(g, &sq, DM_DT_F32, false);
    out[1] = dm_graph_value(g, &(dm_shape){3, {sq.dim[0], heads, sq.dim[1]}}, DM_DT_F32, false);
    if (!(n = dm_graph_node(g, DM_OP_ATTENTION, in, 3, out, 2)))
        return DM_FAILED;
    n->op.a.attn.heads = heads;
    return out[0];
}

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

static const dm_op_attr heads_attrs[] = {DM_ATTR(DM_ATTR_LONG, "heads", attn.heads), {0}};

/* The batch is the first extent of all. */
static void shrink(dm_opnode *n, double most)
{
    (void)most;
    for (int i = 0; i < n->n_in; i++)
        n->in[i].dim[0] = n->in[i].dim[0] < 2 ? n->in[i].dim[0] : 2;
    for (int i = 0; i < n->n_out; i++)
        n->out[i].dim[0] = n->out[i].dim[0] < 2 ? n->out[i].dim[0] : 2;
}

static const dm_op_def rows[] = {
    {.kind = DM_OP_ATTENTION,
     .name = "attention",
     .in = {{"q", DM_ARG_16BIT}, {"k", DM_ARG_16BIT}, {"v", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}, {"lse", 0}},
     .attrs = heads_attrs,
     .flops = flops,
     .flags = DM_OP_HEAVY,
     .shrink = shrink,
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
     .attrs = heads_attrs,
     .flops = dx_flops,
     .flags = DM_OP_BACKWARD,
     .shrink = shrink},
    {0},
};

static void fill(dm_graph *api)
{
    api->attention = attention;
}

const dm_op_family dm_family_attention = {rows, fill};
