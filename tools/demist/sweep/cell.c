/* One cell of a sweep: trained where it must be, measured once, its result kept in a file of its own; see sweep.h. */
#include "sweep/sweep.h"

#include <math.h>
#include <sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "text/json_text.h"
#include "data/data_alone.h"
#include "experiment/resolved_lines.h"
#include "run/run_folder.h"
#include "train_run/train_run.h"

enum { RESULT_BYTES = 1 << 22 };

static dm_status no_memory(dm_err *err) { return dm_error(err, DM_ENOMEM, "out of memory for a cell of the sweep"); }

/* ---- training ----------------------------------------------------------------------------- */

/* Whether dir has this experiment's weights, trained to the end. What is another experiment's is refused. */
static dm_status is_trained(const char *dir, const sweep_cell *c, const char *steps, bool *yes, dm_err *err)
{
    dm_err skipped;
    const char *old;
    int64_t step;
    dm_st *f;
    dm_status rc = dm_checkpoint_latest(dir, &f, &step, &skipped, err);

    *yes = false;
    if (rc)
        return rc == DM_ENOENT ? DM_OK : rc;
    old = dm_st_meta(f, "experiment");
    rc = old ? dm_resume_compare(old, c->experiment, dir, err)
             : dm_error(err, DM_ECORRUPT, "'%s' is not a checkpoint of a training run", dm_st_path(f));
    *yes = !rc && step >= strtoll(steps, NULL, 10);
    dm_st_close(f);
    return rc;
}

/* Each metric is of the test split: that it is not there is seen before training, not behind it. */
static dm_status has_test_split(const sweep *s, const sweep_cell *c, dm_err *err)
{
    dm_data_alone alone;
    dm_data *d;
    dm_status rc = dm_data_alone_open(&alone, s->base, c->experiment, NULL, 0, NULL, err);

    if (rc)
        return rc;
    if (!(rc = dm_data_open(alone.experiment, "test", &alone.services, &d, err)))
        dm_data_close(d);
    dm_data_alone_close(&alone);
    return rc;
}

static dm_status train(sweep *s, const sweep_cell *c, const char *run, dm_err *err)
{
    const char *text = c->experiment, *steps = "0", *output = dm_sprintf(s->arena, "output=%s", run);
    const char **overrides = dm_alloc_n(s->arena, (size_t)c->n_overrides + 1, sizeof *overrides);
    dm_train_options o = {.size = sizeof o, .overrides = overrides, .resume = true, .callbacks = s->request.callbacks};
    dm_resolved_line l = {.section = ""};
    bool done;
    int n = 0;
    dm_status rc;

    if (!overrides || !output)
        return no_memory(err);
    while (dm_resolved_next(&text, &l))
        if (!strcmp(l.section, "train") && l.key_length == 5 && !strncmp(l.key, "steps", 5))
            steps = l.value;
    if ((rc = is_trained(run, c, steps, &done, err)) || done || (rc = has_test_split(s, c, err)))
        return rc;
    /* Samplers decide nothing in training, and cells with other samplers share the run. */
    for (int i = 0; i < s->n_fixed; i++)
        overrides[n++] = s->fixed[i];
    for (int i = 0; i < s->n_axes; i++)
        if (c->value[i] >= 0 && s->axis[i].trains &&
            !(overrides[n++] = dm_sprintf(s->arena, "%s=%s", s->axis[i].key, s->axis[i].value[c->value[i]])))
            return no_memory(err);
    overrides[n++] = output;
    o.n_overrides = n;
    return dm_train(s->base, &o, err);
}

/* ---- results ------------------------------------------------------------------------------- */

dm_status sweep_identify(const char *run, char *text, size_t n, int64_t *step, dm_err *err)
{
    dm_err skipped;
    const char *sum;
    struct stat st;
    dm_st *f;
    dm_status rc;

    *step = 0;
    if (stat(run, &st))
        return dm_file_error(err, "open", run);
    if ((rc = S_ISDIR(st.st_mode) ? dm_checkpoint_latest(run, &f, step, &skipped, err) : dm_st_open(run, &f, err)))
        return rc;
    if (!S_ISDIR(st.st_mode) && dm_st_meta(f, "step"))
        *step = strtoll(dm_st_meta(f, "step"), NULL, 10);
    sum = dm_st_meta(f, DM_ST_CHECKSUM);
    snprintf(text, n, "%lld %.16s %lld", (long long)*step, sum ? sum : "", (long long)dm_st_count(f));
    dm_st_close(f);
    return DM_OK;
}

