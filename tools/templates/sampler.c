/* PLUGIN_NAME: a sampler. Say here what it is and where it comes from. */
#include <demist/plugin.h>

typedef struct { dm_tensor *x0, *eps; } state;

/* Scratch of x's shape; valid until the next begin(). */
static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    if (!(st->x0 = c->host->tensor_like(c, s->x)) || !(st->eps = c->host->tensor_like(c, s->x)))
        return c->err->code;
    return DM_OK;
}

/* From grid[i] to grid[i + 1]: predict the data and the noise, and mix them anew. */
static dm_status step(dm_ctx *c, const dm_step *s)
{
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    state *st = c->self;
    dm_status rc;

    if ((rc = c->host->predict(c, s->x, at, &(dm_pred){.x0 = st->x0, .eps = st->eps})))
        return rc;
    return c->host->sum(c, s->x, DM_SUM({to->alpha, st->x0}, {to->sigma, st->eps}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "PLUGIN_NAME", .version = "1", .license = "Apache-2.0",
    .doc = "deterministic steps of first order",
    .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .begin = begin, .step = step},
};
