/* Samplers with noise on one Gaussian of two dimensions with a full covariance, where each step is linear: along each
 * of its axes x is a constant and a sum of the draws so far, each with a coefficient, and the sampler's own recursion
 * for these, in double precision, tells the mean and covariance that 10^5 samples must have. The recursion itself must
 * close in on the data as steps grow. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exact.h"

enum { SAMPLES = 100000, DRAWS = 700 };
static const double mu[2] = {0.5, -0.2}, sd[2] = {0.3, 0.8}; /* along the axes */
static const double axis[2][2] = {{0.8, 0.6}, {-0.6, 0.8}};

/* c[0] + c[1] prior + c[2] z_0 + ... */
typedef struct lin { double c[DRAWS + 2]; } lin;

typedef struct walker {
    const dm_walk *g;
    const dm_noise *noise;
    int drawn, k;                  /* k: the axis */
    lin x, base, m[4], z;
    double l[4];
} walker;

static void mix(lin *out, double a, const lin *x, double b, const lin *y)
{
    for (int i = 0; i < DRAWS + 2; i++)
        out->c[i] = a * x->c[i] + b * y->c[i];
}

static void draw(walker *w)
{
    w->z = (lin){.c = {0}};
    w->z.c[2 + w->drawn++] = 1;
    assert_true(w->drawn < DRAWS);
}

static double gain(const dm_point *p, int k)
{
    return p->alpha * sd[k] * sd[k] / (p->alpha * p->alpha * sd[k] * sd[k] + p->sigma * p->sigma);
}

static void predict(const walker *w, const lin *x, const dm_point *p, lin *x0, lin *eps)
{
    const double k = gain(p, w->k);

    mix(x0, k, x, 0, x);
    x0->c[0] += (1 - k * p->alpha) * mu[w->k];
    if (eps)
        mix(eps, 1 / p->sigma, x, -p->alpha / p->sigma, x0);
}

static double ratio(const dm_point *p) { return p->sigma / p->alpha; }

/* ---- the recursions ------------------------------------------------------------------------- */

/* Song et al. 2021, eq. 12 and 16. */
static void ddim(walker *w, const dm_point *a, const dm_point *b, double eta)
{
    const double s = eta * sqrt((1 - b->alpha * b->alpha) / (1 - a->alpha * a->alpha) *
                                (1 - a->alpha * a->alpha / b->alpha / b->alpha));
    lin x0, eps;

    predict(w, &w->x, a, &x0, &eps);
    mix(&w->x, b->alpha, &x0, sqrt(b->sigma * b->sigma - s * s), &eps);
    draw(w);
    mix(&w->x, 1, &w->x, s, &w->z);
}

/* Ho et al. 2020, eq. 7 and 11, for the betas between points; large: their variance, not the posterior's. */
static void ddpm(walker *w, const dm_point *a, const dm_point *b, bool large)
{
    const double keep = a->alpha / b->alpha * (a->alpha / b->alpha), beta = 1 - keep, rest = 1 - a->alpha * a->alpha;
    const double before = 1 - b->alpha * b->alpha;
    lin x0;

    predict(w, &w->x, a, &x0, NULL);
    mix(&w->x, sqrt(keep) * before / rest, &w->x, b->alpha * beta / rest, &x0);
    draw(w);
    mix(&w->x, 1, &w->x, sqrt(large ? beta : before / rest * beta), &w->z);
}

static void heun(walker *w, const dm_point *a, const dm_point *b)
{
    lin x0, d, y, e;

    /* in x / alpha: d = (x - x0) / s, here eps */
    predict(w, &w->x, a, &x0, &d);
    mix(&y, b->alpha / a->alpha, &w->x, b->alpha * (ratio(b) - ratio(a)), &d);
    predict(w, &y, b, &x0, &e);
    mix(&w->x, b->alpha / a->alpha, &w->x, b->alpha * (ratio(b) - ratio(a)) / 2, &d);
    mix(&w->x, 1, &w->x, b->alpha * (ratio(b) - ratio(a)) / 2, &e);
}

