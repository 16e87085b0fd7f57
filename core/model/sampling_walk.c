/* The steps of a sampler along its walk, and what those measure that choose their own; see sampling.h. */
#include "model/sampling_state.h"

#include "device/kernels.h"
#include "device/ops.h"

#include <math.h>
#include <stdlib.h>

/* ---- rms -------------------------------------------------------------------------------------- */

static dm_status rms(dm_ctx *c, const dm_tensor *t, const dm_tensor *weight, dm_rms *out)
{
    dm_sampling *s = dm_services_of(c)->sampling;
    const int64_t n = s->setup.n;
    dm_err *err = c->err;
    double sum = 0;
    dm_status rc;

    if (!out || out->size != sizeof *out)
        return dm_error(err, DM_EINVAL, "rms was given %s", out ? "a result of another size; set it with sizeof"
                                                                : "NULL for its result");
    if (!t || !t->buf || (weight && !weight->buf))
        return dm_error(err, DM_EINVAL, "rms was given no tensor: NULL, or one from before the last begin()");
    if (t->unwritten || (weight && weight->unwritten))
        return dm_error(err, DM_EINVAL, "rms reads a tensor that was never written");
    if (dm_shape_count(&t->shape) != n * s->inner || (weight && dm_shape_count(&weight->shape) != n * s->inner))
        return dm_error(err, DM_EINVAL, "rms was given a tensor that does not have x's shape");
    *out = (dm_rms){.size = sizeof *out, .n = (int32_t)n, .each = s->each};
    for (int64_t i = 0; i < n; i++)
        s->each[i] = 0;
    if (s->services.counting) {
        s->measures = true;
        return DM_OK;
    }
    if ((rc = dm_launch_square_sums(s->setup.device, t->buf, weight ? weight->buf : NULL, s->square_sums, n, s->inner,
                                    err)) ||
        (rc = dm_buf_read(s->square_sums, 0, (size_t)n * sizeof *s->host, s->host, err)))
        return rc;
    for (int64_t i = 0; i < n; i++) {
        s->each[i] = sqrt((double)s->host[i] / (double)s->inner);
        out->most = s->each[i] <= out->most ? out->most : s->each[i]; /* NaN stays */
        sum += (double)s->host[i];
    }
    out->all = sqrt(sum / (double)(n * s->inner));
    return DM_OK;
}

dm_status dm_sampling_open_rms(dm_sampling *s, dm_err *err)
{
    s->services.work.rms = rms;
    if (!(s->each = calloc((size_t)s->setup.n, sizeof *s->each)))
        return dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)s->setup.n);
    return s->setup.device ? dm_buf_new(s->setup.device, (size_t)s->setup.n * sizeof(float), "a sampler's sums",
                                        &s->square_sums, err)
                           : DM_OK;
}

void dm_sampling_close_rms(dm_sampling *s)
{
    dm_buf_free(s->square_sums);
    free(s->each);
}

void dm_sampling_take_scratch(dm_sampling *s)
{
    for (int i = 0; i < s->n_scratch; i++) {
        dm_buf_free(s->kept[i]);
        s->kept[i] = s->scratch[i].buf;
        s->scratch[i].buf = NULL;
    }
    s->n_scratch = 0;
}

/* ---- steps ---------------------------------------------------------------------------------------- */

int64_t dm_sampling_not_finite(const dm_sampling *s, const float *x)
{
    for (int64_t i = 0; i < s->setup.n * s->inner; i++)
        if (!isfinite(x[i]))
            return i / s->inner;
    return -1;
}

const char *dm_sampling_guidance(const dm_sampling *s)
{
    return s->guiding ? dm_guiding_plugin(s->guiding)->name : "none";
}

/* Of one walk. */
static int32_t most_steps(const dm_sampling *s)
{
    const int64_t steps = s->setup.experiment->sampler.steps;

    return s->step.next && steps ? (int32_t)steps : s->grid.n;
}

static dm_status check_x(dm_sampling *s, int32_t i, dm_err *err)
{
    dm_status rc = dm_buf_read(s->x.buf, 0, (size_t)(s->setup.n * s->inner) * sizeof *s->host, s->host, err);
    int64_t bad;

    if (rc || (bad = dm_sampling_not_finite(s, s->host)) < 0)
        return rc;
    return dm_error(err, DM_EDIVERGED, "image %lld is not finite after step %d of %d of '%s' (guidance: %s), at t = %g",
                    (long long)(s->run.first_index + bad), (int)i + 1, (int)most_steps(s), s->sampler.plugin->name,
                    dm_sampling_guidance(s), s->step.at->t);
}

const dm_point *dm_sampling_at(const dm_sampling *s) { return s->step.next ? &s->at : &s->grid.points[s->taken]; }

int32_t dm_sampling_all_steps(const dm_sampling *s)
{
    return most_steps(s) * (s->setup.jumps.length ? s->setup.jumps.times : 1);
}

