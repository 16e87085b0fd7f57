/* The portable implementation of convolutions in groups: an item an element. */
#include "ops/launch/portable.h"

static dm_status emit(dm_emit *e)
{
    const dm_opnode *n = e->node;
    const dm_conv *k = &n->a.grouped.conv;
    const dm_desc *x = n->kind == DM_OP_GROUPED_CONV2D_DX ? &n->out[0] : &n->in[0];
    const dm_desc *y = n->kind == DM_OP_GROUPED_CONV2D      ? &n->out[0]
                       : n->kind == DM_OP_GROUPED_CONV2D_DX ? &n->in[0]
                                                            : &n->in[1];
    const int64_t count = dm_desc_count(&n->out[0]);
    const dm_karg of_x = DM_KI4(x->dim[1], x->dim[2], x->dim[3], y->dim[3]);
    const dm_karg of_y = DM_KI4(y->dim[1], y->dim[2], k->k, n->a.grouped.groups);
    const dm_karg how = DM_KI4(k->stride, k->pad[0], x->dim[0], n->accum);
    const dm_status s = dm_fits(e, 0);

    if (s != DM_OK)
        return s;
    if (n->kind == DM_OP_GROUPED_CONV2D)
        return dm_emit_typed(e, "conv/grouped.cl", "conv2d", count,
                             DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->out[0]), of_x, of_y,
                                      how, DM_KI(count)));
    return dm_emit_typed(
        e, "conv/grouped.cl", n->kind == DM_OP_GROUPED_CONV2D_DX ? "conv2d_dx" : "conv2d_dw", count,
        DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), of_x, of_y, how, DM_KI(count)));
}

const dm_impl dm_impls_conv2d_grouped[] = {
    {DM_PORTABLE(GROUPED_CONV2D, emit), .types = DM_ANY_TYPE},
    {DM_PORTABLE(GROUPED_CONV2D_DX, emit), .types = DM_ANY_TYPE},
    {DM_PORTABLE(GROUPED_CONV2D_DW, emit), .types = DM_ANY_TYPE},
    {0},
};
