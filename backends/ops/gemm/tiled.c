/* Matrix products and convolutions by tiles in local memory: for GPUs, without a library, with the same bits for an
 * example in any batch. f32 and, forward, f16 by plain arithmetic ("tiled", "fp16"); bf16 by the tensor cores of NVIDIA
 * ("mma"), which other devices imitate. Where a device is not meant for one, it runs where it is forced. */
#include "ops/conv/conv_bf16.h"
#include "ops/gemm/tiled.h"

#include <stdio.h>

/* Of f16: results are rounded by 2^-11, and so is each sum on the way to one of 16 products. */
#define F16_TOLERANCE 4e-3
enum { TILE_N = 64, MOST_PARTS = 64 << 20, LEAST_SLICE = 256 };
enum {
    GROUP = 256,
    LOCAL = 16 * (128 + 4 + 64 + 4) * 4,
    MMA_GROUP = 128,
    MMA_LOCAL = (128 + 64) * 80 + 6 * MMA_GROUP * 4
};
typedef enum op { MATMUL, FORWARD, INPUTS, WEIGHTS } op;
static const char forms[] = "conv/im2col.cl";

/* What a launch is given, beside the buffers. */
typedef struct product {
    op op;
    int64_t M, N, K, layers, a_at, y_at, a_step, b_step;
    bool ta, tb, vec_a, vec_b, accum;
} product;

static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool dm_tiled_able(const dm_device_info *dev) { return dev->max_group >= GROUP && dev->local_mem >= LOCAL; }

static bool mma_able(const dm_device_info *dev) { return dev->max_group >= MMA_GROUP && dev->local_mem >= MMA_LOCAL; }

static bool small_enough(int64_t m, int64_t n, int64_t k) { return m < 1 << 30 && n < 1 << 30 && k < 1 << 30; }

/* Tiles of 128 rows where enough groups are left, else of 64. */
static int rows_of(const dm_device_info *dev, const product *p)
{
    const int64_t groups = div_up(p->M, 128) * div_up(p->N, TILE_N) * p->layers;

    return groups >= 2 * (int64_t)(dev->compute_units ? dev->compute_units : 1) ? 128 : 64;
}

/* Whether indices that a kernel divides may be too large for gather.clh's quick way. */
static const char *far(const product *p)
{
    const int64_t most = 1 << 20;

    return p->op != MATMUL && (p->M >= most || p->N >= most || p->K >= most) ? " -DFAR" : "";
}

static dm_status launch_mma(dm_emit *e, const product *p, const dm_conv_args *g, int rows, dm_buf *a, dm_buf *b,
                            dm_buf *const more[3], dm_buf *y)
{
    const dm_range r = {
        .dim = 3,
        .global = {(size_t)(MMA_GROUP * div_up(p->N, TILE_N)), (size_t)div_up(p->M, rows), (size_t)p->layers},
        .local = {MMA_GROUP, 1, 1}};
    const bool rounded = p->op != WEIGHTS && e->node->out[0].type == DM_DT_BF16;
    char options[96];

    snprintf(options, sizeof options, "-DOP=%d -DMI=%d -DVEC_A=%d -DVEC_B=%d%s%s%s", p->op, rows / 32, p->vec_a,
             p->vec_b, far(p), rounded ? " -DBF16" : "",
             dm_device_get_info(e->dev)->capabilities & DM_CAP_MMA_BF16 ? " -DPTX" : "");
    return dm_emit_launch(e, e->cmds, "matmul/mma.cl", "product", options, &r,
                          DM_KARGS(DM_KB(a), DM_KB(b), DM_KB(more[0]), DM_KB(more[1]), DM_KB(more[2]), DM_KB(y),
                                   DM_KI(p->M), DM_KI(p->N), DM_KI(p->K), DM_KI(p->a_step), DM_KI(g->H), DM_KI(g->W),
                                   DM_KI(g->C), DM_KI(g->OH), DM_KI(g->OW), DM_KI(g->O), DM_KI(g->k), DM_KI(g->stride),
                                   DM_KI(g->pad)));
}

