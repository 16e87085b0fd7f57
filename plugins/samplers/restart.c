/* restart: Heun's method that goes back to more noise and down again within intervals (Xu et al. 2023, algorithm 2):
 * what earlier steps got wrong is contracted by the noise, with fewer evaluations than noise in each step would take.
 */
#include <math.h>
#include <demist/plugin.h>
#include "wide_steps.h"

typedef struct { dm_reals s_min, s_max; dm_ints inner_steps, restarts; double rho, s_noise, max_drop; } cfg;

static const dm_param params[] = {
    DM_REALS(cfg, s_min, "[0.06]", 1e-6, 1e9, "",
             "lower end of each interval, in sigma / alpha; the grid's point that is nearest is taken"),
    DM_REALS(cfg, s_max, "[0.3]", 1e-6, 1e9, "", "upper end of each"),
    DM_INTS(cfg, inner_steps, "[3]", 1, 1000, "steps", "steps down through each, of two evaluations"),
    DM_INTS(cfg, restarts, "[2]", 1, 16, "", "times that each is gone through"),
    DM_REAL(cfg, rho, "7", 0.1, 100, "", "of those steps: even in (sigma / alpha)^(1 / rho)"),
    DM_REAL(cfg, s_noise, "1", 0, 10, "", "standard deviation of the noise"),
    DM_REAL(cfg, max_drop, "4", 0, 1e9, "",
            "no correction where sigma / alpha changes by more than this factor in a step; 0 = no limit"),
    DM_END,
};

/* What runs of before had. */
static const dm_earlier earlier[] = {{"max_drop", "0"}, {NULL, NULL}};

typedef struct { dm_tensor *x0, *eps, *y, *slope; } state;

static double ratio(const dm_point *p) { return p->sigma / p->alpha; }

/* The interval's lower end: a point that steps go to, with noise. */
static int32_t end_of(const cfg *p, const dm_step *s, int k)
{
    int32_t best = 1;

    for (int32_t i = 1; i <= s->n && s->grid[i].sigma > 0; i++)
        if (fabs(ratio(&s->grid[i]) - p->s_min.v[k]) < fabs(ratio(&s->grid[best]) - p->s_min.v[k]))
            best = i;
    return best;
}

/* Each list that is shorter than the longest is a fault at its key. */
static dm_status check_lengths(dm_ctx *c)
{
    const cfg *p = c->cfg;
    const struct { const char *key; int32_t n;
    } list[] = {{"s_min", p->s_min.n}, {"s_max", p->s_max.n}, {"inner_steps", p->inner_steps.n},
                {"restarts", p->restarts.n}};
    int longest = 0;

    for (int i = 1; i < 4; i++)
        longest = list[i].n > list[longest].n ? i : longest;
    for (int i = 0; i < 4; i++)
        if (list[i].n < list[longest].n)
            dm_fail_also(c, DM_EINVAL, "%s: has %d value%s, %s %d; each interval has one in every list: give %s %d, or "
                                       "%s %d", list[i].key, (int)list[i].n, list[i].n == 1 ? "" : "s",
                         list[longest].key, (int)list[longest].n, list[i].key, (int)list[longest].n,
                         list[longest].key, (int)list[i].n);
    return c->err->code;
}

/* What an interval asks for in vain is said: restarts from above the schedule, or from where the walk does not go. */
static dm_status tell_unused(dm_ctx *c, const dm_step *s, int k)
{
    const cfg *p = c->cfg;
    const double low = ratio(&s->grid[end_of(p, s, k)]);
    dm_span span = {.size = sizeof span};
    const dm_status rc = c->host->span(c, &span);
    double most;

    if (rc)
        return rc;
    most = ratio(&span.most);
    if (p->s_max.v[k] > most)
        c->host->log(c, "warning: s_max: %g is above the schedule's noisiest level, sigma / alpha = %.4g, where these "
                     "restarts begin; set a smaller s_max", p->s_max.v[k], most);
    if (!(fmin(p->s_max.v[k], most) > low))
        c->host->log(c, "warning: no restarts from %g to %g: the steps go to no point of the grid in this interval, "
                     "the nearest has sigma / alpha = %.4g; set an s_max above that, or another grid or more steps",
                     p->s_min.v[k], p->s_max.v[k], low);
    return DM_OK;
}

