/* Checks that sample a mixture of Gaussians, whose exact prediction is known. */
#include "plugin_test/plugin_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/normal_quantile.h"
#include "noise/noise.h"
#include "plugin_test/settings.h"
#include "settings/param.h"

enum { D = PLUGIN_TEST_D };

/* ---- order ----------------------------------------------------------------------------------------------- */

enum { STARTS = 32, COUNTS = 5, FIRST = 10 };

/* Where the probability-flow ODE takes y = x / alpha over l = log-SNR / 2: dy/dl = D(y) - y, by Runge and Kutta. */
static void flow(const dm_point *from, const dm_point *to, double y[D])
{
    enum { STEPS = 2000 };
    const double h = (to->log_snr - from->log_snr) / 2 / STEPS;

    for (int i = 0; i < STEPS; i++) {
        const double l = from->log_snr / 2 + i * h, s[4] = {exp(-l), exp(-l - h / 2), exp(-l - h / 2), exp(-l - h)};
        const double part[4] = {0, h / 2, h / 2, h}, share[4] = {h / 6, h / 3, h / 3, h / 6};
        double k[D] = {0}, sum[D] = {0}, at[D];

        for (int r = 0; r < 4; r++) {
            double x0[D];

            for (int d = 0; d < D; d++)
                at[d] = y[d] + part[r] * k[d];
            plugin_test_denoised(at, s[r], x0);
            for (int d = 0; d < D; d++) {
                k[d] = x0[d] - at[d];
                sum[d] += share[r] * k[d];
            }
        }
        for (int d = 0; d < D; d++)
            y[d] += sum[d];
    }
}

/* Starts over the distribution at the noisiest point, and where each is to end. */
static bool starts(plugin_test *t, float x[STARTS * D], double ends[STARTS * D])
{
    dm_data_info data = {.size = sizeof data, .count = 64, .shape = plugin_test_datas[0].shape};
    const char *text;
    dm_session s;
    dm_span span;
    dm_err err = {0};
    const bool ok = !plugin_test_examine(t, PLUGIN_TEST_AS_IT_IS, &data, &s, &text, &err) && s.noise;

    if (ok) {
        dm_noise_span(s.noise, &span);
        for (int i = 0; i < STARTS; i++) {
            double y[D];

            for (int d = 0; d < D; d++) {
                const double u = (((i * (d ? 13 : 1)) % STARTS) + 0.5) / STARTS;

                x[i * D + d] = (float)(span.most.sigma * dm_normal_quantile(u) + span.most.alpha * PLUGIN_TEST_MEAN);
                y[d] = (double)x[i * D + d] / span.most.alpha;
            }
            flow(&span.most, &span.least, y);
            for (int d = 0; d < D; d++)
                ends[i * D + d] = y[d] * span.least.alpha;
        }
    } else {
        plugin_test_fail(t, "%s", err.code ? err.msg : text);
    }
    dm_session_fini(&s);
    return ok;
}

static bool error_of(plugin_test *t, dm_model *m, int steps, const float *x, const double *ends, double *error)
{
    const char *change = dm_sprintf(t->arena, "sampler.steps=%d", steps);
    float *got = NULL;
    int64_t count = 0;
    dm_err err = {0};

    *error = 0;
    if (!change || plugin_test_sample(m, &(plugin_test_draw){.changes = PLUGIN_TEST_CHANGES(change), .n = STARTS,
                                                             .noise = x}, &got, &count, &err)) {
        plugin_test_fail(t, "%d steps: %s", steps, err.msg);
        return false;
    }
    for (int64_t i = 0; i < count; i++)
        *error = fmax(*error, fabs((double)got[i] - ends[i]));
    free(got);
    return true;
}

/* Does it draw noise of its own? */
static bool draws(plugin_test *t, dm_model *m, const float *x, bool *yes)
{
    float *a = NULL, *b = NULL;
    int64_t count;
    dm_err err = {0};
    bool ok = !plugin_test_sample(m, &(plugin_test_draw){.n = STARTS, .noise = x, .seed = 1}, &a, &count, &err) &&
              !plugin_test_sample(m, &(plugin_test_draw){.n = STARTS, .noise = x, .seed = 2}, &b, &count, &err);

    if (ok)
        *yes = memcmp(a, b, (size_t)count * sizeof *a) != 0;
    else
        plugin_test_fail(t, "%s", err.msg);
    free(a);
    free(b);
    return ok;
}