static dm_status launch(dm_emit *e, const product *p, const dm_conv_args *g, dm_buf *a, dm_buf *b,
                        dm_buf *const more[3], dm_buf *y)
{
    const int rows = rows_of(dm_device_get_info(e->dev), p);
    const char *type = dm_op_16bit_type(e->node) != DM_DT_F16  ? ""
                       : e->node->out[0].type == DM_DT_F16 ? " -DF16 -DF16_OUT"
                                                           : " -DF16";
    const dm_range r = {
        .dim = 3,
        .global = {(size_t)(16 * div_up(p->N, TILE_N)), (size_t)(16 * div_up(p->M, rows)), (size_t)p->layers},
        .local = {16, 16, 1}};
    char options[96];

    if (dm_op_bf16(e->node))
        return launch_mma(e, p, g, rows, a, b, more, y);
    snprintf(options, sizeof options, "-DOP=%d -DWM=%d -DTA=%d -DTB=%d -DVEC_A=%d -DVEC_B=%d%s%s", p->op, rows / 16,
             p->ta, p->tb, p->vec_a, p->vec_b, far(p), type);
    return dm_emit_launch(e, e->cmds, "matmul/tiled.cl", "product", options, &r,
                          DM_KARGS(DM_KB(a), DM_KB(b), DM_KB(more[0]), DM_KB(more[1]), DM_KB(more[2]), DM_KB(y),
                                   DM_KI(p->M), DM_KI(p->N), DM_KI(p->K), DM_KI(p->a_at), DM_KI(p->y_at),
                                   DM_KI(p->a_step), DM_KI(p->b_step), DM_KI(p->accum), DM_KI(g->H), DM_KI(g->W),
                                   DM_KI(g->C), DM_KI(g->OH), DM_KI(g->OW), DM_KI(g->O), DM_KI(g->k), DM_KI(g->stride),
                                   DM_KI(g->pad)));
}

/* ---- products -------------------------------------------------------------------------- */

static bool matmul_supports(const dm_device_info *dev, const dm_opnode *n)
{
    return dm_tiled_able(dev) && small_enough(n->a.mm.m, n->a.mm.n, n->a.mm.k) && n->a.mm.m * n->a.mm.k < 1 << 30 &&
           n->a.mm.k * n->a.mm.n < 1 << 30;
}

static dm_status matmul(dm_emit *e)
{
    const dm_opnode *n = e->node;
    const dm_conv_args none = {.OH = 1, .OW = 1};
    const product p = {.op = MATMUL,
                       .M = n->a.mm.m,
                       .N = n->a.mm.n,
                       .K = n->a.mm.k,
                       .layers = n->a.mm.batch,
                       .ta = n->a.mm.ta,
                       .tb = n->a.mm.tb,
                       .a_step = n->a.mm.a_batch ? n->a.mm.m * n->a.mm.k : 0,
                       .b_step = n->a.mm.b_batch ? n->a.mm.k * n->a.mm.n : 0,
                       .vec_a = (n->a.mm.ta ? n->a.mm.m : n->a.mm.k) % 4 == 0,
                       .vec_b = (n->a.mm.tb ? n->a.mm.k : n->a.mm.n) % 4 == 0,
                       .accum = n->accum};

    return launch(e, &p, &none, e->in[0], e->in[1], (dm_buf *const[]){e->in[2], NULL, NULL}, e->out[0]);
}

