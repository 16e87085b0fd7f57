/* sa: SA-Solver (Xue et al. 2023), the Adams methods of several steps for an SDE whose noise is chosen by tau(t): a
 * predictor, and a corrector by the prediction at the step's end. In l = log-SNR / 2 and with tau held over a step, it
 * is x' = (sigma' / sigma) e^-n x + alpha' int_0^H e^-(H - u) x0(u) du + noise, with h = l' - l, n = tau^2 h and
 * H = h + n; x0 is a polynomial through predictions. */
#include <math.h>
#include <demist/plugin.h>
#include "history.h"
#include "solve.h"
#include "wide_steps.h"

enum { NONE, DIFFUSERS };
typedef struct {
    int64_t predictor_order, corrector_order;
    double tau, s_min, s_max, t_min, t_max;
    bool lower_order_final;
    int32_t compat;
    double max_growth;
} cfg;

static const dm_param params[] = {
    DM_INT(cfg, predictor_order, "3", 1, 4, "", "predictions that the predictor uses"),
    DM_INT(cfg, corrector_order, "3", 0, 4, "",
           "predictions that the corrector uses, including that at the step's end; 0 = no corrector"),
    DM_REAL(cfg, tau, "1", 0, 100, "", "noise of each step; 0 is the ODE, 1 the reverse SDE"),
    DM_REAL(cfg, s_min, "0", 0, 1e9, "", "least sigma / alpha from which a step has noise"),
    DM_REAL(cfg, s_max, "1e9", 0, 1e9, "", "greatest sigma / alpha from which a step has noise"),
    DM_REAL(cfg, t_min, "0", 0, 1e6, "steps",
            "least timestep from which a step has noise, counted from 0; of a continuous schedule its t"),
    DM_REAL(cfg, t_max, "1e6", 0, 1e6, "steps", "greatest timestep from which a step has noise"),
    DM_BOOL(cfg, lower_order_final, "true", "limit the order to the number of remaining steps"),
    DM_ENUM(cfg, compat, "none", "none|diffusers",
            "diffusers: from two predictions, the slope between them counts H / 2 instead of its exact integral"),
    DM_REAL(cfg, max_growth, "4", 0, 1e9, "",
            "a step more than this many times as long as the one before, in log-SNR, has order 1; 0 = no limit"),
    DM_END,
};

/* h: predictions of x0 and l = log-SNR / 2 of each, those that steps go on from and that of where the predictor goes,
 * in y. first: the timestep that counts as 0. */
typedef struct { history h; dm_tensor *y, *z; int first; } state;

static dm_status check(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    dm_status rc;

    if (p->tau > 0 && s->grid[0].log_snr > s->grid[s->n].log_snr)
        return dm_fail(c, DM_EINVAL, "tau: fresh noise cannot be inverted; set tau: 0");
    if (p->s_min > p->s_max)
        return dm_fail(c, DM_EINVAL, "s_min: %g is above s_max, %g", p->s_min, p->s_max);
    if (p->t_min > p->t_max)
        return dm_fail(c, DM_EINVAL, "t_min: %g is above t_max, %g", p->t_min, p->t_max);
    rc = history_check(c, s, "predictor_order", p->predictor_order);
    return rc ? rc : history_check(c, s, "corrector_order", p->corrector_order);
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    dm_span span = {.size = sizeof span};
    state *st = c->self;
    dm_status rc;

    if (!(st->y = c->host->tensor_like(c, s->x)) || !(st->z = c->host->tensor_like(c, s->x)))
        return c->err->code;
    if ((rc = history_begin(c, s, &st->h, SOLVE_MOST + 1)) || (rc = c->host->span(c, &span)))
        return rc;
    st->first = span.T > 0;
    return DM_OK;
}

static double tau_at(const cfg *p, int first, const dm_point *at)
{
    const double s = at->sigma / at->alpha, t = at->t - first;

    return s >= p->s_min && s <= p->s_max && t >= p->t_min && t <= p->t_max ? p->tau : 0;
}

/* Integrals over [0,1] of H e^-(H - H v) v^k, k < SOLVE_MOST. */
static void integrals(double H, double w[SOLVE_MOST])
{
    w[0] = -expm1(-H);
    for (int k = 1; k < SOLVE_MOST; k++) {
        double term = H / (k + 1);

        w[k] = 1 - k * w[k - 1] / H;
        if (fabs(H) > 1)
            continue;
        w[k] = 0; /* its series, in which nothing cancels: H^(j+1) (-1)^j k! / (k+j+1)! */
        for (int j = 1; j < 20; j++) {
            w[k] += term;
            term *= -H / (k + j + 1);
        }
    }
}

