/* vlb: the variational bound alone, one term an example, in bits a dimension (Ho et al. 2020 eq. 5; Nichol & Dhariwal
 * 2021 section 3.3, who draw t by importance: objective.draw). One term stands for all T: the mean over t is the bound
 * without L_T, in which nothing can be learned. */
#include <demist/plugin.h>

enum { EPS, X0, V };
enum { RANGE, LOG, FIXED_SMALL, FIXED_LARGE };
typedef struct { int32_t predict, variance; } cfg;
typedef struct { int32_t T, levels; } state;

static const dm_param params[] = {
    DM_ENUM(cfg, predict, "eps", "eps|x0|v", "what the network's output, or the first half of it, means"),
    DM_ENUM(cfg, variance, "range", "range|log|fixed_small|fixed_large",
            "second half of the output: a place between the posterior's log-variance and log beta, or the "
            "log-variance; or no second half, and the posterior's variance, or beta"),
    DM_END,
};

static bool learns(const dm_ctx *c) { return ((const cfg *)c->cfg)->variance <= LOG; }

static dm_status open_(dm_ctx *c, const dm_data_info *data, int32_t T, int32_t *out_channels)
{
    state *st = c->self;

    if (T == 0)
        return dm_fail(c, DM_EINVAL, "the bound needs a discrete schedule");
    if (data->levels < 2 || data->low != -1 || data->high != 1)
        return dm_fail(c, DM_EINVAL, "the bound needs pixels of known levels in [-1, 1], not %d levels in [%g, %g]",
                       data->levels, data->low, data->high);
    *st = (state){T, data->levels};
    if (learns(c))
        *out_channels *= 2;
    return DM_OK;
}

static dm_status affine(dm_ctx *c, const dm_point *p, dm_affine *a)
{
    switch (((const cfg *)c->cfg)->predict) {
    case EPS:
        if (p->alpha == 0)
            return dm_fail(c, DM_EINVAL, "no signal is left at t = %g, so eps tells nothing about x0; use predict: "
                                         "v or x0",
                           p->t);
        *a = (dm_affine){1 / p->alpha, -p->sigma / p->alpha, 1, p->t - 1};
        return DM_OK;
    case X0: *a = (dm_affine){0, 1, 1, p->t - 1}; return DM_OK;
    default: *a = (dm_affine){p->alpha, -p->sigma, 1, p->t - 1}; return DM_OK;
    }
}

/* On the step to the data, whose posterior has no variance, the decoder's is that of the step before it, fixed_large
 * too: beta would be far more than the data's last noise. */
static dm_status log_var(dm_ctx *c, const dm_point *at, const dm_point *to, double k[2])
{
    const int32_t variance = ((const cfg *)c->cfg)->variance;
    dm_posterior q;
    const dm_status rc = c->host->posterior(c, at, to, &q);

    if (rc)
        return rc;
    k[0] = variance == RANGE ? (q.log_beta + q.log_var) / 2
         : variance == LOG ? 0
         : variance == FIXED_LARGE && to->sigma > 0 ? q.log_beta : q.log_var;
    k[1] = variance == RANGE ? (q.log_beta - q.log_var) / 2 : variance == LOG;
    return DM_OK;
}

enum { C_X0, Q_LOG_VAR, LV0, LV1, W_KL, W_NLL, N_SCALARS };
static dm_status scalars(dm_ctx *c, const dm_point *at, const dm_point *before, double *out)
{
    const double w = ((const state *)c->self)->T / 0.69314718055994530942;
    dm_posterior q;
    dm_status rc;

    if ((rc = c->host->posterior(c, at, before, &q)) || (rc = log_var(c, at, before, out + LV0)))
        return rc;
    out[C_X0] = q.c_x0;
    out[Q_LOG_VAR] = q.log_var;
    out[W_KL] = before->sigma == 0 ? 0 : w;
    out[W_NLL] = before->sigma == 0 ? w : 0;
    return DM_OK;
}

/* Both means have the same part of x_t, so it is left out of their KL divergence; on the step to the data it is 0. */
static dm_val loss(dm_ctx *c, const dm_graph *g, const dm_batch *b)
{
    const state *st = c->self;
    const dm_val *k = b->scalar;
    const int64_t C = g->shape(g, b->x0).dim[1];
    const dm_val out = g->network(g, b->weights, g->mul(g, b->xt, b->c_in), b->c_noise, b->labels);
    const dm_val first = learns(c) ? g->slice(g, out, 1, 0, C) : out;
    const dm_val x0 = g->add(g, g->mul(g, b->xt, b->c_skip), g->mul(g, first, b->c_out));
    const dm_val mean = g->mul(g, x0, k[C_X0]), true_mean = g->mul(g, b->x0, k[C_X0]);
    const dm_val second = learns(c) ? g->slice(g, out, 1, C, C) : g->scale(g, b->x0, 0, 0);
    const dm_val lv = g->add(g, g->mul(g, second, k[LV1]), k[LV0]);
    const dm_val kl = g->mean(g, g->gaussian_kl(g, true_mean, k[Q_LOG_VAR], mean, lv));
    const dm_val nll = g->mean(g, g->discretized_nll(g, b->x0, mean, lv, st->levels));

    return g->add(g, g->mul(g, kl, k[W_KL]), g->mul(g, nll, k[W_NLL]));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "vlb", .version = "1", .license = "Apache-2.0",
    .doc = "variational bound of learned or fixed variances (Ho et al. 2020, eq. 5; Nichol & Dhariwal 2021)",
    .params = params, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .objective = &(const dm_objective){.size = sizeof(dm_objective), .n_scalars = N_SCALARS, .open = open_,
        .affine = affine, .log_var = log_var, .scalars = scalars, .loss = loss},
};
