/* A training run at work: shared by the files that make it (train_run.c, train_checkpoints.c), nobody else's business.
 */
#ifndef DEMIST_CORE_RUNNING_H
#define DEMIST_CORE_RUNNING_H

#include "run/run_log.h"
#include "train/train_run.h"
#include "train/trainer.h"

typedef struct dm_running {
    const dm_train_options *o;
    dm_session s;
    dm_run *folder;
    dm_run_log *numbers;
    dm_tb *events;
    dm_trainer *trainer;
    dm_validation *validation;     /* NULL where none is asked for */
    double best;                   /* the least held-out loss so far */
    const char *dir;
    char *word;                    /* dir for a shell */
    float *x0;
    int32_t *labels;
    bool resumed;
    int64_t saved;                 /* the last step that needs no checkpoint: it has one, or training began there */
    double loss;                   /* the last that was logged */
    double since;                  /* when it was */
} dm_running;

/* A checkpoint of the step that it is at; never of what diverged. best: the held-out loss of a checkpoint that is kept
 * as the best one; NULL: one of the last. */
dm_status dm_running_save(dm_running *r, const double *best, dm_err *err);
/* Back to the newest whole checkpoint of the run folder; where there is none, and none can be lost, to the beginning.
 */
dm_status dm_running_load(dm_running *r, dm_err *err);
/* The raw weights and every average begin with these, the first average of what is there. */
dm_status dm_running_use_start(dm_running *r, dm_err *err);

#endif
