/* Samplers with noise on one Gaussian, where each step is linear: x is a constant and a sum of the draws so far, each
 * with a coefficient, and the sampler's own recursion for these, in double precision, tells the mean and variance that
 * 10^5 samples must have. The recursion itself must close in on the data as steps grow. */
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
static const double mu = 0.5, sd = 0.3;
static const char network[] = "{use: exact_gaussians, means: [0.5], deviations: [0.3]}";

/* c[0] + c[1] prior + c[2] z_0 + ... */
typedef struct lin { double c[DRAWS + 2]; } lin;

typedef struct walker {
    const dm_walk *g;
    const dm_noise *noise;
    int drawn;
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

static void predict(const lin *x, const dm_point *p, lin *x0, lin *eps)
{
    const double k = p->alpha * sd * sd / (p->alpha * p->alpha * sd * sd + p->sigma * p->sigma);

    mix(x0, k, x, 0, x);
    x0->c[0] += mu - k * p->alpha * mu;
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

    predict(&w->x, a, &x0, &eps);
    mix(&w->x, b->alpha, &x0, sqrt(b->sigma * b->sigma - s * s), &eps);
    draw(w);
    mix(&w->x, 1, &w->x, s, &w->z);
}

static void heun(walker *w, const dm_point *a, const dm_point *b)
{
    lin x0, d, y, e;

    /* in x / alpha: d = (x - x0) / s, here eps */
    predict(&w->x, a, &x0, &d);
    mix(&y, b->alpha / a->alpha, &w->x, b->alpha * (ratio(b) - ratio(a)), &d);
    predict(&y, b, &x0, &e);
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
    predict(&w->x, a, &w->m[0], NULL);
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
    predict(&w->x, a, &x0, NULL);
    draw(w);
    first = w->z;
    mix(&y, mid.sigma / a->sigma * exp(-n / 2), &w->x, mid.alpha * (1 - exp(-(h + n) / 2)), &x0);
    mix(&y, 1, &y, mid.sigma * sqrt(1 - exp(-n)), &first);
    predict(&y, &mid, &x0, NULL);
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
    predict(&w->x, a, &w->m[0], NULL);
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
        predict(&w->x, a, &w->m[0], NULL);
        w->l[0] = a->log_snr / 2;
    }
    w->z = (lin){.c = {0}};
    if (tau > 0)
        draw(w);
    sa_step(&y, &w->x, &w->z, a, b, tau, predictor < i + 1 ? predictor : i + 1, w->l, m);
    predict(&y, b, &end, NULL);
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

enum kind { DDIM, CHURN, SDE, SINGLE, BROWNIAN, TURNS, SA, RESTART };
/* weak: the order of its moments. */
typedef struct sampler { const char *text; enum kind kind; double k; int order, weak, corrector; } sampler;

static const sampler cases[] = {
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
static void recursion(const sampler *c, const exact_bench *b, int inner, bool from_data, double *mean, double *var)
{
    static walker w;
    const dm_point *first = dm_sampling_walk(b->s)->points;

    w = (walker){.g = dm_sampling_walk(b->s), .noise = b->noise};
    w.x.c[0] = from_data ? first->alpha * mu : 0;
    w.x.c[1] = from_data ? hypot(first->alpha * sd, first->sigma) : 1;
    for (int i = 0; i < w.g->n; i++) {
        const dm_point *a = &w.g->points[i];

        switch (c->kind) {
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

static void moments__are_those_of_the_recursion(void **state)
{
    float *x = malloc(SAMPLES * sizeof *x);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double mean, var, m = 0, v = 0;
        exact_bench b;

        exact_open_on(*state, &b, network, cases[i].text, 12, SAMPLES);
        exact_run(&b, NULL, x);
        recursion(&cases[i], &b, 4, false, &mean, &var);
        for (int k = 0; k < SAMPLES; k++)
            m += (double)x[k] / SAMPLES;
        for (int k = 0; k < SAMPLES; k++)
            v += ((double)x[k] - m) * ((double)x[k] - m) / SAMPLES;
        printf("%-70s mean %.5f, recursion %.5f; variance %.6f, recursion %.6f\n", cases[i].text, m, mean, v, var);
        if (fabs(m - mean) > 4 * sqrt(var / SAMPLES) || fabs(v - var) > 4 * var * sqrt(2. / SAMPLES))
            fail_msg("%s: mean %g, not %g; variance %g, not %g", cases[i].text, m, mean, v, var);
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
            double mean, var;
            exact_bench b;

            exact_open_on(*state, &b, network, cases[i].text, steps, 1);
            recursion(&cases[i], &b, 4 << k, true, &mean, &var);
            {
                const dm_point *p = dm_sampling_walk(b.s)->points + steps;

                off[k] = fabs(var - p->alpha * p->alpha * sd * sd - p->sigma * p->sigma) +
                         fabs(mean - p->alpha * mu);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(moments__are_those_of_the_recursion),
                                       cmocka_unit_test(moments__close_in_on_the_data)};

    return cmocka_run_group_tests(tests, exact_open_world, exact_close_world);
}
