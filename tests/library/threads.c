/* Two threads with a model each, on one device: both sample again and again what one thread alone samples, and open and
 * close their models meanwhile. DEMIST_BESIDE=DEVICE: the second thread's is on another device. */
#include "unit/scratch.h"

#include <demist/demist.h>

#include <pthread.h>

enum { THREADS = 2, ROUNDS = 4, POINTS = 8 };

typedef struct worker {
    pthread_t thread;
    const char *run, *device;      /* NULL: the run's */
    float x[ROUNDS][POINTS * 2];
    dm_status rc;
    dm_err err;
} worker;

static dm_status sample(const char *run, const char *device, int64_t seed, float x[POINTS * 2], dm_err *err)
{
    const dm_sample_options o = {.size = sizeof o, .count = POINTS, .seed = &seed};
    const dm_model_options where = {.size = sizeof where, .device = device};
    dm_images im = {.size = sizeof im};
    dm_model *m;
    dm_status rc;

    if ((rc = dm_model_open(run, &where, &m, err)))
        return rc;
    if (!(rc = dm_model_sample(m, &o, &im, err)))
        memcpy(x, im.x, POINTS * 2 * sizeof *x);
    dm_images_free(&im);
    dm_model_close(m);
    return rc;
}

static void *work(void *user)
{
    worker *w = user;

    for (int i = 0; i < ROUNDS && !w->rc; i++)
        w->rc = sample(w->run, w->device, i, w->x[i], &w->err);
    return NULL;
}

static void threads__sample_what_one_does(void **state)
{
    const char *on = getenv("DEMIST_DEVICE"), *beside = getenv("DEMIST_BESIDE");
    char file[1024], output[256], device[280], run[128];
    const char *set[] = {output, device, "train.steps=2", "train.warmup=0", "network.width=32", "network.depth=1",
                         "sampler.steps=4"};
    const dm_train_options o = {.size = sizeof o, .overrides = set, .n_overrides = sizeof set / sizeof set[0]};
    static worker alone, w[THREADS];
    scratch dir = scratch_new();
    dm_err err = {0};

    (void)state;
    snprintf(file, sizeof file, "%s/configs/moons.yaml", getenv("DEMIST_SOURCE"));
    snprintf(run, sizeof run, "%s/run", dir.dir);
    snprintf(output, sizeof output, "output=%s", run);
    snprintf(device, sizeof device, "device=%s", on ? on : "auto");
    assert_status(dm_train(file, &o, &err), DM_OK, &err);
    alone.run = run;
    work(&alone);
    assert_status(alone.rc, DM_OK, &alone.err);
    for (int i = 0; i < THREADS; i++) {
        w[i].run = run;
        w[i].device = i ? beside : NULL;
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(w[i].thread, NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_status(w[i].rc, DM_OK, &w[i].err);
        if (!w[i].device)
            assert_memory_equal(w[i].x, alone.x, sizeof alone.x);
        for (int r = 0; r < ROUNDS; r++)
            for (int j = 0; j < POINTS * 2; j++)
                assert_float_equal(w[i].x[r][j], alone.x[r][j], 1e-4);
    }
    assert_memory_not_equal(alone.x[0], alone.x[1], sizeof alone.x[0]);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads__sample_what_one_does)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
