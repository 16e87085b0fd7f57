/* The portable implementation of rotary position. */
#include "ops/launch/portable.h"

static dm_status emit(dm_emit *e)
{
    const dm_desc *x = &e->node->in[0];
    const int64_t rows = x->dim[0] * x->dim[1], heads = e->node->a.rope.heads, pairs = x->dim[2] / heads / 2;
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK
               ? s
               : dm_emit_typed(e, "attention/rope.cl", "rope",
                               rows * heads * dm_div_up(pairs, dm_lanes(dm_device_get_info(e->dev))),
                               DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_KI(rows),
                                        DM_KI(x->dim[1]), DM_KI(heads), DM_KI(pairs),
                                        DM_KF(e->node->a.rope.inverse ? -1 : 1)));
}

const dm_impl dm_impls_rope[] = {
    {DM_PORTABLE(ROPE, emit), .types = DM_ANY_TYPE},
    {0},
};
