/* No allocation on the device inside a training step or a denoising step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sample/sample_job.h"
#include "train/trainer.h"

static const char experiment[] = "schedule: {use: linear}\nobjective: {use: simple}\nsampler: {use: ddpm, steps: "
                                 "10}\ntrain: {batch: 6}\n"
                                 "network: {use: unet, channels: [8, 16], attend: [0, 1], layers: 1, groups: 4}\n";

static void open_session(dm_session *s)
{
    const char *device = getenv("DEMIST_DEVICE");
    char on[256];
    const char *override = on;
    const dm_experiment_options o = {.overrides = &override, .n_overrides = 1, .lenient_data = true};
    dm_err err = {0};

    *s = (dm_session){
        .data = {.size = sizeof s->data, .shape = {3, {1, 8, 8, 1, 1, 1, 1, 1}}, .levels = 256, .low = -1, .high = 1}};
    snprintf(on, sizeof on, "device=%s", device ? device : "auto");
    if (dm_registry_new(NULL, &s->registry, &err) ||
        dm_experiment_parse(experiment, strlen(experiment), "steady", ".", &o, s->registry, &s->experiment, NULL,
                            &err) ||
        dm_noise_new(s->experiment, &s->noise, &err) || dm_session_open(s, false, &err))
        fail_msg("%s", err.msg);
}

static void steady__training(void **state)
{
    float x0[6 * 64] = {0};
    dm_train_numbers n;
    uint64_t before;
    dm_trainer *t;
    dm_session s;
    dm_err err = {0};

    (void)state;
    open_session(&s);
    if (dm_trainer_new(&s, 4, &t, &err)) /* 6 examples in micro-batches of 4: one of them padded */
        fail_msg("%s", err.msg);
    before = dm_device_allocations(s.device);
    for (int i = 0; i < 3; i++)
        if (dm_trainer_step(t, x0, NULL, &err) || dm_trainer_numbers(t, &n, &err))
            fail_msg("%s", err.msg);
    assert_int_equal(dm_device_allocations(s.device), before);
    dm_trainer_free(t);
    dm_session_fini(&s);
}

typedef struct counter { dm_device *device; uint64_t first; int calls; bool moved; } counter;

static void count(void *user, const dm_trace_info *now)
{
    counter *c = user;

    if (now->i == 0)
        c->first = dm_device_allocations(c->device);
    c->moved |= dm_device_allocations(c->device) != c->first;
    c->calls++;
}

static void steady__sampling(void **state)
{
    float x[3 * 64];
    dm_session s;
    dm_wset *w;
    dm_err err = {0};

    (void)state;
    open_session(&s);
    {
        counter c = {.device = s.device};
        const dm_sample_job d = {.count = 3, .trace = count, .trace_user = &c};

        if (dm_wset_new(s.device, dm_net_layout(s.model), &w, &err) || dm_draw_images(&s, w, &d, x, NULL, NULL, &err))
            fail_msg("%s", err.msg);
        assert_int_equal(c.calls, 11);
        assert_false(c.moved);
    }
    dm_wset_free(w);
    dm_session_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steady__training), cmocka_unit_test(steady__sampling)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
