/* dpmpp: DPM-Solver++ (Lu et al. 2022) of order 1 to 3, multistep or singlestep, and with noise (SDE-DPM-Solver++).
 * In l = log-SNR / 2 the exact step is x' = (sigma' / sigma) e^-n x + alpha' int_0^H e^-(H - u) x0(u) du + noise, with
 * h = l' - l, n = eta h and H = h + n; x0 is a polynomial through predictions. */
#include <math.h>
#include <demist/plugin.h>
#include "history.h"
#include "wide_steps.h"

enum { MULTISTEP, SINGLESTEP, SINGLESTEP_GRID };
enum { MIDPOINT, HEUN };
enum { NONE, DIFFUSERS };
typedef struct {
    int64_t order;
    int32_t method, solver, compat;
    double eta;
    bool lower_order_final;
    double max_growth;
} cfg;

static const dm_param params[] = {
    DM_INT(cfg, order, "2", 1, 3, "", "order; 1 is ddim"),
    DM_ENUM(cfg, method, "multistep", "multistep|singlestep|singlestep_grid",
            "from predictions of steps before; by as many evaluations in each step as the order; or the same with "
            "these evaluations at points of the grid, so that each has order 1, 2 and so on in turn"),
    DM_ENUM(cfg, solver, "midpoint", "midpoint|heun",
            "of order 2: the paper's rule, or x0 linear in the log-SNR and integrated exactly"),
    DM_REAL(cfg, eta, "0", 0, 1, "", "noise of each step; 1 is SDE-DPM-Solver++; not with singlestep of order 3"),
    DM_BOOL(cfg, lower_order_final, "true",
            "lower order in the last steps of a walk of fewer than 15; of singlestep_grid in the last step"),
    DM_ENUM(cfg, compat, "none", "none|diffusers",
            "diffusers: its third-order weights, by which the order is 2, and with eta 1 less; and the noise of its "
            "singlestep SDE"),
    DM_REAL(cfg, max_growth, "4", 0, 1e9, "",
            "not of singlestep: a step more than this many times as long as the one before, in log-SNR, has order 1; "
            "0 = no limit"),
    DM_END,
};

/* What runs of before had. */
static const dm_earlier earlier[] = {{"max_growth", "0"}, {NULL, NULL}};

/* h: predictions of x0, and their l. since: of these, those from the base in y on (singlestep_grid). */
typedef struct { history h; dm_tensor *y, *z[2]; int since; } state;

static dm_status check(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;

    if (p->eta > 0 && s->grid[0].log_snr > s->grid[s->n].log_snr)
        return dm_fail(c, DM_EINVAL, "eta: fresh noise cannot be inverted; set eta: 0");
    if (p->eta > 0 && p->method == SINGLESTEP && p->order == 3)
        return dm_fail(c, DM_EINVAL, "eta: with method: singlestep noise is for order 1 and 2");
    return p->method == SINGLESTEP ? DM_OK : history_check(c, s, "order", p->order);
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    st->since = 0;
    return (st->y = c->host->tensor_like(c, s->x)) && (st->z[0] = c->host->tensor_like(c, s->x)) &&
           (st->z[1] = c->host->tensor_like(c, s->x)) ? history_begin(c, s, &st->h, 3) : c->err->code;
}

/* Integrals over [0,1] of H e^-(H - H v) v^k / k!, k = 0, 1, 2. */
static void integrals(double H, double w[3])
{
    w[0] = -expm1(-H);
    w[1] = 1 - w[0] / H;
    w[2] = 0.5 - w[1] / H;
    if (fabs(H) < 1e-2) { /* nothing cancels */
        w[1] = H * (0.5 - H * (1. / 6 - H * (1. / 24 - H / 120)));
        w[2] = H * (1. / 6 - H * (1. / 24 - H * (1. / 120 - H / 720)));
    }
}

