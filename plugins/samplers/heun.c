/* heun: the second-order sampler of Karras et al. 2022, algorithm 2, with churn: each step may first go back to more
 * noise. In s = sigma / alpha; a step is Euler's from s to s', which is ddim's, put right by the slope found there. */
#include <math.h>
#include <demist/plugin.h>
#include "wide_steps.h"

typedef struct { double churn, s_min, s_max, s_noise; bool correct; double max_drop; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, churn, "0", 0, 1e6, "", "noise added over the walk (S_churn); 0 = none, deterministic"),
    DM_REAL(cfg, s_min, "0", 0, 1e9, "", "least sigma / alpha at which it is added (S_tmin)"),
    DM_REAL(cfg, s_max, "1e9", 0, 1e9, "", "greatest sigma / alpha at which it is added (S_tmax)"),
    DM_REAL(cfg, s_noise, "1", 0, 10, "", "standard deviation of that noise (S_noise)"),
    DM_BOOL(cfg, correct, "true", "the second evaluation; false is Euler's method, of first order, with churn"),
    DM_REAL(cfg, max_drop, "4", 0, 1e9, "",
            "no correction where sigma / alpha changes by more than this factor in a step; 0 = no limit"),
    DM_END,
};

/* What runs of before had. */
static const dm_earlier earlier[] = {{"max_drop", "0"}, {NULL, NULL}};

typedef struct { dm_tensor *x0, *eps, *y, *slope; } state;

static dm_status check(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;

    if (s->grid[0].log_snr > s->grid[s->n].log_snr && p->churn > 0)
        return dm_fail(c, DM_EINVAL, "churn: fresh noise cannot be inverted; set churn: 0");
    if (p->s_min > p->s_max)
        return dm_fail(c, DM_EINVAL, "s_min: %g is above s_max, %g", p->s_min, p->s_max);
    return DM_OK;
}

/* There is no slope at the data, nor an s without a signal. */
static bool corrects(const cfg *p, const dm_point *at, const dm_point *to)
{
    return p->correct && to->sigma > 0 && at->alpha > 0 && !drops_too_far(p->max_drop, at, to);
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    return (st->x0 = c->host->tensor_like(c, s->x)) && (st->eps = c->host->tensor_like(c, s->x)) &&
           (st->y = c->host->tensor_like(c, s->x)) && (st->slope = c->host->tensor_like(c, s->x)) ? DM_OK
                                                                                                  : c->err->code;
}

/* Line 5 and 6: to s (1 + gamma), no further than the schedule goes. */
static dm_status churn(dm_ctx *c, const dm_step *s, dm_point *at)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const double now = at->sigma / at->alpha, gamma = fmin(p->churn / s->n, sqrt(2) - 1);
    dm_point hat;
    double to;
    dm_status rc;

    if (!(gamma > 0 && now >= p->s_min && now <= p->s_max))
        return DM_OK;
    if ((rc = c->host->point_at_log_snr(c, -2 * log(now * (1 + gamma)), &hat)) || !((to = hat.sigma / hat.alpha) > now))
        return rc;
    if ((rc = c->host->randn(c, st->y, 0)) ||
        (rc = c->host->sum(c, s->x, DM_SUM({hat.alpha / at->alpha, s->x},
                                           {hat.alpha * p->s_noise * sqrt((to - now) * (to + now)), st->y}))))
        return rc;
    *at = hat;
    return DM_OK;
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const dm_point *to = &s->grid[s->i + 1];
    dm_point at = s->grid[s->i];
    double half;
    dm_status rc;

    if ((rc = churn(c, s, &at)) || (rc = c->host->predict(c, s->x, &at, &(dm_pred){.x0 = st->x0, .eps = st->eps})))
        return rc;
    if (!corrects(p, &at, to))
        return c->host->sum(c, s->x, DM_SUM({to->alpha, st->x0}, {to->sigma, st->eps}));
    half = (to->sigma - to->alpha * (at.sigma / at.alpha)) / 2;
    if ((rc = c->host->sum(c, st->y, DM_SUM({to->alpha, st->x0}, {to->sigma, st->eps}))) ||
        (rc = c->host->predict(c, st->y, to, &(dm_pred){.eps = st->slope})))
        return rc;
    return c->host->sum(c, s->x, DM_SUM({1, st->y}, {-half, st->eps}, {half, st->slope}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "heun", .version = "1", .license = "Apache-2.0",
    .doc = "second order by Heun's method, with churn (Karras et al. 2022, algorithm 2)",
    .params = params, .earlier = earlier, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .inverts = true, .check = check, .begin = begin,
        .step = step},
};
