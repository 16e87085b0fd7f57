/* v' dF/dx of a forward pass against central differences of v' F: networks of points and of images, with classes, and
 * with more outputs than the data has channels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session/session.h"

enum { N = 3, MOST = 3 * 64 };

static float numbers(int i, int salt) { return (float)sin(1.7 * i + salt); }

/* Runs at x; *product = v' dF/dx if asked for. */
static double dot(dm_forward *f, const float *x, const float *v, int64_t example, float *product)
{
    const double c_in[N] = {0.8, 0.8, 0.8}, c_noise[N] = {300, 300, 300};
    const int32_t labels[N] = {0, 1, 2};
    const dm_shape shape = dm_forward_shape(f);
    const int64_t outputs = dm_shape_count(&shape) / N;
    float F[2 * MOST];
    double sum = 0;
    dm_err err = {0};

    if (dm_buf_write(dm_forward_input(f), 0, (size_t)(N * example) * sizeof *x, x, &err) ||
        dm_buf_write(dm_forward_vector(f), 0, (size_t)(N * example) * sizeof *v, v, &err) ||
        dm_forward_run(f, c_in, c_noise, labels, &err) ||
        dm_buf_read(dm_forward_output(f), 0, (size_t)(N * outputs) * sizeof *F, F, &err) ||
        (product && dm_buf_read(dm_forward_product(f), 0, (size_t)(N * example) * sizeof *product, product, &err)))
        fail_msg("%s", err.msg);
    for (int i = 0; i < N; i++)
        for (int64_t d = 0; d < example; d++)
            sum += (double)F[i * outputs + d] * (double)v[i * example + d];
    return sum;
}

static void product__is_the_derivative(void **state)
{
    static const struct { const char *text; dm_data_info data; } cases[] = {
        {"network: {use: mlp, width: 16, depth: 2}\nobjective: {use: simple}", {.shape = {1, {2}}}},
        {"network: {use: unet, channels: [8, 16], attend: [0, 1], layers: 1, groups: 4}\nobjective: {use: simple}",
         {.shape = {3, {1, 8, 8}}}},
        {"network: {use: unet, channels: [8, 16], attend: [0, 1], layers: 1, groups: 4}\nobjective: {use: hybrid}",
         {.shape = {3, {1, 8, 8}}, .classes = 3, .levels = 256, .low = -1, .high = 1}},
        {"network: {use: unet, channels: [8], attend: [0], layers: 1, groups: 4}\nobjective: {use: hybrid}",
         {.shape = {3, {3, 4, 4}}, .levels = 256, .low = -1, .high = 1}},
    };
    const char *device = getenv("DEMIST_DEVICE");
    char on[256];
    const char *override = on;
    const dm_experiment_options o = {.overrides = &override, .n_overrides = 1, .lenient_data = true};

    (void)state;
    snprintf(on, sizeof on, "device=%s", device ? device : "auto");
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        dm_session s = {.data = cases[k].data};
        float x[MOST], v[MOST], direction[MOST], product[MOST], near[MOST];
        char text[512];
        double slope = 0, size = 0, difference;
        int64_t count, example;
        dm_forward *f;
        dm_wset *w;
        float *values;
        dm_err err = {0};

        s.data.size = sizeof s.data;
        snprintf(text, sizeof text, "schedule: {use: linear}\nsampler: {use: ddim}\nmatmul_precision: highest\n%s\n",
                 cases[k].text);
        if (dm_registry_new(NULL, &s.registry, &err) ||
            dm_experiment_parse(text, strlen(text), "product", ".", &o, s.registry, &s.experiment, NULL, &err) ||
            dm_noise_new(s.experiment, &s.noise, &err) || dm_session_open(&s, false, &err) ||
            dm_wset_new(s.device, dm_net_layout(s.model), &w, &err))
            fail_msg("%s", err.msg);
        count = (int64_t)dm_net_layout(s.model)->total;
        assert_non_null(values = malloc((size_t)count * sizeof *values));
        for (int64_t i = 0; i < count; i++) /* none of its layers may be zero */
            values[i] = 0.3f * numbers((int)i, 5);
        if (dm_buf_write(dm_wset_flat(w), 0, (size_t)count * sizeof *values, values, &err) ||
            dm_forward_new_product(s.model, w, N, &f, &err))
            fail_msg("%s", err.msg);
        dm_wset_touch(w);
        example = dm_shape_count(&s.data.shape);
        assert_true(N * example <= MOST);
        for (int i = 0; i < N * example; i++) {
            x[i] = numbers(i, 1);
            v[i] = numbers(i, 2);
            direction[i] = numbers(i, 3);
        }
        dot(f, x, v, example, product);
        for (int i = 0; i < N * example; i++) {
            slope += (double)product[i] * (double)direction[i];
            size += fabs((double)product[i] * (double)direction[i]);
        }
        {
            const float h = 4e-3f;
            double up, down;

            for (int i = 0; i < N * example; i++)
                near[i] = x[i] + h * direction[i];
            up = dot(f, near, v, example, NULL);
            for (int i = 0; i < N * example; i++)
                near[i] = x[i] - h * direction[i];
            down = dot(f, near, v, example, NULL);
            difference = (up - down) / (2 * (double)h);
        }
        printf("%zu: %.6g by the product, %.6g by differences, of %.3g in size\n", k, slope, difference, size);
        assert_true(size > 0.1);
        assert_true(fabs(slope - difference) < 2e-3 * size);
        dm_forward_free(f);
        dm_wset_free(w);
        free(values);
        dm_session_fini(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(product__is_the_derivative)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
