/* Attention and its gradient on CPUs by register tiles; see kernels/attention/attention_vec16.cl. */
#include "device/impl.h"

#include <math.h>
#include <stdio.h>

enum { KEYS = 256, STRIP = 64, QUERIES = 256, ITEMS_A_UNIT = 4, LANES = 16, LEAST = 8 };

typedef struct attn { int64_t N, L, M, heads, d, scratch, items; } attn;

/* scratch: floats of scratch of a work-item. */
static attn attn_of(const dm_device_info *dev, const dm_opnode *n)
{
    const bool back = n->kind == DM_OP_ATTENTION_DX;
    const dm_desc *q = &n->in[back], *k = &n->in[back + 1];
    attn a = {
        .N = q->dim[0], .L = q->dim[1], .M = k->dim[1], .heads = n->a.attn.heads, .d = q->dim[2] / n->a.attn.heads};
    const int64_t jobs = a.N * a.heads * (back ? 1 : (a.L + STRIP - 1) / STRIP);
    const int64_t most = ITEMS_A_UNIT * (int64_t)(dev->compute_units ? dev->compute_units : 1);
    const int64_t wide = (a.d + LANES - 1) / LANES * LANES, copied = a.d % LANES ? KEYS : 0;

    a.scratch = back ? 2 * QUERIES * KEYS + (QUERIES + KEYS + copied) * wide
                     : STRIP * KEYS + (STRIP + KEYS + copied) * wide;
    a.items = jobs < most ? jobs : most;
    return a;
}

static bool supports(const dm_device_info *dev, const dm_opnode *n)
{
    const attn a = attn_of(dev, n);

    return dev->cpu && a.d >= LEAST && a.N * a.heads * (a.L + STRIP) < 1 << 30 &&
           a.scratch * a.items < 1 << 30;
}

static size_t scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const attn a = attn_of(dev, n);

    return (size_t)(a.scratch * a.items) * sizeof(float);
}

static dm_status emit(dm_emit *e)
{
    const dm_device_info *dev = dm_device_get_info(e->dev);
    const bool wide = dev->native_float >= 16;
    const attn a = attn_of(dev, e->node);
    const dm_range r = {.dim = 1, .global = {(size_t)a.items}, .local = {1}};
    const double scale = 1 / sqrt((double)a.d);
    char options[32];

    snprintf(options, sizeof options, "-DMR=%d -DNV=%d%s%.0d", wide ? 8 : 4, wide ? 2 : 1,
             a.d % LANES ? " -DTAIL=" : "", (int)(a.d % LANES));
#define EXTENTS \
    DM_KB(e->scratch), DM_KI(a.scratch), DM_KI(a.N), DM_KI(a.L), DM_KI(a.M), DM_KI(a.heads), DM_KI(a.d), DM_KF(scale)
    if (e->node->kind == DM_OP_ATTENTION)
        return dm_emit_launch(
            e, e->cmds, "attention/attention_vec16.cl", "forward", options, &r,
            DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->out[0]), DM_KB(e->out[1]), EXTENTS));
    return dm_emit_launch(e, e->cmds, "attention/attention_vec16.cl", "backward", options, &r,
                          DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->in[3]), DM_KB(e->in[4]),
                                   DM_KB(e->in[5]), DM_KB(e->out[0]), DM_KB(e->out[1]), DM_KB(e->out[2]), EXTENTS));
#undef EXTENTS
}

const dm_impl dm_impls_attention_vec16[] = {
    {.name = "vec16", .kind = DM_OP_ATTENTION, .supports = supports, .scratch = scratch, .emit = emit},
    {.name = "vec16", .kind = DM_OP_ATTENTION_DX, .supports = supports, .scratch = scratch, .emit = emit},
    {0},
};
