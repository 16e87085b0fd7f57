/* Sampler adaptive on the exact prediction of a mixture: its error falls with the tolerance, and with the steps by the
 * order of its method; from alpha = 0, and to the data. */
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

typedef struct result { double error; int64_t evaluations; int32_t steps; } result;

static result run(const exact_world *w, const char *method, double tolerance)
{
    char sampler[160];
    float x[EXACT_N];
    exact_bench b;
    result r = {0};

    snprintf(sampler, sizeof sampler, "use: adaptive, method: %s, rtol: %g, atol: %g", method, tolerance, tolerance);
    exact_open(w, &b, sampler, 1000);
    exact_from_quantiles(&b, b.start);
    exact_run(&b, b.start, x);
    for (int i = 0; i < EXACT_N; i++)
        r.error = fmax(r.error, fabs((double)x[i] - exact_end(&b, (double)b.start[i])));
    r.evaluations = dm_sampling_evaluations(b.s);
    r.steps = dm_sampling_steps(b.s);
    exact_close(&b);
    return r;
}

static void adaptive__has_its_order(void **state)
{
    static const struct { const char *method; int order; double tolerance[3]; } cases[] = {
        {"bogacki_shampine", 3, {1e-3, 1e-4, 1e-5}}, {"heun", 2, {1e-2, 1e-3, 1e-4}}};

    for (int k = 0; k < 2; k++) {
        result r[3];
        double order;

        for (int i = 0; i < 3; i++) {
            r[i] = run(*state, cases[k].method, cases[k].tolerance[i]);
            printf("%s, tolerance %g: error %.2g, %d steps, %d evaluations\n", cases[k].method, cases[k].tolerance[i],
                   r[i].error, (int)r[i].steps, (int)r[i].evaluations);
            assert_true(r[i].error < 10 * cases[k].tolerance[i]);
            assert_true(r[i].evaluations >= r[i].steps * (cases[k].order == 3 ? 3 : 2));
        }
        order = log(r[0].error / r[2].error) / log((double)r[2].steps / (double)r[0].steps);
        printf("%s: order %.2f of %d\n", cases[k].method, order, cases[k].order);
        assert_true(order > cases[k].order - 0.3);
    }
}

/* What the sampler gives for a schedule whose noisiest level has no signal, to the data; and a grid's own end. */
static void adaptive__reaches_both_ends(void **state)
{
    static const char *const texts[] = {
        "schedule: {use: flow}\nobjective: {use: flow}\ngrid: {use: uniform}\n",
        "schedule: {use: linear, zero_terminal_snr: true}\nobjective: {use: simple, predict: v}\n",
        "schedule: {use: edm}\nobjective: {use: edm}\ngrid: {use: karras}\n",
    };
    const dm_data_info data = {.size = sizeof data, .shape = {1, {1, 1, 1, 1, 1, 1, 1, 1}}};

    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        char text[1024];
        float x[EXACT_N];
        double mean = 0, square = 0;
        exact_bench b;
        dm_err err = {0};

        snprintf(text, sizeof text,
                 "data: {use: toy2d}\nnetwork: {use: exact_gaussians, means: [-0.5, 0.7], deviations: [0.3, 0.2], "
                 "weights: [2, 3]}\nsampler: {use: adaptive, rtol: 1e-4, atol: 1e-4, steps: 500}\n%s", texts[k]);
        exact_build(*state, &b, text, &data, EXACT_N);
        if (exact_sampling(*state, &b, &err))
            fail_msg("%s: %s", texts[k], err.msg);
        exact_from_quantiles(&b, b.start);
        exact_run(&b, b.start, x);
        for (int i = 0; i < EXACT_N; i++) {
            mean += (double)x[i] / EXACT_N;
            square += (double)x[i] * (double)x[i] / EXACT_N;
        }
        printf("%s: mean %.4f, deviation %.4f, %d steps, %d evaluations\n", texts[k], mean, sqrt(square - mean * mean),
               (int)dm_sampling_steps(b.s), (int)dm_sampling_evaluations(b.s));
        /* 64 quantiles have a little less than the mixture's 0.22 and 0.6379 */
        assert_true(fabs(mean - 0.22) < 0.02 && fabs(sqrt(square - mean * mean) - 0.6379) < 0.02);
        exact_close(&b);
    }
}