static void add_noise(walker *w, const dm_point *from, double s, dm_point *to)
{
    *to = *from;
    dm_noise_at_log_snr(w->noise, -2 * log(s), to);
    if (!(ratio(to) > ratio(from))) {
        *to = *from;
        return;
    }
    draw(w);
    mix(&w->x, to->alpha / from->alpha, &w->x, to->alpha * sqrt(pow(ratio(to), 2) - pow(ratio(from), 2)), &w->z);
}

static void churned(walker *w, const dm_point *a, const dm_point *b, double churn)
{
    dm_point hat;

    add_noise(w, a, ratio(a) * (1 + fmin(churn / w->g->n, sqrt(2) - 1)), &hat);
    heun(w, &hat, b);
}

/* k times, with `steps` of Karras et al. 2022's levels, after the point that is nearest to low. */
static void restart(walker *w, int i, double low, double high, int steps, int k)
{
    const dm_point *b = &w->g->points[i + 1];
    int best = 1;

    heun(w, b - 1, b);
    for (int j = 1; j <= w->g->n; j++)
        if (fabs(ratio(&w->g->points[j]) - low) < fabs(ratio(&w->g->points[best]) - low))
            best = j;
    for (int r = 0; r < k && best == i + 1; r++) {
        dm_point at, to;
        double top;

        add_noise(w, b, high, &at);
        top = ratio(&at);
        for (int j = 1; j <= steps; j++) {
            to = *b;
            if (j < steps)
                dm_noise_at_log_snr(w->noise, -2 * log(pow(pow(top, 1 / 7.) + (double)j / steps *
                                                           (pow(ratio(b), 1 / 7.) - pow(top, 1 / 7.)), 7)), &to);
            heun(w, &at, &to);
            at = to;
        }
    }
}

/* SDE-DPM-Solver++ as diffusers writes it, for noise exp(-eta h): order 1, 2 (midpoint), and 3 with D2 put right. */
static void dpmpp(walker *w, int i, int order, double eta)
{
    const dm_point *a = &w->g->points[i], *b = a + 1;
    const double h = (b->log_snr - a->log_snr) / 2, H = h * (1 + eta);
    lin d10, d11, d1, d2;

    w->m[2] = w->m[1], w->m[1] = w->m[0];
    w->l[2] = w->l[1], w->l[1] = w->l[0];
    predict(w, &w->x, a, &w->m[0], NULL);
    w->l[0] = a->log_snr / 2;
    draw(w);
    mix(&w->x, b->sigma / a->sigma * exp(-eta * h), &w->x, b->alpha * (1 - exp(-H)), &w->m[0]);
    mix(&w->x, 1, &w->x, b->sigma * sqrt(1 - exp(-2 * eta * h)), &w->z);
    if (order > i + 1)
        order = i + 1;
    if (order > 1) {
        const double r0 = (w->l[0] - w->l[1]) / h;

        mix(&d10, 1 / r0, &w->m[0], -1 / r0, &w->m[1]);
        if (order == 2) {
            mix(&w->x, 1, &w->x, b->alpha * (1 - exp(-H)) / 2, &d10);
        } else {
            const double r1 = (w->l[1] - w->l[2]) / h;

            mix(&d11, 1 / r1, &w->m[1], -1 / r1, &w->m[2]);
            mix(&d2, 1 / (r0 + r1), &d10, -1 / (r0 + r1), &d11);
            mix(&d1, 1, &d10, r0, &d2);
            mix(&w->x, 1, &w->x, b->alpha * (1 - (1 - exp(-H)) / H), &d1);
            mix(&w->x, 1, &w->x, b->alpha * (1 - 2 * (H - 1 + exp(-H)) / H / H), &d2);
        }
    }
}

/* SDE-DPM-Solver++ by an evaluation half way: x0 there for the whole step, and the noise that led there as it is at the
 * step's end, or as diffusers has it, of a Brownian motion in sigma / alpha. */
