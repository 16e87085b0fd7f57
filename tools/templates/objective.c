/* PLUGIN_NAME: an objective. Say here what it is and where it comes from. */
#include <demist/plugin.h>

/* What the network's output F means: x0 = c_skip x + c_out F(c_in x, c_noise). Here F is the noise. */
static dm_status affine(dm_ctx *c, const dm_point *p, dm_affine *a)
{
    if (p->alpha == 0)
        return dm_fail(c, DM_EINVAL, "no signal is left at t = %g: the noise says nothing there", p->t);
    *a = (dm_affine){1 / p->alpha, -p->sigma / p->alpha, 1, p->t - 1};
    return DM_OK;
}

/* One number for each example, from its drawn point: the weight of its loss. */
static dm_status scalars(dm_ctx *c, const dm_point *at, const dm_point *before, double *out)
{
    (void)c;
    (void)before;
    out[0] = at->sigma;
    return DM_OK;
}

/* The loss of each example, f32[N]. */
static dm_val loss(dm_ctx *c, const dm_graph *g, const dm_batch *b)
{
    const dm_val F = g->network(g, b->weights, g->mul(g, b->xt, b->c_in), b->c_noise, b->labels);
    const dm_val error = g->add(g, F, g->scale(g, b->noise, -1, 0));

    (void)c;
    return g->mul(g, g->mean(g, g->mul(g, error, error)), b->scalar[0]);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "PLUGIN_NAME", .version = "1", .license = "Apache-2.0",
    .doc = "squared error of the noise, weighted by sigma",
    .objective = &(const dm_objective){.size = sizeof(dm_objective), .n_scalars = 1,
                                       .affine = affine, .scalars = scalars, .loss = loss},
};
