/* Implementations of matmul. */
#include "ops/conv/conv_bf16.h"
#include "ops/launch/portable.h"

/* Rows become images of as many pixels as divide them, at most 64. */
static void rows_as_images(int64_t rows, dm_conv_args *g)
{
    int64_t w = rows < 64 ? rows : 64;

    while (rows % w)
        w--;
    g->N = rows / w;
    g->H = g->OH = 1;
    g->W = g->OW = w;
    g->k = g->stride = 1;
    g->pad = 0;
}

dm_linear dm_linear_of(const dm_opnode *n, dm_conv_args *g)
{
    const bool bias = n->in[2].rank >= 0;

    if (n->a.mm.batch != 1)
        return DM_LINEAR_NONE;
    if (!n->a.mm.ta && n->a.mm.tb && !n->accum) {
        rows_as_images(n->a.mm.m, g);
        g->C = n->a.mm.k;
        g->O = n->a.mm.n;
        return DM_LINEAR_FORWARD;
    }
    if (!n->a.mm.ta && !n->a.mm.tb && !n->accum && !bias) {
        rows_as_images(n->a.mm.m, g);
        g->C = n->a.mm.n;
        g->O = n->a.mm.k;
        return DM_LINEAR_DX;
    }
    if (n->a.mm.ta && !n->a.mm.tb && !bias) {
        rows_as_images(n->a.mm.k, g);
        g->C = n->a.mm.n;
        g->O = n->a.mm.m;
        return DM_LINEAR_DW;
    }
    return DM_LINEAR_NONE;
}

static bool vec16_serves(const dm_device_info *dev, const dm_opnode *n)
{
    dm_conv_args g;

    switch (dm_linear_of(n, &g)) {
    case DM_LINEAR_NONE: return false;
    case DM_LINEAR_DW: return dm_vec16_dw_serves(dev, &g);
    default: return dm_vec16_serves(dev, &g);
    }
}

static size_t vec16_scratch(const dm_device_info *dev, const dm_opnode *n)
{
    dm_conv_args g;

    return dm_linear_of(n, &g) == DM_LINEAR_DW ? dm_vec16_dw_scratch(dev, &g) : 0;
}

static dm_status vec16(dm_emit *e)
{
    dm_conv_args g;

    switch (dm_linear_of(e->node, &g)) {
    case DM_LINEAR_FORWARD: return dm_vec16_forward(e, &g, 1, e->in[2], NULL, NULL);
    case DM_LINEAR_DX: return dm_vec16_dx(e, &g, e->in[0], 1);
    default: return dm_vec16_dw(e, &g, e->in[1], e->in[0]);
    }
}

static bool bf16_serves(const dm_device_info *dev, dm_bf16_unit unit, const dm_opnode *n)
{
    const dm_dtype stored = dm_bf16_split(unit) ? DM_DT_F32 : DM_DT_BF16;
    dm_conv_args g;

    if (n->in[0].type != stored)
        return false;
    switch (dm_linear_of(n, &g)) {
    case DM_LINEAR_NONE: return false;
    case DM_LINEAR_FORWARD: return n->in[1].type == DM_DT_F32 && dm_bf16_serves(dev, unit, &g, false);
    case DM_LINEAR_DX: return n->in[1].type == DM_DT_F32 && dm_bf16_serves(dev, unit, &g, true);
    default: return n->in[1].type == stored && n->out[0].type == DM_DT_F32 && dm_bf16_dw_serves(dev, unit, &g);
    }
}

static size_t scratch_of(const dm_device_info *dev, dm_bf16_unit unit, const dm_opnode *n)
{
    dm_conv_args g;

    return dm_linear_of(n, &g) == DM_LINEAR_DW ? dm_bf16_dw_scratch(dev, unit, &g) : 0;
}

static size_t bf16_scratch(const dm_device_info *dev, const dm_opnode *n) { return scratch_of(dev, DM_BF16_TILES, n); }

static dm_status bf16(dm_emit *e, dm_bf16_unit unit)
{
    dm_conv_args g;

    switch (dm_linear_of(e->node, &g)) {
    case DM_LINEAR_FORWARD: return dm_bf16_forward(e, unit, &g, 1, e->in[2], NULL, NULL);
    case DM_LINEAR_DX: return dm_bf16_dx(e, unit, &g, e->in[0], 1);
    default: return dm_bf16_dw(e, unit, &g, e->in[1], e->in[0]);
    }
}

/* Elements from one of the batch to the next. */
static int64_t step_of(bool batched, int64_t rows, int64_t columns) { return batched ? rows * columns : 0; }

static dm_status portable(dm_emit *e)
{
    const dm_opnode *n = e->node;
    const dm_range r = {.dim = 3, .global = {(size_t)n->a.mm.n, (size_t)n->a.mm.m, (size_t)n->a.mm.batch}};

    return dm_emit_launch(e, e->cmds, "matmul/matmul_portable.cl", "matmul", NULL, &r,
                          DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->out[0]),
                                   DM_KI(n->a.mm.m), DM_KI(n->a.mm.n), DM_KI(n->a.mm.k), DM_KI(n->a.mm.ta),
                                   DM_KI(n->a.mm.tb), DM_KI(step_of(n->a.mm.a_batch, n->a.mm.m, n->a.mm.k)),
                                   DM_KI(step_of(n->a.mm.b_batch, n->a.mm.k, n->a.mm.n)), DM_KI(n->accum)));
}

DM_BF16_UNITS(bf16_serves, bf16)

const dm_impl dm_impls_matmul[] = {
    DM_BF16_IMPLS_OF(DM_OP_MATMUL, bf16_serves, bf16_scratch, bf16),
    {.name = "vec16", .kind = DM_OP_MATMUL, .supports = vec16_serves, .scratch = vec16_scratch, .emit = vec16},
    {DM_PORTABLE(MATMUL, portable)},
    {0},
};

/* A weight's gradient from a few rows is little more than the product, which has no sums over parts in vec16. */
enum { FEW_ROWS = 64 };

static bool x3_suits(const dm_opnode *n)
{
    dm_conv_args g;

    return dm_linear_of(n, &g) != DM_LINEAR_DW || g.N * g.W >= FEW_ROWS;
}

static bool x3_serves(const dm_device_info *dev, const dm_opnode *n)
{
    return bf16_serves(dev, dm_bf16x3_unit(dev), n);
}
static bool x3_serves_first(const dm_device_info *dev, const dm_opnode *n) { return x3_suits(n) && x3_serves(dev, n); }
static bool x3_serves_last(const dm_device_info *dev, const dm_opnode *n) { return !x3_suits(n) && x3_serves(dev, n); }
static size_t x3_scratch(const dm_device_info *dev, const dm_opnode *n)
{
    return scratch_of(dev, dm_bf16x3_unit(dev), n);
}
static dm_status x3(dm_emit *e) { return bf16(e, dm_bf16x3_unit(dm_device_get_info(e->dev))); }

const dm_impl dm_impls_matmul_bf16x3[] = {
    DM_BF16X3(DM_OP_MATMUL, x3_serves_first, x3_scratch, x3, DM_BF16X3_TOLERANCE),
    {0},
};

const dm_impl dm_impls_matmul_bf16x3_last[] = {
    DM_BF16X3(DM_OP_MATMUL, x3_serves_last, x3_scratch, x3, DM_BF16X3_TOLERANCE),
    {0},
};
