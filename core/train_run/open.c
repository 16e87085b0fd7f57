/* dm_training_open and dm_training_close: a training run up to its first step, with its run folder. */
#include "train_run/running.h"
#include "train/spread.h"
#include "text/json_text.h"

#include "base/json.h"
#include "base/sized.h"
#include "data/data.h"
#include "session/session_ranks.h"
#include "session/session_read.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dm_status make_folder(dm_training *r, dm_err *err)
{
    const int64_t batch = r->s.experiment->train.batch, steps = r->s.experiment->train.steps;

    if (steps > INT64_MAX / batch)
        return dm_error(err, DM_EINVAL, "train.steps = %lld of train.batch = %lld are more examples than 2^63",
                        (long long)steps, (long long)batch);
    if (!(r->x0 = dm_array(dm_shape_count(&r->s.data.shape), batch, sizeof *r->x0)) ||
        !(r->labels = dm_array(batch, 1, sizeof *r->labels)))
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld examples", (long long)batch);
    dm_session_log(&r->s, DM_LOG_INFO, "data: %lld examples", (long long)r->s.data.count);
    return DM_OK;
}

/* ---- the run folder ----------------------------------------------------------------- */

static dm_status write_choices(const dm_training *r, dm_err *err)
{
    json_t *j = json_pack("{s:I, s:b, s:o}", "micro_batch", (json_int_t)dm_trainer_micro_batch(r->trainer), "recompute",
                          (int)dm_net_recomputes(r->s.model), "implementations", dm_choices_json(r->s.choices));
    char *text = dm_json_text(j, JSON_INDENT(2));
    const dm_status rc = text ? dm_run_write(r->folder, "choices.json", text, strlen(text), err)
                              : dm_error(err, DM_ENOMEM, "out of memory for choices.json");

    free(text);
    json_decref(j);
    return rc;
}

static dm_status take_choices(const dm_training *r, const char *text, int64_t *micro, dm_err *err)
{
    static const char name[] = "choices.json",
                      remedy[] = "; restore it, or remove it: implementations are then chosen anew, and the run "
                                 "continues, but no longer bit for bit";
    json_t *j = NULL;
    dm_err bad = {0};
    dm_status rc;

    if ((rc = dm_json_read(text, strlen(text), name, &j, &bad)))
        dm_error(err, rc, "'%s/%s': %s%s", r->dir, name, bad.msg, rc == DM_ECORRUPT ? remedy : "");
    if (!rc) {
        *micro = (int64_t)json_integer_value(json_object_get(j, "micro_batch"));
        if (*micro < 1 || *micro > r->s.experiment->train.batch)
            rc = dm_error(err, DM_ECORRUPT, "'%s/%s' has no micro_batch from 1 to the batch%s", r->dir, name,
                          remedy);
        else
            dm_net_recompute(r->s.model, json_is_true(json_object_get(j, "recompute")));
        if (!rc && json_object_get(j, "implementations")) /* runs of older versions have neither */
            rc = dm_choices_keep(r->s.choices, json_object_get(j, "implementations"), &bad);
        if (rc == DM_ENOMEM)
            dm_error(err, rc, "%s", bad.msg);
        else if (rc && bad.code)
            rc = dm_error(err, DM_ECORRUPT, "'%s/%s': %s%s", r->dir, name, bad.msg, remedy);
    }
    json_decref(j);
    return rc;
}

static dm_status has_choices(const dm_training *r, bool *there, dm_err *err)
{
    *there = false;
    return r->resumed ? dm_folder_has(dm_run_folder(r->folder), "choices.json", there, err) : DM_OK;
}

/* What rank 0 finds in the run folder, for all. */
static dm_status read_choices(const dm_training *r, int64_t *micro, dm_err *err)
{
    char *text = NULL;
    bool there = false;
    dm_status rc = dm_running_first(r) ? has_choices(r, &there, err) : DM_OK;

    if (!rc && there)
        rc = dm_file_slurp_in(dm_run_folder(r->folder), "choices.json", 1 << 20, &text, NULL, err);
    if (!(rc = dm_comm_agree(r->comm, rc, NULL, err)) && !(rc = dm_comm_text(r->comm, &text, err)) && text)
        rc = take_choices(r, text, micro, err);
    free(text);
    return dm_comm_agree(r->comm, rc, NULL, err);
}

static dm_status keep_choices(const dm_training *r, dm_err *err)
{
    bool there;
    const dm_status rc = has_choices(r, &there, err);

    return rc || there ? rc : write_choices(r, err);
}

