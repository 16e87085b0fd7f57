/* dm_train: a training run from its YAML file to the last checkpoint, with its run folder. */
#include "train/running.h"

#include "data/data.h"
#include "run/plot.h"
#include "base/shell_word.h"
#include "train/training.h"
#include "session/session_read.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double wall(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static dm_status make_folder(dm_running *r, dm_err *err)
{
    const int64_t batch = r->s.experiment->train.batch;
    int64_t example = 1;

    for (int32_t i = 0; i < r->s.data.shape.rank; i++)
        example *= r->s.data.shape.dim[i];
    if (example > INT64_MAX / batch / 8 || !(r->x0 = malloc((size_t)(example * batch) * sizeof *r->x0)) ||
        !(r->labels = malloc((size_t)batch * sizeof *r->labels)))
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld examples", (long long)batch);
    dm_session_log(&r->s, DM_LOG_INFO, "data: %lld examples", (long long)r->s.data.count);
    return DM_OK;
}

/* ---- the run folder ----------------------------------------------------------------- */

static dm_status write_choices(const dm_running *r, dm_err *err)
{
    json_t *j = json_pack("{s:I, s:b, s:o}", "micro_batch", (json_int_t)dm_trainer_micro_batch(r->trainer), "recompute",
                          (int)dm_net_recomputes(r->s.model), "implementations", dm_choices_json(r->s.choices));
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    const dm_status rc = text ? dm_run_write(r->folder, "choices.json", text, strlen(text), err)
                              : dm_error(err, DM_ENOMEM, "out of memory for choices.json");

    free(text);
    json_decref(j);
    return rc;
}

static dm_status read_choices(const dm_running *r, int64_t *micro, dm_err *err)
{
    char *path = dm_run_path(r->dir, "choices.json"), *text = NULL;
    json_error_t why;
    json_t *j = NULL;
    dm_err bad = {0};
    dm_status rc;

    if (!path)
        return dm_error(err, DM_ENOMEM, "out of memory");
    if (!(rc = dm_file_slurp(path, 1 << 20, &text, NULL, err))) {
        j = json_loads(text, JSON_REJECT_DUPLICATES, &why);
        *micro = j ? (int64_t)json_integer_value(json_object_get(j, "micro_batch")) : 0;
        if (*micro < 1 || *micro > r->s.experiment->train.batch)
            rc = dm_error(err, DM_ECORRUPT, "'%s' does not say a micro_batch from 1 to the batch", path);
        else
            dm_net_recompute(r->s.model, json_is_true(json_object_get(j, "recompute")));
        if (!rc && json_object_get(j, "implementations")) /* runs of older versions have neither */
            rc = dm_choices_keep(r->s.choices, json_object_get(j, "implementations"), &bad)
                     ? dm_error(err, DM_ECORRUPT, "'%s': %s", path, bad.msg)
                     : DM_OK;
    }
    json_decref(j);
    free(text);
    free(path);
    return rc;
}

/* From now on messages go to log.txt too. */
static dm_status write_messages(dm_running *r, dm_err *err)
{
    char *path = dm_run_path(r->dir, "log.txt");
    const dm_status rc =
        path && r->s.log ? dm_log_to_file(r->s.log, path, err) : dm_error(err, DM_ENOMEM, "out of memory for log.txt");

    free(path);
    return rc;
}

/* A run that failed before its first step left nothing to lose: neither a checkpoint nor a line in its log. */
static bool never_began(const char *dir)
{
    char *log = dm_run_path(dir, DM_RUN_LOG);
    int64_t *steps = NULL;
    struct stat st;
    dm_err ignored = {0};
    bool nothing;
    int n = 0;

    nothing = log && !dm_checkpoint_list(dir, &steps, &n, &ignored) && n == 0 &&
              (stat(log, &st) ? errno == ENOENT : st.st_size == 0);
    free(steps);
    free(log);
    return nothing;
}

static dm_status open_folder(dm_running *r, dm_err *err)
{
    dm_run_mode mode = r->o->overwrite ? DM_RUN_OVERWRITE : r->o->resume ? DM_RUN_RESUME : DM_RUN_NEW;
    dm_status rc;

    r->dir = r->s.experiment->output;
    if (!(r->word = dm_shell_word(r->dir)))
        return dm_error(err, DM_ENOMEM, "out of memory for a name");
    r->resumed = r->o->resume;
    if (!r->o->overwrite && never_began(r->dir)) {
        mode = DM_RUN_RESUME; /* the folder, if there is one, is taken again */
        r->resumed = false;
    }
    rc = dm_run_open(r->dir, mode, &r->folder, err);
    if (rc == DM_ENOENT && mode == DM_RUN_RESUME) {
        r->resumed = false;
        rc = dm_run_open(r->dir, DM_RUN_NEW, &r->folder, err);
    }
    return rc;
}

