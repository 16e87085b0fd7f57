/* Training: the loop over steps on one device, with its run folder. */
#ifndef DEMIST_CORE_TRAINER_H
#define DEMIST_CORE_TRAINER_H

#include "session/session.h"
#include "comm/share.h"

typedef struct dm_trainer dm_trainer;

/* Memory, plans and initial weights of an opened session; micro: examples at once (0 = what fits). All ranks of the
 * session make theirs together. */
dm_status dm_trainer_new(dm_session *s, int64_t micro, dm_trainer **out, dm_err *err);
void dm_trainer_free(dm_trainer *t);
dm_train_state *dm_trainer_state(dm_trainer *t);
int64_t dm_trainer_micro_batch(const dm_trainer *t);
dm_plan *dm_trainer_plan(dm_trainer *t);

/* The examples of each batch that are this rank's. */
dm_share dm_trainer_share(const dm_trainer *t);
/* Seconds of each step in which noise is given to examples, on the host: estimated; 0 = it is not. */
double dm_trainer_coupling(const dm_trainer *t);
/* For a measurement: it is not, from now on. */
void dm_trainer_uncouple(dm_trainer *t);
/* Those that it is given: its share, or all of them where they are coupled. */
dm_share dm_trainer_given(const dm_trainer *t);

/* One optimizer step of one rank alone: what follows, at once. x0 f32[given,...], labels i32[given] or NULL. */
dm_status dm_trainer_step(dm_trainer *t, const float *x0, const int32_t *labels, dm_err *err);
/* The gradients of this rank's share of a batch. Waits every half a second of work,
 * and where noise levels are drawn by losses for the step before, whose losses it reads: DM_EDIVERGED if that diverged.
 * DM_ECANCELLED where a stop is wanted and the rest of the step would take seconds: all is as before the step. */
dm_status dm_trainer_gradients(dm_trainer *t, const float *x0, const int32_t *labels, dm_err *err);
/* Their sum over all ranks, which must have succeeded, and the optimizer's step. */
dm_status dm_trainer_update(dm_trainer *t, dm_err *err);
/* All as before the step, in place of the update. */
dm_status dm_trainer_abandon(dm_trainer *t, dm_err *err);
/* Before a step: where ranks are unlike fast, their shares of the batch may change. Of all ranks. */
dm_status dm_trainer_balance(dm_trainer *t, bool *changed, dm_err *err);
int64_t dm_trainer_part(const dm_trainer *t, int rank); /* examples of a rank's share */
/* The first average as all are to have it, where devices are unlike and theirs may differ, or where each has a part of
 * it: before all use it together. Of all ranks. */
dm_status dm_trainer_align(dm_trainer *t, dm_err *err);
/* Before rank 0 saves the state: what it has a part of alone; until collected. Of all ranks. */
dm_status dm_trainer_collect(dm_trainer *t, dm_err *err);
void dm_trainer_collected(dm_trainer *t);
/* What the last step leaves for the next, taken into the state: before it is saved. */
dm_status dm_trainer_drain(dm_trainer *t, dm_err *err);

/* What came together since the last call; waits. DM_EDIVERGED where a gradient was not finite: the weights
 * are those before that step. */
typedef struct dm_train_numbers {
    double loss, grad_norm;
    double reduce_seconds;         /* of a step: the sum over ranks, with the wait for slower ones; 0 for one rank */
    double reduce_hidden;          /* of that, while this rank's device was at work */
    int64_t steps;
} dm_train_numbers;
dm_status dm_trainer_numbers(dm_trainer *t, dm_train_numbers *n, dm_err *err);
/* DM_EDIVERGED where a gradient was not finite, as above, resetting nothing; waits. */
dm_status dm_trainer_check(dm_trainer *t, int64_t *bad_step, dm_err *err);
/* Runs a step's forward and backward pass again, from what this rank is given of it, and names the first tensor that is
 * not finite; false if all were. */
bool dm_trainer_find_nonfinite(dm_trainer *t, int64_t step, const float *x0, const int32_t *labels, char *what,
                               size_t size, dm_err *err);
/* The sums behind dm_trainer_numbers, to save and restore with a checkpoint. */
dm_status dm_trainer_get_sums(dm_trainer *t, float *loss_sum, int64_t *steps, dm_err *err);
dm_status dm_trainer_set_sums(dm_trainer *t, float loss_sum, int64_t steps, dm_err *err);

#endif
