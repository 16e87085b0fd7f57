/* Every schedule with every prediction, grid and sampler on the exact prediction of a mixture of two Gaussians, 50
 * steps each or as many as the argument says: a line of CSV on stdout for each, with the root mean square distance from
 * where the probability-flow ODE ends, or, of samplers with noise, of the sorted points from the quantiles of what they
 * are drawn from; or with the reason why it is refused. Fails where a result is not finite; with 50 steps also where
 * one without noise is more than twice as far off as ddim's on the same grid, or the distribution function of one with
 * noise is further from the mixture's than chance and its steps explain. tools/sampler_docs.py makes the tables of the
 * docs.
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

/* MANY: points of samplers with noise, EXACT_N of others; ENOUGH: most steps of one that chooses its own */
enum { STEPS = 50, MANY = 1024, ENOUGH = 200 };
static int steps = STEPS;

static const char *const schedules[] = {
    "use: linear", "use: scaled_linear", "use: cosine", "use: sigmoid", "use: sigmoid_beta", "use: laplace",
    "use: flow", "use: edm", "use: ve", "use: linear, zero_terminal_snr: true",
};
static const char *const predictions[] = {"use: simple, predict: eps", "use: simple, predict: x0",
                                          "use: simple, predict: v", "use: edm", "use: flow"};
static const char *const grids[] = {"use: uniform", "use: log_snr", "use: karras", "use: exponential", "use: quadratic",
                                    "use: beta", "use: lu", "use: ays", "use: list"};