/* What the result follows from: its file in the folder is called so. */
static const char *result_hash(sweep *s, const sweep_cell *c, const char *checkpoint)
{
    char options[600];
    SHA2_CTX ctx;

    snprintf(options, sizeof options, "sweep 1\n%s\n%s\n%s\n%s\ncount %lld raw %d\n", s->metric->name, checkpoint,
             s->features, s->request.layer ? s->request.layer : "", (long long)s->request.count, s->request.raw);
    SHA256Init(&ctx);
    SHA256Update(&ctx, (const uint8_t *)options, strlen(options));
    sweep_hash_experiment(&ctx, c->experiment, true);
    return sweep_hex(s, &ctx);
}

/* false where there is none that is whole; one that is not is measured anew. */
static bool read_result(const sweep *s, sweep_cell *c, const char *path)
{
    dm_err why;
    char *text;
    json_t *all, *report;
    size_t n;
    const dm_status rc = dm_file_slurp_in(&s->folder, path, RESULT_BYTES, &text, &n, &why);

    if (rc)
        return false;
    dm_json_read(text, n, path, &all, NULL);
    free(text);
    report = json_object_get(all, "report");
    if (json_is_object(report) && json_is_number(json_object_get(all, "seconds")) &&
        json_is_integer(json_object_get(all, "step")) &&
        isfinite(sweep_number(report, s->metric->columns[0].path))) {
        c->report = json_incref(report);
        c->seconds = json_number_value(json_object_get(all, "seconds"));
        c->step = json_integer_value(json_object_get(all, "step"));
        c->state = SWEEP_DONE;
        c->kept = true;
    }
    json_decref(all);
    return c->kept;
}

