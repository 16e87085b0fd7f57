/* A training run that is stopped while its kernels are built: no step, nothing saved, and it can be begun again. */
#include "scratch.h"

#include <demist/demist.h>

#include <unistd.h>

typedef struct watch { bool stop; int built, after; } watch;

static void hear(void *user, dm_log_level level, const char *line)
{
    watch *w = user;

    (void)level;
    if (strncmp(line, "building ", strlen("building ")))
        return;
    w->built++;
    w->after += w->stop; /* each is told before it is built */
    w->stop = true;
}

static bool asked(void *user) { return ((watch *)user)->stop; }

static void training__stops_between_kernels(void **state)
{
    const char *device = getenv("DEMIST_DEVICE");
    scratch dir = scratch_new();
    char experiment[1024], on[256], output[1200], cache[1100];
    const char *overrides[] = {on,       output, "network.width=8", "network.depth=1", "train.steps=2", "train.batch=4",
                               "tune=on"};
    watch w = {0};
    dm_callbacks cb = {.size = sizeof cb, .user = &w, .log = hear, .cancelled = asked};
    dm_train_options o = {.size = sizeof o, .overrides = overrides, .n_overrides = 7, .callbacks = &cb};
    dm_err err = {0};

    (void)state;
    snprintf(experiment, sizeof experiment, "%s/configs/moons.yaml", getenv("DEMIST_SOURCE"));
    snprintf(on, sizeof on, "device=%s", device ? device : "auto");
    snprintf(output, sizeof output, "output=%s", scratch_path(&dir, "run"));
    snprintf(cache, sizeof cache, "%s", scratch_path(&dir, "cache"));
    setenv("DEMIST_CACHE", cache, 1);
    assert_fails(dm_train(experiment, &o, &err), DM_ECANCELLED, &err, "nothing to save");
    assert_int_equal(w.built, 1);
    assert_int_equal(w.after, 0);
    assert_int_equal(access(scratch_path(&dir, "run/log.jsonl"), F_OK), -1);
    cb.cancelled = NULL;
    overrides[6] = "tune=off";
    assert_status(dm_train(experiment, &o, &err), DM_OK, &err);
    assert_int_equal(access(scratch_path(&dir, "run/checkpoints/step-00000002.safetensors"), F_OK), 0);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(training__stops_between_kernels)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
