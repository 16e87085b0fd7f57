/* Attention and its gradient on CPUs by tiles of bf16, and of f32 as sums of two bf16 (bf16x3); see
 * kernels/attention/attention_bf16.clh. Work-items have their own scratch, so that it stays in a core's cache. */
#include "ops/conv/conv_bf16.h"

#include <math.h>

enum { SIDE = 256, BLOCK = 4096 + 128, ITEMS_A_UNIT = 4, LEAST_STRIP = 64 };
static const char *const options[] = {[DM_BF16_TILES] = "-DAMX",
                                      [DM_BF16_PAIRS] = "-DPAIRS",
                                      [DM_BF16_PLAIN] = "-DPLAIN",
                                      [DM_BF16X3_TILES] = "-DAMX -DSPLIT",
                                      [DM_BF16X3_PLAIN] = "-DPLAIN -DSPLIT"};

typedef struct attn {
    int64_t N, L, M, heads, d, lp, mp, dp; /* lp, mp, dp: multiples of 32 */
    int64_t strip, stride, items;    /* queries of a job (forward), bytes of scratch of a work-item */
} attn;

static int64_t round_up(int64_t n) { return (n + 31) / 32 * 32; }
static int64_t side(int64_t n) { return n < SIDE ? n : SIDE; }

/* As the kernels lay it out. element: bytes of one as tiles read it. */
static int64_t stride_of(const attn *a, bool back, int64_t element)
{
    const int64_t lq = side(a->lp), lk = side(a->mp);

    if (!back)
        return 2 * SIDE * a->dp * element + a->strip * (a->dp * element + 17 * 4) +
               (a->M > SIDE ? a->strip * a->dp : 1024) * 4 + 4096;
    return (4 * lq + 64 + lk) * a->dp * element + 2 * SIDE / 32 * BLOCK + lq * lk * element + 2 * SIDE * 4 +
           (a->M > SIDE ? SIDE * a->dp : 1024) * 4 + (a->L > SIDE ? 2 * a->mp * a->dp : 1024) * 4 + 4096;
}

/* Queries are cut where heads are few; each 32 of them have the same sums however they are. */
static attn attn_of(const dm_device_info *dev, dm_bf16_unit unit, const dm_opnode *n)
{
    const bool back = n->kind == DM_OP_ATTENTION_DX;
    const dm_desc *q = &n->in[back], *k = &n->in[back + 1];
    const int64_t wanted = ITEMS_A_UNIT * (int64_t)(dev->compute_units ? dev->compute_units : 1);
    attn a = {
        .N = q->dim[0], .L = q->dim[1], .M = k->dim[1], .heads = n->a.attn.heads, .d = q->dim[2] / n->a.attn.heads};
    int64_t jobs = a.N * a.heads;

    a.lp = round_up(a.L);
    a.mp = round_up(a.M);
    a.dp = round_up(a.d);
    for (a.strip = side(a.lp); a.strip > LEAST_STRIP && jobs * ((a.L + a.strip - 1) / a.strip) < wanted;)
        a.strip = round_up(a.strip / 2);
    if (!back)
        jobs *= (a.L + a.strip - 1) / a.strip;
    a.items = jobs < wanted ? jobs : wanted;
    a.stride = (stride_of(&a, back, dm_bf16_split(unit) ? 4 : 2) + 63) / 64 * 64;
    return a;
}

static bool supports(const dm_device_info *dev, dm_bf16_unit unit, const dm_opnode *n)
{
    const attn a = attn_of(dev, unit, n);

    return dm_bf16_able(dev, unit) && n->in[0].type == (dm_bf16_split(unit) ? DM_DT_F32 : DM_DT_BF16) &&
           SIDE / 32 * BLOCK <= (int64_t)dev->local_mem && a.N * a.heads * (a.lp + a.mp) < 1 << 30 &&
           a.stride < 1 << 30 && a.stride * a.items < (int64_t)1 << 32;
}

static size_t scratch_of(const dm_device_info *dev, dm_bf16_unit unit, const dm_opnode *n)
{
    const attn a = attn_of(dev, unit, n);

    return (size_t)(a.stride * a.items);
}

static dm_status emit(dm_emit *e, dm_bf16_unit unit)
{
    const attn a = attn_of(dm_device_get_info(e->dev), unit, e->node);
    const dm_range r = {.dim = 1, .global = {(size_t)a.items}, .local = {1}};
    const double scale = 1 / sqrt((double)a.d);
    dm_buf *const *in = e->in, *const *out = e->out;

#define EXTENTS \
    DM_KB(e->scratch), DM_KI(a.stride), DM_KI(a.N), DM_KI(a.L), DM_KI(a.M), DM_KI(a.heads), DM_KI(a.d), DM_KI(a.dp)
    if (e->node->kind == DM_OP_ATTENTION)
        return dm_emit_launch(e, e->cmds, "attention/attention_bf16.cl", "forward", options[unit], &r,
                              DM_KARGS(DM_KB(in[0]), DM_KB(in[1]), DM_KB(in[2]), DM_KB(out[0]), DM_KB(out[1]), EXTENTS,
                                       DM_KI(a.strip), DM_KF(scale), DM_KL(SIDE / 32 * BLOCK)));
    return dm_emit_launch(e, e->cmds, "attention/attention_dx_bf16.cl", "backward", options[unit], &r,
                          DM_KARGS(DM_KB(in[0]), DM_KB(in[1]), DM_KB(in[2]), DM_KB(in[3]), DM_KB(in[4]), DM_KB(in[5]),
                                   DM_KB(out[0]), DM_KB(out[1]), DM_KB(out[2]), EXTENTS, DM_KI(a.lp), DM_KI(a.mp),
                                   DM_KF(scale)));
#undef EXTENTS
}

DM_BF16_UNITS(supports, emit)

static size_t scratch(const dm_device_info *dev, const dm_opnode *n) { return scratch_of(dev, DM_BF16_TILES, n); }

const dm_impl dm_impls_attention_bf16[] = {
    DM_BF16_IMPLS(DM_OP_ATTENTION, scratch),
    DM_BF16_IMPLS(DM_OP_ATTENTION_DX, scratch),
    {0},
};

static bool serves_x3(const dm_device_info *dev, const dm_opnode *n) { return supports(dev, dm_bf16x3_unit(dev), n); }
static size_t scratch_x3(const dm_device_info *dev, const dm_opnode *n)
{
    return scratch_of(dev, dm_bf16x3_unit(dev), n);
}
static dm_status emit_x3(dm_emit *e) { return emit(e, dm_bf16x3_unit(dm_device_get_info(e->dev))); }

/* Products of products. */
const dm_impl dm_impls_attention_bf16x3[] = {
    DM_BF16X3(DM_OP_ATTENTION, serves_x3, scratch_x3, emit_x3, 2 * DM_BF16X3_TOLERANCE),
    DM_BF16X3(DM_OP_ATTENTION_DX, serves_x3, scratch_x3, emit_x3, 2 * DM_BF16X3_TOLERANCE),
    {0},
};
