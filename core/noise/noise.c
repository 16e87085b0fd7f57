/* The noise process in double precision; see noise.h. A discrete schedule is kept as ln alpha, summed from
 * log1p(-beta) / 2, so that nothing cancels near the data or near pure noise. */
#include "noise/noise_process.h"

#include <math.h>
#include <stdlib.h>

static dm_point make_point(double t, double log_alpha)
{
    const double alpha = exp(log_alpha), sigma = sqrt(-expm1(2 * log_alpha));

    return (dm_point){t, alpha, sigma, sigma > 0 ? 2 * (log_alpha - log(sigma)) : INFINITY};
}

/* Lin et al. 2024, algorithm 1: sqrt(alpha_bar) shifted to end in 0 and stretched to begin where it did. */
static dm_status zero_terminal_snr(dm_noise *n, dm_err *err)
{
    const double first = exp(n->log_alpha[1]), last = exp(n->log_alpha[n->T]);

    if (!(first > last))
        return dm_error(err, DM_EINVAL,
                        n->T == 1 ? "schedule.zero_terminal_snr needs at least two steps, not timesteps: %d"
                                  : "schedule.zero_terminal_snr needs noise that grows after the first of timesteps: "
                                    "%d",
                        (int)n->T);
    for (int32_t t = 1; t <= n->T; t++)
        n->log_alpha[t] = t == n->T ? -INFINITY : log((exp(n->log_alpha[t]) - last) * first / (first - last));
    for (int32_t t = 1; t <= n->T; t++)
        if (isfinite(n->log_alpha[t - 1])) /* after a step to pure noise any beta says the same */
            n->beta[t] = -expm1(2 * (n->log_alpha[t] - n->log_alpha[t - 1]));
    return DM_OK;
}

static dm_status fill_tables(dm_noise *n, const dm_experiment *e, dm_err *err)
{
    const dm_plugin *p = n->schedule.plugin;
    dm_status rc;

    if (!(n->beta = calloc((size_t)n->T + 1, sizeof *n->beta)) ||
        !(n->log_alpha = calloc((size_t)n->T + 1, sizeof *n->log_alpha)))
        return dm_error(err, DM_ENOMEM, "out of memory for %d steps of noise", (int)n->T);
    if ((rc = DM_CALL(&n->schedule, DM_CB_FILL, err, p->schedule->fill(&n->schedule.ctx, n->T, n->beta + 1))))
        return rc;
    for (int32_t t = 1; t <= n->T; t++) {
        if (!(n->beta[t] > 0 && n->beta[t] <= 1))
            return dm_error(err, DM_EINVAL, "schedule '%s': beta of step %d of %d is %g; it must lie in (0, 1]",
                            p->name, (int)t, (int)n->T, n->beta[t]);
        n->log_alpha[t] = n->log_alpha[t - 1] + log1p(-n->beta[t]) / 2;
    }
    return e->schedule.zero_terminal_snr ? zero_terminal_snr(n, err) : DM_OK;
}

/* A curve is asked once along its length, so that what is wrong with it is said before it is used. */
static dm_status probe_curve(dm_noise *n, dm_err *err)
{
    const dm_plugin *p = n->schedule.plugin;
    double before = INFINITY;

    for (int i = 0; i <= 256; i++) {
        const double t = n->T * (double)i / 256;
        double alpha = NAN, sigma = NAN, ratio;
        dm_status rc;

        if ((rc = DM_CALL(&n->schedule, DM_CB_AT, err, p->schedule->at(&n->schedule.ctx, n->T, t, &alpha, &sigma))))
            return rc;
        ratio = sigma > 0 ? alpha / sigma : INFINITY;
        if (!(alpha >= 0 && sigma >= 0 && isfinite(alpha) && isfinite(sigma) && alpha + sigma > 0) ||
            (i > 0 && !(ratio < before)))
            return dm_error(err, DM_EINVAL,
                            "schedule '%s': at t = %g it gives alpha %g and sigma %g; both must be 0 or above, not "
                            "both 0, "
                            "and their ratio must fall with t",
                            p->name, t, alpha, sigma);
        before = ratio;
    }
    return DM_OK;
}

dm_status dm_noise_new(const dm_experiment *e, dm_noise **out, dm_err *err)
{
    const dm_section *s = &e->section[DM_SEC_SCHEDULE];
    dm_noise *n = calloc(1, sizeof *n);
    dm_status rc;

    if (!n)
        return dm_error(err, DM_ENOMEM, "out of memory for the schedule");
    n->T = (int32_t)e->schedule.timesteps;
    n->discrete = s->plugin->schedule->fill != NULL;
    dm_services_init(&n->services, &e->plugin_log);
    if (!(rc = dm_instance_init(&n->schedule, s->plugin, s->cfg, &n->services, err)))
        rc = n->discrete ? fill_tables(n, e, err)
             : e->schedule.zero_terminal_snr
                 ? dm_error(err, DM_EINVAL, "schedule.zero_terminal_snr is for discrete schedules; '%s' is continuous",
                            s->plugin->name)
                 : probe_curve(n, err);
    if (rc) {
        dm_noise_free(n);
        return rc;
    }
    *out = n;
    return DM_OK;
}

