/* Extents and types of an op's operands; see ops.h. */
#include "device/ops.h"

int64_t dm_desc_count(const dm_desc *d)
{
    int64_t n = 1;

    if (d->rank < 0)
        return 0;
    for (int32_t i = 0; i < d->rank; i++)
        n *= d->dim[i];
    return n;
}

dm_dtype dm_op_16bit_type(const dm_opnode *n)
{
    for (int32_t i = 0; i < n->n_in; i++)
        if (n->in[i].rank >= 0 && dm_dtype_is_16bit(n->in[i].type))
            return n->in[i].type;
    for (int32_t i = 0; i < n->n_out; i++)
        if (n->out[i].rank >= 0 && dm_dtype_is_16bit(n->out[i].type))
            return n->out[i].type;
    return DM_DT_F32;
}
