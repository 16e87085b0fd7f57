/* Images from a model and a set of weights, in batches: what dm_sample and the grids of training share. */
#ifndef DEMIST_CORE_SAMPLE_JOB_H
#define DEMIST_CORE_SAMPLE_JOB_H

#include "model/sampling.h"
#include "session/session.h"

typedef struct dm_sample_job {
    int64_t count, first_index;
    const float *noise, *z;        /* as dm_sample_options has them */
    int64_t draws;
    const int32_t *labels;
    void (*trace)(void *user, int32_t i, int32_t n, int64_t first, int64_t n_images, int64_t count, int64_t example,
                  const float *x);
    void *trace_user;
    bool progress;
} dm_sample_job;

/* x f32[count,...]; steps and evaluations may be NULL. Asks whether it is cancelled between steps. */
dm_status dm_draw_images(dm_session *s, dm_wset *weights, const dm_sample_job *d, float *x, int32_t *steps,
                         int64_t *evaluations, dm_err *err);

#endif
