/* deis: exponential integrator of order 1 to 3 (Zhang & Chen 2023, tAB-DEIS in the log-SNR). In l = log-SNR / 2 the
 * exact step is x' = alpha' / alpha x - sigma' int_0^h e^(h - u) eps(u) du, h = l' - l; eps is a polynomial through the
 * predictions of this step and of those before. */
#include <math.h>
#include <demist/plugin.h>
#include "history.h"
#include "wide_steps.h"

typedef struct { int64_t order; bool lower_order_final; double max_growth; } cfg;

static const dm_param params[] = {
    DM_INT(cfg, order, "3", 1, 3, "", "order; 1 is ddim"),
    DM_BOOL(cfg, lower_order_final, "true", "lower order in the last steps of a walk of fewer than 15"),
    DM_REAL(cfg, max_growth, "4", 0, 1e9, "",
            "a step more than this many times as long as the one before, in log-SNR, has order 1; 0 = no limit"),
    DM_END,
};

/* What runs of before had. */
static const dm_earlier earlier[] = {{"max_growth", "0"}, {NULL, NULL}};

/* h: predictions of eps, and their l. */
typedef struct { dm_tensor *x0; history h; } state;

static dm_status check(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;

    return history_check(c, s, "order", p->order);
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    return (st->x0 = c->host->tensor_like(c, s->x)) ? history_begin(c, s, &st->h, 3) : c->err->code;
}

/* Integrals over [0,1] of h e^(h - h v) v and of h e^(h - h v) v^2. */
static void integrals(double h, double w[2])
{
    w[0] = expm1(h) / h - 1;
    w[1] = 2 * (w[0] / h - 0.5);
    if (fabs(h) < 1e-2) { /* nothing cancels */
        w[0] = h * (0.5 + h * (1. / 6 + h * (1. / 24 + h / 120)));
        w[1] = h * (1. / 3 + h * (1. / 12 + h * (1. / 60 + h / 360)));
    }
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const double h = (to->log_snr - at->log_snr) / 2;
    const int left = s->n - s->i;
    double w[2], k[3] = {0}, q = 0;
    int order;
    dm_status rc;

    history_push(&st->h, at->log_snr / 2);
    order = st->h.have < p->order ? st->h.have : (int)p->order;
    if (p->lower_order_final && s->n < 15 && left < order)
        order = left;
    if (goes_too_far(p->max_growth, st->h.at, st->h.have, h))
        order = 1;
    if ((rc = c->host->predict(c, s->x, at, &(dm_pred){.x0 = st->x0, .eps = st->h.m[0]})))
        return rc;
    if (order > 1 && !isinf(h)) {
        const double r0 = (st->h.at[0] - st->h.at[1]) / h, r1 = order > 2 ? (st->h.at[1] - st->h.at[2]) / h : 1;

        integrals(h, w);
        if (order > 2)
            q = (w[1] + w[0] * r0) / (r0 + r1);
        k[0] = (w[0] + q) / r0;
        k[1] = -(w[0] + q) / r0 - q / r1;
        k[2] = q / r1;
    }
    return c->host->sum(c, s->x, DM_SUM({to->alpha, st->x0}, {to->sigma * (1 - k[0]), st->h.m[0]},
                                        {-to->sigma * k[1], st->h.m[1]}, {-to->sigma * k[2], st->h.m[2]}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "deis", .version = "1", .license = "Apache-2.0",
    .doc = "exponential integrator in the log-SNR of order 1 to 3 (Zhang & Chen 2023)",
    .params = params, .earlier = earlier, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .inverts = true, .check = check, .begin = begin,
        .step = step},
};
