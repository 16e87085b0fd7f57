/* Portable implementations of the embeddings. */
#include "portable.h"

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

const dm_impl dm_impls_embed[] = {
    {DM_PORTABLE(TIME_EMBED, time_embed)},
    {DM_PORTABLE(EMBEDDING, embedding)},
    {DM_PORTABLE(EMBEDDING_DW, embedding_dw)},
    {0},
};
