/* Walks of the multistep samplers on the device against diffusers' schedulers in double precision: the same x, the same
 * network output at each evaluation and the same noise, so that x must be the same after each step. */
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
#include "model/sampling.h"
#include "noise/noise_services.h"

enum { N = 2, COUNT = 24, OUTPUTS = 32, DRAWS = 16, MAX_WORDS = 16, MAX_STEPS = 32 };

static const char experiment[] = "data: {use: toy2d}\nschedule: {use: linear}\nnetwork: {use: mlp}\nobjective: {use: "
                                 "simple}\nsampler: {use: ddim}\n";

typedef struct fixed {
    float x[COUNT], z[DRAWS * COUNT], F[OUTPUTS * COUNT], after[MAX_STEPS * COUNT];
    int calls;
    dm_buf *out;
} fixed;

static dm_status network(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F, dm_err *err)
{
    fixed *f = user;

    (void)x;
    (void)p;
    (void)a;
    *F = f->out;
    return dm_buf_write(f->out, 0, COUNT * sizeof *f->F, f->F + f->calls++ % OUTPUTS * COUNT, err);
}

static dm_status after_step(void *user, int32_t i, int32_t n, dm_buf *x, dm_err *err)
{
    (void)n;
    return i ? dm_buf_read(x, 0, COUNT * sizeof(float), ((fixed *)user)->after + (i - 1) * COUNT, err) : DM_OK;
}

static void compare(const fixed *f, const dm_walk *g, const double *y, int64_t steps, const char *line)
{
    double largest = 1;

    for (int64_t i = 0; i < steps * COUNT; i++)
        largest = fmax(largest, fabs(y[i]));
    for (int64_t i = 0; i < steps * COUNT; i++) {
        /* A name with p has the first steps, else they are the last: of UniPC's walks there is but that. */
        const int64_t step = (*line == 'p' ? 0 : g->n - steps) + i / COUNT;
        /* What rounding does to x is multiplied by alpha' / alpha from step to step. */
        const double room = 2e-5 + 2e-6 * g->points[step + 1].alpha / g->points[0].alpha;
        const double is = (double)f->after[step * COUNT + i % COUNT];

        if (!(fabs(is - y[i]) <= room * largest))
            fail_msg("%s: after step %d of %d element %d is %.9g; diffusers has %.9g (largest %.3g)", line,
                     (int)step + 1, (int)g->n, (int)(i % COUNT), is, y[i], largest);
    }
}

static void check(dm_device *d, dm_registry *reg, const dm_st *st, fixed *f, char *line)
{
    const dm_data_info data = {.size = sizeof data, .shape = {3, {1, 3, 4}}, .levels = 256, .low = -1, .high = 1};
    const char *word[MAX_WORDS];
    dm_experiment_options o = {.overrides = word, .lenient_data = true};
    const dm_sampling_run_options run = {.noise = f->x, .z = f->z, .draws = DRAWS, .z_count = N, .step = after_step,
        .step_user = f};
    double y[MAX_STEPS * COUNT];
    char shown[512], name[16];
    float result[COUNT];
    dm_services services;
    dm_instance objective;
    const dm_st_tensor *t;
    dm_sampling *s;
    dm_experiment *e = NULL;
    dm_noise *noise = NULL;
    dm_err err = {0};

    snprintf(shown, sizeof shown, "%.*s", (int)strcspn(line, "\n"), line);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line, " "), line);
    for (char *w = strtok(strchr(line, ' '), " \n"); w && o.n_overrides < MAX_WORDS; w = strtok(NULL, " \n"))
        word[o.n_overrides++] = w;
    assert_non_null(t = dm_st_find(st, name));
    if (dm_st_read_f64(st, t, 0, (size_t)dm_shape_count(&t->shape), y, &err) ||
        dm_experiment_parse(experiment, strlen(experiment), "walks", ".", &o, reg, &e, NULL, &err) ||
        dm_noise_new(e, &noise, &err))
        fail_msg("%s: %s", shown, err.msg);
    dm_services_init(&services, NULL);
    dm_noise_serve(noise, &services);
    if (dm_instance_init(&objective, e->section[DM_SEC_OBJECTIVE].plugin, e->section[DM_SEC_OBJECTIVE].cfg, &services,
                         &err))
        fail_msg("%s", err.msg);
    {
        const dm_sampling_setup setup = {.experiment = e, .noise = noise, .device = d, .objective = &objective,
            .data = &data, .out_channels = 1, .n = N, .forward = network, .user = f};

        f->calls = 0;
        if (dm_sampling_new(&setup, &s, &err) || dm_sampling_run(s, &run, result, &err))
            fail_msg("%s: %s", shown, err.msg);
    }
    compare(f, dm_sampling_walk(s), y, dm_shape_count(&t->shape) / COUNT, shown);
    dm_sampling_free(s);
    dm_instance_fini(&objective);
    dm_noise_free(noise);
    dm_experiment_free(e);
}

static void read(const dm_st *st, const char *name, float *to, size_t n)
{
    dm_err err = {0};

    if (!dm_st_find(st, name) || dm_st_read_f32(st, dm_st_find(st, name), 0, n, to, &err))
        fail_msg("%s: %s", name, err.msg);
}

static void walks__equal_diffusers(void **state)
{
    const char *folder = getenv("DEMIST_TEST_DATA"), *device = getenv("DEMIST_DEVICE");
    const dm_device_options o = {0};
    char path[1024], line[512];
    static fixed f;
    dm_registry *reg;
    dm_device *d;
    dm_err err = {0};
    dm_st *st = NULL;
    FILE *list;
    int n = 0;

    (void)state;
    snprintf(path, sizeof path, "%s/walks.safetensors", folder);
    if (dm_device_open(device ? device : "auto", &o, &d, &err) || dm_registry_new(NULL, &reg, &err) ||
        dm_st_open(path, &st, &err) || dm_buf_new(d, COUNT * sizeof(float), "F", &f.out, &err))
        fail_msg("%s", err.msg);
    read(st, "x", f.x, COUNT);
    read(st, "z", f.z, DRAWS * COUNT);
    read(st, "F", f.F, OUTPUTS * COUNT);
    snprintf(path, sizeof path, "%s/walks.txt", folder);
    assert_non_null(list = fopen(path, "r"));
    for (; fgets(line, sizeof line, list); n++)
        check(d, reg, st, &f, line);
    fclose(list);
    assert_true(n > 100);
    dm_buf_free(f.out);
    dm_st_close(st);
    dm_registry_free(reg);
    dm_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(walks__equal_diffusers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
