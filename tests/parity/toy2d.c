/* What configs/moons.yaml trains on points gives points like them: the sliced Wasserstein distance of samples to
 * held-out points is below twice that of as many training points. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/data.h"
#include "session/session.h"
#include "session/session_read.h"

enum { POINTS = 2000, DIRECTIONS = 64 };

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void project(const float *x, double angle, double *to)
{
    for (int i = 0; i < POINTS; i++)
        to[i] = cos(angle) * x[2 * i] + sin(angle) * x[2 * i + 1];
    qsort(to, POINTS, sizeof *to, ascending);
}

static double sliced_wasserstein(const float *a, const float *b)
{
    double *pa = malloc(POINTS * sizeof *pa), *pb = malloc(POINTS * sizeof *pb), total = 0;

    for (int k = 0; k < DIRECTIONS; k++) {
        project(a, 3.14159265358979 * k / DIRECTIONS, pa);
        project(b, 3.14159265358979 * k / DIRECTIONS, pb);
        for (int i = 0; i < POINTS; i++)
            total += fabs(pa[i] - pb[i]);
    }
    free(pa);
    free(pb);
    return total / ((double)POINTS * DIRECTIONS);
}

static void points(const char *file, const char *const *overrides, int n, const char *split, float *x)
{
    dm_services services;
    dm_session s;
    dm_data *d;
    dm_err err = {0};

    if (dm_session_read(&s, file, overrides, n, DM_NEED_DATA, NULL, &err))
        fail_msg("%s", err.msg);
    dm_services_init(&services, NULL);
    if (dm_data_open(s.experiment, split, &services, &d, &err) || dm_data_at(d, 0, POINTS, x, NULL, &err))
        fail_msg("%s", err.msg);
    dm_data_close(d);
    dm_session_fini(&s);
}

static void compare(const char *shape)
{
    const char *source = getenv("DEMIST_SOURCE"), *device = getenv("DEMIST_DEVICE");
    char file[1024], folder[] = "/tmp/demist-toy2d-XXXXXX", out[64], kind[64], on[256], clean[128];
    const char *overrides[] = {kind, out, on};
    dm_train_options t = {.size = sizeof t, .overrides = overrides, .n_overrides = 3};
    const dm_model_options how = {
        .size = sizeof how, .overrides = (const char *const[]){on, "sampler.batch=2000"}, .n_overrides = 2};
    const dm_sample_options o = {.size = sizeof o, .count = POINTS};
    dm_model *m;
    float *train = malloc(POINTS * 2 * sizeof *train), *held = malloc(POINTS * 2 * sizeof *held);
    dm_images im = {.size = sizeof im};
    dm_err err = {0};
    double floor_, distance;

    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/configs/moons.yaml", source);
    snprintf(kind, sizeof kind, "data.shape=%s", shape);
    snprintf(out, sizeof out, "output=%s/run", folder);
    snprintf(on, sizeof on, "device=%s", device ? device : "auto");
    points(file, overrides, 3, "train", train);
    points(file, overrides, 3, "test", held);
    if (dm_train(file, &t, &err))
        fail_msg("%s", err.msg);
    if (dm_model_open(out + strlen("output="), &how, &m, &err) || dm_model_sample(m, &o, &im, &err))
        fail_msg("%s", err.msg);
    dm_model_close(m);
    floor_ = sliced_wasserstein(train, held);
    distance = sliced_wasserstein(im.x, held);
    printf("%s: samples %.4f, training points %.4f\n", shape, distance, floor_);
    dm_images_free(&im);
    free(train);
    free(held);
    snprintf(clean, sizeof clean, "rm -rf '%s'", folder);
    assert_int_equal(system(clean), 0);
    if (!(distance < 2 * floor_))
        fail_msg("%s: samples are %.4f from held-out points, training points %.4f", shape, distance, floor_);
}

static void toy2d__moons(void **state) { (void)state; compare("moons"); }
static void toy2d__swiss_roll(void **state) { (void)state; compare("swiss_roll"); }
static void toy2d__eight_gaussians(void **state) { (void)state; compare("eight_gaussians"); }

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(toy2d__moons), cmocka_unit_test(toy2d__swiss_roll),
                                       cmocka_unit_test(toy2d__eight_gaussians)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
