/* flow: the velocity of the straight line from data to noise, eps - x0 (rectified flow, Liu et al. 2022; flow matching,
 * Lipman et al. 2023), with the draws of Esser et al. 2024, section 3.1. At every point of any schedule x over
 * alpha + sigma lies on that line, at s = sigma / (alpha + sigma). */
#include <math.h>
#include <demist/plugin.h>

enum { UNIFORM, LOGIT_NORMAL, MODE };
typedef struct { int32_t times; double mean, deviation, mode, time_scale; } cfg;
typedef struct { int32_t T; } state;

static const dm_param params[] = {
    DM_ENUM(cfg, times, "uniform", "uniform|logit_normal|mode",
            "how t / T is drawn: evenly, by a logistic of a normal number (most in the middle), or by mode's weight"),
    DM_REAL(cfg, mean, "0", -20, 20, "", "of that normal number; above 0: more noise"),
    DM_REAL(cfg, deviation, "1", 1e-3, 20, "", "of that normal number"),
    DM_REAL(cfg, mode, "1.29", -1, 1.75, "", "above 0: more in the middle, below: more at both ends"),
    DM_REAL(cfg, time_scale, "1000", 1e-3, 1e6, "", "the network receives s times this"),
    DM_END,
};

static dm_status open(dm_ctx *c, const dm_data_info *data, int32_t T, int32_t *out_channels)
{
    (void)data;
    (void)out_channels;
    ((state *)c->self)->T = T;
    return DM_OK;
}

/* x / (alpha + sigma) = x0 + s (eps - x0) */
static dm_status affine(dm_ctx *c, const dm_point *p, dm_affine *a)
{
    const double all = p->alpha + p->sigma, s = p->sigma / all;

    *a = (dm_affine){1 / all, -s, 1 / all, ((const cfg *)c->cfg)->time_scale * s};
    return DM_OK;
}

static dm_val loss(dm_ctx *c, const dm_graph *g, const dm_batch *b)
{
    const dm_val out = g->network(g, b->weights, g->mul(g, b->xt, b->c_in), b->c_noise, b->labels);
    const dm_val diff = g->sub(g, out, g->sub(g, b->noise, b->x0));

    (void)c;
    return g->mean(g, g->square(g, diff));
}

static double share(const dm_ctx *c, double u)
{
    const cfg *p = c->cfg;
    const double wave = cos(acos(-1) / 2 * u);

    switch (p->times) {
    case LOGIT_NORMAL: return 1 / (1 + exp(-p->mean - p->deviation * c->host->normal_quantile(u)));
    case MODE: return 1 - u - p->mode * (wave * wave - 1 + u);
    default: return u;
    }
}

static dm_status draw(dm_ctx *c, int32_t n, const double *u, dm_point *at, double *importance)
{
    const int32_t T = ((const state *)c->self)->T;
    dm_point end;
    dm_status rc = c->host->point_at_t(c, INFINITY, &end);

    (void)importance;
    for (int32_t i = 0; i < n && !rc; i++) {
        const double v = share(c, u[i]);

        /* of a discrete schedule its levels */
        rc = c->host->point_at_t(c, T ? fmin(floor(v * T) + 1, T) : v * end.t, &at[i]);
    }
    return rc;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "flow", .version = "1", .license = "Apache-2.0",
    .doc = "velocity of the straight line from data to noise (Liu et al. 2022; Lipman et al. 2023; Esser et al. 2024)",
    .params = params, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .objective = &(const dm_objective){.size = sizeof(dm_objective), .open = open, .affine = affine,
        .loss = loss, .draw = draw},
};