/* The largest error at the end of the walk for more and more steps, and how fast it falls. */
static void check_slope(plugin_test *t, dm_model *m, const float *x, const double *ends)
{
    const double order = t->order > 0 ? t->order : 1;
    double e[COUNTS], slope = 0;
    int n = 0;

    for (int k = 0; k < COUNTS; k++) {
        if (!error_of(t, m, FIRST << k, x, ends, &e[k]))
            return;
        if (n == k && e[k] > 1e-5)
            n++;
    }
    if (n > 1)
        slope = log2(e[n - 2] / e[n - 1]);
    if (n > 2 && !(slope >= order - 0.3))
        plugin_test_fail(t, "errors at the end of %d, %d, ... steps are %.2g %.2g %.2g %.2g %.2g: order %.2f where %g "
                            "is expected%s", FIRST, 2 * FIRST, e[0], e[1], e[2], e[3], e[4], slope, order,
                         slope < 0.5 ? "; it does not go to where the probability flow goes: look at the step's "
                                       "coefficients" : "");
    else
        plugin_test_note(t, "order %.2f: errors at the end of %d, %d, ... steps are %.2g %.2g %.2g %.2g %.2g", slope,
                         FIRST, 2 * FIRST, e[0], e[1], e[2], e[3], e[4]);
}

/* Mean square distance of a coordinate from the mean of the nearer component. */
static double spread_of(const float *x, int64_t count)
{
    double sum = 0;

    for (int64_t i = 0; i < count; i += D) {
        double square[2] = {0, 0};

        for (int k = 0; k < 2; k++)
            for (int d = 0; d < D; d++)
                square[k] += pow((double)x[i + d] - (k ? 0.7 : -0.5), 2);
        sum += fmin(square[0], square[1]);
    }
    return sum / (double)count;
}

/* Samples by a sampler with noise have the data's mean and variance, and the variance of the parts of the mixture,
 * which tells of noise at the end. */
