/* The experiments of the checks, and what they do with them; see plugin_test.h. */
#include "plugin_test/plugin_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "session/examine.h"

/* Two round Gaussians of two values. */
static const double mean[2] = {-0.5, 0.7}, deviation[2] = {0.3, 0.2}, share[2] = {0.4, 0.6};
static const char base[] =
    "name: plugin_test\nseed: 7\ndata: {use: toy2d}\nschedule: {use: linear}\n"
    "network: {use: exact_gaussians%s}\nobjective: {use: simple%s}\nsampler: {use: ddim, steps: 10, clip: off}\n"
    "grid: {use: log_snr%s}\n"
    "train: {steps: 1, batch: 16, log_every: 1, validate_every: 0, sample_every: 0}\n";

void plugin_test_denoised(const double y[PLUGIN_TEST_D], double s, double x0[PLUGIN_TEST_D])
{
    double w[2], q[2], best = -INFINITY, total = 0;

    for (int k = 0; k < 2; k++) {
        const double v = deviation[k] * deviation[k] + s * s;

        w[k] = log(share[k]) - PLUGIN_TEST_D * log(v) / 2;
        for (int d = 0; d < PLUGIN_TEST_D; d++)
            w[k] -= (y[d] - mean[k]) * (y[d] - mean[k]) / v / 2;
        best = fmax(best, w[k]);
        q[k] = deviation[k] * deviation[k] / v;
    }
    for (int k = 0; k < 2; k++)
        total += w[k] = exp(w[k] - best);
    for (int d = 0; d < PLUGIN_TEST_D; d++) {
        x0[d] = 0;
        for (int k = 0; k < 2; k++)
            x0[d] += w[k] / total * (mean[k] + q[k] * (y[d] - mean[k]));
    }
}

const char *plugin_test_experiment(plugin_test *t)
{
    const char *file = dm_sprintf(t->arena, "%s/experiment.yaml", t->folder);
    /* The plugin may have keys of these names, and mean something else by them. */
    const char *text = dm_sprintf(t->arena, base,
                                  t->kind == DM_KIND_NETWORK ? "" : ", means: [-0.5, 0.7], deviations: [0.3, 0.2], "
                                                                    "weights: [2, 3]",
                                  t->kind == DM_KIND_OBJECTIVE ? "" : ", predict: v",
                                  t->kind == DM_KIND_GRID ? "" : ", last: least");
    dm_err err;

    if (file && text && dm_file_write_atomic(file, text, strlen(text), &err))
        plugin_test_fail(t, "the check cannot be made: %s", err.msg);
    return file;
}

/* "key=value" of the plugin, as an override of its section. */
static const char *of_section(plugin_test *t, const char *given)
{
    const char *dot = strchr(given, '.'), *equals = strchr(given, '=');

    if (dot && equals && dot < equals)
        return given;
    return dm_sprintf(t->arena, "%s.%s", dm_settings[dm_kind_section(t->kind)].name, given);
}

plugin_test_overrides plugin_test_change(plugin_test *t, const char *const *changes)
{
    plugin_test_overrides o = {0};
    const char *slash = strrchr(t->file, '/');
    int more = 0;

    while (changes[more])
        more++;
    if (!(o.item = dm_alloc_n(t->arena, (size_t)(more + t->n_given) + 8, sizeof *o.item)))
        return o;
    o.item[o.n++] = dm_sprintf(t->arena, "plugin_path=%.*s", (int)(slash - t->file), t->file);
    o.item[o.n++] = dm_sprintf(t->arena, "output=%s/run", t->folder);
    if (t->device)
        o.item[o.n++] = dm_sprintf(t->arena, "device=%s", t->device);
    o.item[o.n++] = dm_sprintf(t->arena, "%s.use=%s", dm_settings[dm_kind_section(t->kind)].name, t->plugin->name);
    if (t->kind == DM_KIND_GUIDANCE) { /* what is to be guided can also be asked without a class */
        o.item[o.n++] = "data.labels=true";
        o.item[o.n++] = "network.classes=true";
        o.item[o.n++] = "train.drop_condition=0.1";
    }
    if (t->kind == DM_KIND_OBJECTIVE) /* which may want more outputs than the exact prediction has */
        o.item[o.n++] = "network.use=mlp";
    for (int i = 0; i < t->n_given; i++)
        o.item[o.n++] = of_section(t, t->given[i]);
    for (int i = 0; i < more; i++)
        o.item[o.n++] = of_section(t, changes[i]);
    for (int i = 0; i < o.n; i++)
        if (!o.item[i])
            o.n = 0; /* memory is exhausted: the plugin will not be found, which is said */
    return o;
}

const dm_callbacks plugin_test_callbacks = {.size = sizeof plugin_test_callbacks, .override_name = "change"};

