/* What the cost model needs of an experiment, looked up and measured on the device at hand; see scaling.h. */
#ifndef DEMIST_CORE_SCALING_MEASURE_H
#define DEMIST_CORE_SCALING_MEASURE_H

#include "session/session.h"
#include "train/scaling.h"

typedef struct dm_scaling_facts {
    dm_scaling model;              /* all but `each`, bandwidth and latency */
    int64_t parameters, steps, checkpoint; /* checkpoint: bytes */
    double flops;                  /* of an example, forward, backward and what is recomputed */
    char device[256];              /* whose memory and times they are */
    int64_t measured[2];           /* the batches that the times are of; 0 where they are not measured */
} dm_scaling_facts;

/* speed: FLOP/s of a rank's device, from which the time of an example follows; 0: steps of the whole batch and of one
 * example are timed, and what they have in common is the time of a step. */
dm_status dm_scaling_measure(const char *experiment, const char *const *overrides, int n, double speed,
                             const dm_callbacks *cb, dm_scaling_facts *out, dm_err *err);

#endif
