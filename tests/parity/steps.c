/* Single steps of the samplers on the device against diffusers' schedulers in double precision: the same x, network
 * output and noise, every prediction, with and without clipping, at both ends and between. */
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

enum { N = 2, COUNT = 24, MAX_WORDS = 16 };

static const char experiment[] = "data: {use: toy2d}\nschedule: {use: linear}\nnetwork: {use: mlp}\nobjective: {use: "
                                 "simple}\nsampler: {use: ddim}\n";

typedef struct fixed { float F[COUNT], after[COUNT]; dm_buf *out; } fixed;

static dm_status network(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F, dm_err *err)
{
    fixed *f = user;

    (void)x;
    (void)p;
    (void)a;
    *F = f->out;
    return dm_buf_write(f->out, 0, sizeof f->F, f->F, err);
}

static dm_status after_step(void *user, int32_t i, int32_t n, dm_buf *x, dm_err *err)
{
    (void)n;
    return i == 1 ? dm_buf_read(x, 0, sizeof ((fixed *)user)->after, ((fixed *)user)->after, err) : DM_OK;
}

static void read(const dm_st *f, const char *name, float *to)
{
    dm_err err = {0};

    if (!dm_st_find(f, name) || dm_st_read_f32(f, dm_st_find(f, name), 0, COUNT, to, &err))
        fail_msg("%s: %s", name, err.msg);
}

/* One line: the tensor's name, then overrides. */
static void check(dm_device *d, dm_registry *reg, const dm_st *f, char *line)
{
    const dm_data_info data = {.size = sizeof data, .shape = {3, {1, 3, 4}}, .levels = 256, .low = -1, .high = 1};
    const char *word[MAX_WORDS];
    dm_experiment_options o = {.overrides = word, .lenient_data = true};
    float x[COUNT], z[COUNT], result[COUNT];
    double y[COUNT], largest = 0, room;
    dm_services services;
    dm_instance objective;
    dm_sampling *s = NULL;
    dm_experiment *e = NULL;
    dm_noise *noise = NULL;
    fixed fix;
    dm_err err = {0};
    char name[16];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(line, " "), line);
    for (char *w = strtok(strchr(line, ' '), " \n"); w && o.n_overrides < MAX_WORDS; w = strtok(NULL, " \n"))
        word[o.n_overrides++] = w;
    read(f, "x", x);
    read(f, "z", z);
    read(f, "F", fix.F);
    if (dm_st_read_f64(f, dm_st_find(f, name), 0, COUNT, y, &err) ||
        dm_experiment_parse(experiment, strlen(experiment), "steps", ".", &o, reg, &e, NULL, &err) ||
        dm_noise_new(e, &noise, &err))
        fail_msg("%s: %s", name, err.msg);
    dm_services_init(&services, NULL);
    dm_noise_serve(noise, &services);
    if (dm_buf_new(d, sizeof fix.F, "F", &fix.out, &err) ||
        dm_instance_init(&objective, e->section[DM_SEC_OBJECTIVE].plugin, e->section[DM_SEC_OBJECTIVE].cfg, &services,
                         &err))
        fail_msg("%s", err.msg);
    {
        const dm_sampling_setup setup = {.experiment = e,
                                         .noise = noise,
                                         .device = d,
                                         .objective = &objective,
                                         .data = &data,
                                         .out_channels = 1,
                                         .n = N,
                                         .forward = network,
                                         .user = &fix};
        /* A second step may want noise too; what it makes of it is not looked at. */
        float zz[2 * COUNT];
        dm_sampling_run_options run = {
            .noise = x, .z = zz, .draws = 2, .z_count = N, .step = after_step, .step_user = &fix};

        memcpy(zz, z, sizeof z);
        memcpy(zz + COUNT, z, sizeof z);
        if (dm_sampling_new(&setup, &s, &err) || dm_sampling_run(s, &run, result, &err))
            fail_msg("%s: %s", name, err.msg);
        {
            const dm_point *p = dm_sampling_walk(s)->points;

            room = 1e-5 + 1e-6 * p[1].alpha / p[0].alpha;
        }
    }
    for (int i = 0; i < COUNT; i++)
        largest = fmax(largest, fmax(fabs(y[i]), fabs((double)x[i])));
    for (int i = 0; i < COUNT; i++)
        if (!(fabs((double)fix.after[i] - y[i]) <= room * largest))
            fail_msg("%s (%s ... %s): element %d is %.9g; diffusers has %.9g (largest %.3g)", name, word[0],
                     word[o.n_overrides - 1], i, (double)fix.after[i], y[i], largest);
    dm_sampling_free(s);
    dm_buf_free(fix.out);
    dm_instance_fini(&objective);
    dm_noise_free(noise);
    dm_experiment_free(e);
}

static void steps__equal_diffusers(void **state)
{
    const char *folder = getenv("DEMIST_TEST_DATA"), *device = getenv("DEMIST_DEVICE");
    const dm_device_options o = {0};
    char path[1024], line[512];
    dm_registry *reg;
    dm_device *d = NULL;
    dm_err err = {0};
    dm_st *f = NULL;
    FILE *list;
    int n = 0;

    (void)state;
    snprintf(path, sizeof path, "%s/steps.safetensors", folder);
    if (dm_device_open(device ? device : "auto", &o, &d, &err) || dm_registry_new(NULL, &reg, &err) ||
        dm_st_open(path, &f, &err))
        fail_msg("%s", err.msg);
    snprintf(path, sizeof path, "%s/steps.txt", folder);
    assert_non_null(list = fopen(path, "r"));
    for (; fgets(line, sizeof line, list); n++)
        check(d, reg, f, line);
    fclose(list);
    assert_true(n > 250);
    dm_st_close(f);
    dm_registry_free(reg);
    dm_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps__equal_diffusers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
