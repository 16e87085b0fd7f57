/* What the files of sampling share; see sampling.h. */
#ifndef DEMIST_CORE_SAMPLING_STATE_H
#define DEMIST_CORE_SAMPLING_STATE_H

#include "model/sampling.h"

#include "plugin/instance.h"

enum { DM_MAX_SCRATCH = 64 };

struct dm_sampling {
    dm_sampling_setup setup;
    dm_services services;
    dm_instance sampler;
    dm_guiding *guiding;           /* NULL without */
    bool reads_eps;                /* the sampler did, in the last walk */
    dm_walk grid;
    dm_step step;
    dm_tensor x, scratch[DM_MAX_SCRATCH];
    dm_buf *kept[DM_MAX_SCRATCH]; /* the scratch of the last walk, for the next that asks for as much */
    int n_scratch;
    dm_buf *spare;                 /* with dynamic clipping, an x0 that nobody asked for; with jumps, their noise */
    int64_t inner;                 /* elements of an example */
    double limit;
    bool dynamic;
    /* of the run */
    dm_sampling_run_options run;
    uint32_t call;                 /* of step() */
    int32_t taken;                 /* of the grid's steps, where the walk is */
    int32_t made, passes;          /* steps in all; how often those before the next jump were taken */
    dm_point at, next;             /* of an adaptive sampler */
    int64_t drawn, evaluations;
    float *host;                   /* one draw of given noise */
    dm_buf *square_sums;           /* f32[n], for rms */
    double *each;                  /* f64[n], as rms gives it */
    bool measures;                 /* rms was called while counting */
};

/* What a walk asked for is not its successor's, which has to ask again. */
void dm_sampling_take_scratch(dm_sampling *s);
/* Those that a run takes, each as often as it is taken. */
int32_t dm_sampling_all_steps(const dm_sampling *s);
/* Steps from s->x to the end of the walk. */
dm_status dm_sampling_take_steps(dm_sampling *s, dm_err *err);
/* The first image of x in host memory that is not finite: -1 if there is none. */
int64_t dm_sampling_not_finite(const dm_sampling *s, const float *x);
/* The name of the guidance plugin, "none" without one: for messages. */
const char *dm_sampling_guidance(const dm_sampling *s);
/* What walks need besides: the memory of rms, and the call itself. */
dm_status dm_sampling_open_rms(dm_sampling *s, dm_err *err);
void dm_sampling_close_rms(dm_sampling *s);

#endif
