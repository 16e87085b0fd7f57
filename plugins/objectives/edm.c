/* edm: a network preconditioned so that its input and its target have unit variance at every noise level, which is
 * drawn log-normally (Karras et al. 2022, table 1 and eq. 5-8). s = sigma / alpha is the noise of x / alpha. */
#include <math.h>
#include <demist/plugin.h>

typedef struct { double sigma_data, mean, deviation; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, sigma_data, "0.5", 1e-6, 1e6, "", "standard deviation of the data"),
    DM_REAL(cfg, mean, "-1.2", -50, 50, "", "of ln s, the noise levels that are trained"),
    DM_REAL(cfg, deviation, "1.2", 0, 50, "", "of ln s; levels beyond the schedule's ends are moved to its ends"),
    DM_END,
};

static dm_status noise_of(dm_ctx *c, const dm_point *p, double *s)
{
    if (!(p->alpha > 0 && p->sigma > 0))
        return dm_fail(c, DM_EINVAL, "edm needs a signal and noise; at t = %g alpha is %g and sigma %g", p->t, p->alpha,
                       p->sigma);
    *s = p->sigma / p->alpha;
    return DM_OK;
}

static dm_status affine(dm_ctx *c, const dm_point *p, dm_affine *a)
{
    const double d = ((const cfg *)c->cfg)->sigma_data;
    double s = 0;
    const dm_status rc = noise_of(c, p, &s);

    if (rc)
        return rc;
    *a = (dm_affine){d * d / (s * s + d * d) / p->alpha, s * d / hypot(s, d), 1 / hypot(s, d) / p->alpha, log(s) / 4};
    return DM_OK;
}

/* target = (x0 - c_skip x) / c_out = k0 x0 + k1 noise; EDM's weight of the error in x0 makes that of this error 1. */
enum { K0, K1, N_SCALARS };
static dm_status scalars(dm_ctx *c, const dm_point *at, const dm_point *before, double *out)
{
    const double d = ((const cfg *)c->cfg)->sigma_data;
    double s = 0;
    const dm_status rc = noise_of(c, at, &s);

    (void)before;
    if (rc)
        return rc;
    out[K0] = s / (d * hypot(s, d));
    out[K1] = -d / hypot(s, d);
    return DM_OK;
}

static dm_val loss(dm_ctx *c, const dm_graph *g, const dm_batch *b)
{
    const dm_val out = g->network(g, b->weights, g->mul(g, b->xt, b->c_in), b->c_noise, b->labels);
    const dm_val target = g->add(g, g->mul(g, b->x0, b->scalar[K0]), g->mul(g, b->noise, b->scalar[K1]));
    const dm_val diff = g->add(g, out, g->scale(g, target, -1, 0));

    (void)c;
    return g->mean(g, g->mul(g, diff, diff));
}

static dm_status draw(dm_ctx *c, int32_t n, const double *u, dm_point *at, double *importance)
{
    const cfg *p = c->cfg;
    dm_status rc = DM_OK;

    (void)importance;
    for (int32_t i = 0; i < n && !rc; i++)
        rc = c->host->point_at_log_snr(c, -2 * (p->mean + p->deviation * c->host->normal_quantile(u[i])), &at[i]);
    return rc;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "edm", .version = "1", .license = "Apache-2.0",
    .doc = "preconditioned network, noise levels drawn log-normally (Karras et al. 2022)",
    .params = params, .cfg_size = sizeof(cfg),
    .objective = &(const dm_objective){.size = sizeof(dm_objective), .n_scalars = N_SCALARS, .affine = affine,
        .scalars = scalars, .loss = loss, .draw = draw},
};
