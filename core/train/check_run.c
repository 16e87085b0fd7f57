/* dm_check: all that training does before its first step, and what it would cost. */
#include "base/folder.h"
#include "base/sized.h"
#include "session/session.h"
#include "session/session_read.h"
#include "data/data_alone.h"
#include "run/run_paths.h"
#include "session/session_source.h"
#include "train/estimate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void no_line(void *user, const char *text)
{
    (void)user;
    (void)text;
}

typedef struct report { void (*line)(void *user, const char *text); void *user; } report;

DM_PRINTF(2, 3) static void say(const report *r, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->line(r->user, text);
}

static void say_lines(const report *r, const char *text)
{
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        say(r, "%.*s", (int)n, text);
    }
}

/* "2 h 5 min", "1.2 GB" */
static const char *time_text(double seconds, char *text, size_t n)
{
    const double minutes = floor(seconds / 60), hours = floor(minutes / 60), days = floor(hours / 24);

    if (seconds < 99.5)
        snprintf(text, n, "%.2g s", seconds);
    else if (hours < 1)
        snprintf(text, n, "%.0f min", seconds / 60);
    else if (days < 2)
        snprintf(text, n, "%.0f h %.0f min", hours, minutes - 60 * hours);
    else
        snprintf(text, n, "%.0f days %.0f h", days, hours - 24 * days);
    return text;
}

static const char *size_text(int64_t bytes, char *text, size_t n)
{
    const double x = (double)bytes;

    snprintf(text, n,
             x < 1e6   ? "%.0f kB"
             : x < 1e9 ? "%.1f MB"
                       : "%.1f GB",
             x < 1e6   ? x / 1e3
             : x < 1e9 ? x / 1e6
                       : x / 1e9);
    return text;
}

/* What training will take. That its first steps diverge is no fault of the experiment as such, and said. */
static dm_status run_costs(dm_session *s, dm_trainer *t, const report *r, dm_err *err)
{
    static const double slow = 5; /* seconds */
    const dm_set_train *set = &s->experiment->train;
    const dm_run_disk disk = dm_estimate_disk(s, dm_net_layout(s->model));
    char all[40], one[40], there[40];
    dm_step_time step = {0};
    dm_err why = {0};
    dm_status rc;

    if (dm_trainer_coupling(t) > slow) /* a step alone would take minutes */
        dm_trainer_uncouple(t);
    rc = dm_estimate_step(s, t, &step, &why);
    step.seconds += dm_trainer_coupling(t) > slow ? dm_trainer_coupling(t) : 0;

    if (rc && rc != DM_EDIVERGED)
        return dm_error(err, rc, "%s", why.msg);
    if (rc)
        dm_session_log(s, DM_LOG_WARNING, "training diverges within its first steps: %s", why.msg);
    else
        say(r, "# time: about %s for %lld steps: %.4g s a step, measured on %lld%s%s",
            time_text(step.seconds * (double)set->steps, all, sizeof all), (long long)set->steps, step.seconds,
            (long long)step.steps, dm_trainer_coupling(t) > slow ? "; the assignment of noise estimated" : "",
            set->validate_every || set->sample_every ? "; held-out losses and samples not counted" : "");
    say(r, "# disk: at most %s: %lld checkpoint%s of %s, the log%s%s%s", size_text(disk.all, all, sizeof all),
        (long long)disk.checkpoints, disk.checkpoints == 1 ? "" : "s", size_text(disk.checkpoint, one, sizeof one),
        set->sample_every ? ", samples" : "", disk.available >= 0 ? "; free: " : "",
        disk.available >= 0 ? size_text(disk.available, there, sizeof there) : "");
    if (disk.available >= 0 && disk.all > disk.available)
        dm_session_log(s, DM_LOG_WARNING,
                       "the run may need %s, but only %s of disk space are free in its output folder; set a smaller "
                       "train.keep or another output",
                       all, there);
    return DM_OK;
}

/* Implementations are measured, as training would, where they are to be explained. */
static dm_status costs(dm_session *s, const dm_check_options *o, const report *r, dm_err *err)
{
    const dm_set_train *set = &s->experiment->train;
    const dm_device_info *d = dm_device_get_info(s->device);
    dm_trainer *t;
    uint64_t now, peak;
    dm_plan_stats p;
    dm_status rc;

    if (o->explain)
        dm_choices_budget(s->choices, -1);
    if ((rc = dm_trainer_new(s, set->micro_batch, &t, err)))
        return rc;
    p = dm_plan_get_info(dm_trainer_plan(t));
    dm_device_memory(s->device, &now, &peak);
    say(r, "# device: %s, %s", d->platform_name, d->name);
    say(r, "# parameters: %lld", (long long)dm_net_layout(s->model)->parameters);
    say(r, "# training step: %.4f GFLOP per image, %lld images in micro-batches of %lld",
        p.flops * 1e-9 / (double)dm_trainer_micro_batch(t), (long long)set->batch,
        (long long)dm_trainer_micro_batch(t));
    say(r, "# device memory: %.1f MB, of which activations %.1f MB in %d arena%s (%.1f MB without sharing)",
        (double)peak * 1e-6, (double)p.arena_bytes * 1e-6, (int)p.arenas, p.arenas == 1 ? "" : "s",
        (double)p.values_bytes * 1e-6);
    say(r, "# kernels: %d calls for %d ops, %d of them recomputed", (int)p.commands,
        (int)p.nodes, (int)p.recomputed);
    if (o->explain)
        dm_plan_explain(dm_trainer_plan(t), r->line, r->user);
    rc = run_costs(s, t, r, err);
    dm_trainer_free(t);
    return rc;
}