static void check_moments(plugin_test *t, dm_model *m)
{
    enum { SAMPLES = 16384 };
    const double spread = 0.4 * 0.3 * 0.3 + 0.6 * 0.2 * 0.2;
    double found;
    float *x = NULL;
    int64_t count;
    double mean = 0, variance = 0;
    dm_err err = {0};

    if (plugin_test_sample(m, &(plugin_test_draw){.changes = PLUGIN_TEST_CHANGES("sampler.steps=250"), .n = SAMPLES,
                                                  .seed = 1}, &x, &count, &err)) {
        plugin_test_fail(t, "%s", err.msg);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        mean += (double)x[i] / (double)count;
    for (int64_t i = 0; i < count; i++)
        variance += pow((double)x[i] - mean, 2) / (double)count;
    found = spread_of(x, count);
    free(x);
    if (!(fabs(found / spread - 1) <= 0.1))
        plugin_test_fail(t, "%d samples of 250 steps lie around the means of the mixture's parts with variance %.4f, "
                         "the data with %.4f; look at how much noise a step adds", SAMPLES, found, spread);
    else if (!(fabs(mean - PLUGIN_TEST_MEAN) <= 0.08) || !(fabs(variance / PLUGIN_TEST_VARIANCE - 1) <= 0.15))
        plugin_test_fail(t, "%d samples of 250 steps have mean %.3f and variance %.3f, the data %.3f and %.3f; look at "
                         "the step's mean and at how much noise it adds", SAMPLES, mean, variance, PLUGIN_TEST_MEAN,
                         PLUGIN_TEST_VARIANCE);
    else
        plugin_test_note(t, "%d samples of 250 steps have mean %.3f and variance %.3f, the data %.3f and %.3f", SAMPLES,
                         mean, variance, PLUGIN_TEST_MEAN, PLUGIN_TEST_VARIANCE);
}

/* One step from the noisiest point to the data goes to the denoised value, whatever the method. */
static void check_last(plugin_test *t, dm_model *m, const float *x)
{
    const plugin_test_draw draw = {.n = STARTS, .noise = x,
                                   .changes = PLUGIN_TEST_CHANGES("sampler.steps=1", "grid.use=uniform",
                                                                  "grid.last=data")};
    dm_data_info data = plugin_test_info(plugin_test_datas);
    const char *text;
    dm_session s;
    dm_span span;
    float *got = NULL;
    int64_t count = 0;
    double worst = 0;
    dm_err err = {0};

    if (plugin_test_examine(t, PLUGIN_TEST_AS_IT_IS, &data, &s, &text, &err) || !s.noise) {
        plugin_test_fail(t, "%s", err.code ? err.msg : text);
    } else if (plugin_test_sample(m, &draw, &got, &count, &err)) {
        plugin_test_note(t, "one step to the data: refused: %s", plugin_test_reason(t, err.msg));
    } else {
        dm_noise_span(s.noise, &span);
        for (int i = 0; i < STARTS; i++) {
            double y[D], x0[D];

            for (int d = 0; d < D; d++)
                y[d] = (double)x[i * D + d] / span.most.alpha;
            plugin_test_denoised(y, span.most.sigma / span.most.alpha, x0);
            for (int d = 0; d < D; d++)
                worst = fmax(worst, fabs((double)got[i * D + d] - x0[d]));
        }
        if (!(worst <= 5e-3))
            plugin_test_fail(t, "one step from the noisiest point to the data ends %.3g from the denoised value; there "
                             "sigma is 0, and nothing of the noise may stay", worst);
    }
    free(got);
    dm_session_fini(&s);
}

/* From data to noise and back. */
static void check_inversion(plugin_test *t, dm_model *m)
{
    const char *const changes[] = {"sampler.steps=160"};
    dm_model_properties about = {.size = sizeof about};
    float data[STARTS * D], *back = NULL;
    dm_sample_options o = {.size = sizeof o, .count = STARTS, .n_overrides = 1, .overrides = changes, .start = data,
                           .start_shape = {2, {STARTS, D}}};
    dm_images noise = {.size = sizeof noise};
    double worst = 0;
    int64_t count = 0;
    dm_err err = {0};

    for (int i = 0; i < STARTS * D; i++)
        data[i] = (float)((i / D % 2 ? 0.7 : -0.5) + 0.2 * sin(1.7 * i));
    if (dm_model_invert(m, &o, &noise, &err)) {
        if (err.code == DM_EINVAL && t->plugin->sampler->check) /* a setting may not go both ways */
            plugin_test_note(t, "from data to noise: refused: %s", plugin_test_reason(t, err.msg));
        else
            plugin_test_fail(t, "from data to noise: %s", err.msg);
        return;
    }
    if (plugin_test_sample(m, &(plugin_test_draw){.changes = PLUGIN_TEST_CHANGES("sampler.steps=160"), .n = STARTS,
                                                  .noise = noise.x}, &back, &count, &err))
        plugin_test_fail(t, "back from the noise of data: %s", err.msg);
    for (int64_t i = 0; back && i < count; i++)
        worst = fmax(worst, fabs((double)back[i] - (double)data[i]));
    if (back && !(worst <= 0.1))
        plugin_test_fail(t, "from data to noise and back in 160 steps ends %.3g from the data; a sampler that inverts "
                         "takes grids in both directions, and adds no noise in that from the data", worst);
    free(back);
    dm_images_free(&noise);
}

void plugin_test_order(plugin_test *t)
{
    float x[STARTS * D];
    double ends[STARTS * D], error;
    bool noisy = false;
    dm_model *m = NULL;
    dm_err err = {0};

    if (!starts(t, x, ends))
        return;
    if (plugin_test_train(t, PLUGIN_TEST_AS_IT_IS, &m, &err)) {
        plugin_test_fail(t, "%s", err.msg);
        return;
    }
    if (t->plugin->sampler->adaptive && t->order > 0) {
        plugin_test_fail(t, "--order %g was said of a sampler that chooses its own steps; its order is "
                         "not measured", t->order);
    } else if (t->plugin->sampler->adaptive) {
        if (error_of(t, m, 2000, x, ends, &error) && !(error < 0.05))
            plugin_test_fail(t, "the error at its end is %.2g", error);
        else if (!t->failed)
            plugin_test_note(t, "the error at its end is %.2g", error);
    } else if (draws(t, m, x, &noisy)) {
        if (noisy && t->order > 0)
            plugin_test_fail(t, "--order %g was said of a sampler that adds noise, whose order is not measured; leave "
                             "it out, or give the parameter that takes the noise away", t->order);
        else if (noisy)
            check_moments(t, m);
        else
            check_slope(t, m, x, ends);
        if (!t->failed)
            check_last(t, m, x);
        if (!t->failed && t->plugin->sampler->inverts)
            check_inversion(t, m);
    }
    dm_model_close(m);
}

/* ---- any parameters --------------------------------------------------------------------------------------- */

static const int32_t two_classes[] = {0, 1, 0, 1, 0, 1};
enum { FEW = PLUGIN_TEST_FEW };

/* A schedule that ends in noise alone: alpha is 0 there. */
static const char *const no_signal[] = {"schedule.zero_terminal_snr=true", NULL};

static void check_samples(plugin_test *t, const char *const *data, const char *const *changes)
{
    const char *const *all = plugin_test_both(t, data, changes);
    const plugin_test_draw draw = {.n = FEW, .labels = t->kind == DM_KIND_GUIDANCE ? two_classes : NULL};
    float *x = NULL, *again = NULL;
    dm_model *m = NULL;
    int64_t count = 0;
    dm_err err = {0};

    if ((all ? plugin_test_train(t, all, &m, &err) : dm_error(&err, DM_ENOMEM, "out of memory")) ||
        plugin_test_sample(m, &draw, &x, &count, &err) ||
        plugin_test_sample(m, &draw, &again, &count, &err)) {
        const bool divides = changes == no_signal && strstr(err.msg, "has the factor"); /* by what is 0 */

        if (err.code == DM_EDIVERGED && *changes && changes != no_signal) /* a value may be as large as its row says */
            plugin_test_note(t, "with %s: %s; a narrower range would refuse such values",
                             plugin_test_show(t, changes), plugin_test_reason(t, err.msg));
        else if (err.code != DM_EINVAL || divides || !*changes || strstr(err.msg, "gave no reason"))
            plugin_test_fail(t, "with %s: %s", plugin_test_show(t, changes), err.msg);
        else
            plugin_test_note(t, "with %s: refused: %s", plugin_test_show(t, changes), plugin_test_reason(t, err.msg));
    } else if (plugin_test_bad(x, count) >= 0) {
        plugin_test_fail(t, "with %s: sample %lld is not finite", plugin_test_show(t, changes),
                         (long long)(plugin_test_bad(x, count) / (count / FEW)));
    } else if (memcmp(x, again, (size_t)count * sizeof *x)) {
        plugin_test_fail(t, "with %s: the same seed gives other samples the second time; begin() must start anew, and "
                         "nothing may be read before it is written", plugin_test_show(t, changes));
    }
    free(x);
    free(again);
    dm_model_close(m);
}

void plugin_test_samples(plugin_test *t)
{
    enum { TRIES = 5 };
    const char *const *data = PLUGIN_TEST_AS_IT_IS;

    if (t->kind == DM_KIND_OBJECTIVE && !t->plugin->objective->affine) {
        plugin_test_note(t, "it does not diffuse");
        return;
    }
    if (t->kind == DM_KIND_OBJECTIVE && !(data = plugin_test_data_of(t)))
        return;
    check_samples(t, data, PLUGIN_TEST_AS_IT_IS);
    if (t->kind == DM_KIND_SAMPLER || t->kind == DM_KIND_GUIDANCE)
        check_samples(t, data, no_signal);
    for (uint32_t i = 0; i < TRIES && !t->failed && dm_param_count(t->plugin->params); i++) {
        const char *const *changes = plugin_test_random(t, i);

        if (!changes)
            plugin_test_fail(t, "out of memory");
        else if (*changes)
            check_samples(t, data, changes);
    }
}

/* ---- alone -------------------------------------------------------------------------------------------------- */

void plugin_test_compare_alone(plugin_test *t, dm_model *m, const int32_t *labels, double most)
{
    float *all = NULL, *one = NULL;
    int64_t count = 0, each = 0;
    dm_err err = {0};

    if (plugin_test_sample(m, &(plugin_test_draw){.n = FEW, .labels = labels}, &all, &count, &err))
        plugin_test_fail(t, "%s", err.msg);
    for (int64_t i = 0; i < FEW && !t->failed; i++) {
        const plugin_test_draw draw = {.n = 1, .first = i, .labels = labels ? labels + i : NULL};
        double off;

        if (plugin_test_sample(m, &draw, &one, &each, &err))
            plugin_test_fail(t, "image %lld alone: %s", (long long)i, err.msg);
        else if ((off = plugin_test_difference(all + i * each, one, each)) > most)
            plugin_test_fail(t, "sample %lld differs by %.2g of its size where it is drawn alone: something mixes the "
                             "examples of a batch", (long long)i, off);
        free(one);
        one = NULL;
    }
    free(all);
}

void plugin_test_alone(plugin_test *t)
{
    dm_model *m = NULL;
    dm_err err = {0};

    if (t->kind == DM_KIND_SAMPLER && t->plugin->sampler->adaptive) {
        plugin_test_note(t, "it chooses its steps by the whole batch");
        return;
    }
    if (plugin_test_train(t, PLUGIN_TEST_AS_IT_IS, &m, &err))
        plugin_test_fail(t, "%s", err.msg);
    else
        plugin_test_compare_alone(t, m, t->kind == DM_KIND_GUIDANCE ? two_classes : NULL, 1e-4);
    dm_model_close(m);
}
