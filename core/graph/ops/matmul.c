/* Products of matrices. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/graph_shape.h"
#include "graph/layer.h"

enum { FEW_ROWS = 64 };            /* of a linear layer whose time does not matter */

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
        return dm_graph_fail(c, DM_EINVAL, "linear layer '%s' of %lld outputs is not possible on a value of rank "
                                           "%d", name,
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

/* The matrix of a value: its last two axes, those before them together; rank 3, or 2. */
static dm_val flattened(dm_graph_core *g, dm_val x, const dm_shape *s, int64_t batch)
{
    const dm_shape three = {3, {batch, s->dim[s->rank - 2], s->dim[s->rank - 1]}};

    return dm_graph_alias(g, dm_graph_to_rows(g, x), &three, false);
}

/* The last two of its axes swapped. */
static dm_val transposed(const dm_graph *api, dm_val x, int rank)
{
    int32_t axes[8];

    for (int i = 0; i < rank; i++)
        axes[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return api->permute(api, x, axes);
}

static dm_val matmul(const dm_graph *api, dm_val a, dm_val b, bool ta, bool tb)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape sa = api->shape(api, a), sb = api->shape(api, b);
    const int ra = sa.rank, rb = sb.rank;
    bool fits = ra >= 2 && (rb == 2 || rb == ra);
    int64_t lead = 1, m, n, k;
    dm_shape s = sa;
    dm_val in[3] = {DM_NONE, DM_NONE, DM_NONE}, y;
    dm_gnode *node;

    if (!dm_graph_has(g, "matmul", DM_DT_F32, (dm_val[]){a, b}, 2))
        return DM_FAILED;
    for (int i = 0; i + 2 < ra && fits; i++) {
        fits = rb == 2 || sa.dim[i] == sb.dim[i];
        lead *= sa.dim[i];
    }
    if (!fits || sa.dim[ra - 1 - ta] != sb.dim[rb - 2 + tb])
        return dm_graph_fail(g, DM_EINVAL,
                             "matmul: the matrices do not fit: rank %d, %lld x %lld%s, times rank %d, %lld x %lld%s",
                             ra, (long long)(ra < 2 ? 0 : sa.dim[ra - 2]), (long long)(ra < 1 ? 0 : sa.dim[ra - 1]),
                             ta ? " transposed" : "", rb, (long long)(rb < 2 ? 0 : sb.dim[rb - 2]),
                             (long long)(rb < 1 ? 0 : sb.dim[rb - 1]), tb ? " transposed" : "");
    m = sa.dim[ra - 2 + ta];
    k = sa.dim[ra - 1 - ta];
    n = sb.dim[rb - 1 - tb];
    s.dim[ra - 2] = m;
    s.dim[ra - 1] = n;
    if (rb == 2 && ra > 2 && ta) /* one matrix for all: rows of a must lie one after the other */
        return matmul(api, transposed(api, a, ra), b, false, tb);
    if (rb == 2) {
        m *= lead;
        lead = 1;
    }
    in[0] = flattened(g, a, &sa, rb == 2 ? dm_product(sa.dim, 0, ra - 2) : lead);
    in[1] = flattened(g, b, &sb, lead);
    if ((node = dm_graph_op1(g, DM_OP_MATMUL, in, 3, &s, false, &y))) {
        node->op.a.mm.ta = ta;
        node->op.a.mm.tb = tb;
        node->op.a.mm.a_batch = node->op.a.mm.b_batch = lead > 1;
        node->op.a.mm.batch = lead;
        node->op.a.mm.m = m;
        node->op.a.mm.n = n;
        node->op.a.mm.k = k;
    }
    return dm_graph_to_image(g, y);
}

/* out = op(a) op(b), m x n by sums over k, in batches as n's. */
static dm_gnode *product(dm_tape *t, const dm_gnode *n, dm_val a, bool ta, dm_val b, bool tb, const int64_t mnk[3],
                         dm_val out)
{
    dm_gnode *made = dm_graph_node(t->g, DM_OP_MATMUL, (dm_val[]){a, b, DM_NONE}, 3, &out, 1);

    if (made) {
        made->op.a = n->op.a;
        made->op.a.mm.ta = ta;
        made->op.a.mm.tb = tb;
        made->op.a.mm.m = mnk[0];
        made->op.a.mm.n = mnk[1];
        made->op.a.mm.k = mnk[2];
    }
    return made;
}

/* c = op(a) op(b): da = dc op(b)' or its transpose op(b) dc', db = op(a)' dc or dc' op(a). */
static void matmul_gradient(dm_tape *t, const dm_gnode *n, dm_val dc)
{
    const dm_val a = n->in[0], b = n->in[1];
    const bool ta = n->op.a.mm.ta, tb = n->op.a.mm.tb;
    const int64_t M = n->op.a.mm.m, N = n->op.a.mm.n, K = n->op.a.mm.k;
    dm_gnode *made;

    if (dm_tape_wants(t, a)) {
        const dm_val da = dm_tape_like(t, a);

        if (da >= 0 && ta)
            product(t, n, b, tb, dc, true, (const int64_t[]){K, M, N}, da);
        else if (da >= 0)
            product(t, n, dc, false, b, !tb, (const int64_t[]){M, K, N}, da);
        dm_tape_give(t, a, da);
    }
    if (dm_tape_wants(t, b)) {
        const dm_val db = dm_tape_output_for(t, b);

        made = db < 0 ? NULL
             : tb     ? product(t, n, dc, true, a, ta, (const int64_t[]){N, K, M}, db)
                      : product(t, n, a, !ta, dc, false, (const int64_t[]){K, N, M}, db);
        if (made)
            made->op.accum = dm_tape_is_weight(t, b);
        dm_tape_give_output(t, b, db);
    }
    if (n->in[2] >= 0)
        dm_tape_bias(t, dc, n->in[2]);
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

/* The same remainder by 64, so that the same tails of tiles are seen. */
static int64_t shorter(int64_t n) { return n > 512 ? 256 + n % 64 : n; }

static dm_desc matrix(const dm_desc *like, bool batched, int64_t batch, int64_t rows, int64_t columns)
{
    return (dm_desc){.type = like->type, .rank = batched ? 3 : 2,
                     .dim = {batched ? batch : rows, batched ? rows : columns, batched ? columns : 1, 1, 1, 1, 1, 1}};
}

static void shrink(dm_opnode *n, double most)
{
    const int64_t batch = n->a.mm.batch < 2 ? n->a.mm.batch : 2, m = shorter(n->a.mm.m), k = shorter(n->a.mm.k),
                  cols = shorter(n->a.mm.n);

    (void)most;
    n->in[0] = matrix(&n->in[0], n->a.mm.a_batch, batch, n->a.mm.ta ? k : m, n->a.mm.ta ? m : k);
    n->in[1] = matrix(&n->in[1], n->a.mm.b_batch, batch, n->a.mm.tb ? cols : k, n->a.mm.tb ? k : cols);
    if (n->in[2].rank >= 0)
        n->in[2].dim[0] = cols;
    n->out[0] = matrix(&n->out[0], true, batch, m, cols);
    n->a.mm.batch = batch;
    n->a.mm.m = m;
    n->a.mm.k = k;
    n->a.mm.n = cols;
}

/* Linear layers of few rows are no faster split in two bf16. */
static bool full_precision(const dm_opnode *n, bool forward)
{
    return forward && n->a.mm.batch * n->a.mm.m <= FEW_ROWS;
}

static const dm_op_def rows[] = {
    {.kind = DM_OP_MATMUL,
     .name = "matmul",
     .in = {{"a", 0}, {"b", DM_ARG_LAYER}, {"bias", DM_ARG_OPTIONAL}},
     .out = {{"c", DM_ARG_ACCUM}},
     .attrs = attrs,
     .flops = flops,
     .may_be_16bit = may_be_16bit,
     .flags = DM_OP_HEAVY | DM_OP_MIXED,
     .shrink = shrink,
     .full_precision = full_precision,
     .gradient = matmul_gradient},
    {0},
};

static void fill(dm_graph *api)
{
    api->linear = linear;
    api->matmul = matmul;
}

const dm_op_family dm_family_matmul = {rows, fill};
