/* A model opened and closed many times, and openings that fail: no descriptor, no thread and no memory stays behind.
 * DEMIST_OPENS: how many times (40). */
#include "unit/scratch.h"

#include <demist/demist.h>

#include <dirent.h>
#include <unistd.h>

typedef struct held { int descriptors, threads; double megabytes; } held;

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static held holds(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long all = 0, pages = 0;

    assert_true(f && fscanf(f, "%ld %ld", &all, &pages) == 2);
    fclose(f);
    return (held){entries("/proc/self/fd"), entries("/proc/self/task"),
                  (double)pages * (double)sysconf(_SC_PAGESIZE) * 1e-6};
}

static void open_and_close(const char *run)
{
    const dm_sample_options o = {.size = sizeof o, .count = 2};
    dm_images im = {.size = sizeof im};
    dm_err err = {0};
    dm_model *m;

    assert_status(dm_model_open(run, NULL, &m, &err), DM_OK, &err);
    assert_status(dm_model_sample(m, &o, &im, &err), DM_OK, &err);
    dm_images_free(&im);
    dm_model_close(m);
    assert_int_equal(dm_model_open("/nonexistent", NULL, &m, &err), DM_ENOENT);
}

static void model__leaves_nothing_behind(void **state)
{
    const char *on = getenv("DEMIST_DEVICE"), *times = getenv("DEMIST_OPENS");
    const int n = times ? atoi(times) : 40;
    char file[1024], output[256], device[280], run[128];
    const char *set[] = {output, device, "train.steps=2", "train.warmup=0", "network.width=32", "network.depth=1",
                         "sampler.steps=2"};
    const dm_train_options o = {.size = sizeof o, .overrides = set, .n_overrides = sizeof set / sizeof set[0]};
    scratch dir = scratch_new();
    dm_err err = {0};
    held before, after;

    (void)state;
    snprintf(file, sizeof file, "%s/configs/moons.yaml", getenv("DEMIST_SOURCE"));
    snprintf(run, sizeof run, "%s/run", dir.dir);
    snprintf(output, sizeof output, "output=%s", run);
    snprintf(device, sizeof device, "device=%s", on ? on : "auto");
    assert_status(dm_train(file, &o, &err), DM_OK, &err);
    for (int i = 0; i < 10; i++) /* what a runtime and the allocator keep for the process */
        open_and_close(run);
    before = holds();
    for (int i = 0; i < n; i++)
        open_and_close(run);
    after = holds();
    printf("%d openings: %d and %d descriptors, %d and %d threads, %.1f and %.1f MB\n", n, before.descriptors,
           after.descriptors, before.threads, after.threads, before.megabytes, after.megabytes);
    assert_int_equal(after.descriptors, before.descriptors);
    assert_int_equal(after.threads, before.threads);
    assert_true(after.megabytes < before.megabytes + 16);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(model__leaves_nothing_behind)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
