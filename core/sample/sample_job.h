/* Images from a model and a set of weights, in batches: what dm_model_sample and the grids of training share. */
#ifndef DEMIST_CORE_SAMPLE_JOB_H
#define DEMIST_CORE_SAMPLE_JOB_H

#include "comm/share.h"
#include "model/forwards.h"
#include "sample/edit.h"
#include "session/session.h"

typedef struct dm_sample_job {
    int64_t count, first_index;
    const float *noise, *z;        /* as dm_sample_options has them */
    int64_t draws;
    const int32_t *labels;
    const dm_condition_batch *conditions;     /* of `count` images; NULL where the network has none */
    const dm_editing *editing;     /* as the sampler was made for; NULL without */
    void (*trace)(void *user, const dm_trace_info *t);
    void *trace_user;
    bool progress;
    dm_comm *comm;                 /* ranks that draw a part each, of one job, and all get the whole; NULL = alone */
} dm_sample_job;

/* Which of a job's images this rank draws. */
dm_share dm_sample_share(const dm_sample_job *job);

/* Set up for so many images by s->experiment as it is now, which must outlive it, and used as often as wanted. what:
 * an editing, of which strength, direction and whether there is a mask must be the same in each use; NULL without. */
typedef struct dm_image_sampler dm_image_sampler;
dm_status dm_image_sampler_new(dm_session *s, dm_forwards *f, int64_t count, const dm_editing *what,
                               dm_image_sampler **out, dm_err *err);
void dm_image_sampler_free(dm_image_sampler *p);
/* Would a new one for so many images, by s->experiment as it is now, be the same? */
bool dm_image_sampler_serves(const dm_image_sampler *p, int64_t count, const dm_editing *what);
/* x f32[count,...]; steps (of the batch with the most) and evaluations may be NULL. Asks whether it is cancelled
 * between steps. */
dm_status dm_image_sampler_draw(dm_image_sampler *p, const dm_sample_job *job, float *x, int32_t *steps,
                                int64_t *evaluations, dm_err *err);

/* All of this once; where the job has ranks, by all of them, and it fails on all. */
dm_status dm_draw_images(dm_session *s, dm_wset *weights, const dm_sample_job *job, float *x, int32_t *steps,
                         int64_t *evaluations, dm_err *err);

#endif
