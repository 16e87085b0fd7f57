/* Images in batches; see sample_job.h. */
#include "sample/sample_job.h"

#include "model/batch_fit.h"
#include "sample/guide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dm_image_sampler {
    dm_session *s;
    const dm_experiment *experiment;
    dm_forwards *forwards;
    dm_sampling *sampling;
    int64_t asked, n, example; /* images at once, as asked for and as they fit; elements of one */
    dm_guide *guide;   /* another model for guidance, NULL without */
    dm_buf *none;      /* what is said of no class */
    double *c_in, *c_noise; /* of two batches */
    int32_t *labels;   /* of a batch, and as many of none */
    dm_condition_batch conditions; /* the same */
    uint64_t serial;   /* of what they are now */
    dm_editing asked_edit; /* zeroed without */
    dm_edit *edit;     /* NULL without */
    float *x;                      /* a batch */
    /* of a call */
    const dm_sample_job *job;
    dm_share mine; /* of its images */
    int64_t first; /* of this batch, counted from 0 */
};

static double runs(const dm_image_sampler *d, int64_t count)
{
    const int32_t times = d->asked_edit.jumps.length ? d->asked_edit.jumps.times : 1;

    return (double)dm_sampling_walk(d->sampling)->n * times * ceil((double)count / (double)d->n);
}

/* The conditions of a batch, once or twice. */
static dm_status tell(dm_image_sampler *d, dm_forward *f, int64_t times, dm_err *err)
{
    dm_condition_batch t = d->conditions;

    t.n = times * d->n;
    return t.conditions ? dm_forward_set_conditions(f, &t, d->serial, err) : DM_OK;
}

/* x once or twice, the second time of no class. */
static dm_status run(dm_image_sampler *d, int64_t times, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F,
                     dm_err *err)
{
    const size_t bytes = (size_t)(d->n * d->example) * sizeof(float);
    dm_forward *f;
    dm_status rc;

    if ((rc = dm_forwards_get(d->forwards, times * d->n, NULL, runs(d, d->job->count), &f, err)))
        return rc;
    for (int64_t i = 0; i < times * d->n; i++) {
        d->c_in[i] = a->c_in;
        d->c_noise[i] = a->c_noise;
    }
    for (int64_t k = 0; k < times && !rc; k++)
        rc = dm_buf_copy(x, 0, dm_forward_input(f), (size_t)k * bytes, bytes, err);
    if (rc || (rc = dm_forward_level(f, p, a, err)) || (rc = tell(d, f, times, err)))
        return rc;
    *F = dm_forward_output(f);
    return dm_forward_run(f, d->c_in, d->c_noise, d->labels, err);
}

static dm_status network(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F, dm_err *err)
{
    return run(user, 1, x, p, a, F, err);
}

static dm_status guide(dm_image_sampler *d, dm_buf *x, const dm_point *p, dm_said *said, dm_err *err)
{
    dm_condition_batch t = d->conditions;

    t.n = d->n;
    return dm_guide_predict(d->guide, x, d->n, p, d->labels, &t, d->serial, said, err);
}

/* Predictions for guidance. */
static dm_status guesses(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, uint32_t uses,
                         dm_said said[DM_OF_COUNT], dm_err *err)
{
    dm_image_sampler *d = user;
    const bool none = uses & DM_USES(DM_OF_NONE);
    const int64_t stride = d->example / d->s->data.shape.dim[0] * dm_net_out_channels(d->s->model);
    dm_buf *F;
    dm_status rc;

    if ((rc = run(d, none ? 2 : 1, x, p, a, &F, err)))
        return rc;
    said[DM_OF_CLASS] = (dm_said){x, F, *p, *a, stride};
    said[DM_OF_NONE] = (dm_said){x, d->none, *p, *a, stride};
    if (none && (rc = dm_buf_copy(F, dm_buf_bytes(d->none), d->none, 0, dm_buf_bytes(d->none), err)))
        return rc;
    return uses & DM_USES(DM_OF_GUIDE) ? guide(d, x, p, &said[DM_OF_GUIDE], err)
                                       : DM_OK;
}