static dm_status write_result(const sweep *s, const sweep_cell *c, const char *path, const char *run, dm_err *err)
{
    json_t *all = json_pack("{s:s, s:s, s:s, s:I, s:f, s:{}, s:O}", "demist", dm_version(), "metric", s->metric->name,
                            "run", run, "step", (json_int_t)c->step, "seconds", c->seconds, "cell", "report",
                            c->report);
    char *text = NULL;
    dm_status rc;

    for (int i = 0; i < s->n_axes && all; i++)
        json_object_set_new(json_object_get(all, "cell"), s->axis[i].key,
                            c->value[i] >= 0 ? json_string(s->axis[i].value[c->value[i]]) : json_null());
    text = dm_json_text(all, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    rc = text ? dm_file_write_in(&s->folder, path, text, strlen(text), err)
              : dm_error(err, DM_ENOMEM, "out of memory for '%s', or a name in it is not UTF-8", path);
    free(text);
    json_decref(all);
    return rc;
}

/* ---- a cell ---------------------------------------------------------------------------------- */

static dm_status measure(sweep *s, sweep_cell *c, const char *run, const char *path, dm_err *err)
{
    eval_request r = s->request;
    const char **overrides = c->overrides;
    int n = c->n_overrides;
    double began, sampling;
    dm_status rc;

    if (!s->is_run && (rc = sweep_sampling_overrides(s, c, &overrides, &n, err)))
        return rc;
    r.run = run;
    r.overrides = overrides;
    r.n_overrides = n;
    began = dm_seconds();
    if ((rc = s->metric->run(&r, &c->report, err)))
        return rc;
    sampling = sweep_number(c->report, "sampling_seconds");
    c->seconds = isfinite(sampling) ? sampling : dm_seconds() - began;
    if (!isfinite(sweep_number(c->report, s->metric->columns[0].path)))
        return dm_error(err, DM_EDIVERGED, "%s is not finite", s->metric->columns[0].name);
    c->state = SWEEP_DONE;
    return write_result(s, c, path, run, err);
}

/* What every other cell would meet too. */
static bool ends_all(dm_status rc)
{
    return rc == DM_ECANCELLED || rc == DM_EDEVICE || rc == DM_ENOSPC || rc == DM_EABI;
}

/* The run is trained, and known by its checkpoint; cells of one run follow each other, as a rule. */
static dm_status make_ready(sweep *s, sweep_cell *c, const char *run, dm_err *err)
{
    dm_status rc = DM_OK;

    if (!s->ready || strcmp(s->ready, run)) {
        s->ready = NULL;
        if (!s->is_run)
            rc = train(s, c, run, err);
        if (rc || (rc = sweep_identify(run, s->checkpoint, sizeof s->checkpoint, &s->step, err)))
            return rc;
        s->ready = run;
    }
    c->step = s->step;
    return DM_OK;
}

/* A picture that cannot be drawn is missing, and said, where no other cell would meet that too. */
static dm_status add_picture(sweep *s, sweep_cell *c, const char *run, const char *hash, dm_err *err)
{
    dm_err why = {0};
    const char *line;
    dm_status rc = s->samples ? sweep_draw_cell(s, c, run, hash, &why) : DM_OK;

    if (!rc)
        return DM_OK;
    if (ends_all(rc) || rc == DM_ENOMEM)
        return dm_error(err, rc, "%s", why.msg);
    if ((line = dm_sprintf(s->arena, "no samples of %s: %s", sweep_cell_name(s, c), why.msg)))
        s->request.callbacks->log(s->request.callbacks->user, DM_LOG_WARNING, line);
    return DM_OK;
}

/* What becomes of a cell; an error where every other would meet it too. */
static dm_status settle(sweep *s, sweep_cell *c, dm_status rc, const dm_err *why, dm_err *err)
{
    if (!rc)
        return DM_OK;
    if (ends_all(rc))
        return dm_error(err, rc, "%s", why->msg);
    c->code = rc;
    c->state = rc == DM_EINVAL ? SWEEP_REFUSED : SWEEP_FAILED;
    snprintf(c->why, sizeof c->why, "%.*s", (int)sizeof c->why - 1, *s->heard.text ? s->heard.text : why->msg);
    return DM_OK;
}

dm_status sweep_train_cell(sweep *s, sweep_cell *c, dm_err *err)
{
    const char *run = sweep_run_folder(s, c);
    dm_err why = {0};

    *s->heard.text = 0;
    return run ? settle(s, c, make_ready(s, c, run, &why), &why, err) : no_memory(err);
}

/* Where its result is kept. */
static const char *result_path(sweep *s, const sweep_cell *c, const char *checkpoint, const char **hash)
{
    *hash = result_hash(s, c, checkpoint);
    return *hash ? dm_sprintf(s->arena, "cells/%s.json", *hash) : NULL;
}

dm_status sweep_has_result(sweep *s, const sweep_cell *c, bool *yes, dm_err *err)
{
    const char *run = sweep_run_folder(s, c), *hash, *path;
    char checkpoint[sizeof s->checkpoint];
    sweep_cell copy = *c;
    dm_err untrained;
    int64_t step;

    *yes = false;
    if (!run)
        return no_memory(err);
    if (sweep_identify(run, checkpoint, sizeof checkpoint, &step, &untrained))
        return DM_OK;
    if (!(path = result_path(s, c, checkpoint, &hash)))
        return no_memory(err);
    *yes = read_result(s, &copy, path);
    json_decref(copy.report);
    return DM_OK;
}

dm_status sweep_run_cell(sweep *s, sweep_cell *c, dm_err *err)
{
    const char *run = c->experiment ? sweep_run_folder(s, c) : NULL, *hash, *path;
    dm_err why = {0};
    dm_status rc = DM_OK;

    if (c->state != SWEEP_PLANNED) /* it was refused, or could not be read */
        return DM_OK;
    if (!run)
        return no_memory(err);
    *s->heard.text = 0;
    if (!(rc = make_ready(s, c, run, &why))) {
        if (!(path = result_path(s, c, s->checkpoint, &hash)))
            return no_memory(err);
        if (!read_result(s, c, path))
            rc = measure(s, c, run, path, &why);
        if (!rc)
            return add_picture(s, c, run, hash, err);
    }
    return settle(s, c, rc, &why, err);
}
