/* Data looked at by themselves; see data_alone.h. */
#include "data/data_alone.h"

#include "base/sized.h"
#include "format/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void log_line(void *log, const char *line) { dm_log_put(log, DM_LOG_INFO, "%s", line); }

dm_status dm_data_alone_open(dm_data_alone *a, const char *file, const char *text, const char *const *overrides, int n,
                             const dm_callbacks *cb, dm_err *err)
{
    dm_experiment_options o = {.overrides = overrides, .n_overrides = n, .partial = true, .need_data = true};
    dm_faults faults = {0};
    dm_status rc;

    *a = (dm_data_alone){0};
    if ((rc = DM_SIZED_READ(dm_callbacks, &a->callbacks, cb, err)))
        return rc;
    o.override_name = a->callbacks.override_name ? a->callbacks.override_name : "override";
    a->log = dm_log_new(DM_LOG_DEBUG, a->callbacks.log, a->callbacks.user);
    if (!(rc = a->log ? dm_registry_new(NULL, &a->registry, err) : dm_error(err, DM_ENOMEM, "out of memory")))
        rc = text ? dm_experiment_parse(text, strlen(text), file, ".", &o, a->registry, &a->experiment, &faults, err)
                  : dm_experiment_load(file, &o, a->registry, &a->experiment, &faults, err);
    if (rc && rc != DM_ENOMEM && faults.text) {
        dm_log_put(a->log, DM_LOG_ERROR, "%s", faults.text);
        rc = dm_error(err, rc, "%d error%s in the experiment", faults.count, faults.count > 1 ? "s" : "");
    }
    dm_faults_fini(&faults);
    if (rc) {
        dm_data_alone_close(a);
        return rc;
    }
    a->experiment->plugin_log = (dm_plugin_log){log_line, a->log};
    dm_services_init(&a->services, &a->experiment->plugin_log);
    return DM_OK;
}

void dm_data_alone_close(dm_data_alone *a)
{
    dm_experiment_free(a->experiment);
    dm_registry_free(a->registry);
    dm_log_free(a->log);
    *a = (dm_data_alone){0};
}

static dm_status read_all(dm_data_alone *a, const char *split, dm_data *d, float *x, int64_t *bad, dm_err *err)
{
    const int64_t count = dm_data_get_info(d)->count;
    const dm_callbacks *cb = &a->callbacks;

    for (int64_t i = 0; i < count; i++) {
        dm_err why = {0};

        if (dm_data_try(d, i, x, &why)) {
            if (why.code == DM_ENOMEM || why.code == DM_EIO)
                return dm_error(err, why.code, "%s", why.msg);
            ++*bad;
            dm_log_put(a->log, DM_LOG_ERROR, "%s split: %s", split, why.msg);
        }
        if (cb->progress)
            cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info), .what = "read", .step = i + 1,
                                                       .steps = count, .per_step = 1, .loss = NAN});
        if (cb->cancelled && cb->cancelled(cb->user))
            return dm_error(err, DM_ECANCELLED, "stopped after %lld of %lld examples", (long long)i + 1,
                            (long long)count);
    }
    return DM_OK;
}

static int64_t values_of(const dm_data *d)
{
    const dm_shape *s = &dm_data_get_info(d)->shape;
    int64_t n = 1;

    for (int32_t k = 0; k < s->rank; k++)
        n *= s->dim[k];
    return n;
}

static dm_status survey_split(dm_data_alone *a, const char *split, int64_t *bad, int64_t *all, bool *skips, dm_err *err)
{
    int64_t unreadable;
    dm_data *d;
    dm_status rc = dm_data_open_readable(a->experiment, split, &a->services, &unreadable, &d, err);
    float *x;

    if (rc)
        return rc;
    if (!(x = malloc((size_t)values_of(d) * sizeof *x)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for an example");
    *bad += unreadable;
    *all += unreadable + dm_data_get_info(d)->count;
    *skips = dm_data_get_info(d)->replaces;
    if (!rc)
        rc = read_all(a, split, d, x, bad, err);
    free(x);
    dm_data_close(d);
    return rc;
}

dm_status dm_data_survey(dm_data_alone *a, int64_t *bad, int64_t *all, bool *skips, dm_err *err)
{
    dm_err none = {0};
    dm_status rc;

    *bad = *all = 0;
    if ((rc = survey_split(a, "train", bad, all, skips, err)))
        return rc;
    rc = survey_split(a, "test", bad, all, skips, &none);
    return rc == DM_ENOENT || !rc ? DM_OK : dm_error(err, rc, "%s", none.msg);
}

static void tell(const dm_data_info *i, const char *split, const dm_data *d,
                 void (*line)(void *user, const char *text), void *user)
{
    char text[512];

    if (i->shape.rank == 3)
        snprintf(text, sizeof text, "%s split: %lld images of %lld x %lld pixels in %lld channel%s", split,
                 (long long)i->count, (long long)i->shape.dim[2], (long long)i->shape.dim[1],
                 (long long)i->shape.dim[0],
                 i->shape.dim[0] == 1   ? ""
                 : i->shape.dim[0] == 3 ? "s"
                                        : "s, drawn in grey, side by side");
    else
        snprintf(text, sizeof text, "%s split: %lld points in %lld dimensions", split, (long long)i->count,
                 (long long)i->shape.dim[0]);
    line(user, text);
    for (int32_t k = 0; k < i->classes; k++) {
        const char *name = dm_data_class_name(d, k);

        snprintf(text, sizeof text, "class %d: %s", (int)k, name ? name : "without a name");
        line(user, text);
    }
}

static dm_status draw(const float *x, const dm_shape *s, int64_t n, const char *png, dm_err *err)
{
    dm_picture p = {0};
    dm_status rc;

    if (s->rank == 1 && s->dim[0] != 2)
        return dm_error(err, DM_EINVAL, "points in %lld dimensions cannot be drawn as a picture", (long long)s->dim[0]);
    rc = s->rank == 3 ? dm_picture_grid(x, n, s->dim[0], s->dim[1], s->dim[2], 0, 2, &p, err)
                      : dm_picture_scatter(x, n, NULL, 0, 480, 0, &p, err);
    if (!rc)
        rc = dm_png_write(png, &p, NULL, 0, err);
    dm_picture_fini(&p);
    return rc;
}

dm_status dm_data_preview(dm_data_alone *a, const char *split, int64_t count, const char *png,
                          void (*line)(void *user, const char *text), void *user, dm_err *err)
{
    const dm_data_info *i;
    dm_data *d;
    dm_status rc = dm_data_open(a->experiment, split, &a->services, &d, err);
    float *x;
    int64_t n;

    if (rc)
        return rc;
    i = dm_data_get_info(d);
    n = count < i->count ? count : i->count;
    tell(i, split, d, line, user);
    if (!png)
        n = 0;
    if (!(x = malloc((size_t)(n * values_of(d) + 1) * sizeof *x)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for %lld examples", (long long)n);
    for (int64_t k = 0; k < n && !rc; k++)
        rc = dm_data_at(d, n > 1 ? (int64_t)((double)k * (double)(i->count - 1) / (double)(n - 1)) : 0, 1,
                        x + k * values_of(d), NULL, err);
    if (!rc && png)
        rc = draw(x, &i->shape, n, png, err);
    free(x);
    dm_data_close(d);
    return rc;
}