/* Of a walk of n steps in the step's count, of one whose steps are not known beforehand in hundredths of the whole. */
static void report(const dm_image_sampler *d, int32_t n)
{
    const dm_callbacks *cb = &d->s->callbacks;
    const bool percent = dm_experiment_chooses_steps(d->experiment);
    const int64_t batches = (d->mine.n + d->n - 1) / d->n, batch = (d->first - d->mine.first) / d->n,
                  steps = percent ? 100 : batches * n;
    const double share = ((double)batch + dm_sampling_progress(d->sampling)) / (double)batches;

    cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info),
                                               .what = "sample",
                                               .step = (int64_t)(share * (double)steps + 1e-6),
                                               .steps = steps,
                                               .per_step = (double)(batches * d->n) / (double)steps,
                                               .loss = NAN,
                                               .percent = percent});
}

static dm_status after_step(void *user, int32_t i, int32_t n, dm_buf *x, dm_err *err)
{
    dm_image_sampler *d = user;
    const dm_callbacks *cb = &d->s->callbacks;
    const int64_t left = d->mine.first + d->mine.n - d->first, there = left < d->n ? left : d->n;
    dm_status rc = DM_OK;

    if (d->edit && (rc = dm_edit_step(d->edit, dm_sampling_at(d->sampling), i,
                                      (uint64_t)d->experiment->run.seed, (uint32_t)(d->job->first_index + d->first), x,
                                      err)))
        return rc;
    if (d->job->trace) {
        if ((rc = dm_buf_read(x, 0, (size_t)(d->n * d->example) * sizeof *d->x, d->x, err)))
            return rc;
        d->job->trace(d->job->trace_user, &(dm_trace_info){.size = sizeof(dm_trace_info),
                                                           .i = i,
                                                           .n = n,
                                                           .first = d->first,
                                                           .n_images = there,
                                                           .count = d->job->count,
                                                           .example = d->example,
                                                           .x = d->x,
                                                           .log_snr = dm_sampling_at(d->sampling)->log_snr});
    }
    /* The device is let finish, so that the bar tells of work done, not of work queued. */
    if (d->job->progress && cb->progress && !(rc = dm_device_finish(d->s->device, err)))
        report(d, n);
    if (rc)
        return rc;
    if (cb->cancelled && cb->cancelled(cb->user))
        return dm_error(err, DM_ECANCELLED, "stopped at step %d of %d", (int)i, (int)n);
    return DM_OK;
}

/* Steps of an adaptive sampler are those of its whole batch. */
static int64_t batch_of(const dm_experiment *e, int64_t count)
{
    const bool alone = e->run.deterministic && dm_experiment_chooses_steps(e);
    const int64_t most = alone ? 1 : e->sampler.batch ? e->sampler.batch : 64;

    return count < most ? count : most;
}

/* How many of the model's own predictions guidance asks for at once. */
static int64_t times_of(const dm_experiment *e)
{
    return dm_guiding_wanted(e) && e->section[DM_SEC_GUIDANCE].plugin->guidance->uses & DM_USES(DM_OF_NONE) ? 2 : 1;
}