void dm_noise_free(dm_noise *n)
{
    if (!n)
        return;
    dm_instance_fini(&n->schedule);
    free(n->beta);
    free(n->log_alpha);
    free(n);
}

bool dm_noise_discrete(const dm_noise *n) { return n->discrete; }
int32_t dm_noise_T(const dm_noise *n) { return n->T; }
double dm_noise_beta(const dm_noise *n, int32_t t) { return n->beta[t]; }
double dm_noise_alpha_bar(const dm_noise *n, int32_t t) { return exp(2 * n->log_alpha[t]); }

double dm_noise_posterior_variance(const dm_noise *n, int32_t t)
{
    return t == 1 ? 0 : n->beta[t] * expm1(2 * n->log_alpha[t - 1]) / expm1(2 * n->log_alpha[t]);
}

/* The angle atan(sigma / alpha) of whole t. */
static double angle(const dm_noise *n, int32_t t)
{
    const dm_point p = make_point(t, n->log_alpha[t]);

    return atan2(p.sigma, p.alpha);
}

static dm_point at_angle(double t, double a)
{
    const double alpha = cos(a), sigma = sin(a);

    return (dm_point){t, alpha, sigma, 2 * log(alpha / sigma)};
}

/* A point of a continuous schedule's curve. What fails here, where probe_curve found nothing, is no point: whoever uses
 * it refuses what is not finite. */
static void ask_curve(const dm_noise *n, double t, dm_point *p)
{
    dm_err why, ignored;
    dm_ctx c = dm_instance_ctx(&n->schedule, &why);

    *p = (dm_point){.t = t, .alpha = NAN, .sigma = NAN};
    if (DM_CALL_WITH(&n->schedule, DM_CB_AT, &why, &ignored,
                     n->schedule.plugin->schedule->at(&c, n->T, t, &p->alpha, &p->sigma)))
        p->alpha = p->sigma = NAN;
    p->log_snr = p->sigma > 0 ? 2 * log(p->alpha / p->sigma) : INFINITY;
}

void dm_noise_at(const dm_noise *n, double t, dm_point *p)
{
    t = t > n->T ? n->T : t > 0 ? t : 0;
    if (n->discrete) {
        const int32_t i = (int32_t)floor(t);

        if (t == i) {
            *p = i ? make_point(t, n->log_alpha[i]) : dm_noise_data;
        } else {
            const double a = angle(n, i), b = angle(n, i + 1);

            *p = at_angle(t, a + (t - i) * (b - a));
        }
    } else {
        ask_curve(n, t, p);
    }
}

/* By bisection: the largest of lo..hi whose log-SNR is still at or above l. */
static double bisect(const dm_noise *n, double l)
{
    double lo = 0, hi = n->T;
    dm_point p;

    for (int i = 0; i < 200 && lo < hi; i++) {
        const double mid = lo + (hi - lo) / 2;

        if (mid == lo || mid == hi)
            break;
        dm_noise_at(n, mid, &p);
        if (p.log_snr >= l)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

void dm_noise_span(const dm_noise *n, dm_span *s)
{
    *s = (dm_span){.size = sizeof *s, .T = n->discrete ? n->T : 0};
    dm_noise_at(n, n->T, &s->most);
    dm_noise_at(n, n->discrete ? 1 : 0, &s->least);
}

void dm_noise_at_log_snr(const dm_noise *n, double l, dm_point *p)
{
    int32_t lo = 0, hi = n->T;
    double a, at;
    dm_point end;

    dm_noise_at(n, n->T, &end);
    if (l <= end.log_snr) {
        *p = end;
        return;
    }
    dm_noise_at(n, 0, p);
    if (l >= p->log_snr)
        return;
    if (!n->discrete) {
        dm_noise_at(n, bisect(n, l), p);
        return;
    }
    while (hi - lo > 1) {
        const int32_t mid = lo + (hi - lo) / 2;

        if (make_point(mid, n->log_alpha[mid]).log_snr >= l)
            lo = mid;
        else
            hi = mid;
    }
    a = angle(n, lo);
    at = atan(exp(-l / 2));
    *p = at_angle(lo + (at - a) / (angle(n, hi) - a), at);
    p->log_snr = l;
}

dm_status dm_noise_posterior(const dm_noise *n, const dm_point *at, const dm_point *to, dm_posterior *q, dm_err *err)
{
    /* The share of at's noise variance that came in since to. */
    const double share = -expm1(at->log_snr - to->log_snr);

    if (!(at->sigma > 0) || !(share > 0))
        return dm_error(err, DM_EINVAL, "a posterior needs a step towards the data, not from log-SNR %g to %g",
                        at->log_snr, to->log_snr);
    q->c_x0 = to->alpha * share;
    q->c_x = at->alpha / to->alpha * (to->sigma / at->sigma) * (to->sigma / at->sigma);
    q->log_beta = log(share) + 2 * log(at->sigma);
    q->log_var = log(share) + 2 * log(to->sigma);
    if (to->sigma > 0)
        return DM_OK;
    if (n->discrete && at->t + 1 <= n->T && at->alpha > 0) {
        dm_point above;

        dm_noise_at(n, at->t + 1, &above);
        q->log_var = log(-expm1(above.log_snr - at->log_snr)) + 2 * log(at->sigma);
    } else {
        q->log_var = q->log_beta;
    }
    return DM_OK;
}