/* From now on messages go to log.txt too. */
static dm_status write_messages(dm_training *r, dm_err *err)
{
    return r->s.log ? dm_log_to_file(r->s.log, dm_run_folder(r->folder), "log.txt", err)
                    : dm_error(err, DM_ENOMEM, "out of memory for log.txt");
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

static dm_status open_folder(dm_training *r, dm_err *err)
{
    dm_run_mode mode = r->o.overwrite ? DM_RUN_OVERWRITE : r->o.resume ? DM_RUN_RESUME : DM_RUN_NEW;
    dm_status rc;

    r->resumed = r->o.resume;
    if (!r->o.overwrite && never_began(r->dir)) {
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

/* What a resumed run began with, and whether it is still that. */
static dm_status compare_config(const dm_training *r, const char *text, const char *old, dm_err *err)
{
    char *today = NULL;
    dm_status rc = DM_OK;

    if (!(today = dm_resume_today(old, r->s.registry)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the resolved experiment");
    if (!rc)
        rc = dm_resume_compare(today, text, r->dir, err);
    free(today);
    return rc;
}

static dm_status write_env(dm_training *r, dm_err *err)
{
    const dm_device_info *d = dm_device_get_info(r->s.device);
    const dm_pair more[] = {{"device", d->name}, {"platform", d->platform_name}, {"driver", d->driver}};
    json_t *plugins;

    dm_json_begin();
    plugins = dm_running_plugins(r);
    if (dm_json_lost()) {
        json_decref(plugins);
        return dm_error(err, DM_ENOMEM, "out of memory: env.json");
    }
    if (r->resumed)
        dm_running_warn_of_plugins(r, plugins);
    return dm_run_write_env(r->folder, r->o.argc, r->o.argv, more, 3, plugins, err);
}

static dm_status write_config(dm_training *r, dm_err *err)
{
    char *text = NULL, *old = NULL;
    dm_status rc = DM_OK;

    if (r->resumed && !(rc = dm_file_slurp_in(dm_run_folder(r->folder), DM_RUN_CONFIG, 1 << 20, &old, NULL, err)))
        rc = dm_resume_keep_grid(r->s.experiment, old, r->s.registry, &r->before, err);
    if (!rc && !(text = dm_experiment_print(r->s.experiment, false)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the resolved experiment");
    if (!rc && r->resumed && !(rc = compare_config(r, text, old, err)) && !(rc = dm_running_find(r, err)))
        rc = dm_running_compare(r, err);
    /* What may change when a run goes on is written too: the file says how far it went. */
    if (!rc && (!old || strcmp(old, text)))
        rc = dm_run_write(r->folder, DM_RUN_CONFIG, text, strlen(text), err);
    if (!rc)
        rc = write_env(r, err);
    free(text);
    free(old);
    return rc;
}

static dm_status open_logs(dm_training *r, int64_t step, dm_err *err)
{
    const dm_folder *f = dm_run_folder(r->folder);
    const int64_t last = r->resumed ? step : -1;
    const dm_status rc = dm_run_log_open(f, DM_RUN_LOG, last, &r->numbers, err);

    return rc ? rc : dm_tb_open(f, DM_RUN_EVENTS, last, &r->events, err);
}

static void say_what(const dm_training *r)
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
                   (long long)dm_trainer_micro_batch(r->trainer), p.flops * 1e-9, (int)p.commands, (double)held * 1e-6);
}

/* What the first step needs: the trainer, and how it was made when the run began. */
static dm_status make_trainer(dm_training *r, dm_err *err)
{
    int64_t micro = r->s.experiment->train.micro_batch;
    dm_status rc;

    if ((rc = read_choices(r, &micro, err)) || (rc = dm_trainer_new(&r->s, micro, &r->trainer, err)))
        return rc;
    return r->s.experiment->train.validate_every ? dm_running_open_validation(r, err) : DM_OK;
}

/* All that can be wrong with the experiment is found before the run folder is touched. */
static dm_status prepare(dm_training *r, dm_err *err)
{
    dm_status rc;

    r->dir = r->s.experiment->output;
    if ((rc = make_folder(r, err)) || (rc = dm_session_open(&r->s, r->o.profile, err)) ||
        (dm_running_first(r) && (rc = open_folder(r, err))))
        return rc;
    return dm_running_know_data(r, err);
}

static dm_status write_files(dm_training *r, dm_err *err)
{
    const dm_status rc = write_config(r, err);

    return rc ? rc : write_messages(r, err);
}

/* The earlier run goes once the new one can begin, up to its first step. */
static dm_status replace(dm_training *r, dm_err *err)
{
    dm_status rc;

    if ((rc = dm_running_use_start(r, err)))
        return rc;
    if (dm_running_cancelled(r))
        return dm_error(err, DM_ECANCELLED, "stopped");
    return (rc = dm_run_clear(r->folder, err)) ? rc : write_files(r, err);
}

/* The folder, and what training goes on from: rank 0's. */
static dm_status begin(dm_training *r, dm_err *err)
{
    dm_status rc;

    if ((r->o.overwrite && (rc = replace(r, err))) || (rc = keep_choices(r, err)))
        return rc;
    say_what(r);
    if ((r->resumed && (rc = dm_running_load(r, err))) ||
        (!r->o.overwrite && dm_trainer_state(r->trainer)->step == 0 && (rc = dm_running_use_start(r, err))))
        return rc;
    return open_logs(r, dm_trainer_state(r->trainer)->step, err);
}

static dm_status open(dm_training *r, dm_err *err)
{
    const bool first = dm_running_first(r);
    dm_status rc;

    if ((rc = dm_comm_agree(r->comm, prepare(r, err), NULL, err)) || (rc = dm_running_same(r, err)) ||
        (rc = dm_comm_agree(r->comm, first && !r->o.overwrite ? write_files(r, err) : DM_OK, NULL, err)) ||
        (rc = make_trainer(r, err)) || (rc = dm_comm_agree(r->comm, first ? begin(r, err) : DM_OK, NULL, err)) ||
        (rc = dm_running_say_ranks(r, err)) || (rc = dm_spread_state(r->comm, dm_trainer_state(r->trainer), err)))
        return rc;
    r->saved = dm_trainer_state(r->trainer)->step;
    return dm_comm_agree(r->comm, dm_running_cancelled(r) ? dm_error(err, DM_ECANCELLED, "stopped") : DM_OK, NULL, err);
}

/* The experiment, by all ranks; rank 0 alone tells of it. */
static dm_status read_experiment(dm_training *r, const char *experiment, dm_err *err)
{
    dm_callbacks quiet;
    dm_status rc = dm_session_quiet(r->o.callbacks, &quiet, err);

    if (!rc)
        rc = dm_session_read(&r->s, experiment, r->o.overrides, r->o.n_overrides,
                             r->o.resume ? DM_NEED_DATA : DM_NEED_START, dm_running_first(r) ? r->o.callbacks : &quiet,
                             err);
    r->s.comm = r->comm;
    return dm_comm_agree(r->comm, rc, NULL, err);
}

dm_status dm_training_open(const char *experiment, const dm_train_options *options, dm_training **out, dm_err *err)
{
    dm_train_options o;
    dm_training *r;
    dm_status rc;

    if (!out)
        return dm_error(err, DM_EINVAL, "dm_training_open was given NULL for the training to write");
    *out = NULL;
    if ((rc = DM_SIZED_READ(dm_train_options, &o, options, err)))
        return rc;
    if (o.argc < 0 || (o.argc && !o.argv))
        return dm_error(err, DM_EINVAL, "%d arguments%s", (int)o.argc,
                        o.argc < 0 ? ": the number must be 0 or above" : ", but argv is NULL");
    if (o.overwrite && (o.resume || o.data_changed))
        return dm_error(err, DM_EINVAL,
                        "%s and overwrite exclude each other: resume continues the run in the folder, overwrite "
                        "removes it",
                        o.resume ? "resume" : "data_changed");
    if (!(r = calloc(1, sizeof *r)))
        return dm_error(err, DM_ENOMEM, "out of memory for training");
    r->o = o;
    r->loss = r->grad_norm = r->rate = r->best = NAN;
    r->comm = dm_comm_one();
    if ((!o.ranks || !(rc = dm_comm_open(&r->comm, err))) && !(rc = read_experiment(r, experiment, err)))
        rc = open(r, err);
    /* These are the caller's, for this call alone. */
    r->o.overrides = r->o.argv = NULL;
    r->o.callbacks = NULL;
    if (rc == DM_ECANCELLED)
        dm_error(err, rc, "stopped before a step was done, so there is nothing to save; the same command starts again");
    if (rc)
        dm_training_close(r);
    else
        *out = r;
    return rc;
}

void dm_training_close(dm_training *r)
{
    if (!r)
        return;
    dm_validation_free(r->validation);
    dm_trainer_free(r->trainer);
    dm_run_log_close(r->numbers);
    dm_tb_close(r->events);
    dm_run_close(r->folder);
    dm_st_close(r->from);
    dm_fingerprint_fini(&r->data);
    dm_fingerprint_fini(&r->held_out);
    free(r->newer);
    dm_experiment_free(r->before);
    free(r->x0);
    free(r->labels);
    dm_session_fini(&r->s);
    dm_comm_close(r->comm);
    free(r);
}