dm_status dm_tiled_products(dm_emit *e, const dm_tiled *t, dm_buf *scratch, dm_buf *b)
{
    const dm_conv_args none = {.OH = 1, .OW = 1};
    const product p = {.op = MATMUL,
                       .M = t->m,
                       .N = t->n,
                       .K = t->k,
                       .layers = t->batch,
                       .tb = t->tb,
                       .a_at = t->a_at,
                       .y_at = t->y_at,
                       .a_step = t->m * t->k,
                       .b_step = t->k * t->n,
                       .vec_a = t->k % 4 == 0,
                       .vec_b = (t->tb ? t->k : t->n) % 4 == 0};

    return launch(e, &p, &none, scratch, b, (dm_buf *const[]){NULL, NULL, NULL}, scratch);
}

/* ---- convolutions ------------------------------------------------------------------------- */

static bool fits(const dm_conv_args *g)
{
    return small_enough(g->N * g->OH * g->OW, g->N * g->H * g->W, (int64_t)g->k * g->k * (g->C > g->O ? g->C : g->O));
}

static bool conv_supports(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return dm_tiled_able(dev) && fits(&g);
}

/* Neighbours that are read at once: along k eight of bf16 and four of f32, else four. */
static bool in_vectors(const dm_emit *e, int64_t along_k) { return along_k % (dm_op_bf16(e->node) ? 8 : 4) == 0; }

/* The weights with each sum's terms in one row, rounded where they meet bf16. */
static dm_status weights(dm_emit *e, const dm_conv_args *g, bool by_inputs, dm_buf **w)
{
    static const char *const options_of[] = {NULL, NULL, "-DBF16", "-DF16"}, *const suffixes[] = {"", "", "_bf16",
                                                                                                  "_f16"};
    const dm_dtype type = dm_op_16bit_type(e->node);
    const char *options = options_of[type];
    const int64_t count = g->O * g->C * g->k * g->k;
    const dm_range r = {.dim = 1, .global = {(size_t)(g->O * g->C)}};
    char key[32];
    dm_cmds *refresh;
    dm_status rc;

    snprintf(key, sizeof key, "conv_%s%s", by_inputs ? "by_inputs" : "by_taps", suffixes[type]);
    if ((rc = dm_emit_packed(e, 1, key, (size_t)count * dm_dtype_size(type), w, &refresh)) || !refresh)
        return rc;
    if (by_inputs)
        return dm_emit_launch(e, refresh, forms, "by_inputs", options, &r,
                              DM_KARGS(DM_KB(e->in[1]), DM_KB(*w), DM_KI(g->O), DM_KI(g->C), DM_KI(g->k * g->k)));
    return dm_emit_launch(e, refresh, forms, "by_taps", options, &r,
                          DM_KARGS(DM_KB(e->in[1]), DM_KB(*w), DM_KI(g->C), DM_KI(g->k * g->k)));
}

static dm_status forward(dm_emit *e, const dm_conv_args *g, dm_buf *temb, dm_buf *res)
{
    const bool v = in_vectors(e, g->C);
    const product p = {.op = FORWARD,
                       .M = g->N * g->OH * g->OW,
                       .N = g->O,
                       .K = g->k * g->k * g->C,
                       .layers = 1,
                       .vec_a = v,
                       .vec_b = v};
    dm_buf *w;
    const dm_status rc = weights(e, g, false, &w);

    return rc ? rc : launch(e, &p, g, e->in[0], w, (dm_buf *const[]){e->in[2], temb, res}, e->out[0]);
}

static dm_status by_inputs(dm_emit *e, const dm_conv_args *g)
{
    const bool v = in_vectors(e, g->O);
    const product p = {
        .op = INPUTS, .M = g->N * g->H * g->W, .N = g->C, .K = g->k * g->k * g->O, .layers = 1, .vec_a = v, .vec_b = v};
    dm_buf *w;
    const dm_status rc = weights(e, g, true, &w);

    return rc ? rc : launch(e, &p, g, e->in[0], w, (dm_buf *const[]){NULL, NULL, NULL}, e->out[0]);
}

