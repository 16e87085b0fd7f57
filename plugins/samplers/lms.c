/* lms: linear multistep method of order 1 to 4 in s = sigma / alpha (Karras et al. 2022's ODE, as in k-diffusion):
 * x' / alpha' = x / alpha + int_s^s' eps(s) ds, eps a polynomial in s through the predictions so far. To invert, the
 * order is the highest that is stable. */
#include <math.h>
#include <demist/plugin.h>
#include "history.h"

enum { MOST = 4 };
typedef struct { int64_t order; } cfg;

static const dm_param params[] = {
    DM_INT(cfg, order, "4", 1, MOST, "", "order; 1 is ddim"),
    DM_END,
};

/* h: predictions of eps, and their s. */
typedef struct { dm_tensor *x0; history h; } state;

static dm_status check(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;

    if (p->order > 1 && !(s->grid[s->n].alpha > 0))
        return dm_fail(c, DM_EINVAL, "sigma / alpha has no end where no signal is left; use ddim to invert");
    return history_check(c, s, "order", p->order);
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    return (st->x0 = c->host->tensor_like(c, s->x)) ? history_begin(c, s, &st->h, MOST) : c->err->code;
}

/* The integral from s[0] to `to` of the polynomial that is 1 at s[k] and 0 at the others; Gauss' rule of two points has
 * no error for a cubic. */
static double weight(const double *s, int n, int k, double to)
{
    double sum = 0;

    for (int side = -1; side <= 1; side += 2) {
        const double at = (s[0] + to) / 2 + side * (to - s[0]) / 2 / sqrt(3);
        double v = 1;

        for (int j = 0; j < n; j++)
            v *= j == k ? 1 : (at - s[j]) / (s[k] - s[j]);
        sum += v / 2;
    }
    return sum * (to - s[0]);
}

/* The highest order up to `most` that is stable over a step that s grows by. Where the model finds the same x0 from all
 * around, x / alpha goes away from it in proportion to s, and errors must not grow faster: over steps of one ratio, the
 * largest root of (s' / s) z^n = z^(n - 1) + the sum of weight_k z^(n - 1 - k) leaves 1 at 3, 1.79 and 1.36 for orders
 * 2, 3 and 4. Between the limits and these, errors fade too slowly. Falling s is stable at any ratio. */
static int stable_order(double growth, int most)
{
    static const double limits[MOST] = {INFINITY, 1.75, 1.4, 1.2};

    while (most > 1 && growth > limits[most - 1])
        most--;
    return most;
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    double k[MOST] = {0};
    int order;
    dm_status rc;

    history_push(&st->h, at->sigma / at->alpha);
    order = stable_order(to->sigma / to->alpha / st->h.at[0], st->h.have < p->order ? st->h.have : (int)p->order);
    if ((rc = c->host->predict(c, s->x, at, &(dm_pred){.x0 = st->x0, .eps = st->h.m[0]})))
        return rc;
    k[0] = to->sigma;
    for (int i = 1; i < order; i++) {
        k[i] = to->alpha * weight(st->h.at, order, i, to->sigma / to->alpha);
        k[0] -= k[i];
    }
    return c->host->sum(c, s->x, DM_SUM({to->alpha, st->x0}, {k[0], st->h.m[0]}, {k[1], st->h.m[1]}, {k[2], st->h.m[2]},
                                        {k[3], st->h.m[3]}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "lms", .version = "1", .license = "Apache-2.0",
    .doc = "linear multistep method in sigma / alpha (Karras et al. 2022, eq. 4)",
    .params = params, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .inverts = true, .check = check, .begin = begin,
        .step = step},
};
