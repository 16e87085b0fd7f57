/* Objective flow: how its levels are drawn, by the formulas of Esser et al. 2024, section 3.1; and walks that begin
 * where no signal is left, of the exact prediction of a mixture of two Gaussians, by every sampler or with its reason.
 */
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
#include "base/normal_quantile.h"

enum { DRAWN = 99 };

static const dm_data_info points = {.size = sizeof points, .shape = {1, {1, 1, 1, 1, 1, 1, 1, 1}}};

static void build(const exact_world *w, exact_bench *b, const char *schedule, const char *objective,
                  const char *sampler)
{
    char text[1024];

    snprintf(text, sizeof text,
             "data: {use: toy2d}\nschedule: {%s}\nnetwork: {use: exact_gaussians, means: [-0.5, 0.7], "
             "deviations: [0.3, 0.2], weights: [2, 3]}\nobjective: {%s}\nsampler: {%s, clip: off}\n",
             schedule, objective, sampler);
    exact_build(w, b, text, &points, EXACT_N);
}

static double uniform(double u) { return u; }
static double logit_normal(double u) { return 1 / (1 + exp(-0.5 - 0.8 * dm_normal_quantile(u))); }
static double mode(double u) { return 1 - u - 1.29 * (pow(cos(acos(-1) * u / 2), 2) - 1 + u); }

static void flow__draws(void **state)
{
    static const struct { const char *schedule, *objective; double (*share)(double u), shift; int levels; } cases[] = {
        {"use: flow", "use: flow", uniform, 1, 0},
        {"use: flow, shift: 3", "use: flow", uniform, 3, 0},
        {"use: flow, timesteps: 5", "use: flow, times: logit_normal, mean: 0.5, deviation: 0.8", logit_normal, 1, 0},
        {"use: flow, shift: 2", "use: flow, times: mode", mode, 2, 0},
        {"use: linear", "use: flow, times: mode", mode, 0, 1000},
        {"use: linear", "use: flow", uniform, 0, 1000},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double u[DRAWN], importance[DRAWN];
        dm_point at[DRAWN];
        exact_bench b;
        dm_err err = {0};

        build(*state, &b, cases[i].schedule, cases[i].objective, "use: ddim");
        for (int k = 0; k < DRAWN; k++)
            u[k] = (k + 0.5) / DRAWN;
        if (dm_net_draw(b.net, DRAWN, u, at, importance, &err))
            fail_msg("%s", err.msg);
        for (int k = 0; k < DRAWN; k++) {
            const double v = cases[i].share(u[k]), s = cases[i].shift * v / (1 + (cases[i].shift - 1) * v);
            const double got = cases[i].levels ? at[k].t : at[k].sigma / (at[k].alpha + at[k].sigma);
            const double want = cases[i].levels ? floor(v * cases[i].levels) + 1 : s;

            if (!(fabs(got - want) < 1e-9) || importance[k] != 1)
                fail_msg("case %zu, u = %g: %.12g, not %.12g", i, u[k], got, want);
        }
        exact_close(&b);
    }
}

/* refused: by this message. Else the mean and variance of the mixture, from starts spread over all noise. */
static void flow__from_no_signal(void **state)
{
    static const struct { const char *sampler, *refused; } cases[] = {
        {"use: ddim, eta: 0", NULL},
        {"use: ddim, eta: 1", NULL},
        {"use: ddpm, variance: fixed_small", NULL},
        {"use: heun", NULL},
        {"use: heun, churn: 10", NULL},
        {"use: dpmpp, order: 1", NULL},
        {"use: dpmpp, order: 2", NULL},
        {"use: dpmpp, order: 3", NULL},
        {"use: dpmpp, order: 2, method: singlestep", NULL},
        {"use: dpmpp, order: 3, method: singlestep", NULL},
        {"use: dpmpp, order: 2, eta: 1", NULL},
        {"use: unipc, order: 2", NULL},
        {"use: unipc, order: 3, solver: bh1", NULL},
        {"use: deis, order: 3", NULL},
        {"use: sa, tau: 0", NULL},
        {"use: sa, tau: 1", NULL},
        {"use: sa, tau: 0.5, predictor_order: 2, corrector_order: 0", NULL},
        {"use: lms, order: 4", NULL},
        {"use: restart", NULL},
        {"use: pndm, start: repeat", "needs some signal"},
        {"use: pndm, start: runge_kutta", "needs some signal"},
    };
    static const char *const schedules[] = {"use: flow", "use: linear, zero_terminal_snr: true"};
    static const double mean = 0.22, var = 0.4 * (0.25 + 0.09) + 0.6 * (0.49 + 0.04) - 0.22 * 0.22;

    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        const char *sampler = cases[i / 2].sampler, *refused = cases[i / 2].refused;
        float start[EXACT_N], x[EXACT_N];
        double m = 0, v = 0;
        char text[256];
        exact_bench b;
        dm_status rc;
        dm_err err = {0};

        snprintf(text, sizeof text, "%s, steps: 40", sampler);
        build(*state, &b, schedules[i % 2], "use: flow", text);
        rc = exact_sampling(*state, &b, &err);
        if (!refused != !rc || (rc && !strstr(err.msg, refused)))
            fail_msg("%s, %s: status %d, %s", schedules[i % 2], sampler, (int)rc, err.msg);
        if (!rc) {
            assert_true(dm_sampling_walk(b.s)->points[0].alpha == 0);
            exact_from_quantiles(&b, start);
            exact_run(&b, start, x);
            for (int k = 0; k < EXACT_N; k++)
                m += (double)x[k] / EXACT_N;
            for (int k = 0; k < EXACT_N; k++)
                v += pow((double)x[k] - m, 2) / EXACT_N;
            printf("%-38s %-44s mean %.3f of %.3f, variance %.3f of %.3f\n", schedules[i % 2], sampler, m, mean, v,
                   var);
            /* with noise, of 64 points */
            if (!(fabs(m - mean) < 0.25 && fabs(v / var - 1) < 0.4))
                fail_msg("%s, %s: mean %g, variance %g", schedules[i % 2], sampler, m, v);
        }
        exact_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(flow__draws), cmocka_unit_test(flow__from_no_signal)};

    return cmocka_run_group_tests(tests, exact_open_world, exact_close_world);
}
