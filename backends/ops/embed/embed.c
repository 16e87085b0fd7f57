/* Portable implementations of the embeddings. */
#include "ops/launch/portable.h"

static dm_status time_embed(dm_emit *e)
{
    const dm_desc *y = &e->node->out[0];
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, "embed/embed.cl", "time_embed", y->dim[0] * (y->dim[1] / 2),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_KI(y->dim[0]),
                                               DM_KI(y->dim[1]), DM_KI(e->node->a.embed.flip)));
}

static dm_status embedding(dm_emit *e)
{
    const dm_desc *w = &e->node->in[1], *y = &e->node->out[0];
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, "embed/embed.cl", "embedding", dm_desc_count(y),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]),
                                               DM_KI(dm_desc_count(&e->node->in[0])), DM_KI(w->dim[0]),
                                               DM_KI(w->dim[1])));
}

static dm_status embedding_dw(dm_emit *e)
{
    const dm_desc *w = &e->node->out[0];
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, "embed/embed.cl", "embedding_dw", dm_desc_count(w),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]),
                                               DM_KI(dm_desc_count(&e->node->in[0])), DM_KI(w->dim[0]),
                                               DM_KI(w->dim[1]), DM_KI(e->node->accum)));
}

static dm_status gather_by(dm_emit *e, const char *name, int64_t rows)
{
    const dm_opnode *n = e->node;
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK
               ? s
               : dm_emit_typed(
                     e, "embed/gather.cl", name,
                     n->a.gather.outer * rows * dm_div_up(n->a.gather.inner, dm_lanes(dm_device_get_info(e->dev))),
                     DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_KI(n->a.gather.outer),
                              DM_KI(n->a.gather.rows), DM_KI(n->a.gather.count), DM_KI(n->a.gather.inner)));
}

static dm_status gather(dm_emit *e) { return gather_by(e, "gather", e->node->a.gather.count); }
static dm_status gather_dx(dm_emit *e) { return gather_by(e, "gather_dx", e->node->a.gather.rows); }

const dm_impl dm_impls_embed[] = {
    {DM_PORTABLE(TIME_EMBED, time_embed)},
    {DM_PORTABLE(EMBEDDING, embedding)},
    {DM_PORTABLE(EMBEDDING_DW, embedding_dw)},
    {DM_PORTABLE(GATHER, gather), .types = DM_ANY_TYPE},
    {DM_PORTABLE(GATHER_DX, gather_dx), .types = DM_ANY_TYPE},
    {0},
};
