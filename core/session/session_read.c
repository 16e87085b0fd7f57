/* Experiments read into sessions, from files, texts and runs; see session_read.h. */
#include "session/session_read.h"

#include "base/sized.h"
#include "run/run_paths.h"
#include "session/data_meta.h"
#include "session/examine.h"
#include "session/session_source.h"

#include <stdlib.h>
#include <string.h>

/* One log line for each line of text. */
static void log_lines(const dm_session *s, dm_log_level level, const char *text)
{
    while (text && *text) {
        const size_t n = strcspn(text, "\n");

        dm_session_log(s, level, "%.*s", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void plugin_line(void *log, const char *line) { dm_log_put(log, DM_LOG_INFO, "%s", line); }

dm_status dm_session_check_overrides(const char *const *overrides, int n, dm_err *err)
{
    if (n < 0 || (n && !overrides))
        return dm_error(err, DM_EINVAL, "%d overrides%s", n,
                        n < 0 ? ": the number must be 0 or above" : ", but the array is NULL");
    for (int i = 0; i < n; i++)
        if (!overrides[i])
            return dm_error(err, DM_EINVAL, "override %d of %d is NULL", i + 1, n);
    return DM_OK;
}

/* With what was read, also if there were faults: the rest of them, so that all are told at once. */
static dm_status after_load(dm_session *s, dm_status rc, dm_need need, dm_faults *faults, dm_err *err)
{
    dm_status hard = DM_OK;

    if (rc == DM_ENOMEM || faults->lost) { /* what is missing is no fault of the text */
        dm_faults_fini(faults);
        return rc == DM_ENOMEM ? rc : dm_error(err, DM_ENOMEM, "out of memory: faults of the experiment");
    }
    log_lines(s, DM_LOG_INFO, faults->notes);
    if (s->experiment && (hard = dm_session_examine(s, need, faults, err)))
        rc = hard;
    log_lines(s, DM_LOG_ERROR, faults->text);
    if (!hard && faults->count) {
        rc = faults->first.code;
        if (!s->callbacks.log)
            dm_error(err, rc, "%s", faults->first.msg);
        else if (faults->count > 1)
            dm_error(err, rc, "%d errors in the experiment", faults->count);
        else
            dm_error(err, rc, "1 error in the experiment");
    }
    dm_faults_fini(faults);
    return rc;
}

static const char *override_name(const dm_session *s)
{
    return s->callbacks.override_name ? s->callbacks.override_name : "override";
}

/* A session without an experiment. */
static dm_status begin(dm_session *s, const dm_callbacks *cb, dm_err *err)
{
    dm_status rc;

    *s = (dm_session){0};
    if ((rc = DM_SIZED_READ(dm_callbacks, &s->callbacks, cb, err)))
        return rc;
    s->log = dm_log_new(DM_LOG_DEBUG, s->callbacks.log, s->callbacks.user);
    return s->log ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for messages");
}

dm_status dm_session_read(dm_session *s, const char *experiment, const char *const *overrides, int n, dm_need need,
                          const dm_callbacks *cb, dm_err *err)
{
    const bool data = need >= DM_NEED_DATA;
    const char *slash = experiment ? strrchr(experiment, '/') : NULL, *name = slash ? slash + 1 : experiment;
    dm_experiment_options o = {.overrides = overrides,
                               .n_overrides = n,
                               .need_data = data,
                               .lenient_data = !data,
                               .kept = name && !strcmp(name, DM_RUN_CONFIG),
                               .keep = true};
    dm_faults faults = {0};
    dm_status rc;

    if ((rc = begin(s, cb, err)))
        return rc;
    s->kept = o.kept;
    o.override_name = override_name(s);
    o.plugin_log = (dm_plugin_log){plugin_line, s->log};
    if (!experiment)
        rc = dm_error(err, DM_EINVAL, "the experiment is NULL; give its file");
    if (!rc && !(rc = dm_session_check_overrides(overrides, n, err)) &&
        !(rc = dm_registry_new(NULL, &s->registry, err)))
        rc = after_load(s, dm_experiment_load(experiment, &o, s->registry, &s->experiment, &faults, err), need, &faults,
                        err);
    if (rc)
        dm_session_fini(s);
    return rc;
}

/* Of a session whose log is there. */
static dm_status parse(dm_session *s, const char *text, const char *name, const char *const *overrides, int n,
                       dm_err *err)
{
    const dm_experiment_options o = {.overrides = overrides,
                                     .n_overrides = n,
                                     .override_name = override_name(s),
                                     .opened = n,
                                     .n_options = s->n_options,
                                     .lenient_data = true,
                                     .kept = true,
                                     .plugin_log = {plugin_line, s->log},
                                     .keep = true};
    dm_faults faults = {0};
    dm_status rc;

    if ((rc = dm_session_check_overrides(overrides, n, err)) || (rc = dm_registry_new(NULL, &s->registry, err)))
        return rc;
    return after_load(s,
                      dm_experiment_parse(text, strlen(text), name, ".", &o, s->registry, &s->experiment, &faults, err),
                      DM_NEED_NETWORK, &faults, err);
}

dm_status dm_session_read_text(dm_session *s, const char *text, const char *name, const char *const *overrides, int n,
                               const dm_callbacks *cb, dm_err *err)
{
    dm_status rc;

    if ((rc = begin(s, cb, err)))
        return rc;
    if ((rc = parse(s, text, name, overrides, n, err)))
        dm_session_fini(s);
    return rc;
}

/* What the weights mean was settled in training; another meaning is allowed, for whoever knows why. */
static void warn_of_meaning(const dm_session *s)
{
    static const char *const sections[] = {"objective", "schedule"};

    for (size_t k = 0; k < sizeof sections / sizeof sections[0]; k++)
        for (int i = 0; i < s->n_overrides;) {
            const char *override = dm_session_override(s, sections[k], &i);

            if (override)
                dm_session_log(s, DM_LOG_WARNING, "%s: the model was trained with another %s", override, sections[k]);
        }
}

static void warn_of_classes(const dm_session *s)
{
    const char *changed = dm_st_meta(s->checkpoint, DM_CLASSES_CHANGED);

    if (changed && *changed)
        dm_session_log(s, DM_LOG_WARNING,
                       "'%s': the classes' numbers changed in training %s; what a number draws is a mixture of both",
                       dm_st_path(s->checkpoint), changed);
}

/* Of a model whose labels are vectors. */
static dm_status read_label_width(dm_session *s, dm_err *err)
{
    const char *text = dm_st_meta(s->checkpoint, "label_width");
    char *end;

    if (!text)
        return DM_OK;
    s->label_width = strtoll(text, &end, 10);
    if (end != text && !*end && s->label_width > 0 && s->label_width <= 1 << 20)
        return DM_OK;
    return dm_error(err, DM_ECORRUPT, "'%s': label_width is '%s'; it must be from 1 to %d", dm_st_path(s->checkpoint),
                    text, 1 << 20);
}

dm_status dm_session_read_run(dm_session *s, const char *run, const char *const *overrides, int n,
                              const dm_callbacks *cb, dm_err *err)
{
    return dm_session_read_model(s, run, overrides, n, 0, cb, err);
}

dm_status dm_session_read_model(dm_session *s, const char *run, const char *const *overrides, int n, int n_options,
                                const dm_callbacks *cb, dm_err *err)
{
    const char *text;
    dm_status rc;

    if ((rc = begin(s, cb, err)))
        return rc;
    s->n_options = n_options;
    if (!run)
        rc = dm_error(err, DM_EINVAL, "the run is NULL; give a run folder or a checkpoint");
    if (rc || (rc = dm_session_source(s, run, &s->checkpoint, &s->step, err)) ||
        (rc = dm_data_meta_read(s->checkpoint, &s->data, err)))
        goto failed;
    if ((rc = read_label_width(s, err)))
        goto failed;
    if (!(text = dm_st_meta(s->checkpoint, "experiment"))) {
        rc = dm_error(err, DM_ECORRUPT, "'%s' is not a checkpoint of a training run: it has no experiment",
                      dm_st_path(s->checkpoint));
        goto failed;
    }
    if ((rc = parse(s, text, dm_st_path(s->checkpoint), overrides, n, err)))
        goto failed;
    s->overrides = overrides;
    s->n_overrides = n;
    warn_of_meaning(s);
    warn_of_classes(s);
failed:
    if (rc)
        dm_session_fini(s);
    return rc;
}

dm_status dm_session_sampled_by(dm_session *s, const char *const *overrides, int n, dm_experiment **out, dm_err *err)
{
    const char *text = dm_st_meta(s->checkpoint, "experiment");
    const int all = s->n_overrides + n;
    dm_experiment_options o = {.n_overrides = all,
                               .override_name = override_name(s),
                               .opened = s->n_overrides,
                               .n_options = s->n_options,
                               .lenient_data = true,
                               .kept = true,
                               .plugin_log = s->experiment->plugin_log};
    const char **both;
    dm_faults faults = {0};
    dm_status rc;

    for (int i = 0; i < n; i++)
        if (!dm_settings_of_sampling(overrides[i]) || !overrides[i][strcspn(overrides[i], ".=")])
            return dm_error(err, DM_EINVAL,
                            "%s: a call can only change the sampler, its grid and its guidance; set this when the "
                            "model is opened",
                            overrides[i]);
    if (!(both = calloc((size_t)all + 1, sizeof *both)))
        return dm_error(err, DM_ENOMEM, "out of memory for %d overrides", all);
    for (int i = 0; i < all; i++)
        both[i] = i < s->n_overrides ? s->overrides[i] : overrides[i - s->n_overrides];
    o.overrides = both;
    rc = dm_experiment_parse(text, strlen(text), dm_st_path(s->checkpoint), ".", &o, s->registry, out, &faults, err);
    dm_faults_fini(&faults);
    free(both);
    return rc;
}