static dm_status write_config(dm_running *r, dm_err *err)
{
    const dm_device_info *d = dm_device_get_info(r->s.device);
    const dm_pair more[] = {{"device", d->name}, {"platform", d->platform_name}, {"driver", d->driver}};
    char *text = dm_experiment_print(r->s.experiment, false), *old = NULL, *path = dm_run_path(r->dir, DM_RUN_CONFIG);
    dm_status rc = text && path ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the resolved experiment");

    if (!rc && r->resumed) {
        if (!(rc = dm_file_slurp(path, 1 << 20, &old, NULL, err)))
            rc = dm_resume_compare(old, text, r->dir, err);
    }
    /* What may change when a run goes on is written too: the file says how far it went. */
    if (!rc && (!old || strcmp(old, text)))
        rc = dm_run_write(r->folder, DM_RUN_CONFIG, text, strlen(text), err);
    if (!rc)
        rc = dm_run_write_env(r->folder, r->o->argc, r->o->argv, more, 3, err);
    free(text);
    free(old);
    free(path);
    return rc;
}

static dm_status open_logs(dm_running *r, int64_t step, dm_err *err)
{
    char *log = dm_run_path(r->dir, DM_RUN_LOG), *events = dm_run_path(r->dir, DM_RUN_EVENTS);
    const int64_t last = r->resumed ? step : -1;
    dm_status rc = log && events ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory");

    if (!rc && !(rc = dm_run_log_open(log, last, &r->numbers, err)))
        rc = dm_tb_open(events, last, &r->events, err);
    free(log);
    free(events);
    return rc;
}

/* ---- the loop -------------------------------------------------------------------------- */

static dm_status diverged(dm_running *r, int64_t bad, dm_err *err)
{
    const dm_set_train *t = &r->s.experiment->train;
    char what[256] = "", kept[96] = "there is no checkpoint yet";
    dm_err ignored = {0};
    int64_t *steps = NULL;
    bool found = true;
    int n = 0;

    if (!dm_checkpoint_list(r->dir, &steps, &n, &ignored) && n)
        snprintf(kept, sizeof kept, "the checkpoint of step %lld is whole", (long long)steps[0]);
    free(steps);
    if (dm_data_batch(r->s.examples, (uint64_t)(bad * t->batch), t->batch, r->x0, r->labels, &ignored) ||
        !dm_trainer_find_nonfinite(r->trainer, bad, r->x0, r->labels, what, sizeof what, &ignored))
        found = false;
    return dm_error(err, DM_EDIVERGED,
                    "training diverged at step %lld: %s%s; %s. "
                    "%s a lower train.lr (now %g), a longer train.warmup or train.clip may help",
                    (long long)bad + 1,
                    found ? "the first tensor that is not finite is the "
                          : "the norm of the gradient is not finite, though each tensor is",
                    found ? what : "", kept,
                    bad ? "If the data are sound," : "Data of a large range are likely at the first step; else", t->lr);
}

static dm_status log_numbers(dm_running *r, dm_err *err)
{
    const dm_set_train *t = &r->s.experiment->train;
    const int64_t step = dm_trainer_state(r->trainer)->step;
    dm_train_numbers n;
    int64_t bad;
    double rate;
    dm_status rc;

    if ((rc = dm_trainer_check(r->trainer, &bad, err)) || (rc = dm_trainer_numbers(r->trainer, &n, err)))
        return rc == DM_EDIVERGED ? diverged(r, bad, err) : rc;
    rate = (double)(n.steps * t->batch) / (now() - r->since);
    r->since = now();
    r->loss = n.loss;
    {
        const dm_field f[] = {
            {"loss", n.loss}, {"lr", dm_train_lr(t, step - 1)}, {"grad_norm", n.grad_norm}, {"images_per_s", rate}};

        if ((rc = dm_run_log_put(r->numbers, step, f, 4, err)))
            return rc;
        return dm_tb_scalars(r->events, step, wall(), f, 4, err);
    }
}

/* Data that cannot be read end the training, not what it has learned: steps since the last checkpoint are saved. */
static dm_status data_failed(dm_running *r, const dm_err *why, dm_err *err)
{
    const int64_t step = dm_trainer_state(r->trainer)->step;
    char note[64] = "";
    dm_err ignored = {0};

    if (step > r->saved && !dm_running_save(r, NULL, &ignored))
        snprintf(note, sizeof note, "; a checkpoint of step %lld is saved", (long long)step);
    return dm_error(err, why->code, "%.900s%s", why->msg, note);
}