static dm_status check(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    const int32_t n = p->s_min.n;

    if (check_lengths(c))
        return c->err->code;
    if (s->grid[0].log_snr > s->grid[s->n].log_snr)
        return dm_fail(c, DM_EINVAL, "fresh noise cannot be inverted; use heun");
    for (int32_t k = 0; k < n; k++) {
        int64_t draws = 0;

        if (!(p->s_max.v[k] > p->s_min.v[k]))
            return dm_fail(c, DM_EINVAL, "s_max: %g is not above its s_min, %g", p->s_max.v[k], p->s_min.v[k]);
        for (int32_t j = 0; j < n; j++)
            draws += end_of(p, s, j) == end_of(p, s, k) ? p->restarts.v[j] : 0;
        if (draws > 16)
            return dm_fail(c, DM_EINVAL, "restarts: %d at one point of the grid; at most 16", (int)draws);
        if (tell_unused(c, s, k))
            return c->err->code;
    }
    return DM_OK;
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    return (st->x0 = c->host->tensor_like(c, s->x)) && (st->eps = c->host->tensor_like(c, s->x)) &&
           (st->y = c->host->tensor_like(c, s->x)) && (st->slope = c->host->tensor_like(c, s->x)) ? DM_OK
                                                                                                  : c->err->code;
}

/* heun's step, without churn; max_drop as there. */
static dm_status heun(dm_ctx *c, const dm_step *s, const dm_point *at, const dm_point *to)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    double half;
    dm_status rc;

    if ((rc = c->host->predict(c, s->x, at, &(dm_pred){.x0 = st->x0, .eps = st->eps})))
        return rc;
    if (to->sigma <= 0 || at->alpha <= 0 || drops_too_far(p->max_drop, at, to))
        return c->host->sum(c, s->x, DM_SUM({to->alpha, st->x0}, {to->sigma, st->eps}));
    half = (to->sigma - to->alpha * ratio(at)) / 2;
    if ((rc = c->host->sum(c, st->y, DM_SUM({to->alpha, st->x0}, {to->sigma, st->eps}))) ||
        (rc = c->host->predict(c, st->y, to, &(dm_pred){.eps = st->slope})))
        return rc;
    return c->host->sum(c, s->x, DM_SUM({1, st->y}, {-half, st->eps}, {half, st->slope}));
}

/* From `low` to the interval's upper end, or the schedule's, by noise, and down again. */
static dm_status go_through(dm_ctx *c, const dm_step *s, int k, const dm_point *low, int32_t draw)
{
    const cfg *p = c->cfg;
    const state *st = c->self;
    const int64_t n = p->inner_steps.v[k];
    dm_point at;
    double a, b;
    dm_status rc;

    if ((rc = c->host->point_at_log_snr(c, -2 * log(p->s_max.v[k]), &at)) || !(ratio(&at) > ratio(low)))
        return rc;
    a = ratio(&at);
    b = ratio(low);
    if ((rc = c->host->randn(c, st->y, draw)) ||
        (rc = c->host->sum(c, s->x, DM_SUM({at.alpha / low->alpha, s->x},
                                           {at.alpha * p->s_noise * sqrt((a - b) * (a + b)), st->y}))))
        return rc;
    for (int64_t i = 1; i <= n && !rc; i++) {
        const double r = pow(a, 1 / p->rho) + (double)i / (double)n * (pow(b, 1 / p->rho) - pow(a, 1 / p->rho));
        dm_point to = *low;

        if (i < n && (rc = c->host->point_at_log_snr(c, -2 * p->rho * log(r), &to)))
            break;
        rc = heun(c, s, &at, &to);
        at = to;
    }
    return rc;
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const cfg *p = c->cfg;
    const dm_point *to = &s->grid[s->i + 1];
    int32_t draw = 0;
    dm_status rc = heun(c, s, &s->grid[s->i], to);

    for (int32_t k = 0; k < p->s_min.n && to->sigma > 0; k++)
        for (int64_t i = 0; i < p->restarts.v[k] && end_of(p, s, k) == s->i + 1 && !rc; i++)
            rc = go_through(c, s, k, to, draw++);
    return rc;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "restart", .version = "1", .license = "Apache-2.0",
    .doc = "Heun's method with restarts from more noise (Xu et al. 2023, algorithm 2)",
    .params = params, .earlier = earlier, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .check = check, .begin = begin, .step = step},
};
