/* Matrix products and convolutions by CLBlast: what GPUs run. Convolutions become products through im2col in bounded
 * scratch, a few images at a time. On CPUs CLBlast is far behind the register-tile kernels, and used only where it is
 * forced. */
#include "ops/conv/conv_args.h"

#include <string.h>

/* SMALLEST_GROUP: of its kernels before they are tuned; smaller ones it answers with an error at each launch. */
enum { MOST_SCRATCH = 64 * 1024 * 1024, SMALLEST_GROUP = 64 };
static const char file[] = "conv/im2col.cl";

static bool supports(const dm_device_info *dev, const dm_opnode *n)
{
    (void)n;
#ifdef DEMIST_CLBLAST
    return !dev->emulated && dev->max_group >= SMALLEST_GROUP;
#else
    (void)dev;
    return false;
#endif
}

/* Elements in one dimension. */
static dm_range items(int64_t n) { return (dm_range){.dim = 1, .global = {(size_t)n}}; }

/* c = beta c + op(a) op(b), dense rows. */
static dm_status product(dm_emit *e, dm_gemm g)
{
    g.alpha = 1;
    g.batch = g.batch ? g.batch : 1;
    g.lda = g.ta ? g.m : g.k;
    g.ldb = g.tb ? g.k : g.n;
    g.ldc = g.n;
    return dm_cmds_gemm(e->cmds, &g, e->label,
                        (dm_work){2.0 * (double)g.batch * (double)g.m * (double)g.n * (double)g.k, 0}, e->err);
}

static dm_status matmul(dm_emit *e)
{
    const dm_opnode *n = e->node;
    const int64_t count = n->a.mm.batch * n->a.mm.m * n->a.mm.n;
    const bool bias = e->in[2] != NULL;
    const dm_range r = items(count);
    dm_gemm g = {.ta = n->a.mm.ta,
                 .tb = n->a.mm.tb,
                 .m = n->a.mm.m,
                 .n = n->a.mm.n,
                 .k = n->a.mm.k,
                 .batch = n->a.mm.batch,
                 .beta = bias || n->accum ? 1 : 0,
                 .a = e->in[0],
                 .b = e->in[1],
                 .c = e->out[0],
                 .stride_a = n->a.mm.a_batch ? n->a.mm.m * n->a.mm.k : 0,
                 .stride_b = n->a.mm.b_batch ? n->a.mm.k * n->a.mm.n : 0,
                 .stride_c = n->a.mm.m * n->a.mm.n};
    dm_status rc;

    if (bias && (rc = dm_emit_launch(e, e->cmds, file, "begin", NULL, &r,
                                     DM_KARGS(DM_KB(e->in[2]), DM_KB(NULL), DM_KB(n->accum ? e->out[0] : NULL),
                                              DM_KB(e->out[0]), DM_KI(count), DM_KI(n->a.mm.n)))))
        return rc;
    return product(e, g);
}

/* ---- convolutions ------------------------------------------------------------------------- */

static int64_t row_of(const dm_conv_args *g) { return (int64_t)g->k * g->k * g->C; }

/* Images at once, so that their columns fit. */
static int64_t images_of(const dm_conv_args *g)
{
    const int64_t image = g->OH * g->OW * row_of(g) * (int64_t)sizeof(float),
                  n = image >= MOST_SCRATCH ? 1 : MOST_SCRATCH / image;

    return n < g->N ? n : g->N;
}

static size_t scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);
    const int64_t matrix = n->kind == DM_OP_CONV2D_DW ? g.O * row_of(&g) : 0;

    (void)dev;
    return (size_t)(images_of(&g) * g.OH * g.OW * row_of(&g) + matrix) * sizeof(float);
}

static dm_status weights(dm_emit *e, const dm_conv_args *g, dm_buf **w)
{
    const dm_range r = items(g->O * g->C);
    dm_cmds *refresh;
    dm_status rc;

    if ((rc = dm_emit_packed(e, 1, "conv_by_taps", (size_t)(g->O * row_of(g)) * sizeof(float), w, &refresh)) ||
        !refresh)
        return rc;
    return dm_emit_launch(e, refresh, file, "by_taps", NULL, &r,
                          DM_KARGS(DM_KB(e->in[1]), DM_KB(*w), DM_KI(g->C), DM_KI(g->k * g->k)));
}

/* im2col or col2im of `there` images from n on; both take the same extents. */
static dm_status columns(dm_emit *e, const char *kernel, const dm_conv_args *g, dm_buf *from, dm_buf *to, int64_t count,
                         int64_t n, int64_t at)
{
    const dm_range r = items(count);

    return dm_emit_launch(e, e->cmds, file, kernel, NULL, &r,
                          DM_KARGS(DM_KB(from), DM_KB(to), DM_KI(g->H), DM_KI(g->W), DM_KI(g->C), DM_KI(g->OH),
                                   DM_KI(g->OW), DM_KI(g->k), DM_KI(g->stride), DM_KI(g->pad), DM_KI(n), DM_KI(at)));
}

