/* All ops: one line a family; and what their rows answer. */
#include "graph/ops/families.h"

static const dm_op_family *const families[] = {
    &dm_family_conv,  &dm_family_matmul, &dm_family_reduce,    &dm_family_broadcast, &dm_family_activation,
    &dm_family_unary, &dm_family_norm,   &dm_family_attention, &dm_family_rope, &dm_family_shape,     &dm_family_resize,
    &dm_family_embed, &dm_family_random, &dm_family_loss,      &dm_family_copy,      &dm_family_custom,
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

const dm_op_def *dm_op_def_of(dm_op_kind kind)
{
    static const dm_op_def unknown = {.name = "unknown op"};

    for (size_t i = 0; i < N_FAMILIES; i++)
        for (const dm_op_def *d = families[i]->rows; d->name; d++)
            if (d->kind == kind)
                return d;
    return &unknown;
}

void dm_ops_fill(dm_graph *api)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (families[i]->fill)
            families[i]->fill(api);
}

const char *dm_op_name(dm_op_kind kind) { return dm_op_def_of(kind)->name; }

double dm_op_flops(const dm_opnode *n)
{
    const dm_op_def *d = dm_op_def_of(n->kind);

    return d->flops ? d->flops(n) : d->each * (double)dm_desc_count(d->of ? &n->in[d->of - 1] : &n->out[0]);
}

double dm_op_bytes(const dm_opnode *n)
{
    double bytes = 0;

    for (int32_t i = 0; i < n->n_in; i++)
        bytes += (double)dm_dtype_size(n->in[i].type) * (double)dm_desc_count(&n->in[i]);
    for (int32_t i = 0; i < n->n_out; i++)
        bytes += (double)dm_dtype_size(n->out[i].type) * (double)dm_desc_count(&n->out[i]);
    return bytes;
}

bool dm_op_may_be_16bit(const dm_opnode *n, bool out, int k)
{
    const dm_op_def *d = dm_op_def_of(n->kind);

    return d->may_be_16bit ? d->may_be_16bit(n, out, k) : ((out ? d->out : d->in)[k].flags & DM_ARG_16BIT) != 0;
}

bool dm_op_may_write(dm_op_kind kind)
{
    const dm_op_def *d = dm_op_def_of(kind);
    bool may = false;

    for (int k = 0; k < DM_MAX_OUT; k++)
        may |= (d->out[k].flags & DM_ARG_ACCUM) != 0;
    return may;
}