static dm_status step(dm_running *r, dm_err *err)
{
    const int64_t batch = r->s.experiment->train.batch, first = dm_trainer_state(r->trainer)->step * batch;
    int32_t *labels = r->s.data.classes ? r->labels : NULL;
    dm_err why = {0};
    int64_t bad;
    dm_status rc;

    if (dm_data_batch(r->s.examples, (uint64_t)first, batch, r->x0, labels, &why))
        return data_failed(r, &why, err);
    if ((rc = dm_trainer_step(r->trainer, r->x0, labels, err)) != DM_EDIVERGED)
        return rc;
    return (rc = dm_trainer_check(r->trainer, &bad, err)) == DM_EDIVERGED ? diverged(r, bad, err) : rc;
}

static void progress(const dm_running *r)
{
    const dm_set_train *t = &r->s.experiment->train;
    const dm_progress_info p = {.size = sizeof p,
                                .what = "train",
                                .step = dm_trainer_state(r->trainer)->step,
                                .steps = t->steps,
                                .per_step = (double)t->batch,
                                .loss = r->loss};

    if (r->o->callbacks.progress)
        r->o->callbacks.progress(r->o->callbacks.user, &p);
}

static bool cancelled(const dm_running *r)
{
    return r->o->callbacks.cancelled && r->o->callbacks.cancelled(r->o->callbacks.user);
}

static bool due(int64_t step, int64_t every) { return every > 0 && step % every == 0; }

/* A grid that fails for what the weights are so far, or for memory, is no reason to end. */
static dm_status samples(dm_running *r, dm_err *err)
{
    dm_err why = {0};
    const dm_status rc = dm_train_samples(&r->s, r->folder, r->events, dm_trainer_state(r->trainer), wall(), &why);

    if (rc != DM_EDIVERGED && rc != DM_ENOMEM)
        return rc ? dm_error(err, rc, "%s", why.msg) : DM_OK;
    dm_session_log(&r->s, DM_LOG_WARNING, "no samples of step %lld: %s", (long long)dm_trainer_state(r->trainer)->step,
                   why.msg);
    return DM_OK;
}

/* The held-out loss; where it is the least so far, what made it is kept. The clock of images_per_s stands still. */
static dm_status validate(dm_running *r, dm_err *err)
{
    const double began = now();
    const int64_t at = dm_trainer_state(r->trainer)->step;
    dm_err why = {0};
    double loss;
    dm_status rc = dm_train_validate(r->validation, r->numbers, r->events, at, wall(), &loss, &why);

    if (rc == DM_EDIVERGED) { /* of what the weights are so far */
        dm_session_log(&r->s, DM_LOG_WARNING, "no held-out loss of step %lld: %s", (long long)at, why.msg);
        rc = DM_OK;
    } else if (rc) {
        dm_error(err, rc, "%s", why.msg);
    } else if (loss < r->best) {
        r->best = loss;
        rc = dm_running_save(r, &loss, err);
    }
    r->since += now() - began;
    return rc;
}

static dm_status open_validation(dm_running *r, dm_err *err)
{
    const dm_set_train *t = &r->s.experiment->train;
    const dm_train_state *state = dm_trainer_state(r->trainer);

    if (!t->validate_every)
        return DM_OK;
    r->best = r->resumed && !r->other_held_out ? dm_best_loss(r->dir) : INFINITY;
    return dm_validation_new(&r->s, state->n_ema ? state->ema[0] : state->model, t->validate_count,
                             dm_trainer_micro_batch(r->trainer), &r->validation, err);
}

static dm_status loop(dm_running *r, dm_err *err)
{
    const dm_set_train *t = &r->s.experiment->train;
    dm_train_state *state = dm_trainer_state(r->trainer);
    dm_status rc;

    if ((rc = dm_data_prefetch(r->s.examples, (uint64_t)(state->step * t->batch), t->batch, err)))
        return rc;
    r->since = now();
    r->loss = NAN;
    r->saved = state->step;
    progress(r);
    r->s.keeps_on = true;
    while (state->step < t->steps) {
        if ((rc = step(r, err)))
            return rc;
        if ((due(state->step, t->log_every) || state->step == t->steps) && (rc = log_numbers(r, err)))
            return rc;
        progress(r);
        if (r->validation && (due(state->step, t->validate_every) || state->step == t->steps) &&
            (rc = validate(r, err)))
            return rc;
        if (due(state->step, t->sample_every) && (rc = samples(r, err)))
            return rc;
        if ((due(state->step, t->save_every) || state->step == t->steps) && (rc = dm_running_save(r, NULL, err)))
            return rc;
        if (cancelled(r) && state->step < t->steps) {
            if (!due(state->step, t->save_every) && (rc = dm_running_save(r, NULL, err)))
                return rc;
            return dm_error(err, DM_ECANCELLED,
                            "stopped at step %lld of %lld, a checkpoint is saved; go on with: demist resume %s",
                            (long long)state->step, (long long)t->steps, r->word);
        }
    }
    return DM_OK;
}

