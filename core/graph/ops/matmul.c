/* Products of matrices. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/layer.h"

static dm_val linear(const dm_graph *g, const char *name, dm_val x, int64_t nout, uint32_t flags)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    const int64_t K = s.rank > 0 ? s.dim[s.rank - 1] : 0;
    dm_shape out = s;
    dm_val in[3] = {DM_NONE, DM_NONE, DM_NONE}, y;
    int64_t rows = 1;
    dm_gnode *n;

    if (!dm_layer_takes(c, "linear layer", name, true, DM_DT_F32, x))
        return DM_FAILED;
    if (s.rank < 1 || nout < 1 || nout > 1 << 24)
        return dm_graph_fail(c, DM_EINVAL, "linear layer '%s' of %lld outputs on rank %d cannot be", name,
                             (long long)nout, (int)s.rank);
    for (int32_t i = 0; i + 1 < s.rank; i++)
        rows *= s.dim[i];
    out.dim[s.rank - 1] = nout;
    in[0] = dm_graph_to_rows(c, x);
    in[1] = dm_layer_part(g, name, ".weight", &(dm_shape){2, {nout, K}}, flags, K);
    if (!(flags & DM_NO_BIAS))
        in[2] = dm_layer_part(g, name, ".bias", &(dm_shape){1, {nout}}, flags, K);
    if ((n = dm_graph_op1(c, DM_OP_MATMUL, in, 3, &out, false, &y))) {
        n->op.a.mm.tb = true;
        n->op.a.mm.a_batch = n->op.a.mm.b_batch = false;
        n->op.a.mm.batch = 1;
        n->op.a.mm.m = rows;
        n->op.a.mm.n = nout;
        n->op.a.mm.k = K;
    }
    return dm_graph_to_image(c, y);
}

/* Linear layers: y[m,n] = x[m,k] w[n,k]' + b. */
static void matmul_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0], w = n->in[1], dw = dm_tape_output_for(t, w);
    const int64_t m = n->op.a.mm.m, nn = n->op.a.mm.n, k = n->op.a.mm.k;
    dm_gnode *made;

    if (dm_tape_wants(t, x)) {
        const dm_val dx = dm_tape_like(t, x);

        if (dx >= 0 && (made = dm_graph_node(t->g, DM_OP_MATMUL, (dm_val[]){dy, w, DM_NONE}, 3, &dx, 1))) {
            made->op.a.mm.batch = 1;
            made->op.a.mm.m = m;
            made->op.a.mm.n = k;
            made->op.a.mm.k = nn;
        }
        dm_tape_give(t, x, dx);
    }
    if (dw >= 0 && (made = dm_graph_node(t->g, DM_OP_MATMUL, (dm_val[]){dy, x, DM_NONE}, 3, &dw, 1))) {
        made->op.a.mm.ta = true;
        made->op.a.mm.batch = 1;
        made->op.a.mm.m = nn;
        made->op.a.mm.n = k;
        made->op.a.mm.k = m;
        made->op.accum = dm_tape_is_weight(t, w);
    }
    dm_tape_give_output(t, w, dw);
    if (n->in[2] >= 0)
        dm_tape_bias(t, dy, n->in[2]);
}

static double flops(const dm_opnode *n)
{
    return 2.0 * (double)n->a.mm.batch * (double)n->a.mm.m * (double)n->a.mm.n * (double)n->a.mm.k;
}

/* Linear layers and the gradients of their weights. */
static bool may_be_16bit(const dm_opnode *n, bool out, int k)
{
    return n->a.mm.batch == 1 && (out ? k == 0 && !n->a.mm.ta : k == 0 || (k == 1 && n->a.mm.ta));
}

static const dm_op_attr attrs[] = {DM_ATTR(DM_ATTR_BOOL, "ta", mm.ta),
                                   DM_ATTR(DM_ATTR_BOOL, "tb", mm.tb),
                                   DM_ATTR(DM_ATTR_BOOL, "a_batch", mm.a_batch),
                                   DM_ATTR(DM_ATTR_BOOL, "b_batch", mm.b_batch),
                                   DM_ATTR(DM_ATTR_LONG, "batch", mm.batch),
                                   DM_ATTR(DM_ATTR_LONG, "m", mm.m),
                                   DM_ATTR(DM_ATTR_LONG, "n", mm.n),
                                   DM_ATTR(DM_ATTR_LONG, "k", mm.k),
                                   {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_MATMUL,
     .name = "matmul",
     .in = {{"a", 0}, {"b", 0}, {"bias", DM_ARG_OPTIONAL}},
     .out = {{"c", DM_ARG_ACCUM}},
     .attrs = attrs,
     .flops = flops,
     .may_be_16bit = may_be_16bit,
     .flags = DM_OP_HEAVY | DM_OP_MIXED,
     .gradient = matmul_gradient},
    {0},
};

static void fill(dm_graph *api)
{
    api->linear = linear;
}

const dm_op_family dm_family_matmul = {rows, fill};