/* Slices of the pixels, so that there are groups for all units; their parts are summed behind. */
static product slices_of(const dm_device_info *dev, const dm_conv_args *g)
{
    const int64_t pixels = g->N * g->OH * g->OW, part = g->O * g->k * g->k * g->C;
    const int64_t groups = div_up(g->O, 64) * div_up(g->k * g->k * g->C, TILE_N),
                  units = dev->compute_units ? dev->compute_units : 1;
    const int64_t most = part * 4 >= MOST_PARTS ? 1 : MOST_PARTS / (part * 4);
    int64_t slices = div_up(4 * units, groups), each;

    slices = slices < most ? slices : most;
    each = div_up(div_up(pixels, slices), 32) * 32;
    each = each < LEAST_SLICE ? LEAST_SLICE : each;
    return (product){.op = WEIGHTS,
                     .M = g->O,
                     .N = g->k * g->k * g->C,
                     .K = pixels,
                     .layers = div_up(pixels, each),
                     .a_step = each,
                     .vec_a = g->O % 4 == 0,
                     .vec_b = g->C % 4 == 0};
}

static size_t parts_of(const dm_device_info *dev, const dm_conv_args *g)
{
    const product p = slices_of(dev, g);

    return (size_t)(p.layers * p.M * p.N) * sizeof(float);
}

static dm_status by_weights(dm_emit *e, const dm_conv_args *g, dm_buf *x, dm_buf *dy)
{
    const product p = slices_of(dm_device_get_info(e->dev), g);
    const dm_range r = {.dim = 1, .global = {(size_t)(p.M * p.N)}};
    const dm_status rc = launch(e, &p, g, dy, x, (dm_buf *const[]){NULL, NULL, NULL}, e->scratch);

    return rc ? rc
              : dm_emit_launch(e, e->cmds, forms, "sum_slices", NULL, &r,
                               DM_KARGS(DM_KB(e->scratch), DM_KB(e->out[0]), DM_KI(g->O), DM_KI(g->C),
                                        DM_KI(g->k * g->k), DM_KI(p.layers), DM_KI(e->node->accum)));
}

static size_t conv_scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return n->kind == DM_OP_CONV2D_DW ? parts_of(dev, &g) : 0;
}

static dm_status conv(dm_emit *e)
{
    const dm_conv_args g = dm_conv_args_of(e->node);

    switch (e->node->kind) {
    case DM_OP_CONV2D: return forward(e, &g, e->in[3], e->in[4]);
    case DM_OP_CONV2D_DX: return by_inputs(e, &g);
    default: return by_weights(e, &g, e->in[0], e->in[1]);
    }
}

/* ---- bf16 -------------------------------------------------------------------------------------- */

static bool is_bf16(const dm_desc *d) { return d->type == DM_DT_BF16; }

static bool mma_conv_supports(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return mma_able(dev) && fits(&g) && is_bf16(&n->in[0]) && (n->kind != DM_OP_CONV2D_DW || is_bf16(&n->in[1])) &&
           (n->kind != DM_OP_CONV2D || n->in[4].rank < 0 || n->in[4].type == n->out[0].type);
}

/* Linear layers alone, as convolutions. */
static bool mma_linear_supports(const dm_device_info *dev, const dm_opnode *n)
{
    dm_conv_args g;
    const dm_linear form = dm_linear_of(n, &g);

    return form != DM_LINEAR_NONE && mma_able(dev) && fits(&g) && is_bf16(&n->in[0]) &&
           (form == DM_LINEAR_DW ? is_bf16(&n->in[1]) && n->out[0].type == DM_DT_F32 : n->in[1].type == DM_DT_F32);
}

static size_t linear_scratch(const dm_device_info *dev, const dm_opnode *n)
{
    dm_conv_args g;

    return dm_linear_of(n, &g) == DM_LINEAR_DW ? parts_of(dev, &g) : 0;
}

