/* The sum of the ranks' gradients, and of a few numbers beside them, bucket by bucket through the host: each is read as
 * soon as the backward pass has completed it, and summed while the device does the rest. */
#ifndef DEMIST_CORE_REDUCER_H
#define DEMIST_CORE_REDUCER_H

#include "comm/comm.h"
#include "device/device.h"
#include "plan/plan.h"

typedef struct dm_reducer dm_reducer;

typedef struct dm_reducer_setup {
    dm_comm *comm;
    dm_buf *grads;                 /* f32[count], of this rank's examples; afterwards of all */
    size_t count, numbers;         /* numbers: how many there are beside them */
    bool fixed;                    /* sums are taken micro-batch by micro-batch, in micro_sums.h's order */
    bool bf16;                     /* gradients are sent as bf16; without fixed */
    int64_t (*micros)(const void *user, int rank); /* how many a rank has; for fixed */
    const void *user;
} dm_reducer_setup;

dm_status dm_reducer_new(const dm_reducer_setup *s, dm_reducer **out, dm_err *err);
void dm_reducer_free(dm_reducer *r);
bool dm_reducer_fixed(const dm_reducer *r);
/* By this plan the gradients are made; all ranks. */
dm_status dm_reducer_follow(dm_reducer *r, const dm_plan *p, dm_err *err);
/* f32[numbers], to be written before dm_reducer_add and dm_reducer_run_numbers; after the latter, the sums. */
float *dm_reducer_numbers(dm_reducer *r);
/* With fixed, after each micro-batch but a rank's last: takes what is in grads, which is to be zero before the next. */
dm_status dm_reducer_add(dm_reducer *r, dm_err *err);
/* Whom the last one's run is to tell how far it is. */
dm_status dm_reducer_watch(dm_reducer *r, const dm_plan_watch **out, dm_err *err);
/* Forgets what was added or is being read. */
void dm_reducer_drop(dm_reducer *r);

/* Seconds of sums, with the wait for slower ranks; of these, while this rank's device was still at work. */
typedef struct dm_reduce_time { double sum, hidden; } dm_reduce_time;
/* The gradients, once the watched run is enqueued; then the numbers. All ranks; waits for the device. */
dm_status dm_reducer_run(dm_reducer *r, dm_reduce_time *spent, dm_err *err);
dm_status dm_reducer_run_numbers(dm_reducer *r, dm_err *err);

#endif
