/* The portable implementation of bilinear resizing. */
#include "ops/launch/portable.h"

static dm_status emit(dm_emit *e)
{
    const dm_opnode *n = e->node;
    const bool back = n->kind == DM_OP_RESIZE_DX;
    const dm_desc *x = back ? &n->out[0] : &n->in[0], *y = back ? &n->in[0] : &n->out[0];
    const int64_t pixels = dm_desc_count(&n->out[0]) / x->dim[3];
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_typed(e, "shape/resize.cl", back ? "resize_dx" : "resize",
                                      pixels * dm_div_up(x->dim[3], dm_lanes(dm_device_get_info(e->dev))),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->out[0]),
                                               DM_KI4(x->dim[1], x->dim[2], y->dim[1], y->dim[2]), DM_KI(x->dim[3]),
                                               DM_KI(pixels)));
}

const dm_impl dm_impls_resize[] = {
    {DM_PORTABLE(RESIZE, emit), .types = DM_ANY_TYPE},
    {DM_PORTABLE(RESIZE_DX, emit), .types = DM_ANY_TYPE},
    {0},
};