void plugin_test_name_change(const plugin_test_overrides *o, dm_err *err)
{
    char text[sizeof err->msg], *rest;
    long number;

    if (strncmp(err->msg, "change ", 7))
        return;
    number = strtol(err->msg + 7, &rest, 10);
    if (number < 1 || number > o->n)
        return;
    snprintf(text, sizeof text, "%s%s", o->item[number - 1], rest);
    snprintf(err->msg, sizeof err->msg, "%s", text);
}

static dm_status keep(plugin_test *t, dm_faults *f, const dm_err *why, const char **text, dm_err *err)
{
    if (f->lost || why->code == DM_ENOMEM)
        return dm_error(err, DM_ENOMEM, "out of memory");
    *text = dm_strdup(t->arena, f->text ? f->text : why->code ? why->msg : "");
    return *text ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory");
}

const char *plugin_test_reason(plugin_test *t, const char *text)
{
    const char *error = strstr(text, "error: ");
    const char *from = error ? error + 7 : text, *reason = dm_strndup(t->arena, from, strcspn(from, "\n"));

    return reason ? reason : "?";
}

dm_status plugin_test_examine(plugin_test *t, const char *const *changes, const dm_data_info *data, dm_session *s,
                              const char **text, dm_err *err)
{
    const plugin_test_overrides o = plugin_test_change(t, changes);
    const dm_experiment_options options = {.overrides = o.item, .n_overrides = o.n, .override_name = "change",
                                           .lenient_data = data != NULL, .need_data = !data};
    dm_faults f = {0};
    dm_err why = {0};
    dm_status rc;

    *s = (dm_session){0};
    *text = "";
    if (data)
        s->data = *data;
    if ((rc = dm_registry_new(NULL, &s->registry, err)))
        return rc;
    if (!dm_experiment_load(plugin_test_experiment(t), &options, s->registry, &s->experiment, &f, &why))
        dm_session_examine(s, data ? DM_NEED_NETWORK : DM_NEED_DATA, &f, &why);
    if (!f.text && !why.code && s->experiment->section[dm_kind_section(t->kind)].plugin &&
        strcmp(dm_registry_file(s->registry, s->experiment->section[dm_kind_section(t->kind)].plugin), t->file))
        dm_error(&why, DM_EINVAL, "'%s' hides the plugin's file",
                 dm_registry_file(s->registry, s->experiment->section[dm_kind_section(t->kind)].plugin));
    rc = keep(t, &f, &why, text, err);
    dm_faults_fini(&f);
    return rc;
}

dm_status plugin_test_train(plugin_test *t, const char *const *changes, dm_model **out, dm_err *err)
{
    const plugin_test_overrides o = plugin_test_change(t, changes);
    const dm_train_options train = {.size = sizeof train, .n_overrides = o.n, .overrides = o.item, .overwrite = true,
                                    .callbacks = &plugin_test_callbacks};
    const dm_model_options model = {.size = sizeof model, .device = t->device};
    const char *run = dm_sprintf(t->arena, "%s/run", t->folder);
    const dm_status rc = dm_train(plugin_test_experiment(t), &train, err);

    if (rc)
        plugin_test_name_change(&o, err);
    return rc ? rc : dm_model_open(run, &model, out, err);
}

dm_status plugin_test_sample(dm_model *m, const plugin_test_draw *d, float **x, int64_t *count, dm_err *err)
{
    dm_model_properties about = {.size = sizeof about};
    dm_sample_options o = {.size = sizeof o, .count = d->n, .first_index = d->first, .overrides = d->changes,
                           .seed = d->seed ? &d->seed : NULL, .noise = d->noise, .labels = d->labels,
                           .callbacks = &plugin_test_callbacks};
    dm_images im = {.size = sizeof im};
    dm_status rc;

    while (d->changes && d->changes[o.n_overrides])
        o.n_overrides++;
    if (d->noise) {
        if ((rc = dm_model_info(m, &about, err)))
            return rc;
        o.noise_shape = (dm_shape){about.shape.rank + 1, {d->n}};
        memcpy(o.noise_shape.dim + 1, about.shape.dim, sizeof o.noise_shape.dim - sizeof o.noise_shape.dim[0]);
    }
    if ((rc = dm_model_sample(m, &o, &im, err))) {
        plugin_test_name_change(&(plugin_test_overrides){(const char **)(uintptr_t)d->changes, o.n_overrides}, err);
        return rc;
    }
    *x = im.x;
    *count = 1;
    for (int32_t i = 0; i < im.shape.rank; i++)
        *count *= im.shape.dim[i];
    return DM_OK;
}

int64_t plugin_test_bad(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return i;
    return -1;
}

double plugin_test_difference(const float *a, const float *b, int64_t n)
{
    double most = 0, worst = 0;

    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i]));
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    }
    return worst / fmax(most, 1e-30);
}
