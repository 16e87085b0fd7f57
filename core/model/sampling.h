/* Sampling: a sampler plugin walking a grid on a device, with the host's part of each prediction: the
 * objective's meaning of the output, clipping, noise, counting. */
#ifndef DEMIST_CORE_SAMPLING_H
#define DEMIST_CORE_SAMPLING_H

#include "model/guiding.h"
#include "noise/noise.h"

/* The network: *F f32[n,out_channels,...], valid until the next call, from x f32[n,...], at the same point for all n.
 */
typedef dm_status (*dm_forward_fn)(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F,
                                   dm_err *err);

/* Each `length` steps of the walk, and those that are left at its end, are taken `times` times: after each time but the
 * last, x gets the noise of where they began (Lugmayr et al. 2022). Zeroed: once. */
typedef struct dm_jumps { int32_t length, times; } dm_jumps;

typedef struct dm_sampling_setup {
    const dm_experiment *experiment; /* its sampler section and settings */
    const dm_noise *noise;
    dm_device *device;
    dm_instance *objective;        /* affine and log_var */
    const dm_data_info *data;      /* shape and range of an example */
    int32_t out_channels;
    int64_t n;                     /* images at once */
    double left_out;               /* the walk begins at the point nearest to (1 - left_out) T */
    bool inverts;                  /* it goes from data to noise */
    dm_jumps jumps;                /* for samplers whose steps are those of the grid */
    dm_forward_fn forward;
    dm_guesses_fn guesses;         /* NULL: without guidance, whatever the experiment says */
    dm_guiding_facts can;          /* what it may ask of that */
    void *user;
    bool says;                     /* what the sampler's check() writes to the log is wanted: once for a sampler */
} dm_sampling_setup;

typedef struct dm_sampling dm_sampling;

/* Makes the grid, asks the sampler's check(), allocates. */
dm_status dm_sampling_new(const dm_sampling_setup *s, dm_sampling **out, dm_err *err);
void dm_sampling_free(dm_sampling *s);
/* Whether guidance and sampler fit, for a sampling that has no device, with `can` set; the message is that of the
 * section guidance. With a device dm_sampling_new asks. */
dm_status dm_sampling_check_guidance(dm_sampling *s, dm_err *err);
const dm_walk *dm_sampling_walk(const dm_sampling *s);
/* Where x is in a run, for dm_sampling_run_options.step. */
const dm_point *dm_sampling_at(const dm_sampling *s);
int64_t dm_sampling_evaluations(const dm_sampling *s);
/* Steps that the last run took, each as often as it did: those of the walk, unless the sampler chooses its own. */
int32_t dm_sampling_steps(const dm_sampling *s);
/* How much of the run at work is done, 0 to 1. */
double dm_sampling_progress(const dm_sampling *s);
/* How many times an error of the network's output grows in the first prediction of x0; 0 where x0 is clipped. */
double dm_sampling_amplification(dm_sampling *s);
/* Step i as a Gaussian p(x_to | x) around the posterior's mean: its ln variance is k[0] + k[1] V, V of the network's
 * output; k[1] = 0 where it is fixed. DM_EINVAL where the sampler's steps are none. */
dm_status dm_sampling_log_var(dm_sampling *s, int32_t i, double k[2], dm_err *err);

typedef struct dm_sampling_run_options {
    int64_t first_index;           /* of the first of the n images: what its noise depends on */
    const float *noise;            /* f32[n,...]: x at the noisiest point; NULL = drawn */
    const float *z;                /* f32[draws,z_count,...], of which images z_first.. are these n; NULL = drawn */
    int64_t draws, z_count, z_first;
    /* After i of n steps (i = 0: the noise), with x on the device; may be NULL. Anything but DM_OK stops the run. */
    dm_status (*step)(void *user, int32_t i, int32_t n, dm_buf *x, dm_err *err);
    void *step_user;
    bool check_steps;              /* look at x after each step, which waits for the device: DM_EDIVERGED names it */
} dm_sampling_run_options;

/* x f32[n,...] comes back in host memory. DM_EDIVERGED names the first image that is not finite. With too few draws
 * in z it fails before any work, and says how many are needed. */
dm_status dm_sampling_run(dm_sampling *s, const dm_sampling_run_options *o, float *x, dm_err *err);

/* What `clip` says: DM_EINVAL where it is none of auto, off, dynamic or a number above 0. limit 0 = off. */
dm_status dm_sampling_clip(const dm_set_sampler *set, const dm_data_info *data, double *limit, bool *dynamic,
                           dm_err *err);
/* Is what a sampler wants of a prediction possible? Each tensor is there, and neither x nor another: the kernel reads x
 * while it writes them. */
dm_status dm_sampling_check_wanted(const dm_tensor *x, const dm_point *p, const dm_pred *want, dm_err *err);

#endif