static void finish(dm_running *r)
{
    char *log, *plot = dm_run_path(r->dir, "plots/loss.png"), *plots = dm_run_path(r->dir, "plots");
    dm_err why = {0};

    if (plot && plots && !dm_folder_make(plots, &why) && !dm_plot_run(r->dir, plot, &why))
        dm_session_log(&r->s, DM_LOG_INFO, "curves:     %s", plot);
    else
        dm_session_log(&r->s, DM_LOG_WARNING, "no plot of the training: %s", why.msg);
    free(plot);
    free(plots);
    log = dm_checkpoint_path(r->dir, dm_trainer_state(r->trainer)->step);
    dm_session_log(&r->s, DM_LOG_INFO, "checkpoint: %s", log ? log : r->dir);
    dm_session_log(&r->s, DM_LOG_INFO,
                   dm_net_diffuses(r->s.model) ? "next:       demist sample %s --count 64 --out samples.png"
                                               : "next:       demist eval %s --metric accuracy",
                   r->word);
    free(log);
}

static dm_status train(dm_running *r, dm_err *err)
{
    int64_t micro = r->s.experiment->train.micro_batch;
    dm_status rc;

    /* All that can be wrong with the experiment is found before the run folder is touched. */
    if ((rc = make_folder(r, err)) || (rc = dm_session_open(&r->s, r->o->profile, err)) ||
        (rc = open_folder(r, err)) || (rc = dm_running_know_data(r, err)) ||
        (r->resumed && ((rc = dm_running_find(r, err)) || (rc = dm_running_compare(r, err)))) ||
        (rc = write_config(r, err)) || (rc = write_messages(r, err)))
        return rc;
    {
        char *choices = dm_run_path(r->dir, "choices.json");
        const bool there = choices && r->resumed && !access(choices, F_OK);

        free(choices);
        if (there && (rc = read_choices(r, &micro, err)))
            return rc;
        if ((rc = dm_trainer_new(&r->s, micro, &r->trainer, err)) || (rc = open_validation(r, err)) ||
            (!there && (rc = write_choices(r, err))))
            return rc;
    }
    {
        const dm_device_info *d = dm_device_get_info(r->s.device);
        const dm_plan_stats p = dm_plan_get_info(dm_trainer_plan(r->trainer));
        uint64_t held, peak;

        dm_device_memory(r->s.device, &held, &peak);
        dm_session_log(&r->s, DM_LOG_INFO, "device: %s (%s)", d->name, d->platform_name);
        dm_session_log(&r->s, DM_LOG_INFO,
                       "network: %lld parameters; a step of %lld images in micro-batches of %lld: %.2f GFLOP and %d "
                       "kernel calls each, %.1f MB on the device",
                       (long long)dm_net_layout(r->s.model)->parameters, (long long)r->s.experiment->train.batch,
                       (long long)dm_trainer_micro_batch(r->trainer), p.flops * 1e-9, (int)p.commands,
                       (double)held * 1e-6);
    }
    if ((r->resumed && (rc = dm_running_load(r, err))) ||
        (dm_trainer_state(r->trainer)->step == 0 && (rc = dm_running_use_start(r, err))) ||
        (rc = open_logs(r, dm_trainer_state(r->trainer)->step, err)))
        return rc;
    if (cancelled(r))
        return dm_error(err, DM_ECANCELLED, "stopped");
    if ((rc = loop(r, err)))
        return rc;
    finish(r);
    return r->o->profile ? dm_session_log_profile(&r->s, err) : DM_OK;
}

dm_status dm_train(const char *experiment, const dm_train_options *o, dm_err *err)
{
    dm_running r = {.o = o};
    dm_status rc;

    if ((rc = dm_session_read(&r.s, experiment, o->overrides, o->n_overrides, o->resume ? DM_NEED_DATA : DM_NEED_START,
                              &o->callbacks, err)))
        return rc;
    rc = train(&r, err);
    if (rc == DM_ECANCELLED && !r.s.keeps_on)
        dm_error(err, rc, "stopped before a step was done, so there is nothing to save; the same command starts again");
    dm_validation_free(r.validation);
    dm_trainer_free(r.trainer);
    dm_run_log_close(r.numbers);
    dm_tb_close(r.events);
    dm_run_close(r.folder);
    dm_st_close(r.from);
    dm_fingerprint_fini(&r.data);
    dm_fingerprint_fini(&r.held_out);
    free(r.word);
    free(r.x0);
    free(r.labels);
    dm_session_fini(&r.s);
    return rc;
}
