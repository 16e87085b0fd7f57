/* Each sampler's order on the exact prediction of a mixture of two Gaussians: how fast the distance from the
 * probability-flow ODE's own end falls with steps that are even in the log-SNR. The walk goes from the noisiest level,
 * where a start of lower order does not show, to a finite log-SNR. */
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

enum { COUNTS = 5, FIRST = 10 };

/* Where the exact flow ends, the same for all. */
static double ends[EXACT_N];

static double error_of(const exact_world *w, const char *sampler, int steps)
{
    float x[EXACT_N];
    double worst = 0;
    exact_bench b;

    exact_open(w, &b, sampler, steps);
    exact_from_quantiles(&b, b.start);
    exact_run(&b, b.start, x);
    for (int i = 0; i < EXACT_N && ends[EXACT_N - 1] == 0; i++)
        ends[i] = exact_end(&b, (double)b.start[i]);
    for (int i = 0; i < EXACT_N; i++)
        worst = fmax(worst, fabs((double)x[i] - ends[i]));
    exact_close(&b);
    return worst;
}

/* The slope between the two largest counts whose error float can still tell. */
static void orders__are_what_is_said(void **state)
{
    static const struct { const char *sampler; double order; } cases[] = {
        {"use: ddim", 1},
        {"use: heun", 2},
        {"use: heun, correct: false", 1},
        {"use: dpmpp, order: 1", 1},
        {"use: dpmpp, order: 2", 2},
        {"use: dpmpp, order: 2, solver: heun", 2},
        {"use: dpmpp, order: 3", 3},
        {"use: dpmpp, order: 3, compat: diffusers", 2},
        {"use: dpmpp, order: 2, method: singlestep", 2},
        {"use: dpmpp, order: 2, method: singlestep, solver: heun", 2},
        {"use: dpmpp, order: 3, method: singlestep", 3},
        {"use: dpmpp, order: 2, method: singlestep_grid", 2},
        {"use: dpmpp, order: 2, method: singlestep_grid, solver: heun", 2},
        {"use: dpmpp, order: 3, method: singlestep_grid", 3},
        {"use: dpmpp, order: 3, method: singlestep_grid, solver: heun", 3},
        {"use: unipc, order: 1, corrector: false", 1},
        {"use: unipc, order: 2, corrector: false", 2},
        {"use: unipc, order: 3, corrector: false", 3},
        {"use: unipc, order: 1", 2},
        {"use: unipc, order: 2", 3},
        {"use: unipc, order: 3", 3},
        {"use: unipc, order: 2, solver: bh1", 3},
        {"use: unipc, order: 3, solver: bh1", 3},
        {"use: deis, order: 1", 1},
        {"use: deis, order: 2", 2},
        {"use: deis, order: 3", 3},
        {"use: sa, tau: 0, predictor_order: 1, corrector_order: 0", 1},
        {"use: sa, tau: 0, predictor_order: 2, corrector_order: 0", 2},
        {"use: sa, tau: 0, predictor_order: 3, corrector_order: 0", 3},
        {"use: sa, tau: 0, predictor_order: 4, corrector_order: 0", 4},
        {"use: sa, tau: 0, predictor_order: 3, corrector_order: 1", 1},
        {"use: sa, tau: 0, predictor_order: 1, corrector_order: 2", 2},
        {"use: sa, tau: 0, predictor_order: 2, corrector_order: 2", 1.9}, /* rising: two errors cancel */
        {"use: sa, tau: 0, predictor_order: 2, corrector_order: 2, compat: diffusers", 2},
        {"use: sa, tau: 0, predictor_order: 2, corrector_order: 3", 3},
        {"use: sa, tau: 0, predictor_order: 3, corrector_order: 3", 3},
        {"use: sa, tau: 0, predictor_order: 3, corrector_order: 4", 4},
        {"use: sa, tau: 0, predictor_order: 4, corrector_order: 4", 4},
        {"use: pndm, order: 1", 1},
        {"use: pndm, order: 2", 2},
        {"use: pndm, order: 4", 2},
        {"use: pndm, order: 4, start: repeat", 2},
        {"use: pndm, order: 4, start: runge_kutta", 2},
        {"use: lms, order: 1", 1},
        {"use: lms, order: 2", 2},
        {"use: lms, order: 3", 3},
        {"use: lms, order: 4", 3.8}, /* still rising at 160 steps */
    };
    int wrong = 0;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* turns of three steps each */
        const int first = strstr(cases[i].sampler, "order: 3, method: singlestep_grid") ? 12 : FIRST;
        double e[COUNTS], slope = 0;
        int n = 0;

        for (int k = 0; k < COUNTS; k++) {
            e[k] = error_of(*state, cases[i].sampler, first << k);
            if (n == k && e[k] > 1e-5)
                n++;
        }
        if (n > 1)
            slope = log2(e[n - 2] / e[n - 1]);
        printf("%-60s %.2f of %g:", cases[i].sampler, slope, cases[i].order);
        for (int k = 0; k < COUNTS; k++)
            printf(" %.2g", e[k]);
        printf("\n");
        if (n < 3 || slope < cases[i].order - 0.3)
            wrong++;
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(orders__are_what_is_said)};

    return cmocka_run_group_tests(tests, exact_open_world, exact_close_world);
}
