/* Plugin exact_gaussians against its formula in double precision: what each objective takes its output for, points and
 * images, one component and several. */
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

enum { N = 5, C = 3, INNER = 4, D = C * INNER, K = 2 };

/* E[x0 | x] and E[eps | x] of one example. */
static void expect(double mean[K][D], const double *deviation, const double *share, const dm_point *p,
                   const float *x, double *x0, double *eps)
{
    double w[K], most = -INFINITY, sum = 0;

    for (int k = 0; k < K; k++) {
        const double v = p->alpha * p->alpha * deviation[k] * deviation[k] + p->sigma * p->sigma;

        w[k] = log(share[k]) - D * log(v) / 2;
        for (int d = 0; d < D; d++)
            w[k] -= pow((double)x[d] - p->alpha * mean[k][d], 2) / v / 2;
        most = fmax(most, w[k]);
    }
    for (int k = 0; k < K; k++)
        sum += w[k] = exp(w[k] - most);
    for (int d = 0; d < D; d++) {
        x0[d] = 0;
        for (int k = 0; k < K; k++) {
            const double s2 = deviation[k] * deviation[k], v = p->alpha * p->alpha * s2 + p->sigma * p->sigma;

            x0[d] += w[k] / sum * (mean[k][d] + p->alpha * s2 / v * ((double)x[d] - p->alpha * mean[k][d]));
        }
        eps[d] = ((double)x[d] - p->alpha * x0[d]) / p->sigma;
    }
}

static void exact_gaussians__equals_its_formula(void **state)
{
    static const char *const objectives[] = {"{use: simple}", "{use: simple, predict: x0}", "{use: simple, predict: v}",
                                             "{use: edm, sigma_data: 0.7}", "{use: flow}"};
    static const struct { const char *means; int each; } spreads[] = {
        {"[-0.5, 0.6]", D}, {"[-0.5, 0, 0.5, 0.6, 0.2, -0.3]", INNER}};
    static const double deviation[K] = {0.3, 0.5}, share[K] = {1, 3};
    const dm_data_info data = {.size = sizeof data, .shape = {3, {C, 2, 2, 1, 1, 1, 1, 1}}};

    for (int o = 0; o < 5; o++) {
        for (int m = 0; m < 2; m++) {
            static const double two[] = {-0.5, 0.6}, six[] = {-0.5, 0, 0.5, 0.6, 0.2, -0.3};
            double mean[K][D];
            char text[512];
            exact_bench b;

            for (int i = 0; i < K * D; i++)
                mean[i / D][i % D] = (m ? six : two)[i / spreads[m].each];
            snprintf(text, sizeof text,
                     "data: {use: toy2d}\nschedule: {use: linear}\nnetwork: {use: exact_gaussians, means: %s, "
                     "deviations: [0.3, 0.5], weights: [1, 3]}\nobjective: %s\nsampler: {use: ddim}\n",
                     spreads[m].means, objectives[o]);
            exact_build(*state, &b, text, &data, N);
            for (int t = 1; t <= 1000; t += 111) {
                float x[N * D], F[N * D];
                double x0[D], eps[D];
                dm_point p;
                dm_affine a;

                dm_noise_at(b.noise, t, &p);
                for (int i = 0; i < N * D; i++)
                    x[i] = (float)(p.alpha * mean[i % K][i % D] + 1.5 * p.sigma * sin(i + t) + 0.1 * cos(3 * i));
                exact_predict(&b, &p, &a, x, F);
                for (int n = 0; n < N; n++) {
                    expect(mean, deviation, share, &p, x + n * D, x0, eps);
                    for (int d = 0; d < D; d++) {
                        const double want = (x0[d] - a.c_skip * (p.alpha * x0[d] + p.sigma * eps[d])) / a.c_out;

                        if (!(fabs((double)F[n * D + d] - want) <= 2e-5 * fmax(1, fabs(want))))
                            fail_msg("%s, means %s, t = %d, element %d of %d: %.9g, not %.9g", objectives[o],
                                     spreads[m].means, t, d, n, (double)F[n * D + d], want);
                    }
                }
            }
            exact_close(&b);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(exact_gaussians__equals_its_formula)};

    return cmocka_run_group_tests(tests, exact_open_world, exact_close_world);
}