/* Of a list too: how many points there are between does not matter, nor is their number the most steps. */
static void adaptive__takes_the_ends_of_a_list(void **state)
{
    static const char *const lists[] = {"[14, 0.05]", "[14, 7, 3, 0.5, 0.05]"};
    const dm_data_info data = {.size = sizeof data, .shape = {1, {1, 1, 1, 1, 1, 1, 1, 1}}};
    float x[2][EXACT_N];
    int32_t steps[2];

    for (int k = 0; k < 2; k++) {
        char text[512];
        exact_bench b;
        dm_err err = {0};

        snprintf(text, sizeof text,
                 "data: {use: toy2d}\nschedule: {use: linear}\nnetwork: {use: exact_gaussians, means: [-0.5, 0.7], "
                 "deviations: [0.3, 0.2]}\nobjective: {use: simple, predict: v}\nsampler: {use: adaptive, rtol: 1e-3, "
                 "atol: 1e-3, steps: 100}\ngrid: {use: list, sigmas: %s, last: least}\n", lists[k]);
        exact_build(*state, &b, text, &data, EXACT_N);
        if (exact_sampling(*state, &b, &err))
            fail_msg("%s: %s", lists[k], err.msg);
        exact_run(&b, NULL, x[k]);
        steps[k] = dm_sampling_steps(b.s);
        printf("%s: %d steps\n", lists[k], (int)steps[k]);
        exact_close(&b);
    }
    assert_true(steps[0] == steps[1] && steps[0] > 4);
    assert_memory_equal(x[0], x[1], sizeof x[0]);
}

static void adaptive__says_what_is_wrong(void **state)
{
    static const struct { const char *sampler, *says; int steps; } cases[] = {
        {"use: adaptive, rtol: 0, atol: 0", "rtol and atol are both 0", 50},
        {"use: adaptive, rtol: 1e-5, atol: 1e-5", "took all of its 5 steps (sampler.steps)", 5},
        {"use: adaptive, rtol: 0, atol: 1e-9", "needs more steps, or a larger tolerance", 20}};

    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        const dm_data_info data = {.size = sizeof data, .shape = {1, {1, 1, 1, 1, 1, 1, 1, 1}}};
        char text[512];
        float x[EXACT_N];
        exact_bench b;
        dm_err err = {0};
        dm_status rc;

        snprintf(text, sizeof text,
                 "data: {use: toy2d}\nschedule: {use: linear}\nnetwork: {use: exact_gaussians, means: "
                 "[-0.5, 0.7], deviations: [0.3, 0.2]}\nobjective: {use: simple, predict: v}\nsampler: {%s, "
                 "steps: %d}\n"
                 "grid: {use: log_snr}\n",
                 cases[k].sampler, cases[k].steps);
        exact_build(*state, &b, text, &data, EXACT_N);
        if (!(rc = exact_sampling(*state, &b, &err)))
            rc = dm_sampling_run(b.s, &(dm_sampling_run_options){0}, x, &err);
        printf("%s\n", err.msg);
        assert_int_equal(rc, DM_EINVAL);
        assert_non_null(strstr(err.msg, cases[k].says));
        exact_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adaptive__has_its_order),
                                       cmocka_unit_test(adaptive__reaches_both_ends),
                                       cmocka_unit_test(adaptive__takes_the_ends_of_a_list),
                                       cmocka_unit_test(adaptive__says_what_is_wrong)};

    return cmocka_run_group_tests(tests, exact_open_world, exact_close_world);
}
