/* What a training run will take: time, measured by a few steps, and disk space. */
#ifndef DEMIST_CORE_ESTIMATE_H
#define DEMIST_CORE_ESTIMATE_H

#include "train/trainer.h"

typedef struct dm_step_time { double seconds; int64_t steps; } dm_step_time; /* of one; measured on so many */

/* The experiment's first steps, awaited: one to compile and to fill caches, then as many as take a quarter of a second,
 * one at least. The trainer's weights change. DM_ECANCELLED where a stop is wanted. */
dm_status dm_estimate_step(dm_session *s, dm_trainer *t, dm_step_time *out, dm_err *err);

typedef struct dm_run_disk {
    int64_t checkpoint, checkpoints; /* bytes of one, and how many there are at most, that which is being written too */
    int64_t all;                   /* with the log and samples: bytes at most */
    int64_t available;                /* free where the run will lie; -1 = unknown */
} dm_run_disk;

dm_run_disk dm_estimate_disk(const dm_session *s, const dm_layout *l);

#endif
