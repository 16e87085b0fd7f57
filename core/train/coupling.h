/* Which noise goes to which example of a batch (objective.coupling): the noise of a step is what it is without, given
 * to the examples anew, so that it lies near them. Of the whole batch of an optimizer step, on the host; knows no
 * device. */
#ifndef DEMIST_CORE_COUPLING_H
#define DEMIST_CORE_COUPLING_H

#include "settings/settings.h"
#include "base/assignment.h"

typedef struct dm_coupling dm_coupling;

/* kind: DM_COUPLING_IMMISCIBLE or _OT; examples of `example` elements each. */
dm_status dm_coupling_new(int32_t kind, int64_t batch, int64_t example, uint64_t seed, dm_coupling **out, dm_err *err);
void dm_coupling_free(dm_coupling *c);
/* Seconds that a step's coupling takes: those of a part of a batch, measured, and what they grow with. */
dm_status dm_coupling_time(const dm_coupling *c, double *seconds, dm_err *err);
/* From now on noise stays in the order of drawing: for the time of all else. */
void dm_coupling_skip(dm_coupling *c);
/* For the batch x0 f32[batch,example] of a step: its noise f32[batch,example], valid until the next call. stop may be
 * NULL. */
dm_status dm_coupling_noise(dm_coupling *c, int64_t step, const float *x0, const dm_assignment_stop *stop,
                            const float **noise, dm_err *err);
/* The same noise before it is given to the examples: as dm_launch_randn draws it. */
void dm_coupling_draw(uint64_t seed, int64_t step, int64_t batch, int64_t example, float *noise);

#endif