static void singlestep(walker *w, const dm_point *a, const dm_point *b, double eta, bool brownian)
{
    const double h = (b->log_snr - a->log_snr) / 2, n = eta * h;
    dm_point mid = *a;
    lin x0, y, first;
    double k1, k2;

    dm_noise_at_log_snr(w->noise, (a->log_snr + b->log_snr) / 2, &mid);
    k1 = b->sigma * exp(-n / 2) * sqrt(1 - exp(-n));
    k2 = b->sigma * sqrt(1 - exp(-n));
    if (brownian) {
        k1 = b->sigma * sqrt(1 - exp(-2 * n)) * sqrt((ratio(a) - ratio(&mid)) / (ratio(a) - ratio(b)));
        k2 = b->sigma * sqrt(1 - exp(-2 * n)) * sqrt((ratio(&mid) - ratio(b)) / (ratio(a) - ratio(b)));
    }
    predict(w, &w->x, a, &x0, NULL);
    draw(w);
    first = w->z;
    mix(&y, mid.sigma / a->sigma * exp(-n / 2), &w->x, mid.alpha * (1 - exp(-(h + n) / 2)), &x0);
    mix(&y, 1, &y, mid.sigma * sqrt(1 - exp(-n)), &first);
    predict(w, &y, &mid, &x0, NULL);
    draw(w);
    mix(&w->x, b->sigma / a->sigma * exp(-n), &w->x, b->alpha * (1 - exp(-h - n)), &x0);
    mix(&w->x, 1, &w->x, k1, &first);
    mix(&w->x, 1, &w->x, k2, &w->z);
}

/* Of two points of the grid the first is evaluated and left for the second; each with noise of its own. */
static void in_turn(walker *w, int i, double eta)
{
    const dm_point *a = &w->g->points[i], *b = a + 1;
    const double h = (b->log_snr - a[-(i % 2)].log_snr) / 2, H = h * (1 + eta);
    lin d;

    w->m[1] = w->m[0];
    predict(w, &w->x, a, &w->m[0], NULL);
    if (i % 2 == 0)
        w->base = w->x;
    draw(w);
    mix(&w->x, b->sigma / a[-(i % 2)].sigma * exp(-eta * h), &w->base, b->sigma * sqrt(1 - exp(-2 * eta * h)), &w->z);
    mix(&w->x, 1, &w->x, b->alpha * (1 - exp(-H)), &w->m[i % 2]);
    if (i % 2 == 0)
        return;
    mix(&d, 1, &w->m[0], -1, &w->m[1]);
    mix(&w->x, 1, &w->x, b->alpha * (1 - exp(-H)), &d);
}

/* The integral over a step of a Lagrange polynomial, 1 at place k of n and 0 at the others, by which SA-Solver weighs
 * each prediction (Xue et al. 2023, eq. 17): (1 + tau^2) e^(-(1 + tau^2)(to - l)), by Simpson's rule. */
static double lagrange(const double *place, int n, int k, double from, double to, double tau)
{
    enum { PARTS = 400 };
    const double q = 1 + tau * tau;
    double sum = 0;

    for (int j = 0; j <= PARTS; j++) {
        const double l = from + (to - from) * j / PARTS;
        double v = q * exp(-q * (to - l));

        for (int i = 0; i < n; i++)
            v *= i == k ? 1 : (l - place[i]) / (place[k] - place[i]);
        sum += v * (j % PARTS == 0 ? 1 : j % 2 ? 4 : 2);
    }
    return sum * (to - from) / PARTS / 3;
}

/* x after a step from x with this draw, through n predictions. */
static void sa_step(lin *out, const lin *x, const lin *z, const dm_point *a, const dm_point *b, double tau, int n,
                    const double *place, const lin *const *m)
{
    const double from = a->log_snr / 2, to = b->log_snr / 2, n2 = tau * tau * (to - from);

    mix(out, b->sigma / a->sigma * exp(-n2), x, b->sigma * sqrt(1 - exp(-2 * n2)), z);
    for (int k = 0; k < n; k++)
        mix(out, 1, out, b->alpha * lagrange(place, n, k, from, to, tau), m[k]);
}

