/* dm_training_run and dm_train: the loop over steps, with held-out losses, samples and checkpoints as the experiment
 * says. */
#include "train_run/running.h"

#include "base/clock.h"
#include "run/plot.h"

#include <stdlib.h>

static void progress(const dm_training *r)
{
    const dm_set_train *t = &r->s.experiment->train;
    const dm_progress_info p = {.size = sizeof p,
                                .what = "train",
                                .step = dm_trainer_state(r->trainer)->step,
                                .steps = t->steps,
                                .per_step = (double)t->batch,
                                .loss = r->loss};

    if (r->s.callbacks.progress)
        r->s.callbacks.progress(r->s.callbacks.user, &p);
}

/* A grid that fails for what the weights are so far, or for memory, is no reason to end; a stop is to save first. */
static dm_status samples(dm_training *r, dm_err *err)
{
    dm_err why = {0};
    dm_status rc = dm_trainer_align(r->trainer, err);

    if (rc)
        return rc;
    rc = dm_train_samples(&r->s, r->folder, r->events, dm_trainer_state(r->trainer), dm_wall_seconds(), &why);
    if (rc != DM_EDIVERGED && rc != DM_ENOMEM && rc != DM_ECANCELLED)
        return rc ? dm_error(err, rc, "%s", why.msg) : DM_OK;
    dm_session_log(&r->s, DM_LOG_WARNING, "no samples of step %lld: %s", (long long)dm_trainer_state(r->trainer)->step,
                   why.msg);
    return DM_OK;
}

static void finish(dm_training *r)
{
    const dm_folder *folder = dm_run_folder(r->folder);
    char *log;
    dm_err why = {0};

    if (!dm_folder_add(folder, "plots", &why) && !dm_plot_run(folder, folder, DM_RUN_PLOT, &why))
        dm_session_log(&r->s, DM_LOG_INFO, "curves:     %s/" DM_RUN_PLOT, r->dir);
    else
        dm_session_log(&r->s, DM_LOG_WARNING, "no plot of the training: %s", why.msg);
    log = dm_checkpoint_path(r->dir, r->saved);
    dm_session_log(&r->s, DM_LOG_INFO, "checkpoint: %s", log ? log : r->dir);
    free(log);
}

static dm_status validate(dm_training *r, dm_err *err)
{
    dm_err why = {0};
    double loss;
    const dm_status rc = dm_training_validate(r, &loss, &why);

    if (rc != DM_ECANCELLED)
        return rc ? dm_error(err, rc, "%s", why.msg) : DM_OK;
    dm_session_log(&r->s, DM_LOG_WARNING, "no held-out loss of step %lld: %s",
                   (long long)dm_trainer_state(r->trainer)->step, why.msg);
    return DM_OK;
}

/* What is done so far is saved. */
static dm_status stopped(dm_training *r, dm_err *err)
{
    const int64_t step = dm_trainer_state(r->trainer)->step;
    dm_status rc;

    if (!step)
        return dm_error(err, DM_ECANCELLED,
                        "stopped before a step was done, so there is nothing to save; the same command starts again");
    if (step > r->saved && (rc = dm_running_save_all(r, err)))
        return rc;
    return dm_error(err, DM_ECANCELLED,
                    "stopped at step %lld of %lld, a checkpoint is saved", (long long)step,
                    (long long)r->s.experiment->train.steps);
}

/* After each step, what is due. */
static dm_status due(dm_training *r, dm_err *err)
{
    const dm_set_train *t = &r->s.experiment->train;
    const int64_t step = dm_trainer_state(r->trainer)->step;
    dm_status rc;

    if (t->validate_every && dm_running_due(t->validate_every, step, t->steps) &&
        (rc = validate(r, err)))
        return rc;
    if (t->sample_every > 0 && step % t->sample_every == 0 &&
        (rc = dm_comm_agree(r->comm, samples(r, err), NULL, err)))
        return rc;
    if (dm_running_due(t->save_every, step, t->steps) && (rc = dm_running_save_all(r, err)))
        return rc;
    /* Of several ranks all know at the same step; one alone need not wait for the next. */
    return step < t->steps && (r->comm->size == 1 ? dm_running_cancelled(r) : r->stop) ? stopped(r, err) : DM_OK;
}

dm_status dm_training_run(dm_training *r, dm_err *err)
{
    const dm_train_state *state;
    const dm_set_train *t;
    dm_status rc;

    if (!r)
        return dm_running_no_training(err);
    t = &r->s.experiment->train;
    state = dm_trainer_state(r->trainer);
    progress(r);
    while (state->step < t->steps) {
        if ((rc = dm_training_step(r, err)))
            return rc == DM_ECANCELLED ? stopped(r, err) : rc;
        progress(r);
        if ((rc = due(r, err)))
            return rc;
    }
    /* The caller may have made the last step, and left it to this call to save it. */
    if (state->step > r->saved && (rc = dm_running_save_all(r, err)))
        return rc;
    if (dm_running_first(r))
        finish(r);
    return r->o.profile ? dm_session_log_profile(&r->s, err) : DM_OK;
}

dm_status dm_train(const char *experiment, const dm_train_options *o, dm_err *err)
{
    dm_training *r;
    dm_status rc;

    if ((rc = dm_training_open(experiment, o, &r, err)))
        return rc;
    rc = dm_training_run(r, err);
    dm_training_close(r);
    return rc;
}