static const struct { const char *text; bool noise; } samplers[] = {
    {"use: ddim", false}, {"use: ddim, eta: 1", true}, {"use: ddpm, variance: fixed_small", true},
    {"use: heun", false}, {"use: dpmpp, order: 2", false}, {"use: dpmpp, order: 3", false},
    {"use: dpmpp, order: 2, method: singlestep", false}, {"use: dpmpp, order: 3, method: singlestep", false},
    {"use: dpmpp, order: 2, method: singlestep_grid", false}, {"use: dpmpp, order: 3, method: singlestep_grid", false},
    {"use: dpmpp, order: 2, eta: 1", true},
    {"use: unipc, order: 2", false}, {"use: unipc, order: 3", false}, {"use: deis, order: 3", false},
    {"use: pndm", false}, {"use: lms, order: 4", false}, {"use: restart", true},
    {"use: sa, tau: 0", false}, {"use: sa, tau: 1", true},
    {"use: adaptive", false},
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

/* The largest distance of the distribution function of n sorted points from the mixture's (Kolmogorov, Smirnov). */
static double distance(const dm_point *p, const float *x, int n)
{
    double most = 0;

    for (int i = 0; i < n; i++) {
        const double u = below(p, (double)x[i]);

        most = fmax(most, fmax(u - (double)i / n, (i + 1.0) / n - u));
    }
    return most;
}

typedef struct result { double error, distance; } result; /* distance: of samplers with noise */

static result measure(exact_bench *b, bool noise)
{
    const dm_point *first = dm_sampling_walk(b->s)->points, *last = first + dm_sampling_walk(b->s)->n;
    const int n = (int)b->n;
    float start[MANY], x[MANY];
    double sum = 0;
    dm_err err = {0};

    for (int i = 0; i < n; i++)
        start[i] = (float)quantile(first, (i + 0.5) / n);
    if (dm_sampling_run(b->s, &(dm_sampling_run_options){.noise = start}, x, &err))
        fail_msg("%s", err.msg);
    if (noise)
        qsort(x, (size_t)n, sizeof *x, by_value);
    for (int i = 0; i < n; i++)
        sum += pow((double)x[i] - quantile(last, (i + 0.5) / n), 2);
    assert_true(isfinite(sum));
    printf(",%.6g,%lld,\n", sqrt(sum / n), (long long)dm_sampling_evaluations(b->s));
    return (result){sqrt(sum / n), noise ? distance(last, x, n) : 0};
}

/* With levels that every schedule has, for the one that lists them. */
static const char *grid_of(const char *grid, char *text, size_t n)
{
    size_t used;

    if (strcmp(grid, "use: list"))
        return grid;
    used = (size_t)snprintf(text, n, "use: list, sigmas: [");
    for (int i = 0; i < steps && used < n; i++)
        used += (size_t)snprintf(text + used, n - used, "%s%.6g", i ? ", " : "",
                                 14 * pow(0.05 / 14, steps > 1 ? (double)i / (steps - 1) : 0));
    if (used < n)
        snprintf(text + used, n - used, "]");
    return text;
}

static dm_status text_of(char *text, size_t n, int s, int p, const char *sampler, const char *grid)
{
    /* An adaptive one has as many as it needs. */
    const int n_steps = strcmp(sampler, "use: adaptive") ? steps : ENOUGH;
    char listed[4096];

    return snprintf(text, n,
                    "data: {use: toy2d}\nschedule: {%s}\nnetwork: {use: exact_gaussians, means: [-0.5, 0.7], "
                    "deviations: [0.3, 0.2], weights: [2, 3]}\nobjective: {%s}\nsampler: {%s, steps: %d, clip: off}\n"
                    "grid: {%s}\n", schedules[s], predictions[p], sampler, n_steps,
                    grid_of(grid, listed, sizeof listed)) < (int)n ? DM_OK : DM_EINVAL;
}

/* The grids and samplers of one schedule and prediction: the network is built once for each count of points. Returns
 * how many are further off than they may be. */
static int pair(const exact_world *w, int s, int p)
{
    const dm_data_info data = {.size = sizeof data, .shape = {1, {1, 1, 1, 1, 1, 1, 1, 1}}};
    const dm_experiment_options o = {.lenient_data = true};
    /* What 1 of 10^4 sets of random points exceeds, 2.23 / sqrt(n) = 0.07, and as much again and more for what 50 steps
     * with noise are off (sa on karras' levels of cosine: 0.15). ddim with eta 1 has 0.54 without its noise. */
    static const double most = 0.16;
    dm_experiment *whole[2];
    exact_bench bench[2], *b;
    char text[8192];
    dm_err none = {0};
    dm_status built;
    double ddim;
    int worse = 0;

    assert_int_equal(text_of(text, sizeof text, s, p, "use: ddim", "use: uniform"), DM_OK);
    if (!(built = exact_try(w, &bench[0], text, &data, EXACT_N, &none)))
        built = exact_try(w, &bench[1], text, &data, MANY, &none);
    else
        bench[1] = (exact_bench){0};
    for (int k = 0; k < 2; k++)
        whole[k] = bench[k].e;
    for (int g = 0; g < COUNT(grids); g++) {
        ddim = INFINITY;
        for (int k = 0; k < COUNT(samplers); k++) {
            dm_err err = {0};

            b = &bench[samplers[k].noise];
            text_of(text, sizeof text, s, p, samplers[k].text, grids[g]);
            if (dm_experiment_parse(text, strlen(text), "combination", ".", &o, w->registry, &b->e, NULL, &err))
                fail_msg("%s: %s", text, err.msg);
            printf("\"%s\",\"%s\",\"%s\",\"%s\"", schedules[s] + 5, predictions[p] + 5, grids[g] + 5,
                   samplers[k].text + 5);
            if (built || exact_sampling(w, b, &err)) {
                print_refusal(built ? none.msg : err.msg);
            } else {
                const result is = measure(b, samplers[k].noise);

                ddim = k ? ddim : is.error; /* the first */
                if (is.distance > most || (!samplers[k].noise && is.error > 2 * ddim + 1e-6)) {
                    fprintf(stderr, "%s, %s, %s, %s: error %.3g, ddim's %.3g; distance %.3g\n", schedules[s],
                            predictions[p], grids[g], samplers[k].text, is.error, ddim, is.distance);
                    worse++;
                }
                dm_sampling_free(b->s);
            }
            b->s = NULL;
            dm_experiment_free(b->e);
        }
    }
    for (int k = 0; k < 2; k++) {
        bench[k].e = whole[k];
        exact_close(&bench[k]);
    }
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