/* x' of the multistep rule of this order, from m[0..order). */
static dm_status multistep(dm_ctx *c, const dm_step *s, int order, double h)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const double n = p->eta * h, H = h + n, keep = to->sigma / at->sigma * exp(-n);
    double w[3], k[3] = {0}, d1, d2, noise = to->sigma * sqrt(-expm1(-2 * n));
    dm_status rc;

    integrals(H, w);
    k[0] = w[0];
    if (order > 1) {
        const double r0 = (st->h.at[0] - st->h.at[1]) / h, r1 = order > 2 ? (st->h.at[1] - st->h.at[2]) / h : 1;

        /* D1 = (m0 - m1) / r0, and with m2: D1 + r0 D2, D2 = (D1 - (m1 - m2) / r1) / (r0 + r1) */
        d1 = order == 2 && p->solver == MIDPOINT ? w[0] / 2 : w[1];
        d2 = order == 2 ? 0 : 2 * w[2];
        if (order == 3 && p->compat == DIFFUSERS)
            d2 = p->eta > 0 ? w[2] - 1 : w[2];
        d2 = (d2 + d1 * r0) / (r0 + r1) * (order > 2);
        k[0] += (d1 + d2) / r0;
        k[1] = -(d1 + d2) / r0 - d2 / r1;
        k[2] = d2 / r1;
    }
    if (noise > 0 && (rc = c->host->randn(c, st->z[0], 0)))
        return rc;
    return c->host->sum(c, s->x, DM_SUM({keep, s->x}, {to->alpha * k[0], st->h.m[0]}, {to->alpha * k[1], st->h.m[1]},
                                        {to->alpha * k[2], st->h.m[2]}, {noise, st->z[0]}));
}

/* x' from where the first of these `order` steps began, and the predictions since. Noise, as diffusers has it, is
 * drawn anew in each. */
static dm_status singlestep_grid(dm_ctx *c, const dm_step *s, int order)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const dm_point *base = &s->grid[s->i - order + 1], *to = &s->grid[s->i + 1];
    const double h = (to->log_snr - base->log_snr) / 2, n = p->eta * h, H = h + n;
    const double noise = to->sigma * sqrt(-expm1(-2 * n));
    const double r0 = (st->h.at[0] - base->log_snr / 2) / h, r1 = order > 2 ? (st->h.at[1] - st->h.at[2]) / h : 0;
    double w[3], k[3] = {0};
    dm_status rc;

    integrals(H, w);
    if (order == 2) {
        k[0] = (p->solver == MIDPOINT ? w[0] / 2 : w[1]) / r0;
    } else if (order == 3 && p->solver == MIDPOINT) {
        k[0] = w[1] / r0;
    } else if (order == 3) { /* the parabola */
        const double w2 = p->compat == DIFFUSERS && p->eta > 0 ? w[2] - 1 : w[2];

        k[0] = (2 * w2 - w[1] * r1) / (r0 - r1) / r0;
        k[1] = (w[1] * r0 - 2 * w2) / (r0 - r1) / r1;
    }
    k[order - 1] = w[0] - k[0] - k[1] - k[2];
    if ((order == 1 && (rc = c->host->sum(c, st->y, DM_SUM({1, s->x})))) ||
        (noise > 0 && (rc = c->host->randn(c, st->z[0], 0))))
        return rc;
    return c->host->sum(c, s->x, DM_SUM({to->sigma / base->sigma * exp(-n), st->y}, {to->alpha * k[0], st->h.m[0]},
                                        {to->alpha * k[1], st->h.m[1]}, {to->alpha * k[2], st->h.m[2]},
                                        {noise, st->z[0]}));
}

/* x0 at the share r of the step, from what is in y; all but the first by the slope so far, (m[k] - m[0]) / q. */
static dm_status stage(dm_ctx *c, const dm_step *s, double h, double r, int k, double q, dm_point *mid)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const dm_point *at = &s->grid[s->i];
    double w[3], l, n;
    dm_status rc;

    if ((rc = c->host->point_at_log_snr(c, at->log_snr + 2 * r * h, mid)))
        return rc;
    l = (mid->log_snr - at->log_snr) / 2;
    n = p->eta * l;
    integrals(l + n, w);
    if ((n > 0 && (rc = c->host->randn(c, st->z[0], 0))) ||
        (rc = c->host->sum(c, st->y, DM_SUM({mid->sigma / at->sigma * exp(-n), s->x},
                                            {mid->alpha * (w[0] - (k ? w[1] * r / q : 0)), st->h.m[0]},
                                            {k ? mid->alpha * w[1] * r / q : 0, st->h.m[k]},
                                            {mid->sigma * sqrt(-expm1(-2 * n)), st->z[0]}))))
        return rc;
    return c->host->predict(c, st->y, mid, &(dm_pred){.x0 = st->h.m[k + 1]});
}

/* A step's noise: that of its first part, as it is at the end, and of its second. diffusers has a Brownian motion in
 * sigma / alpha, whose first part weighs otherwise. */
