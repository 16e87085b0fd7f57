/* Portable implementations of the random ops. */
#include "ops/launch/portable.h"

enum { CPU_BLOCKS = 256, CPU_PIXELS = 256, GPU_PIXELS = 4 };

/* Examples, pixels and channels as numbered: C,P within an example, stored P,C. */
typedef struct numbering { int64_t N, P, C; } numbering;

static numbering numbering_of(const dm_opnode *n)
{
    const dm_desc *y = &n->out[0];
    numbering k = {y->dim[0], 1, 1};

    if (n->a.random.image && y->rank == 4) {
        k.P = y->dim[1] * y->dim[2];
        k.C = y->dim[3];
    } else {
        k.P = dm_desc_count(y) / y->dim[0];
    }
    if (k.P == 1) {
        k.P = k.C;
        k.C = 1;
    }
    return k;
}

static int32_t stream(const dm_opnode *n) { return (int32_t)(n->a.random.purpose << 24 | n->a.random.node); }

static dm_status randn(dm_emit *e)
{
    const dm_device_info *d = dm_device_get_info(e->dev);
    const numbering k = numbering_of(e->node);
    const int64_t each = d->cpu ? CPU_BLOCKS : dm_lanes(d);
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, "random/random.cl", "randn", k.N * dm_div_up(dm_div_up(k.P * k.C, 4), each),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->out[0]), DM_KI(k.N), DM_KI(k.P), DM_KI(k.C),
                                               DM_KI(stream(e->node)), DM_KI(e->node->a.random.draw), DM_KI(each)));
}

static dm_status dropout(dm_emit *e)
{
    const dm_device_info *d = dm_device_get_info(e->dev);
    const numbering k = numbering_of(e->node);
    const int64_t blocks = d->cpu ? CPU_BLOCKS : dm_lanes(d), pixels = d->cpu ? CPU_PIXELS : GPU_PIXELS;
    const double p = e->node->a.random.p, gain = 1 / (1 - p);
    const dm_status s = dm_fits(e, 0);

    if (s != DM_OK)
        return s;
    if (k.C == 1)
        return dm_emit_items(e, "random/random.cl", "dropout_rows", k.N * dm_div_up(dm_div_up(k.P, 4), blocks),
                             DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_KI(k.N), DM_KI(k.P),
                                      DM_KI(stream(e->node)), DM_KI(e->node->a.random.draw), DM_KF(p), DM_KF(gain),
                                      DM_KI(blocks)));
    return dm_emit_items(e, "random/random.cl", "dropout", k.N * dm_div_up(k.P, pixels) * dm_div_up(k.C, dm_lanes(d)),
                         DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_KI(k.N), DM_KI(k.P),
                                  DM_KI(k.C), DM_KI(stream(e->node)), DM_KI(e->node->a.random.draw), DM_KF(p),
                                  DM_KF(gain), DM_KI(pixels)));
}

const dm_impl dm_impls_random[] = {
    {DM_PORTABLE(DROPOUT, dropout)},
    {DM_PORTABLE(RANDN, randn)},
    {0},
};
