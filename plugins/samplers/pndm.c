/* pndm: pseudo numerical methods (Liu et al. 2022): ddim's step with eps mixed of the predictions so far by
 * Adams-Bashforth's weights, which are those of even steps. iPNDM (Zhang & Chen 2023) is start: lower_order. */
#include <demist/plugin.h>
#include "history.h"

enum { LOWER_ORDER, REPEAT, RUNGE_KUTTA };
typedef struct { int64_t order; int32_t start; } cfg;

static const dm_param params[] = {
    DM_INT(cfg, order, "4", 1, 4, "", "predictions that are mixed; 1 is ddim. The error falls as steps^-2 from 2 on"),
    DM_ENUM(cfg, start, "lower_order", "lower_order|repeat|runge_kutta",
            "the first steps: with what predictions there are (iPNDM), the first step a second time with the mean of "
            "the predictions at its ends (PLMS), or three of four evaluations each (PRK)"),
    DM_END,
};

static const double adams_bashforth[4][4] = {
    {1}, {3. / 2, -1. / 2}, {23. / 12, -16. / 12, 5. / 12}, {55. / 24, -59. / 24, 37. / 24, -9. / 24}};

/* h: predictions of eps, by their number. x0 at this point; the mix, and an x of which it is a part. */
typedef struct { dm_tensor *x0, *stage, *mix, *y; history h; } state;

static dm_status check(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;

    if (!(s->grid[0].alpha > 0) || !(s->grid[s->n].alpha > 0))
        return dm_fail(c, DM_EINVAL, "needs some signal at both ends of the grid");
    return history_check(c, s, "order", p->order);
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    return (st->x0 = c->host->tensor_like(c, s->x)) && (st->stage = c->host->tensor_like(c, s->x)) &&
           (st->mix = c->host->tensor_like(c, s->x)) && (st->y = c->host->tensor_like(c, s->x))
               ? history_begin(c, s, &st->h, 4)
               : c->err->code;
}

/* out := where ddim goes with eps = e: alpha' / alpha (x - sigma e) + sigma' e, x made of its x0 and e[0]. */
static dm_status transfer(dm_ctx *c, const dm_step *s, const dm_point *to, const dm_tensor *e, dm_tensor *out)
{
    const state *st = c->self;
    const dm_point *at = &s->grid[s->i];
    const double k = to->sigma - to->alpha * at->sigma / at->alpha;

    return c->host->sum(c, out, DM_SUM({to->alpha, st->x0}, {to->sigma - k, st->h.m[0]}, {k, e}));
}

/* One more prediction, at where e leads, into stage and, times w, into the mix. */
static dm_status add_stage(dm_ctx *c, const dm_step *s, const dm_point *to, const dm_tensor *e, double w)
{
    const state *st = c->self;
    dm_status rc;

    if ((rc = transfer(c, s, to, e, st->y)) || (rc = c->host->predict(c, st->y, to, &(dm_pred){.eps = st->stage})))
        return rc;
    return c->host->sum(c, st->mix, DM_SUM({1, st->mix}, {w, st->stage}));
}

/* Eq. 13: Runge and Kutta's weights, half way in t. */
static dm_status runge_kutta(dm_ctx *c, const dm_step *s, const dm_point *to)
{
    const state *st = c->self;
    dm_point mid;
    dm_status rc;

    if ((rc = c->host->point_at_t(c, (s->grid[s->i].t + to->t) / 2, &mid)) ||
        (rc = c->host->sum(c, st->mix, DM_SUM({1. / 6, st->h.m[0]}))) ||
        (rc = add_stage(c, s, &mid, st->h.m[0], 1. / 3)) || (rc = add_stage(c, s, &mid, st->stage, 1. / 3)))
        return rc;
    return add_stage(c, s, to, st->stage, 1. / 6);
}

static dm_status mix(dm_ctx *c, const dm_step *s, const dm_point *to)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const double *k = adams_bashforth[(st->h.have < p->order ? st->h.have : p->order) - 1];
    dm_status rc;

    if (to->sigma > 0 && p->order > 1 && st->h.have < p->order && p->start == RUNGE_KUTTA)
        return runge_kutta(c, s, to);
    if (to->sigma > 0 && p->order > 1 && st->h.have == 1 && p->start == REPEAT) {
        rc = c->host->sum(c, st->mix, DM_SUM({0.5, st->h.m[0]}));
        return rc ? rc : add_stage(c, s, to, st->h.m[0], 0.5);
    }
    return c->host->sum(c, st->mix, DM_SUM({k[0], st->h.m[0]}, {k[1], st->h.m[1]}, {k[2], st->h.m[2]},
                                           {k[3], st->h.m[3]}));
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    dm_status rc;

    history_push(&st->h, s->i);
    if ((rc = c->host->predict(c, s->x, at, &(dm_pred){.x0 = st->x0, .eps = st->h.m[0]})) || (rc = mix(c, s, to)))
        return rc;
    return transfer(c, s, to, st->mix, s->x);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "pndm", .version = "1", .license = "Apache-2.0",
    .doc = "pseudo linear multistep method (Liu et al. 2022), and iPNDM (Zhang & Chen 2023)",
    .params = params, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .inverts = true, .check = check, .begin = begin,
        .step = step},
};
