/* A trainer's parts, for the files that make it and that run it, nobody else's; see trainer.h. */
#ifndef DEMIST_CORE_TRAINER_PARTS_H
#define DEMIST_CORE_TRAINER_PARTS_H

#include "comm/share.h"
#include "train/balance.h"
#include "device/kernels.h"
#include "train/coupling.h"
#include "train/reducer.h"
#include "train/trainer.h"

struct dm_trainer {
    dm_session *session;
    const dm_set_train *set;
    dm_train_state state;
    dm_buf *grads, *loss_sum;
    dm_optimizer *optimizer;
    dm_grad_step *grad;
    dm_comm *comm;
    dm_reducer *reducer;           /* NULL: this rank is alone */
    dm_reduce_time reduce;         /* of the sums over ranks since the numbers were last read */
    int64_t reduced;               /* how many */
    bool unlike;                   /* ranks have different devices */
    float sum;                     /* with a reducer: the sum of losses of all ranks, in place of loss_sum */
    int64_t batch, micro;          /* of all ranks, of one plan */
    int64_t *parts;                /* of the batch, examples of each rank */
    bool weighted;                 /* they are in proportion to speed, or as the experiment says */
    dm_share share, given;         /* examples of the batch that are this rank's, that it is given */
    dm_balance balance;
    double fit_seconds;            /* that the plan took to make */
    dm_point *at;
    double *u, *importance, *weight;
    /* With noise levels drawn by losses: of the last step, its numbers in (0,1), their weights, its losses. */
    double *drawn, *drawn_weight;
    dm_buf *losses;
    float *seen;
    bool unseen;                   /* losses are there that state.importance has not seen */
    float *x0, *padded_noise;      /* a micro-batch, padded */
    dm_coupling *coupling;         /* NULL: noise is drawn on the device */
    double coupling_seconds;       /* of a step, estimated */
    const float *noise;            /* of the step at work, f32[batch,...] */
    int32_t *labels, *labels_read;
    dm_condition_batch conditions;            /* of a micro-batch */
    int64_t example;               /* elements of one example */
    int64_t since;                 /* steps since the numbers were last read */
    dm_buf *sum_before;            /* loss_sum before the step at work, where that has several micro-batches */
    int64_t ahead, most_ahead;     /* micro-batches the device was given and may not have done; how many may be */
    double ahead_since;
};

/* trainer_new.c: parts as they are now, and all that was made for others. All ranks. */
dm_status dm_trainer_reshare(dm_trainer *t, dm_err *err);

#endif
