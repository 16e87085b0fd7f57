/* Portable implementations of attention and its gradient. The keys (and, backward, values, queries and
 * output gradients) of a slice of the batch are transposed into scratch, so that lanes run over positions. */
#include "ops/launch/portable.h"

#include <math.h>

enum { ROWS = 8, SLICE_BYTES = 24 << 20 };
static const char file[] = "attention/attention.cl";

typedef struct attn {
    int64_t N, L, M, heads, d, lp, mp; /* lp, mp: L and M rounded up to whole vectors */
    int64_t each, floats;          /* examples of a slice; of scratch for one */
    int lanes;
    const char *option;
    double scale;
} attn;

/* Lanes also run along the head: as many as divide it. */
static void choose_lanes(const dm_device_info *dev, attn *a)
{
    a->lanes = dm_lanes(dev);
    a->option = dm_lanes_option(dev);
    if (a->lanes == 16 && a->d % 16 && a->d % 8 == 0) {
        a->lanes = 8;
        a->option = "-DW=8";
    } else if (a->lanes == 16 && a->d % 8) {
        a->lanes = 4;
        a->option = "-DW=4";
    }
}

static attn attn_of(const dm_device_info *dev, const dm_opnode *n)
{
    const bool back = n->kind == DM_OP_ATTENTION_DX;
    const dm_desc *q = &n->in[back], *k = &n->in[back + 1];
    attn a = {.N = q->dim[0], .L = q->dim[1], .M = k->dim[1], .heads = n->a.attn.heads,
              .d = q->dim[2] / n->a.attn.heads};

    choose_lanes(dev, &a);
    a.lp = dm_div_up(a.L, a.lanes) * a.lanes;
    a.mp = dm_div_up(a.M, a.lanes) * a.lanes;
    a.floats = a.heads * a.d * (back ? 2 * (a.lp + a.mp) : a.mp) + (back ? a.heads * a.L : 0);
    a.each = SLICE_BYTES / ((int64_t)sizeof(float) * a.floats);
    a.each = a.each < 1 ? 1 : a.each > a.N ? a.N : a.each;
    a.scale = 1 / sqrt((double)a.d);
    return a;
}

static size_t scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const attn a = attn_of(dev, n);

    return (size_t)(a.each * a.floats) * sizeof(float);
}

static dm_status launch(dm_emit *e, const attn *a, const char *name, int64_t items, const dm_karg *args, int n)
{
    const dm_range r = dm_over(dm_device_get_info(e->dev), items);

    return dm_emit_launch(e, e->cmds, file, name, a->option, &r, args, n);
}

static dm_status transpose(dm_emit *e, const attn *a, dm_buf *x, int64_t to, int64_t n0, int64_t count, int64_t T,
                           int64_t padded)
{
    return launch(e, a, "transpose", count * a->heads * padded / a->lanes,
                  DM_KARGS(DM_KB(x), DM_KB(e->scratch), DM_KI(to), DM_KI(n0), DM_KI(count), DM_KI(T), DM_KI(padded),
                           DM_KI(a->heads), DM_KI(a->d)));
}

#define EXTENTS(a, padded)                                                                                             \
    DM_KI((a)->L), DM_KI((a)->M), DM_KI(padded), DM_KI((a)->heads), DM_KI((a)->d), DM_KF((a)->scale)

static dm_status forward(dm_emit *e)
{
    const attn a = attn_of(dm_device_get_info(e->dev), e->node);
    dm_status s = dm_fits(e, a.each * a.floats);

    for (int64_t n0 = 0; n0 < a.N && s == DM_OK; n0 += a.each) {
        const int64_t count = a.N - n0 < a.each ? a.N - n0 : a.each;

        if ((s = transpose(e, &a, e->in[1], 0, n0, count, a.M, a.mp)) == DM_OK)
            s = launch(e, &a, "forward", count * a.heads * dm_div_up(a.L, ROWS),
                       DM_KARGS(DM_KB(e->in[0]), DM_KB(e->scratch), DM_KB(e->in[2]), DM_KB(e->out[0]), DM_KB(e->out[1]),
                                DM_KI(n0), DM_KI(count), EXTENTS(&a, a.mp)));
    }
    return s;
}

enum { DY, Q, K, V, Y, LSE };

/* Where in scratch, in floats, the transposed arrays and the deltas of a slice lie. */
typedef struct parts { int64_t kt, vt, qt, dyt, delta; } parts;

static dm_status backward_slice(dm_emit *e, const attn *a, const parts *p, int64_t n0, int64_t count)
{
    dm_buf *const *in = e->in;
    dm_status s = transpose(e, a, in[K], p->kt, n0, count, a->M, a->mp);

    if (s == DM_OK)
        s = transpose(e, a, in[V], p->vt, n0, count, a->M, a->mp);
    if (s == DM_OK)
        s = transpose(e, a, in[Q], p->qt, n0, count, a->L, a->lp);
    if (s == DM_OK)
        s = transpose(e, a, in[DY], p->dyt, n0, count, a->L, a->lp);
    if (s == DM_OK)
        s = launch(e, a, "deltas", count * a->heads * a->L,
                   DM_KARGS(DM_KB(in[DY]), DM_KB(in[Y]), DM_KB(e->scratch), DM_KI(p->delta), DM_KI(n0), DM_KI(count),
                            DM_KI(a->L), DM_KI(a->heads), DM_KI(a->d)));
    if (s == DM_OK)
        s = launch(e, a, "backward_q", count * a->heads * dm_div_up(a->L, ROWS),
                   DM_KARGS(DM_KB(in[DY]), DM_KB(in[Q]), DM_KB(in[K]), DM_KB(in[LSE]), DM_KB(e->scratch),
                            DM_KB(e->out[0]), DM_KI(p->kt), DM_KI(p->vt), DM_KI(p->delta), DM_KI(n0), DM_KI(count),
                            EXTENTS(a, a->mp)));
    if (s == DM_OK)
        s = launch(e, a, "backward_kv", count * a->heads * dm_div_up(a->M, ROWS),
                   DM_KARGS(DM_KB(in[DY]), DM_KB(in[Q]), DM_KB(in[K]), DM_KB(in[V]), DM_KB(in[LSE]), DM_KB(e->scratch),
                            DM_KB(e->out[1]), DM_KB(e->out[2]), DM_KI(p->qt), DM_KI(p->dyt), DM_KI(p->delta), DM_KI(n0),
                            DM_KI(count), EXTENTS(a, a->lp)));
    return s;
}

static dm_status backward(dm_emit *e)
{
    const attn a = attn_of(dm_device_get_info(e->dev), e->node);
    const int64_t keys = a.each * a.heads * a.d * a.mp, queries = a.each * a.heads * a.d * a.lp;
    const parts p = {0, keys, 2 * keys, 2 * keys + queries, 2 * (keys + queries)};
    dm_status s = dm_fits(e, a.each * a.floats);

    for (int64_t n0 = 0; n0 < a.N && s == DM_OK; n0 += a.each)
        s = backward_slice(e, &a, &p, n0, a.N - n0 < a.each ? a.N - n0 : a.each);
    return s;
}

const dm_impl dm_impls_attention[] = {
    {DM_PORTABLE(ATTENTION, forward), .scratch = scratch},
    {DM_PORTABLE(ATTENTION_DX, backward), .scratch = scratch},
    {0},
};
