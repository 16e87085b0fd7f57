/* Matrix products and convolutions by tiles in local memory: for GPUs, without a library, with the same bits for an example
 * in any batch. On CPUs they run where they are forced. */
#include "conv_args.h"

#include <stdio.h>

enum { TILE_N = 64, GROUP = 256, LOCAL = 16 * (128 + 4 + 64 + 4) * 4, MOST_PARTS = 64 << 20, LEAST_SLICE = 256 };
typedef enum op { MATMUL, FORWARD, INPUTS, WEIGHTS } op;
static const char forms[] = "conv/im2col.cl";

/* What a launch is given, beside the buffers. */
typedef struct product { op op; int64_t M, N, K, layers, a_step, b_step; bool ta, tb, vec_a, vec_b, accum; } product;

static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static bool able(const dm_device_info *dev) { return dev->max_group >= GROUP && dev->local_mem >= LOCAL; }

static bool small_enough(int64_t m, int64_t n, int64_t k) { return m < 1 << 30 && n < 1 << 30 && k < 1 << 30; }

/* Eight rows a work-item where enough groups are left. */
static int rows_of(const dm_device_info *dev, const product *p)
{
    const int64_t groups = div_up(p->M, 128) * div_up(p->N, TILE_N) * p->layers;

    return groups >= 2 * (int64_t)(dev->compute_units ? dev->compute_units : 1) ? 8 : 4;
}

static dm_status launch(dm_emit *e, const product *p, const dm_conv_args *g, dm_buf *a, dm_buf *b, dm_buf *const more[3], dm_buf *y)
{
    const int wm = rows_of(dm_device_about(e->dev), p);
    const dm_range r = {.dim = 3, .global = {(size_t)(16 * div_up(p->N, TILE_N)), (size_t)(16 * div_up(p->M, 16 * wm)), (size_t)p->layers},
                        .local = {16, 16, 1}};
    char options[96];

    snprintf(options, sizeof options, "-DOP=%d -DWM=%d -DTA=%d -DTB=%d -DVEC_A=%d -DVEC_B=%d", p->op, wm, p->ta, p->tb, p->vec_a, p->vec_b);
    return dm_emit_launch(e, e->cmds, "matmul/tiled.cl", "product", options, &r,
                          DM_KARGS(DM_KB(a), DM_KB(b), DM_KB(more[0]), DM_KB(more[1]), DM_KB(more[2]), DM_KB(y), DM_KI(p->M), DM_KI(p->N),
                                   DM_KI(p->K), DM_KI(p->a_step), DM_KI(p->b_step), DM_KI(p->accum), DM_KI(g->H), DM_KI(g->W), DM_KI(g->C),
                                   DM_KI(g->OH), DM_KI(g->OW), DM_KI(g->O), DM_KI(g->k), DM_KI(g->stride), DM_KI(g->pad)));
}

/* ---- products -------------------------------------------------------------------------- */

static bool matmul_serves(const dm_device_info *dev, const dm_opnode *n)
{
    return able(dev) && small_enough(n->a.mm.m, n->a.mm.n, n->a.mm.k) && n->a.mm.m * n->a.mm.k < 1 << 30 && n->a.mm.k * n->a.mm.n < 1 << 30;
}

static dm_status matmul(dm_emit *e)
{
    const dm_opnode *n = e->node;
    const dm_conv_args none = {.OH = 1, .OW = 1};
    const product p = {.op = MATMUL, .M = n->a.mm.m, .N = n->a.mm.n, .K = n->a.mm.k, .layers = n->a.mm.batch, .ta = n->a.mm.ta, .tb = n->a.mm.tb,
                       .a_step = n->a.mm.a_batch ? n->a.mm.m * n->a.mm.k : 0, .b_step = n->a.mm.b_batch ? n->a.mm.k * n->a.mm.n : 0,
                       .vec_a = (n->a.mm.ta ? n->a.mm.m : n->a.mm.k) % 4 == 0, .vec_b = (n->a.mm.tb ? n->a.mm.k : n->a.mm.n) % 4 == 0,
                       .accum = n->accum};

    return launch(e, &p, &none, e->in[0], e->in[1], (dm_buf *const[]){e->in[2], NULL, NULL}, e->out[0]);
}

/* ---- convolutions ------------------------------------------------------------------------- */

static bool conv_serves(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return able(dev) && small_enough(g.N * g.OH * g.OW, g.N * g.H * g.W, (int64_t)g.k * g.k * (g.C > g.O ? g.C : g.O));
}

