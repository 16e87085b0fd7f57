/* The sum of the ranks' gradients, and of a few numbers beside them, bucket by bucket through the host. */
#ifndef DEMIST_CORE_REDUCER_H
#define DEMIST_CORE_REDUCER_H

#include "comm/comm.h"
#include "device/device.h"

typedef struct dm_reducer dm_reducer;

typedef struct dm_reducer_setup {
    dm_comm *comm;
    dm_buf *grads;                 /* f32[count], of this rank's examples; afterwards of all */
    size_t count, numbers;         /* numbers: how many there are beside them */
    /* Sums are taken micro-batch by micro-batch, in an order that the micro-batches alone decide: neighbours, then
     * neighbours of these, ... (a binary tree over their numbers in the batch). */
    bool fixed;
    bool bf16;                     /* gradients are sent as bf16; without fixed */
    int64_t (*micros)(const void *user, int rank); /* how many a rank has; for fixed */
    const void *user;
} dm_reducer_setup;

dm_status dm_reducer_new(const dm_reducer_setup *s, dm_reducer **out, dm_err *err);
void dm_reducer_free(dm_reducer *r);
bool dm_reducer_fixed(const dm_reducer *r);
/* f32[numbers], to be written before dm_reducer_add or, without fixed, dm_reducer_run; after that, the sums. */
float *dm_reducer_numbers(dm_reducer *r);
/* With fixed, after each micro-batch: takes what is in grads, which is to be zero before the next. */
dm_status dm_reducer_add(dm_reducer *r, dm_err *err);
/* Forgets what was added. */
void dm_reducer_drop(dm_reducer *r);
/* All ranks; waits. */
dm_status dm_reducer_run(dm_reducer *r, dm_err *err);

#endif