static dm_status linear(dm_emit *e)
{
    dm_conv_args g;

    switch (dm_linear_of(e->node, &g)) {
    case DM_LINEAR_FORWARD: return forward(e, &g, NULL, NULL);
    case DM_LINEAR_DX: return by_inputs(e, &g);
    default: return by_weights(e, &g, e->in[1], e->in[0]);
    }
}

/* ---- f16 --------------------------------------------------------------------------------------- */

/* x is, and y may be; not where no half arithmetic is. */
static bool f16_serves(const dm_device_info *dev, const dm_opnode *n, const dm_conv_args *g)
{
    return dev->fp16 && dm_tiled_able(dev) && fits(g) && n->in[0].type == DM_DT_F16;
}

static bool f16_conv_serves(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return f16_serves(dev, n, &g) && (n->in[4].rank < 0 || n->in[4].type == n->out[0].type);
}

static bool f16_linear_serves(const dm_device_info *dev, const dm_opnode *n)
{
    dm_conv_args g;

    return dm_linear_of(n, &g) == DM_LINEAR_FORWARD && f16_serves(dev, n, &g) && n->in[1].type == DM_DT_F32;
}

/* A GPU's first choice of convolutions; of products, CLBlast is. */
const dm_impl dm_impls_tiled_conv[] = {
    {.name = "tiled", .kind = DM_OP_CONV2D, .supports = conv_supports, .emit = conv, .devices = DM_ON_OTHERS},
    {.name = "tiled", .kind = DM_OP_CONV2D_DX, .supports = conv_supports, .emit = conv, .devices = DM_ON_OTHERS},
    {.name = "tiled",
     .kind = DM_OP_CONV2D_DW,
     .supports = conv_supports,
     .scratch = conv_scratch,
     .emit = conv,
     .devices = DM_ON_OTHERS},
    {0},
};

const dm_impl dm_impls_tiled_matmul[] = {
    {.name = "tiled", .kind = DM_OP_MATMUL, .supports = matmul_supports, .emit = matmul, .devices = DM_ON_OTHERS},
    {0},
};

const dm_impl dm_impls_fp16[] = {
    {.name = "fp16",
     .kind = DM_OP_CONV2D,
     .supports = f16_conv_serves,
     .emit = conv,
     .tolerance = F16_TOLERANCE,
     .types = DM_TYPE(DM_DT_F16),
     .devices = DM_ON_OTHERS},
    {.name = "fp16",
     .kind = DM_OP_MATMUL,
     .supports = f16_linear_serves,
     .emit = linear,
     .tolerance = F16_TOLERANCE,
     .types = DM_TYPE(DM_DT_F16),
     .devices = DM_ON_OTHERS},
    {0},
};

const dm_impl dm_impls_mma[] = {
    {.name = "mma",
     .kind = DM_OP_CONV2D,
     .supports = mma_conv_supports,
     .emit = conv,
     .tolerance = DM_BF16_TOLERANCE,
     .types = DM_TYPE(DM_DT_BF16),
     .needs = DM_CAP_MMA_BF16},
    {.name = "mma",
     .kind = DM_OP_CONV2D_DX,
     .supports = mma_conv_supports,
     .emit = conv,
     .tolerance = DM_BF16_TOLERANCE,
     .types = DM_TYPE(DM_DT_BF16),
     .needs = DM_CAP_MMA_BF16},
    {.name = "mma",
     .kind = DM_OP_CONV2D_DW,
     .supports = mma_conv_supports,
     .scratch = conv_scratch,
     .emit = conv,
     .tolerance = DM_BF16_TOLERANCE,
     .types = DM_TYPE(DM_DT_BF16),
     .needs = DM_CAP_MMA_BF16},
    {.name = "mma",
     .kind = DM_OP_MATMUL,
     .supports = mma_linear_supports,
     .scratch = linear_scratch,
     .emit = linear,
     .tolerance = DM_BF16_TOLERANCE,
     .types = DM_TYPE(DM_DT_BF16),
     .needs = DM_CAP_MMA_BF16},
    {0},
};