static void noise_of_parts(const cfg *p, const dm_point *at, const dm_point *mid, const dm_point *to, double z[2])
{
    const double n = p->eta * (to->log_snr - at->log_snr) / 2, second = p->eta * (to->log_snr - mid->log_snr) / 2;
    const double s = at->sigma / at->alpha, share = (s - mid->sigma / mid->alpha) / (s - to->sigma / to->alpha);
    const double all = to->sigma * sqrt(-expm1(-2 * n));

    z[0] = p->compat == DIFFUSERS ? all * sqrt(share) : to->sigma * exp(-second) * sqrt(-expm1(-2 * (n - second)));
    z[1] = p->compat == DIFFUSERS ? all * sqrt(1 - share) : to->sigma * sqrt(-expm1(-2 * second));
}

/* The paper's algorithm 1, and its third order after DPM-Solver-3 (Lu et al. 2022a, appendix B.3). */
static dm_status singlestep(dm_ctx *c, const dm_step *s, int order, double h)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const dm_tensor *last = order == 2 ? st->h.m[1] : st->h.m[2];
    double w[3], k, z[2] = {0};
    dm_point mid;
    dm_status rc;

    if ((rc = stage(c, s, h, order == 2 ? 0.5 : 1. / 3, 0, 1, &mid)) ||
        (order == 3 && (rc = stage(c, s, h, 2. / 3, 1, 1. / 3, &mid))))
        return rc;
    if (p->eta > 0) {
        noise_of_parts(p, at, &mid, to, z);
        if ((rc = c->host->randn(c, st->z[1], 1)))
            return rc;
    }
    integrals(h + p->eta * h, w);
    k = order == 3 ? w[1] * 1.5 : p->solver == MIDPOINT ? w[0] : 2 * w[1];
    return c->host->sum(c, s->x, DM_SUM({to->sigma / at->sigma * exp(-p->eta * h), s->x},
                                        {to->alpha * (w[0] - k), st->h.m[0]}, {to->alpha * k, last}, {z[0], st->z[0]},
                                        {z[1], st->z[1]}));
}

/* To the data, or where one end of the step has no signal. */
static dm_status without_end(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    dm_status rc;

    if (p->eta > 0 && s->grid[s->i + 1].sigma > 0 && (rc = c->host->randn(c, st->z[0], 0)))
        return rc;
    return endless_step(c, s, st->h.m[0], p->eta > 0 ? st->z[0] : NULL);
}

/* 1 to the order in turn, and 1 in a last step that would be of the whole order, or at the data. */
static int order_in_turn(const cfg *p, const state *st, const dm_step *s, double h)
{
    const int turn = s->i % (int)p->order + 1, most = st->since + 1;
    const bool last = s->i == s->n - 1 && ((p->lower_order_final && turn == p->order) || isinf(h));

    return last || goes_too_far(p->max_growth, st->h.at, most, h) ? 1 : turn < most ? turn : most;
}

static int order_of(const cfg *p, const state *st, const dm_step *s, double h)
{
    const int left = s->n - s->i, most = p->lower_order_final && s->n < 15 && left < (int)p->order ? left
                                                                                                   : (int)p->order;

    if (p->method == SINGLESTEP)
        return most;
    return goes_too_far(p->max_growth, st->h.at, st->h.have, h) ? 1 : st->h.have < most ? st->h.have : most;
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const double h = (to->log_snr - at->log_snr) / 2;
    int order;
    dm_status rc;

    if (p->method != SINGLESTEP)
        history_push(&st->h, at->log_snr / 2);
    order = p->method == SINGLESTEP_GRID ? order_in_turn(p, st, s, h) : order_of(p, st, s, h);
    st->since = isinf(h) ? 0 : order;
    if ((rc = c->host->predict(c, s->x, at, &(dm_pred){.x0 = st->h.m[0]})))
        return rc;
    if (isinf(h))
        return without_end(c, s);
    if (p->method == SINGLESTEP_GRID)
        return singlestep_grid(c, s, order);
    return p->method == MULTISTEP || order == 1 ? multistep(c, s, order, h) : singlestep(c, s, order, h);
}

/* Of order 1 the step is ddim's: with eta 1 the posterior's. */
static dm_status log_var(dm_ctx *c, const dm_step *s, double *out)
{
    const cfg *p = c->cfg;
    dm_posterior q;
    dm_status rc;

    if (p->order > 1 || p->eta < 1)
        return dm_fail(c, DM_EINVAL, "its steps are those of a likelihood with order: 1, eta: 1");
    if (!(rc = c->host->posterior(c, &s->grid[s->i], &s->grid[s->i + 1], &q)))
        *out = q.log_var;
    return rc;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "dpmpp", .version = "1", .license = "Apache-2.0",
    .doc = "DPM-Solver++ of order 1 to 3, without or with noise (Lu et al. 2022)",
    .params = params, .earlier = earlier, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .inverts = true, .check = check, .begin = begin,
        .step = step, .log_var = log_var},
};
