/* huber: the pseudo-Huber loss of the noise, which far-off examples pull less than the squared error. */
#include <demist/plugin.h>

typedef struct { double c; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, c, "0.1", 1e-6, 100, "", "errors far below it count by their square, far above it by their size"),
    DM_END,
};

/* What the network's output F means: x0 = c_skip x + c_out F(c_in x, c_noise). Here F is the noise. */
static dm_status affine(dm_ctx *c, const dm_point *p, dm_affine *a)
{
    if (p->alpha == 0)
        return dm_fail(c, DM_EINVAL, "no signal is left at t = %g, so the noise says nothing of x0", p->t);
    *a = (dm_affine){1 / p->alpha, -p->sigma / p->alpha, 1, p->t - 1};
    return DM_OK;
}

/* The loss of each example, f32[N]: the mean of sqrt(e^2 + c^2) - c. */
static dm_val loss(dm_ctx *c, const dm_graph *g, const dm_batch *b)
{
    const double k = ((const cfg *)c->cfg)->c;
    const dm_val F = g->network(g, b->weights, g->mul(g, b->xt, b->c_in), b->c_noise, b->labels);
    const dm_val e = g->sub(g, F, b->noise);

    return g->scale(g, g->mean(g, g->sqrt(g, g->scale(g, g->square(g, e), 1, k * k))), 1, -k);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "huber", .version = "1", .license = "Apache-2.0",
    .doc = "pseudo-Huber loss of the noise",
    .params = params, .cfg_size = sizeof(cfg),
    .objective = &(const dm_objective){.size = sizeof(dm_objective), .affine = affine, .loss = loss},
};
