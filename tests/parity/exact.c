/* The bench of exact_gaussians; see exact.h. */
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

static const double mean[2] = {-0.5, 0.7}, deviation[2] = {0.3, 0.2}, share[2] = {0.4, 0.6};
static const char mixture[] = "{use: exact_gaussians, means: [-0.5, 0.7], deviations: [0.3, 0.2], weights: [2, 3]}";

int exact_open_world(void **state)
{
    static exact_world w;
    const char *device = getenv("DEMIST_DEVICE");
    const dm_device_options o = {0};
    dm_err err = {0};

    if (dm_device_open(device ? device : "auto", &o, &w.device, &err) || dm_registry_new(NULL, &w.registry, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    *state = &w;
    return 0;
}

int exact_close_world(void **state)
{
    const exact_world *w = *state;

    dm_registry_free(w->registry);
    dm_device_close(w->device);
    return 0;
}

static dm_status answered(exact_bench *b, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F, dm_err *err)
{
    const size_t bytes = dm_buf_bytes(dm_forward_output(b->forward));
    float *in = malloc(bytes), *out = malloc(bytes);
    dm_status rc;

    *F = dm_forward_output(b->forward);
    if (!(rc = dm_buf_read(x, 0, bytes, in, err))) {
        b->answer(p, a, (int64_t)(bytes / sizeof *in), in, out);
        rc = dm_buf_write(*F, 0, bytes, out, err);
    }
    free(in);
    free(out);
    return rc;
}

static dm_status forward(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F, dm_err *err)
{
    exact_bench *b = user;
    dm_buf *in = dm_forward_input(b->forward);
    double *c_in;
    dm_status rc;

    if (b->answer)
        return answered(b, x, p, a, F, err);
    c_in = malloc((size_t)b->n * sizeof *c_in);
    for (int64_t i = 0; i < b->n; i++)
        c_in[i] = a->c_in;
    *F = dm_forward_output(b->forward);
    if (!(rc = x == in ? DM_OK : dm_buf_copy(x, 0, in, 0, dm_buf_bytes(in), err)) &&
        !(rc = dm_forward_level(b->forward, p, a, err)))
        rc = dm_forward_run(b->forward, c_in, c_in, NULL, err);
    free(c_in);
    return rc;
}

dm_status exact_try(const exact_world *w, exact_bench *b, const char *text, const dm_data_info *data, int64_t n,
                    dm_err *err)
{
    const dm_experiment_options o = {.lenient_data = true};
    dm_status rc;

    *b = (exact_bench){.n = n};
    if ((rc = dm_experiment_parse(text, strlen(text), "exact", ".", &o, w->registry, &b->e, NULL, err)) ||
        (rc = dm_noise_new(b->e, &b->noise, err)) ||
        (rc = dm_net_new(b->e, b->noise, w->device, data, 0, &b->net, err)) ||
        (rc = dm_wset_new(w->device, dm_net_layout(b->net), &b->weights, err)))
        return rc;
    return dm_forward_new(b->net, b->weights, b->n, NULL, &b->forward, err);
}

void exact_build(const exact_world *w, exact_bench *b, const char *text, const dm_data_info *data, int64_t n)
{
    dm_err err = {0};

    if (exact_try(w, b, text, data, n, &err))
        fail_msg("%s: %s", text, err.msg);
}

void exact_predict(exact_bench *b, const dm_point *p, dm_affine *a, const float *x, float *F)
{
    dm_instance *objective = dm_net_objective(b->net);
    dm_buf *in = dm_forward_input(b->forward), *out;
    dm_err err = {0};

    if (objective->plugin->objective->affine(&objective->ctx, p, a) ||
        dm_buf_write(in, 0, dm_buf_bytes(in), x, &err) || forward(b, in, p, a, &out, &err) ||
        dm_buf_read(out, 0, dm_buf_bytes(out), F, &err))
        fail_msg("%s", err.msg);
}

void exact_open(const exact_world *w, exact_bench *b, const char *sampler, int steps)
{
    exact_open_on(w, b, mixture, sampler, steps, EXACT_N);
}

static void open_shaped(const exact_world *w, exact_bench *b, const char *network, exact_answer answer, int dim,
                        const char *sampler, int steps, int64_t n)
{
    const dm_data_info data = {.size = sizeof data, .shape = {1, {dim, 1, 1, 1, 1, 1, 1, 1}}};
    char text[1024];
    dm_err err = {0};

    snprintf(text, sizeof text,
             "data: {use: toy2d}\nschedule: {use: linear}\nnetwork: %s\nobjective: {use: simple, predict: v}\n"
             "sampler: {%s, steps: %d, clip: off%s}\ngrid: {use: log_snr, last: least}\n",
             network, sampler, steps,
             strstr(sampler, "dpmpp") || strstr(sampler, "unipc") || strstr(sampler, "deis") ||
                     strstr(sampler, "use: sa,")
                 ? ", lower_order_final: false" : "");
    exact_build(w, b, text, &data, n);
    b->answer = answer;
    if (exact_sampling(w, b, &err))
        fail_msg("%s: %s", sampler, err.msg);
}

void exact_open_on(const exact_world *w, exact_bench *b, const char *network, const char *sampler, int steps,
                   int64_t n)
{
    open_shaped(w, b, network, NULL, 1, sampler, steps, n);
}

void exact_open_answered(const exact_world *w, exact_bench *b, exact_answer answer, int dim, const char *sampler,
                         int steps, int64_t n)
{
    open_shaped(w, b, "{use: exact_gaussians}", answer, dim, sampler, steps, n);
}

dm_status exact_sampling(const exact_world *w, exact_bench *b, dm_err *err)
{
    const dm_sampling_setup setup = {.experiment = b->e, .noise = b->noise, .device = w->device,
        .objective = dm_net_objective(b->net), .data = dm_net_data(b->net),
        .out_channels = (int32_t)dm_net_data(b->net)->shape.dim[0], .n = b->n,
        .forward = forward, .user = b};

    return dm_sampling_new(&setup, &b->s, err);
}

void exact_close(exact_bench *b)
{
    dm_sampling_free(b->s);
    dm_forward_free(b->forward);
    dm_wset_free(b->weights);
    dm_net_free(b->net);
    dm_noise_free(b->noise);
    dm_experiment_free(b->e);
}

void exact_from_quantiles(const exact_bench *b, float *x)
{
    const dm_point *p = dm_sampling_walk(b->s)->points;

    for (int64_t i = 0; i < b->n; i++)
        x[i] = (float)(p->sigma * dm_normal_quantile(((double)i + 0.5) / (double)b->n) + p->alpha * 0.2);
}

void exact_run(exact_bench *b, const float *noise, float *x)
{
    dm_err err = {0};

    if (dm_sampling_run(b->s, &(dm_sampling_run_options){.noise = noise}, x, &err))
        fail_msg("%s", err.msg);
}

/* E[x0 | y], y = x0 + s eps. */
static double denoised(double y, double s)
{
    double total = 0, sum = 0;

    for (int k = 0; k < 2; k++) {
        const double v = deviation[k] * deviation[k] + s * s, e = y - mean[k];
        const double w = share[k] / sqrt(v) * exp(-e * e / v / 2);

        total += w;
        sum += w * (mean[k] + deviation[k] * deviation[k] / v * e);
    }
    return sum / total;
}

/* y = x / alpha over l = log-SNR / 2: dy/dl = D(y) - y, by Runge and Kutta. */
double exact_end(const exact_bench *b, double x)
{
    enum { STEPS = 4000 };
    const dm_walk *g = dm_sampling_walk(b->s);
    const dm_point *from = g->points, *to = g->points + g->n;
    const double h = (to->log_snr - from->log_snr) / 2 / STEPS;
    double y = x / from->alpha;

    for (int i = 0; i < STEPS; i++) {
        const double l = from->log_snr / 2 + i * h, s0 = exp(-l), s1 = exp(-l - h / 2), s2 = exp(-l - h);
        const double a = denoised(y, s0) - y, c = y + h / 2 * a, d = denoised(c, s1) - c;
        const double e = y + h / 2 * d, f = denoised(e, s1) - e, k = y + h * f, m = denoised(k, s2) - k;

        y += h / 6 * (a + 2 * d + 2 * f + m);
    }
    return y * to->alpha;
}
