/* Checks that train on a device: does it, and twice to the same? What does a network say of one example alone? */
#include "plugin_test/plugin_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device/tensor.h"
#include "plugin_test/settings.h"

enum { STEPS = 8 };

/* What the plugin under test is trained with; NULL was said. */
static const char *const *changes_for(plugin_test *t)
{
    static const char *const steps[] = {"train.steps=8", NULL},
                             *const mlp[] = {"train.steps=8", "network.use=mlp", "network.width=16", NULL},
                             *const unet[] = {"train.steps=8", "network.use=unet", "network.channels=[8]",
                                              "network.attend=[0]", "network.layers=1", "network.groups=4",
                                              "train.batch=4", NULL};
    const char *const *data, *why;
    dm_session s;
    dm_err err = {0};
    int32_t rank;

    switch (t->kind) {
    case DM_KIND_NETWORK:
    case DM_KIND_OBJECTIVE: return (data = plugin_test_data_of(t)) ? plugin_test_both(t, steps, data) : NULL;
    case DM_KIND_DATASET:
        plugin_test_examine(t, mlp, NULL, &s, &why, &err);
        rank = s.data.shape.rank;
        dm_session_fini(&s);
        return rank == 3 ? unet : mlp;
    default: return mlp;
    }
}

static dm_status train_once(plugin_test *t, const char *const *changes, double losses[STEPS], dm_err *err)
{
    const plugin_test_overrides o = plugin_test_change(t, changes);
    const dm_train_options options = {.size = sizeof options, .n_overrides = o.n, .overrides = o.item,
                                      .overwrite = true, .callbacks = &plugin_test_callbacks};
    dm_training *run;
    dm_status rc = dm_training_open(plugin_test_experiment(t), &options, &run, err);

    if (rc) {
        plugin_test_name_change(&o, err);
        return rc;
    }
    for (int i = 0; i < STEPS && !rc; i++) {
        dm_training_state now = {.size = sizeof now};

        if (!(rc = dm_training_step(run, err)) && !(rc = dm_training_info(run, &now, err)))
            losses[i] = now.loss;
    }
    dm_training_close(run);
    return rc;
}

void plugin_test_training(plugin_test *t)
{
    const char *const *changes = changes_for(t);
    double a[STEPS], b[STEPS];
    dm_err err = {0};

    if (!changes)
        return;
    if (train_once(t, changes, a, &err) || train_once(t, changes, b, &err)) {
        plugin_test_fail(t, "%s", err.msg);
        return;
    }
    for (int i = 0; i < STEPS; i++)
        if (memcmp(&a[i], &b[i], sizeof a[i])) {
            plugin_test_fail(t, "the loss of step %d is %.9g and, from the same seed, %.9g: something is read "
                             "that nothing wrote, or added in no fixed order (atomics)", i + 1, a[i], b[i]);
            return;
        }
    plugin_test_note(t, "losses of %d steps: %.4g to %.4g", STEPS, a[0], a[STEPS - 1]);
}

/* ---- outputs ------------------------------------------------------------------------------------------------- */

enum { N = 5 };

static dm_status predict(dm_model *m, const float *x, const double *time, const int32_t *labels, dm_shape shape,
                         int64_t n, float **out, int64_t *count, dm_err *err)
{
    dm_images im = {.size = sizeof im};
    dm_predict_options o = {.size = sizeof o, .x = x, .t = time, .labels = labels};
    dm_status rc;

    o.shape = (dm_shape){shape.rank + 1, {n}};
    memcpy(o.shape.dim + 1, shape.dim, sizeof o.shape.dim - sizeof o.shape.dim[0]);
    if ((rc = dm_model_predict(m, &o, &im, err)))
        return rc;
    *out = im.x;
    *count = dm_shape_count(&im.shape);
    return DM_OK;
}

/* What it says of N examples, at a noise level each, and of one of them alone. */
static void compare_outputs(plugin_test *t, dm_model *m, const dm_model_properties *about, const float *all,
                            const float *x, const double *time, const int32_t *labels, int64_t count)
{
    const int64_t D = dm_shape_count(&about->shape), each = count / N;

    for (int i = 0; i < N && !t->failed; i++) {
        float *alone = NULL;
        int64_t one = 0;
        dm_err err = {0};
        double off;

        if (predict(m, x + i * D, time + i, labels ? labels + i : NULL, about->shape, 1, &alone, &one, &err))
            plugin_test_fail(t, "one example alone: %s", err.msg);
        else if ((off = plugin_test_difference(all + i * each, alone, one)) > 1e-3)
            plugin_test_fail(t, "the output for example %d differs by %.2g of its size where it is alone: an op mixes "
                             "the examples of a batch", i, off);
        free(alone);
    }
}

static void check_outputs(plugin_test *t, dm_model *m, const dm_model_properties *about)
{
    const int64_t D = dm_shape_count(&about->shape);
    const double time[N] = {0, 10, 400, 900, 999};
    int32_t classes[N], *labels = about->takes_class ? classes : NULL;
    float *x = dm_array(N, D, sizeof *x), *all = NULL, *again = NULL;
    int64_t count = 0, bad;
    dm_err err = {0};
    dm_status rc = x ? DM_OK : dm_error(&err, DM_ENOMEM, "out of memory");

    for (int64_t i = 0; x && i < N * D; i++)
        x[i] = (float)(1.3 * sin(2.1 * (double)i + 0.3));
    for (int i = 0; i < N; i++)
        classes[i] = about->classes ? i % about->classes : 0;
    if (!rc && !(rc = predict(m, x, time, labels, about->shape, N, &all, &count, &err)))
        rc = predict(m, x, time, labels, about->shape, N, &again, &count, &err);
    if (rc == DM_EINVAL && about->diffuses) /* it reads more of a noise level than its time: as samples then */
        plugin_test_compare_alone(t, m, NULL, 1e-3);
    else if (rc)
        plugin_test_fail(t, "%s", err.msg);
    else if ((bad = plugin_test_bad(all, count)) >= 0)
        plugin_test_fail(t, "value %lld of the output of example %lld is not finite", (long long)(bad % (count / N)),
                         (long long)(bad / (count / N)));
    else if (memcmp(all, again, (size_t)count * sizeof *all))
        plugin_test_fail(t, "it gives something else the second time: something is read that nothing wrote");
    else
        compare_outputs(t, m, about, all, x, time, labels, count);
    free(x);
    free(all);
    free(again);
}

void plugin_test_outputs(plugin_test *t)
{
    const char *const *changes = changes_for(t);
    dm_model_properties about = {.size = sizeof about};
    dm_model *m = NULL;
    dm_err err = {0};

    if (!changes)
        return;
    if (plugin_test_train(t, changes, &m, &err) || dm_model_info(m, &about, &err))
        plugin_test_fail(t, "%s", err.msg);
    else
        check_outputs(t, m, &about);
    dm_model_close(m);
}