double dm_sampling_progress(const dm_sampling *s)
{
    const dm_point *first = s->grid.points, *end = first + s->grid.n;
    const double from = atan2(first->sigma, first->alpha), to = atan2(end->sigma, end->alpha);

    return s->step.next ? (from - atan2(s->at.sigma, s->at.alpha)) / (from - to)
                        : (double)s->made / dm_sampling_all_steps(s);
}

/* What an adaptive sampler reached. */
static dm_status check_next(const dm_sampling *s, dm_err *err)
{
    const dm_point *end = &s->grid.points[s->grid.n], *p = &s->next;

    if (p->alpha >= 0 && p->sigma >= 0 && p->log_snr > s->at.log_snr && p->log_snr <= end->log_snr)
        return DM_OK;
    return dm_error(err, DM_EINVAL,
                    "sampler '%s': step() goes from log-SNR %g to %g; it must rise, to %g at the most",
                    s->sampler.plugin->name, s->at.log_snr, p->log_snr, end->log_snr);
}

static bool at_end(const dm_sampling *s)
{
    return s->step.next ? s->at.log_snr >= s->grid.points[s->grid.n].log_snr : s->taken == s->grid.n;
}

/* One step; for an adaptive sampler s->at follows. */
static dm_status take_step(dm_sampling *s, dm_err *err)
{
    const dm_sampler *p = s->sampler.plugin->sampler;
    dm_status rc;

    s->step.i = s->taken;
    if (!s->step.next)
        s->step.at = &s->grid.points[s->taken];
    s->next = (dm_point){NAN, NAN, NAN, NAN};
    if ((rc = DM_CALL(&s->sampler, DM_CB_STEP, err, p->step(&s->sampler.ctx, &s->step))) ||
        (s->step.next && (rc = check_next(s, err))))
        return rc;
    s->call++;
    if (s->step.next)
        s->at = s->next;
    s->taken++;
    s->made++;
    return DM_OK;
}

/* x at `from` to x at `to`, which has more noise: alpha_to / alpha_from of it, and what the noise lacks. */
static dm_status add_noise(dm_sampling *s, const dm_point *from, const dm_point *to, dm_err *err)
{
    const double k = to->alpha / from->alpha,
                 lack = to->sigma * to->sigma - k * from->sigma * (k * from->sigma); /* at least 0 but for rounding */
    const dm_randn r = {.seed = (uint64_t)s->setup.experiment->run.seed, .purpose = DM_PURPOSE_EDIT,
                        .step = (uint32_t)s->made, .draw = 1, .first_index = (uint32_t)s->run.first_index};
    dm_status rc;

    if ((rc = dm_launch_randn(s->setup.device, s->spare, s->setup.n, s->inner, &r, err)))
        return rc;
    return dm_launch_sum(s->setup.device, s->x.buf, (double[]){k, sqrt(fmax(lack, 0))},
                         (dm_buf *[]){s->x.buf, s->spare}, 2, s->setup.n * s->inner, err);
}

/* Where the steps of a jump have been taken: back to their beginning, or on. */
static dm_status jump(dm_sampling *s, dm_err *err)
{
    const dm_jumps *j = &s->setup.jumps;
    const dm_sampler *p = s->sampler.plugin->sampler;
    const int32_t begin = j->length ? (s->taken - 1) / j->length * j->length : 0;
    dm_status rc;

    if (!j->length || (s->taken < s->grid.n && s->taken % j->length))
        return DM_OK;
    if (++s->passes == j->times) {
        s->passes = 0;
        return DM_OK;
    }
    if (!s->services.counting &&
        (rc = add_noise(s, &s->grid.points[s->taken], &s->grid.points[begin], err)))
        return rc;
    s->taken = s->step.i = begin;
    s->step.at = &s->grid.points[begin];
    dm_sampling_take_scratch(s);
    if (s->guiding && (rc = dm_guiding_begin(s->guiding, &s->x, err)))
        return rc;
    return p->begin ? DM_CALL(&s->sampler, DM_CB_BEGIN, err, p->begin(&s->sampler.ctx, &s->step)) : DM_OK;
}

dm_status dm_sampling_take_steps(dm_sampling *s, dm_err *err)
{
    const dm_sampling_run_options none = {0}, *o = s->services.counting ? &none : &s->run;
    dm_status rc = DM_OK;

    while (!rc && !at_end(s)) {
        if (s->taken == most_steps(s))
            return dm_error(err, DM_EINVAL,
                            "sampler '%s' took all of its %d steps (sampler.steps) and got to t = %g; it needs "
                            "more steps, or a larger tolerance",
                            s->sampler.plugin->name, (int)s->taken, s->at.t);
        if ((rc = take_step(s, err)) || (o->check_steps && (rc = check_x(s, s->taken - 1, err))))
            return rc;
        if (o->step)
            rc = o->step(o->step_user, s->made, dm_sampling_all_steps(s), s->x.buf, err);
        if (!rc)
            rc = jump(s, err);
    }
    return rc;
}
