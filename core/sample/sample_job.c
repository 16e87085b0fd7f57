/* Images in batches; see sample_job.h. */
#include "sample/sample_job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct drawer {
    dm_session *s;
    const dm_sample_job *d;
    dm_forward *forward;
    dm_sampling *sampling;
    int64_t n, example, first;     /* images at once; elements of one; first of this batch, counted from 0 */
    double *c_in, *c_noise;
    int32_t *labels;
    float *x;                      /* a batch */
    int32_t steps;
} drawer;

static dm_status network(void *user, dm_buf *x, double c_in, double c_noise, dm_buf **F, dm_err *err)
{
    drawer *d = user;
    dm_buf *in = dm_forward_input(d->forward);
    dm_status rc;

    for (int64_t i = 0; i < d->n; i++) {
        d->c_in[i] = c_in;
        d->c_noise[i] = c_noise;
    }
    *F = dm_forward_output(d->forward);
    rc = dm_buf_copy(x, 0, in, 0, dm_buf_bytes(in), err);
    return rc ? rc : dm_forward_run(d->forward, d->c_in, d->c_noise, d->labels, err);
}

static dm_status after_step(void *user, int32_t i, int32_t n, dm_buf *x, dm_err *err)
{
    drawer *d = user;
    const dm_callbacks *cb = &d->s->callbacks;
    const int64_t left = d->d->count - d->first, there = left < d->n ? left : d->n,
                  batches = (d->d->count + d->n - 1) / d->n;
    dm_status rc;

    if (d->d->trace) {
        if ((rc = dm_buf_read(x, 0, (size_t)(d->n * d->example) * sizeof *d->x, d->x, err)))
            return rc;
        d->d->trace(d->d->trace_user, i, n, d->first, there, d->d->count, d->example, d->x);
    }
    if (d->d->progress && cb->progress) {
        /* The device is let finish, so that the bar tells of work done, not of work queued. */
        if ((rc = dm_device_finish(d->s->device, err)))
            return rc;
        cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info),
                                                   .what = "sample",
                                                   .step = d->first / d->n * n + i,
                                                   .steps = batches * n,
                                                   .per_step = (double)d->n / n,
                                                   .loss = NAN});
    }
    if (cb->cancelled && cb->cancelled(cb->user))
        return dm_error(err, DM_ECANCELLED, "stopped at step %d of %d", (int)i, (int)n);
    return DM_OK;
}

/* Halves the batch until it fits. */
static dm_status open(drawer *d, dm_wset *weights, dm_err *err)
{
    const int64_t asked = d->s->experiment->sampler.batch, most = asked ? asked : 64;

    for (d->n = d->d->count < most ? d->d->count : most;; d->n = (d->n + 1) / 2) {
        const dm_sampling_setup setup = {.experiment = d->s->experiment,
                                         .noise = d->s->noise,
                                         .device = d->s->device,
                                         .objective = dm_net_objective(d->s->model),
                                         .data = &d->s->data,
                                         .n = d->n,
                                         .out_channels = dm_net_out_channels(d->s->model),
                                         .forward = network,
                                         .user = d};
        dm_err why = {0};
        dm_status rc;

        if (!(rc = dm_sampling_new(&setup, &d->sampling, &why))) {
            dm_net_expect(d->s->model,
                          (double)dm_sampling_grid(d->sampling)->n * ceil((double)d->d->count / (double)d->n));
            rc = dm_forward_new(d->s->model, weights, d->n, NULL, &d->forward, &why);
            dm_net_expect(d->s->model, 0);
        }
        if (!rc)
            return DM_OK;
        dm_sampling_free(d->sampling);
        d->sampling = NULL;
        if (rc != DM_ENOMEM || asked || d->n == 1)
            return dm_error(err, rc, "%s", why.msg);
    }
}

static dm_status batch(drawer *d, float *x, dm_err *err)
{
    const dm_sample_job *o = d->d;
    const int64_t left = o->count - d->first, there = left < d->n ? left : d->n;
    const size_t bytes = (size_t)(there * d->example) * sizeof *x;
    dm_sampling_run_options run = {.first_index = o->first_index + d->first,
                                   .z = o->z,
                                   .draws = o->draws,
                                   .z_count = o->count,
                                   .z_first = d->first,
                                   .step = after_step,
                                   .step_user = d,
                                   .check_steps = o->trace != NULL};
    float *noise = NULL;
    dm_status rc;

    for (int64_t i = 0; i < d->n; i++)
        d->labels[i] = i < there ? (o->labels ? o->labels[d->first + i]
                                              : (int32_t)((o->first_index + d->first + i) %
                                                          (d->s->data.classes ? d->s->data.classes : 1)))
                                 : 0;
    if (o->noise) {
        if (!(noise = calloc((size_t)(d->n * d->example), sizeof *noise)))
            return dm_error(err, DM_ENOMEM, "out of memory for noise");
        memcpy(noise, o->noise + d->first * d->example, bytes);
        run.noise = noise;
    }
    if (!(rc = dm_sampling_run(d->sampling, &run, d->x, err)))
        memcpy(x, d->x, bytes);
    free(noise);
    return rc;
}

dm_status dm_draw_images(dm_session *s, dm_wset *weights, const dm_sample_job *o, float *x, int32_t *steps,
                         int64_t *evaluations, dm_err *err)
{
    drawer d = {.s = s, .d = o, .example = dm_shape_count(&s->data.shape)};
    dm_status rc = open(&d, weights, err);

    if (!rc) {
        d.c_in = calloc((size_t)d.n, sizeof *d.c_in);
        d.c_noise = calloc((size_t)d.n, sizeof *d.c_noise);
        d.labels = calloc((size_t)d.n, sizeof *d.labels);
        d.x = calloc((size_t)(d.n * d.example), sizeof *d.x);
        if (!d.c_in || !d.c_noise || !d.labels || !d.x)
            rc = dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)d.n);
    }
    for (d.first = 0; d.first < o->count && !rc; d.first += d.n)
        rc = batch(&d, x + d.first * d.example, err);
    if (!rc && steps)
        *steps = dm_sampling_grid(d.sampling)->n;
    if (!rc && evaluations)
        *evaluations = dm_sampling_evaluations(d.sampling);
    dm_sampling_free(d.sampling);
    dm_forward_free(d.forward);
    free(d.c_in);
    free(d.c_noise);
    free(d.labels);
    free(d.x);
    return rc;
}
