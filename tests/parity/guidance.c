/* Classifier-free guidance of given outputs on the device against diffusers' rescale_noise_cfg in double precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/safetensors.h"
#include "model/guiding.h"

enum { N = 3, COUNT = N * 2 * 9 * 11 };

static const char experiment[] = "data: {use: toy2d}\nschedule: {use: linear}\nnetwork: {use: mlp}\nobjective: {use: "
                                 "simple}\nsampler: {use: ddim}\nguidance: {use: cfg}\n";

static dm_buf *read(const dm_st *f, dm_device *d, const char *name)
{
    float v[COUNT];
    dm_buf *b = NULL;
    dm_err err = {0};

    if (!dm_st_find(f, name) || dm_st_read_f32(f, dm_st_find(f, name), 0, COUNT, v, &err) ||
        dm_buf_new(d, sizeof v, name, &b, &err) || dm_buf_write(b, 0, sizeof v, v, &err))
        fail_msg("%s: %s", name, err.msg);
    return b;
}

static void check(dm_device *d, dm_registry *reg, const dm_st *f, const char *name, dm_buf *const F[2])
{
    const dm_shape shape = {4, {N, 2, 9, 11, 1, 1, 1, 1}};
    const dm_point p = {.t = 500, .alpha = 0.6, .sigma = 0.8, .log_snr = 2 * log(0.75)};
    char scale[64], rescale[64];
    const char *const words[] = {scale, rescale};
    const dm_experiment_options o = {.overrides = words, .n_overrides = 2, .lenient_data = true};
    dm_tensor x = {.shape = shape, .buf = F[0]};
    dm_said said[DM_OF_COUNT] = {{0}};
    dm_predict_args a = {.F = NULL};
    float got[COUNT];
    double want[COUNT], largest = 0;
    dm_services services;
    dm_guiding *g = NULL;
    dm_experiment *e = NULL;
    dm_buf *eps;
    dm_err err = {0};

    snprintf(scale, sizeof scale, "guidance.scale=%.*s", (int)strcspn(name, " "), name);
    snprintf(rescale, sizeof rescale, "guidance.rescale=%s", strchr(name, ' ') + 1);
    for (int k = 0; k < 2; k++)
        said[k] = (dm_said){
            .x = x.buf, .F = F[k], .at = p, .is = {.c_skip = 1, .c_out = -1, .c_in = 1}, .stride = COUNT / N};
    if (dm_experiment_parse(experiment, strlen(experiment), "guidance", ".", &o, reg, &e, NULL, &err))
        fail_msg("%s: %s", name, err.msg);
    dm_services_init(&services, NULL);
    services.device = d;
    if (dm_guiding_new(e, &services, d, &shape, &g, &err) || dm_guiding_run(g, &x, said, &a, &eps, &err) ||
        dm_buf_read(a.F, 0, sizeof got, got, &err) ||
        dm_st_read_f64(f, dm_st_find(f, name), 0, COUNT, want, &err))
        fail_msg("%s: %s", name, err.msg);
    for (int i = 0; i < COUNT; i++)
        largest = fmax(largest, fabs(want[i]));
    for (int i = 0; i < COUNT; i++)
        if (!(fabs((double)got[i] - want[i]) <= 1e-6 * largest))
            fail_msg("%s: element %d is %.9g; diffusers has %.9g (largest %.3g)", name, i, (double)got[i], want[i],
                     largest);
    assert_null(eps);
    dm_guiding_free(g);
    dm_experiment_free(e);
}

static void guidance__equals_diffusers(void **state)
{
    const char *folder = getenv("DEMIST_TEST_DATA"), *device = getenv("DEMIST_DEVICE");
    const dm_device_options o = {0};
    char path[1024];
    dm_registry *reg;
    dm_device *d = NULL;
    dm_buf *F[2];
    dm_st *f = NULL;
    dm_err err = {0};
    int n = 0;

    (void)state;
    snprintf(path, sizeof path, "%s/guidance.safetensors", folder);
    if (dm_device_open(device ? device : "auto", &o, &d, &err) || dm_registry_new(NULL, &reg, &err) ||
        dm_st_open(path, &f, &err))
        fail_msg("%s", err.msg);
    F[0] = read(f, d, "class");
    F[1] = read(f, d, "none");
    for (int64_t i = 0; i < dm_st_count(f); i++)
        if (strchr(dm_st_at(f, i)->name, ' ')) {
            check(d, reg, f, dm_st_at(f, i)->name, F);
            n++;
        }
    assert_int_equal(n, 12);
    dm_buf_free(F[0]);
    dm_buf_free(F[1]);
    dm_st_close(f);
    dm_registry_free(reg);
    dm_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(guidance__equals_diffusers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
