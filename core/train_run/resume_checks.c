/* Whether what a run goes on with is what it was trained on so far: its data, and how long it was to last; see
 * running.h. */
#include "train_run/running.h"

#include "train/training.h"
#include "session/data_meta.h"

#include <stdlib.h>
#include <string.h>

dm_status dm_running_know_held_out(dm_training *r, dm_err *err)
{
    dm_eval_data *test = NULL;
    dm_status rc;

    if (*r->held_out.text)
        return DM_OK;
    if (!(rc = dm_eval_data_open(&r->s, "test", &test, err)))
        rc = dm_fingerprint_make(dm_eval_data_of(test), &r->held_out, err);
    dm_eval_data_close(test);
    return rc;
}

dm_status dm_running_know_data(dm_training *r, dm_err *err)
{
    const dm_status rc = dm_fingerprint_make(r->s.examples, &r->data, err);

    return rc || !r->s.experiment->train.validate_every ? rc : dm_running_know_held_out(r, err);
}

void dm_running_data_pairs(const dm_training *r, dm_st_pair pairs[DM_RUNNING_DATA_PAIRS])
{
    pairs[0] = (dm_st_pair){DM_DATA_FINGERPRINT, r->data.text};
    pairs[1] = (dm_st_pair){DM_CLASS_NAMES, r->data.classes};
    pairs[2] = (dm_st_pair){DM_CLASSES_CHANGED, r->renumbered};
    pairs[3] = (dm_st_pair){DM_TEST_FINGERPRINT, r->held_out.text};
}

/* Refused, or, where it was asked for, said. */
static dm_status other_data(const dm_training *r, const char *split, const char *what, dm_err *err)
{
    if (!r->o.data_changed)
        return dm_error(err, DM_EINVAL,
                        "the %s data differ from those that the run in '%s' was trained on: %s; restore them, or set "
                        "data_changed (--data-changed) to continue",
                        split, r->dir, what);
    dm_session_log(&r->s, DM_LOG_WARNING, "the %s data have changed: %s", split, what);
    return DM_OK;
}

static dm_status compare_held_out(dm_training *r, const dm_st *f, dm_err *err)
{
    const char *before = dm_st_meta(f, DM_TEST_FINGERPRINT);
    char what[256];

    if (!before || !*before || !*r->held_out.text ||
        dm_fingerprint_same(&r->held_out, before, r->held_out.classes, what, sizeof what))
        return DM_OK;
    r->other_held_out = true;
    return other_data(r, "held-out", what, err);
}

static dm_status compare_data(dm_training *r, const dm_st *f, dm_err *err)
{
    const char *before = dm_st_meta(f, DM_DATA_FINGERPRINT), *classes = dm_st_meta(f, DM_CLASS_NAMES),
               *renumbered = dm_st_meta(f, DM_CLASSES_CHANGED);
    char what[256];
    dm_status rc;

    snprintf(r->renumbered, sizeof r->renumbered, "%s", renumbered ? renumbered : "");
    if (!before) {
        dm_session_log(&r->s, DM_LOG_INFO,
                       "'%s' has no record of the data it was trained on; its next checkpoints will", r->dir);
        return DM_OK;
    }
    if (!dm_fingerprint_same(&r->data, before, classes, what, sizeof what)) {
        if ((rc = other_data(r, "training", what, err)))
            return rc;
        if (dm_fingerprint_renumbered(r->data.classes, classes ? classes : "", what, sizeof what))
            snprintf(r->renumbered, sizeof r->renumbered, "at step %lld: %.200s",
                     (long long)r->from_step, what);
    }
    return compare_held_out(r, f, err);
}

/* train.steps of a resolved experiment; 0 where it cannot be told. */
static int64_t steps_of(const char *resolved)
{
    const char *train = resolved ? strstr(resolved, "\ntrain:\n") : NULL, *steps = train ? strstr(train, "\n  steps: ")
                                                                                       : NULL;

    return steps ? strtoll(steps + strlen("\n  steps: "), NULL, 10) : 0;
}

static dm_status compare_decay(const dm_training *r, const dm_st *f, dm_err *err)
{
    const dm_set_train *is = &r->s.experiment->train;
    const int64_t step = r->from_step;
    dm_set_train was = *is;

    was.steps = steps_of(dm_st_meta(f, "experiment"));
    if (is->decay == DM_DECAY_CONSTANT || was.steps == is->steps || was.steps < 1 || step <= is->warmup ||
        step >= is->steps)
        return DM_OK;
    return dm_error(err, DM_EINVAL,
                    "train.steps is %lld and was %lld: with train.decay: %s the learning rate, %g at step %lld, would "
                    "jump to %g; leave train.steps as it was, or begin another run from these weights with "
                    "train.from: %s",
                    (long long)is->steps, (long long)was.steps, is->decay == DM_DECAY_COSINE ? "cosine" : "linear",
                    dm_train_lr(&was, step - 1), (long long)step, dm_train_lr(is, step), r->dir);
}

dm_status dm_running_compare(dm_training *r, dm_err *err)
{
    const dm_status rc = r->from ? compare_data(r, r->from, err) : DM_OK;

    return rc || !r->from ? rc : compare_decay(r, r->from, err);
}