/* out := the step with x0 through the `old` newest predictions, and the one at the step's end. */
static dm_status combine(dm_ctx *c, const dm_step *s, dm_tensor *out, int old, bool end, double tau)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const double h = (to->log_snr - at->log_snr) / 2, n = tau * tau * h;
    double w[SOLVE_MOST], v[SOLVE_MOST] = {0}, k[SOLVE_MOST + 1] = {0};

    for (int i = 1; i < old; i++)
        v[i] = (st->h.at[i] - st->h.at[0]) / h;
    if (end)
        v[old] = 1;
    integrals(h + n, w);
    if (p->compat == DIFFUSERS && old + end == 2)
        w[1] = (h + n) / 2;
    solve(old + end, v, w, k);
    if (end) {
        k[SOLVE_MOST] = k[old];
        k[old] = 0;
    }
    return c->host->sum(c, out, DM_SUM({to->sigma / at->sigma * exp(-n), s->x}, {to->alpha * k[0], st->h.m[0]},
                                       {to->alpha * k[1], st->h.m[1]}, {to->alpha * k[2], st->h.m[2]},
                                       {to->alpha * k[3], st->h.m[3]}, {to->alpha * k[4], history_next(&st->h)},
                                       {to->sigma * sqrt(-expm1(-2 * n)), st->z}));
}

static int least(int a, int b) { return a < b ? a : b; }

static dm_status advance(dm_ctx *c, const dm_step *s, double tau)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    const dm_point *to = &s->grid[s->i + 1];
    const int left = p->lower_order_final ? s->n - s->i : SOLVE_MOST;
    const bool wide = goes_too_far(p->max_growth, st->h.at, st->h.have, to->log_snr / 2 - st->h.at[0]);
    const int old = wide ? 1 : least(least((int)p->predictor_order, left), st->h.have);
    const int again = wide ? least((int)p->corrector_order, 2)
                           : least(least((int)p->corrector_order, left + 1), st->h.have + 1);
    dm_status rc;

    if (!p->corrector_order || s->i == s->n - 1) /* nobody evaluates at the last point */
        return combine(c, s, s->x, old, false, tau);
    if ((rc = combine(c, s, st->y, old, false, tau)) ||
        (rc = c->host->predict(c, st->y, to, &(dm_pred){.x0 = history_next(&st->h)})) ||
        (rc = combine(c, s, s->x, again - 1, true, tau)))
        return rc;
    history_push(&st->h, to->log_snr / 2);
    st->h.ahead = true;
    return DM_OK;
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const double tau = tau_at(p, st->first, at);
    dm_status rc;

    if ((rc = history_first(c, s, &st->h)) ||
        (tau > 0 && to->sigma > 0 && (rc = c->host->randn(c, st->z, 0))))
        return rc;
    return isinf(to->log_snr - at->log_snr) ? endless_step(c, s, st->h.m[0], tau > 0 ? st->z : NULL)
                                            : advance(c, s, tau);
}

/* From one prediction, with the noise of the reverse SDE and without a corrector, whose prediction has noise in it, the
 * step is the posterior's. */
static dm_status log_var(dm_ctx *c, const dm_step *s, double *out)
{
    const cfg *p = c->cfg;
    dm_span span = {.size = sizeof span};
    dm_posterior q;
    dm_status rc;

    if ((rc = c->host->span(c, &span)))
        return rc;
    if (p->predictor_order > 1 || p->corrector_order > 0 || tau_at(p, span.T > 0, &s->grid[s->i]) != 1)
        return dm_fail(c, DM_EINVAL, "its steps are those of a likelihood with predictor_order: 1, corrector_order: 0, "
                                     "and tau: 1 in each step");
    if (!(rc = c->host->posterior(c, &s->grid[s->i], &s->grid[s->i + 1], &q)))
        *out = q.log_var;
    return rc;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "sa", .version = "1", .license = "Apache-2.0",
    .doc = "SA-Solver, a predictor and corrector of several steps with noise (Xue et al. 2023)",
    .params = params, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .inverts = true, .check = check, .begin = begin,
        .step = step, .log_var = log_var},
};