/* Halves the batch until it fits. */
static dm_status fit(dm_image_sampler *d, int64_t count, dm_err *err)
{
    const int64_t times = times_of(d->experiment);
    bool again = false;

    for (d->n = d->asked;;) {
        const dm_sampling_setup setup = {.experiment = d->experiment,
                                         .noise = d->s->noise,
                                         .device = d->s->device,
                                         .objective = dm_net_objective(d->s->model),
                                         .data = &d->s->data,
                                         .n = d->n,
                                         .left_out = d->asked_edit.from ? 1 - d->asked_edit.strength : 0,
                                         .inverts = d->asked_edit.inverts,
                                         .jumps = d->asked_edit.jumps,
                                         .out_channels = dm_net_out_channels(d->s->model),
                                         .forward = network,
                                         .guesses = guesses,
                                         .can = dm_net_can_be_guided(d->s->model),
                                         .user = d};
        dm_forward *f;
        dm_err why = {0};
        dm_status rc;

        if (!(rc = dm_sampling_new(&setup, &d->sampling, &why)) &&
            !(rc = dm_forwards_get(d->forwards, times * d->n, NULL, runs(d, count), &f, &why)))
            return DM_OK;
        dm_sampling_free(d->sampling);
        d->sampling = NULL;
        if (d->experiment->sampler.batch || !dm_batch_fit(&d->n, &again, rc))
            return dm_error(err, rc, "%s", why.msg);
    }
}

/* What guidance needs besides the model. */
static dm_status prepare_guidance(dm_image_sampler *d, dm_err *err)
{
    const int64_t F = d->n * d->example / d->s->data.shape.dim[0] * dm_net_out_channels(d->s->model);

    if (times_of(d->experiment) > 1)
        return dm_buf_new(d->s->device, (size_t)F * sizeof(float), "guidance", &d->none, err);
    return dm_guiding_wanted(d->experiment) && *d->experiment->guidance.guide
               ? dm_guide_open(d->s, d->experiment->guidance.guide, &d->guide, err)
               : DM_OK;
}

dm_status dm_image_sampler_new(dm_session *s, dm_forwards *f, int64_t count, const dm_editing *what,
                               dm_image_sampler **out, dm_err *err)
{
    dm_image_sampler *d = calloc(1, sizeof *d);
    dm_status rc;

    if (!d)
        return dm_error(err, DM_ENOMEM, "out of memory for sampling");
    d->s = s;
    d->experiment = s->experiment;
    d->forwards = f;
    d->asked = batch_of(s->experiment, count);
    d->asked_edit = what ? *what : (dm_editing){0};
    d->example = dm_shape_count(&s->data.shape);
    if (!(rc = fit(d, count, err))) {
        d->c_in = calloc(2 * (size_t)d->n, sizeof *d->c_in);
        d->c_noise = calloc(2 * (size_t)d->n, sizeof *d->c_noise);
        d->labels = calloc(2 * (size_t)d->n, sizeof *d->labels);
        d->x = dm_array(d->n, d->example, sizeof *d->x);
        if (!d->c_in || !d->c_noise || !d->labels || !d->x)
            rc = dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)d->n);
    }
    if (!rc && what)
        rc = dm_edit_new(s->device, what, &s->data.shape, d->n, &d->edit, err);
    if (!rc)
        rc = dm_condition_batch_init(&d->conditions, dm_net_conditions(s->model), 2 * d->n, err);
    if (!rc)
        rc = prepare_guidance(d, err);
    if (rc)
        dm_image_sampler_free(d);
    else
        *out = d;
    return rc;
}

void dm_image_sampler_free(dm_image_sampler *d)
{
    if (!d)
        return;
    dm_sampling_free(d->sampling);
    dm_guide_close(d->guide);
    dm_buf_free(d->none);
    free(d->c_in);
    free(d->c_noise);
    free(d->labels);
    dm_condition_batch_fini(&d->conditions);
    dm_edit_free(d->edit);
    free(d->x);
    free(d);
}

bool dm_image_sampler_serves(const dm_image_sampler *d, int64_t count, const dm_editing *what)
{
    const dm_editing *is = &d->asked_edit;
    const bool same = what ? is->from && is->strength == what->strength && is->inverts == what->inverts &&
                                 !is->mask == !what->mask && is->jumps.length == what->jumps.length &&
                                 is->jumps.times == what->jumps.times
                           : !is->from;

    return same && d->experiment == d->s->experiment && d->asked == batch_of(d->experiment, count);
}

