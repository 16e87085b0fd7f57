/* Every schedule with every prediction, grid and sampler on the exact prediction of a mixture of two Gaussians, 50
 * steps each or as many as the argument says: a line of CSV on stdout for each, with the root mean square distance from
 * where the probability-flow ODE ends, or, of samplers with noise, of the sorted points from the quantiles of what they
 * are drawn from; or with the reason why it is refused. Fails where a result is not finite, or, without noise and with
 * 50 steps, more than twice as far off as ddim's on the same grid. tools/sampler_docs.py makes the tables of the docs.
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

enum { STEPS = 50 };
static int steps = STEPS;

static const char *const schedules[] = {
    "use: linear", "use: scaled_linear", "use: cosine", "use: sigmoid", "use: sigmoid_beta", "use: laplace",
    "use: flow", "use: edm", "use: ve", "use: linear, zero_terminal_snr: true",
};
static const char *const predictions[] = {"use: simple, predict: eps", "use: simple, predict: x0",
                                          "use: simple, predict: v", "use: edm", "use: flow"};
static const char *const grids[] = {"use: uniform", "use: log_snr", "use: karras", "use: exponential", "use: quadratic",
                                    "use: beta", "use: lu", "use: ays"};
static const struct { const char *text; bool noise; } samplers[] = {
    {"use: ddim", false}, {"use: ddim, eta: 1", true}, {"use: ddpm, variance: fixed_small", true},
    {"use: heun", false}, {"use: dpmpp, order: 2", false}, {"use: dpmpp, order: 3", false},
    {"use: dpmpp, order: 2, method: singlestep", false}, {"use: dpmpp, order: 3, method: singlestep", false},
    {"use: dpmpp, order: 2, method: singlestep_grid", false}, {"use: dpmpp, order: 3, method: singlestep_grid", false},
    {"use: dpmpp, order: 2, eta: 1", true},
    {"use: unipc, order: 2", false}, {"use: unipc, order: 3", false}, {"use: deis, order: 3", false},
    {"use: pndm", false}, {"use: lms, order: 4", false}, {"use: restart", true},
    {"use: sa, tau: 0", false}, {"use: sa, tau: 1", true},
};
#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

/* ---- the mixture ---------------------------------------------------------------------------- */

static const double mean[2] = {-0.5, 0.7}, deviation[2] = {0.3, 0.2}, share[2] = {0.4, 0.6};

static double below(const dm_point *p, double x)
{
    double sum = 0;

    for (int k = 0; k < 2; k++)
        sum += share[k] / 2 * erfc((p->alpha * mean[k] - x) / hypot(p->alpha * deviation[k], p->sigma) / sqrt(2));
    return sum;
}

static double quantile(const dm_point *p, double u)
{
    double low = -20 * (p->alpha + p->sigma), high = -low;

    for (int i = 0; i < 80; i++) {
        const double x = (low + high) / 2;

        if (below(p, x) < u)
            low = x;
        else
            high = x;
    }
    return (low + high) / 2;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* ---- one of them -------------------------------------------------------------------------------- */

static void print_refusal(const char *message)
{
    fputs(",,,\"", stdout);
    for (; *message; message++)
        putchar(*message == '"' ? '\'' : *message == '\n' ? ' ' : *message);
    puts("\"");
}

static double measure(exact_bench *b, bool noise)
{
    const dm_point *first = dm_sampling_walk(b->s)->points, *last = first + dm_sampling_walk(b->s)->n;
    float start[EXACT_N], x[EXACT_N];
    double sum = 0;
    dm_err err = {0};

    for (int i = 0; i < EXACT_N; i++)
        start[i] = (float)quantile(first, (i + 0.5) / EXACT_N);
    if (dm_sampling_run(b->s, &(dm_sampling_run_options){.noise = start}, x, &err))
        fail_msg("%s", err.msg);
    if (noise)
        qsort(x, EXACT_N, sizeof *x, by_value);
    for (int i = 0; i < EXACT_N; i++)
        sum += pow((double)x[i] - quantile(last, (i + 0.5) / EXACT_N), 2);
    assert_true(isfinite(sum));
    printf(",%.6g,%lld,\n", sqrt(sum / EXACT_N), (long long)dm_sampling_evaluations(b->s));
    return sqrt(sum / EXACT_N);
}

static dm_status text_of(char *text, size_t n, int s, int p, const char *sampler, const char *grid)
{
    return snprintf(text, n,
                    "data: {use: toy2d}\nschedule: {%s}\nnetwork: {use: exact_gaussians, means: [-0.5, 0.7], "
                    "deviations: [0.3, 0.2], weights: [2, 3]}\nobjective: {%s}\nsampler: {%s, steps: %d, clip: off}\n"
                    "grid: {%s}\n", schedules[s], predictions[p], sampler, steps, grid) < (int)n ? DM_OK : DM_EINVAL;
}

/* The grids and samplers of one schedule and prediction: the network is built once. Returns how many are worse than
 * twice ddim. */
static int pair(const exact_world *w, int s, int p)
{
    const dm_data_info data = {.size = sizeof data, .shape = {1, {1, 1, 1, 1, 1, 1, 1, 1}}};
    const dm_experiment_options o = {.lenient_data = true};
    dm_experiment *whole;
    exact_bench b;
    char text[1024];
    dm_err none = {0};
    dm_status built;
    double ddim;
    int worse = 0;

    assert_int_equal(text_of(text, sizeof text, s, p, "use: ddim", "use: uniform"), DM_OK);
    built = exact_try(w, &b, text, &data, EXACT_N, &none);
    whole = b.e;
    for (int g = 0; g < COUNT(grids); g++) {
        ddim = INFINITY;
        for (int k = 0; k < COUNT(samplers); k++) {
            dm_err err = {0};

            text_of(text, sizeof text, s, p, samplers[k].text, grids[g]);
            if (dm_experiment_parse(text, strlen(text), "combination", ".", &o, w->registry, &b.e, NULL, &err))
                fail_msg("%s: %s", text, err.msg);
            printf("\"%s\",\"%s\",\"%s\",\"%s\"", schedules[s] + 5, predictions[p] + 5, grids[g] + 5,
                   samplers[k].text + 5);
            if (built || exact_sampling(w, &b, &err)) {
                print_refusal(built ? none.msg : err.msg);
            } else {
                const double error = measure(&b, samplers[k].noise);

                ddim = k ? ddim : error; /* the first */
                if (!samplers[k].noise && error > 2 * ddim + 1e-6)
                    worse++;
                dm_sampling_free(b.s);
            }
            b.s = NULL;
            dm_experiment_free(b.e);
        }
    }
    b.e = whole;
    exact_close(&b);
    return worse;
}

static void combinations__work(void **state)
{
    int worse = 0;

    puts("schedule,prediction,grid,sampler,error,evaluations,refused");
    for (int s = 0; s < COUNT(schedules); s++)
        for (int p = 0; p < COUNT(predictions); p++)
            worse += pair(*state, s, p);
    if (steps == STEPS)
        assert_int_equal(worse, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(combinations__work)};

    if (argc > 1)
        steps = atoi(argv[1]);
    return cmocka_run_group_tests(tests, exact_open_world, exact_close_world);
}