/* The paper's algorithm 1; the prediction at the end of a step is the first of the next. */
static void sa(walker *w, int i, int predictor, int corrector, double tau)
{
    const dm_point *a = &w->g->points[i], *b = a + 1;
    const lin *m[4] = {&w->m[0], &w->m[1], &w->m[2], &w->m[3]};
    double place[4];
    lin y, end;

    if (i == 0) {
        predict(w, &w->x, a, &w->m[0], NULL);
        w->l[0] = a->log_snr / 2;
    }
    w->z = (lin){.c = {0}};
    if (tau > 0)
        draw(w);
    sa_step(&y, &w->x, &w->z, a, b, tau, predictor < i + 1 ? predictor : i + 1, w->l, m);
    predict(w, &y, b, &end, NULL);
    if (corrector > 0 && i < w->g->n - 1) {
        const lin *with[4] = {&end, m[0], m[1], m[2]};
        lin corrected;

        place[0] = b->log_snr / 2;
        memcpy(place + 1, w->l, 3 * sizeof *place);
        sa_step(&corrected, &w->x, &w->z, a, b, tau, corrector < i + 2 ? corrector : i + 2, place, with);
        y = corrected;
    }
    w->x = y;
    memmove(w->m + 1, w->m, 3 * sizeof *w->m);
    memmove(w->l + 1, w->l, 3 * sizeof *w->l);
    w->m[0] = end;
    w->l[0] = b->log_snr / 2;
}

/* ---- tests -------------------------------------------------------------------------------------- */

enum kind { DDPM, DDIM, CHURN, SDE, SINGLE, BROWNIAN, TURNS, SA, RESTART };
/* weak: the order of its moments. */
typedef struct sampler { const char *text; enum kind kind; double k; int order, weak, corrector; } sampler;

static const sampler cases[] = {
    {"use: ddpm, variance: fixed_small", DDPM, 0, 1, 1, 0},
    {"use: ddpm, variance: fixed_large", DDPM, 1, 1, 1, 0},
    {"use: ddim, eta: 0.3", DDIM, 0.3, 1, 1, 0},
    {"use: ddim, eta: 1", DDIM, 1, 1, 1, 0},
    {"use: heun, churn: 2", CHURN, 2, 2, 2, 0},
    {"use: heun, churn: 10", CHURN, 10, 2, 2, 0},
    {"use: dpmpp, order: 1, eta: 1", SDE, 1, 1, 1, 0},
    {"use: dpmpp, order: 2, eta: 1", SDE, 1, 2, 2, 0},
    {"use: dpmpp, order: 2, eta: 0.4", SDE, 0.4, 2, 2, 0},
    {"use: dpmpp, order: 3, eta: 1", SDE, 1, 3, 2, 0},
    {"use: dpmpp, order: 2, method: singlestep, eta: 1", SINGLE, 1, 2, 2, 0},
    {"use: dpmpp, order: 2, method: singlestep, eta: 0.4", SINGLE, 0.4, 2, 2, 0},
    {"use: dpmpp, order: 2, method: singlestep, eta: 1, compat: diffusers", BROWNIAN, 1, 2, 2, 0},
    {"use: dpmpp, order: 2, method: singlestep_grid, eta: 1", TURNS, 1, 2, 1, 0},
    {"use: sa, predictor_order: 1, corrector_order: 0, tau: 1", SA, 1, 1, 1, 0},
    {"use: sa, predictor_order: 2, corrector_order: 0, tau: 1", SA, 1, 2, 2, 0},
    {"use: sa, predictor_order: 2, corrector_order: 2, tau: 1", SA, 1, 2, 2, 2},
    {"use: sa, predictor_order: 2, corrector_order: 3, tau: 0.4", SA, 0.4, 2, 2, 3},
    {"use: sa, predictor_order: 3, corrector_order: 3, tau: 1.4", SA, 1.4, 3, 2, 3},
    {"use: sa, predictor_order: 4, corrector_order: 4, tau: 1, s_min: 0.05, s_max: 1", SA, 1, 4, 2, 4},
    {"use: restart, s_min: [0.1], s_max: [1], inner_steps: [4], restarts: [1]", RESTART, 1, 2, 2, 0},
    {"use: restart, s_min: [0.1], s_max: [1], inner_steps: [4], restarts: [3]", RESTART, 3, 2, 2, 0},
};

static bool in_between(const dm_point *p) { return ratio(p) >= 0.05 && ratio(p) <= 1; }

