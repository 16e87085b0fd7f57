/* The portable implementation of RMS norm: an item takes some rows; backwards, each keeps sums for the weight. */
#include "ops/launch/portable.h"

enum { ROW_FLOATS = 4096, ITEMS_CPU = 64, ITEMS_GPU = 1024 };

static dm_status forward(dm_emit *e)
{
    const dm_device_info *d = dm_device_get_info(e->dev);
    const dm_attr_norm *a = &e->node->a.norm;
    const int64_t each = d->cpu && a->C < ROW_FLOATS ? ROW_FLOATS / a->C : 1;
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_typed(e, "norm/rms_norm.cl", "forward", dm_div_up(a->N, each),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_KB(e->out[1]),
                                               DM_KI(a->N), DM_KI(a->C), DM_KF(a->eps), DM_KI(each)));
}

static int64_t rows_of(const dm_device_info *d, const dm_attr_norm *a)
{
    return dm_div_up(a->N, d->cpu ? ITEMS_CPU : ITEMS_GPU);
}

static int64_t parts(const dm_device_info *d, const dm_opnode *n)
{
    return n->out[1].rank >= 0 ? dm_div_up(n->a.norm.N, rows_of(d, &n->a.norm)) * n->a.norm.C : 0;
}

static size_t scratch(const dm_device_info *d, const dm_opnode *n) { return (size_t)parts(d, n) * sizeof(float); }

static dm_status backward(dm_emit *e)
{
    const dm_device_info *d = dm_device_get_info(e->dev);
    const dm_attr_norm *a = &e->node->a.norm;
    const int64_t each = rows_of(d, a), items = dm_div_up(a->N, each);
    dm_buf *part = e->node->out[1].rank >= 0 ? e->scratch : NULL;
    dm_status s = dm_fits(e, parts(d, e->node));

    if (s == DM_OK)
        s = dm_emit_typed(e, "norm/rms_norm.cl", "backward", items,
                          DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->in[3]), DM_KB(e->out[0]),
                                   DM_KB(part), DM_KI(a->N), DM_KI(a->C), DM_KI(each)));
    if (s == DM_OK && part)
        s = dm_emit_typed(e, "norm/rms_norm.cl", "backward_weight", a->C,
                          DM_KARGS(DM_KB(part), DM_KB(e->out[1]), DM_KI(items), DM_KI(a->C), DM_KI(e->node->accum)));
    return s;
}

const dm_impl dm_impls_rms_norm[] = {
    {DM_PORTABLE(RMS_NORM, forward), .types = DM_ANY_TYPE},
    {DM_PORTABLE(RMS_NORM_DX, backward), .scratch = scratch, .types = DM_ANY_TYPE},
    {0},
};
