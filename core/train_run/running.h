/* A training run at work: shared by the files of this folder, nobody else's. */
#ifndef DEMIST_CORE_RUNNING_H
#define DEMIST_CORE_RUNNING_H

#include "data/fingerprint.h"
#include "run/run_log.h"
#include "train_run/train_run.h"
#include "train/trainer.h"

struct dm_training {
    dm_train_options o; /* the caller's; what it points to only until it is open */
    dm_session s;
    dm_comm *comm;                 /* the ranks that train together; rank 0 alone has a run folder */
    bool stop;                     /* a rank was asked to stop, as all know */
    bool data_failed;              /* a rank's data could not be read: what is learned is saved */
    dm_run *folder;
    dm_run_log *numbers;
    dm_tb *events;
    dm_trainer *trainer;
    dm_validation *validation;     /* NULL where none is asked for */
    double best;                   /* the least held-out loss so far; NaN before */
    const char *dir;
    dm_experiment *before;         /* as the run began, where something of it holds */
    float *x0;
    int32_t *labels;
    dm_fingerprint data, held_out; /* of the training and test splits; held_out only where the loss on it is measured */
    char renumbered[256];          /* since when class numbers mean something else; "" where they do not */
    bool resumed;
    bool other_held_out;           /* than those of the best loss so far */
    dm_st *from;                   /* the checkpoint that it goes on from; NULL where there is none */
    int64_t from_step;
    int64_t *newer;                /* steps of checkpoints above it that were there, newest first: never removed */
    int n_newer;
    int64_t saved;                 /* the last step that needs no checkpoint: it has one, or training began there */
    double loss, grad_norm, rate;  /* the last that were logged; NaN before */
    double since;                  /* when it was */
    int64_t since_step;            /* and at which step */
};

/* Whether this rank is the one that writes. */
static inline bool dm_running_first(const dm_training *r) { return r->comm->rank == 0; }
/* DM_EINVAL where a rank has another experiment, other plugins, data or another demist than rank 0: what differs. */
dm_status dm_running_same(dm_training *r, dm_err *err);
/* Who trains where, and which devices are shared, as log lines of rank 0. */
dm_status dm_running_say_ranks(dm_training *r, dm_err *err);

/* A checkpoint of the step that it is at; never of what diverged. best: the held-out loss of a checkpoint that is kept
 * as the best one; NULL: one of the last. */
dm_status dm_running_save(dm_training *r, const double *best, dm_err *err);
/* The same of all ranks together, by rank 0, a checkpoint of the last. */
dm_status dm_running_save_all(dm_training *r, dm_err *err);
/* The newest whole checkpoint of the run folder as r->from, with its step; NULL where there is none yet, and none can
 * be lost. Nothing in the folder is changed. */
dm_status dm_running_find(dm_training *r, dm_err *err);
/* Back to it; where there is none, to the beginning. */
dm_status dm_running_load(dm_training *r, dm_err *err);

/* What is kept of the data in each checkpoint, and what it is compared with when the run goes on. DM_EINVAL where they
 * are others and dm_train_options.data_changed does not say so, or where the learning rate of a decay would jump, since
 * it was to last for other train.steps. */
dm_status dm_running_know_data(dm_training *r, dm_err *err);
dm_status dm_running_compare(dm_training *r, dm_err *err);
/* Of the held-out data, where they are not known yet. */
dm_status dm_running_know_held_out(dm_training *r, dm_err *err);
enum { DM_RUNNING_DATA_PAIRS = 4 };
void dm_running_data_pairs(const dm_training *r, dm_st_pair pairs[DM_RUNNING_DATA_PAIRS]);

/* SHA-256 of a plugin's file; "" where it cannot be read. */
typedef struct dm_file_hash { char text[65]; } dm_file_hash;
dm_file_hash dm_running_hash(const char *file);

struct json_t;

/* The plugins of the run, each with its kind, name, version, file and SHA-256, after dm_json_begin; and a warning for
 * each that is another than env.json has. */
struct json_t *dm_running_plugins(const dm_training *r);
void dm_running_warn_of_plugins(const dm_training *r, const struct json_t *now);

/* The raw weights and every average begin with these, the first average of what is there. */
dm_status dm_running_use_start(dm_training *r, dm_err *err);

/* Of all ranks together, as is the measurement. */
dm_status dm_running_open_validation(dm_training *r, dm_err *err);
/* The held-out loss; NaN where it is not finite, which is no reason to end. */
dm_status dm_running_validate(dm_training *r, double *loss, dm_err *err);

static inline dm_status dm_running_no_training(dm_err *err)
{
    return dm_error(err, DM_EINVAL, "the training is NULL; dm_training_open makes one");
}

static inline bool dm_running_cancelled(const dm_training *r)
{
    return r->s.callbacks.cancelled && r->s.callbacks.cancelled(r->s.callbacks.user);
}

/* Every so many steps, and after the last. */
static inline bool dm_running_due(int64_t every, int64_t step, int64_t steps)
{
    return (every > 0 && step % every == 0) || step == steps;
}

#endif
