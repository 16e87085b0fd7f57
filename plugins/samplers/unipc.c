/* unipc: predictor and corrector of order 1 to 3 (Zhao et al. 2023), by predictions of x0. The corrector of a step runs
 * at its end: the evaluation that it needs is the one that the next step begins with. */
#include <math.h>
#include <demist/plugin.h>
#include "history.h"
#include "solve.h"
#include "wide_steps.h"

enum { BH1, BH2 };
typedef struct {
    int64_t order;
    int32_t solver;
    bool corrector, lower_order_final;
    dm_ints disable_corrector;
    double max_growth;
} cfg;

static const dm_param params[] = {
    DM_INT(cfg, order, "2", 1, 3, "", "order of the predictor"),
    DM_ENUM(cfg, solver, "bh2", "bh1|bh2", "B(h) of the paper: h, or e^h - 1"),
    DM_BOOL(cfg, corrector, "true", "correct each step by the evaluation at its end"),
    DM_INTS(cfg, disable_corrector, "[]", 0, 1000000, "steps", "steps that are not corrected, counted from 0"),
    DM_BOOL(cfg, lower_order_final, "true", "limit the order to the number of remaining steps"),
    DM_REAL(cfg, max_growth, "4", 0, 1e9, "",
            "a step more than this many times as long as the one before, in log-SNR, has order 1; 0 = no limit"),
    DM_END,
};

/* What runs of before had. */
static const dm_earlier earlier[] = {{"max_growth", "0"}, {NULL, NULL}};

/* h: predictions of x0 and l = log-SNR / 2 of each, three and that of where the predictor goes, in y. */
typedef struct { history h; dm_tensor *y; } state;

static dm_status check(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;

    return history_check(c, s, "order", p->order);
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    return (st->y = c->host->tensor_like(c, s->x)) ? history_begin(c, s, &st->h, 4) : c->err->code;
}

/* out := sigma' / sigma x + alpha' (1 - e^-h) m0 - alpha' B sum_k rho_k (m_k - m0) / r_k, with m at `to` the last. */
static dm_status combine(dm_ctx *c, const dm_step *s, int n, const double *rho, const double *r, double h, double B,
                         bool correct)
{
    const state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    double k[4] = {-to->alpha * expm1(-h), 0, 0, 0};

    for (int i = 0; i < n; i++) {
        const int at_to = correct && i == n - 1;
        const double w = -to->alpha * B * rho[i] / r[i];

        k[at_to ? 3 : i + 1] = w;
        k[0] -= w;
    }
    return c->host->sum(c, correct ? s->x : st->y,
                        DM_SUM({to->sigma / at->sigma, s->x}, {k[0], st->h.m[0]}, {k[1], st->h.m[1]},
                               {k[2], st->h.m[2]}, {k[3], history_next(&st->h)}));
}

static bool corrects(const dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;

    for (int32_t i = 0; i < p->disable_corrector.n; i++)
        if (p->disable_corrector.v[i] == s->i)
            return false;
    return p->corrector && s->i < s->n - 1; /* nobody evaluates at the last point */
}

static dm_status advance(dm_ctx *c, const dm_step *s, int order)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const dm_point *to = &s->grid[s->i + 1];
    const double h = to->log_snr / 2 - st->h.at[0], B = p->solver == BH1 ? -h : expm1(-h);
    double r[3], b[3], rho[3], phi = expm1(-h) / -h - 1, factorial = 1;
    dm_status rc;

    for (int i = 0; i < order; i++) {
        r[i] = i < order - 1 ? (st->h.at[i + 1] - st->h.at[0]) / h : 1;
        b[i] = phi * factorial / B;
        factorial *= i + 2;
        phi = phi / -h - 1 / factorial;
    }
    if (order == 2)
        rho[0] = 0.5;
    else
        solve(order - 1, r, b, rho);
    if ((rc = combine(c, s, order - 1, rho, r, h, B, false)))
        return rc;
    if (!corrects(c, s))
        return c->host->sum(c, s->x, DM_SUM({1, st->y}));
    if ((rc = c->host->predict(c, st->y, to, &(dm_pred){.x0 = history_next(&st->h)})))
        return rc;
    if (order == 1)
        rho[0] = 0.5;
    else
        solve(order, r, b, rho);
    return combine(c, s, order, rho, r, h, B, true);
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const int left = s->n - s->i;
    int order;
    dm_status rc;

    if ((rc = history_first(c, s, &st->h)))
        return rc;
    if (isinf(to->log_snr - at->log_snr))
        return endless_step(c, s, st->h.m[0], NULL);
    order = st->h.have < p->order ? st->h.have : (int)p->order;
    if (p->lower_order_final && left < order)
        order = left;
    if (goes_too_far(p->max_growth, st->h.at, st->h.have, to->log_snr / 2 - st->h.at[0]))
        order = 1;
    if ((rc = advance(c, s, order)))
        return rc;
    if (corrects(c, s)) {
        history_push(&st->h, to->log_snr / 2);
        st->h.ahead = true;
    }
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "unipc", .version = "1", .license = "Apache-2.0",
    .doc = "UniPC, predictor and corrector of any order to 3 (Zhao et al. 2023)",
    .params = params, .earlier = earlier, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .inverts = true, .check = check, .begin = begin,
        .step = step},
};