static dm_status batch(dm_image_sampler *d, float *x, dm_err *err)
{
    const dm_sample_job *o = d->job;
    const int64_t left = d->mine.first + d->mine.n - d->first, there = left < d->n ? left : d->n;
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
    for (int64_t i = 0; i < d->n; i++)
        d->labels[d->n + i] = d->s->data.classes;
    if (o->conditions)
        dm_condition_batch_take(&d->conditions, o->conditions, d->first, there);
    d->serial = dm_forwards_serial(d->forwards);
    if (d->edit && (rc = dm_edit_batch(d->edit, o->editing, d->first, there, err)))
        return rc;
    if (o->noise) {
        if (!(noise = dm_array(d->n, d->example, sizeof *noise)))
            return dm_error(err, DM_ENOMEM, "out of memory for noise");
        memcpy(noise, o->noise + d->first * d->example, bytes);
        run.noise = noise;
    }
    if (!(rc = dm_sampling_run(d->sampling, &run, d->x, err)))
        memcpy(x, d->x, bytes);
    free(noise);
    return rc;
}

/* What the ranks have drawn, to all; the most steps of any, the evaluations of all. */
static dm_status exchange(const dm_image_sampler *d, float *x, int32_t *steps, int64_t *evaluations, dm_err *err)
{
    dm_comm *c = d->job->comm;
    const int64_t own[2] = {*steps, *evaluations};
    int64_t (*all)[2] = calloc((size_t)c->size, sizeof *all);
    dm_status rc = all ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for %d ranks", c->size);

    if (!(rc = dm_comm_agree(c, rc, NULL, err)) && !(rc = c->calls->all_gather(c, own, sizeof own, all, err))) {
        *evaluations = 0;
        for (int k = 0; k < c->size; k++) {
            *steps = all[k][0] > *steps ? (int32_t)all[k][0] : *steps;
            *evaluations += all[k][1];
        }
        rc = dm_share_collect(c, x, (size_t)d->example * sizeof *x, d->job->count, err);
    }
    free(all);
    return rc;
}

dm_share dm_sample_share(const dm_sample_job *job)
{
    return job->comm ? dm_share_of(job->count, 0, job->comm->rank, job->comm->size) : (dm_share){0, job->count};
}

dm_status dm_image_sampler_draw(dm_image_sampler *d, const dm_sample_job *job, float *x, int32_t *steps,
                                int64_t *evaluations, dm_err *err)
{
    int64_t made = dm_sampling_evaluations(d->sampling);
    int32_t most = 0;
    dm_status rc = DM_OK;

    d->job = job;
    d->mine = dm_sample_share(job);
    for (d->first = d->mine.first; d->first < d->mine.first + d->mine.n && !rc; d->first += d->n) {
        rc = batch(d, x + d->first * d->example, err);
        most = dm_sampling_steps(d->sampling) > most ? dm_sampling_steps(d->sampling) : most;
    }
    made = dm_sampling_evaluations(d->sampling) - made;
    if (job->comm && !(rc = dm_comm_agree(job->comm, rc, NULL, err)))
        rc = exchange(d, x, &most, &made, err);
    d->job = NULL;
    if (steps)
        *steps = most;
    if (!rc && evaluations)
        *evaluations = made;
    return rc;
}

dm_status dm_draw_images(dm_session *s, dm_wset *weights, const dm_sample_job *job, float *x, int32_t *steps,
                         int64_t *evaluations, dm_err *err)
{
    const int64_t mine = dm_sample_share(job).n;
    dm_forwards *f = NULL;
    dm_image_sampler *d = NULL;
    dm_status rc;

    if (!(rc = dm_forwards_new(s->model, weights, &f, err)))
        rc = dm_image_sampler_new(s, f, mine ? mine : 1, NULL, &d, err);
    if ((!job->comm && !rc) || (job->comm && !(rc = dm_comm_agree(job->comm, rc, NULL, err))))
        rc = dm_image_sampler_draw(d, job, x, steps, evaluations, err);
    dm_image_sampler_free(d);
    dm_forwards_free(f);
    return rc;
}
