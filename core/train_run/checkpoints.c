/* What a training run saves and begins from: its own checkpoints, or weights of another; see running.h. */
#include "train_run/running.h"

#include "session/examine.h"
#include "train/training.h"
#include "session/session_source.h"
#include "session/data_meta.h"

#include <stdlib.h>
#include <string.h>

dm_status dm_running_save(dm_training *r, const double *best, dm_err *err)
{
    dm_train_state *state = dm_trainer_state(r->trainer);
    const dm_folder *folder = dm_run_folder(r->folder);
    char *text = dm_experiment_print(r->s.experiment, false), name[DM_CHECKPOINT_NAME];
    char sum[32], since[32], held_out[DM_NUMBER_TEXT];
    enum { MORE = DM_DATA_PAIRS + DM_RUNNING_DATA_PAIRS };
    dm_st_pair meta[MORE + 4];
    dm_data_meta data;
    int more;
    float loss_sum;
    int64_t steps, bad;
    dm_status rc = text ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for a checkpoint");

    /* What diverged is never saved. */
    if (!rc && !(rc = dm_folder_add(folder, "checkpoints", err)) && /* it may have been cleared meanwhile */
        !(rc = dm_trainer_check(r->trainer, &bad, err)) && !(rc = dm_trainer_drain(r->trainer, err)) &&
        !(rc = dm_trainer_get_sums(r->trainer, &loss_sum, &steps, err))) {
        uint32_t bits;

        memcpy(&bits, &loss_sum, sizeof bits);
        snprintf(sum, sizeof sum, "%08x", (unsigned)bits);
        snprintf(since, sizeof since, "%lld", (long long)steps);
        more = dm_data_meta_write(&r->s.data, &data, meta);
        dm_running_data_pairs(r, meta + more);
        more += DM_RUNNING_DATA_PAIRS;
        meta[more] = (dm_st_pair){"experiment", text};
        meta[more + 1] = (dm_st_pair){"loss_sum", sum};
        meta[more + 2] = (dm_st_pair){"loss_steps", since};
        meta[more + 3] = (dm_st_pair){DM_BEST_LOSS, best ? dm_number_write(*best, held_out) : ""};
        rc = dm_checkpoint_save(folder, best ? DM_RUN_BEST : dm_checkpoint_name(state->step, name), state, meta,
                                more + (best ? 4 : 3), err);
        if (!rc && !best)
            rc = dm_checkpoint_prune(folder, state->step, r->s.experiment->train.keep, r->newer, r->n_newer, err);
        if (!rc)
            r->saved = best ? r->saved : state->step;
        if (!rc)
            dm_session_log(&r->s, DM_LOG_DEBUG, "checkpoint of step %lld saved%s", (long long)state->step,
                           best ? " as the best" : "");
    }
    free(text);
    return rc;
}

dm_status dm_running_save_all(dm_training *r, dm_err *err)
{
    dm_status rc;

    if ((rc = dm_trainer_collect(r->trainer, err)))
        return rc;
    rc = dm_running_first(r) ? dm_running_save(r, NULL, err) : DM_OK;
    dm_trainer_collected(r->trainer);
    if (!(rc = dm_comm_agree(r->comm, rc, NULL, err)))
        r->saved = dm_trainer_state(r->trainer)->step;
    return rc;
}

/* A run that was killed before its first checkpoint begins again; one that has lost its checkpoints does not,
 * since its log would be cut back to nothing. */
static dm_status begin_again(const dm_training *r, dm_err *err)
{
    static const char *const step = "step";
    const int64_t first = r->s.experiment->train.save_every;
    double *rows = NULL;
    int64_t n = 0;
    dm_err why = {0};
    dm_status rc = dm_run_log_read(dm_run_folder(r->folder), DM_RUN_LOG, &step, 1, &rows, &n, &why);

    if (rc == DM_ENOMEM)
        return dm_error(err, rc, "%s", why.msg);
    rc = DM_OK;
    if (!why.code && n && first > 0 &&
        rows[n - 1] > (double)first)
        rc = dm_error(err, DM_EINVAL,
                      "the log of '%s' goes to step %.0f, but it has no checkpoint to resume from; restore one, or "
                      "set overwrite to start again",
                      r->dir, rows[n - 1]);
    else
        dm_session_log(&r->s, DM_LOG_WARNING, "'%s' has no checkpoint yet; training starts at step 0", r->dir);
    free(rows);
    return rc;
}