/* The weights with each sum's terms in one row. */
static dm_status weights(dm_emit *e, const dm_conv_args *g, bool by_inputs, dm_buf **w)
{
    const int64_t count = g->O * g->C * g->k * g->k;
    const dm_range r = {.dim = 1, .global = {(size_t)count}};
    dm_cmds *refresh;
    dm_status rc;

    if ((rc = dm_emit_derived(e, 1, by_inputs ? "conv_by_inputs" : "conv_by_taps", (size_t)count * sizeof(float), w, &refresh)) || !refresh)
        return rc;
    if (by_inputs)
        return dm_emit_launch(e, refresh, forms, "by_inputs", NULL, &r,
                              DM_KARGS(DM_KB(e->in[1]), DM_KB(*w), DM_KI(g->O), DM_KI(g->C), DM_KI(g->k * g->k)));
    return dm_emit_launch(e, refresh, forms, "by_taps", NULL, &r, DM_KARGS(DM_KB(e->in[1]), DM_KB(*w), DM_KI(g->C), DM_KI(g->k * g->k)));
}

static dm_status conv2d(dm_emit *e)
{
    const dm_conv_args g = dm_conv_args_of(e->node);
    const product p = {.op = FORWARD, .M = g.N * g.OH * g.OW, .N = g.O, .K = g.k * g.k * g.C, .layers = 1, .vec_a = g.C % 4 == 0,
                       .vec_b = g.C % 4 == 0};
    dm_buf *w;
    const dm_status rc = weights(e, &g, false, &w);

    return rc ? rc : launch(e, &p, &g, e->in[0], w, (dm_buf *const[]){e->in[2], e->in[3], e->in[4]}, e->out[0]);
}

static dm_status conv2d_dx(dm_emit *e)
{
    const dm_conv_args g = dm_conv_args_of(e->node);
    const product p = {.op = INPUTS, .M = g.N * g.H * g.W, .N = g.C, .K = g.k * g.k * g.O, .layers = 1, .vec_a = g.O % 4 == 0,
                       .vec_b = g.O % 4 == 0};
    dm_buf *w;
    const dm_status rc = weights(e, &g, true, &w);

    return rc ? rc : launch(e, &p, &g, e->in[0], w, (dm_buf *const[]){NULL, NULL, NULL}, e->out[0]);
}

/* Slices of the pixels, so that there are groups for all units; their parts are summed behind. */
static product slices_of(const dm_device_info *dev, const dm_conv_args *g)
{
    const int64_t pixels = g->N * g->OH * g->OW, part = g->O * g->k * g->k * g->C;
    const int64_t groups = div_up(g->O, 64) * div_up(g->k * g->k * g->C, TILE_N), units = dev->compute_units ? dev->compute_units : 1;
    const int64_t most = part * 4 >= MOST_PARTS ? 1 : MOST_PARTS / (part * 4);
    int64_t slices = div_up(4 * units, groups), each;

    slices = slices < most ? slices : most;
    each = div_up(div_up(pixels, slices), 16) * 16;
    each = each < LEAST_SLICE ? LEAST_SLICE : each;
    return (product){.op = WEIGHTS, .M = g->O, .N = g->k * g->k * g->C, .K = pixels, .layers = div_up(pixels, each), .a_step = each,
                     .vec_a = g->O % 4 == 0, .vec_b = g->C % 4 == 0};
}

static size_t dw_scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);
    const product p = slices_of(dev, &g);

    return (size_t)(p.layers * p.M * p.N) * sizeof(float);
}

static dm_status conv2d_dw(dm_emit *e)
{
    const dm_conv_args g = dm_conv_args_of(e->node);
    const product p = slices_of(dm_device_about(e->dev), &g);
    const dm_range r = {.dim = 1, .global = {(size_t)(p.M * p.N)}};
    const dm_status rc = launch(e, &p, &g, e->in[1], e->in[0], (dm_buf *const[]){NULL, NULL, NULL}, e->scratch);

    return rc ? rc
              : dm_emit_launch(e, e->cmds, forms, "sum_slices", NULL, &r,
                               DM_KARGS(DM_KB(e->scratch), DM_KB(e->out[0]), DM_KI(g.O), DM_KI(g.C), DM_KI(g.k * g.k), DM_KI(p.layers),
                                        DM_KI(e->node->accum)));
}

static const dm_impl impls[] = {
    {"tiled", DM_OP_CONV2D, conv_serves, NULL, conv2d, 0},
    {"tiled", DM_OP_CONV2D_DX, conv_serves, NULL, conv2d_dx, 0},
    {"tiled", DM_OP_CONV2D_DW, conv_serves, dw_scratch, conv2d_dw, 0},
    {"tiled", DM_OP_MATMUL, matmul_serves, NULL, matmul, 0},
};

/* A GPU's first choice of convolutions; of products, CLBlast is. */
const dm_impl *const dm_impls_tiled_conv[] = {&impls[0], &impls[1], &impls[2], NULL};
const dm_impl *const dm_impls_tiled_matmul[] = {&impls[3], NULL};