/* From unit noise, as samplers begin, or from what the data are at the first level. */
static void recursion(const sampler *c, const exact_bench *b, int k, int inner, bool from_data, double *mean,
                      double *var)
{
    static walker w;
    const dm_point *first = dm_sampling_walk(b->s)->points;

    w = (walker){.g = dm_sampling_walk(b->s), .noise = b->noise, .k = k};
    w.x.c[0] = from_data ? first->alpha * mu[k] : 0;
    w.x.c[1] = from_data ? hypot(first->alpha * sd[k], first->sigma) : 1;
    for (int i = 0; i < w.g->n; i++) {
        const dm_point *a = &w.g->points[i];

        switch (c->kind) {
        case DDPM: ddpm(&w, a, a + 1, c->k > 0); break;
        case DDIM: ddim(&w, a, a + 1, c->k); break;
        case CHURN: churned(&w, a, a + 1, c->k); break;
        case SDE: dpmpp(&w, i, c->order, c->k); break;
        case SINGLE: singlestep(&w, a, a + 1, c->k, false); break;
        case BROWNIAN: singlestep(&w, a, a + 1, c->k, true); break;
        case TURNS: in_turn(&w, i, c->k); break;
        case SA: sa(&w, i, c->order, c->corrector, strstr(c->text, "s_min") && !in_between(a) ? 0 : c->k); break;
        case RESTART: restart(&w, i, 0.1, 1, inner, (int)c->k); break;
        }
    }
    *mean = w.x.c[0];
    *var = 0;
    for (int i = 1; i < DRAWS + 2; i++)
        *var += w.x.c[i] * w.x.c[i];
}

/* F for x0 = c_skip x + c_out F, of the Gaussian. */
static void answer(const dm_point *p, const dm_affine *a, int64_t n, const float *x, float *F)
{
    for (int64_t i = 0; i < n; i += 2) {
        double x0[2] = {0};

        for (int k = 0; k < 2; k++) {
            const double at = axis[k][0] * (double)x[i] + axis[k][1] * (double)x[i + 1];
            const double to = mu[k] + gain(p, k) * (at - p->alpha * mu[k]);

            x0[0] += to * axis[k][0];
            x0[1] += to * axis[k][1];
        }
        for (int d = 0; d < 2; d++)
            F[i + d] = (float)((x0[d] - a->c_skip * (double)x[i + d]) / a->c_out);
    }
}

/* Along the axes into those of x. */
static void turn(const double *mean, const double *var, double m[2], double c[2][2])
{
    for (int d = 0; d < 2; d++) {
        m[d] = mean[0] * axis[0][d] + mean[1] * axis[1][d];
        for (int e = 0; e < 2; e++)
            c[d][e] = var[0] * axis[0][d] * axis[0][e] + var[1] * axis[1][d] * axis[1][e];
    }
}

static void find_moments(const float *x, double m[2], double c[2][2])
{
    memset(m, 0, 2 * sizeof *m);
    memset(c, 0, 2 * sizeof *c);
    for (int i = 0; i < 2 * SAMPLES; i++)
        m[i % 2] += (double)x[i] / SAMPLES;
    for (int i = 0; i < 2 * SAMPLES; i += 2)
        for (int d = 0; d < 2; d++)
            for (int e = 0; e < 2; e++)
                c[d][e] += ((double)x[i + d] - m[d]) * ((double)x[i + e] - m[e]) / SAMPLES;
}

/* Four standard errors. */
static bool agree(const double m[2], double c[2][2], const double mean[2], double cov[2][2])
{
    for (int d = 0; d < 2; d++) {
        if (!(fabs(m[d] - mean[d]) <= 4 * sqrt(cov[d][d] / SAMPLES)))
            return false;
        for (int e = 0; e < 2; e++)
            if (!(fabs(c[d][e] - cov[d][e]) <= 4 * sqrt((cov[d][d] * cov[e][e] + cov[d][e] * cov[d][e]) / SAMPLES)))
                return false;
    }
    return true;
}