dm_status dm_running_find(dm_training *r, dm_err *err)
{
    dm_err damaged = {0};
    dm_status rc = dm_checkpoint_latest(r->dir, &r->from, &r->from_step, &damaged, err);

    if (rc == DM_ENOENT)
        return begin_again(r, err);
    if (!rc && damaged.msg[0])
        dm_session_log(&r->s, DM_LOG_WARNING, "the newest checkpoint is damaged, an older one is used: %s",
                       damaged.msg);
    if (rc || (rc = dm_checkpoint_list(r->dir, &r->newer, &r->n_newer, err)))
        return rc;
    while (r->n_newer && r->newer[r->n_newer - 1] <= r->from_step)
        r->n_newer--;
    return DM_OK;
}

dm_status dm_running_load(dm_training *r, dm_err *err)
{
    const int64_t steps = r->s.experiment->train.steps;
    const char *sum, *since;
    uint32_t bits;
    int64_t loss_steps;
    float loss_sum;
    dm_status rc;

    if (!r->from)
        return DM_OK;
    if ((rc = dm_checkpoint_load(r->from, dm_trainer_state(r->trainer), err)))
        return rc;
    sum = dm_st_meta(r->from, "loss_sum");
    since = dm_st_meta(r->from, "loss_steps");
    if (!sum || !since)
        return dm_error(err, DM_ECORRUPT, "'%s' is not a checkpoint of a training run: it has no loss_sum",
                        dm_st_path(r->from));
    bits = (uint32_t)strtoul(sum, NULL, 16);
    memcpy(&loss_sum, &bits, sizeof loss_sum);
    if (dm_number_int(since, &loss_steps) || loss_steps < 0 || loss_steps > r->from_step)
        return dm_error(err, DM_ECORRUPT, "'%s': loss_steps is '%.40s'; it must be from 0 to the step, %lld",
                        dm_st_path(r->from), since, (long long)r->from_step);
    if ((rc = dm_trainer_set_sums(r->trainer, loss_sum, loss_steps, err)))
        return rc;
    dm_session_log(&r->s, DM_LOG_INFO, "resuming at step %lld", (long long)r->from_step);
    if (r->from_step >= steps)
        dm_session_log(&r->s, DM_LOG_WARNING, "all %lld steps of train.steps are already done; set a larger "
                                              "train.steps to continue",
                       (long long)steps);
    return DM_OK;
}

/* ---- weights to start from ------------------------------------------------------------ */

/* The raw weights and every average begin with these, the first average of what is there. */
dm_status dm_running_use_start(dm_training *r, dm_err *err)
{
    dm_train_state *state = dm_trainer_state(r->trainer);
    const bool nan = r->s.experiment->run.allow_nan;
    const char *prefix;
    dm_session *s = &r->s;
    dm_status rc;

    /* One that was to go on, and had not begun, has it still to open. */
    if (!s->start && ((rc = dm_session_open_start(s, err)) || (rc = dm_session_start_fits(s, state->layout, err))))
        return rc;
    if (!s->start)
        return DM_OK;
    prefix = dm_session_prefix(s->start, false);
    rc = dm_checkpoint_load_weights(s->start, prefix, nan, state->model, err);
    for (int i = 0; i < state->n_ema && !rc; i++)
        rc = dm_checkpoint_load_weights(s->start, prefix, nan, state->ema[i], err);
    if (!rc)
        dm_session_log(s, DM_LOG_INFO, "weights from %s", dm_st_path(s->start));
    return rc;
}
