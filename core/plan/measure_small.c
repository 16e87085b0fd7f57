/* Problems small enough for the portable implementation of a large one, with the same tails of tiles; see measure.h. */
#include "plan/measure.h"

#include "graph/op_def.h"

static const double SMALL_FLOPS = 1e8;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The same remainder by 64, so that the same tails of tiles are seen. */
static int64_t shorter(int64_t n) { return n > 512 ? 256 + n % 64 : n; }

static int64_t conv_out(const dm_opnode *n, int64_t in)
{
    return (in + n->a.conv.pad[0] + n->a.conv.pad[1] - n->a.conv.k) / n->a.conv.stride + 1;
}

static void small_conv(dm_opnode *n)
{
    dm_desc *x = n->kind == DM_OP_CONV2D_DX ? &n->out[0] : &n->in[0];
    dm_desc *y = n->kind == DM_OP_CONV2D ? &n->out[0] : n->kind == DM_OP_CONV2D_DX ? &n->in[0] : &n->in[1];

    x->dim[0] = y->dim[0] = least(x->dim[0], dm_op_flops(n) > SMALL_FLOPS * (double)x->dim[0] ? 1 : 2);
    for (int i = 1; i <= 2 && dm_op_flops(n) > SMALL_FLOPS; i++) {
        x->dim[i] = x->dim[i] > 16 ? 8 + x->dim[i] % 8 : x->dim[i];
        y->dim[i] = conv_out(n, x->dim[i]);
    }
    if (n->kind == DM_OP_CONV2D && n->in[3].rank >= 0)
        n->in[3].dim[0] = x->dim[0];
    if (n->kind == DM_OP_CONV2D && n->in[4].rank >= 0)
        n->in[4] = *y;
}

static dm_desc matrix(const dm_desc *like, bool batched, int64_t batch, int64_t rows, int64_t columns)
{
    return (dm_desc){.type = like->type, .rank = batched ? 3 : 2,
                     .dim = {batched ? batch : rows, batched ? rows : columns, batched ? columns : 1, 1, 1, 1, 1, 1}};
}

static void small_product(dm_opnode *n)
{
    const int64_t batch = least(n->a.mm.batch, 2), m = shorter(n->a.mm.m), k = shorter(n->a.mm.k),
                  cols = shorter(n->a.mm.n);

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

dm_opnode dm_measure_small(const dm_opnode *n)
{
    dm_opnode s = *n;

    switch (n->kind) {
    case DM_OP_CONV2D: case DM_OP_CONV2D_DX: case DM_OP_CONV2D_DW: small_conv(&s); break;
    case DM_OP_MATMUL: small_product(&s); break;
    case DM_OP_ATTENTION: case DM_OP_ATTENTION_DX: /* the batch is the first extent of all */
        for (int i = 0; i < n->n_in; i++)
            s.in[i].dim[0] = least(s.in[i].dim[0], 2);
        for (int i = 0; i < n->n_out; i++)
            s.out[i].dim[0] = least(s.out[i].dim[0], 2);
        break;
    default: break;
    }
    return s;
}