static void moments__are_those_of_the_recursion(void **state)
{
    float *x = malloc(2 * SAMPLES * sizeof *x);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double mean[2], var[2], m[2], c[2][2], recursed[2], cov[2][2];
        exact_bench b;

        exact_open_answered(*state, &b, answer, 2, cases[i].text, 12, SAMPLES);
        exact_run(&b, NULL, x);
        for (int k = 0; k < 2; k++)
            recursion(&cases[i], &b, k, 4, false, &mean[k], &var[k]);
        turn(mean, var, recursed, cov);
        find_moments(x, m, c);
        printf("%-70s mean %.4f %.4f, recursion %.4f %.4f; covariance %.5f %.5f %.5f, recursion %.5f %.5f %.5f\n",
               cases[i].text, m[0], m[1], recursed[0], recursed[1], c[0][0], c[0][1], c[1][1], cov[0][0], cov[0][1],
               cov[1][1]);
        if (!agree(m, c, recursed, cov))
            fail_msg("%s: the moments are not those of the recursion", cases[i].text);
        exact_close(&b);
    }
    free(x);
}

/* The first level has a little noise: the data's variance there is alpha^2 sd^2 + sigma^2. */
static void moments__close_in_on_the_data(void **state)
{
    int wrong = 0;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double off[5], slope;

        for (int k = 0; k < 5; k++) {
            const int steps = 20 << k;
            const dm_point *p;
            exact_bench b;

            exact_open_answered(*state, &b, answer, 2, cases[i].text, steps, 1);
            p = dm_sampling_walk(b.s)->points + steps;
            off[k] = 0;
            for (int d = 0; d < 2; d++) {
                double mean, var;

                recursion(&cases[i], &b, d, 4 << k, true, &mean, &var);
                off[k] += fabs(var - p->alpha * p->alpha * sd[d] * sd[d] - p->sigma * p->sigma) +
                          fabs(mean - p->alpha * mu[d]);
            }
            exact_close(&b);
        }
        slope = log2(off[3] / off[4]);
        printf("%-70s order %.2f: %.2g %.2g %.2g %.2g %.2g\n", cases[i].text, slope, off[0], off[1], off[2], off[3],
               off[4]);
        if (slope < cases[i].weak - 0.3)
            wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* Where another sampler's step is ddim's with eta 1, so is its variance, as likelihoods need it; where it is not, there
 * is none. */
static void log_var__is_of_gaussian_steps(void **state)
{
    enum { STEPS = 7 };
    static const struct { const char *text; bool gaussian; } some[] = {
        {"use: ddim, eta: 1", true}, {"use: dpmpp, order: 1, eta: 1", true},
        {"use: dpmpp, order: 1, eta: 1, method: singlestep", true},
        {"use: sa, predictor_order: 1, corrector_order: 0, tau: 1", true},
        {"use: dpmpp, order: 1, eta: 0.9", false}, {"use: dpmpp, order: 2, eta: 1", false},
        {"use: sa, predictor_order: 1, corrector_order: 1, tau: 1", false},
        {"use: sa, predictor_order: 2, corrector_order: 0, tau: 1", false},
        {"use: sa, predictor_order: 1, corrector_order: 0, tau: 0.5", false},
        {"use: sa, predictor_order: 1, corrector_order: 0, tau: 1, s_max: 0.001", false},
        {"use: heun", false},
    };
    double ddim[STEPS];

    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        exact_bench b;

        exact_open_answered(*state, &b, answer, 2, some[i].text, STEPS, 1);
        for (int32_t at = 0; at < STEPS; at++) {
            double k[2];
            dm_err err = {0};
            const dm_status rc = dm_sampling_log_var(b.s, at, k, &err);

            if (!rc && !i)
                ddim[at] = k[0];
            if (!rc != some[i].gaussian || (!rc && (fabs(k[0] - ddim[at]) > 1e-12 || k[1])))
                fail_msg("%s, step %d: %s", some[i].text, (int)at, rc ? err.msg : "another variance");
        }
        exact_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(log_var__is_of_gaussian_steps),
                                       cmocka_unit_test(moments__are_those_of_the_recursion),
                                       cmocka_unit_test(moments__close_in_on_the_data)};

    return cmocka_run_group_tests(tests, exact_open_world, exact_close_world);
}