static dm_status conv2d(dm_emit *e)
{
    const dm_conv_args g = dm_conv_args_of(e->node);
    const int64_t pixels = g.OH * g.OW, some = images_of(&g);
    const dm_range all = items(g.N * pixels * g.O);
    dm_buf *w;
    dm_status rc;

    if ((rc = weights(e, &g, &w)) || (rc = dm_emit_launch(e, e->cmds, file, "begin", NULL, &all,
                                                          DM_KARGS(DM_KB(e->in[2]), DM_KB(e->in[3]), DM_KB(e->in[4]),
                                                                   DM_KB(e->out[0]), DM_KI(pixels), DM_KI(g.O)))))
        return rc;
    for (int64_t n = 0; n < g.N; n += some) {
        const int64_t there = g.N - n < some ? g.N - n : some;

        if ((rc = columns(e, "im2col", &g, e->in[0], e->scratch, there * pixels * row_of(&g), n, 0)) ||
            (rc = product(e, (dm_gemm){.tb = true,
                                       .m = there * pixels,
                                       .n = g.O,
                                       .k = row_of(&g),
                                       .beta = 1,
                                       .a = e->scratch,
                                       .b = w,
                                       .c = e->out[0],
                                       .from_c = n * pixels * g.O})))
            return rc;
    }
    return DM_OK;
}

static dm_status conv2d_dx(dm_emit *e)
{
    const dm_conv_args g = dm_conv_args_of(e->node);
    const int64_t pixels = g.OH * g.OW, some = images_of(&g);
    dm_buf *w;
    dm_status rc;

    if ((rc = weights(e, &g, &w)))
        return rc;
    for (int64_t n = 0; n < g.N; n += some) {
        const int64_t there = g.N - n < some ? g.N - n : some;

        if ((rc = product(e, (dm_gemm){.m = there * pixels,
                                       .n = row_of(&g),
                                       .k = g.O,
                                       .a = e->in[0],
                                       .from_a = n * pixels * g.O,
                                       .b = w,
                                       .c = e->scratch})) ||
            (rc = columns(e, "col2im", &g, e->scratch, e->out[0], there * g.H * g.W * g.C, n, 0)))
            return rc;
    }
    return DM_OK;
}

static dm_status conv2d_dw(dm_emit *e)
{
    const dm_conv_args g = dm_conv_args_of(e->node);
    const int64_t pixels = g.OH * g.OW, some = images_of(&g), matrix = g.O * row_of(&g);
    const dm_range r = items(matrix);
    dm_status rc;

    for (int64_t n = 0; n < g.N; n += some) {
        const int64_t there = g.N - n < some ? g.N - n : some;

        if ((rc = columns(e, "im2col", &g, e->in[0], e->scratch, there * pixels * row_of(&g), n, (int32_t)matrix)) ||
            (rc = product(e, (dm_gemm){.ta = true,
                                       .m = g.O,
                                       .n = row_of(&g),
                                       .k = there * pixels,
                                       .beta = n ? 1 : 0,
                                       .a = e->in[1],
                                       .from_a = n * pixels * g.O,
                                       .b = e->scratch,
                                       .from_b = matrix,
                                       .c = e->scratch})))
            return rc;
    }
    return dm_emit_launch(
        e, e->cmds, file, "by_channels", NULL, &r,
        DM_KARGS(DM_KB(e->scratch), DM_KB(e->out[0]), DM_KI(g.C), DM_KI(g.k * g.k), DM_KI(0), DM_KI(e->node->accum)));
}

const dm_impl dm_impls_clblast[] = {
    {.name = "clblast",
     .kind = DM_OP_MATMUL,
     .supports = supports,
     .emit = matmul,
     .devices = DM_ON_OTHERS,
     .batch_dependent = true},
    {.name = "clblast",
     .kind = DM_OP_CONV2D,
     .supports = supports,
     .scratch = scratch,
     .emit = conv2d,
     .devices = DM_ON_OTHERS,
     .batch_dependent = true},
    {.name = "clblast",
     .kind = DM_OP_CONV2D_DX,
     .supports = supports,
     .scratch = scratch,
     .emit = conv2d_dx,
     .devices = DM_ON_OTHERS,
     .batch_dependent = true},
    {.name = "clblast",
     .kind = DM_OP_CONV2D_DW,
     .supports = supports,
     .scratch = scratch,
     .emit = conv2d_dw,
     .devices = DM_ON_OTHERS,
     .batch_dependent = true},
    {0},
};
