/* What the noise process keeps, for the files that make it and walk it. A discrete schedule is kept as ln alpha. */
#ifndef DEMIST_CORE_NOISE_PROCESS_H
#define DEMIST_CORE_NOISE_PROCESS_H

#include "noise/noise.h"
#include "plugin/instance.h"

#include <math.h>

struct dm_noise {
    int32_t T;
    bool discrete;
    double *beta, *log_alpha;      /* of t in [0,T]; beta[0] is not used */
    dm_services services;
    dm_instance schedule;
};

/* t = 0. */
static const dm_point dm_noise_data = {0, 1, 0, INFINITY};

#endif