static dm_status forward_costs(dm_session *s, const report *r, dm_err *err)
{
    dm_wset *w = NULL;
    dm_forward *f = NULL;
    dm_status rc;

    if (!(rc = dm_wset_new(s->device, dm_net_layout(s->model), &w, err)) &&
        !(rc = dm_forward_new(s->model, w, 1, NULL, &f, err)))
        say(r, "# network: %.4f GFLOP per image, forward", dm_plan_get_info(dm_forward_plan(f)).flops * 1e-9);
    dm_forward_free(f);
    dm_wset_free(w);
    return rc;
}

/* Every example once. What training leaves out is told and no fault. */
static dm_status survey(const char *experiment, const dm_check_options *o, const report *r, dm_err *err)
{
    dm_data_alone a;
    int64_t bad, all;
    bool skips = false;
    dm_status rc;

    if ((rc = dm_data_alone_open(&a, experiment, NULL, o->overrides, o->n_overrides, o->callbacks, err)))
        return rc;
    if (!(rc = dm_data_survey(&a, &bad, &all, &skips, err))) {
        say(r, "# data: %lld of %lld examples of all splits can be read", (long long)(all - bad), (long long)all);
        if (bad && !skips)
            rc = dm_error(err, DM_ECORRUPT, "%lld of %lld examples cannot be read", (long long)bad, (long long)all);
    }
    dm_data_alone_close(&a);
    return rc;
}

/* A checkpoint, or a folder of another program: the model alone, as it is sampled from. */
static dm_status check_model(const char *from, const dm_check_options *o, const report *r, dm_err *err)
{
    dm_session s;
    char *text;
    dm_status rc;

    if (o->data || o->explain)
        return dm_error(err, DM_EINVAL, "'%s' is a model, with no data or training to check; give the experiment, or "
                                        "a run's folder", from);
    if ((rc = dm_session_read_run(&s, from, o->overrides, o->n_overrides, o->callbacks, err)))
        return rc;
    if (!(rc = dm_session_open(&s, false, err)) &&
        !(rc = dm_session_fits(&s, dm_net_layout(s.model), s.checkpoint, false, err))) {
        dm_choices_budget(s.choices, 0);
        if ((text = dm_experiment_print(s.experiment, true)))
            say_lines(r, text);
        else
            rc = dm_error(err, DM_ENOMEM, "out of memory for the experiment's text");
        free(text);
        say(r, "# device: %s, %s", dm_device_get_info(s.device)->platform_name, dm_device_get_info(s.device)->name);
        say(r, "# parameters: %lld", (long long)dm_net_layout(s.model)->parameters);
        if (!rc)
            rc = forward_costs(&s, r, err);
    }
    dm_session_fini(&s);
    return rc;
}

static dm_status check_experiment(const char *experiment, const dm_check_options *o, const report *r, dm_err *err)
{
    dm_session s;
    dm_status rc;

    if ((o->data && (rc = survey(experiment, o, r, err))) ||
        (rc = dm_session_read(&s, experiment, o->overrides, o->n_overrides, DM_NEED_ALL, o->callbacks, err)))
        return rc;
    if (!(rc = dm_session_open(&s, false, err))) {
        char *text = dm_experiment_print(s.experiment, true);

        dm_choices_budget(s.choices, 0);
        if (text)
            say_lines(r, text);
        else
            rc = dm_error(err, DM_ENOMEM, "out of memory for the experiment's text");
        free(text);
        say(r, "# data: %lld examples", (long long)s.data.count);
        if (!rc && !(rc = forward_costs(&s, r, err)))
            rc = costs(&s, o, r, err);
    }
    dm_session_fini(&s);
    return rc;
}

dm_status dm_check(const char *experiment, const dm_check_options *options, dm_err *err)
{
    const size_t n = experiment ? strlen(experiment) : 0;
    dm_check_options o;
    char *resolved = NULL;
    dm_path_kind kind;
    report r;
    dm_status rc;

    if ((rc = DM_SIZED_READ(dm_check_options, &o, options, err)))
        return rc;
    r = (report){o.line ? o.line : no_line, o.line_user};
    if (n > 12 && !strcmp(experiment + n - 12, ".safetensors"))
        return check_model(experiment, &o, &r, err);
    if (n && (rc = dm_path_look(experiment, &kind, err)))
        return rc;
    if (!n || kind != DM_PATH_FOLDER)
        return check_experiment(experiment, &o, &r, err);
    if (!(resolved = dm_run_path(experiment, DM_RUN_CONFIG)))
        return dm_error(err, DM_ENOMEM, "out of memory for a name");
    if (!(rc = dm_path_look(resolved, &kind, err)))
        rc = kind == DM_PATH_NOTHING ? check_model(experiment, &o, &r, err) : check_experiment(resolved, &o, &r, err);
    free(resolved);
    return rc;
}
